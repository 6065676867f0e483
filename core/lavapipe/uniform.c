/* uniform.c - what is the same in all lanes of a vector.
 */
#define _GNU_SOURCE /* memmem */
#include "lavapipe/llvm.h"

#include <string.h>

bool llvm_add(struct llvm_set *s, LLVMValueRef v, bool *known)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->v[i] == v)
            return *known = true, false;
    if (s->n == LLVM_SEEN)
        return *known = false;
    s->v[s->n++] = v;
    return true;
}

LLVMValueRef llvm_strip(const struct llvm *l, LLVMValueRef v)
{
    while (llvm_is(l, v, LLVMBitCast))
        v = l->GetOperand(v, 0);
    return v;
}

bool llvm_is_ones(const struct llvm *l, LLVMValueRef v)
{
    LLVMTypeRef t = l->TypeOf(v);

    if (l->GetTypeKind(t) == LLVMVectorTypeKind)
        t = l->GetElementType(t);
    return l->IsConstant(v) && l->GetTypeKind(t) == LLVMIntegerTypeKind && v == l->ConstAllOnes(l->TypeOf(v));
}

bool llvm_writes(const struct llvm *l, LLVMValueRef v)
{
    size_t n = 0;
    const char *name;

    switch (l->GetInstructionOpcode(v)) {
    case LLVMStore: case LLVMInvoke: case LLVMFence: case LLVMAtomicCmpXchg: case LLVMAtomicRMW:
        return true;
    case LLVMLoad: /* of what others write meanwhile */
        return l->GetVolatile(v) || l->GetOrdering(v);
    case LLVMCall:
        name = l->GetValueName2(l->GetOperand(v, (unsigned)l->GetNumOperands(v) - 1), &n);
        return n < 5 || strncmp(name, "llvm.", 5) || memmem(name, n, "mem", 3) || memmem(name, n, "store", 5) ||
               memmem(name, n, "scatter", 7) || memmem(name, n, "maskmov", 7) || memmem(name, n, "counter", 7) ||
               memmem(name, n, ".coro.", 6);
    default:
        return false;
    }
}

bool llvm_only_reads(const struct llvm *l, LLVMBasicBlockRef block)
{
    for (LLVMValueRef v = l->GetFirstInstruction(block); v; v = l->GetNextInstruction(v))
        if (llvm_writes(l, v))
            return false;
    return true;
}

bool llvm_is_blend(const struct llvm *l, LLVMValueRef v)
{
    size_t n = 0;
    const char *name;

    if (!llvm_is(l, v, LLVMCall) || l->GetNumOperands(v) != 4)
        return false;
    name = l->GetValueName2(l->GetOperand(v, 3), &n);
    return n > 9 && !strncmp(name, "llvm.x86.", 9) && memmem(name, n, "blendv", 6);
}

/* The least or the greatest of two integers. */
static bool is_least(const struct llvm *l, LLVMValueRef v)
{
    size_t n = 0;
    const char *name;

    if (!llvm_is(l, v, LLVMCall) || l->GetNumOperands(v) != 3)
        return false;
    name = l->GetValueName2(l->GetOperand(v, 2), &n);
    return n > 9 && !strncmp(name, "llvm.", 5) && (name[5] == 'u' || name[5] == 's') &&
           (!strncmp(name + 6, "min", 3) || !strncmp(name + 6, "max", 3));
}

static bool same_constant(const struct llvm *l, LLVMValueRef v)
{
    unsigned n = llvm_lanes(l, l->TypeOf(v));

    if (l->IsNull(v) || llvm_is_ones(l, v))
        return true;
    if (!l->IsAConstantDataSequential(v))
        return false;
    for (unsigned i = 1; i < n; i++)
        if (l->GetElementAsConstant(v, i) != l->GetElementAsConstant(v, 0))
            return false;
    return true;
}

bool llvm_constant(const struct llvm *l, LLVMValueRef v, unsigned *number)
{
    if (!l->IsConstant(v) || !same_constant(l, v))
        return false;
    if (l->IsNull(v)) {
        *number = 0;
        return true;
    }
    if (llvm_lanes(l, l->TypeOf(v)) > 1 && !(v = l->IsAConstantDataSequential(v) ? l->GetElementAsConstant(v, 0) : NULL))
        return false;
    if (!l->IsAConstantInt(v) || l->ConstIntGetZExtValue(v) > UINT32_MAX)
        return false;
    *number = (unsigned)l->ConstIntGetZExtValue(v);
    return true;
}

enum { DEPTH = 8 };

static bool same(const struct llvm *l, struct llvm_set *seen, LLVMValueRef v);

/* Whether two numbers are computed alike from what is the same in all lanes; what they read, from the same place in a block
 * that writes nothing. */
