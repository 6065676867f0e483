/* model.h - what tain_model is made of, and what the files of its public face share: model.c and model_*.c. */
#ifndef TAIN_MODEL_MODEL_H
#define TAIN_MODEL_MODEL_H

#include "model/janus.h"

/* What has a name: a part of a weight. */
struct named {
    int32_t weight, part;
};

struct tain_model {
    struct janus j;
    struct tokenizer *tokenizer;
    struct tokens yes, no; /* ids of their spellings */
    struct named *names;   /* [name_count], in order; made last, when everything else is there */
    int32_t name_count;
};

/* Ids of prompts, one list after the other (model_draw.c). */
struct prompts {
    struct tokens all, blank; /* conditional and unconditional */
    struct janus_row *rows, *blanks;
};

/* `what` begins the sentence of a failure. prompts_clear, even then. */
int prompts_make(struct tain_model *m, struct prompts *p, const char *const *texts, int32_t count, const char *what);
void prompts_clear(struct prompts *p);

/* Whether there are pixels of images that are not too large (model_answer.c). */
int pixels_check(const char *what, const uint8_t *rgb, int32_t images, int32_t width, int32_t height);

#endif
