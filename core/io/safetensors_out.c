/* safetensors_out.c - writes named tensors, in one file or in shards.
 *
 * The header comes first and says where everything will lie, so all names, types and shapes must be
 * known at the start; the data then passes through in pieces. No file has its name before all of
 * them are complete and flushed, and the index of shards comes last.
 */
#include "io/io.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

struct out_shard {
    char *name, *path;
    int first, count; /* tensors */
    int64_t bytes, put;
    struct file_out *file;
};

struct st_out {
    char *path;           /* of the file or the folder */
    bool folder, failed;
    struct st_tensor *list; /* with copies of the names */
    int count;
    struct out_shard *shards;
    int shard_count, current;
    int64_t total;
};

static int64_t tensor_bytes(const struct st_tensor *t)
{
    int64_t n = (int64_t)st_type_bytes(t->type);

    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 || __builtin_mul_overflow(n, t->shape[i], &n))
            return -1;
    return n;
}

static int check_tensor(const char *path, const struct st_tensor *t)
{
    size_t n = strlen(t->name), at;

    if (!st_good_name(t->name, n) || !utf8_check(t->name, n, &at) ||
        !strcmp(t->name, "__metadata__"))
        return fail(TAIN_EINVAL, "%s: %.60s cannot be the name of a tensor", path, t->name);
    if ((unsigned)t->type >= ST_OTHER || t->rank < 0 || t->rank > ST_RANK || tensor_bytes(t) < 0)
        return fail(TAIN_EINVAL, "%s: %s has a type or a shape that cannot be written", path,
                    t->name);
    return TAIN_OK;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_list(const char *path, const struct st_tensor *list, int count)
{
    const char **names;
    int status = TAIN_OK;

    if (count < 0 || count > ST_COUNT)
        return fail(TAIN_EINVAL, "%s: cannot hold %d tensors", path, count);
    if (!(names = base_alloc((size_t)count, sizeof(*names))))
        return TAIN_ENOMEM;
    for (int i = 0; i < count && !status; i++) {
        names[i] = list[i].name;
        status = check_tensor(path, &list[i]);
    }
    if (!status)
        qsort(names, (size_t)count, sizeof(*names), by_string);
    for (int i = 1; i < count && !status; i++)
        if (!strcmp(names[i], names[i - 1]))
            status = fail(TAIN_EINVAL, "%s: %s would come twice", path, names[i]);
    free(names);
    return status;
}

/* Divides the tensors into shards; a limit of 0 gives one. */
static int plan(struct st_out *out, int64_t limit)
{
    struct out_shard *s = NULL;

    for (int i = 0; i < out->count; i++) {
        int64_t n = tensor_bytes(&out->list[i]), size = (int64_t)st_type_bytes(out->list[i].type);

        if (__builtin_add_overflow(out->total, n, &out->total))
            return fail(TAIN_EINVAL, "%s: the tensors have too many bytes", out->path);
        if (!s || (limit && s->bytes && n > limit - s->bytes)) {
            if (out->shard_count == ST_SHARDS)
                return fail(TAIN_EINVAL, "%s: more than %d shards of %lld bytes", out->path,
                            ST_SHARDS, (long long)limit);
            s = &out->shards[out->shard_count++];
            s->first = i;
        }
        if (s->bytes % size)
            return fail(TAIN_EINVAL,
                        "%s: %s would begin at byte %lld, no multiple of the %lld of its type; put "
                        "larger types first", out->path, out->list[i].name, (long long)s->bytes,
                        (long long)size);
        s->bytes += n;
        s->count++;
    }
    if (!out->shard_count)
        out->shard_count = 1;
    return TAIN_OK;
}

static int name_shards(struct st_out *out)
{
    for (int i = 0; i < out->shard_count; i++) {
        struct out_shard *s = &out->shards[i];

        s->name = out->shard_count > 1
                      ? base_format("model-%05d-of-%05d.safetensors", i + 1, out->shard_count)
                      : base_strdup(ST_SINGLE);
        s->path = !out->folder ? base_strdup(out->path)
                  : s->name    ? path_join(out->path, s->name)
                               : NULL;
        if (!s->path)
            return TAIN_ENOMEM;
    }
    return TAIN_OK;
}

static int refuse_other_form(const struct st_out *out)
{
    char *single = path_join(out->path, ST_SINGLE), *index = path_join(out->path, ST_INDEX);
    int status = single && index ? TAIN_OK : TAIN_ENOMEM;

    if (!status && file_exists(index))
        status = fail(TAIN_EINVAL, "%s: a model in shards is there already", out->path);
    if (!status && out->shard_count > 1 && file_exists(single))
        status = fail(TAIN_EINVAL, "%s: %s is there already, and would hide the shards", out->path,
                      ST_SINGLE);
    free(single);
    free(index);
    return status;
}

struct st_out *st_begin(const char *path, const struct st_tensor *list, int count, int64_t limit)
{
    struct st_out *out;
    int status;

    if (check_list(path, list, count) || !(out = base_alloc(1, sizeof(*out))))
        return NULL;
    out->folder = limit > 0;
    out->path = base_strdup(path);
    out->list = base_alloc((size_t)count, sizeof(*list));
    out->shards = base_alloc(limit > 0 ? ST_SHARDS : 1, sizeof(*out->shards));
    status = out->path && out->list && out->shards ? TAIN_OK : TAIN_ENOMEM;
    for (int i = 0; i < count && !status; i++) {
        out->list[i] = list[i];
        if ((out->list[i].name = base_strdup(list[i].name)))
            out->count++;
        else
            status = TAIN_ENOMEM;
    }
    if (status || plan(out, limit > 0 ? limit : 0) || name_shards(out) ||
        (out->folder && refuse_other_form(out))) {
        st_drop(out);
        return NULL;
    }
    return out;
}

/* Begins the shard's file with its header, padded so that the data begins at a multiple of 8. */
static int begin_shard(struct st_out *out, struct out_shard *s)
{
    struct text t = { 0 };
    uint64_t length;
    int64_t at = 0;
    int status;

    text_format(&t, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = s->first; i < s->first + s->count; i++) {
        const struct st_tensor *e = &out->list[i];

        text_put(&t, ",", 1);
        text_json_string(&t, e->name, strlen(e->name));
        text_format(&t, ":{\"dtype\":\"%s\",\"shape\":[", st_type_name(e->type));
        for (int k = 0; k < e->rank; k++)
            text_format(&t, k ? ",%lld" : "%lld", (long long)e->shape[k]);
        text_format(&t, "],\"data_offsets\":[%lld,%lld]}", (long long)at,
                    (long long)(at + tensor_bytes(e)));
        at += tensor_bytes(e);
    }
    text_put(&t, "}", 1);
    while (t.count % 8 && !t.failed)
        text_put(&t, " ", 1);
    length = t.count;
    if (t.failed)
        status = TAIN_ENOMEM;
    else if (length > ST_HEADER)
        status = fail(TAIN_EINVAL, "%s: its header would have %zu bytes, the limit is %d", s->path,
                      t.count, ST_HEADER);
    else if (!(s->file = file_begin(s->path)))
        status = tain_error_status();
    else if (!(status = file_put(s->file, &length, 8)))
        status = file_put(s->file, t.at, t.count);
    free(t.at);
    return status;
}

/* Sees to it that the current shard has a file and, when it is full, that it is on disk. */
static int advance(struct st_out *out)
{
    while (out->current < out->shard_count) {
        struct out_shard *s = &out->shards[out->current];
        int status = s->file ? TAIN_OK : begin_shard(out, s);

        if (status || s->put < s->bytes)
            return status;
        if ((status = file_sync(s->file)))
            return status;
        out->current++;
    }
    return TAIN_OK;
}

int st_put(struct st_out *out, const void *bytes, size_t count)
{
    size_t done = 0;

    if (out->failed)
        return fail(TAIN_EIO, "%s: an earlier write to it has failed", out->path);
    while (done < count) {
        struct out_shard *s;
        size_t n = count - done;
        int status = advance(out);

        if (!status && out->current == out->shard_count)
            status = fail(TAIN_EINVAL, "%s: more bytes than its tensors have were put", out->path);
        if (!status) {
            s = &out->shards[out->current];
            if (n > (uint64_t)(s->bytes - s->put))
                n = (size_t)(s->bytes - s->put);
            status = file_put(s->file, (const char *)bytes + done, n);
        }
        if (status) {
            out->failed = true;
            return status;
        }
        s->put += (int64_t)n;
        done += n;
    }
    return TAIN_OK;
}

static int write_index(const struct st_out *out)
{
    char *path = path_join(out->path, ST_INDEX);
    struct text t = { 0 };
    int status = TAIN_ENOMEM;

    text_format(&t, "{\n  \"metadata\": {\n    \"total_size\": %lld\n  },\n  \"weight_map\": {",
                (long long)out->total);
    for (int i = 0; i < out->shard_count; i++) {
        const struct out_shard *s = &out->shards[i];

        for (int k = s->first; k < s->first + s->count; k++) {
            text_format(&t, k ? ",\n    " : "\n    ");
            text_json_string(&t, out->list[k].name, strlen(out->list[k].name));
            text_format(&t, ": \"%s\"", s->name);
        }
    }
    text_format(&t, "\n  }\n}\n");
    if (path && !t.failed)
        status = file_write(path, t.at, t.count);
    free(t.at);
    free(path);
    return status;
}

int st_end(struct st_out *out)
{
    int status = out->failed ? fail(TAIN_EIO, "%s: an earlier write to it has failed", out->path)
                             : advance(out);

    if (!status && out->current < out->shard_count) {
        const struct out_shard *s = &out->shards[out->current];

        status = fail(TAIN_EINVAL, "%s: %lld bytes of its tensors were not put", s->path,
                      (long long)(s->bytes - s->put));
    }
    for (int i = 0; i < out->shard_count && !status; i++) {
        status = file_end(out->shards[i].file);
        out->shards[i].file = NULL;
    }
    if (!status && out->shard_count > 1)
        status = write_index(out);
    st_drop(out);
    return status;
}

void st_drop(struct st_out *out)
{
    if (!out)
        return;
    for (int i = 0; i < out->shard_count; i++) {
        file_drop(out->shards[i].file);
        free(out->shards[i].name);
        free(out->shards[i].path);
    }
    for (int i = 0; i < out->count; i++)
        free((char *)(uintptr_t)out->list[i].name);
    free(out->list);
    free(out->shards);
    free(out->path);
    free(out);
}

int st_write(const char *path, const struct st_tensor *list, int count)
{
    struct st_out *out = st_begin(path, list, count, 0);
    int status = TAIN_OK;

    if (!out)
        return tain_error_status();
    for (int i = 0; i < count && !status; i++)
        status = st_put(out, list[i].data, (size_t)tensor_bytes(&list[i]));
    if (status) {
        st_drop(out);
        return status;
    }
    return st_end(out);
}
