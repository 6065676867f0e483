/* check_op.h - how every op is tested: against a reference in double precision, for a table of cases.
 *
 * For each case the inputs are random numbers, rounded through the type they are stored in. The
 * result is compared with the reference; the gradients are compared with central differences of the
 * reference, so that they do not inherit the shader's rounding. The whole is repeated with inputs
 * that are views (transposed, cut out along the first or the last dimension), with the op used twice
 * in one loss, and with gradients that must lie in a given place. Around the result and around given
 * gradients lies a pattern that must survive.
 */
#ifndef TAIN_CHECK_OP_H
#define TAIN_CHECK_OP_H

#include "check.h"
#include "tensor/tensor.h"

enum { CHECK_INPUTS = 6, CHECK_DIFFERENCES = 40 };

/* A shape, and what lies in it. */
struct check_in {
    int dims;
    int64_t shape[TENSOR_DIMS];
    float low, high; /* both 0: -2 to 2. For i32: low to high - 1 */
    tain_type type;
    bool fixed; /* has no gradient */
};

struct check_case {
    struct check_in in[CHECK_INPUTS];
    double with[4]; /* handed to run and reference */
};

struct check_value {
    int dims;
    int64_t shape[TENSOR_DIMS];
    int64_t count;
    double *at;
};

struct check_op {
    const char *name;
    int inputs;
    tain_tensor *(*run)(tain_tensor *const *in, const double *with);
    /* Calls check_shape() on out, then fills it. */
    void (*reference)(const struct check_value *in, struct check_value *out, const double *with);
    double tolerance;      /* of the result, relative to max(1, the greatest |reference|); 0: 1e-5 */
    double grad_tolerance; /* of gradients, likewise; 0: 1e-4 */
    bool no_grad;          /* the op has no gradient */
};

/* Sets the shape of a reference's result and makes room for it, cleared. */
static inline void check_shape(struct check_value *out, int dims, const int64_t *shape)
{
    out->dims = dims;
    out->count = 1;
    for (int i = 0; i < dims; i++)
        out->count *= out->shape[i] = shape[i];
    free(out->at);
    out->at = calloc((size_t)out->count + 1, sizeof(double));
}

static inline void check_like(struct check_value *out, const struct check_value *in)
{
    int64_t shape[TENSOR_DIMS];

    memcpy(shape, in->shape, sizeof(shape));
    check_shape(out, in->dims, shape);
}

/* ---- Random numbers: the same in every run ---- */

static uint64_t check_state;

static inline uint32_t check_random(void)
{
    check_state = check_state * 6364136223846793005u + 1442695040888963407u;
    uint32_t x = (uint32_t)((check_state >> 18 ^ check_state) >> 27), r = (uint32_t)(check_state >> 59);
    return x >> r | x << (-r & 31);
}

static inline float check_uniform(float low, float high)
{
    return low + (high - low) * (float)(check_random() >> 8) * 0x1p-24f;
}

/* ---- Guards ---- */

#define CHECK_PATTERN 0x7fbadbad

/* Leaves a hole of the size that a tensor of `count` words will take, with patterned neighbours. */
struct check_guard {
    tain_tensor *before, *after;
    int64_t count;
};

static inline tain_tensor *check_patterned(tain_device *d, int64_t count)
{
    tain_tensor *t = tensor_new(d, TAIN_I32, 1, &count);

    CHECK(t);
    CHECK(!gpu_fill(d->gpu, &t->storage->range, 0, t->storage->range.bytes, CHECK_PATTERN));
    return t;
}

static inline struct check_guard check_guard_open(tain_device *d, int64_t count)
{
    struct check_guard g = { .count = count };
    tain_tensor *hole;

    g.before = check_patterned(d, 60);
    hole = check_patterned(d, count);
    g.after = check_patterned(d, 60);
    tensor_unref(hole);
    return g;
}

static inline bool check_pattern(struct gpu *g, const struct gpu_range *range, uint64_t from)
{
    uint64_t bytes = (range->bytes - from) / 4 * 4;
    uint32_t *words = malloc(bytes + 4);
    bool good = true;

    if (gpu_read(g, range, from, words, bytes))
        good = false;
    for (uint64_t i = 0; i < bytes / 4 && good; i++)
        good = words[i] == CHECK_PATTERN;
    free(words);
    return good;
}

/* False if something was written around the hole, or behind what was put into it. */
static inline bool check_guard_close(struct check_guard *g, tain_tensor *inside)
{
    struct gpu *gpu = g->before->device->gpu;
    bool good = check_pattern(gpu, &g->before->storage->range, 0) && check_pattern(gpu, &g->after->storage->range, 0);
    const struct gpu_range *a = &g->before->storage->range, *r = inside ? &inside->storage->range : NULL;

    if (good && r && r->block == a->block && r->offset == a->offset + a->bytes)
        good = check_pattern(gpu, r, (tensor_bytes(inside) + 3) / 4 * 4);
    tensor_unref(g->before);
    tensor_unref(g->after);
    return good;
}

