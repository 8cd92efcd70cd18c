/* store_sweep.c - removes blobs that nobody refers to: mark and sweep beside the writer.
 *
 * The job lists old blobs in the order of their hashes, some at a time, and reads segments, log, rows
 * and keys and values once to see which of them are referred to. It never reads for longer than a few
 * milliseconds on end, and removes a few blobs a transaction, so that no commit waits for it and no
 * page is held back. What is written meanwhile is seen by the writer (weir_sweep_keep...): each blob
 * that is put, each reference in what is put, and each entry that moves from the log, which may not
 * have been read yet, to the segments, which have. The job begins to read once all transactions that
 * were not seen in this way are committed.
 *
 * A reference is an element of an entry that stands in the blobs, or 64 hexadecimal digits in lower
 * case, alone or between other characters, in a row, a value, or a key of a space. In doubt a blob
 * stays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define SLICE_NS 5000000 /* of reading on end */
#define SLICE_BYTES (4u << 20)
#define REMOVED_AT_ONCE 64 /* blobs a transaction */
#define HEX (2 * WEIR_HASH_SIZE)

struct weir_sweep_state {
  uint8_t *hash; /* of the blobs that are in question, in order; no longer changes once it is shared */
  atomic_bool *kept;
  size_t count;
};

typedef struct {
  weir_job *job;
  weir_store *store;
  weir_client *client; /* the job's own */
  weir_sweep_state state;
  weir_buffer hashes;
  uint64_t oldest_ms; /* blobs put after this are spared */
  uint64_t looked;
  bool at_end;
  weir_status status;
} sweeping;

