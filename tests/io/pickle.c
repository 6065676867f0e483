/* pickle: what PyTorch writes is read; every other instruction, name, argument and archive is
 * refused before it is used; damage ends in one sentence. */
#define _GNU_SOURCE /* memfd_create */
#include "io/zip.h"

#include <stdint.h>

/* ---- Programs ---- */

#define PROTO    "\x80\2"
#define ORDERED  "ccollections\nOrderedDict\n"
#define TENSOR   "ctorch._utils\n_rebuild_tensor_v2\n"
#define FLOATS   "ctorch\nFloatStorage\n"
#define TEXT(n, text) "X" n "\0\0\0" text
#define STORAGE(key) "(" TEXT("\7", "storage") FLOATS TEXT("\1", key) TEXT("\3", "cpu") "K\6tQ"
#define HOOKS    ORDERED ")R"
/* a = six floats, [2, 3] */
#define A        TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\0K\2K\3\x86K\3K\1\x86\x89" HOOKS "tR"

struct program {
    const char *code;
    size_t count;
    const char *sentence;
};
#define PROGRAM(code, sentence) { code, sizeof(code) - 1, sentence }

static const float six[6] = { 1, 2, 3, 4, 5, 6 };

static void archive(struct bytes *z, const void *code, size_t count, const struct layout *l)
{
    const struct member members[] = {
        { "m/data.pkl", code, count }, { "m/version", "3\n", 2 }, { "m/byteorder", "little", 6 },
        { "m/data/0", six, 24 },       { "m/data/1", six, 20 },   { "m/.data/serialization_id", "1", 1 },
    };

    make_zip(z, members, COUNT_OF(members), l);
}

static struct st_file *open_program(const void *code, size_t count)
{
    static struct bytes z;

    archive(&z, code, count, &(struct layout){ .padding = 7 });
    return open_as("m.bin", z.at, z.count);
}

static void refuses(const void *code, size_t count, const char *sentence)
{
    struct st_file *f = open_program(code, count);

    if (f || !strstr(tain_error(), sentence) || !strstr(tain_error(), "m.bin: ")) {
        fprintf(stderr, "%s, expected: %s\n", f ? "it was read" : tain_error(), sentence);
        exit(1);
    }
}

/* ---- What is read ---- */

static void same(const char *path, const char *expected)
{
    struct st_file *f = st_open(path), *want = st_open(expected);

    CHECK(f && want);
    CHECK_INT(st_count(f), st_count(want));
    for (int i = 0; i < st_count(want); i++) {
        const struct st_entry *e = st_at(want, i), *got = st_need(f, e->name);
        char *a = malloc(e->bytes + 1), *b = malloc(e->bytes + 1);

        CHECK(got && a && b);
        CHECK_STRING(got->type_name, e->type_name);
        CHECK(got->type == e->type && got->rank == e->rank && got->bytes == e->bytes && got->count == e->count);
        CHECK(!memcmp(got->shape, e->shape, sizeof(e->shape)));
        CHECK_INT(st_read(want, e, a, e->bytes), 0);
        CHECK_INT(st_read(f, got, b, e->bytes), 0);
        CHECK(!memcmp(a, b, e->bytes));
        for (size_t from = 0; from + 3 <= e->bytes; from += 3) { /* in pieces that end anywhere */
            CHECK_INT(st_read_part(f, got, from, b, 3), 0);
            CHECK(!memcmp(a + from, b, 3));
        }
        CHECK_FAILS(st_read_part(f, got, e->bytes, b, 1), TAIN_EINVAL, "were asked for");
        free(a);
        free(b);
    }
    CHECK(!st_metadata(f, "format"));
    st_close(f);
    st_close(want);
}

