/* janus.c - the parts of a Janus and its passes.
 *
 *   drawing        ids -> embed -> [B, T, C] | codes -> image_embed -> image_aligner -> [B, N, C]
 *                  -> language model -> image_head -> logits over codes; guided: u + w (c - u)
 *   understanding  pixels -> vision transformer -> aligner -> in the place of the placeholders
 *                  -> language model -> lm_head -> logits over words
 *
 * Easy to get wrong (from the reference implementation):
 *   - image_embed (gen_embed) is a table of its own, not the codec's codebook;
 *   - the hidden state at begin_image predicts code 0, that at code i predicts code i + 1;
 *   - the unconditional row keeps BOS and begin_image and has pad between, which is attended to;
 *   - ids differ between checkpoints and are looked up by name.
 */
#include "model/janus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

static void projector_declare(struct weights *w, struct projector *p, int64_t out, int64_t in, const char *name)
{
    dense_declare(w, &p->first, true, 1 / sqrtf((float)in), out, in, "%s.layers.0", name);
    dense_declare(w, &p->second, true, 1 / sqrtf((float)out), out, out, "%s.layers.2", name);
}

int janus_open(struct janus *m, tain_device *d, const struct janus_config *c)
{
    struct weights *w = &m->weights;
    int64_t D = c->language.width, E = c->head_hidden;
    int status;

    m->config = *c;
    w->device = d;
    w->rename = janus_port_name;
    if ((status = llama_declare(w, &m->language, &c->language, "language_model.model.", "language_model.lm_head")) ||
        (status = vit_declare(w, &m->vision, &c->vision, "vision_model.vision_tower.")))
        return status;
    projector_declare(w, &m->aligner, D, c->vision.width, "aligner");
    projector_declare(w, &m->image_aligner, D, c->codec.code_size, "gen_aligner");
    dense_declare(w, &m->image_head.first, true, 1 / sqrtf((float)D), E, D, "gen_head.output_mlp_projector");
    dense_declare(w, &m->image_head.second, true, 0.5f / sqrtf((float)E), c->codec.codes, E, "gen_head.vision_head");
    weight_declare(w, &m->image_embed, WEIGHT_TABLE, 1, c->codec.codes, c->codec.code_size, "gen_embed.weight");
    m->codec = codec_declare(w, &c->codec, "gen_vision_model.");
    return m->codec ? w->status : TAIN_ENOMEM;
}

void janus_close(struct janus *m)
{
    llama_close(&m->language);
    vit_close(&m->vision);
    codec_close(m->codec);
    weights_close(&m->weights);
    free(m->config.system);
}

/* ---- Small things ---- */

static tain_tensor *ints(tain_device *d, int dims, const int64_t *shape, const int32_t *values)
{
    return tensor_from(d, TAIN_I32, dims, shape, values);
}

static int64_t image_tokens(const struct janus *m)
{
    int64_t g = codec_grid(&m->config.codec);

    return g * g;
}

static int check_ids(const struct janus *m, const int32_t *ids, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= m->config.language.vocabulary)
            return fail(TAIN_EINVAL, "%s: token %d; the vocabulary has %lld", what, ids[i], (long long)m->config.language.vocabulary);
    return 0;
}

tain_tensor *janus_embed_codes(struct janus *m, tain_tensor *codes)
{
    tain_tensor *x = tain_embed(m->image_embed, codes);

    return x ? then(x, projector_run(&m->weights, &m->image_aligner, x)) : NULL;
}

/* ---- Drawing's likelihood ---- */

