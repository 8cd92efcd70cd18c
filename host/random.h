/* random.h - bytes from the kernel's random number generator. Any thread; blocks only at boot. */
#ifndef WEIR_RANDOM_H
#define WEIR_RANDOM_H
#include <stddef.h>

#include "status.h"

/* WEIR_OK, or WEIR_UNAVAILABLE where the kernel has no getrandom. */
weir_status weir_random_bytes(void *out, size_t size);
#endif
