/* store_journal_lua.c - the methods of a journal: append and note. User value 1 of a journal is its
 * store. */
#include <string.h>

#include "binding.h"
#include "store_port.h"

#define TOKEN_OP_BITS 24 /* of a note's token: place in its batch; the rest is the batch's serial */

static weir_port *port_of(lua_State *L, int index) {
  lua_getiuservalue(L, index, 1); /* store */
  weir_port *port = weir_port_check(L, -1);
  lua_pop(L, 1); /* the journal keeps it */
  return port;
}

/* The status of a row, 1 to 32 bytes without a zero, into the batch. */
static weir_span add_status(lua_State *L, weir_batch *batch, int row) {
  size_t size = 0;
  lua_getfield(L, row, "status"); /* status */
  const char *status = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (status == NULL || size < 1 || size > WEIR_STATUS_MAX || memchr(status, 0, size) != NULL)
    luaL_argerror(L, row, "row.status must be a text of 1 to 32 bytes");
  weir_span span = weir_batch_bytes(batch, status, size);
  lua_pop(L, 1); /* */
  return span;
}

static bool is_array(const weir_batch *batch, weir_span span) {
  uint8_t lead = batch->bytes.bytes[span.at];
  return (lead & 0xF0) == 0x90 || lead == 0xDC || lead == 0xDD;
}

bool weir_journal_entry(lua_State *L, weir_port *port, weir_batch *batch, const weir_journal *journal,
                        int entry, int row, bool release) {
  weir_span value, row_span = { 0, 0 }, status = { 0, 0 };
  luaL_checktype(L, entry, LUA_TTABLE);
  if (row != 0) status = add_status(L, batch, row);
  if (!weir_port_encode(L, port, batch, entry, "entry", &value)) return false;
  luaL_argcheck(L, is_array(batch, value), entry, "list expected");
  if (row != 0 && !weir_port_encode(L, port, batch, row, "row", &row_span)) return false;
  weir_span key = weir_batch_bytes(batch, journal->id, journal->id_size);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_ENTRY);
  op->epoch = journal->epoch;
  op->release = release;
  op->key = key;
  op->value = value;
  op->row = row_span;
  op->status = status;
  return true;
}

bool weir_journal_row(lua_State *L, weir_port *port, weir_batch *batch, const weir_journal *journal,
                      int row, bool release) {
  weir_span row_span, status = add_status(L, batch, row);
  if (!weir_port_encode(L, port, batch, row, "row", &row_span)) return false;
  weir_span key = weir_batch_bytes(batch, journal->id, journal->id_size);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_ROW);
  op->epoch = journal->epoch;
  op->release = release;
  op->key = key;
  op->row = row_span;
  op->status = status;
  return true;
}

/* The same for an entry whose elements are the arguments from `first` on: nothing is made to be encoded. */
static bool entry_of_arguments(lua_State *L, weir_port *port, weir_batch *batch, const weir_journal *journal, int first) {
  size_t at = batch->bytes.size;
  int last = lua_gettop(L);
  while (last > first && lua_isnil(L, last)) last--; /* as in a list */
  weir_span element;
  weir_pack_array(&batch->bytes, (uint32_t)(last - first + 1));
  for (int i = first; i <= last; i++) {
    if (weir_port_encode(L, port, batch, i, "entry", &element)) continue;
    batch->bytes.size = at;
    return false;
  }
  weir_span value = { (uint32_t)at, (uint32_t)(batch->bytes.size - at) };
  weir_span key = weir_batch_bytes(batch, journal->id, journal->id_size);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_ENTRY);
  op->epoch = journal->epoch;
  op->key = key;
  op->value = value;
  return true;
}

/* A continuation: n, or nil, message, code. */
static int appended(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  (void)status;
  bool refused = weir_port_refused(L, pending);
  if (!refused) lua_pushinteger(L, (lua_Integer)pending->result);
  lua_getiuservalue(L, 1, 1); /* outcome... store */
  weir_port_recycle(lua_touserdata(L, -1), pending);
  lua_pop(L, 1); /* outcome... */
  return refused ? 3 : 1;
}

/* Drop the note if it is still in the batch under construction: its result says it all. */
static void drop_note(lua_State *L, weir_batch *batch, int index) {
  if (lua_isnoneornil(L, index)) return;
  uint64_t token = (uint64_t)luaL_checkinteger(L, index);
  uint64_t place = token & (((uint64_t)1 << TOKEN_OP_BITS) - 1);
  if (token >> TOKEN_OP_BITS != batch->serial || place >= batch->ops) return;
  if (batch->op[place].kind == WEIR_OP_ENTRY) batch->op[place].kind = WEIR_OP_DROPPED;
}

static int push_token(lua_State *L, const weir_batch *batch, uint32_t first_op) {
  lua_pushinteger(L, (lua_Integer)(batch->serial << TOKEN_OP_BITS | first_op));
  return 1;
}

