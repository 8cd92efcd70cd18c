/* scheduler_lua.c - weir.native.scheduler: tasks, scopes, time and waiting for Lua. */
#include "scheduler_lua.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "natives.h"
#include "task.h"
#include "task_lua.h"

#define NS 1e9

/* Time */

static int scheduler_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)weir_scheduler_now(weir_scheduler_in(L)) / NS);
  return 1;
}

static int scheduler_wall(lua_State *L) {
  lua_pushnumber(L, (lua_Number)weir_scheduler_wall_ms(weir_scheduler_in(L)) / 1000);
  return 1;
}

static int scheduler_wall_ms(lua_State *L) {
  lua_pushinteger(L, weir_scheduler_wall_ms(weir_scheduler_in(L)));
  return 1;
}

static int scheduler_is_virtual(lua_State *L) {
  lua_pushboolean(L, weir_scheduler_in(L)->is_virtual);
  return 1;
}

/* use_virtual_clock(seed|nil, jitter|nil): with a seed the order of ready tasks is drawn too. */
static int scheduler_use_virtual_clock(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  lua_Integer jitter = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, jitter >= 0 && jitter <= INT32_MAX, 2, "instructions from 0");
  if (!s->is_virtual) {
    s->virtual_ns = weir_scheduler_now(s);
    s->virtual_wall_ms = 1767225600000 - s->virtual_ns / 1000000; /* 2026-01-01T00:00:00Z */
    s->is_virtual = true;
  }
  s->seeded = !lua_isnoneornil(L, 1);
  s->looks = 0;
  s->random = s->seeded ? (uint64_t)luaL_checkinteger(L, 1) : 0;
  s->jitter = (uint32_t)jitter;
  s->looks = 0;
  if (s->current) weir_preempt_before(s, s->current); /* what an earlier seed drew for it is void */
  return 0;
}

/* use_real_clock(): only while nobody sleeps, since deadlines do not move over */
static int scheduler_use_real_clock(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  s->is_virtual = s->seeded = false;
  s->jitter = 0;
  return 0;
}

static int scheduler_random(lua_State *L) { /* drawn from the seed: a float in [0, 1) */
  lua_pushnumber(L, (lua_Number)(weir_scheduler_draw(weir_scheduler_in(L)) >> 11) * 0x1p-53);
  return 1;
}

static int slept(lua_State *L, int status, lua_KContext context) {
  (void)L, (void)status, (void)context;
  return 0;
}

static int scheduler_sleep(lua_State *L) {
  luaL_checknumber(L, 1);
  weir_task *task = weir_running_task(L);
  task->self.abandon = task->self.lost = NULL;
  return weir_task_wait(L, &task->self, "sleep", weir_deadline_after(L, 1), 0, slept);
}

static int yielded(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  weir_task_check(L);
  return 0;
}

static int scheduler_yield(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  weir_task *task = weir_running_task(L);
  if (!s->can_wait || !lua_isyieldable(L)) return luaL_error(L, "cannot yield here");
  weir_task_check(L);
  task->leaf = L;
  task->depth = 0;
  s->yielding = WEIR_PREEMPTED;
  return lua_yieldk(L, 0, 0, yielded);
}

static int scheduler_can_wait(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  lua_pushboolean(L, s->running && s->can_wait && lua_isyieldable(L));
  return 1;
}

static int scheduler_check(lua_State *L) {
  weir_task_check(L);
  return 0;
}

/* cancelled() -> code, reason of the cancellation that the running task is under; nil when there is none */
static int scheduler_cancelled(lua_State *L) {
  weir_task *task = weir_scheduler_in(L)->running;
  const char *reason = NULL;
  weir_status code = task ? weir_task_cancelled(task, &reason) : WEIR_OK;
  if (code == WEIR_OK) return 0;
  lua_pushstring(L, weir_status_code(code));
  lua_pushstring(L, reason ? reason : "cancelled");
  return 2;
}

/* failure(code, message) -> an error as the host raises them: a table whose tostring is the message */
static int scheduler_failure(lua_State *L) {
  weir_push_code_error(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2));
  lua_pushvalue(L, 2); /* ... error message; whole, where it holds a zero byte */
  lua_setfield(L, -2, "message");
  return 1;
}

