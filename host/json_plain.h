/* json_plain.h - for the reader and the writer of JSON: skip what needs no look, eight bytes at a time.
 *
 * Plain bytes stand for themselves inside a text: ASCII but for control characters, '"' and '\'. */
#ifndef WEIR_JSON_PLAIN_H
#define WEIR_JSON_PLAIN_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WEIR_EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (uint64_t)(byte))

/* Zero if all of eight bytes are plain; nonzero where one is not, and sometimes where all are. */
static inline uint64_t weir_json_special(uint64_t eight) {
  uint64_t quote = eight ^ WEIR_EACH_BYTE('"'), slash = eight ^ WEIR_EACH_BYTE('\\');
  uint64_t borrowed =
      (eight - WEIR_EACH_BYTE(0x20)) | (quote - WEIR_EACH_BYTE(1)) | (slash - WEIR_EACH_BYTE(1));
  return (borrowed | eight) & WEIR_EACH_BYTE(0x80);
}

static inline bool weir_json_is_plain(char c) {
  unsigned char byte = (unsigned char)c;
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* The first byte that is not plain, or end. */
static inline const char *weir_json_skip_plain(const char *at, const char *end) {
  while (end - at >= 8) {
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    if (weir_json_special(eight)) break;
    at += 8;
  }
  while (at < end && weir_json_is_plain(*at)) at++;
  return at;
}
#endif
