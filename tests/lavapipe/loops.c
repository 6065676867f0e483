/* Loops that all lanes leave at once, and loops that only look so (check_passes.h). */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

#define BLEND_BY(mask, to, was, now)                                                                                 \
    "%" to ".a = bitcast <8 x i32> %" was " to <8 x float>\n%" to ".b = bitcast <8 x i32> %" now " to <8 x float>\n" \
    "%" to ".m = bitcast <8 x i32> %" mask " to <8 x float>\n"                                                       \
    "%" to ".f = call <8 x float> @llvm.x86.avx.blendv.ps.256(<8 x float> %" to ".a, <8 x float> %" to               \
    ".b, <8 x float> %" to ".m)\n"                                                                                   \
    "%" to " = bitcast <8 x float> %" to ".f to <8 x i32>\n"
#define BLEND(to, was, now) BLEND_BY("mask", to, was, now)
#define BLEND_BITS(to, was, now)                                                                   \
    "%" to ".n = xor <8 x i32> %mask, " ONES "\n%" to ".a = and <8 x i32> %" to ".n, %" was "\n"    \
    "%" to ".b = and <8 x i32> %mask, %" now "\n%" to " = or <8 x i32> %" to ".a, %" to ".b\n"
#define BLEND_SELECT(to, was, now)                                                                 \
    "%" to ".c = icmp slt <8 x i32> %mask, zeroinitializer\n"                                      \
    "%" to " = select <8 x i1> %" to ".c, <8 x i32> %" now ", <8 x i32> %" was "\n"
#define BLENDS(BY) BY("sum.next", "sum", "sum.new") BY("k.next", "k", "k.new")
#define SUM                                                                                       \
    "%sum.twice = mul <8 x i32> %sum, <i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3, i32 3>\n" \
    "%sum.new = add <8 x i32> %sum.twice, %k.new\n"
#define PUT(value, at) \
    "%at" #at " = getelementptr i32, ptr %out, i64 " #at "\nstore <8 x i32> %" value ", ptr %at" #at ", align 4\n"
#define CARRIED PUT("sum.next", 0) PUT("k.next", 8)
#define AGAIN "%both = and i1 %any, %more\n"
#define TURNED "%both = and i1 %more, %any\n"

/* Mesa's loop: until k reaches the count in every lane. `latch`: the name of the last block; `part`: the mask that
 * is carried; `mask`: how it is made. */
static void loop_in(const char *name, const char *counts, const char *latch, const char *part, const char *mask,
                    const char *body, const char *both, const char *behind, unsigned changes, int limits)
{
    begin();
    say(DECLARE "%%n.0 = insertelement <8 x i32> undef, i32 %%n, i64 0\n"
        "%%n.all = shufflevector <8 x i32> %%n.0, <8 x i32> undef, <8 x i32> zeroinitializer\n"
        "%%x = load <8 x i32>, ptr %%in, align 4\n%%start = load <8 x i32>, ptr %%memory, align 4\n");
    say("%%few = icmp ult <8 x i32> %%n.all, %s\n%%outer = sext <8 x i1> %%few to <8 x i32>\n", eight(8));
    say("%%counts = add <8 x i32> %%n.all, %s\nbr label %%head\nhead:\n", counts);
    say("%%full = phi <8 x i32> [ " ONES ", %%entry ], [ %%%s, %%%s ]\n", part, latch);
    say("%%sum = phi <8 x i32> [ %%start, %%entry ], [ %%sum.next, %%%s ]\n", latch);
    say("%%k = phi <8 x i32> [ zeroinitializer, %%entry ], [ %%k.next, %%%s ]\n", latch);
    say("%%left = phi i32 [ %%limit, %%entry ], [ %%less, %%%s ]\n", latch);
    say("%%stop = icmp ule <8 x i32> %%counts, %%k\n%s%%k.new = add <8 x i32> %%k, " STEP "\n", mask);
    say("%s%%less = add i32 %%left, -1\n%%wide = bitcast <8 x i32> %%mask to i256\n%%any = icmp ne i256 %%wide, 0\n"
        "%%more = icmp sgt i32 %%less, 0\n%sbr i1 %%both, label %%head, label %%behind\nbehind:\n%s",
        body, both, behind);
    check(name, llvm_loops, changes, limits);
}

