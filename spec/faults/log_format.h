/* log_format.h - what the write-log shim writes and the image builder reads.
 *
 * The log is a file of records in the order in which the calls returned. A sync has two records: only
 * what was written before it began is on disk when it has returned. Several processes, one after the
 * other, may add to one log; a file is known by its inode, so a name can go to another one. */
#ifndef WEIR_FAULTS_LOG_FORMAT_H
#define WEIR_FAULTS_LOG_FORMAT_H
#include <stdint.h>

enum {
  LOG_NAME,   /* data: a name in the folder that from now on means this file */
  LOG_UNLINK, /* data: a name that is gone */
  LOG_RENAME, /* data: old name, 0, new name */
  LOG_WRITE,  /* data: the bytes; at: their offset */
  LOG_SIZE,   /* at: the file's new size */
  LOG_BEGIN,  /* a sync of the file, or of the folder, begins; at: its number */
  LOG_SYNCED, /* and has returned */
  LOG_MARK,   /* data: what the program wrote to its marks */
};

typedef struct {
  uint32_t kind;
  uint32_t durable; /* a write that was on disk when it returned (O_DSYNC) */
  uint64_t file;    /* inode; 0: the folder */
  uint64_t at;
  uint64_t size; /* bytes of data that follow */
} log_record;
#endif
