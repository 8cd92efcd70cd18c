/* registry.h - names to versions.
 *
 * A name ("agents/echo") has versions, each known by a content hash, and one of them is active. A pin
 * says that somebody still needs a version. Look-ups take constant time. The registry decides what is
 * kept; whoever embeds it keeps the modules themselves, under the id of the version.
 * Host thread only. */
#ifndef WEIR_REGISTRY_H
#define WEIR_REGISTRY_H
#include "status.h"

typedef struct weir_registry weir_registry;
typedef struct weir_version weir_version;

struct weir_version {
  const char *name;      /* the registry's */
  const char *hash;
  uint32_t id;           /* 1.., never used again */
  uint32_t pins;
  bool active;
  weir_version *next;    /* the name's next version, newer first */
};

weir_registry *weir_registry_new(void); /* NULL: no memory */
void weir_registry_free(weir_registry *registry);

/* Add a version of a name, or find it when it is there. It is not active yet. NULL: no memory. */
weir_version *weir_registry_add(weir_registry *registry, const char *name, const char *hash);

/* Make it the active version of its name; returns the one that was, or NULL. */
weir_version *weir_registry_activate(weir_registry *registry, weir_version *version);

/* The active version (hash NULL) or the one with that hash; NULL: there is none. */
weir_version *weir_registry_lookup(const weir_registry *registry, const char *name, const char *hash);

/* Forget a version: CONFLICT while it is active or pinned. *version is gone after OK. */
weir_status weir_registry_retire(weir_registry *registry, weir_version *version);

/* Calls visit for every version of every name, names in the order in which they came. */
void weir_registry_each(const weir_registry *registry, void (*visit)(void *context, const weir_version *), void *context);
#endif
