/* What lanes read side by side, and fetches that only look so (check_passes.h). The buffer lies where nothing before it
 * can be read, or nothing behind it, and nothing else that an index of 32 bits reaches: a lane that is out of range
 * must not read at all.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

#include <sys/mman.h>

enum { MOST_LANES = 16, PAGE = 4096, ROOM = 512, REPEATS = 40 };

static char *room; /* a page that can be read */

/* What a kernel is given: where the buffer is, as the driver says it, and numbers of all lanes. */
struct description {
    void *buffer;
    uint32_t size;
};
struct numbers {
    uint32_t start[MOST_LANES], step[MOST_LANES], x[MOST_LANES];
};

/* How it reads: a gather, or a load a lane put together. */
enum how { GATHER, LOADS };
/* What a lane's load is like where it is not like the others'. */
enum odd { NONE, OTHER_LANE, OTHER_BASE, OTHER_BLOCK, VOLATILE, ATOMIC };

/* Texts that are NULL are as Mesa has them; numbers that are 0 are as said. */
struct form {
    const char *name;
    unsigned changes;
    enum how how;
    int lanes, unit, shift; /* 8; the first lane's index is start * unit: 1; of bytes: 2 */
    enum odd odd;
    const char *entry, *phis, *index, *range, *offset, *read, *got, *next;
    const char *last; /* block of the loop: "head" */
};

#define SIDE(...) side((struct form){ __VA_ARGS__ })
#define OR_ELSE(x, otherwise) ((x) ? (x) : (otherwise))
#define WRITE "store i32 5, ptr %buffer, align 4\n"
#define NEXT_BLOCK "br label %last\nlast:\n"

/* ---- What is read ---- */

static const char *from(int first, int by, int lanes)
{
    static char out[2][MOST_LANES * 16];
    static int which;
    char *to = out[which ^= 1];

    for (int i = 0, at = 0; i < lanes; i++)
        at += sprintf(to + at, "%si32 %d", i ? ", " : "<", first + i * by);
    return strcat(to, ">");
}

static void splat(const char *to, int lanes, const char *number)
{
    say("%%%s.in = insertelement <%d x i32> undef, i32 %s, i64 0\n", to, lanes, number);
    say("%%%s = shufflevector <%d x i32> %%%s.in, <%d x i32> undef, <%d x i32> zeroinitializer\n", to, lanes, to, lanes,
        lanes);
}

/* What the lanes load at their offsets, put together. */
static void loads(const struct form *f, int lanes)
{
    for (int i = 0; i < lanes; i++) {
        enum odd odd = i == 5 ? f->odd : NONE;
        if (odd == OTHER_BLOCK)
            say("%s", WRITE NEXT_BLOCK);
        say("%%o%d = extractelement <%d x i32> %%offset, i64 %d\n", i, lanes, odd == OTHER_LANE ? i - 1 : i);
        say("%%w%d = sext i32 %%o%d to i64\n", i, i);
        say("%%p%d = getelementptr i8, ptr %%%s, i64 %%w%d\n", i, odd == OTHER_BASE ? "other" : "buffer", i);
        say("%%t%d = load%s i32, ", i, odd == VOLATILE ? " volatile" : odd == ATOMIC ? " atomic" : "");
        say("ptr %%p%d%s, align 4\n", i, odd == ATOMIC ? " monotonic" : "");
    }
    for (int i = 0; i < lanes; i++) {
        say("%%%s%.0d = insertelement <%d x i32> ", i == lanes - 1 ? "read" : "v", i == lanes - 1 ? 0 : i + 1, lanes);
        if (i)
            say("%%v%d, i32 %%t%d, i64 %d\n", i, i, i);
        else
            say("undef, i32 %%t0, i64 0\n");
    }
}

