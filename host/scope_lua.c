/* scope_lua.c - scopes and deferred functions for Lua. */
#include <lauxlib.h>
#include <stdlib.h>

#include "binding.h"
#include "task.h"
#include "task_lua.h"

#define DEFERRED "weir.deferred"

typedef struct {
  weir_task *task; /* anchored by user value 1 */
  uint32_t index;
} deferred;

/* Scopes */

/* open_scope({timeout=, shield=}) -> scope: the innermost of the running task until it is closed */
static int scheduler_open_scope(lua_State *L) {
  int64_t deadline_ns = WEIR_NO_DEADLINE;
  bool shield = false;
  if (lua_istable(L, 1)) {
    lua_getfield(L, 1, "timeout");
    deadline_ns = weir_deadline_after(L, -1);
    lua_getfield(L, 1, "shield");
    shield = lua_toboolean(L, -1);
  }
  weir_scope_new(L, weir_running_task(L), deadline_ns, shield);
  return 1;
}

static int scope_cancel(lua_State *L) { /* scope, reason?, code? */
  weir_scope_cancel(luaL_checkudata(L, 1, WEIR_SCOPE), weir_code_at(L, 3), luaL_optstring(L, 2, "cancelled"));
  return 0;
}

static int scope_joined(lua_State *L, int status, lua_KContext context);

/* join(scope): waits until every task of the scope has ended; a cancellation does not cut it short */
static int scope_join(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  if (scope->task_count == 0) return 0;
  weir_running_task(L)->steadfast = true;
  return weir_task_wait_in(L, &scope->joiners, "the tasks of a scope", WEIR_NO_DEADLINE, 0, scope_joined);
}

static int scope_joined(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  lua_settop(L, 1);
  return scope_join(L);
}

/* why(scope) -> code, reason when it was cancelled, from inside or outside; nil when not */
static int scope_why(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  if (!scope->cancelled) return 0;
  lua_pushstring(L, weir_status_code(scope->cancelled));
  lua_pushstring(L, scope->reason ? scope->reason : "");
  return 2;
}

static int scope_error(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  if (!scope->failed) return 0;
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int scope_close(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  if (scope->closed) return 0;
  if (scope->task_count > 0) return luaL_error(L, "the scope still has tasks; join it first");
  if (scope->owner && scope->owner->scope != scope) return luaL_error(L, "an inner scope is still open");
  bool was_cancelled = scope->cancelled != WEIR_OK;
  weir_task *owner = scope->owner;
  weir_scope_release(L, scope);
  if (owner && was_cancelled) owner->raised = owner->doomed = false;
  return 0;
}

/* end_quietly(scope) -> true: it was closed, since nothing runs in it and nothing happened to it; else false */
static int scope_end_quietly(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  bool quiet = !scope->closed && scope->task_count == 0 && !scope->cancelled && !scope->failed &&
               (!scope->owner || scope->owner->scope == scope);
  if (quiet) weir_scope_release(L, scope);
  lua_pushboolean(L, quiet);
  return 1;
}

static int scope_gc(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  free(scope->reason);
  scope->reason = NULL;
  return 0;
}

static int scope_tasks(lua_State *L) {
  weir_scope *scope = luaL_checkudata(L, 1, WEIR_SCOPE);
  lua_pushinteger(L, scope->task_count);
  return 1;
}

/* After an error was caught at a boundary of the library: the error has done its work. */
static int scheduler_recover(lua_State *L) {
  weir_task *task = weir_running_task(L);
  if (task->doomed && task->doom == WEIR_LIMIT) task->scheduler->collected_ns = 0; /* its garbage may go now */
  task->doomed = task->raised = false;
  return 0;
}

/* Deferred functions: a stack of the task, unwound by whoever remembers how deep it was. */

static int scheduler_defer(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  weir_task *task = weir_running_task(L);
  weir_task_push(L, task);                                                /* function task */
  if (lua_getiuservalue(L, 2, WEIR_TASK_DEFERRED) != LUA_TTABLE) {        /* function task list */
    lua_newtable(L);
    lua_replace(L, 3);
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, 2, WEIR_TASK_DEFERRED);
  }
  deferred *handle = lua_newuserdatauv(L, sizeof *handle, 1);             /* function task list handle */
  handle->task = task;
  handle->index = task->deferred + 1;
  luaL_setmetatable(L, DEFERRED);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, 1);
  lua_rawseti(L, 3, (lua_Integer)handle->index);
  task->deferred = handle->index;
  return 1;
}

static int deferred_release(lua_State *L) {
  deferred *handle = luaL_checkudata(L, 1, DEFERRED);
  weir_task *task = handle->task;
  if (handle->index == 0 || handle->index > task->deferred) return 0;
  lua_getiuservalue(L, 1, 1);                          /* handle task */
  lua_getiuservalue(L, -1, WEIR_TASK_DEFERRED);        /* handle task list */
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, (lua_Integer)handle->index);
  if (handle->index == task->deferred) task->deferred--;
  handle->index = 0;
  return 0;
}

/* deferred() -> how many functions the running task has deferred, how many scopes it has open */
static int scheduler_deferred(lua_State *L) {
  weir_task *task = weir_running_task(L);
  lua_pushinteger(L, task->deferred);
  lua_pushinteger(L, task->open_scopes);
  return 2;
}

/* attempt() -> the same, where the library is about to call a module. Under a seed the next preemption is drawn
 * anew here, so that it does not hang on how the library got here (a cache that was cold, say). */
static int scheduler_attempt(lua_State *L) {
  weir_scheduler *s = weir_scheduler_in(L);
  s->looks = 0;
  if (s->jitter) weir_preempt_before(s, L);
  return scheduler_deferred(L);
}

/* undefer(mark) -> the last function deferred above the mark, taken off; nil when there is none */
static int scheduler_undefer(lua_State *L) {
  lua_Integer mark = luaL_checkinteger(L, 1);
  weir_task *task = weir_running_task(L);
  while (task->deferred > 0 && task->deferred > (uint32_t)mark) {
    weir_task_push(L, task);
    lua_getiuservalue(L, -1, WEIR_TASK_DEFERRED);
    lua_rawgeti(L, -1, (lua_Integer)task->deferred);
    lua_pushnil(L);
    lua_rawseti(L, -3, (lua_Integer)task->deferred--);
    if (lua_isfunction(L, -1)) return 1;
    lua_pop(L, 3);
  }
  return 0;
}

static const luaL_Reg scope_methods[] = { { "cancel", scope_cancel }, { "join", scope_join },
  { "close", scope_close }, { "why", scope_why }, { "error", scope_error }, { "tasks", scope_tasks },
  { "end_quietly", scope_end_quietly }, { NULL, NULL } };
static const luaL_Reg deferred_methods[] = { { "release", deferred_release }, { NULL, NULL } };

const luaL_Reg weir_scope_functions[] = { { "open_scope", scheduler_open_scope }, { "recover", scheduler_recover },
  { "defer", scheduler_defer }, { "deferred", scheduler_deferred }, { "attempt", scheduler_attempt }, { "undefer", scheduler_undefer },
  { NULL, NULL } };

void weir_scope_prepare(lua_State *L) {
  weir_new_class(L, WEIR_SCOPE, scope_methods, scope_gc);
  weir_new_class(L, DEFERRED, deferred_methods, NULL);
}