tain_tensor *janus_image_logprob(struct janus *m, const struct janus_row *prompts, int64_t rows, const int32_t *codes)
{
    tain_device *d = m->weights.device;
    int64_t N = image_tokens(m), D = m->config.language.width, words = 0, T, all;
    int32_t *text = NULL, *order = NULL, *at = NULL, *picks = NULL;
    tain_tensor *w = NULL, *c = NULL, *e = NULL, *both = NULL, *x = NULL, *t[5] = { NULL }, *y = NULL;

    for (int64_t r = 0; r < rows; r++) {
        if (check_ids(m, prompts[r].ids, prompts[r].count, "logprob"))
            return NULL;
        if (prompts[r].count > words)
            words = prompts[r].count;
    }
    for (int64_t i = 0; i < rows * N; i++)
        REQUIRE_OR_NULL(codes[i] >= 0 && codes[i] < m->config.codec.codes, "logprob: code %d; the codebook has %lld", codes[i],
                        (long long)m->config.codec.codes);
    T = (words + N - 1 + 3) / 4 * 4; /* the last code predicts nothing; in fours, for the kernels */
    all = rows * words;
    text = base_alloc((size_t)all, 4);
    order = base_alloc((size_t)(rows * T), 4);
    at = base_alloc((size_t)T, 4);
    picks = base_alloc((size_t)(rows * N), 4);
    if (!text || !order || !at || !picks)
        goto done;
    /* Each row is its words, its codes, and at the end whatever fills the batch: nothing looks back
     * from there. Rows are put together by picking from all words and all codes. */
    for (int64_t r = 0; r < rows; r++) {
        int64_t n = prompts[r].count;
        for (int64_t i = 0; i < words; i++)
            text[r * words + i] = i < n ? prompts[r].ids[i] : prompts[r].ids[n - 1];
        for (int64_t i = 0; i < T; i++)
            order[r * T + i] = (int32_t)(i < n ? r * words + i : i < n + N - 1 ? all + r * N + i - n : r * words + n - 1);
        for (int64_t i = 0; i < N; i++)
            picks[r * N + i] = (int32_t)(r * T + n - 1 + i);
    }
    for (int64_t i = 0; i < T; i++)
        at[i] = (int32_t)i;
    t[0] = ints(d, 1, (int64_t[]){ all }, text);
    t[1] = ints(d, 1, (int64_t[]){ rows * N }, codes);
    t[2] = ints(d, 1, (int64_t[]){ rows * T }, order);
    t[3] = ints(d, 1, (int64_t[]){ T }, at);
    t[4] = ints(d, 1, (int64_t[]){ rows * N }, picks);
    w = t[0] ? tain_embed(m->language.embed, t[0]) : NULL;
    c = t[1] ? janus_embed_codes(m, t[1]) : NULL;
    both = w && c ? tain_concat((tain_tensor *[]){ w, c }, 2, 0) : NULL;
    e = both && t[2] ? tain_rows(both, t[2]) : NULL;
    x = e ? tain_reshape(e, 3, (int64_t[]){ rows, T, D }) : NULL;
    x = x && t[3] && t[4] ? then(x, llama_run(&m->weights, &m->language, x, t[3], NULL, NULL, t[4])) : NULL;
    x = x ? then(x, projector_run(&m->weights, &m->image_head, x)) : NULL;
    if (x && t[1]) {
        tain_tensor *logits = x;
        x = tain_token_logprob(logits, t[1]);
        tensor_unref(logits);
    }
    y = x ? then(x, tain_reshape(x, 2, (int64_t[]){ rows, N })) : NULL;
done:
    for (int i = 0; i < 5; i++)
        tensor_unref(t[i]);
    tensor_unref(w);
    tensor_unref(c);
    tensor_unref(both);
    tensor_unref(e);
    free(text);
    free(order);
    free(at);
    free(picks);
    return y;
}

/* ---- Understanding ---- */

tain_tensor *janus_see(struct janus *m, tain_tensor *patches)
{
    tain_tensor *x = vit_run(&m->weights, &m->vision, patches);

    return x ? then(x, projector_run(&m->weights, &m->aligner, x)) : NULL;
}

/* What a batch of questions looks like: a row for each image, with all its questions one after the
 * other behind it. */
struct layout {
    int64_t rows, T, picks, seen; /* seen: tokens of an image */
    int32_t *ids;      /* [rows, T]; -1 where a token of the image lies, -2 for filling */
    int32_t *at;       /* [rows, T] positions */
    int32_t *segment;  /* [rows, T] */
    int32_t *reach;    /* [rows, T] */
    int32_t *from;     /* [picks] indices of hidden states that predict */
    int32_t *target;   /* [picks] what they predict */
    int32_t *question; /* [picks] for whom */
};

static void layout_free(struct layout *l)
{
    free(l->ids);
    free(l->at);
    free(l->segment);
    free(l->reach);
    free(l->from);
    free(l->target);
    free(l->question);
}

