/* template.h - prompts as the models were trained on them, as token ids. */
#ifndef TAIN_IO_TEMPLATE_H
#define TAIN_IO_TEMPLATE_H

#include "io/tokenizer.h"

/* What Janus was told in training before questions about images. */
extern const char template_janus_system[];

/* One turn of a conversation. The user and the assistant take turns, the user first; the assistant's
 * empty turn asks for an answer. Texts are stripped of white space at both ends; a text may hold
 * "<image_placeholder>" wherever an image belongs. */
struct template_turn {
    const char *text;
};

/* Ids of the tokens that Janus' prompts are made of; they differ between checkpoints. */
struct template_janus {
    int32_t bos, eos, pad, begin_image, end_image, image;
};

/* Looks the tokens up by name; TAIN_EFORMAT if one is missing. */
int template_janus_open(const struct tokenizer *t, struct template_janus *ids);

/* The text of a conversation, a new string; `system` may be empty. */
char *template_janus_text(const char *system, const struct template_turn *turns, size_t count);

/* Appends the prompt for an image: BOS ... begin_image, behind which the image's codes follow; and, if
 * `unconditional` is not NULL, the row of the same length that guidance contrasts it with, in which
 * all but the first and the last are pad (and attended to). */
int template_janus_image(const struct tokenizer *t, const char *prompt,
                         struct tokens *conditional, struct tokens *unconditional);

/* Appends a conversation, in which each placeholder becomes begin_image, `image_tokens` times the
 * placeholder, end_image. */
int template_janus_talk(const struct tokenizer *t, const char *system,
                        const struct template_turn *turns, size_t count, size_t image_tokens,
                        struct tokens *out);

/* The same for one image and one question about it, up to where the answer begins. */
int template_janus_question(const struct tokenizer *t, const char *system, const char *question,
                            size_t image_tokens, struct tokens *out);

/* Appends those of the texts that are one token each, as an answer's yes or no may be spelled in
 * several ways; each id once. */
int template_single_tokens(const struct tokenizer *t, const char *const *texts, size_t count,
                           struct tokens *out);

#endif
