/* ops.c - every operation against a loop in double precision: what it gives, and its gradients
 * against central differences of the loop.
 *
 * This is what `tain check` runs where no test can be built: on a user's machine, on its driver. The
 * table is in op_table.c.
 */
#include "check/check.h"
#include "check/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOPES = 5 }; /* of each input */

void check_shape(struct check_value *out, int dims, const int64_t *shape)
{
    int64_t n = 1;

    for (int i = 0; i < dims; i++)
        n *= shape[i];
    if (out->at && n == out->count) {
        memset(out->at, 0, (size_t)n * sizeof(double));
    } else {
        free(out->at);
        out->at = base_alloc((size_t)n + 1, sizeof(double));
    }
    out->dims = dims;
    out->count = n;
    if (dims)
        memmove(out->shape, shape, (size_t)dims * sizeof(*shape));
}

/* Random numbers, the same in every run. */
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) * 0x1p-24;
}

/* A matrix in blocks or in 16 bits; the reference gets what the numbers were rounded to. */
static tain_tensor *rounded(tain_device *d, tain_type type, float *f, struct check_value *v)
{
    tain_tensor *t = tain_tensor_create(d, type, v->dims, v->shape);

    if (t && (tain_tensor_write(t, f, v->count) || tain_tensor_read(t, f, v->count))) {
        tensor_unref(t);
        return NULL;
    }
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] = f[i];
    return t;
}

static tain_tensor *fill(tain_device *d, const struct check_input *in, bool whole, tain_type type, struct check_value *v,
                         uint64_t *state)
{
    float low = in->low, high = in->high, *f;
    tain_tensor *t = NULL;

    if (low == 0 && high == 0)
        low = -2, high = 2;
    check_shape(v, in->dims, in->shape);
    f = base_alloc((size_t)v->count + 1, sizeof(float));
    if (v->at && f) {
        int32_t *ints = (int32_t *)(void *)f;
        for (int64_t i = 0; i < v->count; i++) {
            double x = low + (high - low) * uniform(state);
            if (whole)
                v->at[i] = ints[i] = (int32_t)floor(x);
            else
                v->at[i] = f[i] = (float)x;
        }
        t = type != TAIN_F32 ? rounded(d, type, f, v) : tensor_from(d, whole ? TAIN_I32 : TAIN_F32, in->dims, in->shape, f);
    }
    free(f);
    return t;
}

/* The weighted sum of what the loop gives. */
static double sum_of(const struct check_op *op, const struct check_value *in, struct check_value *out, const double *with,
                     const float *weight)
{
    double sum = 0;

    op->want(in, out, with);
    for (int64_t i = 0; i < out->count && out->at; i++)
        sum += out->at[i] * (weight ? (double)weight[i] : 1);
    return sum;
}

/* The worst error of the gradients of the sum of y * weight, relative to 1 + the greatest slope seen. */
static int slopes(const struct check_op *op, const struct check_case *c, tain_tensor *const *t, struct check_value *in,
                  tain_tensor *y, const float *weight, double *worst)
{
    struct check_value out = { 0 };
    tain_tensor *w = tensor_from(y->device, TAIN_F32, y->dims, y->shape, weight), *product = w ? tain_mul(y, w) : NULL;
    tain_tensor *loss = product ? tain_sum(product) : NULL;
    int status = loss ? tape_backward(loss) : tain_error_status();

    tensor_unref(w);
    tensor_unref(product);
    tensor_unref(loss);
    for (int i = 0; i < op->inputs && !status; i++) {
        float *grad = base_alloc((size_t)in[i].count + 1, sizeof(float));
        tain_tensor *g = t[i]->grad;
        double apart = 0, most = 0;

        if (!t[i]->wants_grad || !in[i].count) {
            free(grad);
            continue;
        }
        if (!g)
            status = fail(TAIN_EINVAL, "%s: input %d has no gradient", op->name, i + 1);
        else
            status = grad ? tain_tensor_read(g, grad, in[i].count) : TAIN_ENOMEM;
        for (int64_t k = 0; k < SLOPES && !status; k++) {
            int64_t at = (in[i].count - 1) * k / (SLOPES - 1);
            double x = in[i].at[at], h = 1e-5 * fmax(1, fabs(x)), slope;
            in[i].at[at] = x + h;
            slope = sum_of(op, in, &out, c->with, weight);
            in[i].at[at] = x - h;
            slope = (slope - sum_of(op, in, &out, c->with, weight)) / (2 * h);
            in[i].at[at] = x;
            apart = fmax(apart, isnan(grad[at]) ? HUGE_VAL : fabs(slope - grad[at]));
            most = fmax(most, fabs(slope));
        }
        *worst = fmax(*worst, apart / (1 + most));
        free(grad);
    }
    free(out.at);
    return status;
}

