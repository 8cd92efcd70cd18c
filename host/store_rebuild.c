/* store_rebuild.c - makes anew what the records themselves prove: the index of statuses from the rows,
 * and the tail from all tables. For a store whose summary or index is damaged, or was lost. */
#include <errno.h>
#include <string.h>

#include "store_internal.h"

typedef struct {
  weir_job *job;
  weir_store *store;
  weir_tail tail;
  uint64_t log_bytes, damaged;
  weir_buffer lost; /* ids of rows that are to go, with a zero after each */
} rebuilding;

static void note_number(rebuilding *r, uint64_t number) {
  if (number >= r->tail.next_lsn && number < UINT64_MAX) r->tail.next_lsn = number + 1;
}

static bool note_segment(rebuilding *r, weir_slice key, weir_slice record) {
  weir_segment segment;
  weir_entry entry;
  weir_status status = weir_segment_open(key, record, &segment);
  while (status == WEIR_OK && (status = weir_segment_next(&segment, &entry)) == WEIR_OK)
    note_number(r, entry.lsn);
  return status == WEIR_EMPTY;
}

static bool note_entry(rebuilding *r, weir_slice key, weir_slice record) {
  uint64_t lsn;
  weir_entry entry;
  if (key.size != sizeof lsn) return false;
  memcpy(&lsn, key.bytes, sizeof lsn);
  r->log_bytes += record.size;
  note_number(r, lsn);
  return weir_entry_read(record, lsn, &entry) == WEIR_OK;
}

/* Is the record sound? Its number cannot be given out again. */
static bool note(rebuilding *r, int table, weir_slice key, weir_slice record) {
  weir_kv kv;
  switch (table) {
  case WEIR_LOG:
    return note_entry(r, key, record);
  case WEIR_SEGMENTS:
    return note_segment(r, key, record);
  case WEIR_KV:
    if (weir_kv_read(key, record, &kv) != WEIR_OK) return false;
    note_number(r, kv.version);
    return true;
  default:
    return weir_map_check(table, key, record);
  }
}

/* A row is made of its journal: a damaged one goes if the journal can be read, and whoever knows what
 * rows say makes it again. */
static bool is_lost_row(rebuilding *r, MDB_txn *txn, int table, weir_slice run) {
  int rc;
  if (table != WEIR_RUNS || !weir_run_id_ok(run)) return false;
  if (weir_forget_check(r->store, txn, run, &rc) != WEIR_OK) return false;
  weir_buffer_add(&r->lost, run.bytes, run.size);
  weir_buffer_add(&r->lost, "", 1);
  return !r->lost.failed;
}

/* When all has been read: LMDB keeps changed pages elsewhere, where no record can be bounded. */
static int drop_lost_rows(rebuilding *r, MDB_txn *txn) {
  int rc = 0;
  for (size_t at = 0; at < r->lost.size && rc == 0;) {
    const char *id = (const char *)r->lost.bytes + at;
    MDB_val key = { strlen(id), r->lost.bytes + at };
    rc = mdb_del(txn, r->store->table[WEIR_RUNS], &key, NULL);
    at += key.mv_size + 1;
  }
  return rc;
}

static int read_table(rebuilding *r, MDB_txn *txn, int table) {
  MDB_cursor *cursor;
  MDB_val key, value;
  int rc = mdb_cursor_open(txn, r->store->table[table], &cursor);
  if (rc != 0) return ECANCELED;
  for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == 0;
       rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    bool sane = weir_map_sane(r->store, key) && weir_map_sane(r->store, value);
    weir_slice record = sane ? weir_slice_of(value) : (weir_slice){ NULL, 0 };
    bool is_sound = sane && note(r, table, weir_slice_of(key), record);
    if (!is_sound && weir_map_sane(r->store, key) && is_lost_row(r, txn, table, weir_slice_of(key)))
      continue;
    r->damaged += !is_sound;
    r->tail.records[table]++;
    if (sane) r->tail.sums[table] += weir_record_crc(table, weir_slice_of(key), record);
  }
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : ECANCELED;
}

/* Heads that were in doubt because of their row are read again. */
static int reload_heads(weir_store *store, MDB_txn *txn) {
  bool lost;
  return weir_heads_scan(store, txn, &lost);
}

/* All that this writes. The index of statuses is made of the rows, and counted as it is made. */
static int rebuild(weir_store *store, MDB_txn *txn, void *context) {
  rebuilding *r = context;
  weir_buffer_free(&r->lost);
  *r = (rebuilding){ .job = r->job, .store = store };
  int rc = 0;
  for (int table = 0; table < WEIR_TABLES && rc == 0; table++)
    if (table != WEIR_STATUS) rc = read_table(r, txn, table);
  if (rc != 0) return rc;
  pthread_mutex_lock(&store->heads_lock);
  if (store->tail.next_lsn > r->tail.next_lsn) r->tail.next_lsn = store->tail.next_lsn;
  r->tail.transactions = mdb_txn_id(txn) - 1; /* writing the tail counts this one */
  store->tail = r->tail;
  store->log_bytes = r->log_bytes;
  rc = drop_lost_rows(r, txn);
  if (rc == 0) rc = weir_rebuild_index(store, txn);
  if (rc == 0 && r->lost.size > 0) rc = reload_heads(store, txn);
  pthread_mutex_unlock(&store->heads_lock);
  return rc;
}

weir_status weir_rebuild(weir_job *job) {
  weir_store *store = job->client->store;
  rebuilding r = { .job = job };
  char message[WEIR_MESSAGE_MAX];
  weir_status status = weir_commit_alone(store, rebuild, &r, message);
  weir_buffer_free(&r.lost);
  if (status != WEIR_OK) return weir_job_fail(job, status, "%.500s", message);
  pthread_mutex_lock(&store->heads_lock);
  memcpy(job->result, store->committed.records, sizeof store->committed.records);
  pthread_mutex_unlock(&store->heads_lock);
  job->result[WEIR_TABLES] = r.damaged;
  return WEIR_OK;
}
