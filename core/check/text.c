/* text.c - tokenizers and prompts against what the published libraries made of the same files.
 *
 * A tokenizer's folder has cases.json (texts and their ids) and decode_cases.json (ids, their bytes
 * and their text) beside the tokenizer's own files. A file of prompts names a tokenizer and lists
 * prompts as the models' own code makes them.
 */
#include "check/check.h"
#include "io/template.h"
#include "io/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* How often one thing was compared, and the first that was not right. */
struct tally {
    const char *what;
    int64_t count, wrong;
    char *first;
};

static void count(struct tally *t, bool right, const char *text)
{
    t->count++;
    if (right)
        return;
    t->wrong++;
    if (!t->first)
        t->first = base_format("%.60s", text);
}

static void tell(struct check_report *r, const char *name, struct tally *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *line = base_format("%s: %s, %lld cases", name, list[i].what, (long long)list[i].count);

        if (line && list[i].count)
            check_share(r, line, list[i].wrong, list[i].count);
        if (list[i].first)
            text_format(r->text, "    first: %s\n", list[i].first);
        free(line);
        free(list[i].first);
    }
}

static struct json *read_beside(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    struct json *root = path ? json_read(path, 64 << 20) : NULL;

    free(path);
    return root;
}

static bool same_ids(const struct tokens *is, const struct json *should)
{
    const struct json *v = should ? json_first(should) : NULL;
    size_t i = 0;
    int64_t id;

    for (; v; v = json_next(v), i++)
        if (i >= is->count || json_int(v, INT32_MIN, INT32_MAX, &id) || is->at[i] != id)
            return false;
    return should && i == is->count;
}

static int read_ids(const struct json *row, const char *key, struct tokens *list)
{
    const struct json *ids;
    int64_t id;
    int status = json_get_array(row, key, &ids);

    for (const struct json *v = status ? NULL : json_first(ids); v && !status; v = json_next(v))
        if (!(status = json_int(v, 0, 1 << 30, &id)))
            status = tokens_push(list, (int32_t)id);
    return status;
}

/* ---- Tokenizers ---- */

static int encodes(const struct tokenizer *t, const struct json *row, const char *key, bool special, struct tally *tally)
{
    const struct json *should = json_find(row, key), *text = json_find(row, "text");
    struct tokens is = { 0 };
    const char *s = "";
    size_t length = 0;
    int status;

    if (!should || !text)
        return 0;
    if (!(status = json_string(text, &s, &length)) && !(status = tokenizer_encode(t, s, length, special, &is)))
        count(tally, same_ids(&is, should), s);
    tokens_clear(&is);
    return status;
}

static int decodes(const struct tokenizer *t, const struct json *row, const char *ids_key, const char *key, bool skip,
                   struct tally *tally)
{
    const struct json *text = json_find(row, key);
    struct tokens ids = { 0 };
    const char *should = "";
    size_t length = 0, should_length = 0;
    char *is = NULL;
    int status;

    if (!text || !json_find(row, ids_key))
        return 0;
    if (!(status = json_string(text, &should, &should_length)) && !(status = read_ids(row, ids_key, &ids)) &&
        !(is = tokenizer_decode(t, ids.at, ids.count, skip, &length)))
        status = tain_error_status();
    if (!status)
        count(tally, length == should_length && !memcmp(is, should, length), should);
    free(is);
    tokens_clear(&ids);
    return status;
}

static int bytes_are(const struct tokenizer *t, const struct json *row, struct tally *tally)
{
    const struct json *text = json_find(row, "bytes_hex");
    struct tokens ids = { 0 };
    const char *should = "";
    size_t length = 0, digits = 0;
    char *is = NULL;
    bool right;
    int status;

    if (!text)
        return 0;
    if (!(status = json_string(text, &should, &digits)) && !(status = read_ids(row, "ids", &ids)) &&
        !(is = tokenizer_bytes(t, ids.at, ids.count, false, &length)))
        status = tain_error_status();
    right = !status && digits == 2 * length;
    for (size_t i = 0; i < length && right; i++)
        right = "0123456789abcdef"[(uint8_t)is[i] >> 4] == should[2 * i] && "0123456789abcdef"[is[i] & 15] == should[2 * i + 1];
    if (!status)
        count(tally, right, should);
    free(is);
    tokens_clear(&ids);
    return status;
}

