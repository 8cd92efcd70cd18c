/* sha256.c - SHA-256 by libmd. */
#include "sha256.h"

#include <sha2.h>

void weir_sha256(const void *bytes, size_t size, uint8_t out[WEIR_SHA256_BYTES]) {
  SHA2_CTX context;
  SHA256Init(&context);
  SHA256Update(&context, bytes, size);
  SHA256Final(out, &context);
}

void weir_hex(const uint8_t *bytes, size_t size, char *out) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}
