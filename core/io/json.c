/* json.c - JSON as a tree, with sentences that name the place.
 *
 * A tree is made in two passes over the text: the first checks all of it and counts, the second
 * fills memory of exactly that size. Look-up is by sorted keys, so that no choice of keys makes it
 * slow, and nothing here recurses.
 */
#include "io/io.h"
#include "io/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json {
    const struct json *parent, *next;
    const char *key;
    size_t key_count;
    size_t count; /* of members, or of the string's bytes */
    union {
        const struct json **members; /* of an array in order, of an object sorted by key */
        const char *string;
        double number;
    };
    const struct json *first;
    int64_t integer;
    uint8_t type;
    bool is_integer, truth;
};

/* What is behind a tree. */
struct tree {
    char *what;
    char *text;                  /* all keys and strings, each with a zero byte */
    const struct json **members; /* those of all nodes */
    struct json nodes[];         /* the root is the first */
};

/* ---- Making ---- */

static int compare_keys(const char *a, size_t a_count, const char *b, size_t b_count)
{
    size_t n = a_count < b_count ? a_count : b_count;
    int c = n ? memcmp(a, b, n) : 0;

    return c ? c : (a_count > b_count) - (a_count < b_count);
}

static int by_key(const void *a, const void *b)
{
    const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;

    return compare_keys(x->key, x->key_count, y->key, y->key_count);
}

/* The size of everything, and whether it is JSON at all. */
static int count_all(struct json_scan *s, size_t *values, size_t *bytes)
{
    int event;

    *values = *bytes = 0;
    while ((event = json_next_event(s)) != JSON_END) {
        if (event < 0)
            return event;
        if (event == JSON_KEY || event == JSON_STRING)
            *bytes += s->length + 1; /* less than the text itself: there were two quotes */
        *values += event <= JSON_OBJECT;
        if (*values > JSON_VALUES)
            return fail(TAIN_EFORMAT, "%s: has more than the limit of %d JSON values", s->what,
                        JSON_VALUES);
    }
    return TAIN_OK;
}

static const char *keep(struct tree *t, size_t *used, const struct json_scan *s)
{
    char *to = t->text + *used;

    memcpy(to, s->string, s->length + 1);
    *used += s->length + 1;
    return to;
}

/* Lists the members of a finished array or object and looks for keys that come twice. */
static int close_node(struct tree *t, struct json *v, size_t *members)
{
    size_t i = 0;

    v->members = t->members + *members;
    *members += v->count;
    for (const struct json *m = v->first; m; m = m->next)
        v->members[i++] = m;
    if (v->type != JSON_OBJECT || v->count < 2)
        return TAIN_OK;
    qsort(v->members, v->count, sizeof(*v->members), by_key);
    for (i = 1; i < v->count; i++)
        if (!by_key(&v->members[i - 1], &v->members[i]))
            return json_fail(v->members[i], "comes twice");
    return TAIN_OK;
}

/* A text that count_all has passed. */
static int fill(struct tree *t, struct json_scan *s)
{
    struct json *level[JSON_DEPTH], *last[JSON_DEPTH + 1] = { 0 };
    size_t used = 0, members = 0, values = 0, key_count = 0;
    const char *key = NULL;

    for (;;) {
        int event = json_next_event(s), status;
        struct json *v;

        if (event < 0)
            return event;
        if (event == JSON_END)
            return TAIN_OK;
        if (event == JSON_KEY) {
            key_count = s->length;
            key = keep(t, &used, s);
            continue;
        }
        if (event == JSON_CLOSE) {
            if ((status = close_node(t, level[s->depth], &members)))
                return status;
            continue;
        }

        int depth = s->depth - (event == JSON_ARRAY || event == JSON_OBJECT);

        v = &t->nodes[values++];
        v->type = (uint8_t)event;
        if (depth) {
            struct json *parent = level[depth - 1];

            v->parent = parent;
            if (parent->type == JSON_OBJECT) {
                v->key = key;
                v->key_count = key_count;
            }
            if (parent->count++)
                last[depth]->next = v;
            else
                parent->first = v;
        }
        last[depth] = v;
        if (event == JSON_STRING) {
            v->count = s->length;
            v->string = keep(t, &used, s);
        } else if (event == JSON_NUMBER) {
            v->number = s->number;
            v->integer = s->integer;
            v->is_integer = s->is_integer;
        } else if (event == JSON_BOOL) {
            v->truth = s->truth;
        } else if (event != JSON_NULL) {
            level[depth] = v;
        }
    }
}

static struct tree *tree_of(const struct json *v)
{
    while (v->parent)
        v = v->parent;
    return (struct tree *)((char *)(uintptr_t)v - offsetof(struct tree, nodes));
}

void json_free(struct json *root)
{
    struct tree *t;

    if (!root)
        return;
    t = tree_of(root);
    free(t->what);
    free(t->text);
    free(t->members);
    free(t);
}

