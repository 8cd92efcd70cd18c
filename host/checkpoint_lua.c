/* checkpoint_lua.c - weir.native.checkpoint: opening a store, reading runs, and what concerns it as a
 * whole. */
#include <math.h>
#include <string.h>

#include "binding.h"
#include "store_port.h"

#define ENTRIES_AT_ONCE 10000

static weir_slice check_run_id(lua_State *L, int index) {
  weir_slice id;
  id.bytes = (const uint8_t *)luaL_checklstring(L, index, &id.size);
  luaL_argcheck(L, weir_run_id_ok(id), index, "a run id has 1 to 128 bytes, none of them zero");
  return id;
}

static lua_Number number_option(lua_State *L, int index, const char *name, lua_Number most) {
  lua_Number value = 0;
  if (lua_getfield(L, index, name) != LUA_TNIL) {
    value = lua_tonumber(L, -1);
    if (!lua_isnumber(L, -1) || !(value >= 0 && value <= most))
      luaL_error(L, "option '%s' must be a number from 0 to %f", name, most);
  }
  lua_pop(L, 1);
  return value;
}

static void read_options(lua_State *L, int index, weir_store_options *options) {
  if (lua_isnoneornil(L, index)) return;
  luaL_checktype(L, index, LUA_TTABLE);
  lua_getfield(L, index, "force");
  options->force = lua_toboolean(L, -1);
  lua_pop(L, 1);
  options->map_bytes = (size_t)number_option(L, index, "map_bytes", 0x1p46);
  options->log_bytes = (size_t)number_option(L, index, "log_bytes", 0x1p40);
  options->log_entries = (uint64_t)number_option(L, index, "log_entries", 0x1p40);
  options->sync_delay_ns = (int64_t)(number_option(L, index, "sync_delay_s", 60) * 1e9);
}

/* checkpoint.open(path [, options]) -> store */
static int checkpoint_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  weir_store_options options = { 0 };
  char message[WEIR_MESSAGE_MAX];
  read_options(L, 2, &options);
  weir_port *port = lua_newuserdatauv(L, sizeof *port, 0); /* store */
  memset(port, 0, sizeof *port);
  luaL_setmetatable(L, WEIR_STORE);
  weir_store *store;
  weir_status status = weir_store_open(path, &options, &store, message);
  if (status != WEIR_OK) return weir_refusef(L, status, "%s", message);
  if (weir_port_start(port, L, store)) return 1;
  weir_store_release(store);
  return weir_refusef(L, WEIR_UNAVAILABLE, "store '%s': out of memory", path);
}

static int store_path(lua_State *L) {
  lua_pushstring(L, weir_store_path(weir_port_check(L, 1)->store));
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void set_histogram(lua_State *L, const weir_store_stats *stats) {
  lua_createtable(L, WEIR_COMMIT_BUCKETS, 0); /* list */
  for (int i = 0; i < WEIR_COMMIT_BUCKETS; i++) {
    lua_createtable(L, 0, 2); /* list bucket */
    set_count(L, "count", stats->commit_buckets[i]);
    lua_pushnumber(L, i + 1 == WEIR_COMMIT_BUCKETS ? HUGE_VAL : 32e-6 * (double)(1u << i));
    lua_setfield(L, -2, "at_most");
    lua_rawseti(L, -2, i + 1); /* list */
  }
  lua_setfield(L, -2, "commit_buckets");
}

/* store:lsn() -> the number of the latest record that is committed */
static int store_lsn(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)weir_store_lsn(weir_port_check(L, 1)->store));
  return 1;
}

