/* Whole files: limits, atomic writing, and every system call failing in turn. */
#include "io/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

/* ---- A system that fails at the k-th call ---- */

static struct io_calls real;
static int calls, fail_at;
static bool interrupt; /* fail with EINTR, once, instead */

static bool now(int e)
{
    if (++calls != fail_at)
        return false;
    errno = interrupt ? EINTR : e;
    return true;
}

static int bad_open(const char *p, int flags, mode_t m)
{
    return now(EACCES) ? -1 : real.open(p, flags, m);
}
static int bad_fstat(int fd, struct stat *s) { return now(EIO) ? -1 : real.fstat(fd, s); }
static ssize_t bad_pread(int fd, void *p, size_t n, off_t at)
{
    return now(EIO) ? -1 : real.pread(fd, p, n > 7 ? 7 : n, at); /* and always short */
}
static ssize_t bad_pwrite(int fd, const void *p, size_t n, off_t at)
{
    return now(ENOSPC) ? -1 : real.pwrite(fd, p, n > 7 ? 7 : n, at);
}
static int bad_fsync(int fd) { return now(EIO) ? -1 : real.fsync(fd); }
static int bad_ftruncate(int fd, off_t n) { return now(EIO) ? -1 : real.ftruncate(fd, n); }
static int bad_flock(int fd, int op) { return now(ENOLCK) ? -1 : real.flock(fd, op); }
static int bad_rename(const char *a, const char *b) { return now(EACCES) ? -1 : real.rename(a, b); }
static int bad_mkdir(const char *p, mode_t m) { return now(ENOSPC) ? -1 : real.mkdir(p, m); }

static void break_system(int at, bool eintr)
{
    calls = 0;
    fail_at = at;
    interrupt = eintr;
    io_calls.open = bad_open;
    io_calls.fstat = bad_fstat;
    io_calls.pread = bad_pread;
    io_calls.pwrite = bad_pwrite;
    io_calls.fsync = bad_fsync;
    io_calls.ftruncate = bad_ftruncate;
    io_calls.flock = bad_flock;
    io_calls.rename = bad_rename;
    io_calls.mkdir = bad_mkdir;
}

static int open_descriptors(void)
{
    char **names;
    size_t n;

    CHECK_INT(folder_list("/proc/self/fd", &names, &n), 0);
    folder_list_free(names, n);
    return (int)n;
}

/* ---- Tests ---- */

static const char old[] = "the old content", new[] = "what is to replace it";

static bool holds(const char *path, const char *text)
{
    uint8_t *bytes;
    size_t n;
    bool same;

    CHECK_INT(file_read(path, 1000, &bytes, &n), 0);
    same = n == strlen(text) && !memcmp(bytes, text, n + 1);
    free(bytes);
    return same;
}

static void test_reading(void)
{
    const char *path = in_temp("a");
    uint8_t *bytes;
    size_t n;

    CHECK_FAILS(file_read(in_temp("none"), 10, &bytes, &n), TAIN_EIO, "No such file");
    CHECK_FAILS(file_read(temp, 10, &bytes, &n), TAIN_EIO, "is a folder, not a file");
    CHECK_FAILS(file_read("/dev/zero", 10, &bytes, &n), TAIN_EIO, "something special");
    CHECK_INT(mkfifo(in_temp("pipe"), 0600), 0);
    CHECK_FAILS(file_read(in_temp("pipe"), 10, &bytes, &n), TAIN_EIO, "something special");
    CHECK_INT(file_write(path, "12345", 5), 0);
    CHECK_FAILS(file_read(path, 4, &bytes, &n), TAIN_EFORMAT, "more than the limit of 4");
    CHECK(holds(path, "12345"));
    CHECK_INT(file_write(path, NULL, 0), 0);
    CHECK(holds(path, ""));
    CHECK(file_exists(path) && !folder_exists(path));
    CHECK(!file_exists(temp) && folder_exists(temp));
}

static void test_pieces(void)
{
    const char *path = in_temp("b");
    struct file_out *out = file_begin(path), *second;
    int fd;

    CHECK(out);
    CHECK(!(second = file_begin(path)));
    CHECK(strstr(tain_error(), "another process is writing"));
    CHECK_INT(file_put(out, "one", 3), 0);
    CHECK_INT(file_sync(out), 0);
    CHECK(!file_exists(path));
    CHECK_INT(file_put(out, "two", 3), 0);
    CHECK_INT(file_end(out), 0);
    CHECK(holds(path, "onetwo"));

    CHECK(out = file_begin(path));
    CHECK_INT(file_put(out, "x", 1), 0);
    file_drop(out);
    file_drop(NULL);
    CHECK(holds(path, "onetwo"));
    CHECK(!file_exists(in_temp("b.part")));

    /* A writer that was killed leaves its part, which the next one takes over. */
    CHECK((fd = open(in_temp("b.part"), O_CREAT | O_WRONLY, 0600)) >= 0);
    CHECK_INT(write(fd, "much longer than the next", 25), 25);
    close(fd);
    CHECK_INT(file_write(path, "next", 4), 0);
    CHECK(holds(path, "next"));
    CHECK(!file_exists(in_temp("b.part")));

    /* No link is followed. */
    CHECK_INT(symlink(path, in_temp("b.part")), 0);
    CHECK_INT(file_write(path, "x", 1), TAIN_EIO);
    CHECK(holds(path, "next"));
    CHECK_INT(unlink(in_temp("b.part")), 0);
}

