/* task_arguments_lua.c - what the Lua files of the scheduler share: arguments and classes. */
#include <lauxlib.h>
#include <math.h>

#include "task.h"
#include "task_lua.h"

weir_scheduler *weir_scheduler_in(lua_State *L) { return weir_scheduler_of(weir_host_of(L)); }

weir_task *weir_running_task(lua_State *L) {
  weir_task *task = weir_scheduler_in(L)->running;
  if (!task) luaL_error(L, "no task is running");
  return task;
}

int64_t weir_deadline_after(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return WEIR_NO_DEADLINE;
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0, index, "seconds from 0");
  if (seconds > 9e9) return WEIR_NO_DEADLINE;
  return weir_scheduler_now(weir_scheduler_in(L)) + (int64_t)ceil(seconds * 1e9);
}

weir_status weir_code_at(lua_State *L, int index) {
  static const char *const names[] = { "cancelled", "timeout", "failed", "limit", "rejected", NULL };
  static const weir_status codes[] = { WEIR_CANCELLED, WEIR_TIMEOUT, WEIR_FAILED, WEIR_LIMIT, WEIR_REJECTED };
  return codes[luaL_checkoption(L, index, "cancelled", names)];
}

weir_scope *weir_open_scope_at(lua_State *L, int index) {
  weir_scope *scope = luaL_checkudata(L, index, WEIR_SCOPE);
  if (scope->closed) luaL_error(L, "the scope is closed");
  return scope;
}

void weir_new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "weir");
  lua_setfield(L, -2, "__metatable");
  if (gc) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
}
