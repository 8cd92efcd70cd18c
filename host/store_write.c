/* store_write.c - what one transaction does for each request: check everything first, then change.
 *
 * A request that is refused has changed nothing, so its neighbours in the transaction are unharmed. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define REFRESH_MS 600000

typedef struct {
  weir_store *store;
  MDB_txn *txn;
  weir_batch *batch;
  weir_request *request;
  uint64_t added; /* journal entries */
} writing;

void weir_request_fail(weir_request *request, weir_status status, const char *format, ...) {
  char text[WEIR_MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  request->status = status;
  free(request->message);
  request->message = strdup(text);
}

static weir_slice slice_of(const weir_batch *batch, weir_span span) {
  return (weir_slice){ batch->bytes.bytes + span.at, span.size };
}

static int shown(weir_slice slice) {
  return slice.size > 200 ? 200 : (int)slice.size;
}

static int refuse_run(writing *w, weir_status status, weir_slice run, const char *why) {
  weir_request_fail(w->request, status, "run '%.*s': %s", shown(run), (const char *)run.bytes, why);
  return 0;
}

/* The head of a run, known as far as it can be; NULL with *rc 0 when the request was refused. */
static weir_head *head_of(writing *w, weir_slice run, int *rc) {
  weir_heads *heads = &w->store->heads;
  weir_head *head = weir_heads_find(heads, run);
  if (head == NULL && (head = weir_heads_add(heads, run)) == NULL) {
    *rc = ENOMEM;
    return NULL;
  }
  *rc = 0;
  if (!head->loaded && weir_head_load(w->store, w->txn, head, rc) == WEIR_UNAVAILABLE) return NULL;
  *rc = 0;
  if (!head->damaged) return head;
  refuse_run(w, WEIR_CORRUPT, run,
             "its journal is damaged and takes no more entries; see 'weir doctor'");
  return NULL;
}

static int check_run(writing *w, const weir_op *op) {
  int rc;
  weir_slice run = slice_of(w->batch, op->key);
  weir_head *head = head_of(w, run, &rc);
  if (head == NULL || op->epoch >= head->epoch) return rc;
  char why[80];
  snprintf(why, sizeof why, "epoch %u is over; epoch %u owns the run", op->epoch, head->epoch);
  return refuse_run(w, WEIR_CONFLICT, run, why);
}

/* A row about to be replaced must be readable: its status has a key in the index. */
static int check_row(writing *w, const weir_op *op) {
  weir_slice run = slice_of(w->batch, op->key), record;
  weir_row row;
  if (op->row.size == 0) return 0;
  int rc = weir_map_get(w->store, w->txn, WEIR_RUNS, run, &record);
  if (rc == MDB_NOTFOUND) return 0;
  if (rc == 0 && weir_row_read(run, record, &row) != WEIR_OK)
    return refuse_run(w, WEIR_CORRUPT, run, "its row is damaged; see 'weir doctor'");
  return rc;
}

static int check_version(writing *w, const weir_op *op) {
  weir_slice key = slice_of(w->batch, op->key), record;
  weir_kv kv = { 0 };
  int rc = weir_map_get(w->store, w->txn, WEIR_KV, key, &record);
  if (rc != 0 && rc != MDB_NOTFOUND) return rc;
  if (rc == 0 && weir_kv_read(key, record, &kv) != WEIR_OK && op->expected != WEIR_ANY_VERSION) {
    weir_request_fail(w->request, WEIR_CORRUPT, "key '%.*s': its record is damaged; put a new value",
                      shown(key), (const char *)key.bytes);
  } else if (op->expected != WEIR_ANY_VERSION && op->expected != kv.version) {
    const char *name = memchr(key.bytes, 0, key.size);
    weir_request_fail(w->request, WEIR_CONFLICT,
                      "space '%s', key '%.*s': version is %llu, expected %llu", (const char *)key.bytes,
                      shown(key) - (int)(name + 1 - (const char *)key.bytes), name + 1,
                      (unsigned long long)kv.version, (unsigned long long)op->expected);
  }
  return 0;
}

static bool read_integer(weir_slice packed, int64_t *integer) {
  weir_pack_reader reader = { packed.bytes, packed.bytes + packed.size };
  weir_pack_item item;
  if (!weir_pack_read(&reader, &item) || item.kind != WEIR_PACK_INTEGER) return false;
  *integer = item.integer;
  return true;
}

/* What stands under the key: OK (also when there is nothing: 0), INVALID (no integer), CORRUPT. */
static weir_status read_sum(writing *w, weir_slice key, int64_t *sum, int *rc) {
  weir_slice record;
  weir_kv kv;
  *sum = 0;
  *rc = weir_map_get(w->store, w->txn, WEIR_KV, key, &record);
  if (*rc == MDB_NOTFOUND)
    *rc = 0;
  else if (*rc == 0) {
    if (weir_kv_read(key, record, &kv) != WEIR_OK) return WEIR_CORRUPT;
    if (!read_integer(kv.payload, sum)) return WEIR_INVALID;
  }
  return WEIR_OK;
}

static int64_t addend(const weir_batch *batch, const weir_op *op) {
  int64_t by = 0; /* checked by whoever made it */
  read_integer(slice_of(batch, op->value), &by);
  return by;
}

static int refuse_sum(writing *w, weir_status status, weir_slice key, const char *why) {
  const char *name = (const char *)memchr(key.bytes, 0, key.size) + 1;
  weir_request_fail(w->request, status, "space '%s', key '%.*s': %s", (const char *)key.bytes,
                    shown(key) - (int)(name - (const char *)key.bytes), name, why);
  return 0;
}

/* What the operations before this one in its request add to the same key, and it itself. */
static bool add_all(const writing *w, const weir_op *last, int64_t *sum) {
  weir_slice key = slice_of(w->batch, last->key);
  for (const weir_op *op = w->batch->op + w->request->first_op; op <= last; op++) {
    if (op->kind != WEIR_OP_ADD || !weir_slice_equal(slice_of(w->batch, op->key), key)) continue;
    if (__builtin_add_overflow(*sum, addend(w->batch, op), sum)) return false;
  }
  return true;
}

static int check_add(writing *w, const weir_op *op) {
  weir_slice key = slice_of(w->batch, op->key);
  int64_t sum;
  char why[96];
  int rc;
  weir_status status = read_sum(w, key, &sum, &rc);
  if (rc != 0) return rc;
  if (status != WEIR_OK)
    return refuse_sum(w, status, key,
                      status == WEIR_CORRUPT ? "its record is damaged; put a new value"
                                             : "what is there is no integer");
  if (!add_all(w, op, &sum)) return refuse_sum(w, WEIR_LIMIT, key, "the sum is too large");
  if (op->expected == WEIR_ANY_VERSION || sum <= (int64_t)op->expected) return 0;
  snprintf(why, sizeof why, "it would be %lld, and may be %llu at most", (long long)sum,
           (unsigned long long)op->expected);
  return refuse_sum(w, WEIR_FULL, key, why);
}

/* Is the status in the list, of which each has a zero after it? */
static bool is_listed(weir_slice list, weir_slice status) {
  for (size_t at = 0; at < list.size;) {
    const uint8_t *end = memchr(list.bytes + at, 0, list.size - at);
    if (end == NULL) return false;
    size_t size = (size_t)(end - (list.bytes + at));
    if (weir_slice_equal((weir_slice){ list.bytes + at, size }, status)) return true;
    at += size + 1;
  }
  return false;
}

/* All of it must be readable: a segment tells what else is to go. */
static int check_segments(writing *w, weir_slice run) {
  int rc;
  if (weir_forget_check(w->store, w->txn, run, &rc) != WEIR_CORRUPT) return rc;
  return refuse_run(w, WEIR_CORRUPT, run, "its segments are damaged; see 'weir doctor'");
}

/* A journal that is no run: it has entries and no row. */
static int check_forget_journal(writing *w, weir_slice run) {
  weir_slice record;
  int rc = weir_map_get(w->store, w->txn, WEIR_RUNS, run, &record);
  if (rc == 0)
    return refuse_run(w, WEIR_CONFLICT, run, "it has a row; its status must say that it has ended");
  if (rc != MDB_NOTFOUND) return rc;
  weir_head *head = head_of(w, run, &rc);
  if (head == NULL) return rc;
  return head->n == 0 ? refuse_run(w, WEIR_NOT_FOUND, run, "there is none") : check_segments(w, run);
}

/* Only its row says that a run has ended; who took it over since may be about to go on with it. */
static int check_forget(writing *w, const weir_op *op) {
  weir_slice run = slice_of(w->batch, op->key), record;
  weir_row row;
  char why[120];
  if (op->value.size == 0) return check_forget_journal(w, run);
  int rc = weir_map_get(w->store, w->txn, WEIR_RUNS, run, &record);
  if (rc == MDB_NOTFOUND) return refuse_run(w, WEIR_NOT_FOUND, run, "there is none");
  if (rc != 0) return rc;
  if (weir_row_read(run, record, &row) != WEIR_OK)
    return refuse_run(w, WEIR_CORRUPT, run, "its row is damaged; see 'weir doctor'");
  if (!is_listed(slice_of(w->batch, op->value), row.status)) {
    snprintf(why, sizeof why, "it is '%.*s' and has not ended; cancel it first", (int)row.status.size,
             (const char *)row.status.bytes);
    return refuse_run(w, WEIR_CONFLICT, run, why);
  }
  weir_head *head = head_of(w, run, &rc);
  if (head == NULL) return rc;
  if (head->epoch > row.epoch) {
    snprintf(why, sizeof why, "epoch %u has taken it over since it ended", head->epoch);
    return refuse_run(w, WEIR_CONFLICT, run, why);
  }
  return check_segments(w, run);
}

static int check_op(writing *w, const weir_op *op) {
  int rc = 0;
  switch (op->kind) {
  case WEIR_OP_RUN:
    return check_run(w, op);
  case WEIR_OP_ENTRY:
  case WEIR_OP_ROW:
    rc = check_run(w, op);
    return rc != 0 || w->request->status != WEIR_OK ? rc : check_row(w, op);
  case WEIR_OP_FORGET:
    return check_forget(w, op);
  case WEIR_OP_PUT:
  case WEIR_OP_DELETE:
    return check_version(w, op);
  case WEIR_OP_ADD:
    return check_add(w, op);
  default:
    return 0;
  }
}

/* A blob that is there already is put again once in a while: it is young, and who put it may refer to
 * it a little later. */
static bool is_recent(const writing *w, weir_slice record) {
  return weir_blob_put_ms(record) + REFRESH_MS > w->batch->now_ms;
}

static int put_blob(writing *w, weir_slice hash, weir_slice content) {
  weir_slice old, known;
  weir_sweep_keep_blob(w->store, hash);
  int rc = weir_map_get(w->store, w->txn, WEIR_BLOBS, hash, &old);
  if (rc == 0 && weir_blob_read(hash, old, &known) == WEIR_OK && is_recent(w, old)) return 0;
  if (rc != 0 && rc != MDB_NOTFOUND) return rc;
  weir_buffer *out = &w->store->blob;
  weir_blob_write(out, hash, w->batch->now_ms, content);
  if (out->failed) return ENOMEM;
  return weir_map_put(w->store, w->txn, WEIR_BLOBS, hash, (weir_slice){ out->bytes, out->size });
}

/* The payload with large elements moved to blobs; it is one array, checked by whoever made it. */
static int move_blobs(writing *w, weir_slice *payload) {
  weir_buffer *out = &w->store->payload;
  weir_pack_reader reader = { payload->bytes, payload->bytes + payload->size };
  weir_pack_item list;
  if (!weir_pack_read(&reader, &list) || list.kind != WEIR_PACK_ARRAY) return EINVAL;
  weir_buffer_clear(out);
  weir_buffer_add(out, payload->bytes, (size_t)(reader.at - payload->bytes));
  for (uint32_t i = 0; i < list.size; i++) {
    weir_slice element = { reader.at, 0 };
    if (weir_pack_skip(&reader) != WEIR_OK) return EINVAL;
    element.size = (size_t)(reader.at - element.bytes);
    if (element.size <= WEIR_BLOB_ABOVE) {
      weir_buffer_add(out, element.bytes, element.size);
      continue;
    }
    uint8_t hash[WEIR_HASH_SIZE];
    weir_hash(element, hash);
    weir_pack_extension(out, WEIR_BLOB_EXTENSION, hash, WEIR_HASH_SIZE);
    int rc = put_blob(w, (weir_slice){ hash, WEIR_HASH_SIZE }, element);
    if (rc != 0) return rc;
  }
  *payload = (weir_slice){ out->bytes, out->size };
  return out->failed ? ENOMEM : 0;
}

static int add_to_log(writing *w, weir_head *head, const weir_op *op, weir_slice payload) {
  weir_store *store = w->store;
  uint64_t lsn = store->tail.next_lsn++;
  weir_entry entry = {
    slice_of(w->batch, op->key), payload, lsn, head->n + 1, head->epoch, head->crc, 0
  };
  size_t size = entry.run.size + payload.size + WEIR_ENTRY_OVERHEAD;
  MDB_val key = { sizeof lsn, &lsn }, value = { size, NULL };
  int rc = mdb_put(w->txn, store->table[WEIR_LOG], &key, &value, MDB_APPEND | MDB_RESERVE);
  if (rc != 0) return rc;
  weir_entry_write(value.mv_data, &entry);
  if (!weir_head_note(&store->heads, head, lsn, size)) return ENOMEM;
  head->n++;
  head->crc = entry.crc;
  store->tail.records[WEIR_LOG]++;
  store->tail.sums[WEIR_LOG] += entry.crc;
  store->log_bytes += size;
  w->added++;
  return 0;
}

/* Move the run to its new status in the index. */
static int put_status(writing *w, weir_slice run, weir_slice status) {
  uint8_t key[WEIR_KEY_MAX + 1];
  weir_slice record, nothing = { NULL, 0 };
  weir_row row;
  int rc = weir_map_get(w->store, w->txn, WEIR_RUNS, run, &record);
  if (rc != 0 && rc != MDB_NOTFOUND) return rc;
  if (rc == 0 && weir_row_read(run, record, &row) == WEIR_OK) {
    if (weir_slice_equal(row.status, status)) return 0;
    rc = weir_map_delete(w->store, w->txn, WEIR_STATUS,
                         (weir_slice){ key, weir_status_key(key, row.status, run) });
    if (rc != 0) return rc;
  }
  return weir_map_put(w->store, w->txn, WEIR_STATUS,
                      (weir_slice){ key, weir_status_key(key, status, run) }, nothing);
}

static int put_row(writing *w, const weir_head *head, const weir_op *op) {
  weir_slice run = slice_of(w->batch, op->key);
  weir_row row = { slice_of(w->batch, op->status), slice_of(w->batch, op->row), head->n, head->epoch,
                   head->crc };
  weir_sweep_keep_value(w->store, row.row);
  int rc = put_status(w, run, row.status);
  if (rc != 0) return rc;
  weir_buffer *out = &w->store->record;
  weir_row_write(out, run, &row);
  if (out->failed) return ENOMEM;
  return weir_map_put(w->store, w->txn, WEIR_RUNS, run, (weir_slice){ out->bytes, out->size });
}

static int apply_run(writing *w, weir_op *op) {
  int rc;
  weir_head *head = head_of(w, slice_of(w->batch, op->key), &rc);
  if (head == NULL) return rc;
  head->opened = true;
  head->released = false;
  if (op->epoch > head->epoch) head->epoch = op->epoch;
  op->result = head->n;
  return 0;
}

/* Nothing of the run stays in memory. Whoever opens it next finds its latest n and its epoch in its
 * last segment and its row, one of which was written just now. */
static int release(writing *w, weir_head *head) {
  int rc = weir_fold(w->store, w->txn, head);
  if (rc == 0 && !head->damaged) weir_head_release(&w->store->heads, head);
  return rc;
}

static int apply_entry(writing *w, weir_op *op) {
  int rc = apply_run(w, op);
  if (rc != 0) return rc;
  weir_head *head = weir_heads_find(&w->store->heads, slice_of(w->batch, op->key));
  weir_slice payload = slice_of(w->batch, op->value);
  if (payload.size > WEIR_BLOB_ABOVE) rc = move_blobs(w, &payload);
  if (rc == 0) rc = add_to_log(w, head, op, payload);
  if (rc == 0 && op->row.size > 0) rc = put_row(w, head, op);
  op->result = head->n;
  if (rc == 0 && op->release) return release(w, head);
  bool due = head->unfolded >= WEIR_FOLD_ENTRIES || head->unfolded_bytes >= WEIR_FOLD_BYTES;
  return rc == 0 && due ? weir_fold(w->store, w->txn, head) : rc;
}

static int apply_row(writing *w, weir_op *op) {
  int rc = apply_run(w, op);
  if (rc != 0) return rc;
  weir_head *head = weir_heads_find(&w->store->heads, slice_of(w->batch, op->key));
  rc = put_row(w, head, op);
  return rc == 0 && op->release ? release(w, head) : rc;
}

static int apply_forget(writing *w, weir_op *op) {
  int rc;
  weir_head *head = head_of(w, slice_of(w->batch, op->key), &rc);
  if (head == NULL) return rc;
  op->result = head->n;
  return weir_forget(w->store, w->txn, head);
}

static int put_payload(writing *w, const weir_op *op, weir_slice payload, uint64_t version) {
  weir_slice key = slice_of(w->batch, op->key);
  weir_kv kv = { slice_of(w->batch, op->long_key), payload, version };
  weir_sweep_keep_key(w->store, kv.long_key.size > 0 ? kv.long_key : weir_kv_own(key));
  weir_sweep_keep_value(w->store, kv.payload);
  weir_buffer *out = &w->store->record;
  weir_kv_write(out, key, &kv);
  if (out->failed) return ENOMEM;
  return weir_map_put(w->store, w->txn, WEIR_KV, key, (weir_slice){ out->bytes, out->size });
}

static int apply_put(writing *w, weir_op *op) {
  op->result = w->store->tail.next_lsn++;
  return put_payload(w, op, slice_of(w->batch, op->value), op->result);
}

static int apply_add(writing *w, weir_op *op) {
  int64_t sum;
  int rc;
  if (read_sum(w, slice_of(w->batch, op->key), &sum, &rc) != WEIR_OK)
    return EINVAL; /* it was checked */
  if (rc != 0) return rc;
  sum += addend(w->batch, op);
  op->result = (uint64_t)sum;
  weir_buffer *out = &w->store->payload;
  weir_buffer_clear(out);
  weir_pack_integer(out, sum);
  if (out->failed) return ENOMEM;
  return put_payload(w, op, (weir_slice){ out->bytes, out->size }, w->store->tail.next_lsn++);
}

static int apply_delete(writing *w, weir_op *op) {
  uint64_t before = w->store->tail.records[WEIR_KV];
  int rc = weir_map_delete(w->store, w->txn, WEIR_KV, slice_of(w->batch, op->key));
  op->result = before - w->store->tail.records[WEIR_KV];
  return rc;
}

static int apply_op(writing *w, weir_op *op) {
  switch (op->kind) {
  case WEIR_OP_RUN:
    return apply_run(w, op);
  case WEIR_OP_ENTRY:
    return apply_entry(w, op);
  case WEIR_OP_ROW:
    return apply_row(w, op);
  case WEIR_OP_FORGET:
    return apply_forget(w, op);
  case WEIR_OP_PUT:
    return apply_put(w, op);
  case WEIR_OP_DELETE:
    return apply_delete(w, op);
  case WEIR_OP_ADD:
    return apply_add(w, op);
  case WEIR_OP_SWEEP:
    return weir_sweep_remove(w->store, w->txn, slice_of(w->batch, op->key), op->expected, &op->result,
                             &op->freed);
  case WEIR_OP_BLOB:
    return put_blob(w, slice_of(w->batch, op->key), slice_of(w->batch, op->value));
  default:
    return 0;
  }
}

static int write_request(writing *w) {
  weir_op *op = w->batch->op + w->request->first_op;
  for (uint32_t i = 0; i < w->request->ops; i++) {
    int rc = check_op(w, &op[i]);
    w->request->failed_op = i;
    if (rc != 0 || w->request->status != WEIR_OK) return rc;
  }
  for (uint32_t i = 0; i < w->request->ops; i++) {
    int rc = apply_op(w, &op[i]);
    if (rc != 0) return rc;
  }
  return 0;
}

int weir_write_batch(weir_store *store, MDB_txn *txn, weir_batch *batch, bool only_reserve) {
  writing w = { store, txn, batch, NULL, 0 };
  for (uint32_t i = 0; i < batch->requests; i++) {
    w.request = &batch->request[i];
    if (only_reserve && !w.request->reserve) continue;
    w.request->status = WEIR_OK;
    int rc = write_request(&w);
    if (rc != 0) return rc;
  }
  store->cut_credit += w.added;
  store->added += w.added;
  return 0;
}
