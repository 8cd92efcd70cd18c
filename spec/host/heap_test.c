/* heap_test.c - timers come out in the order in which they are due, whatever happened to them before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "heap.h"

#define TIMERS 500

static uint64_t state = 1;

/* A linear congruential generator; Knuth's constants for MMIX. */
static uint32_t draw(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % below;
}

static weir_timer *pop(weir_heap *heap) {
  weir_timer *first = weir_heap_first(heap);
  if (first) weir_heap_clear(heap, first);
  return first;
}

static void an_empty_heap_has_no_first(void **unused) {
  (void)unused;
  weir_heap heap = { 0 };
  weir_timer timer = { 0 };
  assert_null(weir_heap_first(&heap));
  weir_heap_clear(&heap, &timer); /* was never set */
  assert_int_equal(0, heap.count);
  weir_heap_free(&heap);
}

static void timers_come_in_the_order_in_which_they_are_due(void **unused) {
  (void)unused;
  weir_heap heap = { 0 };
  weir_timer timers[TIMERS] = { 0 };
  for (int i = 0; i < TIMERS; i++) assert_true(weir_heap_set(&heap, &timers[i], draw(100)));
  int64_t last = -1;
  uint64_t sequence = 0;
  for (int i = 0; i < TIMERS; i++) {
    weir_timer *first = pop(&heap);
    assert_true(first->due_ns > last || (first->due_ns == last && first->sequence > sequence));
    assert_int_equal(0, first->place);
    last = first->due_ns;
    sequence = first->sequence;
  }
  assert_null(pop(&heap));
  weir_heap_free(&heap);
}

static void equal_timers_come_in_the_order_in_which_they_were_set(void **unused) {
  (void)unused;
  weir_heap heap = { 0 };
  weir_timer timers[TIMERS] = { 0 };
  for (int i = 0; i < TIMERS; i++) weir_heap_set(&heap, &timers[i], 7);
  weir_heap_set(&heap, &timers[3], 7); /* set again: now the last */
  for (int i = 0; i < TIMERS - 1; i++) assert_ptr_equal(&timers[i < 3 ? i : i + 1], pop(&heap));
  assert_ptr_equal(&timers[3], pop(&heap));
  weir_heap_free(&heap);
}

static void times_of_any_size_are_in_order(void **unused) {
  (void)unused;
  const int64_t times[] = { INT64_MAX, 0, INT64_MIN, -1, 1, INT64_MAX - 1, INT64_MIN + 1 };
  const int64_t sorted[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };
  weir_heap heap = { 0 };
  weir_timer timers[7] = { 0 };
  for (int i = 0; i < 7; i++) weir_heap_set(&heap, &timers[i], times[i]);
  for (int i = 0; i < 7; i++) assert_true(pop(&heap)->due_ns == sorted[i]);
  weir_heap_free(&heap);
}

static const weir_timer *least(const weir_timer *timers) {
  const weir_timer *found = NULL;
  for (int i = 0; i < TIMERS; i++) {
    const weir_timer *timer = &timers[i];
    if (timer->place == 0) continue;
    if (!found || timer->due_ns < found->due_ns || (timer->due_ns == found->due_ns && timer->sequence < found->sequence))
      found = timer;
  }
  return found;
}

static void check_places(const weir_heap *heap) {
  for (size_t place = 1; place <= heap->count; place++) assert_int_equal(place, heap->timers[place - 1]->place);
}

static void random_changes_keep_the_first_first(void **unused) {
  (void)unused;
  weir_heap heap = { 0 };
  weir_timer timers[TIMERS] = { 0 };
  for (int step = 0; step < 20000; step++) {
    weir_timer *timer = &timers[draw(TIMERS)];
    switch (draw(4)) {
      case 0: weir_heap_clear(&heap, timer); break;
      case 1: pop(&heap); break;
      default: weir_heap_set(&heap, timer, draw(1000)); break;
    }
    if (step % 16 == 0) check_places(&heap);
    assert_ptr_equal(least(timers), weir_heap_first(&heap));
  }
  weir_heap_free(&heap);
  assert_int_equal(0, heap.count);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_empty_heap_has_no_first),
    cmocka_unit_test(timers_come_in_the_order_in_which_they_are_due),
    cmocka_unit_test(equal_timers_come_in_the_order_in_which_they_were_set),
    cmocka_unit_test(times_of_any_size_are_in_order),
    cmocka_unit_test(random_changes_keep_the_first_first),
  };
  return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
