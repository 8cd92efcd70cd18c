/* json.c - the reader and the framer of JSON; json_write.c has the writer. */
#include "json.h"
#include "json_plain.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE, VALUE_OR_CLOSE, KEY, KEY_OR_CLOSE, AFTER, DONE, FAILED };

void weir_json_reader_init(weir_json_reader *r, const char *text, size_t size, uint32_t max_depth) {
  memset(r, 0, sizeof *r);
  r->text = r->at = text;
  r->end = text + size;
  r->max_depth = max_depth;
  r->expect = VALUE;
}

weir_json_event weir_json_fail(weir_json_reader *r, weir_status status, const char *problem,
                               const char *at) {
  r->status = status;
  r->problem = problem;
  r->problem_at = (size_t)(at - r->text);
  r->expect = FAILED;
  return WEIR_JSON_BAD;
}

static weir_json_event wrong(weir_json_reader *r, const char *problem, const char *at) {
  return weir_json_fail(r, WEIR_INVALID, problem, at);
}

static inline int peek(const weir_json_reader *r) {
  return r->at < r->end ? (unsigned char)*r->at : -1;
}

static inline bool is_digit(const char *at, const char *end) {
  return at < end && *at >= '0' && *at <= '9';
}

static inline bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void skip_space(weir_json_reader *r) {
  while (r->at < r->end && is_space(*r->at)) r->at++;
}

/* A value is complete: what may follow it depends on where it stands. */
static inline weir_json_event complete(weir_json_reader *r, weir_json_event event) {
  r->expect = r->depth ? AFTER : DONE;
  return event;
}

static inline bool is_tail(const char *at, unsigned low, unsigned high) {
  unsigned byte = (unsigned char)*at;
  return byte >= low && byte <= high;
}

