/* What Lua gets of files and pictures: bytes, folders within folders, NULL for everything. */
#include "io/temp.h"

static void put(const char *name, const char *text)
{
    CHECK_INT(tain_file_write(in_temp(name), text, (int64_t)strlen(text)), 0);
}

static void test_files(void)
{
    tain_bytes *b;

    put("a", "one");
    CHECK_INT(tain_file_size(in_temp("a")), 3);
    CHECK((b = tain_file_read(in_temp("a"), 3)) != NULL);
    CHECK_INT(tain_bytes_count(b), 3);
    CHECK(!memcmp(tain_bytes_at(b), "one", 3));
    tain_bytes_free(b);
    CHECK(!tain_file_read(in_temp("a"), 2));
    CHECK(strstr(tain_error(), "more than the limit"));
    CHECK(!tain_file_read(in_temp("a"), -1));

    CHECK_INT(tain_file_copy(in_temp("a"), in_temp("b")), 0);
    CHECK_INT(tain_file_rename(in_temp("b"), in_temp("c")), 0);
    CHECK(tain_file_exists(in_temp("c")) && !tain_file_exists(in_temp("b")));
    CHECK_INT(tain_file_remove(in_temp("c")), 0);
    CHECK(!tain_file_exists(in_temp("c")));

    CHECK((b = tain_file_sha256(in_temp("a"))) != NULL);
    CHECK_INT(tain_bytes_count(b), 64);
    CHECK(!memcmp(tain_bytes_at(b), "7692c3ad3540bb80", 16));
    tain_bytes_free(b);
    CHECK((b = tain_sha256("one", 3)) != NULL);
    CHECK(!memcmp(tain_bytes_at(b), "7692c3ad3540bb80", 16));
    tain_bytes_free(b);
}

static void test_folders(void)
{
    tain_bytes *b;

    CHECK_INT(tain_folder_make(in_temp("x/y/z")), 0);
    CHECK_INT(tain_folder_make(in_temp("x/y/z")), 0);
    CHECK(tain_folder_exists(in_temp("x/y/z")) && !tain_folder_exists(in_temp("a")));
    CHECK((b = tain_folder_list(in_temp("x/y/z"))) != NULL);
    CHECK_INT(tain_bytes_count(b), 0);
    tain_bytes_free(b);

    put("x/2", "two");
    put("x/y/1", "one");
    put("kept", "kept");
    CHECK_INT(symlink(temp, in_temp("x/y/up")), 0);
    CHECK_INT(symlink("nowhere", in_temp("x/y/z/broken")), 0);
    CHECK((b = tain_folder_list(in_temp("x"))) != NULL);
    CHECK_INT(tain_bytes_count(b), 4);
    CHECK(!memcmp(tain_bytes_at(b), "2\0y", 4));
    tain_bytes_free(b);

    CHECK_INT(tain_folder_settle(in_temp("x")), 0);
    CHECK_INT(tain_folder_remove(in_temp("x")), 0);
    CHECK(!tain_folder_exists(in_temp("x")));
    CHECK(tain_file_exists(in_temp("kept"))); /* the link to it was not followed */
    CHECK_FAILS(tain_folder_remove(in_temp("x")), TAIN_EIO, "cannot be opened");
    CHECK_FAILS(tain_folder_settle(in_temp("x")), TAIN_EIO, "cannot be opened");
    CHECK(!tain_folder_list(in_temp("x")));
}

