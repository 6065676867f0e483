/* Every tokenizer against what the published libraries make of the same files, then what is not in
 * those: both layouts of one tokenizer, long texts, broken files. */
#include "check.h"

#include "io/io.h"
#include "io/tokenizer.h"

#include "temp.h"

#define GOLDEN "tests/golden/tokenizers/"

static struct json *read_list(const char *folder, const char *name)
{
    char path[256];
    struct json *root;

    snprintf(path, sizeof(path), GOLDEN "%s/%s", folder, name);
    root = json_read(path, 64 << 20);
    CHECK(root);
    return root;
}

static struct tokenizer *open_golden(const char *folder)
{
    char path[256];
    struct tokenizer *t;

    snprintf(path, sizeof(path), GOLDEN "%s", folder);
    t = tokenizer_open(path);
    CHECK(t);
    return t;
}

static struct tokens read_ids(const struct json *row, const char *key)
{
    struct tokens list = {0};
    const struct json *ids;
    int64_t id;

    CHECK(!json_get_array(row, key, &ids));
    for (const struct json *v = json_first(ids); v; v = json_next(v)) {
        CHECK(!json_int(v, 0, 1 << 30, &id));
        CHECK(!tokens_push(&list, (int32_t)id));
    }
    return list;
}

static void print_ids(const char *what, const struct tokens *list)
{
    fprintf(stderr, "  %s:", what);
    for (size_t i = 0; i < list->count; i++)
        fprintf(stderr, " %d", list->at[i]);
    fprintf(stderr, "\n");
}

static int failures;

static void same_ids(const char *where, const char *text, const struct tokens *is,
                     const struct tokens *should)
{
    if (is->count == should->count &&
        (!is->count || !memcmp(is->at, should->at, is->count * sizeof(*is->at))))
        return;
    fprintf(stderr, "%s: \"%.100s\"\n", where, text);
    print_ids("is", is);
    print_ids("should be", should);
    failures++;
}

static void encodes(const struct tokenizer *t, const char *where, const struct json *row,
                    const char *key, bool special)
{
    struct tokens is = {0}, should;
    const char *text;
    size_t length;

    if (!json_find(row, key))
        return;
    should = read_ids(row, key);
    CHECK(!json_string(json_find(row, "text"), &text, &length));
    CHECK(!tokenizer_encode(t, text, length, special, &is));
    same_ids(where, text, &is, &should);
    tokens_clear(&is);
    tokens_clear(&should);
}

static void decodes(const struct tokenizer *t, const char *where, const struct json *row,
                    const char *ids_key, const char *key, bool skip)
{
    struct tokens ids = read_ids(row, ids_key);
    const char *should;
    size_t length, should_length;
    char *is = tokenizer_decode(t, ids.at, ids.count, skip, &length);

    CHECK(is);
    CHECK(!json_string(json_find(row, key), &should, &should_length));
    if (length != should_length || memcmp(is, should, length)) {
        fprintf(stderr, "%s: %s is \"%s\", should be \"%s\"\n", where, key, is, should);
        failures++;
    }
    free(is);
    tokens_clear(&ids);
}

static void bytes_are(const struct tokenizer *t, const char *where, const struct json *row)
{
    struct tokens ids = read_ids(row, "ids");
    const char *should;
    size_t length, should_length;
    char *is = tokenizer_bytes(t, ids.at, ids.count, false, &length), *hex;

    CHECK(is);
    CHECK(!json_string(json_find(row, "bytes_hex"), &should, &should_length));
    hex = base_alloc(2 * length + 1, 1);
    CHECK(hex);
    for (size_t i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)is[i]);
    if (strcmp(hex, should)) {
        fprintf(stderr, "%s: bytes are %s, should be %s\n", where, hex, should);
        failures++;
    }
    free(hex);
    free(is);
    tokens_clear(&ids);
}

/* Byte-level tokenizers: all of it is exact. */
static void check_byte_level(const struct tokenizer *t, const char *folder)
{
    struct json *cases = read_list(folder, "cases.json");
    struct json *decode = read_list(folder, "decode_cases.json");

    CHECK(json_count(cases) > 100 && json_count(decode) > 20);
    for (const struct json *row = json_first(cases); row; row = json_next(row)) {
        encodes(t, folder, row, "ids", false);
        encodes(t, folder, row, "ids_special", true);
        decodes(t, folder, row, "ids", "decoded", false);
        decodes(t, folder, row, "ids", json_find(row, "decoded_skip") ? "decoded_skip" : "decoded",
                true);
    }
    for (const struct json *row = json_first(decode); row; row = json_next(row)) {
        bytes_are(t, folder, row);
        decodes(t, folder, row, "ids", "decoded", false);
        decodes(t, folder, row, "ids", "decoded_skip", true);
    }
    json_free(cases);
    json_free(decode);
}

