/* fingerprint_lua.c - weir.native.fingerprint: a number for plain data, the same for equal data.
 *
 * It tells two questions apart that a run asks under one key; it is no defence against somebody who
 * looks for two with one fingerprint. The working buffers stand in a userdata, so that they are freed. */
#include <string.h>

#include "binding.h"
#include "natives.h"
#include "pack_lua.h"

#define BUFFERS "weir.fingerprint.buffers"

typedef struct {
  weir_buffer bytes;
  weir_pack_scratch scratch;
} buffers;

/* Eight bytes at a time through multiply and xor-shift, after the finalizer of Appleby's MurmurHash3. */
static uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0xff51afd7ed558ccdu;
  return (hash ^ (hash >> 32)) * 0xc4ceb9fe1a85ec53u;
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t size) {
  uint64_t hash = 0x9e3779b97f4a7c15u ^ size;
  for (; size >= 8; bytes += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    hash = mix(hash, word);
  }
  uint64_t rest = 0;
  memcpy(&rest, bytes, size);
  hash = mix(hash, rest);
  return hash ^ (hash >> 29);
}

/* fingerprint(value...) -> integer; raises `invalid` for what is no plain data */
static int fingerprint(lua_State *L) {
  buffers *all = lua_touserdata(L, lua_upvalueindex(1));
  int count = lua_gettop(L);
  all->bytes.size = 0;
  for (int i = 1; i <= count; i++) {
    weir_pack_refusal refusal;
    weir_status status = weir_pack_value(L, i, &all->bytes, &all->scratch, &refusal);
    if (status != WEIR_OK) return weir_raise(L, status, "the value%s %s", refusal.where, refusal.why);
  }
  lua_pushinteger(L, (lua_Integer)hash_bytes(all->bytes.bytes, all->bytes.size));
  return 1;
}

static int buffers_gc(lua_State *L) {
  buffers *all = luaL_checkudata(L, 1, BUFFERS);
  weir_buffer_free(&all->bytes);
  weir_buffer_free(&all->scratch);
  return 0;
}

int luaopen_weir_native_fingerprint(lua_State *L) {
  buffers *all = lua_newuserdatauv(L, sizeof *all, 0); /* buffers */
  *all = (buffers){ 0 };
  luaL_newmetatable(L, BUFFERS);                       /* buffers meta */
  lua_pushcfunction(L, buffers_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);                             /* buffers */
  lua_pushcclosure(L, fingerprint, 1);
  return 1;
}
