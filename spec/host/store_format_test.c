/* store_format_test.c - a store of format 1, as it was written once, is read and goes on; one of a
 * newer format is refused and left alone.
 *
 * The store is fixtures/store-1. WEIR_MAKE_STORE=FOLDER makes such a store with the program at hand:
 * needed when a new format has a fixture of its own, never to make this test pass. */
#include "store_helper.h"

#include <sys/stat.h>

#include <lmdb.h>

#define FIXTURE "spec/host/fixtures/store-1"
#define LARGE 2000

static void fill_large(char large[LARGE + 1], char letter) {
  memset(large, letter, LARGE);
  large[LARGE] = '\0';
}

static void fill_long_key(char key[601]) {
  memset(key, 'k', 600);
  key[600] = '\0';
}

/* Some of everything that format 1 has, in one transaction, so that it stays small. */
static void make(const char *folder) {
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char large[LARGE + 1], key[601];
  fill_large(large, 'a');
  build_entry(client, "r_ended", 1, "start", 5, "running", false);
  build_entry(client, "r_ended", 2, large, LARGE, NULL, false);
  build_entry(client, "r_ended", 2, "end", 3, "finished", true);
  build_entry(client, "r_going", 3, "start", 5, "running", false);
  for (int i = 0; i < 300; i++) build_entry(client, "r_going", 3, "e", 1, NULL, false);
  build_entry(client, "r_going", 3, large, LARGE, "waiting", false);
  build_put(client, "space", text("plain"), "value", 0);
  build_put(client, "space", text("gone"), "value", 0);
  fill_long_key(key);
  build_put(client, "space", text(key), "of a long key", 0);
  build_put(client, "space", text("gone"), NULL, WEIR_ANY_VERSION);
  assert_int_equal(finish(client, false).status, WEIR_OK);
  weir_client_free(client);
  weir_store_release(store);
}

static char *read_file(const char *folder, const char *name, size_t *size) {
  char path[512];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_msg("cannot read '%s'; run it from the top of the source tree", path);
  assert_int_equal(fstat(fileno(file), &info), 0);
  char *bytes = malloc((size_t)info.st_size + 1);
  *size = fread(bytes, 1, (size_t)info.st_size, file);
  fclose(file);
  return bytes;
}

static char *copy_fixture(void) {
  static const char *const names[] = { "data.mdb", "seal" };
  char *folder = new_folder(), path[512];
  for (size_t i = 0; i < 2; i++) {
    size_t size;
    char *bytes = read_file(FIXTURE, names[i], &size);
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    free(bytes);
  }
  return folder;
}

static void check_entry(const weir_result *result, uint32_t i, const char *wanted) {
  if (!found_is(result, i, wanted)) fail_msg("entry %u is not '%.20s'", i + 1, wanted);
}

