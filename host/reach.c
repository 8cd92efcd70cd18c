/* reach.c - from a Lua state to its host, and from a host to its scheduler and loop.
 *
 * The host stands in the extra space of every coroutine; the lowest bit is the coroutine's own mark. */
#include "task.h"

weir_host *weir_host_of(lua_State *L) {
  uintptr_t extra = *(uintptr_t *)lua_getextraspace(L);
  return (weir_host *)(extra & ~(uintptr_t)1);
}

weir_scheduler *weir_scheduler_of(weir_host *host) { return ((weir_host_head *)(void *)host)->scheduler; }
weir_secrets *weir_secrets_of(lua_State *L) {
  weir_host *host = weir_host_of(L);
  return host ? ((weir_host_head *)(void *)host)->secrets : NULL;
}
uv_loop_t *weir_host_loop(weir_host *host) { return ((weir_host_head *)(void *)host)->loop; }
