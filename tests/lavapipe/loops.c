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

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    find_llvm();
    loops();
    intersections();
    one_head();
    tain_device_free(d);
    return 0;
}
