/* fetches.c - how Mesa reads a texel buffer, found again in what it made of it.
 *
 * Every lane reads at an index of its own. Out of range it reads the first texel, and what was read is cleared:
 *
 *     in_range = sext(index < size)             offset = index << shift & in_range
 *     texels of four words: one load a lane, at base + offset[lane], all of them transposed
 *     texels of one word: a gather, or one load a lane put together
 *     number = what was read & in_range
 */
#include "lavapipe/llvm.h"

#include <string.h>

enum { MOST_DEPTH = 32 };

/* Bits of an element, 0 of types that are no numbers. */
static unsigned bits(const struct llvm *l, LLVMTypeRef t)
{
    switch (l->GetTypeKind(t)) {
    case LLVMFloatTypeKind: return 32;
    case LLVMDoubleTypeKind: return 64;
    case LLVMIntegerTypeKind: return l->GetIntTypeWidth(t);
    default: return 0;
    }
}

unsigned llvm_words(const struct llvm *l, LLVMTypeRef t)
{
    return l->GetTypeKind(t) == LLVMVectorTypeKind && bits(l, l->GetElementType(t)) % 32 == 0
               ? bits(l, l->GetElementType(t)) / 32
               : 0;
}

static bool is_mask(const struct llvm *l, LLVMValueRef v)
{
    return llvm_is(l, v, LLVMSExt) && llvm_is(l, l->GetOperand(v, 0), LLVMICmp);
}

static bool is_number(const struct llvm *l, LLVMValueRef v, unsigned n)
{
    return l->IsAConstantInt(v) && l->ConstIntGetZExtValue(v) == n;
}

/* Operands of an and: the mask, and what it clears; false if there is not one of each. */
static bool is_cleared(const struct llvm *l, LLVMValueRef v, LLVMValueRef *what, LLVMValueRef *mask)
{
    LLVMValueRef x, y;

    if (!llvm_is(l, v, LLVMAnd))
        return false;
    x = l->GetOperand(v, 0);
    y = l->GetOperand(v, 1);
    *what = is_mask(l, x) ? y : x;
    *mask = is_mask(l, x) ? x : y;
    return is_mask(l, x) != is_mask(l, y);
}

bool llvm_origin(const struct llvm *l, LLVMValueRef v, unsigned word, struct llvm_origin *o)
{
    *o = (struct llvm_origin){ 0 };
    for (int depth = 0; depth < MOST_DEPTH && l->IsAInstruction(v); depth++) {
        unsigned size = llvm_words(l, l->TypeOf(v)), n, at;
        LLVMValueRef mask;
        if (!size)
            return false;
        switch (l->GetInstructionOpcode(v)) {
        case LLVMBitCast:
            if (!llvm_words(l, l->TypeOf(l->GetOperand(v, 0))))
                return false;
            /* fall through */
        case LLVMFreeze:
            v = l->GetOperand(v, 0);
            break;
        case LLVMShuffleVector:
            n = llvm_lanes(l, l->TypeOf(l->GetOperand(v, 0)));
            if (word / size >= l->GetNumMaskElements(v) || l->GetMaskValue(v, word / size) < 0)
                return false;
            at = (unsigned)l->GetMaskValue(v, word / size);
            v = l->GetOperand(v, at / n);
            word = at % n * size + word % size;
            break;
        case LLVMAnd:
            if (o->in_range || size != 1 || !is_cleared(l, v, &v, &mask))
                return false;
            o->in_range = mask;
            o->lane = word;
            break;
        case LLVMInsertElement:
            if (size != 1 || !l->IsAConstantInt(l->GetOperand(v, 2)))
                return false;
            if (!is_number(l, l->GetOperand(v, 2), word)) {
                v = l->GetOperand(v, 0);
                break;
            }
            o->load = llvm_strip(l, l->GetOperand(v, 1));
            return llvm_is(l, o->load, LLVMLoad) && bits(l, l->TypeOf(o->load)) == 32;
        case LLVMLoad:
            o->load = v;
            o->word = word;
            return size == 1 && llvm_lanes(l, l->TypeOf(v)) == 4;
        default:
            return false;
        }
    }
    return false;
}

