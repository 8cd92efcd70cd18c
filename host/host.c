/* host.c - a Lua state, a loop and a scheduler put together. */
#include "host.h"

#include <lauxlib.h>
#include <luv/lhandle.h>
#include <luv/luv.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "natives.h"
#include "scheduler_lua.h"
#include "task.h"
#include "watchdog.h"

#define MEMORY_BYTES (2LL << 30)
#define TASK_MEMORY_BYTES (256LL << 20)
#define REPORT_MAX 4096
#define EXIT_INTERNAL 70

struct weir_host {
  weir_host_head head;
  uv_loop_t loop;
  weir_memory memory;
  weir_scheduler scheduler;
  weir_watchdog watchdog;
  lua_State *L;
};

static const char *text_of_error(lua_State *L) {
  if (lua_type(L, -1) == LUA_TTABLE) lua_getfield(L, -1, "message");
  else lua_pushvalue(L, -1);
  if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER) return lua_tostring(L, -1);
  return luaL_typename(L, -1);
}

void weir_host_report(weir_host *host, lua_State *L, const char *where) {
  const char *text = text_of_error(L);
  weir_buffer shown = { 0 };
  if (weir_secrets_redact(host->head.secrets, text, strlen(text) + 1, &shown)) text = shown.failed ? "" : (const char *)shown.bytes;
  fprintf(stderr, "weir: %s: %.*s\n", where && *where ? where : "a callback", REPORT_MAX, text);
  weir_buffer_free(&shown);
  lua_pop(L, 1);
}

/* luv calls this instead of the callback: it starts a task and returns at once, so that a callback may
 * wait, and an error in it ends that task and nothing else. */
static int callback_as_task(lua_State *L, int nargs, int nresults, int flags) {
  (void)flags;
  weir_start_callback(L, nargs);
  if (nresults < 0) nresults = 0;
  lua_settop(L, lua_gettop(L) + nresults);
  return nresults;
}

static int weir_panic(lua_State *L) {
  fprintf(stderr, "weir: error outside of every task: %s\n", text_of_error(L));
  return 0;
}

static void set_field(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_paths(lua_State *L, const weir_host_options *options) {
  lua_getglobal(L, "package"); /* package */
  lua_getfield(L, -1, "cpath");
  lua_pushfstring(L, "%s/?.so;%s", options->natives, lua_tostring(L, -1));
  lua_setfield(L, -3, "cpath");
  lua_pop(L, 2);
  lua_createtable(L, 0, 2); /* paths */
  set_field(L, "library", options->library);
  set_field(L, "natives", options->natives);
  lua_setfield(L, LUA_REGISTRYINDEX, "weir.paths");
}

static int open_libraries(lua_State *L) {
  const weir_host_options *options = lua_touserdata(L, 1);
  weir_host *host = weir_host_of(L);
  lua_gc(L, LUA_GCSTOP);
  luaL_openlibs(L);
  luv_set_loop(L, &host->loop);
  luv_set_callback(L, callback_as_task);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_luv);
  lua_setfield(L, -2, "luv");
  for (const luaL_Reg *native = weir_natives; native->name; native++) {
    lua_pushcfunction(L, native->func);
    lua_setfield(L, -2, native->name);
  }
  weir_scheduler_prepare(L);
  set_paths(L, options);
  return 0;
}

weir_host *weir_host_new(const weir_host_options *options) {
  weir_host *host = calloc(1, sizeof *host);
  if (!host) return NULL;
  weir_memory_init(&host->memory, options->memory_bytes ? options->memory_bytes : MEMORY_BYTES,
                   options->task_memory_bytes ? options->task_memory_bytes : TASK_MEMORY_BYTES);
  host->head = (weir_host_head){ &host->scheduler, &host->loop, weir_secrets_new() };
  host->memory.over = weir_preempt_over_memory;
  host->memory.listener = &host->scheduler;
  host->L = lua_newstate(weir_memory_allocate, &host->memory);
  if (!host->L || !host->head.secrets || uv_loop_init(&host->loop) != 0) {
    weir_secrets_free(host->head.secrets);
    free(host);
    return NULL;
  }
  lua_atpanic(host->L, weir_panic);
  *(uintptr_t *)lua_getextraspace(host->L) = (uintptr_t)host;
  weir_scheduler_init(&host->scheduler, host, host->L, &host->memory);
  host->scheduler.resume = weir_task_resume;
  host->scheduler.kill = weir_task_kill;
  host->scheduler.report = weir_host_report;
  lua_pushcfunction(host->L, open_libraries);
  lua_pushlightuserdata(host->L, (void *)(uintptr_t)options);
  if (lua_pcall(host->L, 1, 0, 0) != LUA_OK) {
    weir_host_report(host, host->L, "start");
    weir_host_free(host);
    return NULL;
  }
  weir_preempt_start(&host->scheduler);
  weir_watchdog_start(&host->watchdog, &host->scheduler);
  return host;
}

