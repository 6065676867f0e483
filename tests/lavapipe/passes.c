/* Gathers, shares and fuse (check_passes.h); loops.c has the loops, and driver.c all of them within the driver. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

/* ---- gathers ---- */

/* What a lane's load of a gather is like where it is not like the others'. */
enum odd { NONE, OTHER_INDEX, OTHER_SIZE, STORE, SCATTER };

static void gather(const char *name, enum odd odd, int lanes, unsigned changes)
{
    begin();
    say(DECLARE);
    say("%%first = insertelement <%d x i32> undef, i32 %%n, i64 0\n", lanes);
    say("%%all = shufflevector <%d x i32> %%first, <%d x i32> undef, <%d x i32> zeroinitializer\n", lanes, lanes,
        lanes);
    say("%%index%s = add <%d x i32> %%all, %%all\n", odd == OTHER_INDEX ? ".0" : "", lanes);
    if (odd == OTHER_INDEX)
        say("%%index = insertelement <%d x i32> %%index.0, i32 17, i64 %d\n", lanes, lanes - 3);
    if (odd == SCATTER) { /* over what is read */
        say("%%to.0 = insertelement <8 x ptr> undef, ptr %%out, i64 0\n"
            "%%to.1 = shufflevector <8 x ptr> %%to.0, <8 x ptr> undef, <8 x i32> zeroinitializer\n"
            "%%steps = getelementptr [2 x i32], <8 x ptr> %%to.1, <8 x i32> " INDEX "\n"
            "%%what = load <8 x i32>, ptr %%in, align 4\n");
    }
    for (int i = 0; i < lanes; i++) {
        if (odd == STORE && i == lanes / 2)
            say("store i32 5, ptr %%out, align 4\n%%again = load i32, ptr %%out, align 4\n"
                "%%far = getelementptr i32, ptr %%out, i32 %%again\nstore i32 %%again, ptr %%far, align 4\n");
        if (odd == SCATTER && i == lanes / 2)
            say("%%yes = icmp eq <8 x i32> %%what, %%what\n"
                "call void @llvm.masked.scatter.v8i32.v8p0(<8 x i32> %%what, <8 x ptr> %%steps, i32 4, "
                "<8 x i1> %%yes)\n");
        say("%%i%d = extractelement <%d x i32> %%index, i64 %d\n%%j%d = zext i32 %%i%d to i64\n", i, lanes, i, i, i);
        say("%%p%d = getelementptr %s, ptr %s, i64 %%j%d\n", i, odd == OTHER_SIZE && i == lanes - 1 ? "i8" : "i32",
            odd == SCATTER ? "%out" : "%memory", i);
        say("%%w%d = load i32, ptr %%p%d, align 1\n", i, i);
        if (i)
            say("%%v%d = insertelement <%d x i32> %%v%d, i32 %%w%d, i64 %d\n", i, lanes, i - 1, i, i);
        else
            say("%%v0 = insertelement <%d x i32> undef, i32 %%w0, i64 0\n", lanes);
    }
    say("%%end = getelementptr i32, ptr %%out, i64 32\nstore <%d x i32> %%v%d, ptr %%end, align 4\n", lanes, lanes - 1);
    if (odd != STORE) { /* into a block of their own, or there were a store in theirs */
        char *at = strstr(text, "%end");
        char rest[512];
        snprintf(rest, sizeof(rest), "br label %%behind\nbehind:\n%s", at);
        strcpy(at, rest);
    }
    check(name, llvm_gathers, changes, 0);
}

static void gathers(void)
{
    gather("gather", NONE, 8, 1);
    gather("gather of 4", NONE, 4, 1);
    gather("gather of 16", NONE, 16, 1);
    gather("gather with another index", OTHER_INDEX, 8, 0);
    gather("gather with an index in other units", OTHER_SIZE, 8, 0);
    gather("gather with a store", STORE, 8, 0);
    gather("gather with a scatter", SCATTER, 8, 0);
}

/* ---- shares ---- */

enum fetch { PLAIN, RAW_TOO, OTHER_LANES, OTHER_MASK, IN_WORDS, STORES, LATE_BUFFER };

static void put(const char *value, int i, int at)
{
    say("%%at%s%d = getelementptr i32, ptr %%out, i64 %d\n", value, i, at);
    say("store <8 x i32> %%%s%d, ptr %%at%s%d, align 4\n", value, i, value, i);
}

