/* pickle_machine.c - a pickle, read without doing what it says.
 *
 * A pickle is a program for a machine with a stack. This machine knows the 31 instructions and the
 * 15 names that a list of weights is made of; names are marks on values, nothing is looked up and
 * nothing is called. Any other instruction, name or argument ends the reading before a later byte
 * is looked at.
 */
#include "io/pickle.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
    PICKLE_STEPS = 10000000,
    PICKLE_STACK = 1000000,
    PICKLE_MEMO  = 4000000,
    PICKLE_DEPTH = 256, /* tuples within each other, while they are made */
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

int machine_run(struct machine *m)
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

void machine_open(struct machine *m, const char *path, const uint8_t *code, size_t count)
{
    *m = (struct machine){
        .path = path,
        .code = code,
        .count = count,
        .stack = list_of(sizeof(struct value), PICKLE_STACK, "values at a time"),
        .marks = list_of(sizeof(size_t), PICKLE_DEPTH, "things begun and not ended"),
        .memo = list_of(sizeof(struct value), PICKLE_MEMO, "values remembered"),
        .items = list_of(sizeof(struct value), PICKLE_STEPS, "items of tuples"),
        .dicts = list_of(sizeof(int64_t), ST_COUNT, "dictionaries"),
        .links = list_of(sizeof(struct link), 2 * ST_COUNT, "keys of dictionaries"),
        .storages = list_of(sizeof(struct storage), ST_COUNT, "storages"),
        .tensors = list_of(sizeof(struct tensor), ST_COUNT, "tensors"),
    };
}

void machine_close(struct machine *m)
{
    struct list *const lists[] = { &m->stack, &m->marks, &m->memo, &m->items, &m->dicts, &m->links, &m->storages, &m->tensors };

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        free(lists[i]->at);
}

int64_t machine_last(const struct machine *m)
{
    return ((const int64_t *)m->dicts.at)[top(m, 0)->at];
}