/* U+2581 is a space to SentencePiece. */
static char *with_spaces(const char *text, size_t length, size_t *count)
{
    char *out = base_alloc(length + 1, 1);
    size_t at = 0;

    CHECK(out);
    for (size_t i = 0; i < length; i++) {
        bool space = length - i >= 3 && !memcmp(text + i, "\xe2\x96\x81", 3);

        out[at++] = space ? ' ' : text[i];
        i += space ? 2 : 0;
    }
    *count = at;
    return out;
}

/* SentencePiece: ids are the slow class's, text is SentencePiece's own (the class cuts wrongly in a
 * few cases); spelled out with its special tokens, a text comes back whole. */
static void check_pieces(void)
{
    struct tokenizer *t = open_golden("llama_sp");
    struct json *cases = read_list("llama_sp", "cases.json");
    struct json *decode = read_list("llama_sp", "decode_cases.json");

    CHECK(json_count(cases) > 100 && json_count(decode) > 20);
    for (const struct json *row = json_first(cases); row; row = json_next(row)) {
        struct tokens ids = read_ids(row, "ids");
        size_t length, is_length, should_length;
        const char *text;
        char *is, *should;

        encodes(t, "llama_sp", row, "ids", false);
        encodes(t, "llama_sp", row, "ids_special", true);
        decodes(t, "llama_sp", row, "sp_ids", "sp_decoded", true);
        CHECK(!json_string(json_find(row, "text"), &text, &length));
        should = with_spaces(text, length, &should_length);
        is = tokenizer_decode(t, ids.at, ids.count, false, &is_length);
        CHECK(is);
        if (is_length != should_length || memcmp(is, should, is_length)) {
            fprintf(stderr, "llama_sp: \"%s\" comes back as \"%s\"\n", text, is);
            failures++;
        }
        free(is);
        free(should);
        tokens_clear(&ids);
    }
    for (const struct json *row = json_first(decode); row; row = json_next(row))
        decodes(t, "llama_sp", row, "ids", "sp_decoded", true);
    CHECK_INT(tokenizer_count(t), 904);
    CHECK_INT(tokenizer_bos(t), 1);
    CHECK_INT(tokenizer_eos(t), 2);
    CHECK_INT(tokenizer_pad(t), 0);
    CHECK_INT(tokenizer_id(t, "<im_start>"), 900);
    json_free(cases);
    json_free(decode);
    tokenizer_free(t);
}

static void link_file(const char *from, const char *name, const char *to)
{
    char here[256], *source, *target;

    CHECK(getcwd(here, sizeof(here)));
    source = base_format("%s/" GOLDEN "%s/%s", here, from, name);
    target = path_join(to, name);
    CHECK(source && target && !symlink(source, target));
    free(source);
    free(target);
}

/* vocab.json and merges.txt alone mean the same. */
static void check_old_layout(const char *folder)
{
    static const char *const names[] = {"vocab.json", "merges.txt", "added_tokens.json",
                                        "tokenizer_config.json", "special_tokens_map.json"};
    const char *path = in_temp(folder);
    struct tokenizer *t;
    char file[512];

    CHECK(!folder_make(path));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(file, sizeof(file), GOLDEN "%s/%s", folder, names[i]);
        if (file_exists(file))
            link_file(folder, names[i], path);
    }
    t = tokenizer_open(path);
    CHECK(t);
    check_byte_level(t, folder);
    tokenizer_free(t);
}

