/* sandbox_lua.c - what a sandbox does once it is locked in: one job.
 *
 * In: {kind, source, name, entry, input, options, grants = [names], seed}. `kind` is "check" (the source is
 * loaded and not called) or "run" (the source gives a table; its function `entry` is called).
 * Out, in this order: ["ready", Landlock's version, refused calls]; any number of ["log", level, text],
 * ["item", value] and ["call", name, argument], the last of which waits for [true, value] or
 * [false, message, code]; at the end ["done", value] or ["failed", code, message]. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "host.h"
#include "pack_lua.h"
#include "sandbox.h"
#include "sandbox_frame.h"
#include "sandbox_world_lua.h"

#define INPUT 0
#define OUTPUT 1
#define EXIT_INTERNAL 70
#define MESSAGE_BYTES 4096

typedef struct {
  weir_buffer in, out;
  weir_pack_scratch scratch;
} job_buffers;

/* A sandbox holds no secret, so there is none to look for in what it writes. */
weir_secrets *weir_secrets_of(lua_State *L) {
  (void)L;
  return NULL;
}

static job_buffers *buffers_of(lua_State *L) { return *(job_buffers **)lua_getextraspace(L); }

/* The other side is gone: nobody wants what this process could still say. */
static void stop_without_host(weir_status status) {
  if (status == WEIR_CLOSED) _Exit(0);
}

static void send_frame(lua_State *L) {
  job_buffers *b = buffers_of(L);
  if (b->out.failed) luaL_error(L, "not enough memory");
  weir_status status = weir_frame_write(OUTPUT, b->out.bytes, b->out.size);
  stop_without_host(status);
  if (status != WEIR_OK) weir_raise(L, WEIR_LIMIT, "a message of more than 1 MiB; hand on less, or in pieces");
}

static void begin(lua_State *L, const char *kind, uint32_t count) {
  job_buffers *b = buffers_of(L);
  weir_buffer_clear(&b->out);
  weir_pack_array(&b->out, count);
  weir_pack_text(&b->out, kind, strlen(kind));
}

static void add_value(lua_State *L, int index, const char *what) {
  job_buffers *b = buffers_of(L);
  weir_pack_refusal refusal;
  weir_status status = weir_pack_value(L, index, &b->out, &b->scratch, &refusal);
  if (status != WEIR_OK) weir_raise(L, status, "%s%s: %s", what, refusal.where, refusal.why);
}

static void add_text(lua_State *L, const char *text, size_t size) {
  weir_pack_text(&buffers_of(L)->out, text, size > MESSAGE_BYTES ? MESSAGE_BYTES : size);
}

/* What an error says, however odd it is: pushes its code and its message. */
static void push_explanation(lua_State *L, int status) { /* error */
  const char *code = status == LUA_ERRMEM ? "limit" : "failed";
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "code");
    if (lua_rawget(L, -2) == LUA_TSTRING) code = lua_tostring(L, -1);
    lua_pop(L, 1);
    lua_pushliteral(L, "message");
    if (lua_rawget(L, -2) == LUA_TSTRING) {
      lua_pushstring(L, code);
      lua_insert(L, -2); /* error code message */
      return;
    }
    lua_pop(L, 1);
  }
  lua_pushstring(L, code); /* error code */
  if (lua_type(L, -2) == LUA_TSTRING) lua_pushvalue(L, -2);
  else lua_pushfstring(L, "an error that is no text but a %s", luaL_typename(L, -2));
}

static int log_line(lua_State *L, const char *level, const char *text, size_t size) {
  begin(L, "log", 3);
  add_text(L, level, strlen(level));
  add_text(L, text, size);
  send_frame(L);
  return 0;
}

/* print(...): a line of the log. */
static int job_print(lua_State *L) {
  int count = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= count; i++) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&line);
  }
  luaL_pushresult(&line);
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  return log_line(L, "info", text, size);
}

/* ctx:log(level, text) */
static int job_log(lua_State *L) {
  static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
  const char *level = levels[luaL_checkoption(L, 2, "info", levels)];
  size_t size;
  const char *text = luaL_tolstring(L, 3, &size);
  return log_line(L, level, text, size);
}

/* ctx:emit(value) */
static int job_emit(lua_State *L) {
  luaL_checkany(L, 2);
  begin(L, "item", 2);
  add_value(L, 2, "item");
  send_frame(L);
  return 0;
}

/* Wait for the answer of a call: value | nil, message, code. */
static int await_answer(lua_State *L) {
  job_buffers *b = buffers_of(L);
  weir_status status = weir_frame_read(INPUT, &b->in);
  if (status != WEIR_OK) _Exit(0);
  lua_settop(L, 0);
  if (weir_unpack_value(L, b->in.bytes, b->in.size) != WEIR_OK) _Exit(EXIT_INTERNAL);
  lua_rawgeti(L, 1, 1);
  bool worked = lua_toboolean(L, -1);
  if (!worked) lua_pushnil(L);
  lua_rawgeti(L, 1, 2);
  if (worked) return 1;
  lua_rawgeti(L, 1, 3);
  return 3;
}

/* ctx:NAME(argument): what the host does for this code, as far as it was granted. Upvalue 1: NAME. */
static int job_call(lua_State *L) {
  lua_settop(L, 2);
  begin(L, "call", 3);
  size_t size;
  const char *name = lua_tolstring(L, lua_upvalueindex(1), &size);
  add_text(L, name, size);
  add_value(L, 2, "argument");
  send_frame(L);
  return await_answer(L);
}

