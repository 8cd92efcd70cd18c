/* write_log.c - H1: preloaded into a program, logs what it does to the files of one folder.
 *
 *   FAULT_FOLDER  the folder, as realpath(3) gives it
 *   FAULT_LOG     the log (log_format.h); appended to
 *   FAULT_MARKS   a file whose writes are the program's own marks, such as "entry 7 was acknowledged"
 *   FAULT_DROP    `meta`: files opened with O_DSYNC are opened without it, as with MDB_NOMETASYNC;
 *                 `sync`: and no sync is done, as with MDB_NOSYNC. The controls: with them entries
 *                 that were acknowledged must get lost
 *
 * LMDB reaches the file system through open, pwrite, lseek and writev, fdatasync and fsync, ftruncate,
 * all by way of the dynamic linker. What is written through a map is not seen: only lock.mdb is, and
 * LMDB makes that anew. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log_format.h"

#define DESCRIPTORS 4096

typedef enum { NOT_OURS, PLAIN, DSYNC, FOLDER, MARKS } descriptor_kind;

typedef struct {
  descriptor_kind kind;
  uint64_t file;
} descriptor;

static descriptor known[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder, *marks;
static bool drop_meta, drop_sync;
static int log_file = -1;
static uint64_t syncs;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

#define FIND(name) (*(void **)&real_##name = dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
  FIND(open), FIND(close), FIND(write), FIND(writev), FIND(pwrite), FIND(pwritev), FIND(fdatasync);
  FIND(fsync), FIND(ftruncate), FIND(fallocate), FIND(rename), FIND(unlink);
  const char *path = getenv("FAULT_LOG"), *drop = getenv("FAULT_DROP");
  folder = getenv("FAULT_FOLDER");
  marks = getenv("FAULT_MARKS");
  drop_sync = drop != NULL && strcmp(drop, "sync") == 0;
  drop_meta = drop_sync || (drop != NULL && strcmp(drop, "meta") == 0);
  if (path == NULL || folder == NULL) return;
  log_file = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_file < 0) {
    perror(path);
    _exit(70);
  }
}

/* A log with a hole would prove nothing. */
static void must_write(const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    ssize_t wrote = real_write(log_file, at, size);
    if (wrote < 0) _exit(70);
    at += wrote;
    size -= (size_t)wrote;
  }
}

static void add(log_record record, const void *data) {
  struct iovec parts[2] = { { &record, sizeof record }, { (void *)(uintptr_t)data, record.size } };
  pthread_mutex_lock(&lock);
  ssize_t wrote = real_writev(log_file, parts, record.size > 0 ? 2 : 1);
  if (wrote < 0) _exit(70);
  size_t head = (size_t)wrote < sizeof record ? (size_t)wrote : sizeof record;
  must_write((const char *)&record + head, sizeof record - head);
  must_write((const char *)data + ((size_t)wrote - head), record.size - ((size_t)wrote - head));
  pthread_mutex_unlock(&lock);
}

/* The name within the folder, "" for the folder itself, or NULL. */
static const char *inside(const char *path) {
  size_t size = folder == NULL || log_file < 0 ? 0 : strlen(folder);
  if (size == 0 || strncmp(path, folder, size) != 0) return NULL;
  return path[size] == '/' ? path + size + 1 : path[size] == '\0' ? "" : NULL;
}

static descriptor *look(int fd) {
  static descriptor none;
  return fd >= 0 && fd < DESCRIPTORS && known[fd].kind != NOT_OURS ? &known[fd] : &none;
}

