/* Every file of tests/golden that something here reads, damaged: cut off after every 64 bytes, and with every
 * bit of its header turned over. The reader that its name calls for refuses it with one sentence, or reads it,
 * as another name or another number in it may be right; a cut that the format can tell is refused.
 *
 *     build/tests/io/damage [-v] [all] [FILE ...]
 *
 * That is done with one small file of each format, those in `whole`; the others are cut at a few places and have a
 * few bits turned over, so that all eight of a byte have their turn. `all` leaves nothing out, and goes without
 * saying for files that are named; -v says how many seconds of a processor each took. What a header is:
 *
 *   safetensors      the length and the JSON after it
 *   .bin             what stands before each member, and the directory behind them; the pickle in it, with
 *                    checksums put right, or else nothing else would ever be looked at
 *   PNG              up to the end of the first chunk; the sizes in it once more with the checksum put right
 *   JPEG             up to the start of the first scan
 *   anything else    the first 256 bytes, of merges.txt, whose lines are alike, 64; of either 512 with `all`
 *
 * Files that no fixture is of are made here: the index of shards, and the log of a run.
 */
#define _GNU_SOURCE
#include "temp.h"

#include "io/tokenizer.h"
#include "io/utf8.h"
#include "model/janus.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <zlib.h>

#define GOLDEN "tests/golden"

/* BITS are turned over at most where nothing is to be left out, SOME in other files, which are cut at SOME places. */
#ifdef __SANITIZE_ADDRESS__ /* several times as slow */
enum { BITS = 512, SOME = 8 };
#else
enum { BITS = INT_MAX, SOME = 20 };
#endif

enum {
    EVERY  = 64,
    HEAD   = 256,
    LINES  = 64,
    MEMORY = 512 << 20, /* that a reader may take, whatever the file says */
    LINE   = 600,       /* bytes of a sentence */
    REGIONS = 4096,
};

/* One small file of each format. */
static const char *const whole[] = {
    GOLDEN "/images/progressive.jpg",
    GOLDEN "/images/rgb.png",
    GOLDEN "/images/rgb.png.ppm",
    GOLDEN "/images/whole.jpg",
    GOLDEN "/janus/gqa.json",
    GOLDEN "/janus_hf/config.json",
    GOLDEN "/pickle/tiny.bin",
    GOLDEN "/pickle/tiny.expected.safetensors",
    GOLDEN "/tiny_model/config.json",
    GOLDEN "/tiny_model/tokenizer.json",
    GOLDEN "/tokenizers/llama_sp/added_tokens.json",
    GOLDEN "/tokenizers/llama_sp/info.json",
    GOLDEN "/tokenizers/llama_sp/special_tokens_map.json",
    GOLDEN "/tokenizers/llama_sp/tokenizer.model",
    GOLDEN "/tokenizers/llama_sp/tokenizer_config.json",
    GOLDEN "/tokenizers/phi/merges.txt",
    GOLDEN "/tokenizers/phi/vocab.json",
};

/* Reads the bytes, or the file at the path that holds them, or what lies in its folder; a status. */
typedef int reader(const char *path, const uint8_t *bytes, size_t count);

struct victim {
    char golden[512]; /* where it comes from */
    char path[512];   /* what is damaged */
    reader *read;
    bool in_file;     /* the reader wants it so */
    bool whole;       /* nothing is left out */
    bool closed;      /* it has an end, so that a cut can be told */
    bool summed;      /* its header has a checksum, so that any bit can be told */
    int fd;
    uint8_t *bytes;
    size_t count;
    struct { size_t from, to; } region[REGIONS];
    int regions;
    struct { size_t from, to, sum; bool big; } mend; /* damaged once more, with the checksum at `sum` put right */
};

static bool all, loud;
static char now[700]; /* what is being tried */

/* ---- Trying ---- */

static void too_long(int signal)
{
    (void)signal;
    if (write(2, now, strlen(now)) > 0 && write(2, ": no answer in a minute\n", 24) > 0)
        _exit(1);
}

static bool printable(const char *s)
{
    size_t bad;

    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return utf8_check(s, strlen(s), &bad);
}

