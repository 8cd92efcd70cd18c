/* store_list.c - reads of rows, alone or in a list, and of the keys of a space. */
#include <string.h>

#include "store_read.h"

/* Rows */

static weir_status read_row(weir_store *store, MDB_txn *txn, weir_slice run, weir_slice expected,
                            weir_result *result) {
  weir_slice record;
  weir_row row;
  weir_status status = weir_read_find(store, txn, WEIR_RUNS, run, &record);
  if (status == WEIR_NOT_FOUND && expected.size == 0) return status;
  if (status != WEIR_OK || weir_row_read(run, record, &row) != WEIR_OK)
    return weir_read_damaged(result, "run", run, "its row is damaged or missing");
  if (expected.size > 0 && !weir_slice_equal(expected, row.status))
    return weir_read_damaged(result, "run", run, "its row and the index of statuses disagree");
  weir_read_add(result, run, row.row, row.n);
  return WEIR_OK;
}

weir_status weir_store_row(weir_client *client, weir_slice run, weir_result *result) {
  MDB_txn *txn;
  weir_read_clear(result);
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  return weir_read_end(client, result,
                       read_row(client->store, txn, run, (weir_slice){ NULL, 0 }, result));
}

/* Put the cursor on the first key from `start` on, or the last before it; `start` itself is left out if
 * it is there and `skip` is set. */
static int seek(MDB_cursor *cursor, weir_slice start, bool reverse, bool skip, MDB_val *key,
                MDB_val *value) {
  *key = weir_val(start);
  int rc = start.size == 0 ? mdb_cursor_get(cursor, key, value, reverse ? MDB_LAST : MDB_FIRST)
                           : mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
  if (start.size == 0) return rc;
  bool exact = rc == 0 && weir_slice_equal(start, weir_slice_of(*key));
  if (exact && !skip) return 0;
  if (exact) return mdb_cursor_get(cursor, key, value, reverse ? MDB_PREV : MDB_NEXT);
  if (!reverse) return rc;
  return mdb_cursor_get(cursor, key, value, rc == 0 ? MDB_PREV : MDB_LAST);
}

/* Where a listing of one status begins: at its first or last run, or beside `after`. */
static weir_slice status_start(const weir_run_query *query, uint8_t *bytes) {
  size_t size = weir_status_key(bytes, query->status, query->after);
  if (query->reverse && query->after.size == 0) bytes[size - 1] = 1; /* beyond all with this status */
  return (weir_slice){ bytes, size };
}

static bool run_of_status(const weir_run_query *query, MDB_val key, weir_slice *run) {
  size_t skip = query->status.size + 1;
  const uint8_t *at = key.mv_data;
  if (key.mv_size <= skip || memcmp(at, query->status.bytes, skip - 1) != 0 || at[skip - 1] != 0)
    return false;
  *run = (weir_slice){ at + skip, key.mv_size - skip };
  return true;
}

static bool does_contain(weir_slice row, weir_slice wanted) {
  return wanted.size == 0 || memmem(row.bytes, row.size, wanted.bytes, wanted.size) != NULL;
}

/* A row that was found and does not fit is taken back. */
static void drop_unfit(weir_result *result, uint32_t count, weir_slice wanted) {
  if (weir_result_count(result) == count) return;
  weir_found found = weir_result_at(result, count);
  weir_slice row = { result->bytes.bytes + found.at, found.size };
  if (result->bytes.failed || result->found.failed || does_contain(row, wanted)) return;
  result->bytes.size = found.id_at;
  result->found.size -= sizeof found;
}

