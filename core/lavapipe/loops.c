/* loops.c - loops that all lanes leave at once.
 *
 * Mesa runs a loop until no lane is in it any more. It keeps a mask of the lanes that still are, does the body once more when
 * none is, and takes back what that changed: whatever the loop carries is blended with what it was, by the mask. Where all
 * lanes leave at once, as in every loop over k of a product, that is work for nothing: the body is left out when the mask
 * is empty, and within the body the mask is full.
 *
 *     head:  carried = phi(first, next)          head:  carried = phi(first, next)
 *            mask = ...                                  mask = ...
 *            body                              ->        if mask is empty or the limit is reached: leave
 *            next = blend(carried, new, mask)    body:   next = new
 *            if any of mask, and no limit: head          head
 *
 * It is done where it can be shown: the mask is made of numbers that are the same in all lanes, lanes of it are empty or
 * full, what the loop writes it writes by the mask, and of what it computes only what it carries is used behind it. Past
 * the limit (65535 turns of a kernel's loops) nothing was right before either: what a loop carries is then as it was, but
 * other numbers may be those of the next turn, and no further loop is entered.
 */
#include "lavapipe/llvm.h"

enum { MOST_BLOCKS = 1024, MOST_USES = 4096, MOST_PARTS = 4, MOST_STEPS = 1000, DEPTH = 6 };

struct loop {
    const struct llvm *l;
    LLVMBuilderRef b;
    LLVMModuleRef module;
    LLVMBasicBlockRef head, latch, exit;      /* head: where all of it was, then the body's first block */
    LLVMBasicBlockRef inside[MOST_BLOCKS];    /* the body, head and latch among it */
    unsigned blocks;
    LLVMValueRef mask, limit;                 /* limit: the phi that counts down */
    LLVMValueRef part[MOST_PARTS];            /* what the mask is the intersection of, itself if it is none */
    unsigned parts;
    unsigned steps;                           /* of left(), which may come to a value in many ways */
};

/* ---- What can be shown ---- */

/* Whether every lane has no bit or all of them. */
static bool empty_or_full(const struct llvm *l, struct llvm_set *seen, LLVMValueRef v)
{
    bool known;
    unsigned first = 0, n;

    v = llvm_strip(l, v);
    if (l->IsConstant(v))
        return l->IsNull(v) || llvm_is_ones(l, v);
    if (!l->IsAInstruction(v))
        return false;
    if (!llvm_add(seen, v, &known))
        return known;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMSExt:
        return l->GetIntTypeWidth(l->GetElementType(l->TypeOf(l->GetOperand(v, 0)))) == 1;
    case LLVMPHI:
        n = l->CountIncoming(v);
        for (unsigned i = 0; i < n; i++)
            if (!empty_or_full(l, seen, l->GetIncomingValue(v, i)))
                return false;
        return true;
    case LLVMSelect:
        first = 1;
        n = 3;
        break;
    case LLVMAnd: case LLVMOr: case LLVMXor:
        n = 2;
        break;
    default:
        return false;
    }
    for (unsigned i = first; i < n; i++)
        if (!empty_or_full(l, seen, l->GetOperand(v, i)))
            return false;
    return true;
}

/* ---- Finding loops ---- */

static bool inside(const struct loop *o, LLVMBasicBlockRef block)
{
    for (unsigned i = 0; i < o->blocks; i++)
        if (o->inside[i] == block)
            return true;
    return false;
}

static bool in_body(const struct loop *o, LLVMValueRef v)
{
    return o->l->IsAInstruction(v) && inside(o, o->l->GetInstructionParent(v));
}

/* A mask within a branch, or behind a return, is an intersection: lanes that are in the loop, and there at all. */
static void find_parts(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;

    if (llvm_is(l, v, LLVMAnd) && o->parts + 2 <= MOST_PARTS) {
        find_parts(o, l->GetOperand(v, 0));
        find_parts(o, l->GetOperand(v, 1));
    } else if (o->parts < MOST_PARTS) {
        o->part[o->parts++] = v;
    } else {
        o->parts = MOST_PARTS + 1;
    }
}

