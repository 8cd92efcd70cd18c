/* digest_lua.c - weir.native.digest: SHA-256, HMAC, Ed25519, comparison in constant time, random bytes, hex and
 * base64.
 *
 * A shared object of its own: it alone brings libcrypto. Holds nothing between two calls. */
#include "binding.h"
#include "random.h"
#include "sha256.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#define ED25519_KEY 32
#define ED25519_SIGNATURE 64
#define RANDOM_MAX (1024 * 1024)
#define TEXT_MAX (64 * 1024 * 1024) /* bytes that hex and base64 take */

/* Pushes a digest in the form that argument `index` asks for. */
static int push_digest(lua_State *L, const uint8_t *digest, int index) {
  static const char *const forms[] = { "hex", "raw", NULL };
  char text[2 * WEIR_SHA256_BYTES];
  if (luaL_checkoption(L, index, "hex", forms) == 0) {
    weir_hex(digest, WEIR_SHA256_BYTES, text);
    lua_pushlstring(L, text, sizeof text);
  } else {
    lua_pushlstring(L, (const char *)digest, WEIR_SHA256_BYTES);
  }
  return 1;
}

/* digest.sha256(bytes [, "hex" | "raw"]) -> 64 hexadecimal digits (default), or 32 bytes. */
static int digest_sha256(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  uint8_t out[WEIR_SHA256_BYTES];
  if (!SHA256((const unsigned char *)bytes, size, out))
    return luaL_error(L, "libcrypto refuses SHA-256");
  return push_digest(L, out, 2);
}

/* digest.hmac_sha256(key, bytes [, "hex" | "raw"]) -> as sha256 (RFC 2104). */
static int digest_hmac_sha256(lua_State *L) {
  size_t key_size, size;
  const char *key = luaL_checklstring(L, 1, &key_size), *bytes = luaL_checklstring(L, 2, &size);
  luaL_argcheck(L, key_size <= INT_MAX, 1, "key too long");
  uint8_t out[WEIR_SHA256_BYTES];
  if (!HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)bytes, size, out, NULL))
    return luaL_error(L, "libcrypto refuses HMAC with SHA-256");
  return push_digest(L, out, 3);
}

static const unsigned char *check_size(lua_State *L, int index, size_t wanted, const char *what) {
  size_t size;
  const char *bytes = luaL_checklstring(L, index, &size);
  luaL_argcheck(L, size == wanted, index, what);
  return (const unsigned char *)bytes;
}

/* digest.ed25519_verify(public_key, bytes, signature) -> whether the signature (RFC 8032) is that key's. */
static int digest_ed25519_verify(lua_State *L) {
  size_t size;
  const unsigned char *raw = check_size(L, 1, ED25519_KEY, "a public key has 32 bytes");
  const char *bytes = luaL_checklstring(L, 2, &size), *signature = luaL_checklstring(L, 3, NULL);
  if (lua_rawlen(L, 3) != ED25519_SIGNATURE) {
    lua_pushboolean(L, 0);
    return 1;
  }
  EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, ED25519_KEY);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool fits = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(context, (const unsigned char *)signature, ED25519_SIGNATURE,
                               (const unsigned char *)bytes, size) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  lua_pushboolean(L, fits);
  return 1;
}

/* digest.ed25519_sign(private_key, bytes) -> 64 bytes. The private key is 32 bytes, as `random` gives them. */
static int digest_ed25519_sign(lua_State *L) {
  size_t size, length = ED25519_SIGNATURE;
  unsigned char signature[ED25519_SIGNATURE];
  const unsigned char *raw = check_size(L, 1, ED25519_KEY, "a private key has 32 bytes");
  const char *bytes = luaL_checklstring(L, 2, &size);
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, ED25519_KEY);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool done = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(context, signature, &length, (const unsigned char *)bytes, size) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  if (!done) return luaL_error(L, "libcrypto refuses Ed25519");
  lua_pushlstring(L, (const char *)signature, length);
  return 1;
}

/* digest.ed25519_public(private_key) -> the public key, 32 bytes. */
static int digest_ed25519_public(lua_State *L) {
  unsigned char public_key[ED25519_KEY];
  size_t length = sizeof public_key;
  const unsigned char *raw = check_size(L, 1, ED25519_KEY, "a private key has 32 bytes");
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, ED25519_KEY);
  bool done = key && EVP_PKEY_get_raw_public_key(key, public_key, &length) == 1;
  EVP_PKEY_free(key);
  if (!done) return luaL_error(L, "libcrypto refuses Ed25519");
  lua_pushlstring(L, (const char *)public_key, length);
  return 1;
}

/* digest.equal(a, b) -> whether two strings are equal, in a time that depends on their lengths only. */
static int digest_equal(lua_State *L) {
  size_t left_size, right_size;
  const char *left = luaL_checklstring(L, 1, &left_size), *right = luaL_checklstring(L, 2, &right_size);
  lua_pushboolean(L, left_size == right_size && CRYPTO_memcmp(left, right, left_size) == 0);
  return 1;
}

/* digest.random(count) -> count random bytes, 1..1048576 | nil, message, "unavailable". */
static int digest_random(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 1 && count <= RANDOM_MAX, 1, "must be 1..1048576 bytes");
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, (size_t)count);
  weir_status status = weir_random_bytes(out, (size_t)count);
  if (status != WEIR_OK) return weir_refuse(L, "random bytes", status);
  luaL_pushresultsize(&buffer, (size_t)count);
  return 1;
}

