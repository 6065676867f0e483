/* Loops that read in strides, and loops that only look so (check_passes.h). How many turns go through the fast body is
 * known: that body is made to count them. Around the buffer there is all the room that an offset of 32 bits reaches.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

#include <sys/mman.h>

enum { MOST_LANES = 16, NEAR = 1 << 16, MARGIN = 1 << 20, TURNS = 240, MOST_TURNS = 12 };

static char *buffer;

/* What a kernel is given: where the buffer is, as the driver says it, and numbers of all lanes. */
struct description {
    void *buffer;
    uint32_t size;
};
struct numbers {
    uint32_t start[MOST_LANES], step[MOST_LANES], first[MOST_LANES], mask[MOST_LANES], x[MOST_LANES];
};

/* How it reads. Words: a gather, or a load a lane; texels of four words: a load a lane, and all of them transposed. */
enum how { GATHER, LOADS, TEXELS };
/* What a lane's load is like where it is not like the others'. */
enum odd {
    NONE, OTHER_LANE, OTHER_OFFSET, OTHER_BASE, OTHER_UNIT, OTHER_WORD, OTHER_SIZE, CLEARED_TWICE, VOLATILE, ATOMIC
};

/* The i-th read is at start + (k + i * along) * step + i * apart. Texts that are NULL are as Mesa has them, and numbers
 * that are 0 are as said. */
struct form {
    const char *name;
    unsigned changes;
    enum how how;
    bool alike;             /* one texel for all lanes; else one after the other */
    int lanes, by, reads;   /* 8; what k grows by: 1; 1 */
    int along, apart, word; /* word: of the first read's texel; the others have those that follow */
    enum odd odd;
    uint32_t step, plus;    /* of the index that is given, for all runs; else the step is read */
    const char *entry, *enter, *phis, *k, *go, *index, *fetch, *body, *next, *behind;
    const char *last;       /* block of the body */
    bool any;               /* it goes on for any lane, not for the first one */
    bool unlimited;
    bool never;             /* it can never be told beforehand */
    int stops;              /* with this n there are no turns */
};

#define STRIDE(...) stride((struct form){ __VA_ARGS__ })
#define OR_ELSE(x, otherwise) ((x) ? (x) : (otherwise))
#define TEXT(name, otherwise) OR_ELSE(f->name, otherwise)

/* ---- What is read ---- */

static void splat(const char *to, int lanes, const char *number)
{
    say("%%%s.in = insertelement <%d x i32> undef, i32 %s, i64 0\n", to, lanes, number);
    say("%%%s = shufflevector <%d x i32> %%%s.in, <%d x i32> undef, <%d x i32> zeroinitializer\n", to, lanes, to, lanes,
        lanes);
}

static const char *same(int n, int lanes)
{
    static char out[2][MOST_LANES * 16];
    static int which;
    char *to = out[which ^= 1];

    for (int i = 0, at = 0; i < lanes; i++)
        at += sprintf(to + at, "%si32 %d", i ? ", " : "<", n);
    return strcat(to, ">");
}

/* What the lanes load at their offsets. */
static void loads(const struct form *f, int r, int lanes, const char *type)
{
    for (int i = 0; i < lanes; i++) {
        enum odd odd = i == 5 ? f->odd : NONE;
        say("%%o%d.%d = extractelement <%d x i32> %%%s%d, i64 %d\n", i, r, lanes,
            odd == OTHER_OFFSET ? "range" : "offset", r, odd == OTHER_LANE ? i - 1 : i);
        say("%%w%d.%d = sext i32 %%o%d.%d to i64\n", i, r, i, r);
        say("%%p%d.%d = getelementptr %s, ptr %%%s, i64 %%w%d.%d\n", i, r, odd == OTHER_UNIT ? "i16" : "i8",
            odd == OTHER_BASE ? "other" : "buffer", i, r);
        say("%%t%d.%d = load%s %s, ", i, r, odd == VOLATILE ? " volatile" : odd == ATOMIC ? " atomic" : "", type);
        say("ptr %%p%d.%d%s, align 4\n", i, r, odd == ATOMIC ? " monotonic" : "");
    }
}

/* A word of eight texels: Mesa transposes them. */
static void transpose(const struct form *f, int r, int word)
{
    const char *low = "<i32 0, i32 8, i32 1, i32 9, i32 4, i32 12, i32 5, i32 13>";
    const char *high = "<i32 2, i32 10, i32 3, i32 11, i32 6, i32 14, i32 7, i32 15>";

    for (int i = 0; i < 4; i++)
        say("%%q%d.%d = shufflevector <4 x i32> %%t%d.%d, <4 x i32> %%t%d.%d, <8 x i32> " INDEX "\n", i, r, i, r, i + 4,
            r);
    for (int i = 0; i < 2; i++) {
        say("%%h%d.%d = shufflevector <8 x i32> %%q%d.%d, <8 x i32> %%q%d.%d, <8 x i32> %s\n", i, r, 2 * i, r,
            2 * i + 1, r, word < 2 ? low : high);
        say("%%hw%d.%d = bitcast <8 x i32> %%h%d.%d to <4 x i64>\n", i, r, i, r);
    }
    say("%%dw.%d = shufflevector <4 x i64> %%hw0.%d, <4 x i64> %%hw1.%d, <4 x i32> %s\n", r, r, r,
        f->odd == OTHER_WORD ? "<i32 0, i32 5, i32 2, i32 6>"
        : word % 2           ? "<i32 1, i32 5, i32 3, i32 7>"
                             : "<i32 0, i32 4, i32 2, i32 6>");
    say("%%read%d = bitcast <4 x i64> %%dw.%d to <8 x i32>\n", r, r);
}

