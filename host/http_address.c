/* http_address.c - address ranges that are not for everybody (IANA special-purpose
 * address registries). */
#include "http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  uint32_t network;
  uint32_t mask;
} range;

#define RANGE(a, b, c, d, bits)                                                                        \
  { (uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d), 0xFFFFFFFFu << (32 - (bits)) }

static const range special[] = {
  RANGE(0, 0, 0, 0, 8),      RANGE(10, 0, 0, 0, 8),     RANGE(100, 64, 0, 0, 10),
  RANGE(127, 0, 0, 0, 8),    RANGE(169, 254, 0, 0, 16), RANGE(172, 16, 0, 0, 12),
  RANGE(192, 0, 0, 0, 24),   RANGE(192, 0, 2, 0, 24),   RANGE(192, 88, 99, 0, 24),
  RANGE(192, 168, 0, 0, 16), RANGE(198, 18, 0, 0, 15),  RANGE(198, 51, 100, 0, 24),
  RANGE(203, 0, 113, 0, 24), RANGE(224, 0, 0, 0, 4),    RANGE(240, 0, 0, 0, 4),
};

static bool v4_allowed(uint32_t address, weir_addresses policy) {
  if (policy == WEIR_ADDRESSES_LOOPBACK) return address >> 24 == 127;
  for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
    if ((address & special[i].mask) == special[i].network) return false;
  return true;
}

static uint32_t v4_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool starts_with(const uint8_t *bytes, const uint8_t *prefix, size_t size) {
  return memcmp(bytes, prefix, size) == 0;
}

/* Where an IPv6 address carries an IPv4 address that is reached in its place, or NULL. */
static const uint8_t *embedded_v4(const uint8_t b[16]) {
  static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };
  static const uint8_t translated[12] = { 0x00, 0x64, 0xFF, 0x9B }; /* 64:ff9b::/96 */
  if (starts_with(b, mapped, 12) || starts_with(b, translated, 12)) return b + 12;
  return b[0] == 0x20 && b[1] == 0x02 ? b + 2 : NULL; /* 2002::/16 */
}

static bool v6_allowed(const uint8_t b[16], weir_addresses policy) {
  static const uint8_t loopback[16] = { [15] = 1 };
  static const uint8_t documentation[4] = { 0x20, 0x01, 0x0D, 0xB8 };
  const uint8_t *v4 = embedded_v4(b);
  if (v4) return v4_allowed(v4_at(v4), policy);
  if (policy == WEIR_ADDRESSES_LOOPBACK) return memcmp(b, loopback, 16) == 0;
  bool global = b[0] >> 5 == 1;                                /* 2000::/3 */
  bool protocol = b[0] == 0x20 && b[1] == 0x01 && b[2] < 2;    /* 2001::/23 */
  bool newer = b[0] == 0x3F && b[1] == 0xFF && b[2] >> 4 == 0; /* 3fff::/20, documentation too */
  return global && !protocol && !newer && !starts_with(b, documentation, 4);
}

bool weir_address_allowed(const struct sockaddr *address, weir_addresses policy) {
  if (address->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    return policy == WEIR_ADDRESSES_ANY || v4_allowed(ntohl(in.sin_addr.s_addr), policy);
  }
  if (address->sa_family != AF_INET6) return false;
  struct sockaddr_in6 in6;
  memcpy(&in6, address, sizeof in6);
  return policy == WEIR_ADDRESSES_ANY || v6_allowed(in6.sin6_addr.s6_addr, policy);
}

bool weir_address_text_allowed(const char *address, weir_addresses policy) {
  struct sockaddr_in in = { .sin_family = AF_INET };
  struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
  if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
    return weir_address_allowed((struct sockaddr *)&in, policy);
  if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
    return weir_address_allowed((struct sockaddr *)&in6, policy);
  return false;
}
