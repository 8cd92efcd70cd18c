/* crc32c.c - by the SSE 4.2 instruction where there is one, else by a table of 16 nibbles. */
#include "crc32c.h"

#include <string.h>

/* table[i] is i shifted out through four steps of the reflected polynomial. */
static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                    0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };

uint32_t weir_crc32c_portable(uint32_t crc, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  crc = ~crc;
  for (size_t i = 0; i < size; i++) {
    crc ^= at[i];
    crc = (crc >> 4) ^ table[crc & 15];
    crc = (crc >> 4) ^ table[crc & 15];
  }
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const void *bytes,
                                                            size_t size) {
  const uint8_t *at = bytes;
  uint64_t state = ~crc;
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    state = _mm_crc32_u64(state, word);
  }
  uint32_t rest = (uint32_t)state;
  for (; size > 0; at++, size--) rest = _mm_crc32_u8(rest, *at);
  return ~rest;
}

uint32_t weir_crc32c(uint32_t crc, const void *bytes, size_t size) {
  if (__builtin_cpu_supports("sse4.2")) return crc_sse42(crc, bytes, size);
  return weir_crc32c_portable(crc, bytes, size);
}
#else
uint32_t weir_crc32c(uint32_t crc, const void *bytes, size_t size) {
  return weir_crc32c_portable(crc, bytes, size);
}
#endif
