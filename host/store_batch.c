/* store_batch.c - the end of batches, which clients and the writer share. */
#include <stdlib.h>

#include "store_internal.h"

static void free_batch(weir_batch *batch) {
  for (uint32_t i = 0; i < batch->requests; i++) free(batch->request[i].message);
  free(batch->op);
  free(batch->request);
  weir_buffer_free(&batch->bytes);
  free(batch);
}

void weir_free_batches(weir_batch *batch) {
  for (weir_batch *next; batch != NULL; batch = next) {
    next = batch->next;
    free_batch(batch);
  }
}
