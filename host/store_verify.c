/* store_verify.c - reads every record of the store and says what is damaged.
 *
 * Beyond the crc of each record it compares each table's sum with the one that the last transaction
 * left behind: so it finds what no single read can, records that are missing and pages that are older
 * than they should be. Journals are read entry by entry, with their blobs. Each table is read as it is
 * at one moment, with the summary of that moment: a reader is open for one table, not for all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define REPORTS_MAX 1000

typedef struct {
  weir_store *store;
  MDB_txn *txn;
  weir_result *result;
  weir_tail tail;
  uint64_t *counts;
  weir_buffer runs; /* ids with a zero after each */
} verification;

static void report(verification *v, const char *text) {
  if (weir_result_count(v->result) >= REPORTS_MAX) return;
  weir_found found = { .at = (uint32_t)v->result->bytes.size, .size = (uint32_t)strlen(text) };
  weir_buffer_add(&v->result->bytes, text, found.size);
  weir_buffer_add(&v->result->found, &found, sizeof found);
}

static void report_key(verification *v, int table, weir_slice key, const char *what) {
  char text[WEIR_MESSAGE_MAX], shown[2 * 60 + 1];
  size_t at = 0;
  for (size_t i = 0; i < key.size && i < 60; i++) {
    bool plain = key.bytes[i] > ' ' && key.bytes[i] <= '~';
    if (plain)
      shown[at++] = (char)key.bytes[i];
    else
      at += (size_t)snprintf(shown + at, 3, "%02x", key.bytes[i]);
  }
  shown[at] = '\0';
  snprintf(text, sizeof text, "table %s, key %s: %s", weir_table_name(table), shown, what);
  report(v, text);
}

static bool is_sound(int table, weir_slice key, weir_slice record) {
  weir_entry entry;
  uint64_t lsn;
  if (table != WEIR_LOG) return weir_map_check(table, key, record);
  if (key.size != sizeof lsn) return false;
  memcpy(&lsn, key.bytes, sizeof lsn);
  return weir_entry_read(record, lsn, &entry) == WEIR_OK;
}

static bool in_order(int table, weir_slice before, weir_slice key) {
  if (table != WEIR_LOG) return weir_pack_compare(before.bytes, before.size, key.bytes, key.size) < 0;
  uint64_t a, b;
  memcpy(&a, before.bytes, sizeof a);
  memcpy(&b, key.bytes, sizeof b);
  return a < b;
}

static void note_run(verification *v, int table, weir_slice key) {
  if (table == WEIR_RUNS) {
    weir_buffer_add(&v->runs, key.bytes, key.size);
    weir_buffer_add(&v->runs, "", 1);
  }
}

/* Read one table; false if records are missing or old though none is damaged, which no single read
 * would notice. */
static bool verify_table(verification *v, int table) {
  MDB_cursor *cursor;
  MDB_val key, value;
  weir_slice before = { NULL, 0 };
  uint64_t count = 0, sum = 0, damaged = 0;
  if (mdb_cursor_open(v->txn, v->store->table[table], &cursor) != 0) {
    report_key(v, table, before, "cannot be read");
    return false;
  }
  int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; rc == 0 && count <= v->tail.records[table];
       rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT), count++) {
    weir_slice k = weir_slice_of(key), record = weir_slice_of(value);
    bool sane = weir_map_sane(v->store, key) && weir_map_sane(v->store, value) &&
                (table != WEIR_LOG || k.size == 8);
    const char *what = !sane || !is_sound(table, k, record)                  ? "is damaged"
                       : before.bytes != NULL && !in_order(table, before, k) ? "is out of order"
                                                                             : NULL;
    damaged += what != NULL;
    if (what != NULL) report_key(v, table, sane ? k : before, what);
    if (!sane) continue;
    sum += weir_record_crc(table, k, record);
    note_run(v, table, k);
    before = k;
  }
  mdb_cursor_close(cursor);
  v->counts[table] = count;
  if (rc != MDB_NOTFOUND && rc != 0) report_key(v, table, before, mdb_strerror(rc));
  bool complete = count == v->tail.records[table], current = sum == v->tail.sums[table];
  if (!complete)
    report_key(v, table, (weir_slice){ NULL, 0 }, "records are missing or too many");
  else if (!current)
    report_key(v, table, (weir_slice){ NULL, 0 }, "its records are not those of the last commit");
  return damaged > 0 || (complete && current);
}

