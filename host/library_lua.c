/* library_lua.c - weir.native.library: loads the files of the library, as the build has compiled them
 * where it can. */
#include <stdlib.h>

#include "binding.h"
#include "library.h"
#include "natives.h"

#define LIBRARY "weir.library"

static int library_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  weir_library **library = lua_newuserdatauv(L, sizeof *library, 0); /* library */
  *library = NULL;
  luaL_setmetatable(L, LIBRARY);
  *library = weir_library_open(path);
  return 1;
}

/* library:load(path, name) -> function | nil; raises what is wrong with its text. Loading a chunk
 * raises nothing. */
static int library_load(lua_State *L) {
  weir_library **library = luaL_checkudata(L, 1, LIBRARY);
  const char *path = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
  weir_content text = weir_library_text(path);
  if (!text.bytes) return 0;
  weir_content compiled = weir_library_compiled(*library, name, text);
  int status =
      compiled.bytes ? luaL_loadbufferx(L, compiled.bytes, compiled.size, name, "b") : LUA_ERRFILE;
  if (status != LUA_OK) status = luaL_loadbufferx(L, text.bytes, text.size, name, "t");
  free(compiled.bytes);
  free(text.bytes);
  return status == LUA_OK ? 1 : lua_error(L);
}

static int library_gc(lua_State *L) {
  weir_library **library = luaL_checkudata(L, 1, LIBRARY);
  weir_library_close(*library);
  *library = NULL;
  return 0;
}

static const luaL_Reg functions[] = { { "open", library_open }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "load", library_load }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", library_gc }, { NULL, NULL } };

int luaopen_weir_native_library(lua_State *L) {
  luaL_newmetatable(L, LIBRARY); /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);        /* meta methods */
  lua_setfield(L, -2, "__index"); /* meta */
  luaL_newlib(L, functions);      /* meta functions */
  return 1;
}