/* %got: what is at %index, 0 out of range. */
static void fetch(const struct form *f, int lanes)
{
    if (f->range)
        say("%s", f->range);
    else
        say("%%less = icmp ult <%d x i32> %%index, %%size\n%%range = sext <%d x i1> %%less to <%d x i32>\n", lanes,
            lanes, lanes);
    if (f->offset) {
        say("%s", f->offset);
    } else {
        say("%%bytes = shl <%d x i32> %%index, %s\n", lanes, from(OR_ELSE(f->shift, 2), 0, lanes));
        say("%%offset = and <%d x i32> %%bytes, %%range\n", lanes);
    }
    if (f->read) {
        say("%s", f->read);
    } else if (f->how == LOADS) {
        loads(f, lanes);
    } else {
        say("%%read = call <%d x i32> @llvm.x86.avx2.gather.d.d%s(<%d x i32> undef, ptr %%buffer, ", lanes,
            lanes == 8 ? ".256" : "", lanes);
        say("<%d x i32> %%offset, <%d x i32> %s, i8 1)\n", lanes, lanes, from(-1, 0, lanes));
    }
    if (f->got)
        say("%s", f->got);
    else
        say("%%got = and <%d x i32> %%read, %%range\n", lanes);
}

/* Some turns; the sum says what was read when. */
static void write_text(const struct form *f)
{
    static const char *const numbers[] = { "starts", "steps", "x" };
    int lanes = OR_ELSE(f->lanes, 8);
    const char *last = OR_ELSE(f->last, "head");

    begin();
    say("declare <8 x i32> @llvm.x86.avx2.gather.d.d.256(<8 x i32>, ptr, <8 x i32>, <8 x i32>, i8)\n"
        "declare <4 x i32> @llvm.x86.avx2.gather.d.d(<4 x i32>, ptr, <4 x i32>, <4 x i32>, i8)\n" DECLARE);
    for (int i = 0; i < 3; i++) {
        say("%%%s.at = getelementptr i32, ptr %%memory, i64 %d\n", numbers[i], i * MOST_LANES);
        say("%%%s = load <%d x i32>, ptr %%%s.at, align 4\n", numbers[i], lanes, numbers[i]);
    }
    say("%%start.0 = extractelement <%d x i32> %%starts, i64 0\n%%step.0 = extractelement <%d x i32> %%steps, i64 0\n",
        lanes, lanes);
    splat("start", lanes, "%start.0");
    splat("step", lanes, "%step.0");
    say("%%buffer = load ptr, ptr %%in, align 8\n%%other = getelementptr i8, ptr %%buffer, i64 16\n"
        "%%size.at = getelementptr i8, ptr %%in, i64 8\n%%size.one = load i32, ptr %%size.at, align 4\n");
    splat("size", lanes, "%size.one");
    say("%sbr label %%head\nhead:\n", OR_ELSE(f->entry, ""));
    say("%%sum = phi <%d x i32> [ %%x, %%entry ], [ %%sum.next, %%%s ]\n", lanes, last);
    say("%%turn = phi i32 [ 0, %%entry ], [ %%turn.next, %%%s ]\n%s", last, OR_ELSE(f->phis, ""));
    if (f->index)
        say("%s", f->index);
    else
        say("%%index = add <%d x i32> %%start, %s\n", lanes, from(0, 1, lanes));
    fetch(f, lanes);
    say("%%sum.3 = mul <%d x i32> %%sum, %s\n", lanes, from(3, 0, lanes));
    say("%%sum.next = add <%d x i32> %%sum.3, %%got\n%s", lanes, OR_ELSE(f->next, ""));
    say("%%turn.next = add i32 %%turn, 1\n%%go = icmp slt i32 %%turn.next, %%n\n"
        "br i1 %%go, label %%head, label %%behind\nbehind:\nstore <%d x i32> %%sum.next, ptr %%out, align 4\n", lanes);
    say("ret void\n}\nattributes #0 = { \"target-features\"=\"+avx2,+fma\" }\n");
}

/* ---- Inputs ---- */

enum { WITHIN, CUT, LAST, ONE, EMPTY, OUTSIDE, WRAP, WRAP_CUT, NEGATIVE, LEAST, GREATEST, BYTES_WRAP, FAR, KINDS };

