/* host.h - one host: a Lua state, an event loop and a scheduler, all on one thread.
 *
 * A host is a value, never a C global: several may live in one process, each on its own thread.
 * Native modules reach theirs with weir_host_of and never keep it in a static. */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H
#include <lua.h>
#include <uv.h>

#include "secret.h"
#include "status.h"

typedef struct weir_host weir_host;

typedef struct {
  const char *library;           /* folder that holds lua/weir, modules and pipelines */
  const char *natives;           /* folder of the native modules that are loaded when required */
  int64_t memory_bytes;          /* of the Lua state; 0: 2 GiB */
  int64_t task_memory_bytes;     /* of one task; 0: 256 MiB */
} weir_host_options;

/* A host of the calling thread; NULL when the system has no memory or no descriptors left. */
weir_host *weir_host_new(const weir_host_options *options);
void weir_host_free(weir_host *host);

/* Run lua/weir/boot.lua in a task with the arguments until it ends. Gives the exit status it returned. */
int weir_host_run(weir_host *host, int count, char **arguments);

/* The host that L belongs to; valid for every coroutine of its state. */
weir_host *weir_host_of(lua_State *L);

/* The host's event loop. Handles that must not keep the process alive are unref'd by their owner. */
uv_loop_t *weir_host_loop(weir_host *host);

/* What the host keeps secret; of the host that L belongs to. */
weir_secrets *weir_secrets_of(lua_State *L);

/* Say on stderr what failed where nobody waits for the answer; the error is on top of L. Never raises. */
void weir_host_report(weir_host *host, lua_State *L, const char *where);
#endif
