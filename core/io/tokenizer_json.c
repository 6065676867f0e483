/* tokenizer_json.c - reads tokenizer.json, and vocab.json of the older layout.
 *
 * Every field that changes what comes out is either honoured or refused by name; a component that
 * tain does not know is an error, since a tokenizer that is nearly right ruins a model silently.
 */
#include "io/io.h"
#include "io/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

#define GPT2_WORDS                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define QWEN2_WORDS                                                                                \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"                           \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MAX_PARTS 64

static bool is(const char *a, const char *b)
{
    return !strcmp(a, b);
}

/* A member, if it is there and not null. */
static const struct json *given(const struct json *o, const char *key)
{
    const struct json *v = json_find(o, key);

    return v && json_type(v) != JSON_NULL ? v : NULL;
}

/* Refuses a field that is there and not what it must be. */
static int must_be(const struct json *o, const char *key, bool wanted)
{
    bool value = wanted;
    int status = json_opt_bool(o, key, &value);

    if (!status && value != wanted) {
        json_fail(json_find(o, key), "tain does not know how to tokenize with this");
        return fail(TAIN_EUNSUPPORTED, "%s", tain_error());
    }
    return status;
}

static int must_be_empty(const struct json *o, const char *key)
{
    const struct json *v = given(o, key);
    const char *text = "";

    if (v && (json_type(v) != JSON_STRING || json_string(v, &text, NULL) || *text)) {
        json_fail(v, "tain does not know how to tokenize with this");
        return fail(TAIN_EUNSUPPORTED, "%s", tain_error());
    }
    return 0;
}

/* Lays out a component and, if it is a Sequence, what is in it, in order; sequences within
 * sequences are opened too. Returns how many parts there are, or a negative status. */
static int flatten(const struct json *v, const char *members, const struct json **parts)
{
    int count = 0;

    if (!v)
        return 0;
    parts[count++] = v;
    for (int i = 0; i < count;) {
        const struct json *inside, *m;
        const char *type;
        int status = json_get_string(parts[i], "type", &type), n;

        if (status)
            return status;
        if (!is(type, "Sequence")) {
            i++;
            continue;
        }
        if ((status = json_get_array(parts[i], members, &inside)))
            return status;
        if (json_count(inside) > (size_t)(MAX_PARTS - count))
            return json_fail(inside, "has more than %d parts", MAX_PARTS);
        n = (int)json_count(inside);
        memmove(parts + i + n, parts + i + 1, (size_t)(count - i - 1) * sizeof(*parts));
        for (m = json_first(inside), n = i; m; m = json_next(m))
            parts[n++] = m;
        count += n - i - 1;
    }
    return count;
}

static int unknown(const struct json *v, const char *what, const char *type)
{
    json_fail(v, "tain has no %s \"%.60s\"", what, type);
    return fail(TAIN_EUNSUPPORTED, "%s", tain_error());
}

/* ---- Vocabulary ---- */

static int read_words(struct tokenizer *t, const struct json *words, size_t size,
                      const char *where)
{
    t->words.limit += size;
    for (const struct json *v = json_first(words); v; v = json_next(v)) {
        size_t length;
        const char *name = json_key(v, &length);
        int64_t id;
        int status = json_int(v, 0, TOKENIZER_MAX_IDS - 1, &id);

        if (status || (status = vocabulary_put(&t->words, id, name, length, 0, where)))
            return status;
    }
    return 0;
}

static int read_merges(struct tokenizer *t, const struct json *merges, const char *where)
{
    uint32_t rank = 0;
    int status = byte_level_reserve(t, json_count(merges));

    for (const struct json *m = json_first(merges); m && !status; m = json_next(m)) {
        const char *a, *b;
        size_t a_length, b_length;

        if (json_type(m) == JSON_ARRAY && json_count(m) == 2) { /* members may hold spaces */
            if ((status = json_string(json_at(m, 0), &a, &a_length)) ||
                (status = json_string(json_at(m, 1), &b, &b_length)))
                return status;
        } else {
            if ((status = json_string(m, &a, &a_length)))
                return status;
            b = memchr(a, ' ', a_length);
            if (!b || memchr(b + 1, ' ', a_length - (size_t)(b + 1 - a)))
                return json_fail(m, "is not two tokens with a space between");
            b_length = a_length - (size_t)(b + 1 - a);
            a_length = (size_t)(b++ - a);
        }
        status = byte_level_merge(t, a, a_length, b, b_length, rank++, where);
    }
    return status;
}

