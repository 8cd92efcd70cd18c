/* sandbox_profile.h - what a process gives up before it runs code that nobody vouches for.
 *
 * Several walls, each of which holds alone: no descriptors but the pipes, no file (Landlock), no network,
 * process, signal or new mapping of code (seccomp), no privileges and no way to new ones, limits on
 * processor time, memory, files and processes. Every wall is tried before anything is read: a system
 * on which one does not stand runs nothing. There is no lesser mode. */
#ifndef WEIR_SANDBOX_PROFILE_H
#define WEIR_SANDBOX_PROFILE_H
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint32_t cpu_seconds;  /* >= 1, of processor time; then the kernel ends the process */
  uint64_t memory_bytes; /* of address space; then allocations fail */
} weir_sandbox_limits;

typedef struct {
  int landlock;       /* version of Landlock's interface, 1.. */
  unsigned refused;   /* forbidden calls that were tried and refused */
  char failure[200];  /* which wall does not stand, when locking failed */
} weir_sandbox_proof;

/* Lock the calling process in for good: descriptors 0, 1 and 2 stay, nothing else. False: a wall does
 * not stand, proof->failure says which; the process must end then. One thread, once. */
bool weir_sandbox_lock(const weir_sandbox_limits *limits, weir_sandbox_proof *proof);
#endif
