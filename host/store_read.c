/* store_read.c - reads, each within one short transaction on the thread of its client.
 *
 * Everything is copied out before the transaction ends: a reader that stays open keeps LMDB from using
 * pages again. What a journal holds beyond its segments is known from its head; the list is copied
 * before the transaction begins, and the head may be ahead of what is committed. So an entry in it may
 * not be there yet (its LSN is beyond those of the state that is read), may have moved to a segment
 * since (its n says so), or may be about to (the head still has it among those that move). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define ATTEMPTS 5 /* of a journal read that met a commit */

void weir_result_free(weir_result *result) {
  weir_buffer_free(&result->bytes);
  weir_buffer_free(&result->found);
  weir_buffer_free(&result->scratch);
}

weir_found weir_result_at(const weir_result *result, uint32_t i) {
  weir_found found;
  memcpy(&found, result->found.bytes + i * sizeof found, sizeof found);
  return found;
}

static void clear(weir_result *result) {
  weir_buffer_clear(&result->bytes);
  weir_buffer_clear(&result->found);
  result->message[0] = '\0';
}

static weir_status damaged(weir_result *result, const char *what, weir_slice name, const char *detail) {
  int size = name.size > 128 ? 128 : (int)name.size;
  snprintf(result->message, WEIR_MESSAGE_MAX, "%s '%.*s': %s; see 'weir doctor'", what, size,
           (const char *)name.bytes, detail);
  return WEIR_CORRUPT;
}

static weir_slice text_slice(const char *text) {
  return (weir_slice){ (const uint8_t *)text, strlen(text) };
}

/* Begin reading; the map stays where it is until end_read. */
static weir_status begin_read(weir_client *client, weir_result *result, MDB_txn **txn) {
  weir_store *store = client->store;
  const char *failure = weir_store_failure(store);
  int rc = 0;
  if (failure == NULL) {
    pthread_rwlock_rdlock(&store->map);
    rc = weir_reader_begin(store, &client->reader);
    if (rc == 0) {
      *txn = client->reader;
      return WEIR_OK;
    }
    pthread_rwlock_unlock(&store->map);
  }
  snprintf(result->message, WEIR_MESSAGE_MAX, "%.300s", failure != NULL ? failure : mdb_strerror(rc));
  return WEIR_UNAVAILABLE;
}

static weir_status end_read(weir_client *client, weir_result *result, weir_status status) {
  mdb_txn_reset(client->reader);
  pthread_rwlock_unlock(&client->store->map);
  if (status == WEIR_OK &&
      (result->bytes.failed || result->found.failed || result->bytes.size > UINT32_MAX)) {
    snprintf(result->message, WEIR_MESSAGE_MAX,
             "the result does not fit into memory; ask for less at a time");
    return WEIR_LIMIT;
  }
  return status;
}

static void add_found(weir_result *result, weir_slice id, weir_slice payload, uint64_t number) {
  weir_found found = { .id_at = (uint32_t)result->bytes.size,
                       .id_size = (uint32_t)id.size,
                       .number = number };
  weir_buffer_add(&result->bytes, id.bytes, id.size);
  found.at = (uint32_t)result->bytes.size;
  found.size = (uint32_t)payload.size;
  weir_buffer_add(&result->bytes, payload.bytes, payload.size);
  weir_buffer_add(&result->found, &found, sizeof found);
}

/* One record: OK, NOT_FOUND (and its neighbours are sound), or CORRUPT. */
static weir_status find(weir_store *store, MDB_txn *txn, int table, weir_slice key,
                        weir_slice *record) {
  MDB_val k = weir_val(key), value;
  int rc = mdb_get(txn, store->table[table], &k, &value);
  if (rc == MDB_NOTFOUND)
    return weir_map_is_absent(store, txn, table, key) ? WEIR_NOT_FOUND : WEIR_CORRUPT;
  if (rc != 0 || !weir_map_sane(store, value)) return WEIR_CORRUPT;
  *record = weir_slice_of(value);
  return WEIR_OK;
}

/* --- journals ------------------------------------------------------------------------------------ */

typedef struct {
  weir_store *store;
  MDB_txn *txn;
  weir_result *result;
  weir_slice run;
  uint64_t after_n, n; /* n of the last entry met */
  uint32_t limit, crc;
  bool chained; /* crc is that of entry n */
} reading;

