/* registry_lua.c - weir.native.registry. The modules stand in user value 1, by the id of their version. */

#include "binding.h"
#include "natives.h"
#include "registry.h"

#define REGISTRY "weir.registry"

static weir_registry *registry_at(lua_State *L) {
  weir_registry **place = luaL_checkudata(L, 1, REGISTRY);
  luaL_argcheck(L, *place, 1, "the registry is closed");
  return *place;
}

static int registry_new(lua_State *L) {
  weir_registry **place = lua_newuserdatauv(L, sizeof *place, 1); /* registry */
  *place = NULL;
  luaL_setmetatable(L, REGISTRY);
  lua_newtable(L);                                                /* registry modules */
  lua_setiuservalue(L, -2, 1);                                    /* registry */
  if (!(*place = weir_registry_new())) return luaL_error(L, "no memory for a registry");
  return 1;
}

static int registry_close(lua_State *L) {
  weir_registry **place = luaL_checkudata(L, 1, REGISTRY);
  weir_registry_free(*place);
  *place = NULL;
  return 0;
}

/* register(name, hash, module): keeps the module as a version; it is not active yet */
static int registry_register(lua_State *L) {
  weir_registry *registry = registry_at(L);
  const char *name = luaL_checkstring(L, 2), *hash = luaL_checkstring(L, 3);
  luaL_checkany(L, 4);
  lua_getiuservalue(L, 1, 1);                  /* ... modules */
  weir_version *version = weir_registry_add(registry, name, hash);
  if (!version) return luaL_error(L, "no memory for a version of '%s'", name);
  lua_pushvalue(L, 4);
  lua_rawseti(L, -2, (lua_Integer)version->id);
  lua_pushboolean(L, 1);
  return 1;
}

static int refuse_unknown(lua_State *L, const char *name, const char *hash) {
  if (hash) return weir_refusef(L, WEIR_NOT_FOUND, "'%s' has no version %s", name, hash);
  return weir_refusef(L, WEIR_NOT_FOUND, "'%s' is not registered", name);
}

/* lookup(name [, hash]) -> module, hash | nil, message, "not_found" */
static int registry_lookup(lua_State *L) {
  weir_registry *registry = registry_at(L);
  const char *name = luaL_checkstring(L, 2), *hash = luaL_optstring(L, 3, NULL);
  const weir_version *version = weir_registry_lookup(registry, name, hash);
  if (!version) return refuse_unknown(L, name, hash);
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, (lua_Integer)version->id);
  lua_pushstring(L, version->hash);
  return 2;
}

static weir_version *known_version(lua_State *L, weir_registry *registry) {
  return weir_registry_lookup(registry, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
}

/* activate(name, hash) -> the hash that was active before, or nil */
static int registry_activate(lua_State *L) {
  weir_registry *registry = registry_at(L);
  weir_version *version = known_version(L, registry);
  if (!version) return refuse_unknown(L, lua_tostring(L, 2), lua_tostring(L, 3));
  const weir_version *before = weir_registry_activate(registry, version);
  if (before) lua_pushstring(L, before->hash);
  else lua_pushnil(L);
  return 1;
}

static int registry_pin(lua_State *L) {
  weir_registry *registry = registry_at(L);
  weir_version *version = known_version(L, registry);
  if (!version) return refuse_unknown(L, lua_tostring(L, 2), lua_tostring(L, 3));
  lua_pushinteger(L, ++version->pins);
  return 1;
}

static int registry_unpin(lua_State *L) {
  weir_registry *registry = registry_at(L);
  weir_version *version = known_version(L, registry);
  if (!version) return refuse_unknown(L, lua_tostring(L, 2), lua_tostring(L, 3));
  luaL_argcheck(L, version->pins > 0, 3, "the version is not pinned");
  lua_pushinteger(L, --version->pins);
  return 1;
}

/* retire(name, hash) -> true | nil, message, "conflict" while it is active or pinned */
static int registry_retire(lua_State *L) {
  weir_registry *registry = registry_at(L);
  weir_version *version = known_version(L, registry);
  if (!version) return refuse_unknown(L, lua_tostring(L, 2), lua_tostring(L, 3));
  lua_Integer id = version->id;
  if (weir_registry_retire(registry, version) != WEIR_OK)
    return weir_refusef(L, WEIR_CONFLICT, "'%s' version %s is still needed", lua_tostring(L, 2), lua_tostring(L, 3));
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_rawseti(L, -2, id);
  lua_pushboolean(L, 1);
  return 1;
}

static void push_version(void *context, const weir_version *version) { /* list on top */
  lua_State *L = context;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, version->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, version->hash);
  lua_setfield(L, -2, "version");
  lua_pushboolean(L, version->active);
  lua_setfield(L, -2, "active");
  lua_pushinteger(L, version->pins);
  lua_setfield(L, -2, "pins");
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int registry_list(lua_State *L) {
  weir_registry *registry = registry_at(L);
  lua_newtable(L);
  weir_registry_each(registry, push_version, L);
  return 1;
}

static const luaL_Reg methods[] = { { "register", registry_register }, { "lookup", registry_lookup },
  { "activate", registry_activate }, { "pin", registry_pin }, { "unpin", registry_unpin },
  { "retire", registry_retire }, { "list", registry_list }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "new", registry_new }, { NULL, NULL } };

int luaopen_weir_native_registry(lua_State *L) {
  luaL_newmetatable(L, REGISTRY);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, registry_close);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, functions);
  return 1;
}
