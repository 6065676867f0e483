/* pickle.c - what an archive of PyTorch holds.
 *
 * The pickle in it is a program, which is read without doing what it says (pickle_machine.c). What that
 * leaves must be names and tensors, each of which must lie within its storage, which must have in the
 * archive the bytes that the pickle says it has.
 */
#include "io/pickle.h"

#include <stdlib.h>
#include <string.h>

enum { PICKLE_BYTES = 64 << 20 };

/* ---- From the pickle's tensors to the archive's bytes ---- */

static int find_storage(const struct machine *m, const struct zip *z, size_t folder, const struct storage *s, const char *name,
                        int64_t *at, struct st_sum *sum)
{
    char path[ST_NAME + 8];
    const struct zip_member *member = NULL;
    int64_t bytes;
    int n = (int)s->key.count;

    if (folder + 5 + s->key.count <= ST_NAME) {
        memcpy(path, z->members[0].name, folder);
        memcpy(path + folder, "data/", 5);
        memcpy(path + folder + 5, m->code + s->key.at, s->key.count);
        member = zip_find(z, path, folder + 5 + s->key.count);
    }
    n = n > 60 ? 60 : n;
    if (!member)
        return fail(TAIN_EFORMAT, "%s: %s lies in storage %.*s, which the archive lacks", m->path, name, n,
                    st_good_name((const char *)m->code + s->key.at, s->key.count) ? (const char *)m->code + s->key.at : "");
    if (__builtin_mul_overflow(s->count, (int64_t)st_type_bytes(s->type), &bytes) || bytes != member->size)
        return fail(TAIN_EFORMAT, "%s: storage %.*s, of %s, is said to have %lld elements of %s, but has %lld bytes", m->path, n,
                    (const char *)m->code + s->key.at, name, (long long)s->count, st_type_name(s->type),
                    (long long)member->size);
    if (zip_data(z, member, at))
        return tain_error_status();
    *sum = (struct st_sum){ *at, member->size, member->crc, false };
    return TAIN_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct st_sum *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* In the order of their places, each once, though several tensors lie in one storage. */
static void sort_sums(struct st_shard *shard, size_t count)
{
    qsort(shard->sums, count, sizeof(*shard->sums), by_place);
    for (size_t i = 0; i < count; i++)
        if (!i || shard->sums[i].at != shard->sums[shard->sum_count - 1].at)
            shard->sums[shard->sum_count++] = shard->sums[i];
}

/* Sizes and strides; strides are dropped where they only say that the elements lie one after the
 * other. */
static int place(const struct machine *m, const struct tensor *t, const struct storage *s, struct st_entry *e, int64_t *stride)
{
    int64_t last = t->offset, step = 1, far;
    bool dense = true;

    e->rank = (int)t->size.count;
    e->count = 1;
    for (int i = e->rank - 1; i >= 0; i--) {
        e->shape[i] = item(m, &t->size, (size_t)i)->at;
        stride[i] = item(m, &t->stride, (size_t)i)->at;
        dense &= e->shape[i] == 1 || stride[i] == step;
        if (__builtin_mul_overflow(e->count, e->shape[i], &e->count))
            return fail(TAIN_EFORMAT, "%s: %s has more elements than can be counted", m->path, e->name);
        step = e->count;
    }
    for (int i = 0; i < e->rank && e->count; i++)
        if (__builtin_mul_overflow(e->shape[i] - 1, stride[i], &far) || __builtin_add_overflow(last, far, &last))
            return fail(TAIN_EFORMAT, "%s: %s reaches further than can be counted", m->path, e->name);
    if (t->offset > s->count || (e->count && last >= s->count))
        return fail(TAIN_EFORMAT, "%s: %s reaches to element %lld of a storage of %lld", m->path, e->name, (long long)last,
                    (long long)s->count);
    if (e->count > s->count)
        return fail(TAIN_EFORMAT, "%s: %s has %lld elements in a storage of %lld", m->path, e->name, (long long)e->count,
                    (long long)s->count);
    e->type = s->type;
    e->type_name = st_type_name(s->type);
    e->bytes = (size_t)e->count * st_type_bytes(s->type);
    e->stride = dense || !e->count ? NULL : stride;
    return TAIN_OK;
}

/* The pairs of the dictionary that was left, the first first. */
static int add_tensors(struct machine *m, const struct zip *z, size_t folder, struct st_file *f, struct st_shard *shard)
{
    const struct link *links = m->links.at;
    size_t count = 0, used = 0, text = 0;
    int64_t *order;
    int status = TAIN_OK;

    for (int64_t i = machine_last(m); i >= 0; i = links[i].before, count++)
        if (links[i].key.kind == STRING)
            text += links[i].key.count + 1;
    if (count > ST_COUNT)
        return fail(TAIN_EFORMAT, "%s: data.pkl: more than a million tensors", m->path);
    order = base_alloc(count, sizeof(*order));
    shard->text = base_alloc(text, 1);
    shard->strides = base_alloc(count * ST_RANK, sizeof(*shard->strides));
    shard->sums = base_alloc(count, sizeof(*shard->sums));
    if (!order || !shard->text || !shard->strides || !shard->sums)
        status = TAIN_ENOMEM;
    else
        for (int64_t i = machine_last(m), k = (int64_t)count; i >= 0; i = links[i].before)
            order[--k] = i;
    for (size_t k = 0; k < count && !status; k++) {
        const struct link *l = &links[order[k]];
        struct st_entry e = { .file = f->shard_count, .name = shard->text + used };
        const struct tensor *t = (const struct tensor *)m->tensors.at + l->value.at;
        const struct storage *s;

        if (l->key.kind != STRING || !st_good_name((const char *)m->code + l->key.at, l->key.count) ||
            memchr(m->code + l->key.at, 0, l->key.count))
            status = fail(TAIN_EFORMAT, "%s: data.pkl: the name of tensor %zu is no text of at most %d bytes", m->path, k + 1,
                          ST_NAME);
        if (status)
            break;
        memcpy(shard->text + used, m->code + l->key.at, l->key.count);
        used += l->key.count + 1;
        if (l->value.kind != TENSOR)
            status = fail(TAIN_EFORMAT, "%s: data.pkl: %s is no tensor; only lists of weights are read", m->path, e.name);
        if (status)
            break;
        s = (const struct storage *)m->storages.at + t->storage;
        if (!(status = place(m, t, s, &e, shard->strides + k * ST_RANK)) &&
            !(status = find_storage(m, z, folder, s, e.name, &e.offset, &shard->sums[k]))) {
            e.offset += t->offset * (int64_t)st_type_bytes(s->type);
            status = tensors_add(f, &e);
        }
    }
    free(order);
    if (!status)
        sort_sums(shard, count);
    return status;
}

/* ---- The archive ---- */

/* The folder that all members lie in, with its slash; `*folder` is its length. */
static int find_folder(const struct zip *z, size_t *folder)
{
    const char *slash = z->count ? memchr(z->members[0].name, '/', z->members[0].length) : NULL;

    *folder = slash ? (size_t)(slash + 1 - z->members[0].name) : 0;
    for (size_t i = 0; i < z->count && *folder; i++)
        if (z->members[i].length < *folder || memcmp(z->members[i].name, z->members[0].name, *folder))
            *folder = 0;
    return *folder ? TAIN_OK : fail(TAIN_EFORMAT, "%s: is an archive, but not one of PyTorch: its members lie in no one folder",
                                    z->path);
}

static int read_member(const struct zip *z, size_t folder, const char *name, size_t limit, uint8_t **bytes, size_t *count)
{
    char path[ST_NAME + 16];
    const struct zip_member *m;
    size_t n = strlen(name);

    memcpy(path, z->members[0].name, folder);
    memcpy(path + folder, name, n);
    m = zip_find(z, path, folder + n);
    *bytes = NULL;
    *count = m ? (size_t)m->size : 0;
    return m ? zip_read(z, m, limit, bytes) : TAIN_OK;
}

/* What other files begin with that go by the same names. */
static int check_start(const struct st_shard *d)
{
    static const uint8_t legacy[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };
    uint8_t start[sizeof(legacy)] = { 0 };
    int status = file_read_at(d->fd, d->path, 0, start, d->size < (int64_t)sizeof(start) ? (size_t)d->size : sizeof(start));

    if (status || !memcmp(start, "PK\3\4", 4))
        return status;
    if (!memcmp(start, legacy, sizeof(legacy)))
        return fail(TAIN_EFORMAT, "%s: was written by PyTorch before 1.6; load it there and save it again, best as safetensors",
                    d->path);
    return fail(TAIN_EFORMAT, "%s: is no archive of PyTorch", d->path);
}

int pickle_open(struct st_file *f, struct st_shard *d)
{
    uint8_t *code = NULL, *version = NULL, *order = NULL;
    struct machine m;
    size_t folder = 0, count = 0, versions = 0, orders = 0;
    struct zip z = { 0 };
    int status = check_start(d);

    if (!status && !(status = zip_open(&z, d->path, d->fd, d->size)) && !(status = find_folder(&z, &folder)) &&
        !(status = read_member(&z, folder, "version", 64, &version, &versions)) &&
        !(status = read_member(&z, folder, "byteorder", 64, &order, &orders)) &&
        !(status = read_member(&z, folder, "data.pkl", PICKLE_BYTES, &code, &count))) {
        if (!code || !version)
            status = fail(TAIN_EFORMAT, "%s: is an archive, but not one of PyTorch: it lacks %s", d->path,
                          code ? "version" : "data.pkl");
        else if (order && (orders != 6 || memcmp(order, "little", 6)))
            status = fail(TAIN_EFORMAT, "%s: its numbers do not have the low byte first", d->path);
    }
    machine_open(&m, d->path, code, count);
    if (!status && !(status = machine_run(&m)))
        status = add_tensors(&m, &z, folder, f, d);
    machine_close(&m);
    free(code);
    free(version);
    free(order);
    zip_close(&z);
    return status;
}
