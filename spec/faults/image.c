/* image.c - see image.h. One replay belongs to one process; nothing here is shared. */
#include "image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

#define SECTOR 512
#define NAMES 32
#define FILES 64
#define LARGE (16u << 20) /* a file beyond is only space, such as the reserve: a hole of that size */

typedef struct {
  size_t count, capacity; /* of the records that no sync has covered */
  size_t *list;
} pending;

typedef struct {
  uint64_t inode;
  uint8_t *bytes; /* what is on the disk for certain */
  uint64_t size;
  uint64_t capacity;
  pending late;
  uint64_t sync_number; /* of the sync under way, and how many records it covers */
  size_t sync_covers;
} file_state;

typedef struct {
  char name[64];
  uint64_t durable, now; /* inode, or 0: no such name */
} name_state;

struct image_replay {
  uint8_t *log;
  size_t log_size;
  size_t *at; /* offset of each record */
  size_t records, done;
  file_state file[FILES];
  size_t files;
  name_state name[NAMES];
  size_t names;
  uint8_t *scratch; /* of one file's content */
  uint64_t scratch_size, scratch_capacity;
};

static void die(const char *what) {
  fprintf(stderr, "image: %s\n", what);
  exit(70);
}

static void *must(void *memory) {
  if (memory == NULL) die("out of memory");
  return memory;
}

static log_record head_of(const image_replay *replay, size_t i) {
  log_record record;
  memcpy(&record, replay->log + replay->at[i], sizeof record);
  return record;
}

static const uint8_t *data_of(const image_replay *replay, size_t i) {
  return replay->log + replay->at[i] + sizeof(log_record);
}

static void find_records(image_replay *replay) {
  size_t capacity = 0;
  for (size_t at = 0; at + sizeof(log_record) <= replay->log_size;) {
    log_record record;
    memcpy(&record, replay->log + at, sizeof record);
    if (record.size > replay->log_size - at - sizeof record) break; /* the program was killed in it */
    if (replay->records == capacity) {
      capacity = capacity == 0 ? 4096 : capacity * 2;
      replay->at = must(realloc(replay->at, capacity * sizeof *replay->at));
    }
    replay->at[replay->records++] = at;
    at += sizeof record + record.size;
  }
}

image_replay *image_open(const char *path) {
  image_replay *replay = must(calloc(1, sizeof *replay));
  FILE *file = fopen(path, "rb");
  struct stat info;
  if (file == NULL || fstat(fileno(file), &info) != 0) die("the log cannot be read");
  replay->log_size = (size_t)info.st_size;
  replay->log = must(malloc(replay->log_size + 1));
  if (fread(replay->log, 1, replay->log_size, file) != replay->log_size) die("the log cannot be read");
  fclose(file);
  find_records(replay);
  return replay;
}

static void forget_state(image_replay *replay) {
  for (size_t i = 0; i < replay->files; i++) {
    free(replay->file[i].bytes);
    free(replay->file[i].late.list);
  }
  memset(replay->file, 0, sizeof replay->file);
  memset(replay->name, 0, sizeof replay->name);
  replay->files = replay->names = replay->done = 0;
}

void image_close(image_replay *replay) {
  forget_state(replay);
  free(replay->scratch);
  free(replay->at);
  free(replay->log);
  free(replay);
}

size_t image_records(const image_replay *replay) {
  return replay->records;
}

static file_state *file_of(image_replay *replay, uint64_t inode) {
  for (size_t i = 0; i < replay->files; i++)
    if (replay->file[i].inode == inode) return &replay->file[i];
  if (replay->files == FILES) die("too many files");
  replay->file[replay->files].inode = inode;
  return &replay->file[replay->files++];
}

static name_state *name_of(image_replay *replay, const char *name, size_t size) {
  for (size_t i = 0; i < replay->names; i++)
    if (strlen(replay->name[i].name) == size && memcmp(replay->name[i].name, name, size) == 0)
      return &replay->name[i];
  if (replay->names == NAMES || size >= sizeof replay->name[0].name) die("too many names");
  memcpy(replay->name[replay->names].name, name, size);
  return &replay->name[replay->names++];
}

