/* secret_lua.c - weir.native.secret: handles of secrets, where their values come from, and texts without them.
 *
 * A handle names a secret of the host's; nothing here gives its value to Lua. What a command prints goes into a
 * collector, from which a secret is set; a collector wipes what it held. */
#include "secret_lua.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binding.h"
#include "host.h"

#define HANDLE "weir.secret"
#define COLLECTOR "weir.secret.collector"
#define FILTER "weir.secret.filter"
#define ROOM (WEIR_SECRET_BYTES + 2) /* a value and the end of its line */

extern char **environ;

typedef struct {
  weir_secret *secret;
} handle;

typedef struct {
  size_t size;
  char bytes[ROOM];
} collector;

typedef struct {
  weir_buffer held; /* the end of what came, which may be the beginning of a value */
  weir_buffer out;
} filter;

weir_secret *weir_secret_test(lua_State *L, int index) {
  handle *h = luaL_testudata(L, index, HANDLE);
  return h != NULL ? h->secret : NULL;
}

static weir_secret *check_handle(lua_State *L, int index) {
  return ((handle *)luaL_checkudata(L, index, HANDLE))->secret;
}

/* secret.handle(name) -> handle */
static int secret_handle(lua_State *L) {
  size_t size;
  const char *name = luaL_checklstring(L, 1, &size);
  handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->secret = strlen(name) == size ? weir_secret_of(weir_secrets_of(L), name) : NULL;
  luaL_argcheck(L, h->secret != NULL, 1, "the name of a secret has 1 to 128 letters, digits or any of _-./");
  luaL_setmetatable(L, HANDLE);
  return 1;
}

/* secret.is_handle(value) -> boolean */
static int secret_is_handle(lua_State *L) {
  lua_pushboolean(L, weir_secret_test(L, 1) != NULL);
  return 1;
}

static int secret_name(lua_State *L) {
  lua_pushstring(L, weir_secret_name(check_handle(L, 1)));
  return 1;
}

/* secret.is_loaded(handle) -> boolean */
static int secret_is_loaded(lua_State *L) {
  size_t size;
  lua_pushboolean(L, weir_secret_value(check_handle(L, 1), &size) != NULL);
  return 1;
}

static int secret_forget(lua_State *L) {
  weir_secret_forget(check_handle(L, 1));
  return 0;
}

static int handle_tostring(lua_State *L) {
  lua_pushfstring(L, "secret://%s", weir_secret_name(check_handle(L, 1)));
  return 1;
}

static int handle_eq(lua_State *L) {
  lua_pushboolean(L, weir_secret_test(L, 1) == weir_secret_test(L, 2));
  return 1;
}

/* Where values come from */

static int outcome_of_set(lua_State *L, weir_status status, size_t size, const char *where) {
  if (status == WEIR_LIMIT) return weir_refusef(L, status, "%s has more than %d bytes", where, WEIR_SECRET_BYTES);
  if (status != WEIR_OK)
    return weir_refusef(L, status, "%s %s", where, size == 0 ? "is empty" : "has a NUL byte");
  lua_pushboolean(L, 1);
  return 1;
}

static int set(lua_State *L, weir_secret *secret, const char *bytes, size_t size, const char *where) {
  return outcome_of_set(L, weir_secret_set(weir_secrets_of(L), secret, bytes, size), size, where);
}

static size_t without_line_end(const char *bytes, size_t size) {
  while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r')) size--;
  return size;
}

/* secret.from_environment(handle, variable) -> true | nil, message, "not_found", "invalid" or "limit" */
static int secret_from_environment(lua_State *L) {
  weir_secret *secret = check_handle(L, 1);
  const char *variable = luaL_checkstring(L, 2), *value = getenv(variable);
  if (value == NULL) return weir_refusef(L, WEIR_NOT_FOUND, "there is no environment variable '%s'", variable);
  lua_pushfstring(L, "environment variable '%s'", variable); /* ... where */
  return set(L, secret, value, without_line_end(value, strlen(value)), lua_tostring(L, -1));
}

static weir_status refuse_file(lua_State *L, const char *path, weir_status status, const char *why) {
  weir_refusef(L, status, "file '%s' %s", path, why);
  return status;
}

