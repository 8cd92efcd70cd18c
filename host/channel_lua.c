/* channel_lua.c - weir.native.channel. Queued values live in user value 1, a table indexed by slot: the
 * collector sees them, and no reference can leak. User values 2 and 3: why it was closed, and its code. */
#include <string.h>

#include "binding.h"
#include "channel.h"
#include "natives.h"
#include "scheduler.h"

#define CHANNEL "weir.channel"
#define CAPACITY_MAX 65536
#define CASES_MAX 64

enum { SLOTS = 1, REASON, CODE };

/* Methods hold the metatable as their upvalue: no look-up by name for each value that passes. */
static weir_channel *channel_at(lua_State *L, int index) {
  weir_channel *ch = lua_touserdata(L, index);
  if (ch && lua_getmetatable(L, index)) {
    bool is_channel = lua_rawequal(L, -1, lua_upvalueindex(1));
    lua_pop(L, 1);
    if (is_channel) return ch;
  }
  return luaL_checkudata(L, index, CHANNEL);
}

/* new(capacity [, on_full]) */
static int channel_new(lua_State *L) {
  static const char *const policies[] = { "wait", "drop_oldest", "drop_newest", "latest", NULL };
  lua_Integer capacity = luaL_checkinteger(L, 1);
  int on_full = luaL_checkoption(L, 2, "wait", policies);
  luaL_argcheck(L, capacity >= 1 && capacity <= CAPACITY_MAX, 1, "must be 1..65536 values");
  weir_channel *ch = lua_newuserdatauv(L, sizeof *ch, CODE); /* channel */
  weir_channel_init(ch, (uint32_t)capacity, (weir_on_full)on_full);
  luaL_setmetatable(L, CHANNEL);
  lua_createtable(L, (int)capacity, 0);                      /* channel slots */
  lua_setiuservalue(L, -2, SLOTS);                           /* channel */
  return 1;
}

static int refuse_closed(lua_State *L) { /* channel at 1 */
  lua_pushnil(L);
  if (lua_getiuservalue(L, 1, REASON) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushliteral(L, "the channel is closed");
  }
  if (lua_getiuservalue(L, 1, CODE) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushstring(L, weir_status_code(WEIR_CLOSED));
  }
  return 3;
}

static void let_go_of_all(lua_State *L, const weir_channel *ch) { /* ... slots */
  for (uint32_t slot = 0; slot < ch->capacity; slot++) {
    lua_pushnil(L);
    lua_rawseti(L, -2, (lua_Integer)slot + 1);
  }
}

static weir_status store_value(lua_State *L, weir_channel *ch) { /* channel value ... */
  uint32_t slot, count = ch->count;
  lua_getiuservalue(L, 1, SLOTS);                   /* ... slots */
  weir_status status = weir_channel_claim(ch, &slot);
  if (ch->count < count) let_go_of_all(L, ch);
  if (status == WEIR_OK) {
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, (lua_Integer)slot + 1);      /* room was made in new: cannot raise */
  }
  lua_pop(L, 1);
  return status;
}

static weir_status take_value(lua_State *L, int index, weir_channel *ch) { /* pushes the value when OK */
  uint32_t slot;
  weir_status status = weir_channel_release(ch, &slot);
  if (status != WEIR_OK) return status;
  lua_getiuservalue(L, index, SLOTS);               /* slots */
  lua_rawgeti(L, -1, (lua_Integer)slot + 1);        /* slots value: the slots stay below, nobody looks there */
  lua_pushnil(L);
  lua_rawseti(L, -3, (lua_Integer)slot + 1);        /* let the value be collected */
  return WEIR_OK;
}

static int sent(lua_State *L, weir_status status) {
  if (status == WEIR_CLOSED) return refuse_closed(L);
  if (status == WEIR_FULL) return weir_refuse(L, "channel", status);
  lua_pushboolean(L, 1);
  return 1;
}

static void check_value(lua_State *L) {
  luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "value other than nil expected");
}

static int channel_try_send(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  check_value(L);
  return sent(L, store_value(L, ch));
}

static int64_t deadline_at(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return WEIR_NO_DEADLINE;
  lua_Number seconds = luaL_checknumber(L, index);
  if (seconds > 9e9) return WEIR_NO_DEADLINE;
  weir_scheduler *scheduler = weir_scheduler_of(weir_host_of(L));
  return weir_scheduler_now(scheduler) + (int64_t)(seconds < 0 ? 0 : seconds * 1e9);
}

static int send_until(lua_State *L, weir_channel *ch, int64_t deadline_ns);

