/* pretokenizer.c - cuts text into words, step by step, before pairs are merged within each.
 *
 * A step sees one piece at a time, as if nothing stood around it. PCRE2 does the matching, with
 * limits; a search goes in windows, so that an interruption is seen between them. The one common
 * pattern that is quadratic in any backtracking matcher, \s+$ on white space before something else,
 * is done by hand.
 */
#define _GNU_SOURCE /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "io/oniguruma.h"
#include "io/tokenizer_parts.h"
#include "io/utf8.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_LIMIT 100000 /* steps from one starting point, and four more for each byte */
#define DEPTH_LIMIT 100000
#define HEAP_LIMIT  65536  /* KiB */
#define MAX_STEPS   64
#define MAX_PATTERN 65536  /* bytes */

struct split {
    pcre2_code *code; /* NULL: literal, or \s+$ */
    char *literal;
    size_t literal_length;
    enum split_behaviour behaviour;
    bool invert;
};

static int pcre_error(int code, size_t offset, const char *pattern)
{
    char text[128];

    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
    return fail(TAIN_EFORMAT, "the pattern \"%.60s\" is wrong at byte %zu: %s", pattern, offset,
                text);
}

static struct split *new_step(struct pretokenizer *p, enum split_behaviour behaviour, bool invert)
{
    struct split *steps;

    if (p->count == MAX_STEPS) {
        fail(TAIN_EFORMAT, "the pre-tokenizer has more than %d steps", MAX_STEPS);
        return NULL;
    }
    steps = base_grow(p->steps, p->count, p->count + 1, sizeof(*steps));
    if (!steps)
        return NULL;
    p->steps = steps;
    steps[p->count] = (struct split){.behaviour = behaviour, .invert = invert};
    return &steps[p->count];
}

int pretokenizer_add(struct pretokenizer *p, const char *pattern, enum split_behaviour behaviour,
                     bool invert)
{
    struct split *s = new_step(p, behaviour, invert);
    pcre2_compile_context *context;
    char *translated;
    PCRE2_SIZE offset;
    int error;

    if (!s)
        return tain_error_status();
    if (strlen(pattern) > MAX_PATTERN)
        return fail(TAIN_EFORMAT, "a pattern has more than %d bytes", MAX_PATTERN);
    if (!strcmp(pattern, "\\s+$")) {
        p->count++;
        return 0;
    }
    translated = oniguruma_translate(pattern);
    if (!translated)
        return tain_error_status();
    context = pcre2_compile_context_create(NULL);
    if (!context) {
        free(translated);
        return fail(TAIN_ENOMEM, "out of host memory for a pattern");
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 100);
    s->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT |
                                PCRE2_NEVER_BACKSLASH_C,
                            &error, &offset, context);
    pcre2_compile_context_free(context);
    free(translated);
    if (!s->code)
        return pcre_error(error, offset, pattern);
    p->count++;
    return 0;
}

int pretokenizer_add_literal(struct pretokenizer *p, const char *text,
                             enum split_behaviour behaviour, bool invert)
{
    struct split *s = new_step(p, behaviour, invert);

    if (!s || !(s->literal = base_strdup(text)))
        return tain_error_status();
    s->literal_length = strlen(text);
    if (!s->literal_length) {
        free(s->literal);
        return fail(TAIN_EFORMAT, "a split at an empty text");
    }
    p->count++;
    return 0;
}

void pretokenizer_clear(struct pretokenizer *p)
{
    for (size_t i = 0; i < p->count; i++) {
        pcre2_code_free(p->steps[i].code);
        free(p->steps[i].literal);
    }
    free(p->steps);
    memset(p, 0, sizeof(*p));
}

/* ---- Finding ---- */

/* White space that ends at the end of the text or before a newline; of a run, as much as can be. */
static bool find_trailing_space(const char *text, size_t length, size_t from, size_t *start,
                                size_t *end)
{
    size_t i = from, step;
    uint32_t code;

    while (i < length) {
        size_t run = i, newline = 0;

        while ((step = utf8_read(text + i, length - i, &code)) && utf8_space(code)) {
            if (code == '\n' && i > run)
                newline = i;
            i += step;
        }
        if (i > run && (i == length || newline)) {
            *start = run;
            *end = i == length ? length : newline;
            return true;
        }
        i += step ? step : 1;
    }
    return false;
}

/* One search with one pattern over one piece. */
struct search {
    const struct split *step;
    pcre2_match_data *data;
    pcre2_match_context *context;
    const char *text;
    size_t length;
};

/* Moves to the beginning of a character. */
static size_t align(const char *text, size_t length, size_t at)
{
    while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* The first match at or after `from`: 1, 0 if there is none, or a negative status. */
static int find(const struct search *s, size_t from, size_t *start, size_t *end)
{
    /* Starting points of one search; few searches, as PCRE2 may look ahead to the end in each. */
    size_t window = 1024 + s->length / 16;

    if (s->step->literal) {
        const char *hit = memmem(s->text + from, s->length - from, s->step->literal,
                                 s->step->literal_length);

        if (!hit)
            return 0;
        *start = (size_t)(hit - s->text);
        *end = *start + s->step->literal_length;
        return 1;
    }
    if (!s->step->code)
        return find_trailing_space(s->text, s->length, from, start, end);
    pcre2_set_match_limit(s->context, (uint32_t)(MATCH_LIMIT + 4 * s->length));
    while (from <= s->length) {
        int found;

        if (base_interrupted)
            return fail(TAIN_EINTERRUPTED, "tokenizer: interrupted");
        pcre2_set_offset_limit(s->context, from + window);
        found = pcre2_match(s->step->code, (PCRE2_SPTR)s->text, s->length, from,
                            PCRE2_NO_UTF_CHECK, s->data, s->context);
        if (found >= 0) {
            const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);

            *start = at[0];
            *end = at[1] > at[0] ? at[1] : at[0];
            return 1;
        }
        if (found == PCRE2_ERROR_NOMEMORY)
            return fail(TAIN_ENOMEM, "out of host memory for a pattern");
        if (found != PCRE2_ERROR_NOMATCH)
            return fail(TAIN_EUNSUPPORTED,
                        "tokenizer: a pattern needs too many steps on a text of %zu bytes (PCRE2 "
                        "says %d)",
                        s->length, found);
        if (s->length - from <= window)
            return 0;
        from = align(s->text, s->length, from + window + 1);
    }
    return 0;
}

