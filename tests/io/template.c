/* Prompts against those of the published code. */
#include "check.h"

#include "io/io.h"
#include "io/template.h"

static int failures;

static void same_row(const char *name, const struct tokens *is, const struct json *should)
{
    size_t i = 0;
    int64_t id;

    CHECK(should && json_type(should) == JSON_ARRAY);
    for (const struct json *v = json_first(should); v; v = json_next(v), i++) {
        CHECK(!json_int(v, -1000, 1 << 30, &id));
        if (i >= is->count || is->at[i] != id)
            break;
    }
    if (i == json_count(should) && i == is->count)
        return;
    fprintf(stderr, "%s: differs at %zu of %zu (%zu):", name, i, json_count(should), is->count);
    for (i = 0; i < is->count; i++)
        fprintf(stderr, " %d", is->at[i]);
    fprintf(stderr, "\n");
    failures++;
}

static const char *string(const struct json *o, const char *key)
{
    const struct json *v = json_find(o, key);
    const char *s;

    if (!v)
        return NULL;
    CHECK(!json_string(v, &s, NULL));
    return s;
}

/* The turns of a case: its messages, or those that a question makes. `held` is for the caller to
 * free. */
static size_t read_turns(const struct json *c, struct template_turn *turns, char **held)
{
    const struct json *messages = json_find(c, "messages");
    size_t count = 0;

    *held = NULL;
    for (const struct json *m = messages ? json_first(messages) : NULL; m; m = json_next(m)) {
        CHECK(count < 8);
        CHECK(!json_string(json_at(m, 1), &turns[count++].text, NULL));
    }
    if (!messages && string(c, "question")) {
        *held = base_format("<image_placeholder>\n%s", string(c, "question"));
        turns[0].text = *held;
        turns[1].text = "";
        count = 2;
    }
    return count;
}

/* A case with neither gives the text; the user's part stands between the roles. */
static size_t cut_turns(const char *text, struct template_turn *turns, char **held)
{
    const char *user = strstr(text, "<|User|>: "), *end = strstr(text, "\n\n<|Assistant|>:");

    CHECK(user && end);
    user += strlen("<|User|>: ");
    *held = base_format("%.*s", (int)(end - user), user);
    turns[0].text = *held;
    turns[1].text = "";
    return 2;
}

static void check_answers(const struct tokenizer *t, const char *name, const struct json *c,
                          const char *strings, const char *ids)
{
    const struct json *list = json_find(c, strings);
    const char *texts[8];
    struct tokens is = {0};
    size_t count = 0;

    for (const struct json *v = json_first(list); v; v = json_next(v)) {
        CHECK(count < COUNT_OF(texts));
        CHECK(!json_string(v, &texts[count++], NULL));
    }
    CHECK(!template_single_tokens(t, texts, count, &is));
    same_row(name, &is, json_find(c, ids));
    tokens_clear(&is);
}

static void check_batch(const struct tokenizer *t, const char *system, const char *name,
                        const struct json *c, size_t images)
{
    const struct json *questions = json_find(c, "questions"), *rows = json_find(c, "ids");
    struct template_janus ids;
    struct tokens row[8] = {0};
    size_t n = 0, width = 0;
    const char *question;

    CHECK(!template_janus_open(t, &ids));
    for (const struct json *q = json_first(questions); q; q = json_next(q), n++) {
        CHECK(n < COUNT_OF(row) && !json_string(q, &question, NULL));
        CHECK(!template_janus_question(t, system, question, images, &row[n]));
        if (row[n].count > width)
            width = row[n].count;
    }
    for (size_t i = 0; i < n; i++) {
        CHECK(!tokens_pad_left(&row[i], ids.pad, width));
        same_row(name, &row[i], json_at(rows, i));
        tokens_clear(&row[i]);
    }
}

