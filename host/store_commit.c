/* store_commit.c - one transaction for all that waits, and what becomes of it when the disk refuses.
 *
 * A full disk refuses the requests and the store goes on. An I/O error or a failed sync leaves the
 * outcome unknown: nothing is acknowledged from then on, until the process has been started again and
 * has read what is there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "store_internal.h"

#define GROW_ABOVE_PERCENT 70
#define FULL_BELOW (1u << 20) /* bytes free on the disk */

uint64_t weir_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *weir_store_failure(weir_store *store) {
  return atomic_load(&store->failure);
}

void weir_store_fail(weir_store *store, const char *what, int rc) {
  if (weir_store_failure(store) != NULL) return; /* the first one counts; the commit lock is held */
  snprintf(
      store->failure_text, sizeof store->failure_text,
      "store '%.120s': %s: %s; outcome unknown: what was not acknowledged may be there or not; start "
      "weir again",
      store->path, what, mdb_strerror(rc));
  atomic_store(&store->failure, store->failure_text);
}

int weir_tail_put(weir_store *store, MDB_txn *txn) {
  uint8_t bytes[WEIR_TAIL_SIZE];
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value = { sizeof bytes, bytes };
  store->tail.transactions++;
  weir_tail_write(bytes, &store->tail);
  return mdb_put(txn, store->main, &key, &value, 0);
}

static void refuse_all(weir_batch *first, weir_status status, const char *message, bool keep_reserve) {
  for (weir_batch *batch = first; batch != NULL; batch = batch->next)
    for (uint32_t i = 0; i < batch->requests; i++)
      if (!keep_reserve || !batch->request[i].reserve)
        weir_request_fail(&batch->request[i], status, "%s", message);
}

/* Go back to the last commit: sums as they were, heads from the log. LSNs are not given out twice. */
static void roll_back(weir_store *store) {
  MDB_txn *txn;
  bool lost;
  pthread_mutex_lock(&store->heads_lock);
  uint64_t next_lsn = store->tail.next_lsn;
  store->tail = store->committed;
  store->tail.next_lsn = next_lsn;
  int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
  if (rc == 0) {
    rc = weir_heads_scan(store, txn, &lost);
    mdb_txn_abort(txn);
  }
  pthread_mutex_unlock(&store->heads_lock);
  if (rc != 0) weir_store_fail(store, "cannot go back to the last commit", rc);
}

static void wait_before_sync(const weir_store *store) {
  if (store->options.sync_delay_ns <= 0) return;
  int64_t delay = store->options.sync_delay_ns;
  struct timespec time = { (time_t)(delay / 1000000000), (long)(delay % 1000000000) };
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

/* All changes of the batches; the caller commits or aborts. */
static int write_all(weir_store *store, MDB_txn *txn, weir_batch *first, bool only_reserve) {
  int rc = 0;
  pthread_mutex_lock(&store->heads_lock);
  store->added = 0;
  for (weir_batch *batch = first; batch != NULL && rc == 0; batch = batch->next)
    rc = weir_write_batch(store, txn, batch, only_reserve);
  if (rc == 0) rc = weir_cut(store, txn);
  if (rc == 0 && memcmp(&store->tail, &store->committed, sizeof store->tail) != 0)
    rc = weir_tail_put(store, txn);
  pthread_mutex_unlock(&store->heads_lock);
  return rc;
}

static uint64_t requests_of(const weir_batch *first) {
  uint64_t requests = 0;
  for (; first != NULL; first = first->next) requests += first->requests;
  return requests;
}

/* The same moment under two counts: of journal entries, and of requests, which are all that changes. */
static void pass_failpoints(const weir_store *store, const weir_batch *first, const char *entries,
                            const char *requests) {
  if (!weir_failpoints_on()) return;
  uint64_t entry = store->stats.entries, request = store->stats.requests;
  weir_failpoint(entries, entry, entry + store->added);
  weir_failpoint(requests, request, request + requests_of(first));
}

static int try_commit(weir_store *store, weir_batch *first, bool only_reserve) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  rc = write_all(store, txn, first, only_reserve);
  if (rc != 0) {
    mdb_txn_abort(txn);
    return rc;
  }
  if (weir_defect("ack_before_commit")) weir_acknowledge_early(first);
  pass_failpoints(store, first, "before_commit", "before_request");
  wait_before_sync(store);
  rc = mdb_txn_commit(txn);
  if (rc == 0) weir_seal_write(store, store->tail.transactions);
  if (rc == 0) pass_failpoints(store, first, "after_commit", "after_request");
  return rc;
}

