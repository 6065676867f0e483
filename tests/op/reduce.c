/* Sums, means and maxima: every path of the kernel, and ten million elements. */
#include "check_op.h"

/* Along dimension with[0] of x, or over everything; kind 0 sum, 1 mean, 2 max, 3 argmax. */
static void along(const struct check_value *in, struct check_value *out, int dim, bool keep, int kind)
{
    int64_t shape[TENSOR_DIMS], outer = 1, count = 1, inner = 1;
    int dims = 0;

    for (int d = 0; d < in->dims; d++) {
        if (d == dim) {
            count = in->shape[d];
            if (keep)
                shape[dims++] = 1;
            continue;
        }
        *(d < dim ? &outer : &inner) *= in->shape[d];
        shape[dims++] = in->shape[d];
    }
    check_shape(out, dims, shape);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double sum = 0;
            int64_t best = 0;
            for (int64_t k = 0; k < count; k++) {
                sum += in->at[(o * count + k) * inner + i];
                if (in->at[(o * count + k) * inner + i] > in->at[(o * count + best) * inner + i])
                    best = k;
            }
            out->at[o * inner + i] = kind == 0 ? sum : kind == 1 ? sum / (double)count :
                                     kind == 2 ? in->at[(o * count + best) * inner + i] : (double)best;
        }
}

#define ALONG(name, kind, call)                                                                     \
    static void name##_reference(const struct check_value *in, struct check_value *out, const double *with) \
    {                                                                                               \
        along(in, out, (int)with[0], with[1] != 0, kind);                                           \
    }                                                                                               \
    static tain_tensor *name##_run(tain_tensor *const *in, const double *with)                      \
    {                                                                                               \
        int dim = (int)with[0];                                                                     \
        bool keep = with[1] != 0;                                                                   \
        (void)keep;                                                                                 \
        return call;                                                                                \
    }

ALONG(sum_dim, 0, tain_sum_dim(in[0], dim, keep))
ALONG(mean_dim, 1, tain_mean_dim(in[0], dim - tain_tensor_dims(in[0]), keep))
ALONG(max_dim, 2, tain_max_dim(in[0], dim, keep))

static tain_tensor *argmax_run(tain_tensor *const *in, const double *with)
{
    tain_tensor *i = tain_argmax(in[0], (int)with[0]), *f = i ? tain_cast(i, TAIN_F32) : NULL;

    if (i)
        CHECK_INT(tain_tensor_type(i), TAIN_I32);
    tain_tensor_free(i);
    return f;
}

static void argmax_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    along(in, out, (int)with[0], false, 3);
}

static void sum_reference(const struct check_value *in, struct check_value *out, const double *with)
{
    double sum = 0;

    check_shape(out, 0, NULL);
    for (int64_t i = 0; i < in->count; i++)
        sum += in->at[i];
    out->at[0] = with[0] != 0 ? sum / (double)in->count : sum;
}

static tain_tensor *sum_run(tain_tensor *const *in, const double *with)
{
    return with[0] != 0 ? tain_mean(in[0]) : tain_sum(in[0]);
}

static const struct check_case cases[] = {
    { { { 1, { 1 } } }, { 0, 0 } },
    { { { 1, { 65 } } }, { 0, 1 } },
    { { { 2, { 3, 5 } } }, { 1, 0 } },
    { { { 2, { 3, 5 } } }, { 0, 1 } },
    { { { 2, { 9, 64 } } }, { 1, 1 } },
    { { { 2, { 3, 127 } } }, { 1, 0 } },
    { { { 2, { 2, 1023 } } }, { 1, 0 } },
    { { { 2, { 1, 4096 } } }, { 1, 0 } },
    { { { 2, { 1023, 12 } } }, { 0, 0 } },  /* the gradient of a bias */
    { { { 2, { 257, 7 } } }, { 0, 0 } },
    { { { 3, { 2, 63, 8 } } }, { 1, 1 } },
    { { { 4, { 2, 3, 4, 5 } } }, { 2, 0 } },
    { { { 2, { 4, 16 }, .type = TAIN_F16 } }, { 1, 0 } },
    { { { 2, { 0, 5 } } }, { 1, 0 } },
};

static const struct check_case whole[] = {
    { { { 0, { 0 } } }, { 0 } },
    { { { 1, { 3 } } }, { 1 } },
    { { { 2, { 63, 65 } } }, { 0 } },
    { { { 3, { 3, 50, 64 } } }, { 1 } },
    { { { 1, { 0 } } }, { 0 } },
};

static void check_large(tain_device *d)
{
    int64_t n = 10000003;
    float *x = malloc((size_t)n * 4), got;
    tain_tensor *t = tain_tensor_create(d, TAIN_F32, 1, &n), *r;
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i] = check_uniform(0, 1);
    CHECK_INT(tain_tensor_write(t, x, n), 0);
    r = tain_sum(t);
    CHECK(r);
    CHECK_INT(tain_tensor_read(r, &got, 1), 0);
    CHECK_CLOSE(got / sum, 1, 3e-7);
    tain_tensor_free(r);
    r = tain_reshape(t, 2, (int64_t[]){ n, 1 });
    tain_tensor_free(t);
    t = tain_sum_dim(r, 0, false);
    CHECK(t);
    CHECK_INT(tain_tensor_read(t, &got, 1), 0);
    CHECK_CLOSE(got / sum, 1, 3e-7);
    tain_tensor_free(t);
    tain_tensor_free(r);
    free(x);
}

/* Of equals the first. */
static void check_ties(tain_device *d)
{
    float x[64];
    tain_tensor *t, *r;
    int32_t at[2];

    for (int i = 0; i < 64; i++)
        x[i] = i % 7 == 5 ? 3 : -1;
    for (int wide = 0; wide < 2; wide++) {
        t = tensor_from(d, TAIN_F32, 2, wide ? (int64_t[]){ 1, 64 } : (int64_t[]){ 32, 2 }, x);
        r = tain_argmax(t, wide);
        CHECK(r);
        CHECK_INT(tain_tensor_read_ints(r, at, wide ? 1 : 2), 0);
        CHECK_INT(at[0], wide ? 5 : 6);
        if (!wide)
            CHECK_INT(at[1], 2);
        tain_tensor_free(t);
        tain_tensor_free(r);
    }
    t = tain_tensor_create(d, TAIN_F32, 2, (int64_t[]){ 3, 0 });
    CHECK(!tain_max_dim(t, 1, false));
    CHECK(strstr(tain_error(), "max_dim: dimension 1 of x, which is [3, 0], has no elements"));
    CHECK(!tain_sum_dim(t, 2, false));
    CHECK(strstr(tain_error(), "sum_dim: dim 2 is out of range for a tensor of 2 dimensions"));
    r = tain_sum_dim(t, 1, false);
    CHECK(r);
    CHECK_INT(tain_tensor_read(r, x, 3), 0);
    CHECK(x[0] == 0 && x[1] == 0 && x[2] == 0);
    tain_tensor_free(t);
    tain_tensor_free(r);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    CHECK_CASES(d, (&(struct check_op){ "sum_dim", 1, sum_dim_run, sum_dim_reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "mean_dim", 1, mean_dim_run, mean_dim_reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "max_dim", 1, max_dim_run, max_dim_reference }), cases);
    CHECK_CASES(d, (&(struct check_op){ "argmax", 1, argmax_run, argmax_reference, .no_grad = true }), cases);
    CHECK_CASES(d, (&(struct check_op){ "sum", 1, sum_run, sum_reference }), whole);
    check_large(d);
    check_ties(d);
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}