static weir_status bad_entry(reading *r, uint64_t n, const char *detail) {
  char text[160];
  snprintf(text, sizeof text, "entry %llu %s", (unsigned long long)n, detail);
  return damaged(r->result, "run", r->run, text);
}

/* Copy a blob's content in place of its reference. */
static weir_status add_blob(reading *r, uint64_t n, const weir_pack_item *item) {
  weir_slice hash = { item->bytes, item->size }, record, content;
  if (item->integer != WEIR_BLOB_EXTENSION || item->size != WEIR_HASH_SIZE)
    return bad_entry(r, n, "has an unknown extension");
  weir_status status = find(r->store, r->txn, WEIR_BLOBS, hash, &record);
  if (status != WEIR_OK) return bad_entry(r, n, "refers to a blob that is missing or damaged");
  if (weir_blob_read(hash, record, &content) != WEIR_OK)
    return bad_entry(r, n, "refers to a blob that is damaged");
  weir_buffer_add(&r->result->bytes, content.bytes, content.size);
  return WEIR_OK;
}

static weir_status add_elements(reading *r, const weir_entry *entry) {
  weir_pack_reader reader = { entry->payload.bytes, entry->payload.bytes + entry->payload.size };
  weir_buffer *out = &r->result->bytes;
  weir_pack_item list, item;
  if (!weir_pack_read(&reader, &list) || list.kind != WEIR_PACK_ARRAY)
    return bad_entry(r, entry->n, "is no list");
  weir_buffer_add(out, entry->payload.bytes, (size_t)(reader.at - entry->payload.bytes));
  for (uint32_t i = 0; i < list.size; i++) {
    weir_pack_reader start = reader;
    weir_status status = WEIR_OK;
    if (!weir_pack_read(&reader, &item)) return bad_entry(r, entry->n, "is damaged");
    if (item.kind == WEIR_PACK_EXTENSION)
      status = add_blob(r, entry->n, &item);
    else {
      reader = start;
      if (weir_pack_skip(&reader) != WEIR_OK) return bad_entry(r, entry->n, "is damaged");
      weir_buffer_add(out, start.at, (size_t)(reader.at - start.at));
    }
    if (status != WEIR_OK) return status;
  }
  return reader.at == reader.end ? WEIR_OK : bad_entry(r, entry->n, "is damaged");
}

/* The next entry of the chain: OK, EMPTY when the limit was reached, or CORRUPT. */
static weir_status add_entry(reading *r, const weir_entry *entry) {
  if (!weir_slice_equal(entry->run, r->run)) return bad_entry(r, r->n + 1, "is another run's");
  if (r->chained && (entry->n != r->n + 1 || entry->previous_crc != r->crc))
    return bad_entry(r, r->n + 1, "is missing");
  r->n = entry->n;
  r->crc = entry->crc;
  r->chained = true;
  if (entry->n <= r->after_n) return WEIR_OK;
  if (weir_result_count(r->result) == r->limit) return WEIR_EMPTY;
  weir_found found = { .at = (uint32_t)r->result->bytes.size, .number = entry->n };
  weir_status status = add_elements(r, entry);
  found.size = (uint32_t)(r->result->bytes.size - found.at);
  weir_buffer_add(&r->result->found, &found, sizeof found);
  return status;
}

static weir_status read_segment(reading *r, weir_slice key, weir_slice record) {
  weir_segment segment;
  weir_entry entry;
  if (weir_segment_open(key, record, &segment) != WEIR_OK)
    return bad_entry(r, r->n + 1, "is in a damaged segment");
  weir_status status;
  while ((status = weir_segment_next(&segment, &entry)) == WEIR_OK) {
    status = add_entry(r, &entry);
    if (status != WEIR_OK) return status;
  }
  return status == WEIR_EMPTY ? WEIR_OK : bad_entry(r, r->n + 1, "is damaged");
}

/* Is this a segment of the run? */
static bool is_segment_of(weir_slice run, MDB_val key) {
  const uint8_t *at = key.mv_data;
  return key.mv_size == run.size + 9 && memcmp(at, run.bytes, run.size) == 0 && at[run.size] == 0;
}

