/* store_owner.c - one process owns a store: an open-file-description lock on the file `owner`, held for
 * the process's life. The file's text names the owner for people and for other programs.
 *
 * A child that the owner is just starting shares the lock until it executes its program. If the owner
 * is killed in between, the lock outlives it by that moment: whoever comes next waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_internal.h"

#define ORPHAN_MS 2000 /* how long the lock of a dead owner is waited for */

/* When the process started, in the kernel's ticks since boot: field 22 of /proc/self/stat. With the id
 * it names a process for good, because ids are used again. */
static unsigned long long start_ticks(void) {
  char text[1024] = "";
  FILE *file = fopen("/proc/self/stat", "re");
  if (file == NULL) return 0;
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = '\0';
  const char *at = strrchr(text, ')'); /* the name before it may hold anything */
  for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
  return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static bool write_owner(int descriptor) {
  char text[512], host[128] = "", started[32];
  time_t now = time(NULL);
  struct tm utc;
  gethostname(host, sizeof host - 1);
  gmtime_r(&now, &utc);
  strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
  int size = snprintf(text, sizeof text, "pid %ld\nsince %s\nticks %llu\nhost %s\n", (long)getpid(),
                      started, start_ticks(), host);
  return ftruncate(descriptor, 0) == 0 && pwrite(descriptor, text, (size_t)size, 0) == size;
}

static void describe_owner(int descriptor, const char *shown, char message[WEIR_MESSAGE_MAX]) {
  char text[512] = "";
  if (pread(descriptor, text, sizeof text - 1, 0) < 0) text[0] = '\0';
  const char *pid = strstr(text, "pid "), *since = strstr(text, "since ");
  long number = pid == NULL ? 0 : strtol(pid + 4, NULL, 10);
  if (number > 0 && since != NULL)
    snprintf(message, WEIR_MESSAGE_MAX,
             "store '%s' is in use by weir, process %ld since %.*s; stop it, or use another --store",
             shown, number, (int)strcspn(since + 6, "\n"), since + 6);
  else
    snprintf(message, WEIR_MESSAGE_MAX, "store '%s' is in use by weir; stop it, or use another --store",
             shown);
}

/* The process that the file names is gone. */
static bool is_orphaned(int descriptor) {
  char text[512] = "";
  if (pread(descriptor, text, sizeof text - 1, 0) < 0) return false;
  long number = strncmp(text, "pid ", 4) == 0 ? strtol(text + 4, NULL, 10) : 0;
  return number > 0 && kill((pid_t)number, 0) != 0 && errno == ESRCH;
}

static bool lock_owner(int descriptor) {
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  for (int waited_ms = 0; fcntl(descriptor, F_OFD_SETLK, &lock) != 0; waited_ms++) {
    if (waited_ms >= ORPHAN_MS || !is_orphaned(descriptor)) return false;
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
  }
  return true;
}

weir_status weir_owner_take(const char *folder, const char *shown, int *descriptor,
                            char message[WEIR_MESSAGE_MAX]) {
  char path[4096];
  snprintf(path, sizeof path, "%s/owner", folder);
  *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (*descriptor < 0) {
    snprintf(message, WEIR_MESSAGE_MAX, "store '%s': cannot open its owner file: %s", shown,
             strerror(errno));
    return errno == EACCES || errno == EROFS || errno == EPERM ? WEIR_DENIED
           : errno == ENOSPC                                   ? WEIR_FULL
                                                               : WEIR_UNAVAILABLE;
  }
  if (!lock_owner(*descriptor)) {
    describe_owner(*descriptor, shown, message);
    close(*descriptor);
    *descriptor = -1;
    return WEIR_CONFLICT;
  }
  (void)!write_owner(*descriptor); /* on a full disk the lock alone does */
  return WEIR_OK;
}