/* Eight texels at the numbers in `in`, of 2 n there are; of texel i the word i % 4 goes to all lanes. */
static void fetch(const char *name, enum fetch kind, unsigned changes)
{
    begin();
    say(DECLARE "%%index = load <8 x i32>, ptr %%in, align 4\n%%twice = add i32 %%n, %%n\n"
                "%%size.0 = insertelement <8 x i32> undef, i32 %%twice, i64 0\n"
                "%%size = shufflevector <8 x i32> %%size.0, <8 x i32> undef, <8 x i32> zeroinitializer\n"
                "%%less = icmp ult <8 x i32> %%index, %%size\n%%range = sext <8 x i1> %%less to <8 x i32>\n"
                "%%odd.1 = icmp slt <8 x i32> %%index, <i32 9, i32 9, i32 9, i32 9, i32 9, i32 9, i32 9, i32 9>\n"
                "%%odd = sext <8 x i1> %%odd.1 to <8 x i32>\n");
    say("%%bytes = shl <8 x i32> %%index, %s\n", eight(kind == IN_WORDS ? 2 : 4));
    say("%%offset = and <8 x i32> %%bytes, %%range\nbr label %%texels\ntexels:\n");
    say("%%buffer = getelementptr i8, ptr %%memory, i64 %d\n", kind == LATE_BUFFER ? 16 : 0);
    for (int i = 0; i < 8; i++) {
        say("%%o%d = extractelement <8 x i32> %%offset, i64 %d\n%%w%d = sext i32 %%o%d to i64\n", i, i, i, i);
        say("%%p%d = getelementptr %s, ptr %s, i64 %%w%d\n", i, kind == IN_WORDS ? "i32" : "i8",
            kind == LATE_BUFFER ? "%buffer" : "%memory", i);
        say("%%t%d = load <4 x i32>, ptr %%p%d, align 4\n", i, i);
        if (kind == STORES && i == 4)
            say("store i32 1, ptr %%out, align 4\n");
    }
    for (int i = 0; i < 4; i++)
        say("%%q%d = shufflevector <4 x i32> %%t%d, <4 x i32> %%t%d, <8 x i32> " INDEX "\n", i, i, i + 4);
    for (int i = 0; i < 2; i++) {
        const char *low = "<i32 0, i32 8, i32 1, i32 9, i32 4, i32 12, i32 5, i32 13>";
        const char *high = "<i32 2, i32 10, i32 3, i32 11, i32 6, i32 14, i32 7, i32 15>";
        say("%%l%d = shufflevector <8 x i32> %%q%d, <8 x i32> %%q%d, <8 x i32> %s\n", i, 2 * i, 2 * i + 1, low);
        say("%%h%d = shufflevector <8 x i32> %%q%d, <8 x i32> %%q%d, <8 x i32> %s\n", i, 2 * i, 2 * i + 1, high);
        say("%%lw%d = bitcast <8 x i32> %%l%d to <4 x i64>\n", i, i);
        say("%%hw%d = bitcast <8 x i32> %%h%d to <4 x i64>\n", i, i);
    }
    for (int i = 0; i < 4; i++) {
        const char *half = i < 2 ? "lw" : "hw";
        const char *order = i % 2 ? "<i32 1, i32 5, i32 3, i32 7>" : "<i32 0, i32 4, i32 2, i32 6>";
        say("%%dw%d = shufflevector <4 x i64> %%%s0, <4 x i64> %%%s1, <4 x i32> %s\n", i, half, half, order);
        say("%%d%d = bitcast <4 x i64> %%dw%d to <8 x i32>\n", i, i);
        if (kind == OTHER_LANES)
            say("%%e%d = shufflevector <8 x i32> %%d%d, <8 x i32> undef, <8 x i32> <i32 7, i32 6, i32 5, i32 4, "
                "i32 3, i32 2, i32 1, i32 0>\n", i, i);
        say("%%a%d = and <8 x i32> %%%s%d, %%range\n", i, kind == OTHER_LANES ? "e" : "d", i);
        say("%%b%d = and <8 x i32> %%d%d, %%odd\n", i, i);
    }
    for (int i = 0; i < 8; i++)
        say("%%s%d = shufflevector <8 x i32> %%%c%d, <8 x i32> undef, <8 x i32> %s\n", i,
            kind == OTHER_MASK && i > 3 ? 'b' : 'a', i % 4, eight(i));
    for (int i = 0; i < 4 && kind == OTHER_MASK; i++) /* the same texels by both */
        say("%%r%d = shufflevector <8 x i32> %%b%d, <8 x i32> undef, <8 x i32> %s\n", i, i, eight(i));
    say("br label %%behind\nbehind:\n");
    for (int i = 0; i < 8; i++)
        put("s", i, 8 + 8 * i);
    for (int i = 0; i < 4 && kind == OTHER_MASK; i++)
        put("r", i, 72 + 8 * i);
    for (int i = 0; i < 4 && kind == RAW_TOO; i++)
        put("d", i, 72 + 8 * i);
    check(name, llvm_shares, changes, 0);
}

