/* constant_time.c - test 82: digest.equal does not branch on what it compares.
 *
 * Runs under valgrind, which follows what was marked undefined and reports each jump that depends on
 * it. The expected text is marked: only the answer itself may depend on it, in the same number of
 * places wherever the two texts part. The control, memcmp, must be reported the more often the later
 * they part. */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

#define SIZE 64 /* hexadecimal digits of a SHA-256; longer than what Lua interns, and so hashes */
#define ANSWER                                                                                         \
  2 /* places at most where the answer itself may decide: in equal and in lua_pushboolean */

int luaopen_weir_native_digest(lua_State *L);

static int (*volatile compare)(const void *, const void *, size_t) = memcmp; /* not in line */

/* The control, with the signature of digest.equal. */
static int memcmp_equal(lua_State *L) {
  lua_pushboolean(L, compare(lua_tostring(L, 1), lua_tostring(L, 2), SIZE) == 0);
  return 1;
}

static void text_with_change_at(char text[SIZE], int at) {
  memset(text, 'a', SIZE);
  if (at >= 0) text[at] = 'b';
}

/* How many jumps depended on the expected text; the two differ at byte `at`, or nowhere (-1). */
static unsigned reports(lua_State *L, lua_CFunction equal, int at) {
  char text[SIZE];
  lua_pushcfunction(L, equal);
  text_with_change_at(text, -1);
  const char *expected = lua_pushlstring(L, text, SIZE);
  text_with_change_at(text, at);
  lua_pushlstring(L, text, SIZE);
  (void)VALGRIND_MAKE_MEM_UNDEFINED(expected, SIZE);
  unsigned before = VALGRIND_COUNT_ERRORS;
  lua_call(L, 2, 1);
  unsigned found = VALGRIND_COUNT_ERRORS - before;
  (void)VALGRIND_MAKE_MEM_DEFINED(expected, SIZE);
  lua_settop(L, 0);
  return found;
}

/* 0: as it should be. */
static int check(const char *name, const unsigned found[3], int is_fine) {
  printf("%s: %u jumps that depend on equal texts, %u on two that part at the first byte, %u at the "
         "last%s\n",
         name, found[0], found[1], found[2], is_fine ? "" : ": not as it should be");
  return is_fine ? 0 : 1;
}

int main(void) {
  static const int at[3] = { -1, 0, SIZE - 1 };
  unsigned own[3], control[3];
  if (!RUNNING_ON_VALGRIND) {
    fprintf(stderr, "constant_time: to be run under valgrind\n");
    return 2;
  }
  lua_State *L = luaL_newstate();
  luaL_requiref(L, "weir.native.digest", luaopen_weir_native_digest, 0);
  lua_getfield(L, -1, "equal");
  lua_CFunction equal = lua_tocfunction(L, -1);
  for (int i = 0; i < 3; i++) {
    own[i] = reports(L, equal, at[i]);
    control[i] = reports(L, memcmp_equal, at[i]);
  }
  lua_close(L);
  int is_even = own[0] == own[1] && own[1] == own[2];
  return check("digest.equal", own, own[0] <= ANSWER && is_even) +
         check("memcmp, the control", control, control[1] > 0 && control[1] < control[2]);
}
