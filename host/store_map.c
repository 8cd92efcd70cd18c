/* store_map.c - access to LMDB's tables that keeps the tail's sums and does not trust what is on disk.
 *
 * LMDB 0.9 has no checksums: a flipped bit in a page's structure gives wrong sizes, keys out of order,
 * or another page. Values are therefore bounded before they are read, and a key that was not found is
 * believed only when its neighbours are sound. */
#include <string.h>

#include "store_internal.h"

#define PAGE_HEADER 16 /* of LMDB 0.9: number u64, pad u16, flags u16, pages of an overflow run u32 */
#define PAGE_OVERFLOW 0x04

static bool overflow_holds(const weir_store *store, const uint8_t *page, size_t size) {
  uint64_t number;
  uint32_t pages;
  uint16_t flags;
  memcpy(&number, page, 8);
  memcpy(&flags, page + 10, 2);
  memcpy(&pages, page + 12, 4);
  MDB_envinfo info;
  mdb_env_info(store->env, &info);
  if ((flags & PAGE_OVERFLOW) == 0 || number > info.me_last_pgno) return false;
  if (pages > info.me_last_pgno - number + 1) return false;
  return size <= (size_t)pages * store->page_size - PAGE_HEADER;
}

bool weir_map_sane(const weir_store *store, MDB_val val) {
  size_t offset = (uintptr_t)val.mv_data & (store->page_size - 1);
  if (val.mv_size == 0) return true;
  if (offset != PAGE_HEADER) return offset + val.mv_size <= store->page_size;
  return overflow_holds(store, (const uint8_t *)val.mv_data - PAGE_HEADER, val.mv_size);
}

int weir_map_get(weir_store *store, MDB_txn *txn, int table, weir_slice key, weir_slice *record) {
  MDB_val k = weir_val(key), value;
  int rc = mdb_get(txn, store->table[table], &k, &value);
  if (rc == 0) *record = weir_slice_of(value);
  return rc;
}

/* Take a record out of the sums. */
static void forget(weir_store *store, int table, weir_slice key, weir_slice record) {
  store->tail.records[table]--;
  store->tail.sums[table] -= weir_record_crc(table, key, record);
}

int weir_map_put(weir_store *store, MDB_txn *txn, int table, weir_slice key, weir_slice record) {
  weir_slice old;
  int rc = weir_map_get(store, txn, table, key, &old);
  if (rc != 0 && rc != MDB_NOTFOUND) return rc;
  if (rc == 0) forget(store, table, key, old);
  store->tail.records[table]++;
  store->tail.sums[table] += weir_record_crc(table, key, record);
  MDB_val k = weir_val(key), value = weir_val(record);
  return mdb_put(txn, store->table[table], &k, &value, 0);
}

int weir_map_delete(weir_store *store, MDB_txn *txn, int table, weir_slice key) {
  weir_slice old;
  int rc = weir_map_get(store, txn, table, key, &old);
  if (rc == MDB_NOTFOUND) return 0;
  if (rc != 0) return rc;
  forget(store, table, key, old);
  MDB_val k = weir_val(key);
  return mdb_del(txn, store->table[table], &k, NULL);
}

bool weir_map_check(int table, weir_slice key, weir_slice record) {
  weir_slice content;
  weir_segment segment;
  weir_row row;
  weir_kv kv;
  switch (table) {
  case WEIR_SEGMENTS:
    return weir_segment_open(key, record, &segment) == WEIR_OK;
  case WEIR_RUNS:
    return weir_row_read(key, record, &row) == WEIR_OK;
  case WEIR_STATUS:
    return record.size == 0 && memchr(key.bytes, 0, key.size) != NULL;
  case WEIR_BLOBS:
    return key.size == WEIR_HASH_SIZE && weir_blob_read(key, record, &content) == WEIR_OK;
  case WEIR_KV:
    return weir_kv_read(key, record, &kv) == WEIR_OK;
  default:
    return true;
  }
}

/* The record under the cursor is sound and on the right side of the key. */
static bool is_beside(weir_store *store, int table, weir_slice key, MDB_val k, MDB_val value,
                      int side) {
  if (!weir_map_sane(store, k) || !weir_map_sane(store, value)) return false;
  int order = weir_pack_compare(k.mv_data, k.mv_size, key.bytes, key.size);
  return (side > 0 ? order > 0 : order < 0) &&
         weir_map_check(table, weir_slice_of(k), weir_slice_of(value));
}

bool weir_map_is_absent(weir_store *store, MDB_txn *txn, int table, weir_slice key) {
  MDB_cursor *cursor;
  if (mdb_cursor_open(txn, store->table[table], &cursor) != 0) return false;
  MDB_val k = weir_val(key), value;
  int rc = mdb_cursor_get(cursor, &k, &value, MDB_SET_RANGE);
  bool absent = rc == MDB_NOTFOUND || (rc == 0 && is_beside(store, table, key, k, value, 1));
  if (absent) {
    rc = mdb_cursor_get(cursor, &k, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    absent = rc == MDB_NOTFOUND || (rc == 0 && is_beside(store, table, key, k, value, -1));
  }
  mdb_cursor_close(cursor);
  return absent;
}

bool weir_map_grow(weir_store *store, size_t needed, bool urgent) {
  MDB_envinfo info;
  mdb_env_info(store->env, &info);
  size_t size = info.me_mapsize;
  while (size < needed && size <= SIZE_MAX / 4) size *= 2;
  if (size < needed) return false;
  if (urgent) { /* reads are short, a copy is not */
    atomic_store(&store->copies_must_end, true);
    pthread_rwlock_wrlock(&store->map);
    atomic_store(&store->copies_must_end, false);
  } else if (pthread_rwlock_trywrlock(&store->map) != 0) {
    return false;
  }
  int rc = mdb_env_set_mapsize(store->env, size);
  pthread_rwlock_unlock(&store->map);
  return rc == 0;
}

void weir_readers_clear(weir_store *store) {
  int cleared = 0;
  if (mdb_reader_check(store->env, &cleared) != 0 || cleared == 0) return;
  pthread_mutex_lock(&store->heads_lock);
  store->stats.readers_cleared += (uint64_t)cleared;
  pthread_mutex_unlock(&store->heads_lock);
}

int weir_reader_begin(weir_store *store, MDB_txn **txn) {
  if (*txn != NULL) return mdb_txn_renew(*txn); /* it has kept its slot */
  int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
  if (rc != MDB_READERS_FULL) return rc;
  weir_readers_clear(store);
  return mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
}
