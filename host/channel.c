/* channel.c - a ring of slots and two queues of waiting tasks. */
#include "channel.h"

void weir_channel_init(weir_channel *ch, uint32_t capacity, weir_on_full on_full) {
  *ch = (weir_channel){ .capacity = capacity, .on_full = on_full };
}

void weir_channel_close(weir_channel *ch) {
  if (ch->closed) return;
  ch->closed = true;
  weir_queue_wake_all(&ch->receivers);
  weir_queue_wake_all(&ch->senders);
}

static uint32_t drop_oldest(weir_channel *ch) {
  uint32_t slot = ch->head;
  ch->head = (ch->head + 1) % ch->capacity;
  ch->dropped++;
  return slot;
}

static uint32_t drop_all_but_one_slot(weir_channel *ch) {
  ch->dropped += ch->count;
  ch->count = 1;
  return ch->head;
}

weir_status weir_channel_claim(weir_channel *ch, uint32_t *slot) {
  if (ch->closed) return WEIR_CLOSED;
  if (ch->count < ch->capacity) {
    uint32_t free_slot = ch->head + ch->count++;
    *slot = free_slot < ch->capacity ? free_slot : free_slot - ch->capacity;
  } else if (ch->on_full == WEIR_ON_FULL_DROP_OLDEST) {
    *slot = drop_oldest(ch);
  } else if (ch->on_full == WEIR_ON_FULL_LATEST) {
    *slot = drop_all_but_one_slot(ch);
  } else if (ch->on_full == WEIR_ON_FULL_DROP_NEWEST) {
    ch->dropped++;
    return WEIR_EMPTY;
  } else {
    return WEIR_FULL;
  }
  ch->accepted++;
  if (ch->receivers.first) weir_queue_wake_first(&ch->receivers);
  return WEIR_OK;
}

weir_status weir_channel_release(weir_channel *ch, uint32_t *slot) {
  if (ch->count == 0) return ch->closed ? WEIR_CLOSED : WEIR_EMPTY;
  *slot = ch->head;
  ch->head = ch->head + 1 == ch->capacity ? 0 : ch->head + 1;
  ch->count--;
  if (ch->senders.first) weir_queue_wake_first(&ch->senders);
  return WEIR_OK;
}

void weir_channel_pass_on(weir_channel *ch) {
  if (ch->count > 0) weir_queue_wake_first(&ch->receivers);
  if (ch->count < ch->capacity) weir_queue_wake_first(&ch->senders);
}
