/* sandbox_frame.h - what passes between a host and its sandbox: u32 size, little endian, then as many bytes,
 * one value in MessagePack (see pack.h). Reads and writes wait; one thread. */
#ifndef WEIR_SANDBOX_FRAME_H
#define WEIR_SANDBOX_FRAME_H
#include "pack.h"

#define WEIR_FRAME_BYTES (1u << 20) /* of one frame, without its size */

/* Write a frame: OK, LIMIT (too large; nothing was written) or CLOSED. */
weir_status weir_frame_write(int descriptor, const void *bytes, size_t size);

/* Read the next frame into `frame`, which is emptied first: OK, CLOSED (the end, also in the middle of a frame)
 * or LIMIT (too large, or no memory). */
weir_status weir_frame_read(int descriptor, weir_buffer *frame);
#endif
