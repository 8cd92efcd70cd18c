/* http.c - what the HTTP door is compared with, and what asks it.
 *
 *     bench_http serve BYTES                     a bare libmicrohttpd with one answer of so many bytes;
 * prints its port, and ends when its standard input does bench_http load PORT|PATH CLIENTS COUNT sends
 * the request on standard input over and over, over so many connections that are kept, until COUNT are
 * answered; prints seconds and how many were not answered with 2xx */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define ANSWER_MAX 262144
#define EVENTS 64

/* The bare server */

typedef struct {
  char *body;
  size_t size;
} answer;

static enum MHD_Result on_call(void *context, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *data, size_t *size,
                               void **state) {
  static int seen;
  const answer *a = context;
  (void)url, (void)method, (void)version, (void)data;
  if (!*state) {
    *state = &seen;
    return MHD_YES;
  }
  *size = 0;
  struct MHD_Response *response =
      MHD_create_response_from_buffer(a->size, a->body, MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header(response, "Content-Type", "application/json");
  enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return result;
}

static int serve(size_t bytes) {
  answer a = { .body = malloc(bytes + 1), .size = bytes };
  if (!a.body) return 1;
  memset(a.body, 'x', bytes);
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  struct MHD_Daemon *daemon =
      MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_call, &a, MHD_OPTION_SOCK_ADDR,
                       (struct sockaddr *)&at, MHD_OPTION_END);
  if (!daemon) return 1;
  printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  while (getchar() != EOF) {
  }
  MHD_stop_daemon(daemon);
  free(a.body);
  return 0;
}

/* The clients */

typedef struct {
  int socket;
  size_t sent, got;
  char answer[ANSWER_MAX];
} client;

static char request[REQUEST_MAX];
static size_t request_size;
static long wanted, begun, done, bad;

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int connect_to(const char *where) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  struct sockaddr_un un = { .sun_family = AF_UNIX };
  bool is_path = strchr(where, '/') != NULL;
  int yes = 1, fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
  snprintf(un.sun_path, sizeof un.sun_path, "%s", where);
  const struct sockaddr *at = is_path ? (struct sockaddr *)&un : (struct sockaddr *)&in;
  if (fd < 0 || connect(fd, at, is_path ? sizeof un : sizeof in) != 0) return -1;
  if (!is_path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

static bool send_request(client *c) {
  c->got = 0;
  begun++;
  return send(c->socket, request, request_size, MSG_NOSIGNAL) == (ssize_t)request_size;
}

/* Whether the whole answer is there; a status other than 2xx is counted. */
static bool is_whole(const client *c) {
  const char *end = memmem(c->answer, c->got, "\r\n\r\n", 4);
  if (!end) return false;
  const char *length = memmem(c->answer, (size_t)(end - c->answer), "Content-Length: ", 16);
  size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
  if (c->got < (size_t)(end - c->answer) + 4 + body) return false;
  if (c->answer[9] != '2') bad++;
  return true;
}

static bool on_ready(client *c) {
  ssize_t got = recv(c->socket, c->answer + c->got, sizeof c->answer - c->got, 0);
  if (got <= 0) return false;
  c->got += (size_t)got;
  if (!is_whole(c)) return c->got < sizeof c->answer;
  done++;
  return begun >= wanted || send_request(c);
}

static bool begin(client *clients, long count, const char *where, int epoll) {
  for (long i = 0; i < count; i++) {
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &clients[i] };
    clients[i].socket = connect_to(where);
    if (clients[i].socket < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].socket, &event) != 0)
      return false;
  }
  return true;
}

static bool ask(client *clients, const char *where, long count, int epoll) {
  if (!begin(clients, count, where, epoll)) return false;
  for (long i = 0; i < count && begun < wanted; i++)
    if (!send_request(&clients[i])) return false;
  while (done < wanted) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(epoll, events, EVENTS, 30000);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    for (int i = 0; i < ready; i++)
      if (!on_ready(events[i].data.ptr)) return false;
  }
  return true;
}

static int load(const char *where, long count) {
  client *clients = calloc((size_t)count, sizeof *clients);
  int epoll = epoll_create1(0);
  request_size = fread(request, 1, sizeof request, stdin);
  double start = now_s();
  bool answered = clients && epoll >= 0 && ask(clients, where, count, epoll);
  if (answered) printf("%.9f %ld\n", now_s() - start, bad);
  free(clients);
  return answered ? 0 : 1;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "serve") == 0) return serve(strtoul(arguments[2], NULL, 10));
  if (count != 5 || strcmp(arguments[1], "load") != 0) return 2;
  wanted = strtol(arguments[4], NULL, 10);
  return load(arguments[2], strtol(arguments[3], NULL, 10));
}
