/* coroutine.c - coroutine.* as modules get it: the same meaning, and waits and preemption pass through.
 *
 * A host yield (a wait or the end of a slice) inside a coroutine that a module made must suspend the
 * whole task. Each level that resumed another passes the yield up with lua_yieldk and, when the task
 * goes on, its continuation passes the resume down again. scheduler->yielding tells a host yield from
 * one of the module's own. A coroutine below a suspended level is marked in flight (the lowest bit of
 * its extra space, above which stands the host), so that nobody else resumes or closes it. */
#include <lauxlib.h>
#include <stdlib.h>

#include "natives.h"
#include "task.h"

static uintptr_t *extra_of(lua_State *co) { return (uintptr_t *)lua_getextraspace(co); }
static bool is_in_flight(lua_State *co) { return *extra_of(co) & 1; }

void weir_coroutine_mark(lua_State *co, bool in_flight) {
  if (in_flight) *extra_of(co) |= 1;
  else *extra_of(co) &= ~(uintptr_t)1;
}

static weir_scheduler *scheduler_of(lua_State *L) { return weir_scheduler_of(weir_host_of(L)); }

int weir_coroutine_enter(weir_scheduler *s, lua_State *from, lua_State *co, int nargs, int *nresults,
                         bool can_wait) {
  lua_State *outer = s->current;
  bool outer_can_wait = s->can_wait;
  weir_coroutine_mark(co, true);
  s->can_wait = can_wait;
  s->current = co;
  weir_preempt_before(s, co);
  int status = lua_resume(co, from, nargs, nresults);
  s->current = outer;
  s->can_wait = outer_can_wait;
  if (outer && s->running && s->running->doomed) weir_preempt_arm(outer);
  return status;
}

int weir_coroutine_reset(weir_scheduler *s, lua_State *co) {
  lua_State *outer = s->current;
  bool outer_can_wait = s->can_wait;
  s->current = co;
  s->can_wait = false;
  s->closing++;
  weir_coroutine_mark(co, true);
  int status = lua_resetthread(co);
  weir_coroutine_mark(co, false);
  s->closing--;
  s->current = outer;
  s->can_wait = outer_can_wait;
  return status;
}

static lua_State *coroutine_at(lua_State *L, int index) {
  lua_State *co = lua_tothread(L, index);
  luaL_argexpected(L, co, index, "coroutine");
  return co;
}

typedef enum { RUNNING, NORMAL, SUSPENDED, DEAD } condition;

static condition condition_of(lua_State *L, lua_State *co) {
  lua_Debug frame;
  if (L == co) return RUNNING;
  if (is_in_flight(co)) return NORMAL;
  if (lua_status(co) == LUA_YIELD) return SUSPENDED;
  if (lua_status(co) != LUA_OK) return DEAD;
  if (lua_getstack(co, 0, &frame)) return NORMAL;
  return lua_gettop(co) == 0 ? DEAD : SUSPENDED;
}

static const char *const condition_names[] = { "running", "normal", "suspended", "dead" };

/* The level above the leaf is suspended too: remember it, so that a kill can close it. */
static void remember_level(weir_task *task, lua_State *L) {
  if (task->depth == task->chain_capacity) {
    uint32_t capacity = task->chain_capacity ? task->chain_capacity * 2 : 8;
    lua_State **chain = realloc(task->chain, capacity * sizeof *chain);
    if (!chain) abort();
    task->chain = chain;
    task->chain_capacity = capacity;
  }
  task->chain[task->depth++] = L;
}

static int pass_up(weir_scheduler *s, lua_State *L, lua_State *co, int nresults, lua_KFunction k) {
  lua_pop(co, nresults);
  remember_level(s->running, L);
  return lua_yieldk(L, 0, (lua_KContext)co, k);
}

static bool is_host_yield(weir_scheduler *s, int status) {
  return status == LUA_YIELD && s->yielding != WEIR_NO_YIELD;
}

static bool can_pass(weir_scheduler *s, lua_State *L) { return s->can_wait && lua_isyieldable(L); }

static int resume_continued(lua_State *L, int status, lua_KContext context);

static int after_resume(lua_State *L, lua_State *co, int status, int nresults) {
  weir_scheduler *s = scheduler_of(L);
  if (is_host_yield(s, status)) return pass_up(s, L, co, nresults, resume_continued);
  weir_coroutine_mark(co, false);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
  }
  if (!lua_checkstack(L, nresults + 1)) {
    lua_pop(co, nresults);
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "too many results to resume");
    return 2;
  }
  lua_pushboolean(L, 1);
  lua_xmove(co, L, nresults);
  return nresults + 1;
}

static int resume_continued(lua_State *L, int status, lua_KContext context) {
  (void)status;
  weir_scheduler *s = scheduler_of(L);
  lua_State *co = (lua_State *)context;
  int nresults;
  lua_settop(L, 1); /* the coroutine, which is thereby anchored */
  int outcome = weir_coroutine_enter(s, L, co, 0, &nresults, can_pass(s, L));
  return after_resume(L, co, outcome, nresults);
}

