/* store_head.c - the runs that are being written, and how they are found again at the start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "store_internal.h"

bool weir_heads_init(weir_heads *heads) {
  memset(heads, 0, sizeof *heads);
  heads->buckets = 256;
  heads->bucket = calloc(heads->buckets, sizeof(weir_head *));
  return heads->bucket != NULL;
}

static void free_head(weir_head *head) {
  free(head->lsn);
  free(head->moved);
  free(head);
}

void weir_heads_free(weir_heads *heads) {
  for (size_t i = 0; heads->bucket != NULL && i < heads->buckets; i++) {
    for (weir_head *head = heads->bucket[i], *next; head != NULL; head = next) {
      next = head->next;
      free_head(head);
    }
  }
  free(heads->bucket);
  memset(heads, 0, sizeof *heads);
}

static weir_head **bucket_of(const weir_heads *heads, const uint8_t *id, size_t size) {
  return &heads->bucket[weir_crc32c(0, id, size) & (heads->buckets - 1)];
}

weir_head *weir_heads_find(const weir_heads *heads, weir_slice run) {
  for (weir_head *head = *bucket_of(heads, run.bytes, run.size); head != NULL; head = head->next)
    if (head->id_size == run.size && memcmp(head->id, run.bytes, run.size) == 0) return head;
  return NULL;
}

static void widen(weir_heads *heads) {
  weir_heads wide = *heads;
  wide.buckets *= 2;
  wide.bucket = calloc(wide.buckets, sizeof(weir_head *));
  if (wide.bucket == NULL) return; /* slower, not wrong */
  for (size_t i = 0; i < heads->buckets; i++) {
    for (weir_head *head = heads->bucket[i], *next; head != NULL; head = next) {
      next = head->next;
      weir_head **bucket = bucket_of(&wide, head->id, head->id_size);
      head->next = *bucket;
      *bucket = head;
    }
  }
  free(heads->bucket);
  *heads = wide;
}

weir_head *weir_heads_add(weir_heads *heads, weir_slice run) {
  weir_head *head = calloc(1, sizeof *head);
  if (head == NULL) return NULL;
  if (heads->count >= heads->buckets) widen(heads);
  memcpy(head->id, run.bytes, run.size);
  head->id_size = (uint8_t)run.size;
  weir_head **bucket = bucket_of(heads, run.bytes, run.size);
  head->next = *bucket;
  *bucket = head;
  heads->count++;
  return head;
}

bool weir_head_note(weir_heads *heads, weir_head *head, uint64_t lsn, size_t bytes) {
  if (head->unfolded == head->capacity) {
    uint32_t capacity = head->capacity == 0 ? 8 : head->capacity * 2;
    uint64_t *more = realloc(head->lsn, capacity * sizeof *more);
    if (more == NULL) return false;
    head->lsn = more;
    head->capacity = capacity;
  }
  if (head->unfolded == 0) { /* LSNs grow, so the list stays in order */
    head->older = heads->newest;
    if (heads->newest != NULL)
      heads->newest->newer = head;
    else
      heads->oldest = head;
    heads->newest = head;
  }
  head->lsn[head->unfolded++] = lsn;
  head->unfolded_bytes += bytes;
  return true;
}

/* Out of the list of those with unfolded entries. */
static void unlink_unfolded(weir_heads *heads, weir_head *head) {
  if (head->unfolded == 0) return;
  if (head->older != NULL)
    head->older->newer = head->newer;
  else
    heads->oldest = head->newer;
  if (head->newer != NULL)
    head->newer->older = head->older;
  else
    heads->newest = head->older;
  head->older = head->newer = NULL;
  head->unfolded = 0;
  head->unfolded_bytes = 0;
}

static void settle_later(weir_heads *heads, weir_head *head) {
  if (head->settling) return;
  head->settling = true;
  head->next_settling = heads->settling;
  heads->settling = head;
}

