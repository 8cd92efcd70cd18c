/* terminal_lua.c - weir.native.terminal: line editing, see terminal.h. A shared object of its own: it
 * alone brings libedit. */
#include "binding.h"
#include "terminal.h"

#define TERMINAL "weir.terminal"

typedef struct {
  weir_terminal *terminal; /* NULL once closed */
} holder;

static weir_terminal *check_terminal(lua_State *L) {
  holder *held = luaL_checkudata(L, 1, TERMINAL);
  luaL_argcheck(L, held->terminal != NULL, 1, "the terminal is closed");
  return held->terminal;
}

/* terminal.open() -> terminal | nil, message, "unavailable". */
static int terminal_open(lua_State *L) {
  holder *held = lua_newuserdatauv(L, sizeof *held, 0); /* held */
  held->terminal = NULL;
  luaL_setmetatable(L, TERMINAL);
  held->terminal = weir_terminal_new();
  if (!held->terminal)
    return weir_refusef(L, WEIR_UNAVAILABLE,
                        "no line can be edited: standard input and output are no terminal");
  return 1;
}

static int terminal_close(lua_State *L) {
  holder *held = luaL_checkudata(L, 1, TERMINAL);
  weir_terminal_free(held->terminal);
  held->terminal = NULL;
  return 0;
}

/* terminal:begin(prompt) */
static int terminal_begin(lua_State *L) {
  weir_terminal *terminal = check_terminal(L);
  if (!weir_terminal_begin(terminal, luaL_checkstring(L, 2)))
    return weir_raise(L, WEIR_UNAVAILABLE, "no memory for a prompt");
  return 0;
}

static int terminal_finish(lua_State *L) {
  weir_terminal_finish(check_terminal(L));
  return 0;
}

/* terminal:feed(bytes) -> "more" | "line" | "end" | "tab", bytes taken */
static int terminal_feed(lua_State *L) {
  static const char *const names[] = { "more", "line", "end", "tab" };
  weir_terminal *terminal = check_terminal(L);
  size_t size, used;
  const char *bytes = luaL_checklstring(L, 2, &size);
  weir_terminal_event event = weir_terminal_feed(terminal, bytes, size, &used);
  lua_pushstring(L, names[event]);
  lua_pushinteger(L, (lua_Integer)used);
  return 2;
}

/* terminal:line() -> text, cursor in bytes */
static int terminal_line(lua_State *L) {
  weir_terminal *terminal = check_terminal(L);
  size_t size, cursor;
  const char *text = weir_terminal_line(terminal, &size, &cursor);
  lua_pushlstring(L, text, size);
  lua_pushinteger(L, (lua_Integer)cursor);
  return 2;
}

static int terminal_refresh(lua_State *L) {
  weir_terminal_refresh(check_terminal(L));
  return 0;
}

static int terminal_resize(lua_State *L) {
  weir_terminal_resize(check_terminal(L));
  return 0;
}

static int terminal_remember(lua_State *L) {
  weir_terminal *terminal = check_terminal(L);
  weir_terminal_remember(terminal, luaL_checkstring(L, 2));
  return 0;
}

static const luaL_Reg functions[] = { { "open", terminal_open }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "begin", terminal_begin },
                                    { "finish", terminal_finish },
                                    { "feed", terminal_feed },
                                    { "line", terminal_line },
                                    { "refresh", terminal_refresh },
                                    { "resize", terminal_resize },
                                    { "remember", terminal_remember },
                                    { "close", terminal_close },
                                    { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", terminal_close },
                                        { "__close", terminal_close },
                                        { NULL, NULL } };

int luaopen_weir_native_terminal(lua_State *L);
int luaopen_weir_native_terminal(lua_State *L) {
  luaL_newmetatable(L, TERMINAL); /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);        /* meta methods */
  lua_setfield(L, -2, "__index"); /* meta */
  luaL_newlib(L, functions);      /* meta functions */
  return 1;
}
