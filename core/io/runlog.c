/* runlog.c - what happened in a run, in lines that are on disk before anyone relies on them.
 *
 * The file only grows, so a crash can only hurt its end. Two kinds of trouble must not be confused:
 * a line that was being written, which nobody was told is safe: it is cut off; and a line that was
 * safe and is not what it was: that is damage, where nothing is guessed and nothing cut. A complete
 * line has its newline. So only what has none, or what the disk shows as zeros because it never got
 * it, is of the first kind.
 */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum {
    LINE  = 64 << 20, /* bytes of a line */
    PIECE = 1 << 16,
    TAIL  = 18, /* ,"crc":"xxxxxxxx"} */
};

struct runlog {
    char *path;
    int fd;
    bool writable, broken;
    int64_t size, count, trimmed; /* of the good lines */
    char *window;                 /* the file's bytes from `base` on, `have` of them */
    size_t have, room;
    int64_t base;
};

/* ---- Lines ---- */

/* Finds the newline of the line that begins at `at` in a file that ends at `end`, and has all of it
 * in the window. Returns 1, 0 if there is none, or a negative status. */
static int find_line(struct runlog *log, int64_t at, int64_t end, char **line, size_t *count)
{
    size_t searched = 0;

    if (at < log->base || at > log->base + (int64_t)log->have) {
        log->have = 0;
        log->base = at;
    }
    for (;;) {
        size_t skip = (size_t)(at - log->base), n;
        char *start = log->window + skip, *newline = NULL;
        int status;

        if (skip + searched < log->have)
            newline = memchr(start + searched, '\n', log->have - skip - searched);
        if (newline && log->base + (newline - log->window) < end) {
            *line = start;
            *count = (size_t)(newline - start);
            return 1;
        }
        searched = log->have - skip;
        if (at + (int64_t)searched >= end)
            return 0;
        if (searched > LINE)
            return fail(TAIN_EFORMAT, "%s: a line of more than %d bytes", log->path, LINE);
        if (skip) {
            memmove(log->window, start, searched);
            log->base = at;
            log->have = searched;
        }
        if (log->have + PIECE > log->room) {
            size_t room = 2 * log->room;
            char *grown = base_grow(log->window, log->room, room, 1);

            if (!grown)
                return TAIN_ENOMEM;
            log->window = grown;
            log->room = room;
        }
        n = end - log->base - (int64_t)log->have < PIECE
                ? (size_t)(end - log->base - (int64_t)log->have)
                : PIECE;
        status = file_read_at(log->fd, log->path, log->base + (int64_t)log->have,
                              log->window + log->have, n);
        if (status)
            return status;
        log->have += n;
    }
}

/* What is wrong with a line, or NULL. */
static const char *check_line(const char *line, size_t count, int64_t seq)
{
    char head[40], tail[TAIL + 1];
    size_t n = (size_t)snprintf(head, sizeof(head), "{\"seq\":%" PRId64 ",", seq);

    if (count < TAIL + n - 1)
        return "it is too short";
    snprintf(tail, sizeof(tail), ",\"crc\":\"%08x\"}", crc32c(0, line, count - TAIL));
    if (memcmp(line + count - TAIL, tail, TAIL))
        return "its checksum is wrong";
    return memcmp(line, head, n) ? "its number is wrong" : NULL;
}

/* ---- Opening ---- */

/* Whether what begins with a bad line at `at` was never completely written: parts of it read as
 * zeros, and no good line follows. 1, 0, or a negative status. */
static int never_written(struct runlog *log, int64_t at, int64_t end, int64_t seq)
{
    bool zeros = false;

    while (at < end) {
        char *line;
        size_t n = 0;
        int found = find_line(log, at, end, &line, &n);

        if (found < 0)
            return found;
        if (!found) {
            line = log->window + (at - log->base);
            n = (size_t)(end - at);
        } else if (n >= 8 && !strncmp(line, "{\"seq\":", 7)) {
            int64_t number = strtoll(line + 7, NULL, 10); /* ends at the comma, or at the newline */

            if (number >= seq && !check_line(line, n, number))
                return 0;
        }
        zeros |= memchr(line, 0, n) != NULL;
        at += (int64_t)n + 1;
    }
    return zeros;
}