bool weir_head_moved(weir_heads *heads, weir_head *head, uint64_t txn) {
  uint32_t count = head->unfolded, before = head->moved_txn == txn ? head->moved_count : 0;
  if (count == 0) return true;
  uint64_t *moved = realloc(head->moved, (before + count) * sizeof *moved);
  if (moved == NULL) return false;
  memcpy(moved + before, head->lsn, count * sizeof *moved);
  head->moved = moved;
  head->moved_count = before + count;
  head->moved_txn = txn;
  unlink_unfolded(heads, head);
  settle_later(heads, head);
  return true;
}

void weir_head_release(weir_heads *heads, weir_head *head) {
  head->released = true;
  settle_later(heads, head);
}

void weir_heads_settle(weir_heads *heads) {
  for (weir_head *head = heads->settling, *next; head != NULL; head = next) {
    next = head->next_settling;
    free(head->moved);
    head->moved = NULL;
    head->moved_count = 0;
    head->settling = false;
    if (head->released) weir_heads_remove(heads, head);
  }
  heads->settling = NULL;
}

void weir_heads_remove(weir_heads *heads, weir_head *head) {
  unlink_unfolded(heads, head);
  weir_head **at = bucket_of(heads, head->id, head->id_size);
  while (*at != head) at = &(*at)->next;
  *at = head->next;
  heads->count--;
  free_head(head);
}

static weir_slice id_of(const weir_head *head) {
  return (weir_slice){ head->id, head->id_size };
}

/* The last segment of the run: 0, MDB_NOTFOUND or an error. */
static int last_segment(weir_store *store, MDB_txn *txn, weir_slice run, MDB_val *key,
                        MDB_val *record) {
  uint8_t beyond[WEIR_KEY_MAX + 1];
  MDB_cursor *cursor;
  int rc = mdb_cursor_open(txn, store->table[WEIR_SEGMENTS], &cursor);
  if (rc != 0) return rc;
  *key = (MDB_val){ weir_segment_key(beyond, run, UINT64_MAX), beyond };
  rc = mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
  if (rc == 0 || rc == MDB_NOTFOUND)
    rc = mdb_cursor_get(cursor, key, record, rc == 0 ? MDB_PREV : MDB_LAST);
  if (rc == 0 && (key->mv_size != run.size + 9 || memcmp(key->mv_data, beyond, run.size + 1) != 0))
    rc = MDB_NOTFOUND;
  mdb_cursor_close(cursor);
  return rc;
}

static weir_status read_last_entry(weir_slice key, weir_slice record, weir_entry *entry) {
  weir_segment segment;
  weir_status status = weir_segment_open(key, record, &segment);
  while (status == WEIR_OK) status = weir_segment_next(&segment, entry);
  return status == WEIR_EMPTY ? WEIR_OK : WEIR_CORRUPT;
}

static weir_status load_segments(weir_store *store, MDB_txn *txn, weir_head *head, int *rc) {
  MDB_val key, record;
  weir_entry last = { 0 };
  head->n = 0;
  head->crc = 0;
  *rc = last_segment(store, txn, id_of(head), &key, &record);
  if (*rc == MDB_NOTFOUND) return WEIR_OK;
  if (*rc != 0) return WEIR_UNAVAILABLE;
  if (read_last_entry(weir_slice_of(key), weir_slice_of(record), &last) != WEIR_OK) return WEIR_CORRUPT;
  if (!weir_slice_equal(last.run, id_of(head))) return WEIR_CORRUPT;
  head->n = last.n;
  head->crc = last.crc;
  head->folded_lsn = last.lsn;
  if (last.epoch > head->epoch) head->epoch = last.epoch;
  return WEIR_OK;
}

/* The row counts entries: there must be at least as many. */
static weir_status check_row(weir_store *store, MDB_txn *txn, weir_head *head, int *rc) {
  weir_slice record;
  weir_row row;
  *rc = weir_map_get(store, txn, WEIR_RUNS, id_of(head), &record);
  if (*rc == MDB_NOTFOUND) return WEIR_OK;
  if (*rc != 0) return WEIR_UNAVAILABLE;
  if (weir_row_read(id_of(head), record, &row) != WEIR_OK || row.n > head->n) return WEIR_CORRUPT;
  if (row.epoch > head->epoch) head->epoch = row.epoch;
  return WEIR_OK;
}

