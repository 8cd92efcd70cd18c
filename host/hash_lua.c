/* hash_lua.c - weir.native.hash: SHA-256 and random bytes for what must not load libcrypto. */
#include "binding.h"
#include "random.h"
#include "sha256.h"

#define RANDOM_MAX (1024 * 1024)

/* hash.sha256(bytes [, "hex" | "raw"]) -> 64 hexadecimal digits (default), or 32 bytes. */
static int hash_sha256(lua_State *L) {
  static const char *const forms[] = { "hex", "raw", NULL };
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  int form = luaL_checkoption(L, 2, "hex", forms);
  uint8_t digest[WEIR_SHA256_BYTES];
  char text[2 * WEIR_SHA256_BYTES];
  weir_sha256(bytes, size, digest);
  weir_hex(digest, sizeof digest, text);
  if (form == 0) lua_pushlstring(L, text, sizeof text);
  else lua_pushlstring(L, (const char *)digest, sizeof digest);
  return 1;
}

/* hash.random(count) -> count random bytes, 1..1048576 | nil, message, "unavailable". */
static int hash_random(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 1 && count <= RANDOM_MAX, 1, "must be 1..1048576 bytes");
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, (size_t)count);
  weir_status status = weir_random_bytes(out, (size_t)count);
  if (status != WEIR_OK) return weir_refuse(L, "random bytes", status);
  luaL_pushresultsize(&buffer, (size_t)count);
  return 1;
}

static const luaL_Reg functions[] = { { "sha256", hash_sha256 },
                                      { "random", hash_random },
                                      { NULL, NULL } };

int luaopen_weir_native_hash(lua_State *L);
int luaopen_weir_native_hash(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
