/* pickle.c - what an archive of PyTorch holds, read without doing what it says.
 *
 * A pickle is a program for a machine with a stack. This machine knows the 31 instructions and the
 * 15 names that a list of weights is made of; names are marks on values, nothing is looked up and
 * nothing is called. Any other instruction, name or argument ends the reading before a later byte
 * is looked at. What is left on the stack at the end must be names and tensors, each of which must
 * lie within its storage, which must have in the archive the bytes that the pickle says it has.
 */
#include "io/tensors.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    PICKLE_BYTES = 64 << 20,
    PICKLE_STEPS = 10000000,
    PICKLE_STACK = 1000000,
    PICKLE_MEMO  = 4000000,
    PICKLE_DEPTH = 256, /* tuples within each other, while they are made */
};

enum kind { NONE, BOOL, INT, FLOAT, STRING, NAME, TUPLE, LIST, DICT, ORDERED, STORAGE, TENSOR };

/* Strings lie in the pickle, tuples in `items`, pairs of a dictionary, storages and tensors in their
 * lists: `at` says where. */
struct value {
    uint32_t kind, count; /* of a string's bytes or a tuple's items */
    int64_t at;           /* or the value of BOOL and INT */
};

struct link {
    struct value key, value;
    int64_t before; /* the dictionary's previous pair, or -1 */
};

struct storage {
    struct value key;
    enum st_type type;
    int64_t count;
};

struct tensor {
    int64_t storage, offset;
    struct value size, stride;
};

/* An array that grows. */
struct list {
    void *at;
    size_t count, room, size, limit;
    const char *what;
};

struct machine {
    const char *path;
    const uint8_t *code;
    size_t count, start, at, steps; /* `start` is the first byte of the instruction */
    struct list stack, marks, memo, items, dicts, links, storages, tensors;
};

static const struct {
    const char *text;
    enum { MAKE_DICT, MAKE_TENSOR, MAKE_PLAIN, MAKE_PARAMETER, MAKE_SIZE, IS_STORAGE } does;
    enum st_type type;
} names[] = {
    { "collections\nOrderedDict\n", MAKE_DICT },
    { "torch._utils\n_rebuild_tensor_v2\n", MAKE_TENSOR },
    { "torch._utils\n_rebuild_tensor\n", MAKE_PLAIN },
    { "torch._utils\n_rebuild_parameter\n", MAKE_PARAMETER },
    { "torch\nSize\n", MAKE_SIZE },
    { "torch\nDoubleStorage\n", IS_STORAGE, ST_F64 },
    { "torch\nFloatStorage\n", IS_STORAGE, ST_F32 },
    { "torch\nHalfStorage\n", IS_STORAGE, ST_F16 },
    { "torch\nBFloat16Storage\n", IS_STORAGE, ST_BF16 },
    { "torch\nLongStorage\n", IS_STORAGE, ST_I64 },
    { "torch\nIntStorage\n", IS_STORAGE, ST_I32 },
    { "torch\nShortStorage\n", IS_STORAGE, ST_I16 },
    { "torch\nCharStorage\n", IS_STORAGE, ST_I8 },
    { "torch\nByteStorage\n", IS_STORAGE, ST_U8 },
    { "torch\nBoolStorage\n", IS_STORAGE, ST_BOOL },
};

/* ---- Small things ---- */

static int wrong(const struct machine *m, const char *sentence)
{
    return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: %s", m->path, m->start, sentence);
}

static struct list list_of(size_t size, size_t limit, const char *what)
{
    return (struct list){ .size = size, .limit = limit, .what = what };
}

static int push(const struct machine *m, struct list *l, const void *item)
{
    if (l->count == l->limit)
        return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: more than %zu %s", m->path, m->start, l->limit, l->what);
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        void *grown = base_grow(l->at, l->room, room, l->size);

        if (!grown)
            return TAIN_ENOMEM;
        l->at = grown;
        l->room = room;
    }
    memcpy((char *)l->at + l->count++ * l->size, item, l->size);
    return TAIN_OK;
}

static int push_value(struct machine *m, enum kind kind, size_t count, int64_t at)
{
    struct value v = { kind, (uint32_t)count, at };

    return push(m, &m->stack, &v);
}

