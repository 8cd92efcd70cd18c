/* peer_lua.c - weir.native.peer: who stands at the other end of a Unix socket. Holds nothing. */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* peer.credentials(descriptor) -> user id, process id, as they were when the socket was connected |
 * nil, message, "invalid" (no connected Unix socket). */
static int peer_credentials(lua_State *L) {
  int descriptor = (int)luaL_checkinteger(L, 1);
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return weir_refusef(L, WEIR_INVALID, "who is at the other end of descriptor %d cannot be told: %s",
                        descriptor, strerror(errno));
  lua_pushinteger(L, (lua_Integer)peer.uid);
  lua_pushinteger(L, (lua_Integer)peer.pid);
  return 2;
}

static const luaL_Reg functions[] = { { "credentials", peer_credentials }, { NULL, NULL } };

int luaopen_weir_native_peer(lua_State *L);
int luaopen_weir_native_peer(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