/* Mesa's end of a loop: branch on (any lane of the mask, and a count that is not yet 0). */
static bool is_latch(struct loop *o, LLVMBasicBlockRef block)
{
    const struct llvm *l = o->l;
    LLVMValueRef end = l->GetBasicBlockTerminator(block), both, any, count, less;

    if (!end || !llvm_is(l, end, LLVMBr) || l->GetNumSuccessors(end) != 2)
        return false;
    both = l->GetCondition(end);
    if (!llvm_is(l, both, LLVMAnd) || !llvm_is(l, any = l->GetOperand(both, 0), LLVMICmp) ||
        !llvm_is(l, count = l->GetOperand(both, 1), LLVMICmp))
        return false;
    if (l->GetICmpPredicate(any) != LLVMIntNE) { /* LLVM turns them as it likes */
        any = count;
        count = l->GetOperand(both, 0);
    }
    if (l->GetICmpPredicate(any) != LLVMIntNE || !l->IsNull(l->GetOperand(any, 1)) ||
        l->GetICmpPredicate(count) != LLVMIntSGT || !l->IsNull(l->GetOperand(count, 1)))
        return false;
    less = l->GetOperand(count, 0);
    if (!llvm_is(l, less, LLVMAdd) || !llvm_is(l, o->limit = l->GetOperand(less, 0), LLVMPHI) ||
        l->GetOperand(less, 1) != l->ConstAllOnes(l->TypeOf(less)))
        return false;
    o->mask = llvm_strip(l, l->GetOperand(any, 0));
    o->latch = block;
    o->head = l->GetSuccessor(end, 0);
    o->exit = l->GetSuccessor(end, 1);
    o->parts = 0;
    find_parts(o, o->mask);
    return o->parts <= MOST_PARTS && o->mask != l->GetOperand(any, 0) && llvm_lanes(l, l->TypeOf(o->mask)) > 1 &&
           llvm_is(l, o->mask, l->GetInstructionOpcode(o->mask)) && l->GetInstructionParent(o->mask) == o->head &&
           l->GetInstructionParent(o->limit) == o->head && !llvm_is(l, o->mask, LLVMPHI);
}

static bool leads_to(const struct llvm *l, LLVMBasicBlockRef from, LLVMBasicBlockRef to)
{
    LLVMValueRef end = l->GetBasicBlockTerminator(from);
    unsigned n = end ? l->GetNumSuccessors(end) : 0;

    for (unsigned i = 0; i < n; i++)
        if (l->GetSuccessor(end, i) == to)
            return true;
    return false;
}

/* Collects the blocks from which the latch is reached without passing the head. True if none of them but the latch leads
 * out of the loop, or back to its head; what is entered elsewhere than at its head leads to the function's first block. */
static bool collect(struct loop *o, LLVMValueRef function)
{
    const struct llvm *l = o->l;
    LLVMBasicBlockRef first = l->GetFirstBasicBlock(function);

    o->blocks = 0;
    o->inside[o->blocks++] = o->head;
    if (o->latch != o->head)
        o->inside[o->blocks++] = o->latch;
    for (unsigned i = 1; i < o->blocks; i++)
        for (LLVMBasicBlockRef block = first; block; block = l->GetNextBasicBlock(block)) {
            if (!leads_to(l, block, o->inside[i]) || inside(o, block))
                continue;
            if (block == first || o->blocks == MOST_BLOCKS)
                return false;
            o->inside[o->blocks++] = block;
        }
    for (unsigned i = 0; i < o->blocks; i++) {
        LLVMValueRef end = l->GetBasicBlockTerminator(o->inside[i]);
        unsigned n = l->GetNumSuccessors(end);
        for (unsigned k = 0; k < n; k++)
            if (o->inside[i] != o->latch && (!inside(o, l->GetSuccessor(end, k)) || l->GetSuccessor(end, k) == o->head))
                return false;
    }
    return !inside(o, o->exit) && o->head != first;
}

/* ---- What the loop carries ---- */

static const char empty, full; /* their addresses stand for all bits 0 and all bits 1 */
#define EMPTY ((LLVMValueRef)&empty)
#define FULL ((LLVMValueRef)&full)