static void check_janus(const char *folder, const char *file)
{
    struct tokenizer *t = tokenizer_open(folder);
    struct json *root = json_read(file, 16 << 20);
    const struct json *cases;
    const char *system;
    int kinds = 0;

    CHECK(t && root);
    CHECK(!json_get_array(root, "cases", &cases));
    system = string(root, "system");
    CHECK_STRING(system, template_janus_system);
    for (const struct json *c = json_first(cases); c; c = json_next(c)) {
        const char *use = string(c, "use"), *name = string(c, "name"), *text = string(c, "text");
        struct tokens is = {0}, unconditional = {0};
        struct template_turn turns[8];
        int64_t images = 0;
        char *held = NULL, *is_text;
        size_t count;

        CHECK(!json_opt_int(c, "num_image_tokens", 0, 10000, &images));
        if (!strcmp(use, "text_to_image")) {
            CHECK(!template_janus_image(t, string(c, "prompt"), &is, &unconditional));
            same_row(name, &is, json_find(c, "ids"));
            same_row(name, &unconditional, json_find(c, "ids_uncond"));
            kinds |= 1;
        } else if (!strcmp(use, "left_padding")) {
            check_batch(t, system, name, c, (size_t)images);
            kinds |= 2;
        } else {
            bool plain = !strcmp(use, "sft_text");

            count = read_turns(c, turns, &held);
            if (!count)
                count = cut_turns(text, turns, &held);
            is_text = template_janus_text(plain ? "" : system, turns, count);
            CHECK_STRING(is_text, text);
            free(is_text);
            CHECK(!template_janus_talk(t, plain ? "" : system, turns, count, (size_t)images, &is));
            same_row(name, &is, json_find(c, "ids"));
            kinds |= plain ? 4 : 8;
        }
        if (!strcmp(use, "p_yes")) {
            check_answers(t, name, c, "yes_strings", "yes_ids");
            check_answers(t, name, c, "no_strings", "no_ids");
            kinds |= 16;
        }
        free(held);
        tokens_clear(&is);
        tokens_clear(&unconditional);
    }
    CHECK_INT(kinds, 31);
    json_free(root);
    tokenizer_free(t);
}

static struct json *open_cases(const char *file, const struct json **cases)
{
    struct json *root = json_read(file, 16 << 20);

    CHECK(root && !json_get_array(root, "cases", cases));
    return root;
}

static void check_both_answers(const struct tokenizer *t, const struct json *c)
{
    check_answers(t, string(c, "name"), c, "yes_strings", "yes_ids");
    check_answers(t, string(c, "name"), c, "no_strings", "no_ids");
}

static void check_showo(void)
{
    struct tokenizer *t = tokenizer_open("tests/golden/tokenizers/phi");
    const struct json *cases;
    struct json *root = open_cases("tests/golden/chat/showo.json", &cases);
    struct template_showo ids;
    int64_t codes, base, mask, width = 0;
    int kinds = 0;

    CHECK(t && !template_showo_open(t, &ids));
    CHECK(!json_get_int(root, "num_vq_tokens", 1, 4096, &codes));
    CHECK(!json_get_int(root, "code_base", 1, 1 << 20, &base));
    CHECK(!json_get_int(root, "mask_token_id", 1, 1 << 20, &mask));
    CHECK_INT(ids.codes, base);
    CHECK_STRING(string(root, "system"), template_vicuna_system);
    for (const struct json *c = json_first(cases); c; c = json_next(c)) {
        const char *use = string(c, "use"), *name = string(c, "name");
        struct tokens is = {0}, other = {0};

        CHECK(!json_opt_int(c, "max_seq_length", 1, 1 << 20, &width));
        if (!strcmp(use, "text_to_image")) {
            CHECK(!template_showo_image(t, &ids, string(c, "prompt"), (size_t)width, (size_t)codes,
                                        (int32_t)mask, &is));
            CHECK(!template_showo_image(t, &ids, "", (size_t)width, (size_t)codes, (int32_t)mask,
                                        &other));
            same_row(name, &is, json_find(c, "ids"));
            same_row(name, &other, json_find(c, "ids_uncond"));
            kinds |= 1;
        } else if (!strcmp(use, "understanding")) {
            int32_t image[64];
            size_t n = 0;
            int64_t code;

            for (const struct json *v = json_first(json_find(c, "codes")); v; v = json_next(v)) {
                CHECK(n < COUNT_OF(image) && !json_int(v, 0, 1 << 20, &code));
                image[n++] = (int32_t)code;
            }
            CHECK(!template_showo_question(t, &ids, string(c, "question"), image, n, &is));
            same_row(name, &is, json_find(c, "ids"));
            kinds |= 2;
        } else if (!strcmp(use, "understanding_clip")) {
            CHECK(!template_showo_clip(t, &ids, template_vicuna_system, string(c, "question"), &is,
                                       &other));
            same_row(name, &is, json_find(c, "ids_before_image"));
            same_row(name, &other, json_find(c, "ids_after_image"));
            kinds |= 4;
        } else {
            check_both_answers(t, c);
            kinds |= 8;
        }
        tokens_clear(&is);
        tokens_clear(&other);
    }
    CHECK_INT(kinds, 15);
    json_free(root);
    tokenizer_free(t);
}

