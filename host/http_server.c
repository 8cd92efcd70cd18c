/* http_server.c - libmicrohttpd on the loop: its epoll descriptor in one poll handle, its timeouts in
 * one timer, and a look at all connections twice a second while there are any.
 *
 * The daemon closes a connection that is silent for too long. What it does not see is looked for: a
 * request that comes too slowly as a whole, and a client that goes while its connection is suspended.
 * Such a connection is shut down or cut, and the daemon, which finds it at its end, closes it. */
#include "http_server_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 500
#define ROUNDS 16 /* of the daemon, before the tasks have their turn */
/* Of a connection: its headers, where they stand, and those of the answer. Cleared for each request. */
#define POOL_BYTES(headers) ((headers) + 16384)

/* libuv runs its timers before it polls: a task that became ready in one must not wait for the poll. */
static void do_not_sleep(uv_loop_t *loop) {
  uv_stop(loop);
}

static void on_due(uv_timer_t *timer) {
  weir_http_server_run(timer->data);
  do_not_sleep(timer->loop);
}

void weir_http_server_run(weir_http_server *server) {
  MHD_UNSIGNED_LONG_LONG wait_ms = 0;
  bool is_due = true;
  if (server->running || !server->daemon) return;
  server->running = true;
  for (int round = 0; (server->has_room || (is_due && wait_ms == 0)) && round < ROUNDS; round++) {
    server->has_room = false;
    MHD_run(server->daemon);
    is_due = MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES;
  }
  server->running = false;
  if (is_due)
    uv_timer_start(&server->due, on_due, wait_ms, 0);
  else
    uv_timer_stop(&server->due);
}

static void on_ready(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  weir_http_server_run(poll->data);
}

void weir_http_suspend(weir_http_exchange *exchange) {
  MHD_suspend_connection(exchange->connection->handle);
  exchange->suspended = true;
}

void weir_http_resume(weir_http_exchange *exchange) {
  if (!exchange->suspended) return;
  weir_http_server *server = exchange->connection->server;
  exchange->suspended = false;
  MHD_resume_connection(exchange->connection->handle);
  if (!server->running) server->options.on_due(server->options.context);
}

/* Looking at connections */

static bool is_receiving(const weir_http_connection *connection) {
  const weir_http_exchange *exchange = connection->exchange;
  return !exchange || (exchange->phase != WEIR_HTTP_WHOLE && !exchange->suspended);
}

static bool has_gone(const weir_http_connection *connection) {
  struct pollfd look = { .fd = connection->socket, .events = POLLRDHUP };
  return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void look_at(weir_http_connection *connection, uint64_t now_ms) {
  weir_http_server *server = connection->server;
  weir_http_exchange *exchange = connection->exchange;
  if (exchange && exchange->suspended) {
    connection->since_ms = now_ms; /* it waits for us */
    if (has_gone(connection)) weir_http_cut(exchange);
  } else if (is_receiving(connection)) {
    bool is_idle = server->quiet && !exchange && now_ms - connection->since_ms >= LOOK_MS;
    if (is_idle || now_ms - connection->since_ms >= server->options.receive_ms)
      shutdown(connection->socket, SHUT_RDWR);
  }
}

static void on_sweep(uv_timer_t *timer) {
  weir_http_server *server = timer->data;
  weir_http_connection *next;
  for (weir_http_connection *connection = server->first; connection; connection = next) {
    next = connection->next;
    look_at(connection, uv_now(timer->loop));
  }
  weir_http_server_run(server);
  do_not_sleep(timer->loop);
}

/* Connections come and go */

static void read_credentials(weir_http_connection *connection) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  connection->uid = connection->pid = -1;
  if (connection->server->port != 0) return;
  if (getsockopt(connection->socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  connection->uid = peer.uid;
  connection->pid = peer.pid;
}

static void begin_connection(weir_http_server *server, struct MHD_Connection *handle, void **slot) {
  weir_http_connection *connection = calloc(1, sizeof *connection);
  *slot = connection;
  if (!connection) return; /* its requests are refused */
  connection->server = server;
  connection->handle = handle;
  connection->socket = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  connection->since_ms = uv_now(server->loop);
  connection->next = server->first;
  if (server->first) server->first->previous = connection;
  server->first = connection;
  read_credentials(connection);
  if (server->connections + 1 >= server->options.connections) server->was_full = true;
  if (server->connections++ == 0) uv_timer_start(&server->sweep, on_sweep, LOOK_MS, LOOK_MS);
}

static void end_connection(weir_http_connection *connection) {
  weir_http_server *server = connection->server;
  if (connection->next) connection->next->previous = connection->previous;
  if (connection->previous)
    connection->previous->next = connection->next;
  else
    server->first = connection->next;
  if (server->was_full) server->has_room = true;
  server->was_full = false;
  if (--server->connections == 0) uv_timer_stop(&server->sweep);
  free(connection->target);
  free(connection);
}

static void on_connection(void *context, struct MHD_Connection *handle, void **slot,
                          enum MHD_ConnectionNotificationCode what) {
  if (what == MHD_CONNECTION_NOTIFY_STARTED)
    begin_connection(context, handle, slot);
  else if (*slot)
    end_connection(*slot);
}

/* The daemon rewrites the request line afterwards; this is what the client wrote. */
static void *on_target(void *context, const char *target, struct MHD_Connection *handle) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  weir_http_connection *connection = info ? info->socket_context : NULL;
  (void)context;
  if (!connection) return NULL;
  free(connection->target);
  connection->target = strdup(target);
  return NULL;
}

/* Beginning and end */

static struct MHD_Daemon *start_daemon(weir_http_server *server) {
  const weir_http_server_options *o = &server->options;
  return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, weir_http_on_call,
                          server, MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_CONNECTION_LIMIT,
                          (unsigned int)o->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                          server->port ? (unsigned int)o->per_address : 0u,
                          MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)((o->idle_ms + 999) / 1000),
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES(o->header_bytes),
                          MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 0,
                          MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
                          MHD_OPTION_NOTIFY_COMPLETED, weir_http_on_completed, server,
                          MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_END);
}

