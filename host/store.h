/* store.h - the durable state of runs: journals, rows, key-value spaces and blobs in one LMDB
 * environment.
 *
 * A store is a value, opened once per process and path under a lock that names its owner, and shared by
 * the hosts of the process; each host has a client of its own. A client collects requests in a batch
 * and submits it once per turn. One writer thread commits all that waits in one transaction and hands
 * the batches back, each request with its outcome: a request is atomic, and acknowledged only after the
 * sync. Reads go straight to the map, on the thread of the client. A failed sync or an I/O error fails
 * the store for good: outcomes are unknown until the process has been started again. */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H
#include "store_record.h"

typedef struct weir_store weir_store;
typedef struct weir_client weir_client;
typedef struct weir_batch weir_batch;

#define WEIR_MESSAGE_MAX 512
#define WEIR_BATCH_BYTES                                                                               \
  (64u << 20) /* a batch beyond this is submitted at once; also what one request may hold */
#define WEIR_REQUEST_OPS 10000

typedef struct {
  bool force; /* open on a file system that does not keep LMDB's promises, or though damage was found */
  size_t map_bytes;        /* address space at first; 0: 64 GiB. Grows by itself */
  size_t log_bytes;        /* the log is cut above this; 0: 64 MiB */
  uint64_t log_entries;    /* or above this; 0: 1,000,000 */
  int64_t sync_delay_ns;   /* tests: what every commit waits before it syncs */
  int64_t housekeeping_ns; /* tests: how often readers of dead processes are cleared; 0: 30 s */
} weir_store_options;

/* Open the folder `path` (made if missing), or a private one in memory for ":memory:".
 * INVALID (not a store, a newer format, a file system), CONFLICT (another process has it), DENIED,
 * FULL, CORRUPT, UNAVAILABLE (what the system says); the message names the path and what to do. */
weir_status weir_store_open(const char *path, const weir_store_options *options, weir_store **store,
                            char message[WEIR_MESSAGE_MAX]);
/* Give back one opening; the last one waits for the queue and closes. */
void weir_store_release(weir_store *store);
const char *weir_store_path(const weir_store *store);
const char *weir_table_name(int table);
/* The version of LMDB, as "0.9.24". */
const char *weir_store_lmdb(void);
/* The number of the latest record that is committed: none that is committed later has a lower one. Any
 * thread. */
uint64_t weir_store_lsn(weir_store *store);
/* Why the store has failed for good, or NULL. Any thread. */
const char *weir_store_failure(weir_store *store);

/* A client calls wake(context), from the writer's thread, when batches are done. */
weir_client *weir_client_new(weir_store *store, void (*wake)(void *context), void *context);
/* Block until nothing of this client is under way. */
void weir_client_wait(weir_client *client);
/* Stops jobs and waits likewise; undone and unfetched batches and jobs are dropped. */
void weir_client_free(weir_client *client);

typedef enum {
  WEIR_OP_DROPPED, /* nothing; what a note becomes when its result overtakes it */
  WEIR_OP_RUN,     /* take a run over: key = run id, epoch. Result: its latest n */
  WEIR_OP_ENTRY,  /* append: key = run id, epoch, value = payload, row and status or empty. Result: n */
  WEIR_OP_PUT,    /* key = table key, long_key, value = payload, expected. Result: version */
  WEIR_OP_DELETE, /* key = table key, expected. Result: 1 if it was there */
  WEIR_OP_BLOB,   /* key = hash, value = content */
  WEIR_OP_FORGET, /* remove a run: key = run id, value = the statuses that say that it has ended, each
                   * with a zero after it; none: a journal without a row. Result: how many entries it
                   * had */
  WEIR_OP_SWEEP,  /* of a sweep alone: key = hashes of blobs, expected = put at this time at the latest,
                   * in  milliseconds. Result: how many nobody refers to, and were removed */
  WEIR_OP_ROW,    /* replace the row: key = run id, epoch, row and status. Result: latest n */
  WEIR_OP_ADD,    /* add to an integer, from 0: key, long_key, value = what is added, packed; expected =
                   * the most that the sum may be, or WEIR_ANY_VERSION. Result: the sum */
} weir_op_kind;

typedef struct {
  uint32_t at; /* offset in the batch's bytes */
  uint32_t size;
} weir_span;

#define WEIR_ANY_VERSION UINT64_MAX

typedef struct {
  weir_op_kind kind;
  uint32_t epoch;
  bool release; /* entry, row: fold the run and keep nothing of it in memory; it has ended, or is parked
                 */
  uint64_t expected; /* put, delete: the version there must be, 0 for none, or WEIR_ANY_VERSION */
  uint64_t result;
  uint64_t freed; /* sweep: bytes */
  weir_span key, long_key, value, row, status;
} weir_op;

typedef struct {
  uint32_t first_op, ops;
  bool reserve;       /* may use the space kept back for when the disk is full */
  weir_status status; /* the outcome */
  uint32_t failed_op; /* position within the request, when one was refused */
  char *message;      /* for a person, or NULL; freed with the batch unless taken */
  void *owner;        /* the client's */
} weir_request;

