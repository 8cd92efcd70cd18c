/* lane_test.c - each tenant's tasks come in their order, and tenants get equal shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "lane.h"

#define TENANTS 5
#define EACH 40

typedef struct {
  weir_ready ready; /* first, so that one is the other */
  weir_tenant *tenant;
  int lane, number;
  bool is_ready;
} item;

static void push(weir_lanes *lanes, item *one) {
  weir_lanes_push(lanes, one->tenant, one->lane, &one->ready);
  one->is_ready = true;
}

static void take(weir_lanes *lanes, item *one) {
  weir_lanes_remove(lanes, one->tenant, one->lane, &one->ready);
  one->is_ready = false;
}

static void tasks_of_one_tenant_come_in_their_order(void **unused) {
  (void)unused;
  weir_lanes lanes = { 0 };
  item items[4];
  for (int i = 0; i < 4; i++) {
    items[i] = (item){ .tenant = weir_tenant_hold(&lanes, 0), .lane = 1, .number = i };
    push(&lanes, &items[i]);
  }
  assert_null(weir_lanes_first(&lanes, 0));
  take(&lanes, &items[1]);
  push(&lanes, &items[1]);
  static const int order[] = { 0, 2, 3, 1 };
  for (int i = 0; i < 4; i++) {
    assert_int_equal(order[i], ((item *)weir_lanes_at(&lanes, 0))->number);
    item *first = (item *)weir_lanes_first(&lanes, 1);
    assert_int_equal(order[i], first->number);
    take(&lanes, first);
  }
  assert_null(weir_lanes_first(&lanes, 1));
  assert_null(weir_lanes_at(&lanes, 0));
}

/* Of a tenant with many that are always ready and one with a single one each gets half of the turns. */
static void many_tasks_get_no_more_than_one(void **unused) {
  (void)unused;
  weir_lanes lanes = { 0 };
  item many[100], one = { .tenant = weir_tenant_hold(&lanes, 2), .lane = 1 };
  for (int i = 0; i < 100; i++) {
    many[i] = (item){ .tenant = weir_tenant_hold(&lanes, 1), .lane = 1, .number = 1 };
    push(&lanes, &many[i]);
  }
  push(&lanes, &one);
  int turns[2] = { 0, 0 };
  for (int i = 0; i < 10000; i++) {
    item *next = (item *)weir_lanes_first(&lanes, 1);
    turns[next->number]++;
    take(&lanes, next);
    weir_tenant_charge(&lanes, next->tenant, 1, 1);
    push(&lanes, next);
  }
  assert_in_range(turns[0], 4900, 5100);
  for (int i = 0; i < 100; i++) take(&lanes, &many[i]);
  take(&lanes, &one);
  for (int i = 0; i < 100; i++) weir_tenant_release(&lanes, many[i].tenant);
  weir_tenant_release(&lanes, one.tenant);
}

/* Whose turns cost ten times as much has a tenth of them. */
static void dear_turns_are_rarer(void **unused) {
  (void)unused;
  weir_lanes lanes = { 0 };
  item items[2];
  for (int i = 0; i < 2; i++) {
    items[i] = (item){ .tenant = weir_tenant_hold(&lanes, (uint64_t)i + 1), .lane = 0, .number = i };
    push(&lanes, &items[i]);
  }
  int turns[2] = { 0, 0 };
  for (int i = 0; i < 11000; i++) {
    item *next = (item *)weir_lanes_first(&lanes, 0);
    turns[next->number]++;
    take(&lanes, next);
    weir_tenant_charge(&lanes, next->tenant, 0, next->number == 0 ? 100 : 10);
    push(&lanes, next);
  }
  assert_in_range(turns[0], 900, 1100);
  for (int i = 0; i < 2; i++) {
    take(&lanes, &items[i]);
    weir_tenant_release(&lanes, items[i].tenant);
  }
}

static void random_use_loses_nobody(void **unused) {
  (void)unused;
  weir_lanes lanes = { 0 };
  static item items[TENANTS * EACH];
  uint32_t count = 0;
  srand(1);
  for (int i = 0; i < TENANTS * EACH; i++)
    items[i] = (item){ .tenant = weir_tenant_hold(&lanes, (uint64_t)(i % TENANTS) * WEIR_TENANT_BUCKETS), .lane = i % WEIR_LANES, .number = i };
  for (int step = 0; step < 200000; step++) {
    item *one = &items[rand() % (TENANTS * EACH)];
    if (rand() % 3 == 0) {
      item *first = (item *)weir_lanes_first(&lanes, one->lane);
      if (!first) continue;
      assert_true(first->is_ready && first->lane == one->lane);
      take(&lanes, first);
      weir_tenant_charge(&lanes, first->tenant, first->lane, 1 + (uint32_t)rand() % 1000);
      count--;
    } else if (one->is_ready) {
      take(&lanes, one);
      count--;
    } else {
      push(&lanes, one);
      count++;
    }
    assert_int_equal(count, lanes.count);
    assert_true(count == 0 || weir_lanes_at(&lanes, count - 1) != NULL);
    assert_null(weir_lanes_at(&lanes, count));
  }
  for (int i = 0; i < TENANTS * EACH; i++) {
    if (items[i].is_ready) take(&lanes, &items[i]);
    weir_tenant_release(&lanes, items[i].tenant);
  }
  assert_int_equal(0, lanes.count);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(tasks_of_one_tenant_come_in_their_order),
    cmocka_unit_test(many_tasks_get_no_more_than_one),
    cmocka_unit_test(dear_turns_are_rarer),
    cmocka_unit_test(random_use_loses_nobody),
  };
  return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
