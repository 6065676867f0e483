/* tokenizer.c - text to token ids and back, for whatever tokenizer lies in a folder.
 *
 * Easy to get wrong: the BOS of Janus is in no tokenizer.json; the tokenizer's class puts it there,
 * so it is added here by the rules of the class (Llama: BOS unless add_bos_token is false).
 */
#include "io/io.h"
#include "io/tokenizer_parts.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define MAX_MARKS 1000 /* combining marks in a row; reordering them takes the square of it */

/* ---- Lists ---- */

static int tokens_reserve(struct tokens *list, size_t more)
{
    size_t need, room = list->room ? list->room : 64;
    int32_t *at;

    if (!add_ok(list->count, more, &need) || need > SIZE_MAX / 16)
        return fail(TAIN_ENOMEM, "out of host memory: %zu ids were refused", more);
    if (need <= list->room)
        return 0;
    while (room < need)
        room *= 2;
    at = base_grow(list->at, list->room, room, sizeof(*at));
    if (!at)
        return TAIN_ENOMEM;
    list->at = at;
    list->room = room;
    return 0;
}

int tokens_push(struct tokens *list, int32_t id)
{
    return tokens_repeat(list, id, 1);
}

int tokens_repeat(struct tokens *list, int32_t id, size_t times)
{
    int status = tokens_reserve(list, times);

    for (size_t i = 0; i < times && !status; i++)
        list->at[list->count++] = id;
    return status;
}

int tokens_append(struct tokens *list, const int32_t *ids, size_t count)
{
    int status = tokens_reserve(list, count);

    if (!status && count) {
        memcpy(list->at + list->count, ids, count * sizeof(*ids));
        list->count += count;
    }
    return status;
}

int tokens_pad_left(struct tokens *list, int32_t id, size_t width)
{
    size_t more = width > list->count ? width - list->count : 0;
    int status = tokens_reserve(list, more);

    if (status || !more)
        return status;
    memmove(list->at + more, list->at, list->count * sizeof(*list->at));
    for (size_t i = 0; i < more; i++)
        list->at[i] = id;
    list->count = width;
    return 0;
}

void tokens_clear(struct tokens *list)
{
    free(list->at);
    memset(list, 0, sizeof(*list));
}

/* ---- Normal form ---- */

static int check_marks(const char *text, size_t length)
{
    size_t i, step, run = 0;
    uint32_t code;

    for (i = 0; i < length; i += step) {
        step = utf8_read(text + i, length - i, &code);
        if (code < 0x300 || !utf8proc_get_property((utf8proc_int32_t)code)->combining_class)
            run = 0;
        else if (++run > MAX_MARKS)
            return fail(TAIN_EUNSUPPORTED,
                        "tokenizer: the text has more than %d combining marks in a row", MAX_MARKS);
    }
    return 0;
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] & 0x80)
            return false;
    }
    return true;
}