/* %got: what is at %index, 0 out of range. */
static void fetch(const struct form *f, int r, int lanes, int word)
{
    say("%%less%d = icmp ult <%d x i32> %%index%d, %%size\n", r, lanes, r);
    say("%%range%d = sext <%d x i1> %%less%d to <%d x i32>\n", r, lanes, r, lanes);
    say("%%bytes%d = shl <%d x i32> %%index%d, %s\n", r, lanes, r,
        same(f->how == TEXELS && f->odd != OTHER_SIZE ? 4 : 2, lanes));
    say("%%offset%d = and <%d x i32> %%bytes%d, %%range%d\n", r, lanes, r, r);
    switch (f->how) {
    case GATHER:
        say("%%read%d = call <%d x i32> @llvm.x86.avx2.gather.d.d%s(<%d x i32> undef, ptr %%buffer, ", r, lanes,
            lanes == 8 ? ".256" : "", lanes);
        say("<%d x i32> %%offset%d, <%d x i32> %s, i8 1)\n", lanes, r, lanes, same(-1, lanes));
        break;
    case TEXELS:
        loads(f, r, lanes, "<4 x i32>");
        transpose(f, r, word);
        break;
    case LOADS:
        loads(f, r, lanes, "i32");
        for (int i = 0; i < lanes; i++) {
            if (i)
                say("%%v%d.%d = insertelement <%d x i32> %%v%d.%d, ", i, r, lanes, i - 1, r);
            else
                say("%%v0.%d = insertelement <%d x i32> undef, ", r, lanes);
            say("i32 %%t%d.%d, i64 %d\n", i, r, i);
        }
        say("%%odd%d = icmp ult <%d x i32> %%x, %s\n%%odds%d = sext <%d x i1> %%odd%d to <%d x i32>\n", r, lanes,
            same(20, lanes), r, lanes, r, lanes);
        if (f->odd == CLEARED_TWICE)
            say("%%read%d = and <%d x i32> %%v%d.%d, %%odds%d\n", r, lanes, lanes - 1, r, r);
        else
            say("%%read%d = bitcast <%d x i32> %%v%d.%d to <%d x i32>\n", r, lanes, lanes - 1, r, lanes);
    }
    say("%%got%d = and <%d x i32> %%read%d, %%range%d\n", r, lanes, r, r);
}

static void read_all(const struct form *f, int lanes)
{
    for (int r = 0; r < OR_ELSE(f->reads, 1); r++) {
        if (f->index) {
            say("%s", f->index);
        } else {
            say("%%k%d = add <%d x i32> %%k, %s\n", r, lanes, same(r * f->along, lanes));
            say("%%far%d = mul <%d x i32> %%k%d, %%step\n", r, lanes, r);
            say("%%near%d = add <%d x i32> %%far%d, %%from\n", r, lanes, r);
            say("%%index%d = add <%d x i32> %%near%d, %s\n", r, lanes, r, same(r * f->apart, lanes));
        }
        if (f->fetch)
            say("%s", f->fetch);
        else
            fetch(f, r, lanes, (f->word + r) % 4);
    }
}

/* The sum says what was read when. */
static void add_all(int reads, int lanes)
{
    for (int r = 0; r < reads; r++) {
        say("%%by%d = mul <%d x i32> %%sum%.0d, %s\n", r, lanes, r, same(3, lanes));
        say(r == reads - 1 ? "%%sum.next = " : "%%sum%d = ", r + 1);
        say("add <%d x i32> %%by%d, %%got%d\n", lanes, r, r);
    }
}

static void write_text(const struct form *f)
{
    static const char *const numbers[] = { "start", "steps", "firsts", "masks", "x" };
    const char *last = TEXT(last, "body");
    int lanes = OR_ELSE(f->lanes, 8);

    begin();
    say("declare <8 x i32> @llvm.x86.avx2.gather.d.d.256(<8 x i32>, ptr, <8 x i32>, <8 x i32>, i8)\n"
        "declare <4 x i32> @llvm.x86.avx2.gather.d.d(<4 x i32>, ptr, <4 x i32>, <4 x i32>, i8)\n"
        "declare <8 x i32> @llvm.ctpop.v8i32(<8 x i32>)\ndeclare i64 @llvm.readcyclecounter()\n" DECLARE);
    for (int i = 0; i < 5; i++) {
        say("%%%s.at = getelementptr i32, ptr %%memory, i64 %d\n", numbers[i], i * MOST_LANES);
        say("%%%s = load <%d x i32>, ptr %%%s.at, align 4\n", numbers[i], lanes, numbers[i]);
    }
    say("%%start.0 = extractelement <%d x i32> %%start, i64 0\n%%step.0 = extractelement <%d x i32> %%steps, i64 0\n"
        "%%first.0 = extractelement <%d x i32> %%firsts, i64 0\n", lanes, lanes, lanes);
    splat("start.all", lanes, "%start.0");
    splat("step", lanes, "%step.0");
    splat("first", lanes, "%first.0");
    splat("count", lanes, "%n");
    say("%%from = add <%d x i32> %%%s, zeroinitializer\n%s", lanes, f->alike ? "start.all" : "start", TEXT(entry, ""));
    say("%shead:\n%%full = phi <%d x i32> [ %%masks, %%entry ], [ %s, %%%s ]\n", TEXT(enter, "br label %head\n"), lanes,
        same(-1, lanes), last);
    say("%%sum = phi <%d x i32> [ %%x, %%entry ], [ %%sum.next, %%%s ]\n", lanes, last);
    say("%%left = phi i32 [ %%limit, %%entry ], [ %%less, %%%s ]\n%s", last, TEXT(phis, ""));
    if (f->k)
        say("%s", f->k);
    else
        say("%%k = phi <%d x i32> [ %%first, %%entry ], [ %%k.next, %%%s ]\n", lanes, last);
    if (f->go) {
        say("%s", f->go);
    } else {
        say("%%go = icmp ult <%d x i32> %%k, %%count\n", lanes);
        say("%%mask = select <%d x i1> %%go, <%d x i32> %%full, <%d x i32> zeroinitializer\n", lanes, lanes, lanes);
        say("%%lane = extractelement <%d x i32> %%mask, i64 0\n%%some = icmp ne i32 %%lane, 0\n"
            "%%more = icmp sgt i32 %%left, 0\n%%both = and i1 %%some, %%more\n", lanes);
    }
    say("br i1 %%both, label %%body, label %%behind\nbody:\n%%buffer = load ptr, ptr %%in, align 8\n"
        "%%other = getelementptr i8, ptr %%buffer, i64 16\n%%size.at = getelementptr i8, ptr %%in, i64 8\n"
        "%%size.one = load i32, ptr %%size.at, align 4\n");
    splat("size", lanes, "%size.one");
    read_all(f, lanes);
    if (f->body)
        say("%s", f->body);
    else
        add_all(OR_ELSE(f->reads, 1), lanes);
    if (f->next)
        say("%s", f->next);
    else
        say("%%k.next = add <%d x i32> %%k, %s\n", lanes, same(OR_ELSE(f->by, 1), lanes));
    say("%%less = add i32 %%left, -1\nbr label %%head\nbehind:\n");
    say("store <%d x i32> %%sum, ptr %%out, align 4\n%%out.1 = getelementptr i32, ptr %%out, i64 16\n", lanes);
    say("store <%d x i32> %%full, ptr %%out.1, align 4\n%%out.2 = getelementptr i32, ptr %%out, i64 32\n", lanes);
    say("store i32 %%left, ptr %%out.2, align 4\n%s", TEXT(behind, ""));
    say("ret void\n}\nattributes #0 = { \"target-features\"=\"+avx2,+fma\" }\n");
}