/* What has the bits of v where the mask is empty because this part of it is: EMPTY, FULL, or a value from outside of the
 * body or of the head's phis; NULL if that cannot be told. */
static LLVMValueRef left(struct loop *o, LLVMValueRef part, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef x, y;

    v = llvm_strip(l, v);
    if (v == o->mask || v == part || (llvm_is(l, part, LLVMSExt) && v == l->GetOperand(part, 0)) ||
        (l->IsConstant(v) && l->IsNull(v)))
        return EMPTY;
    if (llvm_is_ones(l, v))
        return FULL;
    if (++o->steps > MOST_STEPS)
        return NULL;
    if (!in_body(o, v) || (llvm_is(l, v, LLVMPHI) && l->GetInstructionParent(v) == o->head))
        return v;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMSExt: case LLVMTrunc: case LLVMExtractElement:
        x = left(o, part, l->GetOperand(v, 0));
        return x == EMPTY || x == FULL ? x : NULL;
    case LLVMICmp: /* of the mask, whether it is not empty */
        x = left(o, part, l->GetOperand(v, 0));
        if ((x != EMPTY && x != FULL) || left(o, part, l->GetOperand(v, 1)) != EMPTY)
            return NULL;
        switch (l->GetICmpPredicate(v)) {
        case LLVMIntNE:
        case LLVMIntSLT: return x;
        case LLVMIntEQ: return x == EMPTY ? FULL : EMPTY;
        default: return NULL;
        }
    case LLVMSelect:
        x = left(o, part, l->GetOperand(v, 0));
        if (x == EMPTY || x == FULL)
            return left(o, part, l->GetOperand(v, x == EMPTY ? 2 : 1));
        x = left(o, part, l->GetOperand(v, 1));
        return x == left(o, part, l->GetOperand(v, 2)) ? x : NULL;
    case LLVMAnd:
    case LLVMOr: {
        LLVMValueRef wins = l->GetInstructionOpcode(v) == LLVMAnd ? EMPTY : FULL;
        x = left(o, part, l->GetOperand(v, 0));
        y = left(o, part, l->GetOperand(v, 1));
        return x == wins || y == wins ? wins : x == EMPTY || x == FULL ? y : y == EMPTY || y == FULL ? x : NULL;
    }
    case LLVMXor:
        x = left(o, part, l->GetOperand(v, 0));
        y = left(o, part, l->GetOperand(v, 1));
        return y != FULL ? NULL : x == EMPTY ? FULL : x == FULL ? EMPTY : NULL;
    case LLVMCall:
        return llvm_is_blend(l, v) && left(o, part, l->GetOperand(v, 2)) == EMPTY ? left(o, part, l->GetOperand(v, 0)) : NULL;
    default:
        return NULL;
    }
}

/* The same, whichever part of the mask it is that is empty. */
static LLVMValueRef left_of_all(struct loop *o, LLVMValueRef v)
{
    LLVMValueRef x = NULL;

    for (unsigned i = 0; i < o->parts; i++) {
        LLVMValueRef before = x;
        o->steps = 0;
        x = left(o, o->part[i], v);
        if (!x || (i && x != before))
            return NULL;
    }
    return x;
}

/* The head's phi that takes the place of v behind the loop: it has what v had, at the head and where the mask is empty. */
static LLVMValueRef carried(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef phi = left_of_all(o, v);

    if (!phi || phi == EMPTY || phi == FULL || !llvm_is(l, phi, LLVMPHI) || l->GetInstructionParent(phi) != o->head)
        return NULL;
    for (unsigned i = 0, n = l->CountIncoming(phi); i < n; i++)
        if (l->GetIncomingBlock(phi, i) == o->latch && llvm_strip(l, l->GetIncomingValue(phi, i)) == llvm_strip(l, v))
            return phi;
    return NULL;
}

/* A use behind the loop of what the body computes, NULL if there is none. */
static LLVMValueRef user_behind(const struct loop *o, LLVMValueRef v)
{
    for (LLVMUseRef use = o->l->GetFirstUse(v); use; use = o->l->GetNextUse(use))
        if (!in_body(o, o->l->GetUser(use)))
            return o->l->GetUser(use);
    return NULL;
}

