/* fuzz_json.c - libFuzzer target: what the reader accepts is written again and must read as the same
 * events; the framer must not split or swallow an accepted object or list. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool grow(weir_json_writer *w, size_t need) {
  char *bytes = realloc(w->bytes, need * 2);
  if (!bytes) abort();
  w->bytes = bytes;
  w->capacity = need * 2;
  return true;
}

static void must(bool holds) {
  if (!holds) abort();
}

/* Writes a text or key without its escapes. */
static void put_text(weir_json_writer *w, const weir_json_reader *r) {
  char *plain = malloc(r->size + 1);
  if (!plain) abort();
  size_t bad, size = weir_json_unescape(r->bytes, r->size, plain);
  must(size <= r->size);
  must(weir_json_put_text(w, plain, size, &bad) == WEIR_OK);
  free(plain);
}

static void put_event(weir_json_writer *w, const weir_json_reader *r, weir_json_event event, bool map) {
  switch (event) {
  case WEIR_JSON_NULL: weir_json_put(w, "null", 4); break;
  case WEIR_JSON_TRUE: weir_json_put(w, "true", 4); break;
  case WEIR_JSON_FALSE: weir_json_put(w, "false", 5); break;
  case WEIR_JSON_INTEGER: weir_json_put_integer(w, r->integer); break;
  case WEIR_JSON_FLOAT: weir_json_put_float(w, r->number); break;
  case WEIR_JSON_LIST_OPEN: weir_json_put(w, "[", 1); break;
  case WEIR_JSON_MAP_OPEN: weir_json_put(w, "{", 1); break;
  case WEIR_JSON_CLOSE: weir_json_put(w, map ? "}" : "]", 1); break;
  default: put_text(w, r); break;
  }
}

/* Reads all of it and writes it without space; false if it is not JSON. */
static bool rewrite(const char *text, size_t size, weir_json_writer *w) {
  weir_json_reader r;
  weir_json_reader_init(&r, text, size, WEIR_JSON_DEPTH);
  bool first = true, after_key = false;
  for (;;) {
    bool map = r.map[r.depth]; /* of the container that a CLOSE closes */
    weir_json_event event = weir_json_next(&r);
    if (event == WEIR_JSON_BAD) {
      must(r.problem && r.problem_at <= size && r.status != WEIR_OK);
      return false;
    }
    if (event == WEIR_JSON_END) return true;
    if (event != WEIR_JSON_CLOSE && !first && !after_key) weir_json_put(w, ",", 1);
    put_event(w, &r, event, map);
    after_key = event == WEIR_JSON_KEY;
    if (after_key) weir_json_put(w, ":", 1);
    first = event == WEIR_JSON_LIST_OPEN || event == WEIR_JSON_MAP_OPEN;
  }
}

static void frames_whole(const weir_json_writer *w) {
  weir_json_framer framer = { 0 };
  size_t used;
  bool framed = weir_json_frame(&framer, w->bytes, w->length, &used);
  must(used == w->length);
  must(framed || weir_json_frame_may_end(&framer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  weir_json_writer once = { .limit = SIZE_MAX, .grow = grow }, twice = once;
  if (rewrite((const char *)data, size, &once)) {
    must(rewrite(once.bytes, once.length, &twice));
    must(once.bytes && twice.bytes && once.length == twice.length);
    must(memcmp(once.bytes, twice.bytes, once.length) == 0);
    frames_whole(&once);
  }
  free(once.bytes);
  free(twice.bytes);
  return 0;
}
