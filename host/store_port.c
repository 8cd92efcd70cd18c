/* store_port.c - batches out at the end of the turn, outcomes back through the loop. */
#include "store_port.h"

#include <stdlib.h>
#include <string.h>

#include "binding.h"

#define SLAB 64
#define BATCH_OPS (1u << 20)

struct weir_port_anchor {
  uv_async_t async;
  weir_turn turn;
  weir_port *port; /* NULL once the port has stopped */
};

typedef struct slab slab;
struct slab {
  slab *next;
  weir_pending pending[SLAB];
};

weir_port *weir_port_check(lua_State *L, int index) {
  weir_port *port = luaL_checkudata(L, index, WEIR_STORE);
  if (port->store == NULL) luaL_error(L, "the store is closed");
  return port;
}

static weir_pending *take_pending(lua_State *L, weir_port *port) {
  if (port->free == NULL) {
    slab *more = calloc(1, sizeof *more);
    if (more == NULL) {
      luaL_error(L, "out of memory");
      return NULL; /* not reached */
    }
    more->next = port->slabs;
    port->slabs = more;
    for (int i = 0; i < SLAB; i++) {
      more->pending[i].next = port->free;
      port->free = &more->pending[i];
    }
  }
  weir_pending *pending = port->free;
  port->free = pending->next;
  memset(pending, 0, sizeof *pending);
  return pending;
}

void weir_port_recycle(weir_port *port, weir_pending *pending) {
  free(pending->message);
  free(pending->results);
  pending->message = NULL;
  pending->results = NULL;
  pending->next = port->free;
  port->free = pending;
}

static void settle(weir_port *port, weir_batch *batch, weir_request *request) {
  weir_pending *pending = request->owner;
  if (pending == NULL) return;
  pending->status = request->status;
  pending->failed_op = request->failed_op;
  pending->message = request->message;
  request->message = NULL;
  for (uint32_t i = 0; i < request->ops; i++) {
    pending->result = batch->op[request->first_op + i].result;
    if (pending->results != NULL) pending->results[i] = pending->result;
  }
  if (pending->wait.task != NULL)
    weir_wait_wake(&pending->wait);
  else
    weir_port_recycle(port, pending); /* its task was cancelled */
}

/* One batch or job less is under way. */
static void count_down(weir_port *port) {
  weir_external_end(port->scheduler);
  if (--port->in_flight == 0) uv_unref((uv_handle_t *)&port->anchor->async);
}

static void count_up(weir_port *port) {
  weir_external_begin(port->scheduler);
  if (port->in_flight++ == 0) uv_ref((uv_handle_t *)&port->anchor->async);
}

static void settle_job(weir_port *port, weir_job *job) {
  weir_pending *pending = job->owner;
  pending->job = NULL;
  pending->status = job->status;
  if (job->status != WEIR_OK) pending->message = strdup(job->message);
  memcpy(pending->results, job->result, sizeof job->result);
  weir_job_free(job);
  if (pending->wait.task != NULL)
    weir_wait_wake(&pending->wait);
  else
    weir_port_recycle(port, pending);
}

static void drain(weir_port *port) {
  for (weir_job *job = weir_client_jobs(port->client), *next; job != NULL; job = next) {
    next = job->next;
    settle_job(port, job);
    count_down(port);
  }
  for (weir_batch *batch = weir_client_done(port->client), *next; batch != NULL; batch = next) {
    next = batch->next;
    for (uint32_t i = 0; i < batch->requests; i++) settle(port, batch, &batch->request[i]);
    weir_client_recycle(port->client, batch);
    count_down(port);
  }
}

static void on_done(uv_async_t *async) {
  weir_port_anchor *anchor = async->data;
  if (anchor->port != NULL) drain(anchor->port);
}

static void wake(void *context) { /* the writer's thread */
  weir_port_anchor *anchor = context;
  uv_async_send(&anchor->async);
}

static void submit(weir_port *port) {
  weir_batch *batch = weir_client_batch(port->client);
  if (batch == NULL || batch->requests == 0) return;
  uint64_t now_ms = (uint64_t)weir_scheduler_wall_ms(port->scheduler);
  count_up(port);
  if (weir_scheduler_is_virtual(port->scheduler)) {
    weir_client_commit(port->client, now_ms);
    drain(port);
  } else {
    weir_client_submit(port->client, now_ms);
  }
}

static void on_turn_end(weir_turn *turn) {
  weir_port_anchor *anchor =
      (weir_port_anchor *)(void *)((char *)turn - offsetof(weir_port_anchor, turn));
  if (anchor->port != NULL) submit(anchor->port);
}

bool weir_port_start(weir_port *port, lua_State *L, weir_store *store) {
  weir_host *host = weir_host_of(L);
  weir_port_anchor *anchor = calloc(1, sizeof *anchor);
  if (anchor == NULL) return false;
  if ((port->client = weir_client_new(store, wake, anchor)) == NULL ||
      uv_async_init(weir_host_loop(host), &anchor->async, on_done) != 0) {
    if (port->client != NULL) weir_client_free(port->client);
    port->client = NULL;
    free(anchor);
    return false;
  }
  anchor->async.data = anchor;
  uv_unref((uv_handle_t *)&anchor->async);
  anchor->turn.run = on_turn_end;
  anchor->port = port;
  port->anchor = anchor;
  port->scheduler = weir_scheduler_of(host);
  port->store = store;
  return true;
}

