/* safetensors: what is read, what is refused and why, what is written, shards, damage. */
#include "io/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

static struct st_file *open_bytes(const char *name, const void *bytes, size_t n)
{
    CHECK_INT(file_write(in_temp(name), bytes, n), 0);
    return st_open(in_temp(name));
}

/* A file of this header and `data` bytes of value 1, 2, 3, … */
static struct st_file *open_header(const char *header, size_t data)
{
    uint64_t n = strlen(header);
    char *bytes = malloc(8 + n + data);
    struct st_file *f;

    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++)
        bytes[8 + n + i] = (char)(i + 1);
    f = open_bytes("header", bytes, 8 + n + data);
    free(bytes);
    return f;
}

/* ---- Reading ---- */

static void test_golden(void)
{
    struct st_file *f = st_open("tests/golden/preproc.safetensors");
    const struct st_entry *e;
    uint8_t *bytes, *piece;
    float *floats;

    CHECK(f);
    CHECK_INT(st_count(f), 16);
    CHECK(!st_find(f, "nothing") && !st_find(f, "") && !st_at(f, 16) && !st_at(f, -1));
    CHECK(!st_need(f, "nothing"));
    CHECK(strstr(tain_error(), "preproc.safetensors: has no tensor nothing"));
    CHECK(!st_metadata(f, "format"));
    for (int i = 0; i < 16; i++) {
        CHECK(e = st_at(f, i));
        CHECK(st_find(f, e->name) == e);
        CHECK(!i || e->offset == st_at(f, i - 1)->offset + (int64_t)st_at(f, i - 1)->bytes);
    }
    CHECK(e = st_need(f, "src"));
    CHECK(e->type == ST_U8 && e->rank == 3 && e->shape[0] == 23 && e->shape[1] == 37);
    CHECK(e->shape[2] == 3 && e->count == 2553 && e->bytes == 2553);
    CHECK_STRING(e->type_name, "U8");
    bytes = malloc(2553);
    piece = malloc(100);
    CHECK_INT(st_read(f, e, bytes, 2553), 0);
    CHECK_INT(st_read_part(f, e, 2453, piece, 100), 0);
    CHECK(!memcmp(bytes + 2453, piece, 100));
    CHECK_INT(st_read_part(f, e, 2553, piece, 0), 0);
    CHECK_FAILS(st_read(f, e, bytes, 2552), TAIN_EINVAL, "src has 2553 bytes; 2552 were asked for");
    CHECK_FAILS(st_read_part(f, e, 2454, piece, 100), TAIN_EINVAL, "asked for");
    CHECK_FAILS(st_read_part(f, e, SIZE_MAX, piece, 100), TAIN_EINVAL, "asked for");
    floats = malloc(3 * 32 * 32 * 4);
    CHECK_FAILS(st_read_float(f, e, floats, 2553), TAIN_EUNSUPPORTED, "src is U8");
    CHECK(e = st_need(f, "janus.norm32"));
    CHECK_FAILS(st_read_float(f, e, floats, 3), TAIN_EINVAL, "has 3072 elements; 3 were");
    CHECK_INT(st_read_float(f, e, floats, 3072), 0);
    CHECK_CLOSE(floats[0], 127 / 255.0 * 2 - 1, 1e-6); /* padding */
    free(floats);
    free(bytes);
    free(piece);
    st_close(f);
    st_close(NULL);
}

