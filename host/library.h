/* library.h - the files of the library, as they are now and as the build has compiled them.
 *
 * What was compiled stands in one file, each part behind the text that it was made of (its form:
 * chunks.c). It is given out to those who bring the very same text, so that a file that was changed
 * since is never taken for what it was. */
#ifndef WEIR_LIBRARY_H
#define WEIR_LIBRARY_H
#include <stddef.h>

typedef struct weir_library weir_library;

/* Bytes that belong to whoever got them: free(bytes). NULL: there are none. */
typedef struct {
  char *bytes;
  size_t size;
} weir_content;

/* The file that the build has made; NULL when it is missing, or no such file. */
weir_library *weir_library_open(const char *path);
void weir_library_close(weir_library *library); /* NULL does nothing */

/* What a file holds. */
weir_content weir_library_text(const char *path);

/* What was compiled of this text under this name, if anything was. library may be NULL. */
weir_content weir_library_compiled(const weir_library *library, const char *name, weir_content text);
#endif
