/* http_server_lua.c - weir.native.http_server: a listening server and its requests.
 *
 * A server that is open counts as work from outside, and its two functions are held by the registry for
 * it. Each request starts a task with the handler. A request holds its exchange; one that is collected
 * unanswered is answered with 500, so that no client waits for what nobody will say. */
#include "binding.h"
#include "http_server.h"
#include "scheduler.h"
#include "scheduler_lua.h"

#include <dlfcn.h>
#include <string.h>

#define SERVER "weir.http.server"
#define REQUEST "weir.http.request"
#define PIECE_MAX (1LL << 40)

typedef struct {
  weir_http_server *server; /* NULL once closed */
  weir_scheduler *scheduler;
  lua_State *L; /* the main thread */
  weir_turn turn;
  weir_wait drained;
  int functions; /* in the registry: {handler, gone, tasks by exchange} */
} server_box;

enum { HANDLER = 1, GONE, TASKS };

typedef struct {
  weir_http_exchange *exchange; /* NULL once collected */
  weir_wait wait;
  lua_Integer piece;
} request; /* user value 1: the server's table of tasks */

/* The server's callbacks. They come from the loop, so what touches Lua is called protected. */

static void protect(server_box *box, lua_CFunction function, weir_http_exchange *exchange) {
  lua_State *L = box->L;
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, box);
  lua_pushlightuserdata(L, exchange);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) weir_host_report(weir_host_of(L), L, "http server");
}

static void wake_request(void *context) {
  request *r = context;
  weir_wait_wake(&r->wait);
}

static int begin_request(lua_State *L) { /* box, exchange */
  server_box *box = lua_touserdata(L, 1);
  request *r = lua_newuserdatauv(L, sizeof *r, 1); /* box exchange request */
  *r = (request){ .exchange = lua_touserdata(L, 2) };
  luaL_setmetatable(L, REQUEST);
  weir_http_exchange_listen(r->exchange, wake_request, r);
  lua_rawgeti(L, LUA_REGISTRYINDEX, box->functions); /* box exchange request functions */
  lua_rawgeti(L, -1, TASKS);
  lua_setiuservalue(L, 3, 1);
  lua_rawgeti(L, -1, HANDLER);
  lua_pushvalue(L, 3); /* box exchange request functions handler request */
  weir_start_callback(L, 1);
  return 0;
}

static void on_request(void *context, weir_http_exchange *exchange) {
  protect(context, begin_request, exchange);
}

static int end_request(lua_State *L) { /* box, exchange: its task is told */
  server_box *box = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, box->functions); /* box exchange functions */
  lua_rawgeti(L, 3, GONE);
  lua_rawgeti(L, 3, TASKS); /* ... gone tasks */
  if (lua_rawgetp(L, 5, lua_touserdata(L, 2)) == LUA_TNIL) return 0;
  lua_pushnil(L);
  lua_rawsetp(L, 5, lua_touserdata(L, 2)); /* ... gone tasks task */
  lua_remove(L, 5);                        /* ... gone task */
  weir_start_callback(L, 1);
  return 0;
}

static int forget_request(lua_State *L) { /* box, exchange */
  server_box *box = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, box->functions);
  lua_rawgeti(L, 3, TASKS);
  lua_pushnil(L);
  lua_rawsetp(L, 4, lua_touserdata(L, 2));
  return 0;
}

static void on_end(void *context, weir_http_exchange *exchange, bool gone) {
  server_box *box = context;
  protect(box, gone ? end_request : forget_request, exchange);
  if (weir_http_server_exchanges(box->server) == 0) weir_wait_wake(&box->drained);
}

static void run_server(weir_turn *turn) {
  server_box *box = (server_box *)(void *)((char *)turn - offsetof(server_box, turn));
  if (box->server) weir_http_server_run(box->server);
}

static void on_due(void *context) {
  server_box *box = context;
  weir_scheduler_at_turn_end(box->scheduler, &box->turn);
}

/* Servers */

static lua_Integer integer_field(lua_State *L, const char *name, lua_Integer standard,
                                 lua_Integer least, lua_Integer most) {
  int integer = 1;
  lua_getfield(L, 1, name);
  lua_Integer value = lua_isnil(L, -1) ? standard : lua_tointegerx(L, -1, &integer);
  lua_pop(L, 1);
  if (!integer || value < least || value > most)
    luaL_error(L, "'%s' must be an integer from %I to %I", name, least, most);
  return value;
}