/* ---- One case ---- */

enum check_mode { CHECK_PLAIN, CHECK_TRANSPOSED, CHECK_FIRST, CHECK_LAST, CHECK_TWICE, CHECK_HOME, CHECK_MODES };

static const char *const check_modes[] = { "plain", "transposed", "a part along the first dimension",
                                           "a part along the last dimension", "used twice", "gradient at home" };

/* Where element i of the input lies in the leaf that it is a view of. */
static inline int64_t check_place(const struct check_in *in, enum check_mode mode, int64_t i)
{
    int n = in->dims;
    int64_t last = n ? in->shape[n - 1] : 1, row, before;

    if (mode == CHECK_TRANSPOSED && n >= 2) {
        before = in->shape[n - 2];
        row = i / (last * before);
        return row * last * before + i % last * before + i / last % before;
    }
    if (mode == CHECK_FIRST && n >= 1) {
        row = 1;
        for (int d = 1; d < n; d++)
            row *= in->shape[d];
        return i + row;
    }
    if (mode == CHECK_LAST && n >= 1)
        return i / last * (last + 3) + i % last + 1;
    return i;
}

struct check_input {
    tain_tensor *leaf, *view, *home;
    int64_t leaf_count;
};

static inline struct check_input check_make(tain_device *d, const struct check_in *in, enum check_mode mode,
                                            const double *values, int64_t count)
{
    struct check_input out = { 0 };
    int64_t shape[TENSOR_DIMS], last;
    int n = in->dims;
    tain_tensor *t, *v;
    float *f;

    memcpy(shape, in->shape, sizeof(shape));
    if (in->type == TAIN_I32) {
        int32_t *ints = malloc((size_t)count * 4 + 4);
        for (int64_t i = 0; i < count; i++)
            ints[i] = (int32_t)values[i];
        out.leaf = tensor_from(d, TAIN_I32, n, shape, ints);
        CHECK(out.leaf);
        out.view = tensor_ref(out.leaf);
        free(ints);
        return out;
    }
    if (mode == CHECK_TRANSPOSED && n >= 2) {
        last = shape[n - 1];
        shape[n - 1] = shape[n - 2];
        shape[n - 2] = last;
    } else if (mode == CHECK_FIRST && n >= 1) {
        shape[0] += 2;
    } else if (mode == CHECK_LAST && n >= 1) {
        shape[n - 1] += 3;
    }
    t = tensor_new(d, TAIN_F32, n, shape);
    CHECK(t);
    out.leaf_count = tensor_count(t);
    f = malloc((size_t)out.leaf_count * 4 + 4);
    for (int64_t i = 0; i < out.leaf_count; i++)
        f[i] = 1e30f; /* what lies around the view must not be read */
    for (int64_t i = 0; i < count; i++)
        f[check_place(in, mode, i)] = (float)values[i];
    CHECK_INT(tain_tensor_write(t, f, out.leaf_count), 0);
    free(f);
    out.leaf = t;
    t->wants_grad = t->leaf = !in->fixed;
    if (mode == CHECK_HOME && t->wants_grad) {
        int64_t all = out.leaf_count + 128;
        tain_tensor *big = check_patterned(d, all);
        big->type = TAIN_F32;
        out.home = big;
        t->grad_home = view_make(big, 0, NULL, NULL, 64);
        CHECK(t->grad_home);
        t->grad_home->dims = n;
        memcpy(t->grad_home->shape, t->shape, sizeof(t->shape));
        memcpy(t->grad_home->stride, t->stride, sizeof(t->stride));
    }
    v = tensor_ref(t);
    if (mode == CHECK_TRANSPOSED && n >= 2)
        v = tain_transpose(t, -1, -2);
    else if (mode == CHECK_FIRST && n >= 1)
        v = tain_slice(t, 0, 1, in->shape[0]);
    else if (mode == CHECK_LAST && n >= 1)
        v = tain_slice(t, -1, 1, in->shape[n - 1]);
    if (v != t)
        tensor_unref(t); /* the view's; out.leaf keeps its own */
    CHECK(v);
    if (type_blocks(in->type)) { /* no op makes them, and there are no views of them; these round to themselves */
        f = malloc((size_t)count * 4 + 4);
        for (int64_t i = 0; i < count; i++)
            f[i] = (float)values[i];
        tensor_unref(v);
        v = tain_tensor_create(d, in->type, n, in->shape);
        CHECK(v);
        CHECK_INT(tain_tensor_write(v, f, count), 0);
        free(f);
    } else if (in->type != TAIN_F32) {
        tain_tensor *narrow, *dense = tain_contiguous(v);
        narrow = tain_cast(dense, in->type);
        CHECK(narrow);
        tensor_unref(dense);
        tensor_unref(v);
        v = narrow;
    }
    out.view = v;
    return out;
}

