/* json_lua.c - weir.native.json: strict JSON for Lua values; json_encode_lua.c has the way back.
 *
 * null is weir.null, every list is marked, integers and floats are kept apart. Nothing here calls Lua
 * code. Scratch memory is the C stack or a userdata on the Lua stack: raising loses nothing. */
#include "json_lua.h"

#include "json.h"

#include <string.h>

#define DECODER "weir.json.decoder"
#define MAP_ROOM 4 /* keys that a map has room for from the start: growing one by one takes longer than reading */

static void push_text(lua_State *L, const weir_json_reader *r) {
  if (!r->escaped) {
    lua_pushlstring(L, r->bytes, r->size);
    return;
  }
  luaL_Buffer buffer;
  char *out = luaL_buffinitsize(L, &buffer, r->size);
  luaL_pushresultsize(&buffer, weir_json_unescape(r->bytes, r->size, out));
}

static bool refuse_duplicate(lua_State *L, weir_json_reader *r) {
  const char *problem = "an object has the same key twice";
  if (r->size <= 64)
    problem = lua_pushfstring(L, "an object has the key '%s' twice", lua_tostring(L, -2));
  weir_json_fail(r, WEIR_INVALID, problem, r->bytes - 1);
  return false;
}

/* Pushes the key that was just read; false if the map has it already, or too many. */
static bool push_key(lua_State *L, weir_json_reader *r, lua_Integer count) {
  push_text(L, r);                                                  /* map key */
  lua_pushvalue(L, -1);                                             /* map key key */
  if (lua_rawget(L, -3) != LUA_TNIL) return refuse_duplicate(L, r); /* map key value */
  lua_pop(L, 1);
  if (count <= WEIR_JSON_KEYS) return true;
  weir_json_fail(r, WEIR_LIMIT, "more than 65536 keys in one object", r->bytes - 1);
  return false;
}

static void push_scalar(lua_State *L, const weir_json_reader *r, weir_json_event event) {
  switch (event) {
  case WEIR_JSON_TEXT: push_text(L, r); break;
  case WEIR_JSON_INTEGER: lua_pushinteger(L, (lua_Integer)r->integer); break;
  case WEIR_JSON_FLOAT: lua_pushnumber(L, r->number); break;
  case WEIR_JSON_NULL: weir_push_null(L); break;
  default: lua_pushboolean(L, event == WEIR_JSON_TRUE); break;
  }
}

/* Reads one value and what must follow it, and pushes it; `list` is the index of the lists' metatable.
 * On a failure the reader says why and the stack holds what was read so far. */
static bool push_value(lua_State *L, weir_json_reader *r, int list) {
  lua_Integer counts[WEIR_JSON_DEPTH + 1] = { 0 };
  for (;;) {
    weir_json_event event = weir_json_next(r);
    switch (event) {
    case WEIR_JSON_BAD: return false;
    case WEIR_JSON_END: return true;
    case WEIR_JSON_KEY:
      if (!push_key(L, r, ++counts[r->depth])) return false;
      continue;
    case WEIR_JSON_MAP_OPEN:
      counts[r->depth] = 0;
      lua_createtable(L, 0, MAP_ROOM);
      continue;
    case WEIR_JSON_LIST_OPEN:
      counts[r->depth] = 0;
      lua_createtable(L, 1, 0);
      lua_pushvalue(L, list);
      lua_setmetatable(L, -2);
      continue;
    case WEIR_JSON_CLOSE: break;
    default: push_scalar(L, r, event);
    }
    if (r->depth == 0) continue;                 /* value: the end must follow */
    if (r->map[r->depth]) lua_rawset(L, -3);     /* map key value */
    else lua_rawseti(L, -2, ++counts[r->depth]); /* list value */
  }
}

/* Pushes nil, message, code, {line=, column=, offset=}; line and column are those of the
 * text's start. */
static int refuse_text(lua_State *L, const weir_json_reader *r, size_t line, size_t column,
                       size_t before) {
  char found[16];
  weir_json_locate(r->text, r->problem_at, &line, &column);
  bool expected = strncmp(r->problem, "expected", 8) == 0;
  const char *end = expected ? lua_pushfstring(L, ", got %s", weir_json_found(r, found)) : "";
  weir_refusef(L, r->status, "line %I, column %I: %s%s", (lua_Integer)line, (lua_Integer)column,
               r->problem, end);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)line);
  lua_setfield(L, -2, "line");
  lua_pushinteger(L, (lua_Integer)column);
  lua_setfield(L, -2, "column");
  lua_pushinteger(L, (lua_Integer)(before + r->problem_at) + 1);
  lua_setfield(L, -2, "offset");
  return 4;
}

/* json.decode(text [, {max_bytes =, max_depth =}]) -> value
 * | nil, "line 3, column 7: ...", "invalid" or "limit", {line =, column =, offset =} (all from 1). */