static void test_accepted(void)
{
    const struct st_entry *e;
    struct st_file *f;

    CHECK(f = open_header("{}", 0));
    CHECK_INT(st_count(f), 0);
    CHECK(!st_find(f, "a"));
    st_close(f);
    CHECK(f = open_header(" \n{\"__metadata__\":{\"format\":\"pt\",\"a\":\"\\n\"} , "
                          "\"b\":{\"data_offsets\":[2,4],\"shape\":[],\"dtype\":\"BF16\"},"
                          "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0,5],\"data_offsets\":[2,2]},"
                          "\"end\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[7,7]},"
                          "\"f4\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[4,7]},"
                          "\"\\u00e4\":{\"dtype\":\"BOOL\",\"shape\":[2],"
                          "\"data_offsets\":[0,2]}}  ",
                          7));
    CHECK_STRING(st_metadata(f, "format"), "pt");
    CHECK_STRING(st_metadata(f, "a"), "\n");
    CHECK(!st_metadata(f, "b"));
    CHECK_INT(st_count(f), 5);
    CHECK_STRING(st_at(f, 0)->name, "\xc3\xa4");
    CHECK_STRING(st_at(f, 1)->name, "none");
    CHECK_STRING(st_at(f, 2)->name, "b");
    CHECK(e = st_find(f, "b"));
    CHECK(e->rank == 0 && e->count == 1 && e->bytes == 2 && e->type == ST_BF16);
    CHECK(e = st_find(f, "none"));
    CHECK(e->rank == 3 && e->count == 0 && e->bytes == 0);
    CHECK_INT(st_read(f, e, NULL, 0), 0);
    CHECK(e = st_find(f, "f4"));
    CHECK(e->type == ST_OTHER && st_type_bytes(e->type) == 0);
    CHECK_STRING(e->type_name, "F4");
    st_close(f);
}