struct json *json_parse(const char *what, const void *text, size_t count)
{
    struct json_scan s = { .what = what, .text = text, .count = count };
    size_t values, bytes;
    struct tree *t = NULL;
    int status = count_all(&s, &values, &bytes);

    if (!status) {
        t = base_alloc(1, sizeof(*t) + values * sizeof(t->nodes[0]));
        if (!t || !(t->what = base_strdup(what)) || !(t->text = base_alloc(bytes, 1)) ||
            !(t->members = base_alloc(values, sizeof(*t->members))))
            status = TAIN_ENOMEM;
    }
    free(s.string);
    if (!status) {
        s = (struct json_scan){ .what = what, .text = text, .count = count };
        status = fill(t, &s);
        free(s.string);
    }
    if (status) {
        if (t)
            json_free(&t->nodes[0]);
        return NULL;
    }
    return &t->nodes[0];
}

struct json *json_read(const char *path, size_t limit)
{
    struct json *root;
    uint8_t *text;
    size_t count;

    if (file_read(path, limit, &text, &count))
        return NULL;
    root = json_parse(path, text, count);
    free(text);
    return root;
}

/* ---- Walking ---- */

enum json_event json_type(const struct json *v)
{
    return (enum json_event)v->type;
}

static bool has_members(const struct json *v)
{
    return v->type == JSON_ARRAY || v->type == JSON_OBJECT;
}

size_t json_count(const struct json *v)
{
    return has_members(v) ? v->count : 0;
}

const struct json *json_first(const struct json *v)
{
    return v->first;
}

const struct json *json_next(const struct json *v)
{
    return v->next;
}

const struct json *json_at(const struct json *array, size_t index)
{
    return array->type == JSON_ARRAY && index < array->count ? array->members[index] : NULL;
}

const struct json *json_find(const struct json *object, const char *key)
{
    size_t low = 0, high = json_count(object), n = strlen(key);

    if (object->type != JSON_OBJECT)
        return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct json *m = object->members[middle];
        int c = compare_keys(key, n, m->key, m->key_count);

        if (!c)
            return m;
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *json_key(const struct json *v, size_t *count)
{
    if (count)
        *count = v->key_count;
    return v->key;
}

/* ---- Sentences ---- */

/* What comes from the file: only its beginning is shown, and nothing a terminal would obey. */
static void put_shown(struct text *t, const char *bytes, size_t count)
{
    size_t shown = 0;
    uint32_t code;

    while (shown < count && shown < 60)
        shown += utf8_read(bytes + shown, count - shown, &code);
    for (size_t i = 0; i < shown; i++)
        if ((uint8_t)bytes[i] < 0x20 || bytes[i] == 0x7f)
            text_put(t, "?", 1);
        else
            text_put(t, bytes + i, 1);
    if (shown < count)
        text_put(t, "...", 3);
}

static void put_path(struct text *t, const struct json *v)
{
    const struct json *chain[JSON_DEPTH + 1];
    int n = 0;

    text_format(t, "%s: ", tree_of(v)->what);
    if (!v->parent)
        text_format(t, "the whole");
    for (; v->parent; v = v->parent)
        chain[n++] = v;
    for (int i = n - 1; i >= 0; i--) {
        v = chain[i];
        if (v->key) {
            if (i < n - 1)
                text_put(t, ".", 1);
            put_shown(t, v->key, v->key_count);
        } else {
            size_t index = 0;

            for (const struct json *m = v->parent->first; m != v; m = m->next)
                index++;
            text_format(t, "[%zu]", index);
        }
    }
}

char *json_path(const struct json *v)
{
    struct text t = { 0 };

    put_path(&t, v);
    if (t.failed) {
        free(t.at);
        return NULL;
    }
    return t.at;
}

static void put_value(struct text *t, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL:
        text_format(t, "null");
        break;
    case JSON_BOOL:
        text_format(t, v->truth ? "true" : "false");
        break;
    case JSON_NUMBER:
        if (v->is_integer)
            text_format(t, "%" PRId64, v->integer);
        else
            text_json_number(t, v->number);
        break;
    case JSON_STRING:
        text_put(t, "\"", 1);
        put_shown(t, v->string, v->count);
        text_put(t, "\"", 1);
        break;
    case JSON_ARRAY:
        text_format(t, "an array of %zu", v->count);
        break;
    default:
        text_format(t, "an object");
        break;
    }
}

static int finish(struct text *t)
{
    int status = t->failed ? TAIN_ENOMEM : fail(TAIN_EFORMAT, "%s", t->at);

    free(t->at);
    return status;
}

int json_fail(const struct json *v, const char *format, ...)
{
    struct text t = { 0 };
    char sentence[512];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    put_path(&t, v);
    text_format(&t, " %s", sentence);
    return finish(&t);
}