/* ---- Cutting ---- */

static int push(struct spans *s, size_t start, size_t end)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        struct span *at = base_grow(s->at, s->room, room, sizeof(*at));

        if (!at)
            return TAIN_ENOMEM;
        s->at = at;
        s->room = room;
    }
    s->at[s->count++] = (struct span){(uint32_t)start, (uint32_t)end};
    return 0;
}

/* What the parts of a piece, matches and what is between them, become. */
struct cut {
    struct spans *out;
    size_t first;   /* of this piece, in out */
    bool previous;  /* whether the part before was a match */
    bool carried;   /* a match that waits for what comes next */
    size_t carry;
    enum split_behaviour behaviour;
};

static int part(struct cut *c, size_t start, size_t end, bool match)
{
    struct spans *out = c->out;
    bool previous = c->previous;

    c->previous = match;
    switch (c->behaviour) {
    case SPLIT_REMOVED:
        return match ? 0 : push(out, start, end);
    case SPLIT_WITH_PREVIOUS:
        if (match && !previous && out->count > c->first) {
            out->at[out->count - 1].end = (uint32_t)end;
            return 0;
        }
        break;
    case SPLIT_CONTIGUOUS:
        if (match == previous && out->count > c->first) {
            out->at[out->count - 1].end = (uint32_t)end;
            return 0;
        }
        break;
    case SPLIT_WITH_NEXT: /* a match is held back until it is known what follows */
        if (c->carried && match) {
            int status = push(out, c->carry, start);

            if (status)
                return status;
        }
        if (match) {
            c->carried = true;
            c->carry = start;
            return 0;
        }
        if (c->carried)
            start = c->carry;
        c->carried = false;
        break;
    case SPLIT_ISOLATED:
        break;
    }
    return push(out, start, end);
}

/* Takes the empty parts out again: until now they kept their neighbours apart. */
static void drop_empty(struct spans *out, size_t first)
{
    size_t kept = first;

    for (size_t i = first; i < out->count; i++) {
        if (out->at[i].start < out->at[i].end)
            out->at[kept++] = out->at[i];
    }
    out->count = kept;
}

static int cut_piece(struct search *s, size_t base, struct spans *out)
{
    struct cut c = {.out = out, .first = out->count, .behaviour = s->step->behaviour};
    bool invert = s->step->invert, matched = false, empty = false;
    size_t from = 0, last = 0, start = 0, end = 0;
    int found, status;

    while ((found = find(s, from, &start, &end)) > 0) {
        from = end;
        if (start == end) { /* an empty match: the next search begins a character further on */
            if (from < s->length)
                from = align(s->text, s->length, from + 1);
            else
                from = s->length + 1;
            if (matched && end == last) {
                if (from > s->length)
                    break;
                continue;
            }
            empty = true;
        }
        matched = true;
        if ((start > last && (status = part(&c, base + last, base + start, invert))) ||
            (status = part(&c, base + start, base + end, !invert)))
            return status;
        last = end;
        if (from > s->length)
            break;
    }
    if (found < 0)
        return found;
    if (last < s->length && (status = part(&c, base + last, base + s->length, invert)))
        return status;
    if (c.carried && (status = push(out, c.carry, base + s->length)))
        return status;
    if (empty)
        drop_empty(out, c.first);
    return 0;
}

/* Applies one step to every piece. */
static int run_step(const struct split *step, const char *text, const struct spans *in,
                    struct spans *out)
{
    struct search s = {.step = step};
    int status = 0;

    if (step->code) {
        s.data = pcre2_match_data_create(1, NULL);
        s.context = pcre2_match_context_create(NULL);
        if (!s.data || !s.context) {
            status = fail(TAIN_ENOMEM, "out of host memory for a pattern");
        } else {
            pcre2_set_depth_limit(s.context, DEPTH_LIMIT);
            pcre2_set_heap_limit(s.context, HEAP_LIMIT);
        }
    }
    out->count = 0;
    for (size_t i = 0; i < in->count && !status; i++) {
        s.text = text + in->at[i].start;
        s.length = in->at[i].end - in->at[i].start;
        if (s.length == 1 && step->behaviour != SPLIT_REMOVED) /* nothing to cut */
            status = push(out, in->at[i].start, in->at[i].end);
        else
            status = cut_piece(&s, in->at[i].start, out);
    }
    pcre2_match_data_free(s.data);
    pcre2_match_context_free(s.context);
    return status;
}

int pretokenizer_split(const struct pretokenizer *p, const char *text, size_t length,
                       struct spans *words, struct spans *other)
{
    int status;

    words->count = 0;
    if (!length)
        return 0;
    if ((status = push(words, 0, length)))
        return status;
    for (size_t i = 0; i < p->count; i++) {
        struct spans swap;

        if ((status = run_step(&p->steps[i], text, words, other)))
            return status;
        swap = *words;
        *words = *other;
        *other = swap;
    }
    return 0;
}
