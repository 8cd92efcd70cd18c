/* model.c - a language model that says what it says as fast as it can, and bare readers of it.
 *
 *     bench_model serve                   streams chat completions; prints its port, and ends when its standard
 *                                         input does. POST /TOKENS/BATCH/PAUSE_US/...: so many tokens (0: without
 *                                         end), so many events a write, so long a pause after each. Prints
 *                                         "begin" for each stream, and at its end
 *                                         "end TOKENS BYTES BLOCKED_S OTHER_S NOW_S": what was written, how long
 *                                         writes were blocked and how long not, and when (CLOCK_MONOTONIC)
 *     bench_model read URL                libcurl alone: prints "SECONDS EVENTS BYTES"
 *     bench_model hold URL COUNT          so many streams at once: prints how many bytes of anonymous memory they take
 *     bench_model stop URL SECONDS        reads nothing after the first bytes, for so long: prints the same of one stream
 *     bench_model abort URL COUNT         ends streams after the first bytes: prints when, for each
 *
 * A thread a connection; the events are made before the first is sent. Each event is a chunk of its own, as servers of
 * models have it. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define EVENTS 1024 /* that differ; then they come again */
#define EVENT_MAX 256
#define WARM_EVENTS 16 /* that a stream has had when its memory is looked at */
#define STACK_BYTES (128 * 1024)

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The server */

static char events[EVENTS * EVENT_MAX];
static size_t starts[EVENTS + 1];

#define CHUNK(field) "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"bench\"," field "}\n\n"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static size_t put_chunk(char *at, const char *text) {
  return (size_t)sprintf(at, "%zx\r\n%s\r\n", strlen(text), text);
}

static void prepare(void) {
  char text[EVENT_MAX];
  for (int i = 0; i < EVENTS; i++) {
    snprintf(text, sizeof text, CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\" w%03x\"},\"finish_reason\":null}]"), i);
    starts[i + 1] = starts[i] + put_chunk(events + starts[i], text);
  }
}

typedef struct {
  int socket;
  long tokens, batch, pause_us; /* as asked; tokens 0: without end */
  long said;
  size_t bytes;
  double began_s, blocked_s;
} stream;

/* Waits until bytes can be written; false when the other side has gone. */
static bool await_room(stream *s) {
  struct pollfd ready = { .fd = s->socket, .events = POLLOUT | POLLRDHUP };
  double from = now_s();
  int count = poll(&ready, 1, -1);
  s->blocked_s += now_s() - from;
  return count == 1 && !(ready.revents & (POLLRDHUP | POLLERR | POLLHUP));
}

static bool write_all(stream *s, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(s->socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent < 0 && !await_room(s)) return false;
    if (sent < 0) continue;
    bytes += sent;
    size -= (size_t)sent;
    s->bytes += (size_t)sent;
  }
  return true;
}

/* Pauses; false when the other side has gone. */
static bool rest(const stream *s) {
  if (s->pause_us == 0) return true;
  struct pollfd gone = { .fd = s->socket, .events = POLLRDHUP };
  struct timespec pause = { s->pause_us / 1000000, s->pause_us % 1000000 * 1000 };
  return ppoll(&gone, 1, &pause, NULL) == 0;
}

static bool say(stream *s) {
  for (long at = 0; s->tokens == 0 || s->said < s->tokens; at = at == EVENTS ? 0 : at) {
    long count = s->batch < EVENTS - at ? s->batch : EVENTS - at;
    if (s->tokens > 0 && count > s->tokens - s->said) count = s->tokens - s->said;
    if (!write_all(s, events + starts[at], starts[at + count] - starts[at])) return false;
    s->said += count;
    at += count;
    if (!rest(s)) return false;
  }
  return true;
}

static bool finish(stream *s) {
  char bytes[4 * EVENT_MAX], usage[EVENT_MAX];
  snprintf(usage, sizeof usage, CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%ld,\"total_tokens\":%ld}"),
           s->tokens, s->tokens + 1);
  size_t size = put_chunk(bytes, CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"));
  size += put_chunk(bytes + size, usage);
  size += put_chunk(bytes + size, "data: [DONE]\n\n");
  size += (size_t)sprintf(bytes + size, "0\r\n\r\n");
  return write_all(s, bytes, size);
}

static void tell(const stream *s) {
  double now = now_s();
  dprintf(STDOUT_FILENO, "end %ld %zu %.9f %.9f %.9f\n", s->said, s->bytes, s->blocked_s, now - s->began_s - s->blocked_s, now);
}

/* Reads one request; false when there is none any more. */
static bool take_request(int socket, char *request) {
  size_t got = 0;
  for (;;) {
    ssize_t size = recv(socket, request + got, REQUEST_MAX - got - 1, 0);
    if (size <= 0) return false;
    got += (size_t)size;
    request[got] = '\0';
    const char *end = strstr(request, "\r\n\r\n"), *length = strcasestr(request, "\r\ncontent-length:");
    if (end && got >= (size_t)(end - request) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0)) return true;
    if (got == REQUEST_MAX - 1) return false;
  }
}

static bool answer(int socket, const char *request) {
  stream s = { .socket = socket, .began_s = now_s() };
  if (sscanf(request, "POST /%ld/%ld/%ld/", &s.tokens, &s.batch, &s.pause_us) != 3 || s.tokens < 0 || s.batch < 1 || s.pause_us < 0)
    return false;
  dprintf(STDOUT_FILENO, "begin\n");
  bool whole = write_all(&s, HEAD, strlen(HEAD)) && say(&s) && finish(&s);
  tell(&s);
  return whole;
}

