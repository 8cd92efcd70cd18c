/* pack.h - MessagePack with exactly one encoding for each value, so that values can be hashed.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md. Of the encodings it allows, the
 * writer uses and the reader accepts one: the shortest integer (never unsigned 64 above INT64_MAX),
 * float 64 for every float (5.0 stays a float), str for text that is UTF-8 and bin for other bytes,
 * the shortest header, map keys that are text, sorted by their bytes and different. NaN is refused.
 * Extensions never stand inside a value; the store uses type 1 for a reference to a blob.
 * Any thread; a buffer has one user at a time. */
#ifndef WEIR_PACK_H
#define WEIR_PACK_H
#include "status.h"

#define WEIR_PACK_DEPTH 64          /* arrays and maps within one another */
#define WEIR_PACK_BYTES (16u << 20) /* of one value */
#define WEIR_PACK_KEYS 65536u       /* of one map */

/* A growing run of bytes. All zero is an empty one. */
typedef struct {
  uint8_t *bytes;
  size_t size;
  size_t capacity;
  bool failed; /* memory ran out: bytes are missing. Sticky until cleared */
} weir_buffer;

void weir_buffer_free(weir_buffer *buffer);  /* and make it an empty one */
void weir_buffer_clear(weir_buffer *buffer); /* empty it, keep the memory */
/* Room for `size` bytes more at the end, counted in; NULL (and failed) when memory ran out. */
uint8_t *weir_buffer_grow(weir_buffer *buffer, size_t size);
void weir_buffer_add(weir_buffer *buffer, const void *bytes, size_t size);

bool weir_is_utf8(const uint8_t *bytes, size_t size);

void weir_pack_nil(weir_buffer *buffer);
void weir_pack_boolean(weir_buffer *buffer, bool value);
void weir_pack_integer(weir_buffer *buffer, int64_t value);
void weir_pack_float(weir_buffer *buffer, double value); /* not NaN */
void weir_pack_text(weir_buffer *buffer, const void *bytes, size_t size);
void weir_pack_array(weir_buffer *buffer, uint32_t count); /* `count` values follow */
void weir_pack_map(weir_buffer *buffer, uint32_t count);   /* `count` pairs follow, sorted */
void weir_pack_extension(weir_buffer *buffer, int8_t type, const void *bytes, uint8_t size);

typedef enum {
  WEIR_PACK_NIL,
  WEIR_PACK_BOOLEAN,
  WEIR_PACK_INTEGER,
  WEIR_PACK_FLOAT,
  WEIR_PACK_TEXT,
  WEIR_PACK_ARRAY,
  WEIR_PACK_MAP,
  WEIR_PACK_EXTENSION,
} weir_pack_kind;

typedef struct {
  weir_pack_kind kind;
  uint32_t size;   /* bytes of a text or extension, values of an array, pairs of a map */
  int64_t integer; /* or 0 and 1 for a boolean, or the type of an extension */
  double number;
  const uint8_t *bytes; /* inside what is read */
} weir_pack_item;

typedef struct {
  const uint8_t *at;
  const uint8_t *end;
} weir_pack_reader;

/* Read one item; of an array or map only the header. False: malformed, cut short, or not the one
 * encoding of its value. A header never promises more values than there are bytes left. */
bool weir_pack_read(weir_pack_reader *reader, weir_pack_item *item);

/* Read past one whole value and check all of it: OK, CORRUPT, or LIMIT (depth, keys). */
weir_status weir_pack_skip(weir_pack_reader *reader);

/* Order of two texts by their bytes, a prefix first: below, at or above 0. */
int weir_pack_compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);
#endif
