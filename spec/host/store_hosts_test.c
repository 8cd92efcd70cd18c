/* store_hosts_test.c - two hosts of one process on one store: each keeps what it was told, and they see
 * each other's work whole and in one order. Run under the thread sanitizer, too. */
#include "store_helper.h"

#include "host.h"

#include <pthread.h>
#include <stdatomic.h>

#define TURNS 120

typedef struct {
  const char *folder;
  int number;
  atomic_uint *epoch;  /* the latest one that was given out for the run that both write */
  bool inline_commits; /* as a host under a virtual clock */
  int refused, shared; /* what became of the entries of that run */
} owner;

static uint64_t read_number(weir_client *client, const char *key, uint64_t *version) {
  weir_result result = { 0 };
  weir_status status = weir_store_get(client, text("s"), text(key), &result);
  assert_true(status == WEIR_OK || status == WEIR_NOT_FOUND);
  char *value = status == WEIR_OK ? found_text(&result, 0, NULL) : NULL;
  uint64_t number = value == NULL ? 0 : strtoull(value, NULL, 10);
  *version = value == NULL ? 0 : weir_result_at(&result, 0).number;
  free(value);
  weir_result_free(&result);
  return number;
}

/* Add one to the number that both count up. */
static void count(owner *o, weir_client *client) {
  outcome done = { .status = WEIR_CONFLICT };
  while (done.status == WEIR_CONFLICT) {
    uint64_t version, number = read_number(client, "counter", &version);
    char value[24];
    snprintf(value, sizeof value, "%llu", (unsigned long long)number + 1);
    build_put(client, "s", text("counter"), value, version);
    done = finish(client, o->inline_commits);
  }
  assert_int_equal(done.status, WEIR_OK);
}

/* Two keys that change together are seen together. */
static void write_pair(owner *o, weir_client *client, int turn) {
  char value[24];
  snprintf(value, sizeof value, "%d/%d", o->number, turn);
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops, requests = batch->requests;
  build_put(client, "pair", text("left"), value, WEIR_ANY_VERSION);
  build_put(client, "pair", text("right"), value, WEIR_ANY_VERSION);
  batch->requests = requests;
  weir_batch_request(batch, first, client);
  assert_int_equal(finish(client, o->inline_commits).status, WEIR_OK);
}