static bool alike(const struct llvm *l, struct llvm_set *seen, LLVMValueRef a, LLVMValueRef b, int depth)
{
    int opcode, n;

    if (a == b)
        return true;
    if (!depth || !l->IsAInstruction(a) || !l->IsAInstruction(b) || l->TypeOf(a) != l->TypeOf(b) ||
        (opcode = l->GetInstructionOpcode(a)) != l->GetInstructionOpcode(b))
        return false;
    switch (opcode) {
    case LLVMExtractElement:
        return l->GetOperand(a, 0) == l->GetOperand(b, 0) && l->IsConstant(l->GetOperand(a, 1)) &&
               l->IsConstant(l->GetOperand(b, 1)) && same(l, seen, l->GetOperand(a, 0));
    case LLVMLoad:
        if (l->GetInstructionParent(a) != l->GetInstructionParent(b) || !llvm_only_reads(l, l->GetInstructionParent(a)))
            return false;
        break;
    case LLVMGetElementPtr:
        if (l->GetGEPSourceElementType(a) != l->GetGEPSourceElementType(b))
            return false;
        break;
    case LLVMBitCast: case LLVMZExt: case LLVMSExt: case LLVMTrunc:
        break;
    default:
        return false;
    }
    n = l->GetNumOperands(a);
    if (n != l->GetNumOperands(b))
        return false;
    for (int i = 0; i < n; i++)
        if (!alike(l, seen, l->GetOperand(a, (unsigned)i), l->GetOperand(b, (unsigned)i), depth - 1))
            return false;
    return true;
}

/* Whether a vector is put together of numbers that are alike, one for every lane. */
static bool filled(const struct llvm *l, struct llvm_set *seen, LLVMValueRef v)
{
    uint64_t lanes = 0, all = (1ull << llvm_lanes(l, l->TypeOf(v)) % 64) - 1;
    LLVMValueRef first = l->GetOperand(v, 1);

    for (; llvm_is(l, v, LLVMInsertElement); v = l->GetOperand(v, 0)) {
        LLVMValueRef lane = l->GetOperand(v, 2);
        if (!l->IsAConstantInt(lane) || l->ConstIntGetZExtValue(lane) > 31)
            return false;
        if (lanes >> l->ConstIntGetZExtValue(lane) & 1)
            continue; /* put over */
        if (!alike(l, seen, first, l->GetOperand(v, 1), DEPTH))
            return false;
        lanes |= 1ull << l->ConstIntGetZExtValue(lane);
    }
    return lanes == all;
}

/* Whether all lanes are the same. */
static bool same(const struct llvm *l, struct llvm_set *seen, LLVMValueRef v)
{
    bool known;
    unsigned n, lanes = llvm_lanes(l, l->TypeOf(v));

    if (lanes == 1)
        return true;
    if (l->IsConstant(v))
        return same_constant(l, v);
    if (!l->IsAInstruction(v))
        return false;
    if (!llvm_add(seen, v, &known))
        return known;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMShuffleVector:
        for (unsigned i = 0; i < l->GetNumMaskElements(v); i++)
            if (l->GetMaskValue(v, i) != l->GetMaskValue(v, 0))
                return false;
        return true;
    case LLVMInsertElement:
        return filled(l, seen, v);
    case LLVMPHI:
        n = l->CountIncoming(v);
        for (unsigned i = 0; i < n; i++)
            if (!same(l, seen, l->GetIncomingValue(v, i)))
                return false;
        return true;
    case LLVMCall:
        if (!llvm_is_blend(l, v) && !is_least(l, v))
            return false;
        break;
    case LLVMAdd: case LLVMSub: case LLVMMul: case LLVMUDiv: case LLVMSDiv: case LLVMURem: case LLVMSRem: case LLVMShl: case LLVMLShr: case LLVMAShr: case LLVMAnd: case LLVMOr:
    case LLVMXor: case LLVMTrunc: case LLVMZExt: case LLVMSExt: case LLVMBitCast: case LLVMICmp: case LLVMFCmp:
    case LLVMSelect: case LLVMFAdd: case LLVMFSub: case LLVMFMul: case LLVMFPToUI: case LLVMFPToSI: case LLVMUIToFP:
    case LLVMSIToFP:
        break;
    default:
        return false;
    }
    n = (unsigned)l->GetNumOperands(v) - (l->GetInstructionOpcode(v) == LLVMCall); /* the function is the last */
    for (unsigned i = 0; i < n; i++) {
        LLVMValueRef x = l->GetOperand(v, i);
        if ((llvm_lanes(l, l->TypeOf(x)) != lanes && llvm_lanes(l, l->TypeOf(x)) != 1) || !same(l, seen, x))
            return false;
    }
    /* A wide scalar taken for a vector has lanes of its own. */
    return l->GetInstructionOpcode(v) != LLVMBitCast || llvm_lanes(l, l->TypeOf(l->GetOperand(v, 0))) == lanes;
}

bool llvm_same(const struct llvm *l, LLVMValueRef v)
{
    struct llvm_set seen = { .n = 0 };

    return same(l, &seen, v);
}

LLVMValueRef llvm_splat(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef number, unsigned lanes)
{
    LLVMTypeRef index = l->Int32TypeInContext(l->GetTypeContext(l->TypeOf(number)));
    LLVMValueRef none = l->GetUndef(l->VectorType(l->TypeOf(number), lanes));
    LLVMValueRef one = l->BuildInsertElement(b, none, number, l->ConstInt(index, 0, 0), "");

    return l->BuildShuffleVector(b, one, none, l->ConstNull(l->VectorType(index, lanes)), "");
}
