/* store_space_lua.c - methods of a store: keys and values in spaces, blobs, and batches of everything.
 */
#include <string.h>

#include "binding.h"
#include "sha256.h"
#include "store_port.h"

#define SCAN_DEFAULT 100
#define SCAN_MAX 1000
#define HEX_SIZE (2 * WEIR_HASH_SIZE)

static weir_slice check_slice(lua_State *L, int index) {
  weir_slice slice;
  slice.bytes = (const uint8_t *)luaL_checklstring(L, index, &slice.size);
  return slice;
}

static weir_slice check_space(lua_State *L, int index) {
  weir_slice space = check_slice(L, index);
  luaL_argcheck(L, weir_space_ok(space), index, "a space has 1 to 64 characters from '!' to '~'");
  return space;
}

static weir_slice check_key(lua_State *L, int index) {
  weir_slice key = check_slice(L, index);
  luaL_argcheck(L, key.size <= WEIR_KV_KEY_MAX, index, "a key has at most 65536 bytes");
  return key;
}

static uint64_t check_version(lua_State *L, int index) {
  lua_Integer version = luaL_checkinteger(L, index);
  luaL_argcheck(L, version >= 0, index, "a version is 0 (there must be none) or more");
  return (uint64_t)version;
}

/* Add a put or an add (value: index of the value) or a delete (0). False: refused and pushed. */
static bool add_change(lua_State *L, weir_port *port, weir_batch *batch, weir_op_kind kind, int space,
                       int key, int value, uint64_t expected) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  weir_slice own = check_key(L, key);
  weir_span payload = { 0, 0 }, long_key = { 0, 0 };
  bool is_cut;
  size_t size = weir_kv_key(bytes, check_space(L, space), own, &is_cut);
  if (value != 0 && !weir_port_encode(L, port, batch, value, "value", &payload)) return false;
  weir_span table_key = weir_batch_bytes(batch, bytes, size);
  if (is_cut) long_key = weir_batch_bytes(batch, own.bytes, own.size);
  weir_op *op = weir_port_op(L, batch, kind);
  op->key = table_key;
  op->long_key = long_key;
  op->value = payload;
  op->expected = expected;
  return true;
}

/* A continuation: the result of the last operation, or nil, message, code. */
static int changed(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  bool refused = weir_port_refused(L, pending);
  if (!refused) lua_pushinteger(L, (lua_Integer)pending->result);
  weir_port_recycle(lua_touserdata(L, 1), pending);
  return refused ? 3 : 1;
}

/* A continuation: was it there? */
static int deleted(lua_State *L, int status, lua_KContext context) {
  int count = changed(L, status, context); /* outcome... */
  if (count == 1) lua_pushboolean(L, lua_tointeger(L, -1) != 0);
  return count;
}

static int change(lua_State *L, int value, uint64_t expected, const char *what, lua_KFunction k) {
  weir_port *port = weir_port_check(L, 1);
  if (value != 0) luaL_argcheck(L, !lua_isnoneornil(L, value), value, "value other than nil expected");
  weir_port_check_wait(L);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  weir_op_kind kind = value != 0 ? WEIR_OP_PUT : WEIR_OP_DELETE;
  if (!add_change(L, port, batch, kind, 2, 3, value, expected)) return 3;
  return weir_port_wait(L, port, batch, first_op, value == 0, what, k);
}

/* store:put(space, key, value) -> version */
static int store_put(lua_State *L) {
  return change(L, 4, WEIR_ANY_VERSION, "put", changed);
}

/* store:cas(space, key, version, value) -> version */
static int store_cas(lua_State *L) {
  return change(L, 5, check_version(L, 4), "cas", changed);
}

/* store:delete(space, key [, version]) -> whether it was there */
static int store_delete(lua_State *L) {
  uint64_t expected = lua_isnoneornil(L, 4) ? WEIR_ANY_VERSION : check_version(L, 4);
  return change(L, 0, expected, "delete", deleted);
}

