/* lane.c - rings of queues with credits. */
#include "lane.h"

#include <stdlib.h>

#define QUANTUM 16   /* credit of a turn */
#define DEBT_MAX 512 /* so that nobody waits for more than DEBT_MAX / QUANTUM rounds */

/* Tenants */

static weir_tenant **bucket_of(weir_lanes *lanes, uint64_t key) {
  return &lanes->tenants[key % WEIR_TENANT_BUCKETS];
}

weir_tenant *weir_tenant_hold(weir_lanes *lanes, uint64_t key) {
  if (key == 0) return &lanes->usual;
  weir_tenant **bucket = bucket_of(lanes, key), *tenant = *bucket;
  while (tenant && tenant->key != key) tenant = tenant->next;
  if (!tenant) {
    tenant = calloc(1, sizeof *tenant);
    if (!tenant) return NULL;
    tenant->key = key;
    tenant->next = *bucket;
    *bucket = tenant;
  }
  tenant->references++;
  return tenant;
}

static void leave_ring(weir_lane *lane, weir_flow *flow) {
  if (!flow->in_ring) return;
  flow->next->previous = flow->previous;
  flow->previous->next = flow->next;
  if (lane->current == flow) lane->current = flow->next == flow ? NULL : flow->next;
  flow->in_ring = false;
  lane->flows--;
}

void weir_tenant_release(weir_lanes *lanes, weir_tenant *tenant) {
  if (tenant == &lanes->usual || --tenant->references > 0) return;
  for (int i = 0; i < WEIR_LANES; i++) leave_ring(&lanes->lane[i], &tenant->flow[i]);
  weir_tenant **at = bucket_of(lanes, tenant->key);
  while (*at != tenant) at = &(*at)->next;
  *at = tenant->next;
  free(tenant);
}

void weir_lanes_free(weir_lanes *lanes) {
  for (int i = 0; i < WEIR_TENANT_BUCKETS; i++)
    for (weir_tenant *tenant = lanes->tenants[i], *next; tenant; tenant = next) {
      next = tenant->next;
      free(tenant);
    }
}

/* Rings */

static void enter_ring(weir_lane *lane, weir_flow *flow) {
  if (flow->in_ring) return;
  if (!lane->current) {
    lane->current = flow->next = flow->previous = flow;
  } else { /* behind all others: before the one whose turn it is */
    flow->next = lane->current;
    flow->previous = lane->current->previous;
    flow->previous->next = flow->next->previous = flow;
  }
  flow->in_ring = true;
  lane->flows++;
}

/* Nobody is ready: there is nobody to be fair to. */
static void forget_debts(weir_lane *lane) {
  while (lane->current) {
    lane->current->credit = 0;
    leave_ring(lane, lane->current);
  }
}

void weir_lanes_push(weir_lanes *lanes, weir_tenant *tenant, int lane, weir_ready *ready) {
  weir_flow *flow = &tenant->flow[lane];
  ready->next = NULL;
  ready->previous = flow->last;
  if (flow->last) flow->last->next = ready;
  else flow->first = ready;
  flow->last = ready;
  enter_ring(&lanes->lane[lane], flow);
  lanes->lane[lane].count++;
  lanes->count++;
}

void weir_lanes_remove(weir_lanes *lanes, weir_tenant *tenant, int lane, weir_ready *ready) {
  weir_flow *flow = &tenant->flow[lane];
  if (ready->next) ready->next->previous = ready->previous;
  else flow->last = ready->previous;
  if (ready->previous) ready->previous->next = ready->next;
  else flow->first = ready->next;
  ready->next = ready->previous = NULL;
  lanes->count--;
  if (--lanes->lane[lane].count == 0) forget_debts(&lanes->lane[lane]);
}

/* Whose turn is next. */
static weir_flow *end_turn(weir_lane *lane) {
  weir_flow *flow = lane->current;
  lane->current = flow->next;
  flow->credit += QUANTUM;
  if (flow->credit > QUANTUM) flow->credit = QUANTUM;
  if (!flow->first && flow->credit >= 0) leave_ring(lane, flow);
  return lane->current;
}

weir_ready *weir_lanes_first(weir_lanes *lanes, int lane) {
  weir_lane *of = &lanes->lane[lane];
  weir_flow *flow = of->current;
  if (of->flows > 1)
    while (flow && (!flow->first || flow->credit <= 0)) flow = end_turn(of);
  return flow ? flow->first : NULL;
}

weir_ready *weir_lanes_at(weir_lanes *lanes, uint64_t index) {
  for (int i = 0; i < WEIR_LANES; i++) {
    const weir_flow *flow = lanes->lane[i].current;
    for (uint32_t n = 0; n < lanes->lane[i].flows; n++, flow = flow->next)
      for (weir_ready *ready = flow->first; ready; ready = ready->next)
        if (index-- == 0) return ready;
  }
  return NULL;
}

void weir_tenant_charge(weir_lanes *lanes, weir_tenant *tenant, int lane, uint32_t cost) {
  weir_flow *flow = &tenant->flow[lane];
  bool is_alone = lanes->lane[lane].flows == (flow->in_ring ? 1 : 0);
  int64_t left = is_alone ? 0 : (int64_t)flow->credit - cost;
  flow->credit = left < -DEBT_MAX ? -DEBT_MAX : (int32_t)left;
}
