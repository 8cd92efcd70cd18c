/* http_server_internal.h - the inside of the HTTP server: what its three files share.
 *
 * http_server_socket.c    the socket that listens
 * http_server.c           the daemon on the loop, its connections, how long they may take
 * http_server_exchange.c  one request and its answer */
#ifndef WEIR_HTTP_SERVER_INTERNAL_H
#define WEIR_HTTP_SERVER_INTERNAL_H
#include <microhttpd.h>

#include "http_server.h"

typedef struct weir_http_connection weir_http_connection;

struct weir_http_server {
  uv_loop_t *loop;
  struct MHD_Daemon *daemon;
  uv_poll_t poll;
  uv_timer_t due, sweep;
  int open_handles; /* the server is freed when the loop has closed the last */
  int socket;       /* that listens; -1: none any more */
  uint16_t port;
  bool running;  /* inside the daemon */
  bool was_full; /* the daemon does not look at the socket that listens */
  bool has_room; /* it does again, once it has run */
  bool quiet, closing;
  char *path; /* of the Unix socket, removed at the end if it is still ours */
  dev_t device;
  ino_t inode;
  weir_http_connection *first;
  uint32_t connections, exchanges;
  weir_http_server_options options; /* without address and path */
};

struct weir_http_connection {
  weir_http_server *server;
  weir_http_connection *next, *previous;
  struct MHD_Connection *handle;
  weir_http_exchange *exchange; /* under way; NULL: none */
  int socket;
  uint64_t since_ms; /* when the request that is being received began to be waited for */
  char *target;      /* of the request line that came last */
  int64_t uid, pid;
};

/* Bytes taken from the front and added at the end. */
typedef struct {
  char *bytes;
  size_t start, size, capacity;
} weir_http_buffer;

typedef enum { WEIR_HTTP_FRESH, WEIR_HTTP_RECEIVING, WEIR_HTTP_WHOLE } weir_http_phase;

struct weir_http_exchange {
  weir_http_connection *connection; /* NULL: the exchange is over */
  uint32_t holders;
  weir_http_phase phase;
  bool has_body, expects; /* expects: the client sends the body when it is told to */
  bool told;              /* the embedder knows of it */
  bool suspended;
  bool wants_body, collects, discards, over; /* over: the body is longer than allowed */
  bool begun, answered, queued, streams, ended, gone;
  char *head;     /* method, target, then names and values, each ending in a NUL; an empty name ends */
  size_t headers; /* offset of the first name in `head` */
  uint64_t body_bytes; /* that ever came */
  weir_http_buffer body, out;
  unsigned status;
  struct MHD_Response *response;
  weir_http_buffer
      plain; /* an answer that is sent past the daemon, which can send none inside a body */
  void (*notify)(void *context);
  void *context;
};

/* http_server_socket.c: a listening socket, or -1 */
int weir_http_listen(weir_http_server *server, const weir_http_server_options *options,
                     weir_status *status, char message[WEIR_HTTP_MESSAGE]);
void weir_http_unlisten(weir_http_server *server); /* idempotent */

/* http_server.c */
void weir_http_suspend(weir_http_exchange *exchange);
void weir_http_resume(weir_http_exchange *exchange); /* idempotent */

/* http_server_exchange.c */
enum MHD_Result weir_http_on_call(void *server, struct MHD_Connection *handle, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **exchange);
void weir_http_on_completed(void *server, struct MHD_Connection *handle, void **exchange,
                            enum MHD_RequestTerminationCode how);
void weir_http_cut(
    weir_http_exchange *exchange); /* the client has gone: nothing is read or sent any more */

bool weir_http_buffer_add(weir_http_buffer *buffer, const char *bytes, size_t size);
void weir_http_buffer_take(weir_http_buffer *buffer, size_t size);
void weir_http_buffer_free(weir_http_buffer *buffer);
#endif
