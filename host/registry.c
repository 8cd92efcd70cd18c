/* registry.c - two hash tables with chains: names, and (name, hash) pairs. */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64

typedef struct entry entry;
struct entry { /* a name */
  char *name;
  weir_version *versions, *active;
  entry *next_in_bucket, *next_in_order;
};

typedef struct chained chained;
struct chained { /* a version and its place in the second table */
  weir_version version;
  entry *owner;
  chained *next_in_bucket;
};

struct weir_registry {
  entry **names;
  chained **pairs;
  size_t buckets, name_count, pair_count;
  entry *first, *last;
  uint32_t last_id;
};

/* FNV-1a of Fowler, Noll and Vo; the second text continues the first. */
static uint64_t hash_text(uint64_t hash, const char *text) {
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
  return hash;
}

static uint64_t name_hash(const char *name) { return hash_text(14695981039346656037u, name); }
static uint64_t pair_hash(const char *name, const char *hash) { return hash_text(name_hash(name), hash); }

weir_registry *weir_registry_new(void) {
  weir_registry *registry = calloc(1, sizeof *registry);
  if (!registry) return NULL;
  registry->buckets = FIRST_BUCKETS;
  registry->names = calloc(FIRST_BUCKETS, sizeof *registry->names);
  registry->pairs = calloc(FIRST_BUCKETS, sizeof *registry->pairs);
  if (registry->names && registry->pairs) return registry;
  weir_registry_free(registry);
  return NULL;
}

static void free_version(weir_version *version) {
  free((void *)(uintptr_t)version->hash);
  free(version); /* the first member of a chained */
}

void weir_registry_free(weir_registry *registry) {
  if (!registry) return;
  for (entry *name = registry->first, *next; name; name = next) {
    next = name->next_in_order;
    for (weir_version *version = name->versions, *older; version; version = older) {
      older = version->next;
      free_version(version);
    }
    free(name->name);
    free(name);
  }
  free(registry->names);
  free(registry->pairs);
  free(registry);
}

static bool grow(weir_registry *registry) {
  size_t buckets = registry->buckets * 2;
  entry **names = calloc(buckets, sizeof *names);
  chained **pairs = calloc(buckets, sizeof *pairs);
  if (!names || !pairs) {
    free(names);
    free(pairs);
    return false;
  }
  for (entry *name = registry->first; name; name = name->next_in_order) {
    entry **bucket = &names[name_hash(name->name) % buckets];
    name->next_in_bucket = *bucket;
    *bucket = name;
    for (weir_version *version = name->versions; version; version = version->next) {
      chained *pair = (chained *)version, **place = &pairs[pair_hash(name->name, version->hash) % buckets];
      pair->next_in_bucket = *place;
      *place = pair;
    }
  }
  free(registry->names);
  free(registry->pairs);
  registry->names = names;
  registry->pairs = pairs;
  registry->buckets = buckets;
  return true;
}

static entry *find_name(const weir_registry *registry, const char *name) {
  entry *found = registry->names[name_hash(name) % registry->buckets];
  while (found && strcmp(found->name, name) != 0) found = found->next_in_bucket;
  return found;
}

static chained *find_pair(const weir_registry *registry, const char *name, const char *hash) {
  chained *found = registry->pairs[pair_hash(name, hash) % registry->buckets];
  while (found && (strcmp(found->version.hash, hash) != 0 || strcmp(found->version.name, name) != 0))
    found = found->next_in_bucket;
  return found;
}

static entry *add_name(weir_registry *registry, const char *name) {
  entry *added = calloc(1, sizeof *added);
  if (!added || !(added->name = strdup(name))) {
    free(added);
    return NULL;
  }
  entry **bucket = &registry->names[name_hash(name) % registry->buckets];
  added->next_in_bucket = *bucket;
  *bucket = added;
  if (registry->last) registry->last->next_in_order = added;
  else registry->first = added;
  registry->last = added;
  registry->name_count++;
  return added;
}

weir_version *weir_registry_add(weir_registry *registry, const char *name, const char *hash) {
  chained *pair = find_pair(registry, name, hash);
  if (pair) return &pair->version;
  if (registry->pair_count >= registry->buckets && !grow(registry)) return NULL;
  entry *owner = find_name(registry, name);
  if (!owner && !(owner = add_name(registry, name))) return NULL;
  pair = calloc(1, sizeof *pair);
  char *kept = strdup(hash);
  if (!pair || !kept) {
    free(pair);
    free(kept);
    return NULL;
  }
  pair->owner = owner;
  pair->version = (weir_version){ .name = owner->name, .hash = kept, .id = ++registry->last_id, .next = owner->versions };
  owner->versions = &pair->version;
  chained **bucket = &registry->pairs[pair_hash(name, hash) % registry->buckets];
  pair->next_in_bucket = *bucket;
  *bucket = pair;
  registry->pair_count++;
  return &pair->version;
}

weir_version *weir_registry_activate(weir_registry *registry, weir_version *version) {
  (void)registry;
  entry *owner = ((chained *)version)->owner;
  weir_version *before = owner->active;
  if (before) before->active = false;
  version->active = true;
  owner->active = version;
  return before;
}

weir_version *weir_registry_lookup(const weir_registry *registry, const char *name, const char *hash) {
  if (hash) {
    chained *pair = find_pair(registry, name, hash);
    return pair ? &pair->version : NULL;
  }
  entry *found = find_name(registry, name);
  return found ? found->active : NULL;
}

weir_status weir_registry_retire(weir_registry *registry, weir_version *version) {
  if (version->active || version->pins > 0) return WEIR_CONFLICT;
  chained *pair = (chained *)version;
  weir_version **in_name = &pair->owner->versions;
  while (*in_name != version) in_name = &(*in_name)->next;
  *in_name = version->next;
  chained **in_bucket = &registry->pairs[pair_hash(version->name, version->hash) % registry->buckets];
  while (*in_bucket != pair) in_bucket = &(*in_bucket)->next_in_bucket;
  *in_bucket = pair->next_in_bucket;
  registry->pair_count--;
  free_version(version);
  return WEIR_OK;
}

void weir_registry_each(const weir_registry *registry, void (*visit)(void *, const weir_version *), void *context) {
  for (const entry *name = registry->first; name; name = name->next_in_order)
    for (const weir_version *version = name->versions; version; version = version->next) visit(context, version);
}