static uint32_t ms_field(lua_State *L, const char *name, lua_Number standard) {
  int number = 1;
  lua_getfield(L, 1, name);
  lua_Number seconds = lua_isnil(L, -1) ? standard : lua_tonumberx(L, -1, &number);
  lua_pop(L, 1);
  if (!number || !(seconds >= 0.001 && seconds <= 86400))
    luaL_error(L, "'%s' must be seconds from 0.001 to 86400", name);
  return (uint32_t)(seconds * 1000);
}

/* Leaves the text on the stack, so that it stays; NULL when the field is nil. */
static const char *text_field(lua_State *L, const char *name) {
  size_t size;
  if (lua_getfield(L, 1, name) == LUA_TNIL) return NULL;
  const char *text = luaL_checklstring(L, -1, &size);
  if (strlen(text) != size) luaL_error(L, "'%s' must be a text without a NUL byte", name);
  return text;
}

static weir_http_server_options check_options(lua_State *L) {
  weir_http_server_options o = { .on_request = on_request, .on_end = on_end, .on_due = on_due };
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  o.address = text_field(L, "address");
  o.path = text_field(L, "path");
  luaL_argcheck(L, (o.address == NULL) != (o.path == NULL), 1, "give 'address' or 'path'");
  o.port = (uint16_t)integer_field(L, "port", 0, 0, 65535);
  o.body_bytes = (size_t)integer_field(L, "body_bytes", 1 << 20, 0, 1 << 30);
  o.header_bytes = (size_t)integer_field(L, "header_bytes", 16384, 1024, 1 << 20);
  o.connections = (uint32_t)integer_field(L, "connections", 256, 1, 65536);
  o.per_address = (uint32_t)integer_field(L, "per_address", 32, 0, 65536);
  o.idle_ms = ms_field(L, "idle", 10);
  o.receive_ms = ms_field(L, "receive", 30);
  return o;
}