/* Stand on the run's segment that holds after_n + 1, or on its first one. */
static int seek_segment(reading *r, MDB_cursor *cursor, MDB_val *key, MDB_val *record) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  if (r->after_n > 0) {
    *key = (MDB_val){ weir_segment_key(bytes, r->run, r->after_n + 1), bytes };
    int rc = mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
    bool exact =
        rc == 0 && key->mv_size == r->run.size + 9 && memcmp(key->mv_data, bytes, key->mv_size) == 0;
    if (!exact && (rc == 0 || rc == MDB_NOTFOUND))
      rc = mdb_cursor_get(cursor, key, record, rc == 0 ? MDB_PREV : MDB_LAST);
    r->chained = false;
    if (rc == 0 && is_segment_of(r->run, *key)) return 0;
  }
  r->chained = true;
  *key = (MDB_val){ weir_segment_key(bytes, r->run, 0), bytes };
  return mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
}

static weir_status read_segments(reading *r) {
  MDB_cursor *cursor;
  MDB_val key, record;
  if (mdb_cursor_open(r->txn, r->store->table[WEIR_SEGMENTS], &cursor) != 0)
    return damaged(r->result, "run", r->run, "its segments are unreadable");
  weir_status status = WEIR_OK;
  int rc = seek_segment(r, cursor, &key, &record);
  for (; rc == 0 && status == WEIR_OK && is_segment_of(r->run, key);
       rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT)) {
    if (!weir_map_sane(r->store, record))
      status = bad_entry(r, r->n + 1, "is in a damaged segment");
    else
      status = read_segment(r, weir_slice_of(key), weir_slice_of(record));
  }
  mdb_cursor_close(cursor);
  if (rc != 0 && rc != MDB_NOTFOUND)
    return damaged(r->result, "run", r->run, "its segments are unreadable");
  return status;
}

/* Whether the entry is of a transaction that this state of the store does not have. */
static bool is_yet_to_come(reading *r, uint64_t lsn) {
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value;
  weir_tail tail;
  return mdb_get(r->txn, r->store->main, &key, &value) == 0 &&
         weir_tail_read(weir_slice_of(value), &tail) == WEIR_OK && lsn >= tail.next_lsn;
}

/* The entries that are in the log only. CONFLICT: a commit came between, try again. */
static weir_status read_log(reading *r, const weir_buffer *lsns, size_t skip) {
  const uint64_t *lsn = (const uint64_t *)(const void *)lsns->bytes;
  for (size_t i = skip; i < lsns->size / sizeof *lsn; i++) {
    MDB_val key = { sizeof *lsn, (void *)(uintptr_t)&lsn[i] }, value;
    weir_entry entry;
    int rc = mdb_get(r->txn, r->store->table[WEIR_LOG], &key, &value);
    if (rc == MDB_NOTFOUND && is_yet_to_come(r, lsn[i])) return WEIR_OK;
    if (rc == MDB_NOTFOUND) {
      bad_entry(r, r->n + 1, "is missing");
      return WEIR_CONFLICT;
    }
    if (rc != 0 || !weir_map_sane(r->store, value) ||
        weir_entry_read(weir_slice_of(value), lsn[i], &entry) != WEIR_OK)
      return bad_entry(r, r->n + 1, "is damaged");
    if (entry.n <= r->n && weir_slice_equal(entry.run, r->run)) continue; /* folded since */
    weir_status status = add_entry(r, &entry);
    if (status != WEIR_OK) return status;
  }
  return WEIR_OK;
}

/* The row knows how many entries there are at least, and that the run exists. */
static weir_status check_count(reading *r, weir_status reached) {
  weir_slice record;
  weir_row row;
  weir_status status = find(r->store, r->txn, WEIR_RUNS, r->run, &record);
  if (status == WEIR_NOT_FOUND) return r->n > 0 || reached == WEIR_EMPTY ? WEIR_OK : WEIR_NOT_FOUND;
  if (status != WEIR_OK || weir_row_read(r->run, record, &row) != WEIR_OK)
    return damaged(r->result, "run", r->run, "its row is damaged");
  if (reached != WEIR_EMPTY && row.n > r->n) return bad_entry(r, r->n + 1, "is missing");
  return WEIR_OK;
}

