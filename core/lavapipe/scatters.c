/* scatters.c - lanes that write side by side.
 *
 * Mesa writes to a buffer in a loop over lanes: whether this one is active, where it writes, whether that is within the
 * buffer, each of its numbers in turn. Mostly all of them are, and what they write lies in a row. That is asked once, before
 * the loop, and if it is so all is written at once:
 *
 *     for each lane                                     if all lanes are active, are in range, and lie in a row
 *         if it is active                                   buffer[index of lane 0] = all numbers in turn
 *             if its index is in range            ->    else
 *                 buffer[index] = its number                the loop, as it was
 *             the same for the next number
 *
 * The tests are asked in the loop's order: what is read behind one of them is read only if all lanes have passed it.
 */
#include "lavapipe/llvm.h"

enum { MOST_BLOCKS = 16, MOST_STORES = 4, MOST_CLONES = 160, MOST_TESTS = 8, MOST_OPERANDS = 8,
       DEPTH = 40, MOST_LOOKS = 20000, MOST_STEPS = MOST_TESTS + MOST_STORES + 1 };

struct scatter {
    const struct llvm *l;
    LLVMBuilderRef b;
    LLVMContextRef context;
    LLVMBasicBlockRef before, head, latch, exit;
    LLVMBasicBlockRef path[MOST_BLOCKS]; /* from the head to the latch, with all that is done for a lane */
    LLVMValueRef lane;                   /* the phi that counts */
    LLVMValueRef tests[MOST_TESTS];      /* what must hold for a lane to go that way */
    bool wanted[MOST_TESTS];             /* or must not */
    LLVMValueRef stores[MOST_STORES];
    LLVMValueRef original[MOST_CLONES], clone[MOST_CLONES];
    LLVMBasicBlockRef step[MOST_STEPS];  /* of what comes before the loop; the first is the end of `before` */
    LLVMValueRef passed[MOST_STEPS];     /* which lanes may take the next step; NULL: nothing is asked yet */
    LLVMValueRef also[MOST_STEPS];       /* and whether all may, where it is known of all at once; or NULL */
    LLVMValueRef row, first;             /* an index that lies in a row by what was asked, and its lane 0; or NULL */
    unsigned lanes, blocks, n_tests, n_stores, clones, steps;
    unsigned looks;                      /* at operands so far: there may be many ways to one */
};

static bool inside(const struct scatter *s, LLVMValueRef v)
{
    if (s->l->IsAInstruction(v))
        for (unsigned i = 0; i < s->blocks; i++)
            if (s->path[i] == s->l->GetInstructionParent(v))
                return true;
    return false;
}

/* ---- The loop's form ---- */

static LLVMBasicBlockRef next_block(const struct llvm *l, LLVMBasicBlockRef block, unsigned i)
{
    LLVMValueRef end = l->GetBasicBlockTerminator(block);

    return end && llvm_is(l, end, LLVMBr) && i < l->GetNumSuccessors(end) ? l->GetSuccessor(end, i) : NULL;
}

/* Whether `to` is met from `from` on by what follows if every test is passed or not, without going round. */
static bool reaches(const struct scatter *s, LLVMBasicBlockRef from, LLVMBasicBlockRef to, int depth)
{
    if (from == to)
        return true;
    if (!from || !depth || from == s->head || from == s->exit)
        return false;
    return reaches(s, next_block(s->l, from, 0), to, depth - 1) || reaches(s, next_block(s->l, from, 1), to, depth - 1);
}