/* How many values lie on the stack below the innermost mark. */
static size_t floor_of(const struct machine *m)
{
    return m->marks.count ? ((const size_t *)m->marks.at)[m->marks.count - 1] : 0;
}

/* Whether as many values lie above it. */
static bool has(const struct machine *m, size_t count)
{
    return m->stack.count - floor_of(m) >= count;
}

static struct value *stack(const struct machine *m)
{
    return m->stack.at;
}

static struct value *top(const struct machine *m, size_t below)
{
    return stack(m) + m->stack.count - 1 - below;
}

static const struct value *item(const struct machine *m, const struct value *tuple, size_t i)
{
    return (const struct value *)m->items.at + tuple->at + i;
}

static bool is_text(const struct machine *m, const struct value *v, const char *text)
{
    return v->kind == STRING && v->count == strlen(text) && !memcmp(m->code + v->at, text, v->count);
}

/* The next bytes of the program, or NULL if there are not that many. */
static const uint8_t *take(struct machine *m, size_t count)
{
    const uint8_t *p = m->code + m->at;

    if (count > m->count - m->at) {
        fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: ends in the middle of an instruction", m->path, m->start);
        return NULL;
    }
    m->at += count;
    return p;
}

static uint64_t little(const uint8_t *p, size_t count)
{
    uint64_t v = 0;

    while (count--)
        v = v << 8 | p[count];
    return v;
}

/* ---- Names, tuples, dictionaries ---- */

static int read_name(struct machine *m)
{
    const char *text = (const char *)m->code + m->at;
    size_t left = m->count - m->at, n;
    const char *line = memchr(text, '\n', left), *end = line ? memchr(line + 1, '\n', left - (size_t)(line + 1 - text)) : NULL;
    char shown[96] = { 0 };

    if (!end)
        return wrong(m, "a name without an end");
    n = (size_t)(end + 1 - text);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (n == strlen(names[i].text) && !memcmp(text, names[i].text, n)) {
            m->at += n;
            return push_value(m, NAME, 0, (int64_t)i);
        }
    for (size_t i = 0; i + 1 < n && i < sizeof(shown) - 1; i++)
        shown[i] = text[i] == '\n' ? '.' : text[i] > 0x20 && text[i] < 0x7f ? text[i] : '?';
    return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: names %s, which no list of weights needs; nothing was run", m->path,
                m->start, shown);
}

/* The values from `first` on, which leave the stack. */
static int make_tuple(struct machine *m, size_t first)
{
    size_t count = m->stack.count - first;
    struct value v = { TUPLE, (uint32_t)count, (int64_t)m->items.count };
    int status = TAIN_OK;

    for (size_t i = first; i < m->stack.count && !status; i++)
        status = push(m, &m->items, &stack(m)[i]);
    m->stack.count = first;
    return status ? status : push(m, &m->stack, &v);
}

static int make_dict(struct machine *m, enum kind kind)
{
    int64_t last = -1;
    int status = push(m, &m->dicts, &last);

    return status ? status : push_value(m, kind, 0, (int64_t)m->dicts.count - 1);
}

/* Keys and values from `first` on go into the dictionary before them. */
static int set_items(struct machine *m, size_t first)
{
    size_t count = m->stack.count - first;
    const struct value *to = first > floor_of(m) ? &stack(m)[first - 1] : NULL;

    if (!to || (to->kind != DICT && to->kind != ORDERED) || count % 2)
        return wrong(m, "keys and values for what is no dictionary");
    for (size_t i = first; i < m->stack.count; i += 2) {
        int64_t *last = (int64_t *)m->dicts.at + to->at;
        struct link link = { stack(m)[i], stack(m)[i + 1], *last };
        int status = push(m, &m->links, &link);

        if (status)
            return status;
        *last = (int64_t)m->links.count - 1;
    }
    m->stack.count = first;
    return TAIN_OK;
}

/* What lies in lists is never asked for. */
static int append(struct machine *m, size_t first)
{
    if (first <= floor_of(m) || stack(m)[first - 1].kind != LIST)
        return wrong(m, "items for what is no list");
    m->stack.count = first;
    return TAIN_OK;
}

static int close_mark(struct machine *m, size_t *first)
{
    if (!m->marks.count)
        return wrong(m, "the end of something that was not begun");
    *first = ((const size_t *)m->marks.at)[--m->marks.count];
    return TAIN_OK;
}