/* What `make` wrote is there. */
static void check_content(weir_client *client) {
  weir_result result = { 0 };
  char large[LARGE + 1], key[601];
  fill_large(large, 'a');
  fill_long_key(key);
  assert_int_equal(weir_store_entries(client, text("r_ended"), 0, 100, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 3);
  check_entry(&result, 0, "start");
  check_entry(&result, 1, large);
  check_entry(&result, 2, "end");
  assert_int_equal(weir_store_entries(client, text("r_going"), 0, 302, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 302);
  check_entry(&result, 300, "e");
  check_entry(&result, 301, large);
  weir_run_query query = { .status = text("finished"), .limit = 10 };
  assert_int_equal(weir_store_runs(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 1);
  assert_int_equal(weir_store_get(client, text("space"), text("plain"), &result), WEIR_OK);
  assert_true(found_is(&result, 0, "value"));
  assert_int_equal(weir_store_get(client, text("space"), text(key), &result), WEIR_OK);
  assert_true(found_is(&result, 0, "of a long key"));
  assert_int_equal(weir_store_get(client, text("space"), text("gone"), &result), WEIR_NOT_FOUND);
  weir_result_free(&result);
}

static void check_counts(weir_client *client) {
  static const uint64_t wanted[WEIR_TABLES] = { [WEIR_LOG] = 1,    [WEIR_SEGMENTS] = 2, [WEIR_RUNS] = 2,
                                                [WEIR_STATUS] = 2, [WEIR_BLOBS] = 1,    [WEIR_KV] = 2 };
  uint64_t counts[WEIR_TABLES];
  must_verify(client, counts);
  for (int table = 0; table < WEIR_TABLES; table++)
    if (table != WEIR_LOG)
      assert_int_equal(counts[table], wanted[table]); /* how much is cut may differ */
}

static void an_old_store_is_read_and_goes_on(void **state) {
  (void)state;
  char *folder = copy_fixture();
  uint64_t result[WEIR_JOB_RESULTS];
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  check_content(client);
  check_counts(client);
  assert_int_equal(take_run(client, "r_going", 2).status, WEIR_CONFLICT);
  assert_int_equal(append(client, "r_ended", 1, "zombie", NULL, false).status, WEIR_CONFLICT);
  uint64_t before = weir_store_lsn(store);
  assert_int_equal(append(client, "r_going", 3, "goes on", "running", false).result, 303);
  assert_true(put(client, "space", "plain", "new", WEIR_ANY_VERSION).result > before);
  assert_int_equal(put(client, "space", "plain", "value", WEIR_ANY_VERSION).status, WEIR_OK);
  assert_int_equal(put_row(client, "r_going", 3, "waiting", true).result, 303);
  weir_job *job = weir_job_new(WEIR_JOB_SWEEP); /* what came since works on it, too */
  job->now_ms = UINT64_C(1) << 50;
  job->budget = 100;
  assert_true(weir_job_start(client, job));
  assert_int_equal(finish_job(client, job, result, NULL), WEIR_OK);
  assert_int_equal(result[1], 0);
  job = weir_job_new(WEIR_JOB_REBUILD);
  assert_true(weir_job_start(client, job));
  assert_int_equal(finish_job(client, job, result, NULL), WEIR_OK);
  assert_int_equal(result[WEIR_TABLES], 0);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  check_content(client);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

/* The fixture is what this program would write; else the format has changed and needs a number. */
static void a_store_made_today_holds_the_same(void **state) {
  (void)state;
  char *folder = new_folder();
  make(folder);
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  check_content(client);
  check_counts(client);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void set_format(const char *folder, const char *bytes, size_t size) {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi main_table;
  MDB_val key = { 11, (void *)(uintptr_t) "weir.format" }, value = { size, (void *)(uintptr_t)bytes };
  assert_int_equal(mdb_env_create(&env), 0);
  mdb_env_set_maxdbs(env, 16);
  assert_int_equal(mdb_env_open(env, folder, MDB_NOLOCK, 0600), 0);
  assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
  assert_int_equal(mdb_dbi_open(txn, NULL, 0, &main_table), 0);
  assert_int_equal(mdb_put(txn, main_table, &key, &value, 0), 0);
  assert_int_equal(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}

static void a_newer_format_is_refused_and_never_written_to(void **state) {
  (void)state;
  static const char *const names[] = { "data.mdb", "seal" };
  char *folder = copy_fixture(), message[WEIR_MESSAGE_MAX], *before[2];
  size_t sizes[2], size;
  weir_store *store = NULL;
  weir_store_options forced = { .force = true };
  set_format(folder, "\2\0\0\0weir 9.9", 12);
  for (size_t i = 0; i < 2; i++) before[i] = read_file(folder, names[i], &sizes[i]);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_INVALID);
  assert_non_null(strstr(message, folder));
  assert_non_null(strstr(message, "has format 2, written by 'weir 9.9'; this is weir "));
  assert_non_null(strstr(message, ", which reads format 1: use the newer weir, or another --store"));
  assert_int_equal(weir_store_open(folder, &forced, &store, message),
                   WEIR_INVALID); /* no force helps */
  for (size_t i = 0; i < 2; i++) {
    char *after = read_file(folder, names[i], &size);
    assert_int_equal(size, sizes[i]);
    assert_memory_equal(before[i], after, size);
    free(before[i]);
    free(after);
  }
  remove_folder(folder);
}

int main(void) {
  const char *wanted = getenv("WEIR_MAKE_STORE");
  if (wanted != NULL) {
    make(wanted);
    return 0;
  }
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_old_store_is_read_and_goes_on),
    cmocka_unit_test(a_store_made_today_holds_the_same),
    cmocka_unit_test(a_newer_format_is_refused_and_never_written_to),
  };
  return cmocka_run_group_tests_name("store_format", tests, NULL, NULL);
}
