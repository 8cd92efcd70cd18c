/* task_lua.c - from a task to a running coroutine and back.
 *
 * The userdata of a task and its thread are anchored under the task's slot in two tables of the
 * registry while the task lives. Threads are used again: a thread that ended well is empty.
 * User values of a task: 1 its name, 2 its results {ok, ...; n}, 3 its locals, 4 its deferred functions,
 * 5 its context. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "task.h"
#include "task_lua.h"

#define COLLECT_FROM_BYTES (4 << 20)

#define THREADS_KEPT 1024   /* empty ones */
#define THREADS_IDLE 64     /* the same, when nobody has needed more for a while */
#define THREADS_SHED 16     /* at a tick */
#define DROPPED_OF_MORE 8   /* one of so many beyond these */

void weir_task_push(lua_State *L, weir_task *task) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->scheduler->tasks_ref); /* tasks */
  lua_rawgeti(L, -1, (lua_Integer)task->slot + 1);               /* tasks task */
  lua_remove(L, -2);
}

static void more_slots(weir_scheduler *s) {
  uint32_t capacity = s->slot_capacity ? s->slot_capacity * 2 : 64;
  weir_task **tasks = realloc(s->slot_tasks, capacity * sizeof *tasks);
  if (tasks) s->slot_tasks = tasks;
  lua_State **threads = realloc(s->slot_threads, capacity * sizeof *threads);
  if (threads) s->slot_threads = threads;
  uint32_t *free_slots = realloc(s->free_slots, capacity * sizeof *free_slots);
  if (free_slots) s->free_slots = free_slots;
  if (!tasks || !threads || !free_slots) abort();
  s->slot_capacity = capacity;
}

static uint32_t take_slot(weir_scheduler *s) {
  if (s->free_count) {
    uint32_t slot = s->free_slots[--s->free_count];
    if (s->shed_to > s->free_count) s->shed_to = s->free_count;
    return slot;
  }
  if (s->slot_count == s->slot_capacity) more_slots(s);
  s->slot_tasks[s->slot_count] = NULL;
  s->slot_threads[s->slot_count] = NULL;
  return s->slot_count++;
}

static lua_State *thread_of(lua_State *L, weir_scheduler *s, uint32_t slot) {
  lua_State *thread = s->slot_threads[slot];
  if (thread) {
    if (lua_gethook(thread)) lua_sethook(thread, NULL, 0, 0);
    return thread;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->threads_ref); /* threads */
  thread = lua_newthread(L);                         /* threads thread */
  lua_sethook(thread, NULL, 0, 0);
  lua_rawseti(L, -2, (lua_Integer)slot + 1);         /* threads */
  lua_pop(L, 1);
  s->slot_threads[slot] = thread;
  weir_coroutine_mark(thread, true); /* nobody else may resume it, ever */
  return thread;
}

static void anchor(lua_State *L, weir_task *task) { /* task on top */
  lua_rawgeti(L, LUA_REGISTRYINDEX, task->scheduler->tasks_ref); /* task tasks */
  lua_pushvalue(L, -2);                                          /* task tasks task */
  lua_rawseti(L, -2, (lua_Integer)task->slot + 1);               /* task tasks */
  lua_pop(L, 1);                                                 /* task */
}

static void inherit(lua_State *L, weir_task *task, weir_task *parent) { /* task on top */
  if (!parent || !(parent->has_locals || parent->has_context)) return;
  weir_task_push(L, parent);                   /* task parent */
  if ((task->has_locals = parent->has_locals)) {
    lua_getiuservalue(L, -1, WEIR_TASK_LOCALS);
    lua_setiuservalue(L, -3, WEIR_TASK_LOCALS);
  }
  if ((task->has_context = parent->has_context)) {
    lua_getiuservalue(L, -1, WEIR_TASK_CONTEXT);
    lua_setiuservalue(L, -3, WEIR_TASK_CONTEXT);
  }
  lua_pop(L, 1);                               /* task */
}

static void enter_home(weir_task *task, weir_scope *home) {
  task->home = task->scope = home;
  task->sibling_next = home->tasks;
  if (home->tasks) home->tasks->sibling_previous = task;
  home->tasks = task;
  home->task_count++;
}

static int task_ended(lua_State *L, int status, lua_KContext context) {
  (void)context;
  lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
  lua_replace(L, 1);
  return lua_gettop(L);
}

/* Adds where it happened to an error that is a text, so that nobody has to guess. */
static int explain(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

/* The root of every task is a protected call: an error that ends a bare coroutine of Lua 5.4.4 would
 * leave its to-be-closed variables open. */
static int task_main(lua_State *L) { /* function args... */
  lua_pushcfunction(L, explain);
  lua_insert(L, 1); /* explain function args... */
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, task_ended);
  return task_ended(L, status, 0);
}