static void test_refused(void)
{
#define A(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define B(name, begin, end)                                                                        \
    "\"" name "\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[" begin "," end "]}"
    static const struct {
        const char *header;
        size_t data;
        const char *sentence;
    } cases[] = {
        { "[]", 0, "the header must be an object" },
        { " {", 0, "not valid JSON" },
        { "{} {}", 0, "more text after the value" },
        { "{\"a\":1}", 0, "a tensor must be an object" },
        { "{\"a\":{}}", 0, "needs dtype, shape and data_offsets" },
        { "{\"a\":{\"dtype\":\"I8\",\"shape\":[]}}", 0, "needs dtype, shape" },
        { "{\"a\":{\"dtype\":\"I8\",\"dtype\":\"I8\"}}", 0, "twice" },
        { "{\"a\":{\"x\":1}}", 0, "a key other than" },
        { "{\"a\":{\"dtype\\u0000\":1}}", 0, "a key other than" },
        { "{\"__metadata__\":[]}", 0, "must be an object" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "must be strings" },
        { "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, "twice in __metadata__" },
        { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ comes twice" },
        { A("I8", "[1]", "[0,1]"), 2, "end at byte 1 of the data, which has 2" },
        { A("I8", "[1]", "[0,1]"), 0, "lies at bytes 0 to 1, but the data has 0" },
        { A("I8", "[1]", "[1,2]"), 2, "begins at byte 1 of the data, the one before it ends at 0" },
        { A("I8", "[1]", "[1,0]"), 2, "lies at bytes 1 to 0" },
        { A("I8", "[1]", "[0,1,2]"), 2, "must be two integers" },
        { A("I8", "[1]", "[0]"), 2, "an integer was expected" },
        { A("I8", "[1]", "[0,1.0]"), 1, "an integer from 0" },
        { A("I8", "[1]", "[-0,1]"), 1, "an integer from 0" },
        { A("I8", "[1]", "[0,1e0]"), 1, "an integer from 0" },
        { A("I8", "[1]", "[0,99999999999999999999]"), 1, "an integer from 0" },
        { A("I8", "1", "[0,1]"), 1, "shape must be an array" },
        { A("I8", "[-1]", "[0,1]"), 1, "must be an integer of at least 0" },
        { A("I8", "[1.0]", "[0,1]"), 1, "must be an integer of at least 0" },
        { A("I8", "[[1]]", "[0,1]"), 1, "must be an integer of at least 0" },
        { A("I8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "more than 8 dimensions" },
        { A("I8", "[4194305,4194305,211106198978564]", "[0,4]"), 4, "more elements than" },
        { A("F64", "[2305843009213693952]", "[0,0]"), 0, "which are not 0 bytes" },
        { A("F64", "[9223372036854775807]", "[0,8]"), 8, "are not 8 bytes" },
        { A("F32", "[2]", "[0,7]"), 7, "2 elements of F32, which are not 7 bytes" },
        { A("F4", "[3]", "[0,2]"), 2, "are not 2 bytes" },
        { A("F4", "[3]", "[0,1]"), 1, "are not 1 bytes" },
        { A("F31", "[1]", "[0,4]"), 4, "a dtype that the format does not know" },
        { A("f32", "[1]", "[0,4]"), 4, "a dtype that the format does not know" },
        { A("F32\\u0000", "[1]", "[0,4]"), 4, "a dtype that the format does not know" },
        { "{" B("a", "0", "2") "," B("b", "0", "2") "}", 2, "begins at byte 0 of the data" },
        { "{" B("a", "0", "2") "," B("b", "1", "3") "}", 3, "the one before it ends at 2" },
        { "{" B("a", "0", "2") "," B("b", "3", "5") "}", 5, "the one before it ends at 2" },
        { "{" B("a", "0", "2") "," B("a", "2", "4") "}", 4, "header: a comes twice" },
        { "{" B("a", "0", "2") "," B("\\u0061", "2", "4") "}", 4, "header: a comes twice" },
        { "{" B("a", "0", "2") ",\"e\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[1,1]}}", 2,
          "begins at byte 1 of the data, the one before it ends at 2" },
        { "{" B("a\\u0000", "0", "2") "}", 2, "control characters" },
        { "{" B("a\\u001b[2J", "0", "2") "}", 2, "control characters" },
        { "{\"\xff\":1}", 0, "not UTF-8" },
    };
    static const unsigned char many[10] = { 1, 225, 245, 5 }; /* 100,000,001 */
    static const unsigned char all[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{' };
    char name[1200] = "{\"";

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct st_file *f = open_header(cases[i].header, cases[i].data);

        if (f || !strstr(tain_error(), cases[i].sentence) || !strstr(tain_error(), "header: ")) {
            fprintf(stderr, "%s: %s, expected: %s\n", cases[i].header, f ? "read" : tain_error(),
                    cases[i].sentence);
            exit(1);
        }
    }
    memset(name + 2, 'a', 1025);
    strcpy(name + 1027, "\":{}}");
    CHECK(!open_header(name, 0));
    CHECK(strstr(tain_error(), "more than 1024 bytes"));
    CHECK(!open_bytes("header", "", 0));
    CHECK(strstr(tain_error(), "too few for a safetensors file"));
    CHECK(!open_bytes("header", many, 10));
    CHECK(strstr(tain_error(), "its header would have 100000001 bytes"));
    CHECK(!open_bytes("header", all, 10));
    CHECK(strstr(tain_error(), "its header would have 3 bytes"));
    CHECK(!open_bytes("header", "PK\3\4 is a zip file", 18));
    CHECK(strstr(tain_error(), "is no archive")); /* pickle.c has the rest of these */
    CHECK(!st_open(in_temp("none")));
    CHECK(strstr(tain_error(), "No such file"));
    CHECK(!st_open(temp));
    CHECK(strstr(tain_error(), "there is neither model.safetensors nor model.safetensors.index.json"));
}

/* ---- Floats ---- */

static void test_half(void)
{
    CHECK(f16_to_f32(0x3c00) == 1 && f16_to_f32(0xc000) == -2 && f16_to_f32(0x7bff) == 65504);
    CHECK(f16_to_f32(0x0001) == 0x1p-24f && f16_to_f32(0x03ff) == 0x1.ff8p-15f);
    CHECK(f16_to_f32(0x0400) == 0x1p-14f && f16_to_f32(0xfc00) == -INFINITY);
    CHECK(f16_to_f32(0x8000) == 0 && signbit(f16_to_f32(0x8000)) && isnan(f16_to_f32(0x7c01)));
    CHECK(bf16_to_f32(0x3f80) == 1 && bf16_to_f32(0x0001) == 0x1p-133f);
    for (unsigned h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h), b = bf16_to_f32((uint16_t)h);

        /* There and back; and what lies between two neighbours goes to the even one. */
        if (isnan(f))
            CHECK(isnan(f16_to_f32(f32_to_f16(f))));
        else
            CHECK_INT(f32_to_f16(f), h);
        if (isnan(b))
            CHECK(isnan(bf16_to_f32(f32_to_bf16(b))));
        else
            CHECK_INT(f32_to_bf16(b), h);
        if ((h & 0x7fff) < 0x7bff) {
            float next = f16_to_f32((uint16_t)(h + 1)), middle = f + (next - f) / 2;

            CHECK_INT(f32_to_f16(middle), h & 1 ? h + 1 : h);
            CHECK_INT(f32_to_f16(nextafterf(middle, f)), h);
            CHECK_INT(f32_to_f16(nextafterf(middle, next)), h + 1);
        }
    }
    CHECK_INT(f32_to_f16(65519.996f), 0x7bff);
    CHECK_INT(f32_to_f16(65520), 0x7c00);
    CHECK_INT(f32_to_f16(-1e30f), 0xfc00);
    CHECK_INT(f32_to_f16(1e-30f), 0);
    CHECK_INT(f32_to_bf16(0x1.01p0f), 0x3f80);
    CHECK_INT(f32_to_bf16(0x1.03p0f), 0x3f82);
    CHECK_INT(f32_to_bf16(3.4e38f), 0x7f80);
}

static void test_floats(void)
{
    enum { N = 40000 }; /* more than one piece */
    static double wide[N];
    static uint16_t half[N], brain[N];
    static float out[N];
    const struct st_tensor list[] = {
        { "wide", ST_F64, 1, { N }, wide },
        { "half", ST_F16, 2, { 2, N / 2 }, half },
        { "brain", ST_BF16, 1, { N }, brain },
    };
    struct st_file *f;

    for (int i = 0; i < N; i++) {
        wide[i] = i / 7.0;
        half[i] = (uint16_t)(i % 0x7c00);
        brain[i] = (uint16_t)(i % 0x7f80);
    }
    CHECK_INT(st_write(in_temp("floats"), list, 3), 0);
    CHECK(f = st_open(in_temp("floats")));
    CHECK_INT(st_read_float(f, st_find(f, "wide"), out, N), 0);
    for (int i = 0; i < N; i++)
        CHECK(out[i] == (float)wide[i]);
    CHECK_INT(st_read_float(f, st_find(f, "half"), out, N), 0);
    for (int i = 0; i < N; i++)
        CHECK(out[i] == f16_to_f32(half[i]));
    CHECK_INT(st_read_float(f, st_find(f, "brain"), out, N), 0);
    for (int i = 0; i < N; i++)
        CHECK(out[i] == bf16_to_f32(brain[i]));

    /* Cut while open: an error, not a signal. */
    CHECK_INT(truncate(in_temp("floats"), st_find(f, "brain")->offset + 5), 0);
    CHECK_FAILS(st_read_float(f, st_find(f, "brain"), out, N), TAIN_EFORMAT, "brain: ");
    CHECK(strstr(tain_error(), "where more was expected"));
    CHECK_FAILS(st_read_float(f, st_find(f, "half"), out, N), TAIN_EFORMAT, "was changed while it was read");
    st_close(f);

    /* Written over while open: not half of the one and half of the other. */
    CHECK_INT(st_write(in_temp("floats"), list, 3), 0);
    CHECK(f = st_open(in_temp("floats")));
    CHECK_INT(st_read_float(f, st_find(f, "half"), out, N), 0);
    usleep(20000); /* a tick of the clock that files have */
    int fd = open(in_temp("floats"), O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "\1", 1, (off_t)st_find(f, "brain")->offset) == 1 && !close(fd));
    CHECK_FAILS(st_read_float(f, st_find(f, "brain"), out, N), TAIN_EFORMAT, "was changed while it was read");
    st_close(f);

    /* Another in its place: the one that was opened is still whole. */
    CHECK_INT(st_write(in_temp("floats"), list, 3), 0);
    CHECK(f = st_open(in_temp("floats")));
    usleep(20000);
    CHECK_INT(st_write(in_temp("another"), list, 1), 0);
    CHECK(!rename(in_temp("another"), in_temp("floats")));
    CHECK_INT(st_read_float(f, st_find(f, "brain"), out, N), 0);
    st_close(f);
}

/* ---- Writing ---- */

static const int32_t numbers[6] = { 1, -2, 3, -4, 5, -6 };
static const struct st_tensor small[] = {
    { "b.weight", ST_I32, 2, { 2, 3 }, numbers },
    { "a\"q", ST_F32, 0, { 0 }, numbers },
    { "none", ST_I32, 2, { 0, 7 }, NULL },
    { "c", ST_BOOL, 1, { 3 }, numbers },
};

static void test_writing(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b.weight\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"a\\\"q\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]},"
        "\"none\":{\"dtype\":\"I32\",\"shape\":[0,7],\"data_offsets\":[28,28]},"
        "\"c\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[28,31]}}";
    struct st_tensor bad[2] = { small[0], small[0] };
    const char *path = in_temp("w");
    uint8_t *bytes, *again;
    struct st_out *out;
    struct st_file *f;
    size_t n, m;
    int32_t back[6];

    CHECK_INT(st_write(path, small, 4), 0);
    CHECK_INT(file_read(path, 10000, &bytes, &n), 0);
    CHECK(!memcmp(bytes + 8, header, strlen(header)));
    memcpy(&m, bytes, 8);
    CHECK(m % 8 == 0 && m >= strlen(header) && m < strlen(header) + 8 && n == 8 + m + 31);
    for (size_t i = strlen(header); i < m; i++)
        CHECK_INT(bytes[8 + i], ' ');
    CHECK(f = st_open(path));
    CHECK_STRING(st_metadata(f, "format"), "pt");
    CHECK_INT(st_read(f, st_find(f, "b.weight"), back, 24), 0);
    CHECK(!memcmp(back, numbers, 24));
    CHECK_STRING(st_at(f, 1)->name, "a\"q");
    st_close(f);

    /* The same bytes, one by one, and only at the end. */
    CHECK_INT(file_remove(path), 0);
    CHECK(out = st_begin(path, small, 4, 0));
    for (int i = 0; i < 24; i++)
        CHECK_INT(st_put(out, (const char *)numbers + i, 1), 0);
    CHECK_INT(st_put(out, numbers, 4), 0);
    CHECK_INT(st_put(out, numbers, 3), 0);
    CHECK_INT(st_put(out, numbers, 0), 0);
    CHECK(!file_exists(path));
    CHECK_INT(st_end(out), 0);
    CHECK_INT(file_read(path, 10000, &again, &m), 0);
    CHECK(n == m && !memcmp(bytes, again, n));
    free(bytes);
    free(again);

    CHECK(out = st_begin(in_temp("w2"), small, 4, 0));
    CHECK_INT(st_put(out, numbers, 24), 0);
    CHECK_FAILS(st_end(out), TAIN_EINVAL, "7 bytes of its tensors were not put");
    CHECK(out = st_begin(in_temp("w2"), small, 1, 0));
    CHECK_INT(st_put(out, numbers, 24), 0);
    CHECK_FAILS(st_put(out, numbers, 1), TAIN_EINVAL, "more bytes than its tensors have");
    CHECK_FAILS(st_end(out), TAIN_EIO, "an earlier write");
    CHECK(out = st_begin(in_temp("w2"), small, 1, 0));
    CHECK_INT(st_put(out, numbers, 20), 0);
    st_drop(out);
    st_drop(NULL);
    CHECK(!file_exists(in_temp("w2")) && !file_exists(in_temp("w2.part")));

    CHECK_INT(st_write(in_temp("w2"), NULL, 0), 0);
    CHECK(f = st_open(in_temp("w2")));
    CHECK_INT(st_count(f), 0);
    st_close(f);

    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "b.weight would come twice");
    bad[1].name = "__metadata__";
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "cannot be the name");
    bad[1].name = "\xff";
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "cannot be the name");
    bad[1].name = "x";
    bad[1].shape[0] = -1;
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "x has a type or a shape");
    bad[1].shape[0] = INT64_MAX;
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "x has a type or a shape");
    bad[1].type = ST_OTHER;
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "x has a type or a shape");
    bad[0] = small[3];
    bad[1] = small[0];
    CHECK_FAILS(st_write(path, bad, 2), TAIN_EINVAL, "larger types first");
    CHECK_FAILS(st_write(in_temp("none/w"), small, 4), TAIN_EIO, "No such file");
}

