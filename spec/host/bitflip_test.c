/* bitflip_test.c - flips single bits in copies of a store, and puts other sectors in place, and reads
 * everything: a value is right, or it is refused.
 *
 * Each copy is opened and read by a child of its own, because LMDB 0.9 may crash or loop on a damaged
 * page: that is loud, and counted. What no read finds must be found by verify: a page that is a valid,
 * older one. FLIPS and SECTORS in the environment set how many. */
#include "store_helper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define RUNS 40
#define KEYS 200

static size_t entries_of(int run) {
  return (size_t)(run * 7 % 60 + 1);
}

static void entry_text(char *out, int run, size_t n) {
  int size = sprintf(out, "run %d entry %zu ", run, n);
  size_t more = n % 17 == 3 ? 2500 : (n * 31 + (size_t)run) % 120; /* some become blobs */
  memset(out + size, 'a' + (char)(n % 26), more);
  out[(size_t)size + more] = '\0';
}

static const char *status_of(int run) {
  return run % 3 == 0 ? "running" : "finished";
}

/* Built over several commits, with overwritten keys and rows, so that stale pages abound. */
static void build(const char *folder) {
  weir_store *store = must_open(folder, NULL);
  weir_client *client = weir_client_new(store, helper_wake, NULL);
  char text_bytes[4096], run_id[32];
  for (int run = 0; run < RUNS; run++) {
    sprintf(run_id, "r_%03d", run);
    size_t count = entries_of(run);
    for (size_t n = 1; n <= count; n++) {
      bool last = n == count;
      entry_text(text_bytes, run, n);
      build_entry(client, run_id, 1, text_bytes, strlen(text_bytes),
                  last     ? status_of(run)
                  : n == 1 ? "queued"
                           : NULL,
                  last && run % 3 != 0);
      if (n % 8 == 0 && !last) finish(client, false);
    }
    assert_int_equal(finish(client, false).status, WEIR_OK);
  }
  for (int round = 0; round < 2; round++) {
    for (int key = 0; key < KEYS; key++) {
      char name[16], value[32];
      sprintf(name, "key %03d", key);
      sprintf(value, "value %d of %d", key, round);
      assert_int_equal(put(client, "space", name, value, WEIR_ANY_VERSION).status, WEIR_OK);
    }
  }
  weir_client_free(client);
  weir_store_release(store);
}

enum { SILENT = 1, REFUSED_OPEN = 2, REFUSED_READ = 3, ONLY_VERIFY = 4, NOTHING = 5 };

typedef struct {
  weir_client *client;
  weir_result result;
  bool refused, wrong;
} audit;

static void check_run(audit *a, int run) {
  char run_id[32], wanted[4096];
  sprintf(run_id, "r_%03d", run);
  weir_status status = weir_store_entries(a->client, text(run_id), 0, 1000, &a->result);
  if (status == WEIR_CORRUPT) {
    a->refused = true;
    return;
  }
  if (status != WEIR_OK || weir_result_count(&a->result) != entries_of(run)) {
    a->wrong = true;
    return;
  }
  for (uint32_t i = 0; i < weir_result_count(&a->result); i++) {
    entry_text(wanted, run, i + 1);
    if (!found_is(&a->result, i, wanted)) a->wrong = true;
  }
}

static void check_key(audit *a, int key) {
  char name[16], wanted[32];
  sprintf(name, "key %03d", key);
  sprintf(wanted, "value %d of 1", key);
  weir_status status = weir_store_get(a->client, text("space"), text(name), &a->result);
  if (status == WEIR_CORRUPT)
    a->refused = true;
  else if (status != WEIR_OK || !found_is(&a->result, 0, wanted))
    a->wrong = true;
}

static void check_lists(audit *a) {
  static const char *const statuses[] = { "running", "finished" };
  for (int i = 0; i < 2; i++) {
    uint32_t wanted = 0;
    for (int run = 0; run < RUNS; run++) wanted += strcmp(status_of(run), statuses[i]) == 0;
    weir_run_query query = { .status = text(statuses[i]), .limit = 1000 };
    weir_status status = weir_store_runs(a->client, &query, &a->result);
    if (status == WEIR_CORRUPT)
      a->refused = true;
    else if (status != WEIR_OK || weir_result_count(&a->result) != wanted)
      a->wrong = true;
  }
}

/* In a child: what became of the flip. */
static int examine(const char *folder) {
  char message[WEIR_MESSAGE_MAX];
  weir_store *store;
  audit a = { 0 };
  uint64_t counts[WEIR_TABLES];
  alarm(10);
  if (weir_store_open(folder, NULL, &store, message) != WEIR_OK) return REFUSED_OPEN;
  a.client = weir_client_new(store, helper_wake, NULL);
  for (int run = 0; run < RUNS; run++) check_run(&a, run);
  for (int key = 0; key < KEYS; key++) check_key(&a, key);
  check_lists(&a);
  weir_status status = weir_store_verify(a.client, counts, &a.result);
  bool reported = status != WEIR_OK || weir_result_count(&a.result) > 0;
  if (a.wrong) return reported ? ONLY_VERIFY : SILENT;
  return a.refused ? REFUSED_READ : reported ? ONLY_VERIFY + 2 : NOTHING;
}

/* What is done to a copy: these bytes stand there instead. */
#define SECTOR 512
typedef struct {
  size_t at, size;
  char bytes[SECTOR];
} damage;

