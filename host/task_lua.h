/* task_lua.h - names that the Lua files of the scheduler share. */
#ifndef WEIR_TASK_LUA_H
#define WEIR_TASK_LUA_H
#define WEIR_TASK "weir.task"
#define WEIR_SCOPE "weir.scope"
#define WEIR_WAITER "weir.waiter"
enum { WEIR_TASK_NAME = 1, WEIR_TASK_RESULT, WEIR_TASK_LOCALS, WEIR_TASK_DEFERRED, WEIR_TASK_CONTEXT, WEIR_TASK_USER_VALUES = WEIR_TASK_CONTEXT };

#include <lauxlib.h>

#include "scheduler.h"

typedef struct weir_scope weir_scope;

weir_scheduler *weir_scheduler_in(lua_State *L);
weir_task *weir_running_task(lua_State *L); /* raises when there is none */
int64_t weir_deadline_after(lua_State *L, int index);     /* seconds from now, or nil */
weir_status weir_code_at(lua_State *L, int index);        /* of a cancellation; default cancelled */
weir_scope *weir_open_scope_at(lua_State *L, int index);
void weir_new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc); /* gc may be NULL */

/* Functions of weir.native.scheduler that stand in files of their own, and their classes. */
extern const luaL_Reg weir_scope_functions[], weir_waiter_functions[];
void weir_scope_prepare(lua_State *L);
void weir_waiter_prepare(lua_State *L);
#endif
