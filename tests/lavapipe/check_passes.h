/* check_passes.h - how the passes of core/lavapipe are tested one by one: on texts as Mesa writes them and on ones that
 * only look so. What a pass changes is counted, and the function must do as before, bit for bit, for random inputs.
 */
#ifndef TAIN_CHECK_PASSES_H
#define TAIN_CHECK_PASSES_H

#include "check.h"

#include "lavapipe/llvm.h"
#include "op/check_op.h"

#include <dlfcn.h>
#include <link.h>
#include <stdarg.h>

typedef struct LLVMOpaqueMemoryBuffer *LLVMMemoryBufferRef;
typedef struct LLVMOpaqueExecutionEngine *LLVMExecutionEngineRef;

/* What it takes to read a text and to run it. */
#define MORE_FUNCTIONS(F)                                                                          \
    F(LLVMContextRef, ContextCreate, (void))                                                       \
    F(void, ContextDispose, (LLVMContextRef))                                                      \
    F(LLVMMemoryBufferRef, CreateMemoryBufferWithMemoryRangeCopy, (const char *, size_t, const char *)) \
    F(int, ParseIRInContext, (LLVMContextRef, LLVMMemoryBufferRef, LLVMModuleRef *, char **))      \
    F(int, VerifyModule, (LLVMModuleRef, int, char **))                                            \
    F(char *, PrintModuleToString, (LLVMModuleRef))                                                \
    F(void, LinkInMCJIT, (void))                                                                   \
    F(void, InitializeX86TargetInfo, (void))                                                       \
    F(void, InitializeX86Target, (void))                                                           \
    F(void, InitializeX86TargetMC, (void))                                                         \
    F(void, InitializeX86AsmPrinter, (void))                                                       \
    F(int, CreateMCJITCompilerForModule, (LLVMExecutionEngineRef *, LLVMModuleRef, void *, size_t, char **)) \
    F(uint64_t, GetFunctionAddress, (LLVMExecutionEngineRef, const char *))                        \
    F(void, DisposeExecutionEngine, (LLVMExecutionEngineRef))

static struct llvm l;
static struct {
#define FIELD(result, name, arguments) result(*name) arguments;
    MORE_FUNCTIONS(FIELD)
#undef FIELD
} more;

static inline int is_driver(struct dl_phdr_info *info, size_t size, void *name)
{
    (void)size;
    if (strstr(info->dlpi_name, "libvulkan_lvp"))
        snprintf(name, 512, "%s", info->dlpi_name);
    return 0;
}