weir_task *weir_task_new(lua_State *L, weir_scope *home, int nargs) {
  weir_scheduler *s = weir_scheduler_of(weir_host_of(L));
  weir_task *task = lua_newuserdatauv(L, sizeof *task, WEIR_TASK_USER_VALUES); /* function args... task */
  weir_tenant *tenant = s->running ? s->running->tenant : &s->lanes.usual;
  *task = (weir_task){ .scheduler = s, .id = ++s->last_id, .name = "", .lane = 1, .tenant = tenant };
  tenant->references++;
  luaL_setmetatable(L, WEIR_TASK);
  task->slot = take_slot(s);
  anchor(L, task);
  task->thread = thread_of(L, s, task->slot);
  inherit(L, task, s->running);
  lua_insert(L, -2 - nargs);                          /* task function args... */
  lua_pushcfunction(L, task_main);
  lua_insert(L, -2 - nargs);                          /* task task_main function args... */
  luaL_checkstack(task->thread, nargs + 2, "too many arguments");
  lua_xmove(L, task->thread, nargs + 2);              /* task */
  task->created_ns = weir_scheduler_now(s);
  enter_home(task, home);
  s->slot_tasks[task->slot] = task;
  s->live++;
  weir_task_ready(task);
  return task;
}

static void drop_thread(weir_scheduler *s, uint32_t slot) {
  lua_State *L = s->L;
  s->slot_threads[slot] = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->threads_ref);
  lua_pushnil(L);
  lua_rawseti(L, -2, (lua_Integer)slot + 1);
  lua_pop(L, 1);
}

static void free_slot(weir_task *task) {
  weir_scheduler *s = task->scheduler;
  lua_State *L = s->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->tasks_ref);
  lua_pushnil(L);
  lua_rawseti(L, -2, (lua_Integer)task->slot + 1);
  lua_pop(L, 1);
  s->slot_tasks[task->slot] = NULL;
  s->free_slots[s->free_count++] = task->slot;
  s->live--;
}

/* The results stand on the thread: ok, values... A lone `true` is not worth a table. */
static void keep_results(weir_task *task, int count) {
  lua_State *L = task->thread;
  task->failed = !lua_toboolean(L, -count);
  if (count == 1 && !task->failed) return;
  lua_createtable(L, count, 1);                     /* values... results */
  lua_insert(L, -1 - count);                        /* results values... */
  for (int i = count; i >= 1; i--) lua_rawseti(L, -1 - i, i);
  lua_pushinteger(L, count);
  lua_setfield(L, -2, "n");                         /* results */
  weir_task_push(L, task);                          /* results task */
  lua_insert(L, -2);                                /* task results */
  lua_setiuservalue(L, -2, WEIR_TASK_RESULT);                 /* task */
  lua_pop(L, 1);
  task->has_result = true;
}

/* What was deferred and has not run: nobody is left who could wait, so the functions run without. */
static void run_deferred(weir_task *task) {
  weir_scheduler *s = task->scheduler;
  lua_State *L = s->L;
  if (task->deferred == 0) return;
  weir_task_push(L, task);
  lua_getiuservalue(L, -1, WEIR_TASK_DEFERRED);   /* task list */
  s->current = L;
  s->closing++;
  while (task->deferred > 0) {
    lua_rawgeti(L, -1, (lua_Integer)task->deferred--); /* first taken off: the function may release itself */
    if (!lua_isfunction(L, -1) || lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1);
  }
  s->closing--;
  s->current = NULL;
  lua_sethook(L, NULL, 0, 0);
  lua_pop(L, 2);
}

static void close_open_scopes(weir_task *task) {
  while (task->scope != task->home) {
    weir_scope *scope = task->scope;
    weir_scope_cancel(scope, WEIR_CANCELLED, "the task that opened the scope has ended");
    for (weir_task *child = scope->tasks, *next; child; child = next) {
      next = child->sibling_next;
      if (child->state != WEIR_RUNNING) weir_task_kill(child);
    }
    weir_scope_release(task->scheduler->L, scope);
  }
}

/* A thread that ended well serves the next task. Many idle ones would cost each cycle of the collector, so
 * after a crowd they go little by little: it may come back soon. */
static bool is_worth_keeping(const weir_task *task) {
  return task->scheduler->free_count < THREADS_KEPT || task->id % DROPPED_OF_MORE != 0;
}

/* At a tick: those that have been idle for longest go, a few at a time. Below shed_to all are gone. */
static void shed_idle_threads(weir_scheduler *s) {
  s->shed_at = s->ticks;
  for (int i = 0; i < THREADS_SHED && s->shed_to + THREADS_IDLE < s->free_count; i++) {
    uint32_t slot = s->free_slots[s->shed_to++];
    if (s->slot_threads[slot]) drop_thread(s, slot);
  }
}

static void finish(weir_task *task, bool thread_is_clean) {
  run_deferred(task);
  close_open_scopes(task);
  if (task->failed && !task->cancelled) weir_scope_failed(task->home, task);
  if (!thread_is_clean || !is_worth_keeping(task)) drop_thread(task->scheduler, task->slot);
  weir_task_leave(task);
  free(task->chain);
  free(task->reason);
  task->chain = NULL;
  task->reason = NULL;
  free_slot(task);
}