/* Only now may the outcome be told. */
static void count_commit(weir_store *store, weir_batch *first, uint64_t started_ns) {
  uint64_t taken = weir_nanoseconds() - started_ns;
  int bucket = 0;
  while (bucket < WEIR_COMMIT_BUCKETS - 1 && taken > (uint64_t)32000 << bucket) bucket++;
  pthread_mutex_lock(&store->heads_lock);
  weir_heads_settle(&store->heads);
  store->committed = store->tail;
  store->committed_log_bytes = store->log_bytes;
  store->stats.commits++;
  store->stats.commit_ns += taken;
  store->stats.commit_buckets[bucket]++;
  store->stats.entries += store->added;
  store->stats.requests += requests_of(first);
  for (weir_batch *batch = first; batch != NULL; batch = batch->next)
    store->stats.bytes += batch->bytes.size;
  pthread_mutex_unlock(&store->heads_lock);
}

static bool has_reserved_request(const weir_batch *first) {
  for (const weir_batch *batch = first; batch != NULL; batch = batch->next)
    for (uint32_t i = 0; i < batch->requests; i++)
      if (batch->request[i].reserve) return true;
  return false;
}

/* LMDB goes on after a full disk unless it was the last page, the one that makes a commit, which could
 * not be written. */
static bool is_usable(weir_store *store) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
  if (rc == 0)
    mdb_txn_abort(txn);
  else
    weir_store_fail(store, "the disk is full and the commit broke", rc);
  return rc == 0;
}

static size_t total_bytes(const weir_batch *first) {
  size_t sum = 0;
  for (; first != NULL; first = first->next) sum += first->bytes.size;
  return sum;
}

/* Make room in the map for what failed to fit. */
static bool enlarge_map(weir_store *store, weir_batch *first) {
  MDB_envinfo info;
  mdb_env_info(store->env, &info);
  size_t more = info.me_mapsize > total_bytes(first) * 4 ? info.me_mapsize : total_bytes(first) * 4;
  return weir_map_grow(store, info.me_mapsize + more, true);
}

static void keep_map_roomy(weir_store *store) {
  MDB_envinfo info;
  mdb_env_info(store->env, &info);
  size_t used = (info.me_last_pgno + 1) * store->page_size;
  if (used > info.me_mapsize / 100 * GROW_ABOVE_PERCENT)
    weir_map_grow(store, info.me_mapsize * 2, false);
}

/* LMDB reports a write that was cut short as EIO; on a full disk that is what it means. It concerns
 * pages of the aborted transaction only: a failure at the page that commits is found by is_usable. */
static bool is_full(const weir_store *store, int rc) {
  struct statvfs space;
  if (rc == ENOSPC || rc == EDQUOT) return true;
  if (rc != EIO || fstatvfs(store->owner, &space) != 0) return false;
  return (unsigned long long)space.f_bavail * space.f_frsize < FULL_BELOW;
}

