/* http_client_lua.c - weir.native.http_client: requests and their answers.
 *
 * One client a state, anchored by every function of the module and by every response. A response owns
 * its transfer; it is closed by close, __close, __gc, and at once when the task that waits for it is
 * cancelled. */
#include "binding.h"
#include "http_client.h"
#include "scheduler.h"
#include "secret_lua.h"

#include <dlfcn.h>
#include <string.h>

#define CLIENT "weir.http.client"
#define RESPONSE "weir.http.response"
#define TIMEOUT_MS 300000
#define IDLE_MS 60000
#define CONNECT_MS 10000
#define MS_MAX 31536000000LL /* a year */
#define PIECE_MAX (1LL << 40)
#define HOSTS_MAX 256
#define PARTS_MAX 16 /* of a header's value in which secrets stand */

typedef struct {
  weir_http_client *client;
} client_box;

typedef struct {
  weir_http_transfer *transfer; /* NULL once closed */
  weir_scheduler *scheduler;
  weir_wait wait;
  bool waiting;      /* counted as external work */
  lua_Integer piece; /* most bytes that the waiting read takes */
} response;          /* user values: 1 the client, 2 its fields */

static void stop_waiting(response *r) {
  if (r->waiting) weir_external_end(r->scheduler);
  r->waiting = false;
}

static void on_change(void *context) {
  response *r = context;
  stop_waiting(r);
  weir_wait_wake(&r->wait);
}

static void close_transfer(response *r) {
  weir_http_transfer *transfer = r->transfer;
  r->transfer = NULL;
  if (transfer) weir_http_close(transfer);
}

/* The task that waited is cancelled: nobody will read the answer any more. */
static void on_abandon(weir_wait *wait) {
  response *r = (response *)(void *)((char *)wait - offsetof(response, wait));
  stop_waiting(r);
  close_transfer(r);
}

static int wait_for(lua_State *L, response *r, const char *what, lua_KFunction k) {
  if (!r->waiting) weir_external_begin(r->scheduler);
  r->waiting = true;
  return weir_task_wait(L, &r->wait, what, WEIR_NO_DEADLINE, (lua_KContext)r, k);
}

static int refuse_outcome(lua_State *L, const response *r) {
  return weir_refusef(L, weir_http_outcome(r->transfer), "%s", weir_http_message(r->transfer));
}

static int refuse_closed(lua_State *L) {
  return weir_refusef(L, WEIR_CLOSED, "http response: it was closed");
}

/* The request */

static int64_t ms_field(lua_State *L, const char *name, int64_t standard) {
  int number = 1;
  lua_getfield(L, 1, name);
  lua_Number seconds = lua_isnil(L, -1) ? (lua_Number)standard / 1000 : lua_tonumberx(L, -1, &number);
  lua_pop(L, 1);
  if (!number || !(seconds > 0)) luaL_error(L, "'%s' must be seconds above 0", name);
  lua_Number ms = seconds * 1000;
  return ms > (lua_Number)MS_MAX ? MS_MAX : ms < 1 ? 1 : (int64_t)ms;
}

static lua_Integer integer_field(lua_State *L, const char *name, lua_Integer standard,
                                 lua_Integer most) {
  int integer = 1;
  lua_getfield(L, 1, name);
  lua_Integer value = lua_isnil(L, -1) ? standard : lua_tointegerx(L, -1, &integer);
  lua_pop(L, 1);
  if (!integer || value < 0 || value > most)
    luaL_error(L, "'%s' must be an integer from 0 to %I", name, most);
  return value;
}

/* Leaves the text on the stack, so that it stays; NULL when the field is nil. */
static const char *text_field(lua_State *L, const char *name, size_t *size) {
  if (lua_getfield(L, 1, name) == LUA_TNIL) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "'%s' must be a string", name);
  return lua_tolstring(L, -1, size);
}