/* ---- Shards ---- */

static void write_index(const char *folder, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/model.safetensors.index.json", folder);
    CHECK_INT(file_write(path, text, strlen(text)), 0);
}

static void refused_index(const char *folder, const char *text, const char *sentence)
{
    write_index(folder, text);
    CHECK(!st_open(folder));
    if (!strstr(tain_error(), sentence)) {
        fprintf(stderr, "%s: %s, expected: %s\n", text, tain_error(), sentence);
        exit(1);
    }
}

static void test_shards(void)
{
    const char *folder = in_temp("model"), *one = in_temp("model/model-00001-of-00003.safetensors");
    const char *two = in_temp("model/model-00002-of-00003.safetensors");
    static const char index[] = "{\n  \"metadata\": {\n    \"total_size\": 31\n  },\n"
                                "  \"weight_map\": {\n"
                                "    \"b.weight\": \"model-00001-of-00003.safetensors\",\n"
                                "    \"a\\\"q\": \"model-00002-of-00003.safetensors\",\n"
                                "    \"none\": \"model-00002-of-00003.safetensors\",\n"
                                "    \"c\": \"model-00003-of-00003.safetensors\"\n  }\n}\n";
    struct st_out *out;
    struct st_file *f;
    uint8_t *bytes;
    int32_t back[6];
    size_t n;

    CHECK_INT(folder_make(folder), 0);
    CHECK(out = st_begin(folder, small, 4, 5));
    CHECK_INT(st_put(out, numbers, 24), 0);
    CHECK_INT(st_put(out, numbers, 4), 0);
    CHECK(!file_exists(one));
    CHECK_INT(st_put(out, numbers, 3), 0);
    CHECK_INT(st_end(out), 0);
    CHECK_INT(file_read(in_temp("model/model.safetensors.index.json"), 10000, &bytes, &n), 0);
    CHECK_STRING((char *)bytes, index);
    free(bytes);

    CHECK(f = st_open(folder));
    CHECK_INT(st_count(f), 4);
    CHECK_INT(st_read(f, st_need(f, "b.weight"), back, 24), 0);
    CHECK(!memcmp(back, numbers, 24));
    CHECK_INT(st_read(f, st_need(f, "c"), back, 3), 0);
    CHECK(!memcmp(back, numbers, 3));
    CHECK(strstr(st_path(f, st_need(f, "none")), "model-00002-of-00003"));
    st_close(f);
    CHECK(f = st_open(in_temp("model/model.safetensors.index.json")));
    st_close(f);
    CHECK(!st_begin(folder, small, 4, 1000));
    CHECK(strstr(tain_error(), "a model in shards is there already"));

    CHECK_INT(file_rename(two, in_temp("model/gone")), 0);
    CHECK(!st_open(folder));
    CHECK(strstr(tain_error(), "the shard model-00002-of-00003.safetensors, which is not there"));
    CHECK_INT(file_copy(one, two), 0);
    CHECK(!st_open(folder));
    CHECK(strstr(tain_error(), "b.weight is also in"));
    CHECK_INT(file_rename(in_temp("model/gone"), two), 0);

    refused_index(folder, "{}", "index.json: weight_map is missing");
    refused_index(folder, "{\"weight_map\":{}}", "weight_map lists no tensors");
    refused_index(folder, "{\"weight_map\":[]}", "weight_map must be an object");
    refused_index(folder, "{\"weight_map\":{\"c\":1}}", "weight_map.c must be a string, not 1");
    refused_index(folder, "{\"weight_map\":{\"c\":\"../x\"}}", "must be the name of a file");
    refused_index(folder, "{\"weight_map\":{\"c\":\"/etc/passwd\"}}", "must be the name of a");
    refused_index(folder, "{\"weight_map\":{\"c\":\"..\"}}", "must be the name of a");
    refused_index(folder, "{\"weight_map\":{\"c\":\"\"}}", "must be the name of a");
    refused_index(folder, "{\"weight_map\":{\"c\":\"a\\u0000b\"}}", "zero byte");
    refused_index(folder, "{\"weight_map\":{\"d\":\"model-00001-of-00003.safetensors\"}}",
                  "weight_map.d is not in model-00001-of-00003.safetensors");
    refused_index(folder,
                  "{\"weight_map\":{\"c\":\"model-00001-of-00003.safetensors\","
                  "\"b.weight\":\"model-00003-of-00003.safetensors\"}}",
                  "weight_map.c is not in model-00001-of-00003.safetensors");

    /* One file in a folder; it goes before an index, and hides later shards. */
    CHECK_INT(file_remove(in_temp("model/model.safetensors.index.json")), 0);
    CHECK(out = st_begin(folder, small, 4, 1000));
    CHECK_INT(st_put(out, numbers, 24), 0);
    CHECK_INT(st_put(out, numbers, 7), 0);
    CHECK_INT(st_end(out), 0);
    CHECK(f = st_open(folder));
    CHECK_STRING(st_path(f, st_at(f, 0)), in_temp("model/model.safetensors"));
    st_close(f);
    CHECK(!st_begin(folder, small, 4, 5));
    CHECK(strstr(tain_error(), "would hide the shards"));
}

