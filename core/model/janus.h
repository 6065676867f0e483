/* janus.h - the Janus family: one language model that reads images through a vision transformer and
 * writes them as codes of a convolutional codec. From a million parameters to Janus-Pro-7B.
 */
#ifndef TAIN_MODEL_JANUS_H
#define TAIN_MODEL_JANUS_H

#include "io/template.h"
#include "model/layers.h"

struct janus_config {
    struct llama_config language;
    struct vit_config vision;
    struct codec_config codec;
    int64_t head_hidden;              /* of the image head */
    struct template_janus ids;        /* -1 until the tokenizer is read */
    char *system;                     /* text before questions */
    float mean[3], deviation[3];      /* of pixels for the vision transformer */
    uint8_t background[3];            /* of the square that an image is put on */
    int64_t least;                    /* shortest side after resizing */
    bool port;                        /* config.json is in the layout of transformers' port */
};

struct janus {
    struct janus_config config;
    struct weights weights;
    struct llama language;
    struct vit vision;
    struct projector aligner, image_aligner, image_head;
    tain_tensor *image_embed;         /* [codes, code_size], not the codec's codebook */
    struct codec *codec;
};

/* config.json as published, with sizes that the published files leave out as further keys; or that of
 * transformers' port; or the json of a golden folder. Fails with a sentence. */
int janus_config_read(struct janus_config *c, const struct json *root);
/* How the port calls a weight of this name (port.c). */
void janus_port_name(const char *name, struct weight_alias *alias);
int janus_open(struct janus *m, tain_device *d, const struct janus_config *c); /* declares; takes over c */
void janus_close(struct janus *m);

/* ---- Passes; ids and codes are on the host ---- */

/* One sequence of a batch. */
struct janus_row {
    const int32_t *ids;
    int64_t count;
};

/* Log-probability of every code: rows of prompt ids (with begin_image last) and codes [rows, N].
 * [rows, N] on the tape. */
tain_tensor *janus_image_logprob(struct janus *m, const struct janus_row *prompts, int64_t rows, const int32_t *codes);

/* A question about an image: ids after the image's end, up to where the answer begins, and the
 * answer's ids. Questions about one image share what it costs to see it: they attend to it and to
 * themselves, not to each other. */
struct janus_question {
    int64_t image;
    const int32_t *ids, *answer;
    int64_t count, answer_count;
};

/* The ids before the image and its placeholders are the same for all: `head`, up to and including
 * begin_image. patches [images, N, ..]. Gives the log-probability of each answer [questions], summed
 * over its tokens; or, with `logits`, the logits of the first token after each question
 * [questions, vocabulary]. */
tain_tensor *janus_answers(struct janus *m, tain_tensor *patches, const int32_t *head, int64_t head_count,
                           const struct janus_question *q, int64_t questions, bool logits);

/* Hidden states of a sequence with images: every placeholder id takes the next row of `seen`
 * [images * N, C], or NULL. [1, T, C] */
tain_tensor *janus_read(struct janus *m, const int32_t *ids, int64_t count, tain_tensor *seen, struct llama_cache *cache);
tain_tensor *janus_see(struct janus *m, tain_tensor *patches); /* [images, N, C] of the language model */
tain_tensor *janus_embed_codes(struct janus *m, tain_tensor *codes); /* i32 [..] to what the language model reads [.., C] */

/* ---- Drawing ---- */

struct janus_drawing;

/* Rows of prompts as for logprob, with the unconditional ones beside them unless guidance is 1.
 * uniforms [N, rows]: the numbers that choose the codes. */
struct janus_drawing *janus_draw(struct janus *m, const struct janus_row *prompts, const struct janus_row *unconditional,
                                 int64_t rows, const float *uniforms, float guidance, float temperature);
/* Draws one more code of every row; returns how many are left, or a negative status. */
int64_t janus_draw_next(struct janus_drawing *g);
int janus_draw_codes(struct janus_drawing *g, int32_t *codes); /* [rows, N], when none are left */
void janus_draw_free(struct janus_drawing *g);
/* Logits of the step that janus_draw_next will sample from: conditional and unconditional rows. */
tain_tensor *janus_draw_logits(struct janus_drawing *g);

/* Codes to pixels [B, S, S, 3] in -1..1. */
tain_tensor *janus_decode(struct janus *m, const int32_t *codes, int64_t batch);

#endif
