/* secret_test.c - values are found wherever they stand in a text, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "secret.h"

static weir_secrets *secrets;

static int open_secrets(void **unused) {
  (void)unused;
  secrets = weir_secrets_new();
  return secrets == NULL;
}

static int close_secrets(void **unused) {
  (void)unused;
  weir_secrets_free(secrets);
  return 0;
}

static weir_secret *add(const char *name, const char *value) {
  weir_secret *secret = weir_secret_of(secrets, name);
  assert_non_null(secret);
  assert_int_equal(WEIR_OK, weir_secret_set(secrets, secret, value, strlen(value)));
  return secret;
}

static void assert_redacted(const char *expected, const char *text) {
  weir_buffer out = { 0 };
  bool found = weir_secrets_redact(secrets, text, strlen(text), &out);
  assert_int_equal(found, weir_secrets_find(secrets, text, strlen(text)));
  if (!found) assert_int_equal(0, out.size);
  const char *shown = found ? (const char *)out.bytes : text;
  size_t size = found ? out.size : strlen(text);
  assert_int_equal(strlen(expected), size);
  assert_memory_equal(expected, shown, size);
  weir_buffer_free(&out);
}

static void a_secret_has_one_name_and_its_value(void **unused) {
  (void)unused;
  size_t size;
  weir_secret *secret = weir_secret_of(secrets, "A.b-c/d_1");
  assert_ptr_equal(secret, weir_secret_of(secrets, "A.b-c/d_1"));
  assert_string_equal("A.b-c/d_1", weir_secret_name(secret));
  assert_null(weir_secret_value(secret, &size));
  add("A.b-c/d_1", "a value");
  assert_string_equal("a value", weir_secret_value(secret, &size));
  assert_int_equal(7, size);
  weir_secret_forget(secret);
  assert_null(weir_secret_value(secret, &size));
}

static void names_and_values_that_do_not_fit_are_refused(void **unused) {
  (void)unused;
  char text[WEIR_SECRET_BYTES + 2];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  assert_null(weir_secret_of(secrets, ""));
  assert_null(weir_secret_of(secrets, "a b"));
  assert_null(weir_secret_of(secrets, "a\n"));
  assert_null(weir_secret_of(secrets, text));
  weir_secret *secret = weir_secret_of(secrets, "a");
  assert_int_equal(WEIR_INVALID, weir_secret_set(secrets, secret, "", 0));
  assert_int_equal(WEIR_INVALID, weir_secret_set(secrets, secret, "a\0b", 3));
  assert_int_equal(WEIR_LIMIT, weir_secret_set(secrets, secret, text, strlen(text)));
}

static void values_are_found_wherever_they_stand(void **unused) {
  (void)unused;
  assert_redacted("nothing is known yet", "nothing is known yet");
  add("one", "12345678");
  assert_redacted("[secret one]", "12345678");
  assert_redacted("[secret one][secret one]", "1234567812345678");
  assert_redacted("a[secret one]b[secret one]c", "a12345678b12345678c");
  assert_redacted("1212345 1234567", "1212345 1234567");
  assert_redacted("12[secret one]9", "12123456789");
  assert_redacted("", "");
}

static void the_longest_of_those_that_begin_alike_is_taken(void **unused) {
  (void)unused;
  add("short", "abcdefgh");
  add("long", "abcdefghij");
  add("other", "abzzzzzzzz");
  assert_redacted("[secret long] [secret short]i [secret other]", "abcdefghij abcdefghi abzzzzzzzz");
}

static void a_value_that_was_replaced_is_found_too(void **unused) {
  (void)unused;
  size_t size;
  add("key", "the old value");
  weir_secret *secret = add("key", "the new value");
  assert_string_equal("the new value", weir_secret_value(secret, &size));
  assert_redacted("[secret key], [secret key]", "the old value, the new value");
  weir_secret_forget(secret);
  assert_redacted("[secret key]", "the new value");
}

static void a_short_value_is_not_looked_for(void **unused) {
  (void)unused;
  add("pin", "1234567");
  assert_false(weir_secrets_any(secrets));
  assert_redacted("12345678", "12345678");
  assert_false(weir_secrets_any(NULL));
  assert_false(weir_secrets_find(NULL, "12345678", 8));
}

static void any_bytes_may_be_a_value(void **unused) {
  (void)unused;
  add("high", "\xFF\xFE\x01\x02\x80\x90\xA0\xB0");
  assert_redacted("\xFF[secret high]\xFF", "\xFF\xFF\xFE\x01\x02\x80\x90\xA0\xB0\xFF");
}

/* A text of four letters, in which values are searched in the plain way. */
static void every_text_is_searched_as_the_plain_way_does(void **unused) {
  (void)unused;
  unsigned state = 1;
  char text[400], expected[4000];
  add("x", "abababab");
  add("y", "aabbaabb");
  for (int round = 0; round < 2000; round++) {
    size_t size = 0, from = 0;
    for (size_t i = 0; i < sizeof text - 1; i++) {
      state = state * 1103515245u + 12345u;
      text[i] = (char)('a' + (state >> 24) % 2);
    }
    text[sizeof text - 1] = '\0';
    while (text[from] != '\0') {
      bool is_x = strncmp(text + from, "abababab", 8) == 0, is_y = strncmp(text + from, "aabbaabb", 8) == 0;
      size += (size_t)(is_x || is_y ? sprintf(expected + size, "[secret %c]", is_x ? 'x' : 'y')
                                    : sprintf(expected + size, "%c", text[from]));
      from += is_x || is_y ? 8 : 1;
    }
    expected[size] = '\0';
    assert_redacted(expected, text);
  }
}