/* Opens a file that nobody but its owner, who is us, may read; otherwise pushes why not. */
static weir_status open_private(lua_State *L, const char *path, int *fd) {
  struct stat info;
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (*fd < 0) {
    bool missing = errno == ENOENT || errno == ENOTDIR;
    return refuse_file(L, path, missing ? WEIR_NOT_FOUND : WEIR_DENIED, missing ? "does not exist" : "cannot be opened");
  }
  if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) return refuse_file(L, path, WEIR_DENIED, "is no ordinary file");
  if (info.st_uid != geteuid()) return refuse_file(L, path, WEIR_DENIED, "belongs to somebody else");
  if ((info.st_mode & 077) != 0)
    return refuse_file(L, path, WEIR_DENIED, "may be read by others; make a new secret, then chmod 600 it");
  return WEIR_OK;
}

static size_t read_all(int fd, char *bytes, size_t room) {
  size_t size = 0;
  for (ssize_t got; size < room; size += (size_t)got)
    if ((got = read(fd, bytes + size, room - size)) <= 0) break;
  return size;
}

/* secret.from_file(handle, path) -> true | nil, message, "not_found", "denied", "invalid" or "limit". Blocks as the disk. */
static int secret_from_file(lua_State *L) {
  weir_secret *secret = check_handle(L, 1);
  const char *path = luaL_checkstring(L, 2);
  int fd;
  lua_pushfstring(L, "file '%s'", path); /* ... where */
  const char *where = lua_tostring(L, -1);
  weir_status status = open_private(L, path, &fd);
  if (status != WEIR_OK) {
    if (fd >= 0) close(fd);
    return 3;
  }
  char bytes[ROOM];
  size_t size = read_all(fd, bytes, sizeof bytes);
  close(fd);
  size = without_line_end(bytes, size);
  status = weir_secret_set(weir_secrets_of(L), secret, bytes, size);
  explicit_bzero(bytes, sizeof bytes); /* before anything that may raise */
  return outcome_of_set(L, status, size, where);
}

/* secret.collector() -> collector, of the output of one command */
static int secret_collector(lua_State *L) {
  collector *c = lua_newuserdatauv(L, sizeof *c, 0);
  c->size = 0;
  luaL_setmetatable(L, COLLECTOR);
  return 1;
}

static int collector_wipe(lua_State *L) {
  collector *c = luaL_checkudata(L, 1, COLLECTOR);
  explicit_bzero(c, sizeof *c);
  return 0;
}

/* collector:take(fd) -> bytes taken, 0 when there are none now; nil at the end. Keeps what fits; does not wait. */
static int collector_take(lua_State *L) {
  collector *c = luaL_checkudata(L, 1, COLLECTOR);
  int fd = (int)luaL_checkinteger(L, 2);
  char beyond[4096];
  bool fits = c->size < ROOM;
  ssize_t got = fits ? read(fd, c->bytes + c->size, ROOM - c->size) : read(fd, beyond, sizeof beyond);
  int error = errno;
  explicit_bzero(beyond, sizeof beyond);
  if (got > 0 && fits) c->size += (size_t)got;
  if (got == 0 || (got < 0 && error != EAGAIN && error != EINTR)) return 0;
  lua_pushinteger(L, got > 0 ? (lua_Integer)got : 0);
  return 1;
}

/* secret.from_collector(handle, collector, where) -> true | nil, message, "invalid" or "limit": its first line */
static int secret_from_collector(lua_State *L) {
  weir_secret *secret = check_handle(L, 1);
  const collector *c = luaL_checkudata(L, 2, COLLECTOR);
  const char *end = memchr(c->bytes, '\n', c->size);
  size_t size = end != NULL ? (size_t)(end - c->bytes) : c->size;
  return set(L, secret, c->bytes, without_line_end(c->bytes, size), luaL_checkstring(L, 3));
}