static int not_what_it_must_be(const struct json *v, const char *what)
{
    struct text t = { 0 };

    put_path(&t, v);
    text_format(&t, " must be %s, not ", what);
    put_value(&t, v);
    return finish(&t);
}

/* ---- Values ---- */

int json_int(const struct json *v, int64_t min, int64_t max, int64_t *out)
{
    char range[80];

    if (v->type == JSON_NUMBER && v->is_integer && v->integer >= min && v->integer <= max) {
        *out = v->integer;
        return TAIN_OK;
    }
    if (max < INT64_MAX)
        snprintf(range, sizeof(range), "a whole number from %" PRId64 " to %" PRId64, min, max);
    else if (min == INT64_MIN)
        snprintf(range, sizeof(range), "a whole number");
    else if (min == 1)
        snprintf(range, sizeof(range), "a positive integer");
    else
        snprintf(range, sizeof(range), "a whole number of at least %" PRId64, min);
    return not_what_it_must_be(v, range);
}

int json_number(const struct json *v, double min, double max, double *out)
{
    char range[80];

    if (v->type == JSON_NUMBER && v->number >= min && v->number <= max) {
        *out = v->number;
        return TAIN_OK;
    }
    if (isinf(min) && isinf(max))
        snprintf(range, sizeof(range), "a number");
    else if (isinf(max))
        snprintf(range, sizeof(range), "a number of at least %g", min);
    else
        snprintf(range, sizeof(range), "a number from %g to %g", min, max);
    return not_what_it_must_be(v, range);
}

int json_bool(const struct json *v, bool *out)
{
    if (v->type != JSON_BOOL)
        return not_what_it_must_be(v, "true or false");
    *out = v->truth;
    return TAIN_OK;
}

int json_string(const struct json *v, const char **out, size_t *count)
{
    if (v->type != JSON_STRING)
        return not_what_it_must_be(v, "a string");
    if (!count && memchr(v->string, 0, v->count))
        return json_fail(v, "must not hold a zero byte");
    if (count)
        *count = v->count;
    *out = v->string;
    return TAIN_OK;
}

/* The member, or NULL after a failure. */
static const struct json *member(const struct json *o, const char *key)
{
    const struct json *v = json_find(o, key);
    struct text t = { 0 };

    if (v)
        return v;
    if (o->type != JSON_OBJECT) {
        not_what_it_must_be(o, "an object");
        return NULL;
    }
    if (o->parent) {
        put_path(&t, o);
        text_format(&t, ".%s is missing", key);
    } else {
        text_format(&t, "%s: %s is missing", tree_of(o)->what, key);
    }
    finish(&t);
    return NULL;
}

/* The member, or NULL if it is not there or null. */
static const struct json *optional(const struct json *o, const char *key)
{
    const struct json *v = json_find(o, key);

    return v && v->type != JSON_NULL ? v : NULL;
}

int json_get_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct json *v = member(o, key);

    return v ? json_int(v, min, max, out) : (int)tain_error_status();
}

int json_get_number(const struct json *o, const char *key, double min, double max, double *out)
{
    const struct json *v = member(o, key);

    return v ? json_number(v, min, max, out) : (int)tain_error_status();
}

int json_get_bool(const struct json *o, const char *key, bool *out)
{
    const struct json *v = member(o, key);

    return v ? json_bool(v, out) : (int)tain_error_status();
}

int json_get_string(const struct json *o, const char *key, const char **out)
{
    const struct json *v = member(o, key);

    return v ? json_string(v, out, NULL) : (int)tain_error_status();
}

int json_get_array(const struct json *o, const char *key, const struct json **out)
{
    const struct json *v = member(o, key);

    if (!v)
        return tain_error_status();
    if (v->type != JSON_ARRAY)
        return not_what_it_must_be(v, "an array");
    *out = v;
    return TAIN_OK;
}

int json_get_object(const struct json *o, const char *key, const struct json **out)
{
    const struct json *v = member(o, key);

    if (!v)
        return tain_error_status();
    if (v->type != JSON_OBJECT)
        return not_what_it_must_be(v, "an object");
    *out = v;
    return TAIN_OK;
}

int json_opt_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct json *v = optional(o, key);

    return v ? json_int(v, min, max, out) : TAIN_OK;
}

int json_opt_number(const struct json *o, const char *key, double min, double max, double *out)
{
    const struct json *v = optional(o, key);

    return v ? json_number(v, min, max, out) : TAIN_OK;
}

int json_opt_bool(const struct json *o, const char *key, bool *out)
{
    const struct json *v = optional(o, key);

    return v ? json_bool(v, out) : TAIN_OK;
}

int json_opt_string(const struct json *o, const char *key, const char **out)
{
    const struct json *v = optional(o, key);

    return v ? json_string(v, out, NULL) : TAIN_OK;
}
