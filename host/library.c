/* library.c - one file with a part for each name; only its index is held in memory. */
#include "library.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 16
#define INDEX_MAX (1 << 24)
#define PLACE_BYTES 16 /* of an entry: u64 offset, u32 bytes of the text, u32 bytes compiled */

struct weir_library {
  int file;
  size_t index_bytes;
  uint8_t index[];
};

static const char magic[8] = "WEIRCHK2";

static uint64_t number_at(const uint8_t *bytes, int size) {
  uint64_t number = 0;
  while (size-- > 0) number = number << 8 | bytes[size];
  return number;
}

static bool read_at(int file, void *bytes, size_t size, uint64_t offset) {
  return pread(file, bytes, size, (off_t)offset) == (ssize_t)size;
}

static weir_library *with_index(int file) {
  uint8_t head[HEAD_BYTES];
  if (!read_at(file, head, sizeof head, 0) || memcmp(head, magic, sizeof magic) != 0) return NULL;
  size_t bytes = number_at(head + sizeof magic, 8);
  weir_library *library = bytes <= INDEX_MAX ? malloc(sizeof *library + bytes) : NULL;
  if (!library) return NULL;
  library->file = file;
  library->index_bytes = bytes;
  if (read_at(file, library->index, bytes, HEAD_BYTES)) return library;
  free(library);
  return NULL;
}

weir_library *weir_library_open(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return NULL;
  weir_library *library = with_index(file);
  if (!library) close(file);
  return library;
}

void weir_library_close(weir_library *library) {
  if (!library) return;
  close(library->file);
  free(library);
}

/* The place of a name in the index; NULL: it is not there. */
static const uint8_t *find(const weir_library *library, const char *name) {
  const uint8_t *at = library->index, *end = at + library->index_bytes;
  size_t wanted = strlen(name);
  while (end - at >= 2) {
    size_t length = number_at(at, 2);
    at += 2;
    if ((size_t)(end - at) < length + PLACE_BYTES) return NULL;
    if (length == wanted && memcmp(at, name, length) == 0) return at + length;
    at += length + PLACE_BYTES;
  }
  return NULL;
}

weir_content weir_library_compiled(const weir_library *library, const char *name, weir_content text) {
  const uint8_t *place = library ? find(library, name) : NULL;
  if (!place || number_at(place + 8, 4) != text.size) return (weir_content){ 0 };
  uint64_t offset = number_at(place, 8);
  size_t size = number_at(place + 12, 4);
  char *bytes = malloc(size > text.size ? size : text.size);
  if (bytes && read_at(library->file, bytes, text.size, offset) &&
      memcmp(bytes, text.bytes, text.size) == 0 &&
      read_at(library->file, bytes, size, offset + text.size))
    return (weir_content){ bytes, size };
  free(bytes);
  return (weir_content){ 0 };
}

static weir_content read_all(int file) {
  struct stat about;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return (weir_content){ 0 };
  weir_content block = { malloc((size_t)about.st_size + 1), (size_t)about.st_size };
  if (block.bytes && read_at(file, block.bytes, block.size, 0)) return block;
  free(block.bytes);
  return (weir_content){ 0 };
}

weir_content weir_library_text(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return (weir_content){ 0 };
  weir_content block = read_all(file);
  close(file);
  return block;
}
