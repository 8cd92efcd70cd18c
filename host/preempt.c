/* preempt.c - the slice, the hard limit, and errors that come from outside of the code they hit.
 *
 * A timer on the CPU clock of the host's thread ticks every 5 ms of work. A tick that finds the same
 * resume as the tick before it arms the debug hook of the coroutine that runs; the hook fires at the
 * next instruction. It acts only in a module's code: inside the library it looks again a little later, so
 * the library is atomic between its waits. Code of the library that only computes counts as the code that calls it.
 * Where Lua cannot yield it comes back later, and past the hard limit it raises `timeout`, at every instruction until
 * the task is out of its pcalls. */
#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "binding.h"
#include "task.h"

#define LIBRARY "=weir/"       /* chunk names of the library begin so */
#define CALLERS 64             /* through so many the one is looked for on whose behalf is computed */
#define LIBRARY_INSTRUCTIONS 64 /* at least so many between two looks inside the library */
#define RETRY_INSTRUCTIONS 1000 /* where Lua cannot yield */
#define SWALLOWED_TICKS 20      /* after a cancellation was raised: CPU time for cleaning up */

static void hook(lua_State *L, lua_Debug *ar);

void weir_preempt_arm(lua_State *L) { lua_sethook(L, hook, LUA_MASKCOUNT, 1); }

static void draw_next(weir_scheduler *s, lua_State *co) {
  lua_sethook(co, hook, LUA_MASKCOUNT, 1 + (int)(weir_scheduler_draw(s) % s->jitter));
}

/* The resume of a task begins a slice of its own: a hook that was armed in the one before, in code of the library alone,
 * would make this one as slow. While memory is over its limit, it stays until somebody has looked. */
void weir_preempt_before(weir_scheduler *s, lua_State *co) {
  if (s->running && s->running->doomed) weir_preempt_arm(co);
  else if (s->jitter) draw_next(s, co);
  else if (s->running && co == s->running->thread && lua_gethook(co) && !s->memory->told) lua_sethook(co, NULL, 0, 0);
}

bool weir_preempt_computing(weir_scheduler *s, const char *prefix) {
  if (s->computing_count == WEIR_COMPUTING) return false;
  s->computing[s->computing_count++] = prefix;
  return true;
}

static bool only_computes(const weir_scheduler *s, const char *source) {
  for (uint32_t i = 0; i < s->computing_count; i++)
    if (strncmp(source, s->computing[i], strlen(s->computing[i])) == 0) return true;
  return false;
}

/* Whether the library is at work on its own behalf, which nothing may come between. */
static bool is_atomic(weir_scheduler *s, lua_State *L) {
  lua_Debug ar;
  for (int level = 0; level < CALLERS && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sf", &ar);
    bool is_interruptible = lua_tocfunction(L, -1) == weir_preempt_interruptible;
    lua_pop(L, 1);
    if (is_interruptible) return false;
    if (*ar.what == 'C') continue;
    if (strncmp(ar.source, LIBRARY, sizeof LIBRARY - 1) != 0) return false;
    if (!only_computes(s, ar.source)) return true;
  }
  return true;
}

static int call_done(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L);
}

int weir_preempt_interruptible(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, call_done);
  return call_done(L, LUA_OK, 0);
}

static void disarm(weir_scheduler *s, lua_State *L) {
  if (s->jitter) draw_next(s, L);
  else lua_sethook(L, NULL, 0, 0);
}

static void doom(weir_task *task, weir_status code) {
  task->doomed = true;
  task->doom = code;
}

static void raise_doom(lua_State *L, weir_task *task) {
  static const char *const memory_reason = "the step needs more memory than its limit";
  static const char *const time_reason = "a stretch that cannot be interrupted took too long";
  const char *reason = task->doom == WEIR_LIMIT ? memory_reason : time_reason;
  const char *given;
  weir_status code = weir_task_cancelled(task, &given);
  weir_preempt_arm(L); /* again at the next instruction, should this error be caught */
  if (code != WEIR_OK) weir_raise(L, code, "%s", given ? given : reason);
  weir_raise(L, task->doom, "%s", reason);
}

static void raise_if_cancelled(lua_State *L, weir_task *task) {
  const char *reason;
  weir_status code = weir_task_cancelled(task, &reason);
  if (code == WEIR_OK) return;
  if (!task->raised) {
    task->raised = true;
    task->raised_at = task->ticks;
    weir_raise(L, code, "%s", reason ? reason : weir_status_code(code));
  }
  if (task->ticks - task->raised_at > SWALLOWED_TICKS) {
    doom(task, code);
    raise_doom(L, task);
  }
}

static bool past_hard_limit(weir_scheduler *s) {
  return (s->ticks - s->ticks_at_resume) * WEIR_TICK_MS > WEIR_HARD_LIMIT_MS;
}

/* The accounts only say what each task made the state grow by; garbage that was collected while others
 * ran is charged wrongly. After a collection they are scaled to what is really held. */