/* Whether it was read. */
static bool try_once(const struct victim *v, size_t count)
{
    uint8_t *copy = malloc(count ? count : 1); /* so that a sanitizer sees the end */
    int status;

    CHECK(copy);
    memcpy(copy, v->bytes, count);
    fail(0, "%s", "");
    alarm(60);
    status = v->read(v->path, copy, count);
    alarm(0);
    free(copy);
    if (!status)
        return true;
    if (status < 0 && status != TAIN_ENOMEM && *tain_error() && printable(tain_error()) && strlen(tain_error()) < LINE &&
        tain_error_status() == status)
        return false;
    fprintf(stderr, "%s: the status is %d, and what is said no sentence: \"%s\"\n", now, status, tain_error());
    exit(1);
}

static void put_at(const struct victim *v, size_t at, const void *bytes, size_t count)
{
    if (bytes != v->bytes + at)
        memcpy(v->bytes + at, bytes, count);
    if (v->in_file)
        CHECK(pwrite(v->fd, bytes, count, (off_t)at) == (ssize_t)count);
}

/* Of which nothing is missing when what follows is white space. */
static bool nothing_lost(const struct victim *v, size_t count)
{
    while (count < v->count && strchr(" \t\r\n", v->bytes[count]))
        count++;
    return count == v->count;
}

static void cut(const struct victim *v)
{
    size_t cuts = (v->count + EVERY - 1) / EVERY, step = v->whole ? 1 : cuts / SOME + 1;

    for (size_t i = cuts; i-- > 0;) {
        if (i % step)
            continue;
        if (v->in_file)
            CHECK(!ftruncate(v->fd, (off_t)(i * EVERY)));
        snprintf(now, sizeof(now), "%s cut after %zu bytes", v->golden, i * EVERY);
        if (try_once(v, i * EVERY) && v->closed && !nothing_lost(v, i * EVERY)) {
            fprintf(stderr, "%s: it was read all the same\n", now);
            exit(1);
        }
    }
    put_at(v, 0, v->bytes, v->count);
}

static void flip(const struct victim *v, size_t at, int bit)
{
    put_at(v, at, &(uint8_t){ v->bytes[at] ^ (uint8_t)(1 << bit) }, 1);
}

static void flipped(const struct victim *v, size_t at, int bit)
{
    flip(v, at, bit);
    snprintf(now, sizeof(now), "%s with bit %d of byte %zu turned over", v->golden, bit, at);
}

/* Which of so many bits are turned over. */
struct choice {
    size_t step, next, at;
};

static struct choice choose(const struct victim *v, size_t bytes)
{
    size_t most = all ? SIZE_MAX : v->whole ? BITS : SOME, bits = 8 * bytes;

    return (struct choice){ .step = bits <= most ? 1 : bits / most | 1 }; /* odd: every bit of a byte has its turn */
}

static bool chosen(struct choice *c)
{
    if (c->at++ != c->next)
        return false;
    c->next += c->step;
    return true;
}

static void flip_header(const struct victim *v)
{
    struct choice choice;
    size_t bytes = 0;

    for (int r = 0; r < v->regions; r++)
        bytes += v->region[r].to - v->region[r].from;
    choice = choose(v, bytes);
    for (int r = 0; r < v->regions; r++)
        for (size_t i = v->region[r].from; i < v->region[r].to; i++)
            for (int bit = 0; bit < 8; bit++) {
                if (!chosen(&choice))
                    continue;
                flipped(v, i, bit);
                if (try_once(v, v->count) && v->summed) {
                    fprintf(stderr, "%s: it was read all the same\n", now);
                    exit(1);
                }
                flip(v, i, bit);
            }
}

/* The same where a checksum would say so before the reader looks at anything. */
static void flip_mended(const struct victim *v)
{
    struct choice choice = choose(v, v->mend.to - v->mend.from);

    for (size_t i = v->mend.from; i < v->mend.to; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t sum;

            if (!chosen(&choice))
                continue;
            flipped(v, i, bit);
            sum = (uint32_t)crc32(0, v->bytes + v->mend.from, (uInt)(v->mend.to - v->mend.from));
            sum = v->mend.big ? __builtin_bswap32(sum) : sum;
            put_at(v, v->mend.sum, &sum, 4);
            try_once(v, v->count);
            flip(v, i, bit);
        }
}

/* ---- What a header is ---- */

