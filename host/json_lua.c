/* json_lua.c - weir.native.json: strict JSON for Lua values.
 *
 * null is weir.null, every list is marked, integers and floats are kept apart. Nothing here calls Lua
 * code, so no value changes while it is written; tables are read raw, without their metamethods.
 * Scratch memory is the C stack or a userdata on the Lua stack: raising loses nothing. */
#include "binding.h"
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECODER "weir.json.decoder"
#define ENCODE_BYTES (64 * 1024 * 1024) /* one encoded text, unless told otherwise */
#define INDENT_MAX 16

/* The field of an options table as an integer in low..high; missing options are defaults. */
static lua_Integer integer_option(lua_State *L, int options, const char *name, lua_Integer standard,
                                  lua_Integer low, lua_Integer high) {
  if (lua_isnoneornil(L, options)) return standard;
  int exact = 1;
  lua_getfield(L, options, name);
  lua_Integer value = lua_isnil(L, -1) ? standard : lua_tointegerx(L, -1, &exact);
  if (!exact || value < low || value > high)
    luaL_error(L, "option '%s' must be an integer from %I to %I", name, low, high);
  lua_pop(L, 1);
  return value;
}

static bool boolean_option(lua_State *L, int options, const char *name) {
  if (lua_isnoneornil(L, options)) return false;
  lua_getfield(L, options, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static void check_options(lua_State *L, int index) {
  if (!lua_isnoneornil(L, index)) luaL_checktype(L, index, LUA_TTABLE);
}

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
      lua_newtable(L);
      continue;
    case WEIR_JSON_LIST_OPEN:
      counts[r->depth] = 0;
      lua_newtable(L);
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
  check_options(L, 2);
  lua_Integer max_bytes = integer_option(L, 2, "max_bytes", WEIR_JSON_BYTES, 1, LUA_MAXINTEGER);
  lua_Integer max_depth = integer_option(L, 2, "max_depth", WEIR_JSON_DEPTH, 1, WEIR_JSON_DEPTH);
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

/* One value on its way into text. The path leads to what is being written, for messages. */
typedef struct {
  lua_State *L;
  weir_json_writer writer;
  int buffer; /* stack index of the userdata that holds the bytes once they outgrow `first` */
  int indent; /* spaces a level, 0: all on one line */
  int depth;  /* open containers */
  bool compact;
  weir_status status;
  const char *problem; /* why it cannot be written; NULL: the limit */
  size_t bad;          /* first wrong byte of a text that is not UTF-8, from 1 */
  struct {
    const char *key;
    size_t size;
    lua_Integer index;
  } path[WEIR_JSON_DEPTH + 1]; /* key NULL: index */
  char first[1024];
} encoder;

static bool encode_value(encoder *e, int index);

static bool grow_buffer(weir_json_writer *w, size_t need) {
  encoder *e = w->context;
  size_t capacity = w->capacity * 2 > need ? w->capacity * 2 : need;
  char *bytes = lua_newuserdatauv(e->L, capacity, 0);
  memcpy(bytes, w->bytes, w->length);
  w->bytes = bytes;
  w->capacity = capacity;
  lua_replace(e->L, e->buffer);
  return true;
}

static bool stop(encoder *e, weir_status status, const char *problem) {
  e->status = status;
  e->problem = problem;
  return false;
}

static bool check(encoder *e, weir_status status) {
  if (status == WEIR_OK) return true;
  return stop(e, status,
              status == WEIR_LIMIT ? "the text grows past its limit" : "a text that is not UTF-8");
}

static bool put(encoder *e, const char *bytes, size_t size) {
  return check(e, weir_json_put(&e->writer, bytes, size));
}

static bool put_line(encoder *e) {
  if (e->indent == 0) return true;
  return put(e, "\n", 1) &&
         check(e, weir_json_put_spaces(&e->writer, (size_t)e->indent * (size_t)e->depth));
}

static bool put_separator(encoder *e, bool first) {
  return (first || put(e, ",", 1)) && put_line(e);
}

static bool put_close(encoder *e, const char *bracket, bool empty) {
  e->depth--;
  return (empty || put_line(e)) && put(e, bracket, 1);
}

static bool encode_number(encoder *e, int index) {
  if (lua_isinteger(e->L, index))
    return check(e, weir_json_put_integer(&e->writer, lua_tointeger(e->L, index)));
  double number = lua_tonumber(e->L, index);
  if (!isfinite(number))
    return stop(e, WEIR_INVALID, isnan(number) ? "not a number (NaN)" : "an infinite number");
  return check(e, weir_json_put_float(&e->writer, number));
}

static bool encode_text(encoder *e, int index) {
  size_t size, bad = 0;
  const char *bytes = lua_tolstring(e->L, index, &size);
  weir_status status = weir_json_put_text(&e->writer, bytes, size, &bad);
  if (status == WEIR_INVALID) e->bad = bad + 1;
  return check(e, status);
}

/* From here until the next item or key is known, the path ends at the container itself. */
static void forget_step(encoder *e) {
  e->path[e->depth].key = NULL;
  e->path[e->depth].index = 0;
}

static bool put_open(encoder *e, const char *bracket) {
  if (!put(e, bracket, 1)) return false;
  e->depth++;
  forget_step(e);
  return true;
}

static bool encode_item(encoder *e, lua_Integer i) {
  e->path[e->depth].key = NULL;
  e->path[e->depth].index = i;
  bool fine = put_separator(e, i == 1) && encode_value(e, lua_gettop(e->L)); /* item */
  if (fine) lua_pop(e->L, 1);
  return fine;
}

/* How many keys the table has, if all are integers in 1..that number; else -1. */
static lua_Integer count_items(lua_State *L, int index) {
  lua_Integer count = 0, highest = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) { /* key item */
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    lua_pop(L, 1);
    if (key < 1) {
      lua_pop(L, 1);
      return -1;
    }
    count++;
    if (key > highest) highest = key;
  }
  return highest == count ? count : -1;
}

/* Writes the items after the bracket, in order of their keys, when lua_next does not give
 * that order. */
static bool encode_scattered(encoder *e, int index) {
  lua_Integer count = count_items(e->L, index);
  forget_step(e);
  if (count < 0)
    return stop(e, WEIR_INVALID, "a table with mixed keys or holes; use a list or string keys");
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(e->L, index, i); /* item */
    if (!encode_item(e, i)) return false;
  }
  return put_close(e, "]", false);
}

