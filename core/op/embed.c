/* embed.c - rows of a table, by index.
 *
 * The gradient adds rows that may hit one place many times. So that the order of the additions is
 * fixed, the host sorts the places by index, and each row of the table sums its own list.
 */
#include "op/op.h"

#include <stdlib.h>

enum { MOST = 16384 }; /* places that one invocation goes through */

static int infer(const struct op_call *c, tain_type *type, int *dims, int64_t *shape)
{
    const tain_tensor *table = c->in[0], *index = c->in[1];
    int64_t n = tensor_count(index);

    if (table->dims != 2 || table->type == TAIN_I32)
        return fail(TAIN_EINVAL, "embed: table is %s %s; it must be [rows, channels] of floats", tensor_text(table),
                    type_name(table->type));
    if (index->type != TAIN_I32 || index->dims >= TENSOR_DIMS)
        return fail(TAIN_EINVAL, "embed: index is %s %s; it must be i32, of at most %d dimensions",
                    tensor_text(index), type_name(index->type), TENSOR_DIMS - 1);
    if (table->type != TAIN_F32 && table->offset % 2)
        return fail(TAIN_EUNSUPPORTED, "embed: table is a %s view that starts in the middle of a word",
                    type_name(table->type));
    for (int64_t i = 0; index->storage->host && i < n; i++) {
        int32_t k = index->storage->host[index->offset + i];
        if (k < 0 || k >= table->shape[0])
            return fail(TAIN_EINVAL, "embed: index[%lld] is %d; the table has %lld rows", (long long)i, k,
                        (long long)table->shape[0]);
    }
    *type = TAIN_F32;
    *dims = index->dims + 1;
    for (int i = 0; i < index->dims; i++)
        shape[i] = index->shape[i];
    shape[index->dims] = table->shape[1];
    return 0;
}

static int forward(struct op_call *c)
{
    tain_tensor *table = c->in[0], *index = c->in[1];
    bool v4 = table->shape[1] % 4 == 0 && table->offset % 4 == 0 && c->out->offset % 4 == 0;
    int64_t n = tensor_count(c->out) / (v4 ? 4 : 1), x, y;
    uint32_t constants[2] = { (uint32_t)table->shape[1] / (v4 ? 4 : 1), table->type == TAIN_BF16 };
    struct { uint32_t n, rows; } p = { (uint32_t)n, (uint32_t)table->shape[0] };

    if (!n)
        return 0;
    op_grid(n, 256, &x, &y);
    return op_dispatch(c->device, op_pipeline(c->device, 256, constants, 2, "embed.%s.%s",
                                              table->type == TAIN_F32 ? "from_f32" : "from_16", v4 ? "v4" : "v1"),
                       (tain_tensor *[]){ table, index, c->out }, 3, 4, &p, sizeof(p), x, y, 1, 8.0 * (double)n);
}

/* Sorts places by index: [indices | starts | places] as the shader wants it; rows and the longest
 * list come back. NULL on failure. */
static tain_tensor *sort(const struct op_call *c, int64_t *rows, int64_t *longest)
{
    tain_tensor *index = c->in[1], *out = NULL;
    int64_t n = tensor_count(index), table = c->in[0]->shape[0], used = 0, at = 0;
    int32_t *own = NULL, *first = base_alloc((size_t)table + 1, sizeof(*first)), *lists = NULL;
    const int32_t *k = index->storage->host ? index->storage->host + index->offset : NULL;

    if (!k) {
        own = base_alloc((size_t)n, sizeof(*own));
        if (!own || tain_tensor_read_ints(index, own, n))
            goto done;
        k = own;
    }
    if (!first)
        goto done;
    *longest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (k[i] < 0 || k[i] >= table) {
            fail(TAIN_EINVAL, "embed: index[%lld] is %d; the table has %lld rows", (long long)i, k[i],
                 (long long)table);
            goto done;
        }
        used += !first[k[i]]++;
        *longest = first[k[i]] > *longest ? first[k[i]] : *longest;
    }
    lists = base_alloc((size_t)(2 * used + 1 + n), sizeof(*lists));
    if (!lists)
        goto done;
    *rows = 0;
    for (int64_t r = 0; r < table; r++)
        if (first[r]) {
            lists[*rows] = (int32_t)r;
            lists[used + *rows] = (int32_t)at;
            at += first[r];
            first[r] = (int32_t)(at - first[r]);
            ++*rows;
        }
    lists[2 * used] = (int32_t)n;
    for (int64_t i = 0; i < n; i++)
        lists[2 * used + 1 + first[k[i]]++] = (int32_t)i;
    at = 2 * used + 1 + n;
    out = tensor_from(c->device, TAIN_I32, 1, &at, lists);
done:
    free(own);
    free(first);
    free(lists);
    return out;
}

static int backward(struct op_call *c)
{
    struct op_grad g;
    int64_t rows = 0, longest = 0, x, y;
    tain_tensor *lists = sort(c, &rows, &longest), *to = lists ? op_grad_open(&g, c->in[0]) : NULL;
    int status = to ? 0 : tain_error_status();

    if (to && !g.add)
        status = tensor_zero(to);
    for (int64_t start = 0; start < longest && !status; start += MOST) {
        int64_t channels = c->in[0]->shape[1];
        bool v4 = channels % 4 == 0 && to->offset % 4 == 0 && c->dout->offset % 4 == 0;
        int64_t n = rows * channels / (v4 ? 4 : 1);
        uint32_t constants[2] = { (uint32_t)channels / (v4 ? 4 : 1), g.add || start };
        struct { uint32_t n, rows, start, most; } p = { (uint32_t)n, (uint32_t)rows, (uint32_t)start, MOST };
        if (!n)
            break;
        op_grid(n, 64, &x, &y);
        status = op_dispatch(c->device,
                             op_pipeline(c->device, 64, constants, 2, "embed.backward.%s", v4 ? "v4" : "v1"),
                             (tain_tensor *[]){ c->dout, lists, to }, 3, 4, &p, sizeof(p), x, y, 1,
                             4.0 * (double)tensor_count(c->dout));
    }
    tensor_unref(lists);
    return to ? op_grad_close(&g, status) : status;
}

static const struct op op_embed = {
    .name = "embed", .inputs = 2, .any_type = 3, .no_grad = 2, .infer = infer, .forward = forward,
    .backward = backward,
};

tain_tensor *tain_embed(tain_tensor *table, tain_tensor *index)
{
    return OP_RUN0(&op_embed, table, index);
}
