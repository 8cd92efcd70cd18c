/* secret.c - the collection of secrets, and the search for them.
 *
 * A text is gone through once. The first two bytes of every value stand in a set of bits, so that nearly all
 * places of a text are passed over without a look at the values, which are tried from the longest on. */
#include "secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define NAME_CHARACTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-./"

typedef struct value {
  struct value *next; /* in the collection, the longest first */
  const weir_secret *of;
  size_t size;
  char bytes[]; /* and a NUL */
} value;

struct weir_secret {
  weir_secret *next;
  const value *now; /* NULL: none */
  char name[WEIR_SECRET_NAME_BYTES + 1];
};

struct weir_secrets {
  weir_secret *first;
  value *values;
  bool any; /* some value is long enough to be looked for */
  uint8_t pairs[65536 / 8];
};

/* Names */

static bool is_name(const char *name) {
  size_t size = strlen(name);
  return size >= 1 && size <= WEIR_SECRET_NAME_BYTES && name[strspn(name, NAME_CHARACTERS)] == '\0';
}

weir_secrets *weir_secrets_new(void) {
  return calloc(1, sizeof(weir_secrets));
}

static void free_values(value *v) {
  while (v != NULL) {
    value *next = v->next;
    explicit_bzero(v, sizeof *v + v->size + 1);
    free(v);
    v = next;
  }
}

void weir_secrets_free(weir_secrets *s) {
  if (s == NULL) return;
  free_values(s->values);
  for (weir_secret *secret = s->first; secret != NULL;) {
    weir_secret *next = secret->next;
    free(secret);
    secret = next;
  }
  explicit_bzero(s, sizeof *s);
  free(s);
}

weir_secret *weir_secret_of(weir_secrets *s, const char *name) {
  for (weir_secret *secret = s->first; secret != NULL; secret = secret->next)
    if (strcmp(secret->name, name) == 0) return secret;
  weir_secret *secret = is_name(name) ? calloc(1, sizeof *secret) : NULL;
  if (secret == NULL) return NULL;
  memcpy(secret->name, name, strlen(name) + 1);
  secret->next = s->first;
  s->first = secret;
  return secret;
}

const char *weir_secret_name(const weir_secret *secret) {
  return secret->name;
}

/* Values */

/* From here on a crash must leave nothing on disk, and nobody else may read our memory or environment. */
static void close_the_curtains(void) {
  struct rlimit none = { 0, 0 };
  (void)setrlimit(RLIMIT_CORE, &none);
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static unsigned pair_at(const char *bytes) {
  return (unsigned)(uint8_t)bytes[0] << 8 | (uint8_t)bytes[1];
}

static void keep(weir_secrets *s, value *v) {
  value **at = &s->values;
  while (*at != NULL && (*at)->size > v->size) at = &(*at)->next;
  v->next = *at;
  *at = v;
  if (v->size < WEIR_SECRET_FOUND_BYTES) return;
  unsigned pair = pair_at(v->bytes);
  s->pairs[pair / 8] |= (uint8_t)(1u << pair % 8);
  s->any = true;
}

const char *weir_secret_value(const weir_secret *secret, size_t *size) {
  *size = secret->now != NULL ? secret->now->size : 0;
  return secret->now != NULL ? secret->now->bytes : NULL;
}

static bool has_value(const weir_secret *secret, const void *bytes, size_t size) {
  const value *now = secret->now;
  return now != NULL && now->size == size && memcmp(now->bytes, bytes, size) == 0;
}

weir_status weir_secret_set(weir_secrets *s, weir_secret *secret, const void *bytes, size_t size) {
  if (size == 0 || memchr(bytes, 0, size) != NULL) return WEIR_INVALID;
  if (size > WEIR_SECRET_BYTES) return WEIR_LIMIT;
  if (has_value(secret, bytes, size)) return WEIR_OK;
  value *v = malloc(sizeof *v + size + 1);
  if (v == NULL) return WEIR_LIMIT;
  close_the_curtains();
  *v = (value){ .of = secret, .size = size };
  memcpy(v->bytes, bytes, size);
  v->bytes[size] = '\0';
  keep(s, v);
  secret->now = v;
  return WEIR_OK;
}

void weir_secret_forget(weir_secret *secret) {
  secret->now = NULL;
}

/* The search */

bool weir_secrets_any(const weir_secrets *s) {
  return s != NULL && s->any;
}

static const value *value_at(const weir_secrets *s, const char *at, size_t left) {
  unsigned pair = pair_at(at);
  if ((s->pairs[pair / 8] & 1u << pair % 8) == 0) return NULL;
  for (const value *v = s->values; v != NULL && v->size >= WEIR_SECRET_FOUND_BYTES; v = v->next)
    if (v->size <= left && memcmp(v->bytes, at, v->size) == 0) return v;
  return NULL;
}

/* The first value in a text from `from` on, and where it stands; NULL: none. */
static const value *next_value(const weir_secrets *s, const char *text, size_t size, size_t from, size_t *place) {
  for (size_t at = from; at + WEIR_SECRET_FOUND_BYTES <= size; at++) {
    const value *v = value_at(s, text + at, size - at);
    if (v == NULL) continue;
    *place = at;
    return v;
  }
  return NULL;
}

bool weir_secrets_find(const weir_secrets *s, const void *text, size_t size) {
  size_t place;
  return weir_secrets_any(s) && next_value(s, text, size, 0, &place) != NULL;
}

static void add_name(const value *v, weir_buffer *out) {
  weir_buffer_add(out, "[secret ", 8);
  weir_buffer_add(out, v->of->name, strlen(v->of->name));
  weir_buffer_add(out, "]", 1);
}

bool weir_secrets_redact(const weir_secrets *s, const void *text, size_t size, weir_buffer *out) {
  const char *bytes = text;
  size_t place, from = 0;
  if (!weir_secrets_any(s)) return false;
  for (const value *v; (v = next_value(s, bytes, size, from, &place)) != NULL; from = place + v->size) {
    weir_buffer_add(out, bytes + from, place - from);
    add_name(v, out);
  }
  if (from > 0) weir_buffer_add(out, bytes + from, size - from);
  return from > 0;
}

/* How many bytes at the end of a text are the beginning of a value, and not all of it; the most that are. */
static size_t open_end(const weir_secrets *s, const char *text, size_t size) {
  size_t most = 0;
  for (const value *v = s->values; v != NULL && v->size >= WEIR_SECRET_FOUND_BYTES; v = v->next) {
    size_t left = size < v->size - 1 ? size : v->size - 1;
    while (left > most && memcmp(text + size - left, v->bytes, left) != 0) left--;
    if (left > most) most = left;
  }
  return most;
}

size_t weir_secrets_filter(const weir_secrets *s, const void *text, size_t size, weir_buffer *out) {
  const char *bytes = text;
  size_t place, from = 0;
  if (!weir_secrets_any(s)) {
    weir_buffer_add(out, text, size);
    return 0;
  }
  for (;;) {
    size_t end = size - open_end(s, bytes + from, size - from);
    const value *v = next_value(s, bytes, size, from, &place);
    if (v == NULL || place >= end) { /* one that begins later may turn out to be part of a longer one */
      weir_buffer_add(out, bytes + from, end - from);
      return size - end;
    }
    weir_buffer_add(out, bytes + from, place - from);
    add_name(v, out);
    from = place + v->size;
  }
}
