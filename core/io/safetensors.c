/* safetensors.c - named tensors in files: eight bytes of length, a JSON header, the data.
 *
 * The reader is stricter than the reference one in that no key may come twice. Everything else is
 * its rules: the tensors cover the data completely, without holes and without sharing a byte, and
 * shape times type is the number of bytes. So a file says one thing only, whoever reads it, and
 * nothing later has to check a size again.
 */
#include "io/tensors.h"

#include <stdlib.h>
#include <string.h>

/* In the order of enum st_type, then those whose size alone is known. */
static const struct {
    const char *name;
    int bits;
} types[] = {
    { "F64", 64 },        { "F32", 32 },     { "F16", 16 },     { "BF16", 16 },
    { "I64", 64 },        { "I32", 32 },     { "I16", 16 },     { "I8", 8 },
    { "U8", 8 },          { "BOOL", 8 },     { "U16", 16 },     { "U32", 32 },
    { "U64", 64 },        { "C64", 64 },     { "F8_E5M2", 8 },  { "F8_E4M3", 8 },
    { "F8_E5M2FNUZ", 8 }, { "F8_E8M0", 8 },  { "F4", 4 },       { "F6_E2M3", 6 },
    { "F6_E3M2", 6 },     { "F8_E4M3FNUZ", 8 },
};

const char *st_type_name(enum st_type type)
{
    return type < ST_OTHER ? types[type].name : "an unknown type";
}

size_t st_type_bytes(enum st_type type)
{
    return type < ST_OTHER ? (size_t)types[type].bits / 8 : 0;
}

/* ---- Reading a header ---- */

/* What reading one header needs. */
struct header {
    struct st_file *f;
    struct st_shard *shard;
    struct json_scan scan;
    int64_t start, data; /* where the data begins in the file, and its bytes */
    size_t used;         /* of the shard's text */
    struct st_pair *pairs;
    size_t pair_count, pair_room;
};

static int wrong(struct header *h, const char *sentence)
{
    return fail(TAIN_EFORMAT, "%s: header, byte %zu: %s", h->scan.what, h->scan.start, sentence);
}

static int next_is(struct header *h, enum json_event wanted, const char *sentence)
{
    int event = json_next_event(&h->scan);

    if (event < 0)
        return event;
    return event == (int)wanted ? TAIN_OK : wrong(h, sentence);
}

/* Copies the latest string. All of them together are shorter than the header. */
static int keep(struct header *h, const char **out)
{
    char *to = h->shard->text + h->used;

    if (memchr(h->scan.string, 0, h->scan.length))
        return wrong(h, "a zero byte in a string");
    memcpy(to, h->scan.string, h->scan.length + 1);
    h->used += h->scan.length + 1;
    *out = to;
    return TAIN_OK;
}

static int next_integer(struct header *h, int64_t *out)
{
    int status = next_is(h, JSON_NUMBER, "an integer was expected");

    if (status)
        return status;
    if (!h->scan.is_integer || h->scan.integer < 0 || h->scan.integer > (int64_t)1 << 53 ||
        ((const char *)h->scan.text)[h->scan.start] == '-')
        return wrong(h, "an integer from 0 to 2^53 was expected");
    *out = h->scan.integer;
    return TAIN_OK;
}

static int read_metadata(struct header *h)
{
    int event, status = next_is(h, JSON_OBJECT, "__metadata__ must be an object");

    while (!status && (event = json_next_event(&h->scan)) != JSON_CLOSE) {
        struct st_pair p;

        if (event < 0)
            return event;
        if (h->pair_count == h->pair_room) {
            size_t room = h->pair_room ? 2 * h->pair_room : 8;
            struct st_pair *grown = base_grow(h->pairs, h->pair_room, room, sizeof(*grown));

            if (!grown)
                return TAIN_ENOMEM;
            h->pairs = grown;
            h->pair_room = room;
        }
        if ((status = keep(h, &p.key)) ||
            (status = next_is(h, JSON_STRING, "the values of __metadata__ must be strings")) ||
            (status = keep(h, &p.value)))
            return status;
        h->pairs[h->pair_count++] = p;
    }
    return status;
}

