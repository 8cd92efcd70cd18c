/* http_client.c - transfers: setting up, redirects, the buffer, limits. http_request.c knows what a request may
 * say; http_loop.c drives them. */
#include "http_client.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http_loop.h"

#define REDIRECT_BODY_BYTES (64 * 1024) /* of a redirect's body, which nobody reads */
#define HOST_DENIED "the host is not among those that may be asked; see the option hosts"

void weir_http_end(weir_http_transfer *t, weir_status status, const char *text) {
  if (t->ended) return;
  if (status != WEIR_OK) weir_http_set_message(t, status, text);
  t->ended = true;
  weir_http_leave_loop(t);
  t->notify(t->context);
}

static bool reserve(weir_http_bytes_buffer *b, size_t more) {
  if (b->capacity - b->start - b->size >= more) return true;
  if (b->start) memmove(b->bytes, b->bytes + b->start, b->size);
  b->start = 0;
  if (b->capacity - b->size >= more) return true;
  size_t capacity = b->capacity ? b->capacity * 2 : 4096;
  while (capacity - b->size < more) capacity *= 2;
  char *bytes = realloc(b->bytes, capacity);
  if (!bytes) return false;
  b->bytes = bytes;
  b->capacity = capacity;
  return true;
}

static bool append(weir_http_bytes_buffer *b, const char *bytes, size_t size) {
  if (!reserve(b, size)) return false;
  memcpy(b->bytes + b->start + b->size, bytes, size);
  b->size += size;
  return true;
}

/* The answer */

static size_t stop_with(weir_http_transfer *t, weir_status status, const char *text) {
  weir_http_set_message(t, status, text);
  return 0; /* fewer bytes than given: curl ends the transfer */
}

static bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* An empty line: the headers of one answer are complete. Those of 1xx and of redirects are
 * passed over. */
static void complete_headers(weir_http_transfer *t) {
  long status = 0;
  const char *location = NULL;
  curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
  t->status = (int)status;
  if (t->status < 200 && t->status != 101) return;
  curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
  t->redirecting = t->redirects > 0 && is_redirect(t->status) && t->has_location;
  if (t->redirecting) return;
  const char *url = NULL;
  curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
  if (url && strcmp(url, t->url) != 0) {
    free(t->url);
    t->url = strdup(url);
  }
  t->has_headers = true;
  t->notify(t->context);
}

static const char *skip_blank(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t')) at++;
  return at;
}

static const char *trim_end(const char *start, const char *end) {
  while (end > start && strchr(" \t\r\n", end[-1])) end--;
  return end;
}

/* Headers are kept as name NUL value NUL. A line that begins with a blank continues the one before. */
static bool keep_header(weir_http_transfer *t, const char *line, const char *end) {
  const char *colon = memchr(line, ':', (size_t)(end - line));
  if (strchr(" \t", *line) && t->headers.size > 0) {
    line = skip_blank(line, end);
    t->headers.bytes[t->headers.start + t->headers.size - 1] = ' ';
    return append(&t->headers, line, (size_t)(end - line)) && append(&t->headers, "", 1);
  }
  if (!colon) return true; /* not a header: passed over */
  const char *name_end = trim_end(line, colon), *value = skip_blank(colon + 1, end);
  if (!reserve(&t->headers, (size_t)(end - line) + 2)) return false;
  for (const char *at = line; at < name_end; at++) {
    char lower = (char)tolower((unsigned char)*at);
    append(&t->headers, &lower, 1);
  }
  append(&t->headers, "", 1);
  append(&t->headers, value, (size_t)(end - value));
  append(&t->headers, "", 1);
  if (name_end - line == 8 && strncasecmp(line, "location", 8) == 0) t->has_location = true;
  return true;
}