static weir_addresses addresses_field(lua_State *L) {
  size_t size;
  const char *name = text_field(L, "addresses", &size);
  if (!name || strcmp(name, "any") == 0) return WEIR_ADDRESSES_ANY;
  if (strcmp(name, "public") == 0) return WEIR_ADDRESSES_PUBLIC;
  if (strcmp(name, "loopback") != 0)
    luaL_error(L, "'addresses' must be 'any', 'public' or 'loopback', got '%s'", name);
  return WEIR_ADDRESSES_LOOPBACK;
}

/* The names stay on the stack, and the list of pointers to them in a userdata of its own. */
static void hosts_field(lua_State *L, weir_http_request *request) {
  if (lua_getfield(L, 1, "hosts") == LUA_TNIL) return; /* ... list */
  if (!lua_istable(L, -1)) luaL_error(L, "'hosts' must be a list of names");
  int list = lua_gettop(L);
  size_t count = lua_rawlen(L, list);
  if (count > HOSTS_MAX) luaL_error(L, "'hosts' has more than %d names", HOSTS_MAX);
  luaL_checkstack(L, (int)count + 4, "hosts");
  const char **hosts = lua_newuserdatauv(L, (count + 1) * sizeof *hosts, 0); /* ... list pointers */
  for (size_t i = 0; i < count; i++) {
    size_t size;
    if (lua_rawgeti(L, list, (lua_Integer)i + 1) != LUA_TSTRING) luaL_error(L, "'hosts' must be a list of names");
    hosts[i] = lua_tolstring(L, -1, &size);
    if (strlen(hosts[i]) != size) luaL_error(L, "'hosts' has a name with a NUL byte");
  }
  request->hosts = hosts;
  request->host_count = count;
}

/* Reads the fields of the table at 1; what the request points to stays on the stack. */
static weir_http_request check_request(lua_State *L, bool *whole) {
  size_t method_size = 3, url_size = 0;
  weir_http_request request = { 0 };
  request.method = text_field(L, "method", &method_size);
  if (!request.method) request.method = "GET";
  request.url = text_field(L, "url", &url_size);
  luaL_argcheck(L, request.url, 1, "'url' is missing");
  request.body = text_field(L, "body", &request.body_size);
  request.timeout_ms = ms_field(L, "timeout", TIMEOUT_MS);
  request.idle_ms = ms_field(L, "idle_timeout", IDLE_MS);
  request.connect_ms = ms_field(L, "connect_timeout", CONNECT_MS);
  request.max_bytes = (uint64_t)integer_field(L, "max_bytes", WEIR_HTTP_BODY_BYTES, PIECE_MAX);
  request.redirects = (int)integer_field(L, "follow", WEIR_HTTP_REDIRECTS, WEIR_HTTP_REDIRECTS);
  request.addresses = addresses_field(L);
  hosts_field(L, &request);
  *whole = request.url && strlen(request.method) == method_size && strlen(request.url) == url_size;
  return request;
}

static int refuse_headers(lua_State *L) {
  return luaL_error(L, "'headers' must map names to strings, numbers, secrets or lists of them");
}

/* A text, number or secret at index as a part of a value; a number has become a text on top of the stack, else
 * nil stands there. */
static weir_http_part check_part(lua_State *L, int index, bool *secret) {
  weir_http_part part = { NULL, 0 };
  weir_secret *of = weir_secret_test(L, index);
  lua_pushnil(L);
  if (of) {
    part.bytes = weir_secret_value(of, &part.size);
    if (!part.bytes) luaL_error(L, "secret '%s' was not loaded; weir.secret loads it", weir_secret_name(of));
    *secret = true;
    return part;
  }
  if (lua_type(L, index - 1) != LUA_TSTRING && lua_type(L, index - 1) != LUA_TNUMBER) refuse_headers(L);
  lua_pushvalue(L, index - 1); /* a copy: tolstring would change a number in place */
  lua_replace(L, -2);
  part.bytes = lua_tolstring(L, -1, &part.size);
  return part;
}