static int read_type(struct header *h, struct st_entry *e, int *bits)
{
    int status = next_is(h, JSON_STRING, "dtype must be a string");

    if (status)
        return status;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (h->scan.length == strlen(types[i].name) && !strcmp(h->scan.string, types[i].name)) {
            e->type = i < ST_OTHER ? (enum st_type)i : ST_OTHER;
            e->type_name = types[i].name;
            *bits = types[i].bits;
            return TAIN_OK;
        }
    return wrong(h, "a dtype that the format does not know");
}

static int read_shape(struct header *h, struct st_entry *e)
{
    int event, status = next_is(h, JSON_ARRAY, "shape must be an array");

    e->count = 1;
    while (!status && (event = json_next_event(&h->scan)) != JSON_CLOSE) {
        if (event < 0)
            return event;
        if (event != JSON_NUMBER || !h->scan.is_integer || h->scan.integer < 0 ||
            ((const char *)h->scan.text)[h->scan.start] == '-')
            return wrong(h, "a size in a shape must be an integer of at least 0");
        if (e->rank == ST_RANK)
            return wrong(h, "a shape of more than 8 dimensions");
        e->shape[e->rank++] = h->scan.integer;
        if (__builtin_mul_overflow(e->count, h->scan.integer, &e->count))
            return wrong(h, "a shape of more elements than can be counted");
    }
    return status;
}

static int read_offsets(struct header *h, int64_t *begin, int64_t *end)
{
    int status = next_is(h, JSON_ARRAY, "data_offsets must be an array");

    if (status || (status = next_integer(h, begin)) || (status = next_integer(h, end)))
        return status;
    return next_is(h, JSON_CLOSE, "data_offsets must be two integers");
}

static int read_entry(struct header *h, struct st_entry *e)
{
    bool have_type = false, have_shape = false, have_offsets = false;
    int64_t begin = 0, end = 0, total;
    int bits = 0, event, status = next_is(h, JSON_OBJECT, "a tensor must be an object");

    while (!status && (event = json_next_event(&h->scan)) != JSON_CLOSE) {
        bool *have;

        if (event < 0)
            return event;
        have = !strcmp(h->scan.string, "dtype")          ? &have_type
               : !strcmp(h->scan.string, "shape")        ? &have_shape
               : !strcmp(h->scan.string, "data_offsets") ? &have_offsets
                                                         : NULL;
        if (!have || h->scan.length != strlen(h->scan.string))
            return wrong(h, "a tensor has a key other than dtype, shape and data_offsets");
        if (*have)
            return wrong(h, "a key that comes twice");
        *have = true;
        status = have == &have_type    ? read_type(h, e, &bits)
                 : have == &have_shape ? read_shape(h, e)
                                       : read_offsets(h, &begin, &end);
    }
    if (status)
        return status;
    if (!have_type || !have_shape || !have_offsets)
        return wrong(h, "a tensor needs dtype, shape and data_offsets");
    if (begin > end || end > h->data)
        return fail(TAIN_EFORMAT, "%s: %s lies at bytes %lld to %lld, but the data has %lld",
                    h->scan.what, e->name, (long long)begin, (long long)end, (long long)h->data);
    if (__builtin_mul_overflow(e->count, bits, &total) || total % 8 || total / 8 != end - begin)
        return fail(TAIN_EFORMAT, "%s: %s has %lld elements of %s, which are not %lld bytes",
                    h->scan.what, e->name, (long long)e->count, e->type_name,
                    (long long)(end - begin));
    e->bytes = (size_t)(end - begin);
    e->offset = h->start + begin;
    return TAIN_OK;
}