static size_t on_header(char *line, size_t one, size_t size, void *context) {
  weir_http_transfer *t = context;
  (void)one;
  t->last_ms = uv_now(t->client->loop);
  t->header_bytes += size;
  if (t->header_bytes > WEIR_HTTP_HEADER_BYTES)
    return stop_with(t, WEIR_LIMIT, "the headers pass 256 KiB");
  if (t->has_headers) return size; /* trailers */
  const char *end = trim_end(line, line + size);
  if (end == line) {
    complete_headers(t);
  } else if (size > 5 && memcmp(line, "HTTP/", 5) == 0) {
    t->headers.size = 0;
    t->has_location = false;
  } else if (!keep_header(t, line, end)) {
    return stop_with(t, WEIR_LIMIT, "no memory for the headers");
  }
  return size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
  weir_http_transfer *t = context;
  (void)one;
  t->last_ms = uv_now(t->client->loop);
  if (t->redirecting) {
    t->redirect_bytes += size;
    if (t->redirect_bytes <= REDIRECT_BODY_BYTES) return size;
    return stop_with(t, WEIR_LIMIT, "the body of a redirect passes 64 KiB");
  }
  if (!t->collecting && t->body.size > 0 && t->body.size + size > WEIR_HTTP_BUFFER_BYTES) {
    t->paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (size > t->max_bytes - t->body_bytes) {
    snprintf(t->error, sizeof t->error, "the body passes %llu bytes; raise max_bytes",
             (unsigned long long)t->max_bytes);
    return stop_with(t, WEIR_LIMIT, t->error);
  }
  if (!append(&t->body, bytes, size)) return stop_with(t, WEIR_LIMIT, "no memory for the body");
  t->body_bytes += size;
  if (!t->collecting) t->notify(t->context);
  return size;
}

/* Uploading is a sign of life too. */
static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up) {
  weir_http_transfer *t = context;
  (void)total, (void)now, (void)up_total;
  if (up != t->uploaded) t->last_ms = uv_now(t->client->loop);
  t->uploaded = up;
  return 0;
}

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
  weir_http_transfer *t = context;
  (void)purpose;
  if (!weir_address_allowed(&address->addr, t->addresses)) {
    t->denied = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection that is used again may have been opened under another policy. */
static int on_connected(void *context, char *address, char *local, int port, int local_port) {
  weir_http_transfer *t = context;
  (void)local, (void)port, (void)local_port;
  if (weir_address_text_allowed(address, t->addresses)) return CURL_PREREQFUNC_OK;
  t->denied = true;
  return CURL_PREREQFUNC_ABORT;
}

/* Setting up */

weir_http_transfer *weir_http_new(weir_http_client *client, void (*notify)(void *), void *context) {
  weir_http_transfer *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->client = client;
  t->notify = notify;
  t->context = context;
  snprintf(t->label, sizeof t->label, "http request");
  weir_http_join_client(t);
  return t;
}

#define SET(option, value) (fine = fine && curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static bool set_method(weir_http_transfer *t) {
  bool fine = true;
  bool sends = t->has_body || strcmp(t->method, "POST") == 0 || strcmp(t->method, "PUT") == 0 ||
               strcmp(t->method, "PATCH") == 0;
  SET(CURLOPT_POSTFIELDS, NULL);
  SET(CURLOPT_HTTPGET, 1L);
  if (sends) {
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, t->has_body ? t->request_body : "");
    SET(CURLOPT_POSTFIELDSIZE_LARGE, t->has_body ? (curl_off_t)t->request_size : (curl_off_t)0);
  }
  SET(CURLOPT_NOBODY, strcmp(t->method, "HEAD") == 0 ? 1L : 0L);
  SET(CURLOPT_CUSTOMREQUEST, t->method);
  return fine;
}

static bool set_callbacks(weir_http_transfer *t) {
  bool fine = true;
  SET(CURLOPT_PRIVATE, t);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, t);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, t);
  SET(CURLOPT_XFERINFOFUNCTION, on_progress);
  SET(CURLOPT_XFERINFODATA, t);
  SET(CURLOPT_NOPROGRESS, 0L);
  SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
  SET(CURLOPT_OPENSOCKETDATA, t);
  if (t->addresses != WEIR_ADDRESSES_ANY) {
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, t);
  }
  return fine;
}

static bool set_limits(weir_http_transfer *t, const weir_http_request *request) {
  bool fine = true;
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_FOLLOWLOCATION, 0L); /* redirects are ours: curl would send our headers along */
  SET(CURLOPT_PROXY, "");          /* none, whatever the environment says */
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs must not hold up a cancel */
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
  SET(CURLOPT_ERRORBUFFER, t->error);
  SET(CURLOPT_USERAGENT, "weir");
  return fine;
}