/* secret.variables() -> the names of the environment's variables */
static int secret_variables(lua_State *L) {
  lua_newtable(L); /* names */
  for (char **one = environ; *one != NULL; one++) {
    const char *end = strchr(*one, '=');
    if (end == NULL || end == *one) continue;
    lua_pushlstring(L, *one, (size_t)(end - *one));
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

/* Texts without them */

/* secret.redact(text) -> text. Upvalue 1: a collectable buffer, since pushing a string may raise. */
static int secret_redact(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  const weir_secrets *secrets = weir_secrets_of(L);
  lua_settop(L, 1);
  if (!weir_secrets_any(secrets)) return 1;
  weir_buffer *out = lua_touserdata(L, lua_upvalueindex(1));
  weir_buffer_clear(out);
  if (!weir_secrets_redact(secrets, text, size, out)) return 1;
  if (out->failed) return luaL_error(L, "out of memory");
  lua_pushlstring(L, (const char *)out->bytes, out->size);
  weir_buffer_free(out);
  return 1;
}

/* secret.filter() -> filter, for one text that comes in pieces */
static int secret_filter(lua_State *L) {
  filter *f = lua_newuserdatauv(L, sizeof *f, 0);
  memset(f, 0, sizeof *f);
  luaL_setmetatable(L, FILTER);
  return 1;
}

static int push_out(lua_State *L, filter *f) {
  if (f->out.failed || f->held.failed) return luaL_error(L, "out of memory");
  lua_pushlstring(L, (const char *)f->out.bytes, f->out.size);
  return 1;
}

/* filter:feed(piece) -> what may go on by now, "" when nothing may yet */
static int filter_feed(lua_State *L) {
  filter *f = luaL_checkudata(L, 1, FILTER);
  size_t size;
  const char *piece = luaL_checklstring(L, 2, &size);
  const weir_secrets *secrets = weir_secrets_of(L);
  lua_settop(L, 2);
  if (!weir_secrets_any(secrets) && f->held.size == 0) return 1;
  weir_buffer_clear(&f->out);
  weir_buffer_add(&f->held, piece, size);
  size_t held = f->held.failed ? 0 : weir_secrets_filter(secrets, f->held.bytes, f->held.size, &f->out);
  if (held > 0) memmove(f->held.bytes, f->held.bytes + f->held.size - held, held);
  f->held.size = held;
  return push_out(L, f);
}

/* filter:finish() -> the rest; from here on it is a new text */
static int filter_finish(lua_State *L) {
  filter *f = luaL_checkudata(L, 1, FILTER);
  weir_buffer_clear(&f->out);
  if (!weir_secrets_redact(weir_secrets_of(L), f->held.bytes, f->held.size, &f->out))
    weir_buffer_add(&f->out, f->held.bytes, f->held.size);
  f->held.size = 0;
  return push_out(L, f);
}

static int filter_gc(lua_State *L) {
  filter *f = luaL_checkudata(L, 1, FILTER);
  if (f->held.bytes != NULL) explicit_bzero(f->held.bytes, f->held.capacity);
  weir_buffer_free(&f->held);
  weir_buffer_free(&f->out);
  return 0;
}

/* secret.any() -> whether any value is looked for */
static int secret_any(lua_State *L) {
  lua_pushboolean(L, weir_secrets_any(weir_secrets_of(L)));
  return 1;
}

static int buffer_gc(lua_State *L) {
  weir_buffer_free(lua_touserdata(L, 1));
  return 0;
}

static const luaL_Reg functions[] = { { "handle", secret_handle },
                                      { "is_handle", secret_is_handle },
                                      { "name", secret_name },
                                      { "is_loaded", secret_is_loaded },
                                      { "forget", secret_forget },
                                      { "from_environment", secret_from_environment },
                                      { "from_file", secret_from_file },
                                      { "collector", secret_collector },
                                      { "from_collector", secret_from_collector },
                                      { "variables", secret_variables },
                                      { "filter", secret_filter },
                                      { "any", secret_any },
                                      { NULL, NULL } };
static const luaL_Reg collector_methods[] = { { "take", collector_take }, { NULL, NULL } };
static const luaL_Reg collector_meta[] = { { "__gc", collector_wipe }, { "__close", collector_wipe }, { NULL, NULL } };
static const luaL_Reg filter_methods[] = { { "feed", filter_feed }, { "finish", filter_finish }, { NULL, NULL } };
static const luaL_Reg filter_meta[] = { { "__gc", filter_gc }, { NULL, NULL } };
static const luaL_Reg handle_meta[] = { { "__tostring", handle_tostring }, { "__eq", handle_eq }, { NULL, NULL } };

static void make_class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) {
  luaL_newmetatable(L, name); /* meta */
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L); /* meta methods */
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

static void make_metatables(lua_State *L) {
  luaL_newmetatable(L, HANDLE); /* meta */
  luaL_setfuncs(L, handle_meta, 0);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
  make_class(L, COLLECTOR, collector_meta, collector_methods);
  make_class(L, FILTER, filter_meta, filter_methods);
}

static void push_redact(lua_State *L) {
  weir_buffer *out = lua_newuserdatauv(L, sizeof *out, 0); /* buffer */
  memset(out, 0, sizeof *out);
  lua_createtable(L, 0, 1); /* buffer meta */
  lua_pushcfunction(L, buffer_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);                /* buffer */
  lua_pushcclosure(L, secret_redact, 1); /* redact */
}

int luaopen_weir_native_secret(lua_State *L);
int luaopen_weir_native_secret(lua_State *L) {
  make_metatables(L);
  luaL_newlib(L, functions); /* module */
  push_redact(L);            /* module redact */
  lua_setfield(L, -2, "redact");
  return 1;
}
