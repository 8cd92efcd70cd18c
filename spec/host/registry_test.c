/* registry_test.c - names, versions, pins, and growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "registry.h"

#define NAMES 1000

static void versions_are_found_by_name_and_hash(void **unused) {
  (void)unused;
  weir_registry *registry = weir_registry_new();
  weir_version *one = weir_registry_add(registry, "agents/a", "h1");
  weir_version *two = weir_registry_add(registry, "agents/a", "h2");
  assert_non_null(one);
  assert_ptr_equal(one, weir_registry_add(registry, "agents/a", "h1"));
  assert_int_not_equal(one->id, two->id);
  assert_null(weir_registry_lookup(registry, "agents/a", NULL));
  assert_ptr_equal(one, weir_registry_lookup(registry, "agents/a", "h1"));
  assert_ptr_equal(two, weir_registry_lookup(registry, "agents/a", "h2"));
  assert_null(weir_registry_lookup(registry, "agents/a", "h3"));
  assert_null(weir_registry_lookup(registry, "agents/b", "h1"));
  assert_null(weir_registry_activate(registry, one));
  assert_ptr_equal(one, weir_registry_activate(registry, two));
  assert_false(one->active);
  assert_true(two->active);
  assert_ptr_equal(two, weir_registry_lookup(registry, "agents/a", NULL));
  assert_ptr_equal(two, weir_registry_activate(registry, two)); /* it was active already */
  assert_true(two->active);
  weir_registry_free(registry);
}

static void names_and_hashes_are_copied(void **unused) {
  (void)unused;
  weir_registry *registry = weir_registry_new();
  char name[] = "agents/a", hash[] = "h1";
  weir_version *version = weir_registry_add(registry, name, hash);
  memset(name, 'x', sizeof name - 1);
  memset(hash, 'x', sizeof hash - 1);
  assert_string_equal("agents/a", version->name);
  assert_string_equal("h1", version->hash);
  weir_registry_free(registry);
}

static void only_what_nobody_needs_is_retired(void **unused) {
  (void)unused;
  weir_registry *registry = weir_registry_new();
  weir_version *one = weir_registry_add(registry, "m", "h1");
  weir_version *two = weir_registry_add(registry, "m", "h2");
  weir_version *three = weir_registry_add(registry, "m", "h3");
  weir_registry_activate(registry, one);
  assert_int_equal(WEIR_CONFLICT, weir_registry_retire(registry, one));
  two->pins = 1;
  assert_int_equal(WEIR_CONFLICT, weir_registry_retire(registry, two));
  two->pins = 0;
  uint32_t id = two->id;
  assert_int_equal(WEIR_OK, weir_registry_retire(registry, two)); /* the middle one of three */
  assert_null(weir_registry_lookup(registry, "m", "h2"));
  assert_ptr_equal(three, weir_registry_lookup(registry, "m", "h3"));
  assert_int_not_equal(id, weir_registry_add(registry, "m", "h2")->id); /* an id is never used again */
  weir_registry_free(registry);
}

static void count_one(void *context, const weir_version *version) {
  (void)version;
  ++*(int *)context;
}

static void growth_loses_nothing(void **unused) {
  (void)unused;
  weir_registry *registry = weir_registry_new();
  char name[32], hash[32];
  for (int i = 0; i < NAMES; i++) {
    snprintf(name, sizeof name, "name%d", i);
    for (int v = 0; v < 3; v++) {
      snprintf(hash, sizeof hash, "hash%d", v);
      weir_version *version = weir_registry_add(registry, name, hash);
      if (v == i % 3) weir_registry_activate(registry, version);
    }
  }
  int count = 0;
  weir_registry_each(registry, count_one, &count);
  assert_int_equal(3 * NAMES, count);
  for (int i = 0; i < NAMES; i++) {
    snprintf(name, sizeof name, "name%d", i);
    snprintf(hash, sizeof hash, "hash%d", i % 3);
    weir_version *active = weir_registry_lookup(registry, name, NULL);
    assert_string_equal(hash, active->hash);
    assert_ptr_equal(active, weir_registry_lookup(registry, name, hash));
    for (int v = 0; v < 3; v++) {
      snprintf(hash, sizeof hash, "hash%d", v);
      weir_version *version = weir_registry_lookup(registry, name, hash);
      assert_int_equal(v == i % 3 ? WEIR_CONFLICT : WEIR_OK, weir_registry_retire(registry, version));
    }
  }
  count = 0;
  weir_registry_each(registry, count_one, &count);
  assert_int_equal(NAMES, count);
  weir_registry_free(registry);
}

typedef struct {
  char text[128];
} listing;

static void note(void *context, const weir_version *version) {
  listing *list = context;
  strncat(list->text, version->name, 16);
  strncat(list->text, version->hash, 16);
  strncat(list->text, " ", 2);
}

static void each_goes_by_name_as_they_came_newer_versions_first(void **unused) {
  (void)unused;
  weir_registry *registry = weir_registry_new();
  listing list = { "" };
  weir_registry_add(registry, "b", "1");
  weir_registry_add(registry, "a", "1");
  weir_registry_add(registry, "b", "2");
  weir_registry_each(registry, note, &list);
  assert_string_equal("b2 b1 a1 ", list.text);
  weir_registry_free(registry);
  weir_registry_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(versions_are_found_by_name_and_hash),
    cmocka_unit_test(names_and_hashes_are_copied),
    cmocka_unit_test(only_what_nobody_needs_is_retired),
    cmocka_unit_test(growth_loses_nothing),
    cmocka_unit_test(each_goes_by_name_as_they_came_newer_versions_first),
  };
  return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
