/* power_cut.c - H2: builds the images that a power cut may leave, from a write log of the workload, and
 * opens each with the real store: every entry that was acknowledged is there, each journal is gap-free
 * and what the workload wrote, `verify` finds nothing, and the store goes on.
 *
 *   fault_power_cut LOG [images=2000] [seed=1] [image=I] [jobs=2] [control=1]
 *
 * Each image has a number, and with the seed that draws its cut and its sectors: `image=I` builds and
 * examines that one only, and keeps its folder. Images lie in memory and are read in processes that the
 * first one starts, because LMDB may crash on a bad one: that is counted. With control=1 the test fails
 * unless images are bad: the log was made without syncs. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../host/store_helper.h"
#include "image.h"
#include "model.h"

#define RUNS 65536
#define KEYS (256 * MODEL_KEYS)
#define UNKNOWN 64 /* runs beyond the highest one of which something was acknowledged */
#define MAKING 20  /* records in which a store comes into being */

typedef enum { GOOD, UNBORN, LOST, WRONG, REFUSED, CRASHED, VERDICTS } verdict;
static const char *const verdict_names[VERDICTS] = { "good",  "not yet a store", "lost",
                                                     "wrong", "refused",         "crashed" };

static struct { uint64_t images, seed, image, jobs, control; } settings = { 2000, 1, UINT64_MAX, 2, 0 };

/* Of one job; shared with the process that looks after it. */
typedef struct {
  uint64_t next; /* position in the job's list of images */
  uint64_t counts[VERDICTS];
  uint64_t first_bad; /* image, or UINT64_MAX */
  char why[256];      /* of the first bad one */
} progress;

typedef struct {
  uint64_t image;
  size_t cut;
} planned;

/* What had been acknowledged at the cut. */
static uint64_t entries_of[RUNS], puts_of[KEYS];
static uint32_t highest_run;
static bool any_mark;

static void take_mark(const void *data, size_t size) {
  model_mark m;
  if (size != sizeof m) return;
  memcpy(&m, data, sizeof m);
  if (m.what == MARK_ENTRY && m.subject < RUNS) {
    entries_of[m.subject] = m.number;
    if (m.subject > highest_run) highest_run = m.subject;
    any_mark = true;
  } else if (m.what == MARK_KEY && m.subject < KEYS) {
    puts_of[m.subject] = m.number;
    any_mark = true;
  }
}

typedef struct {
  weir_client *client;
  weir_result result;
  char why[256];
} audit;

__attribute__((format(printf, 3, 4))) static verdict say(audit *a, verdict v, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(a->why, sizeof a->why, format, arguments);
  va_end(arguments);
  return v;
}

static verdict check_row(audit *a, uint32_t run, const char *id, uint64_t there) {
  weir_status status = weir_store_row(a->client, text(id), &a->result);
  const char *wanted = there == model_entries(run) ? "finished" : "running";
  if (status != WEIR_OK)
    return say(a, WRONG, "run %u has entries and no row: %s", run, a->result.message);
  weir_found found = weir_result_at(&a->result, 0);
  const uint8_t *row = a->result.bytes.bytes + found.at;
  if (memmem(row, found.size, wanted, strlen(wanted)) == NULL)
    return say(a, WRONG, "run %u has %llu entries and is not %s", run, (unsigned long long)there,
               wanted);
  return GOOD;
}

/* Entries beyond the acknowledged ones may be there, if they are the ones that were asked for. */
static verdict check_run(audit *a, uint32_t run, uint64_t *there) {
  char id[24], wanted[MODEL_TEXT];
  model_run_id(id, run);
  weir_status status = weir_store_entries(a->client, text(id), 0, 100000, &a->result);
  *there = status == WEIR_OK ? weir_result_count(&a->result) : 0;
  if (status != WEIR_OK && status != WEIR_NOT_FOUND)
    return say(a, WRONG, "run %u cannot be read: %s", run, a->result.message);
  if (*there < entries_of[run])
    return say(a, LOST, "run %u has %llu entries, %llu were acknowledged", run,
               (unsigned long long)*there, (unsigned long long)entries_of[run]);
  if (*there > model_entries(run)) return say(a, WRONG, "run %u goes on after its end", run);
  for (uint64_t n = 1; n <= *there; n++) {
    model_entry(wanted, run, n);
    if (weir_result_at(&a->result, (uint32_t)n - 1).number != n)
      return say(a, WRONG, "run %u: entry %llu is missing", run, (unsigned long long)n);
    if (!found_is(&a->result, (uint32_t)n - 1, wanted))
      return say(a, WRONG, "run %u: entry %llu is another one", run, (unsigned long long)n);
  }
  return *there == 0 ? GOOD : check_row(a, run, id, *there);
}

