/* heap.c - a binary heap; places count from 1, so that the parent of i is i / 2. */
#include "heap.h"

#include <stdlib.h>

static bool before(const weir_timer *a, const weir_timer *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void put(weir_heap *heap, size_t place, weir_timer *timer) {
  heap->timers[place - 1] = timer;
  timer->place = place;
}

static void rise(weir_heap *heap, weir_timer *timer) {
  size_t place = timer->place;
  for (; place > 1 && before(timer, heap->timers[place / 2 - 1]); place /= 2)
    put(heap, place, heap->timers[place / 2 - 1]);
  put(heap, place, timer);
}

static void sink(weir_heap *heap, weir_timer *timer) {
  size_t place = timer->place;
  for (size_t child; (child = place * 2) <= heap->count; place = child) {
    if (child < heap->count && before(heap->timers[child], heap->timers[child - 1])) child++;
    if (!before(heap->timers[child - 1], timer)) break;
    put(heap, place, heap->timers[child - 1]);
  }
  put(heap, place, timer);
}

static bool make_room(weir_heap *heap) {
  if (heap->count < heap->capacity) return true;
  size_t capacity = heap->capacity ? heap->capacity * 2 : 64;
  weir_timer **timers = realloc(heap->timers, capacity * sizeof *timers);
  if (!timers) return false;
  heap->timers = timers;
  heap->capacity = capacity;
  return true;
}

bool weir_heap_set(weir_heap *heap, weir_timer *timer, int64_t due_ns) {
  weir_heap_clear(heap, timer);
  if (!make_room(heap)) return false;
  timer->due_ns = due_ns;
  timer->sequence = ++heap->sequence;
  put(heap, ++heap->count, timer);
  rise(heap, timer);
  return true;
}

void weir_heap_clear(weir_heap *heap, weir_timer *timer) {
  if (timer->place == 0) return;
  weir_timer *last = heap->timers[--heap->count];
  if (last != timer) {
    put(heap, timer->place, last);
    rise(heap, last);
    sink(heap, last);
  }
  timer->place = 0;
}

weir_timer *weir_heap_first(const weir_heap *heap) { return heap->count ? heap->timers[0] : NULL; }

void weir_heap_free(weir_heap *heap) {
  free(heap->timers);
  *heap = (weir_heap){ 0 };
}