static void check_vilau(void)
{
    struct tokenizer *t = tokenizer_open("tests/golden/tokenizers/llama_sp");
    const struct json *cases;
    struct json *root = open_cases("tests/golden/chat/vilau.json", &cases);
    int kinds = 0;

    CHECK(t);
    CHECK_STRING(string(root, "system"), template_vicuna_system);
    for (const struct json *c = json_first(cases); c; c = json_next(c)) {
        const char *use = string(c, "use"), *name = string(c, "name");
        struct tokens is = {0}, other = {0};

        if (!strcmp(use, "text_to_image")) {
            size_t width;

            CHECK(!template_vilau_image(t, template_vicuna_system, string(c, "prompt"), &is));
            CHECK(!template_vilau_image(t, template_vicuna_system, "", &other));
            same_row(name, &is, json_find(c, "ids"));
            same_row(name, &other, json_find(c, "ids_uncond"));
            width = is.count > other.count ? is.count : other.count;
            CHECK(!tokens_pad_left(&is, 0, width) && !tokens_pad_left(&other, 0, width));
            same_row(name, &is, json_at(json_find(c, "batch_ids"), 0));
            same_row(name, &other, json_at(json_find(c, "batch_ids"), 1));
            kinds |= 1;
        } else if (!strcmp(use, "understanding")) {
            CHECK(!template_vilau_question(t, template_vicuna_system, string(c, "question"), &is));
            same_row(name, &is, json_find(c, "ids"));
            kinds |= 2;
        } else {
            check_both_answers(t, c);
            kinds |= 4;
        }
        tokens_clear(&is);
        tokens_clear(&other);
    }
    CHECK_INT(kinds, 7);
    json_free(root);
    tokenizer_free(t);
}

/* The question of a case stands behind the image in the first message. */
static const char *question_of(const struct json *c)
{
    const struct json *content = json_find(json_at(json_find(c, "messages"), 0), "content");

    return string(json_at(content, 1), "text");
}

static void check_qwen(void)
{
    struct tokenizer *t = tokenizer_open("tests/golden/tokenizers/qwen");
    const struct json *cases;
    struct json *root = open_cases("tests/golden/chat/qwen.json", &cases);
    int kinds = 0;

    CHECK(t);
    for (const struct json *c = json_first(cases); c; c = json_next(c)) {
        const char *use = string(c, "use"), *name = string(c, "name");
        struct tokens is = {0};
        int64_t images = 0;

        CHECK(!json_opt_int(c, "num_image_tokens", 1, 100000, &images));
        if (!strcmp(use, "understanding")) {
            CHECK(!template_qwen_question(t, template_qwen_system, question_of(c), (size_t)images,
                                          &is));
            same_row(name, &is, json_find(c, "ids"));
            kinds |= 1;
        } else if (!strcmp(use, "text")) {
            const struct json *m = json_first(json_find(c, "messages"));
            const char *system = string(m, "content");
            struct template_turn turns[8];
            size_t count = 0;
            char *text;

            while ((m = json_next(m))) {
                CHECK(count < COUNT_OF(turns));
                turns[count++].text = string(m, "content");
            }
            text = template_qwen_text(system, turns, count);
            CHECK_STRING(text, string(c, "text"));
            free(text);
            CHECK(!template_qwen_talk(t, system, turns, count, 0, &is));
            same_row(name, &is, json_find(c, "ids"));
            kinds |= 2;
        } else {
            check_both_answers(t, c);
            kinds |= 4;
        }
        tokens_clear(&is);
    }
    CHECK_INT(kinds, 7);
    json_free(root);
    tokenizer_free(t);
}

int main(void)
{
    struct tokenizer *phi = tokenizer_open("tests/golden/tokenizers/phi");
    struct tokens ids = {0};

    check_janus("tests/golden/tokenizers/janus", "tests/golden/chat/janus.json");
    check_janus("tests/golden/tokenizers/janus_7b", "tests/golden/chat/janus_7b.json");
    check_showo();
    check_vilau();
    check_qwen();
    CHECK(phi);
    CHECK_FAILS(template_janus_image(phi, "x", &ids, NULL), TAIN_EFORMAT, "begin");
    tokenizer_free(phi);
    return failures != 0;
}
