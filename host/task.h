/* task.h - the inside of the scheduler: what its own files share, and nobody else includes.
 *
 * reach.c       from a Lua state to its host and scheduler
 * scheduler.c   lanes, scopes, cancelling, time, the loop; knows no Lua
 * task_wait.c   makes the running task wait
 * coroutine.c   coroutine.* for modules, so that waiting and preemption pass through their coroutines
 * preempt.c     the slice: the CPU timer, the hook, the hard limit
 * task_lua.c    from a task to a running coroutine and back
 * scheduler_lua.c  the Lua face */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H
#include <lua.h>
#include <stdatomic.h>
#include <time.h>

#include "heap.h"
#include "lane.h"
#include "memory.h"
#include "scheduler.h"
#include "secret.h"

#define WEIR_TICK_MS 5        /* of CPU time of the host's thread */
#define WEIR_HARD_LIMIT_MS 1000
#define WEIR_COMPUTING 16
#define WEIR_GRACE_NS 5000000000LL

typedef enum { WEIR_READY, WEIR_RUNNING, WEIR_WAITING, WEIR_DONE } weir_task_state;
typedef enum { WEIR_NO_YIELD, WEIR_PREEMPTED, WEIR_WAITS } weir_yield;

typedef struct weir_scope weir_scope;

struct weir_task {
  weir_scheduler *scheduler;
  uint64_t id;
  const char *name;      /* owned by user value 1 */
  weir_task_state state;
  uint8_t lane;          /* 0 first */
  bool preempted;        /* ready because its slice ended, not because it was woken */
  bool steadfast;        /* this wait cannot be interrupted */
  bool raised;           /* the cancellation has been raised once */
  bool doomed;           /* an error is raised at every instruction of a module */
  bool failed;           /* ended with an error */
  bool has_result;       /* user value 2 holds it */
  bool has_locals;       /* user value 3 holds them */
  bool has_context;      /* user value 5 holds it */
  weir_status doom;      /* why it is doomed */
  weir_status cancelled; /* WEIR_OK: not */
  char *reason;          /* of the cancellation; may be NULL */
  weir_ready ready;                           /* in its lane */
  weir_tenant *tenant;                        /* held until it has ended */
  weir_task *sibling_next, *sibling_previous; /* in its home */
  weir_scope *home;      /* spawned into; cannot outlive it */
  weir_scope *scope;     /* the innermost it has open, else home */
  uint32_t open_scopes;  /* between home and scope */
  uint32_t slot;         /* anchors of the userdata and of the thread */
  lua_State *thread;
  lua_State *leaf;       /* the coroutine that it stopped in */
  lua_State **chain;     /* those between the leaf and the thread, outwards */
  uint32_t depth, chain_capacity;
  weir_wait *wait;
  weir_wait *woken;      /* what woke it, until it has had its turn */
  const char *what;      /* static text */
  lua_KFunction k;
  lua_KContext context;
  weir_status outcome;
  weir_timer timer;      /* deadline of the wait */
  weir_timer grace;      /* once the task itself is cancelled: the end of its grace time */
  weir_wait self;        /* for sleep, yield and join */
  weir_node queue_node;  /* in the queue that it waits in */
  weir_queue joiners;
  int64_t created_ns;
  int64_t bytes;         /* account */
  uint32_t ticks;        /* CPU time used, in ticks */
  uint32_t raised_at;    /* ticks at the first raise */
  uint32_t deferred;     /* length of the list of deferred functions in user value 4 */
};

struct weir_scope {
  weir_scheduler *scheduler;
  weir_scope *parent;
  weir_task *owner;      /* who opened it; NULL: the root */
  weir_scope *child, *sibling_next, *sibling_previous;
  weir_task *tasks;
  uint32_t task_count;
  weir_status cancelled; /* WEIR_OK: not */
  char *reason;
  bool shielded;         /* cancellations from outside stop here */
  bool closed;
  bool reports;          /* a failing task is reported instead of cancelling the scope */
  bool failed;           /* user value 1 holds the first error of a task */
  weir_timer timer;      /* its deadline; once cancelled, the end of the grace time */
  weir_queue joiners;
};

/* What every host begins with, so that these are found from it. */
typedef struct {
  weir_scheduler *scheduler;
  uv_loop_t *loop;
  weir_secrets *secrets;
} weir_host_head;

