/* sink.c - H8 in small: an effect in the world outside. Adds one line to a log that is synced with each
 * write, and prints the token that names this one time.
 *
 *   fault_sink LOG KEY [TOKEN...]
 *
 * KEY is the idempotency key of the step that has the effect; the further tokens are what the step was
 * given by earlier ones. A line is: token, key, given tokens. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE                                                                                           \
  4000 /* one write of this much to a file opened with O_APPEND is never mixed with another */

int main(int count, char **arguments) {
  char token[64], line[LINE];
  struct timespec now;
  if (count < 3) return 2;
  clock_gettime(CLOCK_MONOTONIC, &now);
  snprintf(token, sizeof token, "t%ld-%lld%09ld", (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
  size_t size = (size_t)snprintf(line, sizeof line, "%s %s", token, arguments[2]);
  for (int i = 3; i < count && size + strlen(arguments[i]) + 2 < LINE; i++)
    size += (size_t)snprintf(line + size, sizeof line - size, " %s", arguments[i]);
  line[size++] = '\n';
  int file = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_SYNC | O_CLOEXEC, 0600);
  if (file < 0 || write(file, line, size) != (ssize_t)size) {
    perror(arguments[1]);
    return 1;
  }
  close(file);
  puts(token);
  return 0;
}
