/* lane.h - who is ready to run, in lanes by priority; within a lane the tenants share fairly.
 *
 * A tenant is whoever has a key of its own; what has none belongs to the usual tenant. Each tenant has a
 * first-in first-out queue in each lane. They take turns by deficit round robin (Shreedhar and Varghese,
 * "Efficient Fair Queueing Using Deficit Round Robin", 1995), but what a turn costs is known only after
 * it: it is charged then, and a tenant in debt waits until its turns have paid. So who has ten thousand
 * tasks gets no more of the processor than who has one that is always ready.
 * Host thread only. */
#ifndef WEIR_LANE_H
#define WEIR_LANE_H
#include <stdbool.h>
#include <stdint.h>

#define WEIR_LANES 3

typedef struct weir_ready weir_ready; /* embedded in what is ready */
struct weir_ready {
  weir_ready *next, *previous;
};

typedef struct weir_flow weir_flow; /* of one tenant in one lane */
struct weir_flow {
  weir_ready *first, *last;
  weir_flow *next, *previous; /* in the ring of its lane, when it is in one */
  bool in_ring;
  int32_t credit; /* what it may use before the next one's turn; below 0: debt */
};

typedef struct weir_tenant weir_tenant;
struct weir_tenant {
  uint64_t key;
  uint32_t references;
  weir_tenant *next; /* in its bucket */
  weir_flow flow[WEIR_LANES];
};

typedef struct {
  weir_flow *current; /* of the ring; NULL: nobody */
  uint32_t flows;     /* in the ring, those in debt without anything ready too */
  uint32_t count;     /* ready */
} weir_lane;

#define WEIR_TENANT_BUCKETS 64

typedef struct {
  weir_lane lane[WEIR_LANES];
  weir_tenant usual;
  weir_tenant *tenants[WEIR_TENANT_BUCKETS]; /* by key */
  uint32_t count;                            /* ready, in all lanes */
} weir_lanes;

/* The tenant of a key, held once more; 0 is the usual one's. NULL: no memory. */
weir_tenant *weir_tenant_hold(weir_lanes *lanes, uint64_t key);
void weir_tenant_release(weir_lanes *lanes, weir_tenant *tenant);
void weir_lanes_free(weir_lanes *lanes); /* tenants that are still held, too */

void weir_lanes_push(weir_lanes *lanes, weir_tenant *tenant, int lane, weir_ready *ready);
void weir_lanes_remove(weir_lanes *lanes, weir_tenant *tenant, int lane, weir_ready *ready);
/* Whose turn it is in a lane; it stays there until it is removed. NULL: nobody. */
weir_ready *weir_lanes_first(weir_lanes *lanes, int lane);
/* The index-th of all that are ready, 0 first. NULL: there are not so many. */
weir_ready *weir_lanes_at(weir_lanes *lanes, uint64_t index);
/* After its turn: what it cost, 1 for the least. Who is alone owes nobody. */
void weir_tenant_charge(weir_lanes *lanes, weir_tenant *tenant, int lane, uint32_t cost);
#endif
