/* http_client.h - HTTP requests on the host's loop, by libcurl's multi interface.
 *
 * A client holds the connections, which are used again; a transfer is one request and its answer, over
 * up to three redirects. What arrives waits in a bounded buffer: when nobody takes it, the transfer is
 * paused and the sender feels it. Ending a transfer early closes its connection at once. http and https
 * only, no proxy, the connected address is checked. A header may hold the values of secrets: it is not sent to
 * another origin, and what libcurl allocates is wiped when it is freed. Host thread only. `notify` is a hint to look again,
 * may come at any time from the loop, and must neither raise nor end a transfer. All handles are
 * unref'd: whoever waits keeps the loop going. */
#ifndef WEIR_HTTP_CLIENT_H
#define WEIR_HTTP_CLIENT_H
#include <uv.h>

#include "http_address.h"
#include "secret.h"
#include "status.h"

#define WEIR_HTTP_REDIRECTS 3
/* Of all headers and trailers of an answer; libcurl itself gives up past 300 KiB. */
#define WEIR_HTTP_HEADER_BYTES (256 * 1024)
#define WEIR_HTTP_BODY_BYTES (64 * 1024 * 1024) /* of a body, unless told otherwise */
#define WEIR_HTTP_BUFFER_BYTES (256 * 1024)     /* that wait to be taken */

typedef struct weir_http_client weir_http_client;
typedef struct weir_http_transfer weir_http_transfer;

/* NULL: no memory. Freeing ends all transfers, whose owners still close them. No message shows a value of
 * `secrets`, which outlives the client. */
weir_http_client *weir_http_client_new(uv_loop_t *loop, const weir_secrets *secrets);
void weir_http_client_free(weir_http_client *client);
uint32_t weir_http_client_open(const weir_http_client *client); /* transfers that have not ended */

typedef struct {
  const char *method; /* a token, such as "GET" */
  const char *url;
  const char *body; /* copied; NULL: none */
  size_t body_size;
  int64_t timeout_ms, idle_ms, connect_ms; /* the whole; between two signs of life; until connected */
  uint64_t max_bytes;                      /* of the body */
  int redirects; /* to follow, 0..WEIR_HTTP_REDIRECTS; 0: hand the answer out */
  weir_addresses addresses;
  /* Names that may be asked, also by a redirect: "example.org", "*.example.org" for all below one; copied.
   * NULL: any. */
  const char *const *hosts;
  size_t host_count;
} weir_http_request;

/* Made, given headers, started; NULL: no memory. Closing is due whatever happened in between. */
weir_http_transfer *weir_http_new(weir_http_client *client, void (*notify)(void *context),
                                  void *context);
typedef struct {
  const char *bytes;
  size_t size;
} weir_http_part;

/* A header whose value is all parts in one; `secret`: some of them are. Copied. */
weir_status weir_http_add_header(weir_http_transfer *transfer, const char *name, const weir_http_part *parts,
                                 size_t count, bool secret);
weir_status weir_http_start(weir_http_transfer *transfer, const weir_http_request *request);
void weir_http_close(weir_http_transfer *transfer);

/* The answer. Headers are there, or the transfer has ended, or neither yet. */
bool weir_http_has_headers(const weir_http_transfer *transfer);
bool weir_http_has_ended(const weir_http_transfer *transfer);
int weir_http_status(const weir_http_transfer *transfer);
const char *weir_http_url(const weir_http_transfer *transfer); /* the one that answered */
/* Go through the headers: *cursor begins as 0; false at the end. Names are lower case. */
bool weir_http_next_header(const weir_http_transfer *transfer, size_t *cursor, const char **name,
                           const char **value);

/* Bytes that wait; take them from the front (at most those that wait). */
const char *weir_http_bytes(const weir_http_transfer *transfer, size_t *size);
void weir_http_take(weir_http_transfer *transfer, size_t size);
/* From now on buffer the whole body (max_bytes at most) and notify at its end only. */
void weir_http_collect(weir_http_transfer *transfer);

/* How it went, or why it could not start: WEIR_OK, INVALID, TIMEOUT, LIMIT, DENIED, UNAVAILABLE. */
weir_status weir_http_outcome(const weir_http_transfer *transfer);
/* What happened, where ("GET http://host/path: ..."); without query and user, which may be secret. */
const char *weir_http_message(const weir_http_transfer *transfer);
#endif
