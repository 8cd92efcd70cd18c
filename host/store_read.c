/* store_read.c - reads, each within one short transaction on the thread of its client.
 *
 * Everything is copied out before the transaction ends: a reader that stays open keeps LMDB from using
 * pages again. */
#include <stdio.h>
#include <string.h>

#include "store_read.h"

void weir_result_free(weir_result *result) {
  weir_buffer_free(&result->bytes);
  weir_buffer_free(&result->found);
  weir_buffer_free(&result->scratch);
}

weir_found weir_result_at(const weir_result *result, uint32_t i) {
  weir_found found;
  memcpy(&found, result->found.bytes + i * sizeof found, sizeof found);
  return found;
}

void weir_read_clear(weir_result *result) {
  weir_buffer_clear(&result->bytes);
  weir_buffer_clear(&result->found);
  result->message[0] = '\0';
}

weir_status weir_read_damaged(weir_result *result, const char *what, weir_slice name,
                              const char *detail) {
  int size = name.size > 128 ? 128 : (int)name.size;
  snprintf(result->message, WEIR_MESSAGE_MAX, "%s '%.*s': %s; see 'weir doctor'", what, size,
           (const char *)name.bytes, detail);
  return WEIR_CORRUPT;
}

weir_slice weir_text_slice(const char *text) {
  return (weir_slice){ (const uint8_t *)text, strlen(text) };
}

weir_status weir_read_begin(weir_client *client, weir_result *result, MDB_txn **txn) {
  weir_store *store = client->store;
  const char *failure = weir_store_failure(store);
  int rc = 0;
  if (failure == NULL) {
    pthread_rwlock_rdlock(&store->map);
    rc = weir_reader_begin(store, &client->reader);
    if (rc == 0) {
      *txn = client->reader;
      return WEIR_OK;
    }
    pthread_rwlock_unlock(&store->map);
  }
  snprintf(result->message, WEIR_MESSAGE_MAX, "%.300s", failure != NULL ? failure : mdb_strerror(rc));
  return WEIR_UNAVAILABLE;
}

weir_status weir_read_end(weir_client *client, weir_result *result, weir_status status) {
  mdb_txn_reset(client->reader);
  pthread_rwlock_unlock(&client->store->map);
  if (status == WEIR_OK &&
      (result->bytes.failed || result->found.failed || result->bytes.size > UINT32_MAX)) {
    snprintf(result->message, WEIR_MESSAGE_MAX,
             "the result does not fit into memory; ask for less at a time");
    return WEIR_LIMIT;
  }
  return status;
}

void weir_read_add(weir_result *result, weir_slice id, weir_slice payload, uint64_t number) {
  weir_found found = { .id_at = (uint32_t)result->bytes.size,
                       .id_size = (uint32_t)id.size,
                       .number = number };
  weir_buffer_add(&result->bytes, id.bytes, id.size);
  found.at = (uint32_t)result->bytes.size;
  found.size = (uint32_t)payload.size;
  weir_buffer_add(&result->bytes, payload.bytes, payload.size);
  weir_buffer_add(&result->found, &found, sizeof found);
}

weir_status weir_read_find(weir_store *store, MDB_txn *txn, int table, weir_slice key,
                           weir_slice *record) {
  MDB_val k = weir_val(key), value;
  int rc = mdb_get(txn, store->table[table], &k, &value);
  if (rc == MDB_NOTFOUND)
    return weir_map_is_absent(store, txn, table, key) ? WEIR_NOT_FOUND : WEIR_CORRUPT;
  if (rc != 0 || !weir_map_sane(store, value)) return WEIR_CORRUPT;
  *record = weir_slice_of(value);
  return WEIR_OK;
}

weir_status weir_store_get(weir_client *client, weir_slice space, weir_slice key, weir_result *result) {
  uint8_t bytes[WEIR_KEY_MAX + 1];
  bool is_cut;
  weir_slice table_key = { bytes, weir_kv_key(bytes, space, key, &is_cut) }, record;
  weir_kv kv;
  MDB_txn *txn;
  weir_read_clear(result);
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  status = weir_read_find(client->store, txn, WEIR_KV, table_key, &record);
  if (status == WEIR_OK) status = weir_kv_read(table_key, record, &kv);
  if (status == WEIR_OK && is_cut && !weir_slice_equal(kv.long_key, key)) status = WEIR_CORRUPT;
  if (status == WEIR_CORRUPT)
    weir_read_damaged(result, "key", key, "its record, or one beside it, is damaged");
  if (status == WEIR_OK) weir_read_add(result, key, kv.payload, kv.version);
  return weir_read_end(client, result, status);
}

weir_status weir_store_blob(weir_client *client, const uint8_t hash[WEIR_HASH_SIZE],
                            weir_result *result) {
  weir_slice key = { hash, WEIR_HASH_SIZE }, record, content;
  MDB_txn *txn;
  weir_read_clear(result);
  weir_status status = weir_read_begin(client, result, &txn);
  if (status != WEIR_OK) return status;
  status = weir_read_find(client->store, txn, WEIR_BLOBS, key, &record);
  if (status == WEIR_OK) status = weir_blob_read(key, record, &content);
  if (status == WEIR_CORRUPT)
    snprintf(result->message, WEIR_MESSAGE_MAX, "blob: its record is damaged; see 'weir doctor'");
  if (status == WEIR_OK) weir_read_add(result, key, content, 0);
  return weir_read_end(client, result, status);
}