static void *serve_one(void *argument) {
  int socket = (int)(intptr_t)argument, yes = 1;
  char *request = malloc(REQUEST_MAX);
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  while (request && take_request(socket, request) && answer(socket, request)) {}
  free(request);
  close(socket);
  return NULL;
}

static void *serve_all(void *argument) {
  int listener = (int)(intptr_t)argument;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  for (;;) {
    pthread_t thread;
    int socket = accept(listener, NULL, NULL);
    if (socket >= 0 && pthread_create(&thread, &attributes, serve_one, (void *)(intptr_t)socket) != 0) close(socket);
  }
  return NULL;
}

static int serve(void) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof at;
  pthread_t thread;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  prepare();
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, size) != 0 || listen(listener, 1024) != 0) return 1;
  if (getsockname(listener, (struct sockaddr *)&at, &size) != 0) return 1;
  if (pthread_create(&thread, NULL, serve_all, (void *)(intptr_t)listener) != 0) return 1;
  dprintf(STDOUT_FILENO, "%u\n", ntohs(at.sin_port));
  while (getchar() != EOF) {}
  return 0;
}

/* The readers */

typedef struct {
  CURL *easy;
  size_t events, bytes;
  bool stops;  /* after the first bytes, nothing is taken any more */
  bool aborts; /* after the first bytes, the connection is closed */
  char last;
} reader;

/* An event ends with an empty line, which may come in two pieces. */
static void count_events(reader *r, const char *bytes, size_t size) {
  for (const char *at = bytes, *end = bytes + size; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
    if ((at == bytes ? r->last : at[-1]) == '\n') r->events++;
  r->last = bytes[size - 1];
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
  reader *r = context;
  (void)one;
  if (r->stops && r->bytes > 0) return CURL_WRITEFUNC_PAUSE;
  r->bytes += size;
  count_events(r, bytes, size);
  if (!r->aborts) return size;
  printf("%.9f\n", now_s());
  return 0;
}

static CURL *begin(reader *r, const char *url) {
  CURL *easy = r->easy = curl_easy_init();
  if (!easy) exit(1);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{\"stream\":true}");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
  return easy;
}

static int read_one(const char *url) {
  reader r = { 0 };
  CURL *easy = begin(&r, url);
  double from = now_s();
  CURLcode code = curl_easy_perform(easy);
  printf("%.9f %zu %zu\n", now_s() - from, r.events, r.bytes);
  curl_easy_cleanup(easy);
  return code == CURLE_OK ? 0 : 1;
}

static long anonymous_kilobytes(void) {
  char line[256];
  long kilobytes = -1;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && kilobytes < 0 && fgets(line, sizeof line, file)) sscanf(line, "RssAnon: %ld", &kilobytes);
  if (file) fclose(file);
  return kilobytes;
}

static void end_all(CURLM *multi, const reader *readers, long count) {
  for (long i = 0; i < count; i++) {
    curl_multi_remove_handle(multi, readers[i].easy);
    curl_easy_cleanup(readers[i].easy);
  }
  curl_multi_cleanup(multi);
}

static bool all_are_warm(const reader *readers, long count) {
  for (long i = 0; i < count; i++)
    if (readers[i].events < WARM_EVENTS) return false;
  return true;
}

static int hold(const char *url, long count) {
  reader *readers = calloc((size_t)count, sizeof *readers);
  CURLM *multi = curl_multi_init();
  if (!readers || !multi) return 1;
  long before = anonymous_kilobytes();
  for (long i = 0; i < count; i++) curl_multi_add_handle(multi, begin(&readers[i], url));
  for (int running = 1; running > 0 && !all_are_warm(readers, count);) {
    curl_multi_perform(multi, &running);
    curl_multi_poll(multi, NULL, 0, 100, NULL);
  }
  printf("%ld\n", (anonymous_kilobytes() - before) * 1024);
  end_all(multi, readers, count);
  free(readers);
  return 0;
}

static int stop(const char *url, double seconds) {
  reader r = { .stops = true };
  CURLM *multi = curl_multi_init();
  long before = anonymous_kilobytes();
  double until = now_s() + seconds;
  int running = 1;
  curl_multi_add_handle(multi, begin(&r, url));
  while (running > 0 && now_s() < until) {
    curl_multi_perform(multi, &running);
    curl_multi_poll(multi, NULL, 0, 20, NULL);
  }
  printf("%ld\n", (anonymous_kilobytes() - before) * 1024);
  end_all(multi, &r, 1);
  return running > 0 ? 0 : 1;
}

static int abort_many(const char *url, long count) {
  for (long i = 0; i < count; i++) {
    reader r = { .aborts = true };
    CURL *easy = begin(&r, url);
    curl_easy_perform(easy);
    curl_easy_cleanup(easy);
  }
  return 0;
}

int main(int count, char **arguments) {
  const char *what = count > 1 ? arguments[1] : "";
  if (count == 2 && strcmp(what, "serve") == 0) return serve();
  curl_global_init(CURL_GLOBAL_DEFAULT); /* what it holds is let go at the end of the process */
  if (count == 3 && strcmp(what, "read") == 0) return read_one(arguments[2]);
  if (count != 4) return 2;
  if (strcmp(what, "hold") == 0) return hold(arguments[2], strtol(arguments[3], NULL, 10));
  if (strcmp(what, "stop") == 0) return stop(arguments[2], strtod(arguments[3], NULL));
  if (strcmp(what, "abort") == 0) return abort_many(arguments[2], strtol(arguments[3], NULL, 10));
  return 2;
}
