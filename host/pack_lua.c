/* pack_lua.c - weir.native.pack, and the conversions that other bindings use. */
#include "pack_lua.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "host.h"

#define BUFFERS "weir.pack.buffers"

typedef struct {
  lua_State *L;
  weir_buffer *out;
  weir_buffer *scratch; /* array of text_key, used as a stack; texts without their secrets */
  const weir_secrets *secrets; /* NULL: none are looked for */
  weir_pack_refusal *refusal;
  size_t limit; /* of out->size */
  unsigned depth;
} encoder;

typedef struct {
  const char *bytes; /* the key's own, alive while its table is */
  size_t size;
} text_key;

static weir_status refuse(encoder *e, weir_status status, const char *why) {
  e->refusal->why = why;
  e->refusal->where[0] = '\0';
  return status;
}

/* Put one step of the path before what is known of it; called on the way out of a refusal. */
static void add_where(encoder *e, const char *name, size_t size, uint32_t index) {
  char rest[WEIR_PACK_WHERE];
  memcpy(rest, e->refusal->where, sizeof rest);
  int shown = size > 40 ? 40 : (int)size;
  if (name == NULL)
    snprintf(e->refusal->where, WEIR_PACK_WHERE, "[%u]%.120s", index, rest);
  else
    snprintf(e->refusal->where, WEIR_PACK_WHERE, ".%.*s%.110s", shown, name, rest);
}

static weir_status encode(encoder *e, int index);

/* What the table at index is: a list of *count values, or an object of *count pairs. A list has the
 * keys 1..n and no other; an empty table is a list only when it is marked. */
static const char *classify(lua_State *L, int index, bool marked, bool *is_list, uint32_t *count) {
  lua_Integer highest = 0;
  size_t integers = 0, texts = 0;
  lua_pushnil(L);                   /* key */
  while (lua_next(L, index) != 0) { /* key value */
    lua_pop(L, 1);                  /* key */
    if (lua_type(L, -1) == LUA_TSTRING)
      texts++;
    else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1) {
      integers++;
      if (lua_tointeger(L, -1) > highest) highest = lua_tointeger(L, -1);
    } else {
      lua_pop(L, 1); /* */
      return "a key is neither text nor a position of a list";
    }
  }
  if (integers > 0 && texts > 0) return "keys of a list and of an object are mixed";
  if (marked && texts > 0) return "a list has a key that is text";
  if ((lua_Unsigned)highest != integers) return "a list has holes";
  if (integers > UINT32_MAX || texts > WEIR_PACK_KEYS) return "too many keys";
  *is_list = marked || integers > 0;
  *count = (uint32_t)(integers + texts);
  return NULL;
}

static weir_status encode_list(encoder *e, int index, uint32_t count) {
  weir_pack_array(e->out, count);
  for (uint32_t i = 1; i <= count; i++) {
    lua_rawgeti(e->L, index, (lua_Integer)i); /* value */
    weir_status status = encode(e, lua_gettop(e->L));
    lua_pop(e->L, 1); /* */
    if (status == WEIR_OK) continue;
    add_where(e, NULL, 0, i);
    return status;
  }
  return WEIR_OK;
}

static int compare_keys(const void *a, const void *b) {
  const text_key *x = a, *y = b;
  return weir_pack_compare((const uint8_t *)x->bytes, x->size, (const uint8_t *)y->bytes, y->size);
}

