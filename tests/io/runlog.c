/* The log of a run: what was acknowledged is there whatever happens, and damage is refused. */
#include "io/temp.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static struct io_calls real;

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static int append(struct runlog *log, const char *text)
{
    return runlog_append(log, text, strlen(text));
}

static struct runlog *open_bytes(const void *bytes, size_t n, bool write)
{
    CHECK_INT(file_write(in_temp("bytes"), bytes, n), 0);
    return runlog_open(in_temp("bytes"), write);
}

/* All lines follow each other, hold their number, and are as many as the log says. */
static void read_all(struct runlog *log)
{
    int64_t at = 0, n = 0, seq;
    const char *line;
    size_t count;
    int found;

    while ((found = runlog_next(log, &at, &line, &count)) == 1) {
        struct json *v = json_parse("line", line, count);

        CHECK(v);
        CHECK_INT(json_get_int(v, "seq", 1, INT64_MAX, &seq), 0);
        CHECK_INT(seq, ++n);
        json_free(v);
    }
    CHECK_INT(found, 0);
    CHECK_INT(n, runlog_count(log));
}

static void test_lines(void)
{
    const char *path = in_temp("events.jsonl"), *line;
    struct runlog *log = runlog_open(path, true), *second;
    int64_t at = 0, before;
    uint8_t *bytes;
    size_t n;

    CHECK(log);
    CHECK(!runlog_open(path, true));
    CHECK(strstr(tain_error(), "events.jsonl: another process is writing this run"));
    CHECK_INT(runlog_next(log, &at, &line, &n), 0);
    CHECK_INT(append(log, "{}"), 0);
    CHECK_INT(append(log, "  {\"event\":\"step\", \"loss\":0.25 } "), 0);
    CHECK_INT(runlog_add(log, "{\"a\":[{}]}", 10), 0);
    CHECK_INT(runlog_sync(log), 0);
    CHECK_INT(runlog_count(log), 3);

    CHECK_FAILS(append(log, "{\"a\":1,\n\"b\":2}"), TAIN_EINVAL, "must be one line");
    CHECK_FAILS(append(log, "[1]"), TAIN_EINVAL, "must be a JSON object");
    CHECK_FAILS(append(log, ""), TAIN_EINVAL, "there is no text");
    CHECK_FAILS(append(log, "{\"seq\":1}"), TAIN_EINVAL, "the log's own members");
    CHECK_FAILS(append(log, "{\"\\u0063rc\":1}"), TAIN_EINVAL, "the log's own members");
    CHECK_FAILS(append(log, "{\"a\":1,\"a\":2}"), TAIN_EINVAL, "a comes twice");
    CHECK_FAILS(append(log, "{\"a\":1}}"), TAIN_EINVAL, "more text");
    CHECK_INT(runlog_count(log), 3);

    /* Someone may read meanwhile. */
    CHECK(second = runlog_open(path, false));
    CHECK_INT(runlog_count(second), 3);
    read_all(second);
    read_all(second);
    CHECK_FAILS(append(second, "{}"), TAIN_EINVAL, "open only to be read");
    runlog_close(second);

    read_all(log);
    at = 0;
    CHECK_INT(runlog_next(log, &at, &line, &n), 1);
    before = at;
    CHECK_INT(runlog_next(log, &at, &line, &n), 1);
    CHECK(!strncmp(line, "{\"seq\":2,\"event\":\"step\", \"loss\":0.25 ,\"crc\":\"", 45));
    CHECK(n == 55 && line[54] == '}');
    CHECK_INT(runlog_next(log, &before, &line, &n), 1);
    CHECK_INT(before, at);
    runlog_close(log);
    runlog_close(NULL);

    CHECK(log = runlog_open(path, true));
    CHECK_INT(runlog_count(log), 3);
    CHECK_INT(runlog_trimmed(log), 0);
    CHECK_INT(append(log, "{\"b\":1}"), 0);
    read_all(log);
    runlog_close(log);
    CHECK_INT(file_read(path, 10000, &bytes, &n), 0);
    CHECK(!strncmp((char *)bytes, "{\"seq\":1,\"crc\":\"", 16) && bytes[n - 1] == '\n');
    free(bytes);

    CHECK(!runlog_open(in_temp("none"), false));
    CHECK(!runlog_open(temp, true));
    CHECK(!runlog_open(in_temp("none/events.jsonl"), true));
}