const char *weir_utf8_next(const char *at, const char *end) {
  unsigned lead = (unsigned char)*at;
  ptrdiff_t left = end - at;
  if (lead < 0x80) return at + 1;
  if (lead >= 0xC2 && lead <= 0xDF) return left >= 2 && is_tail(at + 1, 0x80, 0xBF) ? at + 2 : NULL;
  if (lead >= 0xE0 && lead <= 0xEF) {
    unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
    return left >= 3 && is_tail(at + 1, low, high) && is_tail(at + 2, 0x80, 0xBF) ? at + 3 : NULL;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
    return left >= 4 && is_tail(at + 1, low, high) && is_tail(at + 2, 0x80, 0xBF) &&
                   is_tail(at + 3, 0x80, 0xBF)
               ? at + 4
               : NULL;
  }
  return NULL;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The code unit of the four digits at `at`, or -1. */
static int32_t hex_unit(const char *at, const char *end) {
  if (end - at < 4) return -1;
  int32_t unit = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

static inline bool is_high(int32_t unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}
static inline bool is_low(int32_t unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The byte after the \uXXXX at `at`, or NULL after a failure. */
static const char *check_unicode(weir_json_reader *r, const char *at) {
  int32_t unit = hex_unit(at + 2, r->end);
  if (unit < 0) {
    wrong(r, "\\u needs four hexadecimal digits", at);
    return NULL;
  }
  if (!is_high(unit) && !is_low(unit)) return at + 6;
  bool pair = is_high(unit) && r->end - at >= 12 && at[6] == '\\' && at[7] == 'u' &&
              is_low(hex_unit(at + 8, r->end));
  if (pair) return at + 12;
  wrong(r, "half a surrogate pair; write both halves, or the character itself", at);
  return NULL;
}

/* The byte after the escape at `at`, or NULL after a failure. */
static const char *check_escape(weir_json_reader *r, const char *at) {
  char c = r->end - at >= 2 ? at[1] : '\0';
  if (c == 'u') return check_unicode(r, at);
  if (c != '\0' && strchr("\"\\/bfnrt", c)) return at + 2;
  wrong(r, "unknown escape", at);
  return NULL;
}

/* The byte after what is not plain at `at` (an escape or a longer character), or NULL after
 * a failure. */
static const char *check_special(weir_json_reader *r, const char *at) {
  if (*at == '\\') {
    r->escaped = true;
    return check_escape(r, at);
  }
  if ((unsigned char)*at < 0x20) {
    wrong(r, "a control character inside a text must be escaped", at);
    return NULL;
  }
  const char *next = weir_utf8_next(at, r->end);
  if (!next) wrong(r, "not UTF-8", at);
  return next;
}

/* Reads the text whose quote stands at r->at. */
static weir_json_event read_text(weir_json_reader *r, weir_json_event event) {
  const char *start = r->at + 1, *at = start;
  r->escaped = false;
  for (;;) {
    at = weir_json_skip_plain(at, r->end);
    if (at == r->end) return wrong(r, "a text is not closed, '\"' is missing", at);
    if (*at == '"') break;
    at = check_special(r, at);
    if (!at) return WEIR_JSON_BAD;
  }
  r->bytes = start;
  r->size = (size_t)(at - start);
  r->at = at + 1;
  return event;
}

static char *put_utf8(char *out, uint32_t code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xC0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out++ = (char)(0xE0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  } else {
    *out++ = (char)(0xF0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3F));
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  }
  return out;
}

static char unescaped(char c) {
  switch (c) {
  case 'b': return '\b';
  case 'f': return '\f';
  case 'n': return '\n';
  case 'r': return '\r';
  case 't': return '\t';
  default: return c;
  }
}

size_t weir_json_unescape(const char *bytes, size_t size, char *out) {
  const char *at = bytes, *end = bytes + size;
  char *to = out;
  while (at < end) {
    const char *slash = memchr(at, '\\', (size_t)(end - at));
    size_t run = (size_t)((slash ? slash : end) - at);
    memcpy(to, at, run);
    to += run;
    if (!slash) break;
    if (slash[1] != 'u') {
      *to++ = unescaped(slash[1]);
      at = slash + 2;
      continue;
    }
    uint32_t code = (uint32_t)hex_unit(slash + 2, end);
    at = slash + 6;
    if (is_high((int32_t)code)) {
      code = 0x10000 + ((code - 0xD800) << 10) + ((uint32_t)hex_unit(slash + 8, end) - 0xDC00);
      at = slash + 12;
    }
    to = put_utf8(to, code);
  }
  return (size_t)(to - out);
}

/* A number as its digits say it: mantissa * 10^exponent, mantissa its first 19 significant digits. */
typedef struct {
  uint64_t mantissa;
  int64_t exponent;
  uint64_t digits;      /* significant ones */
  const char *first;    /* of the digits, leading zeros included */
  const char *last;     /* after the digits, before the exponent */
  bool negative, whole; /* whole: neither '.' nor 'e' */
} number;

static const char *take_digits(number *n, const char *at, const char *end) {
  for (; is_digit(at, end); at++) {
    if (n->digits == 0 && *at == '0') continue;
    if (n->digits < 19) n->mantissa = n->mantissa * 10 + (uint64_t)(*at - '0');
    n->digits++;
  }
  return at;
}

#define EXPONENT_MAX 1000000000000 /* far beyond what the digits of any text can make up for */

static const char *take_exponent(number *n, const char *at, const char *end) {
  bool negative = false;
  if (at < end && (*at == '+' || *at == '-')) negative = *at++ == '-';
  if (!is_digit(at, end)) return NULL;
  int64_t exponent = 0;
  for (; is_digit(at, end); at++)
    if (exponent < EXPONENT_MAX) exponent = exponent * 10 + (*at - '0');
  n->exponent += negative ? -exponent : exponent;
  return at;
}

/* Take apart the number at r->at; the byte after it, or NULL after a failure. */
static const char *scan_number(weir_json_reader *r, number *n) {
  const char *at = r->at;
  *n = (number){ .negative = *at == '-', .whole = true };
  if (n->negative) at++;
  if (!is_digit(at, r->end)) {
    wrong(r, "'-' needs a digit after it", at);
    return NULL;
  }
  if (*at == '0' && is_digit(at + 1, r->end)) {
    wrong(r, "a number must not begin with 0", at);
    return NULL;
  }
  n->first = at;
  at = take_digits(n, at, r->end);
  if (at < r->end && *at == '.') {
    n->whole = false;
    const char *fraction = ++at;
    if (!is_digit(at, r->end)) {
      wrong(r, "'.' needs a digit after it", at);
      return NULL;
    }
    at = take_digits(n, at, r->end);
    n->exponent = -(int64_t)(at - fraction);
  }
  n->last = at;
  if (at < r->end && (*at == 'e' || *at == 'E')) {
    n->whole = false;
    const char *after = take_exponent(n, at + 1, r->end);
    if (!after) wrong(r, "an exponent needs a digit", at);
    at = after;
  }
  return at;
}

/* Digits beyond these cannot change the nearest double, except by not being zero (767 are enough). */
#define DIGITS_MAX 800

/* By strtod, from digits without a point: so the locale has no say. */
static double exact_double(const number *n) {
  char text[DIGITS_MAX + 32];
  size_t length = 0;
  bool more = false;
  int64_t dropped = 0;
  for (const char *at = n->first; at < n->last; at++) {
    if (*at == '.' || (length == 0 && *at == '0')) continue;
    if (length < DIGITS_MAX) {
      text[length++] = *at;
    } else {
      dropped++;
      more = more || *at != '0';
    }
  }
  if (more) text[length - 1] = '1' > text[length - 1] ? '1' : text[length - 1];
  int64_t exponent = n->exponent + dropped;
  if (exponent > 99999) exponent = 99999;
  if (exponent < -99999) exponent = -99999;
  snprintf(text + length, sizeof text - length, "e%d", (int)exponent);
  return strtod(text, NULL);
}

/* Exact for up to 2^53 and powers up to 10^22, both of which a double holds (Clinger, "How to Read
 * Floating Point Numbers Accurately", PLDI 1990); the rest goes the slow way. */
static double to_double(const number *n) {
  static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
  if (n->digits == 0) return 0.0;
  bool easy = FLT_EVAL_METHOD == 0 && n->digits <= 19 && n->mantissa <= (UINT64_C(1) << 53);
  if (easy && n->exponent >= 0 && n->exponent <= 22) return (double)n->mantissa * powers[n->exponent];
  if (easy && n->exponent < 0 && n->exponent >= -22) return (double)n->mantissa / powers[-n->exponent];
  return exact_double(n);
}

static bool fits_integer(const number *n) {
  if (!n->whole || n->digits > 19 || (n->negative && n->digits == 0)) return false;
  return n->mantissa <= (uint64_t)INT64_MAX + (n->negative ? 1 : 0);
}

static weir_json_event read_number(weir_json_reader *r) {
  number n;
  const char *after = scan_number(r, &n);
  if (!after) return WEIR_JSON_BAD;
  if (fits_integer(&n)) {
    r->integer = (int64_t)(n.negative ? 0 - n.mantissa : n.mantissa);
    r->at = after;
    return complete(r, WEIR_JSON_INTEGER);
  }
  double value = to_double(&n);
  if (isinf(value)) return wrong(r, "the number is too large for a float", r->at);
  r->number = n.negative ? -value : value;
  r->at = after;
  return complete(r, WEIR_JSON_FLOAT);
}

static weir_json_event read_name(weir_json_reader *r, const char *name, weir_json_event event) {
  size_t size = strlen(name);
  if ((size_t)(r->end - r->at) < size || memcmp(r->at, name, size) != 0)
    return wrong(r, "expected a value", r->at);
  r->at += size;
  return complete(r, event);
}

static weir_json_event open_container(weir_json_reader *r, bool map) {
  if (r->depth == r->max_depth)
    return weir_json_fail(r, WEIR_LIMIT, "too many containers inside one another", r->at);
  r->at++;
  r->depth++;
  r->map[r->depth] = map;
  r->expect = map ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
  return map ? WEIR_JSON_MAP_OPEN : WEIR_JSON_LIST_OPEN;
}

static weir_json_event close_container(weir_json_reader *r) {
  r->at++;
  r->depth--;
  return complete(r, WEIR_JSON_CLOSE);
}

static weir_json_event no_value(weir_json_reader *r) {
  if (r->end - r->at >= 3 && memcmp(r->at, "\xEF\xBB\xBF", 3) == 0)
    return wrong(r, "a byte order mark; remove these three bytes", r->at);
  return wrong(r, "expected a value", r->at);
}

static weir_json_event read_value(weir_json_reader *r) {
  switch (peek(r)) {
  case '"': {
    weir_json_event event = read_text(r, WEIR_JSON_TEXT);
    return event == WEIR_JSON_BAD ? event : complete(r, event);
  }
  case '[': return open_container(r, false);
  case '{': return open_container(r, true);
  case 't': return read_name(r, "true", WEIR_JSON_TRUE);
  case 'f': return read_name(r, "false", WEIR_JSON_FALSE);
  case 'n': return read_name(r, "null", WEIR_JSON_NULL);
  case '-':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9': return read_number(r);
  default: return no_value(r);
  }
}

static weir_json_event read_key(weir_json_reader *r) {
  if (peek(r) != '"') return wrong(r, "expected a key in double quotes", r->at);
  if (read_text(r, WEIR_JSON_KEY) == WEIR_JSON_BAD) return WEIR_JSON_BAD;
  skip_space(r);
  if (peek(r) != ':') return wrong(r, "expected ':' after the key", r->at);
  r->at++;
  r->expect = VALUE;
  return WEIR_JSON_KEY;
}

/* Between two values: a comma leads on to the next one. */
static weir_json_event read_after(weir_json_reader *r) {
  bool map = r->map[r->depth];
  int c = peek(r);
  if (c == (map ? '}' : ']')) return close_container(r);
  if (c != ',') return wrong(r, map ? "expected ',' or '}'" : "expected ',' or ']'", r->at);
  r->at++;
  skip_space(r);
  return map ? read_key(r) : read_value(r);
}

weir_json_event weir_json_next(weir_json_reader *r) {
  skip_space(r);
  switch (r->expect) {
  case AFTER: return read_after(r);
  case KEY_OR_CLOSE: return peek(r) == '}' ? close_container(r) : read_key(r);
  case VALUE_OR_CLOSE: return peek(r) == ']' ? close_container(r) : read_value(r);
  case VALUE: return read_value(r);
  case DONE: return r->at == r->end ? WEIR_JSON_END : wrong(r, "expected the end of the text", r->at);
  default: return WEIR_JSON_BAD;
  }
}

const char *weir_json_found(const weir_json_reader *r, char out[16]) {
  const char *at = r->text + r->problem_at;
  if (at >= r->end) return "the end";
  unsigned byte = (unsigned char)*at;
  snprintf(out, 16, byte > 0x20 && byte < 0x7F ? "'%c'" : "byte 0x%02X", byte);
  return out;
}

void weir_json_locate(const char *text, size_t offset, size_t *line, size_t *column) {
  const char *at = text, *end = text + offset;
  for (const char *feed; at < end && (feed = memchr(at, '\n', (size_t)(end - at))) != NULL;
       at = feed + 1) {
    *line += 1;
    *column = 1;
  }
  for (; at < end; at++) *column += ((unsigned char)*at & 0xC0) != 0x80;
}

enum { BETWEEN, INSIDE, QUOTED, QUOTED_ESCAPE, BARE };

/* One byte of the stream; true if it is the last one of a value. */
static bool frame_byte(weir_json_framer *f, char c) {
  switch (f->state) {
  case QUOTED_ESCAPE: f->state = QUOTED; return false;
  case QUOTED:
    if (c == '\\') f->state = QUOTED_ESCAPE;
    if (c != '"') return false;
    f->state = f->depth ? INSIDE : BETWEEN;
    return f->depth == 0;
  case BARE:
    if (!is_space(c)) return false;
    f->state = BETWEEN;
    return true;
  default: break;
  }
  if (c == '"') {
    f->state = QUOTED;
  } else if (c == '{' || c == '[') {
    f->depth++;
    f->state = INSIDE;
  } else if (f->state == INSIDE && (c == '}' || c == ']')) {
    if (--f->depth == 0) f->state = BETWEEN;
    return f->depth == 0;
  } else if (f->state == BETWEEN && !is_space(c)) {
    f->state = BARE;
  }
  return false;
}

bool weir_json_frame(weir_json_framer *f, const char *bytes, size_t size, size_t *used) {
  const char *end = bytes + size;
  for (const char *at = bytes; at < end; at++) {
    if (f->state == QUOTED) at = weir_json_skip_plain(at, end);
    if (at == end) break;
    if (!frame_byte(f, *at)) continue;
    *used = (size_t)(at + 1 - bytes);
    return true;
  }
  *used = size;
  return false;
}

bool weir_json_frame_may_end(const weir_json_framer *f) {
  return f->state == BETWEEN || f->state == BARE;
}
