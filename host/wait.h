/* wait.h - one wait of one task, and queues of tasks that wait for the same thing.
 *
 * A wait is a member of whatever the task waits for. A wake is a hint to look again, not a hand-over:
 * values stay where they are until the woken task takes them, so none can be lost on the way.
 * Host thread only. Nothing here allocates or raises. */
#ifndef WEIR_WAIT_H
#define WEIR_WAIT_H
#include "status.h"

typedef struct weir_task weir_task;

typedef struct weir_wait weir_wait;
struct weir_wait {
  weir_task *task;                  /* who waits; NULL: nobody. Set and cleared by the scheduler, as the next */
  void (*wake)(weir_wait *wait);
  void (*abandon)(weir_wait *wait); /* called when the wait ended without a wake (cancelled, deadline):
                                       forget the wait. Must not raise. May be NULL */
  void (*lost)(weir_wait *wait);    /* called when the task was woken and then terminated before it could
                                       look: pass the wake on. Must not raise. May be NULL */
};

/* End a wait: its task becomes ready. Nothing happens when nobody waits. */
void weir_wait_wake(weir_wait *wait);

/* A place in a queue. A select holds one node in each of several queues. */
typedef struct weir_node weir_node;
typedef struct {
  weir_node *first, *last;
} weir_queue;
struct weir_node {
  weir_wait *wait;
  weir_queue *queue; /* where it stands, or stood last */
  weir_node *next, *previous;
  bool is_in;
};

void weir_queue_join(weir_queue *queue, weir_node *node, weir_wait *wait); /* at the end */
void weir_queue_leave(weir_node *node);                                    /* idempotent */
bool weir_queue_wake_first(weir_queue *queue); /* take out the first node and wake it; false: empty */
void weir_queue_wake_all(weir_queue *queue);
#endif