/* The pass, and a count of turns in the fast body. */
static void change(struct code *c, const struct form *f)
{
    unsigned n;
    char *changed, *at;

    parse(c);
    n = llvm_strides(&l, c->module);
    changed = changed_text(c, f->name, n, f->changes);
    at = strstr(changed, "\nfast:");
    CHECK(!at == !n);
    at = at ? strstr(at, "\n  br ") : changed;
    begin();
    say("%.*s", (int)(at - changed), changed);
    if (n)
        say("\n%%turns.at = getelementptr i32, ptr %%out, i64 %d\n%%turns.was = load i32, ptr %%turns.at\n"
            "%%turns.now = add i32 %%turns.was, 1\nstore i32 %%turns.now, ptr %%turns.at\n", TURNS);
    say("%s", at);
    parse(c);
    compile(c, f->name);
}

/* ---- Inputs ---- */

enum {
    PLAIN, EXACT, SHORT, EMPTY, OUTSIDE, DOWN, /* the buffer ends where the last read does; before that; ... */
    WRAP, HUGE_WRAP, FAR, MIDDLE,              /* of the index; in a buffer with no end; by the step; of the offset */
    APART, SOME_MASKED, ALL_MASKED,            /* lanes */
    FEW_LEFT, ENOUGH_LEFT, NONE_LEFT, MINUS_LEFT, TURNS_NONE, TURNS_ONE, TURNS_MANY,
    LATE, LATEST, KINDS                        /* the counter starts far above 0, or at the end of all numbers */
};

/* Index of the i-th read in turn k. */
static uint32_t index_of(const struct form *f, const struct numbers *x, int i, uint32_t k)
{
    return x->start[0] + (k + (uint32_t)(i * f->along)) * OR_ELSE(f->step, x->step[0]) + (uint32_t)(i * f->apart) +
           f->plus;
}

static void choose(const struct form *f, int kind, struct description *d, struct numbers *x, int32_t *n, int32_t *left)
{
    int lanes = OR_ELSE(f->lanes, 8), shift = f->how == TEXELS ? 4 : 2, reads = OR_ELSE(f->reads, 1);
    uint32_t by = (uint32_t)OR_ELSE(f->by, 1), size = NEAR >> shift, across = f->alike ? 0 : (uint32_t)lanes - 1;
    uint32_t start = check_random() % 100, step = check_random() % 6, some = check_random() % 4;
    uint32_t first = check_random() % 2 ? check_random() % 5 : 0, last = 0;

    *n = 1 + (int32_t)(check_random() % MOST_TURNS);
    *left = 20;
    switch (kind) {
    case DOWN: start = 150, step = 0 - 1 - check_random() % 5, size = 120 + check_random() % 80; break;
    case WRAP: start = 0 - check_random() % 40; break;
    case HUGE_WRAP: start = 0 - check_random() % 40, size = UINT32_MAX; break;
    case FAR: step = 1u << (32 - shift), size = UINT32_MAX; break;
    case MIDDLE: start = (INT32_MAX >> shift) - check_random() % 60, size = UINT32_MAX; break;
    case FEW_LEFT: *left = 1 + (int32_t)check_random() % 5; break;
    case NONE_LEFT: *left = 0; break;
    case MINUS_LEFT: *left = -7; break;
    case TURNS_NONE: *n = 0; break;
    case TURNS_ONE: *n = (int32_t)first + 1; break;
    case TURNS_MANY: *n = 2000, *left = 65535, step %= 2; break;
    case LATE: first = check_random() % 20; break;
    case LATEST: first = 0 - 4 - check_random() % 9, *n = -1 - (int32_t)some, step = 0; break;
    }
    for (int i = 0; i < MOST_LANES; i++) {
        x->start[i] = start + (uint32_t)i;
        x->step[i] = step;
        x->first[i] = first;
        x->mask[i] = kind == ALL_MASKED || (kind == SOME_MASKED && check_random() % 2) ? 0 : UINT32_MAX;
        x->x[i] = check_random() % 50;
    }
    if (kind == APART)
        x->start[check_random() % (uint32_t)lanes] += 1 + some;
    if (kind == ENOUGH_LEFT)
        *left = ((int32_t)((uint32_t)*n - first + by - 1)) / (int32_t)by + (int32_t)(some % 2);
    for (int i = 0; i < reads; i++)
        for (uint32_t k = first; k < (uint32_t)*n && kind != TURNS_MANY && kind != LATEST; k += by)
            if (index_of(f, x, i, k) + across > last)
                last = index_of(f, x, i, k) + across;
    switch (kind) {
    case EXACT: size = last + 1; break;
    case SHORT: size = last - check_random() % 3; break;
    case EMPTY: size = 0; break;
    case OUTSIDE: size = start; break;
    }
    *d = (struct description){ buffer, size };
}