static inline void find_llvm(void)
{
    char name[512] = "";
    void *library;
    bool all = true;

    dl_iterate_phdr(is_driver, name);
    library = *name ? dlopen(name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (!library || !llvm_find(library, &l))
        SKIP("no CPU driver that has LLVM as a library");
#define LOOK_UP(result, name, arguments)                                                           \
    *(void **)&more.name = dlsym(library, "LLVM" #name);                                           \
    all &= more.name != NULL;
    MORE_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (!all)
        SKIP("this LLVM cannot run texts for x86");
#if defined __x86_64__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        SKIP("a CPU without AVX2 and FMA");
#endif
    more.LinkInMCJIT();
    more.InitializeX86TargetInfo();
    more.InitializeX86Target();
    more.InitializeX86TargetMC();
    more.InitializeX86AsmPrinter();
}

/* ---- A text, before and after ---- */

enum { WORDS = 256, RUNS = 300 };

typedef void function(const uint32_t *in, uint32_t *out, const uint32_t *memory, int32_t n, int32_t limit);

static char text[1 << 16];

static inline void begin(void)
{
    *text = 0;
}

static inline void say(const char *format, ...)
{
    size_t n = strlen(text);
    va_list list;

    va_start(list, format);
    CHECK(vsnprintf(text + n, sizeof(text) - n, format, list) < (int)(sizeof(text) - n));
    va_end(list);
}

#define DECLARE                                                                                    \
    "declare <8 x float> @llvm.x86.avx.blendv.ps.256(<8 x float>, <8 x float>, <8 x float>)\n"     \
    "declare void @llvm.masked.scatter.v8i32.v8p0(<8 x i32>, <8 x ptr>, i32, <8 x i1>)\n"          \
    "define void @f(ptr %%in, ptr %%out, ptr %%memory, i32 %%n, i32 %%limit) #0 {\nentry:\n"

struct code {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMExecutionEngineRef engine;
    function *f;
};

static inline void parse(struct code *c)
{
    char *error = NULL;

    c->context = more.ContextCreate();
    if (more.ParseIRInContext(c->context, more.CreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "text"),
                              &c->module, &error)) {
        fprintf(stderr, "%s\n%s\n", error, text);
        exit(1);
    }
}

static inline void compile(struct code *c, const char *name)
{
    char *error = NULL;

    if (more.VerifyModule(c->module, 2, &error)) {
        fprintf(stderr, "%s: %s\n%s\n", name, error, more.PrintModuleToString(c->module));
        exit(1);
    }
    CHECK(!more.CreateMCJITCompilerForModule(&c->engine, c->module, NULL, 0, &error));
    c->f = (function *)(uintptr_t)more.GetFunctionAddress(c->engine, "f");
    CHECK(c->f);
}

static inline void forget(struct code *c)
{
    more.DisposeExecutionEngine(c->engine);
    more.ContextDispose(c->context);
}

typedef unsigned pass(const struct llvm *l, LLVMModuleRef module);

/* The text of a module of which a pass changed n places; it must be `want` of them, and the module whole. */
static inline char *changed_text(const struct code *c, const char *name, unsigned n, unsigned want)
{
    char *text = more.PrintModuleToString(c->module), *error = NULL;

    if (n != want || more.VerifyModule(c->module, 2, &error)) {
        fprintf(stderr, "%s: %u places were changed, not %u\n%s\n", name, n, want, error && *error ? error : text);
        exit(1);
    }
    return text;
}

/* `in` and `memory` hold small numbers, so that they may be indices; n is 0 to 11, the limit 1 to `limits`, or with 0
 * out of reach. */
static inline void check(const char *name, pass *change, unsigned changes, int limits)
{
    struct code before, after;
    uint32_t in[WORDS], memory[WORDS], out[2][WORDS];
    unsigned n;

    say("ret void\n}\nattributes #0 = { \"target-features\"=\"+avx2,+fma\" }\n");
    parse(&before);
    compile(&before, name);
    parse(&after);
    n = change(&l, after.module);
    changed_text(&after, name, n, changes);
    compile(&after, name);
    check_state = 7;
    for (int run = 0; run < RUNS; run++) {
        int32_t count = (int32_t)(check_random() % 12);
        int32_t limit = limits ? 1 + (int32_t)(check_random() % (uint32_t)limits) : 65535;

        for (int i = 0; i < WORDS; i++) {
            in[i] = check_random() % 40;
            memory[i] = check_random() % 1000;
        }
        memset(out, 0, sizeof(out));
        before.f(in, out[0], memory, count, limit);
        after.f(in, out[1], memory, count, limit);
        for (int i = 0; i < WORDS; i++)
            if (out[0][i] != out[1][i]) {
                fprintf(stderr, "%s: n %d, limit %d: word %d is %#x, was %#x\n", name, count, limit, i, out[1][i],
                        out[0][i]);
                exit(1);
            }
    }
    forget(&before);
    forget(&after);
}

/* ---- Parts of texts ---- */

/* One number eight times. */
static inline const char *eight(int n)
{
    static char out[160];

    snprintf(out, sizeof(out), "<i32 %d, i32 %d, i32 %d, i32 %d, i32 %d, i32 %d, i32 %d, i32 %d>", n, n, n, n, n, n, n,
             n);
    return out;
}

#define ONES "<i32 -1, i32 -1, i32 -1, i32 -1, i32 -1, i32 -1, i32 -1, i32 -1>"
#define STEP "<i32 1, i32 1, i32 1, i32 1, i32 1, i32 1, i32 1, i32 1>"
#define INDEX "<i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>"

#endif
