/* sandbox_world_lua.c - see sandbox_world_lua.h. Nothing here is security by itself: what a defect of Lua gives
 * away here still stands behind the walls of the process. */
#include "sandbox_world_lua.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"

static const char *const base_names[] = { "_VERSION", "assert",   "error",  "getmetatable", "ipairs", "next", "pcall",
                                          "rawequal", "rawget",   "rawlen", "rawset",       "select", "tonumber",
                                          "tostring", "type",     "xpcall", NULL };
static const char *const coroutine_names[] = { "close",  "create", "isyieldable", "resume", "running",
                                               "status", "wrap",   "yield",       NULL };
static const char *const string_names[] = { "byte", "char", "find",    "format",   "gmatch", "gsub",  "len",    "lower",
                                            "match", "pack", "packsize", "rep",     "reverse", "sub", "unpack", "upper", NULL };
static const char *const table_names[] = { "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL };
static const char *const math_names[] = { "abs",  "acos", "asin",   "atan", "ceil",       "cos",       "deg", "exp",
                                          "floor", "fmod", "huge",  "log",  "max",        "maxinteger", "min", "mininteger",
                                          "modf", "pi",   "rad",    "random", "sin",      "sqrt",      "tan", "tointeger",
                                          "type", "ult",  NULL };
static const char *const utf8_names[] = { "char", "charpattern", "codepoint", "codes", "len", "offset", NULL };
static const char *const json_names[] = { "decode", "encode", "is_list", "list", "null", NULL };
static const char *const refused_metamethods[] = { "__gc", "__close", "__mode", NULL };

/* Copy the named fields of the table below into the table on top. */
static void copy_fields(lua_State *L, const char *const *names) { /* from to */
  for (; *names; names++) {
    lua_getfield(L, -2, *names);
    lua_setfield(L, -2, *names);
  }
}

static int world_load(lua_State *L);
static int world_pairs(lua_State *L);

/* As setmetatable, without finalizers, weak tables and what closes variables: they run where no limit of
 * the interpreter reaches. */
static int world_setmetatable(lua_State *L) {
  int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
  for (const char *const *name = refused_metamethods; type == LUA_TTABLE && *name; name++) {
    lua_pushstring(L, *name);
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "setmetatable: %s is not available in a sandbox", *name);
    lua_pop(L, 1);
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

/* The pieces that the function at 1 gives until nil or "", as one text; what is past the largest source is not
 * asked for. */
static void collect_pieces(lua_State *L) {
  size_t total = 0;
  lua_Integer count = 0;
  lua_newtable(L); /* pieces */
  int pieces = lua_gettop(L);
  while (total <= WEIR_SANDBOX_SOURCE_BYTES) {
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1); /* pieces piece */
    if (lua_isnil(L, -1)) break;
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "load: its function must return strings");
    size_t size = lua_rawlen(L, -1);
    if (size == 0) break;
    total += size;
    lua_rawseti(L, -2, ++count); /* pieces */
  }
  lua_settop(L, pieces);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, pieces, i);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text); /* pieces text */
}

/* The text of a chunk that `load` was given: argument 1, or what it gives piece by piece. */
static void push_chunk(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING) {
    lua_pushvalue(L, 1); /* text */
    return;
  }
  luaL_checktype(L, 1, LUA_TFUNCTION);
  collect_pieces(L);
}

static int refuse_chunk(lua_State *L, const char *message) {
  lua_pushstring(L, message);
  return LUA_ERRSYNTAX;
}

int weir_sandbox_load(lua_State *L, const char *text, size_t size, const char *name) {
  if (size > WEIR_SANDBOX_SOURCE_BYTES) return refuse_chunk(L, "a source of more than 256 KiB");
  if (size > 0 && *text == LUA_SIGNATURE[0]) return refuse_chunk(L, "a source that is bytecode");
  int status = luaL_loadbufferx(L, text, size, name, "t"); /* world function */
  if (status != LUA_OK) return status;
  lua_pushvalue(L, -2);
  lua_setupvalue(L, -2, 1);
  return LUA_OK;
}

