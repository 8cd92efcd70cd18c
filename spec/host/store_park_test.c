/* store_park_test.c - a parked run costs no memory, and is as safe as one that is being written. */
#include "store_helper.h"

#include <pthread.h>

static uint64_t heads(weir_store *store) {
  weir_store_stats stats;
  weir_store_statistics(store, &stats);
  return stats.heads;
}

static uint32_t runs_of(weir_client *client, const char *status) {
  weir_run_query query = { .status = text(status), .limit = 100000 };
  weir_result result = { 0 };
  assert_int_equal(weir_store_runs(client, &query, &result), WEIR_OK);
  uint32_t count = weir_result_count(&result);
  weir_result_free(&result);
  return count;
}

static void a_row_is_replaced_without_an_entry(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  append(client, "r", 2, "start", "running", false);
  assert_int_equal(put_row(client, "r", 1, "late", false).status, WEIR_CONFLICT);
  outcome done = put_row(client, "r", 2, "waiting", false);
  assert_int_equal(done.status, WEIR_OK);
  assert_int_equal(done.result, 1);
  assert_int_equal(runs_of(client, "running"), 0);
  assert_int_equal(runs_of(client, "waiting"), 1);
  assert_int_equal(append(client, "r", 2, "next", NULL, false).result, 2);
  assert_int_equal(put_row(client, "r", 3, "running", false).result,
                   2); /* takes it over as an entry does */
  assert_int_equal(append(client, "r", 2, "zombie", NULL, false).status, WEIR_CONFLICT);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
}

#define PARKED 10000

static void parked_runs_cost_no_memory(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  char run[16];
  for (int i = 0; i < PARKED; i++) {
    snprintf(run, sizeof run, "r_%d", i);
    build_entry(client, run, 1, "start", 5, "running", false);
    if (i % 2 == 0)
      build_entry(client, run, 1, "parked", 6, "waiting", true);
    else
      build_row(client, run, 1, "waiting", true);
    if (i % 1000 == 999) assert_int_equal(finish(client, false).status, WEIR_OK);
  }
  assert_int_equal(heads(store), 0);
  assert_int_equal(runs_of(client, "waiting"), PARKED);
  assert_int_equal(append(client, "r_4242", 1, "goes on", "running", false).result, 3);
  assert_int_equal(append(client, "r_4243", 1, "goes on", "running", false).result, 2);
  assert_int_equal(heads(store), 2);
  assert_int_equal(weir_store_entries(client, text("r_4242"), 0, 10, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 3);
  assert_true(found_is(&result, 2, "goes on"));
  must_verify(client, NULL);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

/* Whatever told the epoch, it outlives the head: a take-over, an entry, a row. */
static void a_lower_epoch_is_refused_after_parking(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  append(client, "r_row", 1, "start", "running", false);
  assert_int_equal(take_run(client, "r_row", 7).status, WEIR_OK);
  assert_int_equal(put_row(client, "r_row", 7, "waiting", true).status, WEIR_OK);
  append(client, "r_entry", 1, "start", "running", false);
  assert_int_equal(append(client, "r_entry", 7, "no row", NULL, true).status, WEIR_OK);
  assert_int_equal(put_row(client, "r_no_entry", 7, "waiting", true).status, WEIR_OK);
  for (int opening = 0; opening < 2; opening++) {
    assert_int_equal(heads(store), 0);
    static const char *const runs[] = { "r_row", "r_entry", "r_no_entry" };
    for (size_t i = 0; i < 3; i++) {
      assert_int_equal(append(client, runs[i], 6, "zombie", NULL, false).status, WEIR_CONFLICT);
      assert_int_equal(put_row(client, runs[i], 6, "zombie", true).status, WEIR_CONFLICT);
      assert_int_equal(take_run(client, runs[i], 6).status, WEIR_CONFLICT);
    }
    weir_client_free(client);
    weir_store_release(store);
    store = must_open(folder, NULL);
    client = weir_client_new(store, helper_wake, NULL);
  }
  assert_int_equal(append(client, "r_row", 7, "woken", "running", false).result, 2);
  assert_int_equal(append(client, "r_entry", 8, "woken", "running", false).result, 3);
  assert_int_equal(append(client, "r_no_entry", 8, "begun", "running", false).result, 1);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void a_run_goes_on_in_the_transaction_that_parks_it(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  for (int i = 0; i < 5; i++) {
    build_entry(client, "r", 1, "parked", 6, "waiting", true);
    build_entry(client, "r", 1, "woken", 5, "running", false);
  }
  assert_int_equal(finish(client, false).result, 10);
  assert_int_equal(heads(store), 1); /* it was not parked in the end */
  assert_int_equal(weir_store_entries(client, text("r"), 0, 100, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 10);
  must_verify(client, NULL);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

typedef struct {
  weir_client *client;
  uint64_t acknowledged; /* entries; under the lock */
  bool done;
  pthread_mutex_t lock;
} story;

#define CHAPTERS 60

/* Entries one by one, parked or not, and each fifth time as many as make a segment. */
static void *tell(void *argument) {
  story *s = argument;
  for (int i = 0; i < CHAPTERS; i++) {
    for (int k = 0; i % 5 == 4 && k < 2 * WEIR_FOLD_ENTRIES; k++)
      build_entry(s->client, "r", 1, "many", 4, NULL, false);
    uint64_t n = append(s->client, "r", 1, "entry", i % 3 == 0 ? "waiting" : NULL, i % 2 == 0).result;
    pthread_mutex_lock(&s->lock);
    s->acknowledged = n;
    pthread_mutex_unlock(&s->lock);
  }
  pthread_mutex_lock(&s->lock);
  s->done = true;
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* Also between the moment when a head changes and the commit, which a slow disk makes long. */
static void a_journal_is_read_whole_while_it_is_folded_and_cut(void **state) {
  (void)state;
  weir_store_options options = { .sync_delay_ns = 2000000, .log_entries = 50 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *reader = weir_client_new(store, helper_wake, NULL);
  story s = { .client = weir_client_new(store, helper_wake, NULL), .lock = PTHREAD_MUTEX_INITIALIZER };
  weir_result result = { 0 };
  pthread_t thread;
  assert_int_equal(append(s.client, "r", 1, "first", "running", false).result, 1);
  s.acknowledged = 1;
  assert_int_equal(pthread_create(&thread, NULL, tell, &s), 0);
  for (bool done = false; !done;) {
    pthread_mutex_lock(&s.lock);
    uint64_t least = s.acknowledged;
    done = s.done;
    pthread_mutex_unlock(&s.lock);
    weir_status status = weir_store_entries(reader, text("r"), 0, 1000000, &result);
    if (status != WEIR_OK) fail_msg("%s", result.message);
    assert_true(weir_result_count(&result) >= least);
  }
  pthread_join(thread, NULL);
  weir_result_free(&result);
  weir_client_free(reader);
  weir_client_free(s.client);
  weir_store_release(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_row_is_replaced_without_an_entry),
    cmocka_unit_test(parked_runs_cost_no_memory),
    cmocka_unit_test(a_lower_epoch_is_refused_after_parking),
    cmocka_unit_test(a_run_goes_on_in_the_transaction_that_parks_it),
    cmocka_unit_test(a_journal_is_read_whole_while_it_is_folded_and_cut),
  };
  return cmocka_run_group_tests_name("store_park", tests, NULL, NULL);
}
