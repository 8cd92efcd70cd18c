/* binding.h - what every binding shares: refusals, null and lists. */
#ifndef WEIR_BINDING_H
#define WEIR_BINDING_H
#include <lauxlib.h>
#include <lua.h>

#include "status.h"

/* Name of the metatable that marks a table as a list, so that an empty one is written as []. */
#define WEIR_LIST "weir.list"

/* Name of the metatable of an error {code, message, ...}. */
#define WEIR_ERROR "weir.error"

/* Push nil, "SUBJECT: CODE", code; for outcomes that need no more words. Returns 3. */
int weir_refuse(lua_State *L, const char *subject, weir_status status);

/* Push nil, a formatted message, code. Returns 3. The format is lua_pushfstring's. */
int weir_refusef(lua_State *L, weir_status status, const char *format, ...);

/* Push an error as the library raises them: {code =, message =} whose tostring is the message. */
void weir_push_error(lua_State *L, weir_status code, const char *format, ...);

/* Raise such an error. Never returns. */
int weir_raise(lua_State *L, weir_status code, const char *format, ...);

/* The same with a code that came from Lua: push, and raise. */
void weir_push_code_error(lua_State *L, const char *code, const char *message);
int weir_raise_code(lua_State *L, const char *code, const char *message);

/* weir.null, the value that stands for JSON null: the light userdata NULL (as lua-cjson has it). */
void weir_push_null(lua_State *L);
bool weir_is_null(lua_State *L, int index);

/* Mark the table at index as a list; tell whether it is so marked. */
void weir_mark_list(lua_State *L, int index);
bool weir_is_marked_list(lua_State *L, int index);
#endif
