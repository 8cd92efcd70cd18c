/* memory_test.c - blocks keep their contents, accounts add up, limits are told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

#define BLOCKS 400
#define ANY_KIND 5 /* what Lua passes as the old size of a new block */
#define EXIT_OUT_OF_MEMORY 75

typedef struct {
  unsigned char *bytes, mark;
  size_t size;
} block;

static void check(const block *b) {
  for (size_t i = 0; i < b->size; i++) assert_int_equal(b->mark, b->bytes[i]);
}

static void resize(weir_memory *memory, block *b, size_t size) {
  check(b);
  size_t kept = b->size < size ? b->size : size;
  b->bytes = weir_memory_allocate(memory, b->bytes, b->bytes ? b->size : ANY_KIND, size);
  if (size == 0) assert_null(b->bytes);
  else assert_non_null(b->bytes);
  assert_int_equal(0, (uintptr_t)b->bytes % 16);
  b->size = size;
  if (!b->bytes) return;
  for (size_t i = 0; i < kept; i++) assert_int_equal(b->mark, b->bytes[i]);
  memset(b->bytes, b->mark, size);
}

static void blocks_keep_what_is_in_them_through_any_sizes(void **unused) {
  (void)unused;
  weir_memory memory;
  block blocks[BLOCKS] = { { 0 } };
  weir_memory_init(&memory, INT64_MAX / 2, INT64_MAX / 2);
  srand(7);
  int64_t sum = 0;
  for (int step = 0; step < 40000; step++) {
    block *b = &blocks[rand() % BLOCKS];
    if (!b->bytes) b->mark = (unsigned char)rand();
    size_t size = rand() % 4 == 0 ? 0 : (size_t)(rand() % (rand() % 8 == 0 ? 5000 : 600));
    sum += (int64_t)size - (int64_t)b->size;
    resize(&memory, b, size);
    assert_true(memory.used_bytes == sum);
    assert_true(memory.host_account == sum);
  }
  for (int i = 0; i < BLOCKS; i++) resize(&memory, &blocks[i], 0);
  assert_true(memory.used_bytes == 0);
  weir_memory_free(&memory);
}

static void a_small_block_is_used_again(void **unused) {
  (void)unused;
  weir_memory memory;
  weir_memory_init(&memory, INT64_MAX / 2, INT64_MAX / 2);
  for (int i = 0; i < 1000000; i++) {
    void *bytes = weir_memory_allocate(&memory, NULL, ANY_KIND, 48);
    weir_memory_allocate(&memory, bytes, 48, 0);
  }
  assert_true(memory.used_bytes == 0);
  weir_memory_free(&memory);
}

static void nothing_is_allocated_for_nothing(void **unused) {
  (void)unused;
  weir_memory memory;
  weir_memory_init(&memory, 1000, 1000);
  assert_null(weir_memory_allocate(&memory, NULL, ANY_KIND, 0));
  assert_null(weir_memory_allocate(&memory, NULL, 0, 0));
  assert_true(memory.used_bytes == 0);
  weir_memory_free(&memory);
}

static void growth_is_charged_to_the_account_of_the_moment(void **unused) {
  (void)unused;
  weir_memory memory;
  int64_t first = 0, second = 0;
  weir_memory_init(&memory, INT64_MAX / 2, INT64_MAX / 2);
  memory.account = &first;
  void *bytes = weir_memory_allocate(&memory, NULL, ANY_KIND, 1000);
  memory.account = &second;
  bytes = weir_memory_allocate(&memory, bytes, 1000, 3000);
  assert_true(first == 1000);
  assert_true(second == 2000);
  weir_memory_allocate(&memory, bytes, 3000, 0);
  assert_true(second == -1000); /* garbage is charged to whoever runs when it goes */
  assert_true(memory.used_bytes == 0);
  weir_memory_free(&memory);
}

static void count_call(weir_memory *memory) { ++*(int *)memory->listener; }

static void a_limit_is_told_of_once_until_it_was_heard(void **unused) {
  (void)unused;
  weir_memory memory;
  int calls = 0;
  weir_memory_init(&memory, 100000, 1000);
  memory.over = count_call;
  memory.listener = &calls;
  void *small = weir_memory_allocate(&memory, NULL, ANY_KIND, 1000);
  assert_int_equal(0, calls);
  void *more = weir_memory_allocate(&memory, NULL, ANY_KIND, 1);
  assert_int_equal(1, calls);
  void *again = weir_memory_allocate(&memory, NULL, ANY_KIND, 1);
  assert_int_equal(1, calls);
  memory.told = false;
  again = weir_memory_allocate(&memory, again, 1, 2);
  assert_int_equal(2, calls);
  memory.told = false;
  again = weir_memory_allocate(&memory, again, 2, 1); /* shrinking tells nobody */
  assert_int_equal(2, calls);
  weir_memory_allocate(&memory, small, 1000, 0);
  weir_memory_allocate(&memory, more, 1, 0);
  weir_memory_allocate(&memory, again, 1, 0);
  weir_memory_free(&memory);
}

static void the_limit_of_the_state_counts_all_accounts(void **unused) {
  (void)unused;
  weir_memory memory;
  int calls = 0;
  int64_t accounts[4] = { 0 };
  void *bytes[4];
  weir_memory_init(&memory, 3000, 2000);
  memory.over = count_call;
  memory.listener = &calls;
  for (int i = 0; i < 4; i++) {
    memory.account = &accounts[i];
    bytes[i] = weir_memory_allocate(&memory, NULL, ANY_KIND, 1000);
    assert_int_equal(i == 3, calls);
  }
  for (int i = 0; i < 4; i++) weir_memory_allocate(&memory, bytes[i], 1000, 0);
  weir_memory_free(&memory);
}

static int exit_status_after(size_t bytes, bool was_told) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    weir_memory memory;
    weir_memory_init(&memory, 1000, 1000);
    memory.told = was_told;
    if (!freopen("/dev/null", "w", stderr)) _exit(1);
    weir_memory_allocate(&memory, NULL, ANY_KIND, bytes);
    _exit(0);
  }
  assert_int_equal(child, waitpid(child, &status, 0));
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void far_past_the_limit_the_process_ends_with_75(void **unused) {
  (void)unused;
  assert_int_equal(0, exit_status_after(1500, false));
  assert_int_equal(EXIT_OUT_OF_MEMORY, exit_status_after(1501, false));
  assert_int_equal(EXIT_OUT_OF_MEMORY, exit_status_after(1501, true)); /* told, and nobody has done anything */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(blocks_keep_what_is_in_them_through_any_sizes),
    cmocka_unit_test(a_small_block_is_used_again),
    cmocka_unit_test(nothing_is_allocated_for_nothing),
    cmocka_unit_test(growth_is_charged_to_the_account_of_the_moment),
    cmocka_unit_test(a_limit_is_told_of_once_until_it_was_heard),
    cmocka_unit_test(the_limit_of_the_state_counts_all_accounts),
    cmocka_unit_test(far_past_the_limit_the_process_ends_with_75),
  };
  return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