static void test_accepted(void)
{
    static const struct program good[] = {
        PROGRAM(PROTO "}.", NULL),
        PROGRAM(PROTO ORDERED ")R(" A "u.", NULL),
        PROGRAM(PROTO "}(" A "u.", NULL),
        PROGRAM(PROTO "}" A "s.", NULL),
        PROGRAM(PROTO ORDERED ")R" A "s}" TEXT("\1", "x") "]K\1aN(\x88G12345678etb.", ""), /* a tuple is no state */
        PROGRAM(PROTO ORDERED ")R" A "s}" TEXT("\1", "x") "]K\1a(N\x88G12345678\x8a\3\1\2\3M\1\2J\1\2\3\4esb.", NULL),
        PROGRAM(PROTO "}" TEXT("\1", "a") "ctorch._utils\n_rebuild_parameter\n" TENSOR "(" STORAGE("0")
                "K\0ctorch\nSize\nK\2K\3\x86\x85RK\3K\1\x86\x89" HOOKS "tR\x88" HOOKS "\x87Rs.", NULL),
        PROGRAM(PROTO "}" TEXT("\1", "a") "ctorch._utils\n_rebuild_tensor\n(" STORAGE("0") "K\0K\2K\3\x86K\3K\1\x86tRs.", NULL),
        PROGRAM(PROTO "}r\0\0\0\0" TEXT("\1", "a") "q\1" TENSOR "q\2(" STORAGE("0") "q\3K\0q\4K\2K\3\x86K\3h\4"
                "0", "instruction 0x30"),
    };
    static const struct layout layouts[] = {
        { 0 }, { .padding = 50 }, { .comment = "PK\5\6 no end" }, { .wide = true }, { .wide = true, .comment = "c" },
    };
    static struct bytes z;
    const struct st_entry *e;
    struct st_file *f;
    float back[6];

    same("tests/golden/pickle/tiny.bin", "tests/golden/pickle/tiny.expected.safetensors");
    same("tests/golden/pickle/torch.bin", "tests/golden/pickle/torch.expected.safetensors");
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (good[i].sentence) {
            refuses(good[i].code, good[i].count, good[i].sentence);
            continue;
        }
        CHECK(f = open_program(good[i].code, good[i].count));
        CHECK_INT(st_count(f), i > 0);
        st_close(f);
    }
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        archive(&z, good[1].code, good[1].count, &layouts[i]);
        CHECK(f = open_as("layout.pth", z.at, z.count));
        CHECK(e = st_need(f, "a"));
        CHECK(e->type == ST_F32 && e->rank == 2 && e->shape[0] == 2 && e->shape[1] == 3 && !e->stride);
        CHECK_INT(st_read(f, e, back, 24), 0);
        CHECK(!memcmp(back, six, 24));
        st_close(f);
        CHECK(f = open_as("by_content", z.at, z.count));
        st_close(f);
    }
}

/* ---- What is refused ---- */

static const char accepted[] = "\x80" "cRb}()t\x85\x86\x87XJKM\x8aQqrhj\x89\x88Nsu.]aeG";

static void test_instructions(void)
{
    CHECK_INT(sizeof(accepted) - 1, 31);
    for (int op = 0; op < 256; op++) {
        /* After a start, with things on the stack that it could use; then what would end it well. */
        char code[] = PROTO "}" TEXT("\1", "a") "K\1K\2?" ".............", sentence[64];
        size_t at = sizeof(PROTO "}" TEXT("\1", "a") "K\1K\2") - 1;

        if (memchr(accepted, op, 31))
            continue;
        code[at] = (char)op;
        snprintf(sentence, sizeof(sentence), "data.pkl, byte %zu: instruction 0x%02x,", at, op);
        refuses(code, sizeof(code) - 1, sentence);
        /* Nothing after it is looked at. */
        memset(code + at + 1, 0xff, sizeof(code) - at - 2);
        refuses(code, sizeof(code) - 1, sentence);
        /* As the first and only byte it begins no pickle. */
        code[0] = (char)op;
        refuses(code, 1, "no pickle begins like this");
    }
}

static void test_names(void)
{
    static const char *const modules[] = {
        "os", "posix", "nt", "builtins", "__builtin__", "subprocess", "sys", "socket", "shutil", "runpy", "importlib", "pickle",
        "torch", "torch._utils", "torch.serialization", "torch.hub", "torch.jit", "numpy", "numpy.core.multiarray", "collections",
        "operator", "functools", "types", "code", "ctypes",
    };
    static const char *const functions[] = {
        "system", "eval", "exec", "execv", "popen", "Popen", "open", "__import__", "getattr", "setattr", "loads", "load",
        "compile", "globals", "run", "call", "partial", "attrgetter", "_rebuild_tensor_v3", "_rebuild_sparse_tensor",
        "UntypedStorage", "ComplexFloatStorage", "OrderedDict ", " OrderedDict", "FloatStorag", "FloatStorage\r", "",
    };
    char code[256], sentence[64];
    int tried = 0;

    for (size_t i = 0; i < COUNT_OF(modules); i++)
        for (size_t k = 0; k < COUNT_OF(functions); k++, tried++) {
            int n = snprintf(code, sizeof(code), "\x80\2c%s\n%s\n(X\2%c%c%cidtR.", modules[i], functions[k], 0, 0, 0);
            snprintf(sentence, sizeof(sentence), "byte 2: names %s.", modules[i]);
            refuses(code, (size_t)n, sentence);
            CHECK(strstr(tain_error(), "nothing was run"));
        }
    CHECK(tried > 500);
    refuses(PROTO "cposix\x1b[2J\nsystem\n.", 21, "names posix?[2J.system,");
    refuses(PROTO "ccollections\nOrderedDict", 25, "a name without an end");
}

