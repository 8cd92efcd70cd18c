/* fuzz_lua.c - libFuzzer target for what the library does with text from outside.
 *
 * FUZZ_SCRIPT names a Lua file that returns function(bytes): it raises where a promise is broken.
 * Lua code has no coverage of its own, so a line hook counts the steps from line to line, and libFuzzer
 * takes these counters for the program's. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "natives.h"

#define COUNTERS 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

static lua_State *state; /* one for all inputs: opening the library takes longer than most of them */
static uintptr_t previous;

/* The step from the line before to this one; a chunk is known by where its name stands. */
static void count_line(lua_State *L, lua_Debug *line) {
  lua_getinfo(L, "Sl", line);
  uintptr_t here = (((uintptr_t)line->source >> 4) + (uintptr_t)line->currentline) * 0x9E3779B1u;
  here = (here >> 8) % COUNTERS;
  uint8_t *counter = &counters[(here ^ previous) % COUNTERS];
  if (*counter < UINT8_MAX) (*counter)++;
  previous = here >> 1;
}

static void must(lua_State *L, int status, const char *what) {
  if (status == LUA_OK) return;
  fprintf(stderr, "%s: %s\n", what, luaL_tolstring(L, -1, NULL));
  abort();
}

static void set_path(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s", FUZZ_TREE, FUZZ_TREE, lua_tostring(L, -1));
  lua_setfield(L, -3, "path");
  lua_pop(L, 2);
}

static lua_State *open_library(void) {
  lua_State *L = luaL_newstate();
  if (!L) abort();
  luaL_openlibs(L);
  set_path(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_weir_native_json);
  lua_setfield(L, -2, "weir.native.json");
  lua_pushcfunction(L, luaopen_weir_native_hash);
  lua_setfield(L, -2, "weir.native.hash");
  lua_settop(L, 0);
  must(L, luaL_loadfilex(L, FUZZ_SCRIPT, "t"), "load");
  must(L, lua_pcall(L, 0, 1, 0), "start"); /* check */
  lua_sethook(L, count_line, LUA_MASKLINE, 0);
  return L;
}

static int traceback(lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!state) state = open_library();
  lua_State *L = state;
  previous = 0;
  lua_pushcfunction(L, traceback);                 /* check traceback */
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, size);    /* check traceback check bytes */
  must(L, lua_pcall(L, 1, 0, 2), "a promise is broken");
  lua_settop(L, 1);
  return 0;
}