static void region(struct victim *v, size_t from, size_t to)
{
    CHECK(v->regions < REGIONS && from <= to && to <= v->count);
    v->region[v->regions].from = from;
    v->region[v->regions++].to = to;
}

static uint32_t number(const struct victim *v, size_t at, int bytes)
{
    uint32_t n = 0;

    CHECK(at + (size_t)bytes <= v->count);
    memcpy(&n, v->bytes + at, (size_t)bytes);
    return n;
}

static void head_of_bytes(struct victim *v, bool lines)
{
    size_t most = all ? 512 : lines ? LINES : HEAD;

    region(v, 0, v->count < most ? v->count : most);
}

static void head_of_tensors(struct victim *v)
{
    region(v, 0, 8 + number(v, 0, 4));
}

/* The members' own headers, the directory, and the pickle with its checksum. */
static void head_of_archive(struct victim *v)
{
    size_t end = v->count - 22, at, directory;

    while (memcmp(v->bytes + end, "PK\5\6", 4))
        end--;
    directory = at = number(v, end + 16, 4);
    for (int left = (int)number(v, end + 10, 2); left > 0; left--) {
        size_t name = number(v, at + 28, 2), there = number(v, at + 42, 4), size = number(v, at + 20, 4);
        size_t data = there + 30 + number(v, there + 26, 2) + number(v, there + 28, 2);
        bool pickle = name > 9 && !memcmp(v->bytes + at + 46 + name - 9, "/data.pkl", 9);

        region(v, there, data);
        if (pickle) {
            v->mend.from = data;
            v->mend.to = data + size;
            v->mend.sum = at + 16;
        }
        at += 46 + name + number(v, at + 30, 2) + number(v, at + 32, 2);
    }
    region(v, directory, v->count);
}

static void head_of_image(struct victim *v)
{
    if (!memcmp(v->bytes, "\x89PNG", 4)) {
        v->summed = true;
        region(v, 0, 33);
        v->mend.from = 12;
        v->mend.to = v->mend.sum = 29;
        v->mend.big = true;
    } else if (!memcmp(v->bytes, "\xff\xd8", 2)) {
        size_t at = 2;
        while (v->bytes[at + 1] != 0xda)
            at += 2 + (size_t)(v->bytes[at + 2] << 8 | v->bytes[at + 3]);
        region(v, 0, at + 2 + (size_t)(v->bytes[at + 2] << 8 | v->bytes[at + 3]));
    } else {
        region(v, 0, 16);
    }
}

/* ---- Readers ---- */

static int read_tensors(const char *path, const uint8_t *bytes, size_t count)
{
    struct st_file *f = st_open(path);
    int status = f ? 0 : tain_error_status();

    (void)bytes, (void)count;
    for (int i = 0; f && i < st_count(f) && !status; i++) {
        const struct st_entry *e = st_at(f, i);
        void *p = malloc(e->bytes + 1);
        CHECK(p && st_find(f, e->name) == e);
        status = st_read(f, e, p, e->bytes);
        free(p);
    }
    st_close(f);
    return status;
}

static int read_config(const char *path, const uint8_t *bytes, size_t count)
{
    struct json *root = json_parse(path, bytes, count);
    struct janus_config c;
    int status = root ? janus_config_read(&c, root) : tain_error_status();

    json_free(root);
    return status;
}

static int read_json(const char *path, const uint8_t *bytes, size_t count)
{
    struct json *root = json_parse(path, bytes, count);

    json_free(root);
    return root ? 0 : tain_error_status();
}

static int read_image(const char *path, const uint8_t *bytes, size_t count)
{
    struct image *image = image_decode(path, bytes, count);
    int status = image ? 0 : tain_error_status();

    image_free(image);
    return status;
}

static int read_tokenizer(const char *path, const uint8_t *bytes, size_t count)
{
    static const char text[] = "A large red square, 12 \u00e4\u4e16  <image_placeholder>\n";
    struct tokenizer *t;
    struct tokens ids = { 0 };
    size_t n;
    int status;

    (void)path, (void)bytes, (void)count;
    if (!(t = tokenizer_open(in_temp("tokenizer"))))
        return tain_error_status();
    if (!(status = tokenizer_encode(t, text, sizeof(text) - 1, true, &ids)))
        free(tokenizer_decode(t, ids.at, ids.count, false, &n));
    tokens_clear(&ids);
    tokenizer_free(t);
    return status;
}

