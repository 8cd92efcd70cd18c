/* random.c - getrandom, in the pieces it likes to give. */
#include "random.h"

#include <errno.h>
#include <sys/random.h>

weir_status weir_random_bytes(void *out, size_t size) {
  unsigned char *at = out;
  while (size > 0) {
    ssize_t got = getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return WEIR_UNAVAILABLE;
    at += got;
    size -= (size_t)got;
  }
  return WEIR_OK;
}