/* lane = phi(0, lane + 1); ... lane + 1 > lanes - 1: leave. */
static bool is_loop(struct scatter *s, LLVMBasicBlockRef head)
{
    const struct llvm *l = s->l;
    LLVMValueRef end, more, next;
    unsigned first;

    s->head = head;
    s->lane = l->GetFirstInstruction(head);
    if (!llvm_is(l, s->lane, LLVMPHI) || l->CountIncoming(s->lane) != 2 || llvm_is(l, l->GetNextInstruction(s->lane), LLVMPHI))
        return false;
    first = l->IsConstant(l->GetIncomingValue(s->lane, 0)) ? 0 : 1;
    next = l->GetIncomingValue(s->lane, 1 - first);
    s->before = l->GetIncomingBlock(s->lane, first);
    s->latch = l->GetIncomingBlock(s->lane, 1 - first);
    end = l->GetBasicBlockTerminator(s->latch);
    if (!l->IsNull(l->GetIncomingValue(s->lane, first)) || !llvm_is(l, end, LLVMBr) || l->GetNumSuccessors(end) != 2 ||
        l->GetSuccessor(end, 1) != head || next_block(l, s->before, 0) != head || next_block(l, s->before, 1))
        return false;
    s->exit = l->GetSuccessor(end, 0);
    more = l->GetCondition(end);
    if (s->exit == head || llvm_is(l, l->GetFirstInstruction(s->exit), LLVMPHI) || !llvm_is(l, more, LLVMICmp) ||
        !llvm_is(l, next, LLVMAdd) || l->GetOperand(next, 0) != s->lane || !l->IsAConstantInt(l->GetOperand(next, 1)) ||
        l->ConstIntGetZExtValue(l->GetOperand(next, 1)) != 1 || l->GetOperand(more, 0) != next ||
        !l->IsAConstantInt(l->GetOperand(more, 1)))
        return false;
    s->lanes = (unsigned)l->ConstIntGetZExtValue(l->GetOperand(more, 1)) + (l->GetICmpPredicate(more) == LLVMIntUGT);
    return (l->GetICmpPredicate(more) == LLVMIntUGT || l->GetICmpPredicate(more) == LLVMIntEQ) &&
           (s->lanes == 4 || s->lanes == 8 || s->lanes == 16);
}

/* Goes through the loop by way of whatever a test guards. */
static bool walk(struct scatter *s)
{
    const struct llvm *l = s->l;

    s->blocks = s->n_tests = s->n_stores = 0;
    for (LLVMBasicBlockRef block = s->head;;) {
        LLVMBasicBlockRef one = next_block(l, block, 0), other = next_block(l, block, 1);
        if (s->blocks == MOST_BLOCKS || !one)
            return false;
        s->path[s->blocks++] = block;
        for (LLVMValueRef v = l->GetFirstInstruction(block); v; v = l->GetNextInstruction(v))
            switch (l->GetInstructionOpcode(v)) {
            case LLVMStore:
                if (s->n_stores == MOST_STORES || l->GetVolatile(v) || l->GetOrdering(v))
                    return false;
                s->stores[s->n_stores++] = v;
                break;
            case LLVMPHI:
                if (v != s->lane)
                    return false;
                break;
            case LLVMLoad:
                if (l->GetVolatile(v) || l->GetOrdering(v))
                    return false;
                break;
            case LLVMBr: case LLVMGetElementPtr: case LLVMBitCast: case LLVMZExt: case LLVMSExt: case LLVMTrunc:
            case LLVMAdd: case LLVMSub: case LLVMMul: case LLVMShl: case LLVMLShr: case LLVMAShr: case LLVMAnd: case LLVMOr:
            case LLVMXor: case LLVMICmp: case LLVMExtractElement: case LLVMIntToPtr: case LLVMPtrToInt:
            /* LLVM's own: what only a lane's number is for. */
            case LLVMFAdd: case LLVMFSub: case LLVMFMul: case LLVMFDiv: case LLVMFNeg:
                break;
            default:
                return false;
            }
        if (block == s->latch)
            break;
        if (other) {
            bool yes = reaches(s, one, other, MOST_BLOCKS), no = reaches(s, other, one, MOST_BLOCKS);
            if (yes == no || s->n_tests == MOST_TESTS)
                return false;
            s->tests[s->n_tests] = l->GetCondition(l->GetBasicBlockTerminator(block));
            s->wanted[s->n_tests++] = yes;
            block = yes ? one : other;
        } else {
            block = one;
        }
    }
    return s->n_stores == 1 || s->n_stores == 2 || s->n_stores == 4;
}

