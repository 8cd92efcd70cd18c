/* crc32c.h - the checksum of everything the store keeps: CRC-32C (Castagnoli polynomial, reflected
 * 0x82F63B78, as in iSCSI, RFC 3720 appendix B.4). It finds every single-bit error and every burst
 * of up to 32 bits. Any thread; nothing here allocates. */
#ifndef WEIR_CRC32C_H
#define WEIR_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* Checksum of the bytes that gave `crc` so far followed by these; start with 0.
 * weir_crc32c(0, "123456789", 9) is 0xE3069283. */
uint32_t weir_crc32c(uint32_t crc, const void *bytes, size_t size);

/* The same without the processor's own instruction; for tests of the table and for other machines. */
uint32_t weir_crc32c_portable(uint32_t crc, const void *bytes, size_t size);
#endif