static void test_paths(void)
{
    static const char *cases[][2] = { { "a", "." },      { "a/b", "a" }, { "/a", "/" },
                                      { "/", "/" },      { "a/", "." },  { "a//b//", "a" },
                                      { "/a/b/c", "/a/b" }, { "", "." } };
    char *p;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK(p = path_folder(cases[i][0]));
        CHECK_STRING(p, cases[i][1]);
        free(p);
    }
    CHECK_STRING(p = path_join("a", "b"), "a/b");
    free(p);
    CHECK_STRING(p = path_join("a/", "b"), "a/b");
    free(p);
}

static void test_folders(void)
{
    char **names;
    size_t n;
    int64_t space;

    CHECK_INT(folder_make(in_temp("f/g/h")), 0);
    CHECK_INT(folder_make(in_temp("f/g/h/")), 0);
    CHECK(folder_exists(in_temp("f/g/h")));
    CHECK_INT(file_write(in_temp("f/file"), "", 0), 0);
    CHECK_FAILS(folder_make(in_temp("f/file/x")), TAIN_EIO, "cannot be made");
    CHECK_INT(file_write(in_temp("f/b"), "", 0), 0);
    CHECK_INT(file_write(in_temp("f/A"), "", 0), 0);
    CHECK_INT(folder_list(in_temp("f"), &names, &n), 0);
    CHECK_INT(n, 4);
    CHECK_STRING(names[0], "A");
    CHECK_STRING(names[1], "b");
    CHECK_STRING(names[2], "file");
    CHECK_STRING(names[3], "g");
    folder_list_free(names, n);
    CHECK_INT(folder_list(in_temp("f/g/h"), &names, &n), 0);
    CHECK_INT(n, 0);
    folder_list_free(names, n);
    CHECK_FAILS(folder_list(in_temp("none"), &names, &n), TAIN_EIO, "No such file");

    CHECK_INT(file_rename(in_temp("f/b"), in_temp("f/g/c")), 0);
    CHECK(file_exists(in_temp("f/g/c")) && !file_exists(in_temp("f/b")));
    CHECK_INT(file_remove(in_temp("f/g/c")), 0);
    CHECK(!file_exists(in_temp("f/g/c")));
    CHECK_INT(folder_free_space(temp, &space), 0);
    CHECK(space > 0);
}

static void test_copy(void)
{
    size_t n = (1 << 20) + 17, m;
    uint8_t *a = malloc(n), *b;

    for (size_t i = 0; i < n; i++)
        a[i] = (uint8_t)(i * i >> 7);
    CHECK_INT(file_write(in_temp("big"), a, n), 0);
    CHECK_INT(file_copy(in_temp("big"), in_temp("copy")), 0);
    CHECK_INT(file_read(in_temp("copy"), n, &b, &m), 0);
    CHECK(n == m && !memcmp(a, b, n));
    free(a);
    free(b);
}

/* Whatever fails, the file holds the old or the new, an error is reported, nothing is left open. */
static void test_failures(void)
{
    const char *path = in_temp("kept");
    int before = open_descriptors(), k, status = TAIN_EIO, failures = 0;

    for (k = 1; status; k++) {
        CHECK_INT(file_write(path, old, strlen(old)), 0);
        break_system(k, false);
        status = file_write(path, new, strlen(new));
        io_calls = real;
        CHECK(status == 0 || status == TAIN_EIO);
        failures += status != 0;
        /* The last sync is that of the folder, when the rename has happened. */
        CHECK(holds(path, old) || holds(path, new));
        if (!status)
            CHECK(holds(path, new));
    }
    CHECK(failures >= 10);
    CHECK_INT(open_descriptors(), before);

    for (k = 1, status = TAIN_EIO; status; k++) {
        break_system(k, false);
        status = file_copy(path, in_temp("kept2"));
        io_calls = real;
    }
    CHECK(holds(in_temp("kept2"), new));

    for (k = 1, status = TAIN_EIO; status; k++) {
        break_system(k, false);
        status = folder_make(in_temp("k/l"));
        io_calls = real;
    }
    CHECK(folder_exists(in_temp("k/l")));
    CHECK_INT(open_descriptors(), before);
}

/* An interruption of a call that may be interrupted is not seen at all. */
static void test_interruptions(void)
{
    int failed = 0;

    for (int k = 1; k < 20; k++) {
        break_system(k, true);
        failed += file_write(in_temp("i"), new, strlen(new)) != 0;
        io_calls = real;
    }
    CHECK_INT(failed, 3); /* fstat, ftruncate and rename, which are not */
    CHECK(holds(in_temp("i"), new));
}

/* A lock that its last owner lets go of late is waited for. */
static void test_lock(void)
{
    int fd = open(in_temp("lock"), O_WRONLY | O_CREAT, 0666), said[2];
    char byte;
    pid_t child;

    CHECK(fd >= 0 && !pipe(said));
    if (!(child = fork())) {
        int own = open(in_temp("lock"), O_WRONLY);
        if (own < 0 || flock(own, LOCK_EX) || write(said[1], "x", 1) != 1)
            _exit(1);
        usleep(200000);
        _exit(0);
    }
    CHECK(read(said[0], &byte, 1) == 1 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK);
    CHECK_INT(file_lock(fd), 0);
    CHECK(waitpid(child, NULL, 0) == child);
    close(said[0]);
    close(said[1]);
    close(fd);
}

int main(void)
{
    real = io_calls;
    test_lock();
    test_reading();
    test_pieces();
    test_paths();
    test_folders();
    test_copy();
    test_failures();
    test_interruptions();
    temp_remove(temp);
    return 0;
}