static bool push_value(lua_State *L, const weir_port *port, weir_found found) {
  return weir_unpack_value(L, port->result.bytes.bytes + found.at, found.size) == WEIR_OK;
}

/* store:get(space, key) -> value, version */
static int store_get(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice space = check_space(L, 2), key = check_key(L, 3);
  weir_status status = weir_store_get(port->client, space, key, &port->result);
  if (status == WEIR_NOT_FOUND)
    return weir_refusef(L, status, "space '%s': no key '%s'", lua_tostring(L, 2), lua_tostring(L, 3));
  if (status != WEIR_OK)
    return weir_refusef(L, status, "space '%s': %s", lua_tostring(L, 2), port->result.message);
  weir_found found = weir_result_at(&port->result, 0);
  if (!push_value(L, port, found))
    return weir_refusef(L, WEIR_CORRUPT, "space '%s', key '%s': its value is damaged",
                        lua_tostring(L, 2), lua_tostring(L, 3));
  lua_pushinteger(L, (lua_Integer)found.number);
  return 2;
}

/* A text field of the options at index, or the empty slice; it stays on the stack. */
static weir_slice text_option(lua_State *L, int index, const char *name) {
  weir_slice none = { NULL, 0 };
  if (lua_getfield(L, index, name) == LUA_TNIL) return none;
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "option '%s' must be a text", name);
  return check_slice(L, -1);
}

static bool boolean_option(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static uint32_t limit_option(lua_State *L, int index) {
  if (lua_getfield(L, index, "limit") == LUA_TNIL) {
    lua_pop(L, 1);
    return SCAN_DEFAULT;
  }
  if (!lua_isinteger(L, -1)) luaL_error(L, "option 'limit' must be an integer");
  lua_Integer limit = lua_tointeger(L, -1);
  if (limit < 1 || limit > SCAN_MAX)
    luaL_error(L, "option 'limit' must be 1 to %d; go on from the last key for more", SCAN_MAX);
  lua_pop(L, 1);
  return (uint32_t)limit;
}

static int push_rows(lua_State *L, weir_port *port, const char *id, const char *payload,
                     const char *number) {
  uint32_t count = weir_result_count(&port->result);
  lua_createtable(L, (int)count, 0); /* list */
  for (uint32_t i = 0; i < count; i++) {
    weir_found found = weir_result_at(&port->result, i);
    lua_createtable(L, 0, 3); /* list item */
    lua_pushlstring(L, (const char *)port->result.bytes.bytes + found.id_at, found.id_size);
    lua_setfield(L, -2, id);
    if (found.size == 0) { /* no value takes no byte */
      lua_pushboolean(L, 1);
      lua_setfield(L, -2, found.number == WEIR_RUN_REST ? "rest" : "damaged");
      lua_rawseti(L, -2, (lua_Integer)i + 1); /* list */
      continue;
    }
    if (!push_value(L, port, found))
      return weir_refusef(L, WEIR_CORRUPT, "store: a %s is damaged", payload);
    lua_setfield(L, -2, payload);
    if (number != NULL) {
      lua_pushinteger(L, (lua_Integer)found.number);
      lua_setfield(L, -2, number);
    }
    lua_rawseti(L, -2, (lua_Integer)i + 1); /* list */
  }
  weir_mark_list(L, -1);
  return 1;
}

/* store:scan(space [, {prefix=, from=, after=, to=, before=, behind=, limit=, reverse=, damaged=}]) ->
 * list of {key=, value=, version=} */
static int store_scan(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_scan_query query = { .space = check_space(L, 2), .limit = SCAN_DEFAULT };
  if (!lua_isnoneornil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    query.prefix = text_option(L, 3, "prefix");
    query.from = text_option(L, 3, "after");
    query.after_from = query.from.bytes != NULL;
    if (!query.after_from) query.from = text_option(L, 3, "from");
    query.to = text_option(L, 3, "before");
    query.before_to = query.to.bytes != NULL;
    if (!query.before_to) query.to = text_option(L, 3, "to");
    query.has_to = query.to.bytes != NULL;
    query.behind = text_option(L, 3, "behind");
    query.has_behind = query.behind.bytes != NULL;
    query.limit = limit_option(L, 3);
    query.reverse = boolean_option(L, 3, "reverse");
    query.damaged = boolean_option(L, 3, "damaged");
  }
  weir_status status = weir_store_scan(port->client, &query, &port->result);
  if (status != WEIR_OK)
    return weir_refusef(L, status, "space '%s': %s", lua_tostring(L, 2), port->result.message);
  return push_rows(L, port, "key", "value", "version");
}

#define LOOKS 2000 /* rows that one call looks at when it looks for some */

/* The option `with`, {name, text}, as it stands in a row that has such a field. */
static void field_option(lua_State *L, int index, weir_buffer *packed) {
  if (lua_getfield(L, index, "with") != LUA_TNIL) { /* with */
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_Integer i = 1; i <= 2; i++) {
      size_t size;
      lua_geti(L, -1, i); /* with text */
      const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
      if (bytes != NULL && size <= WEIR_RUN_ID_MAX)
        weir_pack_text(packed, bytes, size);
      else
        packed->failed = true;
      lua_pop(L, 1); /* with */
    }
  }
  lua_pop(L, 1); /* */
}

