/* model.h - what the workload writes, as a function of names and numbers, so that whoever reads a store
 * later can tell what must be in it without having been there; and the marks it leaves. */
#ifndef WEIR_FAULTS_MODEL_H
#define WEIR_FAULTS_MODEL_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MODEL_KEYS 32
#define MODEL_TEXT 8192 /* room for any text */

/* The outcome of a request, in the file of marks as soon as the client has it. */
enum { MARK_ENTRY = 1, MARK_KEY = 2, MARK_FULL = 3, MARK_FAILED = 4, MARK_FAULT = 5 };
typedef struct {
  uint32_t what;
  uint32_t subject; /* run or key */
  uint64_t number;  /* of the entry; how often the key has been put */
} model_mark;

/* splitmix64 (Steele, Lea, Flood 2014): a number for each (seed, position) without state. */
static inline uint64_t model_random(uint64_t seed, uint64_t position) {
  uint64_t z = seed + (position + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline void model_run_id(char out[24], uint32_t run) {
  snprintf(out, 24, "r_%08u", run);
}

/* After so many entries the run has ended; some end soon, some are folded on the way. */
static inline uint64_t model_entries(uint32_t run) {
  uint64_t r = model_random(1, run);
  return r % 8 == 0 ? 200 + r / 8 % 400 : 1 + r / 8 % 40;
}

/* Text of an entry; one in 16 is so long that it becomes a blob, and some of those are alike. */
static inline size_t model_entry(char out[MODEL_TEXT], uint32_t run, uint64_t n) {
  uint64_t r = model_random(run + 2, n);
  uint32_t named = r % 64 == 0 ? 0 : run; /* texts that several runs share: one blob */
  size_t size =
      (size_t)sprintf(out, "run %u entry %llu ", named, (unsigned long long)(named == 0 ? 0 : n));
  size_t more = r % 16 == 0 ? 1600 + (named == 0 ? 0 : r / 16 % 5000) : r / 16 % 160;
  memset(out + size, 'a' + (char)(named == 0 ? 0 : n % 26), more);
  out[size + more] = '\0';
  return size + more;
}

static inline size_t model_value(char out[64], uint32_t key, uint64_t times) {
  return (size_t)snprintf(out, 64, "key %u, put %llu times", key, (unsigned long long)times);
}
#endif
