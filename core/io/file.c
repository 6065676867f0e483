/* file.c - whole files and folders, written so that a crash leaves the old or the new, never half.
 *
 * The order is the one that survives a power cut: write to a file beside the target, fsync it,
 * rename it over the target, fsync the folder. Missing the first sync gives an empty file under the
 * new name, missing the second may bring the old one back after it was said to be replaced.
 */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

struct file_out {
    char *path, *part;
    int fd;
    int64_t at;
    bool synced, failed;
};

/* What a call gives that fails as a test asks for. */
static int refused(int error)
{
    errno = error;
    return -1;
}

/* open(2) is variadic, which a function pointer of three arguments may not be on every machine. */
static int system_open(const char *path, int flags, mode_t mode)
{
    if ((flags & O_ACCMODE) != O_RDONLY && base_fault(FAULT_OPEN))
        return refused(EROFS);
    return open(path, flags, mode);
}

static ssize_t system_pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return base_fault(FAULT_DISK) ? refused(ENOSPC) : pwrite(fd, bytes, count, at);
}

static int system_fsync(int fd)
{
    return base_fault(FAULT_SYNC) ? refused(EIO) : fsync(fd);
}

static int system_fdatasync(int fd)
{
    return base_fault(FAULT_SYNC) ? refused(EIO) : fdatasync(fd);
}

struct io_calls io_calls = {
    .open      = system_open,
    .close     = close,
    .fstat     = fstat,
    .stat      = stat,
    .pread     = pread,
    .pwrite    = system_pwrite,
    .fsync     = system_fsync,
    .fdatasync = system_fdatasync,
    .ftruncate = ftruncate,
    .flock     = flock,
    .rename    = rename,
    .unlink    = unlink,
    .rmdir     = rmdir,
    .mkdir     = mkdir,
    .statvfs   = statvfs,
    .opendir   = opendir,
    .readdir   = readdir,
    .closedir  = closedir,
};

/* ---- Paths ---- */