weir_status weir_head_load(weir_store *store, MDB_txn *txn, weir_head *head, int *rc) {
  weir_status status = load_segments(store, txn, head, rc);
  if (status == WEIR_OK) status = check_row(store, txn, head, rc);
  if (status == WEIR_UNAVAILABLE) return status;
  head->loaded = true;
  if (status == WEIR_CORRUPT) head->damaged = true;
  return status;
}

/* Forget what the log says, keep what only memory knows: who took which run over. */
static void reset_heads(weir_heads *heads) {
  for (weir_head *head = heads->settling; head != NULL; head = head->next_settling)
    head->released = false;
  weir_heads_settle(heads);
  for (size_t i = 0; i < heads->buckets; i++) {
    for (weir_head *head = heads->bucket[i]; head != NULL; head = head->next) {
      unlink_unfolded(heads, head);
      head->loaded = head->damaged = false;
      head->n = 0;
      head->crc = 0;
      head->folded_lsn = 0;
    }
  }
}

typedef struct {
  weir_store *store;
  MDB_txn *txn;
  uint64_t records, sum, bytes, last_lsn, damaged;
  weir_buffer stray; /* LSNs of damaged records that could belong to any run */
} scan;

/* The head of a run met in the log, with what its segments say. */
static int scan_head(scan *s, weir_slice run, weir_head **head) {
  weir_heads *heads = &s->store->heads;
  int rc = 0;
  *head = weir_heads_find(heads, run);
  if (*head == NULL) *head = weir_heads_add(heads, run);
  if (*head == NULL) return ENOMEM;
  if ((*head)->loaded) return 0;
  if (load_segments(s->store, s->txn, *head, &rc) == WEIR_CORRUPT) (*head)->damaged = true;
  (*head)->loaded = true;
  return rc == MDB_NOTFOUND ? 0 : rc;
}

static int scan_entry(scan *s, const weir_entry *entry, size_t size) {
  weir_head *head;
  int rc = scan_head(s, entry->run, &head);
  if (rc != 0 || (entry->n <= head->n && entry->lsn <= head->folded_lsn))
    return rc; /* folded long ago */
  if (entry->n != head->n + 1 || entry->previous_crc != head->crc) head->damaged = true;
  if (!weir_head_note(&s->store->heads, head, entry->lsn, size)) return ENOMEM;
  head->n = entry->n;
  head->crc = entry->crc;
  if (entry->epoch > head->epoch) head->epoch = entry->epoch;
  return 0;
}

/* The head of a run that has a row, though no sound entry of it has been met: its first one is damaged,
 * and follows none. */
static weir_head *head_of_row(scan *s, weir_slice run) {
  weir_slice row;
  weir_head *head = NULL;
  if (!weir_run_id_ok(run) || weir_map_get(s->store, s->txn, WEIR_RUNS, run, &row) != 0) return NULL;
  return scan_head(s, run, &head) == 0 ? head : NULL;
}

/* Whose record was it? One flipped bit leaves either the run id or the chain readable. */
static weir_head *guess_head(scan *s, weir_slice record) {
  if (record.size < WEIR_ENTRY_OVERHEAD) return NULL;
  const uint8_t *at = record.bytes;
  size_t size = (size_t)at[2] | (size_t)at[3] << 8;
  uint32_t chain =
      (uint32_t)at[16] | (uint32_t)at[17] << 8 | (uint32_t)at[18] << 16 | (uint32_t)at[19] << 24;
  if (size >= 1 && size <= WEIR_RUN_ID_MAX && size <= record.size - WEIR_ENTRY_OVERHEAD) {
    weir_slice run = { at + 20, size };
    weir_head *head = weir_heads_find(&s->store->heads, run);
    if (head == NULL) head = head_of_row(s, run);
    if (head != NULL) return head;
  }
  for (weir_head *head = s->store->heads.newest; head != NULL && chain != 0; head = head->older)
    if (head->crc == chain) return head;
  return NULL;
}

