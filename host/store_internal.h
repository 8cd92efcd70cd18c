/* store_internal.h - what the files of the store share; nobody else includes it.
 *
 * Locks, in the order in which they are taken: commit (one transaction at a time), map (readers share
 * it, growing the map takes it alone), heads (heads, tail and statistics; never held over a sync),
 * queue, client. */
#ifndef WEIR_STORE_INTERNAL_H
#define WEIR_STORE_INTERNAL_H
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"
#include "store_job.h"

/* The journal of one run that somebody is writing. */
typedef struct weir_head weir_head;
struct weir_head {
  weir_head *next;          /* in its bucket */
  weir_head *older, *newer; /* among heads with unfolded entries, by their first LSN */
  uint64_t n;               /* latest entry, 0: none */
  uint32_t crc;             /* of that entry */
  uint32_t epoch;
  bool loaded;         /* n and crc are known; epoch always is */
  bool damaged;        /* takes no more entries */
  bool opened;         /* somebody took the run over: its epoch is known here only */
  uint64_t folded_lsn; /* of the last entry in a segment */
  uint32_t unfolded, capacity;
  uint64_t *lsn; /* of unfolded entries */
  size_t unfolded_bytes;
  uint64_t *moved; /* what the transaction under way folds, for those who read the state before it */
  uint32_t moved_count;
  uint64_t moved_txn;
  bool settling; /* is in the list of those that wait for the transaction's commit */
  bool released; /* then goes */
  weir_head *next_settling;
  uint8_t id_size;
  uint8_t id[WEIR_RUN_ID_MAX];
};

typedef struct weir_sweep_state weir_sweep_state;

typedef struct {
  weir_head **bucket;
  size_t buckets, count; /* buckets: a power of two */
  weir_head *oldest, *newest;
  weir_head *settling;
} weir_heads;

struct weir_store {
  weir_store *next_open; /* in the list of open stores */
  unsigned openings;
  char *path;             /* as given */
  char *folder;           /* where the files are */
  uint64_t device, inode; /* of the folder */
  int owner;              /* descriptor of the owner file */
  int seal;               /* and of the seal, or -1 */
  weir_store_options options;

  MDB_env *env;
  MDB_dbi main, table[WEIR_TABLES];
  size_t page_size;
  pthread_rwlock_t map;
  pthread_mutex_t commit;

  pthread_mutex_t heads_lock;
  weir_heads heads;
  weir_tail tail; /* of the transaction under way; next_lsn never goes back */
  weir_tail committed;
  uint64_t log_bytes; /* records in the log */
  uint64_t committed_log_bytes;
  uint64_t cut_credit; /* entries added since the log was cut */
  weir_store_stats stats;

  weir_buffer record; /* the committing thread's */
  weir_buffer payload;
  weir_buffer blob;
  uint64_t added; /* journal entries of the transaction under way */

  pthread_mutex_t queue_lock;
  pthread_cond_t queue_ready;
  _Atomic(weir_batch *) queue;
  weir_batch *queue_last;
  bool writer_sleeps, has_writer;
  atomic_bool stopping;
  pthread_t writer;
  _Atomic(const char *) failure; /* the text below, once it is there */
  char failure_text[WEIR_MESSAGE_MAX];
  bool has_reserve;
  atomic_bool copies_must_end;   /* somebody waits to make the map grow */
  weir_sweep_state *sweep;       /* heads_lock; NULL: none is under way */
  bool sweeping;                 /* heads_lock */
  bool has_swept;                /* whoever sweeps has this and the next */
  uint8_t swept[WEIR_HASH_SIZE]; /* the last blob that was looked at */
};

struct weir_client {
  weir_store *store;
  void (*wake)(void *context);
  void *context;
  MDB_txn *reader; /* reset between reads */
  weir_batch *building, *spare;
  unsigned spares;
  uint64_t serial;
  pthread_mutex_t lock;
  pthread_cond_t idle;
  weir_batch *done, *done_last;
  uint64_t in_flight;  /* batches submitted and not yet fetched */
  uint64_t unfinished; /* batches submitted and jobs started, and not yet done */
  weir_job *jobs, *jobs_done;
};

