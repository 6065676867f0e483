/* utf8.h - reading and writing UTF-8, strictly: no overlong forms, no surrogates. */
#ifndef TAIN_IO_UTF8_H
#define TAIN_IO_UTF8_H

#include "base/base.h"

/* The length of the character at `p`, of which `n` bytes are left; 0 if they are not UTF-8. */
size_t utf8_read(const char *p, size_t n, uint32_t *code);

/* Writes one character, which must be a scalar value, and returns its length. */
size_t utf8_write(uint32_t code, char out[4]);

/* Whether all `n` bytes are UTF-8; if not, *bad is the offset of the first that is not. */
bool utf8_check(const char *p, size_t n, size_t *bad);

/* The Unicode property White_Space. */
bool utf8_space(uint32_t code);

/* Takes White_Space and U+001C..U+001F from both ends, as str.strip() of Python does. */
void utf8_strip(const char **text, size_t *length);

/* Whether one U+FFFD stands for a maximal subpart (as WHATWG, Rust and Python have it) or for one
 * byte (as SentencePiece has it). */
enum utf8_repair { UTF8_SUBPARTS, UTF8_BYTES };

/* Makes a copy in which U+FFFD stands for whatever is not UTF-8; a zero byte follows it. The caller
 * frees it. */
char *utf8_repaired(const char *p, size_t n, enum utf8_repair repair, size_t *length);

#endif
