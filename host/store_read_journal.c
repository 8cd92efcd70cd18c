/* store_read_journal.c - reads of journals, and the list of them.
 *
 * What a journal holds beyond its segments is known from its head; the list is copied before the
 * transaction begins, and the head may be ahead of what is committed. So an entry in it may not be
 * there yet (its LSN is beyond those of the state that is read), may have moved to a segment since (its
 * n says so), or may be about to (the head still has it among those that move). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_read.h"

#define ATTEMPTS 5 /* of a journal read that met a commit */

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
  return weir_read_damaged(r->result, "run", r->run, text);
}

/* Copy a blob's content in place of its reference. */
static weir_status add_blob(reading *r, uint64_t n, const weir_pack_item *item) {
  weir_slice hash = { item->bytes, item->size }, record, content;
  if (item->integer != WEIR_BLOB_EXTENSION || item->size != WEIR_HASH_SIZE)
    return bad_entry(r, n, "has an unknown extension");
  weir_status status = weir_read_find(r->store, r->txn, WEIR_BLOBS, hash, &record);
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
    return weir_read_damaged(r->result, "run", r->run, "its segments are unreadable");
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
    return weir_read_damaged(r->result, "run", r->run, "its segments are unreadable");
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
  weir_status status = weir_read_find(r->store, r->txn, WEIR_RUNS, r->run, &record);
  if (status == WEIR_NOT_FOUND) return r->n > 0 || reached == WEIR_EMPTY ? WEIR_OK : WEIR_NOT_FOUND;
  if (status != WEIR_OK || weir_row_read(r->run, record, &row) != WEIR_OK)
    return weir_read_damaged(r->result, "run", r->run, "its row is damaged");
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
  weir_read_clear(r->result);
  if (!copy_unfolded(r->store, r->run, lsns, &fold)) return WEIR_LIMIT;
  weir_status status = weir_read_begin(client, r->result, &r->txn);
  if (status != WEIR_OK) return status;
  r->n = 0;
  r->crc = 0;
  r->chained = true;
  status = read_segments(r);
  size_t skip = mdb_txn_id(r->txn) < fold.moved_txn ? 0 : fold.moved; /* the segments have those */
  if (status == WEIR_OK) status = read_log(r, lsns, skip);
  if (status == WEIR_OK || status == WEIR_EMPTY) status = check_count(r, status);
  return weir_read_end(client, r->result, status);
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

/* Their ids */

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
    weir_read_add(result, run, nothing, 0);
    memcpy(last, run.bytes, run.size);
    after = (weir_slice){ last, run.size };
  }
  return WEIR_OK;
}

weir_status weir_store_journals(weir_client *client, weir_slice after, uint32_t limit,
                                weir_result *result) {
  MDB_txn *txn;
  MDB_cursor *cursor;
  weir_read_clear(result);
  if (!copy_unfolded_ids(client->store, after, limit, &result->scratch)) return WEIR_LIMIT;
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  if (mdb_cursor_open(txn, client->store->table[WEIR_SEGMENTS], &cursor) != 0)
    return weir_read_end(client, result, WEIR_CORRUPT);
  status = merge_ids(client->store, cursor, after, limit, result);
  mdb_cursor_close(cursor);
  if (status == WEIR_CORRUPT)
    weir_read_damaged(result, "store", weir_text_slice(client->store->path),
                      "the segments are unreadable");
  return weir_read_end(client, result, status);
}
