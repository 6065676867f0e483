/* shares.c - what one lane reads for all of them.
 *
 * The lanes of a product's workgroup fetch a tile of A together, one texel each, and every number then reaches all lanes by
 * a shuffle. To a CPU those are two instructions a number, after eight for the transposition of what was read. Reading the
 * number again, into all lanes at once, is one instruction, and what was fetched need not be kept in registers.
 *
 * A texel buffer has zeros beyond its end. Mesa reads the first texel instead and clears the lanes where it did so, all of
 * them at once; a number that is read by itself could not be cleared so cheaply. So lanes that are out of range read zeros:
 *
 *     offset = index * 16 & in_range               where = in_range ? buffer + index * 16 : zeros
 *     texels = transposed(buffer[offset]...)  ->   number = where[lane][component], in all lanes
 *     number = splat((texels & in_range)[lane])
 */
#include "lavapipe/llvm.h"

enum { MOST_FETCHES = 128, MOST_LANES = 32 };

/* Lanes' addresses that were made anew, by those that were there before. */
struct fetch {
    LLVMValueRef offset, buffer, in_range;
    LLVMValueRef places[MOST_LANES];
};

struct shares {
    const struct llvm *l;
    LLVMBuilderRef b;
    LLVMContextRef context;
    LLVMValueRef function, zeros; /* as a number */
    struct fetch fetches[MOST_FETCHES]; /* of the block */
    unsigned n;
};

/* ---- Addresses ---- */

/* Four words that are zero, on the stack of the function. */
static LLVMValueRef zeros(struct shares *s)
{
    const struct llvm *l = s->l;
    LLVMTypeRef texel = l->VectorType(l->Int32TypeInContext(s->context), 4);
    LLVMValueRef room;

    if (s->zeros)
        return s->zeros;
    l->PositionBuilderBefore(s->b, l->GetFirstInstruction(l->GetFirstBasicBlock(s->function)));
    room = l->BuildAlloca(s->b, texel, "");
    l->SetAlignment(room, 16);
    l->SetAlignment(l->BuildStore(s->b, l->ConstNull(texel), room), 16);
    return s->zeros = l->BuildPtrToInt(s->b, room, l->Int64TypeInContext(s->context), "");
}

/* The lanes' addresses of a fetch: as they were where in range, of zeros elsewhere. All of them are made here, before v,
 * where the first of its numbers is read: made one by one they cost the loops of products registers. What is not used
 * goes. */
static struct fetch *addresses(struct shares *s, LLVMValueRef offset, LLVMValueRef in_range, LLVMValueRef buffer,
                               LLVMValueRef v, LLVMTypeRef type)
{
    const struct llvm *l = s->l;
    unsigned lanes = llvm_lanes(l, l->TypeOf(offset));
    LLVMTypeRef wide = l->Int64TypeInContext(s->context);
    LLVMValueRef x, y, at;
    struct fetch *fetch;

    for (unsigned i = 0; i < s->n; i++)
        if (s->fetches[i].offset == offset && s->fetches[i].buffer == buffer && s->fetches[i].in_range == in_range)
            return &s->fetches[i];
    if (s->n == MOST_FETCHES || lanes > MOST_LANES)
        return NULL;
    x = l->GetOperand(offset, 0);
    if (x == in_range)
        x = l->GetOperand(offset, 1);
    y = zeros(s);
    l->PositionBuilderBefore(s->b, v);
    at = l->BuildSExt(s->b, x, l->VectorType(wide, lanes), "");
    at = l->BuildAdd(s->b, at, llvm_splat(l, s->b, l->BuildPtrToInt(s->b, buffer, wide, ""), lanes), "");
    at = l->BuildSelect(s->b, l->GetOperand(in_range, 0), at, llvm_splat(l, s->b, y, lanes), "");
    fetch = &s->fetches[s->n++];
    *fetch = (struct fetch){ offset, buffer, in_range };
    for (unsigned i = 0; i < lanes; i++) {
        x = l->BuildExtractElement(s->b, at, l->ConstInt(l->Int32TypeInContext(s->context), i, 0), "");
        fetch->places[i] = l->BuildIntToPtr(s->b, x, type, "");
    }
    return fetch;
}

