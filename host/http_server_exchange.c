/* http_server_exchange.c - one request and its answer.
 *
 * The daemon calls when the headers are there, for each part of the body, and when the request is
 * whole. An answer can be handed to it at the first (the connection is closed then) and at the last
 * only. So a request with a body is told of at the first call; if it is answered before its body was
 * read, the rest is read and thrown away. Of a body that is longer than allowed not even that: its
 * answer is written past the daemon. */
#include "http_server_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define BUFFER_BYTES 65536 /* of a body that nobody reads, and of a stream that the client does not */
#define BLOCK_BYTES 32768
#define HEADERS_MAX 100
#define DRAINED_BYTES                                                                                  \
  (1 << 20) /* of a body that is too long, so that the answer is not lost with the connection */

/* Buffers */

bool weir_http_buffer_add(weir_http_buffer *buffer, const char *bytes, size_t size) {
  if (buffer->start > 0 && buffer->start + buffer->size + size > buffer->capacity) {
    memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->size);
    buffer->start = 0;
  }
  if (buffer->size + size > buffer->capacity) {
    size_t capacity = buffer->capacity ? buffer->capacity : 1024;
    while (capacity < buffer->size + size) capacity *= 2;
    char *more = realloc(buffer->bytes, capacity);
    if (!more) return false;
    buffer->bytes = more;
    buffer->capacity = capacity;
  }
  if (size > 0) memcpy(buffer->bytes + buffer->start + buffer->size, bytes, size);
  buffer->size += size;
  return true;
}

void weir_http_buffer_take(weir_http_buffer *buffer, size_t size) {
  buffer->start += size;
  buffer->size -= size;
  if (buffer->size == 0) buffer->start = 0;
}

void weir_http_buffer_free(weir_http_buffer *buffer) {
  free(buffer->bytes);
  *buffer = (weir_http_buffer){ 0 };
}

/* Life */

static void tell(weir_http_exchange *x) {
  if (x->notify) x->notify(x->context);
}

void weir_http_exchange_release(weir_http_exchange *x) {
  if (--x->holders > 0) return;
  weir_http_buffer_free(&x->body);
  weir_http_buffer_free(&x->out);
  weir_http_buffer_free(&x->plain);
  free(x->head);
  free(x);
}

void weir_http_exchange_listen(weir_http_exchange *x, void (*notify)(void *), void *context) {
  x->notify = notify;
  x->context = context;
}

void weir_http_cut(weir_http_exchange *x) {
  x->gone = true;
  weir_http_resume(x);
  tell(x);
}

/* The response's own hold on the exchange ends with the response, so it is the daemon's alone from here
 * on. */
static void drop_response(weir_http_exchange *x) {
  struct MHD_Response *response = x->response;
  x->response = NULL;
  if (response) MHD_destroy_response(response);
}

void weir_http_on_completed(void *context, struct MHD_Connection *handle, void **slot,
                            enum MHD_RequestTerminationCode how) {
  weir_http_exchange *x = *slot;
  weir_http_server *server = context;
  (void)handle;
  *slot = NULL;
  if (!x) return;
  x->gone = x->gone || how != MHD_REQUEST_TERMINATED_COMPLETED_OK;
  x->connection->exchange = NULL;
  x->connection->since_ms = uv_now(server->loop);
  x->connection = NULL;
  x->suspended = false;
  drop_response(x);
  server->exchanges--;
  tell(x);
  if (x->told) server->options.on_end(server->options.context, x, x->gone);
  weir_http_exchange_release(x);
}

/* The request line and the headers */

typedef struct {
  weir_http_buffer *head;
  unsigned count, lengths, encodings, hosts;
  bool broken, chunked, expects;
  uint64_t length;
} reading;

static bool is_token(const char *text) {
  if (!*text) return false;
  for (; *text; text++)
    if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text)) return false;
  return true;
}

