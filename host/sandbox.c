/* sandbox.c - weir_sandbox: a process for one piece of Lua that nobody vouches for.
 *
 *     weir_sandbox CPU_SECONDS MEMORY_BYTES
 *
 * It locks itself in, proves that the walls stand, and only then reads: one frame with a job from
 * descriptor 0. What the job says, asks for and returns goes out as frames through descriptor 1.
 * A program of its own and not the host's with other arguments: it maps Lua and libseccomp and nothing
 * that could open a store or a connection, and it starts in a millisecond. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"
#include "sandbox_frame.h"

#define EXIT_USAGE 2
#define EXIT_REFUSED 69
#define OUTPUT 1

static bool parse(const char *text, unsigned long long low, unsigned long long high, unsigned long long *number) {
  char *end;
  *number = strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0' && *number >= low && *number <= high;
}

static bool parse_limits(int count, char **arguments, weir_sandbox_limits *limits) {
  unsigned long long seconds, bytes;
  if (count != 3 || !parse(arguments[1], 1, 3600, &seconds) || !parse(arguments[2], 32u << 20, 1ull << 40, &bytes))
    return false;
  *limits = (weir_sandbox_limits){ .cpu_seconds = (uint32_t)seconds, .memory_bytes = bytes };
  return true;
}

/* ["refused", which wall does not stand] */
static void tell_refused(const weir_sandbox_proof *proof) {
  weir_buffer out = { 0 };
  weir_pack_array(&out, 2);
  weir_pack_text(&out, "refused", 7);
  weir_pack_text(&out, proof->failure, strlen(proof->failure));
  if (!out.failed) weir_frame_write(OUTPUT, out.bytes, out.size);
}

int main(int argc, char **argv) {
  weir_sandbox_limits limits;
  weir_sandbox_proof proof;
  if (!parse_limits(argc, argv, &limits)) {
    fputs("usage: weir_sandbox CPU_SECONDS MEMORY_BYTES; it is the host that starts it\n", stderr);
    return EXIT_USAGE;
  }
  if (!weir_sandbox_lock(&limits, &proof)) {
    tell_refused(&proof);
    _exit(EXIT_REFUSED);
  }
  _exit(weir_sandbox_serve(&proof)); /* without what exit would have to call */
}
