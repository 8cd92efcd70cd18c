/* status.c - names of outcomes. */
#include "status.h"

const char *weir_status_code(weir_status status) {
  static const char *const codes[] = { "ok", "full", "empty", "closed", "timeout", "cancelled",
    "invalid", "failed", "rejected", "limit", "not_found", "conflict", "denied", "unavailable",
    "corrupt" };
  size_t i = (size_t)status;
  return i < sizeof codes / sizeof codes[0] ? codes[i] : "failed";
}