/* The usual list comes from lua_next as 1, 2, 3, ...; where it does not, begin again. */
static bool encode_list(encoder *e, int index) {
  lua_State *L = e->L;
  if (!put_open(e, "[")) return false;
  size_t start = e->writer.length;
  lua_Integer i = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) { /* key item */
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != i + 1) {
      lua_pop(L, 2);
      e->writer.length = start;
      return encode_scattered(e, index);
    }
    if (!encode_item(e, ++i)) return false;
  }
  return put_close(e, "]", i == 0);
}

/* A key of a map while it is put in order: its bytes, the first eight of them as a number,
 * its place. */
typedef struct {
  const char *bytes;
  size_t size;
  uint64_t head;
  int slot; /* stack index; the value is at slot + 1 */
} map_key;

static int compare_keys(const void *left, const void *right) {
  const map_key *a = left, *b = right;
  if (a->head != b->head) return a->head < b->head ? -1 : 1;
  size_t common = a->size < b->size ? a->size : b->size;
  int order = memcmp(a->bytes, b->bytes, common);
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

static void sort_keys(map_key *keys, size_t count) {
  if (count > 24) {
    qsort(keys, count, sizeof *keys, compare_keys);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    map_key key = keys[i];
    size_t to = i;
    for (; to > 0 && compare_keys(&keys[to - 1], &key) > 0; to--) keys[to] = keys[to - 1];
    keys[to] = key;
  }
}

static map_key key_at(lua_State *L, int slot) {
  map_key key = { .slot = slot };
  key.bytes = lua_tolstring(L, slot, &key.size);
  for (size_t i = 0; i < 8; i++)
    key.head = key.head << 8 | (i < key.size ? (unsigned char)key.bytes[i] : 0u);
  return key;
}

/* Pushes all keys and values of the table; how many pairs, or -1 after a failure. */
static int push_pairs(encoder *e, int index) {
  lua_State *L = e->L;
  int count = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) { /* key value */
    if (lua_type(L, -2) != LUA_TSTRING) {
      stop(e, WEIR_INVALID, "a table with mixed keys or holes; use a list or string keys");
      return -1;
    }
    if (++count > WEIR_JSON_KEYS || !lua_checkstack(L, LUA_MINSTACK)) {
      stop(e, WEIR_LIMIT, "more than 65536 keys in one object");
      return -1;
    }
    lua_pushvalue(L, -2); /* key value key */
  }
  return count;
}