double tain_check_tokenizer(const char *folder, const char **lines)
{
    struct check_report r = check_begin();
    struct tally tally[] = {
        { .what = "ids" }, { .what = "ids with what a class puts around" }, { .what = "text" },
        { .what = "text without special tokens" }, { .what = "bytes" },
    };
    struct json *cases = NULL, *decode = NULL;
    struct tokenizer *t = NULL;
    int status = folder ? 0 : fail(TAIN_EINVAL, "check: folder is missing");

    if (!status && (!(t = tokenizer_open(folder)) || !(cases = read_beside(folder, "cases.json")) ||
                    !(decode = read_beside(folder, "decode_cases.json"))))
        status = tain_error_status();
    for (int list = 0; list < 2 && !status; list++)
        for (const struct json *row = json_first(list ? decode : cases); row && !status; row = json_next(row)) {
            /* SentencePiece's own text is what counts: the published class cuts it wrongly at times. */
            bool pieces = json_find(row, "sp_decoded");
            const char *skipped = json_find(row, "decoded_skip") ? "decoded_skip" : "decoded";

            if ((status = encodes(t, row, "ids", false, &tally[0])) ||
                (status = encodes(t, row, "ids_special", true, &tally[1])) ||
                (status = bytes_are(t, row, &tally[4])))
                break;
            if (pieces)
                status = decodes(t, row, json_find(row, "sp_ids") ? "sp_ids" : "ids", "sp_decoded", true, &tally[3]);
            else if (!(status = decodes(t, row, "ids", "decoded", false, &tally[2])))
                status = decodes(t, row, "ids", skipped, true, &tally[3]);
        }
    tell(&r, folder && strrchr(folder, '/') ? strrchr(folder, '/') + 1 : "tokenizer", tally, COUNT_OF(tally));
    json_free(cases);
    json_free(decode);
    tokenizer_free(t);
    return check_end(&r, status, lines);
}

/* ---- Prompts ---- */

enum { TURNS = 16, ROWS = 16, CODES = 4096 };

/* A file of prompts, open. */
struct prompts {
    struct tokenizer *t;
    const char *system;
    struct tally text, ids, unconditional, answers;
    int status;
};

static const char *string(struct prompts *p, const struct json *o, const char *key)
{
    const struct json *v = json_find(o, key);
    const char *s = "";

    if (v && !p->status)
        p->status = json_string(v, &s, NULL);
    return v ? s : NULL;
}

/* Counts a row that was made, and empties it. */
static void row_is(struct prompts *p, struct tally *tally, const struct json *c, struct tokens *is, const struct json *should)
{
    if (!p->status)
        count(tally, same_ids(is, should), string(p, c, "name"));
    tokens_clear(is);
}

static void text_is(struct prompts *p, const struct json *c, char *is)
{
    const char *should = string(p, c, "text");

    if (!p->status && !is)
        p->status = tain_error_status();
    if (!p->status)
        count(&p->text, should && !strcmp(is, should), string(p, c, "name"));
    free(is);
}

static void answers_are(struct prompts *p, const struct json *c)
{
    static const char *const keys[2][2] = { { "yes_strings", "yes_ids" }, { "no_strings", "no_ids" } };

    for (int i = 0; i < 2 && !p->status; i++) {
        const struct json *list = json_find(c, keys[i][0]);
        const char *texts[ROWS];
        struct tokens is = { 0 };
        size_t n = 0;

        for (const struct json *v = list ? json_first(list) : NULL; v && n < ROWS && !p->status; v = json_next(v))
            p->status = json_string(v, &texts[n++], NULL);
        if (!p->status)
            p->status = template_single_tokens(p->t, texts, n, &is);
        row_is(p, &p->answers, c, &is, json_find(c, keys[i][1]));
    }
}

/* The turns of a case: its messages, or those that a question makes, or those its text has between
 * the roles. `held` is the caller's to free. */
static size_t read_turns(struct prompts *p, const struct json *c, struct template_turn *turns, char **held)
{
    const struct json *messages = json_find(c, "messages");
    const char *question = string(p, c, "question"), *text = string(p, c, "text");
    size_t n = 0;

    *held = NULL;
    for (const struct json *m = messages ? json_first(messages) : NULL; m && n < TURNS && !p->status; m = json_next(m))
        p->status = json_string(json_at(m, 1) ? json_at(m, 1) : m, &turns[n++].text, NULL);
    if (messages)
        return n;
    if (question) {
        *held = base_format("<image_placeholder>\n%s", question);
    } else {
        const char *user = text ? strstr(text, "<|User|>: ") : NULL, *end = user ? strstr(user, "\n\n<|Assistant|>:") : NULL;
        if (end)
            *held = base_format("%.*s", (int)(end - user - 10), user + 10);
    }
    if (!*held && !p->status)
        p->status = json_fail(c, "has neither messages nor a question");
    turns[0].text = *held;
    turns[1].text = "";
    return 2;
}

