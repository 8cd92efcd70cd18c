/* store_forget.c - removes all that is kept of a run that has ended.
 *
 * Its segments tell which of its entries are still in the log: these go too, because what the log holds
 * beyond the segments would be taken for the beginning of a run when the store is opened again. Blobs
 * stay; what nobody refers to any more is swept (store_sweep.c). */
#include <errno.h>
#include <string.h>

#include "store_internal.h"

/* The run's first segment after those before `from_n`: 0, MDB_NOTFOUND or an error. */
static int find_segment(weir_store *store, MDB_txn *txn, weir_slice run, uint64_t from_n, MDB_val *key,
                        MDB_val *record) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  MDB_cursor *cursor;
  int rc = mdb_cursor_open(txn, store->table[WEIR_SEGMENTS], &cursor);
  if (rc != 0) return rc;
  *key = (MDB_val){ weir_segment_key(bytes, run, from_n), bytes };
  rc = mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
  mdb_cursor_close(cursor);
  if (rc != 0) return rc;
  bool is_its_own = key->mv_size == run.size + 9 && memcmp(key->mv_data, bytes, run.size + 1) == 0;
  return is_its_own ? 0 : MDB_NOTFOUND;
}

/* The LSNs of a segment's entries to the end of the buffer; *last_n is the last one's number. */
static bool list_entries(weir_slice run, MDB_val key, MDB_val record, weir_buffer *lsns,
                         uint64_t *last_n) {
  weir_segment segment;
  weir_entry entry;
  if (weir_segment_open(weir_slice_of(key), weir_slice_of(record), &segment) != WEIR_OK) return false;
  weir_status status;
  while ((status = weir_segment_next(&segment, &entry)) == WEIR_OK) {
    if (!weir_slice_equal(entry.run, run) || entry.n <= *last_n) return false;
    *last_n = entry.n;
    weir_buffer_add(lsns, &entry.lsn, sizeof entry.lsn);
  }
  return status == WEIR_EMPTY;
}

weir_status weir_forget_check(weir_store *store, MDB_txn *txn, weir_slice run, int *rc) {
  uint64_t last_n = 0;
  MDB_val key, record;
  while ((*rc = find_segment(store, txn, run, last_n + 1, &key, &record)) == 0) {
    weir_buffer_clear(&store->blob);
    if (!list_entries(run, key, record, &store->blob, &last_n)) return WEIR_CORRUPT;
  }
  if (*rc == MDB_NOTFOUND) *rc = 0;
  return *rc == 0 ? WEIR_OK : WEIR_UNAVAILABLE;
}

static int first_lsn(weir_store *store, MDB_txn *txn, uint64_t *lsn) {
  MDB_cursor *cursor;
  MDB_val key, value;
  *lsn = UINT64_MAX;
  int rc = mdb_cursor_open(txn, store->table[WEIR_LOG], &cursor);
  if (rc != 0) return rc;
  rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  if (rc == 0) memcpy(lsn, key.mv_data, sizeof *lsn);
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

static int delete_from_log(weir_store *store, MDB_txn *txn, uint64_t lsn) {
  weir_slice key = { (const uint8_t *)&lsn, sizeof lsn }, record;
  int rc = weir_map_get(store, txn, WEIR_LOG, key, &record);
  if (rc != 0) return rc == MDB_NOTFOUND ? 0 : rc;
  store->log_bytes -= record.size;
  return weir_map_delete(store, txn, WEIR_LOG, key);
}

/* One segment, and its entries in the log. */
static int delete_segment(weir_store *store, MDB_txn *txn, weir_slice run, MDB_val key, MDB_val record,
                          uint64_t first_in_log) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  uint64_t last_n = 0, lsn;
  weir_buffer *lsns = &store->blob;
  weir_buffer_clear(lsns);
  if (!list_entries(run, key, record, lsns, &last_n)) return MDB_CORRUPTED; /* was checked */
  if (lsns->failed) return ENOMEM;
  memcpy(bytes, key.mv_data, key.mv_size); /* the pages may be used again by what follows */
  for (size_t i = 0; i < lsns->size; i += sizeof lsn) {
    memcpy(&lsn, lsns->bytes + i, sizeof lsn);
    int rc = lsn < first_in_log ? 0 : delete_from_log(store, txn, lsn);
    if (rc != 0) return rc;
  }
  return weir_map_delete(store, txn, WEIR_SEGMENTS, (weir_slice){ bytes, key.mv_size });
}

static int delete_row(weir_store *store, MDB_txn *txn, weir_slice run) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  weir_slice record;
  weir_row row;
  int rc = weir_map_get(store, txn, WEIR_RUNS, run, &record);
  if (rc != 0) return rc == MDB_NOTFOUND ? 0 : rc; /* an earlier operation of the request took it */
  if (weir_row_read(run, record, &row) != WEIR_OK) return MDB_CORRUPTED; /* was checked */
  weir_slice key = { bytes, weir_status_key(bytes, row.status, run) };
  rc = weir_map_delete(store, txn, WEIR_STATUS, key);
  return rc != 0 ? rc : weir_map_delete(store, txn, WEIR_RUNS, run);
}

int weir_forget(weir_store *store, MDB_txn *txn, weir_head *head) {
  weir_slice run = { head->id, head->id_size };
  uint64_t first_in_log;
  MDB_val key, record;
  int rc = weir_fold(store, txn, head);
  if (rc == 0 && head->damaged) rc = MDB_CORRUPTED;
  if (rc == 0) rc = first_lsn(store, txn, &first_in_log);
  while (rc == 0 && (rc = find_segment(store, txn, run, 0, &key, &record)) == 0)
    rc = delete_segment(store, txn, run, key, record, first_in_log);
  if (rc != MDB_NOTFOUND) return rc;
  rc = delete_row(store, txn, run);
  head->n = head->folded_lsn = 0; /* should it begin anew in this transaction */
  head->crc = head->epoch = 0;
  head->opened = false;
  weir_head_release(&store->heads, head);
  return rc;
}
