/* terminal.c - libedit in its unbuffered mode: el_gets handles one key and returns. Its read function
 * takes from the bytes that were fed, and says "end" when there are none left, which ends el_gets and
 * nothing else. */
#include "terminal.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 1000

struct weir_terminal {
  EditLine *editor;
  History *history;
  char *prompt;
  const char *bytes; /* that were fed and are not taken yet */
  size_t left;
  mbstate_t state;
  bool is_open; /* a line is being edited, in raw mode */
  bool has_tab; /* what the key at hand asked for */
  bool has_end;
};

static weir_terminal *terminal_of(EditLine *editor) {
  void *terminal = NULL;
  el_get(editor, EL_CLIENTDATA, &terminal);
  return terminal;
}

static int read_char(EditLine *editor, wchar_t *out) {
  weir_terminal *terminal = terminal_of(editor);
  while (terminal->left > 0) {
    size_t size = mbrtowc(out, terminal->bytes, terminal->left, &terminal->state);
    if (size == (size_t)-2) { /* cut off */
      terminal->left = 0;
      break;
    }
    if (size == (size_t)-1 || size == 0) { /* no character: it is left out */
      memset(&terminal->state, 0, sizeof terminal->state);
      size = 1;
      terminal->bytes += size, terminal->left -= size;
      continue;
    }
    terminal->bytes += size, terminal->left -= size;
    return 1;
  }
  memset(&terminal->state, 0, sizeof terminal->state);
  return 0;
}

static char *show_prompt(EditLine *editor) {
  return terminal_of(editor)->prompt;
}

static unsigned char ask_completion(EditLine *editor, int key) {
  (void)key;
  terminal_of(editor)->has_tab = true;
  return CC_NORM;
}

/* Ctrl-D: the end on an empty line, else the character under the cursor goes. */
static unsigned char end_or_delete(EditLine *editor, int key) {
  (void)key;
  const LineInfo *line = el_line(editor);
  if (line->lastchar == line->buffer) {
    terminal_of(editor)->has_end = true;
    return CC_NORM;
  }
  if (line->cursor == line->lastchar) return CC_NORM;
  el_cursor(editor, 1);
  el_deletestr(editor, 1);
  return CC_REFRESH;
}

static void use_utf8(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static void set_up(weir_terminal *terminal) {
  EditLine *editor = terminal->editor;
  HistEvent event;
  history(terminal->history, &event, H_SETSIZE, HISTORY_LINES);
  history(terminal->history, &event, H_SETUNIQUE, 1);
  el_set(editor, EL_CLIENTDATA, terminal);
  el_set(editor, EL_SIGNAL, 0);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, terminal->history);
  el_set(editor, EL_PROMPT, show_prompt);
  el_set(editor, EL_GETCFN, read_char);
  el_wset(editor, EL_ADDFN, L"weir-complete", L"asks for completion",
          ask_completion); /* el_set would */
  el_wset(editor, EL_ADDFN, L"weir-end", L"ends, or deletes",
          end_or_delete); /* leak copies of the names */
  el_set(editor, EL_BIND, "^I", "weir-complete", NULL);
  el_set(editor, EL_BIND, "^D", "weir-end", NULL);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
  el_set(editor, EL_BIND, "^W", "ed-delete-prev-word", NULL);
  el_set(editor, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
  el_set(editor, EL_BIND, "\\e[1;5C", "em-next-word", NULL);
  el_set(editor, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
}

weir_terminal *weir_terminal_new(void) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return NULL;
  weir_terminal *terminal = calloc(1, sizeof *terminal);
  if (!terminal) return NULL;
  use_utf8();
  terminal->prompt = strdup("");
  terminal->history = history_init();
  terminal->editor = el_init("weir", stdin, stdout, stderr);
  if (!terminal->prompt || !terminal->history || !terminal->editor) {
    weir_terminal_free(terminal);
    return NULL;
  }
  set_up(terminal);
  return terminal;
}

void weir_terminal_free(weir_terminal *terminal) {
  if (!terminal) return;
  weir_terminal_finish(terminal);
  if (terminal->editor) el_end(terminal->editor);
  if (terminal->history) history_end(terminal->history);
  free(terminal->prompt);
  free(terminal);
}

bool weir_terminal_begin(weir_terminal *terminal, const char *prompt) {
  if (terminal->is_open) return true;
  char *copy = strdup(prompt);
  if (!copy) return false;
  free(terminal->prompt);
  terminal->prompt = copy;
  terminal->is_open = true;
  el_set(terminal->editor, EL_UNBUFFERED, 1);
  fflush(stdout);
  return true;
}

void weir_terminal_finish(weir_terminal *terminal) {
  if (!terminal->is_open) return;
  terminal->is_open = false;
  el_set(terminal->editor, EL_UNBUFFERED, 0);
  fflush(stdout);
}

static weir_terminal_event event_of(weir_terminal *terminal, const char *line, int count) {
  if (terminal->has_tab) return WEIR_TERMINAL_TAB;
  if (terminal->has_end) return WEIR_TERMINAL_END;
  if (line && count > 0 && (line[count - 1] == '\n' || line[count - 1] == '\r'))
    return WEIR_TERMINAL_LINE;
  return WEIR_TERMINAL_MORE;
}

weir_terminal_event weir_terminal_feed(weir_terminal *terminal, const char *bytes, size_t size,
                                       size_t *used) {
  weir_terminal_event event = WEIR_TERMINAL_MORE;
  terminal->bytes = bytes;
  terminal->left = size;
  while (terminal->is_open && terminal->left > 0 && event == WEIR_TERMINAL_MORE) {
    terminal->has_tab = terminal->has_end = false;
    int count = 0;
    const char *line = el_gets(terminal->editor, &count);
    event = event_of(terminal, line, count);
  }
  *used = size - terminal->left;
  terminal->bytes = NULL;
  terminal->left = 0;
  fflush(stdout);
  return event;
}

const char *weir_terminal_line(weir_terminal *terminal, size_t *size, size_t *cursor) {
  const LineInfo *line = el_line(terminal->editor);
  *size = (size_t)(line->lastchar - line->buffer);
  *cursor = (size_t)(line->cursor - line->buffer);
  return line->buffer;
}

void weir_terminal_refresh(weir_terminal *terminal) {
  if (terminal->is_open) el_set(terminal->editor, EL_REFRESH);
  fflush(stdout);
}

void weir_terminal_resize(weir_terminal *terminal) {
  el_resize(terminal->editor);
}

void weir_terminal_remember(weir_terminal *terminal, const char *line) {
  HistEvent event;
  history(terminal->history, &event, H_ENTER, line);
}
