/* http_loop.c - curl's multi handle on the loop: a poll handle a socket, one timer, an idle timer a
 * transfer.
 *
 * A handle is freed when the loop has closed it, which may be after its owner is gone: a close callback
 * needs nothing but its handle. Nothing here is called by curl while it is in weir_http_done. */
#include "http_loop.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  uv_poll_t poll;
  weir_http_client *client;
  curl_socket_t socket;
} watch;

/* libcurl makes socket pairs (to be woken, to hear from its resolver) that a child process would
 * inherit. Nothing in the host hands a descriptor above 2 to a child, so all may be marked; kernels
 * before 5.11 refuse, and then only what curl opens through us is. */
static void seal_descriptors(void) {
  (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

static void take_messages(weir_http_client *client) {
  int left;
  for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left)) != NULL;) {
    if (message->msg != CURLMSG_DONE) continue;
    weir_http_transfer *t = NULL;
    CURLcode code = message->data.result; /* the message does not outlive what follows */
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
    weir_http_done(t, code);
  }
}

static void act(weir_http_client *client, curl_socket_t socket, int flags) {
  int running;
  curl_multi_socket_action(client->multi, socket, flags, &running);
  take_messages(client);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  watch *w = poll->data;
  int flags = status < 0 ? CURL_CSELECT_ERR : 0;
  if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
  act(w->client, w->socket, flags);
}

static void free_watch(uv_handle_t *handle) {
  free(handle->data);
}

static void end_watch(weir_http_client *client, curl_socket_t socket, watch *w) {
  if (!w) return;
  curl_multi_assign(client->multi, socket, NULL);
  uv_poll_stop(&w->poll);
  uv_close((uv_handle_t *)&w->poll, free_watch);
}

static watch *new_watch(weir_http_client *client, curl_socket_t socket) {
  watch *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  if (uv_poll_init_socket(client->loop, &w->poll, socket) != 0) {
    free(w);
    return NULL;
  }
  w->client = client;
  w->socket = socket;
  w->poll.data = w;
  uv_unref((uv_handle_t *)&w->poll);
  curl_multi_assign(client->multi, socket, w);
  seal_descriptors();
  return w;
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *socket_context) {
  weir_http_client *client = context;
  watch *w = socket_context;
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    end_watch(client, socket, w);
    return 0;
  }
  if (!w) w = new_watch(client, socket);
  if (!w) return -1;
  int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
  uv_poll_start(&w->poll, events, on_ready);
  return 0;
}

/* libuv runs its timers before it polls: a task that became ready here must not wait for the poll. */
static void do_not_sleep(uv_loop_t *loop) {
  uv_stop(loop);
}

static void on_time(uv_timer_t *timer) {
  act(timer->data, CURL_SOCKET_TIMEOUT, 0);
  do_not_sleep(timer->loop);
}

static int on_timeout(CURLM *multi, long timeout_ms, void *context) {
  weir_http_client *client = context;
  (void)multi;
  if (timeout_ms < 0) return uv_timer_stop(&client->timer);
  return uv_timer_start(&client->timer, on_time, (uint64_t)timeout_ms, 0);
}

/* libcurl copies the headers it is given, and lets go of the copies as they are: so what it frees is wiped. */

static void wipe_and_free(void *block) {
  if (block) explicit_bzero(block, malloc_usable_size(block));
  free(block);
}

static void *wipe_and_move(void *block, size_t size) {
  void *moved = malloc(size ? size : 1);
  if (!moved || !block) return moved;
  size_t held = malloc_usable_size(block);
  memcpy(moved, block, held < size ? held : size);
  wipe_and_free(block);
  return moved;
}

static bool start_curl(void) {
  return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_and_free, wipe_and_move, strdup, calloc) == CURLE_OK;
}

weir_http_client *weir_http_client_new(uv_loop_t *loop, const weir_secrets *secrets) {
  weir_http_client *client = calloc(1, sizeof *client);
  if (!client || !start_curl() || !(client->multi = curl_multi_init())) {
    free(client);
    return NULL;
  }
  seal_descriptors();
  client->secrets = secrets;
  client->loop = loop;
  uv_timer_init(loop, &client->timer);
  uv_unref((uv_handle_t *)&client->timer);
  client->timer.data = client;
  curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
  curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
  curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
  return client;
}

static void free_client(uv_handle_t *timer) {
  free(timer->data);
}

void weir_http_client_free(weir_http_client *client) {
  while (client->first) {
    weir_http_transfer *t = client->first;
    weir_http_end(t, WEIR_CLOSED, "the client was closed");
    client->first = t->next;
    t->client = NULL;
  }
  curl_multi_cleanup(client->multi);
  uv_close((uv_handle_t *)&client->timer, free_client);
}

uint32_t weir_http_client_open(const weir_http_client *client) {
  return client->running;
}

void weir_http_join_client(weir_http_transfer *t) {
  t->next = t->client->first;
  if (t->next) t->next->previous = t;
  t->client->first = t;
}

static void free_transfer(uv_handle_t *idle) {
  free(idle->data);
}

void weir_http_leave_client(weir_http_transfer *t) {
  if (t->client) {
    if (t->next) t->next->previous = t->previous;
    if (t->previous) t->previous->next = t->next;
    else t->client->first = t->next;
  }
  if (t->has_idle) uv_close((uv_handle_t *)&t->idle, free_transfer);
  else free(t);
}

/* Silence counts from the last sign of life; while the transfer is paused the silence is ours. */
static void on_idle(uv_timer_t *idle) {
  weir_http_transfer *t = idle->data;
  uint64_t now_ms = uv_now(idle->loop);
  if (t->paused) t->last_ms = now_ms;
  uint64_t silent_ms = now_ms - t->last_ms, allowed_ms = (uint64_t)t->idle_ms;
  if (silent_ms < allowed_ms) {
    uv_timer_start(idle, on_idle, allowed_ms - silent_ms, 0);
    return;
  }
  char text[80];
  snprintf(text, sizeof text, "nothing came for %.3f seconds", (double)allowed_ms / 1000);
  weir_http_end(t, WEIR_TIMEOUT, text);
  do_not_sleep(idle->loop);
}

bool weir_http_join_loop(weir_http_transfer *t) {
  if (!t->has_idle) {
    uv_timer_init(t->client->loop, &t->idle);
    uv_unref((uv_handle_t *)&t->idle);
    t->idle.data = t;
    t->has_idle = true;
  }
  if (t->idle_ms > 0) uv_timer_start(&t->idle, on_idle, (uint64_t)t->idle_ms, 0);
  if (curl_multi_add_handle(t->client->multi, t->easy) != CURLM_OK) return false;
  t->in_loop = true;
  t->client->running++;
  return true;
}

void weir_http_leave_loop(weir_http_transfer *t) {
  if (t->has_idle) uv_timer_stop(&t->idle);
  if (!t->in_loop) return;
  t->in_loop = false;
  t->client->running--;
  curl_multi_remove_handle(t->client->multi, t->easy);
}
