/* pack_test.c - checksum, MessagePack and the records built of both: one encoding for each value, and
 * no single flipped bit passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c.h"
#include "pack.h"
#include "store_record.h"

static void the_checksum_is_crc32c(void **state) {
  (void)state;
  uint8_t zeros[32] = { 0 }, bytes[300];
  assert_int_equal(weir_crc32c(0, "123456789", 9), 0xE3069283);
  assert_int_equal(weir_crc32c(0, zeros, 32), 0x8A9136AA); /* RFC 3720, B.4 */
  assert_int_equal(weir_crc32c(weir_crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
  for (size_t size = 0; size <= sizeof bytes; size++)
    assert_int_equal(weir_crc32c(0, bytes, size), weir_crc32c_portable(0, bytes, size));
}

static bool reads_whole(const uint8_t *bytes, size_t size) {
  weir_pack_reader reader = { bytes, bytes + size };
  return weir_pack_skip(&reader) == WEIR_OK && reader.at == reader.end;
}

static void every_integer_has_one_shortest_encoding(void **state) {
  (void)state;
  weir_buffer out = { 0 };
  static const struct {
    int64_t value;
    size_t size;
  } cases[] = { { 0, 1 },
                { 127, 1 },
                { 128, 2 },
                { 255, 2 },
                { 256, 3 },
                { 65535, 3 },
                { 65536, 5 },
                { 4294967295, 5 },
                { 4294967296, 9 },
                { INT64_MAX, 9 },
                { -1, 1 },
                { -32, 1 },
                { -33, 2 },
                { -128, 2 },
                { -129, 3 },
                { -32768, 3 },
                { -32769, 5 },
                { INT32_MIN, 5 },
                { (int64_t)INT32_MIN - 1, 9 },
                { INT64_MIN, 9 } };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    weir_pack_item item;
    weir_buffer_clear(&out);
    weir_pack_integer(&out, cases[i].value);
    assert_int_equal(out.size, cases[i].size);
    weir_pack_reader reader = { out.bytes, out.bytes + out.size };
    assert_true(weir_pack_read(&reader, &item));
    assert_int_equal(item.kind, WEIR_PACK_INTEGER);
    assert_true(item.integer == cases[i].value);
  }
  weir_buffer_free(&out);
}

static void other_encodings_of_a_value_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
  } cases[] = {
    { "\xCC\x05", 2 },                 /* 5 in two bytes */
    { "\xCD\x00\xFF", 3 },             /* 255 in three */
    { "\xCF\x80\0\0\0\0\0\0\0", 9 },   /* above INT64_MAX */
    { "\xD0\xE0", 2 },                 /* -32 in two */
    { "\xD0\x05", 2 },                 /* 5, signed */
    { "\xD3\0\0\0\0\0\0\0\x05", 9 },   /* 5, signed, in nine */
    { "\xCA\0\0\0\0", 5 },             /* float 32 */
    { "\xCB\x7F\xF8\0\0\0\0\0\0", 9 }, /* NaN */
    { "\xD9\x01"
      "a",
      3 }, /* a short str with a long header */
    { "\xC4\x01"
      "a",
      3 },             /* text as bin */
    { "\xA1\xFF", 2 }, /* bytes as str */
    { "\x82\xA1"
      "b\x01\xA1"
      "a\x02",
      7 }, /* keys out of order */
    { "\x82\xA1"
      "a\x01\xA1"
      "a\x02",
      7 },                     /* one key twice */
    { "\x81\x01\x02", 3 },     /* a key that is no text */
    { "\xDC\x00\x01\x05", 4 }, /* a short array with a long header */
    { "\xDE\x00\x01\xA1"
      "a\x05",
      6 },                  /* a short map with a long header */
    { "\xC7\x01\x01x", 4 }, /* an extension inside a value */
    { "\xC1", 1 },
    { "", 0 },
    { "\x92\x01", 2 },
    { "\xA5"
      "abc",
      4 },
    { "\xDD\xFF\xFF\xFF\xFF\x01", 6 }, /* promises four thousand million values */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (reads_whole((const uint8_t *)cases[i].bytes, cases[i].size))
      fail_msg("case %d was accepted", (int)i);
}