/* Whether nothing that the loop computes is used behind it, and no block but these is in it. */
static bool is_closed(const struct scatter *s)
{
    const struct llvm *l = s->l;

    for (unsigned i = 0; i < s->blocks; i++) {
        for (unsigned k = 0; k < 2; k++) {
            LLVMBasicBlockRef to = next_block(l, s->path[i], k);
            bool known = !to || (to == s->exit && s->path[i] == s->latch);
            for (unsigned n = 0; n < s->blocks; n++)
                known |= to == s->path[n];
            if (!known)
                return false;
        }
        for (LLVMValueRef v = l->GetFirstInstruction(s->path[i]); v; v = l->GetNextInstruction(v))
            for (LLVMUseRef use = l->GetFirstUse(v); use; use = l->GetNextUse(use))
                if (!inside(s, l->GetUser(use)))
                    return false;
    }
    return true;
}

/* ---- What one lane computes, for all of them, before the loop ---- */

static bool depends(struct scatter *s, LLVMValueRef v, int depth)
{
    if (v == s->lane || !depth || ++s->looks > MOST_LOOKS)
        return true;
    if (!inside(s, v))
        return false;
    for (int i = 0, n = s->l->GetNumOperands(v); i < n; i++)
        if (depends(s, s->l->GetOperand(v, (unsigned)i), depth - 1))
            return true;
    return false;
}

static bool finds_read(const struct scatter *s, struct llvm_set *seen, LLVMValueRef v, bool fresh)
{
    bool known;

    if (!inside(s, v) || v == s->lane)
        return false;
    for (unsigned i = 0; fresh && i < s->clones; i++)
        if (s->original[i] == v)
            return false;
    if (llvm_is(s->l, v, LLVMLoad))
        return true;
    if (!llvm_add(seen, v, &known))
        return !known;
    for (int i = 0, n = s->l->GetNumOperands(v); i < n; i++)
        if (finds_read(s, seen, s->l->GetOperand(v, (unsigned)i), fresh))
            return true;
    return false;
}

/* Whether v is made of what the loop reads; fresh: and has not been read before it yet. */
static bool reads(const struct scatter *s, LLVMValueRef v, bool fresh)
{
    struct llvm_set seen = { .n = 0 };

    return finds_read(s, &seen, v, fresh);
}

/* Lanes that have not passed what was asked so far may have no number to ask: it is not looked at. */
static void ask(struct scatter *s, LLVMValueRef test)
{
    LLVMValueRef *passed = &s->passed[s->steps];

    *passed = *passed ? s->l->BuildSelect(s->b, *passed, test, s->l->ConstNull(s->l->TypeOf(test)), "") : test;
}

/* The same of what is true of all lanes or none. */
static void ask_once(struct scatter *s, LLVMValueRef test)
{
    LLVMValueRef *also = &s->also[s->steps];

    *also = *also ? s->l->BuildSelect(s->b, *also, test, s->l->ConstNull(s->l->TypeOf(test)), "") : test;
}

/* What v reads may be there only if all lanes have passed what was asked so far. */
static void step_to(struct scatter *s, LLVMValueRef v)
{
    if ((!s->passed[s->steps] && !s->also[s->steps]) || !reads(s, v, true))
        return;
    s->step[++s->steps] = s->l->InsertBasicBlockInContext(s->context, s->head, "step");
    s->passed[s->steps] = s->also[s->steps] = NULL;
    s->l->PositionBuilderAtEnd(s->b, s->step[s->steps]);
}

/* A number that is the same for every lane; what it reads is of the buffer's description, which no lane changes. */
static LLVMValueRef once(struct scatter *s, LLVMValueRef v)
{
    const struct llvm *l = s->l;
    LLVMValueRef x, own[MOST_OPERANDS];
    int n;

    if (!inside(s, v))
        return v;
    for (unsigned i = 0; i < s->clones; i++)
        if (s->original[i] == v)
            return s->clone[i];
    n = l->GetNumOperands(v);
    if (n > MOST_OPERANDS)
        return NULL;
    for (int i = 0; i < n; i++)
        if (!(own[i] = once(s, l->GetOperand(v, (unsigned)i))))
            return NULL;
    if (s->clones == MOST_CLONES)
        return NULL;
    x = l->InstructionClone(v);
    l->InsertIntoBuilder(s->b, x);
    for (int i = 0; i < n; i++)
        l->SetOperand(x, (unsigned)i, own[i]);
    s->original[s->clones] = v;
    return s->clone[s->clones++] = x;
}

