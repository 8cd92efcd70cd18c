/* channel.h - bounded first-in first-out queue between the tasks of one host.
 *
 * Decides which slot a value goes into and who is woken; whoever embeds it keeps the values.
 * open -> closed -> drained: a closed channel refuses new values and still hands out those it holds, so
 * an accepted value is never lost. What happens to a value when the channel is full is its policy.
 * Host thread only. Nothing here allocates, blocks or raises. */
#ifndef WEIR_CHANNEL_H
#define WEIR_CHANNEL_H
#include "wait.h"

typedef enum {
  WEIR_ON_FULL_WAIT,        /* claim says FULL: the sender waits or is refused */
  WEIR_ON_FULL_DROP_OLDEST, /* the oldest value makes room */
  WEIR_ON_FULL_DROP_NEWEST, /* the new value is dropped */
  WEIR_ON_FULL_LATEST,      /* all values give way to the new one */
} weir_on_full;

typedef struct {
  uint32_t capacity; /* slots, >= 1, fixed at init */
  uint32_t count;    /* slots in use, 0..capacity */
  uint32_t head;     /* slot of the oldest value, 0..capacity-1 */
  weir_on_full on_full;
  bool closed;
  uint64_t accepted, dropped; /* values since init */
  weir_queue senders, receivers;
} weir_channel;

void weir_channel_init(weir_channel *ch, uint32_t capacity, weir_on_full on_full);
void weir_channel_close(weir_channel *ch); /* idempotent; wakes everybody */

/* Take the slot for a new value. *slot is written on OK only. FULL may pass (by policy wait), CLOSED is
 * final, EMPTY means that the policy dropped the value. Wakes a receiver. */
weir_status weir_channel_claim(weir_channel *ch, uint32_t *slot);

/* Free the slot of the oldest value. EMPTY may pass, CLOSED is final. Wakes a sender. */
weir_status weir_channel_release(weir_channel *ch, uint32_t *slot);

/* After a select that was woken took its value elsewhere: let somebody else look here. */
void weir_channel_pass_on(weir_channel *ch);
#endif