static int lay_out(const struct janus *m, struct layout *l, int64_t images, const int32_t *head, int64_t head_count,
                   const struct janus_question *q, int64_t questions, bool logits)
{
    int64_t *fill, *segments, begin = head_count + l->seen + 1, cells;
    int status = 0;

    l->rows = images;
    fill = base_alloc((size_t)images, sizeof(*fill));
    segments = base_alloc((size_t)images, sizeof(*segments));
    if (!fill || !segments) {
        free(fill);
        free(segments);
        return TAIN_ENOMEM;
    }
    for (int64_t i = 0; i < images; i++)
        fill[i] = begin;
    for (int64_t i = 0; i < questions && !status; i++) {
        if (q[i].image < 0 || q[i].image >= images)
            status = fail(TAIN_EINVAL, "question %lld is about image %lld of %lld", (long long)i + 1, (long long)q[i].image + 1, (long long)images);
        else if (!(status = check_ids(m, q[i].ids, q[i].count, "question")) &&
                 !(status = check_ids(m, q[i].answer, q[i].answer_count, "answer"))) {
            fill[q[i].image] += q[i].count + (logits ? 0 : q[i].answer_count - 1);
            l->picks += logits ? 1 : q[i].answer_count;
        }
        if (!status && (q[i].count < 1 || (!logits && q[i].answer_count < 1)))
            status = fail(TAIN_EINVAL, "question %lld or its answer is empty", (long long)i + 1);
    }
    for (int64_t i = 0; i < images; i++)
        if (fill[i] > l->T)
            l->T = fill[i];
    l->T = (l->T + 3) / 4 * 4; /* in fours, for the kernels */
    cells = images * l->T;
    l->ids = base_alloc((size_t)cells, 4);
    l->at = base_alloc((size_t)cells, 4);
    l->segment = base_alloc((size_t)cells, 4);
    l->reach = base_alloc((size_t)cells, 4);
    l->from = base_alloc((size_t)l->picks, 4);
    l->target = base_alloc((size_t)l->picks, 4);
    l->question = base_alloc((size_t)l->picks, 4);
    if (!status && (!l->ids || !l->at || !l->segment || !l->reach || !l->from || !l->target || !l->question))
        status = TAIN_ENOMEM;
    for (int64_t r = 0; r < images && !status; r++)
        for (int64_t i = 0; i < l->T; i++) {
            int64_t k = r * l->T + i;
            l->ids[k] = i < head_count ? head[i] : i < head_count + l->seen ? -1 : i == begin - 1 ? m->config.ids.end_image : -2;
            l->at[k] = (int32_t)i;
            l->reach[k] = (int32_t)i;
            l->segment[k] = i < begin ? 0 : -1;
        }
    for (int64_t i = 0; i < images; i++)
        fill[i] = begin;
    l->picks = 0;
    for (int64_t i = 0; i < questions && !status; i++) {
        int64_t r = q[i].image, n = q[i].count + (logits ? 0 : q[i].answer_count - 1), own = ++segments[r];
        for (int64_t k = 0; k < n; k++) {
            int64_t cell = r * l->T + fill[r] + k;
            l->ids[cell] = k < q[i].count ? q[i].ids[k] : q[i].answer[k - q[i].count];
            l->at[cell] = (int32_t)(begin + k);
            l->segment[cell] = (int32_t)own;
        }
        for (int64_t k = 0; k < (logits ? 1 : q[i].answer_count); k++) {
            l->from[l->picks] = (int32_t)(r * l->T + fill[r] + q[i].count - 1 + k);
            l->target[l->picks] = logits ? 0 : q[i].answer[k];
            l->question[l->picks++] = (int32_t)i;
        }
        fill[r] += n;
    }
    free(fill);
    free(segments);
    return status;
}

/* Embeds ids, with rows of `seen` [.., C] in the place of each -1 in order. [count, C] */
static tain_tensor *embed_mixed(struct janus *m, const int32_t *ids, int64_t count, tain_tensor *seen)
{
    tain_device *d = m->weights.device;
    int32_t *text = base_alloc((size_t)count, 4), *order = base_alloc((size_t)count, 4), next = 0;
    tain_tensor *a = NULL, *b = NULL, *words = NULL, *flat = NULL, *both = NULL, *x = NULL;

    if (text && order) {
        for (int64_t i = 0; i < count; i++) {
            text[i] = ids[i] >= 0 ? ids[i] : 0;
            order[i] = ids[i] == -1 ? (int32_t)count + next++ : (int32_t)i;
        }
        a = ints(d, 1, &count, text);
        words = a ? tain_embed(m->language.embed, a) : NULL;
        if (!next) {
            x = words ? tensor_ref(words) : NULL;
        } else if (seen && words && next == tensor_rows(seen)) {
            flat = tain_reshape(seen, 2, (int64_t[]){ -1, m->config.language.width });
            both = flat ? tain_concat((tain_tensor *[]){ words, flat }, 2, 0) : NULL;
            b = ints(d, 1, &count, order);
            x = both && b ? tain_rows(both, b) : NULL;
        } else if (words) {
            fail(TAIN_EINVAL, "%d places for tokens of images, and %lld tokens", next, (long long)(seen ? tensor_rows(seen) : 0));
        }
    }
    free(text);
    free(order);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(words);
    tensor_unref(flat);
    tensor_unref(both);
    return x;
}