/* How many turns can be told beforehand to be in range. */
static uint32_t fast_turns(const struct form *f, const struct description *d, const struct numbers *x, uint32_t n,
                           int32_t left)
{
    uint32_t lanes = (uint32_t)OR_ELSE(f->lanes, 8), by = (uint32_t)OR_ELSE(f->by, 1), k = x->first[0];
    uint32_t step = OR_ELSE(f->step, x->step[0]) * by, across = f->alike ? 0 : lanes - 1;
    uint64_t turns = ((uint64_t)n - k + by - 1) / by;
    bool go = x->mask[0];

    for (uint32_t i = 0; i < lanes; i++) {
        go |= f->any && x->mask[i];
        if (!f->alike && x->start[i] != x->start[0] + i)
            return 0;
    }
    if (f->never || !f->changes || !go || k >= n || (!f->unlimited && (left < 0 || turns > (uint32_t)left)) ||
        (f->stops && n == (uint32_t)f->stops))
        return 0;
    for (int i = 0; i < OR_ELSE(f->reads, 1); i++) {
        uint64_t first = (uint64_t)index_of(f, x, i, k) + across;
        if (first + step * (turns - 1) >= d->size || first + step * turns > INT32_MAX >> (f->how == TEXELS ? 4 : 2))
            return 0;
    }
    return (uint32_t)turns;
}

static void stride(const struct form f)
{
    struct code before, after;

    write_text(&f);
    parse(&before);
    compile(&before, f.name);
    change(&after, &f);
    check_state = 7;
    for (int run = 0; run < RUNS && f.changes; run++) {
        struct description d;
        struct numbers x;
        uint32_t out[2][WORDS] = { { 0 } };
        int32_t n, left;
        choose(&f, run % KINDS, &d, &x, &n, &left);
        before.f((uint32_t *)&d, out[0], (uint32_t *)&x, n, left);
        after.f((uint32_t *)&d, out[1], (uint32_t *)&x, n, left);
        out[0][TURNS] = fast_turns(&f, &d, &x, (uint32_t)n, left);
        for (int i = 0; i < WORDS; i++)
            if (out[0][i] != out[1][i]) {
                fprintf(stderr, "%s: kind %d, n %d from %d, limit %d, size %u: word %d is %#x, was %#x\n", f.name,
                        run % KINDS, n, x.first[0], left, d.size, i, out[1][i], out[0][i]);
                exit(1);
            }
    }
    forget(&before);
    forget(&after);
}

/* ---- Texts ---- */

#define SAME(n) "<i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ">"
#define DO(to, what, x, y) "%" to " = " what " <8 x i32> " x ", " y "\n"
#define PHI(to, type, first, next) "%" to " = phi " type " [ " first ", %entry ], [ " next ", %body ]\n"
#define WORD "<8 x i32>"
#define PUT_AS(type, value, at) \
    "%at" #at " = getelementptr i32, ptr %out, i64 " #at "\nstore " type " %" value ", ptr %at" #at ", align 4\n"
#define PUT(value, at) PUT_AS(WORD, value, at)
#define SUM(number) DO("sum.3", "mul", "%sum", SAME(3)) DO("sum.next", "add", "%sum.3", "%" number)
#define MIXED(with) DO("mixed", "xor", "%got0", "%" with) SUM("mixed")
#define NEXT(by) DO("k.next", "add", "%k", by)

/* Mesa's condition in parts. */
#define GO(is, x, y) DO("go", "icmp " is, x, y)
#define MASK(yes, no) "%mask = select <8 x i1> %go, <8 x i32> " yes ", <8 x i32> " no "\n"
#define LANE "%lane = extractelement <8 x i32> %mask, i64 0\n%some = icmp ne i32 %lane, 0\n"
#define ANY "%wide = bitcast <8 x i32> %mask to i256\n%some = icmp ne i256 %wide, 0\n"
#define MORE "%more = icmp sgt i32 %left, 0\n"
#define BOTH(x, y) "%both = and i1 " x ", " y "\n"
#define LESS GO("ult", "%k", "%count") MASK("%full", "zeroinitializer") LANE
#define WHILE(is, x, y) GO(is, x, y) MASK("%full", "zeroinitializer") LANE MORE BOTH("%some", "%more")
#define UNLESS(is, x, y) GO(is, x, y) MASK("zeroinitializer", "%full") LANE MORE BOTH("%some", "%more")
#define ALSO(what) LESS MORE what "%all = and i1 %some, %also\n" BOTH("%all", "%more")

