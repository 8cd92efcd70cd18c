/* store_job_lua.c - methods of a store that take long: backup, sweep, rebuild. Each is a job on a
 * thread of its own, for which the task waits. */
#include <math.h>
#include <string.h>

#include "binding.h"
#include "store_port.h"

#define BACKUP_SECONDS 300
#define YOUNG_SECONDS 3600
#define BUDGET 100000

static weir_job *new_job(lua_State *L, weir_job_kind kind) {
  weir_job *job = weir_job_new(kind);
  if (job == NULL) luaL_error(L, "out of memory");
  return job;
}

/* Seconds, finite or not; at most some hundred years. */
static lua_Number check_seconds(lua_State *L, int index, lua_Number usual) {
  lua_Number seconds = luaL_optnumber(L, index, usual);
  luaL_argcheck(L, seconds >= 0, index, "seconds, 0 or more, expected");
  return seconds < 4e9 ? seconds : 4e9;
}

/* A continuation: give the pending back; true after pushing nil, message, code. */
static bool is_refused(lua_State *L, weir_pending *pending) {
  if (!weir_port_refused(L, pending)) return false;
  weir_port_recycle(lua_touserdata(L, 1), pending);
  return true;
}

static void set_count(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

/* A continuation: bytes */
static int backed_up(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  if (is_refused(L, pending)) return 3;
  lua_pushinteger(L, (lua_Integer)pending->results[0]);
  weir_port_recycle(lua_touserdata(L, 1), pending);
  return 1;
}

/* store:backup(path [, {timeout=, delay_s=}]) -> bytes */
static int store_backup(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  size_t size;
  const char *path = luaL_checklstring(L, 2, &size);
  luaL_argcheck(L, size > 0 && strlen(path) == size, 2, "a path expected");
  lua_settop(L, 3);
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_getfield(L, 3, "timeout"); /* store path options timeout */
    lua_getfield(L, 3, "delay_s"); /* store path options timeout delay */
  }
  lua_settop(L, 5);
  lua_Number timeout = check_seconds(L, 4, BACKUP_SECONDS), delay = check_seconds(L, 5, 0);
  weir_port_check_wait(L);
  weir_job *job = new_job(L, WEIR_JOB_BACKUP);
  job->timeout_ns = (int64_t)(timeout * 1e9);
  job->delay_ns = (int64_t)(delay * 1e9);
  if ((job->path = strdup(path)) == NULL) {
    weir_job_free(job);
    return luaL_error(L, "out of memory");
  }
  return weir_port_work(L, port, job, "backup", backed_up);
}

/* A continuation: {looked=, removed=, bytes=, done=} */
static int swept(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  if (is_refused(L, pending)) return 3;
  lua_createtable(L, 0, 4); /* ... counts */
  set_count(L, "looked", pending->results[0]);
  set_count(L, "removed", pending->results[1]);
  set_count(L, "bytes", pending->results[2]);
  lua_pushboolean(L, pending->results[3] != 0);
  lua_setfield(L, -2, "done");
  weir_port_recycle(lua_touserdata(L, 1), pending);
  return 1;
}

/* store:sweep([seconds_young [, budget]]) -> {looked=, removed=, bytes=, done=} */
static int store_sweep(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  lua_Number young = check_seconds(L, 2, YOUNG_SECONDS);
  lua_Integer budget = luaL_optinteger(L, 3, BUDGET);
  luaL_argcheck(L, budget >= 1 && budget <= 10 * BUDGET, 3, "must be 1 to 1000000 blobs");
  weir_port_check_wait(L);
  weir_job *job = new_job(L, WEIR_JOB_SWEEP);
  job->young_ms = (uint64_t)ceil(young * 1e3);
  job->budget = (uint32_t)budget;
  return weir_port_work(L, port, job, "sweep", swept);
}

/* A continuation: {table = records, ..., damaged=} */
static int rebuilt(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  if (is_refused(L, pending)) return 3;
  lua_createtable(L, 0, WEIR_JOB_RESULTS); /* ... counts */
  for (int i = 0; i < WEIR_TABLES; i++) set_count(L, weir_table_name(i), pending->results[i]);
  set_count(L, "damaged", pending->results[WEIR_TABLES]);
  weir_port_recycle(lua_touserdata(L, 1), pending);
  return 1;
}

/* store:rebuild() -> {table = records, ..., damaged=} */
static int store_rebuild(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_port_check_wait(L);
  return weir_port_work(L, port, new_job(L, WEIR_JOB_REBUILD), "rebuild", rebuilt);
}

const luaL_Reg weir_job_methods[] = {
  { "backup", store_backup }, { "sweep", store_sweep }, { "rebuild", store_rebuild }, { NULL, NULL }
};