static void depth_and_keys_have_limits(void **state) {
  (void)state;
  uint8_t deep[80];
  memset(deep, 0x91, sizeof deep);
  for (size_t depth = 1; depth <= 70; depth++) {
    deep[depth] = 0x01;
    weir_pack_reader reader = { deep, deep + depth + 1 };
    assert_int_equal(weir_pack_skip(&reader), depth <= WEIR_PACK_DEPTH ? WEIR_OK : WEIR_LIMIT);
    deep[depth] = 0x91;
  }
}

static void utf8_decides_between_text_and_bytes(void **state) {
  (void)state;
  static const char *const good[] = {
    "", "abc", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "12345678\xC3\xA9", "\xEF\xBF\xBF"
  };
  static const char *const bad[] = { "\x80",
                                     "\xC0\x80",
                                     "\xC3",
                                     "\xE0\x9F\xBF",
                                     "\xED\xA0\x80",
                                     "\xF0\x8F\xBF\xBF",
                                     "\xF4\x90\x80\x80",
                                     "\xF5\x80\x80\x80",
                                     "12345678\xFF",
                                     "\xE2\x82" };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    assert_true(weir_is_utf8((const uint8_t *)good[i], strlen(good[i])));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(weir_is_utf8((const uint8_t *)bad[i], strlen(bad[i])));
}

static void random_values_read_back(void **state) {
  (void)state;
  weir_buffer out = { 0 };
  srand(7);
  for (int round = 0; round < 20000; round++) {
    weir_pack_item item;
    weir_buffer_clear(&out);
    uint64_t bits = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
    int64_t value = (int64_t)(bits >> (rand() % 64));
    if (rand() % 2) value = -value;
    weir_pack_integer(&out, value);
    weir_pack_reader reader = { out.bytes, out.bytes + out.size };
    assert_true(weir_pack_read(&reader, &item) && item.integer == value && reader.at == reader.end);
    size_t size = (size_t)(rand() % 70000);
    char *bytes = malloc(size + 1);
    memset(bytes, round % 3 == 0 ? 0xFF : 'a', size);
    if (round % 100 == 0) {
      weir_buffer_clear(&out);
      weir_pack_text(&out, bytes, size);
      reader = (weir_pack_reader){ out.bytes, out.bytes + out.size };
      assert_true(weir_pack_read(&reader, &item) && item.kind == WEIR_PACK_TEXT && item.size == size);
      assert_memory_equal(item.bytes, bytes, size);
    }
    free(bytes);
  }
  weir_buffer_free(&out);
}

/* --- records --- */

static weir_slice of(const char *bytes) {
  return (weir_slice){ (const uint8_t *)bytes, strlen(bytes) };
}

typedef weir_status (*reader)(weir_slice record);

static weir_status read_entry(weir_slice record) {
  weir_entry entry;
  return weir_entry_read(record, 42, &entry);
}
static weir_status read_row(weir_slice record) {
  weir_row row;
  return weir_row_read(of("r_1"), record, &row);
}
static weir_status read_blob(weir_slice record) {
  weir_slice content;
  return weir_blob_read(of("0123456789abcdef0123456789abcdef"), record, &content);
}
static weir_status read_kv(weir_slice record) {
  weir_kv kv;
  return weir_kv_read(of("space"), record, &kv);
}
static weir_status read_segment(weir_slice record) {
  weir_segment segment;
  weir_entry entry;
  weir_status status = weir_segment_open(of("r_1"), record, &segment);
  while (status == WEIR_OK) status = weir_segment_next(&segment, &entry);
  return status == WEIR_EMPTY ? WEIR_OK : WEIR_CORRUPT;
}
static weir_status read_tail(weir_slice record) {
  weir_tail tail;
  return weir_tail_read(record, &tail);
}