static void copy_damaged(const char *bytes, size_t size, const damage *d, const char *folder) {
  char path[512];
  snprintf(path, sizeof path, "%s/data.mdb", folder);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(file >= 0);
  assert_int_equal(write(file, bytes, size), (ssize_t)size);
  assert_int_equal(pwrite(file, d->bytes, d->size, (off_t)d->at), (ssize_t)d->size);
  close(file);
  snprintf(path, sizeof path, "%s/lock.mdb", folder);
  unlink(path);
}

static void copy_seal(const char *from, const char *to) {
  char bytes[8], source[512], target[512];
  snprintf(source, sizeof source, "%s/seal", from);
  snprintf(target, sizeof target, "%s/seal", to);
  int in = open(source, O_RDONLY), out = open(target, O_WRONLY | O_CREAT, 0600);
  assert_true(in >= 0 && out >= 0 && read(in, bytes, 8) == 8 && write(out, bytes, 8) == 8);
  close(in);
  close(out);
}

static uint64_t random_state = 20251123;
static uint64_t next_random(void) { /* xorshift64, Marsaglia 2003 */
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

static damage flip_bit(const char *bytes, size_t size) {
  size_t bit = (size_t)(next_random() % (8 * size));
  damage d = { bit / 8, 1, { (char)(bytes[bit / 8] ^ (1 << bit % 8)) } };
  return d;
}

/* A sector of zeros, of chance, or of another place: what was lost, garbled, or written to the wrong
 * one. */
static damage replace_sector(const char *bytes, size_t size) {
  damage d = { (size_t)(next_random() % (size / SECTOR)) * SECTOR, SECTOR, { 0 } };
  uint64_t kind = next_random() % 3;
  if (kind == 1)
    for (size_t i = 0; i < SECTOR; i++) d.bytes[i] = (char)next_random();
  else if (kind == 2)
    memcpy(d.bytes, bytes + (size_t)(next_random() % (size / SECTOR)) * SECTOR, SECTOR);
  return d;
}

static char *read_store(const char *folder, size_t *size) {
  char path[512];
  struct stat info;
  snprintf(path, sizeof path, "%s/data.mdb", folder);
  FILE *file = fopen(path, "r");
  assert_int_equal(fstat(fileno(file), &info), 0);
  char *bytes = malloc((size_t)info.st_size);
  *size = fread(bytes, 1, (size_t)info.st_size, file);
  fclose(file);
  return bytes;
}

/* The status of a child that examines the folder. */
static int examine_apart(const char *folder) {
  int status;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 2); /* LMDB's assertions */
    for (int number = 1; number < 32; number++)
      signal(number, SIG_DFL); /* cmocka's handlers would go on with the test */
    _exit(examine(folder));
  }
  waitpid(child, &status, 0);
  return status;
}

static int number_of(const char *name, int otherwise) {
  const char *wanted = getenv(name);
  return wanted != NULL ? (int)strtol(wanted, NULL, 10) : otherwise;
}

/* Damages `times` copies; how many of them end in each way is told, and *refused by a read is set. */
static void damage_copies(const char *what, int times, damage (*make)(const char *bytes, size_t size),
                          int *refused) {
  char *folder = new_folder(), copy[] = "/dev/shm/weir-flip-XXXXXX";
  int counts[8] = { 0 }, crashed = 0;
  size_t size;
  build(folder);
  char *bytes = read_store(folder, &size);
  assert_non_null(mkdtemp(copy));
  for (int i = 0; i < times; i++) {
    damage d = make(bytes, size);
    copy_damaged(bytes, size, &d, copy);
    copy_seal(folder, copy); /* the child may have mended and committed */
    int status = examine_apart(copy), way = WIFEXITED(status) ? WEXITSTATUS(status) : 8;
    if (way > 7)
      crashed++;
    else
      counts[way]++;
    if (way == SILENT || (getenv("FLIPS_VERBOSE") != NULL && (way > 7 || way == ONLY_VERIFY)))
      print_message("%s: status %d, %zu bytes at %zu, page %zu\n", way == SILENT ? "silent" : what,
                    status, d.size, d.at, d.at / 4096);
  }
  print_message("%d %s in %zu bytes: %d without effect, %d refused at open, %d refused by a read, "
                "%d found by verify (%d of them wrong until then), "
                "%d ended the process, %d silent\n",
                times, what, size, counts[NOTHING], counts[REFUSED_OPEN], counts[REFUSED_READ],
                counts[ONLY_VERIFY] + counts[ONLY_VERIFY + 2], counts[ONLY_VERIFY], crashed,
                counts[SILENT]);
  assert_int_equal(counts[SILENT], 0);
  assert_int_equal(counts[0], 0);
  *refused = counts[REFUSED_OPEN] + counts[REFUSED_READ];
  free(bytes);
  remove_folder(strdup(copy));
  remove_folder(folder);
}

static void no_flipped_bit_gives_a_silently_wrong_value(void **state) {
  (void)state;
  int flips = number_of("FLIPS", 2000), refused;
  damage_copies("flips", flips, flip_bit, &refused);
  assert_true(flips < 2000 || refused > 0); /* the flips do reach records */
}

static void no_other_sector_gives_a_silently_wrong_value(void **state) {
  (void)state;
  int sectors = number_of("SECTORS", 200), refused;
  damage_copies("sectors", sectors, replace_sector, &refused);
  assert_true(sectors < 200 || refused > 0);
}

int main(void) {
  struct rlimit no_core = { 0, 0 };
  const struct CMUnitTest tests[] = { cmocka_unit_test(no_flipped_bit_gives_a_silently_wrong_value),
                                      cmocka_unit_test(no_other_sector_gives_a_silently_wrong_value) };
  setrlimit(RLIMIT_CORE, &no_core);
  return cmocka_run_group_tests_name("bitflip", tests, NULL, NULL);
}