static void note_open(int fd, const char *path, int flags) {
  const char *name = inside(path);
  struct stat info;
  if (fd < 0 || fd >= DESCRIPTORS || log_file < 0) return;
  known[fd] = (descriptor){ NOT_OURS, 0 };
  if (marks != NULL && strcmp(path, marks) == 0) known[fd].kind = MARKS;
  if (name == NULL || fstat(fd, &info) != 0) return;
  if (name[0] == '\0') {
    known[fd].kind = FOLDER;
    return;
  }
  known[fd] = (descriptor){ (flags & O_DSYNC) != 0 ? DSYNC : PLAIN, info.st_ino };
  log_record record = { LOG_NAME, 0, info.st_ino, 0, strlen(name) };
  if ((flags & O_ACCMODE) != O_RDONLY) add(record, name);
  if ((flags & O_TRUNC) != 0) add((log_record){ LOG_SIZE, 0, info.st_ino, 0, 0 }, NULL);
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (drop_meta && inside(path) != NULL) flags &= ~O_DSYNC;
  int fd = real_open(path, flags, mode);
  note_open(fd, path, flags);
  return fd;
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int close(int fd) {
  if (fd >= 0 && fd < DESCRIPTORS) known[fd].kind = NOT_OURS;
  return real_close(fd);
}

static void note_write(int fd, const void *bytes, size_t size, off_t at) {
  descriptor *of = look(fd);
  if (of->kind == MARKS)
    add((log_record){ LOG_MARK, 0, 0, 0, size }, bytes);
  else if (of->kind == PLAIN || of->kind == DSYNC)
    add((log_record){ LOG_WRITE, of->kind == DSYNC, of->file, (uint64_t)at, size }, bytes);
}

static void note_writes(int fd, const struct iovec *parts, int count, off_t at, ssize_t wrote) {
  for (int i = 0; i < count && wrote > 0; i++) {
    size_t size = parts[i].iov_len < (size_t)wrote ? parts[i].iov_len : (size_t)wrote;
    note_write(fd, parts[i].iov_base, size, at);
    at += (off_t)size;
    wrote -= (ssize_t)size;
  }
}

/* Where a write without an offset goes; asked before it is done. */
static off_t place(int fd) {
  descriptor_kind kind = look(fd)->kind;
  return kind == PLAIN || kind == DSYNC ? lseek(fd, 0, SEEK_CUR) : 0;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  off_t at = place(fd);
  ssize_t wrote = real_write(fd, bytes, size);
  if (wrote > 0) note_write(fd, bytes, (size_t)wrote, at);
  return wrote;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  off_t at = place(fd);
  ssize_t wrote = real_writev(fd, parts, count);
  note_writes(fd, parts, count, at, wrote);
  return wrote;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  ssize_t wrote = real_pwrite(fd, bytes, size, at);
  if (wrote > 0) note_write(fd, bytes, (size_t)wrote, at);
  return wrote;
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) __attribute__((alias("pwrite")));

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  ssize_t wrote = real_pwritev(fd, parts, count, at);
  note_writes(fd, parts, count, at, wrote);
  return wrote;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
    __attribute__((alias("pwritev")));

static int sync_with(int (*real)(int), int fd) {
  descriptor of = *look(fd);
  if (of.kind == NOT_OURS || of.kind == MARKS) return real(fd);
  if (drop_sync && of.kind != FOLDER) return 0;
  uint64_t number = __atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
  add((log_record){ LOG_BEGIN, 0, of.file, number, 0 }, NULL);
  int result = real(fd);
  if (result == 0) add((log_record){ LOG_SYNCED, 0, of.file, number, 0 }, NULL);
  return result;
}

int fdatasync(int fd) {
  return sync_with(real_fdatasync, fd);
}

int fsync(int fd) {
  return sync_with(real_fsync, fd);
}

static void note_size(int fd, uint64_t size) {
  descriptor *of = look(fd);
  if (of->kind == PLAIN || of->kind == DSYNC) add((log_record){ LOG_SIZE, 0, of->file, size, 0 }, NULL);
}

int ftruncate(int fd, off_t size) {
  int result = real_ftruncate(fd, size);
  if (result == 0) note_size(fd, (uint64_t)size);
  return result;
}
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t at, off_t size) {
  int result = real_fallocate(fd, mode, at, size);
  if (result == 0 && mode == 0) note_size(fd, (uint64_t)(at + size));
  return result;
}
int fallocate64(int fd, int mode, off_t at, off_t size) __attribute__((alias("fallocate")));

int rename(const char *from, const char *to) {
  int result = real_rename(from, to);
  const char *old = inside(from), *new = inside(to);
  if (result != 0 || old == NULL || new == NULL) return result;
  char names[1024];
  int size = snprintf(names, sizeof names, "%s%c%s", old, 0, new);
  add((log_record){ LOG_RENAME, 0, 0, 0, (uint64_t)size }, names);
  return result;
}

int unlink(const char *path) {
  int result = real_unlink(path);
  const char *name = inside(path);
  if (result == 0 && name != NULL) add((log_record){ LOG_UNLINK, 0, 0, 0, strlen(name) }, name);
  return result;
}
