/* store_full_test.c - the disk is full: requests are refused, nothing acknowledged is lost, and the
 * store goes on.
 *
 * Needs a small file system of its own: a tmpfs in a mount namespace, which root may make. Elsewhere it
 * is skipped and says so. */
#include "store_helper.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char *mount_small(const char *size) {
  char *folder = new_folder(), options[64];
  snprintf(options, sizeof options, "size=%s,mode=0700", size);
  if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
      mount("tmpfs", folder, "tmpfs", 0, options) == 0)
    return folder;
  print_message("skipped: mounting a small tmpfs is not allowed here\n");
  rmdir(folder);
  free(folder);
  skip();
  return NULL;
}

static void unmount_small(char *folder) {
  umount(folder);
  rmdir(folder);
  free(folder);
}

/* Take all space that is left but `spare` bytes; returns the file's path. */
static char *fill(const char *folder, size_t spare) {
  char path[512], block[4096] = { 0 };
  snprintf(path, sizeof path, "%s/ballast", folder);
  int file = open(path, O_WRONLY | O_CREAT, 0600);
  off_t size = 0;
  for (ssize_t wrote; (wrote = write(file, block, sizeof block)) > 0;) size += wrote;
  if (spare > 0) assert_int_equal(ftruncate(file, size > (off_t)spare ? size - (off_t)spare : 0), 0);
  close(file);
  return strdup(path);
}

static uint64_t append_until_full(weir_client *client, outcome *last) {
  for (uint64_t n = 0;; n++) {
    *last = append(client, "r", 1, "entry of a run that fills the disk", NULL, false);
    if (last->status != WEIR_OK) return n;
    assert_int_equal(last->result, n + 1);
    assert_true(n < 1000000);
  }
}

static void a_full_disk_refuses_and_loses_nothing(void **state) {
  (void)state;
  char *folder = mount_small("4m");
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char *ballast = fill(folder, 256 << 10);
  weir_result result = { 0 };
  outcome last;
  uint64_t kept = append_until_full(client, &last);
  assert_int_equal(last.status, WEIR_FULL);
  assert_non_null(strstr(last.message, "the disk is full"));
  assert_true(kept > 0);
  assert_int_equal(append(client, "r", 1, "again", NULL, false).status, WEIR_FULL);
  assert_int_equal(weir_store_entries(client, text("r"), 0, 1000000, &result),
                   WEIR_OK); /* reading goes on */
  assert_int_equal(weir_result_count(&result), kept);
  unlink(ballast);
  assert_int_equal(append(client, "r", 1, "room again", NULL, false).result,
                   kept + 1); /* without a gap */
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(weir_store_entries(client, text("r"), 0, 1000000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), kept + 1);
  uint64_t counts[WEIR_TABLES];
  assert_int_equal(weir_store_verify(client, counts, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 0);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  free(ballast);
  unmount_small(folder);
}

static void make_reserve(const char *folder) {
  char path[512];
  snprintf(path, sizeof path, "%s/reserve", folder);
  int file = open(path, O_WRONLY | O_CREAT, 0600);
  assert_int_equal(fallocate(file, 0, 0, 64 << 20), 0);
  close(file);
}

/* Make a large text another one of the same size. */
static void mark(char *large, int number) {
  int size = snprintf(large, 16, "%d", number);
  large[size] = 'x';
}

/* Runs are forgotten and blobs swept with the space kept back, and then there is room again. */
static void room_is_made_on_a_full_disk(void **state) {
  (void)state;
  char *folder = mount_small("72m"), run[16], *large = malloc(50001);
  make_reserve(folder);
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  outcome last = { 0 };
  int runs = 0;
  memset(large, 'x', 50000);
  large[50000] = '\0';
  for (; last.status == WEIR_OK; runs++) {
    snprintf(run, sizeof run, "r_%d", runs);
    mark(large, runs);
    last = append(client, run, 1, large, "finished", true);
  }
  assert_int_equal(last.status, WEIR_FULL);
  append_until_full(client, &last); /* nothing small fits in either */
  assert_int_equal(last.status, WEIR_FULL);
  for (int i = 0; i < runs - 1; i++) {
    snprintf(run, sizeof run, "r_%d", i);
    build_forget(client, run)->reserve = true;
    last = finish(client, false);
    if (last.status != WEIR_OK) fail_msg("%s", last.message);
  }
  weir_job *job = weir_job_new(WEIR_JOB_SWEEP);
  uint64_t result[WEIR_JOB_RESULTS];
  char message[WEIR_MESSAGE_MAX];
  job->now_ms = 1 << 20;
  job->budget = 1000;
  assert_true(weir_job_start(client, job));
  if (finish_job(client, job, result, message) != WEIR_OK) fail_msg("%s", message);
  assert_int_equal(result[1], runs - 1);
  for (int i = 0; i < runs / 2; i++) {
    snprintf(run, sizeof run, "n_%d", i);
    mark(large, runs + i);
    assert_int_equal(append(client, run, 1, large, "finished", true).status, WEIR_OK);
  }
  must_verify(client, NULL);
  free(large);
  weir_client_free(client);
  weir_store_release(store);
  unmount_small(folder);
}

static void a_run_can_still_be_ended_with_the_space_kept_back(void **state) {
  (void)state;
  char *folder = mount_small("80m"), path[512];
  struct stat info;
  make_reserve(folder);
  snprintf(path, sizeof path, "%s/reserve", folder);
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  free(fill(folder, 128 << 10));
  outcome last;
  uint64_t kept = append_until_full(client, &last);
  assert_int_equal(last.status, WEIR_FULL);
  assert_int_equal(stat(path, &info), 0); /* an ordinary request does not touch it */
  build_entry(client, "r_other", 1, "new work", 8, NULL, false);
  build_entry(client, "r", 1, "cancelled", 9, "cancelled", true)->reserve = true;
  last = finish(client, false);
  assert_int_equal(last.status, WEIR_OK);
  assert_int_equal(last.result, kept + 1);
  assert_int_not_equal(stat(path, &info), 0);
  weir_result result = { 0 };
  assert_int_equal(weir_store_entries(client, text("r_other"), 0, 9, &result), WEIR_NOT_FOUND);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  unmount_small(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_full_disk_refuses_and_loses_nothing),
    cmocka_unit_test(room_is_made_on_a_full_disk),
    cmocka_unit_test(a_run_can_still_be_ended_with_the_space_kept_back),
  };
  return cmocka_run_group_tests_name("store_full", tests, NULL, NULL);
}
