/* secret.h - values that people keep secret: used by the host, found wherever they turn up, shown to nobody.
 *
 * A host has one collection. A secret has a name and, once it was loaded, a value; a value that was replaced
 * is still found in texts. Memory that held a value is wiped before it is given back. From the first value on
 * the process writes no core, and no other process of its user may look into its memory.
 * Host thread only. */
#ifndef WEIR_SECRET_H
#define WEIR_SECRET_H
#include "pack.h"

#define WEIR_SECRET_NAME_BYTES 128
#define WEIR_SECRET_BYTES 65536     /* of a value */
#define WEIR_SECRET_FOUND_BYTES 8u  /* a shorter value stands in too many texts by chance: it is not looked for */

typedef struct weir_secrets weir_secrets;
typedef struct weir_secret weir_secret; /* lives as long as its collection */

weir_secrets *weir_secrets_new(void); /* NULL: no memory */
void weir_secrets_free(weir_secrets *secrets); /* NULL is nothing */

/* The secret of a name, made when it is asked for first. A name has 1 to 128 letters, digits or any of _-./
 * NULL: it has not, or no memory. */
weir_secret *weir_secret_of(weir_secrets *secrets, const char *name);
const char *weir_secret_name(const weir_secret *secret);

/* Its value, which ends with a NUL that is not counted; NULL: it was not loaded, or was forgotten. */
const char *weir_secret_value(const weir_secret *secret, size_t *size);

/* Give it a value: INVALID (empty, or with a NUL byte), LIMIT (too long, or no memory). */
weir_status weir_secret_set(weir_secrets *secrets, weir_secret *secret, const void *bytes, size_t size);
void weir_secret_forget(weir_secret *secret); /* it has no value until it is set again */

/* Whether any value is looked for. NULL has none. */
bool weir_secrets_any(const weir_secrets *secrets);
bool weir_secrets_find(const weir_secrets *secrets, const void *text, size_t size);

/* Append the text with `[secret NAME]` in the place of each value that stands in it; nothing is appended, and
 * false given, when none does. out->failed: no memory. */
bool weir_secrets_redact(const weir_secrets *secrets, const void *text, size_t size, weir_buffer *out);

/* The same for a text that comes in pieces: appends what may go on by now, and gives how many bytes at the end
 * of `text` may be the beginning of a value. They come again in front of the next piece. */
size_t weir_secrets_filter(const weir_secrets *secrets, const void *text, size_t size, weir_buffer *out);
#endif