static int send_woken(lua_State *L, int status, lua_KContext context) {
  if (status == WEIR_TIMEOUT) return weir_refuse(L, "send", WEIR_TIMEOUT);
  return send_until(L, lua_touserdata(L, 1), (int64_t)context);
}

static int send_until(lua_State *L, weir_channel *ch, int64_t deadline_ns) {
  weir_status status = store_value(L, ch);
  if (status != WEIR_FULL) return sent(L, status);
  return weir_task_wait_in(L, &ch->senders, "room in a channel", deadline_ns, (lua_KContext)deadline_ns,
                           send_woken);
}

/* send(channel, value [, timeout]) -> true | nil, message, code */
static int channel_send(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  check_value(L);
  return send_until(L, ch, deadline_at(L, 3));
}

static int channel_try_recv(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  weir_status status = take_value(L, 1, ch);
  if (status == WEIR_CLOSED) return refuse_closed(L);
  return status == WEIR_OK ? 1 : weir_refuse(L, "channel", status);
}

static int recv_until(lua_State *L, weir_channel *ch, int64_t deadline_ns);

static int recv_woken(lua_State *L, int status, lua_KContext context) {
  if (status == WEIR_TIMEOUT) return weir_refuse(L, "recv", WEIR_TIMEOUT);
  return recv_until(L, lua_touserdata(L, 1), (int64_t)context);
}

static int recv_until(lua_State *L, weir_channel *ch, int64_t deadline_ns) {
  weir_status status = take_value(L, 1, ch);
  if (status == WEIR_OK) return 1;
  if (status == WEIR_CLOSED) return refuse_closed(L);
  return weir_task_wait_in(L, &ch->receivers, "a value in a channel", deadline_ns, (lua_KContext)deadline_ns,
                           recv_woken);
}

/* recv(channel [, timeout]) -> value | nil, message, code */
static int channel_recv(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  return recv_until(L, ch, deadline_at(L, 2));
}

/* items(channel): for value in channel:items(); ends with the channel, raises what it was closed with */
static int items_next(lua_State *L);

static int item_woken(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  return items_next(L);
}

static int items_next(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  weir_status status = take_value(L, 1, ch);
  if (status == WEIR_OK) return 1;
  if (status == WEIR_EMPTY)
    return weir_task_wait_in(L, &ch->receivers, "a value in a channel", WEIR_NO_DEADLINE, 0, item_woken);
  if (lua_getiuservalue(L, 1, CODE) == LUA_TNIL) return 1;
  lua_getiuservalue(L, 1, REASON);
  return weir_raise_code(L, lua_tostring(L, -2), lua_tostring(L, -1));
}

static int channel_items(lua_State *L) {
  channel_at(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, items_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* close(channel [, reason [, code]]) */
static int channel_close(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  if (ch->closed) return 0;
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, REASON);
  }
  if (lua_type(L, 3) == LUA_TSTRING) {
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, 1, CODE);
  }
  weir_channel_close(ch);
  return 0;
}

static int channel_end(lua_State *L) { /* __close: without a reason */
  weir_channel_close(channel_at(L, 1));
  return 0;
}

static int channel_stats(lua_State *L) {
  weir_channel *ch = channel_at(L, 1);
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, ch->capacity);
  lua_setfield(L, -2, "capacity");
  lua_pushinteger(L, ch->count);
  lua_setfield(L, -2, "count");
  lua_pushinteger(L, (lua_Integer)ch->accepted);
  lua_setfield(L, -2, "accepted");
  lua_pushinteger(L, (lua_Integer)ch->dropped);
  lua_setfield(L, -2, "dropped");
  lua_pushboolean(L, ch->closed);
  lua_setfield(L, -2, "closed");
  return 1;
}

static int channel_len(lua_State *L) {
  lua_pushinteger(L, channel_at(L, 1)->count);
  return 1;
}

/* A wait in several queues at once: one node for each case. It stands on the stack of the call; its user
 * value holds the channels, since the list of cases is the caller's and may change meanwhile. */
typedef struct {
  weir_wait wait;
  int count;
  weir_node nodes[];
} selection;

static void leave_all(weir_wait *wait) {
  selection *all = (selection *)(void *)wait;
  for (int i = 0; i < all->count; i++) weir_queue_leave(&all->nodes[i]);
}

static void leave_and_pass_on(weir_wait *wait) {
  selection *all = (selection *)(void *)wait;
  leave_all(wait);
  for (int i = 0; i < all->count; i++) weir_queue_wake_first(all->nodes[i].queue);
}

static weir_channel *push_case_channel(lua_State *L, int i, bool *sends) { /* -> channel */
  *sends = lua_rawgeti(L, 1, i) == LUA_TTABLE;
  if (*sends) {
    lua_rawgeti(L, -1, 1);                         /* case channel */
    lua_remove(L, -2);
  }
  return channel_at(L, -1);
}

