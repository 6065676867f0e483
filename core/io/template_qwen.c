/* template_qwen.c - prompts of Qwen2.5-VL, which serves as a judge only.
 *
 * <|im_start|>system\n{system}<|im_end|>\n
 * <|im_start|>user\n{text}<|im_end|>\n
 * <|im_start|>assistant\n
 *
 * Easy to get wrong: the answer follows a newline, so "Yes" has no space before it; nothing is
 * stripped; there is no BOS.
 */
#include "io/io.h"
#include "io/template.h"

#include <stdlib.h>
#include <string.h>

#define IMAGE "<|vision_start|><|image_pad|><|vision_end|>"

const char template_qwen_system[] = "You are a helpful assistant.";

char *template_qwen_text(const char *system, const struct template_turn *turns, size_t count)
{
    struct text out = {0};

    text_format(&out, "<|im_start|>system\n%s<|im_end|>\n", system);
    for (size_t i = 0; i < count; i++)
        text_format(&out, "<|im_start|>%s\n%s<|im_end|>\n", i % 2 ? "assistant" : "user",
                    turns[i].text);
    text_format(&out, "<|im_start|>assistant\n");
    if (!out.failed)
        return out.at;
    free(out.at);
    return NULL;
}

int template_qwen_talk(const struct tokenizer *t, const char *system,
                       const struct template_turn *turns, size_t count, size_t image_tokens,
                       struct tokens *out)
{
    int32_t image = tokenizer_id(t, "<|image_pad|>");
    struct tokens plain = {0};
    char *text;
    int status;

    if (image < 0 || tokenizer_id(t, "<|im_start|>") < 0)
        return fail(TAIN_EFORMAT, "template: the tokenizer has no \"<|im_start|>\" and "
                                  "\"<|image_pad|>\", so it is not Qwen's");
    text = template_qwen_text(system, turns, count);
    if (!text)
        return TAIN_ENOMEM;
    status = tokenizer_encode(t, text, strlen(text), true, &plain);
    free(text);
    for (size_t i = 0; i < plain.count && !status; i++)
        status = tokens_repeat(out, plain.at[i], plain.at[i] == image ? image_tokens : 1);
    tokens_clear(&plain);
    return status;
}

int template_qwen_question(const struct tokenizer *t, const char *system, const char *question,
                           size_t image_tokens, struct tokens *out)
{
    char *text = base_format(IMAGE "%s", question);
    const struct template_turn turn = {text};
    int status = text ? template_qwen_talk(t, system, &turn, 1, image_tokens, out) : TAIN_ENOMEM;

    free(text);
    return status;
}
