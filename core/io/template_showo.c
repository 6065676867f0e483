/* template_showo.c - Show-o's prompts.
 *
 * [t2i] [end] prompt [end], padded on the left to a fixed width, [soi] codes [eoi]; or, to
 * understand, [mmu] [soi] codes [eoi] [end] "USER: ... ASSISTANT:".
 *
 * Easy to get wrong: the width counts one less than the ids of the text's block; a text that is too
 * long keeps its first ids and still ends in [end]; [end] is not put twice before a prompt that
 * spells it; nothing is stripped, and the question follows a newline.
 */
#include "io/template.h"

#include <stdlib.h>
#include <string.h>

int template_showo_open(struct tokenizer *t, struct template_showo *ids)
{
    int32_t unused;
    const struct {
        const char *name;
        int32_t *id;
    } added[] = {
        {"[PAD]", &ids->pad},
        {"<|soi|>", &ids->begin_image},
        {"<|eoi|>", &ids->end_image},
        {"<|sov|>", &unused},
        {"<|eov|>", &unused},
        {"<|t2i|>", &ids->to_image},
        {"<|mmu|>", &ids->understand},
        {"<|t2v|>", &unused},
        {"<|v2v|>", &unused},
        {"<|lvg|>", &unused},
    };

    ids->end = tokenizer_id(t, "<|endoftext|>");
    if (ids->end < 0)
        return fail(TAIN_EFORMAT, "template: the tokenizer has no \"<|endoftext|>\", so it is not "
                                  "Show-o's");
    for (size_t i = 0; i < COUNT_OF(added); i++) {
        *added[i].id = tokenizer_add(t, added[i].name);
        if (*added[i].id < 0)
            return *added[i].id;
    }
    ids->codes = tokenizer_count(t);
    return 0;
}

int template_showo_image(const struct tokenizer *t, const struct template_showo *ids,
                         const char *prompt, size_t width, size_t codes, int32_t mask,
                         struct tokens *out)
{
    struct tokens block = {0}, text = {0};
    int status = tokenizer_encode(t, prompt, strlen(prompt), false, &text);

    if (!status)
        status = tokens_push(&block, ids->to_image);
    if (!status && (!text.count || text.at[0] != ids->end))
        status = tokens_push(&block, ids->end);
    if (!status && !(status = tokens_append(&block, text.at, text.count)))
        status = tokens_push(&block, ids->end);
    if (!status && block.count > width + 1) {
        block.count = width;
        status = tokens_push(&block, ids->end);
    }
    if (!status && !(status = tokens_pad_left(&block, ids->pad, width + 1)) &&
        !(status = tokens_append(out, block.at, block.count)) &&
        !(status = tokens_push(out, ids->begin_image)) &&
        !(status = tokens_repeat(out, mask, codes)))
        status = tokens_push(out, ids->end_image);
    tokens_clear(&block);
    tokens_clear(&text);
    return status;
}

static int put_question(const struct tokenizer *t, const char *question, struct tokens *out)
{
    char *text = base_format("USER: \n%s ASSISTANT:", question);
    int status = text ? tokenizer_encode(t, text, strlen(text), false, out) : TAIN_ENOMEM;

    free(text);
    return status;
}

int template_showo_question(const struct tokenizer *t, const struct template_showo *ids,
                            const char *question, const int32_t *codes, size_t count,
                            struct tokens *out)
{
    int status;

    if ((status = tokens_push(out, ids->understand)) ||
        (status = tokens_push(out, ids->begin_image)))
        return status;
    for (size_t i = 0; i < count; i++) {
        REQUIRE(codes[i] >= 0 && codes[i] < INT32_MAX - ids->codes,
                "template: %d at place %zu is no code of an image", codes[i], i);
        if ((status = tokens_push(out, ids->codes + codes[i])))
            return status;
    }
    if ((status = tokens_push(out, ids->end_image)) || (status = tokens_push(out, ids->end)))
        return status;
    return put_question(t, question, out);
}

int template_showo_clip(const struct tokenizer *t, const struct template_showo *ids,
                        const char *system, const char *question, struct tokens *before,
                        struct tokens *behind)
{
    int status;

    if ((status = tokens_push(before, ids->understand)) ||
        (status = tokenizer_encode(t, system, strlen(system), false, before)) ||
        (status = tokens_push(before, ids->begin_image)) ||
        (status = tokens_push(behind, ids->end_image)))
        return status;
    return put_question(t, question, behind);
}
