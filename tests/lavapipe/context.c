/* What a kernel's first argument leads to is read once (check_passes.h). */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "lavapipe/check_passes.h"

#define ARGUMENTS "ptr %%in, ptr %%out, ptr %%memory, i32 %%n, i32 %%limit"
#define AT(to, from, i) "%" to ".at = getelementptr [4 x i32], ptr " from ", i64 0, i64 " i "\n"
#define READ(to, from, i) AT(to, from, i) "%" to " = load i32, ptr %" to ".at, align 4\n"
#define PUT(i, x) "%to" i " = getelementptr i32, ptr %out, i64 " i "\nstore i32 " x ", ptr %to" i ", align 4\n"

/* `first` in the entry, `second` in a loop of n turns, which writes too. */
static void context(const char *name, unsigned changes, const char *function, const char *first, const char *second)
{
    begin();
    say("define void @%s(" ARGUMENTS ") #0 {\nentry:\n", function);
    say("%sbr label %%loop\nloop:\n%%k = phi i32 [ 0, %%entry ], [ %%next, %%loop ]\n%s", first, second);
    say("%%next = add i32 %%k, 1\n%%go = icmp slt i32 %%next, %%n\nbr i1 %%go, label %%loop, label %%behind\n");
    say("behind:\nret void\n}\n" DECLARE);
    say("call void @%s(" ARGUMENTS ")\n", function);
    check(name, llvm_context, changes, 0);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);

    CHECK(d);
    find_llvm();
    context("one number", 1, "cs_f", "", READ("a", "%in", "1") PUT("0", "%a"));
    context("the same twice, another, a store between", 3, "cs_f", "",
            READ("a", "%in", "1") PUT("0", "%a") READ("b", "%in", "1") PUT("1", "%b") READ("c", "%in", "2") PUT("2", "%c"));
    context("the argument itself", 1, "cs_f", "", "%a = load i32, ptr %in, align 4\n" PUT("0", "%a"));
    context("one address of two sizes", 2, "cs_f", "",
            READ("a", "%in", "1") PUT("0", "%a") AT("w", "%in", "1") "%w = load i64, ptr %w.at, align 4\n"
            "%b = trunc i64 %w to i32\n" PUT("1", "%b"));
    context("a way of two steps", 1, "cs_f", "%far = getelementptr i32, ptr %in, i64 3\n", READ("a", "%far", "2") PUT("0", "%a"));
    context("in the entry", 0, "cs_f", READ("a", "%in", "1"), PUT("0", "%a"));
    context("an index that is computed", 0, "cs_f", "", "%j = zext i32 %k to i64\n" READ("a", "%in", "%j") PUT("0", "%a"));
    context("of another argument", 0, "cs_f", "", READ("a", "%memory", "1") PUT("0", "%a"));
    context("volatile", 0, "cs_f", "", AT("a", "%in", "1") "%a = load volatile i32, ptr %a.at, align 4\n" PUT("0", "%a"));
    context("behind a barrier", 0, "cs_f.resume", "", READ("a", "%in", "1") PUT("0", "%a"));
    context("what is kept from one barrier to the next", 0, "cs_co_f.resume", "",
            AT("k", "%in", "1") "store i32 %k, ptr %k.at, align 4\n" READ("a", "%in", "1") PUT("0", "%a"));
    context("another function", 0, "fs_f", "", READ("a", "%in", "1") PUT("0", "%a"));
    tain_device_free(d);
    return 0;
}