tain_tensor *janus_answers(struct janus *m, tain_tensor *patches, const int32_t *head, int64_t head_count,
                           const struct janus_question *q, int64_t questions, bool logits)
{
    tain_device *d = m->weights.device;
    int64_t images = patches->shape[0], D = m->config.language.width;
    struct layout l = { .seen = patches->shape[1] };
    tain_tensor *seen = NULL, *x = NULL, *at = NULL, *rule = NULL, *pick = NULL, *target = NULL, *y = NULL, *sum = NULL;

    if (lay_out(m, &l, images, head, head_count, q, questions, logits))
        goto done;
    seen = janus_see(m, patches);
    x = seen ? embed_mixed(m, l.ids, l.rows * l.T, seen) : NULL;
    x = x ? then(x, tain_reshape(x, 3, (int64_t[]){ l.rows, l.T, D })) : NULL;
    at = ints(d, 2, (int64_t[]){ l.rows, l.T }, l.at);
    rule = attention_rule(d, l.rows, l.T, l.T, l.segment, l.reach, l.segment);
    pick = ints(d, 1, &l.picks, l.from);
    target = ints(d, 1, &l.picks, l.target);
    if (!x || !at || !rule || !pick || !target)
        goto done;
    x = then(x, llama_run(&m->weights, &m->language, x, at, rule, NULL, pick));
    x = x ? then(x, dense_run(&m->weights, &m->language.head, x, GEMM_NONE)) : NULL;
    if (logits || !x) {
        y = x;
        x = NULL;
        goto done;
    }
    x = then(x, tain_token_logprob(x, target));
    if (!x)
        goto done;
    if (l.picks == questions) {
        y = x;
        x = NULL;
        goto done;
    }
    /* Sums over the tokens of each answer: a product with ones where a token belongs. */
    float *belongs = base_alloc((size_t)(questions * l.picks), sizeof(float));
    if (belongs) {
        for (int64_t i = 0; i < l.picks; i++)
            belongs[l.question[i] * l.picks + i] = 1;
        sum = tensor_from(d, TAIN_F32, 2, (int64_t[]){ questions, l.picks }, belongs);
        x = then(x, tain_reshape(x, 2, (int64_t[]){ 1, l.picks }));
        y = x && sum ? tain_linear(x, sum, NULL) : NULL;
        y = y ? then(y, tain_reshape(y, 1, (int64_t[]){ questions })) : NULL;
        free(belongs);
    }
done:
    layout_free(&l);
    tensor_unref(seen);
    tensor_unref(x);
    tensor_unref(at);
    tensor_unref(rule);
    tensor_unref(pick);
    tensor_unref(target);
    tensor_unref(sum);
    return y;
}

tain_tensor *janus_read(struct janus *m, const int32_t *ids, int64_t count, tain_tensor *seen, struct llama_cache *cache)
{
    int32_t *own = base_alloc((size_t)count, 4), *at = base_alloc((size_t)count, 4);
    tain_tensor *x = NULL, *p = NULL;

    if (own && at && !check_ids(m, ids, count, "read")) {
        for (int64_t i = 0; i < count; i++) {
            own[i] = seen && ids[i] == m->config.ids.image ? -1 : ids[i];
            at[i] = (int32_t)(i + (cache ? cache->used : 0));
        }
        x = embed_mixed(m, own, count, seen);
        p = ints(m->weights.device, 1, &count, at);
        x = x ? then(x, tain_reshape(x, 3, (int64_t[]){ 1, count, m->config.language.width })) : NULL;
        x = x && p ? then(x, llama_run(&m->weights, &m->language, x, p, NULL, cache, NULL)) : NULL;
    }
    free(own);
    free(at);
    tensor_unref(p);
    return x;
}

/* ---- Codes to pixels ---- */

tain_tensor *janus_decode(struct janus *m, const int32_t *codes, int64_t batch)
{
    int64_t N = image_tokens(m), n = batch * N;
    tain_tensor *index, *book, *z;

    for (int64_t i = 0; i < n; i++)
        REQUIRE_OR_NULL(codes[i] >= 0 && codes[i] < m->config.codec.codes, "decode: code %d; the codebook has %lld", codes[i],
                        (long long)m->config.codec.codes);
    index = ints(m->weights.device, 2, (int64_t[]){ batch, N }, codes);
    book = codec_book(m->codec);
    z = index && book ? tain_embed(book, index) : NULL;
    tensor_unref(index);
    tensor_unref(book);
    return z ? then(z, codec_decode(&m->weights, m->codec, z)) : NULL;
}