static void no_flip_or_cut_passes(const uint8_t *bytes, size_t size, reader read) {
  uint8_t *copy = malloc(size);
  memcpy(copy, bytes, size);
  assert_int_equal(read((weir_slice){ copy, size }), WEIR_OK);
  for (size_t bit = 0; bit < 8 * size; bit++) {
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_int_equal(read((weir_slice){ copy, size }), WEIR_CORRUPT);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  free(copy);
  for (size_t cut = 0; cut < size; cut++) {
    copy = malloc(cut > 0 ? cut : 1); /* exactly as long, so that a sanitizer sees a read beyond */
    memcpy(copy, bytes, cut);
    assert_int_equal(read((weir_slice){ copy, cut }), WEIR_CORRUPT);
    free(copy);
  }
}

static void no_flipped_bit_in_any_record_goes_unseen(void **state) {
  (void)state;
  uint8_t bytes[256], tail_bytes[WEIR_TAIL_SIZE];
  weir_buffer out = { 0 };
  weir_entry entry = { of("r_1"), of("\x91\xA5hello"), 42, 3, 1, 0x12345678, 0 };
  size_t size = weir_entry_write(bytes, &entry);
  no_flip_or_cut_passes(bytes, size, read_entry);
  assert_int_equal(weir_entry_read((weir_slice){ bytes, size }, 43, &entry),
                   WEIR_CORRUPT); /* another place in the log */
  weir_segment_begin(&out);
  weir_segment_add(&out, 42, (weir_slice){ bytes, size });
  weir_segment_add(&out, 42, (weir_slice){ bytes, size });
  weir_segment_end(&out, of("r_1"), 2);
  no_flip_or_cut_passes(out.bytes, out.size, read_segment);
  weir_row row = { of("running"), of("\x80"), 3, 1, 0x87654321 };
  weir_row_write(&out, of("r_1"), &row);
  no_flip_or_cut_passes(out.bytes, out.size, read_row);
  assert_int_equal(weir_row_read(of("r_2"), (weir_slice){ out.bytes, out.size }, &row), WEIR_CORRUPT);
  weir_blob_write(&out, of("0123456789abcdef0123456789abcdef"), 1763824000123, of("content"));
  no_flip_or_cut_passes(out.bytes, out.size, read_blob);
  weir_kv kv = { of("a long key"), of("\xA1x"), 99 };
  weir_kv_write(&out, of("space"), &kv);
  no_flip_or_cut_passes(out.bytes, out.size, read_kv);
  weir_tail tail = { 7, 3, { 1, 2, 3, 4, 5, 6 }, { 6, 5, 4, 3, 2, 1 } };
  weir_tail_write(tail_bytes, &tail);
  no_flip_or_cut_passes(tail_bytes, sizeof tail_bytes, read_tail);
  weir_buffer_free(&out);
}

static void records_read_back(void **state) {
  (void)state;
  uint8_t bytes[256];
  weir_entry entry = { of("r_1"), of("\x91\xA5hello"), 42, 3, 1, 0x12345678, 0 }, back;
  size_t size = weir_entry_write(bytes, &entry);
  assert_int_equal(size, 3 + 7 + WEIR_ENTRY_OVERHEAD);
  assert_int_equal(weir_entry_read((weir_slice){ bytes, size }, 42, &back), WEIR_OK);
  assert_true(weir_slice_equal(back.run, entry.run) && weir_slice_equal(back.payload, entry.payload));
  assert_true(back.n == 3 && back.epoch == 1 && back.previous_crc == 0x12345678 &&
              back.crc == entry.crc);
  /* the specification, byte for byte */
  static const uint8_t head[] = { 1, 0, 3, 0, 1,    0,    0,    0,    3,   0,   0,   0,
                                  0, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 'r', '_', '1', 0x91 };
  assert_memory_equal(bytes, head, sizeof head);
}

static void long_keys_are_cut_and_stay_different(void **state) {
  (void)state;
  uint8_t a[WEIR_KEY_MAX + 1], b[WEIR_KEY_MAX + 1];
  char key[600];
  bool is_cut;
  memset(key, 'k', sizeof key);
  assert_int_equal(weir_kv_key(a, of("s"), (weir_slice){ (uint8_t *)key, 508 }, &is_cut), 510);
  assert_false(is_cut);
  assert_int_equal(weir_kv_key(a, of("s"), (weir_slice){ (uint8_t *)key, 509 }, &is_cut), 511);
  assert_true(is_cut);
  assert_int_equal(weir_kv_key(b, of("s"), (weir_slice){ (uint8_t *)key, 510 }, &is_cut), 511);
  assert_memory_not_equal(a, b, 511);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_checksum_is_crc32c),
    cmocka_unit_test(every_integer_has_one_shortest_encoding),
    cmocka_unit_test(other_encodings_of_a_value_are_refused),
    cmocka_unit_test(depth_and_keys_have_limits),
    cmocka_unit_test(utf8_decides_between_text_and_bytes),
    cmocka_unit_test(random_values_read_back),
    cmocka_unit_test(no_flipped_bit_in_any_record_goes_unseen),
    cmocka_unit_test(records_read_back),
    cmocka_unit_test(long_keys_are_cut_and_stay_different),
  };
  return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