static bool encode_pair(encoder *e, const map_key *key, bool first) {
  forget_step(e);
  if (!put_separator(e, first) || !encode_text(e, key->slot)) return false;
  e->path[e->depth].key = key->bytes;
  e->path[e->depth].size = key->size;
  return put(e, ": ", e->indent ? 2 : 1) && encode_value(e, key->slot + 1);
}

static bool encode_pairs(encoder *e, map_key *keys, int first_slot, size_t count) {
  for (size_t i = 0; i < count; i++) keys[i] = key_at(e->L, first_slot + 2 * (int)i);
  sort_keys(keys, count);
  for (size_t i = 0; i < count; i++)
    if (!encode_pair(e, &keys[i], i == 0)) return false;
  return put_close(e, "}", count == 0);
}

#define FEW 16 /* keys that are put in order on the C stack */

static bool encode_map(encoder *e, int index) {
  if (!put_open(e, "{")) return false;
  int top = lua_gettop(e->L), count = push_pairs(e, index); /* key value key value ... */
  if (count < 0) return false;
  map_key few[FEW], *keys = few;
  if (count > FEW) keys = lua_newuserdatauv(e->L, (size_t)count * sizeof *keys, 0);
  bool fine = encode_pairs(e, keys, top + 1, (size_t)count);
  if (fine) lua_settop(e->L, top);
  return fine;
}

/* Whether the table is written as a list: marked, or not empty and its first key is an integer. */
static bool looks_like_list(lua_State *L, int index) {
  if (weir_is_marked_list(L, index)) return true;
  lua_pushnil(L);
  if (!lua_next(L, index)) return false;
  bool integer = lua_isinteger(L, -2);
  lua_pop(L, 2);
  return integer;
}

static bool encode_table(encoder *e, int index) {
  if (e->depth == WEIR_JSON_DEPTH)
    return stop(e, WEIR_INVALID, "more than 64 tables inside one another (a cycle?)");
  if (!lua_checkstack(e->L, LUA_MINSTACK)) return stop(e, WEIR_LIMIT, "the value is too large");
  return looks_like_list(e->L, index) ? encode_list(e, index) : encode_map(e, index);
}

