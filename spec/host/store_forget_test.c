/* store_forget_test.c - a run that has ended goes without a trace, and no other run does. */
#include "store_helper.h"

static weir_status status_of(weir_client *client, const char *run) {
  weir_result result = { 0 };
  weir_status status = weir_store_entries(client, text(run), 0, 10, &result);
  weir_status row = weir_store_row(client, text(run), &result);
  assert_int_equal(status, row);
  weir_result_free(&result);
  return status;
}

static weir_status status_of_entries(weir_client *client, const char *run) {
  weir_result result = { 0 };
  weir_status status = weir_store_entries(client, text(run), 0, 10, &result);
  weir_result_free(&result);
  return status;
}

/* Some segments, some entries in the log only, and neighbours whose ids begin alike. */
static void write_runs(weir_client *client) {
  static const char *const runs[] = { "r", "r_", "r_1", "r_10", "r_2" };
  for (int n = 1; n <= 700; n++) {
    for (size_t i = 0; i < 5; i++)
      build_entry(client, runs[i], 1, "entry", 5,
                  n == 1     ? "running"
                  : n == 700 ? "finished"
                             : NULL,
                  n == 700 && i != 4);
    if (n % 100 == 0) assert_int_equal(finish(client, false).result, n);
  }
}

static void a_run_that_has_ended_goes_without_a_trace(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store_options options = { 0 };
  weir_store *store = must_open(folder, &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  uint64_t before[WEIR_TABLES], after[WEIR_TABLES];
  append(client, "r_idle", 1, "holds the log back", "running", false);
  must_verify(client, before);
  write_runs(client);
  assert_int_equal(forget_run(client, "r_1").result, 700);
  assert_int_equal(forget_run(client, "r_2").result, 700); /* its entries are not folded yet */
  assert_int_equal(forget_run(client, "r_2").status, WEIR_NOT_FOUND);
  must_verify(client, NULL);
  for (int opening = 0; opening < 2; opening++) { /* nothing comes back from the log */
    assert_int_equal(status_of(client, "r_1"), WEIR_NOT_FOUND);
    assert_int_equal(status_of(client, "r_2"), WEIR_NOT_FOUND);
    assert_int_equal(status_of(client, "r"), WEIR_OK);
    assert_int_equal(status_of(client, "r_"), WEIR_OK);
    assert_int_equal(status_of(client, "r_10"), WEIR_OK);
    must_verify(client, NULL);
    weir_client_free(client);
    weir_store_release(store);
    store = must_open(folder, NULL);
    client = weir_client_new(store, helper_wake, NULL);
  }
  assert_int_equal(forget_run(client, "r").result, 700);
  assert_int_equal(forget_run(client, "r_").result, 700);
  assert_int_equal(forget_run(client, "r_10").result, 700);
  must_verify(client, after);
  for (int table = 0; table < WEIR_TABLES; table++) assert_int_equal(after[table], before[table]);
  assert_int_equal(append(client, "r_1", 0, "another life", "running", false).result, 1);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void only_its_row_says_that_it_has_ended(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  append(client, "r", 1, "start", "running", false);
  outcome refused = forget_run(client, "r");
  assert_int_equal(refused.status, WEIR_CONFLICT);
  assert_non_null(strstr(refused.message, "run 'r': it is 'running' and has not ended"));
  put_row(client, "r", 1, "waiting", true);
  assert_int_equal(forget_run(client, "r").status, WEIR_CONFLICT);
  append(client, "r", 1, "end", "failed", true);
  assert_int_equal(append(client, "r", 1, "a late note", NULL, false).result,
                   3); /* of the same owner */
  assert_int_equal(take_run(client, "r", 2).status, WEIR_OK);
  refused = forget_run(client, "r");
  assert_int_equal(refused.status, WEIR_CONFLICT);
  assert_non_null(strstr(refused.message, "epoch 2 has taken it over"));
  assert_int_equal(append(client, "r", 2, "again", "cancelled", true).result, 4);
  assert_int_equal(forget_run(client, "r").result, 4);
  append(client, "no_row", 1, "start", NULL, false);
  assert_int_equal(forget_run(client, "no_row").status, WEIR_NOT_FOUND);
  assert_int_equal(forget_run(client, "nobody").status, WEIR_NOT_FOUND);
  weir_store_stats stats;
  weir_store_statistics(store, &stats);
  assert_int_equal(stats.heads, 1); /* of no_row */
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
}

static outcome forget_journal(weir_client *client, const char *run) {
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_FORGET;
  op->key = add(batch, text(run));
  weir_batch_request(batch, first, client);
  return finish(client, false);
}

static void a_journal_without_a_row_goes_when_it_is_named_as_one(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char large[3001];
  memset(large, 'x', 3000);
  large[3000] = '\0';
  for (int n = 1; n <= 300; n++)
    append(client, "workspace/run:r_1", 1, n == 7 ? large : "change", NULL, false);
  append(client, "workspace/run:r_10", 1, "change", NULL, false);
  append(client, "r_1", 1, "end", "finished", true);
  outcome refused = forget_journal(client, "r_1");
  assert_int_equal(refused.status, WEIR_CONFLICT);
  assert_non_null(strstr(refused.message, "run 'r_1': it has a row"));
  assert_int_equal(forget_journal(client, "nobody").status, WEIR_NOT_FOUND);
  assert_int_equal(forget_journal(client, "workspace/run:r_1").result, 300);
  assert_int_equal(forget_journal(client, "workspace/run:r_1").status, WEIR_NOT_FOUND);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(status_of_entries(client, "workspace/run:r_1"), WEIR_NOT_FOUND);
  assert_int_equal(status_of_entries(client, "workspace/run:r_10"), WEIR_OK);
  assert_int_equal(append(client, "workspace/run:r_1", 1, "again", NULL, false).result, 1);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void ids_of(weir_client *client, const char *after, uint32_t limit, char out[256]) {
  weir_result result = { 0 };
  assert_int_equal(weir_store_journals(client, text(after), limit, &result), WEIR_OK);
  out[0] = '\0';
  for (uint32_t i = 0; i < weir_result_count(&result); i++) {
    weir_found found = weir_result_at(&result, i);
    size_t at = strlen(out);
    snprintf(out + at, 256 - at, "%.*s ", (int)found.id_size,
             (const char *)result.bytes.bytes + found.id_at);
  }
  weir_result_free(&result);
}

static void journals_are_listed_with_a_row_or_without(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char ids[256];
  ids_of(client, "", 10, ids);
  assert_string_equal(ids, "");
  append(client, "b", 1, "in a segment", "finished", true);
  append(client, "bb", 1, "in the log", NULL, false);
  append(client, "a", 1, "in the log", "running", false);
  append(client, "c", 1, "in a segment", "waiting", true);
  append(client, "c", 1, "in both", NULL, false);
  append(client, "d", 1, "goes", "failed", true);
  assert_int_equal(forget_run(client, "d").status, WEIR_OK);
  ids_of(client, "", 10, ids);
  assert_string_equal(ids, "a b bb c ");
  ids_of(client, "a", 2, ids);
  assert_string_equal(ids, "b bb ");
  ids_of(client, "b", 1, ids);
  assert_string_equal(ids, "bb ");
  ids_of(client, "c", 1, ids);
  assert_string_equal(ids, "");
  weir_client_free(client);
  weir_store_release(store);
}

static void it_is_forgotten_with_its_request_or_not_at_all(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  put(client, "s", "taken", "x", 0);
  append(client, "r", 1, "end", "finished", true);
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  build_forget(client, "r");
  build_put(client, "s", text("taken"), "2", 0);
  batch->requests = 0;
  weir_batch_request(batch, first, client);
  assert_int_equal(finish(client, false).status, WEIR_CONFLICT);
  assert_int_equal(status_of(client, "r"), WEIR_OK);
  build_forget(client, "r"); /* begins anew, and ends, in the transaction that forgets it twice */
  build_entry(client, "r", 0, "new", 3, "running", false);
  build_entry(client, "r", 0, "end", 3, "finished", true);
  build_forget(client, "r");
  build_entry(client, "r", 0, "newest", 6, "running", false);
  assert_int_equal(finish(client, false).result, 1);
  weir_result result = { 0 };
  assert_int_equal(weir_store_entries(client, text("r"), 0, 10, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 1);
  assert_true(found_is(&result, 0, "newest"));
  must_verify(client, NULL);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void the_latest_lsn_is_that_of_the_last_commit(void **state) {
  (void)state;
  weir_store_options options = { .sync_delay_ns = 20000000 };
  char *folder = new_folder();
  weir_store *store = must_open(folder, &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(weir_store_lsn(store), 0);
  uint64_t version = put(client, "s", "k", "v", 0).result;
  assert_int_equal(weir_store_lsn(store), version);
  build_entry(client, "r", 1, "entry", 5, NULL, false);
  weir_client_submit(whose_turn(client), 1);
  assert_int_equal(weir_store_lsn(store), version); /* not on disk yet */
  finish(client, false);
  assert_int_equal(weir_store_lsn(store), version + 1);
  assert_int_equal(put(client, "s", "k", "w", version).result, version + 2);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  assert_int_equal(weir_store_lsn(store), version + 2);
  weir_store_release(store);
  remove_folder(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_run_that_has_ended_goes_without_a_trace),
    cmocka_unit_test(only_its_row_says_that_it_has_ended),
    cmocka_unit_test(a_journal_without_a_row_goes_when_it_is_named_as_one),
    cmocka_unit_test(journals_are_listed_with_a_row_or_without),
    cmocka_unit_test(it_is_forgotten_with_its_request_or_not_at_all),
    cmocka_unit_test(the_latest_lsn_is_that_of_the_last_commit),
  };
  return cmocka_run_group_tests_name("store_forget", tests, NULL, NULL);
}
