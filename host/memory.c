/* memory.c - counting allocator. */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_STORE_OR_MEMORY 75
#define SLAB_BYTES (64 * 1024)

/* Sanitizers see more when every block is the system's. */
#if defined(__SANITIZE_ADDRESS__)
#define USE_SLABS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define USE_SLABS 0
#endif
#endif
#ifndef USE_SLABS
#define USE_SLABS 1
#endif

struct weir_block {
  struct weir_block *next;
};
struct weir_slab {
  struct weir_slab *next;
  char *padding; /* keeps blocks aligned to 16 bytes */
};

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
  if (growth <= 0) return;
  if (*memory->account <= memory->account_limit_bytes && memory->used_bytes <= memory->limit_bytes) return;
  if (memory->used_bytes > memory->limit_bytes + memory->limit_bytes / 2) /* told or not: who was told may be stuck */
    give_up("the Lua state holds one and a half times its memory limit");
  if (memory->over && !memory->told) {
    memory->told = true;
    memory->over(memory);
  }
}

static bool is_small(size_t size) { return USE_SLABS && size <= WEIR_SMALL_BYTES; }
static size_t class_of(size_t size) { return (size - 1) / WEIR_SMALL_STEP; }

static void new_slab(weir_memory *memory) {
  struct weir_slab *slab = malloc(SLAB_BYTES);
  if (!slab) give_up("the system has no memory left");
  slab->next = memory->slabs;
  memory->slabs = slab;
  memory->slab = (char *)(slab + 1);
  memory->slab_end = (char *)slab + SLAB_BYTES;
}

static void *take_small(weir_memory *memory, size_t size) {
  size_t class = class_of(size), bytes = (class + 1) * WEIR_SMALL_STEP;
  struct weir_block *block = memory->free_blocks[class];
  if (block) {
    memory->free_blocks[class] = block->next;
    return block;
  }
  if ((size_t)(memory->slab_end - memory->slab) < bytes) new_slab(memory);
  void *fresh = memory->slab;
  memory->slab += bytes;
  return fresh;
}

static void give_back(weir_memory *memory, void *block, size_t size) {
  if (!is_small(size)) {
    free(block);
    return;
  }
  struct weir_block *returned = block;
  returned->next = memory->free_blocks[class_of(size)];
  memory->free_blocks[class_of(size)] = returned;
}

static void *take(weir_memory *memory, size_t size) {
  if (is_small(size)) return take_small(memory, size);
  void *block = malloc(size);
  if (!block) give_up("the system has no memory left");
  return block;
}

static void *resize(weir_memory *memory, void *block, size_t old_size, size_t new_size) {
  if (is_small(old_size) && is_small(new_size) && class_of(old_size) == class_of(new_size)) return block;
  if (!is_small(old_size) && !is_small(new_size)) {
    void *moved = realloc(block, new_size);
    if (!moved) give_up("the system has no memory left");
    return moved;
  }
  void *moved = take(memory, new_size);
  memcpy(moved, block, old_size < new_size ? old_size : new_size);
  give_back(memory, block, old_size);
  return moved;
}

void *weir_memory_allocate(void *ud, void *block, size_t old_size, size_t new_size) {
  weir_memory *memory = ud;
  if (!block) {
    if (new_size == 0) return NULL;
    block = take(memory, new_size); /* old_size is the kind of the object */
    charge(memory, (int64_t)new_size);
    return block;
  }
  if (new_size == 0) {
    if (old_size > 0) give_back(memory, block, old_size);
    charge(memory, -(int64_t)old_size);
    return NULL;
  }
  block = resize(memory, block, old_size, new_size);
  charge(memory, (int64_t)new_size - (int64_t)old_size);
  return block;
}

void weir_memory_free(weir_memory *memory) {
  while (memory->slabs) {
    struct weir_slab *next = memory->slabs->next;
    free(memory->slabs);
    memory->slabs = next;
  }
}
