/* oniguruma.h - regular expressions of tokenizer.json, written for Oniguruma, in PCRE2's terms. */
#ifndef TAIN_IO_ONIGURUMA_H
#define TAIN_IO_ONIGURUMA_H

/* Makes the PCRE2 pattern (for PCRE2_UTF | PCRE2_MULTILINE, newline LF) that matches what the
 * pattern matches in Oniguruma's Ruby syntax. What is not known to mean the same is
 * TAIN_EUNSUPPORTED. The caller frees it. */
char *oniguruma_translate(const char *pattern);

#endif