static int read_log(const char *path, const uint8_t *bytes, size_t count)
{
    struct runlog *log = runlog_open(path, false);
    int status = log ? 0 : tain_error_status(), more;
    const char *line;
    int64_t at = 0;
    size_t n;

    (void)bytes, (void)count;
    while (log && (more = runlog_next(log, &at, &line, &n)))
        if (more < 0) {
            status = more;
            break;
        }
    runlog_close(log);
    return status;
}

/* ---- A file ---- */

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);

    return n >= k && !strcmp(name + n - k, with);
}

/* The bytes lie in memory, and `as` in the test's folder leads to them. */
static void damage(struct victim *v, const char *as)
{
    static int fd = -1;
    static char link[64];
    double begun = base_cpu_seconds();

    if (fd < 0)
        fd = memfd_create("damage", 0);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    v->fd = fd;
    CHECK(*in_temp("damage"));
    snprintf(v->path, sizeof(v->path), "%s/%s", temp, as);
    unlink(v->path);
    CHECK(fd >= 0 && !symlink(link, v->path) && !ftruncate(fd, 0));
    put_at(v, 0, v->bytes, v->count);
    snprintf(now, sizeof(now), "%s as it is", v->golden);
    if (!try_once(v, v->count)) {
        fprintf(stderr, "%s: it was refused: %s\n", now, tain_error());
        exit(1);
    }
    cut(v);
    flip_header(v);
    flip_mended(v);
    unlink(v->path);
    if (loud) {
        printf("%-60s %6.2f s\n", v->golden, base_cpu_seconds() - begun);
        fflush(stdout);
    }
}

static bool is_text(const char *name) /* of which no cut at a line's end can be told */
{
    return ends(name, ".txt") || ends(name, "tokenizer.model");
}

static const char *const of_tokenizers[] = { "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
                                             "added_tokens.json", "vocab.json", "merges.txt" };

static bool of_tokenizer(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(of_tokenizers); i++)
        if (!strcmp(name, of_tokenizers[i]))
            return true;
    return false;
}

/* The other files of the tokenizer beside the one that is damaged. Some are only read where there is no
 * tokenizer.json. */
static void lay_out(const char *folder, const char *name)
{
    bool parts = !strcmp(name, "vocab.json") || !strcmp(name, "merges.txt") || !strcmp(name, "added_tokens.json");

    if (folder_exists(in_temp("tokenizer")))
        CHECK_INT(folder_remove(in_temp("tokenizer")), 0);
    CHECK_INT(folder_make(in_temp("tokenizer")), 0);
    for (size_t i = 0; i < COUNT_OF(of_tokenizers); i++) {
        char path[512], to[512];
        snprintf(path, sizeof(path), "%s/%s", folder, of_tokenizers[i]);
        snprintf(to, sizeof(to), "%s/%s", in_temp("tokenizer"), of_tokenizers[i]);
        if (!strcmp(of_tokenizers[i], name) || !file_exists(path) || (parts && !strcmp(of_tokenizers[i], "tokenizer.json")))
            continue;
        CHECK_INT(file_copy(path, to), 0);
    }
}

static bool is_whole(const char *path)
{
    for (size_t i = 0; i < COUNT_OF(whole); i++)
        if (!strcmp(path, whole[i]))
            return true;
    return false;
}

static void one(const char *folder, const char *name)
{
    static struct victim v;
    char as[64];

    memset(&v, 0, sizeof(v));
    snprintf(v.golden, sizeof(v.golden), "%s/%s", folder, name);
    v.whole = all || is_whole(v.golden);
    if (ends(name, ".py") || ends(name, ".md") || ends(name, ".lua") || strstr(name, "tfevents.") || ends(name, ".jsonl"))
        return; /* lines of JSON are read in Lua: tests/lua/damage.lua */
    CHECK_INT(file_read(v.golden, 1 << 24, &v.bytes, &v.count), 0);
    v.closed = !is_text(name);
    snprintf(as, sizeof(as), "%s", name);
    if (ends(name, ".safetensors") || ends(name, ".bin")) {
        v.read = read_tensors;
        v.in_file = true;
        (ends(name, ".bin") ? head_of_archive : head_of_tensors)(&v);
    } else if (ends(name, ".png") || ends(name, ".jpg") || ends(name, ".ppm")) {
        v.read = read_image;
        head_of_image(&v);
    } else {
        v.read = read_json;
        head_of_bytes(&v, ends(name, "merges.txt"));
        if (of_tokenizer(name)) {
            v.read = read_tokenizer;
            v.in_file = true;
            lay_out(folder, name);
            snprintf(as, sizeof(as), "tokenizer/%s", name);
        } else if (!strcmp(name, "config.json") || ends(folder, "/janus")) {
            v.read = read_config;
        } else if (!ends(name, ".json")) {
            fprintf(stderr, "%s: nothing here reads it; say in %s what does\n", v.golden, __FILE__);
            exit(1);
        }
    }
    damage(&v, as);
    free(v.bytes);
}

