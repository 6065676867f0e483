/* context.c - what the driver tells a kernel.
 *
 * Where buffers are and how large they are is in a structure whose address is a kernel's first argument. Mesa reads it anew for
 * every access, since for all that LLVM knows a store may have changed it. It stays as it is, and lies there whatever way the
 * kernel goes: so each of its numbers is read once, at the kernel's start.
 */
#include "lavapipe/llvm.h"

#include <string.h>

enum { MOST_LOADS = 256 };

/* Whether an address is the first argument's with constants added. */
static bool is_context(const struct llvm *l, LLVMValueRef at, LLVMValueRef context)
{
    for (; at != context; at = l->GetOperand(at, 0)) {
        if (llvm_is(l, at, LLVMBitCast))
            continue;
        if (!llvm_is(l, at, LLVMGetElementPtr))
            return false;
        for (int i = 1, n = l->GetNumOperands(at); i < n; i++)
            if (!l->IsAConstantInt(l->GetOperand(at, (unsigned)i)))
                return false;
    }
    return true;
}

/* Whether two addresses of a context are one. */
static bool same_address(const struct llvm *l, LLVMValueRef a, LLVMValueRef b)
{
    for (; a != b; a = l->GetOperand(a, 0), b = l->GetOperand(b, 0)) {
        int n;
        if (!l->IsAInstruction(a) || !l->IsAInstruction(b) || l->TypeOf(a) != l->TypeOf(b) ||
            l->GetInstructionOpcode(a) != l->GetInstructionOpcode(b) || (n = l->GetNumOperands(a)) != l->GetNumOperands(b))
            return false;
        if (llvm_is(l, a, LLVMBitCast))
            continue;
        if (l->GetGEPSourceElementType(a) != l->GetGEPSourceElementType(b))
            return false;
        for (int i = 1; i < n; i++)
            if (l->GetOperand(a, (unsigned)i) != l->GetOperand(b, (unsigned)i))
                return false;
    }
    return true;
}

/* An address once more, where the builder is. */
static LLVMValueRef copy(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef at, LLVMValueRef context)
{
    LLVMValueRef made;

    if (at == context)
        return at;
    made = l->InstructionClone(at);
    l->SetOperand(made, 0, copy(l, b, l->GetOperand(at, 0), context));
    l->InsertIntoBuilder(b, made);
    return made;
}

/* Of the driver's functions compute kernels are meant, by its name for them; not what goes on behind a barrier, which has another
 * argument: LLVM puts a dot into its name. */
static bool is_kernel(const struct llvm *l, LLVMValueRef f)
{
    size_t n = 0;
    const char *name = l->GetValueName2(f, &n);

    return n > 3 && !strncmp(name, "cs_", 3) && !memchr(name, '.', n) && l->CountParams(f) &&
           l->GetTypeKind(l->TypeOf(l->GetParam(f, 0))) == LLVMPointerTypeKind;
}

static unsigned hoist(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef f)
{
    LLVMBasicBlockRef entry = l->GetFirstBasicBlock(f);
    LLVMValueRef context = l->GetParam(f, 0), end = l->GetBasicBlockTerminator(entry);
    LLVMValueRef loads[MOST_LOADS];
    unsigned n = 0, changes = 0;

    for (LLVMBasicBlockRef block = l->GetNextBasicBlock(entry); block; block = l->GetNextBasicBlock(block))
        for (LLVMValueRef v = l->GetFirstInstruction(block), next; v; v = next) {
            unsigned i = 0;
            next = l->GetNextInstruction(v);
            if (!llvm_is(l, v, LLVMLoad) || l->GetVolatile(v) || l->GetOrdering(v) ||
                !is_context(l, l->GetOperand(v, 0), context))
                continue;
            while (i < n && (l->TypeOf(loads[i]) != l->TypeOf(v) ||
                             !same_address(l, l->GetOperand(loads[i], 0), l->GetOperand(v, 0))))
                i++;
            if (i == MOST_LOADS)
                continue;
            if (i == n) {
                l->PositionBuilderBefore(b, end);
                loads[n] = l->InstructionClone(v);
                l->SetOperand(loads[n], 0, copy(l, b, l->GetOperand(v, 0), context));
                l->InsertIntoBuilder(b, loads[n++]);
            }
            l->ReplaceAllUsesWith(v, loads[i]);
            l->InstructionEraseFromParent(v);
            changes++;
        }
    return changes;
}

unsigned llvm_context(const struct llvm *l, LLVMModuleRef module)
{
    LLVMBuilderRef b = l->CreateBuilderInContext(l->GetModuleContext(module));
    unsigned n = 0;

    for (LLVMValueRef f = l->GetFirstFunction(module); f; f = l->GetNextFunction(f))
        if (is_kernel(l, f) && l->GetFirstBasicBlock(f))
            n += hoist(l, b, f);
    l->DisposeBuilder(b);
    return n;
}