static void janus_case(struct prompts *p, const struct json *c, const char *use)
{
    struct tokens is = { 0 }, other = { 0 };
    struct template_turn turns[TURNS];
    int64_t images = 0;

    if (!p->status)
        p->status = json_opt_int(c, "num_image_tokens", 0, 1 << 20, &images);
    if (!strcmp(use, "text_to_image")) {
        const char *prompt = string(p, c, "prompt");
        if (!p->status)
            p->status = template_janus_image(p->t, prompt ? prompt : "", &is, &other);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
        row_is(p, &p->unconditional, c, &other, json_find(c, "ids_uncond"));
    } else if (!strcmp(use, "left_padding")) {
        const struct json *questions = json_find(c, "questions"), *rows = json_find(c, "ids");
        struct tokens row[ROWS] = { { 0 } };
        struct template_janus ids;
        size_t n = 0, width = 0;
        if (!p->status)
            p->status = template_janus_open(p->t, &ids);
        for (const struct json *q = questions ? json_first(questions) : NULL; q && n < ROWS && !p->status; q = json_next(q)) {
            const char *question;
            if (!(p->status = json_string(q, &question, NULL)))
                p->status = template_janus_question(p->t, p->system, question, (size_t)images, &row[n]);
            width = row[n].count > width ? row[n].count : width;
            n++;
        }
        for (size_t i = 0; i < n; i++) {
            if (!p->status)
                p->status = tokens_pad_left(&row[i], ids.pad, width);
            row_is(p, &p->ids, c, &row[i], rows ? json_at(rows, i) : NULL);
        }
    } else {
        const char *system = !strcmp(use, "sft_text") ? "" : p->system;
        char *held;
        size_t n = read_turns(p, c, turns, &held);
        if (!p->status)
            text_is(p, c, template_janus_text(system, turns, n));
        if (!p->status)
            p->status = template_janus_talk(p->t, system, turns, n, (size_t)images, &is);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
        free(held);
    }
}

static void showo_case(struct prompts *p, const struct json *root, const struct json *c, const char *use)
{
    struct template_showo ids;
    struct tokens is = { 0 }, other = { 0 };
    int64_t codes, mask, width = 0;

    if (!p->status && !(p->status = template_showo_open(p->t, &ids)) &&
        !(p->status = json_get_int(root, "num_vq_tokens", 1, CODES, &codes)) &&
        !(p->status = json_get_int(root, "mask_token_id", 1, 1 << 20, &mask)))
        p->status = json_opt_int(c, "max_seq_length", 1, 1 << 20, &width);
    if (p->status)
        return;
    if (!strcmp(use, "text_to_image")) {
        const char *prompt = string(p, c, "prompt");
        if (!(p->status = template_showo_image(p->t, &ids, prompt ? prompt : "", (size_t)width, (size_t)codes, (int32_t)mask, &is)))
            p->status = template_showo_image(p->t, &ids, "", (size_t)width, (size_t)codes, (int32_t)mask, &other);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
        row_is(p, &p->unconditional, c, &other, json_find(c, "ids_uncond"));
    } else if (!strcmp(use, "understanding")) {
        const struct json *list = json_find(c, "codes");
        const char *question = string(p, c, "question");
        int32_t image[CODES];
        size_t n = 0;
        int64_t code = 0;
        for (const struct json *v = list ? json_first(list) : NULL; v && n < CODES && !p->status; v = json_next(v)) {
            p->status = json_int(v, 0, 1 << 20, &code);
            image[n++] = (int32_t)code;
        }
        if (!p->status)
            p->status = template_showo_question(p->t, &ids, question ? question : "", image, n, &is);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
    } else if (!strcmp(use, "understanding_clip")) {
        const char *question = string(p, c, "question");
        if (!p->status)
            p->status = template_showo_clip(p->t, &ids, template_vicuna_system, question ? question : "", &is, &other);
        row_is(p, &p->ids, c, &is, json_find(c, "ids_before_image"));
        row_is(p, &p->ids, c, &other, json_find(c, "ids_after_image"));
    }
}

