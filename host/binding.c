/* binding.c - shared by the bindings. */
#include "binding.h"

int weir_refuse(lua_State *L, const char *subject, weir_status status) {
  const char *code = weir_status_code(status);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", subject, code);
  lua_pushstring(L, code);
  return 3;
}

int weir_refusef(lua_State *L, weir_status status, const char *format, ...) {
  va_list arguments;
  lua_pushnil(L);
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_pushstring(L, weir_status_code(status));
  return 3;
}

static int error_text(lua_State *L) {
  lua_getfield(L, 1, "message");
  return 1;
}

static void make_error(lua_State *L, const char *code) { /* message -> error */
  lua_createtable(L, 0, 2);                            /* message error */
  lua_insert(L, -2);                                   /* error message */
  lua_setfield(L, -2, "message");
  lua_pushstring(L, code);
  lua_setfield(L, -2, "code");
  if (luaL_newmetatable(L, WEIR_ERROR)) {              /* error meta */
    lua_pushcfunction(L, error_text);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);                             /* error */
}

static void push_error(lua_State *L, weir_status code, const char *format, va_list arguments) {
  lua_pushvfstring(L, format, arguments);
  make_error(L, weir_status_code(code));
}

void weir_push_code_error(lua_State *L, const char *code, const char *message) {
  lua_pushstring(L, message ? message : code);
  make_error(L, code);
}

int weir_raise_code(lua_State *L, const char *code, const char *message) {
  weir_push_code_error(L, code, message);
  return lua_error(L);
}

void weir_push_error(lua_State *L, weir_status code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  push_error(L, code, format, arguments);
  va_end(arguments);
}

int weir_raise(lua_State *L, weir_status code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  push_error(L, code, format, arguments);
  va_end(arguments);
  return lua_error(L);
}

void weir_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }

bool weir_is_null(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL;
}

void weir_mark_list(lua_State *L, int index) {
  index = lua_absindex(L, index);
  luaL_newmetatable(L, WEIR_LIST); /* meta */
  lua_setmetatable(L, index);      /* */
}

bool weir_is_marked_list(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false; /* meta */
  luaL_getmetatable(L, WEIR_LIST);               /* meta list */
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}