static int cut(struct runlog *log, int64_t end)
{
    log->trimmed = end - log->size;
    log->have = 0; /* the window holds some of it */
    log->base = 0;
    if (log->writable && io_calls.ftruncate(log->fd, log->size))
        return fail(TAIN_EIO, "%s: its incomplete end cannot be cut off: %s", log->path,
                    strerror(errno));
    return TAIN_OK;
}

/* The last line is whole but for its newline. */
static int end_line(struct runlog *log, size_t count)
{
    ssize_t n;

    if (!log->writable) {
        log->trimmed = (int64_t)count;
        return TAIN_OK;
    }
    do
        n = io_calls.pwrite(log->fd, "\n", 1, (off_t)log->size + (off_t)count);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        return fail(TAIN_EIO, "%s: cannot be written: %s", log->path, strerror(errno));
    log->size += (int64_t)count + 1;
    log->count++;
    return TAIN_OK;
}

static int check_all(struct runlog *log, int64_t end)
{
    while (log->size < end) {
        char *line;
        size_t n;
        const char *wrong;
        int status = find_line(log, log->size, end, &line, &n);

        if (status < 0)
            return status;
        if (!status) {
            n = (size_t)(end - log->size);
            line = log->window + (log->size - log->base);
            return check_line(line, n, log->count + 1) ? cut(log, end) : end_line(log, n);
        }
        if ((wrong = check_line(line, n, log->count + 1))) {
            status = never_written(log, log->size, end, log->count + 1);
            if (status)
                return status < 0 ? status : cut(log, end);
            return fail(TAIN_EFORMAT, "%s: line %" PRId64 " is damaged: %s", log->path,
                        log->count + 1, wrong);
        }
        log->size += (int64_t)n + 1;
        log->count++;
    }
    return TAIN_OK;
}