/* The disk is full: what may use the reserve is tried again with it, the rest is refused. */
static int commit_reserved(weir_store *store, weir_batch *first) {
  char message[WEIR_MESSAGE_MAX];
  snprintf(message, sizeof message, "store '%s': the disk is full; free some space and try again",
           store->path);
  pthread_mutex_lock(&store->heads_lock);
  store->stats.refused_full++;
  pthread_mutex_unlock(&store->heads_lock);
  refuse_all(first, WEIR_FULL, message, true);
  if (!has_reserved_request(first)) return 0;
  int rc = weir_reserve_use(store) ? try_commit(store, first, true) : ENOSPC;
  if (rc == 0) return 0;
  roll_back(store);
  if (!is_full(store, rc) && rc != MDB_MAP_FULL) return rc;
  refuse_all(first, WEIR_FULL, message, false);
  return is_usable(store) ? 0 : MDB_PANIC;
}

static int commit_somehow(weir_store *store, weir_batch *first) {
  int rc = try_commit(store, first, false);
  for (int tries = 0; rc == MDB_MAP_FULL && tries < 40; tries++) {
    roll_back(store);
    if (!enlarge_map(store, first))
      rc = ENOSPC;
    else
      rc = try_commit(store, first, false);
  }
  if (rc == 0) return 0;
  roll_back(store);
  if (rc == MDB_MAP_FULL) rc = ENOSPC;
  return is_full(store, rc) && is_usable(store) ? commit_reserved(store, first) : rc;
}

void weir_commit(weir_store *store, weir_batch *first) {
  uint64_t started_ns = weir_nanoseconds();
  bool committed = false;
  if (weir_store_failure(store) == NULL) {
    int rc = commit_somehow(store, first);
    if (rc != 0) weir_store_fail(store, "commit", rc);
    committed = rc == 0;
  }
  if (committed)
    count_commit(store, first, started_ns);
  else
    refuse_all(first, WEIR_UNAVAILABLE, weir_store_failure(store), false);
  if (committed) keep_map_roomy(store);
}

static int try_alone(weir_store *store, int (*change)(weir_store *, MDB_txn *, void *), void *context) {
  MDB_txn *txn;
  store->added = 0;
  int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  if ((rc = change(store, txn, context)) == 0)
    rc = mdb_txn_commit(txn);
  else
    mdb_txn_abort(txn);
  if (rc == 0) weir_seal_write(store, store->tail.transactions);
  return rc;
}

static int commit_alone(weir_store *store, int (*change)(weir_store *, MDB_txn *, void *),
                        void *context) {
  int rc = try_alone(store, change, context);
  for (int tries = 0; rc == MDB_MAP_FULL && tries < 40; tries++) {
    roll_back(store);
    rc = enlarge_map(store, NULL) ? try_alone(store, change, context) : ENOSPC;
  }
  if (rc == 0) {
    count_commit(store, NULL, weir_nanoseconds());
    return 0;
  }
  roll_back(store);
  if (rc == ECANCELED) return rc;
  if (rc == MDB_MAP_FULL || (is_full(store, rc) && is_usable(store))) return ENOSPC;
  weir_store_fail(store, "commit", rc);
  return rc;
}

weir_status weir_commit_alone(weir_store *store,
                              int (*change)(weir_store *store, MDB_txn *txn, void *context),
                              void *context, char message[WEIR_MESSAGE_MAX]) {
  pthread_mutex_lock(&store->commit);
  int rc = weir_store_failure(store) != NULL ? MDB_PANIC : commit_alone(store, change, context);
  pthread_mutex_unlock(&store->commit);
  if (rc == 0) return WEIR_OK;
  const char *failure = weir_store_failure(store);
  if (failure != NULL)
    snprintf(message, WEIR_MESSAGE_MAX, "%s", failure);
  else
    snprintf(message, WEIR_MESSAGE_MAX, "store '%.200s': %s", store->path,
             rc == ECANCELED ? "a table is unreadable; restore a backup"
                             : "the disk is full; free some space and try again");
  return failure != NULL ? WEIR_UNAVAILABLE : rc == ECANCELED ? WEIR_CORRUPT : WEIR_FULL;
}
