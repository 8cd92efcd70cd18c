/* image.h - replays a write log up to a cut and lays out what a disk may hold after a power cut there.
 *
 * On the disk is what a finished sync covers and what was written with O_DSYNC. Of everything later
 * each 512-byte sector is there or not, by a coin; so is each new size, and of the write under way each
 * sector. A name is there for certain when its folder has been synced after it was made. */
#ifndef WEIR_FAULTS_IMAGE_H
#define WEIR_FAULTS_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log_format.h"

typedef struct image_replay image_replay;

/* Read a log; ends the process when it is unreadable. */
image_replay *image_open(const char *path);
void image_close(image_replay *replay);
size_t image_records(const image_replay *replay);

/* Go on (or back to the start, and on) until the first `cut` records have happened. `mark` is called
 * for each mark on the way. */
void image_advance(image_replay *replay, size_t cut, void (*mark)(const void *data, size_t size));

/* Lay out the files of the folder as drawn by the seed; those of before are replaced or removed. */
void image_write(image_replay *replay, uint64_t seed, const char *folder);
#endif
