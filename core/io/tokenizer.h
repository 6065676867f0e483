/* tokenizer.h - text to token ids and back, for whatever tokenizer lies in a folder. */
#ifndef TAIN_IO_TOKENIZER_H
#define TAIN_IO_TOKENIZER_H

#include "base/base.h"

struct tokenizer;

/* A growing list of ids. All zeros is an empty one; tokens_clear() releases it. */
struct tokens {
    int32_t *at;
    size_t count, room;
};

int tokens_push(struct tokens *list, int32_t id);
int tokens_repeat(struct tokens *list, int32_t id, size_t times);
int tokens_append(struct tokens *list, const int32_t *ids, size_t count);
void tokens_clear(struct tokens *list);

/* Puts `id` before the others until there are `width`. */
int tokens_pad_left(struct tokens *list, int32_t id, size_t width);

/* Reads tokenizer.model, or tokenizer.json, or vocab.json with merges.txt, in this order, and
 * tokenizer_config.json, special_tokens_map.json and added_tokens.json where they lie beside it.
 * NULL on failure. A tokenizer may be used by several threads while none adds to it. */
struct tokenizer *tokenizer_open(const char *folder);
void tokenizer_free(struct tokenizer *t);

/* Appends the ids of a text, which must be UTF-8 and may hold zero bytes. Text that spells an added
 * token becomes that token. With `special`, what the model's own tokenizer class puts around a text
 * (the BOS of Janus and VILA-U) is there too. On failure `out` is as it was. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t length, bool special,
                     struct tokens *out);

/* Makes the text of the ids, with U+FFFD for what is not UTF-8; a zero byte follows it. The caller
 * frees it. `skip` leaves special tokens out. An id that names no token gives nothing, as the
 * vocabulary of a model is often padded; a negative one is a mistake. */
char *tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                       size_t *length);

/* The same before invalid UTF-8 is replaced, for text that arrives token by token. */
char *tokenizer_bytes(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                      size_t *length);

/* The id of a token by the name it has in the file ("Ġcat", "<begin_of_image>"), or -1. */
int32_t tokenizer_id(const struct tokenizer *t, const char *name);

/* The name of a token, NULL if there is none of this id. Borrowed, not ended by a zero byte. */
const char *tokenizer_name(const struct tokenizer *t, int32_t id, size_t *length);

bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

/* One more than the highest id. */
int32_t tokenizer_count(const struct tokenizer *t);

/* Ids of the roles that the configuration names, -1 where it names none. */
int32_t tokenizer_bos(const struct tokenizer *t);
int32_t tokenizer_eos(const struct tokenizer *t);
int32_t tokenizer_pad(const struct tokenizer *t);

/* Adds a special token that the files lack (Show-o's ten) and returns its id, the next free one;
 * the id it has if there is such a token already; a negative status on failure. */
int32_t tokenizer_add(struct tokenizer *t, const char *name);

#endif
