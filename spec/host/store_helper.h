/* store_helper.h - a client without a host, for specs of the store in C: it submits, waits, and hands
 * back the outcome. */
#ifndef WEIR_STORE_HELPER_H
#define WEIR_STORE_HELPER_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"
#include "store_job.h"

static inline void helper_wake(void *context) {
  (void)context;
}

static inline weir_slice text(const char *bytes) {
  return (weir_slice){ (const uint8_t *)bytes, strlen(bytes) };
}

static inline weir_span add(weir_batch *batch, weir_slice slice) {
  return weir_batch_bytes(batch, slice.bytes, slice.size);
}

/* Compiled with TWO_HOSTS, a client of a spec stands for two hosts on the store that take turns: each request
 * goes through the other one than the request before it. What a spec reads it reads as the first. */
#ifdef TWO_HOSTS
static _Thread_local weir_client *hosts[16][2];
static _Thread_local bool is_seconds_turn;

static inline weir_client *two_hosts_new(weir_store *store, void (*wake)(void *), void *context) {
  size_t i = 0;
  while (hosts[i][0] != NULL) assert_true(++i < 16);
  hosts[i][1] = weir_client_new(store, wake, context);
  return hosts[i][0] = weir_client_new(store, wake, context);
}

static inline void two_hosts_free(weir_client *client) {
  for (size_t i = 0; i < 16; i++) {
    if (hosts[i][0] != client) continue;
    weir_client_free(hosts[i][1]);
    hosts[i][0] = hosts[i][1] = NULL;
  }
  weir_client_free(client);
}

static inline weir_client *whose_turn(weir_client *client) {
  for (size_t i = 0; i < 16; i++)
    if (hosts[i][0] == client) return hosts[i][is_seconds_turn];
  return client;
}

static inline void next_turn(void) {
  is_seconds_turn = !is_seconds_turn;
}
#define weir_client_new two_hosts_new
#define weir_client_free two_hosts_free
#else
static inline weir_client *whose_turn(weir_client *client) {
  return client;
}

static inline void next_turn(void) {
}
#endif

/* What the next request is built in. */
static inline weir_batch *batch_of(weir_client *client) {
  return weir_client_batch(whose_turn(client));
}

/* What became of one request. */
typedef struct {
  weir_status status;
  uint64_t result;
  char message[WEIR_MESSAGE_MAX];
} outcome;

/* Submit what was built, wait, and return the outcome of the last request that has an owner. */
static inline outcome finish(weir_client *client, bool inline_commit) {
  outcome last = { .status = WEIR_FAILED };
  client = whose_turn(client);
  next_turn();
  if (inline_commit)
    weir_client_commit(client, 1);
  else
    weir_client_submit(client, 1);
  weir_client_wait(client);
  for (weir_batch *batch = weir_client_done(client), *next; batch != NULL; batch = next) {
    next = batch->next;
    for (uint32_t i = 0; i < batch->requests; i++) {
      weir_request *request = &batch->request[i];
      if (request->owner == NULL) continue;
      last.status = request->status;
      last.result = request->ops > 0 ? batch->op[request->first_op + request->ops - 1].result : 0;
      snprintf(last.message, sizeof last.message, "%s",
               request->message != NULL ? request->message : "");
    }
    weir_client_recycle(client, batch);
  }
  return last;
}

/* An entry of one text, as a MessagePack list. */
static inline void pack_entry(weir_buffer *out, const char *bytes, size_t size) {
  weir_buffer_clear(out);
  weir_pack_array(out, 1);
  weir_pack_text(out, bytes, size);
}

static inline void pack_row(weir_buffer *out, const char *status) {
  weir_buffer_clear(out);
  weir_pack_map(out, 1);
  weir_pack_text(out, "status", 6);
  weir_pack_text(out, status, strlen(status));
}

/* Add a request that appends one entry; row may be NULL. */
static inline weir_request *build_entry(weir_client *client, const char *run, uint32_t epoch,
                                        const char *bytes, size_t size, const char *status,
                                        bool ended) {
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_buffer buffer = { 0 };
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_ENTRY;
  op->epoch = epoch;
  op->release = ended;
  op->key = add(batch, text(run));
  pack_entry(&buffer, bytes, size);
  op->value = add(batch, (weir_slice){ buffer.bytes, buffer.size });
  if (status != NULL) {
    pack_row(&buffer, status);
    op->row = add(batch, (weir_slice){ buffer.bytes, buffer.size });
    op->status = add(batch, text(status));
  }
  weir_buffer_free(&buffer);
  return weir_batch_request(batch, first, client);
}

/* Add a request that replaces a run's row. */
static inline void build_row(weir_client *client, const char *run, uint32_t epoch, const char *status,
                             bool parked) {
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_buffer buffer = { 0 };
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_ROW;
  op->epoch = epoch;
  op->release = parked;
  op->key = add(batch, text(run));
  pack_row(&buffer, status);
  op->row = add(batch, (weir_slice){ buffer.bytes, buffer.size });
  op->status = add(batch, text(status));
  weir_buffer_free(&buffer);
  weir_batch_request(batch, first, client);
}

static inline outcome put_row(weir_client *client, const char *run, uint32_t epoch, const char *status,
                              bool parked) {
  build_row(client, run, epoch, status, parked);
  return finish(client, false);
}