static void vilau_case(struct prompts *p, const struct json *c, const char *use)
{
    struct tokens is = { 0 }, other = { 0 };

    if (!strcmp(use, "text_to_image")) {
        const char *prompt = string(p, c, "prompt");
        if (!p->status && !(p->status = template_vilau_image(p->t, template_vicuna_system, prompt ? prompt : "", &is)))
            p->status = template_vilau_image(p->t, template_vicuna_system, "", &other);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
        row_is(p, &p->unconditional, c, &other, json_find(c, "ids_uncond"));
    } else if (!strcmp(use, "understanding")) {
        const char *question = string(p, c, "question");
        if (!p->status)
            p->status = template_vilau_question(p->t, template_vicuna_system, question ? question : "", &is);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
    }
}

static void qwen_case(struct prompts *p, const struct json *c, const char *use)
{
    const struct json *messages = json_find(c, "messages"), *m = messages ? json_first(messages) : NULL;
    struct tokens is = { 0 };
    int64_t images = 0;

    if (!p->status)
        p->status = json_opt_int(c, "num_image_tokens", 1, 1 << 20, &images);
    if (!strcmp(use, "understanding") && m) { /* the question stands behind the image */
        const struct json *content = json_find(m, "content"), *last = content ? json_at(content, 1) : NULL;
        const char *question = last ? string(p, last, "text") : NULL;
        if (!p->status)
            p->status = template_qwen_question(p->t, template_qwen_system, question ? question : "", (size_t)images, &is);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
    } else if (!strcmp(use, "text") && m) {
        const char *system = string(p, m, "content");
        struct template_turn turns[TURNS];
        size_t n = 0;
        while ((m = json_next(m)) && n < TURNS)
            turns[n++].text = string(p, m, "content");
        if (!p->status)
            text_is(p, c, template_qwen_text(system, turns, n));
        if (!p->status)
            p->status = template_qwen_talk(p->t, system, turns, n, 0, &is);
        row_is(p, &p->ids, c, &is, json_find(c, "ids"));
    }
}

double tain_check_prompts(const char *path, const char *tokenizers, const char **lines)
{
    struct check_report r = check_begin();
    struct prompts p = { .text = { .what = "text" }, .ids = { .what = "ids" }, .unconditional = { .what = "unconditional ids" },
                         .answers = { .what = "spellings of yes and no" } };
    struct json *root = NULL;
    const struct json *cases = NULL;
    const char *tokenizer = NULL;
    char *folder = NULL;

    if (!path || !tokenizers)
        p.status = fail(TAIN_EINVAL, "check: path or tokenizers are missing");
    else if (!(root = json_read(path, 64 << 20)))
        p.status = tain_error_status();
    if (!p.status && !(p.status = json_get_array(root, "cases", &cases)) &&
        !(p.status = json_get_string(root, "tokenizer", &tokenizer))) {
        folder = path_join(tokenizers, tokenizer);
        p.t = folder ? tokenizer_open(folder) : NULL;
        p.status = p.t ? 0 : tain_error_status();
        p.system = json_find(root, "system") ? string(&p, root, "system") : "";
    }
    for (const struct json *c = p.status ? NULL : json_first(cases); c && !p.status; c = json_next(c)) {
        const char *use = string(&p, c, "use");

        if (!use)
            continue;
        if (!strncmp(tokenizer, "janus", 5))
            janus_case(&p, c, use);
        else if (!strcmp(tokenizer, "phi"))
            showo_case(&p, root, c, use);
        else if (!strcmp(tokenizer, "llama_sp"))
            vilau_case(&p, c, use);
        else if (!strcmp(tokenizer, "qwen"))
            qwen_case(&p, c, use);
        else
            p.status = fail(TAIN_EFORMAT, "%s: prompts for the tokenizer \"%s\"; known are janus, phi, llama_sp, qwen", path, tokenizer);
        if (!strcmp(use, "p_yes"))
            answers_are(&p, c);
    }
    tell(&r, "prompts", (struct tally[]){ p.text, p.ids, p.unconditional, p.answers }, 4);
    json_free(root);
    tokenizer_free(p.t);
    free(folder);
    return check_end(&r, p.status, lines);
}
