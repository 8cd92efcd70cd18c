/* pack_lua.h - Lua values to MessagePack and back, for the bindings that store or send them.
 *
 * Plain data only: null, booleans, integers, floats, strings, lists, objects with string keys. Where the
 * value of a loaded secret stands in a string, `[secret NAME]` is written instead: whatever is stored,
 * sent or hashed has passed here. */
#ifndef WEIR_PACK_LUA_H
#define WEIR_PACK_LUA_H
#include <lua.h>

#include "pack.h"

#define WEIR_PACK_WHERE 160

/* Why a value was refused. */
typedef struct {
  char where[WEIR_PACK_WHERE]; /* path from the value given, as ".steps[3].output"; "" for itself */
  const char *why;             /* static text */
} weir_pack_refusal;

/* Working memory of the encoder, for sorting keys; all zero is empty, free with weir_buffer_free.
 * It belongs to an object that is collected, because the encoder may raise when memory runs out. */
typedef weir_buffer weir_pack_scratch;

/* Append the encoding of the value at index: OK, INVALID (not plain data) or LIMIT (over 16 MiB);
 * otherwise *refusal says where and why and the buffer is as long as it was. */
weir_status weir_pack_value(lua_State *L, int index, weir_buffer *out, weir_pack_scratch *scratch,
                            weir_pack_refusal *refusal);

/* Push the value that the bytes hold: OK, CORRUPT or LIMIT; nothing is pushed unless OK. */
weir_status weir_unpack_value(lua_State *L, const uint8_t *bytes, size_t size);

/* Push the encoder and decoder as Lua functions: encode(value) -> bytes | nil, message, code and
 * decode(bytes) -> value | nil, message, code. */
void weir_pack_push_functions(lua_State *L);
#endif