typedef struct {
  uint64_t moved_txn; /* the transaction that folds the first `moved` entries of the list */
  size_t moved;
} pending_fold;

static bool copy_unfolded(weir_store *store, weir_slice run, weir_buffer *out, pending_fold *fold) {
  weir_buffer_clear(out);
  *fold = (pending_fold){ 0, 0 };
  pthread_mutex_lock(&store->heads_lock);
  const weir_head *head = weir_heads_find(&store->heads, run);
  if (head != NULL && head->moved_count > 0) {
    *fold = (pending_fold){ head->moved_txn, head->moved_count };
    weir_buffer_add(out, head->moved, head->moved_count * sizeof *head->moved);
  }
  if (head != NULL && head->unfolded > 0)
    weir_buffer_add(out, head->lsn, head->unfolded * sizeof *head->lsn);
  pthread_mutex_unlock(&store->heads_lock);
  return !out->failed;
}

static weir_status read_journal(reading *r, weir_client *client) {
  weir_buffer *lsns = &r->result->scratch;
  pending_fold fold;
  clear(r->result);
  if (!copy_unfolded(r->store, r->run, lsns, &fold)) return WEIR_LIMIT;
  weir_status status = begin_read(client, r->result, &r->txn);
  if (status != WEIR_OK) return status;
  r->n = 0;
  r->crc = 0;
  r->chained = true;
  status = read_segments(r);
  size_t skip = mdb_txn_id(r->txn) < fold.moved_txn ? 0 : fold.moved; /* the segments have those */
  if (status == WEIR_OK) status = read_log(r, lsns, skip);
  if (status == WEIR_OK || status == WEIR_EMPTY) status = check_count(r, status);
  return end_read(client, r->result, status);
}

weir_status weir_store_entries(weir_client *client, weir_slice run, uint64_t after_n, uint32_t limit,
                               weir_result *result) {
  reading r = {
    .store = client->store, .result = result, .run = run, .after_n = after_n, .limit = limit
  };
  weir_status status = WEIR_CONFLICT;
  for (int i = 0; i < ATTEMPTS && status == WEIR_CONFLICT; i++) status = read_journal(&r, client);
  if (status == WEIR_EMPTY) return WEIR_OK; /* the limit was reached */
  return status == WEIR_CONFLICT ? WEIR_CORRUPT : status;
}

/* --- rows ---------------------------------------------------------------------------------------- */

static weir_status read_row(weir_store *store, MDB_txn *txn, weir_slice run, weir_slice expected,
                            weir_result *result) {
  weir_slice record;
  weir_row row;
  weir_status status = find(store, txn, WEIR_RUNS, run, &record);
  if (status == WEIR_NOT_FOUND && expected.size == 0) return status;
  if (status != WEIR_OK || weir_row_read(run, record, &row) != WEIR_OK)
    return damaged(result, "run", run, "its row is damaged or missing");
  if (expected.size > 0 && !weir_slice_equal(expected, row.status))
    return damaged(result, "run", run, "its row and the index of statuses disagree");
  add_found(result, run, row.row, row.n);
  return WEIR_OK;
}

weir_status weir_store_row(weir_client *client, weir_slice run, weir_result *result) {
  MDB_txn *txn;
  clear(result);
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  return end_read(client, result, read_row(client->store, txn, run, (weir_slice){ NULL, 0 }, result));
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
      add_found(result, run, (weir_slice){ NULL, 0 }, 0);
      status = WEIR_OK;
    }
    if (status == WEIR_OK && ++looked == query->looks && weir_result_count(result) < query->limit) {
      add_found(result, run, (weir_slice){ NULL, 0 }, WEIR_RUN_REST);
      break;
    }
    rc = mdb_cursor_get(cursor, &key, &value, query->reverse ? MDB_PREV : MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return rc == 0 || rc == MDB_NOTFOUND
             ? status
             : damaged(result, "store", text_slice(store->path), "the list of runs is unreadable");
}

weir_status weir_store_runs(weir_client *client, const weir_run_query *query, weir_result *result) {
  MDB_txn *txn;
  clear(result);
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  return end_read(client, result, list_runs(client->store, txn, query, result));
}