static bool read_length(const char *text, uint64_t *length) {
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 18 || text[digits]) return false;
  *length = strtoull(text, NULL, 10);
  return true;
}

static void judge(reading *r, const char *name, const char *value) {
  if (!is_token(name) || strpbrk(value, "\r\n")) r->broken = true;
  if (strcasecmp(name, "content-length") == 0) {
    r->lengths++;
    if (!read_length(value, &r->length)) r->broken = true;
  } else if (strcasecmp(name, "transfer-encoding") == 0) {
    r->encodings++;
    r->chunked = strcasecmp(value, "chunked") == 0;
  } else if (strcasecmp(name, "host") == 0) {
    r->hosts++;
  } else if (strcasecmp(name, "expect") == 0) {
    r->expects = strcasecmp(value, "100-continue") == 0;
  }
}

static enum MHD_Result read_header(void *context, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
  reading *r = context;
  (void)kind;
  if (!value) value = "";
  if (++r->count > HEADERS_MAX) return MHD_NO;
  judge(r, name, value);
  size_t at = r->head->size, size = strlen(name);
  if (!weir_http_buffer_add(r->head, name, size + 1) ||
      !weir_http_buffer_add(r->head, value, strlen(value) + 1)) {
    r->count = HEADERS_MAX + 1;
    return MHD_NO;
  }
  for (size_t i = 0; i < size; i++) r->head->bytes[at + i] = (char)tolower((unsigned char)name[i]);
  return MHD_YES;
}

/* Why a request is refused before anybody hears of it; 0: it is not. */
static unsigned verdict(const weir_http_exchange *x, const reading *r, size_t header_bytes,
                        const char **why) {
  const weir_http_server_options *o = &x->connection->server->options;
  *why = "there are more than 100 headers, or they are longer than allowed";
  if (r->count > HEADERS_MAX || header_bytes > o->header_bytes)
    return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
  *why = "a header is malformed, or there is more than one Host";
  if (r->broken || r->hosts > 1) return MHD_HTTP_BAD_REQUEST;
  *why = "the end of the request can be read in two ways: give one Content-Length, or "
         "Transfer-Encoding: chunked";
  if (r->lengths > 1 || r->encodings > 1 || (r->encodings && (r->lengths || !r->chunked)))
    return MHD_HTTP_BAD_REQUEST;
  *why = "the body is longer than allowed";
  if (r->lengths && r->length > o->body_bytes) return MHD_HTTP_CONTENT_TOO_LARGE;
  return 0;
}

static bool copy_head(weir_http_exchange *x, reading *r, const char *method) {
  const char *target = x->connection->target;
  if (!target || !weir_http_buffer_add(r->head, method, strlen(method) + 1) ||
      !weir_http_buffer_add(r->head, target, strlen(target) + 1))
    return false;
  x->headers = r->head->size;
  MHD_get_connection_values(x->connection->handle, MHD_HEADER_KIND, read_header, r);
  return weir_http_buffer_add(r->head, "", 1);
}

static weir_http_exchange *new_exchange(weir_http_connection *connection) {
  weir_http_exchange *x = calloc(1, sizeof *x);
  if (!x) return NULL;
  x->holders = 1;
  x->connection = connection;
  connection->exchange = x;
  connection->server->exchanges++;
  return x;
}

/* Answers of the server itself */

static enum MHD_Result refuse(weir_http_exchange *x, unsigned status, const char *why) {
  char text[400];
  const char *title = status == 400   ? "Bad Request"
                      : status == 413 ? "Content Too Large"
                                      : "Request Header Fields Too Large";
  const char *code = status == 400 ? "invalid" : "limit";
  int size =
      snprintf(text, sizeof text,
               "{\"type\":\"urn:weir:problem:%s\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\","
               "\"code\":\"%s\"}",
               code, title, status, why, code);
  struct MHD_Response *response =
      MHD_create_response_from_buffer((size_t)size, text, MHD_RESPMEM_MUST_COPY);
  if (!response) return MHD_NO;
  MHD_add_response_header(response, "Content-Type", "application/problem+json");
  MHD_add_response_header(response, "Connection", "close");
  x->queued = true;
  enum MHD_Result result = MHD_queue_response(x->connection->handle, status, response);
  MHD_destroy_response(response);
  return result;
}