static void choose(const struct form *f, int kind, bool at_end, struct description *d, struct numbers *x)
{
    uint32_t lanes = (uint32_t)OR_ELSE(f->lanes, 8), unit = (uint32_t)OR_ELSE(f->unit, 1);
    uint32_t start = check_random() % 100, some = check_random() % lanes, size = ROOM, step = check_random() % 10;

    switch (kind) {
    case CUT: size = start + some; break;
    case LAST: size = start + lanes; break;
    case ONE: size = 1, start = 0; break;
    case EMPTY: size = 0, start = some; break;
    case OUTSIDE: start = ROOM + some; break;
    case WRAP: start = 0 - some; break;
    case WRAP_CUT: start = 0 - some, size = check_random() % lanes; break;
    case NEGATIVE: start = 0 - check_random() % 100; break;
    case LEAST: start = (1u << 31) + some; break;
    case GREATEST: start = (1u << 31) - some; break;
    case BYTES_WRAP: start = (1u << 30) - some; break;
    case FAR: start = check_random() ^ check_random() << 11; break;
    }
    if (check_random() % 4 == 0)
        step = 0 - step;
    start /= unit;
    for (int i = 0; i < MOST_LANES; i++) {
        x->start[i] = start;
        x->step[i] = step;
        x->x[i] = check_random() % 50;
    }
    /* Where nothing is in range Mesa reads the first texel. */
    *d = (struct description){ at_end ? room + PAGE - 4 * (size ? size : 1) : room, size };
}

static void side(const struct form f)
{
    struct code before, after;
    unsigned n;

    write_text(&f);
    parse(&before);
    compile(&before, f.name);
    parse(&after);
    n = llvm_sides(&l, after.module);
    changed_text(&after, f.name, n, f.changes);
    compile(&after, f.name);
    check_state = 7;
    for (int run = 0; run < KINDS * REPEATS && f.changes; run++) {
        struct description d;
        struct numbers x;
        uint32_t out[2][WORDS] = { { 0 } };
        int32_t turns = (int32_t)(check_random() % 12);
        choose(&f, run % KINDS, run / KINDS % 2, &d, &x);
        before.f((uint32_t *)&d, out[0], (uint32_t *)&x, turns, 0);
        after.f((uint32_t *)&d, out[1], (uint32_t *)&x, turns, 0);
        for (int i = 0; i < WORDS; i++)
            if (out[0][i] != out[1][i]) {
                fprintf(stderr, "%s: kind %d, start %#x, step %d, size %u, %d turns: word %d is %#x, was %#x\n", f.name,
                        run % KINDS, x.start[0], (int)x.step[0], d.size, turns, i, out[1][i], out[0][i]);
                exit(1);
            }
    }
    forget(&before);
    forget(&after);
}

/* ---- Texts ---- */

#define SAME(n) "<i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ">"
#define ONE_LANE(n) "<i32 " #n ", i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>"
#define BY_TWO "<i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14>"
#define DOWN "<i32 7, i32 6, i32 5, i32 4, i32 3, i32 2, i32 1, i32 0>"
#define FROM_EIGHT "<i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>"
#define FROM_ONE "<i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8>"
#define NOT_THE_FIRST "<i32 9, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>"
#define NOT_THE_LAST "<i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 9>"
#define DO(to, what, x, y) "%" to " = " what " <8 x i32> " x ", " y "\n"
#define SPLAT(to, x, lane) "%" to " = shufflevector <8 x i32> " x ", <8 x i32> undef, <8 x i32> " SAME(lane) "\n"
#define PHI(to, first, next) "%" to " = phi <8 x i32> [ " first ", %entry ], [ " next ", %head ]\n"
#define LESS(is, x, y) DO("less", "icmp " is, x, y) "%range = sext <8 x i1> %less to <8 x i32>\n"
#define ODDS DO("less.odd", "icmp ult", "%x", SAME(20)) "%odds = sext <8 x i1> %less.odd to <8 x i32>\n"
#define BYTES DO("bytes", "shl", "%index", SAME(2))
#define GATHERED(lanes, scale)                                                                                      \
    "%read = call <8 x i32> @llvm.x86.avx2.gather.d.d.256(<8 x i32> undef, ptr %buffer, <8 x i32> %offset, <8 x i32" \
    "> " lanes ", i8 " scale ")\n"
#define READ GATHERED(ONES, "1")
#define CLEAR DO("got", "and", "%read", "%range")

/* ---- Indices that are side by side ---- */

