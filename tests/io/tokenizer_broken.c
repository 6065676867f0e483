/* Tokenizer files that are wrong: each is refused with a sentence that says what is wrong, and
 * damage of any kind is survived. */
#include "check.h"

#include "io/io.h"
#include "io/tokenizer.h"
#include "temp.h"

#define GOLDEN "tests/golden/tokenizers/"

static const char *folder(void)
{
    static const char *path;

    if (!path) {
        path = in_temp("t");
        CHECK(!folder_make(path));
    }
    return path;
}

static void put_file(const char *name, const void *bytes, size_t count)
{
    char *path = path_join(folder(), name);
    FILE *f;

    CHECK(path && (f = fopen(path, "wb")));
    CHECK(fwrite(bytes, 1, count, f) == count);
    CHECK(!fclose(f));
    free(path);
}

static void empty_folder(void)
{
    char **names, *path;
    size_t count;

    CHECK(!folder_list(folder(), &names, &count));
    for (size_t i = 0; i < count; i++) {
        path = path_join(folder(), names[i]);
        CHECK(path && !unlink(path));
        free(path);
    }
    folder_list_free(names, count);
}

/* ---- Sentences ---- */


static int try_open(void)
{
    struct tokenizer *t = tokenizer_open(folder());

    if (!t) {
        return tain_error_status();
    }
    tokenizer_free(t);
    return 0;
}

#define PRE "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":false}"
#define AB "\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define STEP(step)                                                                                 \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" step                           \
    ",{\"type\":\"ByteLevel\",\"use_regex\":false}]}," AB "}"
#define REGEX(r)                                                                                   \
    STEP("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" r "\"},\"behavior\":\"Isolated\"}")
#define ADDED(a) "{" PRE "," AB ",\"added_tokens\":[" a "]}"