static void test_arguments(void)
{
    static const struct program cases[] = {
        PROGRAM("", "ends in the middle"),
        PROGRAM("\x80", "ends in the middle"),
        PROGRAM("\x80\4}.", "a protocol other than 2"),
        PROGRAM(PROTO PROTO "}.", "a second beginning"),
        PROGRAM("}.", "no pickle begins like this"),
        PROGRAM(PROTO, "byte 2: ends in the middle"),
        PROGRAM(PROTO ".", "more than one thing is left"),
        PROGRAM(PROTO "}}.", "more than one thing is left"),
        PROGRAM(PROTO "(}.", "more than one thing is left"),
        PROGRAM(PROTO "}.}", "there is more to come"),
        PROGRAM(PROTO "K\1.", "something other than named tensors"),
        PROGRAM(PROTO A "\x86.", "something other than named tensors"),
        PROGRAM(PROTO "X\xff\xff\xff\xff" "a", "ends in the middle"),
        PROGRAM(PROTO TEXT("\2", "\xc3\x28") ".", "not UTF-8"),
        PROGRAM(PROTO "\x8a\x09" "123456789.", "more than 8 bytes"),
        PROGRAM(PROTO "\x8a\x08" "1234567", "ends in the middle"),
        PROGRAM(PROTO "q\0", "nothing is there to be remembered"),
        PROGRAM(PROTO "}(q\0", "nothing is there to be remembered"),
        PROGRAM(PROTO "}q\1", "remembered as number 1, when 0 were"),
        PROGRAM(PROTO "}r\xff\xff\xff\xff", "remembered as number 4294967295"),
        PROGRAM(PROTO "}h\0", "number 0 was not remembered"),
        PROGRAM(PROTO "}j\xff\xff\xff\x7f", "number 2147483647 was not"),
        PROGRAM(PROTO "t", "the end of something that was not begun"),
        PROGRAM(PROTO "}u", "the end of something that was not begun"),
        PROGRAM(PROTO "]e", "the end of something that was not begun"),
        PROGRAM(PROTO "\x85", "a tuple of more than there is"),
        PROGRAM(PROTO "K\1\x86", "a tuple of more than there is"),
        PROGRAM(PROTO "K\1(K\1\x86", "a tuple of more than there is"),
        PROGRAM(PROTO "a", "an item for nothing"),
        PROGRAM(PROTO "}K\1a", "items for what is no list"),
        PROGRAM(PROTO "](K\1a", "an item for nothing"),
        PROGRAM(PROTO "]((K\1e", "items for what is no list"),
        PROGRAM(PROTO "s", "a key and a value for nothing"),
        PROGRAM(PROTO "](K\1K\1u", "what is no dictionary"),
        PROGRAM(PROTO "}(K\1u", "what is no dictionary"),
        PROGRAM(PROTO "}((K\1K\1u", "what is no dictionary"),
        PROGRAM(PROTO "(u", "what is no dictionary"),
        /* Item assignment on a tensor, as in CVE-2026-24747. */
        PROGRAM(PROTO "}" A "K\0K\1s", "what is no dictionary"),
        PROGRAM(PROTO "}" A "(K\0K\1u", "what is no dictionary"),
        PROGRAM(PROTO "R", "a call of something other than a name"),
        PROGRAM(PROTO ")R", "a call of something other than a name"),
        PROGRAM(PROTO "K\1)R", "a call of something other than a name"),
        PROGRAM(PROTO ORDERED "]R", "with something other than a tuple"),
        PROGRAM(PROTO ORDERED "K\1\x85R", "an OrderedDict with arguments"),
        PROGRAM(PROTO FLOATS "K\1\x85R", "a call of a type of storage"),
        PROGRAM(PROTO "ctorch\nSize\n)R", "a Size of something other"),
        PROGRAM(PROTO "ctorch\nSize\n]\x85R", "a Size of something other"),
        PROGRAM(PROTO "ctorch._utils\n_rebuild_parameter\n)R", "a parameter must be"),
        PROGRAM(PROTO "ctorch._utils\n_rebuild_parameter\nK\1\x88" HOOKS "\x87R", "a parameter must be"),
        PROGRAM(PROTO "}}b", "a state for something other"),
        PROGRAM(PROTO HOOKS "]b", "a state for something other"),
        PROGRAM(PROTO "b", "a state for something other"),
        PROGRAM(PROTO "Q", "a reference to nothing"),
        PROGRAM(PROTO "K\1Q", "something other than a storage"),
        PROGRAM(PROTO ")Q", "something other than a storage"),
        PROGRAM(PROTO "(" TEXT("\7", "storagX") FLOATS TEXT("\1", "0") TEXT("\3", "cpu") "K\6tQ", "other than a storage"),
        PROGRAM(PROTO "(" TEXT("\7", "storage") ORDERED TEXT("\1", "0") TEXT("\3", "cpu") "K\6tQ", "other than a storage"),
        PROGRAM(PROTO "(" TEXT("\7", "storage") FLOATS "K\0" TEXT("\3", "cpu") "K\6tQ", "other than a storage"),
        PROGRAM(PROTO "(" TEXT("\7", "storage") FLOATS TEXT("\1", "0") TEXT("\3", "cpu") "J\xff\xff\xff\xfftQ",
                "other than a storage"),
        PROGRAM(PROTO "(" TEXT("\7", "storage") FLOATS TEXT("\1", "0") TEXT("\3", "cpu") "K\6NtQ", "other than a storage"),
        PROGRAM(PROTO TENSOR ")R", "a tensor must be"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0K\2K\3\x86K\3\x85\x89" HOOKS "tR", "as many strides"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0J\xff\xff\xff\xff\x85K\1\x85\x89" HOOKS "tR", "a tensor must be"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "J\xff\xff\xff\xffK\2\x85K\1\x85\x89" HOOKS "tR", "a tensor must be"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0K\2\x85J\xff\xff\xff\xff\x85\x89" HOOKS "tR", "a tensor must be"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0" "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t" "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t" "\x89" HOOKS
                "tR", "up to 8 sizes"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0K\2\x85K\1\x85NHtR", "instruction 0x48"),
        PROGRAM(PROTO TENSOR "(" STORAGE("0") "K\0K\2\x85K\1\x85NNtR", "true or false and a dictionary"),
        /* What is left: names and tensors, inside their storages, which are as long as they are said to be. */
        PROGRAM(PROTO "}" TEXT("\1", "a") "Ns.", "a is no tensor"),
        PROGRAM(PROTO "}" TEXT("\1", "a") "}s.", "a is no tensor"),
        PROGRAM(PROTO "}" TEXT("\1", "a") STORAGE("0") "s.", "a is no tensor"),
        PROGRAM(PROTO "}K\1" TENSOR "(" STORAGE("0") "K\0K\2\x85K\1\x85\x89" HOOKS "tRs.", "the name of tensor 1 is no text"),
        PROGRAM(PROTO "}" TEXT("\1", "\x1b") TENSOR "(" STORAGE("0") "K\0K\2\x85K\1\x85\x89" HOOKS "tRs.", "the name of tensor 1"),
        PROGRAM(PROTO "}" TEXT("\1", "\0") TENSOR "(" STORAGE("0") "K\0K\2\x85K\1\x85\x89" HOOKS "tRs.", "the name of tensor 1"),
        PROGRAM(PROTO "}" A "s" A "s.", "a comes twice"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("9") "K\0K\2\x85K\1\x85\x89" HOOKS "tRs.",
                "a lies in storage 9, which the archive lacks"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("1") "K\0K\2\x85K\1\x85\x89" HOOKS "tRs.",
                "said to have 6 elements of F32, but has 20 bytes"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\0K\2K\4\x86K\4K\1\x86\x89" HOOKS "tRs.",
                "reaches to element 7 of a storage of 6"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\5K\2\x85K\1\x85\x89" HOOKS "tRs.",
                "reaches to element 6 of a storage of 6"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\7K\0\x85K\1\x85\x89" HOOKS "tRs.",
                "reaches to element 7 of a storage of 6"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\0K\7\x85K\0\x85\x89" HOOKS "tRs.",
                "has 7 elements in a storage of 6"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0")
                "K\0J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87K\0K\0K\0\x87\x89" HOOKS "tRs.", "than can be counted"),
        PROGRAM(PROTO "}" TEXT("\1", "a") TENSOR "(" STORAGE("0") "K\0K\2K\2\x86\x8a\x08\0\0\0\0\0\0\0\x7f\x8a\x08\0\0\0\0\0\0\0\x7f"
                "\x86\x89" HOOKS "tRs.", "reaches further than can be counted"),
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refuses(cases[i].code, cases[i].count, cases[i].sentence);
}

/* ---- Archives ---- */

static void refuses_zip(const struct bytes *z, const char *sentence)
{
    struct st_file *f = open_as("m.bin", z->at, z->count);

    if (f || !strstr(tain_error(), sentence)) {
        fprintf(stderr, "%s, expected: %s\n", f ? "it was read" : tain_error(), sentence);
        exit(1);
    }
}

static void test_archives(void)
{
    static const char code[] = PROTO "}(" A "u.";
    static const struct {
        struct member m[4];
        struct layout l;
        const char *sentence;
    } cases[] = {
#define PKL  { "m/data.pkl", code, sizeof(code) - 1 }
#define VER  { "m/version", "3\n", 2 }
#define SIX  { "m/data/0", six, 24 }
        { { PKL, VER, SIX, { "m/x", code, 3, .method = 8 } }, { 0 }, "m/x is compressed (method 8)" },
        { { PKL, VER, SIX, { "m/x", code, 3, .said_packed = 2 } }, { 0 }, "m/x is compressed" },
        { { PKL, VER, SIX, { "m/x", code, 3, .flags = 1 } }, { 0 }, "m/x is encrypted" },
        { { PKL, VER, SIX, { "m/x", code, 3, .disk = 1 } }, { 0 }, "m/x lies on another disk" },
        { { PKL, VER, SIX, { "m/data/0", six, 24 } }, { 0 }, "m/data/0 comes twice" },
        { { PKL, VER, SIX, { "n/x", code, 3 } }, { 0 }, "its members lie in no one folder" },
        { { PKL, VER, SIX, { "x", code, 3 } }, { 0 }, "its members lie in no one folder" },
        { { PKL, VER, SIX, { "m/\x1b", code, 3 } }, { 0 }, "a name that is empty, too long or has control characters" },
        { { PKL, VER, SIX, { "", code, 3 } }, { 0 }, "a name that is empty, too long or has control characters" },
        { { PKL, VER, { "m/data/0", six, 24, .name_there = "m/data/1" }, { "m/x", code, 3 } }, { 0 },
          "not the m/data/0 that the directory says is there" },
        { { PKL, VER, { "m/data/0", six, 24, .at = 3 }, { "m/x", code, 3 } }, { 0 }, "reaches into what follows it" },
        { { PKL, VER, SIX, { "m/x", code, 3, .said_size = 9000 } }, { 0 }, "m/x has 9000 bytes at byte" },
        { { PKL, VER, SIX, { "m/x", code, 3, .at = 900000 } }, { 0 }, "m/x has 3 bytes at byte 900000" },
        { { { "m/data.pkl", code, sizeof(code) - 1, .said_size = sizeof(code) + 1 }, VER, SIX, { "m/x", code, 3 } }, { 0 },
          "m/data.pkl reaches into what follows it" },
        { { { "m/data.pkl", code, sizeof(code) - 1, .bad_crc = true }, VER, SIX, { "m/x", code, 3 } }, { 0 },
          "m/data.pkl is damaged" },
        { { { "m/data", code, sizeof(code) - 1 }, VER, SIX, { "m/x", code, 3 } }, { 0 }, "it lacks data.pkl" },
        { { PKL, { "m/versions", "3\n", 2 }, SIX, { "m/x", code, 3 } }, { 0 }, "it lacks version" },
        { { PKL, VER, SIX, { "m/byteorder", "big", 3 } }, { 0 }, "do not have the low byte first" },
        { { PKL, VER, SIX, { "m/byteorder", code, 70 } }, { 0 }, "m/byteorder has 70 bytes, more than the limit of 64" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .disk = 1 }, "is one disk of several" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .more = 1 }, "a directory of 5 members in 214 bytes" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .more = -1 }, "more follows the 3 members" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .more = 9999 }, "a directory of 10003 members" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .directory_at = 7 }, "but ends at byte" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .directory_bytes = 7 }, "its directory has 7 bytes" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .wide = true, .more = 1 }, "no member, where one was expected" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .wide = true, .wide_at = 9 }, "is said to lie at byte 9" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .wide = true, .directory_at = INT64_MAX }, "its directory has" },
        { { PKL, VER, SIX, { "m/x", code, 3 } }, { .wide = true, .directory_bytes = -1 }, "its directory has" },
        { { PKL, VER, SIX, { "m/x", code, 3, .said_size = -1 } }, { .wide = true }, "m/x has 18446744073709551615 bytes" },
        { { PKL, VER, SIX, { "m/x", code, 3, .at = -1 } }, { .wide = true }, "at byte 18446744073709551615" },
    };
    static struct bytes z;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make_zip(&z, cases[i].m, 4, &cases[i].l);
        refuses_zip(&z, cases[i].sentence);
    }
    z.count = 0;
    refuses_zip(&z, "is no archive of PyTorch");
    put(&z, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    refuses_zip(&z, "was written by PyTorch before 1.6");
    z.count = 0;
    put(&z, "7z\xbc\xaf\x27\x1c and so on", 16);
    refuses_zip(&z, "is no archive of PyTorch");
    z.count = 0;
    put(&z, "PK\3\4 and so on, for more than the end takes", 44);
    refuses_zip(&z, "is no archive, or the end of it is missing");
}

