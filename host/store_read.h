/* store_read.h - what all reads of the store have in common. Internal to the store. */
#ifndef WEIR_STORE_READ_H
#define WEIR_STORE_READ_H
#include "store_internal.h"

weir_slice weir_text_slice(const char *text);

/* A result is filled from empty; what does not fit into memory is told by weir_read_end. */
void weir_read_clear(weir_result *result);
void weir_read_add(weir_result *result, weir_slice id, weir_slice payload, uint64_t number);
/* Says what is damaged, as "WHAT 'NAME': DETAIL"; gives WEIR_CORRUPT. */
weir_status weir_read_damaged(weir_result *result, const char *what, weir_slice name,
                              const char *detail);

/* A transaction; the map stays where it is until it ends. OK or UNAVAILABLE, which is told. */
weir_status weir_read_begin(weir_client *client, weir_result *result, MDB_txn **txn);
/* Ends it; gives `status`, or LIMIT when the result does not fit into memory. */
weir_status weir_read_end(weir_client *client, weir_result *result, weir_status status);

/* One record: OK, NOT_FOUND (and its neighbours are sound), or CORRUPT. */
weir_status weir_read_find(weir_store *store, MDB_txn *txn, int table, weir_slice key,
                           weir_slice *record);
#endif
