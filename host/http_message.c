/* http_message.c - how a transfer says why it failed. */
#include <stdio.h>
#include <string.h>

#include "http_loop.h"

void weir_http_copy_shown(const weir_http_transfer *t, const char *text, char *shown, size_t size) {
  weir_buffer clean = { 0 };
  bool has_secrets = t->client && weir_secrets_redact(t->client->secrets, text, strlen(text) + 1, &clean);
  if (!has_secrets) snprintf(shown, size, "%s", text);
  else snprintf(shown, size, "%s", clean.failed ? "" : (const char *)clean.bytes);
  weir_buffer_free(&clean);
}

void weir_http_set_message(weir_http_transfer *t, weir_status status, const char *text) {
  char shown[CURL_ERROR_SIZE];
  if (t->outcome != WEIR_OK) return; /* the first reason is the one that counts */
  t->outcome = status;
  weir_http_copy_shown(t, text, shown, sizeof shown);
  snprintf(t->message, sizeof t->message, "%s: %s", t->label, shown);
}

weir_status weir_http_refuse(weir_http_transfer *t, weir_status status, const char *text) {
  weir_http_set_message(t, status, text);
  t->ended = true;
  return t->outcome;
}