/* The name at index, which has no NUL byte; "" when it has, which no header is called. */
static const char *check_name(lua_State *L, int index) {
  size_t size;
  if (lua_type(L, index) != LUA_TSTRING) refuse_headers(L);
  const char *name = lua_tolstring(L, index, &size);
  return strlen(name) == size ? name : "";
}

/* Adds one header whose name and value are at -2 and -1. */
static weir_status add_header(lua_State *L, response *r) {
  bool secret = false;
  const char *name = check_name(L, -2);
  weir_http_part part = check_part(L, -1, &secret); /* name value text */
  weir_status status = weir_http_add_header(r->transfer, name, &part, 1, secret);
  lua_pop(L, 1);
  return status;
}

static bool has_secret(lua_State *L, int list, lua_Integer count) {
  bool found = false;
  for (lua_Integer i = 1; i <= count && !found; i++) {
    lua_rawgeti(L, list, i);
    found = weir_secret_test(L, -1) != NULL;
    lua_pop(L, 1);
  }
  return found;
}

/* A list in which a secret stands is one value: all its parts in one. Name and list are at -2 and -1. */
static weir_status add_joined(lua_State *L, response *r, lua_Integer count) {
  weir_http_part parts[PARTS_MAX];
  int list = lua_gettop(L);
  bool secret = false;
  if (count > PARTS_MAX) luaL_error(L, "a header with a secret has at most %d parts", PARTS_MAX);
  luaL_checkstack(L, PARTS_MAX * 2 + 2, "parts of a header");
  const char *name = check_name(L, list - 1);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, list, i);                         /* ... part */
    parts[i - 1] = check_part(L, -1, &secret);       /* ... part text: both stay until the header was added */
  }
  weir_status status = weir_http_add_header(r->transfer, name, parts, (size_t)count, secret);
  lua_settop(L, list);
  return status;
}

/* The header whose name and value, or list of values, are at -2 and -1. */
static weir_status add_headers(lua_State *L, response *r) {
  if (!lua_istable(L, -1)) return add_header(L, r);
  weir_status status = WEIR_OK;
  lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
  if (has_secret(L, lua_gettop(L), count)) return add_joined(L, r, count);
  for (lua_Integer i = 1; i <= count && status == WEIR_OK; i++) {
    lua_pushvalue(L, -2);  /* name list name */
    lua_rawgeti(L, -2, i); /* name list name value */
    status = add_header(L, r);
    lua_pop(L, 2);
  }
  return status;
}

static weir_status add_all_headers(lua_State *L, response *r) {
  weir_status status = WEIR_OK;
  if (lua_getfield(L, 1, "headers") != LUA_TNIL) { /* ... headers */
    if (!lua_istable(L, -1)) luaL_error(L, "'headers' must be a table");
    lua_pushnil(L);
    while (status == WEIR_OK && lua_next(L, -2)) { /* ... headers name value */
      status = add_headers(L, r);
      lua_pop(L, 1);
    }
  }
  return status;
}

/* The answer */

/* Adds value at the key `name` of the table on top; a second one makes it a list. */
static void add_field(lua_State *L, const char *name, const char *value) {
  int type = lua_getfield(L, -1, name); /* headers old */
  if (type == LUA_TSTRING) {
    lua_createtable(L, 2, 0); /* headers old list */
    weir_mark_list(L, -1);
    lua_insert(L, -2); /* headers list old */
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name); /* headers list */
  }
  lua_pushstring(L, value);
  if (type != LUA_TNIL) {
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  } else {
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
  }
}