/* store:runs([{status=, with=, after=, limit=, reverse=, damaged=}]) -> list of {id=, row=} */
static int store_runs(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_run_query query = { .limit = SCAN_DEFAULT };
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    query.status = text_option(L, 2, "status");
    query.after = text_option(L, 2, "after");
    query.limit = limit_option(L, 2);
    query.reverse = boolean_option(L, 2, "reverse");
    query.damaged = boolean_option(L, 2, "damaged");
    weir_buffer_clear(&port->field);
    field_option(L, 2, &port->field);
    if (port->field.failed) return luaL_error(L, "option 'with' must be two short texts");
    query.contains = (weir_slice){ port->field.bytes, port->field.size };
    query.looks = query.contains.size > 0 ? LOOKS : 0;
  }
  if (query.status.size > WEIR_STATUS_MAX || query.after.size > WEIR_RUN_ID_MAX)
    return luaL_error(L, "option 'status' or 'after' is too long");
  weir_status status = weir_store_runs(port->client, &query, &port->result);
  if (status != WEIR_OK) return weir_refusef(L, status, "%s", port->result.message);
  return push_rows(L, port, "id", "row", NULL);
}

/* store:journals([{after=, limit=}]) -> list of ids */
static int store_journals(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice after = { NULL, 0 };
  uint32_t limit = SCAN_DEFAULT;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    after = text_option(L, 2, "after");
    limit = limit_option(L, 2);
  }
  if (after.size > WEIR_RUN_ID_MAX) return luaL_error(L, "option 'after' is too long");
  weir_status status = weir_store_journals(port->client, after, limit, &port->result);
  if (status != WEIR_OK) return weir_refusef(L, status, "%s", port->result.message);
  uint32_t count = weir_result_count(&port->result);
  lua_createtable(L, (int)count, 0); /* list */
  for (uint32_t i = 0; i < count; i++) {
    weir_found found = weir_result_at(&port->result, i);
    lua_pushlstring(L, (const char *)port->result.bytes.bytes + found.id_at, found.id_size);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  weir_mark_list(L, -1);
  return 1;
}

static weir_span add_blob(lua_State *L, weir_batch *batch, weir_slice content, char hex[HEX_SIZE]) {
  uint8_t hash[WEIR_HASH_SIZE];
  weir_hash(content, hash);
  weir_hex(hash, sizeof hash, hex);
  weir_span key = weir_batch_bytes(batch, hash, sizeof hash),
            value = weir_batch_bytes(batch, content.bytes, content.size);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_BLOB);
  op->key = key;
  op->value = value;
  return key;
}

static weir_slice check_content(lua_State *L, int index) {
  weir_slice content = check_slice(L, index);
  if (content.size > WEIR_PACK_BYTES) luaL_argerror(L, index, "a blob has at most 16 MiB");
  return content;
}