/* Limits are reached without much memory and in little time. */
static void test_limits(void)
{
    static char code[1 << 15];
    size_t n = 0;

    memcpy(code, PROTO, 2);
    for (n = 2; n < 2 + 257; n++)
        code[n] = '(';
    refuses(code, n, "more than 256 things begun");
}

/* ---- Shards ---- */

static void write_text(const char *name, const char *text)
{
    CHECK_INT(file_write(in_temp(name), text, strlen(text)), 0);
}

static void test_shards(void)
{
    static const char code[] = PROTO "}(" A "u.";
    static struct bytes z;
    struct st_file *f;

    archive(&z, code, sizeof(code) - 1, &(struct layout){ 0 });
    CHECK_INT(folder_make(in_temp("model")), 0);
    CHECK_INT(file_write(in_temp("model/pytorch_model-00001-of-00001.bin"), z.at, z.count), 0);
    CHECK(!st_open(in_temp("model")));
    CHECK(strstr(tain_error(), "holds no weights"));
    write_text("model/pytorch_model.bin.index.json", "{\"weight_map\":{\"a\":\"pytorch_model-00001-of-00001.bin\"}}");
    CHECK(f = st_open(in_temp("model")));
    CHECK_INT(st_count(f), 1);
    st_close(f);
    write_text("model/pytorch_model.bin.index.json", "{\"weight_map\":{\"a\":\"pytorch_model-00002-of-00002.bin\"}}");
    CHECK(!st_open(in_temp("model")));
    CHECK(strstr(tain_error(), "lists the shard pytorch_model-00002-of-00002.bin, which is not there"));
    write_text("model/pytorch_model.bin.index.json", "{\"weight_map\":{\"b\":\"pytorch_model-00001-of-00001.bin\"}}");
    CHECK(!st_open(in_temp("model")));
    CHECK(strstr(tain_error(), "is not in pytorch_model-00001-of-00001.bin"));
    CHECK_INT(file_write(in_temp("model/pytorch_model.bin"), z.at, z.count), 0);
    CHECK(f = st_open(in_temp("model"))); /* one file goes before an index */
    CHECK_INT(st_count(f), 1);
    st_close(f);
}

