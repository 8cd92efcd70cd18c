/* store_backup.c - copies a store while it is in use.
 *
 * LMDB writes the copy, of one moment and without unused pages, into a pipe, on a thread of its own;
 * the job's thread takes it from there to the file. So the job sees the clock, a full disk and a
 * request to stop, and ends the copy by closing the pipe. That matters because the copy is a long
 * reader: meanwhile no page that is freed can be used again, and the map cannot grow.
 *
 * The copy is made beside its place and renamed when it is whole and synced. LMDB begins to number its
 * transactions anew in a compacted copy; the tail and the seal are made to agree. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store_internal.h"
#include "store_job.h"

#define PIECE (1u << 20)
#define LOOK_EVERY_MS 20
#define PATH_MAX_BYTES 3900

typedef struct {
  weir_job *job;
  weir_store *store;
  char folder[PATH_MAX_BYTES + 100]; /* where the copy is made */
  int file;
  int ends[2]; /* of the pipe: read, write */
  int copied;  /* what LMDB said */
  uint64_t until_ns;
  uint64_t bytes;
  uint8_t *piece;
} copying;

static weir_status refuse(copying *c, const char *what, int reason) {
  weir_status status = reason == ENOENT || reason == ENOTDIR                    ? WEIR_NOT_FOUND
                       : reason == EEXIST || reason == ENOTEMPTY                ? WEIR_CONFLICT
                       : reason == ENOSPC || reason == EDQUOT                   ? WEIR_FULL
                       : reason == EACCES || reason == EPERM || reason == EROFS ? WEIR_DENIED
                                                                                : WEIR_UNAVAILABLE;
  const char *advice = status == WEIR_CONFLICT    ? "; name a folder that does not exist yet"
                       : status == WEIR_NOT_FOUND ? "; make the folder that is to hold it"
                       : status == WEIR_FULL      ? "; free some space and try again"
                                                  : "";
  return weir_job_fail(c->job, status, "backup '%.200s': cannot %s: %s%s", c->job->path, what,
                       mdb_strerror(reason), advice);
}

static weir_status refuse_late(copying *c) {
  return weir_job_fail(c->job, WEIR_TIMEOUT,
                       "backup '%.200s': not done after %.3g s and %llu bytes; give it more time",
                       c->job->path, (double)c->job->timeout_ns * 1e-9, (unsigned long long)c->bytes);
}

/* Is there a reason to end before the copy is whole? */
static weir_status look(copying *c) {
  weir_status status = weir_job_check(c->job);
  if (status != WEIR_OK) return status;
  if (atomic_load(&c->store->copies_must_end))
    return weir_job_fail(c->job, WEIR_UNAVAILABLE,
                         "backup '%.200s': the store had to grow meanwhile; try again", c->job->path);
  return weir_nanoseconds() >= c->until_ns ? refuse_late(c) : WEIR_OK;
}

static weir_status make_folder(copying *c) {
  struct stat info;
  size_t size = strlen(c->job->path);
  while (size > 1 && c->job->path[size - 1] == '/') c->job->path[--size] = '\0';
  if (size > PATH_MAX_BYTES) return refuse(c, "use that name", ENAMETOOLONG);
  if (lstat(c->job->path, &info) == 0) return refuse(c, "make it", EEXIST);
  snprintf(c->folder, sizeof c->folder, "%s.part-XXXXXX", c->job->path);
  if (mkdtemp(c->folder) != NULL) return WEIR_OK;
  int reason = errno;
  c->folder[0] = '\0';
  return refuse(c, "make it", reason);
}

static int open_in(const copying *c, const char *name, int flags) {
  char path[sizeof c->folder + 16];
  snprintf(path, sizeof path, "%s/%s", c->folder, name);
  return open(path, flags | O_CLOEXEC, 0600);
}

static void remove_folder(const copying *c) {
  static const char *const names[] = { "data.mdb", "seal" };
  char path[sizeof c->folder + 16];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", c->folder, names[i]);
    unlink(path);
  }
  rmdir(c->folder);
}

/* LMDB's side; the map stays in its place until it is done. */
static void *write_copy(void *argument) {
  copying *c = argument;
  pthread_rwlock_rdlock(&c->store->map);
  c->copied = mdb_env_copyfd2(c->store->env, c->ends[1], MDB_CP_COMPACT);
  pthread_rwlock_unlock(&c->store->map);
  close(c->ends[1]);
  return NULL;
}

static weir_status write_piece(copying *c, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t wrote = write(c->file, c->piece + at, size - at);
    if (wrote < 0 && errno != EINTR) return refuse(c, "write it", errno);
    if (wrote > 0) at += (size_t)wrote;
  }
  c->bytes += size;
  return WEIR_OK;
}

static void delay(const weir_job *job) {
  struct timespec time = { (time_t)(job->delay_ns / 1000000000), (long)(job->delay_ns % 1000000000) };
  if (job->delay_ns > 0) nanosleep(&time, NULL);
}

/* What comes through the pipe, to its end. */
static weir_status take_copy(copying *c) {
  for (;;) {
    struct pollfd ready = { .fd = c->ends[0], .events = POLLIN };
    weir_status status = look(c);
    if (status != WEIR_OK) return status;
    if (poll(&ready, 1, LOOK_EVERY_MS) <= 0) continue;
    delay(c->job);
    ssize_t size = read(c->ends[0], c->piece, PIECE);
    if (size == 0) return WEIR_OK;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return refuse(c, "read the store", errno);
    status = write_piece(c, (size_t)size);
    if (status != WEIR_OK) return status;
  }
}