/* An index of what grows, and a fetch in parts. */
#define FROM(number) DO("index0", "add", "%" number, "%from")
#define RANGE(is, number) DO("less0", "icmp " is, "%index0", number) "%range0 = sext <8 x i1> %less0 to <8 x i32>\n"
#define IN_RANGE RANGE("ult", "%size")
#define OTHER DO("less1", "icmp ult", "%x", SAME(20)) "%range1 = sext <8 x i1> %less1 to <8 x i32>\n"
#define OFFSET(by, range) DO("bytes0", "shl", "%index0", SAME(by)) DO("offset0", "and", "%bytes0", range)
#define GATHERED(to, at, lanes, scale)                                                                    \
    "%" to " = call <8 x i32> @llvm.x86.avx2.gather.d.d.256(<8 x i32> zeroinitializer, ptr %buffer, <8 x i32> %" at \
    ", <8 x i32> " lanes ", i8 " scale ")\n"
#define READ GATHERED("read0", "offset0", ONES, "1")
#define CLEAR(range) DO("got0", "and", "%read0", range)
#define REST OFFSET(2, "%range0") READ CLEAR("%range0")

/* ---- How it reads ---- */

static void ways(void)
{
    static const struct {
        enum how how;
        bool alike;
        int lanes;
    } ways[] = {
        { GATHER, false, 8 }, { GATHER, true, 8 }, { LOADS, false, 8 }, { LOADS, true, 8 }, { TEXELS, true, 8 },
        { GATHER, false, 4 }, { GATHER, true, 4 }, { LOADS, false, 16 }, { LOADS, true, 16 },
    };
    static const struct {
        int by, reads, along, apart;
    } reads[] = { { 1, 1, 0, 0 }, { 2, 2, 1, 0 }, { 1, 4, 0, 1 }, { 1, 3, 0, 8 }, { 4, 4, 1, 0 }, { 4, 3, 1, 2 } };

    for (int i = 0; i < 9; i++)
        for (int k = 0; k < (ways[i].lanes == 8 ? 6 : 3); k++) {
            char name[64];
            snprintf(name, sizeof(name), "way %d, reads %d", i, k);
            STRIDE(name, 1, ways[i].how, ways[i].alike, ways[i].lanes, reads[k].by, reads[k].reads, reads[k].along,
                   reads[k].apart);
        }
    for (int word = 0; word < 4; word++)
        STRIDE("a word of a texel", 1, TEXELS, true, .word = word);
    /* Lanes side by side, times one number: a product. */
    STRIDE("a product", 1,
           .body = DO("at.all", "add", "%far0", "%start.all") DO("l", "icmp ult", "%at.all", "%size")
                   "%r = sext <8 x i1> %l to <8 x i32>\n" DO("b", "shl", "%at.all", SAME(2)) DO("o", "and", "%b", "%r")
                   GATHERED("a.all", "o", ONES, "1") DO("a", "and", "%a.all", "%r")
                   "%fa = uitofp <8 x i32> %a to <8 x float>\n%fb = uitofp <8 x i32> %got0 to <8 x float>\n"
                   "%fs = bitcast <8 x i32> %sum to <8 x float>\n%fp = fmul <8 x float> %fa, %fb\n"
                   "%fn = fadd <8 x float> %fp, %fs\n%sum.next = bitcast <8 x float> %fn to <8 x i32>\n");
    /* Texels of both sizes at one index of one buffer are not at one address. */
    STRIDE("texels and words", 1, TEXELS, true, .word = 3,
           .body = DO("w", "shl", "%index0", SAME(2)) DO("w.o", "and", "%w", "%range0")
                   GATHERED("w.r", "w.o", ONES, "1") DO("words", "and", "%w.r", "%range0") MIXED("words"));
    STRIDE("texels side by side", 0, TEXELS);
}

/* ---- What an index is made of; its step is what all of that adds up to ---- */

#define TWICE(to, from) DO("t" #to, "add", "%t" #from, "%t" #from)
#define MANY(F) F(1, 0) F(2, 1) F(3, 2) F(4, 3) F(5, 4) F(6, 5) F(7, 6) F(8, 7) F(9, 8) F(10, 9) F(11, 10) F(12, 11)