/* Runs a function that must not lose the processor and may not wait. */
static int scheduler_atomic(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET); /* no continuation: nothing below can yield */
  return lua_gettop(L);
}

/* Code of the library in chunks whose names begin so only computes: it may lose the processor where the code that calls it may. */
static int scheduler_computing(lua_State *L) {
  const char *prefix = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  if (!weir_preempt_computing(weir_scheduler_in(L), prefix)) return luaL_error(L, "computing: there are %d already", WEIR_COMPUTING);
  luaL_ref(L, LUA_REGISTRYINDEX); /* for good */
  return 0;
}

/* Tasks */

static void name_task(lua_State *L, weir_task *task, int index) { /* task on top */
  size_t length;
  const char *name = luaL_checklstring(L, index, &length);
  lua_pushvalue(L, index);
  lua_setiuservalue(L, -2, WEIR_TASK_NAME);
  task->name = name;
}

static int scheduler_spawn(lua_State *L) { /* function, args... */
  luaL_checktype(L, 1, LUA_TFUNCTION);
  weir_scheduler *s = weir_scheduler_in(L);
  weir_task_new(L, s->running ? s->running->scope : &s->root, lua_gettop(L) - 1);
  return 1;
}

/* FNV-1a of Fowler, Noll and Vo. Two keys of one hash share what each would have had. */
static uint64_t key_of(const char *text, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
  return hash ? hash : 1;
}

/* The key in the options at 1; 0: none, that of the task that calls holds. */
static uint64_t key_option(lua_State *L) {
  size_t size;
  uint64_t key = 0;
  if (lua_getfield(L, 1, "key") != LUA_TNIL) {
    const char *text = luaL_checklstring(L, -1, &size);
    key = key_of(text, size);
  }
  lua_pop(L, 1);
  return key;
}

/* start({name=, lane=, scope=, key=}, function, args...) */
static int scheduler_start(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  weir_scheduler *s = weir_scheduler_in(L);
  weir_scope *home = s->running ? s->running->scope : &s->root;
  if (lua_getfield(L, 1, "scope") != LUA_TNIL) home = weir_open_scope_at(L, -1);
  lua_pop(L, 1);
  lua_getfield(L, 1, "lane");
  lua_Integer lane = luaL_optinteger(L, -1, 1);
  lua_pop(L, 1);
  luaL_argcheck(L, lane >= 0 && lane < WEIR_LANES, 1, "lane must be 0 (first), 1 or 2");
  uint64_t key = key_option(L);
  weir_task *task = weir_task_new(L, home, lua_gettop(L) - 2); /* options task */
  if (lane != task->lane) weir_task_change_lane(task, (uint8_t)lane);
  if (key != 0) weir_task_change_tenant(task, key); /* without memory it stays where it is */
  if (lua_getfield(L, 1, "name") != LUA_TNIL) {                /* options task name */
    lua_insert(L, -2);                                         /* options name task */
    name_task(L, task, lua_gettop(L) - 1);
  } else {
    lua_pop(L, 1);
  }
  return 1;
}

/* spawn_root(function, args...): outside of every scope, for what must not end with the caller */
static int scheduler_spawn_root(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  weir_task_new(L, &weir_scheduler_in(L)->root, lua_gettop(L) - 1);
  return 1;
}

static weir_task *task_at(lua_State *L, int index) { return luaL_checkudata(L, index, WEIR_TASK); }

static int task_results(lua_State *L, weir_task *task) {
  if (!task->has_result) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_getiuservalue(L, 1, WEIR_TASK_RESULT);
  lua_getfield(L, -1, "n");
  int count = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, count, "too many results");
  for (int i = 1; i <= count; i++) lua_rawgeti(L, 2, i);
  return count;
}

static int joined(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status == WEIR_TIMEOUT) return weir_refusef(L, WEIR_TIMEOUT, "the task has not ended in time");
  lua_settop(L, 1);
  return task_results(L, task_at(L, 1));
}

