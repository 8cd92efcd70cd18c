/* wait_test.c - queues of waiting tasks: who is woken, in which order, and who has left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "wait.h"

/* Stands where a task stands; only its address is used. */
static char a_task;

typedef struct {
  weir_wait wait; /* first, so that a wait is its waiting */
  weir_node node;
  int woken;
} waiting;

static void on_wake(weir_wait *wait) {
  wait->task = NULL;
  ((waiting *)(void *)wait)->woken++;
}

static void begin(waiting *who) { *who = (waiting){ .wait = { .task = (weir_task *)(void *)&a_task, .wake = on_wake } }; }

static void join(weir_queue *queue, waiting *who) {
  begin(who);
  weir_queue_join(queue, &who->node, &who->wait);
}

static void the_first_to_come_is_the_first_to_be_woken(void **unused) {
  (void)unused;
  weir_queue queue = { 0 };
  waiting who[3];
  assert_false(weir_queue_wake_first(&queue));
  for (int i = 0; i < 3; i++) join(&queue, &who[i]);
  for (int i = 0; i < 3; i++) {
    assert_true(weir_queue_wake_first(&queue));
    for (int j = 0; j < 3; j++) assert_int_equal(j <= i, who[j].woken);
  }
  assert_false(weir_queue_wake_first(&queue));
  assert_null(queue.first);
  assert_null(queue.last);
}

static void all_are_woken_once(void **unused) {
  (void)unused;
  weir_queue queue = { 0 };
  waiting who[5];
  for (int i = 0; i < 5; i++) join(&queue, &who[i]);
  weir_queue_wake_all(&queue);
  weir_queue_wake_all(&queue);
  for (int i = 0; i < 5; i++) assert_int_equal(1, who[i].woken);
}

static void whoever_left_is_not_woken(void **unused) {
  (void)unused;
  for (int leaver = 0; leaver < 4; leaver++) {
    weir_queue queue = { 0 };
    waiting who[4];
    for (int i = 0; i < 4; i++) join(&queue, &who[i]);
    weir_queue_leave(&who[leaver].node);
    weir_queue_leave(&who[leaver].node); /* idempotent */
    weir_queue_wake_all(&queue);
    for (int i = 0; i < 4; i++) assert_int_equal(i != leaver, who[i].woken);
  }
}

static void whoever_left_may_join_again_at_the_end(void **unused) {
  (void)unused;
  weir_queue queue = { 0 };
  waiting who[2];
  join(&queue, &who[0]);
  join(&queue, &who[1]);
  weir_queue_leave(&who[0].node);
  weir_queue_join(&queue, &who[0].node, &who[0].wait);
  weir_queue_wake_first(&queue);
  assert_int_equal(1, who[1].woken);
  assert_int_equal(0, who[0].woken);
  weir_queue_wake_first(&queue);
  assert_int_equal(1, who[0].woken);
}

static void a_node_that_is_nowhere_can_leave(void **unused) {
  (void)unused;
  weir_node node = { 0 };
  weir_queue_leave(&node);
  assert_false(node.is_in);
}

static void a_wait_that_is_over_is_not_woken_again(void **unused) {
  (void)unused;
  waiting who;
  begin(&who);
  weir_wait_wake(&who.wait);
  weir_wait_wake(&who.wait);
  assert_int_equal(1, who.woken);
  weir_wait nobody = { 0 };
  weir_wait_wake(&nobody);
}

/* As a select waits: one wait, a node in each of several queues. */
static void one_wait_in_several_queues_is_woken_by_the_first(void **unused) {
  (void)unused;
  weir_queue queues[3] = { { 0 } };
  weir_node nodes[3] = { { 0 } };
  waiting who, other;
  begin(&who);
  for (int i = 0; i < 3; i++) weir_queue_join(&queues[i], &nodes[i], &who.wait);
  join(&queues[2], &other);
  assert_true(weir_queue_wake_first(&queues[1]));
  assert_int_equal(1, who.woken);
  assert_true(weir_queue_wake_first(&queues[2])); /* takes the node out, wakes nobody a second time */
  assert_int_equal(1, who.woken);
  for (int i = 0; i < 3; i++) weir_queue_leave(&nodes[i]);
  for (int i = 0; i < 2; i++) assert_null(queues[i].first);
  weir_queue_wake_first(&queues[2]);
  assert_int_equal(1, other.woken);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_first_to_come_is_the_first_to_be_woken),
    cmocka_unit_test(all_are_woken_once),
    cmocka_unit_test(whoever_left_is_not_woken),
    cmocka_unit_test(whoever_left_may_join_again_at_the_end),
    cmocka_unit_test(a_node_that_is_nowhere_can_leave),
    cmocka_unit_test(a_wait_that_is_over_is_not_woken_again),
    cmocka_unit_test(one_wait_in_several_queues_is_woken_by_the_first),
  };
  return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
