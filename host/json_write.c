/* json_write.c - the tokens of JSON, written into a buffer that the caller grows. */
#include "json.h"
#include "json_plain.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static weir_status make_room(weir_json_writer *w, size_t size) {
  if (w->length > w->limit || size > w->limit - w->length) return WEIR_LIMIT;
  return w->grow(w, w->length + size) ? WEIR_OK : WEIR_LIMIT;
}

/* Room for `size` more bytes; the bytes themselves count against the limit when they are put. */
static inline weir_status room(weir_json_writer *w, size_t size) {
  return w->capacity - w->length >= size && w->limit - w->length >= size ? WEIR_OK : make_room(w, size);
}

weir_status weir_json_put(weir_json_writer *w, const char *bytes, size_t size) {
  weir_status status = room(w, size);
  if (status != WEIR_OK) return status;
  memcpy(w->bytes + w->length, bytes, size);
  w->length += size;
  return WEIR_OK;
}

weir_status weir_json_put_spaces(weir_json_writer *w, size_t count) {
  weir_status status = room(w, count);
  if (status != WEIR_OK) return status;
  memset(w->bytes + w->length, ' ', count);
  w->length += count;
  return WEIR_OK;
}

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Writes the digits of value so that they end at `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value) {
  while (value >= 100) {
    end -= 2;
    memcpy(end, pairs + value % 100 * 2, 2);
    value /= 100;
  }
  if (value >= 10) {
    end -= 2;
    memcpy(end, pairs + value * 2, 2);
  } else {
    *--end = (char)('0' + value);
  }
  return end;
}

weir_status weir_json_put_integer(weir_json_writer *w, int64_t value) {
  char text[24], *end = text + sizeof text;
  char *start = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
  if (value < 0) *--start = '-';
  return weir_json_put(w, start, (size_t)(end - start));
}

/* A positive float as 0.DIGITS * 10^point. */
typedef struct {
  char digits[24];
  int count;
  int point;
} decimal;

static void strip_zeros(decimal *d) {
  while (d->count > 1 && d->digits[d->count - 1] == '0') d->count--;
}

/* Most floats in documents have at most 15 digits, and no two decimals of 15 digits are the same
 * double: so if the nearest such decimal reads back, it is the shortest, zeros at its end aside. The
 * scaling is exact enough (one rounding, below an eighth of the last digit), the reading back is exact.
 * For values from 1e-7 to 1e15. */
static bool short_decimal(double value, decimal *d) {
  static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
  int scale = 0; /* so that 14 or 15 digits stand before the point */
  while (value * powers[scale] < 1e14) scale++;
  uint64_t whole = (uint64_t)(value * powers[scale] + 0.5);
  if ((double)whole / powers[scale] != value) return false;
  char text[24], *end = text + sizeof text, *start = digits_before(end, whole);
  d->count = (int)(end - start);
  d->point = d->count - scale;
  memcpy(d->digits, start, (size_t)d->count);
  strip_zeros(d);
  return true;
}

static double read_back(const decimal *d) {
  char text[48];
  snprintf(text, sizeof text, "%.*se%d", d->count, d->digits, d->point - d->count);
  return strtod(text, NULL);
}

/* The next decimal of as many digits; false where that would carry over all digits. */
static bool increment(decimal *d) {
  int i = d->count - 1;
  while (i >= 0 && d->digits[i] == '9') d->digits[i--] = '0';
  if (i < 0) return false;
  d->digits[i]++;
  return true;
}

/* The decimal of `count` digits nearest to value; true if it reads back. */
static bool nearest_decimal(double value, int count, decimal *d) {
  char text[48];
  snprintf(text, sizeof text, "%.*e", count - 1, value);
  const char *exponent = strchr(text, 'e');
  d->digits[0] = text[0];
  if (count > 1) memcpy(d->digits + 1, exponent - (count - 1), (size_t)count - 1);
  d->count = count;
  d->point = (int)strtol(exponent + 1, NULL, 10) + 1;
  double back = read_back(d);
  if (back == value) return true;
  /* Below a power of two the doubles lie closer: the nearest decimal may be out of reach there while
   * the next one above still reads back. */
  return back < value && increment(d) && read_back(d) == value;
}

static void shortest_decimal(double value, decimal *d) {
  bool easy = FLT_EVAL_METHOD == 0 && value >= 1e-7 && value < 1e15;
  if (easy && short_decimal(value, d)) return;
  int count = value < DBL_MIN ? 1 : easy ? 16 : 15; /* tiny ones have fewer bits, and so digits */
  while (!nearest_decimal(value, count, d) && count < 17) count++;
  strip_zeros(d);
}

static char *put_zeros(char *to, int count) {
  memset(to, '0', (size_t)count);
  return to + count;
}

static char *put_digits(char *to, const decimal *d, int from, int count) {
  memcpy(to, d->digits + from, (size_t)count);
  return to + count;
}

/* 0.0000012, 12.5, 1200.0: the cases of Number::toString with -6 < point <= 21. */
static char *put_positional(char *to, const decimal *d) {
  if (d->point <= 0) {
    *to++ = '0';
    *to++ = '.';
    return put_digits(put_zeros(to, -d->point), d, 0, d->count);
  }
  int before = d->count < d->point ? d->count : d->point;
  to = put_zeros(put_digits(to, d, 0, before), d->point - before);
  *to++ = '.';
  if (d->count > before) return put_digits(to, d, before, d->count - before);
  *to++ = '0';
  return to;
}

static char *put_exponential(char *to, const decimal *d) {
  *to++ = d->digits[0];
  if (d->count > 1) {
    *to++ = '.';
    to = put_digits(to, d, 1, d->count - 1);
  }
  return to + snprintf(to, 8, "e%+d", (d->point - 1) % 1000);
}

weir_status weir_json_put_float(weir_json_writer *w, double value) {
  char text[64], *to = text;
  if (signbit(value)) *to++ = '-';
  decimal d = { .digits = "0", .count = 1, .point = 1 };
  if (value != 0) shortest_decimal(fabs(value), &d);
  to = d.point > -6 && d.point <= 21 ? put_positional(to, &d) : put_exponential(to, &d);
  return weir_json_put(w, text, (size_t)(to - text));
}

static weir_status put_escape(weir_json_writer *w, char c) {
  char text[8];
  switch (c) {
  case '"': return weir_json_put(w, "\\\"", 2);
  case '\\': return weir_json_put(w, "\\\\", 2);
  case '\b': return weir_json_put(w, "\\b", 2);
  case '\f': return weir_json_put(w, "\\f", 2);
  case '\n': return weir_json_put(w, "\\n", 2);
  case '\r': return weir_json_put(w, "\\r", 2);
  case '\t': return weir_json_put(w, "\\t", 2);
  default:
    snprintf(text, sizeof text, "\\u%04x", (unsigned char)c & 0xFFu);
    return weir_json_put(w, text, 6);
  }
}

/* The first byte that must be escaped, or end; NULL if the text is not UTF-8 at *bad. */
static const char *skip_unescaped(const char *at, const char *end, const char **bad) {
  for (;;) {
    at = weir_json_skip_plain(at, end);
    if (at == end || (unsigned char)*at < 0x80) return at;
    const char *next = weir_utf8_next(at, end);
    if (!next) {
      *bad = at;
      return NULL;
    }
    at = next;
  }
}

weir_status weir_json_put_text(weir_json_writer *w, const char *bytes, size_t size, size_t *bad) {
  const char *at = bytes, *end = bytes + size, *wrong = NULL;
  weir_status status = weir_json_put(w, "\"", 1);
  while (status == WEIR_OK) {
    const char *stop = skip_unescaped(at, end, &wrong);
    if (!stop) {
      *bad = (size_t)(wrong - bytes);
      return WEIR_INVALID;
    }
    status = weir_json_put(w, at, (size_t)(stop - at));
    if (status != WEIR_OK) return status;
    if (stop == end) return weir_json_put(w, "\"", 1);
    status = put_escape(w, *stop);
    at = stop + 1;
  }
  return status;
}
