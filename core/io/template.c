/* template.c - prompts as the models were trained on them, as token ids.
 *
 * Janus ("deepseek" in its code): the system's text and a blank line, then for each turn the role,
 * ": ", the text and a separator, which is a blank line after the user and EOS after the assistant.
 *
 * Easy to get wrong: each text is stripped, not only the whole; an empty text takes the space
 * before it and its separator with it, so that an empty prompt leaves no blank line; prompts for
 * images have no system text; a text that spells a special token becomes that token, as in the
 * original code.
 */
#include "io/template.h"

#include "io/io.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

#define JANUS_EOS   "<｜end▁of▁sentence｜>"
#define JANUS_IMAGE "<image_placeholder>"

const char template_janus_system[] =
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language.";

int template_janus_open(const struct tokenizer *t, struct template_janus *ids)
{
    const struct {
        const char *name;
        int32_t *id;
    } wanted[] = {
        {"<｜begin▁of▁sentence｜>", &ids->bos},
        {JANUS_EOS, &ids->eos},
        {"<｜▁pad▁｜>", &ids->pad},
        {"<begin_of_image>", &ids->begin_image},
        {"<end_of_image>", &ids->end_image},
        {JANUS_IMAGE, &ids->image},
    };

    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        *wanted[i].id = tokenizer_id(t, wanted[i].name);
        if (*wanted[i].id < 0)
            return fail(TAIN_EFORMAT, "template: the tokenizer has no \"%s\", so it is not Janus'",
                        wanted[i].name);
    }
    return 0;
}

static void put(struct text *out, const char *text)
{
    text_put(out, text, strlen(text));
}

static void put_turns(struct text *out, const struct template_turn *turns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = turns[i].text;
        size_t length = strlen(text);

        put(out, i % 2 ? "<|Assistant|>:" : "<|User|>:");
        utf8_strip(&text, &length);
        if (!length)
            continue;
        put(out, " ");
        text_put(out, text, length);
        put(out, i % 2 ? JANUS_EOS : "\n\n");
    }
}

/* Takes white space from both ends of what was gathered. */
static char *finish(struct text *out)
{
    const char *text = out->at;
    size_t length = out->count;

    if (out->failed) {
        free(out->at);
        return NULL;
    }
    utf8_strip(&text, &length);
    memmove(out->at, text, length);
    out->at[length] = 0;
    return out->at;
}

char *template_janus_text(const char *system, const struct template_turn *turns, size_t count)
{
    struct text out = {0};

    put(&out, system);
    if (*system)
        put(&out, "\n\n");
    put_turns(&out, turns, count);
    return finish(&out);
}

int template_janus_image(const struct tokenizer *t, const char *prompt,
                         struct tokens *conditional, struct tokens *unconditional)
{
    const struct template_turn turns[] = {{prompt}, {""}};
    size_t before = conditional->count, count;
    struct template_janus ids;
    char *text;
    int status = template_janus_open(t, &ids);

    if (status)
        return status;
    text = template_janus_text("", turns, COUNT_OF(turns));
    if (!text)
        return TAIN_ENOMEM;
    status = tokenizer_encode(t, text, strlen(text), true, conditional);
    free(text);
    if (!status)
        status = tokens_push(conditional, ids.begin_image);
    count = conditional->count - before;
    if (!status && unconditional && !(status = tokens_push(unconditional, ids.bos))) {
        status = tokens_repeat(unconditional, ids.pad, count - 2);
        if (!status)
            status = tokens_push(unconditional, ids.begin_image);
    }
    return status;
}

int template_janus_talk(const struct tokenizer *t, const char *system,
                        const struct template_turn *turns, size_t count, size_t image_tokens,
                        struct tokens *out)
{
    struct template_janus ids;
    struct tokens plain = {0};
    char *text;
    int status = template_janus_open(t, &ids);

    if (status)
        return status;
    text = template_janus_text(system, turns, count);
    if (!text)
        return TAIN_ENOMEM;
    status = tokenizer_encode(t, text, strlen(text), true, &plain);
    free(text);
    for (size_t i = 0; i < plain.count && !status; i++) {
        if (plain.at[i] != ids.image)
            status = tokens_push(out, plain.at[i]);
        else if (!(status = tokens_push(out, ids.begin_image)) &&
                 !(status = tokens_repeat(out, ids.image, image_tokens)))
            status = tokens_push(out, ids.end_image);
    }
    tokens_clear(&plain);
    return status;
}

int template_janus_question(const struct tokenizer *t, const char *system, const char *question,
                            size_t image_tokens, struct tokens *out)
{
    char *text = base_format(JANUS_IMAGE "\n%s", question);
    const struct template_turn turns[] = {{text}, {""}};
    int status;

    if (!text)
        return TAIN_ENOMEM;
    status = template_janus_talk(t, system, turns, COUNT_OF(turns), image_tokens, out);
    free(text);
    return status;
}

int template_single_tokens(const struct tokenizer *t, const char *const *texts, size_t count,
                           struct tokens *out)
{
    struct tokens ids = {0};
    size_t first = out->count;
    int status = 0;

    for (size_t i = 0; i < count && !status; i++) {
        size_t k = first;

        ids.count = 0;
        status = tokenizer_encode(t, texts[i], strlen(texts[i]), false, &ids);
        if (status || ids.count != 1)
            continue;
        while (k < out->count && out->at[k] != ids.at[0])
            k++;
        if (k == out->count)
            status = tokens_push(out, ids.at[0]);
    }
    tokens_clear(&ids);
    return status;
}