static void check_roles(void)
{
    struct tokenizer *t = open_golden("janus");
    size_t length;

    CHECK_INT(tokenizer_bos(t), 882);
    CHECK_INT(tokenizer_eos(t), 883);
    CHECK_INT(tokenizer_pad(t), 884);
    CHECK_INT(tokenizer_id(t, "<begin_of_image>"), 885);
    CHECK_INT(tokenizer_id(t, "no such token"), -1);
    CHECK_INT(tokenizer_count(t), 899);
    CHECK(tokenizer_is_special(t, 885) && !tokenizer_is_special(t, 20));
    CHECK(!tokenizer_name(t, 899, &length) && !tokenizer_name(t, -1, &length));
    CHECK(!memcmp(tokenizer_name(t, 885, &length), "<begin_of_image>", 16) && length == 16);
    CHECK_INT(tokenizer_add(t, "<|soi|>"), 899);
    CHECK_INT(tokenizer_add(t, "<|soi|>"), 899);
    CHECK_INT(tokenizer_add(t, "<begin_of_image>"), 885);
    {
        struct tokens ids = {0};

        CHECK(!tokenizer_encode(t, "a<|soi|>", 8, false, &ids));
        CHECK_INT(ids.at[ids.count - 1], 899);
        CHECK_FAILS(tokenizer_encode(t, "ab\xff", 3, true, &ids), TAIN_EINVAL, "byte 2");
        CHECK_INT((long long)ids.count, 2);
        CHECK(!tokenizer_decode(t, (int32_t[]){-200}, 1, false, &length));
        CHECK(strstr(tain_error(), "-200"));
        tokens_clear(&ids);
    }
    tokenizer_free(t);
}

/* The vocabulary that lua/tain/vocabulary.lua makes: every word is one token, alone and after a
 * space. */
static void check_blocks(void)
{
    struct tokenizer *t = open_golden("blocks");
    struct json *words = read_list("blocks", "words.json");
    size_t length;
    char *text;

    CHECK(json_count(words) > 43);
    for (const struct json *v = json_first(words); v; v = json_next(v)) {
        const char *word;

        CHECK(!json_string(v, &word, NULL));
        for (int spaced = 0; spaced < 2; spaced++) {
            struct tokens ids = {0};

            text = base_format("%s%s", spaced ? " " : "", word);
            CHECK(text && !tokenizer_encode(t, text, strlen(text), false, &ids));
            if (ids.count != 1) {
                fprintf(stderr, "blocks: \"%s\" is %zu tokens\n", text, ids.count);
                failures++;
            }
            free(text);
            tokens_clear(&ids);
        }
    }
    {
        static const char prompt[] = "a red circle left of a blue square é";
        struct tokens ids = {0};

        CHECK(!tokenizer_encode(t, prompt, strlen(prompt), true, &ids));
        CHECK_INT((long long)ids.count, 1 + 8 + 3);
        CHECK_INT(ids.at[0], tokenizer_bos(t));
        text = tokenizer_decode(t, ids.at, ids.count, true, &length);
        CHECK_STRING(text, prompt);
        free(text);
        tokens_clear(&ids);
    }
    json_free(words);
    tokenizer_free(t);
}

/* What would be quadratic if done naively. */
static void check_speed(void)
{
    static const char *const folders[] = {"janus", "phi", "qwen", "llama_sp"};
    char *text = base_alloc(1 << 20, 1);

    CHECK(text);
    for (size_t f = 0; f < COUNT_OF(folders); f++) {
        struct tokenizer *t = open_golden(folders[f]);

        for (int kind = 0; kind < 5; kind++) {
            const size_t size = kind ? 1 << 17 : 1 << 20;
            struct tokens ids = {0};
            double start;

            for (size_t i = 0; i < size; i++)
                text[i] = "a \n<3"[kind];
            if (kind == 1)
                text[size - 1] = '1'; /* so that the run does not end the text */
            start = base_seconds();
            CHECK(!tokenizer_encode(t, text, size, true, &ids));
            start = base_seconds() - start;
            if (getenv("TAIN_TIMES"))
                fprintf(stderr, "%s, kind %d: %.3f s, %zu ids\n", folders[f], kind, start,
                        ids.count);
            CHECK(start < 10);
            tokens_clear(&ids);
        }
        tokenizer_free(t);
    }
    free(text);
}

int main(void)
{
    static const char *const byte_level[] = {"janus", "janus_7b", "phi", "qwen"};

    for (size_t i = 0; i < COUNT_OF(byte_level); i++) {
        struct tokenizer *t = open_golden(byte_level[i]);

        check_byte_level(t, byte_level[i]);
        tokenizer_free(t);
    }
    check_old_layout("phi");
    check_old_layout("qwen");
    temp_remove(temp);
    check_pieces();
    check_roles();
    check_blocks();
    check_speed();
    return failures != 0;
}