/* All runs that may be there, also those of which nothing was acknowledged. Tells one to go on with. */
static verdict check_runs(audit *a, uint32_t *unended, uint64_t *unended_has) {
  verdict v = GOOD;
  uint64_t there;
  for (uint32_t run = 1; run <= highest_run + UNKNOWN && v == GOOD; run++) {
    v = check_run(a, run, &there);
    if (there == model_entries(run)) continue;
    *unended = run;
    *unended_has = there;
  }
  return v;
}

static verdict check_key(audit *a, uint32_t key) {
  char name[24], value[64];
  snprintf(name, sizeof name, "key %u", key);
  weir_status status = weir_store_get(a->client, text("space"), text(name), &a->result);
  if (status == WEIR_NOT_FOUND && puts_of[key] == 0) return GOOD;
  if (status == WEIR_NOT_FOUND) return say(a, LOST, "key %u is not there", key);
  if (status != WEIR_OK) return say(a, WRONG, "key %u cannot be read: %s", key, a->result.message);
  for (uint64_t times = puts_of[key]; times <= puts_of[key] + 1; times++) {
    model_value(value, key, times);
    if (found_is(&a->result, 0, value)) return GOOD;
  }
  return say(a, LOST, "key %u does not have the value that was put the %lluth time", key,
             (unsigned long long)puts_of[key]);
}

static verdict check_verify(audit *a) {
  uint64_t counts[WEIR_TABLES];
  if (weir_store_verify(a->client, counts, &a->result) != WEIR_OK)
    return say(a, WRONG, "verify: %s", a->result.message);
  if (weir_result_count(&a->result) == 0) return GOOD;
  weir_found found = weir_result_at(&a->result, 0);
  return say(a, WRONG, "verify: %.*s", (int)found.size, (const char *)a->result.bytes.bytes + found.at);
}

static verdict check_going_on(audit *a, uint32_t run, uint64_t there) {
  char id[24], bytes[MODEL_TEXT];
  size_t size = model_entry(bytes, run, there + 1);
  model_run_id(id, run);
  build_entry(a->client, id, 1, bytes, size, "running", false);
  outcome end = finish(a->client, false);
  if (end.status == WEIR_OK && end.result == there + 1) return GOOD;
  return say(a, WRONG, "run %u takes no further entry: %s", run, end.message);
}

static verdict check_store(audit *a) {
  uint32_t run = 1;
  uint64_t there = 0;
  verdict v = check_runs(a, &run, &there);
  for (uint32_t key = 0; v == GOOD && key < KEYS; key++)
    if (puts_of[key] > 0) v = check_key(a, key);
  if (v == GOOD) v = check_verify(a);
  return v == GOOD ? check_going_on(a, run, there) : v;
}

static verdict examine(const char *folder, audit *a) {
  char message[WEIR_MESSAGE_MAX];
  weir_store *store;
  if (weir_store_open(folder, NULL, &store, message) != WEIR_OK)
    return say(a, any_mark ? REFUSED : UNBORN, "%s", message);
  a->client = weir_client_new(store, helper_wake, NULL);
  verdict v = check_store(a);
  weir_result_free(&a->result);
  a->result = (weir_result){ 0 };
  weir_client_free(a->client);
  weir_store_release(store);
  return v;
}

/* Anywhere; one image in 16 is of a store that is just being made. */
static size_t cut_of(const image_replay *replay, uint64_t image) {
  uint64_t r = model_random(settings.seed, 2 * image);
  size_t records = image_records(replay), early = records < MAKING ? records : MAKING;
  return 1 + (size_t)(r / 16 % (r % 16 == 0 ? early : records));
}

/* All but the reserve, which is only space. */
static void clear_folder(const char *folder) {
  static const char *const names[] = { "data.mdb", "data.new", "lock.mdb", "owner", "seal" };
  char path[512];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
}

static verdict build_and_examine(image_replay *replay, const planned *plan, const char *folder,
                                 audit *a) {
  image_advance(replay, plan->cut, take_mark);
  clear_folder(folder);
  image_write(replay, model_random(settings.seed, 2 * plan->image + 1), folder);
  return examine(folder, a);
}

static void count(progress *p, const planned *plan, verdict v, const char *why) {
  p->counts[v]++;
  p->next++;
  if (v == GOOD || p->first_bad != UINT64_MAX) return;
  p->first_bad = plan->image;
  snprintf(p->why, sizeof p->why, "%s: %.200s", verdict_names[v], why);
}

static void work(image_replay *replay, const planned *list, size_t size, const char *folder,
                 progress *p) {
  audit a = { 0 };
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, 2); /* LMDB's assertions */
  while (p->next < size) {
    const planned *plan = &list[p->next];
    alarm(30);
    count(p, plan, build_and_examine(replay, plan, folder, &a), a.why);
  }
  _exit(0);
}

