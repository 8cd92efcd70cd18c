/* watchdog_test.c - the clock on the wall may be set while the watchdog sleeps. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "task.h"
#include "watchdog.h"

#define PATIENCE_MS 20000

/* Whoever asks what time it is on the wall is told one that is set back by an hour as soon as it was told. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  long failed = syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += 3600;
  return (int)failed;
}

static void notices_a_loop_that_stands_still_also_when_the_clock_is_set_back(void **state) {
  (void)state;
  weir_scheduler scheduler;
  weir_watchdog watchdog;
  int ends[2], before = dup(STDERR_FILENO);
  memset(&scheduler, 0, sizeof scheduler);
  scheduler.running_id = 7;
  assert_int_equal(pipe(ends), 0);
  assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
  weir_watchdog_start(&watchdog, &scheduler);
  struct pollfd said = { .fd = ends[0], .events = POLLIN };
  int count = poll(&said, 1, PATIENCE_MS);
  weir_watchdog_stop(&watchdog);
  dup2(before, STDERR_FILENO);
  assert_int_equal(count, 1);
  char text[200] = { 0 };
  assert_true(read(ends[0], text, sizeof text - 1) > 0);
  assert_non_null(strstr(text, "task 7 is running"));
  close(ends[0]), close(ends[1]), close(before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(notices_a_loop_that_stands_still_also_when_the_clock_is_set_back),
  };
  return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
