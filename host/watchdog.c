/* watchdog.c - looks at the loop's counter twice a second. */
#include "watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "task.h"

#define LOOK_EVERY_MS 500
#define REPORT_AFTER 4 /* looks */
#define END_AFTER 60
#define EXIT_STUCK 75

static void report(weir_scheduler *s) {
  char text[160];
  uint64_t id = atomic_load(&s->running_id);
  int length = snprintf(text, sizeof text, "weir: the loop has not come round for 2 s; task %llu is running\n",
                        (unsigned long long)id);
  if (write(STDERR_FILENO, text, (size_t)length) < 0) return;
}

static void *watch(void *argument) {
  weir_watchdog *watchdog = argument;
  weir_scheduler *s = watchdog->scheduler;
  unsigned long seen = 0;
  int looks = 0;
  pthread_mutex_lock(&watchdog->mutex);
  while (!watchdog->stop) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_EVERY_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
    pthread_cond_timedwait(&watchdog->stopped, &watchdog->mutex, &until);
    unsigned long rounds = atomic_load(&s->rounds);
    looks = rounds != seen || atomic_load(&s->polling) ? 0 : looks + 1;
    seen = rounds;
    if (looks == REPORT_AFTER) report(s);
    if (looks >= END_AFTER) _exit(EXIT_STUCK);
  }
  pthread_mutex_unlock(&watchdog->mutex);
  return NULL;
}

void weir_watchdog_start(weir_watchdog *watchdog, weir_scheduler *scheduler) {
  sigset_t all, before;
  pthread_condattr_t attributes;
  *watchdog = (weir_watchdog){ .scheduler = scheduler };
  pthread_mutex_init(&watchdog->mutex, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* the other one may be set back */
  pthread_cond_init(&watchdog->stopped, &attributes);
  pthread_condattr_destroy(&attributes);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  watchdog->running = pthread_create(&watchdog->thread, NULL, watch, watchdog) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void weir_watchdog_stop(weir_watchdog *watchdog) {
  if (!watchdog->running) return;
  pthread_mutex_lock(&watchdog->mutex);
  watchdog->stop = true;
  pthread_cond_signal(&watchdog->stopped);
  pthread_mutex_unlock(&watchdog->mutex);
  pthread_join(watchdog->thread, NULL);
  pthread_mutex_destroy(&watchdog->mutex);
  pthread_cond_destroy(&watchdog->stopped);
  watchdog->running = false;
}