static inline void check_say(const struct check_op *op, const struct check_case *c, int number, enum check_mode mode)
{
    fprintf(stderr, "%s, case %d (", op->name, number);
    for (int i = 0; i < op->inputs; i++) {
        fprintf(stderr, "%s[", i ? ", " : "");
        for (int d = 0; d < c->in[i].dims; d++)
            fprintf(stderr, "%s%lld", d ? ", " : "", (long long)c->in[i].shape[d]);
        fprintf(stderr, "] %s", type_name(c->in[i].type));
    }
    fprintf(stderr, "), %s: ", check_modes[mode]);
}

static inline void check_one(tain_device *d, const struct check_op *op, const struct check_case *c, int number,
                             enum check_mode mode, struct check_value *in, const struct check_value *want)
{
    double tolerance = op->tolerance > 0 ? op->tolerance : 1e-5;
    double grad_tolerance = op->grad_tolerance > 0 ? op->grad_tolerance : 1e-4;
    struct check_input made[CHECK_INPUTS] = { 0 };
    tain_tensor *views[CHECK_INPUTS], *out, *w, *product, *loss, *twice = NULL, *again = NULL;
    struct check_guard guard;
    float *got, *weight;
    double most = 1, worst = 0;
    int64_t at = 0, times = mode == CHECK_TWICE ? 2 : 1;
    bool any = false;

    CHECK_INT(tain_tape_begin(d), 0);
    for (int i = 0; i < op->inputs; i++) {
        made[i] = check_make(d, &c->in[i], mode, in[i].at, in[i].count);
        views[i] = made[i].view;
        any |= made[i].leaf->wants_grad;
    }
    guard = check_guard_open(d, want->count);
    out = op->run(views, c->with);
    if (!out) {
        check_say(op, c, number, mode);
        fprintf(stderr, "failed: %s\n", tain_error());
        exit(1);
    }
    if (out->dims != want->dims || memcmp(out->shape, want->shape, (size_t)want->dims * sizeof(*want->shape))) {
        check_say(op, c, number, mode);
        fprintf(stderr, "the result is %s, of %lld elements; the reference has %lld in %d dimensions\n", tensor_text(out),
                (long long)tensor_count(out), (long long)want->count, want->dims);
        exit(1);
    }
    got = malloc((size_t)want->count * 4 + 4);
    weight = malloc((size_t)want->count * 4 + 4);
    {
        tain_tensor *dense = tain_contiguous(out);
        CHECK(dense);
        CHECK_INT(tain_tensor_read(dense, got, want->count), 0);
        tensor_unref(dense);
    }
    for (int64_t i = 0; i < want->count; i++) {
        weight[i] = check_uniform(-1, 1);
        if (isfinite(want->at[i]) && fabs(want->at[i]) > most)
            most = fabs(want->at[i]);
    }
    for (int64_t i = 0; i < want->count; i++) {
        double apart = got[i] == want->at[i] || (isnan(got[i]) && isnan(want->at[i])) ? 0 : fabs(got[i] - want->at[i]);
        if (!(apart <= worst))
            worst = apart, at = i;
    }
    if (!(worst <= tolerance * most)) {
        check_say(op, c, number, mode);
        fprintf(stderr, "element %lld is %.9g, should be %.9g: apart by %.3g > %.3g\n", (long long)at, got[at],
                want->at[at], worst, tolerance * most);
        exit(1);
    }
    if (!check_guard_close(&guard, out)) {
        check_say(op, c, number, mode);
        fprintf(stderr, "something beside the result was overwritten\n");
        exit(1);
    }
    if (!op->no_grad && any) {
        w = tensor_from(d, TAIN_F32, want->dims, want->shape, weight);
        CHECK(w);
        if (mode == CHECK_TWICE) {
            again = op->run(views, c->with);
            twice = tain_add(out, again);
            CHECK(twice);
        }
        product = tain_mul(twice ? twice : out, w);
        CHECK(product);
        loss = tain_sum(product);
        CHECK(loss);
        if (tain_backward(loss)) {
            check_say(op, c, number, mode);
            fprintf(stderr, "backward failed: %s\n", tain_error());
            exit(1);
        }
        tensor_unref(w);
        tensor_unref(product);
        tensor_unref(loss);
        tensor_unref(twice);
        tensor_unref(again);
        for (int i = 0; i < op->inputs; i++) {
            tain_tensor *leaf = made[i].leaf, *g;
            float *grad;
            int64_t step = 1 + (in[i].count - 1) / CHECK_DIFFERENCES, first = 0;
            double around = 0;
            if (!leaf->wants_grad || !in[i].count)
                continue;
            g = tain_tensor_grad(leaf);
            if (!g) {
                check_say(op, c, number, mode);
                fprintf(stderr, "input %d has no gradient\n", i + 1);
                exit(1);
            }
            grad = malloc((size_t)made[i].leaf_count * 4 + 4);
            CHECK_INT(tain_tensor_read(g, grad, made[i].leaf_count), 0);
            tensor_unref(g);
            if (made[i].home) {
                struct gpu_range r = made[i].home->storage->range;
                r.bytes = 256;
                if (!check_pattern(d->gpu, &r, 0) ||
                    !check_pattern(d->gpu, &made[i].home->storage->range, (uint64_t)(64 + in[i].count) * 4)) {
                    check_say(op, c, number, mode);
                    fprintf(stderr, "something beside the gradient of input %d was overwritten\n", i + 1);
                    exit(1);
                }
            }
            if (step > 1)
                first = check_random() % step;
            for (int64_t k = first; k < in[i].count; k += step) {
                double x = in[i].at[k], h = 1e-5 * fmax(1, fabs(x)), sums[2] = { 0 }, slope, have;
                double size = 0;
                for (int side = 0; side < 2; side++) {
                    struct check_value v = { 0 };
                    in[i].at[k] = side ? x + h : x - h;
                    op->reference(in, &v, c->with);
                    for (int64_t j = 0; j < v.count; j++) {
                        sums[side] += (v.at[j] - want->at[j]) * weight[j];
                        size = fmax(size, fabs(v.at[j]) * 1e-16);
                    }
                    free(v.at);
                }
                in[i].at[k] = x;
                slope = (double)times * (sums[1] - sums[0]) / (2 * h);
                have = grad[check_place(&c->in[i], mode, k)];
                if (!(fabs(slope - have) <= grad_tolerance * fmax(1, fabs(slope)) + size / h)) {
                    check_say(op, c, number, mode);
                    fprintf(stderr, "gradient of input %d, element %lld is %.9g, should be %.9g\n", i + 1, (long long)k,
                            have, slope);
                    exit(1);
                }
            }
            /* Nothing flows to what the view leaves out. */
            for (int64_t k = 0; k < in[i].count; k++)
                grad[check_place(&c->in[i], mode, k)] = 0;
            for (int64_t k = 0; k < made[i].leaf_count; k++)
                around = fmax(around, fabs(grad[k]));
            if (around != 0) {
                check_say(op, c, number, mode);
                fprintf(stderr, "gradient of input %d outside of its view: %.9g\n", i + 1, around);
                exit(1);
            }
            free(grad);
        }
    }
    tensor_unref(out);
    for (int i = 0; i < op->inputs; i++) {
        tensor_unref(made[i].view);
        tensor_unref(made[i].leaf);
        tensor_unref(made[i].home);
    }
    tain_tape_end(d);
    free(got);
    free(weight);
}

