/* check.c - opens a store as the host does and lets it verify itself: status 0 when all is well, 1 when
 * it is refused or something is found, which is printed.
 *
 *   fault_check FOLDER */
#include <stdio.h>
#include <string.h>

#include "store.h"

static void wake(void *context) {
  (void)context;
}

int main(int count, char **arguments) {
  char message[WEIR_MESSAGE_MAX];
  uint64_t counts[WEIR_TABLES];
  weir_result result = { 0 };
  weir_store *store;
  if (count != 2) return 2;
  if (weir_store_open(arguments[1], NULL, &store, message) != WEIR_OK) {
    puts(message);
    return 1;
  }
  weir_client *client = weir_client_new(store, wake, NULL);
  weir_status status = weir_store_verify(client, counts, &result);
  if (status != WEIR_OK) puts(result.message);
  for (uint32_t i = 0; i < weir_result_count(&result); i++) {
    weir_found found = weir_result_at(&result, i);
    printf("%.*s\n", (int)found.size, (const char *)result.bytes.bytes + found.at);
  }
  bool good = status == WEIR_OK && weir_result_count(&result) == 0;
  weir_result_free(&result);
  weir_client_free(client);
  weir_store_release(store);
  return good ? 0 : 1;
}
