/* model_answer.c - questions about images: what is answered, and how likely an answer is. */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Pixels ---- */

/* Images as the vision transformer wants them. */
static tain_tensor *look(struct tain_model *m, const uint8_t *rgb, int32_t images, int32_t width, int32_t height)
{
    const struct janus_config *c = &m->j.config;
    int64_t S = c->vision.image;
    float *pixels = base_alloc((size_t)(images * 3 * S * S), sizeof(float));
    tain_tensor *t = NULL;
    int status = pixels ? 0 : TAIN_ENOMEM;

    for (int32_t i = 0; i < images && !status; i++) {
        struct image *one = image_new(width, height), *square = NULL;
        if (one) {
            memcpy(one->rgb, rgb + (size_t)i * (size_t)width * (size_t)height * 3, (size_t)width * (size_t)height * 3);
            square = width == S && height == S ? one : image_square(one, (int)S, (int)c->least, c->background);
        }
        if (square)
            image_floats(square, c->mean, c->deviation, pixels + (size_t)i * 3 * (size_t)(S * S));
        else
            status = tain_error_status();
        if (square != one)
            image_free(square);
        image_free(one);
    }
    if (!status)
        t = vit_patches(m->j.weights.device, &c->vision, images, pixels);
    free(pixels);
    return t;
}

int pixels_check(const char *what, const uint8_t *rgb, int32_t images, int32_t width, int32_t height)
{
    REQUIRE(rgb, "%s: pixels are missing", what);
    REQUIRE(images > 0 && width > 0 && height > 0 && width <= IMAGE_SIDE && height <= IMAGE_SIDE,
            "%s: %d images of %d x %d pixels", what, images, width, height);
    return 0;
}

/* ---- Questions ---- */

struct questions {
    struct tokens ids, head;
    struct janus_question *list;
};

static void questions_clear(struct questions *q)
{
    tokens_clear(&q->ids);
    tokens_clear(&q->head);
    free(q->list);
}

/* Tokenises; what stands before the image's end is the same for all and goes into `head`. */
static int questions_make(struct tain_model *m, struct questions *q, const int32_t *image_of, const char *const *questions,
                          const char *const *answers, int32_t count)
{
    const struct template_janus *ids = &m->j.config.ids;
    size_t *at = base_alloc((size_t)count * 2 + 1, sizeof(*at));
    int status = at ? 0 : TAIN_ENOMEM;

    q->list = base_alloc((size_t)count, sizeof(*q->list));
    if (!q->list)
        status = TAIN_ENOMEM;
    for (int32_t i = 0; i < count && !status; i++) {
        struct tokens one = { 0 };
        size_t end = 0;

        if (!questions[i] || (answers && !answers[i])) {
            status = fail(TAIN_EINVAL, "question %d or its answer is missing", i + 1);
            break;
        }
        status = template_janus_question(m->tokenizer, m->j.config.system, questions[i], 1, &one);
        while (!status && end < one.count && one.at[end] != ids->end_image)
            end++;
        if (!status && (end == one.count || end < 2))
            status = fail(TAIN_EINVAL, "question %d: no image stands in its prompt", i + 1);
        if (!status && !q->head.count)
            status = tokens_append(&q->head, one.at, end - 1); /* without the one placeholder */
        at[2 * i] = q->ids.count;
        if (!status)
            status = tokens_append(&q->ids, one.at + end + 1, one.count - end - 1);
        at[2 * i + 1] = q->ids.count;
        if (!status && answers) {
            char *text = base_format(" %s", answers[i]);
            status = text ? tokenizer_encode(m->tokenizer, text, strlen(text), false, &q->ids) : TAIN_ENOMEM;
            if (!status)
                status = tokens_push(&q->ids, ids->eos);
            free(text);
        }
        at[2 * i + 2] = q->ids.count;
        tokens_clear(&one);
    }
    for (int32_t i = 0; i < count && !status; i++) {
        q->list[i] = (struct janus_question){
            .image = image_of[i],
            .ids = q->ids.at + at[2 * i],
            .count = (int64_t)(at[2 * i + 1] - at[2 * i]),
            .answer = q->ids.at + at[2 * i + 1],
            .answer_count = (int64_t)(at[2 * i + 2] - at[2 * i + 1]),
        };
    }
    free(at);
    return status;
}