/* luv's own handles point to their luv_handle_t, which names luv's context. The data of every other
 * handle is NULL or points to a larger structure of ours. */
static luv_handle_t *luv_handle_of(lua_State *L, const uv_handle_t *handle) {
  luv_handle_t *data = handle->data;
  return data && data->ctx == luv_context(L) ? data : NULL;
}

static void close_by_lua(uv_handle_t *handle, void *state) {
  lua_State *L = state;
  luv_handle_t *data = luv_handle_of(L, handle);
  if (!data || uv_is_closing(handle)) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, data->ref); /* handle */
  if (lua_getfield(L, -1, "close") == LUA_TFUNCTION) {
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
    return;
  }
  lua_pop(L, 2);
}

static void count_closing(uv_handle_t *handle, void *closing) {
  if (uv_is_closing(handle)) ++*(int *)closing;
}

/* luv's callbacks need the Lua state: its handles are closed, and have ended, before the state is. */
static void close_luv_handles(weir_host *host) {
  int closing;
  uv_walk(&host->loop, close_by_lua, host->L);
  do {
    uv_run(&host->loop, UV_RUN_NOWAIT);
    closing = 0;
    uv_walk(&host->loop, count_closing, &closing);
  } while (closing > 0);
}

static void close_handle(uv_handle_t *handle, void *unused) {
  (void)unused;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void weir_host_free(weir_host *host) {
  weir_watchdog_stop(&host->watchdog);
  weir_preempt_stop(&host->scheduler);
  close_luv_handles(host);
  weir_scheduler_drop_tasks(&host->scheduler);
  lua_close(host->L);
  uv_walk(&host->loop, close_handle, NULL);
  uv_run(&host->loop, UV_RUN_DEFAULT);
  uv_loop_close(&host->loop);
  weir_scheduler_free(&host->scheduler);
  weir_memory_free(&host->memory);
  weir_secrets_free(host->head.secrets);
  free(host);
}

static bool load_boot(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "weir.paths");
  lua_getfield(L, -1, "library");
  lua_pushfstring(L, "%s/lua/weir/boot.lua", lua_tostring(L, -1));
  lua_replace(L, -3);
  lua_pop(L, 1); /* path */
  bool ok = luaL_loadfilex(L, lua_tostring(L, -1), "t") == LUA_OK;
  lua_remove(L, -2);
  return ok;
}

/* Nothing runs, nothing is due and nobody outside will call: everybody waits for somebody else. */
static weir_status run_until(weir_host *host, weir_task *task) {
  if (weir_scheduler_run(&host->scheduler, task) == WEIR_OK) return WEIR_OK;
  weir_report_deadlock(&host->scheduler);
  weir_task_cancel(task, WEIR_FAILED, "deadlock: every task waits and nothing can wake them");
  return weir_scheduler_run(&host->scheduler, task);
}

int weir_host_run(weir_host *host, int count, char **arguments) {
  lua_State *L = host->L;
  if (!load_boot(L)) {
    weir_host_report(host, L, "lua/weir/boot.lua");
    return EXIT_INTERNAL;
  }
  luaL_checkstack(L, count, "too many arguments");
  for (int i = 0; i < count; i++) lua_pushstring(L, arguments[i]);
  weir_task *task = weir_task_new(L, &host->scheduler.root, count); /* task */
  task->name = "main";
  weir_status status = run_until(host, task);
  if (status != WEIR_OK || task->failed) return EXIT_INTERNAL;
  int exit_status = weir_task_integer_result(L, task);
  lua_pop(L, 1);
  return exit_status;
}