/* --- ids of journals -------------------------------------------------------------------------------
 */

static int compare_ids(const void *a, const void *b) {
  const weir_head *left = *(weir_head *const *)a, *right = *(weir_head *const *)b;
  return weir_pack_compare(left->id, left->id_size, right->id, right->id_size);
}

/* The ids after `after` of which the log has entries that no segment had, before the read begins: each
 * with its size before it, in order, at most `limit`. */
static bool copy_unfolded_ids(weir_store *store, weir_slice after, uint32_t limit, weir_buffer *out) {
  size_t count = 0;
  weir_buffer_clear(out);
  pthread_mutex_lock(&store->heads_lock);
  weir_head **list = malloc((store->heads.count + 1) * sizeof(weir_head *));
  for (weir_head *head = store->heads.oldest; head != NULL && list != NULL; head = head->newer)
    if (weir_pack_compare(head->id, head->id_size, after.bytes, after.size) > 0) list[count++] = head;
  for (weir_head *head = store->heads.settling; head != NULL && list != NULL;
       head = head->next_settling)
    if (head->unfolded == 0 && weir_pack_compare(head->id, head->id_size, after.bytes, after.size) > 0)
      list[count++] = head; /* about to have a segment */
  if (count > 0) qsort(list, count, sizeof(weir_head *), compare_ids);
  for (size_t i = 0; i < count && i < limit; i++) {
    weir_buffer_add(out, &list[i]->id_size, 1);
    weir_buffer_add(out, list[i]->id, list[i]->id_size);
  }
  pthread_mutex_unlock(&store->heads_lock);
  bool is_whole = list != NULL && !out->failed;
  free(list);
  return is_whole;
}

/* The first id after `after` that has segments: OK, EMPTY, or CORRUPT. */
static weir_status next_in_segments(weir_store *store, MDB_cursor *cursor, weir_slice after,
                                    weir_slice *run) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  MDB_val key = { 0, bytes }, record;
  if (after.size > 0) memcpy(bytes, after.bytes, after.size);
  bytes[after.size] = 1; /* ids hold no zero, so this is beyond all keys of `after` */
  key.mv_size = after.size == 0 ? 0 : after.size + 1;
  int rc = mdb_cursor_get(cursor, &key, &record, after.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
  if (rc == MDB_NOTFOUND) return WEIR_EMPTY;
  if (rc != 0 || !weir_map_sane(store, key) || key.mv_size <= 9) return WEIR_CORRUPT;
  *run = (weir_slice){ key.mv_data, key.mv_size - 9 };
  return WEIR_OK;
}

/* Both lists are in order: take the lesser head of the two. */
static weir_status merge_ids(weir_store *store, MDB_cursor *cursor, weir_slice after, uint32_t limit,
                             weir_result *result) {
  uint8_t last[WEIR_RUN_ID_MAX];
  const weir_buffer *others = &result->scratch;
  size_t at = 0;
  while (weir_result_count(result) < limit) {
    weir_slice run = { NULL, 0 }, other = { NULL, 0 }, nothing = { NULL, 0 };
    weir_status status = next_in_segments(store, cursor, after, &run);
    if (status == WEIR_CORRUPT || run.size > WEIR_RUN_ID_MAX) return WEIR_CORRUPT;
    if (at < others->size) other = (weir_slice){ others->bytes + at + 1, others->bytes[at] };
    if (run.size == 0 && other.size == 0) return WEIR_OK;
    int order = run.size == 0     ? 1
                : other.size == 0 ? -1
                                  : weir_pack_compare(run.bytes, run.size, other.bytes, other.size);
    if (order >= 0) at += 1 + other.size;
    if (order > 0) run = other;
    add_found(result, run, nothing, 0);
    memcpy(last, run.bytes, run.size);
    after = (weir_slice){ last, run.size };
  }
  return WEIR_OK;
}