static int by_cut(const void *left, const void *right) {
  const planned *a = left, *b = right;
  return a->cut < b->cut ? -1 : a->cut > b->cut;
}

static size_t plan_images(const image_replay *replay, uint64_t job, planned **list) {
  size_t size = 0;
  *list = calloc(settings.images + 1, sizeof **list);
  if (*list == NULL) exit(71);
  for (uint64_t image = job; image < settings.images; image += settings.jobs)
    (*list)[size++] = (planned){ image, cut_of(replay, image) };
  qsort(*list, size, sizeof **list, by_cut);
  return size;
}

static void make_folder(char *folder) {
  snprintf(folder, 64, "/dev/shm/weir-cut-XXXXXX");
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    exit(70);
  }
}

/* Look after one job: begin again behind an image that ended the process. */
static void look_after(image_replay *replay, uint64_t job, progress *p) {
  planned *list;
  char folder[64], reserve[80];
  struct rlimit no_core = { 0, 0 };
  size_t size = plan_images(replay, job, &list);
  make_folder(folder);
  setrlimit(RLIMIT_CORE, &no_core);
  while (p->next < size) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) work(replay, list, size, folder, p);
    waitpid(child, &status, 0);
    if (p->next < size) {
      count(p, &list[p->next], CRASHED, "the process ended while it read the image");
      clear_folder(folder);
    }
  }
  clear_folder(folder);
  snprintf(reserve, sizeof reserve, "%s/reserve", folder);
  unlink(reserve);
  rmdir(folder);
  free(list);
}

static int examine_one(image_replay *replay) {
  audit a = { 0 };
  char folder[64];
  planned plan = { settings.image, cut_of(replay, settings.image) };
  make_folder(folder);
  printf("image %llu: cut before record %zu of %zu, in %s\n", (unsigned long long)plan.image, plan.cut,
         image_records(replay), folder);
  fflush(stdout);
  verdict v = build_and_examine(replay, &plan, folder, &a);
  printf("%s%s%s\n", verdict_names[v], a.why[0] != '\0' ? ": " : "", a.why);
  return v == GOOD ? 0 : 1;
}

/* Tells the counts of all jobs; the status of the process. */
static int report(const progress *all, const char *log) {
  uint64_t sum[VERDICTS] = { 0 }, bad = 0;
  const progress *worst = NULL;
  for (uint64_t job = 0; job < settings.jobs; job++) {
    for (int v = 0; v < VERDICTS; v++) sum[v] += all[job].counts[v];
    if (all[job].first_bad != UINT64_MAX) worst = &all[job];
  }
  printf("%llu images:", (unsigned long long)settings.images);
  for (int v = 0; v < VERDICTS; v++) {
    if (v != GOOD) bad += sum[v];
    printf(" %llu %s%s", (unsigned long long)sum[v], verdict_names[v], v + 1 < VERDICTS ? "," : "\n");
  }
  if (worst != NULL && settings.control == 0)
    printf("%s\nrepeat: fault_power_cut %s seed=%llu image=%llu\n", worst->why, log,
           (unsigned long long)settings.seed, (unsigned long long)worst->first_bad);
  return settings.control != 0 ? bad == 0 : bad > 0;
}

static bool set(const char *argument) {
  static const struct {
    const char *name;
    uint64_t *value;
  } all[] = { { "images=", &settings.images },
              { "seed=", &settings.seed },
              { "image=", &settings.image },
              { "jobs=", &settings.jobs },
              { "control=", &settings.control } };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    size_t size = strlen(all[i].name);
    if (strncmp(argument, all[i].name, size) != 0) continue;
    *all[i].value = strtoull(argument + size, NULL, 10);
    return true;
  }
  return false;
}

static void run_jobs(image_replay *replay, progress *all) {
  for (uint64_t job = 0; job < settings.jobs; job++) {
    all[job].first_bad = UINT64_MAX;
    fflush(stdout);
    if (fork() != 0) continue;
    look_after(replay, job, &all[job]);
    _exit(0);
  }
  while (wait(NULL) > 0) {
  }
}

int main(int count_of_arguments, char **arguments) {
  for (int i = 2; i < count_of_arguments; i++) {
    if (set(arguments[i])) continue;
    fprintf(stderr, "no setting: '%s'\n", arguments[i]);
    return 2;
  }
  if (count_of_arguments < 2 || settings.jobs < 1 || settings.jobs > 64) return 2;
  image_replay *replay = image_open(arguments[1]);
  if (image_records(replay) == 0) {
    fprintf(stderr, "%s: the log is empty\n", arguments[1]);
    return 70;
  }
  if (settings.image != UINT64_MAX) return examine_one(replay);
  size_t size = settings.jobs * sizeof(progress);
  progress *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return 71;
  run_jobs(replay, all);
  int status = report(all, arguments[1]);
  image_close(replay);
  munmap(all, size);
  return status;
}
