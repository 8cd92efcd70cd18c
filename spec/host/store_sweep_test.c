/* store_sweep_test.c - what nobody refers to goes, what anybody refers to stays, whenever he began to.
 */
#include "store_helper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define HOUR_MS 3600000u

typedef struct {
  uint64_t looked, removed, bytes, done;
} swept;

static weir_status sweep_at(weir_client *client, uint64_t now_ms, uint64_t young_ms, uint32_t budget,
                            swept *counts) {
  char message[WEIR_MESSAGE_MAX];
  uint64_t result[WEIR_JOB_RESULTS];
  weir_job *job = weir_job_new(WEIR_JOB_SWEEP);
  job->now_ms = now_ms;
  job->young_ms = young_ms;
  job->budget = budget;
  assert_true(weir_job_start(client, job));
  weir_status status = finish_job(client, job, result, message);
  *counts = (swept){ result[0], result[1], result[2], result[3] };
  if (status != WEIR_OK && status != WEIR_CORRUPT) fail_msg("%s", message);
  return status;
}

/* One of all that are old enough. */
static swept sweep(weir_client *client) {
  swept counts;
  assert_int_equal(sweep_at(client, 10 * HOUR_MS, HOUR_MS, 100000, &counts), WEIR_OK);
  assert_int_equal(counts.done, 1);
  return counts;
}

static void put_blob_at(weir_client *client, const char *content, uint64_t now_ms, char hex[65]) {
  uint8_t hash[WEIR_HASH_SIZE];
  weir_hash(text(content), hash);
  for (size_t i = 0; i < sizeof hash; i++) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_BLOB;
  op->key = add(batch, (weir_slice){ hash, sizeof hash });
  op->value = add(batch, text(content));
  weir_batch_request(batch, first, client);
  weir_client_submit(whose_turn(client), now_ms);
  finish(client, false);
}

static bool is_there(weir_client *client, const char *content) {
  uint8_t hash[WEIR_HASH_SIZE];
  weir_result result = { 0 };
  weir_hash(text(content), hash);
  weir_status status = weir_store_blob(client, hash, &result);
  weir_result_free(&result);
  return status == WEIR_OK;
}

static outcome append_large(weir_client *client, const char *run, char letter, const char *status,
                            bool end) {
  char large[3001];
  memset(large, letter, 3000);
  large[3000] = '\0';
  return append(client, run, 1, large, status, end);
}

static uint64_t blobs(weir_client *client) {
  uint64_t counts[WEIR_TABLES];
  must_verify(client, counts);
  return counts[WEIR_BLOBS];
}

