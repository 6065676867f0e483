/* model_draw.c - images as codes: how likely they are after a prompt, and drawing them. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* ---- Prompts ---- */

void prompts_clear(struct prompts *p)
{
    tokens_clear(&p->all);
    tokens_clear(&p->blank);
    free(p->rows);
    free(p->blanks);
}

int prompts_make(struct tain_model *m, struct prompts *p, const char *const *texts, int32_t count, const char *what)
{
    size_t *ends = base_alloc((size_t)count + 1, sizeof(*ends));
    int status = ends ? 0 : TAIN_ENOMEM;

    for (int32_t i = 0; i < count && !status; i++) {
        if (!texts[i])
            status = fail(TAIN_EINVAL, "%s: prompt %d is missing", what, i + 1);
        else
            status = template_janus_image(m->tokenizer, texts[i], &p->all, &p->blank);
        ends[i + 1] = p->all.count;
    }
    p->rows = base_alloc((size_t)count, sizeof(*p->rows));
    p->blanks = base_alloc((size_t)count, sizeof(*p->blanks));
    if (!p->rows || !p->blanks)
        status = TAIN_ENOMEM;
    for (int32_t i = 0; i < count && !status; i++) {
        p->rows[i] = (struct janus_row){ p->all.at + ends[i], (int64_t)(ends[i + 1] - ends[i]) };
        p->blanks[i] = (struct janus_row){ p->blank.at + ends[i], (int64_t)(ends[i + 1] - ends[i]) };
    }
    free(ends);
    return status;
}

tain_tensor *tain_model_logprob(tain_model *model, const char *const *prompts, const uint8_t *dropped, int32_t rows,
                                const int32_t *codes)
{
    struct prompts p = { 0 };
    tain_tensor *y = NULL;

    REQUIRE_OR_NULL(model, "logprob: model is missing");
    REQUIRE_OR_NULL(prompts && codes, "logprob: prompts or codes are missing");
    REQUIRE_OR_NULL(rows > 0, "logprob: %d rows; there must be one or more", rows);
    if (!prompts_make(model, &p, prompts, rows, "logprob")) {
        for (int32_t i = 0; dropped && i < rows; i++)
            if (dropped[i])
                p.rows[i] = p.blanks[i];
        y = janus_image_logprob(&model->j, p.rows, rows, codes);
    }
    prompts_clear(&p);
    return y;
}

/* ---- Drawing ---- */

struct tain_drawing {
    struct janus_drawing *g;
};

/* Philox-4x32-10: the first word of block (index) of (seed, stream), as a number in (0, 1). */
static float uniform(uint64_t seed, uint64_t stream, uint32_t index)
{
    uint32_t c[4] = { index, 0, (uint32_t)stream, (uint32_t)(stream >> 32) }, k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };

    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
        uint32_t n[4] = { (uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a };
        memcpy(c, n, sizeof(c));
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    return ((float)(c[0] >> 8) + 0.5f) * 0x1p-24f;
}

tain_drawing *tain_model_draw(tain_model *model, const char *const *prompts, int32_t rows, int64_t seed,
                              const int64_t *streams, float guidance, float temperature)
{
    struct prompts p = { 0 };
    tain_drawing *d = NULL;
    float *u = NULL;
    int64_t N;

    REQUIRE_OR_NULL(model, "draw: model is missing");
    REQUIRE_OR_NULL(prompts && streams, "draw: prompts or streams are missing");
    REQUIRE_OR_NULL(rows > 0, "draw: %d images; there must be one or more", rows);
    REQUIRE_OR_NULL(guidance >= 0 && guidance <= 1000, "draw: guidance is %g; it must be from 0 to 1000", (double)guidance);
    REQUIRE_OR_NULL(temperature > 0 && temperature <= 1000, "draw: temperature is %g; it must be above 0", (double)temperature);
    N = tain_model_image_codes(model);
    u = base_alloc((size_t)(N * rows), sizeof(float));
    d = base_alloc(1, sizeof(*d));
    if (u && d && !prompts_make(model, &p, prompts, rows, "draw")) {
        for (int64_t i = 0; i < N; i++)
            for (int32_t r = 0; r < rows; r++)
                u[i * rows + r] = uniform((uint64_t)seed, (uint64_t)streams[r], (uint32_t)i);
        d->g = janus_draw(&model->j, p.rows, p.blanks, rows, u, guidance, temperature);
    }
    prompts_clear(&p);
    free(u);
    if (d && !d->g) {
        free(d);
        d = NULL;
    }
    return d;
}

int32_t tain_drawing_next(tain_drawing *drawing)
{
    REQUIRE(drawing, "draw: drawing is missing");
    return (int32_t)janus_draw_next(drawing->g);
}

tain_status tain_drawing_codes(tain_drawing *drawing, int32_t *codes)
{
    REQUIRE(drawing, "draw: drawing is missing");
    REQUIRE(codes, "draw: codes are missing");
    return janus_draw_codes(drawing->g, codes);
}

void tain_drawing_free(tain_drawing *drawing)
{
    if (!drawing)
        return;
    janus_draw_free(drawing->g);
    free(drawing);
}
