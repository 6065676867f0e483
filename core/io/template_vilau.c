/* template_vilau.c - VILA-U's prompts, which are Vicuna's.
 *
 * {system} USER: {prompt} ASSISTANT: <im_start>
 * {system} USER: <image>\n{question} ASSISTANT:
 *
 * Easy to get wrong: without a prompt there is no space between "USER:" and "ASSISTANT:"; what
 * stands before an image and what stands behind it are tokenized apart, so that both begin as if
 * with a space; the prompt is stripped, the question is not.
 */
#include "io/template.h"
#include "io/utf8.h"

#include <stdlib.h>
#include <string.h>

const char template_vicuna_system[] =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions.";

/* Appends a text's ids and frees it. */
static int put(const struct tokenizer *t, char *text, bool special, struct tokens *out)
{
    int status = text ? tokenizer_encode(t, text, strlen(text), special, out) : TAIN_ENOMEM;

    free(text);
    return status;
}

int template_vilau_image(const struct tokenizer *t, const char *system, const char *prompt,
                         struct tokens *out)
{
    size_t length = strlen(prompt);

    if (tokenizer_id(t, "<im_start>") < 0)
        return fail(TAIN_EFORMAT, "template: the tokenizer has no \"<im_start>\", so it is not "
                                  "VILA-U's");
    utf8_strip(&prompt, &length);
    REQUIRE(length < INT32_MAX, "template: a prompt of %zu bytes is too long", length);
    if (!length)
        return put(t, base_format("%s USER:ASSISTANT: <im_start>", system), true, out);
    return put(t, base_format("%s USER: %.*s ASSISTANT: <im_start>", system, (int)length, prompt),
               true, out);
}

int template_vilau_question(const struct tokenizer *t, const char *system, const char *question,
                            struct tokens *out)
{
    int status;

    if ((status = put(t, base_format("%s USER: ", system), true, out)) ||
        (status = tokens_push(out, TEMPLATE_VILAU_IMAGE)))
        return status;
    return put(t, base_format("\n%s ASSISTANT:", question), false, out);
}