static int scan_damaged(scan *s, uint64_t lsn, weir_slice record) {
  s->damaged++;
  weir_head *head = guess_head(s, record);
  if (head == NULL) {
    weir_buffer_add(&s->stray, &lsn, sizeof lsn);
    return s->stray.failed ? ENOMEM : 0;
  }
  uint64_t n = 0;
  for (int i = 7; i >= 0; i--) n = n << 8 | record.bytes[8 + i];
  if (lsn <= head->folded_lsn && n <= head->n) return 0; /* its copy in the segment counts */
  head->damaged = true;
  return weir_head_note(&s->store->heads, head, lsn, record.size) ? 0 : ENOMEM;
}

static int scan_log(scan *s) {
  MDB_cursor *cursor;
  MDB_val key, value;
  int rc = mdb_cursor_open(s->txn, s->store->table[WEIR_LOG], &cursor);
  if (rc != 0) return rc;
  for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == 0;
       rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    uint64_t lsn;
    if (key.mv_size != sizeof lsn || !weir_map_sane(s->store, value)) {
      rc = MDB_CORRUPTED;
      break;
    }
    memcpy(&lsn, key.mv_data, sizeof lsn);
    weir_slice record = weir_slice_of(value);
    weir_entry entry;
    s->records++;
    s->bytes += record.size;
    s->last_lsn = lsn > s->last_lsn ? lsn : s->last_lsn;
    s->sum += weir_record_crc(WEIR_LOG, (weir_slice){ NULL, 0 }, record);
    bool sound = weir_entry_read(record, lsn, &entry) == WEIR_OK;
    int failed = sound ? scan_entry(s, &entry, record.size) : scan_damaged(s, lsn, record);
    if (failed != 0) {
      rc = failed;
      break;
    }
  }
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

/* A record that could be anybody's puts every run with entries in the log in doubt. */
static int spread_stray(scan *s) {
  weir_heads *heads = &s->store->heads;
  for (weir_head *head = heads->oldest; head != NULL && s->stray.size > 0; head = head->newer) {
    head->damaged = true;
    for (size_t i = 0; i < s->stray.size; i += sizeof(uint64_t)) {
      uint64_t lsn;
      memcpy(&lsn, s->stray.bytes + i, sizeof lsn);
      if (!weir_head_note(heads, head, lsn, 0)) return ENOMEM;
    }
  }
  return 0;
}

/* Heads without unfolded entries are known from their segments; those in use are checked against their
 * row. */
static int settle_heads(scan *s) {
  weir_heads *heads = &s->store->heads;
  for (size_t i = 0; i < heads->buckets; i++) {
    for (weir_head *head = heads->bucket[i], *next; head != NULL; head = next) {
      int rc = 0;
      next = head->next;
      if (head->unfolded > 0 && check_row(s->store, s->txn, head, &rc) == WEIR_CORRUPT)
        head->damaged = true;
      if (head->unfolded == 0 && head->opened)
        head->loaded = false; /* read again when used */
      else if (head->unfolded == 0)
        weir_heads_remove(heads, head);
      if (rc != 0 && rc != MDB_NOTFOUND) return rc;
    }
  }
  return 0;
}

int weir_heads_scan(weir_store *store, MDB_txn *txn, bool *lost) {
  scan s = { .store = store, .txn = txn };
  reset_heads(&store->heads);
  int rc = scan_log(&s);
  if (rc == 0) rc = spread_stray(&s);
  if (rc == 0) rc = settle_heads(&s);
  weir_buffer_free(&s.stray);
  store->stats.damaged = s.damaged;
  store->log_bytes = store->committed_log_bytes = s.bytes;
  if (s.last_lsn >= store->tail.next_lsn) store->tail.next_lsn = s.last_lsn + 1;
  *lost = rc == 0 && s.damaged == 0 &&
          (s.records != store->tail.records[WEIR_LOG] || s.sum != store->tail.sums[WEIR_LOG]);
  return rc;
}