/* ---- Damage ---- */

static void test_damage(void)
{
    static const char code[] = PROTO "}(" A "u.";
    static struct bytes z;
    uint8_t *tiny;
    size_t n;

    archive(&z, code, sizeof(code) - 1, &(struct layout){ .wide = true, .padding = 3 });
    survives_damage("d.bin", z.at, z.count, 1, 0, z.count);
    CHECK_INT(file_read("tests/golden/pickle/tiny.bin", 1 << 20, &tiny, &n), 0);
    survives_damage("d.bin", tiny, n, 64, 0, 1118); /* the pickle */
    survives_damage("d.bin", tiny, n, 64, n - 700, n); /* the directory */
    free(tiny);
}

/* A bit of a tensor's numbers is told from the checksum, by the tensor's name, and hurts no other tensor. */
static void test_flipped(void)
{
    static const char code[] = PROTO "}(" A TEXT("\1", "b") TENSOR "(" STORAGE("1") "K\0K\5\x85K\1\x85\x89" HOOKS "tR"
                               TEXT("\1", "c") TENSOR "(" STORAGE("0") "K\2K\2\x85K\1\x85\x89" HOOKS "tR" "u.";
    static const char five[] = "(" TEXT("\7", "storage") FLOATS TEXT("\1", "1") TEXT("\3", "cpu") "K\6tQ";
    static struct bytes z;
    char program[sizeof(code)], *at;
    uint8_t *data;
    float back[6];
    struct st_file *f;

    memcpy(program, code, sizeof(code));
    at = memmem(program, sizeof(program), five, sizeof(five) - 1);
    CHECK(at);
    at[sizeof(five) - 4] = 5; /* storage 1 has five numbers */
    archive(&z, program, sizeof(program) - 1, &(struct layout){ .padding = 7 });
    CHECK(data = memmem(z.at, z.count, six, 24));
    for (int bit = -1; bit < 24 * 8; bit++) {
        if (bit >= 0)
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(f = open_as("m.bin", z.at, z.count));
        CHECK_INT(st_read(f, st_need(f, "b"), back, 20), 0);
        CHECK(!memcmp(back, six, 20));
        for (int i = 0; i < 2; i++) { /* and not the second time either */
            const struct st_entry *a = st_need(f, "a"), *c = st_need(f, "c");

            if (bit < 0) {
                CHECK_INT(st_read_part(f, a, 8, back, 4), 0);
                CHECK(back[0] == 3 && !st_read(f, c, back, 8) && back[1] == 4);
                continue;
            }
            CHECK_FAILS(st_read_part(f, a, 20, back, 4), TAIN_EFORMAT, "m.bin: a is damaged: its data has another checksum");
            CHECK_FAILS(st_read_float(f, c, back, 2), TAIN_EFORMAT, "m.bin: c is damaged");
        }
        st_close(f);
        if (bit >= 0)
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* PyTorch can be told to make no checksums. */
    const struct member members[] = {
        { "m/data.pkl", program, sizeof(program) - 1 }, { "m/version", "3\n", 2 }, { "m/byteorder", "little", 6 },
        { "m/data/0", six, 24, .no_crc = true }, { "m/data/1", six, 20, .bad_crc = true },
    };
    make_zip(&z, members, COUNT_OF(members), &(struct layout){ 0 });
    CHECK(f = open_as("m.bin", z.at, z.count));
    CHECK_INT(st_read(f, st_need(f, "a"), back, 24), 0);
    CHECK_FAILS(st_read(f, st_need(f, "b"), back, 20), TAIN_EFORMAT, "m.bin: b is damaged");
    st_close(f);
}

/* Bits of the pickle itself, whose checksum is made right again. */
static void test_changed(void)
{
    static struct bytes z;
    uint8_t code[512];
    static const char start[] = PROTO ORDERED ")Rq\0(" A "u}" TEXT("\1", "v") "K\1sb.";
    size_t n = sizeof(start) - 1;

    memcpy(code, start, n);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            code[i] ^= (uint8_t)(1 << bit);
            archive(&z, code, n, &(struct layout){ 0 });
            survives("c.bin", z.at, z.count);
            code[i] = (uint8_t)start[i];
        }
    for (size_t i = 0; i < n; i++) {
        archive(&z, code, i, &(struct layout){ 0 });
        survives("c.bin", z.at, z.count);
    }
}

int main(void)
{
    test_accepted();
    test_instructions();
    test_names();
    test_arguments();
    test_archives();
    test_limits();
    test_shards();
    test_damage();
    test_flipped();
    test_changed();
    temp_remove(temp);
    return 0;
}