/* The daemon's calls */

static enum MHD_Result hand_over(weir_http_exchange *x) {
  x->queued = true;
  enum MHD_Result result = MHD_queue_response(x->connection->handle, x->status, x->response);
  drop_response(x);
  return result;
}

static void announce(weir_http_exchange *x) {
  weir_http_server_options *o = &x->connection->server->options;
  x->told = true;
  x->holders++; /* the embedder's */
  o->on_request(o->context, x);
}

static enum MHD_Result first_call(weir_http_connection *connection, const char *method, void **slot) {
  weir_http_exchange *x = new_exchange(connection);
  if (!x) return MHD_NO;
  *slot = x;
  weir_http_buffer head = { 0 };
  reading r = { .head = &head };
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection->handle, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  bool copied = copy_head(x, &r, method);
  x->head = head.bytes;
  const char *why;
  unsigned refused = copied ? verdict(x, &r, info ? info->header_size : 0, &why) : 0;
  if (!copied || connection->server->closing) return MHD_NO;
  if (refused) return refuse(x, refused, why);
  x->has_body = r.length > 0 || r.encodings > 0;
  x->expects = r.expects;
  if (!x->has_body) return MHD_YES; /* the next call is the last */
  weir_http_suspend(x);
  announce(x);
  return MHD_YES;
}

/* A request with a body, before the body: it is answered, or wanted, or nobody has said. */
static enum MHD_Result before_body(weir_http_exchange *x) {
  if (x->answered && x->expects) return hand_over(x);
  if (x->answered) x->discards = true;
  if (x->wants_body || x->discards)
    x->phase = WEIR_HTTP_RECEIVING;
  else
    weir_http_suspend(x);
  return MHD_YES;
}

static void send_plain(weir_http_exchange *x) {
  char rest[4096];
  int fd = x->connection->socket;
  (void)!send(fd, x->plain.bytes + x->plain.start, x->plain.size, MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(fd, SHUT_WR);
  for (int i = 0; i < DRAINED_BYTES / (int)sizeof rest; i++)
    if (recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0) break;
}

static enum MHD_Result part(weir_http_exchange *x, const char *data, size_t *size) {
  uint64_t most = x->connection->server->options.body_bytes;
  if (x->over && x->answered) {
    send_plain(x);
    return MHD_NO;
  }
  if (x->body_bytes + *size > most) {
    x->over = true;
    if (x->discards) return MHD_NO;
    weir_http_suspend(x);
    tell(x);
    return MHD_YES;
  }
  if (!x->discards && !x->collects && x->body.size >= BUFFER_BYTES) {
    weir_http_suspend(x);
    return MHD_YES;
  }
  if (!x->discards && !weir_http_buffer_add(&x->body, data, *size)) return MHD_NO;
  x->body_bytes += *size;
  *size = 0;
  tell(x);
  return MHD_YES;
}

static enum MHD_Result whole(weir_http_exchange *x) {
  bool is_new = x->phase != WEIR_HTTP_WHOLE;
  x->phase = WEIR_HTTP_WHOLE;
  if (x->answered) return hand_over(x);
  weir_http_suspend(x);
  if (!x->told)
    announce(x);
  else if (is_new)
    tell(x);
  return MHD_YES;
}

enum MHD_Result weir_http_on_call(void *server, struct MHD_Connection *handle, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **slot) {
  weir_http_exchange *x = *slot;
  (void)server, (void)url, (void)version;
  if (!x) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info && info->socket_context ? first_call(info->socket_context, method, slot) : MHD_NO;
  }
  if (x->gone) return MHD_NO;
  if (x->queued) return MHD_YES;
  if (*size > 0) return part(x, data, size);
  return x->has_body && x->phase == WEIR_HTTP_FRESH ? before_body(x) : whole(x);
}