int32_t tain_model_tokens(tain_model *model, const char *text, bool question)
{
    const char *const texts[] = { text };
    int64_t count = 0, seen;
    int status;

    REQUIRE(model, "tokens: model is missing");
    REQUIRE(text, "tokens: text is missing");
    if (question) {
        struct questions q = { 0 };
        int32_t image = 0;

        status = questions_make(model, &q, &image, texts, NULL, 1);
        seen = model->j.config.vision.image / model->j.config.vision.patch;
        count = (int64_t)q.head.count + seen * seen + 1 + (int64_t)q.ids.count; /* 1: the image's end */
        questions_clear(&q);
    } else {
        struct prompts p = { 0 };

        status = prompts_make(model, &p, texts, 1, "tokens");
        count = (int64_t)p.all.count;
        prompts_clear(&p);
    }
    return status ? status : (int32_t)count;
}

tain_tensor *tain_model_answer(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                               const int32_t *image_of, const char *const *questions, const char *const *answers,
                               int32_t count)
{
    struct questions q = { 0 };
    tain_tensor *patches = NULL, *y = NULL;

    REQUIRE_OR_NULL(model, "answer: model is missing");
    REQUIRE_OR_NULL(image_of && questions && answers, "answer: questions or answers are missing");
    REQUIRE_OR_NULL(count > 0, "answer: %d questions; there must be one or more", count);
    if (pixels_check("answer", rgb, images, width, height))
        return NULL;
    if (!questions_make(model, &q, image_of, questions, answers, count) &&
        (patches = look(model, rgb, images, width, height)))
        y = janus_answers(&model->j, patches, q.head.at, (int64_t)q.head.count, q.list, count, false);
    questions_clear(&q);
    tensor_unref(patches);
    return y;
}

static bool among(const struct tokens *list, int32_t id)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i] == id)
            return true;
    return false;
}

tain_status tain_model_score(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                             const int32_t *image_of, const char *const *questions, int32_t count, float *yes, float *no,
                             int32_t *first)
{
    struct questions q = { 0 };
    tain_tensor *patches = NULL, *t = NULL;
    float *logits = NULL;
    bool grad;
    int64_t V;
    int status;

    REQUIRE(model, "score: model is missing");
    REQUIRE(image_of && questions && yes && no && first, "score: an argument is missing");
    REQUIRE(count > 0, "score: %d questions; there must be one or more", count);
    REQUIRE(model->yes.count && model->no.count, "score: the tokenizer has no token for yes or no");
    if ((status = pixels_check("score", rgb, images, width, height)))
        return status;
    V = model->j.config.language.vocabulary;
    grad = model->j.weights.device->grad;
    model->j.weights.device->grad = false;
    status = questions_make(model, &q, image_of, questions, NULL, count);
    if (!status && (patches = look(model, rgb, images, width, height)))
        t = janus_answers(&model->j, patches, q.head.at, (int64_t)q.head.count, q.list, count, true);
    model->j.weights.device->grad = grad;
    if (!status && !t)
        status = tain_error_status();
    if (!status && !(logits = base_alloc((size_t)(count * V), sizeof(float))))
        status = TAIN_ENOMEM;
    if (!status)
        status = tain_tensor_read(t, logits, count * V);
    for (int32_t i = 0; i < count && !status; i++) {
        const float *row = logits + i * V;
        double total = 0, mass[2] = { 0, 0 };
        int64_t best = 0;

        for (int64_t k = 1; k < V; k++)
            if (row[k] > row[best])
                best = k;
        for (int64_t k = 0; k < V; k++)
            total += exp((double)row[k] - row[best]);
        for (size_t k = 0; k < model->yes.count; k++)
            mass[0] += exp((double)row[model->yes.at[k]] - row[best]);
        for (size_t k = 0; k < model->no.count; k++)
            mass[1] += exp((double)row[model->no.at[k]] - row[best]);
        yes[i] = (float)(mass[0] / total);
        no[i] = (float)(mass[1] / total);
        first[i] = among(&model->yes, (int32_t)best) ? 1 : among(&model->no, (int32_t)best) ? 0 : -1;
        if (!isfinite(yes[i]) || !isfinite(no[i]))
            status = fail(TAIN_EINVAL, "score: the model's answer to question %d is not a number", i + 1);
    }
    free(logits);
    questions_clear(&q);
    tensor_unref(patches);
    tensor_unref(t);
    return status;
}