int check_case(tain_device *d, const struct check_op *op, const struct check_case *c, uint64_t *state, double *worst,
               double *slope)
{
    struct check_value in[CHECK_INPUTS] = { { 0 } }, want = { 0 };
    tain_tensor *t[CHECK_INPUTS] = { NULL }, *y = NULL, *dense = NULL;
    float *got = NULL, *weight = NULL;
    double apart = 0, most = 0;
    int status = 0;

    for (int i = 0; i < op->inputs && !status; i++) {
        t[i] = fill(d, &c->in[i], op->ints >> i & 1, i == 1 ? op->second : TAIN_F32, &in[i], state);
        if (!t[i])
            status = tain_error_status();
        else if (!op->no_grad && t[i]->type == TAIN_F32)
            status = tain_tensor_want_grad(t[i], true);
    }
    if (status || (status = tape_begin(d)))
        goto done;
    op->want(in, &want, c->with);
    y = op->run(t, c->with);
    dense = y ? tain_contiguous(y) : NULL;
    got = base_alloc((size_t)want.count + 1, sizeof(float));
    weight = base_alloc((size_t)want.count + 1, sizeof(float));
    if (!dense || !want.at || !got || !weight) {
        status = tain_error_status();
    } else if (tensor_count(y) != want.count || y->dims != want.dims ||
               memcmp(y->shape, want.shape, (size_t)want.dims * sizeof(*want.shape))) {
        status = fail(TAIN_EINVAL, "%s: the result is %s, which is not the shape of the loop's", op->name, tensor_text(y));
    } else if (y->type == TAIN_I32) {
        status = tain_tensor_read_ints(dense, (int32_t *)(void *)got, want.count);
        for (int64_t i = 0; i < want.count; i++)
            got[i] = (float)((int32_t *)(void *)got)[i];
    } else {
        status = tain_tensor_read(dense, got, want.count);
    }
    for (int64_t i = 0; i < want.count && !status; i++) {
        apart = fmax(apart, isnan(got[i]) && !isnan(want.at[i]) ? HUGE_VAL : fabs(got[i] - want.at[i]));
        most = fmax(most, fabs(want.at[i]));
        weight[i] = (float)(2 * uniform(state) - 1);
    }
    *worst = fmax(*worst, apart / (1 + most));
    if (!status && !op->no_grad)
        status = slopes(op, c, t, in, y, weight, slope);
done:
    tape_end(d);
    tensor_unref(y);
    tensor_unref(dense);
    for (int i = 0; i < op->inputs; i++) {
        tensor_unref(t[i]);
        free(in[i].at);
    }
    free(want.at);
    free(got);
    free(weight);
    return status;
}

double check_slack(const tain_device *d, const struct check_op *op)
{
    return d->coop && (op->second == TAIN_F16 || op->second == TAIN_BF16) ? CHECK_F16 : 0;
}

int check_ops(struct check_report *r, tain_device *d)
{
    uint64_t state = 1;
    int status = 0;

    for (int i = 0; i < check_op_count && !status; i++) {
        const struct check_op *op = &check_op_table[i];
        double worst = 0, slope = 0, slack = check_slack(d, op);
        const char *beyond = slack ? " (beyond what rounding to f16 explains)" : "";
        char name[80];

        for (int k = 0; k < CHECK_SHAPES && !status && (k == 0 || op->cases[k].in[0].dims); k++)
            status = check_case(d, op, &op->cases[k], &state, &worst, &slope);
        if (status)
            break;
        snprintf(name, sizeof(name), "%s%s", op->name, beyond);
        check_line(r, name, fmax(worst - slack, 0));
        snprintf(name, sizeof(name), "%s, gradients%s", op->name, beyond);
        if (!op->no_grad)
            check_line(r, name, fmax(slope - slack, 0));
    }
    return status;
}

double tain_check_ops(tain_device *device, const char **lines)
{
    struct check_report r = check_begin();
    int status = device ? check_ops(&r, device) : fail(TAIN_EINVAL, "check: device is missing");

    return check_end(&r, status, lines);
}
