/* json_encode_lua.c - json.encode: Lua values as JSON.
 *
 * Nothing here calls Lua code, so no value changes while it is written; tables are read raw, without
 * their metamethods. Scratch memory is the C stack or a userdata on the Lua stack: raising loses nothing. */
#include "json_lua.h"

#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENCODE_BYTES (64 * 1024 * 1024) /* one encoded text, unless told otherwise */
#define INDENT_MAX 16

/* The field of an options table as an integer in low..high; missing options are defaults. */
lua_Integer weir_json_option(lua_State *L, int options, const char *name, lua_Integer standard,
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

void weir_json_check_options(lua_State *L, int index) {
  if (!lua_isnoneornil(L, index)) luaL_checktype(L, index, LUA_TTABLE);
}

/* How many keys the table has, if all are integers in 1..that number; else -1. */
lua_Integer weir_json_count_items(lua_State *L, int index) {
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

/* One value on its way into text. The path leads to what is being written, for messages. */
/* Containers inside one another. What is as deep as may be read and kept is shown with more around it. */
#define DEPTH (WEIR_JSON_DEPTH + 16)

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
  } path[DEPTH + 1]; /* key NULL: index */
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

/* Writes the items after the bracket, in order of their keys, when lua_next does not give
 * that order. */
static bool encode_scattered(encoder *e, int index) {
  lua_Integer count = weir_json_count_items(e->L, index);
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
  if (e->depth == DEPTH)
    return stop(e, WEIR_INVALID, "more than 80 tables inside one another (a cycle?)");
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
int weir_json_encode(lua_State *L) {
  luaL_checkany(L, 1);
  weir_json_check_options(L, 2);
  lua_settop(L, 2);
  encoder e = { .L = L, .buffer = 3 };
  e.indent = (int)weir_json_option(L, 2, "indent", 0, 0, INDENT_MAX);
  luaL_argcheck(L, e.indent == 0 || !boolean_option(L, 2, "canonical"), 2,
                "canonical text has no indent");
  lua_Integer max_bytes = weir_json_option(L, 2, "max_bytes", ENCODE_BYTES, 1, LUA_MAXINTEGER);
  e.writer = (weir_json_writer){
    .bytes = e.first, .capacity = sizeof e.first, .limit = (size_t)max_bytes, .grow = grow_buffer
  };
  e.writer.context = &e;
  lua_pushnil(L); /* value options buffer */
  if (!encode_value(&e, 1)) return refuse_value(L, &e);
  lua_pushlstring(L, e.writer.bytes, e.writer.length);
  return 1;
}