/* Content: a buffer that grows with zeros, as a file does. */
static void resize(uint8_t **bytes, uint64_t *size, uint64_t *capacity, uint64_t wanted) {
  if (wanted <= LARGE && wanted > *capacity) {
    *capacity = wanted * 2;
    *bytes = must(realloc(*bytes, *capacity));
  }
  if (wanted <= LARGE && wanted > *size) memset(*bytes + *size, 0, wanted - *size);
  *size = wanted;
}

static void overwrite(uint8_t **bytes, uint64_t *size, uint64_t *capacity, uint64_t at,
                      const uint8_t *data, uint64_t count) {
  if (at + count > LARGE) die("a write beyond what an image holds; use less work for one log");
  if (at + count > *size) resize(bytes, size, capacity, at + count);
  memcpy(*bytes + at, data, count);
}

/* The record happens to the disk for certain. */
static void settle(image_replay *replay, file_state *file, size_t i) {
  log_record record = head_of(replay, i);
  if (record.kind == LOG_SIZE)
    resize(&file->bytes, &file->size, &file->capacity, record.at);
  else
    overwrite(&file->bytes, &file->size, &file->capacity, record.at, data_of(replay, i), record.size);
}

static void defer(file_state *file, size_t i) {
  pending *late = &file->late;
  if (late->count == late->capacity) {
    late->capacity = late->capacity == 0 ? 64 : late->capacity * 2;
    late->list = must(realloc(late->list, late->capacity * sizeof *late->list));
  }
  late->list[late->count++] = i;
}

/* A durable write keeps its place among those that wait, so that none of them undoes it. Mere space is
 * there for certain, name and all: nobody reads it, and the store would take its time to make it. */
static void write_or_defer(image_replay *replay, file_state *file, size_t i, bool durable) {
  log_record record = head_of(replay, i);
  bool is_space = record.kind == LOG_SIZE && record.at > LARGE;
  if ((durable && file->late.count == 0) || is_space)
    settle(replay, file, i);
  else
    defer(file, i);
}

static void end_sync(image_replay *replay, const log_record *record) {
  if (record->file == 0) {
    for (size_t i = 0; i < replay->names; i++) replay->name[i].durable = replay->name[i].now;
    return;
  }
  file_state *file = file_of(replay, record->file);
  if (file->sync_number != record->at) return; /* two at once: the later one covers both */
  for (size_t i = 0; i < file->sync_covers; i++) settle(replay, file, file->late.list[i]);
  file->late.count -= file->sync_covers;
  memmove(file->late.list, file->late.list + file->sync_covers,
          file->late.count * sizeof *file->late.list);
}

static void begin_sync(image_replay *replay, const log_record *record) {
  if (record->file == 0) return;
  file_state *file = file_of(replay, record->file);
  file->sync_number = record->at;
  file->sync_covers = file->late.count;
}

/* A name for a file that had none is a new file, though its inode may have been another's before. */
static void give_name(image_replay *replay, const log_record *record, const char *name) {
  bool is_named = false;
  for (size_t i = 0; i < replay->names; i++)
    is_named =
        is_named || replay->name[i].now == record->file || replay->name[i].durable == record->file;
  file_state *file = file_of(replay, record->file);
  if (!is_named) file->size = file->late.count = 0;
  name_of(replay, name, record->size)->now = record->file;
}

static void rename_to(image_replay *replay, const log_record *record, const char *names) {
  size_t old = strlen(names);
  name_state *from = name_of(replay, names, old);
  name_state *to = name_of(replay, names + old + 1, record->size - old - 1);
  to->now = from->now;
  from->now = 0;
}