/* ---- Storages and tensors ---- */

/* ('storage', FloatStorage, '0', 'cpu', 24) */
static int make_storage(struct machine *m)
{
    const struct value *id = top(m, 0);
    struct storage s;
    int status;

    if (id->kind != TUPLE || id->count != 5 || !is_text(m, item(m, id, 0), "storage") || item(m, id, 1)->kind != NAME ||
        names[item(m, id, 1)->at].does != IS_STORAGE || item(m, id, 2)->kind != STRING || item(m, id, 3)->kind != STRING ||
        item(m, id, 4)->kind != INT || item(m, id, 4)->at < 0)
        return wrong(m, "a reference to something other than a storage");
    s = (struct storage){ *item(m, id, 2), names[item(m, id, 1)->at].type, item(m, id, 4)->at };
    if ((status = push(m, &m->storages, &s)))
        return status;
    m->stack.count--;
    return push_value(m, STORAGE, 0, (int64_t)m->storages.count - 1);
}

static bool are_sizes(const struct machine *m, const struct value *tuple)
{
    if (tuple->kind != TUPLE || tuple->count > ST_RANK)
        return false;
    for (size_t i = 0; i < tuple->count; i++)
        if (item(m, tuple, i)->kind != INT || item(m, tuple, i)->at < 0)
            return false;
    return true;
}

/* (storage, offset, size, stride), then for version 2 whether it is trained, and hooks. */
static int make_tensor(struct machine *m, const struct value *a, bool plain)
{
    struct tensor t;
    int status;

    if (a->count != (plain ? 4 : 6) || item(m, a, 0)->kind != STORAGE || item(m, a, 1)->kind != INT || item(m, a, 1)->at < 0 ||
        !are_sizes(m, item(m, a, 2)) || !are_sizes(m, item(m, a, 3)) || item(m, a, 2)->count != item(m, a, 3)->count)
        return wrong(m, "a tensor must be a storage, an offset, up to 8 sizes and as many strides");
    if (!plain && (item(m, a, 4)->kind != BOOL || item(m, a, 5)->kind != ORDERED))
        return wrong(m, "a tensor must end with true or false and a dictionary");
    t = (struct tensor){ item(m, a, 0)->at, item(m, a, 1)->at, *item(m, a, 2), *item(m, a, 3) };
    if ((status = push(m, &m->tensors, &t)))
        return status;
    m->stack.count -= 2;
    return push_value(m, TENSOR, 0, (int64_t)m->tensors.count - 1);
}

static int reduce(struct machine *m)
{
    struct value a, f;

    if (!has(m, 2) || top(m, 1)->kind != NAME || top(m, 0)->kind != TUPLE)
        return wrong(m, "a call of something other than a name, with something other than a tuple");
    a = *top(m, 0);
    f = *top(m, 1);
    switch (names[f.at].does) {
    case MAKE_DICT:
        if (a.count)
            return wrong(m, "an OrderedDict with arguments");
        m->stack.count -= 2;
        return make_dict(m, ORDERED);
    case MAKE_TENSOR:
    case MAKE_PLAIN:
        return make_tensor(m, &a, names[f.at].does == MAKE_PLAIN);
    case MAKE_PARAMETER:
        if (a.count != 3 || item(m, &a, 0)->kind != TENSOR || item(m, &a, 1)->kind != BOOL || item(m, &a, 2)->kind != ORDERED)
            return wrong(m, "a parameter must be a tensor, true or false, and a dictionary");
        m->stack.count -= 2;
        return push(m, &m->stack, item(m, &a, 0));
    case MAKE_SIZE:
        if (a.count != 1 || item(m, &a, 0)->kind != TUPLE)
            return wrong(m, "a Size of something other than a tuple");
        m->stack.count -= 2;
        return push(m, &m->stack, item(m, &a, 0));
    case IS_STORAGE:
        break;
    }
    return wrong(m, "a call of a type of storage");
}

/* What is set on an OrderedDict besides its items says nothing about the weights. */
static int build(struct machine *m)
{
    if (!has(m, 2) || top(m, 1)->kind != ORDERED || top(m, 0)->kind != DICT)
        return wrong(m, "a state for something other than an OrderedDict");
    m->stack.count--;
    return TAIN_OK;
}

