/* memory.c - counting allocator. */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_STORE_OR_MEMORY 75

void weir_memory_init(weir_memory *memory, int64_t limit_bytes, int64_t account_limit_bytes) {
  *memory = (weir_memory){ .limit_bytes = limit_bytes, .account_limit_bytes = account_limit_bytes };
  memory->account = &memory->host_account;
}

static _Noreturn void give_up(const char *why) {
  fprintf(stderr, "weir: %s; the process ends, start it again: what was acknowledged is kept\n", why);
  _exit(EXIT_STORE_OR_MEMORY);
}

static void charge(weir_memory *memory, int64_t growth) {
  memory->used_bytes += growth;
  *memory->account += growth;
  if (growth <= 0 || memory->told) return;
  if (*memory->account <= memory->account_limit_bytes && memory->used_bytes <= memory->limit_bytes) return;
  if (memory->used_bytes > memory->limit_bytes + memory->limit_bytes / 2)
    give_up("the Lua state holds one and a half times its memory limit");
  if (memory->over) {
    memory->told = true;
    memory->over(memory);
  }
}

void *weir_memory_allocate(void *ud, void *block, size_t old_size, size_t new_size) {
  weir_memory *memory = ud;
  int64_t held = block ? (int64_t)old_size : 0;
  if (new_size == 0) {
    free(block);
    charge(memory, -held);
    return NULL;
  }
  void *moved = realloc(block, new_size);
  if (!moved) give_up("the system has no memory left");
  charge(memory, (int64_t)new_size - held);
  return moved;
}
