/* sandbox_world_lua.h - the globals of code that nobody vouches for. */
#ifndef WEIR_SANDBOX_WORLD_LUA_H
#define WEIR_SANDBOX_WORLD_LUA_H
#include <lua.h>

#define WEIR_SANDBOX_SOURCE_BYTES (256u << 10)

/* Open what is needed of Lua's libraries and push the table of globals, made from nothing: a name that
 * is not in the lists of sandbox_world_lua.c is not there. It becomes the globals of the state too.
 * `print` is left out: whoever embeds this says where it goes. May raise. */
void weir_sandbox_push_world(lua_State *L, lua_Integer seed);

/* Load a text (never bytecode, at most 256 KiB) whose globals are the table on top, which stays there
 * below the function: LUA_OK, or a status of lua_load with the message on top instead. */
int weir_sandbox_load(lua_State *L, const char *text, size_t size, const char *name);
#endif