/* ---- The machine ---- */

static int remember(struct machine *m, uint64_t index)
{
    if (!has(m, 1))
        return wrong(m, "nothing is there to be remembered");
    /* Numbers are given in turn, so that none of them makes room for many. */
    if (index > m->memo.count)
        return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: remembered as number %llu, when %zu were", m->path, m->start,
                    (unsigned long long)index, m->memo.count);
    if (index == m->memo.count)
        return push(m, &m->memo, top(m, 0));
    ((struct value *)m->memo.at)[index] = *top(m, 0);
    return TAIN_OK;
}

static int recall(struct machine *m, uint64_t index)
{
    if (index >= m->memo.count)
        return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: number %llu was not remembered", m->path, m->start,
                    (unsigned long long)index);
    return push(m, &m->stack, (const struct value *)m->memo.at + index);
}

static int read_string(struct machine *m)
{
    const uint8_t *p = take(m, 4);
    size_t n, bad, at = m->at;

    if (!p)
        return TAIN_EFORMAT;
    n = (size_t)little(p, 4);
    if (!(p = take(m, n)))
        return TAIN_EFORMAT;
    if (!utf8_check((const char *)p, n, &bad))
        return wrong(m, "a text that is not UTF-8");
    return push_value(m, STRING, n, (int64_t)at);
}

/* A whole number of `size` bytes, with a sign or without. */
static int read_int(struct machine *m, size_t size, bool is_signed)
{
    const uint8_t *p = take(m, size);
    uint64_t v;

    if (!p)
        return TAIN_EFORMAT;
    v = little(p, size);
    if (is_signed && size && size < 8 && p[size - 1] & 0x80)
        v |= ~0ull << 8 * size;
    return push_value(m, INT, 0, (int64_t)v);
}

static int read_long(struct machine *m)
{
    const uint8_t *p = take(m, 1);

    if (!p)
        return TAIN_EFORMAT;
    return *p > 8 ? wrong(m, "a number of more than 8 bytes") : read_int(m, *p, true);
}

/* Runs one instruction; 1 after the last. */
static int step(struct machine *m)
{
    const uint8_t *p;
    size_t first;
    int status;

    m->start = m->at;
    if (m->steps++ == PICKLE_STEPS)
        return wrong(m, "more than ten million instructions");
    if (!(p = take(m, 1)))
        return TAIN_EFORMAT;
    if ((*p == 0x80) != (m->start == 0))
        return wrong(m, m->start ? "a second beginning" : "no pickle begins like this");
    switch (*p) {
    case 0x80: /* PROTO */
        if (!(p = take(m, 1)))
            return TAIN_EFORMAT;
        return *p == 2 ? TAIN_OK : wrong(m, "a protocol other than 2, which PyTorch uses");
    case 'c': /* GLOBAL */
        return read_name(m);
    case 'R': /* REDUCE */
        return reduce(m);
    case 'b': /* BUILD */
        return build(m);
    case 'Q': /* BINPERSID */
        return has(m, 1) ? make_storage(m) : wrong(m, "a reference to nothing");
    case '(': /* MARK */
        first = m->stack.count;
        return push(m, &m->marks, &first);
    case 't': /* TUPLE */
        return (status = close_mark(m, &first)) ? status : make_tuple(m, first);
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        first = (size_t)(*p - 0x84);
        return has(m, first) ? make_tuple(m, m->stack.count - first) : wrong(m, "a tuple of more than there is");
    case ')': /* EMPTY_TUPLE */
        return make_tuple(m, m->stack.count);
    case ']': /* EMPTY_LIST */
        return push_value(m, LIST, 0, 0);
    case '}': /* EMPTY_DICT */
        return make_dict(m, DICT);
    case 'a': /* APPEND */
        return has(m, 2) ? append(m, m->stack.count - 1) : wrong(m, "an item for nothing");
    case 'e': /* APPENDS */
        return (status = close_mark(m, &first)) ? status : append(m, first);
    case 's': /* SETITEM */
        return has(m, 3) ? set_items(m, m->stack.count - 2) : wrong(m, "a key and a value for nothing");
    case 'u': /* SETITEMS */
        return (status = close_mark(m, &first)) ? status : set_items(m, first);
    case 'X': /* BINUNICODE */
        return read_string(m);
    case 'K': /* BININT1, BININT2, BININT, LONG1 */
        return read_int(m, 1, false);
    case 'M':
        return read_int(m, 2, false);
    case 'J':
        return read_int(m, 4, true);
    case 0x8a:
        return read_long(m);
    case 'G': /* BINFLOAT */
        return take(m, 8) ? push_value(m, FLOAT, 0, 0) : TAIN_EFORMAT;
    case 'N': /* NONE, NEWTRUE, NEWFALSE */
        return push_value(m, NONE, 0, 0);
    case 0x88:
    case 0x89:
        return push_value(m, BOOL, 0, *p == 0x88);
    case 'q': /* BINPUT, LONG_BINPUT */
        return (p = take(m, 1)) ? remember(m, *p) : TAIN_EFORMAT;
    case 'r':
        return (p = take(m, 4)) ? remember(m, little(p, 4)) : TAIN_EFORMAT;
    case 'h': /* BINGET, LONG_BINGET */
        return (p = take(m, 1)) ? recall(m, *p) : TAIN_EFORMAT;
    case 'j':
        return (p = take(m, 4)) ? recall(m, little(p, 4)) : TAIN_EFORMAT;
    case '.': /* STOP */
        return 1;
    }
    return fail(TAIN_EFORMAT, "%s: data.pkl, byte %zu: instruction 0x%02x, which no list of weights needs; nothing was run",
                m->path, m->start, *p);
}