int tokenizer_normal(const struct tokenizer *t, struct workspace *w, const char **text,
                     size_t *length)
{
    static const int options[] = {
        [NORMAL_NONE] = 0,
        [NORMAL_NFC] = UTF8PROC_COMPOSE,
        [NORMAL_NFD] = UTF8PROC_DECOMPOSE,
        [NORMAL_NFKC] = UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [NORMAL_NFKD] = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    int status;

    if (!t->form_count || is_ascii(*text, *length))
        return 0;
    if ((status = check_marks(*text, *length)))
        return status;
    for (size_t i = 0; i < t->form_count; i++) {
        utf8proc_uint8_t *out = NULL;
        utf8proc_ssize_t n =
            utf8proc_map((const utf8proc_uint8_t *)*text, (utf8proc_ssize_t)*length, &out,
                         (utf8proc_option_t)(UTF8PROC_STABLE | options[t->forms[i]]));

        if (n < 0)
            return n == UTF8PROC_ERROR_NOMEM
                       ? fail(TAIN_ENOMEM, "out of host memory for a text's normal form")
                       : fail(TAIN_EINVAL, "tokenizer: the text has no normal form: %s",
                              utf8proc_errmsg(n));
        free(w->normal);
        w->normal = (char *)out;
        *text = w->normal;
        *length = (size_t)n;
    }
    return 0;
}

/* ---- Encoding ---- */

/* White space that an added token takes along. */
static void widen(const struct tokenizer *t, int32_t id, const char *text, size_t length,
                  size_t from, size_t *start, size_t *end)
{
    uint32_t flags = t->words.tokens[id].flags, code;
    size_t step;

    while (flags & TOKEN_LSTRIP && *start > from) {
        step = 1;
        while (step < 4 && *start - step > from &&
               ((unsigned char)text[*start - step] & 0xc0) == 0x80)
            step++;
        if (utf8_read(text + *start - step, step, &code) != step || !utf8_space(code))
            break;
        *start -= step;
    }
    while (flags & TOKEN_RSTRIP && (step = utf8_read(text + *end, length - *end, &code)) &&
           utf8_space(code))
        *end += step;
}

typedef int encode_part(const struct tokenizer *t, struct workspace *w, const char *text,
                        size_t length, struct tokens *out);

/* Takes the added tokens of one trie out and hands what is between them on. */
static int between(const struct tokenizer *t, struct workspace *w, const struct trie *added,
                   const char *text, size_t length, encode_part *rest, struct tokens *out)
{
    size_t at = 0, start, end;
    int status = 0;
    int32_t id;

    while (!status && (id = trie_find(added, text, length, at, &start, &end)) >= 0) {
        widen(t, id, text, length, at, &start, &end);
        if (start > at)
            status = rest(t, w, text + at, start - at, out);
        if (!status)
            status = tokens_push(out, id);
        at = end;
    }
    if (!status && at < length)
        status = rest(t, w, text + at, length - at, out);
    return status;
}

static int encode_raw_part(const struct tokenizer *t, struct workspace *w, const char *text,
                           size_t length, struct tokens *out)
{
    int status = tokenizer_normal(t, w, &text, &length);

    return status ? status : between(t, w, &t->normal, text, length, byte_level_encode, out);
}

static void workspace_clear(struct workspace *w)
{
    merge_clear(&w->merger);
    free(w->words.at);
    free(w->other.at);
    free(w->normal);
    free(w->text.at);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t length, bool special,
                     struct tokens *out)
{
    struct workspace w = {0};
    size_t before = out->count, bad;
    int status = 0;

    REQUIRE(length <= TOKENIZER_MAX_TEXT, "tokenizer: a text of %zu bytes is longer than %u",
            length, TOKENIZER_MAX_TEXT);
    REQUIRE(utf8_check(text, length, &bad), "tokenizer: the text is not UTF-8 at byte %zu", bad);
    if (special)
        status = tokens_append(out, t->before.at, t->before.count);
    if (!status)
        status = t->pieces ? sentencepiece_encode(t, &w, text, length, out)
                           : between(t, &w, &t->raw, text, length, encode_raw_part, out);
    if (!status && special)
        status = tokens_append(out, t->after.at, t->after.count);
    if (status)
        out->count = before;
    workspace_clear(&w);
    return status;
}

/* ---- Decoding ---- */

static int check_ids(const int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        REQUIRE(ids[i] >= 0, "tokenizer: %d at place %zu is no token id", ids[i], i);
    return 0;
}

char *tokenizer_bytes(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                      size_t *length)
{
    struct text out = {0};

    if (check_ids(ids, count))
        return NULL;
    if (t->pieces)
        return sentencepiece_decode(t, ids, count, skip, length);
    text_put(&out, "", 0);
    for (size_t i = 0; i < count; i++) {
        char small[512], *bytes = small;
        const struct token *k;
        const char *name;
        int n;

        if ((size_t)ids[i] >= t->words.count || !t->words.tokens[ids[i]].flags)
            continue;
        k = &t->words.tokens[ids[i]];
        if (skip && k->flags & TOKEN_SPECIAL)
            continue;
        name = vocabulary_text(&t->words, ids[i]);
        if (k->length > sizeof(small) && !(bytes = base_alloc(k->length, 1))) {
            out.failed = true;
            break;
        }
        n = byte_level_bytes(name, k->length, bytes);
        text_put(&out, n < 0 ? name : bytes, n < 0 ? k->length : (size_t)n);
        if (bytes != small)
            free(bytes);
    }
    if (out.failed) {
        free(out.at);
        return NULL;
    }
    *length = out.count;
    return out.at;
}

char *tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                       size_t *length)
{
    size_t n;
    char *bytes = tokenizer_bytes(t, ids, count, skip, &n), *text;

    if (!bytes || t->pieces) {
        if (bytes)
            *length = n;
        return bytes;
    }
    text = utf8_repaired(bytes, n, UTF8_SUBPARTS, length);
    free(bytes);
    return text;
}