static bool set_url(weir_http_transfer *t) {
  bool fine = true;
  SET(CURLOPT_URL, t->url);
  SET(CURLOPT_HTTPHEADER, t->request_headers);
  int64_t left_ms = t->deadline_ms - (int64_t)uv_now(t->client->loop);
  SET(CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
  return fine;
}

static bool copy_request(weir_http_transfer *t, const weir_http_request *request) {
  snprintf(t->method, sizeof t->method, "%s", request->method);
  t->url = strdup(request->url);
  t->has_body = request->body != NULL;
  t->request_size = request->body_size;
  if (t->has_body) t->request_body = malloc(request->body_size + 1);
  if (!t->url || (t->has_body && !t->request_body) || !weir_http_copy_hosts(t, request)) return false;
  if (t->has_body) memcpy(t->request_body, request->body, request->body_size);
  t->max_bytes = request->max_bytes;
  t->redirects = t->redirects_left = request->redirects;
  t->addresses = request->addresses;
  t->idle_ms = request->idle_ms;
  uv_update_time(t->client->loop);
  t->last_ms = uv_now(t->client->loop);
  t->deadline_ms = (int64_t)t->last_ms + request->timeout_ms;
  return true;
}

/* A name without a value takes out what curl would add: asking before it sends a large body, and
 * calling every body a form. */
static bool silence_curl(weir_http_transfer *t) {
  bool typed = false;
  for (struct curl_slist *line = t->request_headers; line; line = line->next)
    typed = typed || strncasecmp(line->data, "content-type:", 13) == 0;
  return weir_http_push_header(t, "Expect:") == WEIR_OK && (typed || weir_http_push_header(t, "Content-Type:") == WEIR_OK);
}

weir_status weir_http_start(weir_http_transfer *t, const weir_http_request *request) {
  if (!t->client) return weir_http_refuse(t, WEIR_CLOSED, "the client is closed");
  if (!weir_http_is_token(request->method) || strlen(request->method) >= sizeof t->method)
    return weir_http_refuse(t, WEIR_INVALID, "the method must be a short token such as GET");
  if (!copy_request(t, request)) return weir_http_refuse(t, WEIR_LIMIT, "no memory for the request");
  weir_status status = weir_http_parse_url(t, t->url, t->origin, sizeof t->origin);
  if (status == WEIR_DENIED) return weir_http_refuse(t, status, HOST_DENIED);
  if (status != WEIR_OK) return weir_http_refuse(t, status, "the url must be http://... or https://...");
  t->easy = curl_easy_init();
  if (!t->easy || !silence_curl(t) || !set_limits(t, request) || !set_callbacks(t) || !set_method(t) ||
      !set_url(t) || !weir_http_join_loop(t))
    return weir_http_refuse(t, WEIR_UNAVAILABLE, "libcurl refuses the request");
  return WEIR_OK;
}

/* Redirects */

static bool is_harmless(const char *line) {
  static const char *const names[] = { "accept:",       "accept-language:", "accept-encoding:",
                                       "content-type:", "user-agent:",      "expect:" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strncasecmp(line, names[i], strlen(names[i])) == 0) return true;
  return false;
}

/* Those with secrets come first. */
static void free_headers(weir_http_transfer *t) {
  struct curl_slist *line = t->request_headers;
  for (; t->secret_lines > 0; t->secret_lines--, line = line->next) explicit_bzero(line->data, strlen(line->data));
  curl_slist_free_all(t->request_headers);
  t->request_headers = NULL;
}

/* Another origin gets no header that may be a key: only those that are known not to be. */
static bool drop_credentials(weir_http_transfer *t) {
  struct curl_slist *kept = NULL;
  size_t place = 0;
  for (struct curl_slist *line = t->request_headers; line; line = line->next) {
    if (place++ < t->secret_lines || !is_harmless(line->data)) continue;
    struct curl_slist *longer = curl_slist_append(kept, line->data);
    if (!longer) {
      curl_slist_free_all(kept);
      return false;
    }
    kept = longer;
  }
  curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
  free_headers(t);
  t->request_headers = kept;
  return true;
}

/* 303 asks for GET, and so, by custom, do 301 and 302 after POST (RFC 9110, 15.4). */
static void change_method(weir_http_transfer *t) {
  bool was_post = strcmp(t->method, "POST") == 0, was_head = strcmp(t->method, "HEAD") == 0;
  if (was_head || !(t->status == 303 || (was_post && (t->status == 301 || t->status == 302)))) return;
  snprintf(t->method, sizeof t->method, "GET");
  t->has_body = false;
}

static weir_status go_to(weir_http_transfer *t, const char *location) {
  char origin[sizeof t->origin];
  char *url = strdup(location);
  if (!url) return WEIR_LIMIT;
  free(t->url);
  t->url = url;
  change_method(t);
  weir_status status = weir_http_parse_url(t, t->url, origin, sizeof origin);
  if (status != WEIR_OK) return status;
  if (strcmp(origin, t->origin) != 0 && !drop_credentials(t)) return WEIR_LIMIT;
  memcpy(t->origin, origin, sizeof origin);
  return set_method(t) && set_url(t) && weir_http_join_loop(t) ? WEIR_OK : WEIR_UNAVAILABLE;
}

static const char *why_not_followed(weir_status status) {
  switch (status) {
  case WEIR_DENIED: return "redirected here: " HOST_DENIED;
  case WEIR_INVALID: return "redirected to a url that is not of http or https";
  case WEIR_LIMIT: return "no memory for the redirect";
  default: return "libcurl refuses the redirect";
  }
}

static void follow(weir_http_transfer *t) {
  char text[100];
  const char *location = NULL;
  curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
  if (t->redirects_left-- == 0) {
    snprintf(text, sizeof text, "more than %d redirects", t->redirects);
    weir_http_end(t, WEIR_LIMIT, text);
    return;
  }
  weir_http_leave_loop(t);
  t->redirecting = false;
  t->headers.size = 0;
  t->header_bytes = t->redirect_bytes = 0;
  weir_status status = location ? go_to(t, location) : WEIR_INVALID;
  if (status != WEIR_OK) weir_http_end(t, status, why_not_followed(status));
}

static weir_status status_of(CURLcode code) {
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT: return WEIR_TIMEOUT;
  case CURLE_URL_MALFORMAT: return WEIR_INVALID;
  case CURLE_OUT_OF_MEMORY:
  case CURLE_FILESIZE_EXCEEDED: return WEIR_LIMIT;
  default: return WEIR_UNAVAILABLE;
  }
}

