/* http_address.h - which network addresses a request may connect to.
 *
 * Judged by the address that is connected to, after names were resolved: neither an odd spelling of an
 * address nor a name that resolves differently the second time gets around it. Any thread; no state. */
#ifndef WEIR_HTTP_ADDRESS_H
#define WEIR_HTTP_ADDRESS_H
#include <stdbool.h>
#include <sys/socket.h>

typedef enum {
  WEIR_ADDRESSES_ANY,
  WEIR_ADDRESSES_PUBLIC, /* globally reachable ones: no private, local, shared, reserved or test network
                          */
  WEIR_ADDRESSES_LOOPBACK, /* this machine only */
} weir_addresses;

bool weir_address_allowed(const struct sockaddr *address, weir_addresses policy);

/* The same for an address in text form, as inet_pton reads it; what it cannot read is not allowed. */
bool weir_address_text_allowed(const char *address, weir_addresses policy);
#endif