static LLVMValueRef each(struct scatter *s, LLVMValueRef v, int depth);

/* The same of what is not known yet and differs from lane to lane. */
static LLVMValueRef each_anew(struct scatter *s, LLVMValueRef v, int depth)
{
    const struct llvm *l = s->l;
    int opcode = l->GetInstructionOpcode(v);
    LLVMValueRef x, y;

    switch (opcode) {
    case LLVMExtractElement:
        x = l->GetOperand(v, 0);
        if (l->GetOperand(v, 1) != s->lane || depends(s, x, DEPTH) || llvm_lanes(l, l->TypeOf(x)) != s->lanes)
            return NULL;
        return once(s, x);
    case LLVMBitCast: case LLVMZExt: case LLVMSExt: case LLVMTrunc:
        if (llvm_lanes(l, l->TypeOf(v)) != 1 || !(x = each(s, l->GetOperand(v, 0), depth - 1)))
            return NULL;
        return l->BuildCast(s->b, opcode, x, l->VectorType(l->TypeOf(v), s->lanes), "");
    case LLVMFNeg:
        x = each(s, l->GetOperand(v, 0), depth - 1);
        return x ? l->BuildFNeg(s->b, x, "") : NULL;
    case LLVMAdd: case LLVMSub: case LLVMMul: case LLVMShl: case LLVMLShr: case LLVMAShr: case LLVMAnd: case LLVMOr: case LLVMXor:
    case LLVMFAdd: case LLVMFSub: case LLVMFMul: case LLVMFDiv: case LLVMICmp:
        if (!(x = each(s, l->GetOperand(v, 0), depth - 1)) || !(y = each(s, l->GetOperand(v, 1), depth - 1)))
            return NULL;
        return opcode == LLVMICmp ? l->BuildICmp(s->b, l->GetICmpPredicate(v), x, y, "") : l->BuildBinOp(s->b, opcode, x, y, "");
    default:
        return NULL;
    }
}

/* A vector with what each lane computes; NULL if there is none. */
static LLVMValueRef each(struct scatter *s, LLVMValueRef v, int depth)
{
    LLVMValueRef x;

    for (unsigned i = 0; i < s->clones; i++)
        if (s->original[i] == v && llvm_lanes(s->l, s->l->TypeOf(s->clone[i])) > 1)
            return s->clone[i];
    if (!depends(s, v, DEPTH))
        return llvm_lanes(s->l, s->l->TypeOf(v)) == 1 && (x = once(s, v)) ? llvm_splat(s->l, s->b, x, s->lanes) : NULL;
    if (v == s->lane || !depth || s->looks > MOST_LOOKS || !(x = each_anew(s, v, depth)) || s->clones == MOST_CLONES)
        return NULL;
    s->original[s->clones] = v;
    return s->clone[s->clones++] = x;
}

/* ---- The change ---- */

/* a0 b0 a1 b1 ... */
static LLVMValueRef zip(struct scatter *s, LLVMValueRef a, LLVMValueRef b)
{
    const struct llvm *l = s->l;
    LLVMTypeRef number = l->Int32TypeInContext(s->context);
    LLVMValueRef from[4 * 16];
    unsigned n = llvm_lanes(l, l->TypeOf(a));

    for (unsigned i = 0; i < 2 * n; i++)
        from[i] = l->ConstInt(number, i / 2 + i % 2 * n, 0);
    return l->BuildShuffleVector(s->b, a, b, l->ConstVector(from, 2 * n), "");
}

/* The buffer, the index in it and the number of a store, for all lanes. */
struct writes {
    LLVMValueRef buffer, index, number;
};

/* The bits of a number that lies in a vector as it does in a buffer; 0 if it does not. */
static unsigned bits(const struct llvm *l, LLVMTypeRef t)
{
    unsigned width;

    if (l->GetTypeKind(t) != LLVMIntegerTypeKind)
        return l->GetTypeKind(t) == LLVMFloatTypeKind ? 32 : l->GetTypeKind(t) == LLVMDoubleTypeKind ? 64 : 0;
    width = l->GetIntTypeWidth(t);
    return width == 8 || width == 16 || width == 32 || width == 64 ? width : 0;
}