struct weir_scheduler {
  weir_host *host;
  void (*resume)(weir_task *task); /* runs a task until it waits, ends or has used its slice */
  void (*kill)(weir_task *task);   /* ends one without resuming it */
  void (*report)(weir_host *host, lua_State *L, const char *where); /* an error nobody waits for, on top of L */
  lua_State *L;          /* the main thread */
  weir_memory *memory;
  weir_lanes lanes;
  weir_heap timers;
  weir_turn *turn_first, *turn_last;
  weir_scope root;
  uint64_t last_id;
  uint32_t external;     /* work in progress elsewhere */
  uint32_t cancellations; /* scopes and tasks that are cancelled and not closed */
  /* what runs */
  weir_task *running;
  lua_State *volatile current; /* the coroutine that executes; NULL: none of ours */
  uint32_t closing;      /* depth of coroutine closing: nothing may yield */
  weir_yield yielding;
  /* preemption */
  volatile unsigned long resumes, resumes_seen;
  volatile uint32_t ticks;
  uint32_t ticks_at_resume;
  timer_t cpu_timer;
  bool has_cpu_timer;
  bool can_wait;         /* every level below is able to yield */
  const char *computing[WEIR_COMPUTING]; /* what the names of chunks begin with that only compute; the registry holds them */
  uint32_t computing_count;
  /* virtual time and seed */
  bool is_virtual, seeded;
  uint64_t random;
  uint32_t jitter;       /* largest number of instructions to a drawn preemption; 0: none */
  uint32_t picks;        /* turns, so that now and then one begins with the lowest lane */
  int64_t virtual_ns, virtual_wall_ms;
  uint64_t preemptions;
  uint32_t looks;        /* draws the distance between two looks inside the library */
  bool collects;         /* the collector has been started */
  int64_t collected_ns;  /* last full collection that memory asked for */
  /* the loop */
  uv_timer_t due;
  atomic_ulong rounds;
  atomic_bool polling;
  atomic_ulong running_id; /* for the watchdog */
  /* slots */
  int tasks_ref, threads_ref, scopes_ref; /* tables in the registry */
  weir_task **slot_tasks;   /* NULL: free */
  lua_State **slot_threads; /* kept for the next task; NULL: none yet */
  uint32_t *free_slots;
  uint32_t slot_count, free_count, slot_capacity;
  uint32_t shed_to, shed_at; /* free slots without a thread, and the tick of the latest look */
  uint32_t live;         /* tasks that have not ended */
};

/* scheduler.c */
void weir_scheduler_init(weir_scheduler *scheduler, weir_host *host, lua_State *L, weir_memory *memory);
void weir_scheduler_free(weir_scheduler *scheduler);
void weir_scheduler_drop_tasks(weir_scheduler *scheduler); /* what the tasks that have not ended hold */
weir_status weir_scheduler_run(weir_scheduler *scheduler, weir_task *until); /* WEIR_FAILED: deadlock */
uint64_t weir_scheduler_draw(weir_scheduler *scheduler);
void weir_task_ready(weir_task *task);
void weir_task_begin_wait(weir_task *task, weir_wait *wait, const char *what, int64_t deadline_ns);
void weir_task_change_lane(weir_task *task, uint8_t lane); /* of a ready task */
void weir_task_change_tenant(weir_task *task, uint64_t key); /* of a ready task; without memory it stays */
void weir_task_withdraw(weir_task *task); /* out of its lane or wait: nobody wakes it any more */
void weir_task_leave(weir_task *task);    /* done: out of its home; whoever joins it is woken */
void weir_task_cancel(weir_task *task, weir_status code, const char *reason);
void weir_scope_open(weir_scope *scope, weir_task *owner, int64_t deadline_ns, bool shielded);
void weir_scope_cancel(weir_scope *scope, weir_status code, const char *reason);
void weir_scope_close(weir_scope *scope);
/* Why the task must stop: the code and its reason; WEIR_OK: it need not. */
weir_status weir_task_cancelled(const weir_task *task, const char **reason);

/* task_lua.c */
weir_task *weir_task_new(lua_State *L, weir_scope *home, int nargs); /* function, args -> task */
void weir_task_resume(weir_task *task);
void weir_task_kill(weir_task *task);
void weir_task_push(lua_State *L, weir_task *task);
weir_scope *weir_scope_new(lua_State *L, weir_task *owner, int64_t deadline_ns, bool shielded);
void weir_scope_release(lua_State *L, weir_scope *scope);
void weir_scope_failed(weir_scope *scope, weir_task *task);

/* coroutine.c */
int weir_coroutine_enter(weir_scheduler *scheduler, lua_State *from, lua_State *co, int nargs,
                         int *nresults, bool can_wait);
int weir_coroutine_reset(weir_scheduler *scheduler, lua_State *co);
void weir_coroutine_mark(lua_State *co, bool in_flight);

/* preempt.c */
void weir_preempt_start(weir_scheduler *scheduler);
void weir_preempt_stop(weir_scheduler *scheduler);
void weir_preempt_arm(lua_State *L);
void weir_preempt_before(weir_scheduler *scheduler, lua_State *co); /* a coroutine is about to run */
void weir_preempt_over_memory(weir_memory *memory);
bool weir_preempt_computing(weir_scheduler *scheduler, const char *prefix); /* false: there are as many as there may be */
int weir_preempt_interruptible(lua_State *L); /* for Lua: calls a function that may lose the processor, whoever calls it */

#define WEIR_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#endif