/* journal:append(entry [, row [, ended [, token]]]) */
static int journal_append(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  lua_settop(L, 5);
  weir_port *port = port_of(L, 1);
  int row = lua_isnil(L, 3) ? 0 : 3;
  if (row != 0) luaL_checktype(L, 3, LUA_TTABLE);
  bool ended = lua_toboolean(L, 4);
  weir_port_check_wait(L);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  if (!weir_journal_entry(L, port, batch, journal, 2, row, ended)) return 3;
  drop_note(L, batch, 5);
  return weir_port_wait(L, port, batch, first_op, ended, "append", appended);
}

/* journal:note(entry) -> token */
static int journal_note(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  weir_port *port = port_of(L, 1);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  if (!weir_journal_entry(L, port, batch, journal, 2, 0, false)) return 3;
  weir_port_post(L, port, batch, first_op, false);
  return push_token(L, batch, first_op);
}

/* journal:note_of(elements...) -> token: note of the list of the arguments */
static int journal_note_of(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  weir_port *port = port_of(L, 1);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  if (!entry_of_arguments(L, port, batch, journal, 2)) return 3;
  weir_port_post(L, port, batch, first_op, false);
  return push_token(L, batch, first_op);
}

/* journal:append_of(token|nil, elements...): append of the list of the arguments. Waits. */
static int journal_append_of(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  weir_port *port = port_of(L, 1);
  luaL_checkany(L, 2);
  weir_port_check_wait(L);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  if (!entry_of_arguments(L, port, batch, journal, 3)) return 3;
  drop_note(L, batch, 2);
  lua_settop(L, 1);
  return weir_port_wait(L, port, batch, first_op, false, "append", appended);
}

static int journal_id(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  lua_pushlstring(L, (const char *)journal->id, journal->id_size);
  return 1;
}

static int journal_epoch(lua_State *L) {
  weir_journal *journal = luaL_checkudata(L, 1, WEIR_JOURNAL);
  lua_pushinteger(L, journal->epoch);
  return 1;
}

/* A continuation: the journal that stands at index 4, and the run's latest n. */
static int taken_over(lua_State *L, int status, lua_KContext context) {
  weir_pending *pending = (weir_pending *)context;
  weir_port *port = lua_touserdata(L, 1);
  (void)status;
  bool refused = weir_port_refused(L, pending);
  uint64_t n = pending->result;
  weir_port_recycle(port, pending);
  if (refused) return 3;
  lua_settop(L, 4);
  lua_pushinteger(L, (lua_Integer)n);
  return 2;
}

/* store id epoch -> store id epoch journal */
static weir_journal *push_journal(lua_State *L) {
  weir_slice id;
  weir_port_check(L, 1);
  id.bytes = (const uint8_t *)luaL_checklstring(L, 2, &id.size);
  luaL_argcheck(L, weir_run_id_ok(id), 2, "a run id has 1 to 128 bytes, none of them zero");
  lua_Integer epoch = luaL_checkinteger(L, 3);
  luaL_argcheck(L, epoch >= 0 && epoch <= UINT32_MAX, 3, "an epoch is 0 to 4294967295");
  lua_settop(L, 3);
  weir_journal *journal = lua_newuserdatauv(L, sizeof *journal, 1);
  memset(journal, 0, sizeof *journal);
  memcpy(journal->id, id.bytes, id.size);
  journal->id_size = (uint8_t)id.size;
  journal->epoch = (uint32_t)epoch;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 4, 1);
  luaL_setmetatable(L, WEIR_JOURNAL);
  return journal;
}

/* store:new_run(run_id, epoch) -> journal of a run that nobody has begun; its first entry makes it known.
 * Does not wait. */
int weir_journal_of_new_run(lua_State *L) {
  push_journal(L);
  return 1;
}

/* store:run(run_id, epoch) -> journal, latest n: takes the run over. Waits. */
int weir_journal_new(lua_State *L) {
  weir_port *port = weir_port_check(L, 1);
  weir_port_check_wait(L);
  weir_journal *journal = push_journal(L);
  weir_batch *batch = weir_port_batch(L, port);
  uint32_t first_op = batch->ops;
  weir_span key = weir_batch_bytes(batch, journal->id, journal->id_size);
  weir_op *op = weir_port_op(L, batch, WEIR_OP_RUN);
  op->epoch = journal->epoch;
  op->key = key;
  return weir_port_wait(L, port, batch, first_op, false, "run", taken_over);
}

static const luaL_Reg methods[] = { { "append", journal_append },
                                    { "append_of", journal_append_of },
                                    { "note", journal_note },
                                    { "note_of", journal_note_of },
                                    { "id", journal_id },
                                    { "epoch", journal_epoch },
                                    { NULL, NULL } };

void weir_journal_open(lua_State *L) {
  luaL_newmetatable(L, WEIR_JOURNAL); /* meta */
  luaL_newlib(L, methods);            /* meta methods */
  lua_setfield(L, -2, "__index");     /* meta */
  lua_pop(L, 1);                      /* */
}
