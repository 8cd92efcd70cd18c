/* main.c - the process: one host, its folders, its exit status. */
#include <linux/close_range.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#define EXIT_INTERNAL 70
#define PATH_BYTES 4096
#define MAPPED_BYTES (256 * 1024) /* a block of this size and more goes back to the system when it is freed */

static bool exists(const char *folder, const char *file) {
  char path[PATH_BYTES];
  return snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path && access(path, R_OK) == 0;
}

/* The folder of the running program, without a slash at its end. */
static bool own_folder(char *folder, size_t size) {
  ssize_t length = readlink("/proc/self/exe", folder, size - 1);
  if (length <= 0) return false;
  folder[length] = '\0';
  char *slash = strrchr(folder, '/');
  if (!slash) return false;
  *slash = '\0';
  return true;
}

/* A folder without links and dots, since people see the paths of what stands in it. */
static const char *settle(const char *place, const char *folder, char *path, size_t size) {
  char joined[2 * PATH_BYTES], *real;
  snprintf(joined, sizeof joined, "%s/%s", folder, place);
  if (!exists(joined, "lua/weir/boot.lua") || !(real = realpath(joined, NULL))) return NULL;
  snprintf(path, size, "%s", real);
  free(real);
  return path;
}

/* WEIR_HOME, else the source tree that the host was built in, else where it was installed. */
static const char *find_library(const char *folder, char *path, size_t size) {
  const char *home = getenv("WEIR_HOME");
  if (home && *home) return home;
  const char *found = settle("..", folder, path, size);
  return found ? found : settle("../share/weir", folder, path, size);
}

static const char *find_natives(const char *folder, char *path, size_t size) {
  snprintf(path, size, "%s/native", folder);
  if (access(path, R_OK) != 0) snprintf(path, size, "%s/../lib/weir", folder);
  return path;
}

/* Memory holds what people keep secret: it is not written to disk when the process crashes. */
static void leave_no_core(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  setrlimit(RLIMIT_CORE, &limit);
}

int main(int argc, char **argv) {
  char folder[PATH_BYTES], library[PATH_BYTES + 32], natives[PATH_BYTES + 32];
  if (!own_folder(folder, sizeof folder)) {
    fputs("weir: cannot tell where the program stands: /proc is not mounted\n", stderr);
    return EXIT_INTERNAL;
  }
  leave_no_core();
  signal(SIGPIPE, SIG_IGN); /* a peer that closed is an error of the write, not our end */
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what we inherited is not for our children */
  mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
  weir_host_options options = { .library = find_library(folder, library, sizeof library),
    .natives = find_natives(folder, natives, sizeof natives) };
  if (!options.library) {
    fputs("weir: its library is missing; set WEIR_HOME to the folder that holds lua/weir\n", stderr);
    return EXIT_INTERNAL;
  }
  weir_host *host = weir_host_new(&options);
  if (!host) {
    fputs("weir: the host could not start: no memory or no descriptors left\n", stderr);
    return EXIT_INTERNAL;
  }
  int status = weir_host_run(host, argc - 1, argv + 1);
  weir_host_free(host);
  return status;
}