static const char *check_bytes(lua_State *L, size_t *size) {
  const char *bytes = luaL_checklstring(L, 1, size);
  luaL_argcheck(L, *size <= TEXT_MAX, 1, "longer than 64 MiB");
  return bytes;
}

/* digest.to_hex(bytes) -> lower-case hexadecimal digits. */
static int digest_to_hex(lua_State *L) {
  size_t size;
  const char *bytes = check_bytes(L, &size);
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, 2 * size);
  weir_hex((const uint8_t *)bytes, size, out);
  luaL_pushresultsize(&buffer, 2 * size);
  return 1;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* digest.from_hex(text) -> bytes | nil, message, "invalid" (odd length, or not a hexadecimal digit). */
static int digest_from_hex(lua_State *L) {
  size_t size;
  const char *text = check_bytes(L, &size);
  if (size % 2)
    return weir_refusef(L, WEIR_INVALID, "hex: %I digits, an even number is needed", (lua_Integer)size);
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, size / 2);
  for (size_t i = 0; i < size; i += 2) {
    int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0)
      return weir_refusef(L, WEIR_INVALID, "hex: no hexadecimal digits at byte %I", (lua_Integer)i + 1);
    out[i / 2] = (char)(high * 16 + low);
  }
  luaL_pushresultsize(&buffer, size / 2);
  return 1;
}

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *check_alphabet(lua_State *L, bool *url) {
  static const char *const names[] = { "standard", "url", NULL };
  *url = luaL_checkoption(L, 2, "standard", names) == 1;
  return *url ? url_safe : standard;
}

/* Up to three bytes as four characters; returns how many of them carry bits. */
static size_t put_group(const unsigned char *bytes, size_t left, const char *alphabet, char out[4]) {
  uint32_t bits = (uint32_t)bytes[0] << 16;
  if (left > 1) bits |= (uint32_t)bytes[1] << 8;
  if (left > 2) bits |= bytes[2];
  for (int i = 0; i < 4; i++) out[i] = alphabet[bits >> (18 - 6 * i) & 63];
  return left > 2 ? 4 : left + 1;
}

/* digest.to_base64(bytes [, "standard" | "url"]) -> text (RFC 4648); "url" has - and _ and
 * no padding. */
static int digest_to_base64(lua_State *L) {
  size_t size, length = 0;
  const unsigned char *bytes = (const unsigned char *)check_bytes(L, &size);
  bool url;
  const char *alphabet = check_alphabet(L, &url);
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, (size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    size_t used = put_group(bytes + i, size - i, alphabet, out + length);
    if (!url) memset(out + length + used, '=', 4 - used);
    length += url ? used : 4;
  }
  luaL_pushresultsize(&buffer, length);
  return 1;
}

/* Decode strictly; how many bytes, or SIZE_MAX with *bad the first wrong character. */
static size_t from_base64(const char *text, size_t size, const char *alphabet, char *out, size_t *bad) {
  uint32_t bits = 0;
  size_t length = 0;
  for (size_t i = 0; i < size; i++) {
    const char *found = text[i] ? strchr(alphabet, text[i]) : NULL;
    *bad = i;
    if (!found) return SIZE_MAX;
    bits = bits << 6 | (uint32_t)(found - alphabet);
    if (i % 4 == 0) continue;
    unsigned left = i % 4 == 1 ? 4u : i % 4 == 2 ? 2u : 0u; /* bits that belong to the next byte */
    out[length++] = (char)(bits >> left & 0xFF);
    bits &= (1u << left) - 1;
  }
  *bad = size;
  return size % 4 == 1 || bits != 0 ? SIZE_MAX : length; /* bits left over must be zero */
}

/* digest.from_base64(text [, "standard" | "url"]) -> bytes | nil, message, "invalid". Strict: no
 * spaces, no other alphabet; "standard" needs its padding, "url" may leave it out. */
static int digest_from_base64(lua_State *L) {
  size_t size, bad = 0;
  const char *text = check_bytes(L, &size);
  bool url;
  const char *alphabet = check_alphabet(L, &url);
  size_t padded = size;
  for (int i = 0; i < 2 && padded % 4 != 1 && size % 4 == 0 && padded > 0 && text[padded - 1] == '=';
       i++)
    padded--;
  if (!url && size % 4 != 0)
    return weir_refusef(L, WEIR_INVALID, "base64: %I characters, a multiple of 4 is needed",
                        (lua_Integer)size);
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, padded / 4 * 3 + 3);
  size_t length = from_base64(text, padded, alphabet, out, &bad);
  if (length == SIZE_MAX)
    return weir_refusef(L, WEIR_INVALID, "base64: wrong at character %I", (lua_Integer)bad + 1);
  luaL_pushresultsize(&buffer, length);
  return 1;
}

static const luaL_Reg functions[] = { { "sha256", digest_sha256 },
                                      { "hmac_sha256", digest_hmac_sha256 },
                                      { "equal", digest_equal },
                                      { "ed25519_public", digest_ed25519_public },
                                      { "ed25519_sign", digest_ed25519_sign },
                                      { "ed25519_verify", digest_ed25519_verify },
                                      { "random", digest_random },
                                      { "to_hex", digest_to_hex },
                                      { "from_hex", digest_from_hex },
                                      { "to_base64", digest_to_base64 },
                                      { "from_base64", digest_from_base64 },
                                      { NULL, NULL } };

int luaopen_weir_native_digest(lua_State *L);
int luaopen_weir_native_digest(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
