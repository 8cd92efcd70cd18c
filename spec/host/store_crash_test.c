/* store_crash_test.c - the process dies at every journal position, and the disk fails: what was
 * acknowledged is there, what is there is whole, and a writer that acknowledges too early is caught by
 * the same check. */
#include "store_helper.h"

#include <fcntl.h>
#include <signal.h>

#define ENTRIES 40
#define AT_ONCE 3 /* clients' worth of entries a commit */

/* In a child: runs that are parked, woken by a newer owner, ended and forgotten, one operation a
 * commit. Reported is the number of entries that were acknowledged. */
static void work_and_forget(const char *folder, int report) {
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char run[16];
  uint64_t acknowledged = 0;
  for (uint32_t i = 0; acknowledged < ENTRIES; i++) {
    static const char *const statuses[] = { "running", "waiting", "finished" };
    snprintf(run, sizeof run, "r_%u", i / 3);
    outcome done = append(client, run, i % 3 + 1, "entry", statuses[i % 3], i % 3 > 0);
    if (done.status != WEIR_OK || done.result != i % 3 + 1) _exit(1);
    acknowledged++;
    if (write(report, &acknowledged, sizeof acknowledged) != sizeof acknowledged) _exit(2);
    if (i % 6 == 5) forget_run(client, run);
  }
  weir_client_free(client);
  weir_store_release(store);
  _exit(0);
}

/* In a child: append, and tell the parent about each acknowledgement as soon as it is known. */
static void work(const char *folder, int report) {
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  uint64_t start = take_run(client, "r", 1).result;
  for (uint64_t n = start; n < ENTRIES;) {
    for (int i = 0; i < AT_ONCE && n < ENTRIES; i++, n++)
      build_entry(client, "r", 1, "entry", 5,
                  n % 10 == 0        ? "running"
                  : n + 1 == ENTRIES ? "finished"
                                     : NULL,
                  n + 1 == ENTRIES);
    outcome last = finish(client, false);
    if (last.status != WEIR_OK) _exit(1);
    if (write(report, &last.result, sizeof last.result) != sizeof last.result) _exit(2);
  }
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  _exit(0);
}

/* Run `work` with a failpoint; *acknowledged is the last n that it reported. True if it was killed. */
static bool crash_in(void (*job)(const char *folder, int report), const char *folder,
                     const char *failpoint, uint64_t *acknowledged) {
  int ends[2], status;
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
    close(ends[0]);
    setenv("WEIR_FAILPOINT", failpoint, 1);
    job(folder, ends[1]);
  }
  close(ends[1]);
  uint64_t n;
  while (read(ends[0], &n, sizeof n) == sizeof n) *acknowledged = n;
  close(ends[0]);
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
  return WIFSIGNALED(status);
}

static bool crash(const char *folder, const char *failpoint, uint64_t *acknowledged) {
  return crash_in(work, folder, failpoint, acknowledged);
}

