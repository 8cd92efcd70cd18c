/* fuzz_record.c - libFuzzer target: the readers of the store's records get any bytes, with a right crc
 * where they ask for one, because a fuzzer does not find those by itself. What is accepted must lie
 * within the bytes and must be written the same again. */
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds) abort();
}

static bool within(weir_slice inner, weir_slice outer) {
  return inner.size == 0 ||
         (inner.bytes >= outer.bytes && inner.bytes + inner.size <= outer.bytes + outer.size);
}

/* The input with the crc that `key` and it have, as an allocation of exactly that size. */
static weir_slice seal(weir_slice key, const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size + 4);
  if (copy == NULL) abort();
  if (size > 0) memcpy(copy, data, size);
  uint32_t crc = weir_crc32c(weir_crc32c(0, key.bytes, key.size), copy, size);
  for (int i = 0; i < 4; i++) copy[size + (size_t)i] = (uint8_t)(crc >> (8 * i));
  return (weir_slice){ copy, size + 4 };
}

static void read_value(const uint8_t *data, size_t size) {
  weir_pack_reader reader = { data, data + size };
  weir_pack_item item;
  weir_status status = weir_pack_skip(&reader);
  must(status == WEIR_OK || status == WEIR_CORRUPT || status == WEIR_LIMIT);
  must(reader.at >= data && reader.at <= data + size);
  reader = (weir_pack_reader){ data, data + size };
  while (weir_pack_read(&reader, &item)) must(reader.at <= data + size);
}

static void read_entry(const uint8_t *data, size_t size) {
  static const uint8_t lsn[8] = { 42 };
  weir_slice record = seal((weir_slice){ lsn, sizeof lsn }, data, size);
  weir_entry entry;
  if (weir_entry_read(record, 42, &entry) == WEIR_OK) {
    must(within(entry.run, record) && within(entry.payload, record));
    uint8_t *again = malloc(record.size);
    must(again != NULL && weir_entry_write(again, &entry) == record.size);
    must(memcmp(again, record.bytes, record.size) == 0);
    read_value(entry.payload.bytes, entry.payload.size);
    free(again);
  }
  free((void *)(uintptr_t)record.bytes);
}

static void read_segment(weir_slice key, const uint8_t *data, size_t size) {
  weir_slice record = seal(key, data, size);
  weir_segment segment;
  weir_entry entry;
  weir_status status = weir_segment_open(key, record, &segment);
  for (int i = 0; status == WEIR_OK; i++) {
    must(i <= UINT16_MAX);
    status = weir_segment_next(&segment, &entry);
    if (status == WEIR_OK) must(within(entry.payload, record));
  }
  free((void *)(uintptr_t)record.bytes);
}

static void read_others(weir_slice key, const uint8_t *data, size_t size) {
  weir_slice record = seal(key, data, size), content;
  weir_row row;
  weir_kv kv;
  weir_tail tail;
  weir_buffer again = { 0 };
  if (weir_row_read(key, record, &row) == WEIR_OK)
    must(within(row.status, record) && within(row.row, record));
  if (weir_blob_read(key, record, &content) == WEIR_OK) must(within(content, record));
  if (weir_kv_read(key, record, &kv) == WEIR_OK) {
    must(within(kv.long_key, record) && within(kv.payload, record));
    weir_kv_write(&again, key, &kv);
    weir_kv back;
    must(weir_kv_read(key, (weir_slice){ again.bytes, again.size }, &back) == WEIR_OK);
    must(back.version == kv.version && weir_slice_equal(back.payload, kv.payload));
  }
  weir_tail_read((weir_slice){ data, size }, &tail);
  weir_buffer_free(&again);
  free((void *)(uintptr_t)record.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const weir_slice key = { (const uint8_t *)"r_1", 3 };
  read_value(data, size);
  read_entry(data, size);
  read_segment(key, data, size);
  read_others(key, data, size);
  return 0;
}
