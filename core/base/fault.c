/* fault.c - makes things go wrong on purpose, to see that nothing is lost.
 *
 *     TAIN_FAULT=disk:40 tain recipes/sft.lua …      the disk is full from the 40th write on
 *
 * clock:N sets the clock back by an hour. A fault goes on once it has begun, as a full disk does. Several are
 * written with commas between them.
 * kernel:matmul is of another kind: the self-test of that kernel's fast form fails (core/check/trial.c).
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FAULT_KINDS] = { "disk", "sync", "open", "memory", "device", "clock" };
static long first[FAULT_KINDS], seen[FAULT_KINDS]; /* first: which call goes wrong; 0 none */
static const char kernel[] = "kernel:";
static char kernels[64]; /* ",matmul,conv," */

int base_faults_open(void)
{
    const char *text = getenv("TAIN_FAULT"), *at = text;

    while (at && *at) {
        int kind = 0;
        char *end = NULL;
        size_t word = strncmp(at, kernel, strlen(kernel)) ? 0 : strcspn(at + strlen(kernel), ",");

        if (word && strlen(kernels) + word + 3 < sizeof(kernels)) {
            snprintf(kernels + strlen(kernels), sizeof(kernels) - strlen(kernels), ",%.*s,", (int)word, at + strlen(kernel));
            at += strlen(kernel) + word;
            at += *at == ',';
            continue;
        }
        while (kind < FAULT_KINDS && (strncmp(at, names[kind], strlen(names[kind])) || at[strlen(names[kind])] != ':'))
            kind++;
        if (kind < FAULT_KINDS)
            first[kind] = strtol(at + strlen(names[kind]) + 1, &end, 10);
        if (kind == FAULT_KINDS || first[kind] < 1 || (*end && *end != ','))
            return fail(TAIN_EINVAL, "TAIN_FAULT is disk:N, sync:N, open:N, memory:N, device:N, clock:N or kernel:NAME, with "
                        "commas between; it is %s", text);
        at = *end ? end + 1 : end;
    }
    return 0;
}

bool base_fault(enum fault kind)
{
    return first[kind] && ++seen[kind] >= first[kind];
}

bool base_fault_kernel(const char *name)
{
    char word[64];

    snprintf(word, sizeof(word), ",%s,", name ? name : "");
    return name ? strstr(kernels, word) != NULL : *kernels;
}