/* store:stats() -> counts since it was opened, sizes in bytes, times in seconds */
static int store_stats(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_store_stats stats;
  weir_store_statistics(port->store, &stats);
  lua_createtable(L, 0, 16); /* stats */
  set_count(L, "commits", stats.commits);
  set_count(L, "entries", stats.entries);
  set_count(L, "requests", stats.requests);
  set_count(L, "bytes", stats.bytes);
  set_count(L, "refused_full", stats.refused_full);
  set_count(L, "damaged", stats.damaged);
  set_count(L, "readers_cleared", stats.readers_cleared);
  set_count(L, "map_bytes", stats.map_bytes);
  set_count(L, "used_bytes", stats.used_bytes);
  set_count(L, "log_entries", stats.log_entries);
  set_count(L, "log_bytes", stats.log_bytes);
  set_count(L, "heads", stats.heads);
  lua_pushnumber(L, (double)stats.commit_ns * 1e-9);
  lua_setfield(L, -2, "commit_seconds");
  set_histogram(L, &stats);
  lua_pushstring(L, weir_store_failure(port->store)); /* nil unless it failed for good */
  lua_setfield(L, -2, "failure");
  return 1;
}

/* A continuation: true, or nil, message, code. */
static int synced(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  bool refused = weir_port_refused(L, pending);
  weir_port_recycle(lua_touserdata(L, 1), pending);
  if (refused) return 3;
  lua_pushboolean(L, 1);
  return 1;
}

/* store:sync() waits until all that was queued before is committed. */
static int store_sync(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_port_check_wait(L);
  lua_settop(L, 1);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  weir_port_op(L, batch, WEIR_OP_DROPPED);
  return weir_port_wait(L, port, batch, first_op, true, "sync", synced);
}

static int closed(lua_State *L, int status, lua_KContext context) {
  weir_port *port = lua_touserdata(L, 1);
  (void)status;
  weir_port_recycle(port, (weir_pending *)context);
  weir_port_stop(port);
  return 0;
}

/* store:close() waits until the queue is empty; safe twice. Where code cannot wait it blocks instead.
 */
static int store_close(lua_State *L) {
  weir_port *port = luaL_checkudata(L, 1, WEIR_STORE);
  lua_settop(L, 1);
  if (port->store == NULL) return 0;
  if (port->in_flight == 0 || !lua_isyieldable(L)) {
    weir_port_stop(port);
    return 0;
  }
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  weir_port_op(L, batch, WEIR_OP_DROPPED);
  return weir_port_wait(L, port, batch, first_op, true, "close", closed);
}

static int store_gc(lua_State *L) {
  weir_port *port = luaL_checkudata(L, 1, WEIR_STORE);
  weir_port_stop(port);
  weir_port_free(port);
  return 0;
}

static int refuse_run(lua_State *L, weir_port *port, weir_status status) {
  if (status == WEIR_NOT_FOUND)
    return weir_refusef(L, status, "run '%s': there is none", lua_tostring(L, 2));
  return weir_refusef(L, status, "%s", port->result.message);
}

/* Push the row that the last read found. */
static bool push_row(lua_State *L, weir_port *port) {
  weir_found found = weir_result_at(&port->result, 0);
  return weir_unpack_value(L, port->result.bytes.bytes + found.at, found.size) == WEIR_OK;
}

/* store:row(run_id) -> row */
static int store_row(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_status status = weir_store_row(port->client, check_run_id(L, 2), &port->result);
  if (status != WEIR_OK) return refuse_run(L, port, status);
  return push_row(L, port)
             ? 1
             : weir_refusef(L, WEIR_CORRUPT, "run '%s': its row is damaged", lua_tostring(L, 2));
}

/* Append the entries that the last read found to the list on the top; *n becomes the last one's. */
static int add_entries(lua_State *L, weir_port *port, uint64_t *n) {
  lua_Integer length = (lua_Integer)lua_rawlen(L, -1);
  uint32_t count = weir_result_count(&port->result);
  for (uint32_t i = 0; i < count; i++) {
    weir_found found = weir_result_at(&port->result, i);
    *n = found.number;
    if (weir_unpack_value(L, port->result.bytes.bytes + found.at, found.size) != WEIR_OK)
      return weir_refusef(L, WEIR_CORRUPT, "run '%s': entry %d is damaged; see 'weir doctor'",
                          lua_tostring(L, 2), (int)*n);
    lua_rawseti(L, -2, length + 1 + (lua_Integer)i);
  }
  return 0;
}