/* Cut anywhere: the lines before the cut are there, and writing goes on. */
static void test_cuts(void)
{
    struct runlog *log;
    uint8_t *bytes, *again;
    size_t n, m;

    CHECK_INT(file_read(in_temp("events.jsonl"), 10000, &bytes, &n), 0);
    for (size_t cut = 0; cut <= n; cut++) {
        int64_t lines = 0;
        size_t whole = 0; /* bytes that stay: up to the last newline, or up to where one belongs */

        for (size_t i = 0; i <= cut; i++)
            if (i && (bytes[i - 1] == '\n' || (i == cut && i < n && bytes[i] == '\n'))) {
                lines++;
                whole = i + (bytes[i - 1] != '\n');
            }
        CHECK(log = open_bytes(bytes, cut, false));
        CHECK(runlog_count(log) == lines || (runlog_count(log) == lines - 1 && whole == cut + 1));
        runlog_close(log);
        CHECK(log = open_bytes(bytes, cut, true));
        CHECK_INT(runlog_count(log), lines);
        CHECK_INT(runlog_trimmed(log), whole > cut ? 0 : cut - whole);
        read_all(log);
        CHECK_INT(append(log, "{\"after\":true}"), 0);
        read_all(log);
        runlog_close(log);
        CHECK_INT(file_read(in_temp("bytes"), 10000, &again, &m), 0);
        CHECK(!memcmp(bytes, again, whole));
        free(again);
        CHECK(log = runlog_open(in_temp("bytes"), true));
        CHECK_INT(runlog_count(log), lines + 1);
        runlog_close(log);
    }
    free(bytes);
}

/* Any byte of a line changed is damage, said with the line's number. */
static void test_damage(void)
{
    struct runlog *log;
    uint8_t *bytes;
    char number[40];
    int line = 1;
    size_t n, first;

    CHECK_INT(file_read(in_temp("events.jsonl"), 10000, &bytes, &n), 0);
    for (size_t i = 0; i + 1 < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            log = open_bytes(bytes, n, true);
            snprintf(number, sizeof(number), "line %d is damaged: ", line);
            if (log || !strstr(tain_error(), number)) {
                fprintf(stderr, "byte %zu bit %d: %s\n", i, bit, log ? "read" : tain_error());
                exit(1);
            }
            bytes[i] ^= (uint8_t)(1 << bit);
        }
        line += bytes[i] == '\n';
    }
    /* The last newline: what is left has none, and cannot be told from a line being written. */
    bytes[n - 1] = 'x';
    CHECK(log = open_bytes(bytes, n, true));
    CHECK_INT(runlog_count(log), 3);
    runlog_close(log);
    bytes[n - 1] = '\n';

    /* A line twice, a line missing: their numbers are wrong. */
    first = (size_t)((uint8_t *)memchr(bytes, '\n', n) - bytes) + 1;
    CHECK(!open_bytes(bytes + first, n - first, true));
    CHECK(strstr(tain_error(), "line 1 is damaged: its number is wrong"));
    memmove(bytes + first, bytes, first);
    CHECK(!open_bytes(bytes, 2 * first, true));
    CHECK(strstr(tain_error(), "line 2 is damaged: its number is wrong"));
    free(bytes);
}

/* What the disk never got reads as zeros: cut off at the end, damage before a good line. */
static void test_zeros(void)
{
    struct runlog *log;
    uint8_t *bytes, *second;
    size_t n;

    CHECK_INT(file_read(in_temp("events.jsonl"), 10000, &bytes, &n), 0);
    second = (uint8_t *)memchr(bytes, '\n', n) + 1;
    memset(second, 0, (size_t)(bytes + n - second));
    CHECK(log = open_bytes(bytes, n, true));
    CHECK_INT(runlog_count(log), 1);
    CHECK_INT(runlog_trimmed(log), bytes + n - second);
    runlog_close(log);
    bytes[n - 1] = '\n'; /* one page made it, the one before did not */
    CHECK(log = open_bytes(bytes, n, true));
    CHECK_INT(runlog_count(log), 1);
    runlog_close(log);
    free(bytes);

    CHECK_INT(file_read(in_temp("events.jsonl"), 10000, &bytes, &n), 0);
    second = (uint8_t *)memchr(bytes, '\n', n) + 1;
    second[30] = 0;
    CHECK(!open_bytes(bytes, n, true));
    CHECK(strstr(tain_error(), "line 2 is damaged: its checksum is wrong"));
    free(bytes);
}

/* Long lines, and more of them than the window holds. */
static void test_large(void)
{
    struct text t = { 0 };
    struct runlog *log;

    io_calls.fdatasync = no_sync;
    CHECK(log = runlog_open(in_temp("large"), true));
    for (int i = 0; i < 300; i++) {
        t.count = 0;
        text_format(&t, "{\"text\":\"%*d\"}", i % 7 == 0 ? 200000 : i * 20, i);
        CHECK_INT(runlog_append(log, t.at, t.count), 0);
    }
    read_all(log);
    runlog_close(log);
    CHECK(log = runlog_open(in_temp("large"), false));
    CHECK_INT(runlog_count(log), 300);
    read_all(log);
    runlog_close(log);
    free(t.at);
    io_calls = real;
}

/* ---- A system that fails ---- */