static int open_to_write(const char *path)
{
    int fd, r;

    do
        fd = io_calls.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return fail(TAIN_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    r = file_lock(fd);
    if (!r)
        return fd;
    if (r == EWOULDBLOCK)
        fail(TAIN_EIO, "%s: another process is writing this run", path);
    else
        fail(TAIN_EIO, "%s: cannot be locked: %s", path, strerror(r));
    io_calls.close(fd);
    return TAIN_EIO;
}

/* The file and, if it is new, its name are on disk before the first line is promised to be. */
static int settle(struct runlog *log)
{
    char *folder = path_folder(log->path);
    int status = folder ? runlog_sync(log) : TAIN_ENOMEM;

    if (!status && !log->count)
        status = folder_sync(folder);
    free(folder);
    return status;
}

static int open_log(struct runlog *log)
{
    struct stat s;
    int64_t size;
    int status;

    if (!log->path || !(log->window = base_alloc(PIECE, 1)))
        return TAIN_ENOMEM;
    log->room = PIECE;
    log->fd = log->writable ? open_to_write(log->path) : file_open(log->path, &size);
    if (log->fd < 0)
        return log->fd;
    if (io_calls.fstat(log->fd, &s) || !S_ISREG(s.st_mode))
        return fail(TAIN_EIO, "%s: is not an ordinary file", log->path);
    status = check_all(log, s.st_size);
    return status || !log->writable ? status : settle(log);
}

struct runlog *runlog_open(const char *path, bool write)
{
    struct runlog *log = base_alloc(1, sizeof(*log));

    if (!log)
        return NULL;
    log->path = base_strdup(path);
    log->fd = -1;
    log->writable = write;
    if (open_log(log)) {
        runlog_close(log);
        return NULL;
    }
    return log;
}

void runlog_close(struct runlog *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        io_calls.close(log->fd); /* this also unlocks it */
    free(log->path);
    free(log->window);
    free(log);
}

int64_t runlog_count(const struct runlog *log)
{
    return log->count;
}

int64_t runlog_trimmed(const struct runlog *log)
{
    return log->trimmed;
}

/* ---- Appending ---- */

/* Whether the text is an object that can become a line; `inner` is what lies between its braces. */
static int check_object(const struct runlog *log, const char *object, size_t count,
                        const char **inner, size_t *inner_count)
{
    struct json *v;
    int status = TAIN_OK;

    if (count > LINE - 100)
        return fail(TAIN_EINVAL, "%s: an event of %zu bytes; the limit is %d", log->path, count,
                    LINE - 100);
    if (count && (memchr(object, '\n', count) || memchr(object, '\r', count)))
        return fail(TAIN_EINVAL, "%s: an event must be one line", log->path);
    if (!(v = json_parse("event", object, count))) {
        status = fail_in("%s", log->path);
        return status == TAIN_EFORMAT ? fail(TAIN_EINVAL, "%s", tain_error()) : status;
    }
    if (json_type(v) != JSON_OBJECT)
        status = fail(TAIN_EINVAL, "%s: an event must be a JSON object", log->path);
    else if (json_find(v, "seq") || json_find(v, "crc"))
        status = fail(TAIN_EINVAL, "%s: seq and crc are the log's own members", log->path);
    else {
        const char *open = memchr(object, '{', count), *close = object + count;

        while (*--close != '}')
            ;
        *inner = open + 1;
        *inner_count = json_count(v) ? (size_t)(close - open - 1) : 0;
    }
    json_free(v);
    return status;
}

/* After a write that did not take everything: back to the last good line. */
static int take_back(struct runlog *log, const char *why)
{
    log->broken = io_calls.ftruncate(log->fd, log->size) != 0;
    return fail(TAIN_EIO, "%s: line %" PRId64 " cannot be written: %s%s", log->path, log->count + 1,
                why, log->broken ? "; nor can what was written of it be taken back" : "");
}

static int write_line(struct runlog *log, const char *line, size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t n = io_calls.pwrite(log->fd, line + done, count - done,
                                    (off_t)log->size + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return take_back(log, n ? strerror(errno) : "the system took no bytes");
        done += (size_t)n;
    }
    log->size += (int64_t)count;
    log->count++;
    return TAIN_OK;
}

int runlog_add(struct runlog *log, const char *object, size_t count)
{
    struct text t = { 0 };
    const char *inner = NULL;
    size_t n = 0;
    int status;

    if (!log->writable)
        return fail(TAIN_EINVAL, "%s: is open only to be read", log->path);
    if (log->broken)
        return fail(TAIN_EIO, "%s: cannot be trusted since an earlier write failed", log->path);
    if ((status = check_object(log, object, count, &inner, &n)))
        return status;
    text_format(&t, "{\"seq\":%" PRId64, log->count + 1);
    if (n) {
        text_put(&t, ",", 1);
        text_put(&t, inner, n);
    }
    if (!t.failed)
        text_format(&t, ",\"crc\":\"%08x\"}\n", crc32c(0, t.at, t.count));
    status = t.failed ? TAIN_ENOMEM : write_line(log, t.at, t.count);
    free(t.at);
    return status;
}

int runlog_sync(struct runlog *log)
{
    int r;

    if (log->broken)
        return fail(TAIN_EIO, "%s: cannot be trusted since an earlier write failed", log->path);
    do
        r = io_calls.fdatasync(log->fd);
    while (r && errno == EINTR);
    if (!r)
        return TAIN_OK;
    log->broken = true; /* the system may have dropped what it could not write: never try again */
    return fail(TAIN_EIO, "%s: cannot be flushed to disk: %s", log->path, strerror(errno));
}

int runlog_append(struct runlog *log, const char *object, size_t count)
{
    int status = runlog_add(log, object, count);

    return status ? status : runlog_sync(log);
}

/* ---- Reading ---- */

int runlog_next(struct runlog *log, int64_t *at, const char **line, size_t *count)
{
    char *found;
    int status;

    if (*at < 0 || *at >= log->size)
        return 0;
    status = find_line(log, *at, log->size, &found, count);
    if (status < 0)
        return status;
    if (!status)
        return fail(TAIN_EINVAL, "%s: no line begins at byte %" PRId64, log->path, *at);
    *line = found;
    *at += (int64_t)*count + 1;
    return 1;
}