static void sums(void)
{
    SIDE("gather", 1);
    SIDE("loads of 8", 1, LOADS);
    SIDE("loads of 16", 1, LOADS, 16);
    SIDE("no number but the lane's own", 1, .index = DO("index", "add", "zeroinitializer", INDEX));
    SIDE("lanes plus the first", 1, .index = DO("index", "add", INDEX, "%start"));
    SIDE("a sum of three", 1, .index = DO("a", "add", "%start", INDEX) DO("index", "add", "%a", "%step"));
    SIDE("a sum of three, turned", 1, .index = DO("a", "add", INDEX, "%start") DO("index", "add", "%step", "%a"));
    SIDE("a difference", 1,
         .index = DO("a", "mul", "%step", SAME(3)) DO("b", "add", "%start", INDEX) DO("index", "sub", "%b", "%a"));
    SIDE("a constant more", 1, .index = DO("a", "add", "%start", INDEX) DO("index", "add", "%a", SAME(-3)));
    SIDE("from 1", 1, .index = DO("index", "add", "%start", FROM_ONE));
    SIDE("a product in front", 1, .index = DO("a", "mul", "%start", "%step") DO("index", "add", "%a", INDEX));
    SIDE("a size for each lane", 1, .range = DO("odd", "and", "%x", SAME(1)) DO("sizes", "lshr", "%size", "%odd")
                                              LESS("ult", "%index", "%sizes"));
}

static void bits(void)
{
    SIDE("or, of a multiple of 8", 1, .unit = 8,
         .index = DO("a", "shl", "%start", SAME(3)) DO("index", "or", "%a", INDEX));
    SIDE("or, of a multiple of 32", 1, .unit = 32,
         .index = DO("a", "shl", "%start", SAME(5)) DO("index", "or", "%a", INDEX));
    SIDE("or, of a multiple in lane 0", 1, .unit = 8,
         .index = DO("a", "shl", "%starts", ONE_LANE(3)) SPLAT("b", "%a", 0) DO("index", "or", "%b", INDEX));
    SIDE("or, of a multiple and more", 1, .unit = 16,
         .index = DO("a", "shl", "%starts", ONE_LANE(4)) SPLAT("b", "%a", 0) DO("c", "or", "%b", INDEX)
                      DO("index", "add", "%c", "%step"));
    SIDE("or, of a multiple of 16 and lanes from 8 on", 1, .unit = 16,
         .index = DO("a", "shl", "%start", SAME(4)) DO("index", "or", "%a", FROM_EIGHT));
    /* A carry into the lanes' bits. */
    SIDE("or, of a multiple of 8 and lanes from 8 on", 0,
         .index = DO("a", "shl", "%start", SAME(3)) DO("index", "or", "%a", FROM_EIGHT));
    SIDE("or, of a multiple of 4", 0, .index = DO("a", "shl", "%start", SAME(2)) DO("index", "or", "%a", INDEX));
    SIDE("or, of a multiple of 4 in lane 0", 0,
         .index = DO("a", "shl", "%starts", ONE_LANE(2)) SPLAT("b", "%a", 0) DO("index", "or", "%b", INDEX));
    SIDE("or, of a number shifted down", 0,
         .index = DO("a", "lshr", "%start", SAME(3)) DO("index", "or", "%a", INDEX));
    SIDE("or, of any number", 0, .index = DO("index", "or", "%start", INDEX));
    SIDE("or, of a multiple of 8 and more", 0,
         .index = DO("a", "shl", "%start", SAME(3)) DO("b", "add", "%a", "%step") DO("index", "or", "%b", INDEX));
    SIDE("or, of a multiple in another lane", 0,
         .index = DO("a", "shl", "%starts", ONE_LANE(3)) SPLAT("b", "%a", 1) DO("index", "or", "%b", INDEX));
    SIDE("or, of a multiple in every lane but 0", 0,
         .index = DO("a", "shl", "%starts", "<i32 0, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3>")
                      SPLAT("b", "%a", 0) DO("index", "or", "%b", INDEX));
    SIDE("or, of a multiple for each lane", 0,
         .index = DO("a", "shl", "%x", SAME(3)) DO("index", "or", "%a", INDEX));
    SIDE("or, of a number shifted by a number", 0,
         .index = DO("a", "shl", "%start", "%step") DO("index", "or", "%a", INDEX));
    SIDE("or, of lanes from 1 on", 0, .index = DO("a", "shl", "%start", SAME(3)) DO("index", "or", "%a", FROM_ONE));
    SIDE("or, of lanes by two", 0, .index = DO("a", "shl", "%start", SAME(3)) DO("index", "or", "%a", BY_TWO));
    SIDE("or, of what is beside already", 0,
         .index = DO("a", "shl", "%start", SAME(3)) DO("b", "add", "%step", INDEX) DO("index", "or", "%a", "%b"));
    SIDE("or, of 8 for 16 lanes", 0, LOADS, 16,
         .index = "%a = shl <16 x i32> %start, <i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, "
                  "i32 3, i32 3, i32 3, i32 3, i32 3, i32 3>\n%index = or <16 x i32> %a, <i32 0, i32 1, i32 2, i32 3, "
                  "i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>\n");
}