static void loop(const char *name, const char *counts, const char *latch, const char *body, const char *both,
                 const char *behind, unsigned changes, int limits)
{
    loop_in(name, counts, latch, "mask", "%mask = select <8 x i1> %stop, <8 x i32> zeroinitializer, <8 x i32> %full\n",
            body, both, behind, changes, limits);
}

#define TWO_BLOCKS                                                                                                   \
    "%bit = extractelement <8 x i32> %x, i64 3\n%odd = trunc i32 %bit to i1\nbr i1 %odd, label %then, label %last\n" \
    "then:\n%other = xor <8 x i32> %sum.new, %x\nbr label %last\n"                                                   \
    "last:\n%sum.some = phi <8 x i32> [ %sum.new, %head ], [ %other, %then ]\n" BLEND("sum.next", "sum", "sum.some") \
        BLEND("k.next", "k", "k.new")

/* A product of a value with itself has it twice; the sum behind it must not be missed. */
#define SQUARE CARRIED "%after = add <8 x i32> %sum.next, %x\n%square = mul <8 x i32> %sum.next, %sum.next\n"         \
    PUT("square", 16) PUT("after", 24)

#define STORE(at)                                                                                     \
    "%p." at " = getelementptr i32, ptr %out, i64 64\n%w." at " = load i32, ptr %p." at ", align 4\n" \
    "%s." at " = add i32 %w." at ", 1\nstore i32 %s." at ", ptr %p." at ", align 4\n"

/* Mesa's store, if a lane is to write, and within the buffer; or the opposite. */
#define GUARDED(where)                                                                                               \
    "%lane = extractelement <8 x i32> %mask, i32 %bit.n\n%yes = icmp " where " i32 %lane, 0\n"                       \
    "br i1 %yes, label %some, label %last\nsome:\n%within = icmp slt i32 %n, 9\nbr i1 %within, label %write, label " \
    "%last\n"                                                                                                        \
    "write:\n" STORE("a") "br label %last\nlast:\n"
#define LANE "%bit.n = and i32 %n, 7\n"

static void loops(void)
{
    static const char *const none = "zeroinitializer", *const divergent = INDEX;

    loop("loop", none, "head", SUM BLENDS(BLEND), AGAIN, CARRIED, 1, 14);
    loop("loop, any and limit turned", none, "head", SUM BLENDS(BLEND), TURNED, CARRIED, 1, 14);
    loop("loop, blended by bits", none, "head", SUM BLENDS(BLEND_BITS), AGAIN, CARRIED, 1, 14);
    loop("loop, blended by select", none, "head", SUM BLENDS(BLEND_SELECT), AGAIN, CARRIED, 1, 14);
    loop("loop of two blocks", none, "last", SUM TWO_BLOCKS, AGAIN, CARRIED, 1, 14);
    loop("loop and squares", none, "head", SUM BLENDS(BLEND), AGAIN, SQUARE, 1, 14);
    loop("lanes that leave one by one", divergent, "head", SUM BLENDS(BLEND), AGAIN, CARRIED, 0, 14);
    loop("lanes that leave one by one, by bits", divergent, "head", SUM BLENDS(BLEND_BITS), AGAIN, CARRIED, 0, 14);
    loop("not carried", none, "head", SUM "%lost = xor <8 x i32> %sum.new, %mask\n" BLENDS(BLEND), AGAIN,
         CARRIED PUT("lost", 16), 0, 14);
    loop("blended by another mask", none, "head",
         SUM BLEND("k.next", "k", "k.new") "%c = icmp slt <8 x i32> %x, " STEP "\n"
         "%sum.next = select <8 x i1> %c, <8 x i32> %sum.new, <8 x i32> %sum\n",
         AGAIN, CARRIED, 0, 14);
    loop("a store in every turn", none, "head", SUM STORE("a") BLENDS(BLEND), AGAIN, CARRIED, 0, 14);
    loop("a store by the mask", none, "last", SUM LANE GUARDED("ne") BLENDS(BLEND), AGAIN, CARRIED, 1, 14);
    loop("a store by the empty mask", none, "last", SUM LANE GUARDED("eq") BLENDS(BLEND), AGAIN, CARRIED, 0, 14);
    /* Behind a loop that was not stopped by its limit. */
    loop("mask behind", none, "head", SUM BLENDS(BLEND), AGAIN, CARRIED PUT("mask", 16) PUT("k", 24), 1, 0);
}

