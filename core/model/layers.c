/* layers.c - dense layers and projectors. */
#include "model/layers.h"

#include <stdio.h>

int dense_declare(struct weights *w, struct dense *d, bool bias, float spread, int64_t out, int64_t in,
                  const char *format, ...)
{
    char name[384];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    d->w = weight_declare(w, &d->weight, WEIGHT_MATRIX, spread, out, in, "%s.weight", name);
    if (bias)
        weight_declare(w, &d->bias, WEIGHT_ZEROS, 0, out, 1, "%s.bias", name);
    return w->status;
}

/* Whether the product ends with its activation: adapters are added before that, which all but a gate need to go back. */
static bool fuses(const struct weights *w, const struct dense *d, const tain_tensor *x, enum gemm_activation activation)
{
    if (weights_adapted(w, d->w))
        return false;
    return activation == GEMM_GATE ? gemm_gates(x, d->weight) : !(w->device->grad && w->device->tape);
}

tain_tensor *dense_run(const struct weights *w, const struct dense *d, tain_tensor *x, enum gemm_activation activation)
{
    tain_tensor *y;

    if (!x)
        return NULL;
    if (fuses(w, d, x, activation))
        return weights_linear(w, d->w, x, d->bias, activation, NULL);
    y = weights_linear(w, d->w, x, d->bias, GEMM_NONE, NULL);
    switch (y ? activation : GEMM_NONE) {
    case GEMM_SILU: return then(y, tain_silu(y));
    case GEMM_GELU: return then(y, tain_gelu(y));
    case GEMM_GELU_TANH: return then(y, tain_gelu_tanh(y));
    case GEMM_GATE: return then(y, tain_swiglu(y));
    default: return y;
    }
}

tain_tensor *dense_normed(const struct weights *w, const struct dense *d, tain_tensor *x, tain_tensor *norm, float eps,
                          enum gemm_activation activation)
{
    tain_tensor *h;

    if (!x)
        return NULL;
    /* Its last bits are others than those of the two by themselves. So no tape may run at all: a layer that is run again
     * for its gradients, and a reference without any, must compute what the others do. */
    if (!w->device->tape && !d->bias && eps > 0 && gemm_norms(x, d->weight) && fuses(w, d, x, activation))
        return op_linear(x, d->weight, &(struct linear){ .norm = norm, .eps = eps, .activation = activation });
    h = tain_rms_norm(x, norm, eps);
    return then(h, dense_run(w, d, h, activation));
}

tain_tensor *dense_add(const struct weights *w, const struct dense *d, tain_tensor *x, tain_tensor *to)
{
    return x && to ? weights_linear(w, d->w, x, d->bias, GEMM_NONE, to) : NULL;
}

tain_tensor *projector_run(const struct weights *w, const struct projector *p, tain_tensor *x)
{
    tain_tensor *h = dense_run(w, &p->first, x, GEMM_GELU);

    return then(h, dense_run(w, &p->second, h, GEMM_NONE));
}
