/* waiter_lua.c - waiting for what a callback brings, and callbacks as tasks. */
#include <lauxlib.h>

#include "binding.h"
#include "scheduler_lua.h"
#include "task.h"
#include "task_lua.h"

typedef struct {
  weir_wait wait;
  bool woken;
} waiter; /* user values: 1 the values it was woken with, 2 what it is for */

/* Waiters: one task waits for what a callback brings. */

static int scheduler_waiter(lua_State *L) {
  waiter *w = lua_newuserdatauv(L, sizeof *w, 2);
  *w = (waiter){ 0 };
  luaL_setmetatable(L, WEIR_WAITER);
  return 1;
}

static int waiter_wake(lua_State *L) { /* waiter, values...: the first wake counts */
  waiter *w = luaL_checkudata(L, 1, WEIR_WAITER);
  if (w->woken) return 0;
  int count = lua_gettop(L) - 1;
  lua_createtable(L, count, 1);
  lua_insert(L, 2);                                /* waiter values v... */
  for (int i = count; i >= 1; i--) lua_rawseti(L, 2, i);
  lua_pushinteger(L, count);
  lua_setfield(L, 2, "n");
  lua_setiuservalue(L, 1, 1);
  w->woken = true;
  weir_wait_wake(&w->wait);
  return 0;
}

static int waiter_values(lua_State *L) {
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 1); /* waiter values */
  lua_getfield(L, 2, "n");
  int count = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, count, "too many values");
  for (int i = 1; i <= count; i++) lua_rawgeti(L, 2, i);
  return count;
}

static int waiter_woken(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status == WEIR_TIMEOUT) return weir_refusef(L, WEIR_TIMEOUT, "nothing came in time");
  return waiter_values(L);
}

static int waiter_wait(lua_State *L) { /* waiter, what?, timeout? */
  waiter *w = luaL_checkudata(L, 1, WEIR_WAITER);
  if (w->woken) return waiter_values(L);
  if (w->wait.task) return luaL_error(L, "another task waits here");
  const char *what = luaL_optstring(L, 2, "a callback");
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 1, 2);
  return weir_task_wait(L, &w->wait, what, weir_deadline_after(L, 3), 0, waiter_woken);
}

/* Callbacks */

static int call_bound(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* bind(function) -> function that luv may call: it runs as a task of the scope that is open now */
static int scheduler_bind(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  weir_scheduler *s = weir_scheduler_in(L);
  weir_scope *scope = s->running ? s->running->scope : &s->root;
  if (scope == &s->root) {
    lua_pushnil(L);
  } else {
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->scopes_ref);
    lua_rawgetp(L, -1, scope);
    lua_replace(L, 2);
  }
  lua_pushcclosure(L, call_bound, 2);
  return 1;
}

void weir_start_callback(lua_State *L, int nargs) {
  weir_scheduler *s = weir_scheduler_in(L);
  weir_scope *home = &s->root;
  int function = lua_gettop(L) - nargs;
  if (lua_tocfunction(L, function) == call_bound) {
    lua_getupvalue(L, function, 2);
    weir_scope *bound = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (bound && bound->closed) {
      lua_settop(L, function - 1);
      return;
    }
    if (bound) home = bound;
    lua_getupvalue(L, function, 1);
    lua_replace(L, function);
  }
  weir_task *task = weir_task_new(L, home, nargs);
  weir_task_change_lane(task, 0);
  lua_pop(L, 1);
}

static const luaL_Reg waiter_methods[] = { { "wake", waiter_wake }, { "wait", waiter_wait }, { NULL, NULL } };

const luaL_Reg weir_waiter_functions[] = { { "waiter", scheduler_waiter }, { "bind", scheduler_bind }, { NULL, NULL } };

void weir_waiter_prepare(lua_State *L) { weir_new_class(L, WEIR_WAITER, waiter_methods, NULL); }