static int task_join(lua_State *L) {
  weir_task *task = task_at(L, 1);
  if (task->state == WEIR_DONE) {
    lua_settop(L, 1);
    return task_results(L, task);
  }
  if (task == weir_running_task(L)) return luaL_error(L, "a task cannot join itself");
  return weir_task_wait_in(L, &task->joiners, "another task", weir_deadline_after(L, 2), 0, joined);
}

static int task_cancel(lua_State *L) { /* task, reason?, code? */
  weir_task_cancel(task_at(L, 1), weir_code_at(L, 3), luaL_optstring(L, 2, "cancelled"));
  return 0;
}

static const char *state_name(const weir_task *task) {
  static const char *const names[] = { "ready", "running", "waiting", "done" };
  return names[task->state];
}

static int task_status(lua_State *L) {
  lua_pushstring(L, state_name(task_at(L, 1)));
  return 1;
}

static void push_info(lua_State *L, weir_task *task) {
  int64_t age_ns = weir_scheduler_now(task->scheduler) - task->created_ns;
  lua_createtable(L, 0, 8);
  lua_pushinteger(L, (lua_Integer)task->id);
  lua_setfield(L, -2, "id");
  lua_pushstring(L, task->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, state_name(task));
  lua_setfield(L, -2, "state");
  if (task->state == WEIR_WAITING) {
    lua_pushstring(L, task->what);
    lua_setfield(L, -2, "waits_for");
  }
  lua_pushnumber(L, (lua_Number)task->ticks * WEIR_TICK_MS / 1000);
  lua_setfield(L, -2, "cpu");
  lua_pushnumber(L, (lua_Number)age_ns / NS);
  lua_setfield(L, -2, "age");
  lua_pushinteger(L, task->lane);
  lua_setfield(L, -2, "lane");
  lua_pushinteger(L, task->bytes);
  lua_setfield(L, -2, "bytes");
}

static int task_info(lua_State *L) {
  push_info(L, task_at(L, 1));
  return 1;
}

static int scheduler_tasks(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  lua_newtable(L);
  for (uint32_t i = 0, n = 0; i < s->slot_count; i++) {
    if (!s->slot_tasks[i]) continue;
    push_info(L, s->slot_tasks[i]);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int scheduler_current(lua_State *L) {
  weir_task *task = weir_scheduler_in(L)->running;
  if (!task) return 0;
  weir_task_push(L, task);
  return 1;
}

/* Task-local values: inherited when a task is spawned, copied when one is set. */
static int scheduler_get_local(lua_State *L) {
  luaL_checkany(L, 1);
  weir_task *task = weir_running_task(L);
  if (!task->has_locals) return 0;
  weir_task_push(L, task);
  lua_getiuservalue(L, -1, WEIR_TASK_LOCALS);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  return 1;
}

static void push_copied_locals(lua_State *L, weir_task *task) { /* task on top -> task copy */
  lua_newtable(L);
  if (!task->has_locals) return;
  lua_getiuservalue(L, -2, WEIR_TASK_LOCALS); /* task copy locals */
  for (lua_pushnil(L); lua_next(L, -2);) {    /* task copy locals key value */
    lua_pushvalue(L, -2);
    lua_insert(L, -2);                        /* task copy locals key key value */
    lua_rawset(L, -5);
  }
  lua_pop(L, 1);
}

static int scheduler_set_local(lua_State *L) {
  luaL_argcheck(L, !lua_isnoneornil(L, 1), 1, "key expected");
  lua_settop(L, 2);
  weir_task *task = weir_running_task(L);
  weir_task_push(L, task);                    /* key value task */
  push_copied_locals(L, task);                /* key value task copy */
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, -3);
  lua_setiuservalue(L, -2, WEIR_TASK_LOCALS); /* key value task */
  task->has_locals = true;
  return 0;
}

/* The context: one value that tells what the task works on. Inherited like the locals, and cheap to change. */
static int scheduler_context(lua_State *L) {
  weir_task *task = weir_scheduler_in(L)->running;
  if (!task || !task->has_context) return 0;
  weir_task_push(L, task);
  lua_getiuservalue(L, -1, WEIR_TASK_CONTEXT);
  return 1;
}

static int scheduler_set_context(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  weir_task *task = weir_running_task(L);
  weir_task_push(L, task);
  lua_insert(L, 1);                            /* task value */
  task->has_context = !lua_isnil(L, 2);
  lua_setiuservalue(L, 1, WEIR_TASK_CONTEXT);
  return 0;
}

/* The host's own needs */

static int scheduler_stats(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, s->live);
  lua_setfield(L, -2, "tasks");
  lua_pushinteger(L, (lua_Integer)s->preemptions);
  lua_setfield(L, -2, "preemptions");
  lua_pushinteger(L, s->memory->used_bytes);
  lua_setfield(L, -2, "memory_bytes");
  lua_pushinteger(L, (lua_Integer)s->timers.count);
  lua_setfield(L, -2, "timers");
  lua_pushinteger(L, (lua_Integer)s->resumes);
  lua_setfield(L, -2, "resumes");
  return 1;
}

