/* fault.c - makes things go wrong on purpose, to see that nothing is lost.
 *
 *     TAIN_FAULT=disk:40 tain recipes/sft.lua …      the disk is full from the 40th write on
 *
 * A fault goes on once it has begun, as a full disk does. Several are written with commas between them.
 */
#include "host/host.h"

#include "gpu/gpu.h"
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISK, SYNC, OPEN, MEMORY, DEVICE, KINDS };

static const char *const names[KINDS] = { "disk", "sync", "open", "memory", "device" };
static long first[KINDS], seen[KINDS]; /* first: which call goes wrong; 0 none */
static struct io_calls real;

static bool now(int kind)
{
    return first[kind] && ++seen[kind] >= first[kind];
}

static ssize_t full_pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    if (!now(DISK))
        return real.pwrite(fd, bytes, count, at);
    errno = ENOSPC;
    return -1;
}

static int failing_fsync(int fd)
{
    if (!now(SYNC))
        return real.fsync(fd);
    errno = EIO;
    return -1;
}

static int failing_fdatasync(int fd)
{
    if (!now(SYNC))
        return real.fdatasync(fd);
    errno = EIO;
    return -1;
}

static int read_only_open(const char *path, int flags, mode_t mode)
{
    if ((flags & O_ACCMODE) == O_RDONLY || !now(OPEN))
        return real.open(path, flags, mode);
    errno = EROFS;
    return -1;
}

static bool no_memory(void)
{
    return now(MEMORY);
}

static bool lost(void)
{
    return now(DEVICE);
}

bool host_faults_open(void)
{
    const char *at = getenv("TAIN_FAULT");

    if (!at || !*at)
        return true;
    while (*at) {
        int kind = 0;
        char *end;

        while (kind < KINDS && (strncmp(at, names[kind], strlen(names[kind])) || at[strlen(names[kind])] != ':'))
            kind++;
        if (kind < KINDS)
            first[kind] = strtol(at + strlen(names[kind]) + 1, &end, 10);
        if (kind == KINDS || first[kind] < 1 || (*end && *end != ',')) {
            fprintf(stderr, "tain: TAIN_FAULT is disk:N, sync:N, open:N, memory:N or device:N, with commas between; it is %s\n",
                    getenv("TAIN_FAULT"));
            return false;
        }
        at = *end ? end + 1 : end;
    }
    real = io_calls;
    io_calls.pwrite = full_pwrite;
    io_calls.fsync = failing_fsync;
    io_calls.fdatasync = failing_fdatasync;
    io_calls.open = read_only_open;
    gpu_faults = (struct gpu_faults){ no_memory, lost };
    return true;
}