/* Calls `then` for everything that the body computes and that is used behind the loop; it may move it before the mask. */
static bool each_used_behind(struct loop *o, bool (*then)(struct loop *o, LLVMValueRef v))
{
    const struct llvm *l = o->l;

    for (unsigned i = 0; i < o->blocks; i++)
        for (LLVMValueRef v = l->GetFirstInstruction(o->inside[i]), next; v; v = next) {
            next = l->GetNextInstruction(v);
            if (llvm_is(l, v, LLVMPHI) && o->inside[i] == o->head)
                continue; /* is there where the head is */
            if (user_behind(o, v) && !then(o, v))
                return false;
        }
    return true;
}

/* The first instructions of the head, to the mask, stay where they are. */
static bool before_mask(const struct loop *o, LLVMValueRef v)
{
    if (o->l->GetInstructionParent(v) != o->head)
        return false;
    for (; v; v = o->l->GetNextInstruction(v))
        if (v == o->mask)
            return true;
    return false;
}

/* Whether v can be computed at the head as well, since it is the same in every turn: made of what is outside of the loop, and
 * of what is read there. The empty last turn computes it too. */
static bool can_move(const struct loop *o, LLVMValueRef v, int depth)
{
    const struct llvm *l = o->l;

    if (!in_body(o, v))
        return true;
    if (!depth || l->GetInstructionParent(v) != o->head)
        return false;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMLoad:
        for (unsigned i = 0; i < o->blocks; i++)
            if (!llvm_only_reads(l, o->inside[i]))
                return false;
        break;
    case LLVMGetElementPtr: case LLVMBitCast: case LLVMZExt: case LLVMSExt: case LLVMExtractElement: case LLVMInsertElement:
    case LLVMShuffleVector: case LLVMICmp: case LLVMAnd: case LLVMOr: case LLVMXor: case LLVMAdd: case LLVMSub: case LLVMMul:
    case LLVMShl: case LLVMLShr: case LLVMAShr: case LLVMTrunc: case LLVMSelect:
        break;
    default:
        return false;
    }
    for (int i = 0, n = l->GetNumOperands(v); i < n; i++)
        if (l->GetOperand(v, (unsigned)i) == o->mask || !can_move(o, l->GetOperand(v, (unsigned)i), depth - 1))
            return false;
    return true;
}

static void move(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;

    if (!in_body(o, v) || before_mask(o, v))
        return;
    for (int i = 0, n = l->GetNumOperands(v); i < n; i++)
        move(o, l->GetOperand(v, (unsigned)i));
    l->InstructionRemoveFromParent(v);
    l->PositionBuilderBefore(o->b, o->mask);
    l->InsertIntoBuilder(o->b, v);
}

/* The count with which the next loop goes on. */
static bool is_count(const struct loop *o, LLVMValueRef v)
{
    return llvm_is(o->l, v, LLVMAdd) && o->l->GetOperand(v, 0) == o->limit && o->l->IsConstant(o->l->GetOperand(v, 1)) &&
           o->l->GetInstructionParent(v) == o->head;
}

static bool is_carried(struct loop *o, LLVMValueRef v)
{
    return before_mask(o, v) || is_count(o, v) || carried(o, v) || can_move(o, v, DEPTH);
}

static bool take_carried(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef phi, user;

    if (before_mask(o, v))
        return true;
    phi = carried(o, v);
    if (!phi) {
        move(o, v);
        return true;
    }
    if (l->TypeOf(phi) != l->TypeOf(v)) {
        l->PositionBuilderBefore(o->b, o->mask);
        phi = l->BuildBitCast(o->b, phi, l->TypeOf(v), "");
    }
    while ((user = user_behind(o, v)))
        for (int i = 0, n = l->GetNumOperands(user); i < n; i++)
            if (l->GetOperand(user, (unsigned)i) == v)
                l->SetOperand(user, (unsigned)i, phi);
    return true;
}