/* Behind `if (n >= 8) return`: whoever is in the loop, and there at all. With n up to 11 none is, or all are. */
#define PARTS                                                                                                      \
    "%stops = and <8 x i1> %stop, %few\n%part = select <8 x i1> %stops, <8 x i32> zeroinitializer, <8 x i32> %full\n" \
    "%mask = and <8 x i32> %part, %outer\n"
#define SUM_BY(mask) SUM BLEND_BY(mask, "sum.next", "sum", "sum.new") BLEND("k.next", "k", "k.new")
#define ALSO "%also = and <8 x i32> %outer, %part\n"
/* And within an `if` of the loop. */
#define IN_IF(which)                                                                                              \
    "%c = icmp ult <8 x i32> %n.all, <i32 5, i32 5, i32 5, i32 5, i32 5, i32 5, i32 5, i32 5>\n"                  \
    "%big = icmp ugt <8 x i32> %x, %k\n%big.few = and <8 x i1> %big, %" which "\n"                                \
    "%yes = select <8 x i1> %c, <8 x i1> %big.few, <8 x i1> zeroinitializer\n"                          \
    "%wide.yes = sext <8 x i1> %yes to <8 x i32>\n"                                                               \
    "%inner = and <8 x i32> %part, %wide.yes\n"

static void parts(const char *name, const char *latch, const char *body, const char *behind, unsigned changes,
                  int limits)
{
    loop_in(name, "zeroinitializer", latch, "part", PARTS, body, AGAIN, behind, changes, limits);
}

static void intersections(void)
{
    parts("intersection", "head", SUM BLENDS(BLEND), CARRIED, 1, 14);
    parts("intersection, by bits", "head", SUM BLENDS(BLEND_BITS), CARRIED, 1, 14);
    parts("intersection made again", "head", ALSO SUM_BY("also"), CARRIED, 1, 14);
    parts("intersection and an if", "head", IN_IF("few") SUM_BY("inner"), CARRIED, 1, 14);
    parts("intersection and an if that forgets the return", "head", IN_IF("big") SUM_BY("inner"), CARRIED, 0, 14);
    parts("by the loop's part only", "head", SUM_BY("part"), CARRIED, 0, 14);
    parts("by the outer part only", "head", SUM_BY("outer"), CARRIED, 0, 14);
    parts("one number for each part", "head",
          SUM BLEND_BY("part", "sum.some", "sum", "sum.new") BLEND_BY("outer", "sum.next", "k", "sum.some")
              BLEND("k.next", "k", "k.new"), CARRIED, 0, 14);
    parts("a store by the intersection", "last", SUM LANE GUARDED("ne") BLENDS(BLEND), CARRIED, 1, 14);
    parts("parts behind", "head", SUM BLENDS(BLEND), CARRIED PUT("mask", 16) PUT("part", 24), 1, 0);
}

/* An inner and an outer loop with one head: it is not the outer one's mask alone that says how often its body runs. */
static void one_head(void)
{
    begin();
    say(DECLARE "%%n.0 = insertelement <8 x i32> undef, i32 %%n, i64 0\n"
        "%%counts = shufflevector <8 x i32> %%n.0, <8 x i32> undef, <8 x i32> zeroinitializer\nbr label %%head\nhead:\n"
        "%%full = phi <8 x i32> [ " ONES ", %%entry ], [ %%full, %%inner ], [ %%mask, %%outer ]\n"
        "%%k = phi <8 x i32> [ zeroinitializer, %%entry ], [ %%k.new, %%inner ], [ %%k.next, %%outer ]\n"
        "%%left = phi i32 [ %%limit, %%entry ], [ %%left, %%inner ], [ %%less, %%outer ]\n"
        "%%stop = icmp ule <8 x i32> %%counts, %%k\n"
        "%%mask = select <8 x i1> %%stop, <8 x i32> zeroinitializer, <8 x i32> %%full\n"
        "%%k.new = add <8 x i32> %%k, " STEP "\nbr label %%inner\ninner:\n"
        "%%one = extractelement <8 x i32> %%k.new, i64 0\n%%bits = and i32 %%one, 3\n%%some = icmp ne i32 %%bits, 0\n"
        "br i1 %%some, label %%head, label %%outer\nouter:\n");
    say("%s", BLEND("k.next", "k", "k.new"));
    say("%%less = add i32 %%left, -1\n%%wide = bitcast <8 x i32> %%mask to i256\n%%any = icmp ne i256 %%wide, 0\n"
        "%%more = icmp sgt i32 %%less, 0\n%%both = and i1 %%any, %%more\nbr i1 %%both, label %%head, label "
        "%%behind\nbehind:\n");
    say("%s", PUT("k.next", 8));
    check("two loops with one head", llvm_loops, 0, 14);
}