/* ---- Asking ---- */

int32_t tokenizer_id(const struct tokenizer *t, const char *name)
{
    return vocabulary_find(&t->words, name, strlen(name));
}

const char *tokenizer_name(const struct tokenizer *t, int32_t id, size_t *length)
{
    if (id < 0 || (size_t)id >= t->words.count || !t->words.tokens[id].flags)
        return NULL;
    *length = t->words.tokens[id].length;
    return vocabulary_text(&t->words, id);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->words.count &&
           t->words.tokens[id].flags & (TOKEN_SPECIAL | TOKEN_CONTROL);
}

int32_t tokenizer_count(const struct tokenizer *t)
{
    return (int32_t)t->words.count;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int32_t tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

int32_t tokenizer_add(struct tokenizer *t, const char *name)
{
    int32_t id = tokenizer_id(t, name);
    size_t length = strlen(name), bad;
    int status;

    REQUIRE(length && utf8_check(name, length, &bad), "tokenizer: a token needs a name in UTF-8");
    if (id >= 0 && t->words.tokens[id].flags & TOKEN_ADDED)
        return id;
    if (id < 0)
        id = (int32_t)t->words.count;
    t->words.limit++;
    status = tokenizer_add_token(t, id, name, length, TOKEN_SPECIAL, false, "tokenizer");
    return status ? status : id;
}

/* ---- Opening ---- */

/* What tokenizer_config.json and special_tokens_map.json say; either may be missing. */
struct config {
    struct json *main, *map;
};

/* A role is named by a string or by an object with its content. */
static int role_of(const struct json *from, const char *role, const char **name)
{
    const struct json *v = from ? json_find(from, role) : NULL;

    if (!v || json_type(v) == JSON_NULL)
        return 0;
    if (json_type(v) == JSON_OBJECT)
        return json_get_string(v, "content", name);
    return json_string(v, name, NULL);
}

/* Gives a token the role, and where the files do not list added tokens makes it one. */
static int take_role(struct tokenizer *t, const char *name, bool add, int32_t *id)
{
    *id = tokenizer_id(t, name);
    if (*id < 0)
        return 0;
    t->words.tokens[*id].flags |= TOKEN_NAMED;
    return add ? tokenizer_add_token(t, *id, name, strlen(name), TOKEN_SPECIAL, false, "tokenizer")
               : 0;
}

static int read_roles(struct tokenizer *t, const struct config *c, bool add)
{
    static const char *const roles[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    int32_t ids[COUNT_OF(roles)], unused;
    const struct json *more, *v;
    int status;

    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        const char *name = NULL;

        ids[i] = -1;
        if ((status = role_of(c->main, roles[i], &name)) ||
            (!name && (status = role_of(c->map, roles[i], &name))))
            return status;
        if (!name && t->pieces && i != 2)
            name = ((const char *[]){"<s>", "</s>", NULL, "<unk>"})[i];
        if (name && (status = take_role(t, name, add, &ids[i])))
            return status;
    }
    t->bos = ids[0];
    t->eos = ids[1];
    t->pad = ids[2];
    for (int i = 0; i < 2; i++) {
        const struct json *from = i ? c->map : c->main;

        more = from ? json_find(from, "additional_special_tokens") : NULL;
        if (!more || json_type(more) != JSON_ARRAY)
            continue;
        for (v = json_first(more); v; v = json_next(v)) {
            const char *name;

            status = json_type(v) == JSON_OBJECT ? json_get_string(v, "content", &name)
                                                 : json_string(v, &name, NULL);
            if (status || (status = take_role(t, name, add, &unused)))
                return status;
        }
    }
    return 0;
}

/* added_tokens.json: names and ids. */
static int read_added_file(struct tokenizer *t, const char *path)
{
    struct json *root;
    int status = 0;

    if (!file_exists(path))
        return 0;
    if (!(root = json_read(path, TOKENIZER_MAX_FILE)))
        return tain_error_status();
    if (json_type(root) != JSON_OBJECT)
        status = json_fail(root, "must be an object");
    t->words.limit += json_count(root);
    for (const struct json *v = json_first(root); v && !status; v = json_next(v)) {
        size_t length;
        const char *name = json_key(v, &length);
        int32_t known = vocabulary_find(&t->words, name, length);
        int64_t id;

        if ((status = json_int(v, 0, TOKENIZER_MAX_IDS - 1, &id)))
            break;
        if (known != id || !(t->words.tokens[known].flags & TOKEN_ADDED))
            status = tokenizer_add_token(t, id, name, length, 0, !t->pieces, path);
    }
    json_free(root);
    return status;
}

/* "added_tokens_decoder" of tokenizer_config.json: objects by id. */
static int read_decoder_list(struct tokenizer *t, const struct json *config, const char *where)
{
    const struct json *list = config ? json_find(config, "added_tokens_decoder") : NULL;
    int status = 0;

    if (!list || json_type(list) == JSON_NULL)
        return 0;
    if (json_type(list) != JSON_OBJECT)
        return json_fail(list, "must be an object");
    t->words.limit += json_count(list);
    for (const struct json *v = json_first(list); v && !status; v = json_next(v)) {
        bool special = false, normalized = false, left = false, right = false, single = false;
        const char *key = json_key(v, NULL), *name;
        char *end;
        long long id = strtoll(key, &end, 10);

        if (*key < '0' || *key > '9' || *end)
            return json_fail(v, "must have an id for its key");
        if ((status = json_get_string(v, "content", &name)) ||
            (status = json_opt_bool(v, "special", &special)) ||
            (status = json_opt_bool(v, "normalized", &normalized)) ||
            (status = json_opt_bool(v, "lstrip", &left)) ||
            (status = json_opt_bool(v, "rstrip", &right)) ||
            (status = json_opt_bool(v, "single_word", &single)))
            return status;
        if (single || (t->pieces && (left || right)))
            return fail(TAIN_EUNSUPPORTED, "%s: tain does not know single_word, nor lstrip and "
                                           "rstrip of SentencePiece, which \"%.40s\" asks for",
                        where, name);
        /* The slow class calls special only what has a role. */
        status = tokenizer_add_token(t, id, name, strlen(name),
                                     (special && !t->pieces ? TOKEN_SPECIAL : 0) |
                                         (left ? TOKEN_LSTRIP : 0) | (right ? TOKEN_RSTRIP : 0),
                                     normalized && !t->pieces, where);
    }
    return status;
}

/* What the class of the tokenizer puts around a text, unless the file itself says it. */
static int read_surroundings(struct tokenizer *t, const struct config *c)
{
    const char *class = "";
    bool llama, bos, eos = false;
    int status;

    if (t->has_template)
        return 0;
    if (c->main && (status = json_opt_string(c->main, "tokenizer_class", &class)))
        return status;
    llama = t->pieces || !strcmp(class, "LlamaTokenizer") || !strcmp(class, "LlamaTokenizerFast");
    bos = llama;
    if (c->main && llama && ((status = json_opt_bool(c->main, "add_bos_token", &bos)) ||
                             (status = json_opt_bool(c->main, "add_eos_token", &eos))))
        return status;
    if (bos && t->bos >= 0 && (status = tokens_push(&t->before, t->bos)))
        return status;
    return eos && t->eos >= 0 ? tokens_push(&t->after, t->eos) : 0;
}

static int open_pieces(struct tokenizer *t, const struct config *c, const char *path)
{
    bool legacy = false;
    uint8_t *data;
    size_t size;
    int status;

    if (c->main && ((status = json_opt_bool(c->main, "legacy", &legacy)) ||
                    (legacy && (status = fail(TAIN_EUNSUPPORTED,
                                              "%s: tain does not know \"legacy\": true", path)))))
        return status;
    if ((status = file_read(path, TOKENIZER_MAX_FILE, &data, &size)))
        return status;
    status = sentencepiece_read(t, (const char *)data, size, path);
    free(data);
    if (!status && c->main)
        status = json_opt_bool(c->main, "add_prefix_space", &t->prefix);
    return status;
}

static int open_json(struct tokenizer *t, const char *path)
{
    struct json *root;
    int64_t size = 0;
    int fd = file_open(path, &size), status;

    if (fd < 0)
        return fd;
    io_calls.close(fd);
    if (!(root = json_read(path, TOKENIZER_MAX_FILE)))
        return tain_error_status();
    status = tokenizer_read_json(t, root, (size_t)size, path);
    json_free(root);
    return status;
}

static int open_vocab(struct tokenizer *t, const struct config *c, const char *path,
                      const char *folder)
{
    const char *class = "GPT2Tokenizer";
    char *merges = path_join(folder, "merges.txt");
    uint8_t *text = NULL;
    struct json *root = NULL;
    size_t size;
    int status = merges ? 0 : TAIN_ENOMEM;

    if (!status && c->main)
        status = json_opt_string(c->main, "tokenizer_class", &class);
    if (!status)
        status = tokenizer_shape(t, class, path);
    if (!status && !(root = json_read(path, TOKENIZER_MAX_FILE)))
        status = tain_error_status();
    if (!status) /* no token takes fewer than five bytes of JSON */
        status = tokenizer_read_vocab(t, root, 5 * json_count(root), path);
    json_free(root);
    if (!status)
        status = file_read(merges, TOKENIZER_MAX_FILE, &text, &size);
    if (!status)
        status = byte_level_read_merges(t, (const char *)text, size, merges);
    if (!status)
        byte_level_ready(t);
    free(text);
    free(merges);
    return status;
}

static int open_any(struct tokenizer *t, const struct config *c, const char *folder,
                    char *const paths[5])
{
    bool lists = true; /* added tokens stand in files of their own */
    int status;

    if (file_exists(paths[0])) {
        status = open_pieces(t, c, paths[0]);
    } else if (file_exists(paths[1])) {
        lists = false;
        status = open_json(t, paths[1]);
    } else if (file_exists(paths[2])) {
        status = open_vocab(t, c, paths[2], folder);
    } else {
        return fail(TAIN_EIO, "%s: there is no tokenizer.model, tokenizer.json or vocab.json in it",
                    folder);
    }
    if (status)
        return status;
    if (lists && ((status = read_decoder_list(t, c->main, paths[3])) ||
                  (status = read_roles(t, c, true)) || (status = read_added_file(t, paths[4]))))
        return status;
    if ((status = read_roles(t, c, lists)))
        return status;
    return read_surroundings(t, c);
}

static int read_config(const char *folder, const char *name, struct json **root)
{
    char *path = path_join(folder, name);

    if (!path)
        return TAIN_ENOMEM;
    if (file_exists(path)) {
        *root = json_read(path, TOKENIZER_MAX_FILE);
        if (*root && json_type(*root) != JSON_OBJECT)
            json_fail(*root, "must be an object");
        else if (*root)
            path[0] = 0;
        if (path[0]) {
            free(path);
            return tain_error_status();
        }
    }
    free(path);
    return 0;
}

struct tokenizer *tokenizer_open(const char *folder)
{
    static const char *const names[5] = {"tokenizer.model", "tokenizer.json", "vocab.json",
                                         "tokenizer_config.json", "added_tokens.json"};
    struct tokenizer *t = base_alloc(1, sizeof(*t));
    struct config c = {0};
    char *paths[5] = {0};
    int status = t ? 0 : TAIN_ENOMEM;

    for (size_t i = 0; i < COUNT_OF(names) && !status; i++) {
        if (!(paths[i] = path_join(folder, names[i])))
            status = TAIN_ENOMEM;
    }
    if (!status)
        t->bos = t->eos = t->pad = -1;
    if (!status && !(status = read_config(folder, "tokenizer_config.json", &c.main)) &&
        !(status = read_config(folder, "special_tokens_map.json", &c.map)))
        status = open_any(t, &c, folder, paths);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        free(paths[i]);
    json_free(c.main);
    json_free(c.map);
    if (!status)
        return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    vocabulary_clear(&t->words);
    trie_clear(&t->raw);
    trie_clear(&t->normal);
    tokens_clear(&t->before);
    tokens_clear(&t->after);
    pretokenizer_clear(&t->pre);
    free(t->merges);
    free(t->ranks);
    free(t);
}