static const char *text_field(lua_State *L, int job, const char *name, size_t *size) {
  lua_getfield(L, job, name);
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "the job has no text '%s'", name);
  return lua_tolstring(L, -1, size); /* stays on the stack, so that it stays alive */
}

static void push_context(lua_State *L, int job) {
  lua_newtable(L); /* ctx */
  lua_getfield(L, job, "input");
  lua_setfield(L, -2, "input");
  lua_getfield(L, job, "options");
  lua_setfield(L, -2, "options");
  lua_pushcfunction(L, job_log);
  lua_setfield(L, -2, "log");
  lua_pushcfunction(L, job_emit);
  lua_setfield(L, -2, "emit");
  if (lua_getfield(L, job, "grants") == LUA_TTABLE) { /* ctx grants */
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
      lua_pushvalue(L, -1);
      lua_pushcclosure(L, job_call, 1); /* ctx grants name call */
      lua_settable(L, -4);              /* ctx grants */
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1); /* ctx */
}

/* What the source gives: its function `entry`. */
static void push_entry(lua_State *L, int job) { /* function of the source -> entry */
  lua_call(L, 0, 1);
  size_t size;
  const char *entry = text_field(L, job, "entry", &size); /* module "entry" */
  if (!lua_istable(L, -2)) weir_raise(L, WEIR_INVALID, "the source gives a %s; return a table with the function '%s'", luaL_typename(L, -2), entry);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) != LUA_TFUNCTION) weir_raise(L, WEIR_INVALID, "the source gives a table without the function '%s'", entry);
}

/* `nil, message, code` is an answer like any other: what did not work out. */
static void finish(lua_State *L, int base) {
  int count = lua_gettop(L) - base;
  if (count >= 1 && !lua_isnil(L, base + 1)) {
    begin(L, "done", 2);
    add_value(L, base + 1, "output");
  } else if (count >= 2 && lua_type(L, base + 2) == LUA_TSTRING) {
    begin(L, "failed", 3);
    size_t size;
    const char *text = count >= 3 && lua_type(L, base + 3) == LUA_TSTRING ? lua_tolstring(L, base + 3, &size) : NULL;
    if (text) add_text(L, text, size);
    else add_text(L, "failed", 6);
    text = lua_tolstring(L, base + 2, &size);
    add_text(L, text, size);
  } else {
    begin(L, "done", 2);
    lua_pushnil(L);
    add_value(L, -1, "output");
  }
  send_frame(L);
}

/* Upvalue of nothing; argument 1: the job. */
static int do_job(lua_State *L) {
  size_t size, name_size, kind_size;
  const char *kind = text_field(L, 1, "kind", &kind_size);
  const char *name = text_field(L, 1, "name", &name_size), *source = text_field(L, 1, "source", &size);
  lua_getfield(L, 1, "seed");
  weir_sandbox_push_world(L, lua_tointeger(L, -1)); /* ... world */
  lua_pushcfunction(L, job_print);
  lua_setfield(L, -2, "print");
  if (weir_sandbox_load(L, source, size, name) != LUA_OK) return weir_raise(L, WEIR_INVALID, "%s", lua_tostring(L, -1));
  if (strcmp(kind, "check") == 0) {
    lua_pushboolean(L, 1);
    finish(L, lua_gettop(L) - 1);
    return 0;
  }
  push_entry(L, 1);
  int base = lua_gettop(L) - 1;
  push_context(L, 1);
  lua_getfield(L, 1, "input");
  lua_call(L, 2, LUA_MULTRET);
  finish(L, base);
  return 0;
}

static int read_job(lua_State *L) {
  job_buffers *b = buffers_of(L);
  weir_status status = weir_frame_read(INPUT, &b->in);
  stop_without_host(status);
  if (status != WEIR_OK || weir_unpack_value(L, b->in.bytes, b->in.size) != WEIR_OK || !lua_istable(L, -1))
    return luaL_error(L, "the first frame holds no job");
  return 1;
}

static void tell_ready(lua_State *L, const weir_sandbox_proof *proof) {
  begin(L, "ready", 3);
  weir_pack_integer(&buffers_of(L)->out, proof->landlock);
  weir_pack_integer(&buffers_of(L)->out, proof->refused);
  send_frame(L);
}

/* Argument 1: the error. */
static int tell_failure(lua_State *L) {
  push_explanation(L, (int)lua_tointeger(L, lua_upvalueindex(1))); /* error code message */
  size_t size;
  begin(L, "failed", 3);
  const char *text = lua_tolstring(L, -2, &size);
  add_text(L, text, size);
  text = lua_tolstring(L, -1, &size);
  add_text(L, text, size);
  send_frame(L);
  return 0;
}

static int serve(lua_State *L) {
  tell_ready(L, lua_touserdata(L, 1));
  lua_pushcfunction(L, do_job);
  read_job(L); /* do_job job */
  int status = lua_pcall(L, 1, 0, 0);
  if (status == LUA_OK) return 0;
  lua_gc(L, LUA_GCCOLLECT);
  lua_pushinteger(L, status);
  lua_pushcclosure(L, tell_failure, 1);
  lua_insert(L, -2);
  lua_call(L, 1, 0);
  return 0;
}

int weir_sandbox_serve(const weir_sandbox_proof *proof) {
  static job_buffers buffers; /* the process has one state and does one job */
  lua_State *L = luaL_newstate();
  if (!L) return EXIT_INTERNAL;
  *(job_buffers **)lua_getextraspace(L) = &buffers;
  lua_pushcfunction(L, serve);
  lua_pushlightuserdata(L, (void *)(uintptr_t)proof);
  return lua_pcall(L, 1, 0, 0) == LUA_OK ? 0 : EXIT_INTERNAL;
}