static void free_anchor(uv_handle_t *handle) {
  free(handle->data);
}

void weir_port_stop(weir_port *port) {
  if (port->store == NULL) return;
  submit(port);
  weir_client_stop_jobs(port->client);
  weir_client_wait(port->client);
  drain(port);
  weir_client_free(port->client);
  port->anchor->port = NULL;
  uv_close((uv_handle_t *)&port->anchor->async, free_anchor);
  weir_store_release(port->store);
  port->store = NULL;
  port->client = NULL;
}

void weir_port_free(weir_port *port) {
  for (slab *each = port->slabs, *next; each != NULL; each = next) {
    next = each->next;
    for (int i = 0; i < SLAB; i++) {
      free(each->pending[i].message);
      free(each->pending[i].results);
    }
    free(each);
  }
  port->slabs = NULL;
  port->free = NULL;
  weir_result_free(&port->result);
  weir_buffer_free(&port->field);
  weir_buffer_free(&port->scratch);
}

weir_batch *weir_port_batch(lua_State *L, weir_port *port) {
  weir_batch *batch = weir_client_batch(port->client);
  if (batch != NULL &&
      (batch->bytes.size > WEIR_BATCH_BYTES || batch->ops > BATCH_OPS || batch->bytes.failed)) {
    if (batch->requests > 0)
      submit(port);
    else
      weir_buffer_clear(&batch->bytes); /* left by refused values */
    batch = weir_client_batch(port->client);
  }
  if (batch == NULL) luaL_error(L, "out of memory");
  if (!port->anchor->turn.queued) weir_scheduler_at_turn_end(port->scheduler, &port->anchor->turn);
  return batch;
}

weir_op *weir_port_op(lua_State *L, weir_batch *batch, weir_op_kind kind) {
  weir_op *op = weir_batch_op(batch);
  if (op == NULL)
    luaL_error(L, "out of memory");
  else
    op->kind = kind;
  return op;
}

bool weir_port_encode(lua_State *L, weir_port *port, weir_batch *batch, int index, const char *subject,
                      weir_span *span) {
  weir_pack_refusal refusal;
  size_t at = batch->bytes.size;
  weir_status status = weir_pack_value(L, index, &batch->bytes, &port->scratch, &refusal);
  if (status != WEIR_OK) {
    weir_refusef(L, status, "%s%s: %s", subject, refusal.where, refusal.why);
    return false;
  }
  *span = (weir_span){ (uint32_t)at, (uint32_t)(batch->bytes.size - at) };
  return true;
}

static weir_request *add_request(lua_State *L, weir_batch *batch, uint32_t first_op, bool reserve,
                                 weir_pending *owner) {
  if (batch->bytes.failed) luaL_error(L, "out of memory");
  weir_request *request = weir_batch_request(batch, first_op, owner);
  if (request == NULL)
    luaL_error(L, "out of memory");
  else
    request->reserve = reserve;
  return request;
}

void weir_port_post(lua_State *L, weir_port *port, weir_batch *batch, uint32_t first_op, bool reserve) {
  (void)port;
  add_request(L, batch, first_op, reserve, NULL);
}

void weir_port_check_wait(lua_State *L) {
  if (!lua_isyieldable(L)) luaL_error(L, "attempt to wait for the store where code cannot wait");
  weir_task_check(L);
}

int weir_port_wait(lua_State *L, weir_port *port, weir_batch *batch, uint32_t first_op, bool reserve,
                   const char *what, lua_KFunction k) {
  weir_pending *pending = take_pending(L, port);
  pending->ops = batch->ops - first_op;
  if (pending->ops > 1 && (pending->results = calloc(pending->ops, sizeof *pending->results)) == NULL) {
    weir_port_recycle(port, pending);
    return luaL_error(L, "out of memory");
  }
  add_request(L, batch, first_op, reserve, pending);
  return weir_task_wait(L, &pending->wait, what, WEIR_NO_DEADLINE, (lua_KContext)pending, k);
}

static void stop_job(weir_wait *wait) {
  weir_pending *pending = (weir_pending *)(void *)((char *)wait - offsetof(weir_pending, wait));
  if (pending->job != NULL) weir_job_stop(pending->job);
}

int weir_port_work(lua_State *L, weir_port *port, weir_job *job, const char *what, lua_KFunction k) {
  weir_pending *pending = take_pending(L, port);
  pending->results = calloc(WEIR_JOB_RESULTS, sizeof *pending->results);
  pending->job = job;
  pending->wait.abandon = stop_job;
  job->owner = pending;
  job->now_ms = (uint64_t)weir_scheduler_wall_ms(port->scheduler);
  if (pending->results == NULL || !weir_job_start(port->client, job)) {
    weir_port_recycle(port, pending);
    weir_job_free(job);
    return weir_refusef(L, WEIR_UNAVAILABLE, "store: no memory or thread is left for a %s", what);
  }
  count_up(port);
  return weir_task_wait(L, &pending->wait, what, WEIR_NO_DEADLINE, (lua_KContext)pending, k);
}

bool weir_port_refused(lua_State *L, weir_pending *pending) {
  if (pending->status == WEIR_OK) return false;
  weir_refusef(L, pending->status, "%s", pending->message != NULL ? pending->message : "store");
  return true;
}