static int coroutine_resume(lua_State *L) {
  weir_scheduler *s = scheduler_of(L);
  lua_State *co = coroutine_at(L, 1);
  int nargs = lua_gettop(L) - 1, nresults;
  condition now = condition_of(L, co);
  if (now != SUSPENDED) {
    lua_pushboolean(L, 0);
    lua_pushfstring(L, "cannot resume %s coroutine", now == DEAD ? "dead" : "non-suspended");
    return 2;
  }
  if (!lua_checkstack(co, nargs)) {
    lua_pushboolean(L, 0);
    lua_pushliteral(L, "too many arguments to resume");
    return 2;
  }
  lua_xmove(L, co, nargs);
  int status = weir_coroutine_enter(s, L, co, nargs, &nresults, can_pass(s, L));
  return after_resume(L, co, status, nresults);
}

static int wrap_continued(lua_State *L, int status, lua_KContext context);

static int fail_wrapped(lua_State *L, lua_State *co) {
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) status = weir_coroutine_reset(scheduler_of(L), co);
  lua_xmove(co, L, 1);
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int after_wrap(lua_State *L, lua_State *co, int status, int nresults) {
  weir_scheduler *s = scheduler_of(L);
  if (is_host_yield(s, status)) return pass_up(s, L, co, nresults, wrap_continued);
  weir_coroutine_mark(co, false);
  if (status != LUA_OK && status != LUA_YIELD) return fail_wrapped(L, co);
  luaL_checkstack(L, nresults + 1, "too many results");
  lua_xmove(co, L, nresults);
  return nresults;
}

static int wrap_continued(lua_State *L, int status, lua_KContext context) {
  (void)status;
  weir_scheduler *s = scheduler_of(L);
  lua_State *co = (lua_State *)context;
  int nresults;
  lua_settop(L, 0);
  int outcome = weir_coroutine_enter(s, L, co, 0, &nresults, can_pass(s, L));
  return after_wrap(L, co, outcome, nresults);
}

static int coroutine_wrapped(lua_State *L) {
  weir_scheduler *s = scheduler_of(L);
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int nargs = lua_gettop(L), nresults;
  condition now = condition_of(L, co);
  if (now != SUSPENDED)
    return luaL_error(L, "cannot resume %s coroutine", now == DEAD ? "dead" : "non-suspended");
  if (!lua_checkstack(co, nargs)) return luaL_error(L, "too many arguments to resume");
  lua_xmove(L, co, nargs);
  int status = weir_coroutine_enter(s, L, co, nargs, &nresults, can_pass(s, L));
  return after_wrap(L, co, status, nresults);
}

static int coroutine_create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_sethook(co, NULL, 0, 0); /* a new thread inherits the hook of its maker */
  weir_coroutine_mark(co, false);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int coroutine_wrap(lua_State *L) {
  coroutine_create(L);
  lua_pushcclosure(L, coroutine_wrapped, 1);
  return 1;
}

static bool is_root(weir_scheduler *s, lua_State *L) { return s->running && s->running->thread == L; }

static int coroutine_yield(lua_State *L) {
  weir_scheduler *s = scheduler_of(L);
  if (is_root(s, L)) return luaL_error(L, "attempt to yield from outside a coroutine");
  if (s->closing) return luaL_error(L, "attempt to yield while a coroutine is being closed");
  return lua_yield(L, lua_gettop(L));
}

static int coroutine_status(lua_State *L) {
  lua_pushstring(L, condition_names[condition_of(L, coroutine_at(L, 1))]);
  return 1;
}

static int coroutine_running(lua_State *L) {
  bool root = is_root(scheduler_of(L), L);
  bool main = lua_pushthread(L);
  lua_pushboolean(L, main || root);
  return 2;
}

static int coroutine_isyieldable(lua_State *L) {
  lua_State *co = lua_isnone(L, 1) ? L : coroutine_at(L, 1);
  lua_pushboolean(L, lua_isyieldable(co) && !is_root(scheduler_of(L), co));
  return 1;
}

static int coroutine_close(lua_State *L) {
  lua_State *co = coroutine_at(L, 1);
  condition now = condition_of(L, co);
  if (now != SUSPENDED && now != DEAD)
    return luaL_error(L, "cannot close a %s coroutine", condition_names[now]);
  int status = weir_coroutine_reset(scheduler_of(L), co);
  if (status == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

static const luaL_Reg functions[] = { { "create", coroutine_create }, { "wrap", coroutine_wrap },
  { "resume", coroutine_resume }, { "yield", coroutine_yield }, { "status", coroutine_status },
  { "running", coroutine_running }, { "isyieldable", coroutine_isyieldable },
  { "close", coroutine_close }, { NULL, NULL } };

int luaopen_weir_coroutine(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