/* Looking at a request */

const char *weir_http_method(const weir_http_exchange *x) {
  return x->head;
}
const char *weir_http_target(const weir_http_exchange *x) {
  return x->head + strlen(x->head) + 1;
}
bool weir_http_is_gone(const weir_http_exchange *x) {
  return x->gone;
}
bool weir_http_is_over(const weir_http_exchange *x) {
  return !x->connection;
}
bool weir_http_is_answered(const weir_http_exchange *x) {
  return x->begun;
}

bool weir_http_request_header(const weir_http_exchange *x, size_t *cursor, const char **name,
                              const char **value) {
  const char *at = x->head + (*cursor ? *cursor : x->headers);
  if (!*at) return false;
  *name = at;
  *value = at + strlen(at) + 1;
  *cursor = (size_t)(*value + strlen(*value) + 1 - x->head);
  return true;
}

void weir_http_peer(const weir_http_exchange *x, weir_http_peer_name *name) {
  *name = (weir_http_peer_name){ .uid = -1, .pid = -1 };
  if (!x->connection) return;
  name->uid = x->connection->uid;
  name->pid = x->connection->pid;
  if (x->connection->server->port == 0) return;
  const struct sockaddr *at =
      MHD_get_connection_info(x->connection->handle, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  if (at->sa_family == AF_INET) {
    memcpy(&in, at, sizeof in);
    inet_ntop(AF_INET, &in.sin_addr, name->address, sizeof name->address);
    name->port = ntohs(in.sin_port);
  } else if (at->sa_family == AF_INET6) {
    memcpy(&in6, at, sizeof in6);
    inet_ntop(AF_INET6, &in6.sin6_addr, name->address, sizeof name->address);
    name->port = ntohs(in6.sin6_port);
  }
}

/* The body */

static void want_body(weir_http_exchange *x) {
  if (x->wants_body || !x->has_body) return;
  x->wants_body = true;
  if (x->connection && x->phase == WEIR_HTTP_FRESH) weir_http_resume(x);
}

const char *weir_http_body(weir_http_exchange *x, size_t *size) {
  want_body(x);
  *size = x->body.size;
  return x->body.bytes ? x->body.bytes + x->body.start : "";
}

void weir_http_body_take(weir_http_exchange *x, size_t size) {
  bool was_full = x->body.size >= BUFFER_BYTES;
  weir_http_buffer_take(&x->body, size);
  if (was_full && x->connection && x->phase == WEIR_HTTP_RECEIVING && !x->over) weir_http_resume(x);
}

void weir_http_body_collect(weir_http_exchange *x) {
  x->collects = true;
  want_body(x);
  if (x->connection && x->phase == WEIR_HTTP_RECEIVING && !x->over) weir_http_resume(x);
}

weir_status weir_http_body_state(const weir_http_exchange *x) {
  if (x->phase == WEIR_HTTP_WHOLE || !x->has_body) return WEIR_CLOSED;
  if (x->over) return WEIR_LIMIT;
  return x->gone || !x->connection ? WEIR_CANCELLED : WEIR_OK;
}

/* The answer */

static weir_status may_answer(const weir_http_exchange *x, unsigned status) {
  if (x->begun) return WEIR_CONFLICT;
  if (x->gone || !x->connection) return WEIR_CLOSED;
  return status >= 200 && status <= 599 ? WEIR_OK : WEIR_INVALID;
}

static weir_status take_response(weir_http_exchange *x, struct MHD_Response *response) {
  if (!response) return WEIR_LIMIT;
  x->begun = true;
  x->response = response;
  if (x->connection->server->quiet) MHD_add_response_header(response, "Connection", "close");
  return WEIR_OK;
}

static weir_status begin_plain(weir_http_exchange *x, unsigned status, const char *body, size_t size) {
  char line[120];
  int length =
      snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\nConnection: close\r\n",
               status, MHD_get_reason_phrase_for(status), size);
  x->begun = true;
  x->status = status;
  bool kept = weir_http_buffer_add(&x->plain, line, (size_t)length) &&
              weir_http_buffer_add(&x->out, body, size);
  return kept ? WEIR_OK : WEIR_LIMIT;
}