const char *tain_model_ask(tain_model *model, const uint8_t *rgb, int32_t width, int32_t height, const char *question,
                           int32_t most)
{
    static _Thread_local char *answer;
    struct tokens prompt = { 0 }, made = { 0 };
    struct template_turn turns[2] = { { question }, { "" } };
    tain_tensor *patches = NULL, *seen = NULL, *x = NULL, *logits = NULL, *best = NULL;
    struct llama_cache *cache = NULL;
    struct janus *j;
    size_t length;
    int64_t tokens, D;
    bool grad;
    int status = 0;

    REQUIRE_OR_NULL(model, "ask: model is missing");
    REQUIRE_OR_NULL(question, "ask: question is missing");
    REQUIRE_OR_NULL(most > 0 && most <= 65536, "ask: %d tokens; there may be 1 to 65536", most);
    if (rgb && pixels_check("ask", rgb, 1, width, height))
        return NULL;
    j = &model->j;
    D = j->config.language.width;
    grad = j->weights.device->grad;
    j->weights.device->grad = false;
    tokens = j->config.vision.image / j->config.vision.patch;
    tokens *= tokens;
    if (rgb) {
        status = template_janus_question(model->tokenizer, j->config.system, question, (size_t)tokens, &prompt);
        patches = status ? NULL : look(model, rgb, 1, width, height);
        seen = patches ? janus_see(j, patches) : NULL;
        if (!status && !seen)
            status = tain_error_status();
    } else {
        status = template_janus_talk(model->tokenizer, j->config.system, turns, 2, (size_t)tokens, &prompt);
    }
    cache = status ? NULL : llama_cache_new(&j->language, 1, (int64_t)prompt.count + most);
    x = cache ? janus_read(j, prompt.at, (int64_t)prompt.count, seen, cache) : NULL;
    for (int32_t i = 0; i < most && !status; i++) {
        tain_tensor *last = x ? view_part(x, 1, x->shape[1] - 1, 1) : NULL;
        tain_tensor *row = last ? op_contiguous(last) : NULL, *flat = row ? tain_reshape(row, 2, (int64_t[]){ 1, D }) : NULL;
        int32_t id = 0;

        logits = flat ? dense_run(&j->weights, &j->language.head, flat, GEMM_NONE) : NULL;
        best = logits ? tain_argmax(logits, -1) : NULL;
        status = best ? tain_tensor_read_ints(best, &id, 1) : tain_error_status();
        tensor_unref(last);
        tensor_unref(row);
        tensor_unref(flat);
        tensor_unref(logits);
        tensor_unref(best);
        if (status || id == j->config.ids.eos)
            break;
        status = tokens_push(&made, id);
        tensor_unref(x);
        x = NULL;
        if (!status && i + 1 < most && !(x = janus_read(j, &id, 1, NULL, cache)))
            status = tain_error_status();
    }
    j->weights.device->grad = grad;
    if (!status) {
        free(answer);
        answer = tokenizer_decode(model->tokenizer, made.at, made.count, true, &length);
        if (!answer)
            status = tain_error_status();
    }
    tokens_clear(&prompt);
    tokens_clear(&made);
    tensor_unref(patches);
    tensor_unref(seen);
    tensor_unref(x);
    llama_cache_free(cache);
    if (status)
        return NULL;
    return answer[0] == ' ' ? answer + 1 : answer;
}