static weir_status list_runs(weir_store *store, MDB_txn *txn, const weir_run_query *query,
                             weir_result *result) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  bool by_status = query->status.size > 0;
  weir_slice start = by_status ? status_start(query, bytes) : query->after, run;
  MDB_cursor *cursor;
  MDB_val key, value;
  if (mdb_cursor_open(txn, store->table[by_status ? WEIR_STATUS : WEIR_RUNS], &cursor) != 0)
    return WEIR_CORRUPT;
  weir_status status = WEIR_OK;
  uint32_t looked = 0;
  int rc = seek(cursor, start, query->reverse, true, &key, &value);
  while (rc == 0 && status == WEIR_OK && weir_result_count(result) < query->limit) {
    uint32_t count = weir_result_count(result);
    run = weir_slice_of(key);
    if (by_status && !run_of_status(query, key, &run)) break;
    status = read_row(store, txn, run, query->status, result);
    if (status == WEIR_OK) drop_unfit(result, count, query->contains);
    if (status == WEIR_CORRUPT && query->damaged && weir_map_sane(store, key)) {
      weir_read_add(result, run, (weir_slice){ NULL, 0 }, 0);
      status = WEIR_OK;
    }
    if (status == WEIR_OK && ++looked == query->looks && weir_result_count(result) < query->limit) {
      weir_read_add(result, run, (weir_slice){ NULL, 0 }, WEIR_RUN_REST);
      break;
    }
    rc = mdb_cursor_get(cursor, &key, &value, query->reverse ? MDB_PREV : MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return rc == 0 || rc == MDB_NOTFOUND
             ? status
             : weir_read_damaged(result, "store", weir_text_slice(store->path),
                                 "the list of runs is unreadable");
}

weir_status weir_store_runs(weir_client *client, const weir_run_query *query, weir_result *result) {
  MDB_txn *txn;
  weir_read_clear(result);
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  return weir_read_end(client, result, list_runs(client->store, txn, query, result));
}

/* Keys of a space */

static int compare(weir_slice a, weir_slice b) {
  return weir_pack_compare(a.bytes, a.size, b.bytes, b.size);
}

static bool has_prefix(weir_slice key, weir_slice prefix) {
  return key.size >= prefix.size &&
         (prefix.size == 0 || memcmp(key.bytes, prefix.bytes, prefix.size) == 0);
}

/* Below 0: not reached yet; 0: wanted; above: past the end. Only whole keys are compared: those that
 * the table keeps cut are filed beside the keys that begin as they do. */
static int place_of(const weir_scan_query *query, weir_slice key) {
  int from = compare(key, query->from);
  int to = !query->has_to ? -1 : compare(key, query->to);
  bool below = from < 0 || (from == 0 && query->after_from);
  bool above = to > 0 || (to == 0 && query->before_to);
  if (has_prefix(key, query->prefix))
    return query->reverse ? (above ? -1 : below) : (below ? -1 : above);
  return (compare(key, query->prefix) < 0) != query->reverse ? -1 : 1;
}

/* Make of table key `bytes` the least one that does not begin with it. */
static size_t successor(uint8_t *bytes, size_t size) {
  while (size > 0 && bytes[size - 1] == UINT8_MAX) size--;
  if (size > 0) bytes[size - 1]++;
  return size;
}

/* A table key from which a scan can start without missing anything. Keys that the table keeps cut stand
 * in the order of their hashes, so that only the table key of the last one says where a page ended. */
static weir_slice scan_start(const weir_scan_query *query, uint8_t *bytes) {
  bool is_cut;
  if (query->has_behind)
    return (weir_slice){ bytes, weir_kv_key(bytes, query->space, query->behind, &is_cut) };
  weir_slice first = compare(query->from, query->prefix) > 0 ? query->from : query->prefix;
  if (query->reverse)
    first = query->has_to && has_prefix(query->to, query->prefix) ? query->to : query->prefix;
  size_t keep = WEIR_KEY_CUT - query->space.size - 1; /* as much as a cut key has of its own */
  if (first.size > keep) first.size = keep;
  size_t size = weir_kv_key(bytes, query->space, first, &is_cut);
  return (weir_slice){ bytes, query->reverse ? successor(bytes, size) : size };
}

static weir_status scan_keys(weir_store *store, MDB_txn *txn, const weir_scan_query *query,
                             weir_result *result) {
  uint8_t bytes[WEIR_KEY_MAX + 1], prefix[WEIR_SPACE_MAX + 2];
  bool is_cut;
  weir_slice space = { prefix, weir_kv_key(prefix, query->space, (weir_slice){ NULL, 0 }, &is_cut) };
  MDB_cursor *cursor;
  MDB_val key, value;
  if (mdb_cursor_open(txn, store->table[WEIR_KV], &cursor) != 0) return WEIR_CORRUPT;
  weir_status status = WEIR_OK;
  int rc = seek(cursor, scan_start(query, bytes), query->reverse, query->reverse || query->has_behind,
                &key, &value);
  while (rc == 0 && weir_result_count(result) < query->limit && has_prefix(weir_slice_of(key), space)) {
    weir_slice own = { (uint8_t *)key.mv_data + space.size, key.mv_size - space.size };
    weir_kv kv = { 0 };
    bool is_sound = weir_map_sane(store, value) &&
                    weir_kv_read(weir_slice_of(key), weir_slice_of(value), &kv) == WEIR_OK;
    if (!is_sound && !(query->damaged && weir_map_sane(store, key))) {
      status = weir_read_damaged(result, "key", own, "its record is damaged");
      break;
    }
    if (!is_sound) kv = (weir_kv){ 0 };
    if (kv.long_key.size > 0) own = kv.long_key;
    int place = place_of(query, own);
    if (place > 0 && key.mv_size < WEIR_KEY_CUT) break; /* longer ones are not in exact order */
    if (place == 0 && (is_sound || key.mv_size < WEIR_KEY_CUT))
      weir_read_add(result, own, kv.payload, kv.version);
    rc = mdb_cursor_get(cursor, &key, &value, query->reverse ? MDB_PREV : MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return rc == 0 || rc == MDB_NOTFOUND
             ? status
             : weir_read_damaged(result, "space", query->space, "it is unreadable");
}

weir_status weir_store_scan(weir_client *client, const weir_scan_query *query, weir_result *result) {
  MDB_txn *txn;
  weir_read_clear(result);
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  return weir_read_end(client, result, scan_keys(client->store, txn, query, result));
}