static bool find_writes(struct scatter *s, LLVMValueRef store, struct writes *w)
{
    const struct llvm *l = s->l;
    LLVMValueRef at = llvm_strip(l, l->GetOperand(store, 1)), index;
    unsigned width = bits(l, l->TypeOf(l->GetOperand(store, 0)));

    if (!llvm_is(l, at, LLVMGetElementPtr) || l->GetNumOperands(at) != 2 ||
        !width || bits(l, l->GetGEPSourceElementType(at)) != width || depends(s, l->GetOperand(at, 0), DEPTH) ||
        !llvm_is(l, index = l->GetOperand(at, 1), LLVMZExt) ||
        l->TypeOf(l->GetOperand(index, 0)) != l->Int32TypeInContext(s->context))
        return false;
    /* It may read what a lane before has written. */
    if (reads(s, l->GetOperand(store, 0), false) || reads(s, index, false))
        return false;
    step_to(s, l->GetOperand(at, 0));
    w->buffer = once(s, l->GetOperand(at, 0));
    w->index = each(s, l->GetOperand(index, 0), DEPTH);
    w->number = each(s, l->GetOperand(store, 0), DEPTH);
    return w->buffer && w->index && w->number;
}

/* Whether lane after lane, and for each number after number, has the index that follows. first: of all. */
static LLVMValueRef in_a_row(struct scatter *s, const struct writes *w, LLVMValueRef first)
{
    const struct llvm *l = s->l;
    LLVMTypeRef number = l->TypeOf(first);
    LLVMValueRef start = llvm_splat(l, s->b, first, s->lanes), all = NULL, step[16];

    for (unsigned k = 0; k < s->n_stores; k++) {
        for (unsigned i = 0; i < s->lanes; i++)
            step[i] = l->ConstInt(number, i * s->n_stores + k, 0);
        LLVMValueRef wanted = l->BuildBinOp(s->b, LLVMAdd, start, l->ConstVector(step, s->lanes), "");
        LLVMValueRef is = l->BuildICmp(s->b, LLVMIntEQ, w[k].index, wanted, "");
        all = all ? l->BuildAnd(s->b, all, is, "") : is;
    }
    return all;
}

/* Whether the lanes of an index lie in a row, if they pass what is asked here: that they are not led away, and that no lane
 * but the first begins anew at 0, where the index is counted in so many bits. */
static bool is_row(struct scatter *s, LLVMValueRef row)
{
    const struct llvm *l = s->l;
    LLVMValueRef led[2] = { NULL, NULL }, last, index = row, first;
    unsigned mask = UINT32_MAX;

    if (row == s->row)
        return true;
    /* where `on`, index & mask, else what is past all buffers; or the other way round */
    if (llvm_is(l, index, LLVMSelect) && llvm_same(l, l->GetOperand(index, 0)))
        for (unsigned i = 0; i < 2; i++)
            if (l->IsConstant(l->GetOperand(index, 2 - i))) {
                led[i] = l->GetOperand(index, 0);
                index = l->GetOperand(index, 1 + i);
                break;
            }
    if (llvm_is(l, index, LLVMAnd) && llvm_constant(l, l->GetOperand(index, 1), &mask)) {
        if (mask < 64 || mask & (mask + 1))
            return false;
        index = l->GetOperand(index, 0);
    }
    if (llvm_lanes(l, l->TypeOf(index)) != s->lanes || !llvm_beside(l, index))
        return false;
    for (unsigned i = 0; i < 2; i++)
        if (led[i]) {
            LLVMValueRef on = llvm_first(l, s->b, led[i]);
            ask_once(s, i ? l->BuildNot(s->b, on, "") : on);
        }
    first = llvm_first(l, s->b, index);
    if (mask != UINT32_MAX)
        first = l->BuildAnd(s->b, first, l->ConstInt(l->TypeOf(first), mask, 0), "");
    last = l->ConstInt(l->TypeOf(first), mask > INT32_MAX ? INT32_MAX : mask - (s->lanes - 1), 0);
    ask_once(s, l->BuildICmp(s->b, LLVMIntULE, first, last, ""));
    s->row = row;
    s->first = first;
    return true;
}

