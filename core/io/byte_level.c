/* byte_level.c - byte-pair encoding over bytes, as GPT-2 has it.
 *
 * In the files a byte is spelled by a printable character: itself where it has a visible one in
 * Latin-1, else one from U+0100 on, so that a space is written "Ġ". Here words stay bytes, and only
 * names of tokens are spelled.
 */
#include "io/tokenizer_parts.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

uint32_t byte_level_character(unsigned char b)
{
    if ((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad))
        return b;
    if (b <= 0x20)
        return 0x100u + b;
    if (b <= 0xa0)
        return 0x100u + 0x21 + (b - 0x7fu);
    return 0x100u + 0x43; /* 0xad */
}

/* The byte that a character spells, or -1. */
static int byte_of(uint32_t code)
{
    if (code < 0x100)
        return byte_level_character((unsigned char)code) == code ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7f);
    return code == 0x143 ? 0xad : -1;
}

int byte_level_name(const char *bytes, size_t length, char *out)
{
    size_t at = 0;

    for (size_t i = 0; i < length; i++)
        at += utf8_write(byte_level_character((unsigned char)bytes[i]), out + at);
    return (int)at;
}

int byte_level_bytes(const char *name, size_t length, char *out)
{
    size_t i, step, at = 0;
    uint32_t code;

    for (i = 0; i < length; i += step) {
        step = utf8_read(name + i, length - i, &code);
        if (!step || byte_of(code) < 0)
            return -1;
        out[at++] = (char)byte_of(code);
    }
    return (int)at;
}

/* ---- Merge rules ---- */

static size_t merge_slot(const struct tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key[1] = {(uint64_t)(uint32_t)left << 32 | (uint32_t)right};
    size_t i = vocabulary_hash((const char *)key, sizeof(key), t->seed) & (t->merge_slots - 1);

    while (t->merges[i].left >= 0 &&
           (t->merges[i].left != left || t->merges[i].right != right))
        i = (i + 1) & (t->merge_slots - 1);
    return i;
}

int byte_level_reserve(struct tokenizer *t, size_t merges)
{
    size_t slots = 16;

    while (slots < 2 * merges)
        slots *= 2;
    t->merges = base_alloc(slots, sizeof(*t->merges));
    if (!t->merges)
        return TAIN_ENOMEM;
    t->merge_slots = slots;
    t->seed = vocabulary_seed();
    for (size_t i = 0; i < slots; i++)
        t->merges[i].left = -1;
    return 0;
}

static int shown(size_t length)
{
    return length < 80 ? (int)length : 80;
}

int byte_level_merge(struct tokenizer *t, const char *a, size_t a_length, const char *b,
                     size_t b_length, uint32_t rank, const char *where)
{
    int32_t left = vocabulary_find(&t->words, a, a_length);
    int32_t right = vocabulary_find(&t->words, b, b_length), id;
    char small[256], *joined = small;

    if (left < 0 || right < 0)
        return fail(TAIN_EFORMAT, "%s: merge %u has \"%.*s\", which is not in the vocabulary",
                    where, rank, shown(left < 0 ? a_length : b_length), left < 0 ? a : b);
    if (a_length + b_length > sizeof(small)) {
        joined = base_alloc(a_length + b_length, 1);
        if (!joined)
            return TAIN_ENOMEM;
    }
    memcpy(joined, a, a_length);
    memcpy(joined + a_length, b, b_length);
    id = vocabulary_find(&t->words, joined, a_length + b_length);
    if (joined != small)
        free(joined);
    if (id < 0)
        return fail(TAIN_EFORMAT,
                    "%s: merge %u makes \"%.*s%.*s\", which is not in the vocabulary", where, rank,
                    shown(a_length), a, shown(b_length), b);
    t->merges[merge_slot(t, left, right)] = (struct merge_entry){left, right, id, rank};
    return 0;
}

/* merges.txt: a line of the version, then "a b" a line. */
int byte_level_read_merges(struct tokenizer *t, const char *text, size_t size, const char *where)
{
    const char *end = text + size, *line, *next;
    size_t lines = 1;
    uint32_t rank = 0;
    int status;

    for (const char *p = text; p < end; p++)
        lines += *p == '\n';
    if ((status = byte_level_reserve(t, lines)))
        return status;
    for (line = text; line < end; line = next) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)), *space;
        size_t length;

        if (!stop)
            stop = end;
        next = stop + 1;
        length = (size_t)(stop - line);
        if (length && line[length - 1] == '\r')
            length--;
        if (!length || (line == text && length >= 9 && !memcmp(line, "#version:", 9)))
            continue;
        space = memchr(line, ' ', length);
        if (!space || memchr(space + 1, ' ', length - (size_t)(space + 1 - line)))
            return fail(TAIN_EFORMAT, "%s: \"%.*s\" is not two tokens with a space between", where,
                        shown(length), line);
        if ((status = byte_level_merge(t, line, (size_t)(space - line), space + 1,
                                       length - (size_t)(space + 1 - line), rank++, where)))
            return status;
    }
    return 0;
}

/* Finds the tokens of single bytes, once the vocabulary is complete. */
void byte_level_ready(struct tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        char name[4];

        t->byte_ids[b] = vocabulary_find(
            &t->words, name, utf8_write(byte_level_character((unsigned char)b), name));
    }
}

/* ---- Encoding ---- */

static bool pair_rule(const void *context, const struct symbol *left, const struct symbol *right,
                      uint32_t *rank, int32_t *id)
{
    const struct tokenizer *t = context;
    const struct merge_entry *m = &t->merges[merge_slot(t, left->id, right->id)];

    *rank = m->rank;
    *id = m->id;
    return m->left >= 0;
}

/* The token whose name spells exactly these bytes, or -1. */
static int whole_word(const struct tokenizer *t, const char *word, size_t length, int32_t *id)
{
    char small[512], *name = small;

    if (2 * length > sizeof(small) && !(name = base_alloc(2 * length, 1)))
        return TAIN_ENOMEM;
    *id = vocabulary_find(&t->words, name, (size_t)byte_level_name(word, length, name));
    if (name != small)
        free(name);
    return 0;
}

static int encode_word(const struct tokenizer *t, struct merger *m, const char *word,
                       size_t length, struct tokens *out)
{
    int32_t whole;
    int status;

    if (t->ignore_merges) {
        if ((status = whole_word(t, word, length, &whole)))
            return status;
        if (whole >= 0)
            return tokens_push(out, whole);
    }
    m->count = 0;
    for (size_t i = 0; i < length; i++) {
        int32_t id = t->byte_ids[(unsigned char)word[i]];

        if (id >= 0 && (status = merge_push(m, id, i, 1))) /* a byte without a token is dropped */
            return status;
    }
    if (!m->count)
        return 0;
    if ((status = merge_run(m, pair_rule, t)))
        return status;
    for (int32_t i = 0; i >= 0; i = m->symbols[i].next) {
        if ((status = tokens_push(out, m->symbols[i].id)))
            return status;
    }
    return 0;
}

int byte_level_encode(const struct tokenizer *t, struct workspace *w, const char *text,
                      size_t length, struct tokens *out)
{
    int status = pretokenizer_split(&t->pre, text, length, &w->words, &w->other);

    for (size_t i = 0; i < w->words.count && !status; i++) {
        const struct span *s = &w->words.at[i];

        status = encode_word(t, &w->merger, text + s->start, s->end - s->start, out);
    }
    return status;
}
