/* chunks.c - a tool of the build: compiles the files of the library into one, so that a host that
 * starts need not parse them (see library.h). Each stands there behind its text.
 *     weir_chunks OUT FOLDER FILE...
 * FILE is relative to FOLDER, and named =weir/FILE; or @PATH, which is its name.
 * OUT, little-endian: the magic, u64 bytes of the index, of each: u16 length and bytes of its name, u64
 * offset, u32 bytes of its text, u32 bytes compiled; at the offset the text and what was compiled of it. */
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "WEIRCHK2";

typedef struct {
  char *bytes;
  size_t size;
} buffer;

typedef struct {
  char name[4096];
  buffer text, compiled;
} chunk;

static void append(buffer *to, const void *bytes, size_t size) {
  if (size == 0) return;
  char *grown = realloc(to->bytes, to->size + size);
  if (!grown) abort();
  memcpy(grown + to->size, bytes, size);
  to->bytes = grown;
  to->size += size;
}

static int append_compiled(lua_State *L, const void *bytes, size_t size, void *to) {
  (void)L;
  append(to, bytes, size);
  return 0;
}

static bool read_all(const char *path, buffer *text) {
  char part[65536];
  size_t size;
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  while ((size = fread(part, 1, sizeof part, file)) > 0) append(text, part, size);
  bool is_whole = feof(file) != 0;
  fclose(file);
  return is_whole;
}

static bool compile(lua_State *L, const char *folder, const char *file, chunk *of) {
  char path[4096];
  bool is_apart = file[0] == '@';
  snprintf(of->name, sizeof of->name, "%s%s", is_apart ? "" : "=weir/", file);
  snprintf(path, sizeof path, "%s%s%s", is_apart ? "" : folder, is_apart ? "" : "/", file + is_apart);
  if (!read_all(path, &of->text)) {
    fprintf(stderr, "weir_chunks: %s cannot be read\n", path);
    return false;
  }
  if (luaL_loadbufferx(L, of->text.bytes, of->text.size, of->name, "t") != LUA_OK) {
    fprintf(stderr, "weir_chunks: %s\n", lua_tostring(L, -1));
    return false;
  }
  lua_dump(L, append_compiled, &of->compiled, 0);
  lua_pop(L, 1);
  return true;
}

static void append_number(buffer *to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) {
    uint8_t byte = (uint8_t)(value >> (8 * i));
    append(to, &byte, 1);
  }
}

static buffer index_of(const chunk *chunks, uint32_t count) {
  buffer index = { 0 };
  uint64_t bytes = 0, offset;
  for (uint32_t i = 0; i < count; i++) bytes += 2 + strlen(chunks[i].name) + 8 + 4 + 4;
  append(&index, magic, sizeof magic);
  append_number(&index, bytes, 8);
  offset = index.size + bytes;
  for (uint32_t i = 0; i < count; i++) {
    const chunk *of = &chunks[i];
    append_number(&index, strlen(of->name), 2);
    append(&index, of->name, strlen(of->name));
    append_number(&index, offset, 8);
    append_number(&index, of->text.size, 4);
    append_number(&index, of->compiled.size, 4);
    offset += of->text.size + of->compiled.size;
  }
  return index;
}

static bool write_all(const char *path, const chunk *chunks, uint32_t count) {
  char draft[4096]; /* a host that starts meanwhile has the old file or the new one */
  snprintf(draft, sizeof draft, "%s.new", path);
  FILE *file = fopen(draft, "wb");
  if (!file) {
    perror(draft);
    return false;
  }
  buffer index = index_of(chunks, count);
  fwrite(index.bytes, 1, index.size, file);
  for (uint32_t i = 0; i < count; i++) {
    fwrite(chunks[i].text.bytes, 1, chunks[i].text.size, file);
    fwrite(chunks[i].compiled.bytes, 1, chunks[i].compiled.size, file);
  }
  bool is_written = ferror(file) == 0;
  free(index.bytes);
  return fclose(file) == 0 && is_written && rename(draft, path) == 0;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fputs("usage: weir_chunks OUT FOLDER FILE...\n", stderr);
    return 2;
  }
  uint32_t count = (uint32_t)argc - 3;
  chunk *chunks = calloc(count, sizeof *chunks);
  lua_State *L = luaL_newstate();
  bool ok = chunks != NULL && L != NULL;
  for (uint32_t i = 0; ok && i < count; i++) {
    ok = compile(L, argv[2], argv[i + 3], &chunks[i]);
  }
  ok = ok && write_all(argv[1], chunks, count);
  for (uint32_t i = 0; chunks && i < count; i++) {
    free(chunks[i].text.bytes);
    free(chunks[i].compiled.bytes);
  }
  free(chunks);
  if (L) lua_close(L);
  return ok ? 0 : 1;
}
