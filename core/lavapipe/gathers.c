/* gathers.c - what all lanes read from one place.
 *
 * Mesa reads a push constant once and hands it to all lanes, but not where a lane may have left the kernel or a branch
 * already: there it reads it for each lane. Where the place is the same for all, once is enough, and what hangs on it is then
 * known to be the same in all lanes.
 */
#include "lavapipe/llvm.h"

static bool gather(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef v)
{
    (void)module;
    /* The last of a chain: of the first the rest is undefined, and a splat is made of that. */
    if (!llvm_is(l, v, LLVMInsertElement) || !llvm_is(l, l->GetOperand(v, 0), LLVMInsertElement) || !llvm_same(l, v))
        return false;
    l->PositionBuilderBefore(b, v);
    l->ReplaceAllUsesWith(v, llvm_splat(l, b, l->GetOperand(v, 1), llvm_lanes(l, l->TypeOf(v))));
    l->InstructionEraseFromParent(v);
    return true;
}

unsigned llvm_gathers(const struct llvm *l, LLVMModuleRef module)
{
    return llvm_each(l, module, gather);
}