static int json_decode(lua_State *L) {
  size_t size;
  const char *text = (luaL_checktype(L, 1, LUA_TSTRING), lua_tolstring(L, 1, &size));
  weir_json_check_options(L, 2);
  lua_Integer max_bytes = weir_json_option(L, 2, "max_bytes", WEIR_JSON_BYTES, 1, LUA_MAXINTEGER);
  lua_Integer max_depth = weir_json_option(L, 2, "max_depth", WEIR_JSON_DEPTH, 1, WEIR_JSON_DEPTH);
  luaL_checkstack(L, 2 * WEIR_JSON_DEPTH + LUA_MINSTACK, "no room to decode");
  weir_json_reader reader;
  weir_json_reader_init(&reader, text, size, (uint32_t)max_depth);
  if ((lua_Unsigned)size > (lua_Unsigned)max_bytes) {
    const char *problem =
        lua_pushfstring(L, "the text has %I bytes, the limit is %I", (lua_Integer)size, max_bytes);
    weir_json_fail(&reader, WEIR_LIMIT, problem, text);
    return refuse_text(L, &reader, 1, 1, 0);
  }
  luaL_newmetatable(L, WEIR_LIST); /* ... list */
  if (push_value(L, &reader, lua_gettop(L))) return 1;
  return refuse_text(L, &reader, 1, 1, 0);
}

