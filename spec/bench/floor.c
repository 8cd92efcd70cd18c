/* floor.c - weir.native.bench_floor: what the same work costs when it is done bare. Loaded by `weir bench` only.
 *
 * log(path)       an LMDB environment of its own; its commits are the floor of everything durable
 * plain(source)   a stock Lua state of its own: no host, no scheduler, no hook, the allocator of libc
 * slice(seconds)  how long the kernel lets two ticks of a CPU timer take in a thread that does nothing else
 * launch(...)     a child process from before it is made until it has ended
 * reload(...)     a file of Lua that is written, told of by inotify and loaded in a stock Lua state
 * ticks(on)       the host's CPU timer is heard or not in the thread that calls */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lmdb.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG "weir.bench.log"
#define PLAIN "weir.bench.plain"
#define MAP_BYTES ((size_t)64 << 30)
#define RECORD_MAX 65536
#define SAMPLES_MAX 200000 /* commits that one measurement remembers */
#define SLICES_MAX 4096
#define ARGUMENTS_MAX 32
#define TICK_NS 5000000 /* as the host's */
#define TICKS_OF_A_SLICE 2

extern char **environ;
int luaopen_weir_native_bench_floor(lua_State *L);

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double percentile(double *sorted, size_t count, double part) {
  return count == 0 ? 0 : sorted[(size_t)((double)(count - 1) * part)];
}

/* The log: big-endian numbers as keys, appended at the end, nothing else in the transaction. */

typedef struct {
  MDB_env *env; /* NULL: closed */
  MDB_dbi table;
  uint64_t next;
} bare_log;

static int lmdb_error(lua_State *L, const char *what, int rc) { return luaL_error(L, "floor: %s: %s", what, mdb_strerror(rc)); }

static int log_close(lua_State *L) {
  bare_log *log = luaL_checkudata(L, 1, LOG);
  if (log->env) mdb_env_close(log->env);
  log->env = NULL;
  return 0;
}

