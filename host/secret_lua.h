/* secret_lua.h - handles of secrets, for the bindings that use their values. */
#ifndef WEIR_SECRET_LUA_H
#define WEIR_SECRET_LUA_H
#include <lua.h>

#include "secret.h"

/* The secret whose handle stands at index, or NULL when it is none. */
weir_secret *weir_secret_test(lua_State *L, int index);
#endif