static void add_handles(weir_http_server *server) {
  int epoll = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  uv_poll_init(server->loop, &server->poll, epoll);
  uv_timer_init(server->loop, &server->due);
  uv_timer_init(server->loop, &server->sweep);
  uv_handle_t *handles[] = { (uv_handle_t *)&server->poll, (uv_handle_t *)&server->due,
                             (uv_handle_t *)&server->sweep };
  for (int i = 0; i < 3; i++) {
    handles[i]->data = server;
    uv_unref(handles[i]);
  }
  server->open_handles = 3;
  uv_poll_start(&server->poll, UV_READABLE, on_ready);
}

weir_http_server *weir_http_server_new(uv_loop_t *loop, const weir_http_server_options *options,
                                       weir_status *status, char message[WEIR_HTTP_MESSAGE]) {
  weir_http_server *server = calloc(1, sizeof *server);
  *status = WEIR_UNAVAILABLE;
  snprintf(message, WEIR_HTTP_MESSAGE, "http server: no memory, or no descriptors left");
  if (!server) return NULL;
  server->loop = loop;
  server->options = *options;
  server->options.address = server->options.path = NULL;
  server->socket = weir_http_listen(server, options, status, message);
  if (server->socket >= 0 && (server->daemon = start_daemon(server)) != NULL) {
    add_handles(server);
    return server;
  }
  weir_http_unlisten(server);
  free(server);
  return NULL;
}

uint16_t weir_http_server_port(const weir_http_server *server) {
  return server->port;
}
uint32_t weir_http_server_connections(const weir_http_server *server) {
  return server->connections;
}
uint32_t weir_http_server_exchanges(const weir_http_server *server) {
  return server->exchanges;
}

void weir_http_server_quiet(weir_http_server *server) {
  if (server->quiet) return;
  server->quiet = true;
  MHD_quiesce_daemon(server->daemon); /* the socket is ours again */
  weir_http_unlisten(server);
}

static void on_closed(uv_handle_t *handle) {
  weir_http_server *server = handle->data;
  if (--server->open_handles == 0) free(server);
}

/* The daemon must not be stopped while connections are suspended. */
static void cut_all(weir_http_server *server) {
  for (weir_http_connection *connection = server->first; connection; connection = connection->next)
    if (connection->exchange) weir_http_cut(connection->exchange);
}

void weir_http_server_free(weir_http_server *server) {
  weir_http_server_quiet(server);
  server->closing = true;
  cut_all(server);
  MHD_run(server->daemon);
  cut_all(server);
  struct MHD_Daemon *daemon = server->daemon;
  uv_poll_stop(&server->poll);
  server->daemon = NULL;
  MHD_stop_daemon(daemon);
  uv_close((uv_handle_t *)&server->poll, on_closed);
  uv_close((uv_handle_t *)&server->due, on_closed);
  uv_close((uv_handle_t *)&server->sweep, on_closed);
}