static int open_table(bare_log *log) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(log->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  rc = mdb_dbi_open(txn, "log", MDB_CREATE, &log->table);
  if (rc == 0) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

/* log(path): path is a folder that exists */
static int floor_log(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bare_log *log = lua_newuserdatauv(L, sizeof *log, 0);
  *log = (bare_log){ 0 };
  luaL_setmetatable(L, LOG);
  int rc = mdb_env_create(&log->env);
  if (rc == 0) rc = mdb_env_set_maxdbs(log->env, 4);
  if (rc == 0) rc = mdb_env_set_mapsize(log->env, MAP_BYTES);
  if (rc == 0) rc = mdb_env_open(log->env, path, 0, 0600);
  if (rc == 0) rc = open_table(log);
  if (rc != 0) return lmdb_error(L, path, rc);
  return 1;
}

static int put_records(bare_log *log, MDB_txn *txn, int records, MDB_val value) {
  for (int i = 0; i < records; i++) {
    uint64_t key_bytes = __builtin_bswap64(log->next + 1);
    MDB_val key = { sizeof key_bytes, &key_bytes };
    int rc = mdb_put(txn, log->table, &key, &value, MDB_APPEND);
    if (rc != 0) return rc;
    log->next++;
  }
  return 0;
}

static int commit_records(bare_log *log, int records, MDB_val value) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(log->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  rc = put_records(log, txn, records, value);
  if (rc == 0) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

/* log:commit(records, bytes, seconds) -> records/s, p50 s, p99 s: commits of `records` records of `bytes` bytes each */
static int log_commit(lua_State *L) {
  static uint8_t record[RECORD_MAX];
  bare_log *log = luaL_checkudata(L, 1, LOG);
  lua_Integer records = luaL_checkinteger(L, 2), bytes = luaL_checkinteger(L, 3);
  double seconds = luaL_checknumber(L, 4);
  luaL_argcheck(L, log->env != NULL, 1, "the log is closed");
  luaL_argcheck(L, records >= 1 && records <= 100000, 2, "1..100000 records expected");
  luaL_argcheck(L, bytes >= 1 && bytes <= RECORD_MAX, 3, "1..65536 bytes expected");
  double *samples = lua_newuserdatauv(L, SAMPLES_MAX * sizeof *samples, 0);
  size_t commits = 0;
  double start = now_s(), before = start, after = start;
  do {
    int rc = commit_records(log, (int)records, (MDB_val){ (size_t)bytes, record });
    if (rc != 0) return lmdb_error(L, "commit", rc);
    after = now_s();
    samples[commits++] = after - before;
    before = after;
  } while (after - start < seconds && commits < SAMPLES_MAX);
  qsort(samples, commits, sizeof *samples, compare);
  lua_pushnumber(L, (double)commits * (double)records / (after - start));
  lua_pushnumber(L, percentile(samples, commits, 0.5));
  lua_pushnumber(L, percentile(samples, commits, 0.99));
  return 3;
}

/* Plain Lua */

static int plain_now(lua_State *L) {
  lua_pushnumber(L, now_s());
  return 1;
}

static int plain_close(lua_State *L) {
  lua_State **plain = luaL_checkudata(L, 1, PLAIN);
  if (*plain) lua_close(*plain);
  *plain = NULL;
  return 0;
}

/* plain:call(n) -> number, number: what the function of the source gives for n */
static int plain_call(lua_State *L) {
  lua_State **plain = luaL_checkudata(L, 1, PLAIN);
  lua_Number n = luaL_checknumber(L, 2);
  luaL_argcheck(L, *plain != NULL, 1, "the state is closed");
  lua_settop(*plain, 1);
  lua_pushvalue(*plain, 1);
  if (n == (lua_Number)(lua_Integer)n) lua_pushinteger(*plain, (lua_Integer)n);
  else lua_pushnumber(*plain, n);
  if (lua_pcall(*plain, 1, 2, 0) != LUA_OK) return luaL_error(L, "floor: %s", lua_tostring(*plain, -1));
  lua_pushnumber(L, lua_tonumber(*plain, 2));
  lua_pushnumber(L, lua_tonumber(*plain, 3));
  return 2;
}

/* plain(source): the source returns a function of a number; it finds `now()` (seconds) among its globals */
static int floor_plain(lua_State *L) {
  size_t size;
  const char *source = luaL_checklstring(L, 1, &size);
  lua_State **plain = lua_newuserdatauv(L, sizeof *plain, 0);
  *plain = NULL;
  luaL_setmetatable(L, PLAIN);
  *plain = luaL_newstate();
  if (!*plain) return luaL_error(L, "floor: no memory for a Lua state");
  luaL_openlibs(*plain);
  lua_register(*plain, "now", plain_now);
  if (luaL_loadbuffer(*plain, source, size, "=floor") != LUA_OK || lua_pcall(*plain, 0, 1, 0) != LUA_OK)
    return luaL_error(L, "%s", lua_tostring(*plain, -1));
  return 1;
}

/* Slices */

static atomic_uint ticked;

static void count_tick(int signal_number) {
  (void)signal_number;
  atomic_fetch_add_explicit(&ticked, 1, memory_order_relaxed);
}

typedef struct {
  double seconds;
  double slices[SLICES_MAX];
  size_t count;
  bool failed;
} spinning;

static bool start_timer(timer_t *timer) {
  struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, timer) != 0) return false;
  struct itimerspec every = { { 0, TICK_NS }, { 0, TICK_NS } };
  return timer_settime(*timer, 0, &every, NULL) == 0;
}

static void *spin(void *argument) {
  spinning *self = argument;
  timer_t timer;
  sigset_t tick;
  sigemptyset(&tick);
  sigaddset(&tick, SIGRTMIN);
  pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
  if (!start_timer(&timer)) {
    self->failed = true;
    return NULL;
  }
  double start = now_s(), before = start, now = start;
  unsigned seen = atomic_load(&ticked);
  while (now - start < self->seconds && self->count < SLICES_MAX) {
    now = now_s();
    if (atomic_load_explicit(&ticked, memory_order_relaxed) - seen < TICKS_OF_A_SLICE) continue;
    seen = atomic_load(&ticked);
    self->slices[self->count++] = now - before;
    before = now;
  }
  timer_delete(timer);
  return NULL;
}

/* slice(seconds) -> p99 in seconds */
static int floor_slice(lua_State *L) {
  spinning *self = lua_newuserdatauv(L, sizeof *self, 0);
  *self = (spinning){ .seconds = luaL_checknumber(L, 1) };
  struct sigaction action = { .sa_flags = SA_RESTART }, old;
  action.sa_handler = count_tick;
  sigaction(SIGRTMIN, &action, &old);
  pthread_t thread;
  int rc = pthread_create(&thread, NULL, spin, self);
  if (rc == 0) pthread_join(thread, NULL);
  sigaction(SIGRTMIN, &old, NULL);
  if (rc != 0 || self->failed) return luaL_error(L, "floor: a thread with a CPU timer could not be started");
  qsort(self->slices, self->count, sizeof *self->slices, compare);
  lua_pushnumber(L, percentile(self->slices, self->count, 0.99));
  return 1;
}