static void tree(const char *folder)
{
    char path[512], **names;
    size_t count;

    CHECK_INT(folder_list(folder, &names, &count), 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (folder_exists(path))
            tree(path);
        else
            one(folder, names[i]);
    }
    folder_list_free(names, count);
}

/* ---- What there is no fixture of ---- */

static void shards(void)
{
    static const float numbers[48];
    static const struct st_tensor list[] = {
        { "embed.weight", ST_F32, 2, { 4, 4 }, 0 }, { "layers.0.w", ST_F32, 2, { 4, 4 }, 0 }, { "layers.1.w", ST_F32, 2, { 4, 4 }, 0 },
    };
    static struct victim v = { .golden = ST_INDEX, .read = read_tensors, .in_file = true, .whole = true, .closed = true };
    struct st_out *out;

    CHECK_INT(folder_make(in_temp("shards")), 0);
    CHECK((out = st_begin(in_temp("shards"), list, COUNT_OF(list), 64)));
    CHECK_INT(st_put(out, numbers, sizeof(numbers)), 0);
    CHECK_INT(st_end(out), 0);
    CHECK_INT(file_read(in_temp("shards/" ST_INDEX), 1 << 20, &v.bytes, &v.count), 0);
    region(&v, 0, v.count);
    damage(&v, "shards/" ST_INDEX);
    free(v.bytes);
}

/* Its last line is cut off where it is not whole, as a crash leaves it; every other bit is damage. */
static void run_log(void)
{
    static struct victim v = { .golden = "events.jsonl", .read = read_log, .in_file = true, .whole = true };
    struct runlog *log = runlog_open(in_temp("log"), true);
    const char *end;

    CHECK(log);
    for (int i = 0; i < 6; i++) {
        char line[128];
        snprintf(line, sizeof(line), "{\"kind\":\"step\",\"loss\":%d.5,\"text\":\"a \\\"red\\\" circle \u00e4\"}", i);
        CHECK_INT(runlog_add(log, line, strlen(line)), 0);
    }
    CHECK_INT(runlog_sync(log), 0);
    runlog_close(log);
    CHECK_INT(file_read(in_temp("log"), 1 << 20, &v.bytes, &v.count), 0);
    CHECK((end = memrchr(v.bytes, '\n', v.count - 1)));
    v.summed = true;
    region(&v, 0, (size_t)(end - (char *)v.bytes));
    damage(&v, "events.jsonl");
    free(v.bytes);
}

static void leave(void)
{
    if (*temp)
        temp_remove(temp);
}

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

int main(int argc, char **argv)
{
    atexit(leave);
    signal(SIGALRM, too_long);
    io_calls.fsync = no_sync;
#ifndef __SANITIZE_ADDRESS__ /* which takes terabytes of addresses for itself */
    CHECK(!setrlimit(RLIMIT_AS, &(struct rlimit){ MEMORY, MEMORY }));
#endif
    for (; argc > 1 && (!strcmp(argv[1], "-v") || !strcmp(argv[1], "all")); argv++, argc--) {
        all |= *argv[1] == 'a';
        loud |= *argv[1] == '-';
    }
    all |= argc > 1;
    for (int i = 1; i < argc; i++) {
        char *folder = path_folder(argv[i]);
        CHECK(folder);
        one(folder, strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i]);
        free(folder);
    }
    if (argc > 1)
        return 0;
    for (size_t i = 0; i < COUNT_OF(whole); i++)
        CHECK(file_exists(whole[i]));
    tree(GOLDEN);
    shards();
    run_log();
    return 0;
}
