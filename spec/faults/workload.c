/* workload.c - appends to a store from several threads at once and leaves a mark for every request that
 * was acknowledged. What it writes is model.h's.
 *
 *   fault_workload FOLDER MARKS [clients=4] [requests=500] [lives=2] [runs=3] [window=1]
 *
 * clients: threads, each with a client of its own; requests: of each client; lives: how often the store
 * is opened; runs: that a client has under way; window: entries that a client submits before it waits.
 * The log of the store is kept short, so that it is folded and cut. Goes on with what the marks say.
 * Ends with 75 when the store failed, 8 when it could not be opened. At the end it says how many
 * entries a second were acknowledged. */
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "../host/store_helper.h"
#include "model.h"

#define CLIENTS 256

typedef struct {
  weir_store *store;
  pthread_t thread;
  uint64_t acknowledged;
  uint32_t number;
  int status; /* of the process */
} worker;

static struct { uint64_t clients, requests, lives, runs, window; } settings = { 4, 500, 2, 3, 1 };

static int marks;
static uint64_t entries_of[1u << 20];         /* acknowledged, by run */
static uint64_t puts_of[CLIENTS][MODEL_KEYS]; /* by client and key */

static void mark(uint32_t what, uint32_t subject, uint64_t number) {
  model_mark m = { what, subject, number };
  if (write(marks, &m, sizeof m) != sizeof m) _exit(70);
}

static void read_marks(const char *path) {
  model_mark m;
  FILE *file = fopen(path, "rb");
  while (file != NULL && fread(&m, sizeof m, 1, file) == 1) {
    if (m.what == MARK_ENTRY && m.number > entries_of[m.subject]) entries_of[m.subject] = m.number;
    if (m.what == MARK_KEY) puts_of[m.subject / MODEL_KEYS][m.subject % MODEL_KEYS] = m.number;
  }
  if (file != NULL) fclose(file);
}

/* The run that stands in one of the client's places: the first of that place that has not ended. */
static uint32_t run_at(const worker *w, uint64_t place) {
  uint64_t step = settings.clients * settings.runs;
  uint64_t run = 1 + w->number * settings.runs + place;
  while (entries_of[run] == model_entries((uint32_t)run)) run += step;
  return (uint32_t)run;
}

static void add_entry(weir_client *client, uint32_t run, uint64_t n) {
  char id[24], bytes[MODEL_TEXT];
  bool last = n == model_entries(run);
  size_t size = model_entry(bytes, run, n);
  model_run_id(id, run);
  build_entry(client, id, 1, bytes, size, last ? "finished" : n == 1 ? "running" : NULL, last);
}

static bool conclude(worker *w, outcome last) {
  if (last.status == WEIR_OK) return true;
  if (last.status == WEIR_FULL) {
    mark(MARK_FULL, w->number, 0);
    usleep(2000);
    return true;
  }
  mark(MARK_FAILED, w->number, 0);
  w->status = last.status == WEIR_UNAVAILABLE ? 75 : 1;
  if (w->number == 0) fprintf(stderr, "%s\n", last.message);
  return false;
}

/* When nothing can be kept, what has been kept can be read. */
static bool read_back(worker *w, weir_client *client, uint32_t run) {
  char id[24];
  weir_result result = { 0 };
  model_run_id(id, run);
  weir_status status = weir_store_entries(client, text(id), 0, 100000, &result);
  uint64_t there = status == WEIR_OK ? weir_result_count(&result) : 0;
  bool good = there >= entries_of[run] && (status == WEIR_OK || status == WEIR_NOT_FOUND);
  if (!good) {
    fprintf(stderr, "run %u: %llu entries can be read, %llu were acknowledged: %s\n", run,
            (unsigned long long)there, (unsigned long long)entries_of[run], result.message);
    w->status = 1;
  }
  weir_result_free(&result);
  return good;
}

/* Appends to one run, up to `window` entries at once; only then is each of them acknowledged. */
static bool append_some(worker *w, weir_client *client, uint64_t place) {
  uint32_t run = run_at(w, place);
  uint64_t first = entries_of[run] + 1, last = first - 1;
  while (last < model_entries(run) && last - first + 1 < settings.window)
    add_entry(client, run, ++last);
  outcome end = finish(client, false);
  if (!conclude(w, end)) return false;
  if (end.status != WEIR_OK) return read_back(w, client, run);
  if (end.result != last) {
    fprintf(stderr, "run %u: entry %llu was appended as %llu\n", run, (unsigned long long)last,
            (unsigned long long)end.result);
    w->status = 1;
    return false;
  }
  entries_of[run] = last;
  mark(MARK_ENTRY, run, last);
  w->acknowledged += last - first + 1;
  return true;
}