static void test_images(void)
{
    float values[2 * 3 * 3];
    tain_image *i = tain_image_create(3, 2), *again, *list[2], *tiles;
    tain_bytes *b;

    CHECK(i && tain_image_width(i) == 3 && tain_image_height(i) == 2);
    for (int k = 0; k < 18; k++)
        values[k] = (float)(k - 9) / 8; /* some beyond either end */
    values[17] = NAN;
    CHECK_INT(tain_image_fill(i, values, 18, -1, 1), 0);
    CHECK_INT(tain_image_pixels(i)[0], 0);
    CHECK_INT(tain_image_pixels(i)[9], 128);
    CHECK_INT(tain_image_pixels(i)[16], 239);
    CHECK_INT(tain_image_pixels(i)[17], 0);
    CHECK_FAILS(tain_image_fill(i, values, 17, -1, 1), TAIN_EINVAL, "17 values for 3 x 2 pixels");
    CHECK_FAILS(tain_image_fill(i, values, 18, 1, 1), TAIN_EINVAL, "low is 1");

    CHECK((b = tain_image_png(i)) != NULL);
    CHECK((again = tain_image_decode("again", tain_bytes_at(b), tain_bytes_count(b))) != NULL);
    CHECK(!memcmp(tain_image_pixels(i), tain_image_pixels(again), 18));
    CHECK(!tain_image_decode("again", tain_bytes_at(b), tain_bytes_count(b) - 1));
    CHECK_INT(tain_image_write(i, in_temp("i.png")), 0);
    tain_image_free(again);
    CHECK((again = tain_image_read(in_temp("i.png"))) != NULL);
    CHECK(!memcmp(tain_image_pixels(i), tain_image_pixels(again), 18));
    tain_bytes_free(b);

    list[0] = i;
    list[1] = again;
    CHECK((tiles = tain_image_tile(list, 2, 1, 1, 0x010203)) != NULL);
    CHECK(tain_image_width(tiles) == 5 && tain_image_height(tiles) == 7);
    CHECK_INT(tain_image_pixels(tiles)[2], 3);
    tain_image_free(tiles);
    list[1] = NULL;
    CHECK(!tain_image_tile(list, 2, 1, 1, 0));
    CHECK(!tain_image_tile(list, 0, 1, 1, 0));
    CHECK((tiles = tain_image_resize(i, 6, 4, TAIN_BICUBIC)) != NULL);
    CHECK_INT(tain_image_width(tiles), 6);
    tain_image_free(tiles);
    CHECK(!tain_image_resize(i, 6, 4, (tain_filter)3));
    CHECK(!tain_image_resize(i, 0, 4, TAIN_LANCZOS));
    CHECK(!tain_image_create(0, 1));
    tain_image_free(i);
    tain_image_free(again);
}

static void test_log(void)
{
    tain_events *log = tain_events_open(in_temp("log"), true);
    const char *line;
    int64_t at = 0, n;

    CHECK(log && !tain_events_count(log) && !tain_events_trimmed(log));
    CHECK_INT(tain_events_add(log, "{\"a\":1}", 7), 0);
    CHECK_INT(tain_events_sync(log), 0);
    CHECK_FAILS(tain_events_add(log, "{", 1), TAIN_EINVAL, "event");
    CHECK(!tain_events_open(in_temp("log"), true));
    CHECK(strstr(tain_error(), "another process"));
    CHECK_INT(tain_events_next(log, &at, &line, &n), 1);
    CHECK(n == 33 - 1 && !memcmp(line, "{\"seq\":1,\"a\":1,\"crc\":\"", 22));
    CHECK_INT(tain_events_next(log, &at, &line, &n), 0);
    CHECK_INT(tain_events_count(log), 1);
    tain_events_free(log);
    CHECK((log = tain_events_open(in_temp("log"), false)) != NULL);
    CHECK_INT(tain_events_count(log), 1);
    tain_events_free(log);
}

static void test_null(void)
{
    tain_events_free(NULL);
    CHECK(!tain_events_open(NULL, true) && !tain_events_count(NULL) && !tain_events_trimmed(NULL));
    CHECK(tain_events_add(NULL, "{}", 2) && tain_events_sync(NULL));
    CHECK(tain_events_next(NULL, NULL, NULL, NULL) < 0);
    CHECK(!tain_file_read(NULL, 1) && !tain_file_sha256(NULL) && !tain_sha256(NULL, 1));
    CHECK(!tain_file_exists(NULL) && !tain_folder_exists(NULL) && !tain_folder_list(NULL));
    CHECK(tain_file_size(NULL) < 0 && tain_file_write(NULL, "", 0) && tain_file_remove(NULL));
    CHECK(tain_file_copy(NULL, "x") && tain_file_rename("x", NULL) && tain_folder_make(NULL));
    CHECK(tain_folder_settle(NULL) && tain_folder_remove(NULL));
    CHECK(!tain_bytes_at(NULL) && !tain_bytes_count(NULL));
    tain_bytes_free(NULL);
    CHECK(!tain_image_width(NULL) && !tain_image_height(NULL) && !tain_image_pixels(NULL));
    CHECK(!tain_image_read(NULL) && !tain_image_decode(NULL, "", 0) && !tain_image_png(NULL));
    CHECK(tain_image_write(NULL, "x") && tain_image_fill(NULL, NULL, 0, 0, 1));
    CHECK(!tain_image_resize(NULL, 1, 1, TAIN_BICUBIC) && !tain_image_tile(NULL, 1, 1, 0, 0));
    tain_image_free(NULL);
}

int main(void)
{
    test_files();
    test_folders();
    test_images();
    test_log();
    test_null();
    temp_remove(temp);
    return 0;
}
