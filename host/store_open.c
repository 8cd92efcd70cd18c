/* store_open.c - opens a store: folder, owner, environment, format, and what the log says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"

#ifndef WEIR_VERSION
#define WEIR_VERSION "0.1"
#endif

#define MAP_BYTES ((size_t)64 << 30)
#define MAP_LEAST ((size_t)64 << 20)
#define LOG_BYTES ((size_t)64 << 20)
#define LOG_ENTRIES 1000000
#define READERS 512
#define HOUSEKEEPING_NS INT64_C(30000000000)
#define VERIFIED_BYTES ((size_t)8 << 20) /* a store up to this is read whole when it is opened */
#define FORBIDDEN (MDB_NOSYNC | MDB_NOMETASYNC | MDB_WRITEMAP | MDB_MAPASYNC | MDB_NOLOCK | MDB_RDONLY)

static const char *const table_names[WEIR_TABLES] = {
  "log", "segments", "runs", "status", "blobs", "kv"
};

/* LMDB must not open a file twice in one process, so the open stores of the process are known here; the
 * one place where the process as a whole is meant. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static weir_store *open_stores;

const char *weir_table_name(int table) {
  return table_names[table];
}

const char *weir_store_path(const weir_store *store) {
  return store->path;
}

const char *weir_store_lmdb(void) {
  static const char text[] = "LMDB ";
  const char *version = mdb_version(NULL, NULL, NULL); /* "LMDB 0.9.24: (July 24, 2019)" */
  return strncmp(version, text, sizeof text - 1) == 0 ? version + sizeof text - 1 : version;
}

static weir_status broken(weir_store *store, const char *what, int rc, char message[WEIR_MESSAGE_MAX]) {
  bool damaged = rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ||
                 rc == MDB_BAD_TXN || rc == MDB_BAD_DBI || rc == MDB_NOTFOUND ||
                 rc == MDB_INCOMPATIBLE || rc == MDB_VERSION_MISMATCH || rc == MDB_CURSOR_FULL ||
                 rc == EINVAL;
  snprintf(message, WEIR_MESSAGE_MAX, "store '%s': %s: %s%s", store->path, what, mdb_strerror(rc),
           damaged ? "; the store is damaged: restore a backup, or see 'weir doctor'" : "");
  if (damaged) return WEIR_CORRUPT;
  if (rc == ENOSPC || rc == EDQUOT || rc == MDB_MAP_FULL) return WEIR_FULL;
  return rc == EACCES || rc == EPERM || rc == EROFS ? WEIR_DENIED : WEIR_UNAVAILABLE;
}

static int open_environment(weir_store *store) {
  int rc = mdb_env_create(&store->env);
  if (rc == 0) rc = mdb_env_set_maxdbs(store->env, 16);
  if (rc == 0) rc = mdb_env_set_maxreaders(store->env, READERS);
  if (rc == 0) rc = mdb_env_set_mapsize(store->env, store->options.map_bytes);
  if (rc == 0) rc = mdb_env_open(store->env, store->folder, MDB_NOTLS, 0600);
  if (rc != 0 && store->env != NULL) {
    mdb_env_close(store->env);
    store->env = NULL;
  }
  return rc;
}

/* LMDB writes its first two pages without a sync, and refuses them for good when a power cut has torn
 * them. So they are made, and synced, under another name. */
