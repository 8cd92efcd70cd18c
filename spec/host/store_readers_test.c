/* store_readers_test.c - processes that died while they read the environment hold nothing back: their
 * slots are given back when the store is opened, when slots run out, and now and then. */
#include "store_helper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include <lmdb.h>

#define SLOTS 512

/* In a process of its own: take so many slots, say so, and wait to be killed. */
static pid_t read_elsewhere(const char *folder, int slots) {
  int ends[2];
  char said;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    MDB_env *env;
    MDB_txn *txn;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxreaders(env, SLOTS) != 0 ||
        mdb_env_open(env, folder, MDB_NOTLS | MDB_RDONLY, 0600) != 0)
      _exit(1);
    for (int i = 0; i < slots; i++)
      if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0) _exit(2);
    if (write(ends[1], "r", 1) != 1) _exit(3);
    for (;;) pause();
  }
  close(ends[1]);
  assert_int_equal(read(ends[0], &said, 1), 1);
  close(ends[0]);
  return child;
}

static void kill_it(pid_t child) {
  int status;
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  assert_true(WIFSIGNALED(status));
}

static uint64_t cleared(weir_store *store) {
  weir_store_stats stats;
  weir_store_statistics(store, &stats);
  return stats.readers_cleared;
}

static void slots_of_the_dead_are_free_when_it_is_opened(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store_release(must_open(folder, NULL));
  pid_t child = read_elsewhere(folder, 7),
        alive = read_elsewhere(folder, 2); /* keeps the table in being */
  kill_it(child);
  weir_store *store = must_open(folder, NULL);
  assert_int_equal(cleared(store), 7);
  weir_store_release(store);
  kill_it(alive);
  remove_folder(folder);
}

static void reading_goes_on_when_slots_run_out(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *first = weir_client_new(store, helper_wake, NULL),
              *second = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  assert_int_equal(put(first, "s", "k", "v", 0).status, WEIR_OK);
  assert_int_equal(weir_store_get(first, text("s"), text("k"), &result),
                   WEIR_OK); /* has a slot from now on */
  pid_t child = read_elsewhere(folder, SLOTS - 1);
  assert_int_equal(weir_store_get(second, text("s"), text("k"), &result), WEIR_UNAVAILABLE);
  assert_non_null(strstr(result.message, "MDB_READERS_FULL"));
  assert_int_equal(weir_store_get(first, text("s"), text("k"), &result), WEIR_OK);
  assert_int_equal(put(first, "s", "k", "w", WEIR_ANY_VERSION).status,
                   WEIR_OK); /* writing takes none */
  kill_it(child);
  assert_int_equal(weir_store_get(second, text("s"), text("k"), &result), WEIR_OK);
  assert_true(found_is(&result, 0, "w"));
  assert_int_equal(cleared(store), SLOTS - 1);
  must_verify(second, NULL);
  weir_result_free(&result);
  weir_client_free(first);
  weir_client_free(second);
  weir_store_release(store);
  remove_folder(folder);
}

static void slots_of_the_dead_are_free_after_a_while(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store_options options = { .housekeeping_ns = 5000000 };
  weir_store *store = must_open(folder, &options);
  kill_it(read_elsewhere(folder, 5));
  for (int i = 0; i < 2000 && cleared(store) < 5; i++)
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  assert_int_equal(cleared(store), 5);
  weir_store_release(store);
  remove_folder(folder);
}

/* What would hold back every page that is freed: the file grows while it lives, and no longer. */
static void pages_are_used_again_once_the_dead_are_cleared(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store_options options = { .housekeeping_ns = 5000000 };
  weir_store *store = must_open(folder, &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_store_stats held, after;
  char *value = calloc(1, 50001);
  memset(value, 'v', 50000);
  put(client, "s", "k", value, WEIR_ANY_VERSION);
  pid_t child = read_elsewhere(folder, 1);
  for (int i = 0; i < 100; i++) put(client, "s", "k", value, WEIR_ANY_VERSION);
  weir_store_statistics(store, &held);
  assert_true(held.used_bytes > 100 * 50000);
  kill_it(child);
  for (int i = 0; i < 2000 && cleared(store) < 1; i++)
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  for (int i = 0; i < 100; i++) put(client, "s", "k", value, WEIR_ANY_VERSION);
  weir_store_statistics(store, &after);
  assert_true(after.used_bytes < held.used_bytes + 10 * 50000);
  free(value);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(slots_of_the_dead_are_free_when_it_is_opened),
    cmocka_unit_test(reading_goes_on_when_slots_run_out),
    cmocka_unit_test(slots_of_the_dead_are_free_after_a_while),
    cmocka_unit_test(pages_are_used_again_once_the_dead_are_cleared),
  };
  return cmocka_run_group_tests_name("store_readers", tests, NULL, NULL);
}