/* Where to read what a lane of a fetch reads, or zeros if it is out of range, so that it need not be cleared. What else
 * the fetch is used for stays as it is. NULL if it is not a lane's fetch. */
static LLVMValueRef place(struct shares *s, const struct llvm_origin *o, LLVMValueRef v)
{
    const struct llvm *l = s->l;
    LLVMValueRef base, offset;
    struct fetch *fetch;

    if (!o->in_range)
        return l->GetOperand(o->load, 0);
    if (!llvm_lane_address(l, o->load, o->lane, &base, &offset) || !llvm_is(l, offset, LLVMAnd) ||
        (l->GetOperand(offset, 0) != o->in_range && l->GetOperand(offset, 1) != o->in_range))
        return NULL;
    fetch = addresses(s, offset, o->in_range, base, v, l->TypeOf(l->GetOperand(o->load, 0)));
    return fetch ? fetch->places[o->lane] : NULL;
}

/* ---- Splats ---- */

/* Whether all lanes get the same one, and which. */
static bool is_splat(const struct llvm *l, LLVMValueRef v, unsigned *lane)
{
    unsigned n;

    if (!llvm_is(l, v, LLVMShuffleVector) || llvm_words(l, l->TypeOf(v)) != 1 || l->GetMaskValue(v, 0) < 0)
        return false;
    n = l->GetNumMaskElements(v);
    for (unsigned i = 1; i < n; i++)
        if (l->GetMaskValue(v, i) != l->GetMaskValue(v, 0))
            return false;
    *lane = (unsigned)l->GetMaskValue(v, 0);
    return n > 4 && *lane < llvm_lanes(l, l->TypeOf(l->GetOperand(v, 0)));
}

static bool share(struct shares *s, LLVMValueRef v)
{
    const struct llvm *l = s->l;
    struct llvm_origin o;
    unsigned lane;
    LLVMTypeRef number;
    LLVMValueRef from, at;

    if (!is_splat(l, v, &lane) || !llvm_origin(l, l->GetOperand(v, 0), lane, &o) ||
        l->GetInstructionParent(o.load) != l->GetInstructionParent(v) || !(from = place(s, &o, v)))
        return false;
    number = l->GetElementType(l->TypeOf(v));
    at = l->ConstInt(l->Int64TypeInContext(s->context), o.word, 0);
    l->PositionBuilderBefore(s->b, v);
    if (l->TypeOf(from) != l->PointerType(number, 0))
        from = l->BuildBitCast(s->b, from, l->PointerType(number, 0), "");
    from = l->BuildLoad2(s->b, number, l->BuildGEP2(s->b, number, from, &at, 1, ""), "");
    l->SetAlignment(from, 4);
    l->ReplaceAllUsesWith(v, llvm_splat(l, s->b, from, l->GetNumMaskElements(v)));
    l->InstructionEraseFromParent(v);
    return true;
}

unsigned llvm_shares(const struct llvm *l, LLVMModuleRef module)
{
    struct shares s = { .l = l, .context = l->GetModuleContext(module) };
    unsigned n = 0;

    s.b = l->CreateBuilderInContext(s.context);
    for (LLVMValueRef f = l->GetFirstFunction(module); f; f = l->GetNextFunction(f)) {
        s.function = f;
        s.zeros = NULL;
        for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(f); block; block = l->GetNextBasicBlock(block)) {
            if (!llvm_only_reads(l, block))
                continue;
            s.n = 0;
            for (LLVMValueRef v = l->GetFirstInstruction(block), next; v; v = next) {
                next = l->GetNextInstruction(v);
                n += share(&s, v);
            }
        }
    }
    l->DisposeBuilder(s.b);
    return n;
}