/* A continuation: the hash that stands at index 3. */
static int blob_put(lua_State *L, int status, lua_KContext context) {
  int count = changed(L, status, context);
  if (count == 1) lua_settop(L, 3);
  return count;
}

/* store:put_blob(bytes) -> hash in hexadecimal */
static int store_put_blob(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice content = check_content(L, 2);
  char hex[HEX_SIZE];
  weir_port_check_wait(L);
  lua_settop(L, 2);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  add_blob(L, batch, content, hex);
  lua_pushlstring(L, hex, HEX_SIZE); /* store bytes hash */
  return weir_port_wait(L, port, batch, first_op, false, "put_blob", blob_put);
}

static int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* store:get_blob(hash) -> bytes */
static int store_get_blob(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_slice hex = check_slice(L, 2);
  uint8_t hash[WEIR_HASH_SIZE];
  luaL_argcheck(L, hex.size == HEX_SIZE, 2, "a hash has 64 hexadecimal digits");
  for (size_t i = 0; i < WEIR_HASH_SIZE; i++) {
    int high = digit((char)hex.bytes[2 * i]), low = digit((char)hex.bytes[2 * i + 1]);
    if (high < 0 || low < 0)
      return luaL_argerror(L, 2, "a hash has 64 hexadecimal digits, in lower case");
    hash[i] = (uint8_t)(high << 4 | low);
  }
  weir_status status = weir_store_blob(port->client, hash, &port->result);
  if (status != WEIR_OK)
    return weir_refusef(L, status, "blob '%s': %s", lua_tostring(L, 2),
                        status == WEIR_NOT_FOUND ? "there is none" : port->result.message);
  weir_found found = weir_result_at(&port->result, 0);
  lua_pushlstring(L, (const char *)port->result.bytes.bytes + found.at, found.size);
  return 1;
}

/* --- store:batch -----------------------------------------------------------------------------------
 */

static const char *const op_names[] = { "put",  "cas",    "delete", "entry", "row",
                                        "blob", "forget", "add",    NULL };
enum { OP_PUT, OP_CAS, OP_DELETE, OP_ENTRY, OP_ROW, OP_BLOB, OP_FORGET, OP_ADD };

/* The operation stands at index item; its fields are pushed from there on. */
static bool add_item_change(lua_State *L, weir_port *port, weir_batch *batch, int item, int kind) {
  uint64_t expected = WEIR_ANY_VERSION;
  lua_getfield(L, item, "space");   /* ... space */
  lua_getfield(L, item, "key");     /* ... space key */
  lua_getfield(L, item, "value");   /* ... space key value */
  lua_getfield(L, item, "version"); /* ... space key value version */
  if (kind == OP_CAS || (kind == OP_DELETE && !lua_isnil(L, item + 4)))
    expected = check_version(L, item + 4);
  if (kind != OP_DELETE && lua_isnil(L, item + 3)) luaL_error(L, "batch: 'value' is missing");
  return add_change(L, port, batch, kind == OP_DELETE ? WEIR_OP_DELETE : WEIR_OP_PUT, item + 1,
                    item + 2, kind == OP_DELETE ? 0 : item + 3, expected);
}

static bool add_item_sum(lua_State *L, weir_port *port, weir_batch *batch, int item) {
  uint64_t most = WEIR_ANY_VERSION;
  lua_getfield(L, item, "space"); /* ... space */
  lua_getfield(L, item, "key");   /* ... space key */
  lua_getfield(L, item, "by");    /* ... space key by */
  lua_getfield(L, item, "max");   /* ... space key by max */
  if (!lua_isinteger(L, item + 3)) luaL_error(L, "batch: 'by' must be an integer");
  if (!lua_isnil(L, item + 4)) {
    if (!lua_isinteger(L, item + 4) || lua_tointeger(L, item + 4) < 0)
      luaL_error(L, "batch: 'max' must be an integer from 0");
    most = (uint64_t)lua_tointeger(L, item + 4);
  }
  return add_change(L, port, batch, WEIR_OP_ADD, item + 1, item + 2, item + 3, most);
}