/* A full disk at any write: an error, no file, nothing left over. */
static struct io_calls real;
static int writes, fail_at;

static ssize_t full(int fd, const void *p, size_t n, off_t at)
{
    if (++writes >= fail_at) {
        errno = ENOSPC;
        return -1;
    }
    return real.pwrite(fd, p, n, at);
}

static void test_full_disk(void)
{
    const char *folder = in_temp("full");
    int status = TAIN_EIO, k;
    struct st_file *f;
    size_t n;
    char **names;

    real = io_calls;
    CHECK_INT(folder_make(folder), 0);
    for (k = 1; status; k++) {
        struct st_out *out = st_begin(folder, small, 4, 5);

        CHECK(out);
        writes = 0;
        fail_at = k;
        io_calls.pwrite = full;
        status = st_put(out, numbers, 24) ? TAIN_EIO : st_put(out, numbers, 7);
        if (st_end(out))
            status = TAIN_EIO;
        io_calls = real;
        CHECK_INT(folder_list(folder, &names, &n), 0);
        if (status && writes < 10) /* the tenth is the index, when the shards have their names */
            CHECK_INT(n, 0);
        folder_list_free(names, n);
    }
    CHECK_INT(k, 12);
    CHECK(f = st_open(folder));
    st_close(f);
}

