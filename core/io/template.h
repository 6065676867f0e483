/* template.h - prompts as the models were trained on them, as token ids. */
#ifndef TAIN_IO_TEMPLATE_H
#define TAIN_IO_TEMPLATE_H

#include "io/tokenizer.h"

/* One turn of a conversation. The user and the assistant take turns, the user first. */
struct template_turn {
    const char *text;
};

/* ---- Janus (template.c) ---- */

/* What Janus was told in training before questions about images. */
extern const char template_janus_system[];

/* Ids of the tokens that Janus' prompts are made of; they differ between checkpoints. */
struct template_janus {
    int32_t bos, eos, pad, begin_image, end_image, image;
};

/* Looks the tokens up by name; TAIN_EFORMAT if one is missing. */
int template_janus_open(const struct tokenizer *t, struct template_janus *ids);

/* The text of a conversation, a new string; `system` may be empty. Turns are stripped of white
 * space at both ends, and may hold "<image_placeholder>" wherever an image belongs; the assistant's
 * empty turn, as the last, asks for an answer. */
char *template_janus_text(const char *system, const struct template_turn *turns, size_t count);

/* Appends the prompt for an image: BOS ... begin_image, behind which the image's codes follow; and,
 * if `unconditional` is not NULL, the row of the same length that guidance contrasts it with, in
 * which all but the first and the last are pad (and attended to). */
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

/* ---- Show-o (template_showo.c) ---- */

/* Show-o's own ten tokens are in no file of its tokenizer. */
struct template_showo {
    int32_t end;                    /* <|endoftext|>: before and after a text, at the end */
    int32_t pad, begin_image, end_image, to_image, understand;
    int32_t codes;                  /* the id of the image's code 0 */
};

/* Adds the ten tokens and looks the ids up. */
int template_showo_open(struct tokenizer *t, struct template_showo *ids);

/* Appends the row for an image: the prompt padded on the left or cut to width + 1 ids, begin_image,
 * `mask` for each of the image's codes, end_image. An empty prompt is the unconditional row. */
int template_showo_image(const struct tokenizer *t, const struct template_showo *ids,
                         const char *prompt, size_t width, size_t codes, int32_t mask,
                         struct tokens *out);

/* Appends a question about an image given as codes. */
int template_showo_question(const struct tokenizer *t, const struct template_showo *ids,
                            const char *question, const int32_t *codes, size_t count,
                            struct tokens *out);

/* The same for an image given as CLIP's features: what stands before them and behind. `system` is
 * template_vicuna_system. */
int template_showo_clip(const struct tokenizer *t, const struct template_showo *ids,
                        const char *system, const char *question, struct tokens *before,
                        struct tokens *behind);

/* ---- VILA-U (template_vilau.c) ---- */

/* The system text of Vicuna, which VILA-U and Show-o with CLIP use. */
extern const char template_vicuna_system[];

/* Stands for an image's features in a row of ids. */
#define TEMPLATE_VILAU_IMAGE (-200)

/* Appends the prompt for an image, up to <im_start>; that of an empty prompt is the unconditional
 * one. Rows of a batch are padded on the left with id 0, which is masked. */
int template_vilau_image(const struct tokenizer *t, const char *system, const char *prompt,
                         struct tokens *out);

/* Appends one question about one image, with TEMPLATE_VILAU_IMAGE where its features belong. */
int template_vilau_question(const struct tokenizer *t, const char *system, const char *question,
                            struct tokens *out);

/* ---- Qwen2.5-VL (template_qwen.c) ---- */

extern const char template_qwen_system[];

/* The text of a conversation up to where the assistant answers; a new string. */
char *template_qwen_text(const char *system, const struct template_turn *turns, size_t count);

/* Appends a conversation, in which each "<|image_pad|>" becomes `image_tokens` of them. */
int template_qwen_talk(const struct tokenizer *t, const char *system,
                       const struct template_turn *turns, size_t count, size_t image_tokens,
                       struct tokens *out);

/* The same for one image and one question about it. */
int template_qwen_question(const struct tokenizer *t, const char *system, const char *question,
                           size_t image_tokens, struct tokens *out);

/* ---- Answers ---- */

/* Appends those of the texts that are one token each, as an answer's yes or no may be spelled in
 * several ways; each id once. */
int template_single_tokens(const struct tokenizer *t, const char *const *texts, size_t count,
                           struct tokens *out);

#endif
