/* safetensors.c - named tensors in files: eight bytes of length, a JSON header, the data.
 *
 * The reader is stricter than the reference one in that no key may come twice. Everything else is
 * its rules: the tensors cover the data completely, without holes and without sharing a byte, and
 * shape times type is the number of bytes. So a file says one thing only, whoever reads it, and
 * nothing later has to check a size again.
 */
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "data is used as it lies in the file");

enum { INDEX_LIMIT = 64 << 20, PIECE = 1 << 16 };

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

struct shard {
    char *path;
    int fd;
    int64_t size;
    char *text; /* names and metadata, each with a zero byte */
};

struct pair {
    const char *key, *value;
};

struct st_file {
    struct shard *shards;
    int shard_count;
    struct st_entry *entries;
    size_t count, room;
    const struct st_entry **by_name;
    struct pair *metadata;
    size_t metadata_count;
};

const char *st_type_name(enum st_type type)
{
    return type < ST_OTHER ? types[type].name : "an unknown type";
}

size_t st_type_bytes(enum st_type type)
{
    return type < ST_OTHER ? (size_t)types[type].bits / 8 : 0;
}

bool st_good_name(const char *name, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return count <= ST_NAME;
}

/* ---- Reading a header ---- */

/* What reading one header needs. */
struct header {
    struct st_file *f;
    struct shard *shard;
    struct json_scan scan;
    int64_t start, data; /* where the data begins in the file, and its bytes */
    size_t used;         /* of the shard's text */
    struct pair *pairs;
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
        struct pair p;

        if (event < 0)
            return event;
        if (h->pair_count == h->pair_room) {
            size_t room = h->pair_room ? 2 * h->pair_room : 8;
            struct pair *grown = base_grow(h->pairs, h->pair_room, room, sizeof(*grown));

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
        if (f->count == f->room) {
            size_t room = f->room ? 2 * f->room : 64;
            struct st_entry *grown = base_grow(f->entries, f->room, room, sizeof(*grown));

            if (!grown)
                return TAIN_ENOMEM;
            f->entries = grown;
            f->room = room;
        }
        if (!(status = keep(h, &e.name)) && !(status = read_entry(h, &e)))
            f->entries[f->count++] = e;
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
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
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
    struct shard *d = h->shard;
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

/* Opens one file and adds its tensors. Takes the path. */
static int add_file(struct st_file *f, char *path)
{
    struct shard *d;
    struct header h = { .f = f };
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
    h.shard = d;
    d->path = path;
    d->fd = file_open(path, &d->size);
    status = d->fd < 0 ? d->fd : read_header(&h);
    f->shard_count++;
    if (!status && f->shard_count == 1) {
        f->metadata = h.pairs;
        f->metadata_count = h.pair_count;
    } else {
        free(h.pairs);
    }
    return status;
}

/* ---- Opening ---- */

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

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

static int open_path(struct st_file *f, const char *path)
{
    char *single, *index;
    int status;

    if (ends_in(path, ".index.json"))
        return open_index(f, path);
    if (!folder_exists(path)) {
        status = add_file(f, base_strdup(path));
        return status ? status : sort_names(f);
    }
    single = path_join(path, ST_SINGLE);
    index = path_join(path, ST_INDEX);
    if (!single || !index)
        status = TAIN_ENOMEM;
    else if (file_exists(single))
        status = open_path(f, single);
    else if (file_exists(index))
        status = open_index(f, index);
    else
        status = fail(TAIN_EIO, "%s: holds neither %s nor %s", path, ST_SINGLE, ST_INDEX);
    free(single);
    free(index);
    return status;
}

struct st_file *st_open(const char *path)
{
    struct st_file *f = base_alloc(1, sizeof(*f));

    if (f && open_path(f, path)) {
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
    }
    free(f->shards);
    free(f->entries);
    free(f->by_name);
    free(f->metadata);
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
    const struct pair pair = { .key = key }, *found = NULL;

    if (f->metadata_count)
        found = bsearch(&pair, f->metadata, f->metadata_count, sizeof(pair), by_pair_key);
    return found ? found->value : NULL;
}

const char *st_path(const struct st_file *f, const struct st_entry *e)
{
    return f->shards[e->file].path;
}

int st_read_part(const struct st_file *f, const struct st_entry *e, size_t from, void *dest,
                 size_t bytes)
{
    const struct shard *d = &f->shards[e->file];
    int status;

    if (from > e->bytes || bytes > e->bytes - from)
        return fail(TAIN_EINVAL, "%s: %s has %zu bytes; %zu from %zu on were asked for", d->path,
                    e->name, e->bytes, bytes, from);
    status = file_read_at(d->fd, d->path, e->offset + (int64_t)from, dest, bytes);
    return status ? fail_in("%s", e->name) : TAIN_OK;
}

int st_read(const struct st_file *f, const struct st_entry *e, void *dest, size_t bytes)
{
    if (bytes != e->bytes)
        return fail(TAIN_EINVAL, "%s: %s has %zu bytes; %zu were asked for", st_path(f, e), e->name,
                    e->bytes, bytes);
    return st_read_part(f, e, 0, dest, bytes);
}

int st_read_float(const struct st_file *f, const struct st_entry *e, float *dest, size_t count)
{
    char piece[PIECE];
    size_t size = st_type_bytes(e->type);

    if (e->type > ST_BF16)
        return fail(TAIN_EUNSUPPORTED, "%s: %s is %s, where floats are needed", st_path(f, e),
                    e->name, e->type_name);
    if (count != (size_t)e->count)
        return fail(TAIN_EINVAL, "%s: %s has %lld elements; %zu were asked for", st_path(f, e),
                    e->name, (long long)e->count, count);
    if (e->type == ST_F32)
        return st_read(f, e, dest, e->bytes);
    for (size_t done = 0; done < count;) {
        size_t n = count - done < PIECE / size ? count - done : PIECE / size;
        int status = st_read_part(f, e, done * size, piece, n * size);

        if (status)
            return status;
        for (size_t i = 0; i < n; i++) {
            double wide;
            uint16_t half;

            if (e->type == ST_F64) {
                memcpy(&wide, piece + i * 8, 8);
                dest[done + i] = (float)wide;
            } else {
                memcpy(&half, piece + i * 2, 2);
                dest[done + i] = e->type == ST_F16 ? f16_to_f32(half) : bf16_to_f32(half);
            }
        }
        done += n;
    }
    return TAIN_OK;
}
