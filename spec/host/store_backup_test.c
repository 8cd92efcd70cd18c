/* store_backup_test.c - a copy of a store in use is a store: whole, of one moment, and there only once
 * it is both. */
#include "store_helper.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static weir_job *backup_to(const char *path, double timeout_s) {
  weir_job *job = weir_job_new(WEIR_JOB_BACKUP);
  job->path = strdup(path);
  job->timeout_ns = (int64_t)(timeout_s * 1e9);
  return job;
}

static weir_status backup(weir_client *client, const char *path, double timeout_s,
                          char message[WEIR_MESSAGE_MAX]) {
  weir_job *job = backup_to(path, timeout_s);
  assert_true(weir_job_start(client, job));
  return finish_job(client, job, NULL, message);
}

static int files_in(const char *folder) {
  int count = 0;
  DIR *dir = opendir(folder);
  for (const struct dirent *each; (each = readdir(dir)) != NULL;) count += each->d_name[0] != '.';
  closedir(dir);
  return count;
}

/* Some of everything, in segments and in the log. */
static void fill_store(weir_client *client, int runs) {
  char run[16], *large = malloc(20001);
  memset(large, 'x', 20000);
  large[20000] = '\0';
  for (int i = 0; i < runs; i++) {
    snprintf(run, sizeof run, "r_%d", i);
    snprintf(large, 8, "%d", i);
    build_entry(client, run, 3, "start", 5, "running", false);
    build_entry(client, run, 3, large, 20000, i % 2 == 0 ? "finished" : NULL, i % 2 == 0);
    build_put(client, "s", text(run), large, 0);
    if (i % 50 == 49) assert_int_equal(finish(client, false).status, WEIR_OK);
  }
  if (runs % 50 != 0) assert_int_equal(finish(client, false).status, WEIR_OK);
  free(large);
}

static void a_copy_opens_as_a_store_and_goes_on(void **state) {
  (void)state;
  char *folder = new_folder(), path[512], message[WEIR_MESSAGE_MAX];
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  uint64_t counts[WEIR_TABLES], copied[WEIR_TABLES];
  fill_store(client, 100);
  must_verify(client, counts);
  snprintf(path, sizeof path, "%s/copy/", folder);
  if (backup(client, path, 60, message) != WEIR_OK) fail_msg("%s", message);
  assert_int_equal(backup(client, path, 60, message), WEIR_CONFLICT);
  assert_non_null(strstr(message, "name a folder that does not exist yet"));
  uint64_t lsn = weir_store_lsn(store);
  append(client, "r_1", 3, "after the copy", NULL, false);
  path[strlen(path) - 1] = '\0';
  weir_store *copy = must_open(path, NULL);
  weir_client *other = weir_client_new(copy, helper_wake, NULL);
  must_verify(other, copied);
  assert_memory_equal(counts, copied, sizeof counts);
  assert_int_equal(weir_store_lsn(copy), lsn);
  assert_int_equal(take_run(other, "r_1", 2).status, WEIR_CONFLICT);
  assert_int_equal(append(other, "r_1", 3, "another way", NULL, false).result, 3);
  weir_client_free(other);
  weir_store_release(copy);
  copy = must_open(path, NULL); /* its own commits agree with the seal */
  other = weir_client_new(copy, helper_wake, NULL);
  must_verify(other, NULL);
  weir_client_free(other);
  weir_store_release(copy);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(strdup(path));
  remove_folder(folder);
}