/* How many entries are there, gap-free; verify finds nothing. */
static uint64_t recovered(const char *folder) {
  uint64_t counts[WEIR_TABLES];
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  weir_status status = weir_store_entries(client, text("r"), 0, 1000, &result);
  assert_true(status == WEIR_OK || status == WEIR_NOT_FOUND);
  uint32_t count = weir_result_count(&result);
  for (uint32_t i = 0; i < count; i++) assert_int_equal(weir_result_at(&result, i).number, i + 1);
  assert_int_equal(weir_store_verify(client, counts, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 0);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  return count;
}

/* Crash at every position; how many acknowledged entries were lost in all? */
static uint64_t lost_at(const char *name) {
  uint64_t lost = 0;
  char failpoint[64];
  for (int position = 1; position <= ENTRIES; position++) {
    char *folder = new_folder();
    uint64_t acknowledged = 0;
    snprintf(failpoint, sizeof failpoint, "%s:%d", name, position);
    assert_true(crash(folder, failpoint, &acknowledged));
    uint64_t there = recovered(folder);
    lost += acknowledged > there ? acknowledged - there : 0;
    assert_false(crash(folder, "none:0", &acknowledged)); /* started again it comes to its end */
    assert_int_equal(recovered(folder), ENTRIES);
    remove_folder(folder);
  }
  return lost;
}

static void nothing_acknowledged_is_lost_wherever_it_dies(void **state) {
  (void)state;
  assert_int_equal(lost_at("writer_taken"), 0);
  assert_int_equal(lost_at("before_commit"), 0);
  assert_int_equal(lost_at("after_commit"), 0);
  assert_int_equal(lost_at("after_ack_queued"), 0);
}

static void a_writer_that_acknowledges_before_the_commit_is_caught(void **state) {
  (void)state;
  setenv("WEIR_DEFECT", "ack_before_commit", 1);
  uint64_t lost = lost_at("before_commit");
  unsetenv("WEIR_DEFECT");
  assert_true(lost > 0);
}

/* What the acknowledged operations left: each run is as its owner was told, or, for the operation under
 * way, as it would have been told. */
static void check_left(const char *folder, uint64_t acknowledged) {
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  char run[16];
  must_verify(client, NULL);
  for (uint64_t i = 0; i < acknowledged; i += 3) {
    uint64_t left = acknowledged - i < 3 ? acknowledged - i : 3;
    snprintf(run, sizeof run, "r_%d", (int)(i / 3));
    weir_status status = weir_store_entries(client, text(run), 0, 10, &result);
    if (i / 3 % 2 == 1 && status == WEIR_NOT_FOUND) continue; /* forgotten */
    assert_int_equal(status, WEIR_OK);
    assert_in_range(weir_result_count(&result), left, left + 1);
    assert_true(i / 3 % 2 == 0 || i + 3 >= acknowledged - 1); /* or not yet */
    assert_int_equal(append(client, run, (uint32_t)left - 1, "zombie", NULL, false).status,
                     WEIR_CONFLICT);
  }
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
}

static void parked_and_forgotten_runs_outlive_a_crash_as_such(void **state) {
  (void)state;
  static const char *const names[] = { "writer_taken", "before_commit", "after_commit" };
  char failpoint[64];
  for (int position = 1; position <= ENTRIES; position++) {
    char *folder = new_folder();
    uint64_t acknowledged = 0;
    snprintf(failpoint, sizeof failpoint, "%s:%d", names[position % 3], position);
    assert_true(crash_in(work_and_forget, folder, failpoint, &acknowledged));
    assert_int_equal(acknowledged, position - 1);
    check_left(folder, acknowledged);
    remove_folder(folder);
  }
}

/* An owner that is killed while a child of it has not yet executed its program: the child, which still
 * shares the owner's lock, lives on for so many milliseconds. */
static void leave_orphan(const char *folder, int milliseconds) {
  int ends[2];
  char byte;
  assert_int_equal(pipe(ends), 0);
  pid_t owner = fork();
  if (owner == 0) {
    must_open(folder, NULL);
    if (fork() == 0) {
      if (write(ends[1], "x", 1) != 1) _exit(1);
      usleep((useconds_t)milliseconds * 1000);
      _exit(0);
    }
    pause();
  }
  assert_int_equal(read(ends[0], &byte, 1), 1);
  kill(owner, SIGKILL);
  waitpid(owner, NULL, 0);
  close(ends[0]);
  close(ends[1]);
}

static void the_lock_of_a_dead_owner_is_waited_for(void **state) {
  (void)state;
  char *folder = new_folder(), message[WEIR_MESSAGE_MAX];
  weir_store *store;
  leave_orphan(folder, 60);
  assert_int_equal(weir_store_open(folder, NULL, &store, message), WEIR_OK);
  weir_store_release(store);
  remove_folder(folder);
}

/* Make every later write to the environment fail, as a broken disk does. */
static void break_disk(void) {
  char path[64], target[512];
  for (int descriptor = 3; descriptor < 64; descriptor++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size <= 0) continue;
    target[size] = '\0';
    if (strstr(target, "data.mdb") == NULL) continue;
    int useless = open("/dev/null", O_RDONLY | O_CLOEXEC); /* writing gives EBADF */
    assert_true(dup2(useless, descriptor) == descriptor);
    close(useless);
  }
}

static void a_failed_write_ends_the_store_for_good(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_result result = { 0 };
  assert_int_equal(append(client, "r", 1, "kept", "running", false).status, WEIR_OK);
  assert_null(weir_store_failure(store));
  break_disk();
  outcome failed = append(client, "r", 1, "unknown", NULL, false);
  assert_int_equal(failed.status, WEIR_UNAVAILABLE);
  assert_non_null(strstr(failed.message, "outcome unknown"));
  assert_non_null(weir_store_failure(store));
  assert_int_equal(append(client, "r", 1, "later", NULL, false).status, WEIR_UNAVAILABLE);
  assert_int_equal(weir_store_entries(client, text("r"), 0, 9, &result), WEIR_UNAVAILABLE);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  assert_int_equal(recovered(folder), 1);
  remove_folder(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#ifdef WEIR_TEST
    cmocka_unit_test(nothing_acknowledged_is_lost_wherever_it_dies),
    cmocka_unit_test(parked_and_forgotten_runs_outlive_a_crash_as_such),
    cmocka_unit_test(a_writer_that_acknowledges_before_the_commit_is_caught),
#endif
    cmocka_unit_test(a_failed_write_ends_the_store_for_good),
    cmocka_unit_test(the_lock_of_a_dead_owner_is_waited_for),
  };
#ifndef WEIR_TEST
  print_message("skipped: this build has no fault points (WEIR_FAULTS=OFF)\n");
  (void)nothing_acknowledged_is_lost_wherever_it_dies;
  (void)parked_and_forgotten_runs_outlive_a_crash_as_such;
  (void)a_writer_that_acknowledges_before_the_commit_is_caught;
#endif
  return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