/* ---- What the loop writes ---- */

/* Whether a branch does not go to a block where the mask is empty. */
static bool asks_mask(struct loop *o, LLVMValueRef branch, LLVMBasicBlockRef block)
{
    const struct llvm *l = o->l;

    if (!llvm_is(l, branch, LLVMBr) || l->GetNumSuccessors(branch) != 2 ||
        l->GetSuccessor(branch, 0) == l->GetSuccessor(branch, 1))
        return false;
    return left_of_all(o, l->GetCondition(branch)) == (l->GetSuccessor(branch, 0) == block ? EMPTY : FULL);
}

/* Whether a block of the body is not reached where the mask is empty: Mesa asks the mask for each lane that it writes,
 * then whether its place is within the buffer. */
static bool is_guarded(struct loop *o, LLVMBasicBlockRef block, int depth)
{
    if (block == o->head || !depth)
        return false;
    for (unsigned i = 0; i < o->blocks; i++)
        if (leads_to(o->l, o->inside[i], block) && !asks_mask(o, o->l->GetBasicBlockTerminator(o->inside[i]), block) &&
            !is_guarded(o, o->inside[i], depth - 1))
            return false;
    return true;
}

/* Whether the empty last turn writes nothing, so that it can be left out; but for what stays before the mask. */
static bool writes_by_mask(struct loop *o)
{
    const struct llvm *l = o->l;

    for (unsigned i = 0; i < o->blocks; i++) {
        LLVMBasicBlockRef block = o->inside[i];
        LLVMValueRef v = block == o->head ? o->mask : l->GetFirstInstruction(block);
        for (; v && !llvm_writes(l, v); v = l->GetNextInstruction(v))
            ;
        if (v && !is_guarded(o, block, DEPTH))
            return false;
    }
    return true;
}

/* ---- The change ---- */

/* Within the body the mask is full, and all parts of it are; the mask also where the head is reached again. */
static void fill(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef users[MOST_USES], full_mask = l->ConstAllOnes(l->TypeOf(v));
    unsigned n = 0;

    for (LLVMUseRef use = l->GetFirstUse(v); use && n < MOST_USES; use = l->GetNextUse(use)) {
        LLVMValueRef user = l->GetUser(use);
        if (in_body(o, user) && (llvm_is(l, user, LLVMPHI) ? v == o->mask : !before_mask(o, user)))
            users[n++] = user;
    }
    for (unsigned i = 0; i < n; i++)
        for (int k = 0, m = l->GetNumOperands(users[i]); k < m; k++)
            if (l->GetOperand(users[i], (unsigned)k) == v &&
                (!llvm_is(l, users[i], LLVMPHI) || inside(o, l->GetIncomingBlock(users[i], (unsigned)k))))
                l->SetOperand(users[i], (unsigned)k, full_mask);
}

/* Where the exit is the next loop's first block it has phis: a block of its own then leads there instead of the latch. */
static LLVMBasicBlockRef way_out(struct loop *o)
{
    const struct llvm *l = o->l;
    LLVMBasicBlockRef way;

    if (!llvm_is(l, l->GetFirstInstruction(o->exit), LLVMPHI))
        return o->exit;
    way = l->InsertBasicBlockInContext(l->GetModuleContext(o->module), o->exit, "out");
    l->PositionBuilderAtEnd(o->b, way);
    l->BuildBr(o->b, o->exit);
    for (LLVMValueRef v = l->GetFirstInstruction(o->exit), next, phi; llvm_is(l, v, LLVMPHI); v = next) {
        next = l->GetNextInstruction(v);
        l->PositionBuilderBefore(o->b, v);
        phi = l->BuildPhi(o->b, l->TypeOf(v), "");
        for (unsigned i = 0, n = l->CountIncoming(v); i < n; i++) {
            LLVMValueRef value = l->GetIncomingValue(v, i);
            LLVMBasicBlockRef from = l->GetIncomingBlock(v, i);
            l->AddIncoming(phi, &value, from == o->latch ? &way : &from, 1);
        }
        l->ReplaceAllUsesWith(v, phi);
        l->InstructionEraseFromParent(v);
    }
    return way;
}