static void hold_functions(lua_State *L, server_box *box) {
  lua_createtable(L, TASKS, 0); /* functions */
  lua_getfield(L, 1, "handler");
  luaL_argcheck(L, lua_isfunction(L, -1), 1, "'handler' must be a function");
  lua_rawseti(L, -2, HANDLER);
  lua_getfield(L, 1, "gone");
  luaL_argcheck(L, lua_isfunction(L, -1), 1, "'gone' must be a function");
  lua_rawseti(L, -2, GONE);
  lua_newtable(L);
  lua_rawseti(L, -2, TASKS);
  box->functions = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* server.listen{address =, port = 0 | path =, handler =, gone =, body_bytes = 1 MiB, header_bytes = 16
 * KiB, connections = 256, per_address = 32, idle = 10, receive = 30} -> server | nil, message,
 * "invalid", "denied", "conflict" or "unavailable". Times are seconds. Each request starts a task
 * handler(request); a client that goes away starts gone(what the request was attached to). Does not
 * wait. */
static int listen_at(lua_State *L) {
  weir_status status;
  char message[WEIR_HTTP_MESSAGE];
  weir_http_server_options options = check_options(L);
  server_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (server_box){ .scheduler = weir_scheduler_of(weir_host_of(L)),
                       .turn.run = run_server,
                       .functions = LUA_NOREF };
  luaL_setmetatable(L, SERVER);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  box->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  hold_functions(L, box);
  options.context = box;
  box->server = weir_http_server_new(weir_host_loop(weir_host_of(L)), &options, &status, message);
  if (!box->server) return weir_refusef(L, status, "%s", message);
  weir_external_begin(box->scheduler);
  return 1;
}

static server_box *check_server(lua_State *L) {
  server_box *box = luaL_checkudata(L, 1, SERVER);
  if (!box->server) luaL_error(L, "the http server is closed");
  return box;
}

/* server:port() -> integer; 0 for a Unix socket. */
static int server_port(lua_State *L) {
  lua_pushinteger(L, weir_http_server_port(check_server(L)->server));
  return 1;
}

/* server:stats() -> connections, requests under way. */
static int server_stats(lua_State *L) {
  server_box *box = check_server(L);
  lua_pushinteger(L, weir_http_server_connections(box->server));
  lua_pushinteger(L, weir_http_server_exchanges(box->server));
  return 2;
}

static int await_drained(lua_State *L, int status, lua_KContext context) {
  server_box *box = (server_box *)context;
  bool is_done = !box->server || weir_http_server_exchanges(box->server) == 0;
  if (is_done || status == WEIR_TIMEOUT) {
    lua_pushboolean(L, is_done);
    return 1;
  }
  lua_Number seconds = luaL_checknumber(L, 2);
  if (box->drained.task) return luaL_error(L, "another task waits for this server to end");
  int64_t deadline_ns = weir_scheduler_now(box->scheduler) + (int64_t)(seconds * 1e9);
  return weir_task_wait(L, &box->drained, "requests under way", deadline_ns, (lua_KContext)box,
                        await_drained);
}

/* server:drain(seconds) -> whether no request is under way any more. No new connections from now on;
 * waits for those requests, and no longer than that. */
static int server_drain(lua_State *L) {
  server_box *box = check_server(L);
  lua_Number seconds = luaL_checknumber(L, 2);
  luaL_argcheck(L, seconds >= 0 && seconds <= 86400, 2, "must be seconds from 0 to 86400");
  weir_task_check(L);
  weir_http_server_quiet(box->server);
  return await_drained(L, LUA_OK, (lua_KContext)box);
}

static void close_server(lua_State *L, server_box *box) {
  weir_http_server *server = box->server;
  if (server) {
    weir_http_server_free(server);
    box->server = NULL;
    weir_external_end(box->scheduler);
    weir_wait_wake(&box->drained);
  }
  luaL_unref(L, LUA_REGISTRYINDEX, box->functions);
  box->functions = LUA_NOREF;
}

/* server:close(): what is under way is cut. Safe twice; also __close and __gc. */
static int server_close(lua_State *L) {
  close_server(L, luaL_checkudata(L, 1, SERVER));
  return 0;
}

/* Requests */

static request *check_request(lua_State *L) {
  return luaL_checkudata(L, 1, REQUEST);
}

/* request:method() -> text. */
static int request_method(lua_State *L) {
  lua_pushstring(L, weir_http_method(check_request(L)->exchange));
  return 1;
}

/* request:target() -> path and query, as they came. */
static int request_target(lua_State *L) {
  lua_pushstring(L, weir_http_target(check_request(L)->exchange));
  return 1;
}

/* request:header(name) -> the first of that name (in lower case) and how many there are | nil. */
static int request_header(lua_State *L) {
  request *r = check_request(L);
  const char *wanted = luaL_checkstring(L, 2), *first = NULL, *name, *value;
  size_t cursor = 0;
  lua_Integer count = 0;
  while (weir_http_request_header(r->exchange, &cursor, &name, &value)) {
    if (strcmp(name, wanted) != 0) continue;
    if (count++ == 0) first = value;
  }
  if (!first) return 0;
  lua_pushstring(L, first);
  lua_pushinteger(L, count);
  return 2;
}

/* request:headers() -> {{name, value}, ...} in their order. */
static int request_headers(lua_State *L) {
  request *r = check_request(L);
  const char *name, *value;
  size_t cursor = 0;
  lua_Integer count = 0;
  lua_newtable(L);
  while (weir_http_request_header(r->exchange, &cursor, &name, &value)) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, name);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/* request:peer() -> {address =, port =} of TCP, {uid =, pid =} of a Unix socket | {} when it has gone.
 */
static int request_peer(lua_State *L) {
  weir_http_peer_name name;
  weir_http_peer(check_request(L)->exchange, &name);
  lua_createtable(L, 0, 2);
  if (name.address[0]) {
    lua_pushstring(L, name.address);
    lua_setfield(L, -2, "address");
    lua_pushinteger(L, name.port);
    lua_setfield(L, -2, "port");
  } else if (name.uid >= 0) {
    lua_pushinteger(L, name.uid);
    lua_setfield(L, -2, "uid");
    lua_pushinteger(L, name.pid);
    lua_setfield(L, -2, "pid");
  }
  return 1;
}

/* request:attach(value): what the server's `gone` is called with when the client goes away. */
static int request_attach(lua_State *L) {
  request *r = check_request(L);
  luaL_checkany(L, 2);
  if (weir_http_is_over(r->exchange)) return 0;
  lua_getiuservalue(L, 1, 1); /* request value tasks */
  lua_pushvalue(L, 2);
  lua_rawsetp(L, -2, r->exchange);
  return 0;
}

static int wait_for(lua_State *L, request *r, const char *what, lua_KFunction k) {
  if (r->wait.task) return luaL_error(L, "another task reads or writes here");
  return weir_task_wait(L, &r->wait, what, WEIR_NO_DEADLINE, (lua_KContext)r, k);
}

static int refuse_body(lua_State *L, weir_status state) {
  if (state == WEIR_LIMIT) return weir_refusef(L, WEIR_LIMIT, "the body is longer than allowed");
  return weir_refusef(L, WEIR_CLOSED, "the client has gone");
}

static int push_piece(lua_State *L, request *r, const char *bytes, size_t size, lua_Integer most) {
  if ((lua_Unsigned)size > (lua_Unsigned)most) size = (size_t)most;
  lua_pushlstring(L, bytes, size);
  weir_http_body_take(r->exchange, size);
  return 1;
}

static int await_piece(lua_State *L, int status, lua_KContext context) {
  request *r = (request *)context;
  size_t size;
  (void)status;
  const char *bytes = weir_http_body(r->exchange, &size);
  if (size > 0) return push_piece(L, r, bytes, size, r->piece);
  weir_status state = weir_http_body_state(r->exchange);
  if (state == WEIR_OK) return wait_for(L, r, "a part of a request", await_piece);
  if (state != WEIR_CLOSED) return refuse_body(L, state);
  lua_pushnil(L);
  return 1;
}

/* request:read([most]) -> the next bytes of the body | nil at its end | nil, message, "limit" (longer
 * than allowed) or "closed" (the client has gone). Waits. */
static int request_read(lua_State *L) {
  request *r = check_request(L);
  r->piece = luaL_optinteger(L, 2, PIECE_MAX);
  luaL_argcheck(L, r->piece >= 1, 2, "must be 1 byte or more");
  weir_task_check(L);
  return await_piece(L, 0, (lua_KContext)r);
}

static int await_body(lua_State *L, int status, lua_KContext context) {
  request *r = (request *)context;
  (void)status;
  weir_status state = weir_http_body_state(r->exchange);
  if (state == WEIR_OK) return wait_for(L, r, "the body of a request", await_body);
  if (state != WEIR_CLOSED) return refuse_body(L, state);
  size_t size;
  const char *bytes = weir_http_body(r->exchange, &size);
  return push_piece(L, r, bytes, size, PIECE_MAX);
}

/* request:body() -> all bytes that were not read yet | nil, message, code as read. Waits for the end.
 */
static int request_body(lua_State *L) {
  request *r = check_request(L);
  weir_task_check(L);
  weir_http_body_collect(r->exchange);
  return await_body(L, 0, (lua_KContext)r);
}

/* Answers */

/* Adds the header whose name and value, or list of values, are at -2 and -1. */
static weir_status add_header(lua_State *L, request *r) {
  if (!lua_istable(L, -1))
    return weir_http_answer_header(r->exchange, lua_tostring(L, -2), lua_tostring(L, -1));
  weir_status status = WEIR_OK;
  lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= count && status == WEIR_OK; i++) {
    lua_rawgeti(L, -1, i); /* name list value */
    status = weir_http_answer_header(r->exchange, lua_tostring(L, -3), lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return status;
}

/* The value on top: a string, or a list of them. */
static bool is_header_value(lua_State *L) {
  bool fits = lua_type(L, -1) == LUA_TSTRING;
  if (fits || !lua_istable(L, -1)) return fits;
  fits = true;
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 1 && fits; i--) {
    fits = lua_rawgeti(L, -1, i) == LUA_TSTRING;
    lua_pop(L, 1);
  }
  return fits;
}

/* A number as a value would be changed in place, and a key must not be: both have to be texts. */
static void check_headers(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, index, "names of headers must be strings");
    luaL_argcheck(L, is_header_value(L), index,
                  "values of headers must be strings or lists of strings");
    lua_pop(L, 1);
  }
}

