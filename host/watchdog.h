/* watchdog.h - a thread that notices a loop which does not come round.
 *
 * After 2 s it names the task that runs; after 30 s it ends the process with 75, so that whoever started
 * it can start it again: what was acknowledged is kept. */
#ifndef WEIR_WATCHDOG_H
#define WEIR_WATCHDOG_H
#include <pthread.h>

#include "status.h"
#include "scheduler.h"

typedef struct {
  weir_scheduler *scheduler;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t stopped;
  bool running, stop;
} weir_watchdog;

void weir_watchdog_start(weir_watchdog *watchdog, weir_scheduler *scheduler);
void weir_watchdog_stop(weir_watchdog *watchdog); /* idempotent */
#endif