static int read_model(struct tokenizer *t, const struct json *root, size_t size,
                      const char *where)
{
    const struct json *model, *words, *merges;
    const char *type = "BPE";
    int status;

    if ((status = json_get_object(root, "model", &model)) ||
        (status = json_opt_string(model, "type", &type)))
        return status;
    if (!is(type, "BPE"))
        return unknown(model, "tokenizer model", type);
    if (given(model, "dropout") || given(model, "unk_token")) {
        json_fail(model, "tain does not know how to tokenize with dropout or unk_token");
        return fail(TAIN_EUNSUPPORTED, "%s", tain_error());
    }
    if ((status = must_be_empty(model, "continuing_subword_prefix")) ||
        (status = must_be_empty(model, "end_of_word_suffix")) ||
        (status = must_be(model, "byte_fallback", false)) ||
        (status = json_opt_bool(model, "ignore_merges", &t->ignore_merges)) ||
        (status = json_get_object(model, "vocab", &words)) ||
        (status = json_get_array(model, "merges", &merges)) ||
        (status = read_words(t, words, size, where)))
        return status;
    return read_merges(t, merges, where);
}

/* ---- Added tokens ---- */

/* Puts a text into the normal form; a new string. */
static char *normal_text(const struct tokenizer *t, const char *text, size_t length, size_t *count)
{
    struct workspace w = {0};
    const char *p = text;
    char *copy = NULL;

    if (!tokenizer_normal(t, &w, &p, &length) && (copy = base_alloc(length + 1, 1))) {
        memcpy(copy, p, length);
        *count = length;
    }
    free(w.normal);
    return copy;
}

int tokenizer_add_token(struct tokenizer *t, int64_t id, const char *name, size_t length,
                        uint32_t flags, bool normalized, const char *where)
{
    char *text;
    int status;

    if (length > TOKENIZER_MAX_ADDED)
        return fail(TAIN_EFORMAT, "%s: the added token with id %lld has %zu bytes, more than %d",
                    where, (long long)id, length, TOKENIZER_MAX_ADDED);
    if ((status = vocabulary_put(&t->words, id, name, length, flags | TOKEN_ADDED, where)))
        return status;
    if (!normalized)
        return trie_add(&t->raw, name, length, (int32_t)id);
    text = normal_text(t, name, length, &length);
    if (!text)
        return tain_error_status();
    status = trie_add(&t->normal, text, length, (int32_t)id);
    free(text);
    return status;
}

static int read_added(struct tokenizer *t, const struct json *list, const char *where)
{
    if (!list)
        return 0;
    if (json_type(list) != JSON_ARRAY)
        return json_fail(list, "must be an array");
    for (const struct json *v = json_first(list); v; v = json_next(v)) {
        bool special = false, normalized = true, left = false, right = false;
        const struct json *content;
        const char *name;
        size_t length;
        int64_t id;
        int status;

        if ((status = json_get_int(v, "id", 0, TOKENIZER_MAX_IDS - 1, &id)) ||
            (status = json_get_string(v, "content", &name)) ||
            (status = must_be(v, "single_word", false)) ||
            (status = json_opt_bool(v, "lstrip", &left)) ||
            (status = json_opt_bool(v, "rstrip", &right)) ||
            (status = json_opt_bool(v, "special", &special)))
            return status;
        normalized = !special;
        if ((status = json_opt_bool(v, "normalized", &normalized)))
            return status;
        content = json_find(v, "content");
        if ((status = json_string(content, &name, &length)) ||
            (status = tokenizer_add_token(t, id, name, length,
                                          (special ? TOKEN_SPECIAL : 0) |
                                              (left ? TOKEN_LSTRIP : 0) |
                                              (right ? TOKEN_RSTRIP : 0),
                                          normalized, where)))
            return status;
    }
    return 0;
}

