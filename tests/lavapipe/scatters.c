/* Lanes that write side by side, and loops that only look so (check_passes.h). The buffer has all the room that an
 * index of 32 bits reaches; what lies around its start, its middle and its end is compared. What is written at once is
 * known: the block that does it is made to say so.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

#include <sys/mman.h>

enum { BEFORE = 1024, WINDOW = 4096, WINDOWS = 3, MARGIN = 1 << 16, MOST_LANES = 16 };

static char *buffer;

/* What a kernel is given: where the buffer is, as the driver says it, and the numbers of all lanes. */
struct description {
    void *buffer;
    int32_t size;
};
struct numbers {
    uint32_t index[MOST_LANES], mask[MOST_LANES];
    uint64_t number[4][MOST_LANES];
};

struct form {
    const char *name;
    unsigned changes;
    int stores, bits, lanes; /* 0: 1, 32, 8 */
    const char *entry, *head, *guarded, *write, *store, *end, *behind; /* NULL: as the driver says it */
    const char *last; /* the end's test */
    const char *index; /* the index made of what is given; NULL: it is what is given */
    void (*made)(uint32_t *index, int lanes); /* the same */
    bool known;        /* that it lies in a row is seen beforehand */
};

#define OR_ELSE(x, otherwise) ((x) ? (x) : (otherwise))
#define SHIFT(bits) ((bits) == 64 ? 3 : (bits) == 32 ? 2 : (bits) / 16)

#define READ(from) "%size.at = getelementptr i8, ptr " from ", i64 8\n%size = load i32, ptr %size.at, align 4\n"
#define BUFFER(from) "%buffer = load ptr, ptr " from ", align 8\n"
#define ASK "%not = icmp eq i32 %active, 0\nbr i1 %not, label %last, label %some\nsome:\n"
#define ASK_TURNED "%yes = icmp ne i32 %active, 0\nbr i1 %yes, label %some, label %last\nsome:\n"
#define AT "%p0 = getelementptr i32, ptr %buffer, i64 %w0\n"
#define OF_LANE "%v0 = extractelement <8 x i32> %x0, i32 %lane\n"
#define PUT_ONE(value) value AT "store i32 %v0, ptr %p0, align 4\n"

#define SCATTER(...) scatter((struct form){ __VA_ARGS__ })
#define TEXT(name, otherwise) (f->name ? f->name : otherwise)

static void write_text(const struct form *f)
{
    int stores = OR_ELSE(f->stores, 1), bits = OR_ELSE(f->bits, 32), lanes = OR_ELSE(f->lanes, 8);

    begin();
    say(DECLARE "%%%s = load <%d x i32>, ptr %%out, align 4\n%s", f->index ? "given" : "index", lanes, TEXT(index, ""));
    say("%%at = getelementptr i32, ptr %%out, i64 %d\n%%mask = load <%d x i32>, ptr %%at, align 4\n", 16, lanes);
    for (int k = 0; k < stores; k++)
        say("%%x%d.at = getelementptr i32, ptr %%out, i64 %d\n%%x%d = load <%d x i%d>, ptr %%x%d.at, align 4\n", k,
            (2 + 2 * k) * MOST_LANES, k, lanes, bits, k);
    say("%sbr label %%lanes\nlanes:\n%%lane = phi i32 [ 0, %%entry ], [ %%next, %%last ]\n", TEXT(entry, ""));
    say("%s%%active = extractelement <%d x i32> %%mask, i32 %%lane\n", TEXT(head, ""), lanes);
    say("%%i0 = extractelement <%d x i32> %%index, i32 %%lane\n", lanes);
    say("%s%%count = ashr i32 %%size, %d\n", TEXT(guarded, ASK READ("%in") BUFFER("%in")), SHIFT(bits));
    for (int k = 0; k < stores; k++) {
        if (k)
            say("%%i%d = or i32 %%i0, %d\n", k, k);
        say("%%in%d = icmp ult i32 %%i%d, %%count\nbr i1 %%in%d, label %%write%d, label %%end%d\n", k, k, k, k, k);
        say("write%d:\n%s%%w%d = zext i32 %%i%d to i64\n%s", k, TEXT(write, ""), k, k, TEXT(store, ""));
        if (!f->store) {
            say("%%v%d = extractelement <%d x i%d> %%x%d, i32 %%lane\n", k, lanes, bits, k);
            say("%%p%d = getelementptr i%d, ptr %%buffer, i64 %%w%d\n", k, bits, k);
            say("store i%d %%v%d, ptr %%p%d, align %d\n", bits, k, k, bits < 32 ? bits / 8 : 4);
        }
        say("br label %%end%d\nend%d:\n", k, k);
    }
    say("br label %%last\nlast:\n%s%s", TEXT(end, "%next = add i32 %lane, 1\n"), TEXT(last, ""));
    if (!f->last)
        say("%%done = icmp ugt i32 %%next, %d\nbr i1 %%done, label %%behind, label %%lanes\n", lanes - 1);
    say("behind:\n%sret void\n}\nattributes #0 = { \"target-features\"=\"+avx2,+fma\" }\n", TEXT(behind, ""));
}

