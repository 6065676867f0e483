/* rows.c - numbers that go up by one from lane to lane.
 */
#include "lavapipe/llvm.h"

/* first, first + 1, ... */
static bool counts_up(const struct llvm *l, LLVMValueRef v, uint64_t *first)
{
    unsigned n = llvm_lanes(l, l->TypeOf(v));

    if (!l->IsAConstantDataSequential(v))
        return false;
    for (unsigned i = 0; i < n; i++) {
        LLVMValueRef x = l->GetElementAsConstant(v, i);
        if (!l->IsAConstantInt(x))
            return false;
        if (!i)
            *first = l->ConstIntGetZExtValue(x);
        if (l->ConstIntGetZExtValue(x) != *first + i)
            return false;
    }
    return true;
}

/* Whether a number that is the same in all lanes is a multiple of 2^n that are so many or more. */
static bool is_multiple(const struct llvm *l, LLVMValueRef v, uint64_t of)
{
    unsigned by;

    if (llvm_is(l, v, LLVMShuffleVector))
        v = l->GetMaskValue(v, 0) == 0 ? l->GetOperand(v, 0) : v;
    if (!llvm_is(l, v, LLVMShl) || !l->IsConstant(l->GetOperand(v, 1)))
        return false;
    v = l->GetOperand(v, 1);
    if (l->IsAConstantDataSequential(v)) /* of lane 0 */
        v = l->GetElementAsConstant(v, 0);
    else if (!llvm_constant(l, v, &by))
        return false;
    else
        return by < 32 && 1ull << by >= of;
    return l->IsAConstantInt(v) && l->ConstIntGetZExtValue(v) < 32 && 1ull << l->ConstIntGetZExtValue(v) >= of;
}

static bool beside(const struct llvm *l, struct llvm_set *seen, LLVMValueRef v)
{
    bool known;
    uint64_t first;
    LLVMValueRef x, y;

    if (counts_up(l, v, &first))
        return true;
    if (!l->IsAInstruction(v))
        return false;
    if (!llvm_add(seen, v, &known))
        return known;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMPHI:
        for (unsigned i = 0, n = l->CountIncoming(v); i < n; i++)
            if (!beside(l, seen, l->GetIncomingValue(v, i)))
                return false;
        return true;
    case LLVMAdd:
        x = l->GetOperand(v, 0);
        y = l->GetOperand(v, 1);
        return llvm_same(l, y) ? beside(l, seen, x) : llvm_same(l, x) && beside(l, seen, y);
    case LLVMSub:
        return llvm_same(l, l->GetOperand(v, 1)) && beside(l, seen, l->GetOperand(v, 0));
    case LLVMOr: /* a sum where nothing is carried */
        x = l->GetOperand(v, 0);
        y = l->GetOperand(v, 1);
        return counts_up(l, y, &first) && llvm_same(l, x) && is_multiple(l, x, first + llvm_lanes(l, l->TypeOf(v)));
    default:
        return false;
    }
}

bool llvm_beside(const struct llvm *l, LLVMValueRef v)
{
    struct llvm_set seen = { .n = 0 };

    return beside(l, &seen, v);
}

/* Made of lane 0 of what v is made of in its block, so that a number which is the same in all lanes is computed as one. What
 * comes from elsewhere is there already. */
static LLVMValueRef first(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef v, LLVMBasicBlockRef block, int depth)
{
    LLVMTypeRef type = l->TypeOf(v);
    LLVMValueRef zero = l->ConstNull(l->Int32TypeInContext(l->GetTypeContext(type))), x, y;
    int opcode;

    if (l->GetTypeKind(type) != LLVMVectorTypeKind)
        return v;
    if (l->IsAConstantDataSequential(v))
        return l->GetElementAsConstant(v, 0);
    if (!depth || !l->IsAInstruction(v))
        return l->BuildExtractElement(b, v, zero, "");
    opcode = l->GetInstructionOpcode(v);
    if (l->GetInstructionParent(v) != block && opcode != LLVMShuffleVector && opcode != LLVMInsertElement)
        return l->BuildExtractElement(b, v, zero, "");
    switch (opcode) {
    case LLVMShuffleVector:
        if (l->GetMaskValue(v, 0) == 0)
            return first(l, b, l->GetOperand(v, 0), block, depth - 1);
        break;
    case LLVMInsertElement:
        y = l->GetOperand(v, 2);
        if (l->IsAConstantInt(y))
            return l->ConstIntGetZExtValue(y) ? first(l, b, l->GetOperand(v, 0), block, depth - 1) : l->GetOperand(v, 1);
        break;
    case LLVMAdd: case LLVMSub: case LLVMMul: case LLVMShl: case LLVMAnd: case LLVMOr: case LLVMXor: case LLVMICmp:
        x = first(l, b, l->GetOperand(v, 0), block, depth - 1);
        y = first(l, b, l->GetOperand(v, 1), block, depth - 1);
        return opcode == LLVMICmp ? l->BuildICmp(b, l->GetICmpPredicate(v), x, y, "") : l->BuildBinOp(b, opcode, x, y, "");
    case LLVMSExt: case LLVMZExt: case LLVMTrunc:
        x = first(l, b, l->GetOperand(v, 0), block, depth - 1);
        return l->BuildCast(b, opcode, x, l->GetElementType(type), "");
    default:
        break;
    }
    return l->BuildExtractElement(b, v, zero, "");
}

LLVMValueRef llvm_first(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef v)
{
    enum { DEPTH = 8 };

    return first(l, b, v, l->IsAInstruction(v) ? l->GetInstructionParent(v) : NULL, DEPTH);
}
