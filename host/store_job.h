/* store_job.h - work on a whole store that takes long: backup, sweep, rebuild.
 *
 * A job runs on a thread of its own, beside the writer, and is handed back to its client when it is
 * done. It can be stopped, and ends then within some ten milliseconds. Client's thread, but for what
 * says otherwise. */
#ifndef WEIR_STORE_JOB_H
#define WEIR_STORE_JOB_H
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"

typedef enum {
  /* Copy the store, compacted and as it is at one moment, into the new folder `path`, which is there
   * only once it is whole. result: bytes. TIMEOUT (the copy holds back what LMDB could use again),
   * CONFLICT (`path` exists), NOT_FOUND (its parent does not), DENIED, FULL, UNAVAILABLE. */
  WEIR_JOB_BACKUP,
  /* Remove blobs that nobody refers to and that were put before now_ms - young_ms. It goes on where
   * the sweep before it left off, and looks at `budget` of them. result: looked at, removed, bytes,
   * 1 when it came to the end. CONFLICT (one is under way), CORRUPT (what is damaged may refer to
   * any). */
  WEIR_JOB_SWEEP,
  /* Make the index of statuses and the sums of the tables anew from the records. No commit goes on
   * meanwhile. result: records by table, and how many are damaged. */
  WEIR_JOB_REBUILD,
} weir_job_kind;

#define WEIR_JOB_RESULTS (WEIR_TABLES + 1)

typedef struct weir_job weir_job;
struct weir_job {
  weir_job_kind kind;
  char *path; /* backup; freed with the job */
  int64_t timeout_ns;
  int64_t delay_ns; /* tests: how long a backup waits before each piece that it writes */
  uint64_t now_ms, young_ms;
  uint32_t budget;
  void *owner; /* the client's */

  weir_status status; /* the outcome; CANCELLED when it was stopped */
  char message[WEIR_MESSAGE_MAX];
  uint64_t result[WEIR_JOB_RESULTS];

  weir_client *client; /* the rest is the mechanism's */
  weir_job *next;
  pthread_t thread;
  atomic_bool stopping;
};

/* All zero but the kind; NULL when memory ran out. */
weir_job *weir_job_new(weir_job_kind kind);
void weir_job_free(weir_job *job);
/* The client has it until it is done. False: the system has no thread to give. */
bool weir_job_start(weir_client *client, weir_job *job);
void weir_job_stop(weir_job *job);               /* any thread */
void weir_client_stop_jobs(weir_client *client); /* all that are under way */
/* Those that are done, oldest first, linked by next. */
weir_job *weir_client_jobs(weir_client *client);
#endif
