/* fuse.c - a product that is added to something becomes one operation, fma.
 *
 * Vulkan allows that wherever SPIR-V does not forbid it (NoContraction), GPU drivers do so, and it is more exact. Where
 * tain's shaders forbid it, by "precise", there are sums only. Mesa's NIR does the opposite for the CPU driver: it takes
 * GLSL's fma() apart. fmuladd leaves the choice to the processor's code generator: there is none without the instruction.
 */
#include "lavapipe/llvm.h"

/* x y + z, or with either sign turned, in the place of the sum. */
static LLVMValueRef fused(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef sum, LLVMValueRef product,
                          LLVMValueRef z, bool minus_product, bool minus_z)
{
    LLVMTypeRef type = l->TypeOf(sum);
    unsigned id = l->LookupIntrinsicID("llvm.fmuladd", sizeof("llvm.fmuladd") - 1);
    LLVMValueRef x[3] = { l->GetOperand(product, 0), l->GetOperand(product, 1), z };

    l->PositionBuilderBefore(b, sum);
    if (minus_product)
        x[0] = l->BuildFNeg(b, x[0], "");
    if (minus_z)
        x[2] = l->BuildFNeg(b, z, "");
    return l->BuildCall2(b, l->IntrinsicGetType(l->GetTypeContext(type), id, &type, 1),
                         l->GetIntrinsicDeclaration(module, id, &type, 1), x, 3, "");
}

static bool fuse(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef sum)
{
    int opcode = l->GetInstructionOpcode(sum);

    if (opcode != LLVMFAdd && opcode != LLVMFSub)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        LLVMValueRef product = l->GetOperand(sum, i), other = l->GetOperand(sum, 1 - i);
        if (!llvm_is(l, product, LLVMFMul))
            continue;
        l->ReplaceAllUsesWith(sum, fused(l, module, b, sum, product, other, opcode == LLVMFSub && i == 1,
                                         opcode == LLVMFSub && i == 0));
        l->InstructionEraseFromParent(sum);
        if (!l->GetFirstUse(product))
            l->InstructionEraseFromParent(product);
        return true;
    }
    return false;
}

unsigned llvm_fuse(const struct llvm *l, LLVMModuleRef module)
{
    return llvm_each(l, module, fuse);
}
