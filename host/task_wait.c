/* task_wait.c - how C makes the running task wait, and how it finds out that it must stop. */
#include <lauxlib.h>

#include "binding.h"
#include "task.h"

static int raise_cancelled(lua_State *L, weir_task *task, weir_status code, const char *reason) {
  if (!task->raised) task->raised_at = task->ticks;
  task->raised = true;
  return weir_raise(L, code, "%s", reason ? reason : weir_status_code(code));
}

void weir_task_check(lua_State *L) {
  weir_task *task = weir_scheduler_of(weir_host_of(L))->running;
  const char *reason = NULL;
  weir_status code = task ? weir_task_cancelled(task, &reason) : WEIR_OK;
  if (code != WEIR_OK) raise_cancelled(L, task, code, reason);
}

static int waited(lua_State *L, int status, lua_KContext context) {
  (void)status;
  weir_task *task = (weir_task *)context;
  const char *reason = NULL;
  task->steadfast = false;
  task->woken = NULL;
  if (task->outcome != WEIR_CANCELLED) return task->k(L, (int)task->outcome, task->context);
  weir_status code = weir_task_cancelled(task, &reason);
  return raise_cancelled(L, task, code == WEIR_OK ? WEIR_CANCELLED : code, reason);
}

static int refuse(lua_State *L, weir_scheduler *s, weir_wait *wait, const char *what) {
  if (wait->abandon) wait->abandon(wait);
  if (s->running) s->running->steadfast = false;
  return luaL_error(L, "cannot wait for %s here: %s", what,
                    s->running ? "inside a callback of C, a finalizer or a function that never waits"
                               : "no task is running");
}

int weir_task_wait(lua_State *L, weir_wait *wait, const char *what, int64_t deadline_ns,
                   lua_KContext context, lua_KFunction k) {
  weir_scheduler *s = weir_scheduler_of(weir_host_of(L));
  weir_task *task = s->running;
  const char *reason = NULL;
  if (!task || !s->can_wait || !lua_isyieldable(L)) return refuse(L, s, wait, what);
  weir_status code = s->cancellations && !task->steadfast ? weir_task_cancelled(task, &reason) : WEIR_OK;
  if (code != WEIR_OK) {
    if (wait->abandon) wait->abandon(wait);
    return raise_cancelled(L, task, code, reason);
  }
  weir_task_begin_wait(task, wait, what, deadline_ns);
  task->k = k;
  task->context = context;
  task->leaf = L;
  task->depth = 0;
  s->yielding = WEIR_WAITS;
  return lua_yieldk(L, 0, (lua_KContext)task, waited);
}

static void leave_queue(weir_wait *wait) {
  weir_queue_leave(&WEIR_CONTAINER(wait, weir_task, self)->queue_node);
}

static void wake_next(weir_wait *wait) {
  weir_queue_wake_first(WEIR_CONTAINER(wait, weir_task, self)->queue_node.queue);
}

int weir_task_wait_in(lua_State *L, weir_queue *queue, const char *what, int64_t deadline_ns,
                      lua_KContext context, lua_KFunction k) {
  weir_task *self = weir_scheduler_of(weir_host_of(L))->running;
  if (!self) return luaL_error(L, "cannot wait for %s here: no task is running", what);
  self->self.abandon = leave_queue;
  self->self.lost = wake_next;
  weir_queue_join(queue, &self->queue_node, &self->self);
  return weir_task_wait(L, &self->self, what, deadline_ns, context, k);
}
