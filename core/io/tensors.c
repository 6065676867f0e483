/* tensors.c - named tensors in files of any kind: finding the files, and reading from them.
 *
 * What a file says of itself is read by the reader of its kind (safetensors.c, pickle.c), which adds
 * an entry for every tensor. From there on nobody asks what kind it was.
 */
#include "io/tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "data is used as it lies in the file");

enum { INDEX_LIMIT = 64 << 20, PIECE = 1 << 16 };

/* What a folder's weights may be called, the first that is there being taken. */
static const char *const forms[] = {
    ST_SINGLE, ST_INDEX, "pytorch_model.bin", "pytorch_model.bin.index.json",
};

/* A tensor whose elements lie apart, as last read: put together once, not for every part. */
struct st_dense {
    const struct st_entry *of;
    char *bytes;
};

bool st_good_name(const char *name, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return count <= ST_NAME;
}

int tensors_add(struct st_file *f, const struct st_entry *e)
{
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        struct st_entry *grown = base_grow(f->entries, f->room, room, sizeof(*grown));

        if (!grown)
            return TAIN_ENOMEM;
        f->entries = grown;
        f->room = room;
    }
    f->entries[f->count++] = *e;
    return TAIN_OK;
}

/* ---- Opening ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

/* By its name, since a name is what a user sees; by its first bytes where that says nothing. */
static bool is_pickle(const struct st_shard *d)
{
    char start[4] = { 0 };

    if (ends_in(d->path, ".bin") || ends_in(d->path, ".pt") || ends_in(d->path, ".pth"))
        return true;
    if (ends_in(d->path, ".safetensors") || d->size < 4 || file_read_at(d->fd, d->path, 0, start, 4))
        return false;
    return !memcmp(start, "PK\3\4", 4);
}

/* When a file was changed last, in nanoseconds. */
static int64_t changed(int fd)
{
    struct stat s;

    return fstat(fd, &s) ? 0 : (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
}

/* Opens one file and adds its tensors. Takes the path. */
static int add_file(struct st_file *f, char *path)
{
    struct st_shard *d;
    int status;

    if (!path)
        return TAIN_ENOMEM;
    d = base_grow(f->shards, (size_t)f->shard_count, (size_t)f->shard_count + 1, sizeof(*d));
    if (!d) {
        free(path);
        return TAIN_ENOMEM;
    }
    f->shards = d;
    d += f->shard_count;
    d->path = path;
    d->fd = file_open(path, &d->size);
    d->changed = d->fd < 0 ? 0 : changed(d->fd);
    status = d->fd < 0 ? d->fd : is_pickle(d) ? pickle_open(f, d) : safetensors_open(f, d);
    f->shard_count++;
    return status;
}


static int by_entry_name(const void *a, const void *b)
{
    return strcmp((*(const struct st_entry *const *)a)->name,
                  (*(const struct st_entry *const *)b)->name);
}

static int sort_names(struct st_file *f)
{
    f->by_name = base_alloc(f->count, sizeof(*f->by_name));
    if (!f->by_name)
        return TAIN_ENOMEM;
    for (size_t i = 0; i < f->count; i++)
        f->by_name[i] = &f->entries[i];
    qsort(f->by_name, f->count, sizeof(*f->by_name), by_entry_name);
    for (size_t i = 1; i < f->count; i++) {
        const struct st_entry *a = f->by_name[i - 1], *b = f->by_name[i];

        if (strcmp(a->name, b->name))
            continue;
        if (a->file == b->file)
            return fail(TAIN_EFORMAT, "%s: %s comes twice", st_path(f, a), a->name);
        return fail(TAIN_EFORMAT, "%s: %s is also in %s", st_path(f, a), a->name, st_path(f, b));
    }
    return TAIN_OK;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that can only mean a file in the same folder. */
static bool plain_file_name(const char *name)
{
    return *name && *name != '.' && !strpbrk(name, "/\\") && strlen(name) < 256;
}

/* Sorts the shards' names, each once, into `list`, which has room for all values of the map. */
static int list_shards(const struct json *map, const char **list, size_t *count)
{
    size_t n = 0, kept = 0;

    for (const struct json *m = json_first(map); m; m = json_next(m)) {
        int status = json_string(m, &list[n], NULL);

        if (status)
            return status;
        if (!plain_file_name(list[n++]))
            return json_fail(m, "must be the name of a file in the same folder");
    }
    if (!n)
        return json_fail(map, "lists no tensors");
    qsort(list, n, sizeof(*list), by_string);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(list[i], list[i - 1]))
            list[kept++] = list[i];
    if (kept > ST_SHARDS)
        return json_fail(map, "lists %zu shards, more than the limit of %d", kept, ST_SHARDS);
    *count = kept;
    return TAIN_OK;
}

static int open_shards(struct st_file *f, const struct json *map, const char *folder,
                       const char *const *list, size_t count, const char *index)
{
    int status;

    for (size_t i = 0; i < count; i++) {
        char *path = path_join(folder, list[i]);

        if (path && !file_exists(path)) {
            free(path);
            return fail(TAIN_EIO, "%s: lists the shard %s, which is not there", index, list[i]);
        }
        if ((status = add_file(f, path)))
            return status;
    }
    if ((status = sort_names(f)))
        return status;
    for (const struct json *m = json_first(map); m; m = json_next(m)) {
        const char *shard = NULL, *name;
        const struct st_entry *e;
        size_t length, n;

        json_string(m, &shard, NULL);
        name = json_key(m, &length);
        e = strlen(name) == length ? st_find(f, name) : NULL;
        n = strlen(shard);
        if (!e || strlen(st_path(f, e)) < n ||
            strcmp(st_path(f, e) + strlen(st_path(f, e)) - n, shard))
            return json_fail(m, "is not in %s, which should hold it", shard);
    }
    return TAIN_OK;
}

static int open_index(struct st_file *f, const char *index)
{
    struct json *root = json_read(index, INDEX_LIMIT);
    const struct json *map;
    const char **list = NULL;
    char *folder = path_folder(index);
    size_t count = 0;
    int status;

    if (!root || !folder)
        status = tain_error_status();
    else if (!(status = json_get_object(root, "weight_map", &map))) {
        list = base_alloc(json_count(map), sizeof(*list));
        status = list ? list_shards(map, list, &count) : TAIN_ENOMEM;
        if (!status)
            status = open_shards(f, map, folder, list, count, index);
    }
    free(list);
    free(folder);
    json_free(root);
    return status;
}

static int open_path(struct st_file *f, const char *path)
{
    int status;

    if (ends_in(path, ".index.json"))
        return open_index(f, path);
    if (!folder_exists(path)) {
        status = add_file(f, base_strdup(path));
        return status ? status : sort_names(f);
    }
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        char *one = path_join(path, forms[i]);

        if (!one)
            return TAIN_ENOMEM;
        if (file_exists(one)) {
            status = open_path(f, one);
            free(one);
            return status;
        }
        free(one);
    }
    return fail(TAIN_EIO, "%s: holds no weights: there is neither %s nor %s, and no %s either", path,
                forms[0], forms[1], forms[2]);
}

