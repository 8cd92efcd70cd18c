/* http_loop.h - the inside of the http client: what http_client.c, http_loop.c, http_message.c and
 * http_request.c share. */
#ifndef WEIR_HTTP_LOOP_H
#define WEIR_HTTP_LOOP_H
#include <curl/curl.h>

#include "http_client.h"

#define WEIR_HTTP_LABEL 520 /* bytes of "GET http://host/path" */

struct weir_http_client {
  uv_loop_t *loop;
  const weir_secrets *secrets;
  CURLM *multi;
  uv_timer_t timer; /* curl's; the client is freed when the loop has closed it */
  weir_http_transfer *first;
  uint32_t running; /* transfers in the multi handle */
};

/* Bytes taken from the front and added at the end. */
typedef struct {
  char *bytes;
  size_t start, size, capacity;
} weir_http_bytes_buffer;

struct weir_http_transfer {
  weir_http_client *client; /* NULL once the client is gone */
  weir_http_transfer *next, *previous;
  void (*notify)(void *context);
  void *context;
  CURL *easy;
  uv_timer_t idle; /* freed with the transfer, when the loop has closed it */
  bool has_idle;   /* the timer is the loop's */
  bool in_loop;    /* the easy handle is in the multi handle */
  /* request */
  char method[24];
  char *url, *request_body;
  size_t request_size;
  struct curl_slist *request_headers; /* those that hold secrets come first */
  size_t secret_lines;
  int redirects, redirects_left;
  int64_t idle_ms;
  int64_t deadline_ms; /* of the loop's clock */
  uint64_t max_bytes;
  weir_addresses addresses;
  char **hosts; /* that may be asked; NULL: any */
  size_t host_count;
  bool has_body;
  char origin[400]; /* scheme://host:port */
  /* answer */
  int status;
  weir_http_bytes_buffer headers, body;
  size_t header_bytes, redirect_bytes;
  uint64_t body_bytes; /* that ever came */
  uint64_t last_ms;    /* last sign of life, of the loop's clock */
  curl_off_t uploaded;
  bool has_headers, has_location, redirecting, collecting, paused, denied, ended;
  weir_status outcome;
  char label[WEIR_HTTP_LABEL];
  char error[CURL_ERROR_SIZE];
  char message[WEIR_HTTP_LABEL + CURL_ERROR_SIZE + 4];
};

/* http_loop.c */
void weir_http_join_client(weir_http_transfer *transfer);
void weir_http_leave_client(weir_http_transfer *transfer); /* frees it */
bool weir_http_join_loop(weir_http_transfer *transfer);
void weir_http_leave_loop(
    weir_http_transfer *transfer); /* idempotent; an unfinished connection is closed */

/* http_client.c */
void weir_http_done(weir_http_transfer *transfer, CURLcode code); /* curl is through */
void weir_http_end(weir_http_transfer *transfer, weir_status status, const char *text); /* idempotent */

/* http_message.c */
/* A text as people may see it: secrets are masked. */
void weir_http_copy_shown(const weir_http_transfer *transfer, const char *text, char *shown, size_t size);
/* The outcome and why; of several the first one stays. */
void weir_http_set_message(weir_http_transfer *transfer, weir_status status, const char *text);
/* The same of what has not begun: it has ended. Gives the outcome. */
weir_status weir_http_refuse(weir_http_transfer *transfer, weir_status status, const char *text);

/* http_request.c */
bool weir_http_is_token(const char *text);
weir_status weir_http_push_header(weir_http_transfer *transfer, const char *line);
/* Takes the URL apart: the origin, for redirects, and the label, for messages. INVALID: not a URL of http;
 * DENIED: of a host that may not be asked. */
weir_status weir_http_parse_url(weir_http_transfer *transfer, const char *text, char *origin, size_t origin_size);
bool weir_http_copy_hosts(weir_http_transfer *transfer, const weir_http_request *request);
void weir_http_free_hosts(weir_http_transfer *transfer);
#endif