static void check_sentences(void)
{
    static const struct {
        const char *json;
        int status;
        const char *sentence;
    } cases[] = {
        {"{" PRE "," AB "}", 0, ""},
        {"[]", TAIN_EFORMAT, "tokenizer.json"},
        {"{\"model\":", TAIN_EFORMAT, "not valid JSON"},
        {"{" PRE "}", TAIN_EFORMAT, "model"},
        {"{" AB "}", TAIN_EUNSUPPORTED, "no ByteLevel step"},
        {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}," AB "}", TAIN_EUNSUPPORTED,
         "no pre-tokenizer \"Whitespace\""},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}," AB "}",
         TAIN_EUNSUPPORTED, "add_prefix_space"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
         "{\"type\":\"Digits\"}]}," AB "}", TAIN_EFORMAT, "must be the last step"},
        {"{\"normalizer\":{\"type\":\"Lowercase\"}," PRE "," AB "}", TAIN_EUNSUPPORTED,
         "no normalizer \"Lowercase\""},
        {"{\"decoder\":{\"type\":\"WordPiece\"}," PRE "," AB "}", TAIN_EUNSUPPORTED, "decoder"},
        {"{" PRE ",\"model\":{\"type\":\"Unigram\"}}", TAIN_EUNSUPPORTED, "Unigram"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", TAIN_EFORMAT, "vocab"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0.5},\"merges\":[]}}", TAIN_EFORMAT, "vocab"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":1999999},\"merges\":[]}}", TAIN_EFORMAT,
         "is not between 0 and"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", TAIN_EFORMAT,
         "id 0 names both \"a\" and \"b\""},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", TAIN_EFORMAT, "twice"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", TAIN_EFORMAT,
         "merge 0 has \"b\""},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}", TAIN_EFORMAT,
         "merge 0 makes \"ab\""},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", TAIN_EFORMAT,
         "not two tokens"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", TAIN_EFORMAT,
         "not two tokens"},
        {"{" PRE ",\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", TAIN_EFORMAT, "merges"},
        {"{" PRE ",\"model\":{\"byte_fallback\":true,\"vocab\":{},\"merges\":[]}}",
         TAIN_EUNSUPPORTED, "byte_fallback"},
        {"{" PRE ",\"model\":{\"unk_token\":\"a\",\"vocab\":{\"a\":0},\"merges\":[]}}",
         TAIN_EUNSUPPORTED, "unk_token"},
        {"{" PRE ",\"model\":{\"end_of_word_suffix\":\"x\",\"vocab\":{},\"merges\":[]}}",
         TAIN_EUNSUPPORTED, "end_of_word_suffix"},
        {ADDED("{\"id\":3,\"content\":\"<x>\",\"special\":true}"), 0, ""},
        {ADDED("{\"id\":2,\"content\":\"ab\"}"), 0, ""},
        {ADDED("{\"id\":1,\"content\":\"<x>\"}"), TAIN_EFORMAT, "id 1 names both"},
        {ADDED("{\"id\":4,\"content\":\"ab\"}"), TAIN_EFORMAT, "has two ids"},
        {ADDED("{\"id\":4}"), TAIN_EFORMAT, "content"},
        {ADDED("{\"id\":\"4\",\"content\":\"x\"}"), TAIN_EFORMAT, "id"},
        {ADDED("{\"id\":4,\"content\":\"<x>\",\"single_word\":true}"), TAIN_EUNSUPPORTED,
         "single_word"},
        {"{" PRE "," AB ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
         "{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":"
         "{\"x\":{\"ids\":[3]}}}}", TAIN_EFORMAT, "ids"},
        {"{" PRE "," AB ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}}",
         TAIN_EFORMAT, "no place for the text"},
        {"{" PRE "," AB ",\"post_processor\":{\"type\":\"BertProcessing\"}}", TAIN_EUNSUPPORTED,
         "BertProcessing"},
        {STEP("{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Removed\"}"), 0,
         ""},
        {STEP("{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Removed\"}"),
         TAIN_EFORMAT, "empty text"},
        {STEP("{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Eaten\"}"),
         TAIN_EUNSUPPORTED, "Eaten"},
        {STEP("{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}"), TAIN_EFORMAT,
         "String"},
        {REGEX("\\\\s+(?!\\\\S)|[^\\\\s\\\\p{L}]{1,3}|\\\\u00e9"), 0, ""},
        {REGEX("("), TAIN_EFORMAT, "is wrong at byte"},
        {REGEX("\\\\w"), TAIN_EUNSUPPORTED, "escape"},
        {REGEX("[a[b]]"), TAIN_EUNSUPPORTED, "set within a set"},
        {REGEX("[a&&b]"), TAIN_EUNSUPPORTED, "intersection"},
        {REGEX("a{1,2}+"), TAIN_EUNSUPPORTED, "interval"},
        {REGEX("a{,2}"), TAIN_EUNSUPPORTED, "brace"},
        {REGEX("(?R)"), TAIN_EUNSUPPORTED, "group"},
        {REGEX("(*ACCEPT)"), TAIN_EUNSUPPORTED, "group"},
        {REGEX("(?(1)a)"), TAIN_EUNSUPPORTED, "group"},
        {REGEX("\\\\1"), TAIN_EUNSUPPORTED, "escape"},
        {REGEX("\\\\p{L"), TAIN_EUNSUPPORTED, "property"},
        {REGEX("\\\\u12"), TAIN_EUNSUPPORTED, "code point"},
        {REGEX("a\\\\"), TAIN_EUNSUPPORTED, "escape"},
    };

    empty_folder();
    CHECK_FAILS(try_open(), TAIN_EIO, "there is no tokenizer.model");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int status;

        put_file("tokenizer.json", cases[i].json, strlen(cases[i].json));
        status = try_open();
        if (status != cases[i].status || (status && !strstr(tain_error(), cases[i].sentence))) {
            fprintf(stderr, "case %zu: status %d, \"%s\"\n%s\n", i, status, tain_error(),
                    cases[i].json);
            exit(1);
        }
    }
}