/* load(chunk [, name [, mode [, globals]]]): texts only, whatever the mode says. */
static int world_load(lua_State *L) {
  bool has_globals = lua_gettop(L) >= 4;
  const char *name = luaL_optstring(L, 2, "=(load)");
  lua_settop(L, 4);
  push_chunk(L); /* ... text */
  if (has_globals) lua_pushvalue(L, 4);
  else lua_pushvalue(L, lua_upvalueindex(1)); /* ... text world */
  size_t size;
  const char *text = lua_tolstring(L, -2, &size);
  if (weir_sandbox_load(L, text, size, name) == LUA_OK) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* Order of keys: numbers, then texts, then the others, which are all alike. */
static int rank(int type) { return type == LUA_TNUMBER ? 0 : type == LUA_TSTRING ? 1 : 2; }

static int is_before(lua_State *L) {
  int left = lua_type(L, 1), right = lua_type(L, 2);
  bool before = rank(left) < rank(right);
  if (rank(left) == rank(right) && rank(left) < 2) before = lua_compare(L, 1, 2, LUA_OPLT);
  lua_pushboolean(L, before);
  return 1;
}

/* Upvalues: keys, how many were given. */
static int next_pair(lua_State *L) {
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
  for (;;) {
    if (lua_rawgeti(L, lua_upvalueindex(1), ++at) == LUA_TNIL) break; /* key */
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 1) != LUA_TNIL) break; /* key value */
    lua_pop(L, 2);
  }
  lua_pushinteger(L, at);
  lua_replace(L, lua_upvalueindex(2));
  return lua_isnil(L, -1) ? 1 : 2;
}

/* pairs(t) in sorted order of keys, so that the same code does the same. Upvalue 1: table.sort. */
static int world_pairs(lua_State *L) {
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_call(L, 1, 3);
    return 3;
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_newtable(L); /* t keys */
  lua_pushnil(L);
  for (lua_Integer count = 1; lua_next(L, 1) != 0; count++) { /* t keys key value */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, count); /* t keys key */
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 2);
  lua_pushcfunction(L, is_before);
  lua_call(L, 2, 0); /* t keys */
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, next_pair, 2); /* t next */
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

/* Put a library, opened aside, into the world below under its name, with the named fields only. */
static void add_library(lua_State *L, const char *name, lua_CFunction open, const char *const *names) { /* world */
  lua_pushcfunction(L, open);
  lua_pushstring(L, name);
  lua_call(L, 1, 1); /* world library */
  lua_newtable(L);   /* world library copy */
  copy_fields(L, names);
  lua_setfield(L, -3, name); /* world library */
  lua_pop(L, 1);             /* world */
}

/* Methods of strings come from a table that nobody else has, and its metatable is hidden. */
static void protect_strings(lua_State *L) { /* world */
  lua_pushliteral(L, "");
  lua_getmetatable(L, -1);       /* world "" meta */
  lua_getfield(L, -1, "__index"); /* world "" meta string */
  lua_newtable(L);
  copy_fields(L, string_names);  /* world "" meta string methods */
  lua_setfield(L, -3, "__index"); /* world "" meta string */
  lua_pushboolean(L, 0);
  lua_setfield(L, -3, "__metatable");
  lua_pop(L, 3); /* world */
}

/* Numbers are drawn alike each time; the metatable that marks lists is hidden. */
static void settle(lua_State *L, lua_Integer seed) { /* world */
  lua_pushcfunction(L, luaopen_math);
  lua_call(L, 0, 1); /* world math */
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, seed);
  lua_call(L, 1, 0);
  lua_getfield(L, -2, "math"); /* world math copy */
  lua_getfield(L, -2, "random");
  lua_setfield(L, -2, "random"); /* the one that was seeded */
  lua_pop(L, 2);
  luaL_newmetatable(L, WEIR_LIST);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1); /* world */
}

static void add_base(lua_State *L) { /* world */
  lua_pushcfunction(L, luaopen_base);
  lua_call(L, 0, 1); /* world base */
  lua_pushvalue(L, -2);
  copy_fields(L, base_names);
  lua_pop(L, 2); /* world */
  lua_pushcfunction(L, world_setmetatable);
  lua_setfield(L, -2, "setmetatable");
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, world_load, 1);
  lua_setfield(L, -2, "load");
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "_G");
}

static void add_pairs(lua_State *L) { /* world */
  lua_getfield(L, -1, "table");
  lua_getfield(L, -1, "sort"); /* world table sort */
  lua_pushcclosure(L, world_pairs, 1);
  lua_setfield(L, -3, "pairs");
  lua_pop(L, 1);
}

int luaopen_weir_native_json(lua_State *L);

void weir_sandbox_push_world(lua_State *L, lua_Integer seed) {
  luaL_checkstack(L, 16, "the globals of a sandbox");
  lua_newtable(L); /* world */
  add_base(L);
  add_library(L, "coroutine", luaopen_coroutine, coroutine_names);
  add_library(L, "string", luaopen_string, string_names);
  add_library(L, "table", luaopen_table, table_names);
  add_library(L, "math", luaopen_math, math_names);
  add_library(L, "utf8", luaopen_utf8, utf8_names);
  add_library(L, "json", luaopen_weir_native_json, json_names);
  add_pairs(L);
  protect_strings(L);
  settle(L, seed);
  lua_pushvalue(L, -1);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}
