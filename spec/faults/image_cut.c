/* image_cut.c - lays out one image of a write log, and the marks made until its cut, for others to examine.
 *
 *   fault_image LOG FOLDER MARKS SEED IMAGE
 *
 * SEED and IMAGE draw the cut and what of the late writes is there. FOLDER must exist. */
#include <stdio.h>
#include <stdlib.h>

#include "image.h"
#include "model.h"

static FILE *marks;

static void take_mark(const void *data, size_t size) {
  if (fwrite(data, 1, size, marks) != size) exit(70);
}

int main(int count, char **arguments) {
  if (count != 6) return 2;
  uint64_t seed = strtoull(arguments[4], NULL, 10), image = strtoull(arguments[5], NULL, 10);
  image_replay *replay = image_open(arguments[1]);
  size_t records = image_records(replay);
  if (records == 0) return 70;
  size_t cut = 1 + (size_t)(model_random(seed, 2 * image) % records);
  marks = fopen(arguments[3], "wb");
  if (marks == NULL) {
    perror(arguments[3]);
    return 70;
  }
  image_advance(replay, cut, take_mark);
  image_write(replay, model_random(seed, 2 * image + 1), arguments[2]);
  printf("cut before record %zu of %zu\n", cut, records);
  image_close(replay);
  return fclose(marks) == 0 ? 0 : 70;
}
