/* store_client.c - how a host collects requests and gets them back. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define SPARE_BATCHES 4
#define SPARE_BYTES (4u << 20) /* a batch that grew beyond is freed rather than kept */

weir_client *weir_client_new(weir_store *store, void (*wake)(void *context), void *context) {
  weir_client *client = calloc(1, sizeof *client);
  if (client == NULL) return NULL;
  client->store = store;
  client->wake = wake;
  client->context = context;
  pthread_mutex_init(&client->lock, NULL);
  pthread_cond_init(&client->idle, NULL);
  return client;
}

void weir_client_wait(weir_client *client) {
  pthread_mutex_lock(&client->lock);
  while (client->unfinished > 0) pthread_cond_wait(&client->idle, &client->lock);
  pthread_mutex_unlock(&client->lock);
}

void weir_client_free(weir_client *client) {
  weir_client_stop_jobs(client);
  weir_client_wait(client);
  for (weir_job *job = weir_client_jobs(client), *next; job != NULL; job = next) {
    next = job->next;
    weir_job_free(job);
  }
  if (client->reader != NULL) mdb_txn_abort(client->reader);
  if (client->building != NULL) client->building->next = NULL;
  weir_free_batches(client->building);
  weir_free_batches(client->done);
  weir_free_batches(client->spare);
  pthread_cond_destroy(&client->idle);
  pthread_mutex_destroy(&client->lock);
  free(client);
}

weir_batch *weir_client_batch(weir_client *client) {
  weir_batch *batch = client->building;
  if (batch != NULL) return batch;
  batch = client->spare;
  if (batch != NULL) {
    client->spare = batch->next;
    client->spares--;
  } else if ((batch = calloc(1, sizeof *batch)) == NULL) {
    return NULL;
  }
  batch->client = client;
  batch->next = NULL;
  batch->serial = ++client->serial;
  client->building = batch;
  return batch;
}

weir_op *weir_batch_op(weir_batch *batch) {
  if (batch->ops == batch->op_capacity) {
    uint32_t capacity = batch->op_capacity == 0 ? 64 : batch->op_capacity * 2;
    weir_op *more = realloc(batch->op, capacity * sizeof *more);
    if (more == NULL) return NULL;
    batch->op = more;
    batch->op_capacity = capacity;
  }
  weir_op *op = &batch->op[batch->ops++];
  memset(op, 0, sizeof *op);
  op->expected = WEIR_ANY_VERSION;
  return op;
}

weir_request *weir_batch_request(weir_batch *batch, uint32_t first_op, void *owner) {
  if (batch->requests == batch->request_capacity) {
    uint32_t capacity = batch->request_capacity == 0 ? 64 : batch->request_capacity * 2;
    weir_request *more = realloc(batch->request, capacity * sizeof *more);
    if (more == NULL) return NULL;
    batch->request = more;
    batch->request_capacity = capacity;
  }
  weir_request *request = &batch->request[batch->requests++];
  memset(request, 0, sizeof *request);
  request->first_op = first_op;
  request->ops = batch->ops - first_op;
  request->owner = owner;
  return request;
}

weir_span weir_batch_bytes(weir_batch *batch, const void *bytes, size_t size) {
  weir_span span = { (uint32_t)batch->bytes.size, (uint32_t)size };
  weir_buffer_add(&batch->bytes, bytes, size);
  return span;
}

static weir_batch *take_building(weir_client *client, uint64_t now_ms) {
  weir_batch *batch = client->building;
  if (batch == NULL || batch->requests == 0) return NULL;
  client->building = NULL;
  client->in_flight++;
  batch->now_ms = now_ms;
  batch->next = NULL;
  return batch;
}

void weir_client_submit(weir_client *client, uint64_t now_ms) {
  weir_batch *batch = take_building(client, now_ms);
  if (batch == NULL) return;
  pthread_mutex_lock(&client->lock);
  client->unfinished++;
  pthread_mutex_unlock(&client->lock);
  weir_writer_submit(client->store, batch);
}

void weir_client_commit(weir_client *client, uint64_t now_ms) {
  weir_batch *batch = take_building(client, now_ms);
  if (batch == NULL) return;
  pthread_mutex_lock(&client->store->commit);
  weir_commit(client->store, batch);
  pthread_mutex_unlock(&client->store->commit);
  pthread_mutex_lock(&client->lock);
  if (client->done_last != NULL)
    client->done_last->next = batch;
  else
    client->done = batch;
  client->done_last = batch;
  pthread_mutex_unlock(&client->lock);
}

weir_batch *weir_client_done(weir_client *client) {
  pthread_mutex_lock(&client->lock);
  weir_batch *first = client->done;
  client->done = client->done_last = NULL;
  pthread_mutex_unlock(&client->lock);
  return first;
}

void weir_client_recycle(weir_client *client, weir_batch *batch) {
  client->in_flight--;
  if (client->spares >= SPARE_BATCHES || batch->bytes.capacity > SPARE_BYTES) {
    batch->next = NULL;
    weir_free_batches(batch);
    return;
  }
  for (uint32_t i = 0; i < batch->requests; i++) free(batch->request[i].message);
  batch->ops = batch->requests = 0;
  weir_buffer_clear(&batch->bytes);
  batch->next = client->spare;
  client->spare = batch;
  client->spares++;
}
