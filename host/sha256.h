/* sha256.h - SHA-256 (FIPS 180-4), for content hashes. Any thread; holds nothing. */
#ifndef WEIR_SHA256_H
#define WEIR_SHA256_H
#include <stddef.h>
#include <stdint.h>

#define WEIR_SHA256_BYTES 32

void weir_sha256(const void *bytes, size_t size, uint8_t out[WEIR_SHA256_BYTES]);

/* Lower-case hexadecimal digits of bytes, without a NUL: out has room for 2 * size. */
void weir_hex(const uint8_t *bytes, size_t size, char *out);
#endif