static void loops(void)
{
    SIDE("a loop's", 1, .entry = DO("first", "add", "%start", INDEX), .phis = PHI("index", "%first", "%index.next"),
         .index = "", .next = DO("index.next", "add", "%index", "%step"));
    SIDE("a loop's, down", 1, .entry = DO("first", "add", "%start", INDEX),
         .phis = PHI("index", "%first", "%index.next"), .index = "",
         .next = DO("index.next", "sub", "%index", SAME(9)));
    SIDE("a loop's, from 0", 1, .phis = PHI("k", INDEX, "%k.next"), .index = DO("index", "add", "%k", "%start"),
         .next = DO("k.next", "add", "%k", SAME(8)));
    SIDE("a loop's, of two in turn", 1, .entry = DO("first", "add", "%start", INDEX),
         .phis = PHI("index", "%first", "%late") PHI("late", INDEX, "%index.next"), .index = "",
         .next = DO("index.next", "add", "%index", "%step"));
    SIDE("a loop's, that started as another", 1, .entry = DO("first", "add", "%start", INDEX),
         .phis = PHI("index", "%first", INDEX), .index = "");
    SIDE("a number of a loop in front", 1, .phis = PHI("k", "%start", "%k.next"),
         .index = DO("index", "add", "%k", INDEX), .next = DO("k.next", "add", "%k", "%step"));
    SIDE("a loop's, that starts anywhere", 0, .phis = PHI("index", "%x", "%index.next"), .index = "",
         .next = DO("index.next", "add", "%index", "%step"));
    SIDE("a loop's, that goes on anywhere", 0, .phis = PHI("index", INDEX, "%x"), .index = "");
    SIDE("a loop's, a step for each lane", 0, .phis = PHI("index", INDEX, "%index.next"), .index = "",
         .next = DO("index.next", "add", "%index", "%x"));
    SIDE("a loop's, that comes apart", 0, .phis = PHI("index", INDEX, "%index.next"), .index = "",
         .next = DO("index.next", "add", "%index", INDEX));
    SIDE("a loop's, that turns around", 0, .phis = PHI("index", INDEX, "%index.next"), .index = "",
         .next = DO("index.next", "sub", SAME(20), "%index"));
    SIDE("a loop's, of two of which one is not", 0, .phis = PHI("index", INDEX, "%late") PHI("late", "%x", "%index"),
         .index = "");
}

/* ---- Indices that only look so ---- */

static void others(void)
{
    SIDE("by two", 0, .index = DO("index", "add", "%start", BY_TWO));
    SIDE("twice the lane", 0, .index = DO("index", "add", INDEX, INDEX));
    SIDE("the lane taken off", 0, .index = DO("index", "sub", "%start", INDEX));
    SIDE("down", 0, .index = DO("index", "add", "%start", DOWN));
    SIDE("all but the first lane", 0, .index = DO("index", "add", "%start", NOT_THE_FIRST));
    SIDE("all but the last lane", 0, .index = DO("index", "add", "%start", NOT_THE_LAST));
    SIDE("the same for all", 0, .index = DO("index", "add", "%start", "%step"));
    SIDE("the same for all, of a constant", 0, .index = DO("index", "add", "%start", SAME(0)));
    SIDE("a number for each lane", 0, .index = DO("index", "add", "%x", INDEX));
    SIDE("less a number for each lane", 0, .index = DO("a", "add", "%start", INDEX) DO("index", "sub", "%a", "%x"));
    SIDE("a product", 0, .index = DO("a", "add", "%start", INDEX) DO("index", "mul", "%a", SAME(3)));
    SIDE("bits turned over", 0, .index = DO("a", "shl", "%start", SAME(3)) DO("b", "xor", "%a", INDEX)
                                              DO("index", "xor", "%b", SAME(1)));
    SIDE("as it is read", 0, .index = "%index = add <8 x i32> %starts, zeroinitializer\n");
    SIDE("gather of 4", 0, GATHER, 4);
    SIDE("loads of 4", 0, LOADS, 4);
}