static void settle_accounts(weir_scheduler *s) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < s->slot_count; i++)
    if (s->slot_tasks[i] && s->slot_tasks[i]->bytes > 0) sum += s->slot_tasks[i]->bytes;
  if (sum <= s->memory->used_bytes) return;
  double scale = (double)s->memory->used_bytes / (double)sum;
  for (uint32_t i = 0; i < s->slot_count; i++) {
    weir_task *task = s->slot_tasks[i];
    if (task) task->bytes = task->bytes > 0 ? (int64_t)((double)task->bytes * scale) : 0;
  }
}

static weir_task *largest_account(weir_scheduler *s) {
  weir_task *largest = NULL;
  for (uint32_t i = 0; i < s->slot_count; i++) {
    weir_task *task = s->slot_tasks[i];
    if (task && (!largest || task->bytes > largest->bytes)) largest = task;
  }
  return largest;
}

static bool is_over(const weir_memory *memory, const weir_task *task) {
  return task->bytes > memory->account_limit_bytes || memory->used_bytes > memory->limit_bytes;
}

static void look_at_memory(lua_State *L, weir_scheduler *s, weir_task *task) {
  weir_memory *memory = s->memory;
  int64_t now = (int64_t)uv_hrtime();
  if (now - s->collected_ns > 1000000000) {
    lua_gc(L, LUA_GCCOLLECT);
    s->collected_ns = now;
    settle_accounts(s);
  }
  memory->told = false;
  if (!is_over(memory, task)) return;
  weir_task *guilty = task->bytes > memory->account_limit_bytes ? task : largest_account(s);
  doom(guilty, WEIR_LIMIT);
  if (guilty == task) raise_doom(L, task);
}

/* What a terminated task still closes belongs to nobody who could wait: past the hard limit it is cut short. */
static void watch_closing(lua_State *L, weir_scheduler *s) {
  bool is_over = past_hard_limit(s) && !is_atomic(s, L);
  lua_sethook(L, s->closing ? hook : NULL, LUA_MASKCOUNT, is_over ? 1 : RETRY_INSTRUCTIONS);
  if (s->closing && is_over) weir_raise(L, WEIR_TIMEOUT, "cleaning up after a terminated task took too long");
}

/* A hook at every instruction of the library would slow it down tenfold. The distance varies, so that
 * no loop keeps in step with it. */
static int until_next_look(weir_scheduler *s) {
  s->looks = s->looks * 1664525u + 1013904223u;
  return LIBRARY_INSTRUCTIONS + (int)(s->looks >> 24);
}

static void hook(lua_State *L, lua_Debug *ar) {
  weir_scheduler *s = weir_scheduler_of(weir_host_of(L));
  weir_task *task = s->running;
  (void)ar;
  if (!task) {
    watch_closing(L, s);
    return;
  }
  if (is_atomic(s, L)) {
    lua_sethook(L, hook, LUA_MASKCOUNT, until_next_look(s));
    return;
  }
  disarm(s, L);
  if (task->doomed) raise_doom(L, task);
  if (s->memory->told) look_at_memory(L, s, task);
  raise_if_cancelled(L, task);
  if (s->can_wait && lua_isyieldable(L)) {
    task->leaf = L;
    task->depth = 0;
    s->yielding = WEIR_PREEMPTED;
    s->preemptions++;
    lua_yield(L, 0);
    return;
  }
  if (past_hard_limit(s)) {
    doom(task, WEIR_TIMEOUT);
    raise_doom(L, task);
  }
  if (!s->jitter) lua_sethook(L, hook, LUA_MASKCOUNT, RETRY_INSTRUCTIONS);
}

/* Called from inside an allocation: only the hook is armed; it looks at the next instruction. */
void weir_preempt_over_memory(weir_memory *memory) {
  weir_scheduler *s = memory->listener;
  if (s->current) weir_preempt_arm(s->current);
  else memory->told = false;
}

static void tick(int signal_number, siginfo_t *info, void *context) {
  (void)signal_number;
  (void)context;
  weir_scheduler *s = info->si_value.sival_ptr;
  if (info->si_code != SI_TIMER || !s) return;
  s->ticks++;
  if (s->running) s->running->ticks++;
  lua_State *current = s->current;
  bool seed_decides = s->jitter || (s->seeded && !past_hard_limit(s));
  bool is_spent = s->resumes == s->resumes_seen && !seed_decides;
  /* Arming walks the stack: once, or a deep one would keep the processor from doing anything else. */
  if (current && is_spent && !lua_gethook(current)) weir_preempt_arm(current);
  s->resumes_seen = s->resumes;
}

void weir_preempt_start(weir_scheduler *s) {
  struct sigaction action = { .sa_flags = SA_RESTART | SA_SIGINFO };
  action.sa_sigaction = tick;
  sigaction(SIGURG, &action, NULL);
  struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG };
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  event.sigev_value.sival_ptr = s;
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &s->cpu_timer) != 0) return;
  s->has_cpu_timer = true;
  struct itimerspec every = { { 0, WEIR_TICK_MS * 1000000 }, { 0, WEIR_TICK_MS * 1000000 } };
  timer_settime(s->cpu_timer, 0, &every, NULL);
}

void weir_preempt_stop(weir_scheduler *s) {
  if (s->has_cpu_timer) timer_delete(s->cpu_timer);
  s->has_cpu_timer = false;
}