/* ---- Damage ---- */

/* Opens and reads everything; whatever happens must be an error or a valid read. */
static bool try_all(const char *path)
{
    struct st_file *f = st_open(path);

    if (!f) {
        CHECK(tain_error_status() == TAIN_EFORMAT);
        return false;
    }
    for (int i = 0; i < st_count(f); i++) {
        const struct st_entry *e = st_at(f, i);
        void *bytes = malloc(e->bytes ? e->bytes : 1);

        CHECK_INT(st_read(f, e, bytes, e->bytes), 0);
        if (e->type <= ST_BF16) {
            float *floats = malloc((size_t)e->count * 4 + 1);

            CHECK_INT(st_read_float(f, e, floats, (size_t)e->count), 0);
            free(floats);
        }
        free(bytes);
    }
    st_close(f);
    return true;
}

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static void test_damage(void)
{
    const char *path = in_temp("damaged");
    uint8_t *good, *bad;
    uint64_t header;
    size_t n;
    int read = 0;

    io_calls.fsync = no_sync;
    CHECK_INT(file_read(in_temp("w"), 10000, &good, &n), 0);
    memcpy(&header, good, 8);
    for (size_t cut = 0; cut < n; cut++) {
        CHECK_INT(file_write(path, good, cut), 0);
        CHECK(!try_all(path));
    }
    CHECK(bad = malloc(n + 1));
    memcpy(bad, good, n);
    bad[n] = 0;
    CHECK_INT(file_write(path, bad, n + 1), 0);
    CHECK(!try_all(path));
    for (size_t i = 0; i < 8 + header; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bad, good, n);
            bad[i] ^= (uint8_t)(1 << bit);
            CHECK_INT(file_write(path, bad, n), 0);
            read += try_all(path);
        }
    CHECK(read > 0 && read < (int)header * 8); /* another bit in a name makes another name */
    free(good);
    free(bad);

    /* A real file, at a few hundred places. */
    CHECK_INT(file_read("tests/golden/preproc.safetensors", 1 << 20, &good, &n), 0);
    for (size_t cut = 0; cut < n; cut += cut < 1500 ? 7 : 997) {
        CHECK_INT(file_write(path, good, cut), 0);
        CHECK(!try_all(path));
    }
    free(good);
    io_calls = real;
}

int main(void)
{
    in_temp("");
    test_golden();
    test_accepted();
    test_refused();
    test_half();
    test_floats();
    test_writing();
    test_shards();
    test_full_disk();
    test_damage();
    temp_remove(temp);
    return 0;
}
