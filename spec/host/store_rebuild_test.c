/* store_rebuild_test.c - what was lost of the summary and the index comes back from the records. */
#include "store_helper.h"

#include <lmdb.h>

/* Overwrite the summary, and empty the index, with LMDB's own functions. */
static void spoil(const char *folder) {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi main_table, status;
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value = { 8, (void *)(uintptr_t) "rubbish!" };
  assert_int_equal(mdb_env_create(&env), 0);
  mdb_env_set_maxdbs(env, 16);
  assert_int_equal(mdb_env_open(env, folder, 0, 0600), 0);
  assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
  assert_int_equal(mdb_dbi_open(txn, NULL, 0, &main_table), 0);
  assert_int_equal(mdb_put(txn, main_table, &key, &value, 0), 0);
  assert_int_equal(mdb_dbi_open(txn, "status", 0, &status), 0);
  assert_int_equal(mdb_drop(txn, status, 0), 0);
  assert_int_equal(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}

static void rebuild(weir_client *client, uint64_t result[WEIR_JOB_RESULTS]) {
  char message[WEIR_MESSAGE_MAX];
  weir_job *job = weir_job_new(WEIR_JOB_REBUILD);
  assert_true(weir_job_start(client, job));
  if (finish_job(client, job, result, message) != WEIR_OK) fail_msg("%s", message);
}

static uint32_t runs_of(weir_client *client, const char *status) {
  weir_run_query query = { .status = text(status), .limit = 1000 };
  weir_result result = { 0 };
  assert_int_equal(weir_store_runs(client, &query, &result), WEIR_OK);
  uint32_t count = weir_result_count(&result);
  weir_result_free(&result);
  return count;
}

static void summary_and_index_come_back(void **state) {
  (void)state;
  char *folder = new_folder(), message[WEIR_MESSAGE_MAX], run[16], large[3001];
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  uint64_t before[WEIR_TABLES], after[WEIR_TABLES], result[WEIR_JOB_RESULTS];
  memset(large, 'x', 3000);
  large[3000] = '\0';
  for (int i = 0; i < 30; i++) {
    snprintf(run, sizeof run, "r_%d", i);
    append(client, run, 1, i % 3 == 0 ? large : "start", i % 2 == 0 ? "finished" : "running",
           i % 2 == 0);
    put(client, "s", run, "value", 0);
  }
  uint64_t last = put(client, "s", "last", "value", 0).result; /* the highest number is a version */
  must_verify(client, before);
  weir_client_free(client);
  weir_store_release(store);
  spoil(folder);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_CORRUPT);
  weir_store_options forced = { .force = true };
  store = must_open(folder, &forced);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(runs_of(client, "running"), 0);
  rebuild(client, result);
  assert_memory_equal(result, before, sizeof before);
  assert_int_equal(result[WEIR_TABLES], 0);
  assert_int_equal(runs_of(client, "running"), 15);
  must_verify(client, after);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(weir_store_lsn(store), last);
  assert_true(put(client, "s", "more", "value", 0).result > last);
  assert_int_equal(append(client, "r_1", 1, "goes on", "finished", true).result, 2);
  rebuild(client, result); /* of a sound store: it stays as it was */
  must_verify(client, after);
  assert_memory_equal(result, after, sizeof after);
  assert_int_equal(append(client, "r_3", 1, "goes on", NULL, false).result, 2);
  weir_client_free(client);
  weir_store_release(store);
  weir_store_release(must_open(folder, NULL));
  remove_folder(folder);
}

/* Flip one bit of the last copy of a text in data.mdb. */
static void flip(const char *folder, const char *wanted) {
  char path[512];
  snprintf(path, sizeof path, "%s/data.mdb", folder);
  FILE *file = fopen(path, "r+");
  assert_non_null(file);
  char *bytes = malloc(16 << 20);
  size_t size = fread(bytes, 1, 16 << 20, file), length = strlen(wanted), flipped = 0;
  for (size_t i = 0; i + length <= size; i++) {
    if (memcmp(bytes + i, wanted, length) != 0) continue;
    fseek(file, (long)i, SEEK_SET);
    fputc(bytes[i] ^ 1, file);
    flipped++;
  }
  assert_true(flipped > 0);
  free(bytes);
  fclose(file);
}

static void what_is_damaged_is_counted_and_left(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  uint64_t result[WEIR_JOB_RESULTS], counts[WEIR_TABLES];
  weir_result found = { 0 };
  put(client, "s", "sound", "kept as it was", 0);
  put(client, "s", "spoilt", "to be flipped", 0);
  weir_client_free(client);
  weir_store_release(store);
  flip(folder, "to be flipped");
  store = must_open(folder, NULL); /* the record tells by itself that it is damaged */
  client = weir_client_new(store, helper_wake, NULL);
  rebuild(client, result);
  assert_int_equal(result[WEIR_KV], 2);
  assert_int_equal(result[WEIR_TABLES], 1);
  assert_int_equal(weir_store_verify(client, counts, &found), WEIR_OK);
  assert_int_equal(weir_result_count(&found), 1);
  assert_int_equal(weir_store_get(client, text("s"), text("sound"), &found), WEIR_OK);
  assert_int_equal(weir_store_get(client, text("s"), text("spoilt"), &found), WEIR_CORRUPT);
  weir_result_free(&found);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

/* The row with the marked status is damaged; its journal is sound. */
static void a_damaged_row_goes_and_can_be_made_again(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  uint64_t result[WEIR_JOB_RESULTS];
  weir_result found = { 0 };
  append(client, "r_1", 1, "first", "finished", true);
  append(client, "r_2", 1, "first", "to be flipped", false);
  append(client, "r_3", 1, "first", "finished", true);
  weir_client_free(client);
  weir_store_release(store);
  flip(folder, "to be flipped");
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  weir_run_query query = { .limit = 10 };
  assert_int_equal(weir_store_runs(client, &query, &found), WEIR_CORRUPT);
  query.damaged = true;
  assert_int_equal(weir_store_runs(client, &query, &found), WEIR_OK);
  assert_int_equal(weir_result_count(&found), 3);
  assert_int_equal(weir_result_at(&found, 1).size, 0);
  assert_true(weir_result_at(&found, 2).size > 0);
  assert_int_equal(put_row(client, "r_2", 1, "running", false).status, WEIR_CORRUPT);
  rebuild(client, result);
  assert_int_equal(result[WEIR_RUNS], 2);
  assert_int_equal(result[WEIR_TABLES], 0);
  assert_int_equal(weir_store_row(client, text("r_2"), &found), WEIR_NOT_FOUND);
  assert_int_equal(weir_store_journals(client, text("r_1"), 1, &found), WEIR_OK);
  assert_int_equal(weir_result_count(&found), 1);
  assert_int_equal(put_row(client, "r_2", 1, "running", false).status, WEIR_OK);
  assert_int_equal(append(client, "r_2", 1, "second", NULL, false).result, 2);
  assert_int_equal(runs_of(client, "running"), 1);
  must_verify(client, NULL);
  weir_result_free(&found);
  weir_client_free(client);
  weir_store_release(store);
  weir_store_release(must_open(folder, NULL));
  remove_folder(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(summary_and_index_come_back),
    cmocka_unit_test(what_is_damaged_is_counted_and_left),
    cmocka_unit_test(a_damaged_row_goes_and_can_be_made_again),
  };
  return cmocka_run_group_tests_name("store_rebuild", tests, NULL, NULL);
}
