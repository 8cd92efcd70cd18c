/* heap.h - timers in the order in which they are due: a binary heap of what others own.
 *
 * Timers due at the same time fire in the order in which they were set. Host thread only. */
#ifndef WEIR_HEAP_H
#define WEIR_HEAP_H
#include "status.h"

typedef struct weir_timer weir_timer;
struct weir_timer {
  int64_t due_ns;
  uint64_t sequence;
  size_t place;                    /* 1-based place in the heap; 0: not set */
  void (*fire)(weir_timer *timer); /* called once, after the timer has left the heap */
};

typedef struct {
  weir_timer **timers;
  size_t count, capacity;
  uint64_t sequence;
} weir_heap;

bool weir_heap_set(weir_heap *heap, weir_timer *timer, int64_t due_ns); /* moves one that is set; false: no memory */
void weir_heap_clear(weir_heap *heap, weir_timer *timer);               /* idempotent */
weir_timer *weir_heap_first(const weir_heap *heap);                     /* NULL: empty */
void weir_heap_free(weir_heap *heap);
#endif
