/* start.c - the floor of a start: a process that opens what every host needs (a Lua state with its libraries, an event loop, an
 * LMDB environment), commits one record and ends. With a second argument it stays, idle, until it is killed.
 *     bench_start FOLDER [stay] */
#include <lauxlib.h>
#include <lmdb.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

static int commit_one(MDB_env *env) {
  MDB_txn *txn;
  MDB_dbi table;
  MDB_val key = { 3, "key" }, value = { 5, "value" };
  int rc = mdb_txn_begin(env, NULL, 0, &txn);
  if (rc == 0) rc = mdb_dbi_open(txn, "log", MDB_CREATE, &table);
  if (rc == 0) rc = mdb_put(txn, table, &key, &value, 0);
  return rc == 0 ? mdb_txn_commit(txn) : rc;
}

static int open_store(MDB_env **env, const char *folder) {
  int rc = mdb_env_create(env);
  if (rc == 0) rc = mdb_env_set_maxdbs(*env, 8);
  if (rc == 0) rc = mdb_env_set_mapsize(*env, (size_t)1 << 30);
  return rc == 0 ? mdb_env_open(*env, folder, 0, 0600) : rc;
}

int main(int argc, char **argv) {
  MDB_env *env;
  uv_loop_t loop;
  lua_State *L = luaL_newstate();
  if (argc < 2 || !L || uv_loop_init(&loop) != 0) return 2;
  luaL_openlibs(L);
  int rc = open_store(&env, argv[1]);
  if (rc == 0) rc = commit_one(env);
  if (rc != 0) {
    fprintf(stderr, "bench_start: %s: %s\n", argv[1], mdb_strerror(rc));
    return 1;
  }
  if (argc > 2 && strcmp(argv[2], "stay") == 0) {
    fputs("ready\n", stderr);
    pause();
  }
  mdb_env_close(env);
  lua_close(L);
  uv_loop_close(&loop);
  return 0;
}
