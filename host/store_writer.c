/* store_writer.c - the queue, the thread that empties it, and the clients who fill it.
 *
 * The writer takes all that is queued and commits it at once, so the more hosts and tasks wait, the
 * fewer syncs each costs. After a commit of a single request it spins for a moment before it sleeps: a
 * lone run that appends one entry after the other would pay a wake-up for each. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_internal.h"

#define SPIN_NS 20000
#define SECOND_NS 1000000000

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static bool is_queued(weir_store *store) {
  return atomic_load_explicit(&store->queue, memory_order_acquire) != NULL;
}

static void spin(weir_store *store) {
  uint64_t until_ns = weir_nanoseconds() + SPIN_NS;
  while (!is_queued(store) && weir_nanoseconds() < until_ns) pause_briefly();
}

/* Sleep until something is queued or it is time for housekeeping. The queue is locked. */
static void sleep_a_while(weir_store *store) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t)(store->options.housekeeping_ns / SECOND_NS);
  until.tv_nsec += (long)(store->options.housekeeping_ns % SECOND_NS);
  if (until.tv_nsec >= SECOND_NS) {
    until.tv_sec++;
    until.tv_nsec -= SECOND_NS;
  }
  store->writer_sleeps = true;
  int rc = 0;
  while (!is_queued(store) && !store->stopping && rc != ETIMEDOUT)
    rc = pthread_cond_timedwait(&store->queue_ready, &store->queue_lock, &until);
  store->writer_sleeps = false;
}

/* All that is queued, up to what one transaction should hold; the rest stays. */
static weir_batch *take(weir_store *store) {
  pthread_mutex_lock(&store->queue_lock);
  if (!is_queued(store) && !store->stopping) sleep_a_while(store);
  weir_batch *first = atomic_load(&store->queue), *last = first;
  size_t bytes = first == NULL ? 0 : first->bytes.size;
  while (last != NULL && last->next != NULL && bytes + last->next->bytes.size <= WEIR_BATCH_BYTES) {
    last = last->next;
    bytes += last->bytes.size;
  }
  atomic_store_explicit(&store->queue, last == NULL ? NULL : last->next, memory_order_release);
  if (last != NULL) last->next = NULL;
  pthread_mutex_unlock(&store->queue_lock);
  return first;
}

/* Hand each batch back to its client. A client may be freed as soon as its last batch is done. */
void weir_give_back(weir_batch *first) {
  while (first != NULL) {
    weir_batch *batch = first;
    weir_client *client = batch->client;
    first = batch->next;
    batch->next = NULL;
    pthread_mutex_lock(&client->lock);
    if (client->done_last != NULL)
      client->done_last->next = batch;
    else
      client->done = batch;
    client->done_last = batch;
    client->wake(client->context);
    if (--client->unfinished == 0) pthread_cond_signal(&client->idle);
    pthread_mutex_unlock(&client->lock);
  }
}

static void housekeep(weir_store *store) {
  if (weir_store_failure(store) != NULL) return;
  weir_readers_clear(store);
  pthread_mutex_lock(&store->commit);
  if (!store->has_reserve) weir_reserve_make(store);
  pthread_mutex_unlock(&store->commit);
}

static uint64_t entries_of(const weir_batch *first) {
  uint64_t sum = 0;
  for (; first != NULL; first = first->next)
    for (uint32_t i = 0; i < first->ops; i++) sum += first->op[i].kind == WEIR_OP_ENTRY;
  return sum;
}

static uint64_t entries_so_far(weir_store *store) {
  pthread_mutex_lock(&store->heads_lock);
  uint64_t entries = store->stats.entries;
  pthread_mutex_unlock(&store->heads_lock);
  return entries;
}

static void handle(weir_store *store, weir_batch *first) {
  uint64_t before = weir_failpoints_on() ? entries_so_far(store) : 0,
           entries = weir_failpoints_on() ? entries_of(first) : 0;
  weir_failpoint("writer_taken", before, before + entries);
  pthread_mutex_lock(&store->commit);
  weir_commit(store, first);
  pthread_mutex_unlock(&store->commit);
  if (weir_defect("ack_before_commit"))
    weir_free_batches(first); /* the clients have theirs */
  else
    weir_give_back(first);
  weir_failpoint("after_ack_queued", before, before + entries);
}

static void *run_writer(void *argument) {
  weir_store *store = argument;
  bool lone = false;
  uint64_t kept_ns = weir_nanoseconds();
  for (;;) {
    if (lone) spin(store);
    weir_batch *first = take(store);
    lone = first != NULL && first->next == NULL && first->requests == 1;
    if (first != NULL)
      handle(store, first);
    else if (store->stopping)
      return NULL;
    if (weir_nanoseconds() - kept_ns < (uint64_t)store->options.housekeeping_ns) continue;
    housekeep(store);
    kept_ns = weir_nanoseconds();
  }
}

bool weir_writer_start(weir_store *store) {
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  store->has_writer = pthread_create(&store->writer, NULL, run_writer, store) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return store->has_writer;
}

void weir_writer_stop(weir_store *store) {
  if (!store->has_writer) return;
  pthread_mutex_lock(&store->queue_lock);
  store->stopping = true;
  pthread_cond_signal(&store->queue_ready);
  pthread_mutex_unlock(&store->queue_lock);
  pthread_join(store->writer, NULL);
  store->has_writer = false;
}

void weir_writer_submit(weir_store *store, weir_batch *batch) {
  pthread_mutex_lock(&store->queue_lock);
  batch->next = NULL;
  if (is_queued(store))
    store->queue_last->next = batch;
  else
    atomic_store_explicit(&store->queue, batch, memory_order_release);
  store->queue_last = batch;
  bool sleeps = store->writer_sleeps;
  pthread_mutex_unlock(&store->queue_lock);
  if (sleeps) pthread_cond_signal(&store->queue_ready);
}