/* ---- Loops in a row ---- */

/* Nothing is in between: one's exit is the next one's first block, which takes over the sum and the countdown. Where
 * the limit is reached the next loop's turns are others than before, and only what a case says is looked at. */
struct row {
    int loops, times; /* all of them, again and again: 1 */
    bool skipped;     /* the first, for some n: the second is then entered from two places */
    bool split;       /* bodies of two blocks */
    bool late;        /* the countdown is in the second */
    bool goes_on;     /* the count of turns is taken over, too */
    const char *counts, *less; /* lanes leave at n plus these; the countdown of the first: NULL, as Mesa has it */
    const char *phis, *behind; /* of the last, and behind all */
    int limits;
};

#define COUNTDOWN "%less# = add i32 %left#, -1\n"
#define ROW(name, changes, ...) row(name, (struct row){ __VA_ARGS__ }, changes)

/* Says a text of the i-th loop: # is i, ~ the one before, @ the block in front, $ the latch. What is behind ^ is said
 * of a head that is entered from two places. */
static void say_loop(const struct row *r, int i, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '#': say("%d", i); break;
        case '~': say("%d", i - 1); break;
        case '$': say(r->split ? "last%d" : "head%d", i); break;
        case '@': say(i == 1 ? "first" : r->split ? "last%d" : "head%d", i - 1); break;
        case '^': text = r->skipped && i == 2 ? text : strchr(text, '\n') - 1; break;
        default: say("%c", *text);
        }
}

static void row(const char *name, const struct row r, unsigned changes)
{
    int n = r.loops;

    begin();
    say(DECLARE "%%n.0 = insertelement <8 x i32> undef, i32 %%n, i64 0\n"
        "%%n.all = shufflevector <8 x i32> %%n.0, <8 x i32> undef, <8 x i32> zeroinitializer\n"
        "%%x = load <8 x i32>, ptr %%in, align 4\n%%start = load <8 x i32>, ptr %%memory, align 4\n"
        "%%counts = add <8 x i32> %%n.all, %s\n%%bit = and i32 %%n, 1\n%%odd = icmp ne i32 %%bit, 0\n",
        r.counts ? r.counts : eight(0));
    say("br label %%first\nfirst:\n%%time = phi i32 [ 1, %%entry ], [ %%time.next, %%rest ]\n"
        "%%sum0.next = phi <8 x i32> [ %%start, %%entry ], [ %%sum%d.next, %%rest ]\n"
        "%%less0 = phi i32 [ %%limit, %%entry ], [ %%less%d, %%rest ]\n%%k0.next = add <8 x i32> %%n.all, " ONES "\n",
        n, n);
    say(r.skipped ? "br i1 %%odd, label %%head1, label %%head2\n" : "br label %%head1\n");
    for (int i = 1; i <= n; i++) {
        say_loop(&r, i, "head#:\n%full# = phi <8 x i32> [ " ONES ", %@ ], [ %mask#, %$ ]^, [ " ONES ", %first ]\n"
                        "%sum# = phi <8 x i32> [ %sum~.next, %@ ], [ %sum#.next, %$ ]^, [ %start, %first ]\n");
        say_loop(&r, i, "%k# = phi <8 x i32> [ %k#.next, %$ ], ");
        say_loop(&r, i, r.goes_on ? "[ %k~.next, %@ ]" : "[ zeroinitializer, %@ ]");
        say_loop(&r, i, "^, [ " STEP ", %first ]\n");
        say_loop(&r, i, "%left# = phi i32 [ %less~, %@ ], [ %less#, %$ ]^, [ %less0, %first ]\n");
        say("%s", i == n && r.phis ? r.phis : "");
        say_loop(&r, i, "%counts# = add <8 x i32> %counts, ");
        say("%s\n", eight(2 * i - 2));
        say_loop(&r, i, "%stop# = icmp ule <8 x i32> %counts#, %k#\n"
                        "%mask# = select <8 x i1> %stop#, <8 x i32> zeroinitializer, <8 x i32> %full#\n"
                        "%in#.not = icmp eq <8 x i32> %mask#, zeroinitializer\n"
                        "%sum#.x = add <8 x i32> %sum#, %x\n%sum#.k = xor <8 x i32> %sum#.x, %k#\n"
                        "%sum#.new = add <8 x i32> %sum#.k, %sum#.x\n%k#.new = add <8 x i32> %k#, " STEP "\n"
                        "%sum#.next = select <8 x i1> %in#.not, <8 x i32> %sum#, <8 x i32> %sum#.new\n"
                        "%k#.next = select <8 x i1> %in#.not, <8 x i32> %k#, <8 x i32> %k#.new\n");
        say_loop(&r, i, r.split && r.late ? "br label %$\n$:\n" : "");
        say_loop(&r, i, i == 1 && r.less ? r.less : COUNTDOWN);
        say_loop(&r, i, r.split && !r.late ? "br label %$\n$:\n" : "");
        say_loop(&r, i, "%wide# = bitcast <8 x i32> %mask# to i256\n%any# = icmp ne i256 %wide#, 0\n"
                        "%more# = icmp sgt i32 %less#, 0\n%both# = and i1 %any#, %more#\nbr i1 %both#, label %head#, ");
        say(i < n ? "label %%head%d\n" : "label %%rest\n", i + 1);
    }
    say("rest:\n%%time.next = add i32 %%time, 1\n%%again = icmp sle i32 %%time.next, %d\n"
        "br i1 %%again, label %%first, label %%behind\nbehind:\n%s", r.times, r.behind ? r.behind : "");
    if (!r.limits)
        say("store <8 x i32> %%sum%d.next, ptr %%out, align 4\n%%end = getelementptr i32, ptr %%out, i64 120\n"
            "store i32 %%less%d, ptr %%end, align 4\n", n, n);
    check(name, llvm_loops, changes, r.limits);
}