static int run(struct machine *m)
{
    int status;

    do
        status = step(m);
    while (!status);
    if (status < 0)
        return status;
    if (m->stack.count != 1 || m->marks.count || m->at != m->count)
        return wrong(m, "the end, when there is more to come or more than one thing is left");
    if (top(m, 0)->kind != DICT && top(m, 0)->kind != ORDERED)
        return wrong(m, "holds something other than named tensors");
    return TAIN_OK;
}

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

    for (int64_t i = ((int64_t *)m->dicts.at)[top(m, 0)->at]; i >= 0; i = links[i].before, count++)
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
        for (int64_t i = ((int64_t *)m->dicts.at)[top(m, 0)->at], k = (int64_t)count; i >= 0; i = links[i].before)
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
    struct machine m = {
        .path = d->path,
        .stack = list_of(sizeof(struct value), PICKLE_STACK, "values at a time"),
        .marks = list_of(sizeof(size_t), PICKLE_DEPTH, "things begun and not ended"),
        .memo = list_of(sizeof(struct value), PICKLE_MEMO, "values remembered"),
        .items = list_of(sizeof(struct value), PICKLE_STEPS, "items of tuples"),
        .dicts = list_of(sizeof(int64_t), ST_COUNT, "dictionaries"),
        .links = list_of(sizeof(struct link), 2 * ST_COUNT, "keys of dictionaries"),
        .storages = list_of(sizeof(struct storage), ST_COUNT, "storages"),
        .tensors = list_of(sizeof(struct tensor), ST_COUNT, "tensors"),
    };
    struct list *const lists[] = { &m.stack, &m.marks, &m.memo, &m.items, &m.dicts, &m.links, &m.storages, &m.tensors };
    size_t folder = 0, versions = 0, orders = 0;
    struct zip z = { 0 };
    int status = check_start(d);

    if (!status && !(status = zip_open(&z, d->path, d->fd, d->size)) && !(status = find_folder(&z, &folder)) &&
        !(status = read_member(&z, folder, "version", 64, &version, &versions)) &&
        !(status = read_member(&z, folder, "byteorder", 64, &order, &orders)) &&
        !(status = read_member(&z, folder, "data.pkl", PICKLE_BYTES, &code, &m.count))) {
        if (!code || !version)
            status = fail(TAIN_EFORMAT, "%s: is an archive, but not one of PyTorch: it lacks %s", d->path,
                          code ? "version" : "data.pkl");
        else if (order && (orders != 6 || memcmp(order, "little", 6)))
            status = fail(TAIN_EFORMAT, "%s: its numbers do not have the low byte first", d->path);
    }
    m.code = code;
    if (!status && !(status = run(&m)))
        status = add_tensors(&m, &z, folder, f, d);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        free(lists[i]->at);
    free(code);
    free(version);
    free(order);
    zip_close(&z);
    return status;
}
