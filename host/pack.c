/* pack.c - writer and reader of the store's values. */
#include "pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void weir_buffer_free(weir_buffer *buffer) {
  free(buffer->bytes);
  memset(buffer, 0, sizeof *buffer);
}

void weir_buffer_clear(weir_buffer *buffer) {
  buffer->size = 0;
  buffer->failed = false;
}

static bool enlarge(weir_buffer *buffer, size_t needed) {
  size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
  while (capacity < needed && capacity <= SIZE_MAX / 2) capacity *= 2;
  uint8_t *bytes = capacity < needed ? NULL : realloc(buffer->bytes, capacity);
  if (bytes == NULL) {
    buffer->failed = true;
    return false;
  }
  buffer->bytes = bytes;
  buffer->capacity = capacity;
  return true;
}

uint8_t *weir_buffer_grow(weir_buffer *buffer, size_t size) {
  if (size > buffer->capacity - buffer->size) {
    if (size > SIZE_MAX - buffer->size) buffer->failed = true;
    if (buffer->failed || !enlarge(buffer, buffer->size + size)) return NULL;
  }
  uint8_t *at = buffer->bytes + buffer->size;
  buffer->size += size;
  return at;
}

void weir_buffer_add(weir_buffer *buffer, const void *bytes, size_t size) {
  if (size == 0) return;
  uint8_t *at = weir_buffer_grow(buffer, size);
  if (at != NULL) memcpy(at, bytes, size);
}

