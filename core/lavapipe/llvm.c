/* llvm.c - between the driver and its LLVM.
 *
 * Mesa compiles a kernel by calls of LLVM's C interface, a shared library; one of them, LLVMRunPasses, hands over the whole
 * kernel and asks for it to be improved. A program's own functions come before those of libraries, so the driver calls the
 * one below, which calls LLVM's and then improves the kernel further. Where the driver has LLVM within itself, or none of
 * these functions, nothing is different from what it would be.
 */
#define _GNU_SOURCE /* dladdr */
#include "lavapipe/lavapipe.h"
#include "lavapipe/llvm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED LLVMErrorRef LLVMRunPasses(LLVMModuleRef module, const char *passes, LLVMTargetMachineRef target,
                                    LLVMPassBuilderOptionsRef options);

/* Of LLVM: Mesa calls this function since 15 (Debian 12), and 22 is the newest that was tried. */
enum { OLDEST = 15, NEWEST = 22 };

enum { GATHERS, LOOPS, STRIDES, SIDES, SHARES, SCATTERS, CONTEXT, FUSED, KINDS };

static uint64_t changes[KINDS];
static bool begun;
static bool ordered;
static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

bool llvm_find(void *library, struct llvm *l)
{
    bool all = true;

#define LOOK_UP(result, name, arguments)                                                           \
    *(void **)&l->name = dlsym(library, "LLVM" #name);                                             \
    all &= l->name != NULL;
    LLVM_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return all;
}

unsigned llvm_each(const struct llvm *l, LLVMModuleRef module,
                   bool (*change)(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef v))
{
    LLVMBuilderRef b = l->CreateBuilderInContext(l->GetModuleContext(module));
    unsigned n = 0;

    for (LLVMValueRef f = l->GetFirstFunction(module); f; f = l->GetNextFunction(f))
        for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(f); block; block = l->GetNextBasicBlock(block))
            for (LLVMValueRef v = l->GetFirstInstruction(block), next; v; v = next) {
                next = l->GetNextInstruction(v);
                n += change(l, module, b, v);
            }
    l->DisposeBuilder(b);
    return n;
}

/* LLVM as the library sees it that has this address: the driver, which is loaded, so that this only looks it up. */
static bool find_caller(void *address, struct llvm *l)
{
    Dl_info info;
    void *library = dladdr(address, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    bool all;

    memset(l, 0, sizeof(*l));
    if (!library)
        return false;
    all = llvm_find(library, l);
    dlclose(library);
    return all;
}

/* LLVM reorders instructions before it gives out registers, for what it takes to be shorter waits. In a body of 512 fma it
 * moves loads so far ahead that 1,000 registers are written to memory instead of 400, and that is what the time goes to. */
static void leave_order(const struct llvm *l)
{
    l->ParseCommandLineOptions(2, (const char *[]){ "tain", "-enable-misched=false" }, NULL);
}

static bool count(int kind, unsigned n)
{
    __atomic_fetch_add(&changes[kind], n, __ATOMIC_RELAXED);
    return n;
}

static LLVMErrorRef clean(const struct llvm *l, LLVMModuleRef module, LLVMTargetMachineRef target,
                          LLVMPassBuilderOptionsRef options)
{
    return l->RunPasses(module, "function(instcombine,early-cse,loop-mssa(licm),adce)", target, options);
}

LLVMErrorRef LLVMRunPasses(LLVMModuleRef module, const char *passes, LLVMTargetMachineRef target,
                           LLVMPassBuilderOptionsRef options)
{
    struct llvm l;
    bool any, all = find_caller(__builtin_return_address(0), &l);
    LLVMErrorRef error = l.RunPasses ? l.RunPasses(module, passes, target, options) : NULL;

    if (error || !all || !__atomic_load_n(&begun, __ATOMIC_ACQUIRE) || !strstr(passes, "instcombine"))
        return error;
    pthread_mutex_lock(&once);
    if (!ordered)
        leave_order(&l);
    ordered = true;
    pthread_mutex_unlock(&once);
    any = count(GATHERS, llvm_gathers(&l, module));
    any |= count(LOOPS, llvm_loops(&l, module));
    if (any)
        error = clean(&l, module, target, options); /* of blends by full masks, which strides does not see through */
    any = !error && count(STRIDES, llvm_strides(&l, module));
    any |= count(SIDES, llvm_sides(&l, module));
    any |= count(SHARES, llvm_shares(&l, module));
    any |= count(SCATTERS, llvm_scatters(&l, module));
    any |= count(CONTEXT, llvm_context(&l, module));
    if (any && !error)
        error = clean(&l, module, target, options);
    count(FUSED, llvm_fuse(&l, module));
    return error;
}

void lavapipe_counts(struct lavapipe_counts *counts)
{
    *counts = (struct lavapipe_counts){ __atomic_load_n(&changes[GATHERS], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[LOOPS], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[STRIDES], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[SIDES], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[SHARES], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[SCATTERS], __ATOMIC_RELAXED),
                                        __atomic_load_n(&changes[FUSED], __ATOMIC_RELAXED) };
}

const char *lavapipe_key(void)
{
    const char *asked = getenv("TAIN_PASSES");

    /* The function above is hidden from drivers where a program was linked without -Wl,-E. */
    return dlsym(RTLD_DEFAULT, "LLVMRunPasses") == (void *)LLVMRunPasses && (!asked || strcmp(asked, "no")) ? "-passes-" PASSES
                                                                                                            : "";
}

/* LLVM's number in "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)", 0 if there is none. */
static int version(const char *driver)
{
    const char *at = strstr(driver, "(LLVM ");

    return at ? atoi(at + sizeof("(LLVM ") - 1) : 0;
}

bool lavapipe_begin(const char *driver)
{
    bool begin = *lavapipe_key() && version(driver) >= OLDEST && version(driver) <= NEWEST;

    __atomic_store_n(&begun, begin, __ATOMIC_RELEASE);
    return begin;
}