char *path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);

    return base_format(n && folder[n - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

char *path_folder(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n ? base_format("%.*s", (int)n, path) : base_strdup(".");
}

/* ---- Reading ---- */

static int open_again(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = io_calls.open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int file_open(const char *path, int64_t *size)
{
    struct stat s;
    int fd = open_again(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe without a writer would block */

    if (fd < 0)
        return fail(TAIN_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    if (io_calls.fstat(fd, &s)) {
        fail(TAIN_EIO, "%s: cannot be examined: %s", path, strerror(errno));
        io_calls.close(fd);
        return TAIN_EIO;
    }
    if (!S_ISREG(s.st_mode)) {
        io_calls.close(fd);
        return fail(TAIN_EIO, "%s: is %s, not a file", path,
                    S_ISDIR(s.st_mode) ? "a folder" : "something special");
    }
    *size = s.st_size;
    return fd;
}

int file_read_at(int fd, const char *path, int64_t at, void *bytes, size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t n = io_calls.pread(fd, (char *)bytes + done, count - done, (off_t)at + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(TAIN_EIO, "%s: cannot be read at byte %lld: %s", path,
                        (long long)at + (long long)done, strerror(errno));
        if (n == 0)
            return fail(TAIN_EFORMAT, "%s: ends at byte %lld, where more was expected", path,
                        (long long)at + (long long)done);
        done += (size_t)n;
    }
    return TAIN_OK;
}

int file_read(const char *path, size_t limit, uint8_t **bytes, size_t *count)
{
    int64_t size;
    int fd = file_open(path, &size), status;
    uint8_t *p;

    if (fd < 0)
        return fd;
    if ((uint64_t)size > limit) {
        io_calls.close(fd);
        return fail(TAIN_EFORMAT, "%s: has %lld bytes, more than the limit of %zu", path,
                    (long long)size, limit);
    }
    p = base_alloc((size_t)size + 1, 1);
    status = p ? file_read_at(fd, path, 0, p, (size_t)size) : TAIN_ENOMEM;
    io_calls.close(fd);
    if (status) {
        free(p);
        return status;
    }
    *bytes = p;
    *count = (size_t)size;
    return TAIN_OK;
}

bool file_exists(const char *path)
{
    struct stat s;

    return io_calls.stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool folder_exists(const char *path)
{
    struct stat s;

    return io_calls.stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* ---- Writing ---- */

static int sync_again(int (*call)(int), int fd)
{
    int r;

    do
        r = call(fd);
    while (r && errno == EINTR); /* interrupted, not failed: nothing was forgotten */
    return r;
}

int folder_sync(const char *path)
{
    int fd = open_again(path, O_RDONLY | O_DIRECTORY, 0), e;

    if (fd < 0)
        return fail(TAIN_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    e = sync_again(io_calls.fsync, fd) ? errno : 0;
    io_calls.close(fd);
    if (e && e != EINVAL) /* EINVAL: this file system has no such thing as syncing a folder */
        return fail(TAIN_EIO, "%s: the folder cannot be flushed to disk: %s", path, strerror(e));
    return TAIN_OK;
}

static int sync_folder_of(const char *path)
{
    char *folder = path_folder(path);
    int status = folder ? folder_sync(folder) : TAIN_ENOMEM;

    free(folder);
    return status;
}

int file_lock(int fd)
{
    for (int tries = 0; io_calls.flock(fd, LOCK_EX | LOCK_NB);) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK || ++tries > 20)
            return errno;
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    }
    return 0;
}

/* Opens and locks the temporary file. Between the two its last owner may have renamed it away: then
 * what is locked has no name any more, and the next try makes a new one. */
static int open_part(const char *part)
{
    for (int tries = 0; tries < 100; tries++) {
        struct stat here, there;
        int fd = open_again(part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0666);

        if (fd < 0)
            return fail(TAIN_EIO, "%s: cannot be created: %s", part, strerror(errno));
        int e = file_lock(fd);
        if (e) {
            io_calls.close(fd);
            return e == EWOULDBLOCK
                       ? fail(TAIN_EIO, "%s: another process is writing this file", part)
                       : fail(TAIN_EIO, "%s: cannot be locked: %s", part, strerror(e));
        }
        if (io_calls.fstat(fd, &here) || !S_ISREG(here.st_mode)) {
            io_calls.close(fd);
            return fail(TAIN_EIO, "%s: is not an ordinary file", part);
        }
        if (!io_calls.stat(part, &there) && here.st_ino == there.st_ino &&
            here.st_dev == there.st_dev) {
            if (!io_calls.ftruncate(fd, 0))
                return fd;
            fail(TAIN_EIO, "%s: cannot be emptied: %s", part, strerror(errno));
            io_calls.close(fd);
            return TAIN_EIO;
        }
        io_calls.close(fd);
    }
    return fail(TAIN_EIO, "%s: other processes keep replacing this file", part);
}

static void out_free(struct file_out *out)
{
    if (out->fd >= 0)
        io_calls.close(out->fd);
    free(out->path);
    free(out->part);
    free(out);
}

struct file_out *file_begin(const char *path)
{
    struct file_out *out = base_alloc(1, sizeof(*out));

    if (!out)
        return NULL;
    out->fd = -1;
    out->path = base_strdup(path);
    out->part = base_format("%s.part", path);
    if (!out->path || !out->part || (out->fd = open_part(out->part)) < 0) {
        out_free(out);
        return NULL;
    }
    return out;
}

int file_put(struct file_out *out, const void *bytes, size_t count)
{
    size_t done = 0;

    if (out->failed)
        return fail(TAIN_EIO, "%s: an earlier write to it has failed", out->part);
    out->synced = false;
    while (done < count) {
        ssize_t n = io_calls.pwrite(out->fd, (const char *)bytes + done, count - done,
                                    (off_t)out->at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->failed = true;
            return fail(TAIN_EIO, "%s: cannot be written at byte %lld: %s", out->part,
                        (long long)out->at, n ? strerror(errno) : "the system took no bytes");
        }
        done += (size_t)n;
        out->at += n;
    }
    return TAIN_OK;
}

int file_sync(struct file_out *out)
{
    if (out->failed)
        return fail(TAIN_EIO, "%s: an earlier write to it has failed", out->part);
    if (!out->synced && sync_again(io_calls.fsync, out->fd)) {
        out->failed = true;
        return fail(TAIN_EIO, "%s: cannot be flushed to disk: %s", out->part, strerror(errno));
    }
    out->synced = true;
    return TAIN_OK;
}

int file_end(struct file_out *out)
{
    int status = file_sync(out);

    if (status) {
        file_drop(out);
        return status;
    }
    if (io_calls.rename(out->part, out->path)) {
        fail(TAIN_EIO, "%s: cannot be renamed to %s: %s", out->part, out->path, strerror(errno));
        file_drop(out);
        return TAIN_EIO;
    }
    status = sync_folder_of(out->path);
    out_free(out);
    return status;
}

void file_drop(struct file_out *out)
{
    if (!out)
        return;
    io_calls.unlink(out->part); /* if it stays, the next writer of this path takes it over */
    out_free(out);
}

int file_write(const char *path, const void *bytes, size_t count)
{
    struct file_out *out = file_begin(path);
    int status;

    if (!out)
        return tain_error_status();
    status = file_put(out, bytes, count);
    if (status) {
        file_drop(out);
        return status;
    }
    return file_end(out);
}

int file_copy(const char *from, const char *to)
{
    struct file_out *out = NULL;
    uint8_t *piece = NULL;
    int64_t size = 0, at = 0;
    int fd = file_open(from, &size), status = TAIN_OK;

    if (fd < 0)
        return fd;
    if (!(piece = base_alloc(PIECE, 1)) || !(out = file_begin(to)))
        status = tain_error_status();
    while (!status && at < size) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

        status = file_read_at(fd, from, at, piece, n);
        if (!status)
            status = file_put(out, piece, n);
        at += (int64_t)n;
    }
    io_calls.close(fd);
    free(piece);
    if (status) {
        file_drop(out);
        return status;
    }
    return file_end(out);
}

int file_rename(const char *from, const char *to)
{
    char *a = path_folder(from), *b = path_folder(to);
    int status = a && b ? TAIN_OK : TAIN_ENOMEM;

    if (!status && io_calls.rename(from, to))
        status = fail(TAIN_EIO, "%s: cannot be renamed to %s: %s", from, to, strerror(errno));
    if (!status)
        status = folder_sync(b);
    if (!status && strcmp(a, b))
        status = folder_sync(a);
    free(a);
    free(b);
    return status;
}

int file_remove(const char *path)
{
    if (io_calls.unlink(path))
        return fail(TAIN_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    return sync_folder_of(path);
}

/* ---- Folders ---- */

int folder_make(const char *path)
{
    size_t n = strlen(path);
    char *part = base_strdup(path);
    int status = TAIN_OK;

    if (!part)
        return TAIN_ENOMEM;
    for (size_t i = 1; i <= n && !status; i++) {
        bool end = i == n;

        if (!end && part[i] != '/')
            continue;
        part[i] = 0;
        if (!folder_exists(part)) {
            if (io_calls.mkdir(part, 0777) && !(errno == EEXIST && folder_exists(part)))
                status = fail(TAIN_EIO, "%s: the folder cannot be made: %s", part, strerror(errno));
            else
                status = sync_folder_of(part);
        }
        if (!end)
            part[i] = '/';
    }
    free(part);
    return status;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void folder_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int folder_list(const char *path, char ***names, size_t *count)
{
    DIR *folder = io_calls.opendir(path);
    char **list = NULL;
    size_t n = 0, room = 0;
    int status = TAIN_OK;

    if (!folder)
        return fail(TAIN_EIO, "%s: the folder cannot be opened: %s", path, strerror(errno));
    while (!status) {
        struct dirent *e;

        errno = 0;
        if (!(e = io_calls.readdir(folder))) {
            if (errno)
                status = fail(TAIN_EIO, "%s: the folder cannot be read: %s", path, strerror(errno));
            break;
        }
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (n == room) {
            size_t more = room ? 2 * room : 16;
            char **grown = base_grow(list, room, more, sizeof(*list));

            if (!grown) {
                status = TAIN_ENOMEM;
                break;
            }
            list = grown;
            room = more;
        }
        if (!(list[n] = base_strdup(e->d_name)))
            status = TAIN_ENOMEM;
        else
            n++;
    }
    io_calls.closedir(folder);
    if (status) {
        folder_list_free(list, n);
        return status;
    }
    if (n)
        qsort(list, n, sizeof(*list), by_bytes);
    *names = list;
    *count = n;
    return TAIN_OK;
}

/* Calls `leaf` for every file below a folder and `after` for every folder, innermost first. */
static int folder_walk(const char *path, int depth, int (*leaf)(const char *),
                       int (*after)(const char *))
{
    char **names;
    size_t n;
    int status = depth > 64 ? fail(TAIN_EIO, "%s: folders are nested too deep", path)
                            : folder_list(path, &names, &n);

    if (status)
        return status;
    for (size_t i = 0; i < n && !status; i++) {
        char *inner = path_join(path, names[i]);
        struct stat s;

        if (!inner)
            status = TAIN_ENOMEM;
        else if (lstat(inner, &s))
            status = fail(TAIN_EIO, "%s: cannot be examined: %s", inner, strerror(errno));
        else
            status = S_ISDIR(s.st_mode) ? folder_walk(inner, depth + 1, leaf, after) : leaf(inner);
        free(inner);
    }
    folder_list_free(names, n);
    return status ? status : after(path);
}

static int settle_file(const char *path)
{
    int fd = open_again(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0), e;

    if (fd < 0)
        return errno == ELOOP ? TAIN_OK /* a link */
                              : fail(TAIN_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    e = sync_again(io_calls.fsync, fd) ? errno : 0;
    io_calls.close(fd);
    return e ? fail(TAIN_EIO, "%s: cannot be flushed to disk: %s", path, strerror(e)) : TAIN_OK;
}

int folder_settle(const char *path)
{
    return folder_walk(path, 0, settle_file, folder_sync);
}

static int remove_file(const char *path)
{
    if (io_calls.unlink(path))
        return fail(TAIN_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    return TAIN_OK;
}

static int remove_empty(const char *path)
{
    if (io_calls.rmdir(path))
        return fail(TAIN_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    return TAIN_OK;
}

int folder_remove(const char *path)
{
    int status = folder_walk(path, 0, remove_file, remove_empty);

    return status ? status : sync_folder_of(path);
}

int folder_free_space(const char *path, int64_t *bytes)
{
    struct statvfs s;
    size_t n;

    if (io_calls.statvfs(path, &s))
        return fail(TAIN_EIO, "%s: its free space cannot be found: %s", path, strerror(errno));
    *bytes = mul_ok(s.f_bavail, s.f_frsize, &n) && n <= INT64_MAX ? (int64_t)n : INT64_MAX;
    return TAIN_OK;
}
