/* store_seal.c - knows how far the store had come.
 *
 * LMDB has two meta pages and believes the one with the higher transaction number. If a bit of that number flips, or somebody puts an
 * older data.mdb in place, an older state is opened, sound in itself. The file `seal` holds the number of the last transaction, written after
 * its sync and before it is acknowledged: u64, little endian. It is never synced: after a power cut it may be older than
 * the store, which does no harm, but never newer. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store_internal.h"

void weir_seal_open(weir_store *store) {
  char path[4096];
  store->seal = -1;
  if (store->inode == 0) return; /* in memory: nobody opens it again */
  snprintf(path, sizeof path, "%s/seal", store->folder);
  store->seal = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

uint64_t weir_seal_read(const weir_store *store) {
  uint8_t bytes[8];
  uint64_t value = 0;
  if (store->seal < 0 || pread(store->seal, bytes, sizeof bytes, 0) != sizeof bytes) return 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

void weir_seal_write(weir_store *store, uint64_t transactions) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(transactions >> (8 * i));
  if (store->seal >= 0) (void)!pwrite(store->seal, bytes, sizeof bytes, 0); /* if it fails the old number stays, which is safe */
}