bool llvm_lane_address(const struct llvm *l, LLVMValueRef load, unsigned lane, LLVMValueRef *base, LLVMValueRef *offset)
{
    LLVMTypeRef byte = l->Int8TypeInContext(l->GetTypeContext(l->TypeOf(load)));
    LLVMValueRef at = llvm_strip(l, l->GetOperand(load, 0)), index, number;

    if (!llvm_is(l, at, LLVMGetElementPtr) || l->GetNumOperands(at) != 2 || l->GetGEPSourceElementType(at) != byte ||
        !llvm_is(l, index = l->GetOperand(at, 1), LLVMSExt) ||
        !llvm_is(l, number = l->GetOperand(index, 0), LLVMExtractElement) || !is_number(l, l->GetOperand(number, 1), lane))
        return false;
    *base = l->GetOperand(at, 0);
    *offset = l->GetOperand(number, 0);
    return true;
}

/* A gather of words at base + offset, in bytes, for all lanes. */
static bool is_gather(const struct llvm *l, LLVMValueRef v, LLVMValueRef *base, LLVMValueRef *offset)
{
    size_t n = 0;
    const char *name;

    if (!llvm_is(l, v, LLVMCall) || l->GetNumOperands(v) != 6 || llvm_words(l, l->TypeOf(v)) != 1)
        return false;
    name = l->GetValueName2(l->GetOperand(v, 5), &n);
    *base = l->GetOperand(v, 1);
    *offset = l->GetOperand(v, 2);
    return n > 23 && !strncmp(name, "llvm.x86.avx2.gather.d.", 23) && llvm_is_ones(l, l->GetOperand(v, 3)) &&
           is_number(l, l->GetOperand(v, 4), 1) &&
           llvm_lanes(l, l->TypeOf(*offset)) == llvm_lanes(l, l->TypeOf(v));
}

bool llvm_fetch(const struct llvm *l, LLVMValueRef v, struct llvm_fetch *f)
{
    LLVMValueRef read, less, offset = NULL, shifted, mask, x, y;
    unsigned lanes = llvm_lanes(l, l->TypeOf(v)), by;
    struct llvm_origin o;

    *f = (struct llvm_fetch){ 0 };
    if (llvm_words(l, l->TypeOf(v)) != 1 || !is_cleared(l, v, &read, &f->in_range))
        return false;
    if (is_gather(l, llvm_strip(l, read), &f->base, &offset))
        f->block = l->GetInstructionParent(llvm_strip(l, read));
    else
        for (unsigned i = 0; i < lanes; i++) {
            if (!llvm_origin(l, read, i, &o) || o.in_range || !llvm_lane_address(l, o.load, i, &x, &y) ||
                (i && (x != f->base || y != offset || o.word != f->word)))
                return false;
            if (!i || f->block != l->GetInstructionParent(o.load))
                f->block = i ? NULL : l->GetInstructionParent(o.load);
            f->base = x;
            f->word = o.word;
            offset = y;
        }
    less = l->GetOperand(f->in_range, 0);
    if (l->GetICmpPredicate(less) != LLVMIntULT || !is_cleared(l, offset, &shifted, &mask) || mask != f->in_range)
        return false;
    f->index = l->GetOperand(less, 0);
    f->size = l->GetOperand(less, 1);
    if (!llvm_is(l, shifted, LLVMShl) || l->GetOperand(shifted, 0) != f->index)
        return false;
    by = llvm_constant(l, l->GetOperand(shifted, 1), &f->shift) ? f->shift : 0;
    return by == (f->word ? 4 : by) && (by == 2 || by == 4);
}