/* store:load(run_id) -> list of entries, row (nil when it has none) */
static int store_load(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice id = check_run_id(L, 2);
  uint64_t n = 0;
  lua_settop(L, 2);
  lua_newtable(L); /* store id list */
  weir_mark_list(L, 3);
  do {
    weir_status status = weir_store_entries(port->client, id, n, ENTRIES_AT_ONCE, &port->result);
    if (status != WEIR_OK) return refuse_run(L, port, status);
    int refused = add_entries(L, port, &n);
    if (refused != 0) return refused;
  } while (weir_result_count(&port->result) == ENTRIES_AT_ONCE);
  weir_status status = weir_store_row(port->client, id, &port->result);
  if (status == WEIR_NOT_FOUND) return 1;
  if (status != WEIR_OK) return refuse_run(L, port, status);
  return push_row(L, port)
             ? 2
             : weir_refusef(L, WEIR_CORRUPT, "run '%s': its row is damaged", lua_tostring(L, 2));
}

/* store:entries(run_id [, after_n [, limit]]) -> list of entries, n of the last one */
static int store_entries(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice id = check_run_id(L, 2);
  lua_Integer after = luaL_optinteger(L, 3, 0), limit = luaL_optinteger(L, 4, 1000);
  luaL_argcheck(L, after >= 0, 3, "must not be negative");
  luaL_argcheck(L, limit >= 1 && limit <= ENTRIES_AT_ONCE, 4, "must be 1 to 10000");
  uint64_t n = (uint64_t)after;
  weir_status status = weir_store_entries(port->client, id, n, (uint32_t)limit, &port->result);
  if (status != WEIR_OK) return refuse_run(L, port, status);
  lua_newtable(L); /* ... list */
  weir_mark_list(L, -1);
  int refused = add_entries(L, port, &n);
  if (refused != 0) return refused;
  lua_pushinteger(L, (lua_Integer)n);
  return 2;
}

/* store:verify() -> {table = records read, ...}, list of what is damaged */
static int store_verify(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  uint64_t counts[WEIR_TABLES];
  weir_status status = weir_store_verify(port->client, counts, &port->result);
  if (status != WEIR_OK) return weir_refusef(L, status, "%s", port->result.message);
  lua_createtable(L, 0, WEIR_TABLES); /* counts */
  for (int i = 0; i < WEIR_TABLES; i++) set_count(L, weir_table_name(i), counts[i]);
  lua_newtable(L); /* counts list */
  for (uint32_t i = 0; i < weir_result_count(&port->result); i++) {
    weir_found found = weir_result_at(&port->result, i);
    lua_pushlstring(L, (const char *)port->result.bytes.bytes + found.at, found.size);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  weir_mark_list(L, -1);
  return 2;
}

static const luaL_Reg methods[] = { { "path", store_path },       { "stats", store_stats },
                                    { "close", store_close },     { "sync", store_sync },
                                    { "run", weir_journal_new },  { "new_run", weir_journal_of_new_run },
                                    { "load", store_load },       { "entries", store_entries },
                                    { "row", store_row },         { "verify", store_verify },
                                    { "lsn", store_lsn },         { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", store_gc },
                                        { "__close", store_close },
                                        { NULL, NULL } };
static const luaL_Reg functions[] = { { "open", checkpoint_open }, { NULL, NULL } };

int luaopen_weir_native_checkpoint(lua_State *L);

int luaopen_weir_native_checkpoint(lua_State *L) {
  weir_journal_open(L);
  luaL_newmetatable(L, WEIR_STORE); /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods); /* meta methods */
  luaL_setfuncs(L, weir_space_methods, 0);
  luaL_setfuncs(L, weir_job_methods, 0);
  lua_setfield(L, -2, "__index"); /* meta */
  luaL_newlib(L, functions);      /* meta module */
  weir_pack_push_functions(L);    /* meta module encode decode */
  lua_setfield(L, -3, "decode");
  lua_setfield(L, -2, "encode");
  const char *lmdb = weir_store_lmdb();
  lua_pushlstring(L, lmdb, strcspn(lmdb, ": ")); /* meta module version */
  lua_setfield(L, -2, "lmdb");
  return 1;
}