/* A test whether an index is below a number that is the same for all lanes, asked of the last lane for all of them. */
static bool ask_row(struct scatter *s, LLVMValueRef test, bool wanted)
{
    const struct llvm *l = s->l;
    LLVMValueRef index, limit, last;

    if (!llvm_is(l, test, LLVMICmp) || l->GetICmpPredicate(test) != (wanted ? LLVMIntULT : LLVMIntUGE) ||
        depends(s, l->GetOperand(test, 1), DEPTH) || l->TypeOf(l->GetOperand(test, 1)) != l->Int32TypeInContext(s->context) ||
        !(index = each(s, l->GetOperand(test, 0), DEPTH)) || !(limit = once(s, l->GetOperand(test, 1))) ||
        !is_row(s, index))
        return false;
    last = l->BuildAdd(s->b, s->first, l->ConstInt(l->TypeOf(s->first), s->lanes - 1, 0), "");
    ask_once(s, l->BuildICmp(s->b, LLVMIntULT, last, limit, ""));
    return true;
}

/* Asks all that must hold, in steps that lead nowhere yet. */
static bool prepare(struct scatter *s, struct writes *w)
{
    const struct llvm *l = s->l;

    s->clones = s->steps = s->looks = 0;
    s->row = NULL;
    s->step[0] = s->before;
    s->passed[0] = s->also[0] = NULL;
    l->PositionBuilderBefore(s->b, l->GetBasicBlockTerminator(s->before));
    for (unsigned i = 0; i < s->n_tests; i++) {
        LLVMValueRef test;
        step_to(s, s->tests[i]);
        if (ask_row(s, s->tests[i], s->wanted[i]))
            continue;
        if (!(test = each(s, s->tests[i], DEPTH)))
            return false;
        ask(s, s->wanted[i] ? test : l->BuildNot(s->b, test, ""));
    }
    for (unsigned k = 0; k < s->n_stores; k++)
        if (!find_writes(s, s->stores[k], &w[k]) || w[k].buffer != w[0].buffer ||
            l->TypeOf(w[k].number) != l->TypeOf(w[0].number))
            return false;
    return true;
}

/* The loop is entered from one block only, another than before. */
static void enter(struct scatter *s, LLVMBasicBlockRef from)
{
    const struct llvm *l = s->l;
    LLVMValueRef phi, zero = l->ConstNull(l->TypeOf(s->lane));

    l->PositionBuilderBefore(s->b, s->lane);
    phi = l->BuildPhi(s->b, l->TypeOf(s->lane), "");
    for (unsigned i = 0; i < 2; i++)
        if (l->GetIncomingBlock(s->lane, i) == s->latch)
            l->AddIncoming(phi, (LLVMValueRef[]){ l->GetIncomingValue(s->lane, i) }, &s->latch, 1);
    l->AddIncoming(phi, &zero, &from, 1);
    l->ReplaceAllUsesWith(s->lane, phi);
    l->InstructionEraseFromParent(s->lane);
}

/* Moves what is computed for the loop only into the block in front of it: to its start, where all that it is for comes after it. */
static void set_aside(struct scatter *s, LLVMValueRef v, LLVMBasicBlockRef slow, int depth)
{
    const struct llvm *l = s->l;

    if (!depth || !l->IsAInstruction(v) || l->GetInstructionParent(v) != s->before)
        return;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMAdd: case LLVMSub: case LLVMMul: case LLVMShl: case LLVMAnd: case LLVMOr: case LLVMXor: case LLVMICmp: case LLVMSelect:
    case LLVMZExt: case LLVMSExt:
        break;
    default:
        return;
    }
    for (LLVMUseRef use = l->GetFirstUse(v); use; use = l->GetNextUse(use))
        if (!inside(s, l->GetUser(use)) && l->GetInstructionParent(l->GetUser(use)) != slow)
            return;
    l->InstructionRemoveFromParent(v);
    l->PositionBuilderBefore(s->b, l->GetFirstInstruction(slow));
    l->InsertIntoBuilder(s->b, v);
    for (int i = 0, n = l->GetNumOperands(v); i < n; i++)
        set_aside(s, l->GetOperand(v, (unsigned)i), slow, depth - 1);
}

