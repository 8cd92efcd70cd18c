/* store_record.c - writes and reads what store_record.h specifies. */
#include "store_record.h"

#include <string.h>

#include "crc32c.h"
#include "sha256.h"

static void put16(uint8_t *at, uint16_t value) {
  for (int i = 0; i < 2; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void put32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int width) {
  uint64_t value = 0;
  for (int i = width - 1; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

static void add64(weir_buffer *out, uint64_t value, size_t width) {
  uint8_t bytes[8];
  put64(bytes, value);
  weir_buffer_add(out, bytes, width);
}

static weir_slice part(weir_slice whole, size_t at, size_t size) {
  return (weir_slice){ whole.bytes + at, size };
}

static uint32_t crc_of(uint32_t crc, weir_slice slice) {
  return weir_crc32c(crc, slice.bytes, slice.size);
}

/* Add the crc of key and buffer to the buffer's end. */
static void seal(weir_buffer *out, weir_slice key) {
  if (out->failed) return;
  add64(out, weir_crc32c(crc_of(0, key), out->bytes, out->size), 4);
}

/* A record of format 1, no shorter than header and crc, whose crc is right. */
static bool is_sealed(weir_slice key, weir_slice record, size_t header) {
  if (record.size < header + 4 || record.bytes[0] != WEIR_STORE_FORMAT) return false;
  size_t size = record.size - 4;
  return weir_crc32c(crc_of(0, key), record.bytes, size) == get(record.bytes + size, 4);
}

size_t weir_entry_write(uint8_t *out, weir_entry *entry) {
  uint8_t lsn[8];
  out[0] = WEIR_STORE_FORMAT;
  out[1] = 0;
  put16(out + 2, (uint16_t)entry->run.size);
  put32(out + 4, entry->epoch);
  put64(out + 8, entry->n);
  put32(out + 16, entry->previous_crc);
  memcpy(out + 20, entry->run.bytes, entry->run.size);
  memcpy(out + 20 + entry->run.size, entry->payload.bytes, entry->payload.size);
  size_t size = 20 + entry->run.size + entry->payload.size;
  put64(lsn, entry->lsn);
  entry->crc = weir_crc32c(weir_crc32c(0, lsn, 8), out, size);
  put32(out + size, entry->crc);
  return size + 4;
}

weir_status weir_entry_read(weir_slice record, uint64_t lsn, weir_entry *entry) {
  uint8_t key[8];
  put64(key, lsn);
  if (!is_sealed((weir_slice){ key, 8 }, record, 20) || record.bytes[1] != 0) return WEIR_CORRUPT;
  size_t run = (size_t)get(record.bytes + 2, 2);
  if (run > record.size - WEIR_ENTRY_OVERHEAD) return WEIR_CORRUPT;
  entry->lsn = lsn;
  entry->epoch = (uint32_t)get(record.bytes + 4, 4);
  entry->n = get(record.bytes + 8, 8);
  entry->previous_crc = (uint32_t)get(record.bytes + 16, 4);
  entry->run = part(record, 20, run);
  entry->payload = part(record, 20 + run, record.size - WEIR_ENTRY_OVERHEAD - run);
  entry->crc = (uint32_t)get(record.bytes + record.size - 4, 4);
  return weir_run_id_ok(entry->run) && entry->n > 0 ? WEIR_OK : WEIR_CORRUPT;
}

void weir_segment_begin(weir_buffer *out) {
  weir_buffer_clear(out);
  uint8_t *header = weir_buffer_grow(out, 8);
  if (header != NULL) memset(header, 0, 8);
}

void weir_segment_add(weir_buffer *out, uint64_t lsn, weir_slice record) {
  add64(out, lsn, 8);
  add64(out, record.size, 4);
  weir_buffer_add(out, record.bytes, record.size);
}

void weir_segment_end(weir_buffer *out, weir_slice key, uint16_t entries) {
  if (out->failed) return;
  out->bytes[0] = WEIR_STORE_FORMAT;
  put16(out->bytes + 2, entries);
  put32(out->bytes + 4, (uint32_t)(out->size - 8));
  seal(out, key);
}

weir_status weir_segment_open(weir_slice key, weir_slice record, weir_segment *segment) {
  if (!is_sealed(key, record, 8) || get(record.bytes + 4, 4) != record.size - 12) return WEIR_CORRUPT;
  segment->entries = (uint16_t)get(record.bytes + 2, 2);
  segment->rest = part(record, 8, record.size - 12);
  return WEIR_OK;
}

weir_status weir_segment_next(weir_segment *segment, weir_entry *entry) {
  weir_slice rest = segment->rest;
  if (segment->entries == 0) return rest.size == 0 ? WEIR_EMPTY : WEIR_CORRUPT;
  if (rest.size < 12) return WEIR_CORRUPT;
  uint64_t lsn = get(rest.bytes, 8);
  size_t size = (size_t)get(rest.bytes + 8, 4);
  if (size > rest.size - 12) return WEIR_CORRUPT;
  segment->rest = part(rest, 12 + size, rest.size - 12 - size);
  segment->entries--;
  return weir_entry_read(part(rest, 12, size), lsn, entry);
}

void weir_row_write(weir_buffer *out, weir_slice run, const weir_row *row) {
  weir_buffer_clear(out);
  add64(out, WEIR_STORE_FORMAT, 2);
  add64(out, row->status.size, 2);
  add64(out, row->epoch, 4);
  add64(out, row->n, 8);
  add64(out, row->entry_crc, 8);
  weir_buffer_add(out, row->status.bytes, row->status.size);
  weir_buffer_add(out, row->row.bytes, row->row.size);
  seal(out, run);
}

weir_status weir_row_read(weir_slice run, weir_slice record, weir_row *row) {
  if (!is_sealed(run, record, 24)) return WEIR_CORRUPT;
  size_t status = (size_t)get(record.bytes + 2, 2);
  if (status > record.size - 28) return WEIR_CORRUPT;
  row->epoch = (uint32_t)get(record.bytes + 4, 4);
  row->n = get(record.bytes + 8, 8);
  row->entry_crc = (uint32_t)get(record.bytes + 16, 4);
  row->status = part(record, 24, status);
  row->row = part(record, 24 + status, record.size - 28 - status);
  return WEIR_OK;
}

void weir_blob_write(weir_buffer *out, weir_slice hash, uint64_t now_ms, weir_slice content) {
  weir_buffer_clear(out);
  add64(out, WEIR_STORE_FORMAT, 8);
  add64(out, now_ms, 8);
  weir_buffer_add(out, content.bytes, content.size);
  seal(out, hash);
}

weir_status weir_blob_read(weir_slice hash, weir_slice record, weir_slice *content) {
  if (!is_sealed(hash, record, 16)) return WEIR_CORRUPT;
  *content = part(record, 16, record.size - 20);
  return WEIR_OK;
}

uint64_t weir_blob_put_ms(weir_slice record) {
  return record.size < 16 ? 0 : get(record.bytes + 8, 8);
}

void weir_hash(weir_slice content, uint8_t hash[WEIR_HASH_SIZE]) {
  weir_sha256(content.bytes, content.size, hash);
}

void weir_kv_write(weir_buffer *out, weir_slice table_key, const weir_kv *kv) {
  weir_buffer_clear(out);
  add64(out, WEIR_STORE_FORMAT, 1);
  add64(out, kv->long_key.size > 0, 3);
  add64(out, kv->long_key.size, 4);
  add64(out, kv->version, 8);
  weir_buffer_add(out, kv->long_key.bytes, kv->long_key.size);
  weir_buffer_add(out, kv->payload.bytes, kv->payload.size);
  seal(out, table_key);
}

weir_status weir_kv_read(weir_slice table_key, weir_slice record, weir_kv *kv) {
  if (!is_sealed(table_key, record, 16)) return WEIR_CORRUPT;
  size_t key = (size_t)get(record.bytes + 4, 4);
  if (key > record.size - 20) return WEIR_CORRUPT;
  kv->version = get(record.bytes + 8, 8);
  kv->long_key = part(record, 16, key);
  kv->payload = part(record, 16 + key, record.size - 20 - key);
  return WEIR_OK;
}

void weir_tail_write(uint8_t out[WEIR_TAIL_SIZE], const weir_tail *tail) {
  put64(out, tail->next_lsn);
  put64(out + 8, tail->transactions);
  for (int i = 0; i < WEIR_TABLES; i++) {
    put64(out + 16 + 16 * i, tail->records[i]);
    put64(out + 24 + 16 * i, tail->sums[i]);
  }
  put32(out + WEIR_TAIL_SIZE - 4, weir_crc32c(0, out, WEIR_TAIL_SIZE - 4));
}

weir_status weir_tail_read(weir_slice record, weir_tail *tail) {
  if (record.size != WEIR_TAIL_SIZE) return WEIR_CORRUPT;
  const uint8_t *at = record.bytes;
  if (weir_crc32c(0, at, WEIR_TAIL_SIZE - 4) != get(at + WEIR_TAIL_SIZE - 4, 4)) return WEIR_CORRUPT;
  tail->next_lsn = get(at, 8);
  tail->transactions = get(at + 8, 8);
  for (int i = 0; i < WEIR_TABLES; i++) {
    tail->records[i] = get(at + 16 + 16 * i, 8);
    tail->sums[i] = get(at + 24 + 16 * i, 8);
  }
  return WEIR_OK;
}

size_t weir_segment_key(uint8_t *out, weir_slice run, uint64_t first_n) {
  memcpy(out, run.bytes, run.size);
  out[run.size] = 0;
  for (size_t i = 0; i < 8; i++) out[run.size + 1 + i] = (uint8_t)(first_n >> (56 - 8 * i));
  return run.size + 9;
}

size_t weir_status_key(uint8_t *out, weir_slice status, weir_slice run) {
  memcpy(out, status.bytes, status.size);
  out[status.size] = 0;
  if (run.size > 0) memcpy(out + status.size + 1, run.bytes, run.size);
  return status.size + 1 + run.size;
}

size_t weir_kv_key(uint8_t *out, weir_slice space, weir_slice key, bool *is_cut) {
  memcpy(out, space.bytes, space.size);
  out[space.size] = 0;
  size_t start = space.size + 1, kept = key.size;
  *is_cut = start + key.size > WEIR_KEY_MAX;
  if (*is_cut) kept = WEIR_KEY_CUT - start;
  if (kept > 0) memcpy(out + start, key.bytes, kept);
  if (!*is_cut) return start + kept;
  weir_hash(key, out + WEIR_KEY_CUT);
  return WEIR_KEY_CUT + WEIR_HASH_SIZE;
}

weir_slice weir_kv_own(weir_slice table_key) {
  const uint8_t *end = table_key.size == 0 ? NULL : memchr(table_key.bytes, 0, table_key.size);
  size_t skip = end == NULL ? table_key.size : (size_t)(end + 1 - table_key.bytes);
  return part(table_key, skip, table_key.size - skip);
}

uint32_t weir_record_crc(int table, weir_slice key, weir_slice record) {
  if (table == WEIR_STATUS) return crc_of(0, key);
  return record.size < 4 ? 0 : (uint32_t)get(record.bytes + record.size - 4, 4);
}

bool weir_run_id_ok(weir_slice run) {
  return run.size >= 1 && run.size <= WEIR_RUN_ID_MAX && memchr(run.bytes, 0, run.size) == NULL;
}

bool weir_space_ok(weir_slice space) {
  if (space.size < 1 || space.size > WEIR_SPACE_MAX) return false;
  for (size_t i = 0; i < space.size; i++)
    if (space.bytes[i] < '!' || space.bytes[i] > '~') return false;
  return true;
}

bool weir_slice_equal(weir_slice a, weir_slice b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}
