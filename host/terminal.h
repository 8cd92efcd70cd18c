/* terminal.h - line editing on the process's terminal: libedit, fed with bytes that somebody else has
 * read.
 *
 * It never reads and never waits: who drives it asks the loop for bytes, feeds them, and is told what
 * they meant. A line begins with weir_terminal_begin and ends with the event LINE or END, or with
 * weir_terminal_finish; only in between is the terminal in raw mode. One terminal a process. Host loop
 * only. */
#ifndef WEIR_TERMINAL_H
#define WEIR_TERMINAL_H
#include <stdbool.h>
#include <stddef.h>

typedef struct weir_terminal weir_terminal;

typedef enum {
  WEIR_TERMINAL_MORE, /* all was taken, the line goes on */
  WEIR_TERMINAL_LINE, /* the line is whole */
  WEIR_TERMINAL_END,  /* the end of input, asked for on an empty line */
  WEIR_TERMINAL_TAB   /* completion is asked for */
} weir_terminal_event;

weir_terminal *weir_terminal_new(void); /* NULL: no memory, or stdin and stdout are no terminal */
void weir_terminal_free(weir_terminal *terminal);

/* Shows the prompt, with what stood in the line before as its text; no effect while a line is open. */
bool weir_terminal_begin(weir_terminal *terminal, const char *prompt);
void weir_terminal_finish(weir_terminal *terminal); /* leaves raw mode; idempotent */

/* Takes bytes up to the first event other than MORE; *used is how many. An escape sequence or a
 * character that is cut off at the end of the bytes is lost. */
weir_terminal_event weir_terminal_feed(weir_terminal *terminal, const char *bytes, size_t size,
                                       size_t *used);

/* The text of the line and the cursor, both in bytes; valid until the next call. */
const char *weir_terminal_line(weir_terminal *terminal, size_t *size, size_t *cursor);

void weir_terminal_refresh(weir_terminal *terminal); /* draws the line anew */
void weir_terminal_resize(weir_terminal *terminal);  /* the window has another size */
void weir_terminal_remember(weir_terminal *terminal, const char *line); /* for the arrow keys */
#endif