struct weir_batch {
  weir_client *client;
  weir_batch *next;
  weir_op *op;
  weir_request *request;
  uint32_t ops, op_capacity, requests, request_capacity;
  weir_buffer bytes;
  uint64_t serial; /* of this client, from 1 */
  uint64_t now_ms; /* wall clock when submitted */
};

/* The batch under construction; NULL when memory ran out. Client's thread, as all below. */
weir_batch *weir_client_batch(weir_client *client);
/* Room for one more operation, all zero but expected = any; NULL when memory ran out. Not part of a
 * request until weir_batch_request. */
weir_op *weir_batch_op(weir_batch *batch);
/* Make the operations from first_op on one request. */
weir_request *weir_batch_request(weir_batch *batch, uint32_t first_op, void *owner);
/* Copy bytes into the batch. */
weir_span weir_batch_bytes(weir_batch *batch, const void *bytes, size_t size);
/* Hand the batch under construction to the writer, or commit it here and now. Nothing happens if it
 * holds no request. */
void weir_client_submit(weir_client *client, uint64_t now_ms);
void weir_client_commit(weir_client *client, uint64_t now_ms);
/* The batches that are done, oldest first, linked by next; give each back. */
weir_batch *weir_client_done(weir_client *client);
void weir_client_recycle(weir_client *client, weir_batch *batch);

/* Reads. Each sees one moment of the store and copies into the caller's buffer (cleared first), so that
 * nothing stays open. `message` says where, for CORRUPT. All may give UNAVAILABLE once the store has
 * failed. */
typedef struct {
  uint32_t at, size; /* in the buffer */
  uint32_t id_at, id_size;
  uint64_t number; /* n of an entry, version of a key */
} weir_found;

typedef struct {
  weir_buffer bytes;
  weir_buffer found; /* array of weir_found */
  weir_buffer scratch;
  char message[WEIR_MESSAGE_MAX];
} weir_result;
void weir_result_free(weir_result *result);
static inline uint32_t weir_result_count(const weir_result *result) {
  return (uint32_t)(result->found.size / sizeof(weir_found));
}
weir_found weir_result_at(const weir_result *result, uint32_t i);

/* The entries of a run with n above after_n, at most `limit`: payloads as they were appended, blobs
 * resolved. NOT_FOUND when the run has neither entries nor row. */
weir_status weir_store_entries(weir_client *client, weir_slice run, uint64_t after_n, uint32_t limit,
                               weir_result *result);
/* The run's row: one found. */
weir_status weir_store_row(weir_client *client, weir_slice run, weir_result *result);

typedef struct {
  weir_slice status; /* empty: all runs */
  weir_slice after;  /* run id to go on from, or empty */
  uint32_t limit;
  bool reverse;
  bool damaged; /* a damaged row is found too, with nothing in it (`size` 0); else it is CORRUPT */
  weir_slice contains; /* bytes that a row has to contain, or empty: all fit */
  uint32_t looks;      /* rows that may be looked at, or 0: any number. Where that ends the listing, the
                        * last found is the run looked at last, with nothing in it and WEIR_RUN_REST */
} weir_run_query;
#define WEIR_RUN_REST UINT64_MAX /* as a `number`: there may be more behind this run */
weir_status weir_store_runs(weir_client *client, const weir_run_query *query, weir_result *result);

/* Ids of journals that have entries, with a row or without, in order: those after `after`. */
weir_status weir_store_journals(weir_client *client, weir_slice after, uint32_t limit,
                                weir_result *result);

weir_status weir_store_get(weir_client *client, weir_slice space, weir_slice key, weir_result *result);

typedef struct {
  weir_slice space;
  weir_slice prefix;                  /* of the key, or empty */
  weir_slice from;                    /* first key, or empty */
  weir_slice to;                      /* last key, or empty */
  bool has_to, after_from, before_to; /* after_from: without `from` itself */
  weir_slice behind; /* go on behind this key, the last of a page, in the order of a scan */
  bool has_behind;
  uint32_t limit;
  bool reverse;
  bool damaged; /* a damaged record is found too, with nothing in it; one with a long key is left out */
} weir_scan_query;
/* In order of the keys' bytes; only keys that agree in their first 400 bytes come in any order, if one
 * of them is longer than LMDB's. */
weir_status weir_store_scan(weir_client *client, const weir_scan_query *query, weir_result *result);
weir_status weir_store_blob(weir_client *client, const uint8_t hash[WEIR_HASH_SIZE],
                            weir_result *result);

/* Read every record. Each damage found is one found with its text; counts[table] records were read. */
weir_status weir_store_verify(weir_client *client, uint64_t counts[WEIR_TABLES], weir_result *result);

#define WEIR_COMMIT_BUCKETS 16 /* bucket i: commits of at most 32 us * 2^i; the last one the rest */

typedef struct {
  uint64_t commits, entries, requests, bytes; /* since the store was opened */
  uint64_t refused_full, damaged, readers_cleared;
  uint64_t commit_ns, commit_buckets[WEIR_COMMIT_BUCKETS];
  uint64_t map_bytes, used_bytes, log_entries, log_bytes, heads;
} weir_store_stats;
void weir_store_statistics(weir_store *store, weir_store_stats *stats);
#endif