/* ticks(on): off, the CPU timer that preempts stays pending */
static int floor_ticks(lua_State *L) {
  sigset_t tick;
  sigemptyset(&tick);
  sigaddset(&tick, SIGURG);
  pthread_sigmask(lua_toboolean(L, 1) ? SIG_UNBLOCK : SIG_BLOCK, &tick, NULL);
  return 0;
}

/* Processes */

static int spawn_quietly(pid_t *pid, char **arguments) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  int rc = posix_spawn(pid, arguments[0], &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return rc;
}

/* launch(program, args...) -> seconds, exit status (128 + signal). The thread waits: nothing else runs meanwhile. */
static int floor_launch(lua_State *L) {
  char *arguments[ARGUMENTS_MAX + 1];
  int count = lua_gettop(L), status = 0;
  luaL_argcheck(L, count >= 1 && count <= ARGUMENTS_MAX, 1, "1..32 arguments expected");
  for (int i = 0; i < count; i++) arguments[i] = (char *)(uintptr_t)luaL_checkstring(L, i + 1);
  arguments[count] = NULL;
  pid_t pid;
  double start = now_s();
  int rc = spawn_quietly(&pid, arguments);
  if (rc != 0) return luaL_error(L, "floor: cannot start '%s': %s", arguments[0], strerror(rc));
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  lua_pushnumber(L, now_s() - start);
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return 2;
}

/* Reloads */

/* Written aside and put in its place, as editors do. */
static int save(const char *path, const char *aside, const char *text) {
  FILE *file = fopen(aside, "wb");
  if (!file) return -1;
  int rc = fputs(text, file) < 0 ? -1 : 0;
  if (fclose(file) != 0) rc = -1;
  return rc == 0 ? rename(aside, path) : rc;
}

static int drain(int fd) {
  static char events[16384];
  ssize_t size = read(fd, events, sizeof events);
  return size > 0 ? 0 : -1;
}

/* reload(folder, text, seconds) -> p50 s: from before the file is saved until it has been loaded again */
static int floor_reload(lua_State *L) {
  const char *folder = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2);
  double seconds = luaL_checknumber(L, 3);
  const char *path = lua_pushfstring(L, "%s/bare.lua", folder), *aside = lua_pushfstring(L, "%s/bare.new", folder);
  double *samples = lua_newuserdatauv(L, SAMPLES_MAX * sizeof *samples, 0);
  lua_State *plain = luaL_newstate();
  int fd = inotify_init1(IN_CLOEXEC), rc = -1;
  size_t count = 0;
  if (plain && fd >= 0) {
    luaL_openlibs(plain);
    rc = inotify_add_watch(fd, folder, IN_MOVED_TO) < 0 ? -1 : 0;
  }
  double start = now_s(), after = start;
  while (rc == 0 && after - start < seconds && count < SAMPLES_MAX) {
    double before = now_s();
    rc = save(path, aside, text);
    if (rc == 0) rc = drain(fd);
    if (rc == 0 && luaL_dofile(plain, path) != LUA_OK) rc = -1;
    if (plain) lua_settop(plain, 0);
    after = now_s();
    samples[count++] = after - before;
  }
  if (plain) lua_close(plain);
  if (fd >= 0) close(fd);
  if (rc != 0) return luaL_error(L, "floor: a file could not be saved, watched or loaded in '%s'", folder);
  qsort(samples, count, sizeof *samples, compare);
  lua_pushnumber(L, percentile(samples, count, 0.5));
  return 1;
}

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction release) {
  luaL_newmetatable(L, name); /* meta */
  lua_newtable(L);            /* meta methods */
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, release);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

static const luaL_Reg log_methods[] = { { "commit", log_commit }, { "close", log_close }, { NULL, NULL } };
static const luaL_Reg plain_methods[] = { { "call", plain_call }, { "close", plain_close }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "log", floor_log }, { "plain", floor_plain }, { "slice", floor_slice },
  { "ticks", floor_ticks }, { "launch", floor_launch }, { "reload", floor_reload }, { NULL, NULL } };

int luaopen_weir_native_bench_floor(lua_State *L) {
  new_class(L, LOG, log_methods, log_close);
  new_class(L, PLAIN, plain_methods, plain_close);
  luaL_newlib(L, functions);
  return 1;
}
