/* fault.c - makes things go wrong on purpose, to see that nothing is lost.
 *
 *     TAIN_FAULT=disk:40 tain recipes/sft.lua …      the disk is full from the 40th write on
 *
 * A fault goes on once it has begun, as a full disk does. Several are written with commas between them.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[FAULT_KINDS] = { "disk", "sync", "open", "memory", "device" };
static long first[FAULT_KINDS], seen[FAULT_KINDS]; /* first: which call goes wrong; 0 none */

int base_faults_open(void)
{
    const char *text = getenv("TAIN_FAULT"), *at = text;

    while (at && *at) {
        int kind = 0;
        char *end = NULL;

        while (kind < FAULT_KINDS && (strncmp(at, names[kind], strlen(names[kind])) || at[strlen(names[kind])] != ':'))
            kind++;
        if (kind < FAULT_KINDS)
            first[kind] = strtol(at + strlen(names[kind]) + 1, &end, 10);
        if (kind == FAULT_KINDS || first[kind] < 1 || (*end && *end != ','))
            return fail(TAIN_EINVAL, "TAIN_FAULT is disk:N, sync:N, open:N, memory:N or device:N, with commas between; it is %s",
                        text);
        at = *end ? end + 1 : end;
    }
    return 0;
}

bool base_fault(enum fault kind)
{
    return first[kind] && ++seen[kind] >= first[kind];
}