void weir_http_done(weir_http_transfer *t, CURLcode code) {
  if (t->redirecting && t->outcome == WEIR_OK && code == CURLE_OK) {
    follow(t);
  } else if (t->denied) {
    weir_http_end(t, WEIR_DENIED, "the address is not allowed; see the option addresses");
  } else if (code == CURLE_OK) {
    weir_http_end(t, WEIR_OK, "");
  } else {
    weir_http_end(t, status_of(code), t->error[0] ? t->error : curl_easy_strerror(code));
  }
}

/* What its owner sees */

bool weir_http_has_headers(const weir_http_transfer *t) {
  return t->has_headers;
}
bool weir_http_has_ended(const weir_http_transfer *t) {
  return t->ended;
}
int weir_http_status(const weir_http_transfer *t) {
  return t->status;
}
const char *weir_http_url(const weir_http_transfer *t) {
  return t->url ? t->url : "";
}
weir_status weir_http_outcome(const weir_http_transfer *t) {
  return t->outcome;
}
const char *weir_http_message(const weir_http_transfer *t) {
  return t->message;
}

bool weir_http_next_header(const weir_http_transfer *t, size_t *cursor, const char **name,
                           const char **value) {
  if (*cursor >= t->headers.size) return false;
  *name = t->headers.bytes + t->headers.start + *cursor;
  *value = *name + strlen(*name) + 1;
  *cursor += strlen(*name) + strlen(*value) + 2;
  return true;
}

const char *weir_http_bytes(const weir_http_transfer *t, size_t *size) {
  *size = t->body.size;
  return t->body.bytes ? t->body.bytes + t->body.start : "";
}

static void resume(weir_http_transfer *t) {
  t->paused = false;
  t->last_ms = uv_now(t->client->loop);
  curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

void weir_http_take(weir_http_transfer *t, size_t size) {
  t->body.start += size;
  t->body.size -= size;
  if (t->body.size == 0) t->body.start = 0;
  if (t->paused && !t->ended && t->body.size < WEIR_HTTP_BUFFER_BYTES / 2) resume(t);
}

void weir_http_collect(weir_http_transfer *t) {
  t->collecting = true;
  if (t->paused && !t->ended) resume(t);
}

void weir_http_close(weir_http_transfer *t) {
  weir_http_leave_loop(t);
  if (t->easy) curl_easy_cleanup(t->easy);
  free_headers(t);
  weir_http_free_hosts(t);
  free(t->request_body);
  free(t->url);
  free(t->headers.bytes);
  free(t->body.bytes);
  weir_http_leave_client(t); /* frees the transfer */
}
