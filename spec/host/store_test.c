/* store_test.c - the store as its clients see it: acknowledged is kept, refused has changed nothing. */
#include "store_helper.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <lmdb.h>

static void appends_are_read_back_in_order(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  assert_int_equal(take_run(client, "r_a", 1).result, 0);
  for (uint64_t n = 1; n <= 700; n++) {
    char entry[16];
    snprintf(entry, sizeof entry, "entry %d", (int)n);
    outcome done = append(client, "r_a", 1, entry, n % 100 == 1 ? "running" : NULL, false);
    assert_int_equal(done.status, WEIR_OK);
    assert_int_equal(done.result, n);
  }
  assert_int_equal(weir_store_entries(client, text("r_a"), 0, 10000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 700);
  assert_true(found_is(&result, 0, "entry 1"));
  assert_true(found_is(&result, 699, "entry 700"));
  assert_int_equal(weir_store_entries(client, text("r_a"), 300, 5, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 5);
  assert_true(found_is(&result, 0, "entry 301"));
  assert_int_equal(weir_result_at(&result, 4).number, 305);
  assert_int_equal(weir_store_entries(client, text("r_a"), 699, 5, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 1);
  assert_int_equal(weir_store_entries(client, text("r_b"), 0, 5, &result), WEIR_NOT_FOUND);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void a_lower_epoch_is_refused_inside_the_transaction(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(take_run(client, "r", 3).status, WEIR_OK);
  assert_int_equal(append(client, "r", 3, "mine", "running", false).status, WEIR_OK);
  assert_int_equal(take_run(client, "r", 2).status, WEIR_CONFLICT);
  assert_int_equal(take_run(client, "r", 4).status, WEIR_OK);
  outcome late = append(client, "r", 3, "zombie", NULL, false);
  assert_int_equal(late.status, WEIR_CONFLICT);
  assert_non_null(strstr(late.message, "epoch 3 is over"));
  assert_int_equal(append(client, "r", 4, "next", "finished", true).result, 2);
  assert_int_equal(append(client, "r", 3, "zombie", NULL, false).status,
                   WEIR_CONFLICT); /* also once folded */
  weir_client_free(client);
  weir_store_release(store);
}

static void large_elements_become_blobs_and_come_back(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  size_t size = 300000, read = 0;
  char *large = malloc(size);
  memset(large, 'x', size);
  for (int i = 0; i < 3; i++) {
    build_entry(client, "r", 0, large, size, NULL, i == 2);
    assert_int_equal(finish(client, false).status, WEIR_OK);
  }
  assert_int_equal(weir_store_entries(client, text("r"), 0, 10, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 3);
  char *back = found_text(&result, 2, &read);
  assert_int_equal(read, size);
  assert_memory_equal(back, large, size);
  uint64_t counts[WEIR_TABLES];
  assert_int_equal(weir_store_verify(client, counts, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 0);
  assert_int_equal(counts[WEIR_BLOBS], 1); /* the same content is kept once */
  free(back);
  free(large);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void a_store_goes_on_after_exit_without_closing(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_result result = { 0 };
  pid_t child = fork();
  if (child == 0) {
    weir_store *store = must_open(folder, NULL);
    weir_client *client = weir_client_new(store, helper_wake, NULL);
    for (int i = 0; i < 300; i++) append(client, "r_long", 7, "one", i == 0 ? "running" : NULL, false);
    append(client, "r_done", 1, "all", "finished", true);
    put(client, "space", "key", "value", 0);
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(take_run(client, "r_long", 6).status, WEIR_CONFLICT);
  assert_int_equal(take_run(client, "r_long", 8).result, 300);
  assert_int_equal(append(client, "r_long", 8, "two", NULL, false).result, 301);
  assert_int_equal(take_run(client, "r_done", 1).result, 1);
  assert_int_equal(weir_store_entries(client, text("r_long"), 0, 1000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 301);
  assert_int_equal(weir_store_get(client, text("space"), text("key"), &result), WEIR_OK);
  assert_true(found_is(&result, 0, "value"));
  weir_run_query query = { .status = text("finished"), .limit = 10 };
  assert_int_equal(weir_store_runs(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 1);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void versions_decide_who_writes(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  outcome first = put(client, "s", "k", "a", 0);
  assert_int_equal(first.status, WEIR_OK);
  assert_int_equal(put(client, "s", "k", "b", 0).status, WEIR_CONFLICT);
  outcome second = put(client, "s", "k", "b", first.result);
  assert_int_equal(second.status, WEIR_OK);
  assert_true(second.result > first.result);
  assert_int_equal(put(client, "s", "k", NULL, first.result).status, WEIR_CONFLICT);
  assert_int_equal(put(client, "s", "k", NULL, WEIR_ANY_VERSION).result, 1);
  assert_int_equal(put(client, "s", "k", NULL, WEIR_ANY_VERSION).result, 0);
  assert_int_equal(weir_store_get(client, text("s"), text("k"), &result), WEIR_NOT_FOUND);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void a_request_is_atomic_and_its_neighbours_are_unharmed(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  put(client, "s", "taken", "x", 0);
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  build_put(client, "s", text("before"), "1", WEIR_ANY_VERSION);
  build_put(client, "s", text("taken"), "2", 0);
  batch->requests = 0; /* one request of both */
  weir_batch_request(batch, first, client);
  build_put(client, "s", text("beside"), "3", WEIR_ANY_VERSION);
  weir_client_submit(whose_turn(client), 1);
  weir_client_wait(whose_turn(client));
  batch = weir_client_done(whose_turn(client));
  assert_int_equal(batch->request[0].status, WEIR_CONFLICT);
  assert_int_equal(batch->request[0].failed_op, 1);
  assert_int_equal(batch->request[1].status, WEIR_OK);
  weir_client_recycle(whose_turn(client), batch);
  assert_int_equal(weir_store_get(client, text("s"), text("before"), &result), WEIR_NOT_FOUND);
  assert_int_equal(weir_store_get(client, text("s"), text("beside"), &result), WEIR_OK);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void scans_go_in_order_also_with_long_keys(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  char key[1000];
  for (int i = 0; i < 50; i++) {
    int size = snprintf(key, sizeof key, "k%02d", i);
    if (i % 5 == 0) { /* longer than LMDB's keys */
      memset(key + size, 'z', 900);
      size += 900;
    }
    build_put(client, "s", (weir_slice){ (uint8_t *)key, (size_t)size }, "v", 0);
  }
  build_put(client, "s2", text("other"), "v", 0);
  build_put(client, "r", text("other"), "v", 0);
  assert_int_equal(finish(client, false).status, WEIR_OK);
  weir_scan_query query = { .space = text("s"), .limit = 1000 };
  assert_int_equal(weir_store_scan(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 50);
  for (uint32_t i = 0; i < 50; i++) {
    weir_found found = weir_result_at(&result, i);
    snprintf(key, sizeof key, "k%02u", i);
    assert_memory_equal(result.bytes.bytes + found.id_at, key, 3);
    assert_int_equal(found.id_size, i % 5 == 0 ? 903 : 3);
  }
  query.reverse = true;
  query.prefix = text("k1");
  query.limit = 4;
  assert_int_equal(weir_store_scan(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 4);
  assert_memory_equal(result.bytes.bytes + weir_result_at(&result, 0).id_at, "k19", 3);
  weir_scan_query range = {
    .space = text("s"), .from = text("k07"), .to = text("k09"), .has_to = true, .limit = 9
  };
  assert_int_equal(weir_store_scan(client, &range, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 3);
  range.after_from = range.before_to = true;
  assert_int_equal(weir_store_scan(client, &range, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 1);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void the_log_is_folded_and_cut(void **state) {
  (void)state;
  weir_store_options options = { .log_entries = 200 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_store_stats stats;
  weir_result result = { 0 };
  append(client, "r_idle", 0, "holds the log back", NULL, false);
  for (int i = 0; i < 3000; i++) {
    build_entry(client, "r_busy", 0, "entry", 5, NULL, false);
    if (i % 50 == 49) finish(client, false);
  }
  weir_store_statistics(store, &stats);
  assert_true(stats.log_entries < 600);
  assert_int_equal(weir_store_entries(client, text("r_idle"), 0, 10, &result), WEIR_OK);
  assert_true(found_is(&result, 0, "holds the log back"));
  assert_int_equal(weir_store_entries(client, text("r_busy"), 0, 10000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 3000);
  uint64_t counts[WEIR_TABLES];
  assert_int_equal(weir_store_verify(client, counts, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 0);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void the_map_grows_from_a_mebibyte(void **state) {
  (void)state;
  weir_store_options options = { .map_bytes = 1 << 20 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_store_stats stats;
  weir_result result = { 0 };
  char *value = calloc(1, 100001);
  memset(value, 'v', 100000);
  for (int i = 0; i < 300; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    assert_int_equal(put(client, "s", key, value, 0).status, WEIR_OK);
    assert_int_equal(append(client, "r", 0, key, NULL, false).result, i + 1);
  }
  weir_store_statistics(store, &stats);
  assert_true(stats.map_bytes >= 30 << 20);
  assert_int_equal(weir_store_entries(client, text("r"), 0, 1000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 300);
  free(value);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

#define WRITERS 64
#define EACH 20

typedef struct {
  weir_store *store;
  int number;
  int good;
} writer;

static void *write_some(void *argument) {
  writer *w = argument;
  char run[16];
  snprintf(run, sizeof run, "r_%d", w->number);
  weir_client *client = weir_client_new(w->store, helper_wake, NULL);
  for (uint64_t i = 1; i <= EACH; i++)
    w->good += append(client, run, 0, "x", NULL, i == EACH).result == i;
  weir_client_free(client);
  return NULL;
}

static void many_writers_share_a_commit(void **state) {
  (void)state;
  weir_store_options options = { .sync_delay_ns = 5000000 };
  weir_store *store = must_open(":memory:", &options);
  pthread_t thread[WRITERS];
  writer w[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    w[i] = (writer){ store, i, 0 };
    assert_int_equal(pthread_create(&thread[i], NULL, write_some, &w[i]), 0);
  }
  for (int i = 0; i < WRITERS; i++) {
    pthread_join(thread[i], NULL);
    assert_int_equal(w[i].good, EACH);
  }
  weir_store_stats stats;
  weir_store_statistics(store, &stats);
  assert_int_equal(stats.entries, WRITERS * EACH);
  assert_true(stats.commits <= 4 * EACH); /* one by one it would be 1,280 */
  weir_store_release(store);
}

static void a_second_process_is_told_who_owns_the_store(void **state) {
  (void)state;
  char *folder = new_folder(), message[WEIR_MESSAGE_MAX], wanted[64];
  weir_store *store = must_open(folder, NULL), *again = must_open(folder, NULL);
  assert_ptr_equal(store, again); /* the same process shares it */
  weir_store_release(again);
  pid_t child = fork();
  if (child == 0) {
    /* a fork inherits the list of open stores, so ask the lock through a fresh description */
    char path[512];
    snprintf(path, sizeof path, "%s/owner", folder);
    int descriptor = open(path, O_RDWR);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    _exit(descriptor >= 0 && fcntl(descriptor, F_OFD_SETLK, &lock) != 0 ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  weir_store_release(store);
  child = fork();
  if (child == 0) {
    must_open(folder, NULL);
    kill(getppid(), SIGUSR1);
    pause();
  }
  sigset_t set;
  int signal_number;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigwait(&set, &signal_number);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_CONFLICT);
  snprintf(wanted, sizeof wanted, "in use by weir, process %ld since 20", (long)child);
  assert_non_null(strstr(message, wanted));
  assert_non_null(strstr(message, folder));
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  weir_store_release(must_open(folder, NULL));
  remove_folder(folder);
}

/* Overwrite the format record with LMDB's own functions. */
static void set_format(const char *folder, const char *bytes, size_t size) {
  MDB_env *env;
  MDB_txn *txn;
  MDB_dbi main_table;
  MDB_val key = { 11, (void *)(uintptr_t) "weir.format" }, value = { size, (void *)(uintptr_t)bytes };
  assert_int_equal(mdb_env_create(&env), 0);
  mdb_env_set_maxdbs(env, 16);
  assert_int_equal(mdb_env_open(env, folder, 0, 0600), 0);
  assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
  assert_int_equal(mdb_dbi_open(txn, NULL, 0, &main_table), 0);
  assert_int_equal(mdb_put(txn, main_table, &key, &value, 0), 0);
  assert_int_equal(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
}

static char *read_all(const char *folder, size_t *size) {
  char path[512];
  struct stat info;
  snprintf(path, sizeof path, "%s/data.mdb", folder);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_int_equal(fstat(fileno(file), &info), 0);
  char *bytes = malloc((size_t)info.st_size);
  *size = fread(bytes, 1, (size_t)info.st_size, file);
  fclose(file);
  return bytes;
}

static void a_newer_format_is_refused_and_left_alone(void **state) {
  (void)state;
  char *folder = new_folder(), message[WEIR_MESSAGE_MAX];
  weir_store *store = NULL;
  weir_store_release(must_open(folder, NULL));
  set_format(folder, "\2\0\0\0weir 9.9", 12);
  size_t before_size, after_size;
  char *before = read_all(folder, &before_size);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_INVALID);
  assert_non_null(strstr(message, "format 2, written by 'weir 9.9'"));
  char *after = read_all(folder, &after_size);
  assert_int_equal(before_size, after_size);
  assert_memory_equal(before, after, before_size);
  free(before);
  free(after);
  remove_folder(folder);
}

static void what_is_no_store_is_refused(void **state) {
  (void)state;
  char *folder = new_folder(), message[WEIR_MESSAGE_MAX], path[512];
  weir_store *store = NULL;
  snprintf(path, sizeof path, "%s/owner", folder);
  close(open(path, O_CREAT | O_WRONLY, 0600));
  assert_int_equal(weir_store_open(path, NULL, &store, message), WEIR_INVALID);
  assert_int_equal(weir_store_open("/nonexistent/place/store", NULL, &store, message), WEIR_INVALID);
  snprintf(path, sizeof path, "%s/data.mdb", folder);
  FILE *file = fopen(path, "w");
  for (int i = 0; i < 4096; i++) fputs("no LMDB", file);
  fclose(file);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_CORRUPT);
  remove_folder(folder);
}

static void inline_commits_and_the_writer_agree(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL),
              *other = weir_client_new(store, helper_wake, NULL);
  for (uint64_t n = 1; n <= 100; n += 2) {
    build_entry(client, "r", 0, "inline", 6, NULL, false);
    assert_int_equal(finish(client, true).result, n);
    assert_int_equal(append(other, "r", 0, "writer", NULL, false).result, n + 1);
  }
  weir_client_free(client);
  weir_client_free(other);
  weir_store_release(store);
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(appends_are_read_back_in_order),
    cmocka_unit_test(a_lower_epoch_is_refused_inside_the_transaction),
    cmocka_unit_test(large_elements_become_blobs_and_come_back),
    cmocka_unit_test(a_store_goes_on_after_exit_without_closing),
    cmocka_unit_test(versions_decide_who_writes),
    cmocka_unit_test(a_request_is_atomic_and_its_neighbours_are_unharmed),
    cmocka_unit_test(scans_go_in_order_also_with_long_keys),
    cmocka_unit_test(the_log_is_folded_and_cut),
    cmocka_unit_test(the_map_grows_from_a_mebibyte),
    cmocka_unit_test(many_writers_share_a_commit),
    cmocka_unit_test(a_second_process_is_told_who_owns_the_store),
    cmocka_unit_test(a_newer_format_is_refused_and_left_alone),
    cmocka_unit_test(what_is_no_store_is_refused),
    cmocka_unit_test(inline_commits_and_the_writer_agree),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
