/* sentencepiece.c - tokenizer.model: pieces with scores, merged from characters.
 *
 * Follows the slow Llama class of transformers with legacy=false, which VILA-U uses: one U+2581 is
 * put before the whole text (not before what follows an added token), added tokens are taken out,
 * the rest goes through byte-pair merging, highest score first, and what is no piece becomes bytes.
 *
 * Easy to get wrong: control pieces written in the text ("<s>") are only found if they are added
 * tokens; the prefix alone before one of the class's own special tokens is dropped, before another
 * added token ("<im_start>") it stays; U+2581 in the text is a space.
 */
#include "io/tokenizer_parts.h"
#include "io/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "\xe2\x96\x81" /* U+2581 */

/* ---- Protocol buffers ---- */

struct field {
    uint32_t number, wire;
    uint64_t value;    /* of wire types 0 and 5 */
    const char *bytes; /* of wire type 2 */
    size_t length;
};

static bool read_varint(const char **p, const char *end, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        unsigned char b = (unsigned char)*(*p)++;

        *value |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return true;
    }
    return false;
}

/* Reads the next field: 1, 0 at the end, TAIN_EFORMAT. */
static int next_field(const char **p, const char *end, struct field *f, const char *where)
{
    uint64_t tag;

    if (*p == end)
        return 0;
    memset(f, 0, sizeof(*f));
    if (!read_varint(p, end, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return fail(TAIN_EFORMAT, "%s: is not a SentencePiece model: a field has no number", where);
    f->number = (uint32_t)(tag >> 3);
    f->wire = tag & 7;
    switch (f->wire) {
    case 0:
        if (read_varint(p, end, &f->value))
            return 1;
        break;
    case 1:
        if (end - *p >= 8) {
            *p += 8;
            return 1;
        }
        break;
    case 2:
        if (read_varint(p, end, &f->value) && f->value <= (uint64_t)(end - *p)) {
            f->bytes = *p;
            f->length = (size_t)f->value;
            *p += f->length;
            return 1;
        }
        break;
    case 5:
        if (end - *p >= 4) {
            uint32_t v;

            memcpy(&v, *p, 4);
            f->value = v;
            *p += 4;
            return 1;
        }
        break;
    }
    return fail(TAIN_EFORMAT, "%s: is not a SentencePiece model, or is cut off: field %u is broken",
                where, f->number);
}

/* ---- Reading the model ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Orders scores as unsigned numbers, the highest first. */
static uint32_t rank_of(float score)
{
    float turned = 0.0f - score; /* never -0, so that equal scores are equal ranks */
    uint32_t bits;

    memcpy(&bits, &turned, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static int read_piece(struct tokenizer *t, int32_t id, const char *p, size_t size,
                      const char *where)
{
    enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };
    const char *end = p + size, *name = NULL;
    uint64_t type = NORMAL;
    uint32_t flags = 0, bits;
    size_t length = 0, bad;
    float score = 0;
    struct field f;
    int more;

    while ((more = next_field(&p, end, &f, where)) > 0) {
        if (f.number == 1 && f.wire == 2) {
            name = f.bytes;
            length = f.length;
        } else if (f.number == 2 && f.wire == 5) {
            bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof(score));
        } else if (f.number == 3 && f.wire == 0) {
            type = f.value;
        }
    }
    if (more < 0)
        return more;
    if (!length || !utf8_check(name, length, &bad) || !isfinite(score))
        return fail(TAIN_EFORMAT, "%s: piece %d has no proper name or score", where, id);
    switch (type) {
    case NORMAL:
        if (length > t->longest)
            t->longest = length;
        break;
    case UNKNOWN:
        if (t->unknown >= 0)
            return fail(TAIN_EFORMAT, "%s: pieces %d and %d are both the unknown one", where,
                        t->unknown, id);
        t->unknown = id;
        flags = TOKEN_UNKNOWN;
        break;
    case CONTROL: flags = TOKEN_CONTROL; break;
    case BYTE:
        if (length != 6 || memcmp(name, "<0x", 3) || hex(name[3]) < 0 || hex(name[4]) < 0 ||
            name[5] != '>')
            return fail(TAIN_EFORMAT, "%s: byte piece %d is called \"%.20s\"", where, id,
                        length < 20 ? "something else" : name);
        t->byte_ids[16 * hex(name[3]) + hex(name[4])] = id;
        flags = TOKEN_BYTE;
        break;
    default:
        return fail(TAIN_EUNSUPPORTED,
                    "%s: piece %d is user-defined or unused, which tain does not know", where, id);
    }
    t->ranks[id] = rank_of(score);
    return vocabulary_put(&t->words, id, name, length, flags, where);
}

/* The trainer's field 3 is the kind of model: 2 is BPE. */
static int check_trainer(const char *p, size_t size, const char *where)
{
    const char *end = p + size;
    uint64_t kind = 1;
    struct field f;
    int more;

    while ((more = next_field(&p, end, &f, where)) > 0) {
        if (f.number == 3 && f.wire == 0)
            kind = f.value;
    }
    if (more < 0)
        return more;
    return kind == 2 ? 0 : fail(TAIN_EUNSUPPORTED, "%s: is not a BPE model (kind %llu)", where,
                                (unsigned long long)kind);
}

static int check_normalizer(const char *p, size_t size, const char *where)
{
    const char *end = p + size;
    bool squeeze = true, escape = true, table = false;
    struct field f;
    int more;

    while ((more = next_field(&p, end, &f, where)) > 0) {
        if (f.number == 2 && f.wire == 2)
            table = f.length > 0;
        else if (f.number == 4 && f.wire == 0)
            squeeze = f.value;
        else if (f.number == 5 && f.wire == 0)
            escape = f.value;
    }
    if (more < 0)
        return more;
    if (table || squeeze || !escape)
        return fail(TAIN_EUNSUPPORTED, "%s: changes texts by %s, which tain does not know", where,
                    table     ? "a table of characters"
                    : squeeze ? "removing extra spaces"
                              : "leaving spaces as they are");
    return 0;
}

int sentencepiece_read(struct tokenizer *t, const char *data, size_t size, const char *where)
{
    const char *p = data, *end = data + size;
    bool trainer = false, normalizer = false;
    size_t count = 0;
    struct field f;
    int more, status = 0;

    t->pieces = t->prefix = true;
    t->unknown = -1;
    for (int b = 0; b < 256; b++)
        t->byte_ids[b] = -1;
    while ((more = next_field(&p, end, &f, where)) > 0)
        count += f.number == 1 && f.wire == 2;
    if (more < 0)
        return more;
    if (count > TOKENIZER_MAX_IDS)
        return fail(TAIN_EFORMAT, "%s: %zu pieces are more than %d", where, count,
                    TOKENIZER_MAX_IDS);
    t->words.limit += size;
    t->ranks = base_alloc(count, sizeof(*t->ranks));
    if (!t->ranks)
        return TAIN_ENOMEM;
    for (p = data; next_field(&p, end, &f, where) > 0 && !status;) {
        if (f.wire != 2)
            continue;
        if (f.number == 1) {
            status = read_piece(t, (int32_t)t->piece_count++, f.bytes, f.length, where);
        } else if (f.number == 2) {
            trainer = true;
            status = check_trainer(f.bytes, f.length, where);
        } else if (f.number == 3) {
            normalizer = true;
            status = check_normalizer(f.bytes, f.length, where);
        }
    }
    if (status)
        return status;
    if (!trainer || !normalizer || t->unknown < 0)
        return fail(TAIN_EFORMAT, "%s: lacks %s", where,
                    !trainer      ? "the trainer's settings"
                    : !normalizer ? "the normalizer's settings"
                                  : "the unknown piece");
    return 0;
}

/* ---- Encoding ---- */

struct chunk {
    const struct tokenizer *t;
    const char *text;
};

static int32_t piece(const struct tokenizer *t, const char *text, size_t length)
{
    int32_t id = length > t->longest ? -1 : vocabulary_find(&t->words, text, length);

    if (id < 0 || (size_t)id >= t->piece_count ||
        t->words.tokens[id].flags & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_BYTE))
        return -1;
    return id;
}

static bool piece_rule(const void *context, const struct symbol *left, const struct symbol *right,
                       uint32_t *rank, int32_t *id)
{
    const struct chunk *c = context;

    *id = piece(c->t, c->text + left->at, left->length + right->length);
    if (*id < 0)
        return false;
    *rank = c->t->ranks[*id];
    return true;
}

static int push_unknown(const struct tokenizer *t, const char *text, size_t length,
                        struct tokens *out)
{
    int status = 0;

    for (size_t i = 0; i < length; i++) {
        if (t->byte_ids[(unsigned char)text[i]] < 0)
            return tokens_push(out, t->unknown);
    }
    for (size_t i = 0; i < length && !status; i++)
        status = tokens_push(out, t->byte_ids[(unsigned char)text[i]]);
    return status;
}

/* A stretch of text without added tokens, in which spaces are still spaces. */
static int encode_chunk(const struct tokenizer *t, struct workspace *w, const char *text,
                        size_t length, struct tokens *out)
{
    struct chunk c = {.t = t};
    size_t i, step;
    uint32_t code;
    int status;

    w->text.count = 0;
    for (i = 0; i < length; i++)
        text_put(&w->text, text[i] == ' ' ? SPACE : text + i, text[i] == ' ' ? 3 : 1);
    if (w->text.failed)
        return TAIN_ENOMEM;
    c.text = w->text.at;
    length = w->text.count;
    w->merger.count = 0;
    for (i = 0; i < length; i += step) {
        step = utf8_read(c.text + i, length - i, &code);
        if ((status = merge_push(&w->merger, piece(t, c.text + i, step), i, step)))
            return status;
    }
    if (!w->merger.count)
        return 0;
    if ((status = merge_run(&w->merger, piece_rule, &c)))
        return status;
    for (int32_t k = 0; k >= 0 && !status; k = w->merger.symbols[k].next) {
        const struct symbol *s = &w->merger.symbols[k];

        status = s->id >= 0 ? tokens_push(out, s->id)
                            : push_unknown(t, c.text + s->at, s->length, out);
    }
    return status;
}

/* The text with the prefix before it and spaces for each U+2581. */
static char *prepare(const struct tokenizer *t, const char *text, size_t length, size_t *count)
{
    char *p = base_alloc(length + 4, 1);
    size_t at = 0;

    if (!p)
        return NULL;
    if (t->prefix) {
        memcpy(p, SPACE, 3);
        at = 3;
    }
    for (size_t i = 0; i < length;) {
        if (length - i >= 3 && !memcmp(text + i, SPACE, 3)) {
            p[at++] = ' ';
            i += 3;
        } else {
            p[at++] = text[i++];
        }
    }
    *count = at;
    return p;
}

int sentencepiece_encode(const struct tokenizer *t, struct workspace *w, const char *text,
                         size_t length, struct tokens *out)
{
    size_t at = 0, start, end, first = out->count;
    int32_t lone = vocabulary_find(&t->words, SPACE, 3), id;
    int status = 0;

    if (!length)
        return 0;
    w->normal = prepare(t, text, length, &length);
    if (!w->normal)
        return TAIN_ENOMEM;
    text = w->normal;
    while (!status && (id = trie_find(&t->raw, text, length, at, &start, &end)) >= 0) {
        if (!(status = encode_chunk(t, w, text + at, start - at, out)))
            status = tokens_push(out, id);
        at = end;
    }
    if (!status)
        status = encode_chunk(t, w, text + at, length - at, out);
    if (!status && t->prefix && out->count > first + 1 && lone >= 0 && out->at[first] == lone &&
        t->words.tokens[out->at[first + 1]].flags & TOKEN_NAMED) {
        memmove(out->at + first, out->at + first + 1, (out->count - first - 1) * sizeof(*out->at));
        out->count--;
    }
    return status;
}

/* ---- Decoding ---- */

/* Repairs the bytes gathered from byte pieces and puts them to the rest. */
static void flush(struct text *out, struct text *bytes)
{
    size_t length;
    char *p;

    if (!bytes->count)
        return;
    p = utf8_repaired(bytes->at, bytes->count, UTF8_BYTES, &length);
    if (p)
        text_put(out, p, length);
    else
        out->failed = true;
    free(p);
    bytes->count = 0;
}

/* A piece with spaces for U+2581, but for the one that begins the text. */
static void put_piece(struct text *out, const char *name, size_t length, bool first)
{
    size_t i = first && length >= 3 && !memcmp(name, SPACE, 3) ? 3 : 0;

    while (i < length) {
        bool space = length - i >= 3 && !memcmp(name + i, SPACE, 3);

        text_put(out, space ? " " : name + i, 1);
        i += space ? 3 : 1;
    }
}

/* Makes the text, as SentencePiece itself does: bytes that are not UTF-8 become one U+FFFD each,
 * <unk> becomes " U+2047 ". Without `skip`, special and unknown tokens are spelled out. */
char *sentencepiece_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                           size_t *length)
{
    struct text out = {0}, bytes = {0};
    bool first = true;

    text_put(&out, "", 0);
    for (size_t i = 0; i < count; i++) {
        const struct token *k;
        const char *name;

        if ((size_t)ids[i] >= t->words.count || !t->words.tokens[ids[i]].flags)
            continue;
        k = &t->words.tokens[ids[i]];
        name = vocabulary_text(&t->words, ids[i]);
        if (k->flags & TOKEN_BYTE) {
            char b = (char)(16 * hex(name[3]) + hex(name[4]));

            text_put(&bytes, &b, 1);
            first = false;
            continue;
        }
        flush(&out, &bytes);
        if (skip && k->flags & TOKEN_UNKNOWN)
            text_put(&out, " \xe2\x81\x87 ", 5);
        else if (skip && k->flags & (TOKEN_CONTROL | TOKEN_SPECIAL))
            continue;
        else if (k->flags & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_ADDED))
            text_put(&out, name, k->length);
        else
            put_piece(&out, name, k->length, first);
        first = false;
    }
    flush(&out, &bytes);
    free(bytes.at);
    if (out.failed) {
        free(out.at);
        return NULL;
    }
    *length = out.count;
    return out.at;
}
