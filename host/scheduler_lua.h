/* scheduler_lua.h - what the host itself needs of the scheduler's Lua face. */
#ifndef WEIR_SCHEDULER_LUA_H
#define WEIR_SCHEDULER_LUA_H
#include <lua.h>

#include "scheduler.h"

void weir_scheduler_prepare(lua_State *L); /* metatables and tables of the registry; may raise */

/* Start a task with the function and the nargs arguments on top of L; pops them. The task belongs to the
 * scope that the function was bound in, else to the host's root. */
void weir_start_callback(lua_State *L, int nargs);

void weir_report_deadlock(weir_scheduler *scheduler);
int weir_task_integer_result(lua_State *L, weir_task *task);
#endif