static weir_channel *case_channel(lua_State *L, int i, bool *sends) {
  weir_channel *ch = push_case_channel(L, i, sends);
  lua_pop(L, 1);
  return ch;
}

/* Try case i of the list at 1: a channel is received from, {channel, value} is sent. 0: not now. */
static int try_case(lua_State *L, int i) {
  int top = lua_gettop(L);
  bool sends;
  const weir_channel *ch = case_channel(L, i, &sends);
  lua_pushinteger(L, i);
  lua_rawgeti(L, 1, i);                            /* i case */
  if (sends) {
    lua_rawgeti(L, -1, 1);                         /* i case channel */
    lua_rawgeti(L, -2, 2);                         /* i case channel value */
    lua_pushcfunction(L, channel_try_send);
    lua_insert(L, -3);                             /* i case try_send channel value */
    lua_call(L, 2, 3);                             /* i case ok message code */
    lua_remove(L, -4);                             /* i ok message code */
  } else {
    lua_pushcfunction(L, channel_try_recv);
    lua_insert(L, -2);                             /* i try_recv channel */
    lua_call(L, 1, 3);                             /* i value message code */
  }
  bool later = lua_isnil(L, -3) && !ch->closed; /* by its state: any code may have been given to close */
  if (!later) return lua_gettop(L) - top;
  lua_settop(L, top);
  return 0;
}

static void pass_on_others(lua_State *L, int count, int chosen) {
  bool sends;
  for (int i = 1; i <= count; i++)
    if (i != chosen) weir_channel_pass_on(case_channel(L, i, &sends));
}

static int select_until(lua_State *L, int64_t deadline_ns);

static int select_woken(lua_State *L, int status, lua_KContext context) {
  leave_all(lua_touserdata(L, 3));
  if (status == WEIR_TIMEOUT) return weir_refuse(L, "select", WEIR_TIMEOUT);
  lua_settop(L, 2);
  return select_until(L, (int64_t)context);
}

static int select_until(lua_State *L, int64_t deadline_ns) {
  int count = (int)lua_rawlen(L, 1);
  for (int i = 1; i <= count; i++) {
    int results = try_case(L, i);
    if (results == 0) continue;
    pass_on_others(L, count, i);
    return results;
  }
  lua_settop(L, 2);
  selection *all = lua_newuserdatauv(L, sizeof *all + (size_t)count * sizeof(weir_node), 1);
  *all = (selection){ .wait = { .abandon = leave_all, .lost = leave_and_pass_on } };
  lua_createtable(L, count, 0);                    /* cases timeout selection channels */
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 3, 1);
  for (int i = 1; i <= count; i++) {
    bool sends;
    weir_channel *ch = push_case_channel(L, i, &sends);
    lua_rawseti(L, -2, i);
    weir_queue_join(sends ? &ch->senders : &ch->receivers, &all->nodes[all->count++], &all->wait);
  }
  lua_settop(L, 3);
  return weir_task_wait(L, &all->wait, "one of several channels", deadline_ns, (lua_KContext)deadline_ns,
                        select_woken);
}

/* select({channel | {channel, value}, ...} [, timeout]) -> index, value | index, true
 *        | index, nil, message, code (that channel is closed) | nil, message, "timeout" */
static int channel_select(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
  luaL_argcheck(L, count >= 1 && count <= CASES_MAX, 1, "must be 1..64 cases");
  for (int i = 1; i <= (int)count; i++) {
    bool sends;
    case_channel(L, i, &sends);
  }
  return select_until(L, deadline_at(L, 2));
}

static const luaL_Reg functions[] = { { "new", channel_new }, { "select", channel_select }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "send", channel_send }, { "try_send", channel_try_send },
  { "recv", channel_recv }, { "try_recv", channel_try_recv }, { "items", channel_items },
  { "close", channel_close }, { "stats", channel_stats }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__close", channel_end }, { "__len", channel_len }, { NULL, NULL } };

int luaopen_weir_native_channel(lua_State *L) {
  luaL_newmetatable(L, CHANNEL);  /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlibtable(L, methods);   /* meta methods */
  lua_pushvalue(L, -2);           /* meta methods meta */
  luaL_setfuncs(L, methods, 1);   /* meta methods */
  lua_setfield(L, -2, "__index"); /* meta */
  lua_pushliteral(L, CHANNEL);
  lua_setfield(L, -2, "__metatable"); /* out of a module's reach, and what tells a channel from others */
  luaL_newlib(L, functions);      /* meta functions */
  return 1;
}