static weir_status add_headers(lua_State *L, request *r, int index) {
  weir_status status = WEIR_OK;
  lua_pushnil(L);
  while (status == WEIR_OK && lua_next(L, index)) {
    status = add_header(L, r);
    lua_pop(L, 1);
  }
  return status;
}

static int refuse_answer(lua_State *L, weir_status status) {
  if (status == WEIR_CLOSED) return weir_refusef(L, WEIR_CLOSED, "the client has gone");
  if (status == WEIR_CONFLICT) return luaL_error(L, "the request was answered already");
  return luaL_error(L, status == WEIR_LIMIT ? "no memory for an answer"
                                            : "no such status, or a header with a line break");
}

static int send_answer(lua_State *L, request *r, weir_status status) {
  if (status != WEIR_OK) return refuse_answer(L, status);
  status = add_headers(L, r, 3);
  if (status == WEIR_OK) status = weir_http_answer_send(r->exchange);
  if (status != WEIR_OK) {
    weir_http_answer_undo(r->exchange);
    return refuse_answer(L, status);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* request:respond(status, headers, body) -> true | nil, message, "closed" (the client has gone). Does
 * not wait. */
static int request_respond(lua_State *L) {
  request *r = check_request(L);
  size_t size;
  lua_Integer status = luaL_checkinteger(L, 2);
  check_headers(L, 3);
  const char *body = luaL_optlstring(L, 4, "", &size);
  return send_answer(L, r, weir_http_answer(r->exchange, (unsigned)status, body, size));
}

/* request:stream(status, headers) -> true | nil, message, "closed". `write` sends the body, `close`
 * ends it. */
static int request_stream(lua_State *L) {
  request *r = check_request(L);
  lua_Integer status = luaL_checkinteger(L, 2);
  check_headers(L, 3);
  return send_answer(L, r, weir_http_answer_stream(r->exchange, (unsigned)status));
}

static int await_room(lua_State *L, int status, lua_KContext context) {
  request *r = (request *)context;
  (void)status;
  if (weir_http_is_gone(r->exchange)) return refuse_answer(L, WEIR_CLOSED);
  if (weir_http_is_full(r->exchange)) return wait_for(L, r, "a client to read", await_room);
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  weir_status written = weir_http_write(r->exchange, bytes, size);
  if (written != WEIR_OK) return refuse_answer(L, written);
  lua_pushboolean(L, 1);
  return 1;
}

/* request:write(bytes) -> true | nil, message, "closed". Waits while 64 KiB have not been read by the
 * client. */
static int request_write(lua_State *L) {
  request *r = check_request(L);
  luaL_checkstring(L, 2);
  luaL_argcheck(L, weir_http_is_answered(r->exchange), 1, "call 'stream' first");
  weir_task_check(L);
  return await_room(L, 0, (lua_KContext)r);
}

/* request:close(): ends a stream; what was written is still sent. Safe twice. */
static int request_close(lua_State *L) {
  weir_http_end_stream(check_request(L)->exchange);
  return 0;
}

static int request_gc(lua_State *L) {
  request *r = lua_touserdata(L, 1);
  weir_http_exchange *exchange = r->exchange;
  if (!exchange) return 0;
  r->exchange = NULL;
  weir_http_exchange_listen(exchange, NULL, NULL);
  if (weir_http_is_answered(exchange))
    weir_http_end_stream(exchange);
  else if (weir_http_answer(exchange, 500, "", 0) == WEIR_OK)
    weir_http_answer_send(exchange);
  weir_http_exchange_release(exchange);
  return 0;
}

static const luaL_Reg functions[] = { { "listen", listen_at }, { NULL, NULL } };
static const luaL_Reg server_methods[] = { { "port", server_port },
                                           { "stats", server_stats },
                                           { "drain", server_drain },
                                           { "close", server_close },
                                           { NULL, NULL } };
static const luaL_Reg request_methods[] = { { "method", request_method },
                                            { "target", request_target },
                                            { "header", request_header },
                                            { "headers", request_headers },
                                            { "peer", request_peer },
                                            { "attach", request_attach },
                                            { "read", request_read },
                                            { "body", request_body },
                                            { "respond", request_respond },
                                            { "stream", request_stream },
                                            { "write", request_write },
                                            { "close", request_close },
                                            { NULL, NULL } };

static void make_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc,
                       bool closes) {
  luaL_newmetatable(L, name); /* meta */
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  if (closes) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__close");
  }
  lua_pop(L, 1);
}

int luaopen_weir_native_http_server(lua_State *L);

/* The loop closes handles after Lua has closed its libraries: this one must still be there then. */
static void stay_loaded(void) {
  static const char here = 0;
  Dl_info info;
  if (dladdr(&here, &info) != 0) (void)dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

int luaopen_weir_native_http_server(lua_State *L) {
  stay_loaded();
  make_class(L, SERVER, server_methods, server_close, true);
  make_class(L, REQUEST, request_methods, request_gc, false);
  luaL_newlib(L, functions);
  return 1;
}