struct st_file *st_open(const char *path)
{
    struct st_file *f = base_alloc(1, sizeof(*f));

    if (f && (!(f->dense = base_alloc(1, sizeof(*f->dense))) || open_path(f, path))) {
        st_close(f);
        return NULL;
    }
    return f;
}

void st_close(struct st_file *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->shard_count; i++) {
        if (f->shards[i].fd >= 0)
            io_calls.close(f->shards[i].fd);
        free(f->shards[i].path);
        free(f->shards[i].text);
        free(f->shards[i].strides);
        free(f->shards[i].sums);
    }
    free(f->shards);
    free(f->entries);
    free(f->by_name);
    free(f->metadata);
    if (f->dense)
        free(f->dense->bytes);
    free(f->dense);
    free(f);
}

/* ---- Using an open file ---- */

int st_count(const struct st_file *f)
{
    return (int)f->count;
}

const struct st_entry *st_at(const struct st_file *f, int index)
{
    return index >= 0 && (size_t)index < f->count ? &f->entries[index] : NULL;
}

const struct st_entry *st_find(const struct st_file *f, const char *name)
{
    const struct st_entry key = { .name = name }, *pointer = &key, **found;

    found = bsearch(&pointer, f->by_name, f->count, sizeof(*f->by_name), by_entry_name);
    return found ? *found : NULL;
}

const struct st_entry *st_need(const struct st_file *f, const char *name)
{
    const struct st_entry *e = st_find(f, name);

    if (!e)
        fail(TAIN_EFORMAT, "%s: has no tensor %s", f->shards[0].path, name);
    return e;
}

const char *st_metadata(const struct st_file *f, const char *key)
{
    return safetensors_metadata(f->metadata, f->metadata_count, key);
}

const char *st_path(const struct st_file *f, const struct st_entry *e)
{
    return f->shards[e->file].path;
}

/* Puts the elements of a tensor together that lie apart in the file, in the order of its shape. The
 * reader of the file has seen to it that all of them lie in it and are no more than it has. */