static void set_fields(lua_State *L, const response *r, int index) {
  size_t cursor = 0;
  const char *name, *value;
  lua_createtable(L, 0, 3); /* fields */
  lua_pushinteger(L, weir_http_status(r->transfer));
  lua_setfield(L, -2, "status");
  lua_pushstring(L, weir_http_url(r->transfer));
  lua_setfield(L, -2, "url");
  lua_newtable(L); /* fields headers */
  while (weir_http_next_header(r->transfer, &cursor, &name, &value)) add_field(L, name, value);
  lua_setfield(L, -2, "headers");
  lua_setiuservalue(L, index, 2);
}

static int await_headers(lua_State *L, int status, lua_KContext context) {
  response *r = (response *)context;
  (void)status;
  if (!r->transfer) return refuse_closed(L);
  if (!weir_http_has_headers(r->transfer) && !weir_http_has_ended(r->transfer))
    return wait_for(L, r, "http headers", await_headers);
  if (!weir_http_has_headers(r->transfer)) {
    int count = refuse_outcome(L, r);
    close_transfer(r);
    return count;
  }
  set_fields(L, r, 2);
  lua_settop(L, 2);
  return 1;
}

/* client.request{url =, method = "GET", headers = {}, body =, timeout = 300, idle_timeout = 60,
 * connect_timeout = 10, max_bytes = 64 MiB, follow = 3, addresses = "any" | "public" | "loopback",
 * hosts = { "example.org", "*.example.org" }}
 * -> response {status, headers, url} once its headers are there
 * | nil, message, "invalid", "unavailable", "denied", "timeout", "limit" or "closed". Times are
 * seconds. Waits. A repeated header is a list; a list in which handles of secrets stand is one value. */
static int client_request(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  weir_task_check(L);
  client_box *box = lua_touserdata(L, lua_upvalueindex(1));
  response *r = lua_newuserdatauv(L, sizeof *r, 2); /* request response */
  *r = (response){ .scheduler = weir_scheduler_of(weir_host_of(L)), .wait.abandon = on_abandon };
  luaL_setmetatable(L, RESPONSE);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, 2, 1);
  bool whole;
  weir_http_request request = check_request(L, &whole);
  if (!whole)
    return weir_refusef(L, WEIR_INVALID, "http request: the method or the url has a NUL byte");
  r->transfer = weir_http_new(box->client, on_change, r);
  if (!r->transfer) return weir_refuse(L, "http request: no memory", WEIR_LIMIT);
  if (add_all_headers(L, r) != WEIR_OK || weir_http_start(r->transfer, &request) != WEIR_OK) {
    int count = refuse_outcome(L, r);
    close_transfer(r);
    return count;
  }
  lua_settop(L, 2);
  return await_headers(L, 0, (lua_KContext)r);
}

static response *check_response(lua_State *L) {
  response *r = luaL_checkudata(L, 1, RESPONSE);
  if (r->wait.task) luaL_error(L, "another task reads this response");
  return r;
}

static int push_piece(lua_State *L, response *r, lua_Integer most) {
  size_t size;
  const char *bytes = weir_http_bytes(r->transfer, &size);
  if ((lua_Unsigned)size > (lua_Unsigned)most) size = (size_t)most;
  lua_pushlstring(L, bytes, size);
  weir_http_take(r->transfer, size);
  return 1;
}

static int await_piece(lua_State *L, int status, lua_KContext context) {
  response *r = (response *)context;
  size_t size;
  (void)status;
  if (!r->transfer) return refuse_closed(L);
  weir_http_bytes(r->transfer, &size);
  if (size > 0) return push_piece(L, r, r->piece);
  if (!weir_http_has_ended(r->transfer)) return wait_for(L, r, "http body", await_piece);
  if (weir_http_outcome(r->transfer) != WEIR_OK) return refuse_outcome(L, r);
  lua_pushnil(L);
  return 1;
}

/* response:read([most]) -> the next bytes, at most `most` (default: all that wait) | nil at the end
 * | nil, message, "unavailable", "timeout", "limit" or "closed". Waits until some are there. */