static int calls, fail_at;
static bool sync_too, truncate_too;

static ssize_t full(int fd, const void *p, size_t n, off_t at)
{
    ssize_t done = real.pwrite(fd, p, n > 9 ? 9 : n, at); /* short, then the disk is full */

    if (++calls != fail_at)
        return done;
    errno = ENOSPC;
    return -1;
}

static int bad_sync(int fd)
{
    if (!sync_too)
        return real.fdatasync(fd);
    errno = EIO;
    return -1;
}

static int bad_truncate(int fd, off_t n)
{
    if (!truncate_too)
        return real.ftruncate(fd, n);
    errno = EIO;
    return -1;
}

static void test_failures(void)
{
    struct runlog *log;

    CHECK(log = runlog_open(in_temp("full"), true));
    io_calls.pwrite = full;
    io_calls.fdatasync = bad_sync;
    io_calls.ftruncate = bad_truncate;
    for (int k = 1; k < 12; k++) {
        int status;

        calls = 0;
        fail_at = k;
        status = append(log, "{\"event\":\"something longer than one write\"}");
        if (status)
            CHECK(status == TAIN_EIO && strstr(tain_error(), "No space left"));
        read_all(log);
    }
    CHECK(runlog_count(log) > 0 && runlog_count(log) < 11);
    fail_at = 0;
    CHECK_INT(append(log, "{}"), 0);

    /* A failed flush is the end of it. */
    sync_too = true;
    CHECK_FAILS(append(log, "{}"), TAIN_EIO, "cannot be flushed to disk");
    sync_too = false;
    CHECK_FAILS(append(log, "{}"), TAIN_EIO, "cannot be trusted since");
    CHECK_FAILS(runlog_sync(log), TAIN_EIO, "cannot be trusted since");
    runlog_close(log);

    /* So is a line that can be neither finished nor taken back; opening cuts it off. */
    CHECK(log = runlog_open(in_temp("full"), true));
    calls = 0;
    fail_at = 2;
    truncate_too = true;
    CHECK_FAILS(append(log, "{}"), TAIN_EIO, "be taken back");
    CHECK_FAILS(append(log, "{}"), TAIN_EIO, "cannot be trusted since");
    runlog_close(log);
    CHECK(!runlog_open(in_temp("full"), true));
    CHECK(strstr(tain_error(), "incomplete end cannot be cut off"));
    io_calls = real;
    CHECK(log = runlog_open(in_temp("full"), true));
    CHECK_INT(runlog_trimmed(log), 18);
    read_all(log);
    runlog_close(log);
}

/* ---- Killed ---- */

/* Appends until it is killed, and says after each flush how many lines are safe. */
static void write_until_killed(const char *path, int acknowledge)
{
    struct runlog *log = runlog_open(path, true);
    char text[400];

    if (!log)
        _exit(1);
    for (unsigned i = 0;; i++) {
        int64_t safe;
        int n = snprintf(text, sizeof(text), "{\"event\":\"candidate\",\"text\":\"%*u\"}",
                         (int)(i * 37 % 300 + 1), i);

        if (i % 3 ? runlog_add(log, text, (size_t)n) : runlog_append(log, text, (size_t)n))
            _exit(1);
        safe = runlog_count(log);
        if (i % 3 == 0 && write(acknowledge, &safe, sizeof(safe)) != sizeof(safe))
            _exit(1);
    }
}

static void test_kills(int kills)
{
    const char *path = in_temp("killed");
    int64_t before = 0;
    uint32_t random = 1;

    for (int k = 0; k < kills; k++) {
        int64_t safe = before, said;
        struct runlog *log;
        struct timespec nap = { 0 };
        int ends[2], status;
        pid_t child;

        CHECK_INT(pipe(ends), 0);
        CHECK((child = fork()) >= 0);
        if (!child) {
            close(ends[0]);
            write_until_killed(path, ends[1]);
        }
        close(ends[1]);
        random = random * 1664525 + 1013904223;
        nap.tv_nsec = (long)(random >> 8) % 15000000;
        nanosleep(&nap, NULL);
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        while (read(ends[0], &said, sizeof(said)) == sizeof(said))
            safe = said;
        close(ends[0]);

        CHECK(log = runlog_open(path, true));
        CHECK(runlog_count(log) >= safe);
        before = runlog_count(log);
        if (k % 20 == 0 || k == kills - 1)
            read_all(log);
        runlog_close(log);
    }
    CHECK(before > kills / 4);
}

int main(void)
{
    real = io_calls;
    io_calls.fsync = io_calls.fdatasync = no_sync; /* for speed, where nothing is killed */
    test_lines();
    test_cuts();
    test_damage();
    test_zeros();
    io_calls = real;
    test_large();
    test_failures();
    test_kills(200);
    temp_remove(temp);
    return 0;
}
