/* json.h - strict JSON (RFC 8259): a pull reader, a writer and a framer, all over memory of the caller.
 *
 * The reader walks over a text and hands out one event a call; what it hands out is checked already
 * (grammar, UTF-8, surrogates, depth). Integers that fit int64 and floats are kept apart. It does not
 * know duplicate keys: whoever builds the map does.
 * The writer puts tokens into a buffer that the caller grows; commas and braces are the caller's.
 * The framer finds where one value of a stream of values ends, before it is read.
 * Any thread; nothing here allocates or raises. */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H
#include "status.h"

#define WEIR_JSON_DEPTH 64                  /* containers inside one another */
#define WEIR_JSON_KEYS 65536                /* keys of one object */
#define WEIR_JSON_BYTES (16u * 1024 * 1024) /* a text, unless told otherwise */

typedef enum {
  WEIR_JSON_END, /* one value was read and only space follows */
  WEIR_JSON_BAD, /* see status, problem, problem_at; final */
  WEIR_JSON_NULL,
  WEIR_JSON_FALSE,
  WEIR_JSON_TRUE,
  WEIR_JSON_INTEGER,
  WEIR_JSON_FLOAT,
  WEIR_JSON_TEXT,
  WEIR_JSON_KEY, /* the value follows */
  WEIR_JSON_LIST_OPEN,
  WEIR_JSON_MAP_OPEN,
  WEIR_JSON_CLOSE,
} weir_json_event;

typedef struct {
  const char *text, *at, *end;
  uint32_t depth; /* open containers, 0..WEIR_JSON_DEPTH */
  uint32_t max_depth;
  uint8_t expect;                /* the reader's */
  bool map[WEIR_JSON_DEPTH + 1]; /* by depth: this container is an object */
  int64_t integer;               /* of INTEGER */
  double number;                 /* of FLOAT, finite */
  const char *bytes;             /* of TEXT and KEY: what stands between the quotes */
  size_t size;
  bool escaped;        /* bytes hold escapes: see weir_json_unescape */
  weir_status status;  /* of BAD: INVALID or LIMIT */
  const char *problem; /* of BAD: static text */
  size_t problem_at;   /* of BAD: bytes from the start of the text */
} weir_json_reader;

/* The text must stay where it is while it is read. max_depth is 1..WEIR_JSON_DEPTH. */
void weir_json_reader_init(weir_json_reader *reader, const char *text, size_t size, uint32_t max_depth);

weir_json_event weir_json_next(weir_json_reader *reader);

/* Make the reader stop with BAD: for what its user finds wrong. Returns WEIR_JSON_BAD. */
weir_json_event weir_json_fail(weir_json_reader *reader, weir_status status, const char *problem,
                               const char *at);

/* Undo the escapes of a TEXT or KEY. `out` has room for `size` bytes; returns how many were written. */
size_t weir_json_unescape(const char *bytes, size_t size, char *out);

/* What was found where the reader failed: "'x'", "byte 0xFF", "the end"; in out or static. */
const char *weir_json_found(const weir_json_reader *reader, char out[16]);

/* Line and column (both from 1; columns are characters) of an offset. Both start from what
 * they hold. */
void weir_json_locate(const char *text, size_t offset, size_t *line, size_t *column);

/* The byte after a well-formed UTF-8 sequence (Unicode, table 3-7) at `at`, or NULL if it is none. */
const char *weir_utf8_next(const char *at, const char *end);

typedef struct weir_json_writer weir_json_writer;
struct weir_json_writer {
  char *bytes;
  size_t length, capacity;
  size_t limit; /* bytes that may be written at most */
  /* Make capacity at least `need` and keep what is written. May leave by raising; false: no memory. */
  bool (*grow)(weir_json_writer *writer, size_t need);
  void *context; /* grow's */
};

/* Each returns WEIR_OK, or WEIR_LIMIT when the buffer cannot grow. A float is written with the fewest
 * digits that read back as the same float, laid out as ECMAScript does (Number::toString), but always
 * with
 * '.' or 'e'; it must be finite. A text that is not UTF-8 is WEIR_INVALID, with *bad its first wrong
 * byte. */
weir_status weir_json_put(weir_json_writer *writer, const char *bytes, size_t size);
weir_status weir_json_put_spaces(weir_json_writer *writer, size_t count);
weir_status weir_json_put_integer(weir_json_writer *writer, int64_t value);
weir_status weir_json_put_float(weir_json_writer *writer, double value);
weir_status weir_json_put_text(weir_json_writer *writer, const char *bytes, size_t size, size_t *bad);

/* A stream of values: objects, lists and texts end with their last byte, other values at space. */
typedef struct {
  uint32_t depth;
  uint8_t state; /* 0: between two values */
} weir_json_framer;

/* Look at the next bytes of the stream. True: a value ends after *used of them; call again with what
 * follows. False: all were looked at (*used is size) and none ends. */
bool weir_json_frame(weir_json_framer *framer, const char *bytes, size_t size, size_t *used);

/* True when the stream may end here as if space followed: between values, or in a number or a name. */
bool weir_json_frame_may_end(const weir_json_framer *framer);
#endif