static void indices(void)
{
    STRIDE("the counter", 1, .step = 1, .index = FROM("k"));
    STRIDE("a factor", 1, .step = 5, .index = DO("far", "mul", "%k", SAME(5)) FROM("far"));
    STRIDE("a factor that comes first", 1,
           .index = DO("far", "mul", "%step", "%k") DO("index0", "add", "%from", "%far"));
    STRIDE("a factor of the body", 1,
           .index = DO("again", "xor", "%step", "zeroinitializer") DO("far", "mul", "%k", "%again") FROM("far"));
    STRIDE("shifted", 1, .step = 8, .index = DO("far", "shl", "%k", SAME(3)) FROM("far"));
    STRIDE("less something", 1, .step = 3, .plus = -50u,
           .index = DO("far", "mul", "%k", SAME(3)) DO("most", "add", "%far", "%from")
                    DO("index0", "sub", "%most", SAME(50)));
    STRIDE("less what grows", 1, .step = 2,
           .index = DO("far", "mul", "%k", SAME(7)) DO("back", "mul", "%k", SAME(5)) DO("most", "add", "%far", "%from")
                    DO("index0", "sub", "%most", "%back"));
    STRIDE("bits that are free", 1, .step = 8, .plus = 5,
           .index = DO("far", "shl", "%k", SAME(3)) DO("free", "or", "%far", SAME(5)) FROM("free"));
    STRIDE("bits that are not free", 0,
           .index = DO("far", "shl", "%k", SAME(3)) DO("free", "or", "%far", SAME(9)) FROM("free"));
    STRIDE("bits of what is not shifted", 0, .index = DO("free", "or", "%k", STEP) FROM("free"));
    /* It may be there to take something away, so it is none of those that add up. */
    STRIDE("a large constant", 1, .step = 1, .plus = 1 << 20,
           .index = DO("near", "add", "%k", "%from") DO("index0", "add", "%near", SAME(1048576)));
    STRIDE("a square", 0, .index = DO("far", "mul", "%k", "%k") FROM("far"));
    STRIDE("a half", 0, .index = DO("far", "lshr", "%k", STEP) FROM("far"));
    STRIDE("shifted by the counter", 0, .alike = true, .index = DO("far", "shl", "%step", "%k") FROM("far"));
    STRIDE("a shift for each lane", 0, .index = DO("far", "shl", "%k", INDEX) FROM("far"));
    STRIDE("a step for each lane", 0, .index = DO("far", "mul", "%k", "%start") FROM("far"));
    STRIDE("a step that was read", 0, .index = DO("far", "mul", "%k", "%sum") FROM("far"));
    STRIDE("an index that was read", 0, .index = FROM("sum"));
    /* One place behind the other, but not so in every lane. */
    STRIDE("every other place", 1, .never = true,
           .index = DO("far", "mul", "%k", "%step") DO("near", "add", "%far", INDEX) FROM("near"));
    STRIDE("lanes in another order", 1, .never = true,
           .entry = "%turned = shufflevector <8 x i32> %from, <8 x i32> undef, "
                    "<8 x i32> <i32 0, i32 2, i32 1, i32 3, i32 4, i32 5, i32 6, i32 7>\n",
           .index = DO("far", "mul", "%k", "%step") DO("index0", "add", "%far", "%turned"));
    /* Found in more ways than can be gone. */
    STRIDE("an index with many parts", 0, .index = DO("t0", "add", "%k", "%k") MANY(TWICE) FROM("t12"));
}

/* ---- How it is known that it goes on ---- */

#define AGAIN(to, from) "%t" #to " = and i1 %t" #from ", %t" #from "\n"

static void conditions(void)
{
    STRIDE("count > k", 1, .go = WHILE("ugt", "%count", "%k"));
    STRIDE("unless k >= count", 1, .go = UNLESS("uge", "%k", "%count"));
    STRIDE("unless count <= k", 1, .go = UNLESS("ule", "%count", "%k"));
    STRIDE("unless k < count", 1, .never = true, .go = UNLESS("ult", "%k", "%count"));
    STRIDE("k <= count", 0, .go = WHILE("ule", "%k", "%count"));
    STRIDE("signed", 0, .go = WHILE("slt", "%k", "%count"));
    STRIDE("until both are equal", 0, .go = WHILE("ne", "%k", "%count"));
    STRIDE("any lane", 1, .any = true,
           .go = GO("ult", "%k", "%count") MASK("%full", "zeroinitializer") ANY MORE BOTH("%some", "%more"));
    STRIDE("not for one n", 1, .stops = 3, .go = ALSO("%also = icmp ne i32 %n, 3\n"));
    STRIDE("no limit", 1, .unlimited = true, .go = LESS BOTH("%some", "true"));
    STRIDE("the first turn only", 1, .never = true, .phis = PHI("also", "i1", "true", "false"), .go = ALSO(""));
    /* The limit may be past from the start, and what is asked of it is not known to be so in the first turn. */
    STRIDE("the first turn without the limit", 1, .phis = PHI("begun", "i1", "false", "true"),
           .go = LESS MORE "%not = xor i1 %begun, true\n%let = or i1 %not, %more\n" BOTH("%some", "%let"));
    STRIDE("past the limit", 1, .never = true, .go = LESS MORE "%past = xor i1 %more, true\n" BOTH("%some", "%past"));
    STRIDE("a limit of three", 0, .go = LESS "%more = icmp sgt i32 %left, 3\n" BOTH("%some", "%more"));
    STRIDE("a limit in twos", 0, .phis = PHI("twos", "i32", "%n", "%twos.next"),
           .next = "%twos.next = add i32 %twos, -2\n" NEXT(STEP),
           .go = LESS "%more = icmp sgt i32 %twos, 0\n" BOTH("%some", "%more"));
    STRIDE("two limits", 0, .phis = PHI("left.2", "i32", "%n", "%less.2"),
           .next = "%less.2 = add i32 %left.2, -1\n" NEXT(STEP),
           .go = ALSO("%also = icmp sgt i32 %left.2, 0\n"));
    STRIDE("a limit for each lane", 0, .entry = "%each = insertelement <8 x i32> %x, i32 %limit, i64 0\n",
           .phis = PHI("lefts", WORD, "%each", "%lefts.next"),
           .next = DO("lefts.next", "add", "%lefts", ONES) NEXT(STEP),
           .go = LESS DO("are", "icmp sgt", "%lefts", "zeroinitializer") "%bits = bitcast <8 x i1> %are to i8\n"
                 "%more = icmp eq i8 %bits, -1\n" BOTH("%some", "%more"));
    STRIDE("until the sum is large", 0,
           .go = ALSO("%sum.0 = extractelement <8 x i32> %sum, i64 0\n%also = icmp ult i32 %sum.0, 99999\n"));
    STRIDE("until something is read by the mask", 0,
           .go = ALSO("%where = and i32 %lane, 7\n%at = getelementptr i32, ptr %memory, i32 %where\n"
                      "%word = load i32, ptr %at, align 4\n%also = icmp ne i32 %word, 77\n"));
    STRIDE("two counts", 0,
           .go = ALSO(DO("are", "icmp ult", "%k", "%first") "%also = extractelement <8 x i1> %are, i64 0\n"));
    STRIDE("a count for each lane", 0, .go = WHILE("ult", "%k", "%x"));
    STRIDE("a count that changes", 0, .phis = PHI("c", WORD, "%count", "%c.next"),
           .next = DO("c.next", "xor", "%c", STEP) NEXT(STEP), .go = WHILE("ult", "%k", "%c"));
    STRIDE("a counter for each lane", 0, .k = PHI("k", WORD, "%x", "%k.next"));
    STRIDE("lanes that count apart", 0, .next = NEXT("<i32 1, i32 1, i32 1, i32 2, i32 1, i32 1, i32 1, i32 1>"));
    STRIDE("a counter that stands", 0, .next = NEXT("zeroinitializer"));
    STRIDE("a counter that is doubled", 0, .next = NEXT("%k"));
    STRIDE("turns of 64", 1, .by = 64);
    STRIDE("turns of 65", 0, .by = 65);
    /* Found in more ways than can be gone, or written down. */
    STRIDE("a condition with many parts", 0,
           .go = ALSO("%t0 = and i1 %some, %more\n" MANY(AGAIN) "%also = and i1 %t12, %more\n"));
}

