/* natives.h - the native modules that are part of the host itself. */
#ifndef WEIR_NATIVES_H
#define WEIR_NATIVES_H
#include <lauxlib.h>

extern const luaL_Reg weir_natives[]; /* module name, its open function; ends with a NULL name */

int luaopen_weir_coroutine(lua_State *L);
int luaopen_weir_native_channel(lua_State *L);
int luaopen_weir_native_checkpoint(lua_State *L);
int luaopen_weir_native_fingerprint(lua_State *L);
int luaopen_weir_native_hash(lua_State *L);
int luaopen_weir_native_json(lua_State *L);
int luaopen_weir_native_library(lua_State *L);
int luaopen_weir_native_peer(lua_State *L);
int luaopen_weir_native_registry(lua_State *L);
int luaopen_weir_native_scheduler(lua_State *L);
int luaopen_weir_native_secret(lua_State *L);
#endif