/* json.list([table]) -> the table (or a new one), marked as a list: written as [] when empty. */
static int json_list(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argcheck(L, !lua_getmetatable(L, 1) || weir_is_marked_list(L, 1), 1,
                "table has a metatable already");
  weir_mark_list(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* json.is_list(value) -> true for a marked table, and for a table whose keys are exactly 1..n, n
 * > 0. */
static int json_is_list(lua_State *L) {
  luaL_checkany(L, 1);
  bool list = lua_istable(L, 1) && (weir_is_marked_list(L, 1) || weir_json_count_items(L, 1) > 0);
  lua_pushboolean(L, list);
  return 1;
}

/* Values that come in pieces. The bytes not yet read are a userdata in user value 1; what went wrong is
 * kept in user value 2, since nothing after it can be trusted. */
typedef struct {
  weir_json_framer framer;
  size_t length, capacity, scanned; /* bytes held, room, bytes that the framer has seen */
  size_t line, column, offset;      /* where the held bytes start; line and column from 1 */
  size_t max_bytes;                 /* of one value */
  uint32_t max_depth;
} decoder;

/* json.decoder([{max_bytes =, max_depth =}]) -> decoder. */
static int json_decoder(lua_State *L) {
  weir_json_check_options(L, 1);
  lua_settop(L, 1);
  lua_Integer max_bytes = weir_json_option(L, 1, "max_bytes", WEIR_JSON_BYTES, 1, LUA_MAXINTEGER);
  lua_Integer max_depth = weir_json_option(L, 1, "max_depth", WEIR_JSON_DEPTH, 1, WEIR_JSON_DEPTH);
  decoder *d = lua_newuserdatauv(L, sizeof *d, 2);
  *d = (decoder){
    .line = 1, .column = 1, .max_bytes = (size_t)max_bytes, .max_depth = (uint32_t)max_depth
  };
  luaL_setmetatable(L, DECODER);
  return 1;
}

static char *held_bytes(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  char *bytes = lua_touserdata(L, -1);
  lua_pop(L, 1); /* user value 1 keeps it */
  return bytes;
}

static void hold_bytes(lua_State *L, decoder *d, const char *bytes, size_t size) {
  char *held = held_bytes(L);
  if (d->capacity - d->length < size) {
    size_t capacity = d->capacity * 2 > d->length + size ? d->capacity * 2 : d->length + size;
    char *larger = lua_newuserdatauv(L, capacity, 0); /* ... larger */
    if (held) memcpy(larger, held, d->length);
    lua_setiuservalue(L, 1, 1);
    held = larger;
    d->capacity = capacity;
  }
  if (size) memcpy(held + d->length, bytes, size);
  d->length += size;
}

/* Forget the first bytes, which were read. */
static void advance(decoder *d, const char *bytes, size_t size) {
  weir_json_locate(bytes, size, &d->line, &d->column);
  d->offset += size;
}

/* Keeps the nil, message, code, place on top of the stack as the decoder's answer from now on. */
static void keep_refusal(lua_State *L) {
  lua_createtable(L, 4, 0); /* nil message code place kept */
  lua_insert(L, -5);        /* kept nil message code place */
  for (int i = 4; i >= 2; i--) lua_rawseti(L, -1 - i, i);
  lua_pop(L, 1);              /* kept */
  lua_setiuservalue(L, 1, 2); /* */
}

/* Pushes what keep_refusal kept and returns 4, or pushes nothing and returns 0. */
static int push_refusal(lua_State *L) {
  if (lua_getiuservalue(L, 1, 2) == LUA_TNIL) {
    lua_pop(L, 1);
    return 0;
  }
  int kept = lua_gettop(L);
  lua_pushnil(L);
  for (int i = 2; i <= 4; i++) lua_rawgeti(L, kept, i);
  return 4;
}

/* Reads the value in bytes[0..size) and adds it to the list at index `values`. */
static bool read_frame(lua_State *L, decoder *d, const char *bytes, size_t size, int values) {
  weir_json_reader reader;
  weir_json_reader_init(&reader, bytes, size, d->max_depth);
  luaL_newmetatable(L, WEIR_LIST);             /* list */
  if (push_value(L, &reader, lua_gettop(L))) { /* list value */
    lua_rawseti(L, values, (lua_Integer)lua_rawlen(L, values) + 1);
    lua_settop(L, values);
    return true;
  }
  refuse_text(L, &reader, d->line, d->column, d->offset);
  keep_refusal(L);
  lua_settop(L, values);
  return false;
}

static bool refuse_long(lua_State *L, decoder *d, int values) {
  weir_json_reader reader;
  weir_json_reader_init(&reader, "", 0, d->max_depth);
  const char *problem = lua_pushfstring(L, "a value has more than %I bytes", (lua_Integer)d->max_bytes);
  weir_json_fail(&reader, WEIR_LIMIT, problem, reader.text);
  refuse_text(L, &reader, d->line, d->column, d->offset);
  keep_refusal(L);
  lua_settop(L, values);
  return false;
}

/* Reads all values that are complete in what is held. */
static bool read_frames(lua_State *L, decoder *d, char *bytes, int values) {
  size_t start = 0, used;
  bool fine = true;
  while (fine && weir_json_frame(&d->framer, bytes + d->scanned, d->length - d->scanned, &used)) {
    d->scanned += used;
    size_t size = d->scanned - start;
    fine =
        size > d->max_bytes ? refuse_long(L, d, values) : read_frame(L, d, bytes + start, size, values);
    advance(d, bytes + start, size);
    start = d->scanned;
  }
  if (!fine) return false;
  d->length -= start;
  d->scanned = d->length;
  if (d->length) memmove(bytes, bytes + start, d->length);
  return d->length <= d->max_bytes || refuse_long(L, d, values);
}

/* The list of values on top of the stack; or what went wrong, if there is none before it. */
static int answer(lua_State *L, bool fine) {
  if (fine || lua_rawlen(L, -1) > 0) return 1;
  return push_refusal(L);
}

static void push_values(lua_State *L) {
  luaL_checkstack(L, 2 * WEIR_JSON_DEPTH + LUA_MINSTACK, "no room to decode");
  lua_newtable(L);
  weir_mark_list(L, -1);
}

/* decoder:feed(bytes) -> list of the values that are complete now | nil, message, code, place.
 * Values before a mistake are handed out first; the mistake is the answer to every later call. */
static int decoder_feed(lua_State *L) {
  decoder *d = luaL_checkudata(L, 1, DECODER);
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  lua_settop(L, 2);
  int refused = push_refusal(L);
  if (refused) return refused;
  hold_bytes(L, d, bytes, size);
  push_values(L); /* decoder bytes values */
  return answer(L, read_frames(L, d, held_bytes(L), 3));
}

/* decoder:finish() -> list of the values that the end of the stream completes (at most one: a number or
 * a name) | nil, message, code, place, also when the stream ends inside a value. */
static int decoder_finish(lua_State *L) {
  decoder *d = luaL_checkudata(L, 1, DECODER);
  lua_settop(L, 1);
  int refused = push_refusal(L);
  if (refused) return refused;
  lua_pushnil(L);
  push_values(L); /* decoder nil values */
  bool between = weir_json_frame_may_end(&d->framer) && d->framer.state == 0;
  bool fine = between || read_frame(L, d, held_bytes(L), d->length, 3);
  if (fine) {
    advance(d, held_bytes(L), d->length);
    d->length = d->scanned = 0;
    d->framer = (weir_json_framer){ 0 };
  }
  return answer(L, fine);
}

static const luaL_Reg functions[] = { { "decode", json_decode },   { "encode", weir_json_encode },
                                      { "list", json_list },       { "is_list", json_is_list },
                                      { "decoder", json_decoder }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "feed", decoder_feed },
                                    { "finish", decoder_finish },
                                    { NULL, NULL } };

int luaopen_weir_native_json(lua_State *L);
int luaopen_weir_native_json(lua_State *L) {
  luaL_newmetatable(L, DECODER);  /* meta */
  luaL_newlib(L, methods);        /* meta methods */
  lua_setfield(L, -2, "__index"); /* meta */
  luaL_newlib(L, functions);      /* meta functions */
  weir_push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
