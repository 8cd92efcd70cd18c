/* store_record.h - the bytes of every record in the store: store format 1, its specification.
 *
 * The store is the LMDB environment data.mdb with default flags. Integers are little endian unless
 * said otherwise. `crc` is CRC-32C (crc32c.h). A value in MessagePack has exactly one encoding
 * (pack.h). A run id has 1..128 bytes, none of them zero.
 *
 * unnamed table
 *   "weir.format"  u32 format (1), then the text "weir VERSION" of the program that made the store
 *   "weir.tail"    what one transaction left behind, written by each that changes anything:
 *                  u64 next LSN, u64 transactions so far, then for log, segments, runs, status, blobs
 *                  and kv in this order u64 records and u64 sum, then u32 crc of all before.
 *                  sum = sum modulo 2^64 of the crcs of the table's records (for status: of the key)
 *
 * table "log", integer keys: u64 LSN in the machine's byte order, increasing, with gaps
 *   entry:  u8 format (1), u8 flags (0), u16 size of the run id, u32 epoch, u64 n,
 *           u32 crc of this run's entry n - 1 (0 when n is 1), run id, payload,
 *           u32 crc of: u64 LSN, then all before
 *   n counts each run's entries from 1 without a gap. The payload is one MessagePack array. An element
 *   of it that would take more than 1,536 bytes stands in table "blobs" instead; in its place is the
 *   extension of type 1 with the 32 bytes of its key.
 *
 * table "segments", key: run id, 0, u64 n of the first entry, big endian
 *   u8 format (1), u8 flags (0), u16 entries (1..256), u32 bytes that follow without the crc, then for
 *   each entry u64 LSN, u32 size, the entry as it stood in the log; then u32 crc of key and all before
 *
 * table "runs", key: run id
 *   u8 format (1), u8 flags (0), u16 size of the status, u32 epoch, u64 n of the latest entry,
 *   u32 crc of that entry (0 if none), u32 0, status, row (one MessagePack map), u32 crc of key and all
 * before
 *
 * table "status", key: status, 0, run id; no value. For each row one, and nothing else
 *
 * table "blobs", key: SHA-256 of the content
 *   u8 format (1), 7 bytes 0, u64 milliseconds since 1970 when it was put (again), content, u32 crc of
 * key and all before
 *
 * table "kv", key: space, 0, key. If that exceeds 510 bytes: its first 479 bytes, then the SHA-256 of
 * the key u8 format (1), u8 flags (1: the key is kept here), u16 0, u32 size of the key kept here (else
 * 0), u64 version, key, payload (one MessagePack value), u32 crc of key in the table and all before A
 * space has 1..64 bytes from '!' to '~'. Versions come from the same counter as LSNs.
 *
 * An entry belongs to its run if it stands in a segment, or in the log with n above the last segment's.
 * All functions: any thread, no allocation but in the given buffer. */
#ifndef WEIR_STORE_RECORD_H
#define WEIR_STORE_RECORD_H
#include "pack.h"

#define WEIR_STORE_FORMAT 1
#define WEIR_RUN_ID_MAX 128
#define WEIR_SPACE_MAX 64
#define WEIR_STATUS_MAX 32
#define WEIR_KEY_MAX 510 /* of LMDB's 511 */
#define WEIR_KEY_CUT 479 /* of a longer one these are kept, and a hash */
#define WEIR_KV_KEY_MAX (64u << 10)
#define WEIR_BLOB_ABOVE 1536 /* bytes of one element of an entry */
#define WEIR_BLOB_EXTENSION 1
#define WEIR_HASH_SIZE 32
#define WEIR_FOLD_ENTRIES 256
#define WEIR_FOLD_BYTES (64u << 10)

enum { WEIR_LOG, WEIR_SEGMENTS, WEIR_RUNS, WEIR_STATUS, WEIR_BLOBS, WEIR_KV, WEIR_TABLES };

typedef struct {
  const uint8_t *bytes;
  size_t size;
} weir_slice;

typedef struct {
  weir_slice run;
  weir_slice payload;
  uint64_t lsn;
  uint64_t n;
  uint32_t epoch;
  uint32_t previous_crc;
  uint32_t crc; /* set by both directions */
} weir_entry;

#define WEIR_ENTRY_OVERHEAD 24 /* bytes around run id and payload */

/* Write an entry; `out` has room for run, payload and WEIR_ENTRY_OVERHEAD. Returns its size. */
size_t weir_entry_write(uint8_t *out, weir_entry *entry);
/* Read and check one: OK or CORRUPT. Slices point into the record. */
weir_status weir_entry_read(weir_slice record, uint64_t lsn, weir_entry *entry);

/* Segments are built in a buffer: begin, add each entry's record, end with the key they go under. */
void weir_segment_begin(weir_buffer *out);
void weir_segment_add(weir_buffer *out, uint64_t lsn, weir_slice record);
void weir_segment_end(weir_buffer *out, weir_slice key, uint16_t entries);

typedef struct {
  weir_slice rest;
  uint16_t entries; /* still to come */
} weir_segment;
weir_status weir_segment_open(weir_slice key, weir_slice record, weir_segment *segment);
/* The next entry: OK, EMPTY after the last one, or CORRUPT. */
weir_status weir_segment_next(weir_segment *segment, weir_entry *entry);

typedef struct {
  weir_slice status;
  weir_slice row;
  uint64_t n;
  uint32_t epoch;
  uint32_t entry_crc;
} weir_row;
void weir_row_write(weir_buffer *out, weir_slice run, const weir_row *row);
weir_status weir_row_read(weir_slice run, weir_slice record, weir_row *row);

void weir_blob_write(weir_buffer *out, weir_slice hash, uint64_t now_ms, weir_slice content);
weir_status weir_blob_read(weir_slice hash, weir_slice record, weir_slice *content);
uint64_t weir_blob_put_ms(weir_slice record); /* 0 if it is too short */
void weir_hash(weir_slice content, uint8_t hash[WEIR_HASH_SIZE]);

typedef struct {
  weir_slice long_key; /* the whole key when the table's key is a cut one, else empty */
  weir_slice payload;
  uint64_t version;
} weir_kv;
void weir_kv_write(weir_buffer *out, weir_slice table_key, const weir_kv *kv);
weir_status weir_kv_read(weir_slice table_key, weir_slice record, weir_kv *kv);

typedef struct {
  uint64_t next_lsn;
  uint64_t transactions;
  uint64_t records[WEIR_TABLES];
  uint64_t sums[WEIR_TABLES];
} weir_tail;
#define WEIR_TAIL_SIZE (16 + 16 * WEIR_TABLES + 4)
void weir_tail_write(uint8_t out[WEIR_TAIL_SIZE], const weir_tail *tail);
weir_status weir_tail_read(weir_slice record, weir_tail *tail);

/* Table keys. `out` has WEIR_KEY_MAX + 1 bytes; returns the size. */
size_t weir_segment_key(uint8_t *out, weir_slice run, uint64_t first_n);
size_t weir_status_key(uint8_t *out, weir_slice status, weir_slice run);
size_t weir_kv_key(uint8_t *out, weir_slice space, weir_slice key, bool *is_cut);

/* The crc at a record's end, which its table's sum counts; of a status key its own. 0 if too short. */
uint32_t weir_record_crc(int table, weir_slice key, weir_slice record);

weir_slice weir_kv_own(weir_slice table_key); /* what follows the space in a table key */

bool weir_run_id_ok(weir_slice run);
bool weir_space_ok(weir_slice space);
bool weir_slice_equal(weir_slice a, weir_slice b);
#endif