/* ---- What it carries: what the fast body does not compute must be known behind it ---- */

static void carried(void)
{
    STRIDE("the counter and the mask behind", 1, .behind = PUT("k", 48) PUT("mask", 64));
    STRIDE("the counter in the sum", 1, .body = MIXED("k"), .behind = PUT("k", 48));
    STRIDE("the next counter in the sum", 1, .next = "", .body = NEXT(STEP) MIXED("k.next"));
    STRIDE("others that grow", 1, .phis = PHI("g", WORD, "%x", "%g.next") PHI("s", "i32", "%n", "%s.next"),
           .next = DO("g.next", "add", "%g", SAME(7)) "%s.next = add i32 %s, -3\n" NEXT(STEP),
           .behind = PUT("g", 48) PUT_AS("i32", "s", 64));
    STRIDE("one that is more than another", 1, .phis = PHI("g", WORD, "%x", "%g.next"),
           .next = DO("g.next", "add", "%k", SAME(7)) NEXT(STEP), .behind = PUT("g", 48) PUT("k", 64));
    STRIDE("others that grow, of 64 and of 16 bits", 1, .entry = "%short = trunc <8 x i32> %x to <8 x i16>\n",
           .phis = PHI("g", "i64", "9", "%g.next") PHI("s", "<8 x i16>", "%short", "%s.next"),
           .next = "%g.next = add i64 %g, 7\n%s.next = add <8 x i16> %s, "
                   "<i16 9, i16 9, i16 9, i16 9, i16 9, i16 9, i16 9, i16 9>\n" NEXT(STEP),
           .behind = PUT_AS("i64", "g", 48) PUT_AS("<8 x i16>", "s", 64));
    STRIDE("numbers of other kinds", 1, .entry = "%x.f = bitcast <8 x i32> %x to <8 x float>\n",
           .phis = PHI("f", "<8 x float>", "%x.f", "%f.next") PHI("b", "i1", "false", "%b.next"),
           .body = "%got.f = uitofp <8 x i32> %got0 to <8 x float>\n%f.2 = fmul <8 x float> %f, %got.f\n"
                   "%f.next = fadd <8 x float> %f.2, %got.f\n%b.next = xor i1 %b, true\n"
                   "%odd = select i1 %b, <8 x i32> %got0, <8 x i32> %x\n" SUM("odd"),
           .behind = "%w.b = zext i1 %b to i32\n" PUT_AS("<8 x float>", "f", 48) PUT_AS("i32", "w.b", 64));
    STRIDE("what was read last", 1, .phis = PHI("last", WORD, "%x", "%got0"), .behind = PUT("last", 48));
    STRIDE("what was read before", 1, .phis = PHI("last", WORD, "%x", "%got0") PHI("old", WORD, "%start", "%last"),
           .body = MIXED("old"), .behind = PUT("last", 48) PUT("old", 64));
    STRIDE("two that change places", 1, .phis = PHI("p", WORD, "%x", "%q") PHI("q", WORD, "%start", "%p"),
           .body = MIXED("p"), .behind = PUT("p", 48) PUT("q", 64));
    STRIDE("the counter before", 1, .phis = PHI("old", WORD, "%x", "%k"), .body = MIXED("old"),
           .behind = PUT("old", 48) PUT("k", 64));
    STRIDE("the mask before", 1, .phis = PHI("old", WORD, "%x", "%mask"), .body = MIXED("old"),
           .behind = PUT("old", 48));
    STRIDE("what stays the same", 1, .phis = PHI("within", WORD, "%x", "%twice") PHI("outside", WORD, "%x", "%start"),
           .body = DO("twice", "add", "%start", "%start") DO("both.kept", "add", "%within", "%outside")
                   MIXED("both.kept"),
           .behind = PUT("within", 48) PUT("outside", 64));
    /* Constant from the second turn on, but another number in the first. */
    STRIDE("the mask in the sum", 1, .body = MIXED("full"));
    STRIDE("a constant", 1, .phis = PHI("c", WORD, "%x", SAME(3)), .body = MIXED("c"), .behind = PUT("c", 48));
    STRIDE("a constant, one turn later", 1, .phis = PHI("c", WORD, "%x", SAME(3)) PHI("old", WORD, "%start", "%c"),
           .body = MIXED("old"), .behind = PUT("c", 48) PUT("old", 64));
    STRIDE("a blend", 1,
           .body = "%a = bitcast <8 x i32> %got0 to <8 x float>\n%b = bitcast <8 x i32> %sum to <8 x float>\n"
                   "%m = bitcast <8 x i32> %masks to <8 x float>\n%c = call <8 x float> @llvm.x86.avx.blendv.ps.256("
                   "<8 x float> %b, <8 x float> %a, <8 x float> %m)\n%d = bitcast <8 x float> %c to <8 x i32>\n"
                   SUM("d"));
}

