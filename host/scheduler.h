/* scheduler.h - tasks, scopes, waits and time.
 *
 * A task is a coroutine that the host drives. It belongs to a scope and cannot outlive it; cancelling
 * a scope cancels its tree. Tasks run one at a time, each until it waits, ends or has used its slice.
 * This header is what other native modules need to make a task wait; scheduler_lua.c is the Lua face.
 * Everything here runs on the host's thread. */
#ifndef WEIR_SCHEDULER_H
#define WEIR_SCHEDULER_H
#include <lua.h>

#include "host.h"
#include "status.h"
#include "wait.h"

typedef struct weir_scheduler weir_scheduler;

weir_scheduler *weir_scheduler_of(weir_host *host);

/* Monotonic time in nanoseconds (virtual under a seed). */
int64_t weir_scheduler_now(weir_scheduler *scheduler);

/* Wall clock in milliseconds since 1970 (virtual under a seed). */
int64_t weir_scheduler_wall_ms(weir_scheduler *scheduler);

/* True while the clock is virtual: one thread only, work is done inline, nothing real is waited for. */
bool weir_scheduler_is_virtual(weir_scheduler *scheduler);

#define WEIR_NO_DEADLINE INT64_MAX

/* Make the running task wait. To be returned from a C function called by Lua:
 *     return weir_task_wait(L, &object->wait, "recv", WEIR_NO_DEADLINE, (lua_KContext)object, recv_k);
 * `what` is a static text that names the wait for ps(); deadline is a time of weir_scheduler_now.
 * The wait must stay valid until it ended (see wait.h).
 * When woken, k(L, status, context) runs with the stack as it was; status is WEIR_OK or WEIR_TIMEOUT.
 * When the task is cancelled instead, abandon is called and the error is raised: k does not run. A wake
 * that came before the cancellation wins: k runs, and the next wait raises.
 * Raises outside of a task, and where Lua cannot yield. */
int weir_task_wait(lua_State *L, weir_wait *wait, const char *what, int64_t deadline_ns,
                   lua_KContext context, lua_KFunction k);

/* The same in a queue: the task joins its end, and leaves it when it is woken, cancelled or too late. */
int weir_task_wait_in(lua_State *L, weir_queue *queue, const char *what, int64_t deadline_ns,
                      lua_KContext context, lua_KFunction k);

/* Raise now if the running task has been cancelled (sticky); cheap when it has not. */
void weir_task_check(lua_State *L);

/* Work outside of this thread (a commit, a transfer) that will wake somebody: while any is counted
 * the virtual clock does not jump and an idle loop is no deadlock. */
void weir_external_begin(weir_scheduler *scheduler);
void weir_external_end(weir_scheduler *scheduler);

/* Run `run` once when the tasks that are ready now have had their turn, before the loop polls.
 * For batching: a node that is already queued stays queued once. */
typedef struct weir_turn weir_turn;
struct weir_turn {
  void (*run)(weir_turn *turn); /* must not raise */
  weir_turn *next;              /* the scheduler's */
  bool queued;                  /* the scheduler's; false at first */
};
void weir_scheduler_at_turn_end(weir_scheduler *scheduler, weir_turn *turn);
#endif