weir_status weir_http_answer(weir_http_exchange *x, unsigned status, const char *body, size_t size) {
  weir_status may = may_answer(x, status);
  if (may != WEIR_OK) return may;
  if (x->over) return begin_plain(x, status, body, size);
  x->status = status;
  return take_response(
      x, MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY));
}

static ssize_t pull(void *context, uint64_t position, char *out, size_t most) {
  weir_http_exchange *x = context;
  (void)position;
  if (x->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
  if (x->out.size == 0 && x->ended) return MHD_CONTENT_READER_END_OF_STREAM;
  if (x->out.size == 0) {
    weir_http_suspend(x);
    return 0;
  }
  size_t size = x->out.size < most ? x->out.size : most;
  bool was_full = weir_http_is_full(x);
  memcpy(out, x->out.bytes + x->out.start, size);
  weir_http_buffer_take(&x->out, size);
  if (was_full && !weir_http_is_full(x)) tell(x);
  return (ssize_t)size;
}

static void stream_done(void *context) {
  weir_http_exchange_release(context);
}

weir_status weir_http_answer_stream(weir_http_exchange *x, unsigned status) {
  weir_status may = may_answer(x, status);
  if (may != WEIR_OK || x->over) return may != WEIR_OK ? may : WEIR_LIMIT;
  x->status = status;
  may = take_response(
      x, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, pull, x, stream_done));
  if (may != WEIR_OK) return may;
  x->streams = true;
  x->holders++; /* the response's */
  return WEIR_OK;
}

weir_status weir_http_answer_header(weir_http_exchange *x, const char *name, const char *value) {
  if (!is_token(name) || strpbrk(value, "\r\n")) return WEIR_INVALID;
  if (!x->over)
    return MHD_add_response_header(x->response, name, value) == MHD_YES ? WEIR_OK : WEIR_INVALID;
  const char *parts[] = { name, ": ", value, "\r\n" };
  for (int i = 0; i < 4; i++)
    if (!weir_http_buffer_add(&x->plain, parts[i], strlen(parts[i]))) return WEIR_LIMIT;
  return WEIR_OK;
}

void weir_http_answer_undo(weir_http_exchange *x) {
  drop_response(x);
  weir_http_buffer_free(&x->plain);
  weir_http_buffer_free(&x->out);
  x->begun = x->streams = false;
}

weir_status weir_http_answer_send(weir_http_exchange *x) {
  if (x->gone || !x->connection) return WEIR_CLOSED;
  if (x->over && !(weir_http_buffer_add(&x->plain, "\r\n", 2) &&
                   weir_http_buffer_add(&x->plain, x->out.bytes + x->out.start, x->out.size)))
    return WEIR_LIMIT;
  x->answered = true;
  if (x->phase == WEIR_HTTP_RECEIVING) x->discards = true;
  weir_http_resume(x);
  return WEIR_OK;
}

bool weir_http_is_full(const weir_http_exchange *x) {
  return x->out.size >= BUFFER_BYTES;
}

weir_status weir_http_write(weir_http_exchange *x, const char *bytes, size_t size) {
  if (x->gone || !x->connection || x->ended) return WEIR_CLOSED;
  if (!weir_http_buffer_add(&x->out, bytes, size)) return WEIR_LIMIT;
  if (x->queued) weir_http_resume(x);
  return WEIR_OK;
}

void weir_http_end_stream(weir_http_exchange *x) {
  if (x->ended) return;
  x->ended = true;
  if (x->connection && x->queued) weir_http_resume(x);
}