bool weir_verify_sums(weir_store *store, MDB_txn *txn, bool *index_is_good) {
  weir_result ignored = { 0 };
  uint64_t counts[WEIR_TABLES];
  verification v = {
    .store = store, .txn = txn, .result = &ignored, .tail = store->tail, .counts = counts
  };
  bool good = true;
  for (int table = 0; table < WEIR_TABLES; table++) {
    if (table != WEIR_STATUS) good = verify_table(&v, table) && good;
  }
  uint32_t before = weir_result_count(&ignored);
  verify_table(&v, WEIR_STATUS);
  *index_is_good = weir_result_count(&ignored) == before && before < REPORTS_MAX;
  weir_buffer_free(&v.runs);
  weir_result_free(&ignored);
  return good;
}

static int file_row(weir_store *store, MDB_txn *txn, weir_slice run, weir_slice record) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  weir_row row;
  if (!weir_run_id_ok(run) || weir_row_read(run, record, &row) != WEIR_OK) return 0;
  weir_slice key = { bytes, weir_status_key(bytes, row.status, run) };
  return weir_map_put(store, txn, WEIR_STATUS, key, (weir_slice){ NULL, 0 });
}

int weir_rebuild_index(weir_store *store, MDB_txn *txn) {
  MDB_cursor *cursor;
  MDB_val key, value;
  int rc = mdb_drop(txn, store->table[WEIR_STATUS], 0);
  if (rc == 0) rc = mdb_cursor_open(txn, store->table[WEIR_RUNS], &cursor);
  if (rc != 0) return rc;
  store->tail.records[WEIR_STATUS] = store->tail.sums[WEIR_STATUS] = 0;
  for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == 0;
       rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))
    if ((rc = file_row(store, txn, weir_slice_of(key), weir_slice_of(value))) != 0) break;
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? weir_tail_put(store, txn) : rc;
}

/* A transaction of its own for each table: the client's stands for short reads. */
static int verify_one(weir_store *store, verification *v, int table) {
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value;
  pthread_rwlock_rdlock(&store->map);
  v->txn = NULL;
  int rc = weir_reader_begin(store, &v->txn);
  if (rc == 0) {
    bool known = mdb_get(v->txn, store->main, &key, &value) == 0 &&
                 weir_tail_read(weir_slice_of(value), &v->tail) == WEIR_OK;
    if (!known && table == 0) report(v, "the summary of the last commit is damaged");
    verify_table(v, table);
    mdb_txn_abort(v->txn);
  }
  pthread_rwlock_unlock(&store->map);
  return rc;
}

static weir_status verify_tables(weir_client *client, verification *v) {
  weir_store *store = client->store;
  int rc = 0;
  for (int table = 0; table < WEIR_TABLES && rc == 0; table++) rc = verify_one(store, v, table);
  if (rc == 0) return WEIR_OK;
  snprintf(v->result->message, WEIR_MESSAGE_MAX, "store '%s': %s", store->path, mdb_strerror(rc));
  return WEIR_UNAVAILABLE;
}

static void verify_journal(weir_client *client, verification *v, weir_slice run) {
  weir_result journal = { 0 };
  weir_status status;
  uint64_t n = 0;
  do {
    status = weir_store_entries(client, run, n, 1000, &journal);
    if (weir_result_count(&journal) > 0)
      n = weir_result_at(&journal, weir_result_count(&journal) - 1).number;
  } while (status == WEIR_OK && weir_result_count(&journal) == 1000);
  if (status != WEIR_OK && status != WEIR_NOT_FOUND) report(v, journal.message); /* forgotten since */
  weir_result_free(&journal);
}

weir_status weir_store_verify(weir_client *client, uint64_t counts[WEIR_TABLES], weir_result *result) {
  verification v = { .store = client->store, .result = result, .counts = counts };
  memset(counts, 0, WEIR_TABLES * sizeof *counts);
  weir_buffer_clear(&result->bytes);
  weir_buffer_clear(&result->found);
  weir_status status = verify_tables(client, &v);
  for (size_t at = 0; status == WEIR_OK && at < v.runs.size;) {
    weir_slice run = { v.runs.bytes + at, strlen((const char *)v.runs.bytes + at) };
    if (weir_run_id_ok(run)) verify_journal(client, &v, run);
    at += run.size + 1;
  }
  weir_buffer_free(&v.runs);
  return status;
}
