/* status.h - the outcomes that a primitive hands back, one for each code that programs branch on. */
#ifndef WEIR_STATUS_H
#define WEIR_STATUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  WEIR_OK,
  WEIR_FULL,        /* no room now, or the store's disk is full */
  WEIR_EMPTY,       /* nothing there now */
  WEIR_CLOSED,      /* final: no more will come */
  WEIR_TIMEOUT,     /* the deadline passed first */
  WEIR_CANCELLED,   /* the scope was cancelled */
  WEIR_INVALID,     /* the input does not fit */
  WEIR_FAILED,      /* the work itself failed */
  WEIR_REJECTED,    /* a critic or a person said no */
  WEIR_LIMIT,       /* size, depth, memory or budget */
  WEIR_NOT_FOUND,
  WEIR_CONFLICT,    /* another version, epoch or owner came first */
  WEIR_DENIED,      /* not allowed */
  WEIR_UNAVAILABLE, /* the other side does not answer */
  WEIR_CORRUPT,     /* stored bytes are damaged */
} weir_status;

/* The code of a status as programs read it ("full", "not_found"); "ok" for WEIR_OK. Never NULL. */
const char *weir_status_code(weir_status status);
#endif