static bool put_some(worker *w, weir_client *client, uint64_t r) {
  char name[24], value[64];
  uint32_t key = w->number * MODEL_KEYS + (uint32_t)(r % MODEL_KEYS);
  uint64_t *times = &puts_of[w->number][r % MODEL_KEYS];
  snprintf(name, sizeof name, "key %u", key);
  model_value(value, key, *times + 1);
  outcome end = put(client, "space", name, value, WEIR_ANY_VERSION);
  if (!conclude(w, end)) return false;
  if (end.status != WEIR_OK) return true;
  mark(MARK_KEY, key, ++*times);
  return true;
}

/* Where a life before this one was cut short, more may be there than it knew. */
static void catch_up(worker *w, weir_client *client) {
  char id[24];
  for (uint64_t place = 0; place < settings.runs; place++) {
    uint32_t run;
    uint64_t known;
    do {
      run = run_at(w, place);
      known = entries_of[run];
      model_run_id(id, run);
      uint64_t there = take_run(client, id, 1).result;
      if (there > known) entries_of[run] = there;
    } while (entries_of[run] == model_entries(run) && entries_of[run] != known);
  }
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *work(void *argument) {
  worker *w = argument;
  weir_client *client = weir_client_new(w->store, helper_wake, NULL);
  catch_up(w, client);
  bool good = true;
  for (uint64_t i = 0; good && i < settings.requests / settings.lives; i++) {
    uint64_t r = model_random(w->number + 7, i);
    good = r % 16 == 0 ? put_some(w, client, r / 16) : append_some(w, client, r / 16 % settings.runs);
  }
  weir_client_free(client);
  return NULL;
}

static int live(const char *folder) {
  static worker workers[CLIENTS];
  char message[WEIR_MESSAGE_MAX];
  weir_store *store;
  weir_store_options options = { .log_bytes = 64 << 10, .log_entries = 300 };
  int status = 0;
  if (weir_store_open(folder, &options, &store, message) != WEIR_OK) {
    fprintf(stderr, "%s\n", message);
    return 8;
  }
  uint64_t acknowledged = 0;
  double started = seconds_now();
  for (uint32_t i = 0; i < settings.clients; i++) {
    workers[i] = (worker){ .store = store, .number = i };
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) return 71;
  }
  for (uint32_t i = 0; i < settings.clients; i++) {
    pthread_join(workers[i].thread, NULL);
    acknowledged += workers[i].acknowledged;
    if (workers[i].status > status) status = workers[i].status;
  }
  double seconds = seconds_now() - started;
  printf("entries %llu seconds %.3f rate %.0f\n", (unsigned long long)acknowledged, seconds,
         (double)acknowledged / seconds);
  fflush(stdout);
  weir_store_release(store);
  return status;
}

static bool set(const char *argument) {
  static const struct {
    const char *name;
    uint64_t *value;
  } all[] = { { "clients=", &settings.clients },
              { "requests=", &settings.requests },
              { "lives=", &settings.lives },
              { "runs=", &settings.runs },
              { "window=", &settings.window } };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    size_t size = strlen(all[i].name);
    if (strncmp(argument, all[i].name, size) != 0) continue;
    *all[i].value = strtoull(argument + size, NULL, 10);
    return *all[i].value > 0;
  }
  return false;
}

int main(int count, char **arguments) {
  if (count < 3) {
    fprintf(stderr, "usage: fault_workload FOLDER MARKS [name=value]...\n");
    return 2;
  }
  for (int i = 3; i < count; i++) {
    if (set(arguments[i])) continue;
    fprintf(stderr, "no setting: '%s'\n", arguments[i]);
    return 2;
  }
  if (settings.clients > CLIENTS) return 2;
  read_marks(arguments[2]);
  marks = open(arguments[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (marks < 0) {
    perror(arguments[2]);
    return 2;
  }
  int status = 0;
  for (uint64_t i = 0; i < settings.lives && status == 0; i++) status = live(arguments[1]);
  close(marks);
  return status;
}
