/* scheduler.c - lanes, scopes, cancelling, time and the loop. */
#include "scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "task.h"

#define TURN_MAX 1024    /* tasks resumed before the loop looks outside */
#define POLL_EVERY 32    /* turns with few tasks in them: look outside this often */
#define LOWER_LANE_EVERY 8
#define COST_OF_TICK 256 /* what a tick of work is worth in turns that take none */
#define LONGEST_POLL_MS 3600000
#define LONGEST_POLL_NS (LONGEST_POLL_MS * 1000000LL)
#define REAL_WAIT_NS 1000000 /* less is the loop's own work */
#define SPINS_FREE 20          /* slices in a row before virtual time passes: 0.2 s of work */
#define DRAWN_SPINS_FREE 1000  /* the same where a seed draws the slices */
#define INSTRUCTION_NS 10

/* Time */

int64_t weir_scheduler_now(weir_scheduler *scheduler) {
  return scheduler->is_virtual ? scheduler->virtual_ns : (int64_t)uv_hrtime();
}

int64_t weir_scheduler_wall_ms(weir_scheduler *scheduler) {
  if (scheduler->is_virtual)
    return scheduler->virtual_wall_ms + scheduler->virtual_ns / 1000000;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool weir_scheduler_is_virtual(weir_scheduler *scheduler) { return scheduler->is_virtual; }

/* splitmix64 of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. */
uint64_t weir_scheduler_draw(weir_scheduler *scheduler) {
  uint64_t z = scheduler->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* Lanes */

void weir_task_ready(weir_task *task) {
  weir_scheduler *s = task->scheduler;
  task->state = WEIR_READY;
  weir_lanes_push(&s->lanes, task->tenant, task->lane, &task->ready);
  if (atomic_load_explicit(&s->polling, memory_order_relaxed)) uv_stop(weir_host_loop(s->host)); /* do not go on to sleep */
}

static void unready(weir_task *task) {
  weir_lanes_remove(&task->scheduler->lanes, task->tenant, task->lane, &task->ready);
}

void weir_task_change_lane(weir_task *task, uint8_t lane) {
  unready(task);
  task->lane = lane;
  weir_task_ready(task);
}

void weir_task_change_tenant(weir_task *task, uint64_t key) {
  weir_lanes *lanes = &task->scheduler->lanes;
  weir_tenant *tenant = weir_tenant_hold(lanes, key);
  if (!tenant) return;
  unready(task);
  weir_tenant_release(lanes, task->tenant);
  task->tenant = tenant;
  weir_task_ready(task);
}

static weir_task *task_of(weir_ready *ready) {
  return ready ? WEIR_CONTAINER(ready, weir_task, ready) : NULL;
}

/* The first of the highest lane; now and then of the lowest, so that no lane starves. */
static weir_task *next_ready(weir_scheduler *s) {
  if (s->lanes.count == 0) return NULL;
  if (s->seeded) return task_of(weir_lanes_at(&s->lanes, weir_scheduler_draw(s) % s->lanes.count));
  bool from_below = ++s->picks % LOWER_LANE_EVERY == 0;
  for (int i = 0; i < WEIR_LANES; i++) {
    weir_ready *ready = weir_lanes_first(&s->lanes, from_below ? WEIR_LANES - 1 - i : i);
    if (ready) return task_of(ready);
  }
  return NULL;
}

/* Waits */

static void end_wait(weir_task *task, weir_status outcome) {
  task->wait->task = NULL;
  task->woken = outcome == WEIR_OK ? task->wait : NULL;
  task->wait = NULL;
  task->outcome = outcome;
  task->preempted = false;
  weir_heap_clear(&task->scheduler->timers, &task->timer);
  weir_task_ready(task);
}

static void wake(weir_wait *wait) { end_wait(wait->task, WEIR_OK); }

static void give_up_wait(weir_task *task, weir_status outcome) {
  weir_wait *wait = task->wait;
  end_wait(task, outcome);
  if (wait->abandon) wait->abandon(wait);
}

static void wait_is_over(weir_timer *timer) {
  give_up_wait(WEIR_CONTAINER(timer, weir_task, timer), WEIR_TIMEOUT);
}

void weir_task_begin_wait(weir_task *task, weir_wait *wait, const char *what, int64_t deadline_ns) {
  task->wait = wait;
  wait->task = task;
  wait->wake = wake;
  task->what = what;
  task->state = WEIR_WAITING;
  if (deadline_ns == WEIR_NO_DEADLINE) return;
  task->timer.fire = wait_is_over;
  weir_heap_set(&task->scheduler->timers, &task->timer, deadline_ns);
}

/* Scopes */

static void cancel_is_due(weir_timer *timer);

void weir_scope_open(weir_scope *scope, weir_task *owner, int64_t deadline_ns, bool shielded) {
  weir_scheduler *s = owner->scheduler;
  *scope = (weir_scope){ .scheduler = s, .parent = owner->scope, .owner = owner, .shielded = shielded };
  scope->sibling_next = scope->parent->child;
  if (scope->sibling_next) scope->sibling_next->sibling_previous = scope;
  scope->parent->child = scope;
  owner->scope = scope;
  owner->open_scopes++;
  scope->timer.fire = cancel_is_due;
  if (deadline_ns != WEIR_NO_DEADLINE) weir_heap_set(&s->timers, &scope->timer, deadline_ns);
}

/* From the innermost scope outwards: through those the task opened, past its own cancellation into its
 * home, on to the task that opened that, and so to the root. A shield stops the search. */
weir_status weir_task_cancelled(const weir_task *task, const char **reason) {
  if (task->scheduler->cancellations == 0) return WEIR_OK;
  const weir_task *who = task;
  for (const weir_scope *scope = task->scope; scope; scope = scope->parent) {
    if (who && scope->owner != who) {
      *reason = who->reason;
      if (who->cancelled) return who->cancelled;
      who = scope->owner;
    }
    *reason = scope->reason;
    if (scope->cancelled) return scope->cancelled;
    if (scope->shielded) return WEIR_OK;
  }
  return WEIR_OK;
}

static void interrupt(weir_task *task) {
  const char *reason;
  if (task->state != WEIR_WAITING || task->steadfast) return;
  if (weir_task_cancelled(task, &reason)) give_up_wait(task, WEIR_CANCELLED);
}

static void interrupt_tree(weir_scope *scope) {
  for (weir_task *task = scope->tasks; task; task = task->sibling_next) interrupt(task);
  if (scope->owner) interrupt(scope->owner);
  for (weir_scope *child = scope->child; child; child = child->sibling_next)
    if (!child->shielded) interrupt_tree(child);
}

static char *copy(const char *text) { return text ? strdup(text) : NULL; }

static void kill_tree(weir_scope *scope) {
  for (weir_scope *child = scope->child, *next; child; child = next) {
    next = child->sibling_next;
    kill_tree(child);
  }
  for (weir_task *task = scope->tasks, *next; task; task = next) {
    next = task->sibling_next;
    if (task->state != WEIR_RUNNING) task->scheduler->kill(task);
  }
}

static void grace_is_over(weir_timer *timer) { kill_tree(WEIR_CONTAINER(timer, weir_scope, timer)); }

void weir_scope_cancel(weir_scope *scope, weir_status code, const char *reason) {
  if (scope->cancelled || scope->closed) return;
  weir_scheduler *s = scope->scheduler;
  scope->cancelled = code;
  scope->reason = copy(reason);
  s->cancellations++;
  scope->timer.fire = grace_is_over;
  weir_heap_set(&s->timers, &scope->timer, weir_scheduler_now(s) + WEIR_GRACE_NS);
  interrupt_tree(scope);
}

static void cancel_is_due(weir_timer *timer) {
  weir_scope_cancel(WEIR_CONTAINER(timer, weir_scope, timer), WEIR_TIMEOUT, "the deadline passed");
}

static void last_grace_is_over(weir_timer *timer) {
  weir_task *task = WEIR_CONTAINER(timer, weir_task, grace);
  task->scheduler->kill(task);
}

void weir_task_cancel(weir_task *task, weir_status code, const char *reason) {
  weir_scheduler *s = task->scheduler;
  if (task->cancelled || task->state == WEIR_DONE) return;
  task->cancelled = code;
  task->reason = copy(reason);
  s->cancellations++;
  task->grace.fire = last_grace_is_over;
  weir_heap_set(&s->timers, &task->grace, weir_scheduler_now(s) + WEIR_GRACE_NS);
  interrupt(task);
  for (weir_scope *scope = task->scope; scope != task->home; scope = scope->parent) interrupt_tree(scope);
}

void weir_scope_close(weir_scope *scope) {
  if (scope->closed) return;
  weir_scheduler *s = scope->scheduler;
  scope->closed = true;
  weir_heap_clear(&s->timers, &scope->timer);
  if (scope->cancelled) s->cancellations--;
  free(scope->reason);
  scope->reason = NULL;
  if (scope->sibling_next) scope->sibling_next->sibling_previous = scope->sibling_previous;
  if (scope->sibling_previous) scope->sibling_previous->sibling_next = scope->sibling_next;
  else if (scope->parent) scope->parent->child = scope->sibling_next;
  if (!scope->owner) return;
  scope->owner->scope = scope->parent;
  scope->owner->open_scopes--;
}

void weir_task_withdraw(weir_task *task) {
  if (task->wait) give_up_wait(task, WEIR_CANCELLED);
  else if (task->woken && task->woken->lost) task->woken->lost(task->woken);
  task->woken = NULL;
  if (task->state == WEIR_READY) unready(task);
  task->state = WEIR_RUNNING;
}

void weir_task_leave(weir_task *task) {
  weir_scope *home = task->home;
  if (task->sibling_next) task->sibling_next->sibling_previous = task->sibling_previous;
  if (task->sibling_previous) task->sibling_previous->sibling_next = task->sibling_next;
  else home->tasks = task->sibling_next;
  if (task->cancelled) task->scheduler->cancellations--;
  weir_heap_clear(&task->scheduler->timers, &task->grace);
  weir_tenant_release(&task->scheduler->lanes, task->tenant);
  task->tenant = NULL;
  task->state = WEIR_DONE;
  weir_queue_wake_all(&task->joiners);
  if (--home->task_count == 0) weir_queue_wake_all(&home->joiners);
}

/* Elsewhere and turns */

void weir_external_begin(weir_scheduler *scheduler) { scheduler->external++; }
void weir_external_end(weir_scheduler *scheduler) { scheduler->external--; }

void weir_scheduler_at_turn_end(weir_scheduler *scheduler, weir_turn *turn) {
  if (turn->queued) return;
  turn->queued = true;
  turn->next = NULL;
  if (scheduler->turn_last) scheduler->turn_last->next = turn;
  else scheduler->turn_first = turn;
  scheduler->turn_last = turn;
}

static void end_turn(weir_scheduler *s) {
  while (s->turn_first) {
    weir_turn *turn = s->turn_first;
    s->turn_first = turn->next;
    if (!s->turn_first) s->turn_last = NULL;
    turn->queued = false;
    turn->run(turn);
  }
}

/* The loop */

/* The tenant pays for the turn; the task may be gone after it. */
static void resume_and_charge(weir_scheduler *s, weir_task *task) {
  weir_tenant *tenant = task->tenant;
  uint8_t lane = task->lane;
  uint32_t ticks = s->ticks;
  tenant->references++;
  s->resume(task);
  weir_tenant_charge(&s->lanes, tenant, lane, 1 + (s->ticks - ticks) * COST_OF_TICK);
  weir_tenant_release(&s->lanes, tenant);
}

static void run_turn(weir_scheduler *s, const weir_task *until) {
  uint32_t most = s->lanes.count < TURN_MAX ? s->lanes.count : TURN_MAX;
  uint32_t ticks = s->ticks;
  for (uint32_t i = 0; i < most && until->state != WEIR_DONE; i++) {
    weir_task *task = next_ready(s);
    if (!task) break;
    unready(task);
    resume_and_charge(s, task);
    if (s->ticks != ticks && !s->is_virtual) break; /* a seed decides, not the processor's clock */
  }
  end_turn(s);
}

static void fire_due(weir_scheduler *s) {
  weir_timer *timer = weir_heap_first(&s->timers);
  if (!timer) return;
  int64_t now = weir_scheduler_now(s);
  for (; timer && timer->due_ns <= now; timer = weir_heap_first(&s->timers)) {
    weir_heap_clear(&s->timers, timer);
    timer->fire(timer);
  }
}

/* libuv 1.44 runs timers before it polls: one that is due by then must keep the loop from going to sleep. */
static void now_is_due(uv_timer_t *due) { uv_stop(due->loop); }

/* The loop's own timer repeats and is never stopped, and counts only here: a loop without an active handle
 * would not look at signals and the like at all. */
static void look_outside(weir_scheduler *s, uv_run_mode mode) {
  uv_ref((uv_handle_t *)&s->due);
  uv_run(weir_host_loop(s->host), mode);
  uv_unref((uv_handle_t *)&s->due);
}

/* Handles that somebody else keeps open: files, sockets, child processes. */
static bool outside_is_alive(weir_scheduler *s) {
  return uv_loop_alive(weir_host_loop(s->host)) || s->external > 0;
}

/* While somebody outside works, a virtual clock goes on with the real one. */
static void poll_until(weir_scheduler *s, int64_t due_ns) {
  int64_t left_ns = due_ns == INT64_MAX ? LONGEST_POLL_NS : due_ns - weir_scheduler_now(s);
  int64_t started_ns = (int64_t)uv_hrtime();
  uv_update_time(weir_host_loop(s->host));
  uv_timer_start(&s->due, now_is_due, left_ns <= 0 ? 0 : (uint64_t)(left_ns + 999999) / 1000000, LONGEST_POLL_MS);
  atomic_store(&s->polling, true);
  look_outside(s, UV_RUN_ONCE);
  atomic_store(&s->polling, false);
  int64_t waited_ns = (int64_t)uv_hrtime() - started_ns;
  if (s->is_virtual && waited_ns >= REAL_WAIT_NS) s->virtual_ns += waited_ns;
}

/* Wait outside until something happens or the first timer is due. False: nothing ever will. */
static bool wait_outside(weir_scheduler *s) {
  weir_timer *first = weir_heap_first(&s->timers);
  bool alive = outside_is_alive(s);
  if (s->is_virtual && alive) { /* a handle that is only about to be closed is nobody to wait for */
    look_outside(s, UV_RUN_NOWAIT);
    if (s->lanes.count > 0) return true;
    alive = outside_is_alive(s);
    first = weir_heap_first(&s->timers);
  }
  if (!alive && !first) return false;
  if (s->is_virtual && !alive) {
    if (first->due_ns > s->virtual_ns) s->virtual_ns = first->due_ns;
    return true;
  }
  poll_until(s, first ? first->due_ns : INT64_MAX);
  return true;
}

/* Virtual time stands still while anybody runs, so who never waits would hold it for ever. After a stretch
 * in which every task only used up its slices, time passes as the processor's does. */
static uint64_t let_spinning_take_time(weir_scheduler *s, uint64_t spins, uint64_t slices, unsigned long resumes) {
  if (!s->is_virtual || slices == 0 || slices != resumes) return 0;
  bool is_drawn = s->jitter > 0;
  if (spins > (is_drawn ? DRAWN_SPINS_FREE : SPINS_FREE))
    s->virtual_ns += (int64_t)slices * (is_drawn ? (int64_t)s->jitter * INSTRUCTION_NS / 2 : WEIR_TICK_MS * 2000000);
  return spins + slices;
}

weir_status weir_scheduler_run(weir_scheduler *s, weir_task *until) {
  uint32_t turns = 0, ticks = s->ticks;
  uint64_t spins = 0;
  while (until->state != WEIR_DONE) {
    uint64_t slices = s->preemptions;
    unsigned long resumes = s->resumes;
    atomic_fetch_add(&s->rounds, 1);
    run_turn(s, until);
    spins = let_spinning_take_time(s, spins, s->preemptions - slices, s->resumes - resumes);
    if (until->state == WEIR_DONE) break;
    fire_due(s);
    if (s->lanes.count == 0) {
      if (!wait_outside(s)) return WEIR_FAILED;
    } else if (++turns % POLL_EVERY == 0 || s->lanes.count >= POLL_EVERY || s->ticks != ticks) {
      look_outside(s, UV_RUN_NOWAIT);
    }
    ticks = s->ticks;
  }
  return WEIR_OK;
}

void weir_scheduler_init(weir_scheduler *s, weir_host *host, lua_State *L, weir_memory *memory) {
  *s = (weir_scheduler){ .host = host, .L = L, .memory = memory };
  s->root = (weir_scope){ .scheduler = s, .reports = true };
  uv_timer_init(weir_host_loop(host), &s->due);
  uv_timer_start(&s->due, now_is_due, LONGEST_POLL_MS, LONGEST_POLL_MS);
  uv_unref((uv_handle_t *)&s->due);
}

void weir_scheduler_drop_tasks(weir_scheduler *s) {
  for (uint32_t i = 0; i < s->slot_count; i++) {
    weir_task *task = s->slot_tasks[i];
    if (!task) continue;
    free(task->chain);
    free(task->reason);
    task->chain = NULL;
    task->reason = NULL;
  }
}

void weir_scheduler_free(weir_scheduler *s) {
  weir_lanes_free(&s->lanes);
  free(s->slot_tasks);
  free(s->slot_threads);
  free(s->free_slots);
  weir_heap_free(&s->timers);
}
