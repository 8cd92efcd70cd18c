/* fail_calls.c - H4: preloaded into a program, makes one of its calls fail, or its syncs slow.
 *
 *   FAULT_FOLDER    only calls on files of this folder count, as realpath(3) gives it
 *   FAULT_CALL      the class: open, read, write (pwrite, writev, ...), meta (a write with O_DSYNC),
 * sync, size (ftruncate, fallocate), any FAULT_N         the n-th call of the class fails, from 1
 *   FAULT_ERROR     EIO, ENOSPC, EINTR, EMFILE, or SHORT: half of a write is done
 *   FAULT_FOREVER   if set, every later call of the class fails too
 *   FAULT_DELAY_MS  every sync of the folder's files takes so much longer
 *   FAULT_STATFS    the number of the file system on which the folder seems to be, as 0x6969 for NFS
 *   FAULT_MARKS     once a call has failed, a mark that says so is added to this file (model.h) */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define DESCRIPTORS 4096

enum { OPEN = 1, READ = 2, WRITE = 4, META = 8, SYNC = 16, SIZE = 32, ANY = 63 };
static const struct {
  const char *name;
  int class;
} classes[] = { { "open", OPEN }, { "read", READ }, { "write", WRITE }, { "meta", META },
                { "sync", SYNC }, { "size", SIZE }, { "any", ANY } };

static const struct {
  const char *name;
  int error; /* 0: a short write */
} errors[] = {
  { "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EINTR", EINTR }, { "EMFILE", EMFILE }, { "SHORT", 0 }
};

/* What a descriptor is: 0 for what is not in the folder, or the class of its writes. */
static int known[DESCRIPTORS];
static const char *folder, *marks;
static int wanted_class, wanted_error = EIO;
static unsigned long wanted_n, calls, delay_ms;
static bool forever;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_statfs)(const char *, struct statfs *);

#define FIND(name) (*(void **)&real_##name = dlsym(RTLD_NEXT, #name))

static unsigned long number_of(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : strtoul(text, NULL, 10);
}

__attribute__((constructor)) static void start(void) {
  FIND(open), FIND(close), FIND(pread), FIND(write), FIND(writev), FIND(pwrite), FIND(fdatasync);
  FIND(fsync), FIND(ftruncate), FIND(fallocate), FIND(statfs);
  const char *class = getenv("FAULT_CALL"), *error = getenv("FAULT_ERROR");
  folder = getenv("FAULT_FOLDER");
  marks = getenv("FAULT_MARKS");
  forever = getenv("FAULT_FOREVER") != NULL;
  wanted_n = number_of("FAULT_N");
  delay_ms = number_of("FAULT_DELAY_MS");
  for (size_t i = 0; class != NULL && i < sizeof classes / sizeof classes[0]; i++)
    if (strcmp(class, classes[i].name) == 0) wanted_class = classes[i].class;
  for (size_t i = 0; error != NULL && i < sizeof errors / sizeof errors[0]; i++)
    if (strcmp(error, errors[i].name) == 0) wanted_error = errors[i].error;
}

static void say_failed(void) {
  model_mark m = { MARK_FAULT, 0, 0 };
  int file = marks == NULL ? -1 : real_open(marks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (real_write(file, &m, sizeof m) != sizeof m) _exit(70);
  real_close(file);
}

/* Whether this call of the class is one that fails. */
static bool is_due(int class) {
  if ((class & wanted_class) == 0 || wanted_n == 0) return false;
  unsigned long n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  if (n < wanted_n || (n > wanted_n && !forever)) return false;
  if (n == wanted_n) say_failed();
  errno = wanted_error;
  return true;
}

static int class_of(int fd) {
  return fd >= 0 && fd < DESCRIPTORS ? known[fd] : 0;
}

static bool is_inside(const char *path) {
  size_t size = folder == NULL ? 0 : strlen(folder);
  return size > 0 && strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  bool inside = is_inside(path);
  if (inside && wanted_error != 0 && is_due(OPEN)) return -1;
  int fd = real_open(path, flags, mode);
  if (fd >= 0 && fd < DESCRIPTORS) known[fd] = !inside ? 0 : (flags & O_DSYNC) != 0 ? META : WRITE;
  return fd;
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int close(int fd) {
  if (fd >= 0 && fd < DESCRIPTORS) known[fd] = 0;
  return real_close(fd);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at) {
  if (class_of(fd) != 0 && wanted_error != 0 && is_due(READ)) return -1;
  return real_pread(fd, bytes, size, at);
}
ssize_t pread64(int fd, void *bytes, size_t size, off_t at) __attribute__((alias("pread")));

/* What is left of a write that fails: nothing and -1, or half of it. */
static bool cut(int fd, size_t *size) {
  int class = class_of(fd);
  if (class == 0 || !is_due(class)) return false;
  if (wanted_error != 0) return true;
  *size /= 2;
  return false;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  return cut(fd, &size) ? -1 : real_write(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
  return cut(fd, &size) ? -1 : real_pwrite(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) __attribute__((alias("pwrite")));

ssize_t writev(int fd, const struct iovec *parts, int count) {
  size_t whole = 0;
  for (int i = 0; i < count; i++) whole += parts[i].iov_len;
  size_t size = whole;
  if (cut(fd, &size)) return -1;
  return size == whole ? real_writev(fd, parts, count)
                       : real_write(fd, parts[0].iov_base, parts[0].iov_len / 2);
}

static int sync_with(int (*real)(int), int fd) {
  int class = class_of(fd);
  if (class != 0 && delay_ms > 0) {
    struct timespec time = { (time_t)(delay_ms / 1000), (long)(delay_ms % 1000) * 1000000 };
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
  }
  if (class != 0 && wanted_error != 0 && is_due(SYNC)) return -1;
  return real(fd);
}

int fdatasync(int fd) {
  return sync_with(real_fdatasync, fd);
}

int fsync(int fd) {
  return sync_with(real_fsync, fd);
}

int ftruncate(int fd, off_t size) {
  if (class_of(fd) != 0 && wanted_error != 0 && is_due(SIZE)) return -1;
  return real_ftruncate(fd, size);
}
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t at, off_t size) {
  if (class_of(fd) != 0 && wanted_error != 0 && is_due(SIZE)) return -1;
  return real_fallocate(fd, mode, at, size);
}
int fallocate64(int fd, int mode, off_t at, off_t size) __attribute__((alias("fallocate")));

int statfs(const char *path, struct statfs *info) {
  int result = real_statfs(path, info);
  const char *kind = getenv("FAULT_STATFS");
  if (result == 0 && kind != NULL && is_inside(path)) info->f_type = (__fsword_t)strtoul(kind, NULL, 0);
  return result;
}
int statfs64(const char *path, struct statfs64 *info) __attribute__((alias("statfs")));
