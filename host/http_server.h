/* http_server.h - an HTTP/1.1 server on the host's loop, by libmicrohttpd.
 *
 * A server listens on one socket: TCP, or a Unix socket for the owner of its folder. An exchange is one
 * request and its answer. The embedder is told of an exchange when its headers are there, and answers
 * whenever it likes: until then the connection is suspended and costs nothing. What arrives and what is
 * written waits in bounded buffers; a full one makes its sender wait. Requests whose end could be read
 * in two ways are refused, and their connection is closed, before anybody hears of them.
 * Host loop only. Nothing here knows Lua or raises. */
#ifndef WEIR_HTTP_SERVER_H
#define WEIR_HTTP_SERVER_H
#include <sys/types.h>
#include <uv.h>

#include "status.h"

#define WEIR_HTTP_MESSAGE 256 /* bytes of a message */

typedef struct weir_http_server weir_http_server;
typedef struct weir_http_exchange weir_http_exchange;

typedef struct {
  const char *address; /* of TCP, a number; NULL: the Unix socket `path` */
  uint16_t port;       /* 0: any that is free */
  const char *path;
  size_t body_bytes;    /* of a request, largest */
  size_t header_bytes;  /* of its first line and headers together */
  uint32_t connections; /* at once */
  uint32_t per_address; /* of one TCP address; 0: no limit */
  uint32_t idle_ms;     /* without a byte, while one is waited for */
  uint32_t receive_ms;  /* for the whole of a request, however slowly it comes */
  void *context;        /* of the three below */
  void (*on_request)(void *context, weir_http_exchange *exchange); /* answer it, now or later */
  void (*on_end)(void *context, weir_http_exchange *exchange,
                 bool gone);     /* gone: before the whole answer was sent */
  void (*on_due)(void *context); /* call weir_http_server_run before the loop sleeps */
} weir_http_server_options;

/* NULL with a message and a status when it cannot listen: INVALID, DENIED, CONFLICT (somebody listens
 * there), UNAVAILABLE. */
weir_http_server *weir_http_server_new(uv_loop_t *loop, const weir_http_server_options *options,
                                       weir_status *status, char message[WEIR_HTTP_MESSAGE]);
uint16_t weir_http_server_port(const weir_http_server *server); /* 0 for a Unix socket */
uint32_t weir_http_server_connections(const weir_http_server *server);
uint32_t weir_http_server_exchanges(const weir_http_server *server); /* under way */
void weir_http_server_run(weir_http_server *server);
void weir_http_server_quiet(
    weir_http_server *server); /* no new connections; idle ones are closed. Safe twice */
void weir_http_server_free(weir_http_server *server); /* those under way are cut */

/* Exchanges. One is held by whoever was told of it, until weir_http_exchange_release; it may outlive
 * its connection and its server. */
void weir_http_exchange_release(weir_http_exchange *exchange);
/* Whom to tell when something can be read or written, or will not be any more. */
void weir_http_exchange_listen(weir_http_exchange *exchange, void (*notify)(void *context),
                               void *context);
const char *weir_http_method(const weir_http_exchange *exchange);
const char *weir_http_target(const weir_http_exchange *exchange); /* path and query as they came */
/* Walk the headers, names in lower case: *cursor is 0 at first; false after the last. */
bool weir_http_request_header(const weir_http_exchange *exchange, size_t *cursor, const char **name,
                              const char **value);
bool weir_http_is_gone(const weir_http_exchange *exchange); /* nobody will get the answer */
bool weir_http_is_over(const weir_http_exchange *exchange); /* gone, or sent as a whole */

typedef struct {
  char address[64]; /* of TCP; empty: a Unix socket */
  uint16_t port;
  int64_t uid, pid; /* of a Unix socket; else -1 */
} weir_http_peer_name;
void weir_http_peer(const weir_http_exchange *exchange, weir_http_peer_name *name);

/* The body. Bytes that came and were not taken: all of it, or as much as fits into the buffer. */
const char *weir_http_body(weir_http_exchange *exchange, size_t *size);
void weir_http_body_take(weir_http_exchange *exchange, size_t size);
void weir_http_body_collect(
    weir_http_exchange *exchange); /* buffer all of it, up to the server's limit */
/* OK: more will come; CLOSED: it is whole; LIMIT: it is longer than allowed; CANCELLED: the client
 * went. */
weir_status weir_http_body_state(const weir_http_exchange *exchange);

/* The answer, once: begin, headers, then send. CONFLICT: it was begun already; CLOSED: nobody gets it;
 * INVALID: no such status, or a header with a line break. A stream takes bytes until it is ended; it is
 * full when a part of them waits for the client. */
weir_status weir_http_answer(weir_http_exchange *exchange, unsigned status, const char *body,
                             size_t size);
weir_status weir_http_answer_stream(weir_http_exchange *exchange, unsigned status);
weir_status weir_http_answer_header(weir_http_exchange *exchange, const char *name, const char *value);
void weir_http_answer_undo(weir_http_exchange *exchange); /* of one that was begun and not sent */
weir_status weir_http_answer_send(weir_http_exchange *exchange);
weir_status weir_http_write(weir_http_exchange *exchange, const char *bytes,
                            size_t size); /* LIMIT: no memory */
bool weir_http_is_full(const weir_http_exchange *exchange);
void weir_http_end_stream(weir_http_exchange *exchange); /* idempotent */
bool weir_http_is_answered(const weir_http_exchange *exchange);
#endif