static int gather(const struct st_file *f, const struct st_entry *e)
{
    const struct st_shard *d = &f->shards[e->file];
    size_t size = st_type_bytes(e->type), span = size;
    int64_t at[ST_RANK] = { 0 }, from = 0;
    char *lies, *bytes;
    int status;

    if (f->dense->of == e)
        return TAIN_OK;
    for (int i = 0; i < e->rank; i++)
        span += (size_t)((e->shape[i] - 1) * e->stride[i]) * size;
    free(f->dense->bytes);
    *f->dense = (struct st_dense){ 0 };
    lies = base_alloc(span, 1);
    bytes = base_alloc(e->bytes, 1);
    status = lies && bytes ? file_read_at(d->fd, d->path, e->offset, lies, span) : TAIN_ENOMEM;
    for (int64_t k = 0; k < e->count && !status; k++) {
        memcpy(bytes + (size_t)k * size, lies + (size_t)from * size, size);
        for (int i = e->rank - 1; i >= 0; i--) {
            from += e->stride[i];
            if (++at[i] < e->shape[i])
                break;
            from -= at[i] * e->stride[i];
            at[i] = 0;
        }
    }
    free(lies);
    if (status) {
        free(bytes);
        return status;
    }
    *f->dense = (struct st_dense){ e, bytes };
    return TAIN_OK;
}

/* The checksum over the entry's first byte, or NULL. */
static struct st_sum *sum_of(const struct st_shard *d, const struct st_entry *e)
{
    size_t low = 0, high = d->sum_count;

    while (low < high) { /* the last that does not begin behind it */
        size_t middle = (low + high) / 2;

        if (d->sums[middle].at <= e->offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low && e->offset < d->sums[low - 1].at + d->sums[low - 1].size ? &d->sums[low - 1] : NULL;
}

int st_read_part(const struct st_file *f, const struct st_entry *e, size_t from, void *dest,
                 size_t bytes)
{
    const struct st_shard *d = &f->shards[e->file];
    struct st_sum *sum;
    int status;

    if (from > e->bytes || bytes > e->bytes - from)
        return fail(TAIN_EINVAL, "%s: %s has %zu bytes; %zu from %zu on were asked for", d->path,
                    e->name, e->bytes, bytes, from);
    if (!bytes)
        return TAIN_OK;
    if ((sum = sum_of(d, e)) && (status = zip_check(d->path, d->fd, e->name, sum)))
        return status;
    if (!e->stride)
        status = file_read_at(d->fd, d->path, e->offset + (int64_t)from, dest, bytes);
    else if (!(status = gather(f, e)))
        memcpy(dest, f->dense->bytes + from, bytes);
    if (!status && changed(d->fd) != d->changed) /* half a model of one, half of another */
        status = fail(TAIN_EFORMAT, "%s: was changed while it was read", d->path);
    return status ? fail_in("%s", e->name) : TAIN_OK;
}

int st_read(const struct st_file *f, const struct st_entry *e, void *dest, size_t bytes)
{
    if (bytes != e->bytes)
        return fail(TAIN_EINVAL, "%s: %s has %zu bytes; %zu were asked for", st_path(f, e), e->name,
                    e->bytes, bytes);
    return st_read_part(f, e, 0, dest, bytes);
}

int st_read_float_part(const struct st_file *f, const struct st_entry *e, size_t from, float *dest, size_t count)
{
    char piece[PIECE];
    size_t size = st_type_bytes(e->type);

    if (e->type > ST_BF16)
        return fail(TAIN_EUNSUPPORTED, "%s: %s is %s, where floats are needed", st_path(f, e),
                    e->name, e->type_name);
    if (e->type == ST_F32)
        return st_read_part(f, e, from * size, dest, count * size);
    for (size_t done = 0; done < count;) {
        size_t n = count - done < PIECE / size ? count - done : PIECE / size;
        int status = st_read_part(f, e, (from + done) * size, piece, n * size);

        if (status)
            return status;
        if (e->type == ST_F16)
            f16_to_floats(piece, dest + done, n);
        else if (e->type == ST_BF16)
            bf16_to_floats(piece, dest + done, n);
        for (size_t i = 0; i < n && e->type == ST_F64; i++) {
            double wide;

            memcpy(&wide, piece + i * 8, 8);
            dest[done + i] = (float)wide;
        }
        done += n;
    }
    return TAIN_OK;
}

int st_read_float(const struct st_file *f, const struct st_entry *e, float *dest, size_t count)
{
    if (e->type <= ST_BF16 && count != (size_t)e->count)
        return fail(TAIN_EINVAL, "%s: %s has %lld elements; %zu were asked for", st_path(f, e),
                    e->name, (long long)e->count, count);
    return st_read_float_part(f, e, 0, dest, count);
}