static int read_entries(struct header *h)
{
    struct st_file *f = h->f;
    size_t first = f->count;
    bool had_metadata = false;
    int event, status = next_is(h, JSON_OBJECT, "the header must be an object");

    while (!status && (event = json_next_event(&h->scan)) != JSON_CLOSE) {
        struct st_entry e = { .file = f->shard_count };

        if (event < 0)
            return event;
        if (!strcmp(h->scan.string, "__metadata__")) {
            if (had_metadata)
                return wrong(h, "__metadata__ comes twice");
            had_metadata = true;
            status = read_metadata(h);
            continue;
        }
        if (!st_good_name(h->scan.string, h->scan.length))
            return wrong(h, "a name of more than 1024 bytes or with control characters");
        if (f->count - first == ST_COUNT)
            return wrong(h, "more than a million tensors");
        if (!(status = keep(h, &e.name)) && !(status = read_entry(h, &e)))
            status = tensors_add(f, &e);
    }
    return status ? status : next_is(h, JSON_END, "more text after the header's object");
}

static int by_offset(const void *a, const void *b)
{
    const struct st_entry *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_pair_key(const void *a, const void *b)
{
    return strcmp(((const struct st_pair *)a)->key, ((const struct st_pair *)b)->key);
}

/* No holes, no overlaps, nothing left over, no key twice. */
static int check_layout(struct header *h, size_t first)
{
    size_t n = h->f->count - first;
    struct st_entry *e = n ? h->f->entries + first : NULL;
    int64_t at = h->start;

    if (n)
        qsort(e, n, sizeof(*e), by_offset);
    for (size_t i = 0; i < n; i++) {
        if (e[i].offset != at)
            return fail(TAIN_EFORMAT,
                        "%s: %s begins at byte %lld of the data, the one before it ends at %lld",
                        h->scan.what, e[i].name, (long long)(e[i].offset - h->start),
                        (long long)(at - h->start));
        at += (int64_t)e[i].bytes;
    }
    if (at - h->start != h->data)
        return fail(TAIN_EFORMAT, "%s: the tensors end at byte %lld of the data, which has %lld",
                    h->scan.what, (long long)(at - h->start), (long long)h->data);
    if (h->pair_count)
        qsort(h->pairs, h->pair_count, sizeof(*h->pairs), by_pair_key);
    for (size_t i = 1; i < h->pair_count; i++)
        if (!by_pair_key(&h->pairs[i - 1], &h->pairs[i]))
            return fail(TAIN_EFORMAT, "%s: a key comes twice in __metadata__", h->scan.what);
    return TAIN_OK;
}

static int read_header(struct header *h)
{
    struct st_shard *d = h->shard;
    size_t first = h->f->count;
    uint64_t length = 0;
    uint8_t *text;
    int status;

    if (d->size < 10)
        return fail(TAIN_EFORMAT, "%s: has %lld bytes, too few for a safetensors file", d->path,
                    (long long)d->size);
    if ((status = file_read_at(d->fd, d->path, 0, &length, 8)))
        return status;
    if (length < 2 || length > ST_HEADER || length > (uint64_t)d->size - 8)
        return fail(TAIN_EFORMAT, "%s: is no safetensors file: its header would have %llu bytes",
                    d->path, (unsigned long long)length);
    h->start = 8 + (int64_t)length;
    h->data = d->size - h->start;
    text = base_alloc(length, 1);
    d->text = base_alloc(length, 1);
    status = text && d->text ? file_read_at(d->fd, d->path, 8, text, length) : TAIN_ENOMEM;
    h->scan = (struct json_scan){ .what = d->path, .text = text, .count = length };
    if (!status)
        status = read_entries(h);
    if (!status)
        status = check_layout(h, first);
    free(h->scan.string);
    free(text);
    return status;
}

int safetensors_open(struct st_file *f, struct st_shard *shard)
{
    struct header h = { .f = f, .shard = shard };
    int status = read_header(&h);

    if (!status && !f->shard_count) {
        f->metadata = h.pairs;
        f->metadata_count = h.pair_count;
    } else {
        free(h.pairs);
    }
    return status;
}

const char *safetensors_metadata(const struct st_pair *pairs, size_t count, const char *key)
{
    const struct st_pair pair = { .key = key }, *found = NULL;

    if (count)
        found = bsearch(&pair, pairs, count, sizeof(pair), by_pair_key);
    return found ? found->value : NULL;
}
