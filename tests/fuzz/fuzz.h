/* fuzz.h - readers of files, given any bytes at all: they read them or refuse them with one sentence.
 *
 * A target is a file here with a function `try_bytes`. `make fuzz` lets clang's fuzzer make the bytes
 * up; without it a target is a test as others are, and tries what lies in corpus/NAME: as it is, cut
 * off after every 64 bytes, and with every bit of the first and the last 64 bytes turned over.
 */
#ifndef TAIN_FUZZ_H
#define TAIN_FUZZ_H

#include "io/temp.h"

#include <sys/mman.h>

/* What a target does with the bytes. */
static void try_bytes(const uint8_t *bytes, size_t count);

/* The path of a file in memory that holds the bytes until the next call with this name. */
static inline const char *as_file(const char *name, const void *bytes, size_t count)
{
    static struct {
        char name[32], path[64];
        int fd;
    } files[4];
    int i = 0;

    while (*files[i].name && strcmp(files[i].name, name))
        CHECK(++i < 4);
    if (!*files[i].name) {
        snprintf(files[i].name, sizeof(files[i].name), "%s", name);
        CHECK((files[i].fd = memfd_create("fuzz", 0)) >= 0);
        snprintf(files[i].path, sizeof(files[i].path), "/proc/self/fd/%d", files[i].fd);
        CHECK(!symlink(files[i].path, in_temp(name)));
    }
    CHECK(!ftruncate(files[i].fd, 0) && (!count || pwrite(files[i].fd, bytes, count, 0) == (ssize_t)count));
    return in_temp(name);
}

/* What was refused must have been refused with one sentence. */
static inline void refused(void)
{
    CHECK(*tain_error() && !strchr(tain_error(), '\n'));
}

static void leave(void)
{
    if (*temp)
        temp_remove(temp);
}

#ifdef FUZZING

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static bool begun;

    if (!begun)
        atexit(leave);
    begun = true;
    try_bytes(bytes, count);
    return 0;
}

#else

static void replay(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count + 1);

    CHECK(copy);
    try_bytes(bytes, count);
    for (size_t n = 0; n < count; n += 64)
        try_bytes(bytes, n);
    memcpy(copy, bytes, count);
    for (size_t i = 0; i < count; i++)
        for (int bit = 0; bit < 8 && (i < 64 || count - i <= 64); bit++) {
            copy[i] ^= (uint8_t)(1 << bit);
            try_bytes(copy, count);
            copy[i] = bytes[i];
        }
    free(copy);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    char folder[128], path[512], **names;
    size_t count;

    (void)argc;
    atexit(leave);
    snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name ? name + 1 : argv[0]);
    CHECK_INT(folder_list(folder, &names, &count), 0);
    CHECK(count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes;
        size_t n;

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        CHECK_INT(file_read(path, 1 << 20, &bytes, &n), 0);
        replay(bytes, n);
        free(bytes);
    }
    folder_list_free(names, count);
    return 0;
}

#endif

#endif
