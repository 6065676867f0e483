/* Many images drawn together are those that are drawn one by one: of prompts of different lengths, some of them the
 * same, with guidance and without; as many that what is read for a code is made for all codes beforehand, and so few
 * that it is not. */
#include "check_model.h"

enum { ROWS = 7, WORDS = 6 };

static void draw(struct janus *m, const struct janus_row *prompts, const struct janus_row *no, int64_t rows,
                 const float *uniforms, float guidance, int32_t *codes)
{
    struct janus_drawing *g = janus_draw(m, prompts, no, rows, uniforms, guidance, 1);
    int64_t left = 1;

    CHECK(g);
    while (left > 0)
        left = janus_draw_next(g);
    CHECK_INT(left, 0);
    CHECK_INT(janus_draw_codes(g, codes), 0);
    janus_draw_free(g);
}

static void check_model(tain_device *d, const char *name, float guidance)
{
    static const int32_t ids[3][WORDS] = { { 5, 9, 2, 7, 3, 1 }, { 5, 9, 4, 1 }, { 8, 1 } };
    static const int32_t nothing[WORDS] = { 6, 6, 6, 6, 6, 1 };
    static const int64_t counts[3] = { 6, 4, 2 };
    static const int which[ROWS] = { 0, 1, 0, 2, 1, 1, 0 };
    struct janus m;
    struct janus_row prompts[ROWS], no[ROWS];
    int64_t N, differ = 0;
    float *uniforms, *own;
    int32_t *together, *alone;
    uint32_t state = 5;

    open_golden(d, &m, name, NULL, TAIN_F32);
    N = codec_grid(&m.config.codec) * codec_grid(&m.config.codec);
    CHECK(m.config.codec.codes <= ROWS * (N - 1) && m.config.codec.codes > N - 1);
    CHECK((uniforms = malloc((size_t)(N * ROWS) * 4)) && (own = malloc((size_t)N * 4)));
    CHECK((together = malloc((size_t)(N * ROWS) * 4)) && (alone = malloc((size_t)N * 4)));
    for (int64_t i = 0; i < N * ROWS; i++)
        uniforms[i] = (float)((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
    for (int r = 0; r < ROWS; r++) {
        prompts[r] = (struct janus_row){ ids[which[r]], counts[which[r]] };
        no[r] = (struct janus_row){ nothing + WORDS - counts[which[r]], counts[which[r]] };
    }
    draw(&m, prompts, no, ROWS, uniforms, guidance, together);
    for (int r = 0; r < ROWS; r++) {
        for (int64_t i = 0; i < N; i++)
            own[i] = uniforms[i * ROWS + r];
        draw(&m, &prompts[r], &no[r], 1, own, guidance, alone);
        CHECK(!memcmp(alone, together + r * N, (size_t)N * 4));
        differ += memcmp(together, together + r * N, (size_t)N * 4) != 0;
    }
    CHECK(differ >= ROWS - 2); /* they are not all the same picture */
    free(uniforms);
    free(own);
    free(together);
    free(alone);
    janus_close(&m);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    for (int guided = 0; guided < 2; guided++) {
        check_model(d, "janus_tiny", guided ? 3 : 1);
        check_model(d, "gqa", guided ? 3 : 1);
    }
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}