static int response_read(lua_State *L) {
  response *r = check_response(L);
  lua_Integer most = luaL_optinteger(L, 2, PIECE_MAX);
  luaL_argcheck(L, most >= 1, 2, "must be 1 byte or more");
  lua_settop(L, 1);
  weir_task_check(L);
  r->piece = most;
  return await_piece(L, 0, (lua_KContext)r);
}

static int await_end(lua_State *L, int status, lua_KContext context) {
  response *r = (response *)context;
  (void)status;
  if (!r->transfer) return refuse_closed(L);
  if (!weir_http_has_ended(r->transfer)) return wait_for(L, r, "http body", await_end);
  if (weir_http_outcome(r->transfer) != WEIR_OK) return refuse_outcome(L, r);
  return push_piece(L, r, PIECE_MAX);
}

/* response:all() -> all bytes that were not read yet | nil, message, code as read. Waits for
 * the end. */
static int response_all(lua_State *L) {
  response *r = check_response(L);
  lua_settop(L, 1);
  weir_task_check(L);
  if (r->transfer) weir_http_collect(r->transfer);
  return await_end(L, 0, (lua_KContext)r);
}

/* response:close(): an unfinished transfer's connection is closed. Safe twice; also __close. */
static int response_close(lua_State *L) {
  response *r = luaL_checkudata(L, 1, RESPONSE);
  close_transfer(r);
  on_change(r); /* a task that reads learns that it was closed */
  return 0;
}

static int response_gc(lua_State *L) {
  response *r = lua_touserdata(L, 1);
  stop_waiting(r);
  close_transfer(r);
  return 0;
}

/* Methods first, then the fields status, headers and url. */
static int response_index(lua_State *L) {
  luaL_checkudata(L, 1, RESPONSE);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (lua_getiuservalue(L, 1, 2) != LUA_TTABLE) return 0; /* ... fields */
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

/* client.open() -> how many transfers are under way. */
static int client_open(lua_State *L) {
  client_box *box = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushinteger(L, (lua_Integer)weir_http_client_open(box->client));
  return 1;
}

static int client_gc(lua_State *L) {
  client_box *box = lua_touserdata(L, 1);
  if (box->client) weir_http_client_free(box->client);
  box->client = NULL;
  return 0;
}

static const luaL_Reg functions[] = { { "request", client_request },
                                      { "open", client_open },
                                      { NULL, NULL } };
static const luaL_Reg methods[] = {
  { "read", response_read }, { "all", response_all }, { "close", response_close }, { NULL, NULL }
};
static const luaL_Reg metamethods[] = { { "__close", response_close },
                                        { "__gc", response_gc },
                                        { NULL, NULL } };

static void make_metatables(lua_State *L) {
  luaL_newmetatable(L, CLIENT); /* meta */
  lua_pushcfunction(L, client_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newmetatable(L, RESPONSE); /* meta */
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods); /* meta methods */
  lua_pushcclosure(L, response_index, 1);
  lua_setfield(L, -2, "__index"); /* meta */
  lua_pop(L, 1);
}

int luaopen_weir_native_http_client(lua_State *L);

/* The loop closes handles after Lua has closed its libraries: this one must still be there then. */
static void stay_loaded(void) {
  static const char here = 0;
  Dl_info info;
  if (dladdr(&here, &info) != 0) (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

int luaopen_weir_native_http_client(lua_State *L) {
  stay_loaded();
  make_metatables(L);
  luaL_newlibtable(L, functions);                         /* module */
  client_box *box = lua_newuserdatauv(L, sizeof *box, 0); /* module client */
  box->client = NULL;
  luaL_setmetatable(L, CLIENT);
  box->client = weir_http_client_new(weir_host_loop(weir_host_of(L)), weir_secrets_of(L));
  if (!box->client) return luaL_error(L, "http client: libcurl cannot start");
  luaL_setfuncs(L, functions, 1); /* module */
  return 1;
}
