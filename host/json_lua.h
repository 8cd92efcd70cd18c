/* json_lua.h - what the two files of weir.native.json share. */
#ifndef WEIR_JSON_LUA_H
#define WEIR_JSON_LUA_H
#include "binding.h"

/* json.encode(value [, options]): see json_encode_lua.c. */
int weir_json_encode(lua_State *L);

/* Raises unless the argument is a table or missing. */
void weir_json_check_options(lua_State *L, int index);

/* The field of an options table as an integer in low..high (else raises); missing ones are defaults. */
lua_Integer weir_json_option(lua_State *L, int options, const char *name, lua_Integer standard,
                             lua_Integer low, lua_Integer high);

/* How many keys the table has, if all are integers in 1..that number; else -1. */
lua_Integer weir_json_count_items(lua_State *L, int index);
#endif