static int make_environment(const weir_store *store) {
  char path[4096], made[4096];
  snprintf(path, sizeof path, "%s/data.mdb", store->folder);
  snprintf(made, sizeof made, "%s/data.new", store->folder);
  if (store->inode == 0 || access(path, F_OK) == 0) return 0; /* in memory, or there */
  MDB_env *env;
  unlink(made); /* of somebody who was interrupted */
  int rc = mdb_env_create(&env);
  if (rc != 0) return rc;
  rc = mdb_env_open(env, made, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
  if (rc == 0) rc = mdb_env_sync(env, 1);
  mdb_env_close(env);
  if (rc == 0 && rename(made, path) != 0) rc = errno;
  if (rc != 0) unlink(made);
  return rc;
}

/* Where address space is limited (ulimit -v), take less of it. */
static int open_some_environment(weir_store *store) {
  int rc = open_environment(store);
  while (rc == ENOMEM && store->options.map_bytes > MAP_LEAST) {
    store->options.map_bytes /= 2;
    rc = open_environment(store);
  }
  return rc;
}

/* The flags decide whether an acknowledged commit survives a power cut; no environment variable or
 * later call may weaken them. */
static bool flags_are_safe(weir_store *store) {
  unsigned flags = 0;
  return mdb_env_get_flags(store->env, &flags) == 0 && (flags & FORBIDDEN) == 0 &&
         (flags & MDB_NOTLS) != 0;
}

static weir_status check_format(weir_store *store, MDB_val value, char message[WEIR_MESSAGE_MAX]) {
  const uint8_t *at = value.mv_data;
  uint32_t format = value.mv_size < 4 ? 0
                                      : (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                            (uint32_t)at[3] << 24;
  if (format == WEIR_STORE_FORMAT) return WEIR_OK;
  int version = value.mv_size > 4 && value.mv_size < 68 ? (int)value.mv_size - 4 : 0;
  if (format > WEIR_STORE_FORMAT)
    snprintf(message, WEIR_MESSAGE_MAX,
             "store '%s' has format %u, written by '%.*s'; this is weir " WEIR_VERSION
             ", which reads format %d: use the newer weir, or another --store",
             store->path, format, version, (const char *)at + 4, WEIR_STORE_FORMAT);
  else
    snprintf(message, WEIR_MESSAGE_MAX,
             "store '%s': its format is unreadable; the store is damaged: restore a backup",
             store->path);
  return format > WEIR_STORE_FORMAT ? WEIR_INVALID : WEIR_CORRUPT;
}

/* Read only: a store from the future is left as it is. *is_new: there is nothing yet. */
static weir_status read_format(weir_store *store, MDB_txn *txn, bool *is_new,
                               char message[WEIR_MESSAGE_MAX]) {
  MDB_val key = { 11, (void *)(uintptr_t) "weir.format" }, value;
  MDB_stat stat;
  int rc = mdb_dbi_open(txn, NULL, 0, &store->main);
  if (rc == 0) rc = mdb_stat(txn, store->main, &stat);
  if (rc != 0) return broken(store, "cannot read it", rc, message);
  *is_new = stat.ms_entries == 0;
  if (*is_new) return WEIR_OK;
  rc = mdb_get(txn, store->main, &key, &value);
  if (rc == MDB_NOTFOUND) {
    snprintf(message, WEIR_MESSAGE_MAX,
             "'%s' holds an LMDB environment that is no store of weir; use another --store",
             store->path);
    return WEIR_INVALID;
  }
  if (rc != 0) return broken(store, "cannot read its format", rc, message);
  return check_format(store, value, message);
}

static int open_tables(weir_store *store, MDB_txn *txn, unsigned create) {
  int rc = mdb_dbi_open(txn, NULL, 0, &store->main);
  for (int i = 0; i < WEIR_TABLES && rc == 0; i++)
    rc = mdb_dbi_open(txn, table_names[i], create | (i == WEIR_LOG ? MDB_INTEGERKEY : 0u),
                      &store->table[i]);
  return rc;
}

static int make_tables(weir_store *store) {
  static const char format[] = "\1\0\0\0weir " WEIR_VERSION;
  MDB_val key = { 11, (void *)(uintptr_t) "weir.format" },
          value = { sizeof format - 1, (void *)(uintptr_t)format };
  MDB_txn *txn;
  int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  rc = open_tables(store, txn, MDB_CREATE);
  store->tail.next_lsn = 1;
  if (rc == 0) rc = mdb_put(txn, store->main, &key, &value, 0);
  if (rc == 0) rc = weir_tail_put(store, txn);
  if (rc == 0) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

static weir_status doubtful(weir_store *store, const char *what, char message[WEIR_MESSAGE_MAX]) {
  snprintf(message, WEIR_MESSAGE_MAX,
           "store '%s': %s; the store is damaged: restore a backup, or open it with force to save what "
           "can be read",
           store->path, what);
  return store->options.force ? WEIR_OK : WEIR_CORRUPT;
}

/* Every transaction leaves behind how many records each table holds. */
static weir_status check_tail(weir_store *store, MDB_txn *txn, char message[WEIR_MESSAGE_MAX]) {
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value;
  int rc = mdb_get(txn, store->main, &key, &value);
  if (rc != 0 || weir_tail_read(weir_slice_of(value), &store->tail) != WEIR_OK)
    return doubtful(store, "its summary is unreadable", message);
  if (store->tail.transactions != mdb_txn_id(txn) || store->tail.transactions < weir_seal_read(store)) {
    weir_status status = doubtful(
        store, "it is older than what was acknowledged (an old copy, or a damaged meta page)", message);
    if (status != WEIR_OK) return status;
  }
  for (int i = 0; i < WEIR_TABLES; i++) {
    MDB_stat stat;
    rc = mdb_stat(txn, store->table[i], &stat);
    if (rc != 0) return broken(store, table_names[i], rc, message);
    if (stat.ms_entries == store->tail.records[i]) continue;
    weir_status status = doubtful(store, "a table does not hold as many records as it should", message);
    if (status != WEIR_OK) return status;
  }
  return WEIR_OK;
}

/* Reading all of a small store takes a few milliseconds; a larger one is read by `weir doctor`. */
static bool is_small(const weir_store *store) {
  MDB_envinfo info;
  mdb_env_info(store->env, &info);
  return (info.me_last_pgno + 1) * store->page_size <= VERIFIED_BYTES;
}

static weir_status read_log(weir_store *store, MDB_txn *txn, bool *index_is_good,
                            char message[WEIR_MESSAGE_MAX]) {
  bool lost;
  *index_is_good = true;
  weir_status status = check_tail(store, txn, message);
  if (status != WEIR_OK) return status;
  int rc = weir_heads_scan(store, txn, &lost);
  if (rc != 0) return broken(store, "cannot read its log", rc, message);
  if (lost) status = doubtful(store, "records of its log are missing", message);
  if (status == WEIR_OK && is_small(store) && !weir_verify_sums(store, txn, index_is_good))
    status = doubtful(store, "its records are not those of the last commit", message);
  store->committed = store->tail;
  return status;
}

static weir_status rebuild_index(weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
  if (rc != 0) return broken(store, "cannot write to it", rc, message);
  if ((rc = weir_rebuild_index(store, txn)) == 0)
    rc = mdb_txn_commit(txn);
  else
    mdb_txn_abort(txn);
  if (rc != 0) return broken(store, "cannot rebuild its index of statuses", rc, message);
  store->committed = store->tail;
  weir_seal_write(store, store->tail.transactions);
  return WEIR_OK;
}

static weir_status recover(weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  MDB_txn *txn;
  bool is_new = false, index_is_good = true;
  int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
  if (rc != 0) return broken(store, "cannot read it", rc, message);
  weir_status status = read_format(store, txn, &is_new, message);
  mdb_txn_abort(txn);
  if (status != WEIR_OK) return status;
  if (is_new) { /* the names first: what has tables is never without one */
    rc = weir_folder_sync(store);
    if (rc == 0) rc = make_tables(store);
    if (rc != 0) return broken(store, "cannot write to it", rc, message);
  }
  if ((rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)) != 0)
    return broken(store, "cannot read it", rc, message);
  rc = is_new ? 0 : open_tables(store, txn, 0);
  status = rc != 0 ? broken(store, "cannot open its tables", rc, message)
                   : read_log(store, txn, &index_is_good, message);
  if (rc != 0)
    mdb_txn_abort(txn);
  else if ((rc = mdb_txn_commit(txn)) != 0 && status == WEIR_OK) /* keeps the tables open */
    status = broken(store, "cannot open its tables", rc, message);
  return status == WEIR_OK && !index_is_good ? rebuild_index(store, message) : status;
}

static void unlink_files(const weir_store *store) {
  static const char *const names[] = { "data.mdb", "lock.mdb", "owner" };
  char path[4096];
  for (size_t i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", store->folder, names[i]);
    unlink(path);
  }
  rmdir(store->folder);
}

static void free_store(weir_store *store) {
  bool in_memory = store->inode == 0 && store->folder != NULL;
  if (store->env != NULL) mdb_env_close(store->env);
  if (in_memory) unlink_files(store);
  if (store->seal >= 0) close(store->seal);
  if (store->owner >= 0) close(store->owner);
  weir_heads_free(&store->heads);
  weir_buffer_free(&store->record);
  weir_buffer_free(&store->payload);
  weir_buffer_free(&store->blob);
  free(store->folder);
  free(store->path);
  free(store);
}

static weir_store *new_store(const char *path, const weir_store_options *options) {
  weir_store *store = calloc(1, sizeof *store);
  if (store == NULL) return NULL;
  store->owner = store->seal = -1;
  store->openings = 1;
  if (options != NULL) store->options = *options;
  if (store->options.map_bytes == 0) store->options.map_bytes = MAP_BYTES;
  if (store->options.log_bytes == 0) store->options.log_bytes = LOG_BYTES;
  if (store->options.housekeeping_ns == 0) store->options.housekeeping_ns = HOUSEKEEPING_NS;
  if (store->options.log_entries == 0) store->options.log_entries = LOG_ENTRIES;
  pthread_rwlock_init(&store->map, NULL);
  pthread_mutex_init(&store->commit, NULL);
  pthread_mutex_init(&store->heads_lock, NULL);
  pthread_mutex_init(&store->queue_lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&store->queue_ready, &attributes);
  pthread_condattr_destroy(&attributes);
  store->path = strdup(path);
  if (store->path != NULL && weir_heads_init(&store->heads)) return store;
  free_store(store);
  return NULL;
}

static weir_store *find_open(const weir_store *like) {
  weir_store *store = open_stores;
  while (store != NULL &&
         (store->inode == 0 || store->inode != like->inode || store->device != like->device))
    store = store->next_open;
  return store;
}

static weir_status start(weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  weir_status status = weir_owner_take(store->folder, store->path, &store->owner, message);
  if (status != WEIR_OK) return status;
  weir_seal_open(store);
  int rc = make_environment(store);
  if (rc == 0) rc = open_some_environment(store);
  if (rc != 0) return broken(store, "cannot open it", rc, message);
  if (!flags_are_safe(store))
    return broken(store, "LMDB's flags are not the safe ones", EINVAL, message);
  MDB_stat stat;
  mdb_env_stat(store->env, &stat);
  store->page_size = stat.ms_psize;
  weir_readers_clear(store);
  status = recover(store, message);
  if (status != WEIR_OK) return status;
  if (store->inode == 0) unlink_files(store);
  weir_reserve_make(store);
  if (weir_writer_start(store)) return WEIR_OK;
  snprintf(message, WEIR_MESSAGE_MAX, "store '%s': cannot start its thread: %s", store->path,
           strerror(errno));
  return WEIR_UNAVAILABLE;
}

static weir_status open_locked(weir_store **store, char message[WEIR_MESSAGE_MAX]) {
  weir_status status = weir_folder_prepare(*store, message);
  weir_store *other = status == WEIR_OK && (*store)->inode != 0 ? find_open(*store) : NULL;
  if (other != NULL) {
    free_store(*store);
    other->openings++;
    *store = other;
    return WEIR_OK;
  }
  if (status == WEIR_OK) status = start(*store, message);
  if (status != WEIR_OK) return status;
  (*store)->next_open = open_stores;
  open_stores = *store;
  return WEIR_OK;
}

weir_status weir_store_open(const char *path, const weir_store_options *options, weir_store **store,
                            char message[WEIR_MESSAGE_MAX]) {
  message[0] = '\0';
  weir_store *made = new_store(path, options);
  if (made == NULL) {
    snprintf(message, WEIR_MESSAGE_MAX, "store '%s': out of memory", path);
    return WEIR_UNAVAILABLE;
  }
  pthread_mutex_lock(&open_lock);
  weir_status status = open_locked(&made, message);
  if (status != WEIR_OK) free_store(made);
  pthread_mutex_unlock(&open_lock);
  if (status == WEIR_OK) *store = made;
  return status;
}

void weir_store_release(weir_store *store) {
  pthread_mutex_lock(&open_lock);
  if (--store->openings == 0) {
    weir_store **at = &open_stores;
    while (*at != store) at = &(*at)->next_open;
    *at = store->next_open;
    weir_writer_stop(store);
    free_store(store);
  }
  pthread_mutex_unlock(&open_lock);
}

uint64_t weir_store_lsn(weir_store *store) {
  pthread_mutex_lock(&store->heads_lock);
  uint64_t next_lsn = store->committed.next_lsn;
  pthread_mutex_unlock(&store->heads_lock);
  return next_lsn - 1;
}

void weir_store_statistics(weir_store *store, weir_store_stats *stats) {
  MDB_envinfo info;
  pthread_rwlock_rdlock(&store->map);
  mdb_env_info(store->env, &info);
  pthread_rwlock_unlock(&store->map);
  pthread_mutex_lock(&store->heads_lock);
  *stats = store->stats;
  stats->log_entries = store->committed.records[WEIR_LOG];
  stats->log_bytes = store->committed_log_bytes;
  stats->heads = store->heads.count;
  pthread_mutex_unlock(&store->heads_lock);
  stats->map_bytes = info.me_mapsize;
  stats->used_bytes = (info.me_last_pgno + 1) * store->page_size;
}