/* ---- Normal form ---- */

static int read_normalizer(struct tokenizer *t, const struct json *v)
{
    static const struct {
        const char *type;
        enum normal_form form;
    } known[] = {{"NFC", NORMAL_NFC}, {"NFD", NORMAL_NFD}, {"NFKC", NORMAL_NFKC},
                 {"NFKD", NORMAL_NFKD}};
    const struct json *parts[MAX_PARTS];
    int count = flatten(v, "normalizers", parts);

    for (int i = 0; i < count; i++) {
        const char *type;
        size_t k = 0;

        if (json_get_string(parts[i], "type", &type))
            return tain_error_status();
        while (k < COUNT_OF(known) && !is(type, known[k].type))
            k++;
        if (k == COUNT_OF(known))
            return unknown(parts[i], "normalizer", type);
        if (t->form_count == COUNT_OF(t->forms))
            return json_fail(v, "has more than %zu normal forms", COUNT_OF(t->forms));
        t->forms[t->form_count++] = known[k].form;
    }
    return count < 0 ? count : 0;
}

/* ---- Words ---- */

static int read_behaviour(const struct json *v, enum split_behaviour *behaviour)
{
    static const char *const names[] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const char *name;
    int status = json_get_string(v, "behavior", &name);

    if (status)
        return status;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (is(name, names[i])) {
            *behaviour = (enum split_behaviour)i;
            return 0;
        }
    }
    return unknown(json_find(v, "behavior"), "behaviour", name);
}

static int read_split(struct tokenizer *t, const struct json *v)
{
    enum split_behaviour behaviour = SPLIT_ISOLATED;
    const struct json *pattern;
    const char *text = NULL;
    bool invert = false;
    int status;

    if ((status = json_get_object(v, "pattern", &pattern)) ||
        (status = read_behaviour(v, &behaviour)) ||
        (status = json_opt_bool(v, "invert", &invert)) ||
        (status = json_opt_string(pattern, "Regex", &text)))
        return status;
    if (text)
        status = pretokenizer_add(&t->pre, text, behaviour, invert);
    else if (!(status = json_get_string(pattern, "String", &text)))
        status = pretokenizer_add_literal(&t->pre, text, behaviour, invert);
    if (status && tain_error_status() != TAIN_ENOMEM) {
        char *place = json_path(pattern);

        status = place ? fail_in("%s", place) : TAIN_ENOMEM;
        free(place);
    }
    return status;
}

static int read_pre_tokenizer(struct tokenizer *t, const struct json *v, const char *where)
{
    const struct json *parts[MAX_PARTS];
    int count = flatten(v, "pretokenizers", parts);
    bool bytes = false;

    for (int i = 0; i < count; i++) {
        const char *type;
        bool flag = false;
        int status;

        if ((status = json_get_string(parts[i], "type", &type)))
            return status;
        if (bytes)
            return json_fail(parts[i], "ByteLevel must be the last step");
        if (is(type, "Split")) {
            status = read_split(t, parts[i]);
        } else if (is(type, "Digits")) {
            status = json_opt_bool(parts[i], "individual_digits", &flag);
            if (!status)
                status = pretokenizer_add(&t->pre, flag ? "\\p{N}" : "\\p{N}+", SPLIT_ISOLATED,
                                          false);
        } else if (is(type, "ByteLevel")) {
            bytes = flag = true;
            if (!(status = must_be(parts[i], "add_prefix_space", false)))
                status = json_opt_bool(parts[i], "use_regex", &flag);
            if (!status && flag)
                status = pretokenizer_add(&t->pre, GPT2_WORDS, SPLIT_ISOLATED, false);
        } else {
            status = unknown(parts[i], "pre-tokenizer", type);
        }
        if (status)
            return status;
    }
    if (count < 0 || bytes)
        return count < 0 ? count : 0;
    return fail(TAIN_EUNSUPPORTED, "%s: the pre-tokenizer has no ByteLevel step, and tain has no "
                                   "other kind", where);
}

static int read_decoder(const struct json *v)
{
    const char *type;
    int status = json_get_string(v, "type", &type);

    if (status)
        return status;
    return is(type, "ByteLevel") ? 0 : unknown(v, "decoder", type);
}

