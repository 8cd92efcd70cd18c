/* http_request.c - what a request may say: the method, headers, the URL, and the hosts that may be
 * asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_loop.h"

#define NAME_CHARACTERS "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool weir_http_is_token(const char *text) {
  return *text && text[strspn(text, NAME_CHARACTERS)] == '\0';
}

static bool is_field_value(const weir_http_part *parts, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t at = 0; at < parts[i].size; at++) {
      unsigned char byte = (unsigned char)parts[i].bytes[at];
      if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return false;
    }
  return true;
}

static bool is_framing(const char *name) {
  return strcasecmp(name, "content-length") == 0 || strcasecmp(name, "transfer-encoding") == 0 ||
         strcasecmp(name, "connection") == 0;
}

weir_status weir_http_push_header(weir_http_transfer *t, const char *line) {
  struct curl_slist *longer = curl_slist_append(t->request_headers, line);
  if (!longer) return weir_http_refuse(t, WEIR_LIMIT, "no memory for the headers");
  t->request_headers = longer;
  return WEIR_OK;
}

/* At the front, where those are that another origin never gets. */
static weir_status push_secret_header(weir_http_transfer *t, const char *line) {
  struct curl_slist *first = curl_slist_append(NULL, line);
  if (!first) return weir_http_refuse(t, WEIR_LIMIT, "no memory for the headers");
  first->next = t->request_headers;
  t->request_headers = first;
  t->secret_lines++;
  return WEIR_OK;
}

static void write_line(char *line, const char *name, const weir_http_part *parts, size_t count,
                       size_t value_size) {
  line = stpcpy(stpcpy(line, name),
                value_size > 0 ? ": " : ";"); /* curl's way to say: with an empty value */
  for (size_t i = 0; i < count; i++) line = mempcpy(line, parts[i].bytes, parts[i].size);
  *line = '\0';
}

weir_status weir_http_add_header(weir_http_transfer *t, const char *name, const weir_http_part *parts,
                                 size_t count, bool secret) {
  char text[200];
  if (!weir_http_is_token(name) || !is_field_value(parts, count) || is_framing(name)) {
    const char *why = is_framing(name) ? "is set by the client" : "has a character that is not allowed";
    snprintf(text, sizeof text, "header '%.100s' %s", weir_http_is_token(name) ? name : "?", why);
    return weir_http_refuse(t, WEIR_INVALID, text);
  }
  size_t value_size = 0;
  for (size_t i = 0; i < count; i++) value_size += parts[i].size;
  size_t size = strlen(name) + value_size + 3;
  char *line = malloc(size);
  if (!line) return weir_http_refuse(t, WEIR_LIMIT, "no memory for the headers");
  write_line(line, name, parts, count, value_size);
  weir_status status = secret ? push_secret_header(t, line) : weir_http_push_header(t, line);
  explicit_bzero(line, size);
  free(line);
  return status;
}

static char *url_part(CURLU *url, CURLUPart part, unsigned flags) {
  char *text = NULL;
  return curl_url_get(url, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool matches(const char *host, const char *pattern) {
  if (strncmp(pattern, "*.", 2) != 0) return strcasecmp(host, pattern) == 0;
  size_t size = strlen(host), below = strlen(pattern + 1);
  return size > below && strcasecmp(host + size - below, pattern + 1) == 0;
}

static bool is_allowed_host(const weir_http_transfer *t, const char *host) {
  for (size_t i = 0; i < t->host_count; i++)
    if (matches(host, t->hosts[i])) return true;
  return t->hosts == NULL;
}

bool weir_http_copy_hosts(weir_http_transfer *t, const weir_http_request *request) {
  if (!request->hosts) return true;
  t->hosts = calloc(request->host_count + 1, sizeof *t->hosts);
  if (!t->hosts) return false;
  for (; t->host_count < request->host_count; t->host_count++)
    if (!(t->hosts[t->host_count] = strdup(request->hosts[t->host_count]))) return false;
  return true;
}

void weir_http_free_hosts(weir_http_transfer *t) {
  for (size_t i = 0; i < t->host_count; i++) free(t->hosts[i]);
  free(t->hosts);
}

weir_status weir_http_parse_url(weir_http_transfer *t, const char *text, char *origin,
                                size_t origin_size) {
  CURLU *url = curl_url();
  bool fine = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;
  char *scheme = fine ? url_part(url, CURLUPART_SCHEME, 0) : NULL;
  char *host = fine ? url_part(url, CURLUPART_HOST, 0) : NULL;
  char *port = fine ? url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT) : NULL;
  char *path = fine ? url_part(url, CURLUPART_PATH, 0) : NULL;
  fine =
      scheme && host && port && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
  if (fine) {
    int length = snprintf(origin, origin_size, "%s://%s:%s", scheme, host, port);
    fine = length > 0 && (size_t)length < origin_size; /* a cut one would compare wrongly */
    char *shown = url_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    char shown_host[201], shown_path[201];
    weir_http_copy_shown(t, host, shown_host, sizeof shown_host);
    weir_http_copy_shown(t, path ? path : "", shown_path, sizeof shown_path);
    snprintf(t->label, sizeof t->label, "%s %s://%s%s%s%s", t->method, scheme, shown_host,
             shown ? ":" : "", shown ? shown : "", shown_path);
    curl_free(shown);
  }
  bool allowed = fine && is_allowed_host(t, host);
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_free(path);
  curl_url_cleanup(url);
  return allowed ? WEIR_OK : fine ? WEIR_DENIED : WEIR_INVALID;
}
