/* Everything that code in a sandbox can reach, by any way: fields, metatables, upvalues. Test 70. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../host/sandbox_world_lua.h"

#define PATHS_MAX 1024
#define PATH_BYTES 200

typedef struct {
  char paths[PATHS_MAX][PATH_BYTES];
  size_t count;
} listing;

static void note(listing *found, const char *path, const char *type) {
  assert_true(found->count < PATHS_MAX);
  snprintf(found->paths[found->count++], PATH_BYTES, "%s %s", path, type);
}

/* Whether the value on top was walked before; notes that it was. */
static bool is_seen(lua_State *L, int seen) {
  lua_pushvalue(L, -1);
  bool known = lua_rawget(L, seen) != LUA_TNIL;
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_pushboolean(L, 1);
  lua_rawset(L, seen);
  return known;
}

static void walk(lua_State *L, listing *found, int seen, const char *path);

static void walk_fields(lua_State *L, listing *found, int seen, const char *path) {
  int table = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    char inner[PATH_BYTES];
    lua_pushvalue(L, -2);
    snprintf(inner, sizeof inner, "%.100s%s%.80s", path, *path ? "." : "", luaL_tolstring(L, -1, NULL));
    lua_pop(L, 2);
    walk(L, found, seen, inner);
    lua_pop(L, 1);
  }
}

/* What stands behind `__metatable` cannot be had, but what it does for a value can be: that is walked too. */
static void walk_metatable(lua_State *L, listing *found, int seen, const char *path) {
  char inner[PATH_BYTES];
  if (!lua_getmetatable(L, -1)) return;
  snprintf(inner, sizeof inner, "%.180s(metatable)", path);
  lua_pushliteral(L, "__metatable");
  bool hidden = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  if (!hidden) walk(L, found, seen, inner);
  lua_pushliteral(L, "__index");
  if (hidden && lua_rawget(L, -2) == LUA_TTABLE) walk_fields(L, found, seen, inner);
  lua_pop(L, 2);
}

static void walk_upvalues(lua_State *L, listing *found, int seen, const char *path) {
  int function = lua_gettop(L);
  for (int i = 1; lua_getupvalue(L, function, i); i++) {
    char inner[PATH_BYTES];
    snprintf(inner, sizeof inner, "%.170s(upvalue %d)", path, i);
    walk(L, found, seen, inner);
    lua_pop(L, 1);
  }
}

static void walk(lua_State *L, listing *found, int seen, const char *path) {
  luaL_checkstack(L, 16, "walk");
  note(found, path, luaL_typename(L, -1));
  bool container = lua_istable(L, -1) || lua_isfunction(L, -1) || lua_isuserdata(L, -1);
  if (container && is_seen(L, seen)) return;
  if (lua_istable(L, -1)) walk_fields(L, found, seen, path);
  if (lua_isfunction(L, -1)) walk_upvalues(L, found, seen, path);
  if (!lua_isstring(L, -1)) walk_metatable(L, found, seen, path); /* that of all texts is walked once */
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void list_world(lua_State *L, listing *found) {
  lua_newtable(L);
  int seen = lua_gettop(L);
  weir_sandbox_push_world(L, 1);
  is_seen(L, seen);
  walk_fields(L, found, seen, "");
  lua_pushliteral(L, "text");
  walk_metatable(L, found, seen, "text");
  lua_pop(L, 1);
  lua_createtable(L, 0, 0);
  luaL_setmetatable(L, "weir.list");
  walk_metatable(L, found, seen, "list");
  qsort(found->paths, found->count, PATH_BYTES, compare);
}

static void reaches_what_the_list_says(void **state) {
  (void)state;
  static listing found;
  lua_State *L = luaL_newstate();
  list_world(L, &found);
  FILE *file = fopen("spec/host/fixtures/sandbox_globals.txt", "r");
  char line[PATH_BYTES];
  size_t at = 0;
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    assert_true(at < found.count);
    assert_string_equal(line, found.paths[at++]);
  }
  if (!file || at != found.count)
    for (size_t i = 0; i < found.count; i++) printf("%s\n", found.paths[i]);
  assert_non_null(file);
  assert_int_equal(at, found.count);
  fclose(file);
  lua_close(L);
}

static void changes_nothing_of_the_state_but_its_globals(void **state) {
  (void)state;
  lua_State *L = luaL_newstate();
  weir_sandbox_push_world(L, 1);
  lua_pushglobaltable(L);
  assert_true(lua_rawequal(L, -1, -2));
  lua_close(L);
}

static void loads_texts_only(void **state) {
  (void)state;
  lua_State *L = luaL_newstate();
  weir_sandbox_push_world(L, 1);
  assert_int_equal(weir_sandbox_load(L, "\033Lua", 4, "x"), LUA_ERRSYNTAX);
  lua_pop(L, 1);
  char *large = malloc(WEIR_SANDBOX_SOURCE_BYTES + 1);
  memset(large, ' ', WEIR_SANDBOX_SOURCE_BYTES + 1);
  assert_int_equal(weir_sandbox_load(L, large, WEIR_SANDBOX_SOURCE_BYTES + 1, "x"), LUA_ERRSYNTAX);
  lua_pop(L, 1);
  assert_int_equal(weir_sandbox_load(L, large, WEIR_SANDBOX_SOURCE_BYTES, "x"), LUA_OK);
  free(large);
  lua_close(L);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reaches_what_the_list_says),
    cmocka_unit_test(changes_nothing_of_the_state_but_its_globals),
    cmocka_unit_test(loads_texts_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
