/* wait.c - queues of waiting tasks. */
#include "wait.h"

void weir_wait_wake(weir_wait *wait) {
  if (wait->task) wait->wake(wait);
}

void weir_queue_join(weir_queue *queue, weir_node *node, weir_wait *wait) {
  node->wait = wait;
  node->queue = queue;
  node->is_in = true;
  node->next = NULL;
  node->previous = queue->last;
  if (queue->last) queue->last->next = node;
  else queue->first = node;
  queue->last = node;
}

void weir_queue_leave(weir_node *node) {
  weir_queue *queue = node->queue;
  if (!node->is_in) return;
  if (node->next) node->next->previous = node->previous;
  else queue->last = node->previous;
  if (node->previous) node->previous->next = node->next;
  else queue->first = node->next;
  node->is_in = false;
}

bool weir_queue_wake_first(weir_queue *queue) {
  weir_node *node = queue->first;
  if (!node) return false;
  weir_queue_leave(node);
  weir_wait_wake(node->wait);
  return true;
}

void weir_queue_wake_all(weir_queue *queue) {
  while (weir_queue_wake_first(queue)) {}
}
