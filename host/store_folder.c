/* store_folder.c - the folder of a store: where it may be, the space kept back in it, and the seal.
 *
 * The seal knows how far the store had come. LMDB has two meta pages and believes the one with the
 * higher transaction number: if a bit of that number flips, or somebody puts an older data.mdb in
 * place, an older state is opened, sound in itself. The file `seal` holds the number of the last
 * transaction, written after its sync and before it is acknowledged: u64, little endian. It is never
 * synced: after a power cut it may be older than the store, which does no harm, but never newer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store_internal.h"

#define RESERVE_BYTES (64 << 20)
#define RESERVE_IF_FREE (1ull << 30)

typedef struct {
  unsigned long magic;
  const char *name;
} system_kind;

/* File systems on which locks or the shared map do not do what LMDB needs; numbers of statfs(2). */
static const system_kind unfit[] = { { 0x6969, "NFS" },      { 0x01021997, "9p" },
                                     { 0xFF534D42, "CIFS" }, { 0xFE534D42, "SMB" },
                                     { 0x517B, "SMB" },      { 0x65735546, "FUSE" },
                                     { 0x564C, "NCP" },      { 0x5346414F, "AFS" } };

static weir_status check_system(const weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  struct statfs info;
  if (store->options.force || statfs(store->folder, &info) != 0) return WEIR_OK;
  for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
    if (((unsigned long)info.f_type & 0xFFFFFFFFu) != unfit[i].magic) continue;
    snprintf(
        message, WEIR_MESSAGE_MAX,
        "store '%s' is on %s, where a crash can damage it; use --store with a folder on a local disk",
        store->path, unfit[i].name);
    return WEIR_INVALID;
  }
  return WEIR_OK;
}

static weir_status cannot(const weir_store *store, const char *what, char message[WEIR_MESSAGE_MAX]) {
  int reason = errno;
  snprintf(message, WEIR_MESSAGE_MAX, "store '%s': cannot %s: %s", store->path, what, strerror(reason));
  if (reason == ENOSPC || reason == EDQUOT) return WEIR_FULL;
  if (reason == EACCES || reason == EPERM || reason == EROFS) return WEIR_DENIED;
  return reason == ENOTDIR || reason == ENOENT || reason == ENAMETOOLONG ? WEIR_INVALID
                                                                         : WEIR_UNAVAILABLE;
}

/* A folder of this process alone, whose files are unlinked as soon as they are open. */
static weir_status make_private(weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  const char *temporary = getenv("TMPDIR");
  const char *places[] = { "/dev/shm", temporary != NULL ? temporary : "/tmp", "/tmp" };
  for (size_t i = 0; i < 3; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/weir-XXXXXX", places[i]);
    if (mkdtemp(path) == NULL) continue;
    store->folder = strdup(path);
    return store->folder == NULL ? WEIR_UNAVAILABLE : WEIR_OK;
  }
  return cannot(store, "make a folder in /dev/shm or /tmp", message);
}

weir_status weir_folder_prepare(weir_store *store, char message[WEIR_MESSAGE_MAX]) {
  struct stat info;
  if (strcmp(store->path, ":memory:") == 0) return make_private(store, message);
  if (mkdir(store->path, 0700) != 0 && errno != EEXIST)
    return cannot(store, "make the folder", message);
  if ((store->folder = realpath(store->path, NULL)) == NULL)
    return cannot(store, "find the folder", message);
  if (stat(store->folder, &info) != 0) return cannot(store, "read the folder", message);
  if (!S_ISDIR(info.st_mode)) {
    errno = ENOTDIR;
    return cannot(store, "use it", message);
  }
  store->device = (uint64_t)info.st_dev;
  store->inode = (uint64_t)info.st_ino;
  return check_system(store, message);
}

/* A name is on the disk for certain only when its folder has been synced. */
static int sync_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  int rc = fsync(folder) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: not for folders, here */
  close(folder);
  return rc;
}

int weir_folder_sync(const weir_store *store) {
  char above[4096];
  if (store->inode == 0) return 0; /* in memory */
  int rc = sync_folder(store->folder);
  snprintf(above, sizeof above, "%s/..", store->folder);
  return rc == 0 ? sync_folder(above) : rc;
}

static void reserve_path(const weir_store *store, char *path, size_t size) {
  snprintf(path, size, "%s/reserve", store->folder);
}

/* Blocks that are given back when the disk is full, so that a run can still be ended. Only where there
 * is plenty. */
void weir_reserve_make(weir_store *store) {
  char path[4096];
  struct statvfs space;
  struct stat info;
  if (store->inode == 0) return; /* in memory */
  reserve_path(store, path, sizeof path);
  store->has_reserve = stat(path, &info) == 0 && info.st_size == RESERVE_BYTES;
  if (store->has_reserve || statvfs(store->folder, &space) != 0) return;
  if ((unsigned long long)space.f_bavail * space.f_frsize < RESERVE_IF_FREE) return;
  int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  store->has_reserve = fallocate(descriptor, 0, 0, RESERVE_BYTES) == 0;
  close(descriptor);
  if (!store->has_reserve) unlink(path);
}

bool weir_reserve_use(weir_store *store) {
  char path[4096];
  if (!store->has_reserve) return false;
  reserve_path(store, path, sizeof path);
  store->has_reserve = false;
  return unlink(path) == 0;
}

void weir_seal_open(weir_store *store) {
  char path[4096];
  store->seal = -1;
  if (store->inode == 0) return; /* in memory: nobody opens it again */
  snprintf(path, sizeof path, "%s/seal", store->folder);
  store->seal = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

uint64_t weir_seal_read(const weir_store *store) {
  uint8_t bytes[8];
  uint64_t value = 0;
  if (store->seal < 0 || pread(store->seal, bytes, sizeof bytes, 0) != sizeof bytes) return 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

void weir_seal_encode(uint8_t bytes[8], uint64_t transactions) {
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(transactions >> (8 * i));
}

void weir_seal_write(weir_store *store, uint64_t transactions) {
  uint8_t bytes[8];
  weir_seal_encode(bytes, transactions);
  if (store->seal >= 0)
    (void)!pwrite(store->seal, bytes, sizeof bytes,
                  0); /* if it fails the old number stays, which is safe */
}