static int scheduler_limit_memory(lua_State *L) { /* bytes of a task, bytes of the state */
  weir_memory *memory = weir_scheduler_in(L)->memory;
  memory->account_limit_bytes = luaL_optinteger(L, 1, memory->account_limit_bytes);
  memory->limit_bytes = luaL_optinteger(L, 2, memory->limit_bytes);
  return 0;
}

void weir_report_deadlock(weir_scheduler *s) {
  fprintf(stderr, "weir: deadlock: every task waits and nothing can wake them\n");
  for (uint32_t i = 0; i < s->slot_count; i++) {
    const weir_task *task = s->slot_tasks[i];
    if (task && task->state == WEIR_WAITING)
      fprintf(stderr, "weir:   task %llu '%s' waits for %s\n", (unsigned long long)task->id, task->name, task->what);
  }
}

int weir_task_integer_result(lua_State *L, weir_task *task) { /* task on top */
  if (!task->has_result) return 0;
  lua_getiuservalue(L, -1, WEIR_TASK_RESULT);
  lua_rawgeti(L, -1, 2);
  int value = (int)lua_tointeger(L, -1);
  lua_pop(L, 2);
  return value;
}

static const luaL_Reg task_methods[] = { { "join", task_join }, { "cancel", task_cancel },
  { "status", task_status }, { "info", task_info }, { NULL, NULL } };

static int new_registry_table(lua_State *L) {
  lua_newtable(L);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

void weir_scheduler_prepare(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  s->tasks_ref = new_registry_table(L);
  s->threads_ref = new_registry_table(L);
  s->scopes_ref = new_registry_table(L);
  weir_new_class(L, WEIR_TASK, task_methods, NULL);
  weir_scope_prepare(L);
  weir_waiter_prepare(L);
}

static const luaL_Reg functions[] = { { "now", scheduler_now }, { "wall", scheduler_wall },
  { "wall_ms", scheduler_wall_ms }, { "is_virtual", scheduler_is_virtual },
  { "use_virtual_clock", scheduler_use_virtual_clock }, { "use_real_clock", scheduler_use_real_clock }, { "random", scheduler_random },
  { "sleep", scheduler_sleep }, { "yield", scheduler_yield }, { "can_wait", scheduler_can_wait },
  { "check", scheduler_check }, { "atomic", scheduler_atomic },
  { "interruptible", weir_preempt_interruptible }, { "computing", scheduler_computing },
  { "cancelled", scheduler_cancelled }, { "failure", scheduler_failure }, { "spawn", scheduler_spawn },
  { "spawn_root", scheduler_spawn_root }, { "start", scheduler_start }, { "tasks", scheduler_tasks },
  { "current", scheduler_current }, { "context", scheduler_context },
  { "set_context", scheduler_set_context }, { "get_local", scheduler_get_local },
  { "set_local", scheduler_set_local },
  { "stats", scheduler_stats }, { "limit_memory", scheduler_limit_memory }, { NULL, NULL } };

int luaopen_weir_native_scheduler(lua_State *L) {
  luaL_newlib(L, functions);
  luaL_setfuncs(L, weir_scope_functions, 0);
  luaL_setfuncs(L, weir_waiter_functions, 0);
  return 1;
}