/* The pass, and a word in the block that writes all at once. */
static void change(struct code *c, const struct form *f)
{
    unsigned n;
    char *changed, *at;

    parse(c);
    n = llvm_scatters(&l, c->module);
    changed = changed_text(c, f->name, n, f->changes);
    at = strstr(changed, "\nbeside:");
    CHECK(!at == !n);
    CHECK(!n || !strstr(changed, "x i32> %index, %") == f->known);
    at = at ? strchr(at + 1, '\n') + 1 : changed;
    begin();
    say("%.*s%s%s", (int)(at - changed), changed, n ? "store i32 1, ptr %memory, align 4\n" : "", at);
    parse(c);
    compile(c, f->name);
}

/* ---- Inputs ---- */

enum { ROW, INACTIVE, NONE_ACTIVE, OUTSIDE, ALL_OUTSIDE, MIXED, DESCENDING, OVERLAPPING, APART, ODD, MIDDLE, END, KINDS };

/* True if all can be written at once. */
static bool choose(const struct form *f, int kind, struct description *d, struct numbers *x)
{
    int stores = OR_ELSE(f->stores, 1), bits = OR_ELSE(f->bits, 32), lanes = OR_ELSE(f->lanes, 8);
    uint32_t index[MOST_LANES], unit = (uint32_t)stores, first = check_random() % 30 * unit, other = check_random() % (uint32_t)lanes;
    int shift = SHIFT(bits);
    bool all = true;

    if (kind == MIDDLE || kind == END)
        first = (kind == MIDDLE ? 1u << 31 : 0) - check_random() % (2 * (uint32_t)lanes) * unit;
    for (int i = 0; i < MOST_LANES; i++) {
        x->index[i] = first + (uint32_t)(kind == DESCENDING ? MOST_LANES - i : kind == OVERLAPPING ? i / 2 : i) * unit;
        x->mask[i] = check_random() % 2 ? ~0u : 1u << check_random() % 32;
        for (int k = 0; k < 4; k++)
            x->number[k][i] = check_random() * 0x100000001u ^ check_random();
    }
    *d = (struct description){ buffer, 500 << shift };
    switch (kind) {
    case INACTIVE: x->mask[other] = 0; break;
    case NONE_ACTIVE: memset(x->mask, 0, sizeof(x->mask)); break;
    case OUTSIDE: d->size = (int32_t)(x->index[other] + check_random() % unit) << shift; break;
    case ALL_OUTSIDE: d->size = 0; break;
    case MIXED: x->index[other] = x->index[0], x->index[0] = first + other * unit; break;
    case APART: x->index[lanes - 1] += unit; break;
    case ODD: x->index[0]++; break;
    case MIDDLE: case END: d->size = -1; /* as many as there can be */
    }
    memcpy(index, x->index, sizeof(index));
    if (f->made)
        f->made(index, lanes);
    for (uint32_t i = 0; i < (uint32_t)lanes * unit; i++) {
        uint32_t lane = i / unit, at = index[lane] | i % unit;
        all &= x->mask[lane] && at < (uint32_t)(d->size >> shift) && at == index[0] + i;
    }
    return all && index[0] < 1u << 31;
}

