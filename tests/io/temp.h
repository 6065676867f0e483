/* temp.h - a folder of one's own for a test of files. */
#ifndef TAIN_TEMP_H
#define TAIN_TEMP_H

#include "check.h"
#include "io/io.h"

#include <unistd.h>

static char temp[64];

/* The path of a file in the test's folder, good until the end. */
static const char *in_temp(const char *name)
{
    static char paths[64][256];
    static int count;
    char path[256];

    if (!*temp) {
        strcpy(temp, "/tmp/tain-test-XXXXXX");
        CHECK(mkdtemp(temp));
    }
    snprintf(path, sizeof(path), "%s/%s", temp, name);
    for (int i = 0; i < count; i++)
        if (!strcmp(paths[i], path))
            return paths[i];
    CHECK((size_t)count < COUNT_OF(paths));
    return strcpy(paths[count++], path);
}

/* Removes the folder with what is directly in it and one level below. */
static void temp_remove(const char *folder)
{
    char **names, path[512];
    size_t n;

    if (folder_list(folder, &names, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (unlink(path))
            temp_remove(path);
    }
    folder_list_free(names, n);
    rmdir(folder);
}

#endif