static void keep(weir_sweep_state *state, const uint8_t *hash) {
  size_t low = 0, high = state->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = memcmp(state->hash + middle * WEIR_HASH_SIZE, hash, WEIR_HASH_SIZE);
    if (order == 0) {
      atomic_store_explicit(&state->kept[middle], true, memory_order_relaxed);
      return;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
}

static int digit(uint8_t c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void keep_hex(weir_sweep_state *state, const uint8_t *hex) {
  uint8_t hash[WEIR_HASH_SIZE];
  for (size_t i = 0; i < WEIR_HASH_SIZE; i++)
    hash[i] = (uint8_t)((unsigned)digit(hex[2 * i]) << 4 | (unsigned)digit(hex[2 * i + 1]));
  keep(state, hash);
}

/* What looks like a hash: so many digits, no more. */
static void keep_in_text(weir_sweep_state *state, weir_slice text) {
  size_t digits = 0;
  for (size_t i = 0; i < text.size; i++) {
    if (digit(text.bytes[i]) >= 0) {
      digits++;
      continue;
    }
    if (digits == HEX) keep_hex(state, text.bytes + i - HEX);
    digits = 0;
  }
  if (digits == HEX) keep_hex(state, text.bytes + text.size - HEX);
}

/* Read item after item: the values in a list or map follow its header. */
static void keep_in_value(weir_sweep_state *state, weir_slice value) {
  weir_pack_reader reader = { value.bytes, value.bytes + value.size };
  weir_pack_item item;
  while (reader.at < reader.end && weir_pack_read(&reader, &item))
    if (item.kind == WEIR_PACK_TEXT) keep_in_text(state, (weir_slice){ item.bytes, item.size });
}

static void keep_in_entry(weir_sweep_state *state, weir_slice payload) {
  weir_pack_reader reader = { payload.bytes, payload.bytes + payload.size };
  weir_pack_item item;
  while (reader.at < reader.end && weir_pack_read(&reader, &item))
    if (item.kind == WEIR_PACK_EXTENSION && item.integer == WEIR_BLOB_EXTENSION &&
        item.size == WEIR_HASH_SIZE)
      keep(state, item.bytes);
}

/* --- the writer's part; heads_lock is held ------------------------------------------------------- */

void weir_sweep_keep_blob(weir_store *store, weir_slice hash) {
  if (store->sweep != NULL && hash.size == WEIR_HASH_SIZE) keep(store->sweep, hash.bytes);
}

void weir_sweep_keep_value(weir_store *store, weir_slice value) {
  if (store->sweep != NULL) keep_in_value(store->sweep, value);
}

void weir_sweep_keep_key(weir_store *store, weir_slice key) {
  if (store->sweep != NULL) keep_in_text(store->sweep, key);
}

void weir_sweep_keep_entry(weir_store *store, weir_slice payload) {
  if (store->sweep != NULL) keep_in_entry(store->sweep, payload);
}

static bool is_kept(const weir_sweep_state *state, const uint8_t *hash) {
  for (size_t low = 0, high = state->count; low < high;) {
    size_t middle = low + (high - low) / 2;
    int order = memcmp(state->hash + middle * WEIR_HASH_SIZE, hash, WEIR_HASH_SIZE);
    if (order == 0) return atomic_load_explicit(&state->kept[middle], memory_order_relaxed);
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return true;
}

int weir_sweep_remove(weir_store *store, MDB_txn *txn, weir_slice hashes, uint64_t oldest_ms,
                      uint64_t *removed, uint64_t *bytes) {
  *removed = *bytes = 0;
  for (size_t at = 0; at < hashes.size && store->sweep != NULL; at += WEIR_HASH_SIZE) {
    weir_slice hash = { hashes.bytes + at, WEIR_HASH_SIZE }, record;
    if (is_kept(store->sweep, hash.bytes)) continue;
    int rc = weir_map_get(store, txn, WEIR_BLOBS, hash, &record);
    if (rc == MDB_NOTFOUND) continue;
    if (rc != 0) return rc;
    if (weir_blob_put_ms(record) > oldest_ms) continue; /* put again since */
    *bytes += record.size;
    ++*removed;
    if ((rc = weir_map_delete(store, txn, WEIR_BLOBS, hash)) != 0) return rc;
  }
  return 0;
}

/* --- the job's part ------------------------------------------------------------------------------ */

/* One record of a table; false to end the walk. */
typedef bool (*visitor)(sweeping *s, weir_slice key, weir_slice record);

static bool doubt(sweeping *s, int table) {
  s->status =
      weir_job_fail(s->job, WEIR_CORRUPT,
                    "sweep: a record of table '%s' is damaged and may refer to any blob, so none "
                    "was removed; see 'weir doctor'",
                    weir_table_name(table));
  return false;
}

/* Visit records for a while; `at` is the last key that was visited. False: that was all. */
static bool walk_some(sweeping *s, int table, visitor visit, weir_buffer *at) {
  MDB_cursor *cursor;
  MDB_val key = { at->size, at->bytes }, value;
  uint64_t until_ns = weir_nanoseconds() + SLICE_NS;
  size_t bytes = 0;
  int rc = mdb_cursor_open(s->client->reader, s->store->table[table], &cursor);
  if (rc != 0) return doubt(s, table);
  rc = mdb_cursor_get(cursor, &key, &value, at->size == 0 ? MDB_FIRST : MDB_SET_RANGE);
  if (rc == 0 && at->size > 0 && key.mv_size == at->size &&
      memcmp(key.mv_data, at->bytes, at->size) == 0)
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  bool more = rc == 0;
  while (more && bytes < SLICE_BYTES) {
    more = weir_map_sane(s->store, key) && weir_map_sane(s->store, value)
               ? visit(s, weir_slice_of(key), weir_slice_of(value))
               : doubt(s, table);
    if (!more) break;
    bytes += value.mv_size;
    weir_buffer_clear(at);
    weir_buffer_add(at, key.mv_data, key.mv_size);
    if (weir_nanoseconds() >= until_ns) break;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    more = rc == 0;
  }
  mdb_cursor_close(cursor);
  if (rc != 0 && rc != MDB_NOTFOUND) return doubt(s, table);
  return more;
}

/* Visit the records of a table from the one after `at` on, with pauses. */
static void walk(sweeping *s, int table, visitor visit, weir_buffer *at) {
  for (bool more = true; more && s->status == WEIR_OK;) {
    if ((s->status = weir_job_check(s->job)) != WEIR_OK) return;
    pthread_rwlock_rdlock(&s->store->map);
    int rc = weir_reader_begin(s->store, &s->client->reader);
    if (rc == 0) {
      more = walk_some(s, table, visit, at);
      mdb_txn_reset(s->client->reader);
    }
    pthread_rwlock_unlock(&s->store->map);
    if (rc != 0) s->status = weir_job_fail(s->job, WEIR_UNAVAILABLE, "sweep: %s", mdb_strerror(rc));
    if (at->failed) s->status = weir_job_fail(s->job, WEIR_LIMIT, "sweep: out of memory");
  }
}

static bool visit_blob(sweeping *s, weir_slice key, weir_slice record) {
  if (s->looked == s->job->budget) {
    s->at_end = false;
    return false;
  }
  s->looked++;
  if (key.size == WEIR_HASH_SIZE && weir_blob_put_ms(record) <= s->oldest_ms)
    weir_buffer_add(&s->hashes, key.bytes, key.size);
  return true;
}

static bool visit_segment(sweeping *s, weir_slice key, weir_slice record) {
  weir_segment segment;
  weir_entry entry;
  weir_status status = weir_segment_open(key, record, &segment);
  while (status == WEIR_OK && (status = weir_segment_next(&segment, &entry)) == WEIR_OK)
    keep_in_entry(&s->state, entry.payload);
  return status == WEIR_EMPTY || doubt(s, WEIR_SEGMENTS);
}

static bool visit_entry(sweeping *s, weir_slice key, weir_slice record) {
  uint64_t lsn;
  weir_entry entry;
  if (key.size != sizeof lsn) return doubt(s, WEIR_LOG);
  memcpy(&lsn, key.bytes, sizeof lsn);
  if (weir_entry_read(record, lsn, &entry) != WEIR_OK) return doubt(s, WEIR_LOG);
  keep_in_entry(&s->state, entry.payload);
  return true;
}

static bool visit_row(sweeping *s, weir_slice key, weir_slice record) {
  weir_row row;
  if (weir_row_read(key, record, &row) != WEIR_OK) return doubt(s, WEIR_RUNS);
  keep_in_value(&s->state, row.row);
  return true;
}

static bool visit_key(sweeping *s, weir_slice key, weir_slice record) {
  weir_kv kv;
  if (weir_kv_read(key, record, &kv) != WEIR_OK) return doubt(s, WEIR_KV);
  keep_in_text(&s->state, kv.long_key.size > 0 ? kv.long_key : weir_kv_own(key));
  keep_in_value(&s->state, kv.payload);
  return true;
}

/* Entries move from the log to the segments, so the segments are read first. */
static void mark(sweeping *s) {
  static const struct {
    int table;
    visitor visit;
  } walks[] = { { WEIR_SEGMENTS, visit_segment },
                { WEIR_LOG, visit_entry },
                { WEIR_RUNS, visit_row },
                { WEIR_KV, visit_key } };
  for (size_t i = 0; i < sizeof walks / sizeof walks[0] && s->status == WEIR_OK; i++) {
    weir_buffer at = { 0 };
    walk(s, walks[i].table, walks[i].visit, &at);
    weir_buffer_free(&at);
  }
}

/* List what is in question. The place is kept by the store, for the next sweep. */
static void list(sweeping *s) {
  weir_buffer at = { 0 };
  if (s->store->has_swept) weir_buffer_add(&at, s->store->swept, WEIR_HASH_SIZE);
  s->at_end = true;
  walk(s, WEIR_BLOBS, visit_blob, &at);
  if (s->status == WEIR_OK && s->hashes.failed)
    s->status = weir_job_fail(s->job, WEIR_LIMIT, "sweep: out of memory");
  s->state.count = s->hashes.size / WEIR_HASH_SIZE;
  s->state.hash = s->hashes.bytes;
  s->state.kept = calloc(s->state.count + 1, sizeof *s->state.kept);
  if (s->state.kept == NULL) s->status = weir_job_fail(s->job, WEIR_LIMIT, "sweep: out of memory");
  if (s->status == WEIR_OK) {
    s->store->has_swept = !s->at_end && at.size == WEIR_HASH_SIZE;
    if (s->store->has_swept) memcpy(s->store->swept, at.bytes, WEIR_HASH_SIZE);
  }
  weir_buffer_free(&at);
}

/* Submit the request and wait for its outcome; its operation's numbers are added up. */
static void settle(sweeping *s, weir_batch *batch, uint32_t first_op) {
  weir_request *asked =
      batch == NULL || batch->bytes.failed ? NULL : weir_batch_request(batch, first_op, s);
  if (asked == NULL) {
    s->status = weir_job_fail(s->job, WEIR_LIMIT, "sweep: out of memory");
    return;
  }
  asked->reserve = true; /* it makes room */
  weir_client_submit(s->client, s->job->now_ms);
  weir_client_wait(s->client);
  batch = weir_client_done(s->client);
  const weir_request *request = &batch->request[0];
  if (request->status != WEIR_OK)
    s->status = weir_job_fail(s->job, request->status, "sweep: %.400s",
                              request->message != NULL ? request->message : "refused");
  for (uint32_t i = 0; i < request->ops && s->status == WEIR_OK; i++) {
    s->job->result[1] += batch->op[i].result;
    s->job->result[2] += batch->op[i].freed;
  }
  weir_client_recycle(s->client, batch);
}

static void submit(sweeping *s, weir_op_kind kind, const uint8_t *hashes, size_t count) {
  weir_batch *batch = weir_client_batch(s->client);
  weir_op *op = batch == NULL ? NULL : weir_batch_op(batch);
  if (op == NULL) {
    s->status = weir_job_fail(s->job, WEIR_LIMIT, "sweep: out of memory");
    return;
  }
  op->kind = kind;
  op->expected = s->oldest_ms;
  op->key = weir_batch_bytes(batch, hashes, count * WEIR_HASH_SIZE);
  settle(s, batch, batch->ops - 1);
}

static void share(sweeping *s, weir_sweep_state *state) {
  pthread_mutex_lock(&s->store->heads_lock);
  s->store->sweep = state;
  pthread_mutex_unlock(&s->store->heads_lock);
}

static void remove_rest(sweeping *s) {
  uint8_t hashes[REMOVED_AT_ONCE * WEIR_HASH_SIZE];
  size_t count = 0;
  for (size_t i = 0; i < s->state.count && s->status == WEIR_OK; i++) {
    if (!atomic_load_explicit(&s->state.kept[i], memory_order_relaxed))
      memcpy(hashes + WEIR_HASH_SIZE * count++, s->state.hash + WEIR_HASH_SIZE * i, WEIR_HASH_SIZE);
    if (count < REMOVED_AT_ONCE && (i + 1 < s->state.count || count == 0)) continue;
    s->status = weir_job_check(s->job);
    if (s->status == WEIR_OK) submit(s, WEIR_OP_SWEEP, hashes, count);
    count = 0;
  }
}

static bool claim(weir_store *store) {
  pthread_mutex_lock(&store->heads_lock);
  bool mine = !store->sweeping;
  store->sweeping = true;
  pthread_mutex_unlock(&store->heads_lock);
  return mine;
}

static void sweep(sweeping *s) {
  list(s);
  if (s->status == WEIR_OK && s->state.count > 0) {
    share(s, &s->state);
    submit(s, WEIR_OP_DROPPED, NULL, 0); /* what was written before is committed when this is */
    if (s->status == WEIR_OK) mark(s);
    if (s->status == WEIR_OK) remove_rest(s);
  }
  pthread_mutex_lock(&s->store->heads_lock);
  s->store->sweep = NULL;
  s->store->sweeping = false;
  pthread_mutex_unlock(&s->store->heads_lock);
}

static void wake_nobody(void *context) {
  (void)context;
}

weir_status weir_sweep(weir_job *job) {
  weir_store *store = job->client->store;
  sweeping s = { .job = job, .store = store };
  if (job->now_ms < job->young_ms) {
    job->result[3] = 1; /* all are too young */
    return WEIR_OK;
  }
  s.oldest_ms = job->now_ms - job->young_ms;
  s.client = weir_client_new(store, wake_nobody, NULL);
  if (s.client == NULL) return weir_job_fail(job, WEIR_LIMIT, "sweep: out of memory");
  if (claim(store))
    sweep(&s);
  else
    s.status = weir_job_fail(job, WEIR_CONFLICT, "sweep: another one is under way");
  weir_client_free(s.client);
  weir_buffer_free(&s.hashes);
  free(s.state.kept);
  job->result[0] = s.looked;
  job->result[3] = s.at_end;
  return s.status;
}