static void what_nobody_refers_to_goes(void **state) {
  (void)state;
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char value[65], within[65], key[65], row[65], longer[66], none[65], framed[100];
  append_large(client, "r_log", 'a', "running", false); /* in the log */
  append_large(client, "r_end", 'b', "finished", true); /* in a segment */
  put_blob_at(client, "of a value", 1, value);
  put_blob_at(client, "within a value", 1, within);
  put_blob_at(client, "of a key", 1, key);
  put_blob_at(client, "of a row", 1, row);
  put_blob_at(client, "in more digits", 1, longer);
  put_blob_at(client, "of nobody", 1, none);
  put(client, "s", "value", value, 0);
  snprintf(framed, sizeof framed, "blob:%s, and so on", within);
  put(client, "s", "within", framed, 0);
  put(client, "s", key, "key", 0);
  longer[64] = '0';
  longer[65] = '\0';
  put(client, "s", "longer", longer, 0);
  put_row(client, "r_log", 1, row, false); /* its status is a text of the row, if a long one */
  assert_int_equal(blobs(client), 8);
  swept counts = sweep(client);
  assert_int_equal(counts.looked, 8);
  assert_int_equal(counts.removed, 2);
  assert_true(counts.bytes > strlen("of nobody"
                                    "in more digits"));
  assert_int_equal(blobs(client), 6);
  assert_false(is_there(client, "of nobody"));
  assert_false(is_there(client, "in more digits"));
  put(client, "s", "value", NULL, WEIR_ANY_VERSION);
  assert_int_equal(sweep(client).removed, 1);
  assert_false(is_there(client, "of a value"));
  assert_int_equal(sweep(client).removed, 0);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(blobs(client), 5);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void young_ones_are_spared_and_so_are_those_put_again(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char hex[65];
  swept counts;
  put_blob_at(client, "old", 1, hex);
  put_blob_at(client, "again", 1, hex);
  put_blob_at(client, "young", 9 * HOUR_MS + 1, hex);
  put_blob_at(client, "again", 9 * HOUR_MS + 1, hex);
  assert_int_equal(sweep_at(client, HOUR_MS / 2, HOUR_MS, 100, &counts),
                   WEIR_OK); /* before the first hour */
  assert_int_equal(counts.removed, 0);
  assert_int_equal(sweep(client).removed, 1);
  assert_false(is_there(client, "old"));
  assert_true(is_there(client, "again"));
  assert_true(is_there(client, "young"));
  assert_int_equal(sweep_at(client, 10 * HOUR_MS, 0, 100, &counts), WEIR_OK);
  assert_int_equal(counts.removed, 2);
  assert_int_equal(blobs(client), 0);
  weir_client_free(client);
  weir_store_release(store);
}

static void it_goes_on_where_it_left_off(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char hex[65], content[16];
  swept counts;
  for (int i = 0; i < 300; i++) {
    snprintf(content, sizeof content, "blob %d", i);
    put_blob_at(client, content, 1, hex);
    if (i % 3 == 0) put(client, "s", content, hex, 0);
  }
  uint64_t removed = 0, turns = 0;
  do {
    assert_int_equal(sweep_at(client, 10 * HOUR_MS, HOUR_MS, 70, &counts), WEIR_OK);
    assert_true(counts.looked <= 70);
    removed += counts.removed;
    turns++;
  } while (!counts.done);
  assert_int_equal(removed, 200);
  assert_int_equal(turns, 5);
  assert_int_equal(blobs(client), 100);
  weir_client_free(client);
  weir_store_release(store);
}

static void what_is_referred_to_meanwhile_stays(void **state) {
  (void)state;
  weir_store_options options = { .sync_delay_ns = 200000000 };
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char value[65], key[65], again[65];
  put_blob_at(client, "referred to late", 1, value);
  put_blob_at(client, "a key late", 1, key);
  put_blob_at(client, "put again late", 1, again);
  put_blob_at(client, "of nobody", 1, again);
  append_large(client, "r", 'a', "finished", true);
  assert_int_equal(forget_run(client, "r").status, WEIR_OK); /* whose blob a new entry has */
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, &options); /* a slow disk from now on */
  client = weir_client_new(store, helper_wake, NULL);
  weir_client *other = weir_client_new(store, helper_wake, NULL);
  weir_job *job = weir_job_new(WEIR_JOB_SWEEP);
  uint64_t result[WEIR_JOB_RESULTS];
  job->now_ms = 10 * HOUR_MS;
  job->budget = 100;
  assert_true(weir_job_start(client, job));
  nanosleep(&(struct timespec){ 0, 20000000 },
            NULL); /* it waits for the writer, and has made its list */
  build_put(other, "s", text("late"), value, 0);
  build_put(other, "s", text(key), "late", 0);
  char large[3001];
  memset(large, 'a', 3000);
  build_entry(other, "r_new", 1, large, 3000, "running", false);
  weir_batch *batch = weir_client_batch(other);
  uint32_t first = batch->ops;
  uint8_t hash[WEIR_HASH_SIZE];
  weir_hash(text("put again late"), hash);
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_BLOB;
  op->key = add(batch, (weir_slice){ hash, sizeof hash });
  op->value = add(batch, text("put again late"));
  weir_batch_request(batch, first, other);
  assert_int_equal(finish(other, false).status, WEIR_OK);
  assert_int_equal(finish_job(client, job, result, NULL), WEIR_OK);
  assert_int_equal(result[1], 1);
  assert_int_equal(blobs(client), 4);
  weir_client_free(other);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

typedef struct {
  weir_store *store;
  atomic_bool *done;
} churner;

/* Runs come with large elements, the same for a while, are parked, folded, end and are forgotten. */
static void *churn(void *argument) {
  churner *c = argument;
  weir_client *client = weir_client_new(c->store, helper_wake, NULL);
  char run[16], large[3000];
  for (int i = 0; i < 1500; i++) {
    snprintf(run, sizeof run, "r_%d", i % 41);
    memset(large, 'a' + i / 60, sizeof large);
    build_entry(client, run, 1, large, sizeof large, i % 5 == 4 ? "finished" : "running", i % 5 != 0);
    if (i % 5 == 4) build_forget(client, run);
    if (i % 10 == 9) finish(client, false);
  }
  finish(client, false);
  weir_client_free(client);
  atomic_store(c->done, true);
  return NULL;
}

static void nothing_that_moves_is_lost(void **state) {
  (void)state;
  weir_store_options options = { .log_entries = 20, .sync_delay_ns = 200000 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  atomic_bool done = false;
  churner c = { store, &done };
  pthread_t thread;
  swept counts;
  uint64_t sweeps = 0, removed = 0;
  assert_int_equal(pthread_create(&thread, NULL, churn, &c), 0);
  for (; !atomic_load(&done); sweeps++) {
    assert_int_equal(sweep_at(client, HOUR_MS, 0, 100, &counts), WEIR_OK);
    removed += counts.removed;
    assert_true(blobs(client) <= 25);
  }
  pthread_join(thread, NULL);
  assert_true(sweeps > 3);
  assert_true(removed > 0);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
}

#define MOVED 4000

/* Each commit folds some runs that hold back a log that is too large, and cuts them off. */
static void *commit_some(void *argument) {
  churner *c = argument;
  weir_client *client = weir_client_new(c->store, helper_wake, NULL);
  for (int i = 0; i < 100; i++) put(client, "s", "k", "v", WEIR_ANY_VERSION);
  weir_client_free(client);
  atomic_store(c->done, true);
  return NULL;
}

/* Entries that a sweep has not met in the log are by then in segments that it has read. */
static void what_is_folded_meanwhile_stays(void **state) {
  (void)state;
  weir_store_options options = { .log_entries = 100, .sync_delay_ns = 200000 };
  weir_store *store = must_open(":memory:", &options);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  atomic_bool done = false;
  churner c = { store, &done };
  pthread_t thread;
  swept counts;
  char run[16], large[3000] = "";
  for (int i = 0; i < MOVED; i++) {
    snprintf(run, sizeof run, "r_%d", i);
    snprintf(large, 16, "%d", i);
    build_entry(client, run, 1, large, sizeof large, "running", false);
  }
  assert_int_equal(finish(client, false).status, WEIR_OK);
  assert_int_equal(pthread_create(&thread, NULL, commit_some, &c), 0);
  while (!atomic_load(&done)) {
    assert_int_equal(sweep_at(client, HOUR_MS, 0, 10000, &counts), WEIR_OK);
    assert_int_equal(counts.removed, 0);
  }
  pthread_join(thread, NULL);
  assert_int_equal(blobs(client), MOVED);
  weir_client_free(client);
  weir_store_release(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_nobody_refers_to_goes),
    cmocka_unit_test(young_ones_are_spared_and_so_are_those_put_again),
    cmocka_unit_test(it_goes_on_where_it_left_off),
    cmocka_unit_test(what_is_referred_to_meanwhile_stays),
    cmocka_unit_test(nothing_that_moves_is_lost),
    cmocka_unit_test(what_is_folded_meanwhile_stays),
  };
  return cmocka_run_group_tests_name("store_sweep", tests, NULL, NULL);
}
