/* store_failpoint.c - ends the process at a chosen moment, as a crash would; only in test builds.
 *
 * WEIR_FAILPOINT=NAME:COUNT kills the process where NAME is passed with journal entry COUNT (from 1,
 * since the start) among what is handled there: writer_taken, before_commit, after_commit,
 * after_ack_queued. before_request and after_request are the moments of before_commit and after_commit,
 * with COUNT among all requests, also those without an entry. WEIR_DEFECT=ack_before_commit makes the writer acknowledge first and commit then,
 * so that a spec can show that it would be caught. */
#include "store_internal.h"

#ifdef WEIR_TEST
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void weir_failpoint(const char *name, uint64_t before, uint64_t after) {
  const char *wanted = getenv("WEIR_FAILPOINT");
  size_t size = strlen(name);
  if (wanted == NULL || strncmp(wanted, name, size) != 0 || wanted[size] != ':') return;
  uint64_t count = strtoull(wanted + size + 1, NULL, 10);
  if (count > before && count <= after) kill(getpid(), SIGKILL);
}

bool weir_defect(const char *name) {
  const char *wanted = getenv("WEIR_DEFECT");
  return wanted != NULL && strcmp(wanted, name) == 0;
}

static void *copy_of(const void *bytes, size_t size) {
  void *copy = malloc(size > 0 ? size : 1);
  if (copy == NULL) abort();
  return size > 0 ? memcpy(copy, bytes, size) : copy;
}

static weir_batch *copy_batch(const weir_batch *batch) {
  weir_batch *copy = copy_of(batch, sizeof *batch);
  copy->next = NULL;
  copy->op = copy_of(batch->op, batch->ops * sizeof *batch->op);
  copy->request = copy_of(batch->request, batch->requests * sizeof *batch->request);
  copy->op_capacity = batch->ops;
  copy->request_capacity = batch->requests;
  for (uint32_t i = 0; i < batch->requests; i++)
    if (batch->request[i].message != NULL) copy->request[i].message = strdup(batch->request[i].message);
  memset(&copy->bytes, 0, sizeof copy->bytes);
  weir_buffer_add(&copy->bytes, batch->bytes.bytes, batch->bytes.size);
  return copy;
}

void weir_acknowledge_early(const weir_batch *first) {
  for (; first != NULL; first = first->next) weir_give_back(copy_batch(first));
  nanosleep(&(struct timespec){ 0, 5000000 },
            NULL); /* as a slow disk would, so that the client goes on */
}
#else
typedef int weir_failpoints_are_left_out; /* C wants one declaration in a file */
#endif