static inline void check_cases(tain_device *d, const struct check_op *op, const struct check_case *cases, int count)
{
    for (int n = 0; n < count; n++) {
        const struct check_case *c = &cases[n];
        struct check_value in[CHECK_INPUTS] = { 0 }, want = { 0 };

        check_state = (uint64_t)n * 977 + strlen(op->name);
        check_random();
        for (int i = 0; i < op->inputs; i++) {
            const struct check_in *t = &c->in[i];
            float low = t->low == t->high ? -2 : t->low, high = t->low == t->high ? 2 : t->high;
            tain_tensor *rounded;
            float *f;

            check_shape(&in[i], t->dims, t->shape);
            f = malloc((size_t)in[i].count * 4 + 4);
            for (int64_t k = 0; k < in[i].count; k++)
                f[k] = t->type == TAIN_I32 ? floorf(check_uniform(low, high)) : check_uniform(low, high);
            rounded = tain_tensor_create(d, t->type, t->dims, t->shape);
            CHECK(rounded);
            CHECK_INT(tain_tensor_write(rounded, f, in[i].count), 0);
            CHECK_INT(tain_tensor_read(rounded, f, in[i].count), 0);
            for (int64_t k = 0; k < in[i].count; k++)
                in[i].at[k] = f[k];
            tensor_unref(rounded);
            free(f);
        }
        op->reference(in, &want, c->with);
        for (int mode = 0; mode < CHECK_MODES; mode++) {
            if (op->no_grad && mode > CHECK_LAST)
                break;
            check_one(d, op, c, n, (enum check_mode)mode, in, &want);
        }
        for (int i = 0; i < op->inputs; i++)
            free(in[i].at);
        free(want.at);
    }
    CHECK_INT(tain_device_memory(d, false), 0);
}

#define CHECK_CASES(d, op, cases) check_cases((d), (op), (cases), (int)(sizeof(cases) / sizeof((cases)[0])))

#endif
