/* natives.c - the native modules that are part of the host; the others are loaded when required. */
#include "natives.h"

const luaL_Reg weir_natives[] = { { "weir.native.scheduler", luaopen_weir_native_scheduler },
  { "weir.native.coroutine", luaopen_weir_coroutine },
  { "weir.native.channel", luaopen_weir_native_channel },
  { "weir.native.checkpoint", luaopen_weir_native_checkpoint },
  { "weir.native.fingerprint", luaopen_weir_native_fingerprint },
  { "weir.native.registry", luaopen_weir_native_registry }, { "weir.native.json", luaopen_weir_native_json },
  { "weir.native.library", luaopen_weir_native_library },
  { "weir.native.peer", luaopen_weir_native_peer },
  { "weir.native.secret", luaopen_weir_native_secret },
  { "weir.native.hash", luaopen_weir_native_hash }, { NULL, NULL } };