static void a_copy_of_an_empty_store_is_one(void **state) {
  (void)state;
  char *folder = new_folder(), path[512], message[WEIR_MESSAGE_MAX];
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  snprintf(path, sizeof path, "%s/copy", folder);
  if (backup(client, path, 60, message) != WEIR_OK) fail_msg("%s", message);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(path, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(append(client, "r", 1, "first", "running", false).result, 1);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(strdup(path));
  remove_folder(folder);
}

static void a_copy_that_cannot_be_made_leaves_nothing(void **state) {
  (void)state;
  char *folder = new_folder(), path[512], message[WEIR_MESSAGE_MAX];
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  fill_store(client, 100);
  snprintf(path, sizeof path, "%s/nowhere/copy", folder);
  assert_int_equal(backup(client, path, 60, message), WEIR_NOT_FOUND);
  assert_non_null(strstr(message, path));
  assert_int_equal(backup(client, folder, 60, message), WEIR_CONFLICT);
  snprintf(path, sizeof path, "%s/copy", folder);
  assert_int_equal(backup(client, path, 0, message), WEIR_TIMEOUT);
  assert_int_equal(files_in(folder), 0);
  weir_job *job = backup_to(path, 60);
  job->delay_ns = 5000000;
  assert_true(weir_job_start(client, job));
  weir_job_stop(job);
  assert_int_equal(finish_job(client, job, NULL, message), WEIR_CANCELLED);
  assert_int_equal(files_in(folder), 0);
  if (backup(client, path, 60, message) != WEIR_OK) fail_msg("%s", message); /* also of one in memory */
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(path, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(strdup(path));
  remove_folder(folder);
}

/* A slow copy is a reader of one state; commits neither wait for it nor show in it, and one that needs
 * a larger map ends it. */
static void commits_go_on_beside_a_copy(void **state) {
  (void)state;
  char *folder = new_folder(), path[512], message[WEIR_MESSAGE_MAX];
  weir_store_options options = { .map_bytes = 8 << 20 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  fill_store(client, 200); /* more than what LMDB and the pipe hold on their way */
  uint64_t counts[WEIR_TABLES], copied[WEIR_TABLES];
  must_verify(client, counts);
  snprintf(path, sizeof path, "%s/copy", folder);
  weir_job *job = backup_to(path, 60);
  job->delay_ns = 100000000;
  assert_true(weir_job_start(client, job));
  weir_client *other = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(append(other, "r_new", 1, "beside it", NULL, false).status, WEIR_OK);
  assert_null(weir_client_jobs(client)); /* it is not done yet */
  if (finish_job(client, job, NULL, message) != WEIR_OK) fail_msg("%s", message);
  weir_store *copy = must_open(path, NULL);
  weir_client *reader = weir_client_new(copy, helper_wake, NULL);
  must_verify(reader, copied);
  assert_true(copied[WEIR_LOG] == counts[WEIR_LOG] || copied[WEIR_LOG] == counts[WEIR_LOG] + 1);
  weir_client_free(reader);
  weir_store_release(copy);
  remove_folder(strdup(path));
  job = backup_to(path, 60);
  job->delay_ns = 150000000;
  assert_true(weir_job_start(client, job));
  char *value = calloc(1, 1000001);
  memset(value, 'v', 1000000);
  for (int i = 0; i < 100; i++)
    assert_int_equal(put(other, "s", "large", value, WEIR_ANY_VERSION).status, WEIR_OK);
  assert_int_equal(finish_job(client, job, NULL, message), WEIR_UNAVAILABLE);
  assert_non_null(strstr(message, "had to grow"));
  assert_int_equal(files_in(folder), 0);
  free(value);
  must_verify(other, NULL);
  weir_client_free(other);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void a_full_disk_refuses_the_copy_alone(void **state) {
  (void)state;
  char *folder = new_folder(), path[512], message[WEIR_MESSAGE_MAX];
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("tmpfs", folder, "tmpfs", 0, "size=1m,mode=0700") != 0) {
    print_message("skipped: mounting a small tmpfs is not allowed here\n");
    rmdir(folder);
    free(folder);
    skip();
    return;
  }
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  fill_store(client, 100);
  snprintf(path, sizeof path, "%s/copy", folder);
  assert_int_equal(backup(client, path, 60, message), WEIR_FULL);
  assert_non_null(strstr(message, "free some space"));
  assert_int_equal(files_in(folder), 0);
  assert_int_equal(append(client, "r_1", 3, "goes on", NULL, false).status, WEIR_OK);
  weir_client_free(client);
  weir_store_release(store);
  umount(folder);
  rmdir(folder);
  free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_copy_opens_as_a_store_and_goes_on),
    cmocka_unit_test(a_copy_of_an_empty_store_is_one),
    cmocka_unit_test(a_copy_that_cannot_be_made_leaves_nothing),
    cmocka_unit_test(commits_go_on_beside_a_copy),
    cmocka_unit_test(a_full_disk_refuses_the_copy_alone),
  };
  return cmocka_run_group_tests_name("store_backup", tests, NULL, NULL);
}
