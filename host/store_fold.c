/* store_fold.c - keeps the log short: a run's entries move from the log into a segment of the run's
 * own, and the log is cut below the oldest entry that has not moved. */
#include <errno.h>
#include <string.h>

#include "store_internal.h"

#define CUT_AT_LEAST 64 /* entries; so that a lone commit does not touch the log's first page */
#define CUT_MORE 1000   /* entries a transaction, above what it adds, while the log is too large */
#define FOLDS_TO_CUT 64 /* runs a transaction that are folded because they hold the log back */

/* A record that cannot be folded stops its run, not the store. */
static int give_up(weir_store *store, weir_head *head) {
  if (!head->damaged) store->stats.damaged++;
  head->damaged = true;
  return 0;
}

/* Gather the unfolded entries into store->record: 0 with *whole false when one is damaged. */
static int gather(weir_store *store, MDB_txn *txn, const weir_head *head, uint64_t *first_n,
                  bool *whole) {
  *whole = false;
  weir_segment_begin(&store->record);
  for (uint32_t i = 0; i < head->unfolded; i++) {
    uint64_t lsn = head->lsn[i];
    weir_slice record;
    weir_entry entry;
    int rc = weir_map_get(store, txn, WEIR_LOG, (weir_slice){ (uint8_t *)&lsn, sizeof lsn }, &record);
    if (rc == MDB_NOTFOUND) return 0;
    if (rc != 0) return rc;
    if (weir_entry_read(record, lsn, &entry) != WEIR_OK) return 0;
    if (!weir_slice_equal(entry.run, (weir_slice){ head->id, head->id_size })) return 0;
    if (i == 0) *first_n = entry.n;
    weir_segment_add(&store->record, lsn, record);
    weir_sweep_keep_entry(store, entry.payload);
  }
  *whole = true;
  return store->record.failed ? ENOMEM : 0;
}

int weir_fold(weir_store *store, MDB_txn *txn, weir_head *head) {
  if (head->unfolded == 0 || head->damaged) return 0;
  uint64_t first_n = 0;
  bool whole;
  int rc = gather(store, txn, head, &first_n, &whole);
  if (rc != 0) return rc;
  if (!whole) return give_up(store, head);
  uint8_t bytes[WEIR_KEY_MAX + 1];
  weir_slice key = { bytes, weir_segment_key(bytes, (weir_slice){ head->id, head->id_size }, first_n) };
  weir_segment_end(&store->record, key, (uint16_t)head->unfolded);
  rc = weir_map_put(store, txn, WEIR_SEGMENTS, key,
                    (weir_slice){ store->record.bytes, store->record.size });
  if (rc != 0) return rc;
  head->folded_lsn = head->lsn[head->unfolded - 1];
  return weir_head_moved(&store->heads, head, mdb_txn_id(txn)) ? 0 : ENOMEM;
}

static bool is_too_large(const weir_store *store) {
  return store->log_bytes > store->options.log_bytes ||
         store->tail.records[WEIR_LOG] > store->options.log_entries;
}

/* Delete entries below the oldest unfolded one, at most *budget. */
static int cut_some(weir_store *store, MDB_txn *txn, uint64_t *budget) {
  uint64_t oldest = store->heads.oldest == NULL ? UINT64_MAX : store->heads.oldest->lsn[0];
  MDB_cursor *cursor;
  MDB_val key, value;
  int rc = mdb_cursor_open(txn, store->table[WEIR_LOG], &cursor);
  if (rc != 0) return rc;
  while (*budget > 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)) == 0) {
    uint64_t lsn;
    memcpy(&lsn, key.mv_data, sizeof lsn);
    if (lsn >= oldest) break;
    store->tail.records[WEIR_LOG]--;
    store->tail.sums[WEIR_LOG] -=
        weir_record_crc(WEIR_LOG, (weir_slice){ NULL, 0 }, weir_slice_of(value));
    store->log_bytes -= value.mv_size;
    if ((rc = mdb_cursor_del(cursor, 0)) != 0) break;
    --*budget;
  }
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

int weir_cut(weir_store *store, MDB_txn *txn) {
  bool large = is_too_large(store);
  if (!large && store->cut_credit < CUT_AT_LEAST) return 0;
  uint64_t budget = store->cut_credit + (large ? CUT_MORE : 0);
  store->cut_credit = 0;
  for (int folds = 0;; folds++) {
    int rc = cut_some(store, txn, &budget);
    weir_head *oldest = store->heads.oldest;
    if (rc != 0 || budget == 0 || !is_too_large(store)) return rc;
    if (oldest == NULL || oldest->damaged || folds == FOLDS_TO_CUT) return 0;
    if ((rc = weir_fold(store, txn, oldest)) != 0) return rc;
  }
}