static inline MDB_val weir_val(weir_slice slice) {
  MDB_val val = { slice.size, (void *)(uintptr_t)slice.bytes };
  return val;
}

static inline weir_slice weir_slice_of(MDB_val val) {
  return (weir_slice){ val.mv_data, val.mv_size };
}

/* store_head.c: heads by run id. heads_lock is held. */
bool weir_heads_init(weir_heads *heads);
void weir_heads_free(weir_heads *heads);
weir_head *weir_heads_find(const weir_heads *heads, weir_slice run);
weir_head *weir_heads_add(weir_heads *heads, weir_slice run); /* NULL: out of memory */
bool weir_head_note(weir_heads *heads, weir_head *head, uint64_t lsn, size_t bytes);
/* Nothing is unfolded any more, as from the transaction's commit on. False: out of memory. */
bool weir_head_moved(weir_heads *heads, weir_head *head, uint64_t txn);
void weir_head_release(weir_heads *heads, weir_head *head); /* it goes with the commit */
void weir_heads_settle(weir_heads *heads);                  /* the transaction has been committed */
void weir_heads_remove(weir_heads *heads, weir_head *head);
/* Rebuild all heads from the log in the transaction: 0, or LMDB's error. Counts damage in stats. *lost
 * is set if records are missing. */
int weir_heads_scan(weir_store *store, MDB_txn *txn, bool *lost);
/* Fill in n and crc from the last segment: OK, CORRUPT, or UNAVAILABLE (*rc is LMDB's error). */
weir_status weir_head_load(weir_store *store, MDB_txn *txn, weir_head *head, int *rc);

/* store_map.c: access to LMDB that does not trust what is on disk. */
int weir_map_get(weir_store *store, MDB_txn *txn, int table, weir_slice key, weir_slice *record);
bool weir_map_sane(const weir_store *store, MDB_val val); /* the value lies within its page or pages */
int weir_map_put(weir_store *store, MDB_txn *txn, int table, weir_slice key,
                 weir_slice record); /* keeps the tail */
int weir_map_delete(weir_store *store, MDB_txn *txn, int table, weir_slice key);
/* No transaction of this thread is open. If it is not urgent, nothing happens while somebody reads. */
bool weir_map_grow(weir_store *store, size_t needed, bool urgent);
/* Begin to read, or renew the reader that *txn is: 0 or LMDB's error. The map is locked. */
int weir_reader_begin(weir_store *store, MDB_txn **txn);
void weir_readers_clear(weir_store *store); /* those of processes that are gone */
/* A key was not found: true when its neighbours are undamaged and in order, so that it really is
 * absent. */
bool weir_map_is_absent(weir_store *store, MDB_txn *txn, int table, weir_slice key);
bool weir_map_check(int table, weir_slice key, weir_slice record); /* the record's crc is right */

/* store_write.c: one transaction's work. 0 or LMDB's error, after which the transaction must be
 * aborted. */
