/* sides.c - what lanes read side by side.
 *
 * A texel buffer of single numbers is read by a gather, which takes a CPU ten times as long as a load does. Where the index of
 * every lane is the one before plus one, whatever the first is, it is a load of all of them, by the mask that says which are in
 * range: lanes that are not read nothing and are zero.
 *
 *     gathered = gather(base, index << 2 & in_range) & in_range   ->   masked load(base + index[0] * 4, in_range)
 *
 * Past the wrap at 2^32 lanes are in range again: they lie behind the base as those before lie in front of it, which is what
 * the sign of index[0] is taken for.
 */
#include "lavapipe/llvm.h"

enum { LANES_LEAST = 8 }; /* fewer: CPUs without AVX, for which a masked load is a branch a lane */

static bool load(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef v)
{
    LLVMContextRef context = l->GetModuleContext(module);
    LLVMTypeRef type = l->TypeOf(v), word = l->Int32TypeInContext(context), types[2] = { type, l->PointerType(type, 0) }, made;
    unsigned id = l->LookupIntrinsicID("llvm.masked.load", 16);
    struct llvm_fetch f;
    LLVMValueRef at, arguments[4];
    unsigned n;

    if (llvm_lanes(l, type) < LANES_LEAST || !llvm_fetch(l, v, &f) || f.shift != 2 || !llvm_beside(l, f.index))
        return false;
    if (f.block != l->GetInstructionParent(v) || !llvm_only_reads(l, f.block))
        return false; /* what is read later must be the same */
    made = l->IntrinsicGetType(context, id, types, 2);
    n = l->CountParamTypes(made); /* from LLVM 22 on one less: the alignment is not among them */
    if (n != 3 && n != 4)
        return false;
    l->PositionBuilderBefore(b, v);
    at = l->BuildExtractElement(b, f.index, l->ConstInt(word, 0, 0), "");
    at = l->BuildSExt(b, at, l->Int64TypeInContext(context), "");
    at = l->BuildGEP2(b, word, l->BuildBitCast(b, f.base, l->PointerType(word, 0), ""), &at, 1, "");
    arguments[0] = l->BuildBitCast(b, at, types[1], "");
    arguments[1] = l->ConstInt(word, 4, 0);
    arguments[n - 2] = l->GetOperand(f.in_range, 0);
    arguments[n - 1] = l->ConstNull(type);
    l->ReplaceAllUsesWith(v, l->BuildCall2(b, made, l->GetIntrinsicDeclaration(module, id, types, 2), arguments, n, ""));
    l->InstructionEraseFromParent(v);
    return true;
}

unsigned llvm_sides(const struct llvm *l, LLVMModuleRef module)
{
    return llvm_each(l, module, load);
}