/* The end of a run may use the space kept back, and so may what makes room: *reserve is set. */
static bool add_item_entry(lua_State *L, weir_port *port, weir_batch *batch, int item, int kind,
                           bool *reserve) {
  lua_getfield(L, item, "journal"); /* ... journal */
  weir_journal *journal = luaL_testudata(L, -1, WEIR_JOURNAL);
  if (journal == NULL) luaL_error(L, "batch: 'journal' must be what store:run returned");
  lua_getfield(L, item, "entry"); /* ... journal entry */
  lua_getfield(L, item, "row");   /* ... journal entry row */
  lua_getfield(L, item, "ended"); /* ... journal entry row ended */
  lua_getfield(L, item, "park");  /* ... journal entry row ended park */
  bool has_row = !lua_isnil(L, item + 3), ended = lua_toboolean(L, item + 4),
       parked = lua_toboolean(L, item + 5);
  if ((has_row || kind == OP_ROW) && !lua_istable(L, item + 3))
    luaL_error(L, "batch: 'row' must be a table");
  if (kind == OP_ROW) return weir_journal_row(L, port, batch, journal, item + 3, parked);
  if (!lua_istable(L, item + 2)) luaL_error(L, "batch: 'entry' must be a list");
  if (ended) *reserve = true;
  return weir_journal_entry(L, port, batch, journal, item + 2, has_row ? item + 3 : 0, ended || parked);
}

/* The statuses that say that a run has ended: the list at index, or the usual ones. */
static weir_span add_ended(lua_State *L, weir_batch *batch, int index) {
  static const char usual[] = "finished\0failed\0cancelled"; /* and the zero of the text */
  if (lua_isnil(L, index)) return weir_batch_bytes(batch, usual, sizeof usual);
  luaL_checktype(L, index, LUA_TTABLE);
  weir_span span = { (uint32_t)batch->bytes.size, 0 };
  for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; i++) {
    size_t size;
    const char *status = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
    if (status == NULL || size > WEIR_STATUS_MAX || strlen(status) != size)
      luaL_error(L, "batch: 'ended' must be a list of statuses");
    else
      weir_batch_bytes(batch, status, size + 1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  span.size = (uint32_t)(batch->bytes.size - span.at);
  if (span.size == 0) luaL_error(L, "batch: 'ended' must be a list of statuses");
  return span;
}

static bool add_item_forget(lua_State *L, weir_batch *batch, int item, bool *reserve) {
  lua_getfield(L, item, "run");   /* ... run */
  lua_getfield(L, item, "ended"); /* ... run ended */
  bool is_rowless = boolean_option(L, item, "rowless");
  if (lua_type(L, item + 1) != LUA_TSTRING || !weir_run_id_ok(check_slice(L, item + 1)))
    luaL_error(L, "batch: 'run' must be a run id");
  weir_slice run = check_slice(L, item + 1);
  weir_span key = weir_batch_bytes(batch, run.bytes, run.size), ended = { 0, 0 };
  if (!is_rowless) ended = add_ended(L, batch, item + 2);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_FORGET);
  op->key = key;
  op->value = ended;
  *reserve = true;
  return true;
}

static bool add_item(lua_State *L, weir_port *port, weir_batch *batch, int item, int results,
                     lua_Integer i, bool *reserve) {
  char hex[HEX_SIZE];
  lua_getfield(L, item, "op"); /* item op */
  int kind = luaL_checkoption(L, item + 1, NULL, op_names);
  lua_pop(L, 1); /* item */
  if (kind == OP_ENTRY || kind == OP_ROW) return add_item_entry(L, port, batch, item, kind, reserve);
  if (kind == OP_ADD) return add_item_sum(L, port, batch, item);
  if (kind == OP_FORGET) return add_item_forget(L, batch, item, reserve);
  if (kind != OP_BLOB) return add_item_change(L, port, batch, item, kind);
  lua_getfield(L, item, "bytes"); /* item bytes */
  add_blob(L, batch, check_content(L, item + 1), hex);
  lua_pushlstring(L, hex, HEX_SIZE);
  lua_rawseti(L, results, i);
  return true;
}