static bool encode_value(encoder *e, int index) {
  switch (lua_type(e->L, index)) {
  case LUA_TSTRING: return encode_text(e, index);
  case LUA_TNUMBER: return encode_number(e, index);
  case LUA_TTABLE: return encode_table(e, index);
  case LUA_TNIL: return put(e, "null", 4);
  case LUA_TBOOLEAN: return lua_toboolean(e->L, index) ? put(e, "true", 4) : put(e, "false", 5);
  case LUA_TLIGHTUSERDATA:
    if (weir_is_null(e->L, index)) return put(e, "null", 4);
    return stop(e, WEIR_INVALID, "a light userdata other than null");
  case LUA_TFUNCTION: return stop(e, WEIR_INVALID, "a function, which is not data");
  case LUA_TTHREAD: return stop(e, WEIR_INVALID, "a coroutine, which is not data");
  default: return stop(e, WEIR_INVALID, "a userdata, which is not data");
  }
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
#define STEP_MAX 64  /* bytes of a key that a message shows */
#define STEPS_MAX 16 /* of a path */

static void add_key(luaL_Buffer *b, const char *key, size_t size) {
  if (size <= STEP_MAX && size > 0 && strspn(key, NAME_CHARACTERS) == size) {
    luaL_addchar(b, '.');
    luaL_addlstring(b, key, size);
    return;
  }
  luaL_addstring(b, "[\"");
  const char *at = key, *end = key + size;
  while (at < end && at - key < STEP_MAX) {
    const char *next = weir_utf8_next(at, end); /* never NULL: the key was written */
    if ((unsigned char)*at < 0x20) luaL_addchar(b, '?');
    else luaL_addlstring(b, at, (size_t)(next - at));
    at = next;
  }
  luaL_addstring(b, at < end ? "...\"]" : "\"]");
}

static void add_index(luaL_Buffer *b, lua_Integer index) {
  char text[32];
  snprintf(text, sizeof text, "[%lld]", (long long)index);
  luaL_addstring(b, text);
}

/* Pushes nil, "at .a.b[2]: ...", code. The path may end at a container itself. */
static int refuse_value(lua_State *L, const encoder *e) {
  luaL_Buffer path;
  luaL_buffinit(L, &path);
  for (int i = 1; i <= e->depth && i <= STEPS_MAX; i++) {
    if (e->path[i].key) add_key(&path, e->path[i].key, e->path[i].size);
    else if (e->path[i].index) add_index(&path, e->path[i].index);
  }
  if (e->depth > STEPS_MAX) luaL_addstring(&path, "...");
  luaL_pushresult(&path); /* path */
  const char *where = lua_rawlen(L, -1) ? lua_tostring(L, -1) : "the top";
  if (e->status == WEIR_INVALID && e->bad)
    return weir_refusef(L, e->status, "at %s: %s (byte %I)", where, e->problem, (lua_Integer)e->bad);
  return weir_refusef(L, e->status, "at %s: %s", where, e->problem);
}

/* json.encode(value [, {canonical =, indent =, max_bytes =}]) -> text
 * | nil, "at .a.b[2]: ...", "invalid" or "limit". Keys are always in order of their bytes;
 * canonical (one value, one text) also refuses to be indented. */
static int json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  check_options(L, 2);
  lua_settop(L, 2);
  encoder e = { .L = L, .buffer = 3 };
  e.indent = (int)integer_option(L, 2, "indent", 0, 0, INDENT_MAX);
  luaL_argcheck(L, e.indent == 0 || !boolean_option(L, 2, "canonical"), 2,
                "canonical text has no indent");
  lua_Integer max_bytes = integer_option(L, 2, "max_bytes", ENCODE_BYTES, 1, LUA_MAXINTEGER);
  e.writer = (weir_json_writer){
    .bytes = e.first, .capacity = sizeof e.first, .limit = (size_t)max_bytes, .grow = grow_buffer
  };
  e.writer.context = &e;
  lua_pushnil(L); /* value options buffer */
  if (!encode_value(&e, 1)) return refuse_value(L, &e);
  lua_pushlstring(L, e.writer.bytes, e.writer.length);
  return 1;
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
  bool list = lua_istable(L, 1) && (weir_is_marked_list(L, 1) || count_items(L, 1) > 0);
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
  check_options(L, 1);
  lua_settop(L, 1);
  lua_Integer max_bytes = integer_option(L, 1, "max_bytes", WEIR_JSON_BYTES, 1, LUA_MAXINTEGER);
  lua_Integer max_depth = integer_option(L, 1, "max_depth", WEIR_JSON_DEPTH, 1, WEIR_JSON_DEPTH);
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

static const luaL_Reg functions[] = { { "decode", json_decode },   { "encode", json_encode },
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