static void read_pair(weir_client *client) {
  weir_scan_query query = { .space = text("pair"), .limit = 10 };
  weir_result result = { 0 };
  assert_int_equal(weir_store_scan(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 2);
  char *left = found_text(&result, 0, NULL), *right = found_text(&result, 1, NULL);
  assert_string_equal(left, right);
  free(left);
  free(right);
  weir_result_free(&result);
}

/* Take the common run over, and write to it until the other one does. */
static void fight(owner *o, weir_client *client) {
  uint32_t epoch = atomic_fetch_add(o->epoch, 1) + 1;
  char entry[24];
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_RUN;
  op->epoch = epoch;
  op->key = add(batch, text("r_both"));
  weir_batch_request(batch, first, client);
  if (finish(client, o->inline_commits).status == WEIR_CONFLICT) return; /* the other one was faster */
  snprintf(entry, sizeof entry, "%u", epoch);
  for (int i = 0; i < 3; i++) {
    build_entry(client, "r_both", epoch, entry, strlen(entry), i == 0 ? "running" : NULL, i == 2);
    outcome done = finish(client, o->inline_commits);
    assert_true(done.status == WEIR_OK || done.status == WEIR_CONFLICT);
    if (done.status == WEIR_CONFLICT) {
      o->refused++;
      assert_non_null(strstr(done.message, "is over"));
      return;
    }
    o->shared++;
  }
}

/* Its own run: notes that nobody waits for, entries, parkings. */
static void write_own(owner *o, weir_client *client, uint64_t turn) {
  char run[16];
  snprintf(run, sizeof run, "r_%d", o->number);
  build_entry(client, run, 1, "note", 4, NULL, false)->owner = NULL;
  build_entry(client, run, 1, "entry", 5, turn % 10 == 0 ? "waiting" : NULL, turn % 10 == 0);
  assert_int_equal(finish(client, o->inline_commits).result, 2 * turn);
  weir_result result = { 0 };
  assert_int_equal(weir_store_entries(client, text(run), 0, 1000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 2 * turn);
  weir_result_free(&result);
}

/* What the other one appended is a journal whenever it is read. */
static void read_other(owner *o, weir_client *client) {
  char run[16];
  weir_result result = { 0 };
  snprintf(run, sizeof run, "r_%d", 1 - o->number);
  weir_status status = weir_store_entries(client, text(run), 0, 1000, &result);
  if (status != WEIR_OK && status != WEIR_NOT_FOUND) fail_msg("%s", result.message);
  for (uint32_t i = 0; i < weir_result_count(&result); i++)
    assert_true(found_is(&result, i, i % 2 == 0 ? "note" : "entry"));
  weir_result_free(&result);
}

static void *live(void *argument) {
  owner *o = argument;
  weir_store *store = must_open(o->folder, NULL); /* each host opens it for itself */
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  for (uint64_t turn = 1; turn <= TURNS; turn++) {
    write_own(o, client, turn);
    count(o, client);
    write_pair(o, client, (int)turn);
    read_pair(client);
    read_other(o, client);
    fight(o, client);
  }
  weir_client_free(client);
  weir_store_release(store);
  return NULL;
}

/* Epochs in the common journal never go back, and there are as many entries as were acknowledged. */
static void check_common(weir_client *client, int acknowledged) {
  weir_result result = { 0 };
  uint64_t last = 0;
  assert_int_equal(weir_store_entries(client, text("r_both"), 0, 10000, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), acknowledged);
  for (uint32_t i = 0; i < weir_result_count(&result); i++) {
    char *entry = found_text(&result, i, NULL);
    uint64_t epoch = strtoull(entry, NULL, 10);
    assert_true(epoch >= last);
    last = epoch;
    free(entry);
  }
  weir_result_free(&result);
}

static void two_hosts_share_a_store(bool inline_commits) {
  char *folder = new_folder();
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  atomic_uint epoch = 0;
  owner o[2] = { { folder, 0, &epoch, false, 0, 0 }, { folder, 1, &epoch, inline_commits, 0, 0 } };
  pthread_t thread[2];
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, live, &o[i]), 0);
  for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
  uint64_t version;
  assert_int_equal(read_number(client, "counter", &version), 2 * TURNS);
  assert_true(o[0].shared + o[1].shared > TURNS);
  check_common(client, o[0].shared + o[1].shared);
  must_verify(client, NULL);
  weir_client_free(client);
  weir_store_release(store);
  store = must_open(folder, NULL);
  client = weir_client_new(store, helper_wake, NULL);
  check_common(client, o[0].shared + o[1].shared);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

static void hosts_share_a_writer(void **state) {
  (void)state;
  two_hosts_share_a_store(false);
}

static void a_host_that_commits_by_itself_shares_with_one_that_does_not(void **state) {
  (void)state;
  two_hosts_share_a_store(true);
}

/* The one who was taken over is refused at once, whoever commits. */
static void a_take_over_by_another_host_refuses_the_old_owner(void **state) {
  (void)state;
  weir_store *store = must_open(":memory:", NULL);
  weir_client *a = weir_client_new(store, helper_wake, NULL),
              *b = weir_client_new(store, helper_wake, NULL);
  assert_int_equal(take_run(a, "r", 1).status, WEIR_OK);
  assert_int_equal(append(a, "r", 1, "mine", "running", false).result, 1);
  assert_int_equal(take_run(b, "r", 2).result, 1);
  assert_int_equal(append(a, "r", 1, "zombie", NULL, false).status, WEIR_CONFLICT);
  assert_int_equal(put_row(a, "r", 1, "zombie", true).status, WEIR_CONFLICT);
  assert_int_equal(append(b, "r", 2, "next", NULL, false).result, 2);
  build_entry(a, "r", 1, "zombie", 6, NULL, false); /* in one batch with what is good */
  build_put(a, "s", text("k"), "v", 0);
  assert_int_equal(finish(a, true).status, WEIR_OK);
  weir_result result = { 0 };
  assert_int_equal(weir_store_entries(b, text("r"), 0, 10, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 2);
  weir_result_free(&result);
  weir_client_free(a);
  weir_client_free(b);
  weir_store_release(store);
}

typedef struct {
  char *folder;
  int status;
} whole;

/* A host from its beginning to its end, which runs a pipeline in the common store. */
static void *run_pipeline(void *argument) {
  whole *w = argument;
  char *arguments[] = { "run",    "pipelines/hello.lua", "--set", "name=Ada", "--quiet", "--store",
                        w->folder };
  weir_host_options options = { .library = ".", .natives = "." };
  for (int i = 0; i < 5 && w->status == 0; i++) {
    weir_host *host = weir_host_new(&options);
    assert_non_null(host);
    w->status = weir_host_run(host, sizeof arguments / sizeof arguments[0], arguments);
    weir_host_free(host);
  }
  return NULL;
}

static void whole_hosts_run_pipelines_side_by_side(void **state) {
  (void)state;
  char *folder = new_folder();
  whole w[2] = { { folder, 0 }, { folder, 0 } };
  pthread_t thread[2];
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, run_pipeline, &w[i]), 0);
  for (int i = 0; i < 2; i++) {
    pthread_join(thread[i], NULL);
    assert_int_equal(w[i].status, 0);
  }
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  weir_run_query query = { .status = text("finished"), .limit = 100 };
  weir_result result = { 0 };
  assert_int_equal(weir_store_runs(client, &query, &result), WEIR_OK);
  assert_int_equal(weir_result_count(&result), 10);
  must_verify(client, NULL);
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  remove_folder(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(hosts_share_a_writer),
    cmocka_unit_test(a_host_that_commits_by_itself_shares_with_one_that_does_not),
    cmocka_unit_test(whole_hosts_run_pipelines_side_by_side),
    cmocka_unit_test(a_take_over_by_another_host_refuses_the_old_owner),
  };
  return cmocka_run_group_tests_name("store_hosts", tests, NULL, NULL);
}