static void prepare_raise(weir_task *task) {
  const char *reason;
  if (task->doomed || (task->preempted && weir_task_cancelled(task, &reason) != WEIR_OK))
    weir_preempt_arm(task->leaf ? task->leaf : task->thread);
}

/* What is loaded at the start is kept: collecting it again and again would only cost time. */
static void start_collecting(weir_scheduler *s) {
  if (s->memory->used_bytes < COLLECT_FROM_BYTES) return;
  s->collects = true;
  lua_gc(s->L, LUA_GCRESTART);
}

void weir_task_resume(weir_task *task) {
  weir_scheduler *s = task->scheduler;
  if (!s->collects) start_collecting(s);
  if (s->shed_at != s->ticks) shed_idle_threads(s);
  int nresults = 0;
  int nargs = task->leaf ? 0 : lua_gettop(task->thread) - 1;
  s->running = task;
  atomic_store_explicit(&s->running_id, task->id, memory_order_relaxed);
  s->resumes++;
  s->ticks_at_resume = s->ticks;
  s->yielding = WEIR_NO_YIELD;
  s->memory->account = &task->bytes;
  task->state = WEIR_RUNNING;
  if (s->cancellations || task->doomed) prepare_raise(task);
  task->preempted = false;
  int status = weir_coroutine_enter(s, s->L, task->thread, nargs, &nresults, true);
  s->memory->account = &s->memory->host_account;
  s->running = NULL;
  if (status == LUA_YIELD) {
    lua_pop(task->thread, nresults);
    if (s->yielding == WEIR_PREEMPTED) {
      weir_task_ready(task);
      task->preempted = true;
    }
    return;
  }
  if (status != LUA_OK) { /* only what no protected call can catch: an error in the message handler */
    lua_pushboolean(task->thread, 0);
    lua_insert(task->thread, -2);
    nresults = 2;
  }
  keep_results(task, nresults);
  lua_settop(task->thread, 0);
  finish(task, status == LUA_OK);
}

/* End a task without resuming it: its coroutines are closed innermost first, and none may wait. */
void weir_task_kill(weir_task *task) {
  weir_scheduler *s = task->scheduler;
  if (task->state == WEIR_DONE || task->state == WEIR_RUNNING) return;
  weir_task_withdraw(task);
  s->ticks_at_resume = s->ticks; /* what it closes has the hard limit for all of it */
  if (task->leaf) {
    if (task->leaf != task->thread) weir_coroutine_reset(s, task->leaf);
    for (uint32_t i = 0; i < task->depth; i++)
      if (task->chain[i] != task->thread) weir_coroutine_reset(s, task->chain[i]);
  }
  weir_coroutine_reset(s, task->thread);
  lua_settop(task->thread, 0);
  lua_pushboolean(task->thread, 0);
  weir_push_error(task->thread, WEIR_CANCELLED, "the task did not stop within its grace time and was terminated");
  keep_results(task, 2);
  lua_settop(task->thread, 0);
  finish(task, false);
}

weir_scope *weir_scope_new(lua_State *L, weir_task *owner, int64_t deadline_ns, bool shielded) {
  weir_scope *scope = lua_newuserdatauv(L, sizeof *scope, 1);              /* scope */
  weir_scope_open(scope, owner, deadline_ns, shielded);
  luaL_setmetatable(L, WEIR_SCOPE);
  lua_rawgeti(L, LUA_REGISTRYINDEX, owner->scheduler->scopes_ref);         /* scope scopes */
  lua_pushvalue(L, -2);                                                    /* scope scopes scope */
  lua_rawsetp(L, -2, scope);                                               /* scope scopes */
  lua_pop(L, 1);
  return scope;
}

void weir_scope_release(lua_State *L, weir_scope *scope) {
  weir_scheduler *s = scope->scheduler;
  weir_scope_close(scope);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->scopes_ref);
  lua_pushnil(L);
  lua_rawsetp(L, -2, scope);
  lua_pop(L, 1);
}

static void push_error_of(lua_State *L, weir_task *task) {
  weir_task_push(L, task);           /* task */
  lua_getiuservalue(L, -1, WEIR_TASK_RESULT);  /* task results */
  lua_rawgeti(L, -1, 2);             /* task results error */
  lua_replace(L, -3);                /* error results */
  lua_pop(L, 1);                     /* error */
}

/* A task failed: its scope keeps the first error and is cancelled; one that reports says so instead. */
void weir_scope_failed(weir_scope *scope, weir_task *task) {
  lua_State *L = scope->scheduler->L;
  if (scope->reports) {
    push_error_of(L, task);
    scope->scheduler->report(scope->scheduler->host, L, task->name);
    lua_pop(L, 1);
    return;
  }
  if (scope->failed || scope->cancelled) return;
  scope->failed = true;
  lua_rawgeti(L, LUA_REGISTRYINDEX, scope->scheduler->scopes_ref);
  lua_rawgetp(L, -1, scope);        /* scopes scope */
  push_error_of(L, task);           /* scopes scope error */
  lua_setiuservalue(L, -2, 1);      /* scopes scope */
  lua_pop(L, 2);
  weir_scope_cancel(scope, WEIR_CANCELLED, "another task of the scope failed");
}