weir_status weir_store_journals(weir_client *client, weir_slice after, uint32_t limit,
                                weir_result *result) {
  MDB_txn *txn;
  MDB_cursor *cursor;
  clear(result);
  if (!copy_unfolded_ids(client->store, after, limit, &result->scratch)) return WEIR_LIMIT;
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  if (mdb_cursor_open(txn, client->store->table[WEIR_SEGMENTS], &cursor) != 0)
    return end_read(client, result, WEIR_CORRUPT);
  status = merge_ids(client->store, cursor, after, limit, result);
  mdb_cursor_close(cursor);
  if (status == WEIR_CORRUPT)
    damaged(result, "store", text_slice(client->store->path), "the segments are unreadable");
  return end_read(client, result, status);
}

/* --- keys and values, blobs ---------------------------------------------------------------------- */

weir_status weir_store_get(weir_client *client, weir_slice space, weir_slice key, weir_result *result) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  bool is_cut;
  weir_slice table_key = { bytes, weir_kv_key(bytes, space, key, &is_cut) }, record;
  weir_kv kv;
  MDB_txn *txn;
  clear(result);
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  status = find(client->store, txn, WEIR_KV, table_key, &record);
  if (status == WEIR_OK) status = weir_kv_read(table_key, record, &kv);
  if (status == WEIR_OK && is_cut && !weir_slice_equal(kv.long_key, key)) status = WEIR_CORRUPT;
  if (status == WEIR_CORRUPT) damaged(result, "key", key, "its record, or one beside it, is damaged");
  if (status == WEIR_OK) add_found(result, key, kv.payload, kv.version);
  return end_read(client, result, status);
}

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

/* A table key from which a scan can start without missing anything. */
static weir_slice scan_start(const weir_scan_query *query, uint8_t *bytes) {
  weir_slice first = compare(query->from, query->prefix) > 0 ? query->from : query->prefix;
  if (query->reverse)
    first = query->has_to && has_prefix(query->to, query->prefix) ? query->to : query->prefix;
  size_t keep = WEIR_KEY_CUT - query->space.size - 1; /* as much as a cut key has of its own */
  if (first.size > keep) first.size = keep;
  bool is_cut;
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
  int rc = seek(cursor, scan_start(query, bytes), query->reverse, query->reverse, &key, &value);
  while (rc == 0 && weir_result_count(result) < query->limit && has_prefix(weir_slice_of(key), space)) {
    weir_slice own = { (uint8_t *)key.mv_data + space.size, key.mv_size - space.size };
    weir_kv kv = { 0 };
    bool is_sound = weir_map_sane(store, value) &&
                    weir_kv_read(weir_slice_of(key), weir_slice_of(value), &kv) == WEIR_OK;
    if (!is_sound && !(query->damaged && weir_map_sane(store, key))) {
      status = damaged(result, "key", own, "its record is damaged");
      break;
    }
    if (!is_sound) kv = (weir_kv){ 0 };
    if (kv.long_key.size > 0) own = kv.long_key;
    int place = place_of(query, own);
    if (place > 0 && key.mv_size < WEIR_KEY_CUT) break; /* longer ones are not in exact order */
    if (place == 0 && (is_sound || key.mv_size < WEIR_KEY_CUT))
      add_found(result, own, kv.payload, kv.version);
    rc = mdb_cursor_get(cursor, &key, &value, query->reverse ? MDB_PREV : MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return rc == 0 || rc == MDB_NOTFOUND ? status
                                       : damaged(result, "space", query->space, "it is unreadable");
}

weir_status weir_store_scan(weir_client *client, const weir_scan_query *query, weir_result *result) {
  MDB_txn *txn;
  clear(result);
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  return end_read(client, result, scan_keys(client->store, txn, query, result));
}

weir_status weir_store_blob(weir_client *client, const uint8_t hash[WEIR_HASH_SIZE],
                            weir_result *result) {
  weir_slice key = { hash, WEIR_HASH_SIZE }, record, content;
  MDB_txn *txn;
  clear(result);
  weir_status status = begin_read(client, result, &txn);
  if (status != WEIR_OK) return status;
  status = find(client->store, txn, WEIR_BLOBS, key, &record);
  if (status == WEIR_OK) status = weir_blob_read(key, record, &content);
  if (status == WEIR_CORRUPT)
    snprintf(result->message, WEIR_MESSAGE_MAX, "blob: its record is damaged; see 'weir doctor'");
  if (status == WEIR_OK) add_found(result, key, content, 0);
  return end_read(client, result, status);
}