static char *window(const struct form *f, int i)
{
    return buffer + ((uint64_t)i << 31) / 8 * (uint64_t)OR_ELSE(f->bits, 32) - BEFORE;
}

static void scatter(const struct form f)
{
    static char was[WINDOWS][WINDOW];
    struct code before, after;

    write_text(&f);
    parse(&before);
    compile(&before, f.name);
    change(&after, &f);
    check_state = 7;
    for (int run = 0; run < RUNS; run++) {
        struct description d;
        struct numbers x;
        uint32_t memory[2][8] = { 0 };
        bool all = choose(&f, run % KINDS, &d, &x), same = true;

        for (int i = 0; i < WINDOWS; i++)
            memset(window(&f, i), 0xa5, WINDOW);
        before.f((uint32_t *)&d, (uint32_t *)&x, memory[0], 1, 8);
        for (int i = 0; i < WINDOWS; i++) {
            memcpy(was[i], window(&f, i), WINDOW);
            memset(window(&f, i), 0xa5, WINDOW);
        }
        after.f((uint32_t *)&d, (uint32_t *)&x, memory[1], 1, 8);
        for (int i = 0; i < WINDOWS; i++)
            same &= !memcmp(was[i], window(&f, i), WINDOW);
        if (!same || memory[1][0] != (f.changes && all) || memory[0][1] != memory[1][1]) {
            fprintf(stderr, "%s: run %d: %s, at once %u\n", f.name, run, same ? "right" : "wrong", memory[1][0]);
            exit(1);
        }
    }
    forget(&before);
    forget(&after);
}

/* ---- Loops ---- */

/* What a description holds may be nothing if no lane is active, or none within the buffer. */
#define IF_ACTIVE                                                                                  \
    "%w = bitcast <8 x i32> %mask to i256\n%any = icmp ne i256 %w, 0\n%desc = select i1 %any, ptr %in, ptr null\n"
#define IF_ROOM                                                                                    \
    "%room.at = getelementptr i8, ptr %in, i64 8\n%room = load i32, ptr %room.at, align 4\n"        \
    "%some.room = icmp ne i32 %room, 0\n%desc = select i1 %some.room, ptr %in, ptr null\n"
#define TEST(is) is "br i1 %done, label %behind, label %lanes\n"

/* n numbers that are the same for all lanes, in rows of 30. */
static const char *many(int n)
{
    static char text[16384];
    size_t at = (size_t)snprintf(text, sizeof(text), "%%s0 = extractelement <8 x i32> %%x0, i32 %%lane\n");
    int rows = 0;

    for (int i = 0; i < n; i++) {
        if (i % 30)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%%u%d = xor i32 %%u%d, %d\n", i, i - 1, i + 3);
        else
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%%u%d = add i32 %%n, %d\n", i, i);
        if (i % 30 == 29 || i == n - 1) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%%s%d = add i32 %%s%d, %%u%d\n", rows + 1, rows, i);
            rows++;
        }
    }
    snprintf(text + at, sizeof(text) - at, "%%p0 = getelementptr i32, ptr %%buffer, i64 %%w0\nstore i32 %%s%d, ptr %%p0, align 4\n", rows);
    return text;
}