/* ---- What stands around a text ---- */

/* One item of a template: a special token, which may be several ids, or the text itself. */
static int read_item(struct tokenizer *t, const struct json *item, const struct json *specials,
                     bool *seen)
{
    const struct json *token = json_find(item, "SpecialToken"), *ids, *one;
    const char *name;
    int status;

    if (!token) {
        if ((status = json_get_object(item, "Sequence", &token)))
            return status;
        if (*seen)
            return json_fail(item, "the text stands in its own template twice");
        *seen = true;
        return 0;
    }
    if ((status = json_get_string(token, "id", &name)))
        return status;
    if (!specials || !(one = json_find(specials, name)))
        return json_fail(item, "\"%.60s\" is not among the special tokens", name);
    if ((status = json_get_array(one, "ids", &ids)))
        return status;
    for (const struct json *v = json_first(ids); v; v = json_next(v)) {
        int64_t id;

        if ((status = json_int(v, 0, (int64_t)t->words.count - 1, &id)) ||
            (status = tokens_push(*seen ? &t->after : &t->before, (int32_t)id)))
            return status;
    }
    return 0;
}

static int read_post_processor(struct tokenizer *t, const struct json *v)
{
    const struct json *parts[MAX_PARTS], *items, *item;
    int count = flatten(v, "processors", parts), status;

    for (int i = 0; i < count; i++) {
        bool seen = false;
        const char *type;

        if ((status = json_get_string(parts[i], "type", &type)))
            return status;
        if (is(type, "ByteLevel")) /* only moves offsets */
            continue;
        if (!is(type, "TemplateProcessing"))
            return unknown(parts[i], "post-processor", type);
        if (t->has_template)
            return json_fail(parts[i], "is a second template");
        if ((status = json_get_array(parts[i], "single", &items)))
            return status;
        for (item = json_first(items); item; item = json_next(item)) {
            if ((status = read_item(t, item, json_find(parts[i], "special_tokens"), &seen)))
                return status;
        }
        if (!seen)
            return json_fail(items, "has no place for the text");
        t->has_template = true;
    }
    return count < 0 ? count : 0;
}

/* ---- Files ---- */

int tokenizer_read_json(struct tokenizer *t, const struct json *root, size_t size,
                        const char *where)
{
    const struct json *decoder = given(root, "decoder");
    int status;

    if (json_type(root) != JSON_OBJECT)
        return json_fail(root, "must be an object");
    if ((status = read_normalizer(t, given(root, "normalizer"))) ||
        (status = read_pre_tokenizer(t, given(root, "pre_tokenizer"), where)) ||
        (decoder && (status = read_decoder(decoder))) ||
        (status = read_model(t, root, size, where)) ||
        (status = read_added(t, given(root, "added_tokens"), where)))
        return status;
    byte_level_ready(t);
    return read_post_processor(t, given(root, "post_processor"));
}

int tokenizer_read_vocab(struct tokenizer *t, const struct json *root, size_t size,
                         const char *where)
{
    if (json_type(root) != JSON_OBJECT)
        return json_fail(root, "must be an object");
    return read_words(t, root, size, where);
}

int tokenizer_shape(struct tokenizer *t, const char *class, const char *where)
{
    static const char *const gpt2[] = {"GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer",
                                       "CodeGenTokenizerFast"};

    for (size_t i = 0; i < COUNT_OF(gpt2); i++) {
        if (is(class, gpt2[i]))
            return pretokenizer_add(&t->pre, GPT2_WORDS, SPLIT_ISOLATED, false);
    }
    if (is(class, "Qwen2Tokenizer") || is(class, "Qwen2TokenizerFast")) {
        t->forms[t->form_count++] = NORMAL_NFC;
        return pretokenizer_add(&t->pre, QWEN2_WORDS, SPLIT_ISOLATED, false);
    }
    return fail(TAIN_EUNSUPPORTED,
                "%s: vocab.json says nothing of how to cut words, and tain knows that of no class "
                "\"%.60s\"; a tokenizer.json would say it", where, class);
}
