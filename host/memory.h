/* memory.h - the allocator of a host's Lua state, with an account for each task.
 *
 * It never refuses: a refused allocation can corrupt Lua 5.4.4. It counts what each task makes the
 * state grow by, and says when a task or the state is past its limit; who listens ends the task at
 * its next instruction. Past one and a half times the state's limit, or when the system has no more,
 * the process ends with 75. */
#ifndef WEIR_MEMORY_H
#define WEIR_MEMORY_H
#include "status.h"

typedef struct weir_memory weir_memory;

/* Small blocks stand in slabs by size, and go back to a list of their size: Lua makes and drops millions. */
#define WEIR_SMALL_BYTES 512
#define WEIR_SMALL_STEP 16

struct weir_memory {
  struct weir_block *free_blocks[WEIR_SMALL_BYTES / WEIR_SMALL_STEP];
  char *slab, *slab_end;       /* what is left of the newest slab */
  struct weir_slab *slabs;
  int64_t used_bytes;          /* all that the state holds */
  int64_t limit_bytes;         /* of the state */
  int64_t account_limit_bytes; /* of one task */
  int64_t *account;            /* grows and shrinks with what is allocated now; never NULL */
  int64_t host_account;        /* charged while no task runs */
  bool told;                   /* over was called, and whoever listens has not yet reset this */
  void (*over)(weir_memory *memory); /* past a limit; called from inside an allocation; may be NULL */
  void *listener;              /* for over */
};

void weir_memory_init(weir_memory *memory, int64_t limit_bytes, int64_t account_limit_bytes);
void weir_memory_free(weir_memory *memory); /* after the state was closed */

/* A lua_Alloc; ud is the weir_memory. */
void *weir_memory_allocate(void *ud, void *block, size_t old_size, size_t new_size);
#endif