/* Fed in pieces of `step` bytes, and what was held at the end as it is. */
static void assert_filtered(const char *expected, const char *text, size_t step) {
  weir_buffer out = { 0 };
  char pending[512];
  size_t held = 0, size = strlen(text);
  for (size_t at = 0; at < size; at += step) {
    size_t piece = size - at < step ? size - at : step;
    memcpy(pending + held, text + at, piece);
    size_t left = weir_secrets_filter(secrets, pending, held + piece, &out);
    memmove(pending, pending + held + piece - left, left);
    held = left;
  }
  if (!weir_secrets_redact(secrets, pending, held, &out)) weir_buffer_add(&out, pending, held);
  assert_int_equal(strlen(expected), out.size);
  assert_memory_equal(expected, out.bytes, out.size);
  weir_buffer_free(&out);
}

static void a_value_is_found_however_it_is_cut(void **unused) {
  (void)unused;
  add("one", "0123456789");
  add("part", "45678945");
  add("long", "0123456789abcdef");
  for (size_t step = 1; step < 60; step++) {
    assert_filtered("say [secret one]! [secret long]. 0123456", "say 0123456789! 0123456789abcdef. 0123456", step);
    assert_filtered("[secret one]abcde [secret one][secret one]", "0123456789abcde 01234567890123456789", step);
    assert_filtered("012345678 [secret part] 01234", "012345678 45678945 01234", step);
  }
}

static void what_cannot_be_a_value_goes_on_at_once(void **unused) {
  (void)unused;
  weir_buffer out = { 0 };
  assert_int_equal(0, weir_secrets_filter(secrets, "anything", 8, &out));
  add("one", "0123456789");
  assert_int_equal(0, weir_secrets_filter(secrets, "012345678x", 10, &out));
  assert_int_equal(3, weir_secrets_filter(secrets, "ab012", 5, &out));
  assert_int_equal(20, out.size);
  weir_buffer_free(&out);
}

static void a_loaded_value_leaves_no_core_and_hides_the_memory(void **unused) {
  (void)unused;
  struct rlimit limit;
  add("key", "some value");
  assert_int_equal(0, prctl(PR_GET_DUMPABLE));
  assert_int_equal(0, getrlimit(RLIMIT_CORE, &limit));
  assert_int_equal(0, limit.rlim_cur);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_secrets, close_secrets)

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(a_secret_has_one_name_and_its_value),
    TEST(names_and_values_that_do_not_fit_are_refused),
    TEST(values_are_found_wherever_they_stand),
    TEST(the_longest_of_those_that_begin_alike_is_taken),
    TEST(a_value_that_was_replaced_is_found_too),
    TEST(a_short_value_is_not_looked_for),
    TEST(any_bytes_may_be_a_value),
    TEST(every_text_is_searched_as_the_plain_way_does),
    TEST(a_value_is_found_however_it_is_cut),
    TEST(what_cannot_be_a_value_goes_on_at_once),
    TEST(a_loaded_value_leaves_no_core_and_hides_the_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