/* Each number is the one before with itself: there are 2^n ways to the first. */
static const char *long_row(int n)
{
    static char text[4096];
    size_t at = (size_t)snprintf(text, sizeof(text), "%%a0 = extractelement <8 x float> %%e, i32 %%lane\n");

    for (int i = 1; i <= n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%%a%d = fadd float %%a%d, %%a%d\n", i, i - 1, i - 1);
    snprintf(text + at, sizeof(text) - at,
             "%%p0 = getelementptr float, ptr %%buffer, i64 %%w0\nstore float %%a%d, ptr %%p0, align 4\n", n);
    return text;
}

static void changed(void)
{
    static const int bits[] = { 8, 16, 32, 64 }, stores[] = { 1, 2, 4 }, lanes[] = { 4, 8, 16 };

    for (int i = 0; i < 36; i++) {
        char name[64];
        int n = lanes[i / 12], k = stores[i / 4 % 3], b = bits[i % 4];
        snprintf(name, sizeof(name), "%d lanes, %d stores of %d bits", n, k, b);
        SCATTER(name, 1, k, b, n);
    }
    SCATTER("mask asked the other way", 1, .guarded = ASK_TURNED READ("%in") BUFFER("%in"));
    SCATTER("until the count", 1, .last = TEST("%done = icmp eq i32 %next, 8\n"));
    SCATTER("description if a lane is active", 1, .entry = IF_ACTIVE,
            .guarded = ASK READ("%desc") BUFFER("%desc"));
    SCATTER("description if there is room", 1, .entry = IF_ROOM, .guarded = ASK READ("%in"),
            .write = BUFFER("%desc"));
    SCATTER("one number for all", 1, .store = PUT_ONE("%v0 = extractelement <8 x i32> %x0, i32 3\n"));
    SCATTER("numbers computed in the loop", 1,
            .entry = "%e = sitofp <8 x i32> %x0 to <8 x float>\n%o = sitofp <8 x i32> %mask to <8 x float>\n",
            .store = "%a0 = extractelement <8 x float> %e, i32 %lane\n%b0 = extractelement <8 x float> %o, i32 %lane\n"
                     "%n0 = fneg float %a0\n%p1 = fadd float %b0, 3.0\n%q0 = fdiv float 1.0, %p1\n"
                     "%m0 = fmul float %n0, %q0\n%v0 = fsub float %m0, %b0\n"
                     "%p0 = getelementptr float, ptr %buffer, i64 %w0\nstore float %v0, ptr %p0, align 4\n");
    SCATTER("numbers of another type than the buffer's", 1, .entry = "%e = bitcast <8 x i32> %x0 to <8 x float>\n",
            .store = "%v0 = extractelement <8 x float> %e, i32 %lane\n" AT "store float %v0, ptr %p0, align 4\n");
    SCATTER("numbers of another size than the buffer's", 0, .entry = "%e = zext <8 x i32> %x0 to <8 x i64>\n",
            .store = "%v0 = extractelement <8 x i64> %e, i32 %lane\n" AT "store i64 %v0, ptr %p0, align 4\n");
    SCATTER("a long row of numbers in the loop", 1, .entry = "%e = sitofp <8 x i32> %x0 to <8 x float>\n", .store = long_row(24));
    SCATTER("too long a row of numbers", 0, .entry = "%e = sitofp <8 x i32> %x0 to <8 x float>\n", .store = long_row(60));
    SCATTER("many numbers for all lanes", 1, .store = many(100));
    for (int n = 150; n < 165; n++)
        SCATTER("too many numbers for all lanes", 0, .store = many(n));
    SCATTER("numbers of two halves", 0,
            .store = "%k0 = bitcast i32 %n to <2 x i16>\n%e0 = extractelement <8 x i32> %x0, i32 %lane\n"
                     "%b0 = bitcast i32 %e0 to <2 x i16>\n%c0 = add <2 x i16> %k0, %b0\n"
                     "%v0 = bitcast <2 x i16> %c0 to i32\n" AT "store i32 %v0, ptr %p0, align 4\n");
    SCATTER("numbers taken for others in the loop", 1,
            .store = "%y0 = bitcast <8 x i32> %x0 to <8 x float>\n"
                     "%f0 = extractelement <8 x float> %y0, i32 %lane\n"
                     "%p0 = getelementptr float, ptr %buffer, i64 %w0\nstore float %f0, ptr %p0, align 4\n");
}

/* ---- Indices ---- */

#define FIRST "%start = shufflevector <8 x i32> %given, <8 x i32> undef, <8 x i32> zeroinitializer\n"
#define UP "<i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>"
#define ALL(n) "<i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ", i32 " #n ">"
#define SUM "%sum = add <8 x i32> %start, " UP "\n"
#define MASKED(n) "%masked = and <8 x i32> %sum, " ALL(n) "\n"
/* Whether the given index is an even one. */
#define EVEN "%low = and <8 x i32> %start, " ALL(1) "\n%even = icmp eq <8 x i32> %low, zeroinitializer\n"
#define ODDS "%low = and <8 x i32> %start, " ALL(1) "\n%odd = icmp ne <8 x i32> %low, zeroinitializer\n"

static void from(uint32_t *index, int lanes, uint32_t more, uint32_t mask, bool led, uint32_t to)
{
    uint32_t first = index[0];

    for (int i = 0; i < lanes; i++)
        index[i] = led ? to : (first + (uint32_t)i + more) & mask;
}

static void sum(uint32_t *index, int lanes) { from(index, lanes, 0, ~0u, false, 0); }
static void from_8(uint32_t *index, int lanes) { from(index, lanes, 8, ~0u, false, 0); }
static void low_30(uint32_t *index, int lanes) { from(index, lanes, 0, 0x3fffffff, false, 0); }
static void low_7(uint32_t *index, int lanes) { from(index, lanes, 0, 127, false, 0); }
static void low_3(uint32_t *index, int lanes) { from(index, lanes, 0, 7, false, 0); }
static void but_4(uint32_t *index, int lanes) { from(index, lanes, 0, 251, false, 0); }
static void evens(uint32_t *index, int lanes) { from(index, lanes, 0, 0x3fffffff, index[0] & 1, 0x3fffffff); }
static void evens_low(uint32_t *index, int lanes) { from(index, lanes, 0, ~0u, index[0] & 1, 20); }

static void eights(uint32_t *index, int lanes)
{
    index[0] *= 16;
    from(index, lanes, 8, ~0u, false, 0);
}

static void tens(uint32_t *index, int lanes)
{
    index[0] *= 10;
    from(index, lanes, 0, ~0u, false, 0);
}

static void each(uint32_t *index, int lanes)
{
    for (int i = 0; i < lanes; i++)
        index[i] += (uint32_t)i;
}

static void rows(void)
{
    SCATTER("lanes of one number", 1, .index = FIRST "%index = add <8 x i32> %start, " UP "\n", .made = sum, .known = true);
    SCATTER("lanes from 8", 1, .made = from_8, .known = true,
            .index = FIRST "%index = add <8 x i32> %start, <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>\n");
    SCATTER("bits of lanes from 8", 1, .made = eights, .known = true,
            .index = FIRST "%sixteen = shl <8 x i32> %start, " ALL(4) "\n"
                     "%index = or <8 x i32> %sixteen, <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>\n");
    SCATTER("low bits", 1, .index = FIRST SUM "%index = and <8 x i32> %sum, " ALL(1073741823) "\n", .made = low_30,
            .known = true);
    SCATTER("low bits that end", 1, .index = FIRST SUM "%index = and <8 x i32> %sum, " ALL(127) "\n", .made = low_7,
            .known = true);
    SCATTER("low bits of a row only", 1, .index = FIRST SUM "%index = and <8 x i32> %sum, " ALL(7) "\n", .made = low_3);
    SCATTER("a bit left out", 1, .index = FIRST SUM "%index = and <8 x i32> %sum, " ALL(251) "\n", .made = but_4);
    SCATTER("led away", 1, .made = evens, .known = true,
            .index = FIRST SUM MASKED(1073741823) EVEN
                     "%index = select <8 x i1> %even, <8 x i32> %masked, <8 x i32> " ALL(1073741823) "\n");
    SCATTER("led away, the other way round", 1, .made = evens, .known = true,
            .index = FIRST SUM MASKED(1073741823) ODDS
                     "%index = select <8 x i1> %odd, <8 x i32> " ALL(1073741823) ", <8 x i32> %masked\n");
    SCATTER("led to where there is room", 1, .made = evens_low, .known = true,
            .index = FIRST SUM EVEN "%index = select <8 x i1> %even, <8 x i32> %sum, <8 x i32> " ALL(20) "\n");
    SCATTER("a number that is used twice", 1, .made = tens, .known = true,
            .index = FIRST "%twice = add <8 x i32> %start, %start\n%eight = shl <8 x i32> %twice, " ALL(2) "\n"
                     "%two = mul <8 x i32> %twice, " ALL(1) "\n%ten = add <8 x i32> %eight, %two\n"
                     "%index = add <8 x i32> %ten, " UP "\n");
    SCATTER("the index is the number", 1, .made = sum, .known = true, .index = FIRST "%index = add <8 x i32> %start, " UP "\n",
            .store = PUT_ONE("%v0 = extractelement <8 x i32> %index, i32 %lane\n"));
    SCATTER("the index without a mask is the number", 1, .made = low_30, .known = true,
            .index = FIRST SUM "%index = and <8 x i32> %sum, " ALL(1073741823) "\n",
            .store = PUT_ONE("%v0 = extractelement <8 x i32> %sum, i32 %lane\n"));
    SCATTER("a vector of one lane", 1, .made = sum, .known = true,
            .index = "%one = shufflevector <8 x i32> %given, <8 x i32> undef, <1 x i32> zeroinitializer\n"
                     "%start = shufflevector <1 x i32> %one, <1 x i32> undef, <8 x i32> zeroinitializer\n"
                     "%index = add <8 x i32> %start, " UP "\n");
    SCATTER("a number for each lane", 1, .index = "%index = add <8 x i32> %given, " UP "\n", .made = each);
}

static void left(void)
{
    SCATTER("three stores", 0, .stores = 3);
    SCATTER("used behind", 0, .behind = "%m = getelementptr i32, ptr %memory, i64 1\nstore i32 %next, ptr %m\n");
    SCATTER("a second phi", 0, .head = "%more = phi i32 [ 7, %entry ], [ %lane, %last ]\n");
    SCATTER("a phi behind", 0, .behind = "%z = phi i32 [ 3, %last ]\n");
    SCATTER("a call", 0,
            .head = "%c = call <8 x float> @llvm.x86.avx.blendv.ps.256(<8 x float> zeroinitializer, "
                    "<8 x float> zeroinitializer, <8 x float> zeroinitializer)\n");
    SCATTER("the number of another lane", 0,
            .store = PUT_ONE("%o = xor i32 %lane, 1\n%v0 = extractelement <8 x i32> %x0, i32 %o\n"));
    SCATTER("a number of the buffer", 0,
            .store = PUT_ONE("%r = load i32, ptr %buffer\n%e = extractelement <8 x i32> %x0, i32 %lane\n"
                             "%v0 = add i32 %r, %e\n"));
    SCATTER("seven lanes", 0, .last = TEST("%done = icmp ugt i32 %next, 6\n"));
    SCATTER("every other lane", 0, .end = "%next = add i32 %lane, 2\n");
    SCATTER("a count that is read", 0, .last = TEST("%least = add i32 %n, 6\n%done = icmp ugt i32 %next, %least\n"));
    SCATTER("less than the count", 0, .last = TEST("%done = icmp uge i32 %next, 8\n"));
    SCATTER("numbers of 24 bits", 0,
            .store = OF_LANE "%t0 = trunc i32 %v0 to i24\n%p0 = getelementptr i24, ptr %buffer, i64 %w0\n"
                     "store i24 %t0, ptr %p0, align 4\n");
    SCATTER("volatile", 0, .store = OF_LANE AT "store volatile i32 %v0, ptr %p0, align 4\n");
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    size_t all = (8ull << 32) + 2 * MARGIN;
    void *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(d);
    if (map == MAP_FAILED)
        SKIP("no 32 GiB of addresses");
    find_llvm();
    buffer = (char *)map + MARGIN;
    changed();
    rows();
    left();
    tain_device_free(d);
    return 0;
}