/* A pattern that would take for ever is stopped. */
static void check_steps(void)
{
    static const char json[] = REGEX("(?:(?:x+)+)+[yz]");
    struct tokens ids = {0};
    struct tokenizer *t;
    char text[4096];

    empty_folder();
    put_file("tokenizer.json", json, strlen(json));
    t = tokenizer_open(folder());
    CHECK(t);
    memset(text, 'x', sizeof(text));
    CHECK_FAILS(tokenizer_encode(t, text, sizeof(text), false, &ids), TAIN_EUNSUPPORTED,
                "too many steps");
    tokenizer_free(t);
}

/* ---- Damage ---- */

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % below);
}

/* Changes a few bytes, cuts the end off, takes a stretch out or writes one twice. */
static size_t damage(uint8_t *bytes, size_t count)
{
    uint32_t n = (uint32_t)count, at = draw(n), length = 1 + draw(n - at < 64 ? n - at : 64);

    switch (draw(5)) {
    case 0:
        return at;
    case 1:
        memmove(bytes + at, bytes + at + length, count - at - length);
        return count - length;
    case 2:
        memmove(bytes + draw(n - length + 1), bytes + at, length);
        return count;
    default:
        for (uint32_t i = 1 + draw(4); i; i--)
            bytes[draw(n)] = draw(2) ? (uint8_t)draw(256) : (uint8_t)"0[]{}\",:-e\\"[draw(11)];
        return count;
    }
}

static void use(const struct tokenizer *t)
{
    static const char text[] = "Hello <s> world\n\n 123 caf\xc3\xa9 \xe2\x96\x81<im_start>  it's";
    struct tokens ids = {0};
    char *back;
    size_t length;

    if (!tokenizer_encode(t, text, sizeof(text) - 1, true, &ids)) {
        for (size_t i = 0; i < ids.count; i++)
            CHECK(ids.at[i] >= 0 && ids.at[i] < tokenizer_count(t));
        back = tokenizer_decode(t, ids.at, ids.count, false, &length);
        CHECK(back);
        free(back);
    }
    CHECK(tain_error_status() != TAIN_ENOMEM);
    tokens_clear(&ids);
}

static void check_damage(const char *golden, const char *const *names, size_t count, int times)
{
    int opened = 0;

    for (int i = 0; i < times; i++) {
        const char *victim = names[draw((uint32_t)count)];
        struct tokenizer *t;

        empty_folder();
        for (size_t k = 0; k < count; k++) {
            char *path = base_format(GOLDEN "%s/%s", golden, names[k]);
            uint8_t *bytes;
            size_t size;

            CHECK(path && !file_read(path, 64 << 20, &bytes, &size));
            if (names[k] == victim)
                size = damage(bytes, size);
            put_file(names[k], bytes, size);
            free(bytes);
            free(path);
        }
        t = tokenizer_open(folder());
        if (t) {
            opened++;
            use(t);
        } else {
            CHECK(tain_error_status() == TAIN_EFORMAT || tain_error_status() == TAIN_EUNSUPPORTED);
            CHECK(*tain_error());
        }
        tokenizer_free(t);
    }
    CHECK(opened < times);
}

int main(int argc, char **argv)
{
    static const char *const json[] = {"tokenizer.json", "tokenizer_config.json",
                                       "special_tokens_map.json"};
    static const char *const vocab[] = {"vocab.json", "merges.txt", "added_tokens.json",
                                        "tokenizer_config.json"};
    static const char *const model[] = {"tokenizer.model", "added_tokens.json",
                                        "tokenizer_config.json"};
    int times = argc > 1 ? atoi(argv[1]) : 300;

    check_sentences();
    check_steps();
    check_damage("janus_7b", json, COUNT_OF(json), times);
    check_damage("qwen", json, COUNT_OF(json), times);
    check_damage("phi", vocab, COUNT_OF(vocab), times);
    check_damage("llama_sp", model, COUNT_OF(model), times);
    temp_remove(temp);
    return 0;
}
