/* sandbox_frame.c - see sandbox_frame.h. */
#include "sandbox_frame.h"

#include <errno.h>
#include <unistd.h>

#define HEADER_BYTES 4

static bool write_all(int descriptor, const uint8_t *bytes, size_t size) {
  while (size > 0) {
    ssize_t written = write(descriptor, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

static bool read_all(int descriptor, uint8_t *bytes, size_t size) {
  while (size > 0) {
    ssize_t count = read(descriptor, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count;
    size -= (size_t)count;
  }
  return true;
}

weir_status weir_frame_write(int descriptor, const void *bytes, size_t size) {
  if (size > WEIR_FRAME_BYTES) return WEIR_LIMIT;
  uint8_t header[HEADER_BYTES];
  for (unsigned i = 0; i < HEADER_BYTES; i++) header[i] = (uint8_t)(size >> 8 * i);
  bool written = write_all(descriptor, header, sizeof header) && write_all(descriptor, bytes, size);
  return written ? WEIR_OK : WEIR_CLOSED;
}

weir_status weir_frame_read(int descriptor, weir_buffer *frame) {
  uint8_t header[HEADER_BYTES];
  weir_buffer_clear(frame);
  if (!read_all(descriptor, header, sizeof header)) return WEIR_CLOSED;
  size_t size = 0;
  for (unsigned i = 0; i < HEADER_BYTES; i++) size |= (size_t)header[i] << 8 * i;
  if (size > WEIR_FRAME_BYTES) return WEIR_LIMIT;
  uint8_t *bytes = weir_buffer_grow(frame, size);
  if (!bytes) return WEIR_LIMIT;
  return read_all(descriptor, bytes, size) ? WEIR_OK : WEIR_CLOSED;
}