static void step(image_replay *replay, size_t i, void (*mark)(const void *data, size_t size)) {
  log_record record = head_of(replay, i);
  const char *data = (const char *)data_of(replay, i);
  switch (record.kind) {
  case LOG_NAME:
    give_name(replay, &record, data);
    break;
  case LOG_UNLINK:
    name_of(replay, data, record.size)->now = 0;
    break;
  case LOG_RENAME:
    rename_to(replay, &record, data);
    break;
  case LOG_WRITE:
  case LOG_SIZE:
    write_or_defer(replay, file_of(replay, record.file), i, record.durable != 0);
    break;
  case LOG_BEGIN:
    begin_sync(replay, &record);
    break;
  case LOG_SYNCED:
    end_sync(replay, &record);
    break;
  case LOG_MARK:
    if (mark != NULL) mark(data, record.size);
    break;
  default:
    die("a record of no known kind");
  }
}

void image_advance(image_replay *replay, size_t cut, void (*mark)(const void *data, size_t size)) {
  if (cut < replay->done) forget_state(replay);
  while (replay->done < cut && replay->done < replay->records) step(replay, replay->done++, mark);
}

/* Coins of one image. */
typedef struct {
  uint64_t seed, drawn, bits;
} coins;

static bool toss(coins *c) {
  if (c->drawn % 64 == 0) c->bits = model_random(c->seed, c->drawn / 64);
  return c->bits >> (c->drawn++ % 64) & 1;
}

/* What of a record that no sync covers may have reached the disk. */
static void perhaps(image_replay *replay, size_t i, coins *c, bool has_returned) {
  log_record record = head_of(replay, i);
  if (record.kind == LOG_SIZE) {
    if (toss(c)) resize(&replay->scratch, &replay->scratch_size, &replay->scratch_capacity, record.at);
    return;
  }
  const uint8_t *data = data_of(replay, i);
  for (uint64_t at = 0, part; at < record.size; at += part) {
    part = SECTOR - (record.at + at) % SECTOR;
    if (part > record.size - at) part = record.size - at;
    if ((record.durable && has_returned) || toss(c))
      overwrite(&replay->scratch, &replay->scratch_size, &replay->scratch_capacity, record.at + at,
                data + at, part);
  }
}

static void put_file(const char *folder, const char *name, const uint8_t *bytes, uint64_t size) {
  char path[512];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (size > LARGE && stat(path, &info) == 0 && (uint64_t)info.st_size == size) return;
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) die("no file can be made for an image");
  bool good = size > LARGE ? ftruncate(file, (off_t)size) == 0
                           : size == 0 || pwrite(file, bytes, size, 0) == (ssize_t)size;
  if (!good) die("an image cannot be written; is the memory file system full?");
  close(file);
}

static void write_file(image_replay *replay, const name_state *name, uint64_t inode, coins *c,
                       const char *folder) {
  file_state *file = file_of(replay, inode);
  replay->scratch_size = 0;
  resize(&replay->scratch, &replay->scratch_size, &replay->scratch_capacity, file->size);
  if (file->size > 0 && file->size <= LARGE) memcpy(replay->scratch, file->bytes, file->size);
  for (size_t i = 0; i < file->late.count; i++) perhaps(replay, file->late.list[i], c, true);
  if (replay->done < replay->records) { /* the call under way */
    log_record next = head_of(replay, replay->done);
    if (next.file == inode && (next.kind == LOG_WRITE || next.kind == LOG_SIZE))
      perhaps(replay, replay->done, c, false);
  }
  put_file(folder, name->name, replay->scratch, replay->scratch_size);
}

void image_write(image_replay *replay, uint64_t seed, const char *folder) {
  coins c = { seed, 0, 0 };
  char path[512];
  for (size_t i = 0; i < replay->names; i++) {
    name_state *name = &replay->name[i];
    bool is_certain = name->durable == name->now || file_of(replay, name->now)->size > LARGE;
    uint64_t inode = is_certain || toss(&c) ? name->now : name->durable;
    if (inode != 0) {
      write_file(replay, name, inode, &c, folder);
      continue;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name->name);
    unlink(path);
  }
}
