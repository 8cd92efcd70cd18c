/* task_lua.h - names that the Lua files of the scheduler share. */
#ifndef WEIR_TASK_LUA_H
#define WEIR_TASK_LUA_H
#define WEIR_TASK "weir.task"
#define WEIR_SCOPE "weir.scope"
#define WEIR_WAITER "weir.waiter"
enum { WEIR_TASK_NAME = 1, WEIR_TASK_RESULT, WEIR_TASK_LOCALS, WEIR_TASK_DEFERRED, WEIR_TASK_CONTEXT, WEIR_TASK_USER_VALUES = WEIR_TASK_CONTEXT };
#endif