static void sort_keys(text_key *keys, uint32_t count) {
  if (count > 12) {
    qsort(keys, count, sizeof *keys, compare_keys);
    return;
  }
  for (uint32_t i = 1; i < count; i++) { /* insertion: most objects have few keys */
    text_key key = keys[i];
    uint32_t at = i;
    for (; at > 0 && compare_keys(&keys[at - 1], &key) > 0; at--) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

static bool collect_keys(encoder *e, int index, uint32_t count, size_t base) {
  if (weir_buffer_grow(e->scratch, count * sizeof(text_key)) == NULL) return false;
  lua_State *L = e->L;
  size_t at = base;
  lua_pushnil(L);                   /* key */
  while (lua_next(L, index) != 0) { /* key value */
    lua_pop(L, 1);                  /* key */
    text_key key;
    key.bytes = lua_tolstring(L, -1, &key.size);
    memcpy(e->scratch->bytes + at, &key, sizeof key);
    at += sizeof key;
  }
  sort_keys((text_key *)(void *)(e->scratch->bytes + base), count);
  return true;
}

/* Without its secret a key could be another one's equal: such an object is refused instead. */
static bool has_secret_key(const encoder *e, uint32_t count, size_t base) {
  if (e->secrets == NULL) return false;
  for (uint32_t i = 0; i < count; i++) {
    text_key key;
    memcpy(&key, e->scratch->bytes + base + i * sizeof key, sizeof key);
    if (weir_secrets_find(e->secrets, key.bytes, key.size)) return true;
  }
  return false;
}

static weir_status encode_pairs(encoder *e, int index, uint32_t count, size_t base) {
  for (uint32_t i = 0; i < count; i++) {
    text_key key; /* copied: deeper objects may move the scratch memory */
    memcpy(&key, e->scratch->bytes + base + i * sizeof key, sizeof key);
    weir_pack_text(e->out, key.bytes, key.size);
    lua_pushlstring(e->L, key.bytes, key.size); /* key */
    lua_rawget(e->L, index);                    /* value */
    weir_status status = encode(e, lua_gettop(e->L));
    lua_pop(e->L, 1); /* */
    if (status == WEIR_OK) continue;
    add_where(e, key.bytes, key.size, 0);
    return status;
  }
  return WEIR_OK;
}

static weir_status encode_object(encoder *e, int index, uint32_t count) {
  weir_pack_map(e->out, count);
  if (count == 0) return WEIR_OK;
  size_t base = e->scratch->size;
  if (!collect_keys(e, index, count, base)) return refuse(e, WEIR_LIMIT, "out of memory");
  weir_status status = has_secret_key(e, count, base) ? refuse(e, WEIR_INVALID, "a key has the value of a secret in it")
                                                      : encode_pairs(e, index, count, base);
  e->scratch->size = base;
  return status;
}

/* A table whose contents its metatable makes up would be written as something else than it shows. */
static bool is_made_up(lua_State *L, int index) {
  if (luaL_getmetafield(L, index, "__pairs") == LUA_TNIL &&
      luaL_getmetafield(L, index, "__index") == LUA_TNIL)
    return false;
  lua_pop(L, 1);
  return true;
}

static weir_status encode_table(encoder *e, int index) {
  lua_State *L = e->L;
  if (e->depth == WEIR_PACK_DEPTH)
    return refuse(e, WEIR_INVALID, "nested more than 64 deep, or within itself");
  if (!lua_checkstack(L, 8)) return refuse(e, WEIR_LIMIT, "out of stack");
  bool marked = weir_is_marked_list(L, index), is_list;
  if (!marked && is_made_up(L, index))
    return refuse(e, WEIR_INVALID, "an object with methods is not plain data");
  uint32_t count;
  const char *why = classify(L, index, marked, &is_list, &count);
  if (why != NULL) return refuse(e, WEIR_INVALID, why);
  e->depth++;
  weir_status status = is_list ? encode_list(e, index, count) : encode_object(e, index, count);
  e->depth--;
  return status;
}

static weir_status encode_number(encoder *e, int index) {
  if (lua_isinteger(e->L, index)) {
    weir_pack_integer(e->out, lua_tointeger(e->L, index));
    return WEIR_OK;
  }
  double number = lua_tonumber(e->L, index);
  if (isnan(number)) return refuse(e, WEIR_INVALID, "not a number (NaN) is not plain data");
  weir_pack_float(e->out, number);
  return WEIR_OK;
}

/* A text in which values of secrets stand: their names are written in their place. */
static weir_status encode_redacted(encoder *e, const char *bytes, size_t size, bool *is_redacted) {
  size_t base = e->scratch->size;
  *is_redacted = weir_secrets_redact(e->secrets, bytes, size, e->scratch);
  if (e->scratch->failed) return refuse(e, WEIR_LIMIT, "out of memory");
  if (*is_redacted) weir_pack_text(e->out, e->scratch->bytes + base, e->scratch->size - base);
  e->scratch->size = base;
  return WEIR_OK;
}

static weir_status encode_text(encoder *e, int index) {
  size_t size;
  const char *bytes = lua_tolstring(e->L, index, &size);
  if (size > WEIR_PACK_BYTES) return refuse(e, WEIR_LIMIT, "longer than 16 MiB");
  bool is_redacted = false;
  weir_status status = e->secrets != NULL ? encode_redacted(e, bytes, size, &is_redacted) : WEIR_OK;
  if (!is_redacted) weir_pack_text(e->out, bytes, size);
  return status;
}

static weir_status encode_scalar(encoder *e, int index) {
  switch (lua_type(e->L, index)) {
  case LUA_TNIL:
    weir_pack_nil(e->out);
    return WEIR_OK;
  case LUA_TBOOLEAN:
    weir_pack_boolean(e->out, lua_toboolean(e->L, index));
    return WEIR_OK;
  case LUA_TNUMBER:
    return encode_number(e, index);
  case LUA_TSTRING:
    return encode_text(e, index);
  case LUA_TFUNCTION:
    return refuse(e, WEIR_INVALID, "a function is not plain data");
  case LUA_TTHREAD:
    return refuse(e, WEIR_INVALID, "a coroutine is not plain data");
  default:
    break;
  }
  if (!weir_is_null(e->L, index)) return refuse(e, WEIR_INVALID, "userdata is not plain data");
  weir_pack_nil(e->out);
  return WEIR_OK;
}

static weir_status encode(encoder *e, int index) {
  weir_status status =
      lua_type(e->L, index) == LUA_TTABLE ? encode_table(e, index) : encode_scalar(e, index);
  if (status != WEIR_OK) return status;
  if (e->out->failed) return refuse(e, WEIR_LIMIT, "out of memory");
  if (e->out->size > e->limit) return refuse(e, WEIR_LIMIT, "the whole is larger than 16 MiB");
  return WEIR_OK;
}

weir_status weir_pack_value(lua_State *L, int index, weir_buffer *out, weir_pack_scratch *scratch,
                            weir_pack_refusal *refusal) {
  size_t before = out->size;
  const weir_secrets *secrets = weir_secrets_of(L);
  encoder e = { L, out, scratch, weir_secrets_any(secrets) ? secrets : NULL, refusal, before + WEIR_PACK_BYTES, 0 };
  int top = lua_gettop(L);
  weir_buffer_clear(scratch);
  luaL_checkstack(L, 8, "value to encode");
  weir_status status = encode(&e, lua_absindex(L, index));
  lua_settop(L, top);
  if (status != WEIR_OK) out->size = before;
  return status;
}

static weir_status decode(lua_State *L, weir_pack_reader *reader, unsigned depth);

static weir_status decode_list(lua_State *L, weir_pack_reader *reader, uint32_t count, unsigned depth) {
  lua_createtable(L, count < 1024 ? (int)count : 1024, 0); /* list */
  for (uint32_t i = 1; i <= count; i++) {
    weir_status status = decode(L, reader, depth); /* list value */
    if (status != WEIR_OK) return status;
    lua_rawseti(L, -2, (lua_Integer)i); /* list */
  }
  weir_mark_list(L, -1);
  return WEIR_OK;
}

static weir_status decode_object(lua_State *L, weir_pack_reader *reader, uint32_t count,
                                 unsigned depth) {
  if (count > WEIR_PACK_KEYS) return WEIR_LIMIT;
  lua_createtable(L, 0, count < 1024 ? (int)count : 1024); /* object */
  weir_pack_item key, before = { 0 };
  for (uint32_t i = 0; i < count; i++) {
    if (!weir_pack_read(reader, &key) || key.kind != WEIR_PACK_TEXT) return WEIR_CORRUPT;
    if (i > 0 && weir_pack_compare(before.bytes, before.size, key.bytes, key.size) >= 0)
      return WEIR_CORRUPT;
    before = key;
    lua_pushlstring(L, (const char *)key.bytes, key.size); /* object key */
    weir_status status = decode(L, reader, depth);         /* object key value */
    if (status != WEIR_OK) return status;
    lua_rawset(L, -3); /* object */
  }
  return WEIR_OK;
}

/* Pushes one value; after a refusal the caller restores the stack. */
static weir_status decode(lua_State *L, weir_pack_reader *reader, unsigned depth) {
  weir_pack_item item;
  if (!weir_pack_read(reader, &item)) return WEIR_CORRUPT;
  switch (item.kind) {
  case WEIR_PACK_NIL:
    weir_push_null(L);
    return WEIR_OK;
  case WEIR_PACK_BOOLEAN:
    lua_pushboolean(L, (int)item.integer);
    return WEIR_OK;
  case WEIR_PACK_INTEGER:
    lua_pushinteger(L, item.integer);
    return WEIR_OK;
  case WEIR_PACK_FLOAT:
    lua_pushnumber(L, item.number);
    return WEIR_OK;
  case WEIR_PACK_TEXT:
    lua_pushlstring(L, (const char *)item.bytes, item.size);
    return WEIR_OK;
  case WEIR_PACK_EXTENSION:
    return WEIR_CORRUPT;
  default:
    break;
  }
  if (depth == WEIR_PACK_DEPTH) return WEIR_LIMIT;
  luaL_checkstack(L, 8, "value to decode");
  if (item.kind == WEIR_PACK_ARRAY) return decode_list(L, reader, item.size, depth + 1);
  return decode_object(L, reader, item.size, depth + 1);
}

weir_status weir_unpack_value(lua_State *L, const uint8_t *bytes, size_t size) {
  weir_pack_reader reader = { bytes, bytes + size };
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, "value to decode");
  weir_status status = decode(L, &reader, 0); /* value */
  if (status == WEIR_OK && reader.at != reader.end) status = WEIR_CORRUPT;
  if (status != WEIR_OK) lua_settop(L, top);
  return status;
}

typedef struct {
  weir_buffer out;
  weir_buffer scratch;
} buffers;

static int buffers_close(lua_State *L) {
  buffers *b = luaL_checkudata(L, 1, BUFFERS);
  weir_buffer_free(&b->out);
  weir_buffer_free(&b->scratch);
  return 0;
}

#define KEPT_BYTES (256u << 10) /* a buffer that grew beyond this is given back after the call */

/* Upvalue 1: the buffers. */
static int pack_encode(lua_State *L) {
  luaL_checkany(L, 1);
  buffers *b = lua_touserdata(L, lua_upvalueindex(1));
  weir_pack_refusal refusal;
  weir_buffer_clear(&b->out);
  weir_status status = weir_pack_value(L, 1, &b->out, &b->scratch, &refusal);
  if (status != WEIR_OK) return weir_refusef(L, status, "value%s: %s", refusal.where, refusal.why);
  lua_pushlstring(L, (const char *)b->out.bytes, b->out.size);
  if (b->out.capacity > KEPT_BYTES) weir_buffer_free(&b->out);
  return 1;
}

static int pack_decode(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  if (size > WEIR_PACK_BYTES + 16) return weir_refusef(L, WEIR_LIMIT, "value: larger than 16 MiB");
  weir_status status = weir_unpack_value(L, (const uint8_t *)bytes, size);
  if (status == WEIR_LIMIT)
    return weir_refusef(L, status, "value: nested more than 64 deep, or more than 65,536 keys");
  if (status != WEIR_OK)
    return weir_refusef(L, status, "value: these bytes are not one canonical value");
  return 1;
}

void weir_pack_push_functions(lua_State *L) {
  buffers *b = lua_newuserdatauv(L, sizeof *b, 0); /* buffers */
  memset(b, 0, sizeof *b);
  if (luaL_newmetatable(L, BUFFERS)) { /* buffers meta */
    lua_pushcfunction(L, buffers_close);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);             /* buffers */
  lua_pushcclosure(L, pack_encode, 1); /* encode */
  lua_pushcfunction(L, pack_decode);   /* encode decode */
}

int luaopen_weir_native_pack(lua_State *L);

int luaopen_weir_native_pack(lua_State *L) {
  lua_createtable(L, 0, 2);    /* module */
  weir_pack_push_functions(L); /* module encode decode */
  lua_setfield(L, -3, "decode");
  lua_setfield(L, -2, "encode");
  return 1;
}