static void rows(void)
{
    ROW("a loop and its countdown", 1, 1);
    ROW("two loops", 2, 2);
    ROW("three loops", 3, 3);
    ROW("loops that go on", 3, 3, .goes_on = true);
    ROW("loops of two blocks", 3, 3, .split = true);
    ROW("a loop in a loop", 1, 1, .times = 3);
    ROW("three loops in a loop", 3, 3, .times = 3);
    ROW("three loops of two blocks in a loop", 3, 3, .times = 3, .split = true, .goes_on = true);
    ROW("a loop that is skipped", 2, 2, .skipped = true);
    ROW("a loop that is skipped, in a loop", 3, 3, .times = 3, .skipped = true, .split = true);
    ROW("numbers of each loop behind", 3, 3,
        .behind = PUT("sum1.next", 8) PUT("k1.next", 16) PUT("sum2.next", 24) PUT("k3.next", 32) PUT("mask2", 40)
                  "%c = shl i32 %less1, 8\n%c.2 = add i32 %c, %less2\n%c.at = getelementptr i32, ptr %out, i64 60\n"
                  "store i32 %c.2, ptr %c.at, align 4\n");
    /* The second takes over a number twice, another loop's own, its own, and one that is none of a loop's. */
    ROW("what the second takes over", 2, 2, .goes_on = true,
        .phis = "%p = phi <8 x i32> [ %sum1.next, %head1 ], [ %p, %head2 ]\n"
                "%q = phi <8 x i32> [ %sum1.next, %head1 ], [ %k2, %head2 ]\n"
                "%r = phi <8 x i32> [ %x, %head1 ], [ %q, %head2 ]\n"
                "%s = phi i32 [ %less1, %head1 ], [ %left2, %head2 ]\n",
        .behind = PUT("p", 8) PUT("q", 16) PUT("r", 24)
                  "%s.at = getelementptr i32, ptr %out, i64 60\nstore i32 %s, ptr %s.at, align 4\n");
    ROW("what the second takes over as another type", 2, 2,
        .less = COUNTDOWN "%f = bitcast <8 x i32> %sum#.next to <8 x float>\n",
        .phis = "%p = phi <8 x float> [ %f, %head1 ], [ %p, %head2 ]\n",
        .behind = "%p.at = getelementptr i32, ptr %out, i64 8\nstore <8 x float> %p, ptr %p.at, align 4\n");
    ROW("the first one's sum, where the limit is reached", 2, 2,
        .phis = "%p = phi <8 x i32> [ %sum1.next, %head1 ], [ %p, %head2 ]\n", .behind = PUT("p", 8), .limits = 14);
    ROW("a countdown by two", 1, 2, .less = "%less# = add i32 %left#, -2\n");
    ROW("another count of the countdown", 2, 2, .less = COUNTDOWN "%other = add i32 %left#, 7\n",
        .behind = "%o.at = getelementptr i32, ptr %out, i64 60\nstore i32 %other, ptr %o.at, align 4\n");
    ROW("another countdown", 1, 2, .less = COUNTDOWN "%other = sub i32 7, %left#\n",
        .behind = "%o.at = getelementptr i32, ptr %out, i64 60\nstore i32 %other, ptr %o.at, align 4\n");
    ROW("a countdown and more, of a number of the loop", 1, 2,
        .less = COUNTDOWN "%some = extractelement <8 x i32> %sum#.new, i64 0\n%other = add i32 %left#, %some\n",
        .behind = "%o.at = getelementptr i32, ptr %out, i64 60\nstore i32 %other, ptr %o.at, align 4\n");
    ROW("countdowns in the second block", 0, 3, .split = true, .late = true);
    ROW("lanes that leave one by one, in a row", 0, 3, .counts = INDEX);
}