static bool change(struct scatter *s)
{
    const struct llvm *l = s->l;
    LLVMValueRef first, row, at;
    LLVMTypeRef number = l->Int32TypeInContext(s->context), lanes = l->IntTypeInContext(s->context, s->lanes);
    struct writes w[MOST_STORES];
    LLVMBasicBlockRef beside, slow;

    if (!prepare(s, w)) {
        for (; s->steps; s->steps--)
            l->DeleteBasicBlock(s->step[s->steps]);
        return false;
    }
    if (s->n_stores == 1 && is_row(s, w[0].index)) {
        first = s->first;
    } else {
        first = l->BuildExtractElement(s->b, w[0].index, l->ConstInt(number, 0, 0), "");
        ask(s, in_a_row(s, w, first));
        /* So that no index begins anew at 0. */
        ask_once(s, l->BuildICmp(s->b, LLVMIntSGT, first, l->ConstAllOnes(number), ""));
    }

    /* The loop's own start, so that what only it needs may move there. */
    slow = l->InsertBasicBlockInContext(s->context, s->head, "slow");
    beside = l->InsertBasicBlockInContext(s->context, s->head, "beside");
    for (unsigned i = 0; i <= s->steps; i++) {
        LLVMValueRef end = i ? NULL : l->GetBasicBlockTerminator(s->before), all;
        if (end)
            l->PositionBuilderBefore(s->b, end);
        else
            l->PositionBuilderAtEnd(s->b, s->step[i]);
        all = s->also[i];
        if (s->passed[i]) {
            all = l->BuildBitCast(s->b, s->passed[i], lanes, "");
            all = l->BuildICmp(s->b, LLVMIntEQ, all, l->ConstAllOnes(lanes), "");
            if (s->also[i])
                all = l->BuildSelect(s->b, all, s->also[i], l->ConstNull(l->TypeOf(all)), "");
        }
        if (all)
            l->BuildCondBr(s->b, all, i < s->steps ? s->step[i + 1] : beside, slow);
        else
            l->BuildBr(s->b, beside);
        if (end)
            l->InstructionEraseFromParent(end);
    }
    l->PositionBuilderAtEnd(s->b, slow);
    l->BuildBr(s->b, s->head);
    enter(s, slow);
    l->PositionBuilderAtEnd(s->b, beside);
    row = s->n_stores == 1   ? w[0].number
          : s->n_stores == 2 ? zip(s, w[0].number, w[1].number)
                             : zip(s, zip(s, w[0].number, w[2].number), zip(s, w[1].number, w[3].number));
    first = l->BuildZExt(s->b, first, l->Int64TypeInContext(s->context), "");
    at = l->BuildBitCast(s->b, w[0].buffer, l->PointerType(l->GetElementType(l->TypeOf(row)), 0), "");
    first = l->BuildGEP2(s->b, l->GetElementType(l->TypeOf(row)), at, &first, 1, "");
    first = l->BuildBitCast(s->b, first, l->PointerType(l->TypeOf(row), 0), "");
    l->SetAlignment(l->BuildStore(s->b, row, first), l->GetAlignment(s->stores[0]));
    l->BuildBr(s->b, s->exit);
    /* Now that all that is needed elsewhere is used there: an index may be the number, too. */
    for (unsigned k = 0; k < s->n_stores; k++)
        set_aside(s, w[k].index, slow, DEPTH);
    return true;
}

unsigned llvm_scatters(const struct llvm *l, LLVMModuleRef module)
{
    struct scatter s = { .l = l, .context = l->GetModuleContext(module) };
    unsigned n = 0;

    s.b = l->CreateBuilderInContext(s.context);
    for (LLVMValueRef f = l->GetFirstFunction(module); f; f = l->GetNextFunction(f))
        for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(f); block; block = l->GetNextBasicBlock(block))
            n += is_loop(&s, block) && walk(&s) && is_closed(&s) && change(&s);
    l->DisposeBuilder(s.b);
    return n;
}
