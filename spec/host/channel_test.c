/* channel_test.c - which slot a value goes into, and who is woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "channel.h"

#define MOST 8

static char a_task;

typedef struct {
  weir_wait wait;
  weir_node node;
  int woken;
} waiting;

static void on_wake(weir_wait *wait) {
  wait->task = NULL;
  ((waiting *)(void *)wait)->woken++;
}

static void join(weir_queue *queue, waiting *who) {
  *who = (waiting){ .wait = { .task = (weir_task *)(void *)&a_task, .wake = on_wake } };
  weir_queue_join(queue, &who->node, &who->wait);
}

static void slots_go_round(void **unused) {
  (void)unused;
  weir_channel ch;
  uint32_t slot = 99;
  weir_channel_init(&ch, 3, WEIR_ON_FULL_WAIT);
  assert_int_equal(WEIR_EMPTY, weir_channel_release(&ch, &slot));
  assert_int_equal(99, slot); /* written on OK only */
  for (uint32_t i = 0; i < 30; i++) {
    assert_int_equal(WEIR_OK, weir_channel_claim(&ch, &slot));
    assert_int_equal(i % 3, slot);
    assert_int_equal(WEIR_OK, weir_channel_release(&ch, &slot));
    assert_int_equal(i % 3, slot);
  }
}

static void a_full_channel_does_as_its_policy_says(void **unused) {
  (void)unused;
  weir_channel ch;
  uint32_t slot;
  for (int policy = WEIR_ON_FULL_WAIT; policy <= WEIR_ON_FULL_LATEST; policy++) {
    weir_channel_init(&ch, 2, (weir_on_full)policy);
    weir_channel_claim(&ch, &slot);
    weir_channel_claim(&ch, &slot);
    weir_status status = weir_channel_claim(&ch, &slot);
    if (policy == WEIR_ON_FULL_WAIT) assert_int_equal(WEIR_FULL, status);
    if (policy == WEIR_ON_FULL_DROP_NEWEST) assert_int_equal(WEIR_EMPTY, status);
    if (policy == WEIR_ON_FULL_DROP_OLDEST) {
      assert_int_equal(WEIR_OK, status);
      assert_int_equal(0, slot); /* where the oldest stood */
      assert_int_equal(WEIR_OK, weir_channel_release(&ch, &slot));
      assert_int_equal(1, slot); /* the second oldest is now the oldest */
    }
    if (policy == WEIR_ON_FULL_LATEST) {
      assert_int_equal(WEIR_OK, status);
      assert_int_equal(0, slot);
      assert_int_equal(1, ch.count);
    }
    uint64_t dropped = policy == WEIR_ON_FULL_WAIT ? 0 : policy == WEIR_ON_FULL_LATEST ? 2 : 1;
    assert_int_equal(dropped, ch.dropped);
  }
}

static void a_closed_channel_hands_out_what_it_holds(void **unused) {
  (void)unused;
  weir_channel ch;
  uint32_t slot;
  weir_channel_init(&ch, 2, WEIR_ON_FULL_WAIT);
  weir_channel_claim(&ch, &slot);
  weir_channel_close(&ch);
  weir_channel_close(&ch);
  assert_int_equal(WEIR_CLOSED, weir_channel_claim(&ch, &slot));
  assert_int_equal(WEIR_OK, weir_channel_release(&ch, &slot));
  assert_int_equal(WEIR_CLOSED, weir_channel_release(&ch, &slot));
}

static void each_value_wakes_one_receiver_and_each_room_one_sender(void **unused) {
  (void)unused;
  weir_channel ch;
  waiting receivers[2], senders[2];
  uint32_t slot;
  weir_channel_init(&ch, 1, WEIR_ON_FULL_WAIT);
  for (int i = 0; i < 2; i++) join(&ch.receivers, &receivers[i]);
  weir_channel_claim(&ch, &slot);
  assert_int_equal(1, receivers[0].woken);
  assert_int_equal(0, receivers[1].woken);
  for (int i = 0; i < 2; i++) join(&ch.senders, &senders[i]);
  weir_channel_release(&ch, &slot);
  assert_int_equal(1, senders[0].woken);
  assert_int_equal(0, senders[1].woken);
  weir_channel_close(&ch);
  assert_int_equal(1, receivers[1].woken);
  assert_int_equal(1, senders[1].woken);
}

static void a_wake_that_was_not_needed_is_passed_on(void **unused) {
  (void)unused;
  weir_channel ch;
  waiting receivers[2], sender;
  uint32_t slot;
  weir_channel_init(&ch, 1, WEIR_ON_FULL_WAIT);
  for (int i = 0; i < 2; i++) join(&ch.receivers, &receivers[i]);
  weir_channel_pass_on(&ch); /* nothing there: nobody has a reason to look */
  assert_int_equal(0, receivers[0].woken);
  weir_channel_claim(&ch, &slot);
  weir_channel_pass_on(&ch);
  assert_int_equal(1, receivers[1].woken);
  join(&ch.senders, &sender);
  weir_channel_pass_on(&ch); /* full */
  assert_int_equal(0, sender.woken);
  weir_channel_release(&ch, &slot);
  assert_int_equal(1, sender.woken);
}

typedef struct {
  int values[MOST];
  uint32_t count;
} model;

static int take_oldest(model *list) {
  int oldest = list->values[0];
  list->count--;
  for (uint32_t i = 0; i < list->count; i++) list->values[i] = list->values[i + 1];
  return oldest;
}

static void send(weir_channel *ch, int *slots, model *list, int value) {
  uint32_t slot = MOST;
  bool is_full = list->count == ch->capacity;
  weir_status status = weir_channel_claim(ch, &slot);
  if (is_full && ch->on_full == WEIR_ON_FULL_WAIT) assert_int_equal(WEIR_FULL, status);
  else if (is_full && ch->on_full == WEIR_ON_FULL_DROP_NEWEST) assert_int_equal(WEIR_EMPTY, status);
  else assert_int_equal(WEIR_OK, status);
  if (status != WEIR_OK) return;
  assert_true(slot < ch->capacity);
  slots[slot] = value;
  if (is_full && ch->on_full == WEIR_ON_FULL_LATEST) list->count = 0;
  else if (is_full) take_oldest(list);
  list->values[list->count++] = value;
}

static void receive(weir_channel *ch, const int *slots, model *list) {
  uint32_t slot;
  weir_status status = weir_channel_release(ch, &slot);
  assert_int_equal(list->count ? WEIR_OK : WEIR_EMPTY, status);
  if (status == WEIR_OK) assert_int_equal(take_oldest(list), slots[slot]);
}

static void random_use_is_that_of_a_plain_list(void **unused) {
  (void)unused;
  srand(1);
  for (int round = 0; round < 300; round++) {
    weir_channel ch;
    int slots[MOST];
    model list = { .count = 0 };
    weir_channel_init(&ch, 1 + (uint32_t)rand() % MOST, (weir_on_full)(rand() % 4));
    for (int step = 0; step < 300; step++) {
      if (rand() % 2) send(&ch, slots, &list, step);
      else receive(&ch, slots, &list);
      assert_int_equal(list.count, ch.count);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(slots_go_round),
    cmocka_unit_test(a_full_channel_does_as_its_policy_says),
    cmocka_unit_test(a_closed_channel_hands_out_what_it_holds),
    cmocka_unit_test(each_value_wakes_one_receiver_and_each_room_one_sender),
    cmocka_unit_test(a_wake_that_was_not_needed_is_passed_on),
    cmocka_unit_test(random_use_is_that_of_a_plain_list),
  };
  return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