/* A loop whose exit is the head of the loop around it: there is the mask that its own is a part of. */
static void exit_above(void)
{
    begin();
    say(DECLARE "%%n.0 = insertelement <8 x i32> undef, i32 %%n, i64 0\n"
        "%%counts = shufflevector <8 x i32> %%n.0, <8 x i32> undef, <8 x i32> zeroinitializer\n"
        "%%start = load <8 x i32>, ptr %%memory, align 4\nbr label %%above\nabove:\n"
        "%%outer = phi <8 x i32> [ " ONES ", %%entry ], [ %%outer.next, %%head ]\n"
        "%%sum.above = phi <8 x i32> [ %%start, %%entry ], [ %%sum.next, %%head ]\n"
        "%%left.above = phi i32 [ %%limit, %%entry ], [ %%less, %%head ]\n"
        "%%time = phi i32 [ 0, %%entry ], [ %%time.next, %%head ]\n%%again = icmp ult i32 %%time, 3\n"
        "br i1 %%again, label %%first, label %%behind\nfirst:\n%%time.next = add i32 %%time, 1\n"
        "%%once = icmp eq i32 %%time, 0\n"
        "%%outer.next = select i1 %%once, <8 x i32> %%outer, <8 x i32> zeroinitializer\nbr label %%head\nhead:\n"
        "%%full = phi <8 x i32> [ " ONES ", %%first ], [ %%part, %%head ]\n"
        "%%sum = phi <8 x i32> [ %%sum.above, %%first ], [ %%sum.next, %%head ]\n"
        "%%k = phi <8 x i32> [ zeroinitializer, %%first ], [ %%k.next, %%head ]\n"
        "%%left = phi i32 [ %%left.above, %%first ], [ %%less, %%head ]\n%%stop = icmp ule <8 x i32> %%counts, %%k\n"
        "%%part = select <8 x i1> %%stop, <8 x i32> zeroinitializer, <8 x i32> %%full\n"
        "%%mask = and <8 x i32> %%part, %%outer\n%%k.new = add <8 x i32> %%k, " STEP "\n"
        "%%sum.k = add <8 x i32> %%sum, %%k.new\n%%sum.new = sub <8 x i32> %%sum.k, %%outer\n");
    say("%s", BLENDS(BLEND_SELECT));
    say("%%less = add i32 %%left, -1\n%%wide = bitcast <8 x i32> %%mask to i256\n%%any = icmp ne i256 %%wide, 0\n"
        "%%more = icmp sgt i32 %%less, 0\n%%both = and i1 %%any, %%more\nbr i1 %%both, label %%head, label %%above\n"
        "behind:\n");
    say("%s", PUT("sum.above", 0) PUT("outer", 8) "%at.left = getelementptr i32, ptr %out, i64 16\n"
              "store i32 %left.above, ptr %at.left, align 4\n");
    check("a loop whose exit is the head of the loop around it", llvm_loops, 1, 0);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    find_llvm();
    loops();
    intersections();
    one_head();
    rows();
    exit_above();
    tain_device_free(d);
    return 0;
}