static bool changes_key(const weir_op *op) {
  return op->kind == WEIR_OP_PUT || op->kind == WEIR_OP_DELETE || op->kind == WEIR_OP_ADD;
}

/* Two changes of one key in one batch have no order that a reader could see; adding needs none. The
 * table at `seen` has the keys that were changed so far, and whether each is only added to. */
static bool has_twin(lua_State *L, const weir_batch *batch, int seen) {
  const weir_op *last = &batch->op[batch->ops - 1];
  if (!changes_key(last)) return false;
  bool adds = last->kind == WEIR_OP_ADD;
  const char *key = (const char *)batch->bytes.bytes + last->key.at;
  lua_pushlstring(L, key, last->key.size);
  bool is_known = lua_rawget(L, seen) != LUA_TNIL;
  bool is_twin = is_known && !(adds && lua_toboolean(L, -1));
  lua_pop(L, 1);
  if (is_known) return is_twin;
  lua_pushlstring(L, key, last->key.size);
  lua_pushboolean(L, adds);
  lua_rawset(L, seen);
  return false;
}

/* A continuation: the list of results at index 3; what is there already (hashes) stays. */
static int batch_done(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  weir_port *port = lua_touserdata(L, 1);
  (void)status;
  if (weir_port_refused(L, pending)) {
    lua_pushinteger(L, (lua_Integer)pending->failed_op + 1);
    weir_port_recycle(port, pending);
    return 4;
  }
  for (uint32_t i = 0; i < pending->ops; i++) {
    if (lua_rawgeti(L, 3, (lua_Integer)i + 1) == LUA_TNIL) {
      lua_pushinteger(L,
                      (lua_Integer)(pending->results != NULL ? pending->results[i] : pending->result));
      lua_rawseti(L, 3, (lua_Integer)i + 1);
    }
    lua_pop(L, 1);
  }
  weir_port_recycle(port, pending);
  lua_settop(L, 3);
  return 1;
}

/* store:batch(operations) -> list of results: version, whether a key was there (1 or 0), n, hash */
static int store_batch(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
  luaL_argcheck(L, count >= 1 && count <= WEIR_REQUEST_OPS, 2, "a batch has 1 to 10000 operations");
  lua_settop(L, 2);
  weir_port_check_wait(L);
  lua_createtable(L, (int)count, 0);
  weir_mark_list(L, 3);
  lua_createtable(L, 0, (int)count); /* store operations results seen */
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  size_t first_byte = batch->bytes.size;
  bool reserve = false;
  for (lua_Integer i = 1; i <= count; i++) {
    lua_settop(L, 4);
    if (lua_rawgeti(L, 2, i) != LUA_TTABLE) return luaL_argerror(L, 2, "a list of tables expected");
    if (!add_item(L, port, batch, 5, 3, i, &reserve)) return 3;
    if (has_twin(L, batch, 4))
      return weir_refusef(L, WEIR_INVALID,
                          "batch: operation %d changes a key that an earlier one changes", (int)i);
    if (batch->bytes.size - first_byte > WEIR_BATCH_BYTES)
      return weir_refusef(L, WEIR_LIMIT, "batch: larger than 64 MiB");
  }
  lua_settop(L, 3);
  return weir_port_wait(L, port, batch, first_op, reserve, "batch", batch_done);
}

const luaL_Reg weir_space_methods[] = { { "put", store_put },
                                        { "cas", store_cas },
                                        { "delete", store_delete },
                                        { "get", store_get },
                                        { "scan", store_scan },
                                        { "runs", store_runs },
                                        { "journals", store_journals },
                                        { "put_blob", store_put_blob },
                                        { "get_blob", store_get_blob },
                                        { "batch", store_batch },
                                        { NULL, NULL } };
