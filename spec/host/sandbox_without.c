/* sandbox_without.c - runs a program on a system that lacks something, or lies about it.
 *
 *     sandbox_without CALL ERROR PROGRAM [ARGUMENT...]
 *
 * The system call with the number CALL answers with the error ERROR, 0: it claims to have worked and did nothing. */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int call = seccomp_syscall_resolve_name(argv[1]);
  uint16_t error = (uint16_t)strtol(argv[2], NULL, 10);
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (!filter || call == __NR_SCMP_ERROR || seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, 0) != 0 ||
      seccomp_load(filter) != 0) {
    fputs("sandbox_without: the filter cannot be loaded\n", stderr);
    return 3;
  }
  seccomp_release(filter);
  execv(argv[3], argv + 3);
  return 4;
}
