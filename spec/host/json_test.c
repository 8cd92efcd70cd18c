/* json_test.c - the JSON reader, writer and framer without Lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

/* Reads to the end, counting events. The text is copied to a block of its exact size, so that a
 * sanitizer sees a read past the end. */
static weir_json_event read_all(const char *text, size_t size, size_t *events,
                                weir_json_reader *reader) {
  char *copy = malloc(size ? size : 1);
  assert_non_null(copy);
  memcpy(copy, text, size);
  weir_json_reader_init(reader, copy, size, WEIR_JSON_DEPTH);
  weir_json_event event;
  for (*events = 0; (event = weir_json_next(reader)) != WEIR_JSON_END && event != WEIR_JSON_BAD;
       ++*events) {}
  free(copy);
  return event;
}

static void reads_events_in_order(void **state) {
  static const weir_json_event expected[] = { WEIR_JSON_MAP_OPEN, WEIR_JSON_KEY,   WEIR_JSON_LIST_OPEN,
                                              WEIR_JSON_INTEGER,  WEIR_JSON_FLOAT, WEIR_JSON_TEXT,
                                              WEIR_JSON_NULL,     WEIR_JSON_TRUE,  WEIR_JSON_FALSE,
                                              WEIR_JSON_CLOSE,    WEIR_JSON_CLOSE, WEIR_JSON_END,
                                              WEIR_JSON_END };
  (void)state;
  const char *text = "{\"a\":[1,1.5,\"x\",null,true,false]}";
  weir_json_reader reader;
  weir_json_reader_init(&reader, text, strlen(text), WEIR_JSON_DEPTH);
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
    assert_int_equal(weir_json_next(&reader), expected[i]);
}

static void stays_bad_after_a_failure(void **state) {
  (void)state;
  weir_json_reader reader;
  weir_json_reader_init(&reader, "[1 2]", 5, WEIR_JSON_DEPTH);
  assert_int_equal(weir_json_next(&reader), WEIR_JSON_LIST_OPEN);
  assert_int_equal(weir_json_next(&reader), WEIR_JSON_INTEGER);
  for (int i = 0; i < 3; i++) assert_int_equal(weir_json_next(&reader), WEIR_JSON_BAD);
  assert_int_equal(reader.status, WEIR_INVALID);
  assert_int_equal(reader.problem_at, 3);
}

static void never_reads_past_the_end(void **state) {
  (void)state;
  const char *text =
      "{\"k\\u00e9\\ud83d\\ude00\xC3\xA9\":[-12.5e+3,\"\xF0\x9F\x98\x80\",true,false,null]}";
  weir_json_reader reader;
  size_t events;
  for (size_t size = 0; size < strlen(text); size++)
    assert_int_equal(read_all(text, size, &events, &reader), WEIR_JSON_BAD);
  assert_int_equal(read_all(text, strlen(text), &events, &reader), WEIR_JSON_END);
  assert_int_equal(events, 10);
}

static void survives_every_changed_byte(void **state) {
  (void)state;
  const char *text = "{\"a\":[1,-0.5e2,\"b\\n\\u00e9\"],\"c\":{\"d\":null,\"e\":true}}";
  char changed[80];
  weir_json_reader reader;
  size_t events, size = strlen(text);
  for (size_t i = 0; i < size; i++)
    for (int byte = 0; byte < 256; byte++) {
      memcpy(changed, text, size + 1);
      changed[i] = (char)byte;
      read_all(changed, size, &events, &reader);
      assert_true(events <= size);
    }
}

static void undoes_escapes(void **state) {
  (void)state;
  char out[64];
  const char *text = "a\\n\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\\\\\\"";
  size_t size = weir_json_unescape(text, strlen(text), out);
  const char *expected = "a\nA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\\\"";
  assert_int_equal(size, strlen(expected));
  assert_memory_equal(out, expected, size);
}

static void locates_in_lines_and_characters(void **state) {
  (void)state;
  size_t line = 1, column = 1;
  const char *text = "ab\n\xC3\xA9\xC3\xA9x";
  weir_json_locate(text, 7, &line, &column);
  assert_int_equal(line, 2);
  assert_int_equal(column, 3);
}

static bool grow(weir_json_writer *w, size_t need) {
  size_t capacity = need * 2;
  char *bytes = realloc(w->bytes, capacity);
  if (!bytes) return false;
  w->bytes = bytes;
  w->capacity = capacity;
  return true;
}