int weir_write_batch(weir_store *store, MDB_txn *txn, weir_batch *batch, bool only_reserve);
void weir_request_fail(weir_request *request, weir_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* store_fold.c */
int weir_fold(weir_store *store, MDB_txn *txn, weir_head *head);
int weir_cut(weir_store *store, MDB_txn *txn);

/* store_forget.c: check that all of the run can be read (else CORRUPT, or UNAVAILABLE and *rc); remove
 * it, with its head once the transaction is committed. */
weir_status weir_forget_check(weir_store *store, MDB_txn *txn, weir_slice run, int *rc);
int weir_forget(weir_store *store, MDB_txn *txn, weir_head *head);

/* store_sweep.c, for the writer: what a sweep that is under way must not remove. */
void weir_sweep_keep_blob(weir_store *store, weir_slice hash);
void weir_sweep_keep_value(weir_store *store, weir_slice value); /* of a key, or a row */
void weir_sweep_keep_key(weir_store *store, weir_slice key);     /* without its space */
void weir_sweep_keep_entry(weir_store *store, weir_slice payload);
int weir_sweep_remove(weir_store *store, MDB_txn *txn, weir_slice hashes, uint64_t oldest_ms,
                      uint64_t *removed, uint64_t *bytes);

/* store_job.c; store_backup.c, store_sweep.c, store_rebuild.c: on the job's thread. */
weir_status weir_job_fail(weir_job *job, weir_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
weir_status weir_job_check(weir_job *job); /* the store has failed, or the job was stopped */
weir_status weir_backup(weir_job *job);
weir_status weir_sweep(weir_job *job);
weir_status weir_rebuild(weir_job *job);

/* store_commit.c: commit linked batches and set every outcome; the commit lock is held. */
void weir_commit(weir_store *store, weir_batch *first);
/* Commit what `change` does, alone; it may be called again after a failure. It takes the heads' lock
 * where it needs it. ECANCELED of it: the store is unreadable, CORRUPT. Else FULL or UNAVAILABLE. */
weir_status weir_commit_alone(weir_store *store,
                              int (*change)(weir_store *store, MDB_txn *txn, void *context),
                              void *context, char message[WEIR_MESSAGE_MAX]);
void weir_store_fail(weir_store *store, const char *what, int rc);
int weir_tail_put(weir_store *store, MDB_txn *txn); /* write the tail into the transaction */

/* store_writer.c */
bool weir_writer_start(weir_store *store);
void weir_writer_stop(weir_store *store);
void weir_writer_submit(weir_store *store, weir_batch *batch);
void weir_give_back(weir_batch *first);
void weir_free_batches(weir_batch *first);

/* store_owner.c, store_folder.c */
weir_status weir_owner_take(const char *folder, const char *shown, int *descriptor,
                            char message[WEIR_MESSAGE_MAX]);
weir_status weir_folder_prepare(weir_store *store, char message[WEIR_MESSAGE_MAX]);
int weir_folder_sync(const weir_store *store); /* the names in it, and its own: 0 or errno */
void weir_reserve_make(weir_store *store);
bool weir_reserve_use(weir_store *store); /* false if there is none */

/* store_verify.c. False if a table's records are not those of the last commit and no damaged one
 * explains it; the index of statuses is told apart, because it can be rebuilt from the rows. */
bool weir_verify_sums(weir_store *store, MDB_txn *txn, bool *index_is_good);
int weir_rebuild_index(weir_store *store, MDB_txn *txn);

/* The number of the last commit that was acknowledged, kept beside the environment. */
void weir_seal_open(weir_store *store);
uint64_t weir_seal_read(const weir_store *store);
void weir_seal_write(weir_store *store, uint64_t transactions);
void weir_seal_encode(uint8_t bytes[8], uint64_t transactions);

/* store_failpoint.c: does nothing unless compiled with WEIR_TEST. */
#ifdef WEIR_TEST
static inline bool weir_failpoints_on(void) {
  return true;
}
void weir_failpoint(const char *name, uint64_t before,
                    uint64_t after); /* entries before and after what happens here */
bool weir_defect(const char *name);
void weir_acknowledge_early(
    const weir_batch *first); /* the defect: tell the clients before the commit */
#else
static inline bool weir_failpoints_on(void) {
  return false;
}
static inline void weir_failpoint(const char *name, uint64_t before, uint64_t after) {
  (void)name, (void)before, (void)after;
}
static inline bool weir_defect(const char *name) {
  return (void)name, false;
}
static inline void weir_acknowledge_early(const weir_batch *first) {
  (void)first;
}
#endif

uint64_t weir_nanoseconds(void); /* monotonic */
#endif