static inline outcome append(weir_client *client, const char *run, uint32_t epoch, const char *bytes,
                             const char *status, bool ended) {
  build_entry(client, run, epoch, bytes, strlen(bytes), status, ended);
  return finish(client, false);
}

static inline outcome take_run(weir_client *client, const char *run, uint32_t epoch) {
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_RUN;
  op->epoch = epoch;
  op->key = add(batch, text(run));
  weir_batch_request(batch, first, client);
  return finish(client, false);
}

static inline void build_put(weir_client *client, const char *space, weir_slice key, const char *value,
                             uint64_t expected) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  bool is_cut;
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_buffer buffer = { 0 };
  weir_op *op = weir_batch_op(batch);
  size_t size = weir_kv_key(bytes, text(space), key, &is_cut);
  op->kind = value != NULL ? WEIR_OP_PUT : WEIR_OP_DELETE;
  op->expected = expected;
  op->key = add(batch, (weir_slice){ bytes, size });
  if (is_cut) op->long_key = add(batch, key);
  if (value != NULL) {
    weir_pack_text(&buffer, value, strlen(value));
    op->value = add(batch, (weir_slice){ buffer.bytes, buffer.size });
  }
  weir_buffer_free(&buffer);
  weir_batch_request(batch, first, client);
}

static inline outcome put(weir_client *client, const char *space, const char *key, const char *value,
                          uint64_t expected) {
  build_put(client, space, text(key), value, expected);
  return finish(client, false);
}

/* The text of a found that is a packed text, or a packed list of one text; the caller frees it. */
static inline char *found_text(const weir_result *result, uint32_t i, size_t *size) {
  weir_found found = weir_result_at(result, i);
  weir_pack_reader reader = { result->bytes.bytes + found.at,
                              result->bytes.bytes + found.at + found.size };
  weir_pack_item item;
  if (!weir_pack_read(&reader, &item)) return NULL;
  if (item.kind == WEIR_PACK_ARRAY && !weir_pack_read(&reader, &item)) return NULL;
  if (item.kind != WEIR_PACK_TEXT || reader.at != reader.end) return NULL;
  char *copy = malloc(item.size + 1);
  memcpy(copy, item.bytes, item.size);
  copy[item.size] = '\0';
  if (size != NULL) *size = item.size;
  return copy;
}

static inline bool found_is(const weir_result *result, uint32_t i, const char *wanted) {
  char *copy = found_text(result, i, NULL);
  bool same = copy != NULL && strcmp(copy, wanted) == 0;
  free(copy);
  return same;
}

/* A folder of this spec under TMPDIR or /tmp. */
static inline char *new_folder(void) {
  char path[256];
  const char *base = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/weir-store-XXXXXX", base != NULL ? base : "/tmp");
  assert_non_null(mkdtemp(path));
  return strdup(path);
}

static inline void remove_folder(char *folder) {
  static const char *const names[] = { "data.mdb", "lock.mdb", "owner", "reserve", "seal" };
  char path[512];
  for (size_t i = 0; i < 5; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  rmdir(folder);
  free(folder);
}

static inline weir_request *build_forget(weir_client *client, const char *run) {
  static const char usual[] = "finished\0failed\0cancelled";
  weir_batch *batch = batch_of(client);
  uint32_t first = batch->ops;
  weir_op *op = weir_batch_op(batch);
  op->kind = WEIR_OP_FORGET;
  op->key = add(batch, text(run));
  op->value = weir_batch_bytes(batch, usual, sizeof usual);
  return weir_batch_request(batch, first, client);
}

static inline outcome forget_run(weir_client *client, const char *run) {
  build_forget(client, run);
  return finish(client, false);
}

/* Wait for a job; its results and message go to the caller, who may want neither. */
static inline weir_status finish_job(weir_client *client, weir_job *job,
                                     uint64_t result[WEIR_JOB_RESULTS],
                                     char message[WEIR_MESSAGE_MAX]) {
  weir_client_wait(client);
  assert_ptr_equal(weir_client_jobs(client), job);
  weir_status status = job->status;
  if (result != NULL) memcpy(result, job->result, sizeof job->result);
  if (message != NULL) memcpy(message, job->message, sizeof job->message);
  weir_job_free(job);
  return status;
}

/* verify reads everything and finds nothing. */
static inline void must_verify(weir_client *client, uint64_t counts[WEIR_TABLES]) {
  uint64_t ignored[WEIR_TABLES];
  weir_result result = { 0 };
  assert_int_equal(weir_store_verify(client, counts != NULL ? counts : ignored, &result), WEIR_OK);
  for (uint32_t i = 0; i < weir_result_count(&result); i++) {
    weir_found found = weir_result_at(&result, i);
    print_error("%.*s\n", (int)found.size, (const char *)result.bytes.bytes + found.at);
  }
  assert_int_equal(weir_result_count(&result), 0);
  weir_result_free(&result);
}

static inline weir_store *must_open(const char *path, const weir_store_options *options) {
  char message[WEIR_MESSAGE_MAX];
  weir_store *store = NULL;
  weir_status status = weir_store_open(path, options, &store, message);
  if (status != WEIR_OK) fail_msg("%s", message);
  return store;
}
#endif
