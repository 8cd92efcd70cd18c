/* store_port.h - one host's face of a store, between the bindings and store.h.
 *
 * Requests of one turn of the scheduler collect in the client's batch and are submitted once at its
 * end; under a virtual clock they are committed there and then. A task that waits for an outcome owns a
 * pending; the writer's completions come back through a uv_async on the host's loop. Host's thread. */
#ifndef WEIR_STORE_PORT_H
#define WEIR_STORE_PORT_H
#include <lauxlib.h>
#include <lua.h>

#include "pack_lua.h"
#include "scheduler.h"
#include "store.h"
#include "store_job.h"

#define WEIR_STORE "weir.store"
#define WEIR_JOURNAL "weir.journal"

typedef struct weir_port_anchor weir_port_anchor;

/* One request whose outcome a task waits for. */
typedef struct weir_pending weir_pending;
struct weir_pending {
  weir_wait wait;
  weir_pending *next; /* free ones */
  weir_status status;
  uint64_t result;   /* of the request's last operation */
  uint64_t *results; /* of each, when more than one was asked for */
  uint32_t ops, failed_op;
  char *message;
  weir_job *job; /* that is under way, or NULL */
};

typedef struct {
  weir_store *store; /* NULL: closed */
  weir_client *client;
  weir_scheduler *scheduler;
  weir_port_anchor *anchor; /* what the loop and the scheduler point to; outlives the userdata */
  weir_pending *free;
  void *slabs;
  uint64_t in_flight; /* batches */
  weir_result result; /* of the read under way */
  weir_buffer field;  /* of a listing, as it stands in a row */
  weir_pack_scratch scratch;
} weir_port;

/* The open store at index (or behind the journal's user value); raises when it is closed. */
weir_port *weir_port_check(lua_State *L, int index);
/* Open: the userdata at the top has been made and cleared. False: out of memory. */
bool weir_port_start(weir_port *port, lua_State *L, weir_store *store);
/* Submit what is there, wait for what is under way (blocking), and let go of the store. Safe twice. */
void weir_port_stop(weir_port *port);
void weir_port_free(weir_port *port); /* its memory */

/* The batch to add to; it is submitted at the end of the turn. Raises when memory ran out. */
weir_batch *weir_port_batch(lua_State *L, weir_port *port);
weir_op *weir_port_op(lua_State *L, weir_batch *batch, weir_op_kind kind);
/* Encode the value at index into the batch; false after pushing nil, message ("SUBJECT.path: why"),
 * code. */
bool weir_port_encode(lua_State *L, weir_port *port, weir_batch *batch, int index, const char *subject,
                      weir_span *span);
/* Make the operations from first_op on one request that nobody waits for. */
void weir_port_post(lua_State *L, weir_port *port, weir_batch *batch, uint32_t first_op, bool reserve);
/* The same, and wait; k finds the pending in its context and gives it back. Return what this returns.
 */
int weir_port_wait(lua_State *L, weir_port *port, weir_batch *batch, uint32_t first_op, bool reserve,
                   const char *what, lua_KFunction k);
/* Start a job, and wait for it; it is stopped when nobody waits any more. Its results are the
 * pending's. */
int weir_port_work(lua_State *L, weir_port *port, weir_job *job, const char *what, lua_KFunction k);
/* In a continuation: the port of the pending's store is at index 1. Pushes nil, message, code if it was
 * refused. */
bool weir_port_refused(lua_State *L, weir_pending *pending);
void weir_port_recycle(weir_port *port, weir_pending *pending);
/* Raise before anything is queued if this code cannot wait or its task has been cancelled. */
void weir_port_check_wait(lua_State *L);

/* store_journal_lua.c: the journal's methods, set up by luaopen_weir_native_checkpoint; store:run. */
void weir_journal_open(lua_State *L);
int weir_journal_new(lua_State *L);
int weir_journal_of_new_run(lua_State *L);
typedef struct {
  uint32_t epoch;
  uint8_t id_size;
  uint8_t id[WEIR_RUN_ID_MAX];
} weir_journal;
/* Add the operation of an entry: arguments at the given indexes, row 0 if there is none. False: refused
 * and pushed. */
bool weir_journal_entry(lua_State *L, weir_port *port, weir_batch *batch, const weir_journal *journal,
                        int entry, int row, bool release);
/* The same of a row alone. */
bool weir_journal_row(lua_State *L, weir_port *port, weir_batch *batch, const weir_journal *journal,
                      int row, bool release);

/* store_job_lua.c: backup, sweep, rebuild. */
extern const luaL_Reg weir_job_methods[];

/* store_space_lua.c: keys and values, blobs, batches. */
extern const luaL_Reg weir_space_methods[];
#endif