static weir_json_writer new_writer(size_t limit) {
  return (weir_json_writer){ .limit = limit, .grow = grow };
}

static double written_and_read(double value) {
  weir_json_writer w = new_writer(100);
  assert_int_equal(weir_json_put_float(&w, value), WEIR_OK);
  weir_json_reader reader;
  weir_json_reader_init(&reader, w.bytes, w.length, WEIR_JSON_DEPTH);
  assert_int_equal(weir_json_next(&reader), WEIR_JSON_FLOAT);
  free(w.bytes);
  return reader.number;
}

static void floats_read_back_around_powers_of_two(void **state) {
  (void)state;
  for (uint64_t exponent = 0; exponent < 2047; exponent++)
    for (int64_t off = -2; off <= 2; off++) {
      uint64_t bits = (uint64_t)((int64_t)(exponent << 52) + off);
      double value;
      memcpy(&value, &bits, sizeof value);
      if (bits >> 52 >= 2047) continue;
      double back = written_and_read(value);
      assert_memory_equal(&back, &value, sizeof value);
    }
}

static void writes_texts_with_escapes(void **state) {
  (void)state;
  weir_json_writer w = new_writer(1000);
  size_t bad;
  assert_int_equal(weir_json_put_text(&w, "a\"\\\n\x01\xC3\xA9", 7, &bad), WEIR_OK);
  const char *expected = "\"a\\\"\\\\\\n\\u0001\xC3\xA9\"";
  assert_int_equal(w.length, strlen(expected));
  assert_memory_equal(w.bytes, expected, w.length);
  assert_int_equal(weir_json_put_text(&w, "ok\xFF", 3, &bad), WEIR_INVALID);
  assert_int_equal(bad, 2);
  free(w.bytes);
}

static void stops_at_the_limit(void **state) {
  (void)state;
  weir_json_writer w = new_writer(10);
  assert_int_equal(weir_json_put(&w, "12345678", 8), WEIR_OK);
  assert_int_equal(weir_json_put(&w, "90", 2), WEIR_OK);
  assert_int_equal(weir_json_put(&w, "1", 1), WEIR_LIMIT);
  assert_int_equal(weir_json_put_integer(&w, 1), WEIR_LIMIT);
  assert_int_equal(w.length, 10);
  free(w.bytes);
}

static void frames_values_wherever_they_are_cut(void **state) {
  (void)state;
  const char *stream = "{\"a\":\"]}\\\"\"} [1,[2]]\n12 \"x y\" null\n";
  size_t size = strlen(stream);
  for (size_t step = 1; step <= size; step++) {
    weir_json_framer framer = { 0 };
    int frames = 0;
    for (size_t at = 0; at < size; at += step) {
      size_t end = at + step < size ? at + step : size, used;
      for (size_t from = at; weir_json_frame(&framer, stream + from, end - from, &used); from += used)
        frames++;
    }
    assert_int_equal(frames, 5);
    assert_true(weir_json_frame_may_end(&framer));
  }
}

static void knows_utf8(void **state) {
  (void)state;
  static const char *const bad[] = {
    "\x80",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x9F\xBF",
    "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
    "\xC3",         "\xE2\x82",         "\xF0\x9F\x98"
  };
  static const char *const good[] = { "a",
                                      "\xC2\x80",
                                      "\xE0\xA0\x80",
                                      "\xED\x9F\xBF",
                                      "\xEE\x80\x80",
                                      "\xF0\x90\x80\x80",
                                      "\xF4\x8F\xBF\xBF" };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_null(weir_utf8_next(bad[i], bad[i] + strlen(bad[i])));
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    assert_ptr_equal(weir_utf8_next(good[i], good[i] + strlen(good[i])), good[i] + strlen(good[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_events_in_order),
    cmocka_unit_test(stays_bad_after_a_failure),
    cmocka_unit_test(never_reads_past_the_end),
    cmocka_unit_test(survives_every_changed_byte),
    cmocka_unit_test(undoes_escapes),
    cmocka_unit_test(locates_in_lines_and_characters),
    cmocka_unit_test(floats_read_back_around_powers_of_two),
    cmocka_unit_test(writes_texts_with_escapes),
    cmocka_unit_test(stops_at_the_limit),
    cmocka_unit_test(frames_values_wherever_they_are_cut),
    cmocka_unit_test(knows_utf8),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