static void cut(struct loop *o)
{
    const struct llvm *l = o->l;
    LLVMContextRef context = l->GetModuleContext(o->module);
    LLVMTypeRef number = l->Int32TypeInContext(context);
    LLVMBasicBlockRef head = l->InsertBasicBlockInContext(context, o->head, "head"), exit;
    LLVMValueRef lane, any, count, v, next;

    fill(o, o->mask);
    for (unsigned i = 0; i < o->parts; i++)
        if (!l->IsConstant(o->part[i])) {
            if (llvm_is(l, o->part[i], LLVMSExt) && !l->IsConstant(l->GetOperand(o->part[i], 0)))
                fill(o, l->GetOperand(o->part[i], 0));
            fill(o, o->part[i]);
        }
    exit = way_out(o); /* not before: a part may be one of the exit's phis, which are made anew */

    /* Whoever led to the head leads to the new one; the latch among them. */
    for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(l->GetBasicBlockParent(o->head)); block;
         block = l->GetNextBasicBlock(block)) {
        LLVMValueRef end = l->GetBasicBlockTerminator(block);
        for (unsigned i = 0; end && i < l->GetNumSuccessors(end); i++)
            if (l->GetSuccessor(end, i) == o->head)
                l->SetSuccessor(end, i, head);
    }
    l->PositionBuilderAtEnd(o->b, head);
    for (v = l->GetFirstInstruction(o->head);; v = next) {
        next = l->GetNextInstruction(v);
        l->InstructionRemoveFromParent(v);
        l->InsertIntoBuilder(o->b, v);
        if (v == o->mask)
            break;
    }
    lane = l->BuildExtractElement(o->b, o->mask, l->ConstInt(number, 0, 0), "");
    any = l->BuildICmp(o->b, LLVMIntNE, lane, l->ConstNull(l->TypeOf(lane)), "");
    count = l->BuildICmp(o->b, LLVMIntSGT, o->limit, l->ConstNull(l->TypeOf(o->limit)), "");
    l->BuildCondBr(o->b, l->BuildAnd(o->b, any, count, ""), o->head, exit);
    l->InstructionEraseFromParent(l->GetBasicBlockTerminator(o->latch));
    l->PositionBuilderAtEnd(o->b, o->latch);
    l->BuildBr(o->b, head);
}

static bool limit_is_counted(const struct loop *o)
{
    const struct llvm *l = o->l;

    for (unsigned i = 0, n = l->CountIncoming(o->limit); i < n; i++)
        if (l->GetIncomingBlock(o->limit, i) == o->latch) {
            LLVMValueRef v = l->GetIncomingValue(o->limit, i);
            return llvm_is(l, v, LLVMAdd) && l->GetOperand(v, 0) == o->limit &&
                   l->GetOperand(v, 1) == l->ConstAllOnes(l->TypeOf(v));
        }
    return false;
}

static bool few_uses(const struct loop *o)
{
    unsigned n = 0;

    for (LLVMUseRef use = o->l->GetFirstUse(o->mask); use; use = o->l->GetNextUse(use))
        n++;
    return n <= MOST_USES;
}

unsigned llvm_loops(const struct llvm *l, LLVMModuleRef module)
{
    struct loop o = { .l = l, .module = module, .b = l->CreateBuilderInContext(l->GetModuleContext(module)) };
    struct llvm_set seen;
    unsigned n = 0;

    for (LLVMValueRef f = l->GetFirstFunction(module); f; f = l->GetNextFunction(f))
        for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(f); block; block = l->GetNextBasicBlock(block)) {
            seen.n = 0;
            if (!is_latch(&o, block) || !limit_is_counted(&o) || !few_uses(&o) || !collect(&o, f) ||
                !llvm_same(l, o.mask) || !empty_or_full(l, &seen, o.mask) || !writes_by_mask(&o) ||
                !each_used_behind(&o, is_carried))
                continue;
            each_used_behind(&o, take_carried);
            cut(&o);
            n++;
        }
    l->DisposeBuilder(o.b);
    return n;
}