/* ---- Fetches that only look so ---- */

static void fetches(void)
{
    SIDE("texels of four words", 0, .shift = 4);
    SIDE("texels of four words, loads", 0, LOADS, .shift = 4);
    SIDE("words of two bytes", 0, .shift = 1);
    SIDE("at twice the index", 0,
         .offset = DO("bytes", "mul", "%index", SAME(2)) DO("offset", "and", "%bytes", "%range"));
    SIDE("at bytes", 0, .offset = DO("offset", "and", "%index", "%range"));
    SIDE("where another index is", 0,
         .offset = DO("bytes", "shl", "%start", SAME(2)) DO("offset", "and", "%bytes", "%range"));
    SIDE("asked of another index", 0, .range = LESS("ult", "%start", "%size"));
    SIDE("another mask of offsets", 0, .offset = ODDS BYTES DO("offset", "and", "%bytes", "%odds"));
    SIDE("another mask of what was read", 0, .got = ODDS DO("got", "and", "%read", "%odds"));
    SIDE("cleared twice", 0, .got = ODDS DO("some", "and", "%read", "%odds") DO("got", "and", "%some", "%range"));
    SIDE("cleared twice, loads", 0, LOADS,
         .got = ODDS DO("some", "and", "%read", "%odds") DO("got", "and", "%some", "%range"));
    SIDE("not cleared", 0, .got = DO("got", "add", "%read", "%range"));
    SIDE("no mask of offsets", 0, .offset = DO("offset", "shl", "%index", SAME(2)));
    SIDE("a signed range", 0, .range = LESS("slt", "%index", "%size"));
    SIDE("one more than the range", 0, .range = LESS("ule", "%index", "%size"));
    SIDE("out of range", 0, .range = LESS("uge", "%index", "%size"));
    SIDE("in units of four bytes", 0, .read = GATHERED(ONES, "4"));
    SIDE("not for all lanes", 0, .read = ODDS GATHERED("%odds", "1"));
    SIDE("a lane at another's place", 0, LOADS, .odd = OTHER_LANE);
    SIDE("a lane of another buffer", 0, LOADS, .odd = OTHER_BASE);
}

/* ---- What is written between the read and where it is cleared, which is where a load of all lanes is ---- */

static void writes(void)
{
    SIDE("written when it is read", 0, .got = WRITE CLEAR);
    SIDE("written when it is read, loads", 0, LOADS, .got = WRITE CLEAR);
    SIDE("cleared in another block", 0, .got = WRITE NEXT_BLOCK CLEAR, .last = "last");
    SIDE("cleared behind what another block writes", 0, .got = NEXT_BLOCK WRITE CLEAR, .last = "last");
    SIDE("cleared in another block, loads", 0, LOADS, .got = WRITE NEXT_BLOCK CLEAR, .last = "last");
    SIDE("read in two blocks", 0, LOADS, .odd = OTHER_BLOCK, .last = "last");
    SIDE("volatile", 0, LOADS, .odd = VOLATILE);
    SIDE("atomic", 0, LOADS, .odd = ATOMIC);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    size_t all = 32ull << 30; /* four bytes a number of 32 bits, on both sides */
    char *map = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(d);
    if (map == MAP_FAILED)
        SKIP("no 32 GiB of addresses");
    find_llvm();
    room = map + all / 2;
    CHECK(!mprotect(room, PAGE, PROT_READ | PROT_WRITE));
    check_state = 7;
    for (int i = 0; i < PAGE; i += 4)
        *(uint32_t *)(room + i) = check_random() >> 8 | 1;
    sums();
    bits();
    loops();
    others();
    fetches();
    writes();
    tain_device_free(d);
    return 0;
}