static weir_status pump(copying *c) {
  pthread_t writer;
  if (pipe2(c->ends, O_CLOEXEC) != 0) return refuse(c, "make a pipe", errno);
  (void)fcntl(c->ends[1], F_SETPIPE_SZ, PIECE); /* fewer turns, if it is allowed */
  int rc = pthread_create(&writer, NULL, write_copy, c);
  if (rc != 0) {
    close(c->ends[0]);
    close(c->ends[1]);
    return refuse(c, "start a thread", rc);
  }
  weir_status status = take_copy(c);
  close(c->ends[0]); /* ends the other side too, if it has not ended */
  pthread_join(writer, NULL);
  if (status == WEIR_OK && c->copied != 0) status = refuse(c, "copy the store", c->copied);
  return status;
}

static weir_status copy_data(copying *c) {
  c->file = open_in(c, "data.mdb", O_WRONLY | O_CREAT | O_EXCL);
  if (c->file < 0) return refuse(c, "make its file", errno);
  c->piece = malloc(PIECE);
  weir_status status = c->piece == NULL ? refuse(c, "copy it", ENOMEM) : pump(c);
  free(c->piece);
  if (status == WEIR_OK && fsync(c->file) != 0) status = refuse(c, "sync it", errno);
  if (close(c->file) != 0 && status == WEIR_OK) status = refuse(c, "write it", errno);
  return status;
}

/* The copy's tail counts its transactions as LMDB does there; each table has the records it should. */
static int settle_tail(copying *c, MDB_txn *txn) {
  MDB_dbi dbi;
  MDB_stat stat;
  MDB_val key = { 9, (void *)(uintptr_t) "weir.tail" }, value;
  weir_tail tail;
  int rc = mdb_dbi_open(txn, NULL, 0, &dbi);
  if (rc == 0) rc = mdb_get(txn, dbi, &key, &value);
  if (rc == 0 && weir_tail_read(weir_slice_of(value), &tail) != WEIR_OK) rc = MDB_CORRUPTED;
  for (int i = 0; i < WEIR_TABLES && rc == 0; i++) {
    MDB_dbi table;
    rc = mdb_dbi_open(txn, weir_table_name(i), i == WEIR_LOG ? MDB_INTEGERKEY : 0u, &table);
    if (rc == 0) rc = mdb_stat(txn, table, &stat);
    if (rc == 0 && stat.ms_entries != tail.records[i]) rc = MDB_CORRUPTED;
  }
  if (rc != 0) return rc;
  uint8_t bytes[WEIR_TAIL_SIZE], seal[8];
  tail.transactions = mdb_txn_id(txn);
  weir_tail_write(bytes, &tail);
  value = (MDB_val){ sizeof bytes, bytes };
  if ((rc = mdb_put(txn, dbi, &key, &value, 0)) != 0) return rc;
  int file = open_in(c, "seal", O_WRONLY | O_CREAT | O_EXCL);
  if (file < 0) return errno;
  weir_seal_encode(seal, tail.transactions);
  ssize_t wrote = write(file, seal, sizeof seal);
  rc = wrote < 0 ? errno : wrote != sizeof seal ? ENOSPC : fsync(file) != 0 ? errno : 0;
  return close(file) != 0 && rc == 0 ? errno : rc;
}

static int adopt(copying *c) {
  MDB_env *env;
  MDB_txn *txn;
  int rc = mdb_env_create(&env);
  if (rc != 0) return rc;
  rc = mdb_env_set_maxdbs(env, 16);
  if (rc == 0) rc = mdb_env_set_mapsize(env, (size_t)c->bytes + PIECE);
  if (rc == 0)
    rc = mdb_env_open(env, c->folder, MDB_NOLOCK | MDB_NOTLS, 0600); /* it is nobody else's */
  if (rc == 0 && (rc = mdb_txn_begin(env, NULL, 0, &txn)) == 0) {
    if ((rc = settle_tail(c, txn)) == 0)
      rc = mdb_txn_commit(txn);
    else
      mdb_txn_abort(txn);
  }
  mdb_env_close(env);
  return rc;
}

static int sync_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  int rc = fsync(folder) != 0 ? errno : 0;
  close(folder);
  return rc;
}

static int sync_parent(const char *path) {
  char parent[PATH_MAX_BYTES + 8];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (slash == NULL) return sync_folder(".");
  slash[slash == parent] = '\0';
  return sync_folder(parent);
}

/* Where a file system cannot refuse to replace, a folder with something in it is refused all the same.
 */
static int give_name(const copying *c) {
  if (renameat2(AT_FDCWD, c->folder, AT_FDCWD, c->job->path, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  return rename(c->folder, c->job->path) == 0 ? 0 : errno;
}

static weir_status publish(copying *c) {
  int rc = adopt(c);
  if (rc == 0) rc = sync_folder(c->folder);
  if (rc != 0) return refuse(c, "finish it", rc);
  weir_status status = look(c);
  if (status != WEIR_OK) return status;
  if ((rc = give_name(c)) != 0) return refuse(c, "give it its name", rc);
  rc = sync_parent(c->job->path);
  c->folder[0] = '\0'; /* it stays */
  return rc == 0 ? WEIR_OK : refuse(c, "sync the folder that holds it", rc);
}

weir_status weir_backup(weir_job *job) {
  copying c = { .job = job, .store = job->client->store, .until_ns = UINT64_MAX };
  if (job->timeout_ns >= 0) c.until_ns = weir_nanoseconds() + (uint64_t)job->timeout_ns;
  weir_status status = make_folder(&c);
  if (status == WEIR_OK) status = copy_data(&c);
  if (status == WEIR_OK) status = publish(&c);
  if (status != WEIR_OK && c.folder[0] != '\0') remove_folder(&c);
  job->result[0] = c.bytes;
  return status;
}