/* One sequence of RFC 3629; 0 when it is none. */
static size_t utf8_length(const uint8_t *s, size_t left) {
  uint8_t c = s[0];
  if (c < 0x80) return 1;
  if (c < 0xC2 || c > 0xF4) return 0;
  size_t length = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (left < length) return 0;
  for (size_t i = 1; i < length; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if (c == 0xE0 && s[1] < 0xA0) return 0; /* longer than needed */
  if (c == 0xED && s[1] > 0x9F) return 0; /* a surrogate */
  if (c == 0xF0 && s[1] < 0x90) return 0; /* longer than needed */
  if (c == 0xF4 && s[1] > 0x8F) return 0; /* above U+10FFFF */
  return length;
}

bool weir_is_utf8(const uint8_t *bytes, size_t size) {
  size_t i = 0;
  while (i < size) {
    uint64_t word;
    while (size - i >= 8 && (memcpy(&word, bytes + i, 8), (word & 0x8080808080808080u) == 0)) i += 8;
    if (i == size) break;
    size_t length = utf8_length(bytes + i, size - i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

/* A lead byte and a big-endian number of `width` bytes. */
static void put_number(weir_buffer *buffer, uint8_t lead, uint64_t value, unsigned width) {
  uint8_t *at = weir_buffer_grow(buffer, 1 + width);
  if (at == NULL) return;
  at[0] = lead;
  for (unsigned i = width; i > 0; i--, value >>= 8) at[i] = (uint8_t)value;
}

void weir_pack_nil(weir_buffer *buffer) {
  put_number(buffer, 0xC0, 0, 0);
}

void weir_pack_boolean(weir_buffer *buffer, bool value) {
  put_number(buffer, value ? 0xC3 : 0xC2, 0, 0);
}

void weir_pack_integer(weir_buffer *buffer, int64_t value) {
  uint64_t bits = (uint64_t)value;
  if (value >= -32 && value < 128)
    put_number(buffer, (uint8_t)bits, 0, 0);
  else if (value >= 0 && value <= UINT8_MAX)
    put_number(buffer, 0xCC, bits, 1);
  else if (value >= 0 && value <= UINT16_MAX)
    put_number(buffer, 0xCD, bits, 2);
  else if (value >= 0 && value <= UINT32_MAX)
    put_number(buffer, 0xCE, bits, 4);
  else if (value >= 0)
    put_number(buffer, 0xCF, bits, 8);
  else if (value >= INT8_MIN)
    put_number(buffer, 0xD0, bits, 1);
  else if (value >= INT16_MIN)
    put_number(buffer, 0xD1, bits, 2);
  else if (value >= INT32_MIN)
    put_number(buffer, 0xD2, bits, 4);
  else
    put_number(buffer, 0xD3, bits, 8);
}

void weir_pack_float(weir_buffer *buffer, double value) {
  uint64_t bits;
  memcpy(&bits, &value, 8);
  put_number(buffer, 0xCB, bits, 8);
}

void weir_pack_text(weir_buffer *buffer, const void *bytes, size_t size) {
  if (size > WEIR_PACK_BYTES) {
    buffer->failed = true;
    return;
  }
  bool text = weir_is_utf8(bytes, size);
  if (text && size < 32)
    put_number(buffer, (uint8_t)(0xA0 | size), 0, 0);
  else if (size <= UINT8_MAX)
    put_number(buffer, text ? 0xD9 : 0xC4, size, 1);
  else if (size <= UINT16_MAX)
    put_number(buffer, text ? 0xDA : 0xC5, size, 2);
  else
    put_number(buffer, text ? 0xDB : 0xC6, size, 4);
  weir_buffer_add(buffer, bytes, size);
}

void weir_pack_array(weir_buffer *buffer, uint32_t count) {
  if (count < 16)
    put_number(buffer, (uint8_t)(0x90 | count), 0, 0);
  else if (count <= UINT16_MAX)
    put_number(buffer, 0xDC, count, 2);
  else
    put_number(buffer, 0xDD, count, 4);
}

void weir_pack_map(weir_buffer *buffer, uint32_t count) {
  if (count < 16)
    put_number(buffer, (uint8_t)(0x80 | count), 0, 0);
  else if (count <= UINT16_MAX)
    put_number(buffer, 0xDE, count, 2);
  else
    put_number(buffer, 0xDF, count, 4);
}

void weir_pack_extension(weir_buffer *buffer, int8_t type, const void *bytes, uint8_t size) {
  put_number(buffer, 0xC7, size, 1);
  weir_buffer_add(buffer, &type, 1);
  weir_buffer_add(buffer, bytes, size);
}

static bool get_number(weir_pack_reader *reader, unsigned width, uint64_t *value) {
  if ((size_t)(reader->end - reader->at) < width) return false;
  uint64_t sum = 0;
  for (unsigned i = 0; i < width; i++) sum = sum << 8 | reader->at[i];
  reader->at += width;
  *value = sum;
  return true;
}

/* The bytes of a text, which must be written as what it is: str if it is UTF-8, else bin. */
static bool read_text(weir_pack_reader *reader, weir_pack_item *item, uint64_t size, bool is_str) {
  if (size > (uint64_t)(reader->end - reader->at)) return false;
  item->kind = WEIR_PACK_TEXT;
  item->size = (uint32_t)size;
  item->bytes = reader->at;
  reader->at += size;
  return weir_is_utf8(item->bytes, item->size) == is_str;
}

static bool read_sized_text(weir_pack_reader *reader, weir_pack_item *item, unsigned width,
                            bool is_str) {
  static const uint64_t least_str[] = { 0, 32, 256, 0, 65536 }, least_bin[] = { 0, 0, 256, 0, 65536 };
  uint64_t size;
  if (!get_number(reader, width, &size)) return false;
  if (size < (is_str ? least_str : least_bin)[width]) return false; /* a shorter header would do */
  return read_text(reader, item, size, is_str);
}

static bool read_group(weir_pack_reader *reader, weir_pack_item *item, weir_pack_kind kind,
                       unsigned width, uint64_t count) {
  if (width > 0 && (!get_number(reader, width, &count) || count < (width == 2 ? 16 : 65536)))
    return false;
  item->kind = kind;
  item->size = (uint32_t)count;
  return count * (kind == WEIR_PACK_MAP ? 2 : 1) <= (uint64_t)(reader->end - reader->at);
}

static bool read_unsigned(weir_pack_reader *reader, weir_pack_item *item, unsigned width,
                          uint64_t least) {
  uint64_t value;
  if (!get_number(reader, width, &value) || value < least || value > INT64_MAX) return false;
  item->kind = WEIR_PACK_INTEGER;
  item->integer = (int64_t)value;
  return true;
}

static bool read_negative(weir_pack_reader *reader, weir_pack_item *item, unsigned width,
                          int64_t below) {
  uint64_t bits;
  if (!get_number(reader, width, &bits) || (bits >> (8 * width - 1)) == 0)
    return false; /* not negative */
  if (width < 8) bits |= UINT64_MAX << (8 * width);
  item->kind = WEIR_PACK_INTEGER;
  memcpy(&item->integer, &bits, 8);
  return item->integer < below;
}

static bool read_float(weir_pack_reader *reader, weir_pack_item *item) {
  uint64_t bits;
  if (!get_number(reader, 8, &bits)) return false;
  item->kind = WEIR_PACK_FLOAT;
  memcpy(&item->number, &bits, 8);
  return !isnan(item->number);
}

static bool read_extension(weir_pack_reader *reader, weir_pack_item *item) {
  uint64_t size;
  if (!get_number(reader, 1, &size) || size + 1 > (uint64_t)(reader->end - reader->at)) return false;
  item->kind = WEIR_PACK_EXTENSION;
  uint8_t type = *reader->at++;
  item->integer = type < 128 ? type : (int64_t)type - 256;
  item->size = (uint32_t)size;
  item->bytes = reader->at;
  reader->at += size;
  return true;
}

static bool read_constant(weir_pack_item *item, weir_pack_kind kind, int64_t value) {
  item->kind = kind;
  item->integer = value;
  return true;
}

bool weir_pack_read(weir_pack_reader *reader, weir_pack_item *item) {
  if (reader->at == reader->end) return false;
  uint8_t lead = *reader->at++;
  if (lead < 0x80) return read_constant(item, WEIR_PACK_INTEGER, lead);
  if (lead >= 0xE0) return read_constant(item, WEIR_PACK_INTEGER, (int64_t)lead - 256);
  if (lead < 0x90) return read_group(reader, item, WEIR_PACK_MAP, 0, lead & 15);
  if (lead < 0xA0) return read_group(reader, item, WEIR_PACK_ARRAY, 0, lead & 15);
  if (lead < 0xC0) return read_text(reader, item, lead & 31, true);
  switch (lead) {
  case 0xC0:
    return read_constant(item, WEIR_PACK_NIL, 0);
  case 0xC2:
    return read_constant(item, WEIR_PACK_BOOLEAN, 0);
  case 0xC3:
    return read_constant(item, WEIR_PACK_BOOLEAN, 1);
  case 0xC4:
    return read_sized_text(reader, item, 1, false);
  case 0xC5:
    return read_sized_text(reader, item, 2, false);
  case 0xC6:
    return read_sized_text(reader, item, 4, false);
  case 0xC7:
    return read_extension(reader, item);
  case 0xCB:
    return read_float(reader, item);
  case 0xCC:
    return read_unsigned(reader, item, 1, 128);
  case 0xCD:
    return read_unsigned(reader, item, 2, 1u << 8);
  case 0xCE:
    return read_unsigned(reader, item, 4, 1u << 16);
  case 0xCF:
    return read_unsigned(reader, item, 8, (uint64_t)1 << 32);
  case 0xD0:
    return read_negative(reader, item, 1, -32);
  case 0xD1:
    return read_negative(reader, item, 2, INT8_MIN);
  case 0xD2:
    return read_negative(reader, item, 4, INT16_MIN);
  case 0xD3:
    return read_negative(reader, item, 8, INT32_MIN);
  case 0xD9:
    return read_sized_text(reader, item, 1, true);
  case 0xDA:
    return read_sized_text(reader, item, 2, true);
  case 0xDB:
    return read_sized_text(reader, item, 4, true);
  case 0xDC:
    return read_group(reader, item, WEIR_PACK_ARRAY, 2, 0);
  case 0xDD:
    return read_group(reader, item, WEIR_PACK_ARRAY, 4, 0);
  case 0xDE:
    return read_group(reader, item, WEIR_PACK_MAP, 2, 0);
  case 0xDF:
    return read_group(reader, item, WEIR_PACK_MAP, 4, 0);
  default:
    return false;
  }
}

int weir_pack_compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
  size_t shorter = a_size < b_size ? a_size : b_size;
  int order = shorter == 0 ? 0 : memcmp(a, b, shorter);
  return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static weir_status skip(weir_pack_reader *reader, unsigned depth);

static weir_status skip_map(weir_pack_reader *reader, uint32_t count, unsigned depth) {
  if (count > WEIR_PACK_KEYS) return WEIR_LIMIT;
  weir_pack_item key, before = { 0 };
  for (uint32_t i = 0; i < count; i++) {
    if (!weir_pack_read(reader, &key) || key.kind != WEIR_PACK_TEXT) return WEIR_CORRUPT;
    if (i > 0 && weir_pack_compare(before.bytes, before.size, key.bytes, key.size) >= 0)
      return WEIR_CORRUPT;
    before = key;
    weir_status status = skip(reader, depth);
    if (status != WEIR_OK) return status;
  }
  return WEIR_OK;
}

static weir_status skip(weir_pack_reader *reader, unsigned depth) {
  weir_pack_item item;
  if (!weir_pack_read(reader, &item) || item.kind == WEIR_PACK_EXTENSION) return WEIR_CORRUPT;
  if (item.kind != WEIR_PACK_ARRAY && item.kind != WEIR_PACK_MAP) return WEIR_OK;
  if (depth == WEIR_PACK_DEPTH) return WEIR_LIMIT;
  if (item.kind == WEIR_PACK_MAP) return skip_map(reader, item.size, depth + 1);
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < item.size && status == WEIR_OK; i++) status = skip(reader, depth + 1);
  return status;
}

weir_status weir_pack_skip(weir_pack_reader *reader) {
  return skip(reader, 0);
}