/* ---- What only looks like a fetch ---- */

static void fetches(void)
{
    STRIDE("a fetch", 1, .fetch = IN_RANGE REST);
    STRIDE("masks that come first", 1,
           .fetch = IN_RANGE DO("bytes0", "shl", "%index0", SAME(2)) DO("offset0", "and", "%range0", "%bytes0") READ
                    DO("got0", "and", "%range0", "%read0"));
    STRIDE("cleared by another mask", 0, .fetch = IN_RANGE OTHER OFFSET(2, "%range0") READ CLEAR("%range1"));
    STRIDE("read by another mask", 0, .fetch = IN_RANGE OTHER OFFSET(2, "%range1") READ CLEAR("%range0"));
    STRIDE("not cleared", 0, .fetch = IN_RANGE OFFSET(2, "%range0") READ DO("got0", "add", "%read0", "%x"));
    STRIDE("used as it was read too", 0, .fetch = IN_RANGE REST, .body = MIXED("read0"));
    STRIDE("cleared twice", 0, LOADS, .odd = CLEARED_TWICE);
    STRIDE("texels of 8 bytes", 0, .alike = true, .fetch = IN_RANGE OFFSET(3, "%range0") READ CLEAR("%range0"));
    STRIDE("texels that overlap", 0, TEXELS, true, .word = 2, .odd = OTHER_SIZE);
    STRIDE("offsets of two bytes", 0,
           .fetch = IN_RANGE OFFSET(2, "%range0") GATHERED("read0", "offset0", ONES, "2") CLEAR("%range0"));
    STRIDE("not for all lanes", 0,
           .fetch = IN_RANGE OFFSET(2, "%range0") GATHERED("read0", "offset0", "%masks", "1") CLEAR("%range0"));
    STRIDE("at another index than is asked", 0,
           .fetch = IN_RANGE DO("bytes0", "shl", "%from", SAME(2)) DO("offset0", "and", "%bytes0", "%range0") READ
                    CLEAR("%range0"));
    STRIDE("a signed range", 0, .fetch = RANGE("slt", "%size") REST);
    STRIDE("one more than the range", 0, .fetch = RANGE("ule", "%size") REST);
    STRIDE("a size for each lane", 0, .fetch = RANGE("ult", "%x") REST);
    STRIDE("a size that changes", 0, .fetch = RANGE("ult", "%k") REST);
    STRIDE("a lane at another's place", 0, LOADS, .odd = OTHER_LANE);
    STRIDE("a lane at another offset", 0, LOADS, .odd = OTHER_OFFSET);
    STRIDE("a lane of another buffer", 0, LOADS, .odd = OTHER_BASE);
    STRIDE("a lane in another unit", 0, LOADS, .odd = OTHER_UNIT);
    STRIDE("a texel of another buffer", 0, TEXELS, true, .odd = OTHER_BASE);
    STRIDE("a texel's other word", 0, TEXELS, true, .odd = OTHER_WORD);
    /* What others write meanwhile. */
    STRIDE("volatile", 0, LOADS, .odd = VOLATILE);
    STRIDE("atomic", 0, LOADS, .odd = ATOMIC);
}

/* ---- What only looks like a loop that reads ---- */

static void others(void)
{
    STRIDE("a store", 0, .body = "store i32 %n, ptr %out\n" SUM("got0"));
    STRIDE("a call", 0, .body = "%bits = call <8 x i32> @llvm.ctpop.v8i32(<8 x i32> %got0)\n" SUM("bits"));
    STRIDE("a clock", 0, .body = "%clock = call i64 @llvm.readcyclecounter()\n%late = icmp eq i64 %clock, 0\n"
                                 "%then = select i1 %late, <8 x i32> %x, <8 x i32> %got0\n" SUM("then"));
    STRIDE("another read", 0,
           .body = "%k.0 = extractelement <8 x i32> %k, i64 0\n%bits = and i32 %k.0, 7\n"
                   "%at = getelementptr i32, ptr %memory, i32 %bits\n%one = load i32, ptr %at, align 4\n"
                   "%then = insertelement <8 x i32> %got0, i32 %one, i64 2\n" SUM("then"));
    STRIDE("nothing that is read", 0, .fetch = DO("got0", "add", "%index0", "%x"));
    STRIDE("two blocks", 0, .body = "br label %latch\nlatch:\n" SUM("got0"), .last = "latch");
    STRIDE("not always entered", 0, .enter = "br i1 true, label %head, label %away\naway:\nret void\n");
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    size_t all = (1ull << 32) + 2 * MARGIN;
    void *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(d);
    if (map == MAP_FAILED)
        SKIP("no 4 GiB of addresses");
    find_llvm();
    buffer = (char *)map + MARGIN + (1u << 31);
    check_state = 7;
    for (int64_t at = -(1ll << 31); at <= 1ll << 31; at += 1ll << 31) /* where it is, and where offsets wrap to */
        for (int i = -NEAR; i < NEAR; i += 4)
            *(uint32_t *)(buffer + at + i) = check_random() >> 8;
    ways();
    indices();
    conditions();
    carried();
    fetches();
    others();
    tain_device_free(d);
    return 0;
}