static void shares(void)
{
    fetch("fetch", PLAIN, 8);
    fetch("fetch whose texels are used as they are", RAW_TOO, 8);
    fetch("fetch whose lanes are cleared for others", OTHER_LANES, 0);
    fetch("fetch cleared by two masks", OTHER_MASK, 4);
    fetch("fetch in other units", IN_WORDS, 0);
    fetch("fetch and a store", STORES, 0);
    fetch("fetch from what is known after the offsets", LATE_BUFFER, 8);
}

/* ---- fuse ---- */

enum { TERMS = 7 };

#define FUSED(name, type)                                                                          \
    static void want_##name(const type *v, type *y, type (*f)(type, type, type))                   \
    {                                                                                              \
        y[0] = f(v[0], v[1], v[2]);                                                                \
        y[1] = f(v[0], v[1], v[3]);                                                                \
        y[2] = f(v[0], v[1], -v[2]);                                                               \
        y[3] = f(-v[0], v[1], v[2]);                                                               \
        y[4] = f(v[0], v[1], v[2] * v[3]);                                                         \
        y[5] = v[0] * v[1];                                                                        \
        y[6] = f(v[1], v[1], v[1] * v[1]);                                                         \
    }
FUSED(float, float)
FUSED(double, double)

/* In vectors, of which the first lane is looked at, or in numbers; %p is used over and over. */
static void fuse(const char *type, bool wide, unsigned lanes)
{
    char all[32];
    struct code c;
    double d[4], dy[TERMS], dwant[TERMS];
    float s[4], sy[TERMS], swant[TERMS];
    unsigned n;

    if (lanes > 1)
        snprintf(all, sizeof(all), "<%u x %s>", lanes, type);
    else
        snprintf(all, sizeof(all), "%s", type);
    begin();
    say(DECLARE);
    for (int i = 0; i < 4; i++) {
        say("%%q%d = getelementptr %s, ptr %%in, i64 %d\n", i, type, i);
        say("%%n%d = load %s, ptr %%q%d, align 4\n", i, type, i);
        if (lanes > 1)
            say("%%v%d = insertelement %s zeroinitializer, %s %%n%d, i64 0\n", i, all, type, i);
        else
            say("%%v%d = bitcast %s %%n%d to %s\n", i, type, i, type);
    }
    say("%%p = fmul %s %%v0, %%v1\n%%r = fmul %s %%v2, %%v3\n%%t = fmul %s %%v1, %%v1\n", all, all, all);
    say("%%y0 = fadd %s %%p, %%v2\n%%y1 = fadd %s %%v3, %%p\n%%y2 = fsub %s %%p, %%v2\n%%y3 = fsub %s %%v2, %%p\n", all,
        all, all, all);
    say("%%y4 = fadd %s %%p, %%r\n%%y5 = fmul %s %%v0, %%v1\n%%y6 = fadd %s %%t, %%t\n", all, all, all);
    for (int i = 0; i < TERMS; i++) {
        if (lanes > 1)
            say("%%z%d = extractelement %s %%y%d, i64 0\n", i, all, i);
        say("%%o%d = getelementptr %s, ptr %%out, i64 %d\nstore %s %%%c%d, ptr %%o%d, align 4\n", i, type, i, type,
            lanes > 1 ? 'z' : 'y', i, i);
    }
    say("ret void\n}\nattributes #0 = { \"target-features\"=\"+avx2,+fma\" }\n");
    parse(&c);
    n = llvm_fuse(&l, c.module);
    CHECK_INT(n, 6);
    compile(&c, type);
    for (int run = 0; run < RUNS; run++) {
        for (int i = 0; i < 4; i++)
            d[i] = s[i] = check_uniform(-2, 2);
        for (int i = 0; i < 4 && wide; i++)
            d[i] += 1e-9 * (double)check_uniform(-2, 2);
        c.f(wide ? (void *)d : (void *)s, wide ? (void *)dy : (void *)sy, NULL, 0, 0);
        want_float(s, swant, fmaf);
        want_double(d, dwant, fma);
        CHECK(wide ? !memcmp(dy, dwant, sizeof(dy)) : !memcmp(sy, swant, sizeof(sy)));
    }
    forget(&c);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    find_llvm();
    gathers();
    shares();
    fuse("float", false, 8);
    fuse("float", false, 1);
    fuse("double", true, 4);
    fuse("double", true, 1);
    tain_device_free(d);
    return 0;
}
