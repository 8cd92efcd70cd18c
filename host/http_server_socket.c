/* http_server_socket.c - the socket that an HTTP server listens on.
 *
 * A Unix socket has mode 0600 and stands in a folder that only its owner may enter. One that is there
 * already is removed only if it is a socket and nobody answers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_server_internal.h"

#define BACKLOG 512

static weir_status status_of(int reason) {
  if (reason == EADDRINUSE) return WEIR_CONFLICT;
  if (reason == EACCES || reason == EPERM || reason == EROFS) return WEIR_DENIED;
  return reason == EADDRNOTAVAIL || reason == ENOENT || reason == ENOTDIR ? WEIR_INVALID
                                                                          : WEIR_UNAVAILABLE;
}

static int refuse(int fd, const char *where, const char *what, weir_status *status,
                  char message[WEIR_HTTP_MESSAGE]) {
  int reason = errno;
  snprintf(message, WEIR_HTTP_MESSAGE, "http server at %.120s: cannot %s: %s", where, what,
           strerror(reason));
  *status = status_of(reason);
  if (fd >= 0) close(fd);
  return -1;
}

static int refuse_as(weir_status code, const char *path, const char *why, weir_status *status,
                     char message[WEIR_HTTP_MESSAGE]) {
  snprintf(message, WEIR_HTTP_MESSAGE, "socket '%.120s': %s", path, why);
  *status = code;
  return -1;
}

/* TCP */

static socklen_t read_address(const char *text, uint16_t port, struct sockaddr_storage *out) {
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
  struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
  if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
    memcpy(out, &in, sizeof in);
    return sizeof in;
  }
  if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1) return 0;
  memcpy(out, &in6, sizeof in6);
  return sizeof in6;
}

static uint16_t port_of(int fd) {
  struct sockaddr_storage at = { 0 };
  socklen_t size = sizeof at;
  struct sockaddr_in in;
  if (getsockname(fd, (struct sockaddr *)&at, &size) != 0) return 0;
  memcpy(&in, &at, sizeof in); /* the port stands in the same place for both families */
  return ntohs(in.sin_port);
}

static int listen_tcp(weir_http_server *server, const weir_http_server_options *options,
                      weir_status *status, char message[WEIR_HTTP_MESSAGE]) {
  struct sockaddr_storage at = { 0 };
  char where[120];
  int yes = 1;
  socklen_t size = read_address(options->address, options->port, &at);
  snprintf(where, sizeof where, "%.80s:%u", options->address, options->port);
  if (size == 0) {
    errno = EADDRNOTAVAIL;
    return refuse(-1, where, "read the address, a number such as 127.0.0.1 or ::1", status, message);
  }
  int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return refuse(fd, where, "make a socket", status, message);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (at.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, BACKLOG) != 0)
    return refuse(fd, where, "listen", status, message);
  server->port = port_of(fd);
  return fd;
}

/* Unix sockets */

static bool folder_is_ours(const char *path) {
  char folder[sizeof((struct sockaddr_un *)0)->sun_path];
  struct stat info;
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  if (stat(slash == path ? "/" : folder, &info) != 0) return false;
  return S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0;
}

static int connect_to(const struct sockaddr_un *at) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int reason = fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 ? errno : 0;
  if (fd >= 0) close(fd);
  return reason;
}

/* Removes the socket of a process that has gone; false when something else is there. */
static bool make_way(const struct sockaddr_un *at) {
  struct stat info;
  if (lstat(at->sun_path, &info) != 0) return errno == ENOENT;
  return S_ISSOCK(info.st_mode) && connect_to(at) == ECONNREFUSED && unlink(at->sun_path) == 0;
}

static int bind_unix(weir_http_server *server, const struct sockaddr_un *at, weir_status *status,
                     char message[WEIR_HTTP_MESSAGE]) {
  const char *path = at->sun_path;
  struct stat info;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return refuse(fd, path, "make a socket", status, message);
  if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0)
    return refuse(fd, path, "bind", status, message);
  if (chmod(path, 0600) != 0 || listen(fd, BACKLOG) != 0 ||
      lstat(path, &info) != 0) { /* nobody connects before listen */
    unlink(path);
    return refuse(fd, path, "listen", status, message);
  }
  server->device = info.st_dev;
  server->inode = info.st_ino;
  server->path = strdup(path);
  return fd;
}

static int listen_unix(weir_http_server *server, const weir_http_server_options *options,
                       weir_status *status, char message[WEIR_HTTP_MESSAGE]) {
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  const char *path = options->path;
  if (strlen(path) >= sizeof at.sun_path)
    return refuse_as(WEIR_INVALID, path,
                     "its path is longer than 107 bytes; choose a folder with a shorter one", status,
                     message);
  memcpy(at.sun_path, path, strlen(path) + 1);
  if (!folder_is_ours(path))
    return refuse_as(WEIR_DENIED, path, "its folder must belong to you alone; chmod it to 0700", status,
                     message);
  if (!make_way(&at))
    return refuse_as(WEIR_CONFLICT, path, "another process listens there, or it is no socket", status,
                     message);
  return bind_unix(server, &at, status, message);
}

int weir_http_listen(weir_http_server *server, const weir_http_server_options *options,
                     weir_status *status, char message[WEIR_HTTP_MESSAGE]) {
  return options->address ? listen_tcp(server, options, status, message)
                          : listen_unix(server, options, status, message);
}

void weir_http_unlisten(weir_http_server *server) {
  struct stat info;
  if (server->path && lstat(server->path, &info) == 0 && info.st_dev == server->device &&
      info.st_ino == server->inode)
    unlink(server->path);
  free(server->path);
  server->path = NULL;
  if (server->socket >= 0) close(server->socket);
  server->socket = -1;
}
