/* strides.c - what a loop reads in strides.
 *
 * A loop over k reads texels whose index grows by the same with every turn. Whether they are all in range can be told before
 * the loop: the last is. Then nothing is asked within it, where one texel is read by all lanes it is one number at an
 * address, and where lanes read side by side it is one vector; what is the same in every turn is read once. So where it can
 * be told, a loop gets a second body, for as many turns as are known to come. The first does what is left, if only to leave.
 *
 *     before: ...                            before: ...  turns = limit - counter
 *     head:   carried = phi(first, next)             if there are none or the first may be the last: head
 *             if left: exit                  guard:  what is the same in every turn
 *     body:   index = f(counter)                     if the last index is out of range: head
 *             next = g(carried, fetch(index))   ->   fast:   next = g(carried, base[index of the first turn + turn * step])
 *             head                                   if turns: fast
 *                                            head:   ... as it was, after the last of these turns
 *
 * An index is one that grows if it is made of the counter by sums and products with what is the same in every turn: then it
 * does so but for the wrap at 2^32, and if the first and turns * step add up to less than the buffer's size there is none.
 */
#include "lavapipe/llvm.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 4000, SLOTS = 1 << 13, MOST_FETCHES = 160, MOST_PLACES = 64, MOST_STEPS = 4000, DEPTH = 24 };

/* Values by values. */
struct map {
    LLVMValueRef from[SLOTS], to[SLOTS];
};

/* Texels that lie a constant apart: `word` of the one at index `first` + `turn` * `step` + apart. */
struct place {
    struct llvm_fetch of;
    LLVMValueRef index; /* without the constant */
    LLVMValueRef start, step; /* of bytes: a pointer; i64 */
    unsigned most;      /* the largest that is added to it */
    bool alike;         /* one texel for all lanes; else lanes lie side by side */
};

struct fetch {
    LLVMValueRef value;
    unsigned place, apart, word;
};

struct loop {
    const struct llvm *l;
    LLVMContextRef context;
    LLVMBuilderRef b;
    LLVMBasicBlockRef before, head, body, guard, fast;
    LLVMValueRef order[MOST_VALUES]; /* what head and body compute */
    unsigned n, phis;
    LLVMValueRef counter, limit; /* of turns: head's phi, and what it is compared with */
    LLVMValueRef compare;        /* of the two */
    LLVMValueRef left;           /* the phi that counts down to 0, or NULL */
    LLVMValueRef turns;          /* i64, in before */
    LLVMValueRef turn;           /* of the fast body, from 0 on */
    unsigned by;                 /* what the counter grows by */
    unsigned steps;              /* of told() and step_of(), which may come to a value in many ways */
    struct place places[MOST_PLACES];
    struct fetch fetches[MOST_FETCHES];
    unsigned n_places, n_fetches;
    struct map varies, first, now, needed; /* now: in the fast body */
};

/* ---- Values by values ---- */

static unsigned slot(const struct map *m, LLVMValueRef v)
{
    unsigned i = (unsigned)((uintptr_t)v >> 4) * 2654435761u >> 7 & (SLOTS - 1);

    while (m->from[i] && m->from[i] != v)
        i = (i + 1) & (SLOTS - 1);
    return i;
}

static LLVMValueRef get(const struct map *m, LLVMValueRef v)
{
    return m->to[slot(m, v)];
}

static void put(struct map *m, LLVMValueRef v, LLVMValueRef to)
{
    unsigned i = slot(m, v);

    m->from[i] = v;
    m->to[i] = to;
}

static bool varies(const struct loop *o, LLVMValueRef v)
{
    return get(&o->varies, v) != NULL;
}

/* ---- Finding loops ---- */

static LLVMValueRef next_of(const struct loop *o, LLVMValueRef phi)
{
    return o->l->GetIncomingValue(phi, o->l->GetIncomingBlock(phi, 0) == o->body ? 0 : 1);
}

static LLVMValueRef init_of(const struct loop *o, LLVMValueRef phi)
{
    return o->l->GetIncomingValue(phi, o->l->GetIncomingBlock(phi, 0) == o->body ? 1 : 0);
}

static bool is_phi_of(const struct loop *o, LLVMValueRef v, LLVMBasicBlockRef block)
{
    return llvm_is(o->l, v, LLVMPHI) && o->l->GetInstructionParent(v) == block;
}

static bool is_inside(const struct loop *o, LLVMValueRef v)
{
    return o->l->IsAInstruction(v) &&
           (o->l->GetInstructionParent(v) == o->head || o->l->GetInstructionParent(v) == o->body);
}

/* What is computed in a block, into order[]; what depends on the head's phis varies. */
static bool list(struct loop *o, LLVMBasicBlockRef block)
{
    const struct llvm *l = o->l;

    for (LLVMValueRef v = l->GetFirstInstruction(block); v != l->GetBasicBlockTerminator(block); v = l->GetNextInstruction(v)) {
        bool phi = llvm_is(l, v, LLVMPHI), any = phi;
        if (phi && block != o->head)
            return false;
        for (int i = 0; i < l->GetNumOperands(v) && !any; i++)
            any = varies(o, l->GetOperand(v, (unsigned)i));
        o->phis += phi;
        if (o->n == MOST_VALUES || o->phis > MOST_VALUES)
            return false;
        if (any)
            put(&o->varies, v, v);
        if (!phi)
            o->order[o->n++] = v;
    }
    return true;
}

/* Whether a block leaves or goes on to a body of one block, which comes back. */
static bool is_head(const struct llvm *l, LLVMBasicBlockRef head)
{
    LLVMValueRef end = l->GetBasicBlockTerminator(head), phi = l->GetFirstInstruction(head), back;

    if (!end || !llvm_is(l, end, LLVMBr) || l->GetNumSuccessors(end) != 2 || !llvm_is(l, phi, LLVMPHI) ||
        l->CountIncoming(phi) != 2 || l->GetSuccessor(end, 0) == head)
        return false;
    back = l->GetBasicBlockTerminator(l->GetSuccessor(end, 0));
    return back && llvm_is(l, back, LLVMBr) && l->GetNumSuccessors(back) == 1 && l->GetSuccessor(back, 0) == head;
}

/* What a loop is made of; nothing in it is written. */
static bool find(struct loop *o, LLVMBasicBlockRef head)
{
    const struct llvm *l = o->l;
    LLVMValueRef phi = l->GetFirstInstruction(head);

    o->head = head;
    o->body = l->GetSuccessor(l->GetBasicBlockTerminator(head), 0);
    for (int i = 0; i < 2; i++)
        if (l->GetIncomingBlock(phi, (unsigned)i) == o->body)
            o->before = l->GetIncomingBlock(phi, 1 - (unsigned)i);
    if (!o->before || l->GetNumSuccessors(l->GetBasicBlockTerminator(o->before)) != 1)
        return false;
    return llvm_only_reads(l, head) && llvm_only_reads(l, o->body) && list(o, head) && list(o, o->body);
}

/* ---- How long it goes on ---- */

/* Whether v is a phi of the head to which every turn adds a number of 32 bits, which is one for all lanes. */
static bool grows(const struct loop *o, LLVMValueRef v, unsigned *by)
{
    const struct llvm *l = o->l;
    LLVMTypeRef type = l->TypeOf(v);
    LLVMValueRef next;

    if (!is_phi_of(o, v, o->head) || !llvm_is(l, next = next_of(o, v), LLVMAdd) || l->GetOperand(next, 0) != v)
        return false;
    type = llvm_lanes(l, type) > 1 ? l->GetElementType(type) : type;
    return l->GetTypeKind(type) == LLVMIntegerTypeKind && l->GetIntTypeWidth(type) == 32 &&
           llvm_constant(l, l->GetOperand(next, 1), by);
}

/* Whether it is the counter that a comparison is of, with what is the same in every turn, so that it stays as it is at first
 * for turns that can be counted. */
static bool counts(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    int predicate = l->GetICmpPredicate(v);
    /* counter < limit, or the contrary: counter >= limit */
    bool turned = predicate == LLVMIntUGT || predicate == LLVMIntULE;
    LLVMValueRef counter = l->GetOperand(v, turned), limit = l->GetOperand(v, !turned);
    unsigned by;

    if (predicate != LLVMIntULT && predicate != LLVMIntUGE && !turned)
        return false;
    if (o->compare)
        return o->compare == v;
    if (!grows(o, counter, &by) || !by || by > 64 || varies(o, limit) || !llvm_same(l, counter) || !llvm_same(l, limit) ||
        llvm_words(l, l->TypeOf(limit)) > 1)
        return false;
    o->compare = v;
    o->counter = counter;
    o->limit = limit;
    o->by = by;
    return true;
}

/* Whether a condition depends on nothing but the counter's comparison, the countdown, phis that are constant from the second
 * turn on, and what is the same in every turn. */
static bool told(struct loop *o, LLVMValueRef v, int depth)
{
    const struct llvm *l = o->l;
    unsigned by;

    if (!varies(o, v))
        return true;
    if (is_phi_of(o, v, o->head))
        return l->IsConstant(next_of(o, v));
    if (!depth || ++o->steps > MOST_STEPS)
        return false;
    switch (l->GetInstructionOpcode(v)) {
    case LLVMICmp:
        if (l->GetICmpPredicate(v) == LLVMIntSGT && grows(o, l->GetOperand(v, 0), &by) && by == UINT32_MAX &&
            llvm_lanes(l, l->TypeOf(v)) == 1 && l->IsNull(l->GetOperand(v, 1)) &&
            (!o->left || o->left == l->GetOperand(v, 0))) {
            o->left = l->GetOperand(v, 0);
            return true;
        }
        if (counts(o, v))
            return true;
        break;
    case LLVMAnd: case LLVMOr: case LLVMXor: case LLVMSelect: case LLVMExtractElement: case LLVMSExt: case LLVMZExt:
    case LLVMBitCast: case LLVMShuffleVector: case LLVMFreeze:
        break;
    default:
        return false;
    }
    for (int i = 0; i < l->GetNumOperands(v); i++)
        if (!told(o, l->GetOperand(v, (unsigned)i), depth - 1))
            return false;
    return true;
}

/* ---- What it reads ---- */

/* Takes constants off a sum: what is left, and their sum. */
static LLVMValueRef apart(const struct llvm *l, LLVMValueRef v, unsigned *sum)
{
    unsigned by, shift;

    for (*sum = 0; llvm_is(l, v, LLVMAdd) || llvm_is(l, v, LLVMOr); v = l->GetOperand(v, 0), *sum += by) {
        LLVMValueRef y = l->GetOperand(v, 0);
        if (!llvm_constant(l, l->GetOperand(v, 1), &by) || by >= 1 << 20 || *sum >= 1 << 20)
            break;
        /* A sum where nothing is carried. */
        if (llvm_is(l, v, LLVMOr) && (!llvm_is(l, y, LLVMShl) || !llvm_constant(l, l->GetOperand(y, 1), &shift) ||
                                      shift > 31 || by >= 1u << shift))
            break;
    }
    return v;
}

static bool add_fetch(struct loop *o, LLVMValueRef v, const struct llvm_fetch *f)
{
    const struct llvm *l = o->l;
    struct place *p = o->places;
    bool alike = llvm_same(l, f->index);
    unsigned sum = 0;
    LLVMValueRef index = alike ? f->index : apart(l, f->index, &sum);

    if (o->n_fetches == MOST_FETCHES || varies(o, f->base) || varies(o, f->size) || !llvm_same(l, f->size))
        return false;
    while (p < o->places + o->n_places && (p->index != index || p->of.base != f->base || p->of.size != f->size ||
                                           p->of.shift != f->shift))
        p++;
    if (p == o->places + MOST_PLACES)
        return false;
    if (p == o->places + o->n_places) {
        o->n_places++;
        *p = (struct place){ .of = *f, .index = index, .alike = alike };
    }
    if (sum > p->most)
        p->most = sum;
    if (!p->alike && f->shift != 2)
        return false;
    o->fetches[o->n_fetches++] = (struct fetch){ v, (unsigned)(p - o->places), sum, f->word };
    return true;
}

/* What the fast body must compute, from the carried values' next ones back. False if it would read what is not known to be in
 * range. */
static bool find_needed(struct loop *o)
{
    const struct llvm *l = o->l;
    struct llvm_fetch f;
    unsigned by;

    for (LLVMValueRef v = l->GetFirstInstruction(o->head); llvm_is(l, v, LLVMPHI); v = l->GetNextInstruction(v))
        if (!l->IsConstant(next_of(o, v)) && !grows(o, v, &by))
            put(&o->needed, next_of(o, v), v);
    for (unsigned i = o->n; i-- > 0;) {
        LLVMValueRef v = o->order[i];
        if (!get(&o->needed, v) || !varies(o, v))
            continue;
        if (llvm_fetch(l, v, &f)) {
            if (!add_fetch(o, v, &f))
                return false;
            continue;
        }
        if (llvm_is(l, v, LLVMLoad) || (llvm_is(l, v, LLVMCall) && !llvm_is_blend(l, v)))
            return false;
        for (int k = 0; k < l->GetNumOperands(v); k++)
            if (is_inside(o, l->GetOperand(v, (unsigned)k)))
                put(&o->needed, l->GetOperand(v, (unsigned)k), v);
    }
    for (LLVMValueRef v = l->GetFirstInstruction(o->head); llvm_is(l, v, LLVMPHI); v = l->GetNextInstruction(v))
        if (get(&o->needed, v))
            put(&o->needed, next_of(o, v), v);
    return o->n_fetches > 0;
}

/* ---- Before the loop ---- */

/* v as it is in the first turn, where the builder is; what it is made of too, once. */
static LLVMValueRef at_first(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef copy;

    if (!is_inside(o, v))
        return v;
    if ((copy = get(&o->first, v)))
        return copy;
    if (is_phi_of(o, v, o->head)) {
        copy = init_of(o, v);
    } else {
        copy = l->InstructionClone(v);
        for (int i = 0; i < l->GetNumOperands(v); i++)
            l->SetOperand(copy, (unsigned)i, at_first(o, l->GetOperand(v, (unsigned)i)));
        l->InsertIntoBuilder(o->b, copy);
    }
    put(&o->first, v, copy);
    return copy;
}

/* The condition as it is in the turns that follow the first, as long as there are any. */
static LLVMValueRef later(struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;
    LLVMValueRef copy;

    if (!varies(o, v) || v == o->compare)
        return at_first(o, v);
    if (is_phi_of(o, v, o->head))
        return next_of(o, v);
    if (llvm_is(l, v, LLVMICmp) && l->GetOperand(v, 0) == o->left)
        return l->ConstInt(l->TypeOf(v), 1, 0);
    copy = l->InstructionClone(v);
    for (int i = 0; i < l->GetNumOperands(v); i++)
        l->SetOperand(copy, (unsigned)i, later(o, l->GetOperand(v, (unsigned)i)));
    l->InsertIntoBuilder(o->b, copy);
    return copy;
}

static LLVMValueRef number(const struct loop *o, uint64_t n)
{
    return o->l->ConstInt(o->l->Int64TypeInContext(o->context), n, 0);
}

/* Lane 0, unsigned, in 64 bits. */
static LLVMValueRef widened(const struct loop *o, LLVMValueRef v)
{
    const struct llvm *l = o->l;

    if (llvm_lanes(l, l->TypeOf(v)) > 1)
        v = l->BuildExtractElement(o->b, v, l->ConstInt(l->Int32TypeInContext(o->context), 0, 0), "");
    return l->BuildZExt(o->b, v, l->Int64TypeInContext(o->context), "");
}

static LLVMValueRef binary(const struct loop *o, int opcode, LLVMValueRef x, LLVMValueRef y)
{
    return o->l->BuildBinOp(o->b, opcode, x, y, "");
}

static LLVMValueRef at_most(const struct loop *o, LLVMValueRef x, LLVMValueRef y)
{
    return o->l->BuildICmp(o->b, LLVMIntULE, x, y, "");
}

/* At the end of `before`: how many turns are known to come, and whether there are any. */
static LLVMValueRef count_turns(struct loop *o)
{
    const struct llvm *l = o->l;
    LLVMValueRef end = l->GetBasicBlockTerminator(o->before), cond = l->GetCondition(l->GetBasicBlockTerminator(o->head));
    LLVMValueRef counter, limit, left, ok;

    l->PositionBuilderBefore(o->b, end);
    counter = widened(o, at_first(o, o->counter));
    limit = widened(o, at_first(o, o->limit));
    ok = l->BuildAnd(o->b, at_first(o, cond), later(o, cond), "");
    ok = l->BuildAnd(o->b, ok, at_most(o, binary(o, LLVMAdd, counter, number(o, 1)), limit), "");
    o->turns = binary(o, LLVMUDiv, binary(o, LLVMAdd, binary(o, LLVMSub, limit, counter), number(o, o->by - 1)),
                      number(o, o->by));
    if (o->left) {
        left = widened(o, at_first(o, o->left));
        ok = l->BuildAnd(o->b, ok, at_most(o, o->turns, left), "");
        /* The first turn may not have asked. */
        ok = l->BuildAnd(o->b, ok, at_most(o, left, number(o, INT32_MAX)), "");
    }
    return ok;
}

/* What every turn adds to v, where the builder is; NULL if that cannot be told. */
static LLVMValueRef step_of(struct loop *o, LLVMValueRef v, int depth)
{
    const struct llvm *l = o->l;
    LLVMValueRef x, y;
    unsigned by;
    int opcode;

    if (!varies(o, v))
        return l->ConstNull(l->TypeOf(v));
    if (grows(o, v, &by))
        return l->GetOperand(next_of(o, v), 1);
    if (!depth || ++o->steps > MOST_STEPS || !l->IsAInstruction(v))
        return NULL;
    switch (opcode = l->GetInstructionOpcode(v)) {
    case LLVMAdd: case LLVMSub:
        x = step_of(o, l->GetOperand(v, 0), depth - 1);
        y = step_of(o, l->GetOperand(v, 1), depth - 1);
        return x && y ? binary(o, opcode, x, y) : NULL;
    case LLVMOr: {
        LLVMValueRef rest = apart(l, v, &by);
        return rest == v ? NULL : step_of(o, rest, depth - 1);
    }
    case LLVMMul:
        x = l->GetOperand(v, 0);
        y = l->GetOperand(v, 1);
        if (varies(o, y)) {
            LLVMValueRef z = x;
            x = y;
            y = z;
        }
        if (varies(o, y))
            return NULL;
        x = step_of(o, x, depth - 1);
        return x ? binary(o, LLVMMul, x, at_first(o, y)) : NULL;
    case LLVMShl:
        if (!l->IsConstant(l->GetOperand(v, 1)))
            return NULL;
        x = step_of(o, l->GetOperand(v, 0), depth - 1);
        return x ? binary(o, LLVMShl, x, l->GetOperand(v, 1)) : NULL;
    default:
        return NULL;
    }
}

/* Whether all lanes read one after the other. */
static LLVMValueRef side_by_side(struct loop *o, LLVMValueRef index)
{
    const struct llvm *l = o->l;
    LLVMTypeRef word = l->Int32TypeInContext(o->context);
    unsigned lanes = llvm_lanes(l, l->TypeOf(index));
    LLVMValueRef offsets[64], first, equal;

    for (unsigned i = 0; i < lanes; i++)
        offsets[i] = l->ConstInt(word, i, 0);
    first = llvm_splat(l, o->b, l->BuildExtractElement(o->b, index, offsets[0], ""), lanes);
    equal = l->BuildICmp(o->b, LLVMIntEQ, index, l->BuildAdd(o->b, first, l->ConstVector(offsets, lanes), ""), "");
    equal = l->BuildBitCast(o->b, equal, l->IntTypeInContext(o->context, lanes), "");
    return l->BuildICmp(o->b, LLVMIntEQ, equal, l->ConstAllOnes(l->TypeOf(equal)), "");
}

/* Whether a place is in range in all turns; its start and step. NULL if that cannot be told. */
static LLVMValueRef guard_place(struct loop *o, struct place *p)
{
    const struct llvm *l = o->l;
    unsigned lanes = llvm_lanes(l, l->TypeOf(p->index)), most = p->most + (p->alike ? 0 : lanes - 1);
    LLVMValueRef step = step_of(o, p->index, DEPTH), index, last, ok;

    if (!step || !llvm_same(l, step) || lanes > 64)
        return NULL;
    index = at_first(o, p->index);
    step = widened(o, step);
    ok = p->alike ? NULL : side_by_side(o, index);
    index = widened(o, index);
    last = binary(o, LLVMAdd, index, binary(o, LLVMMul, step, binary(o, LLVMSub, o->turns, number(o, 1))));
    last = binary(o, LLVMAdd, last, number(o, most + 1));
    last = at_most(o, last, widened(o, at_first(o, p->of.size)));
    ok = ok ? l->BuildAnd(o->b, ok, last, "") : last;
    /* Bytes are counted in 31 bits there. */
    last = binary(o, LLVMAdd, index, binary(o, LLVMMul, step, o->turns));
    ok = l->BuildAnd(o->b, ok, at_most(o, binary(o, LLVMAdd, last, number(o, most)), number(o, INT32_MAX >> p->of.shift)), "");
    index = binary(o, LLVMShl, index, number(o, p->of.shift));
    p->step = binary(o, LLVMShl, step, number(o, p->of.shift));
    p->start = l->BuildGEP2(o->b, l->Int8TypeInContext(o->context), at_first(o, p->of.base), &index, 1, "");
    return ok;
}

/* ---- The fast body ---- */

static LLVMValueRef read_place(struct loop *o, const struct fetch *f)
{
    const struct llvm *l = o->l;
    const struct place *p = &o->places[f->place];
    LLVMTypeRef type = l->TypeOf(f->value), byte = l->Int8TypeInContext(o->context);
    LLVMValueRef by = binary(o, LLVMMul, o->turn, p->step), more = number(o, ((uint64_t)f->apart << p->of.shift) + 4 * f->word);
    LLVMValueRef at = l->BuildGEP2(o->b, byte, p->start, &by, 1, "");

    if (p->alike)
        type = l->GetElementType(type);
    at = l->BuildGEP2(o->b, byte, at, &more, 1, "");
    at = l->BuildBitCast(o->b, at, l->PointerType(type, 0), "");
    at = l->BuildLoad2(o->b, type, at, "");
    l->SetAlignment(at, 4);
    return p->alike ? llvm_splat(l, o->b, at, llvm_lanes(l, l->TypeOf(f->value))) : at;
}

/* v in the fast body, where the builder is. What is fetched is read where it is first used: read where it was, it would be
 * kept in memory until then. */
static LLVMValueRef now(struct loop *o, LLVMValueRef v)
{
    LLVMValueRef copy = get(&o->now, v);

    for (unsigned i = 0; i < o->n_fetches && !copy; i++)
        if (o->fetches[i].value == v)
            put(&o->now, v, copy = read_place(o, &o->fetches[i]));
    return copy ? copy : at_first(o, v);
}

static bool is_fetch(const struct loop *o, LLVMValueRef v)
{
    for (unsigned i = 0; i < o->n_fetches; i++)
        if (o->fetches[i].value == v)
            return true;
    return false;
}

/* What is the same in every turn and needed in the fast body, where the builder is. */
static void hoist(struct loop *o)
{
    for (unsigned i = 0; i < o->n; i++)
        if (get(&o->needed, o->order[i]) && !varies(o, o->order[i]))
            at_first(o, o->order[i]);
}

/* Whether a phi of the head needs none in the fast body: what it is behind it can be told. */
static bool is_known(const struct loop *o, LLVMValueRef phi)
{
    unsigned by;

    return !get(&o->needed, phi) && (o->l->IsConstant(next_of(o, phi)) || grows(o, phi, &by));
}

/* What it then is, in the guard. */
static LLVMValueRef known(struct loop *o, LLVMValueRef phi)
{
    const struct llvm *l = o->l;
    LLVMValueRef next = next_of(o, phi), turns;

    if (l->IsConstant(next))
        return next;
    turns = l->BuildCast(o->b, LLVMTrunc, o->turns, l->Int32TypeInContext(o->context), "");
    if (llvm_lanes(l, l->TypeOf(phi)) > 1)
        turns = llvm_splat(l, o->b, turns, llvm_lanes(l, l->TypeOf(phi)));
    return l->BuildAdd(o->b, init_of(o, phi), binary(o, LLVMMul, turns, l->GetOperand(next, 1)), "");
}

static void build_fast(struct loop *o)
{
    const struct llvm *l = o->l;
    LLVMTypeRef wide = l->Int64TypeInContext(o->context);
    LLVMValueRef zero = number(o, 0), next;

    l->PositionBuilderAtEnd(o->b, o->fast);
    for (LLVMValueRef v = l->GetFirstInstruction(o->head), phi; llvm_is(l, v, LLVMPHI); v = l->GetNextInstruction(v))
        if (!is_known(o, v)) {
            phi = l->BuildPhi(o->b, l->TypeOf(v), "");
            put(&o->now, v, phi);
            l->AddIncoming(phi, (LLVMValueRef[]){ init_of(o, v) }, &o->guard, 1);
        }
    o->turn = l->BuildPhi(o->b, wide, "turn");
    l->AddIncoming(o->turn, &zero, &o->guard, 1);
    for (unsigned i = 0; i < o->n; i++) {
        LLVMValueRef v = o->order[i], copy;
        if (!get(&o->needed, v) || !varies(o, v) || is_fetch(o, v))
            continue;
        copy = l->InstructionClone(v);
        for (int k = 0; k < l->GetNumOperands(v); k++)
            l->SetOperand(copy, (unsigned)k, now(o, l->GetOperand(v, (unsigned)k)));
        l->InsertIntoBuilder(o->b, copy);
        put(&o->now, v, copy);
    }
    for (LLVMValueRef v = l->GetFirstInstruction(o->head); llvm_is(l, v, LLVMPHI); v = l->GetNextInstruction(v))
        if (!is_known(o, v))
            now(o, next_of(o, v));
    next = binary(o, LLVMAdd, o->turn, number(o, 1));
    l->AddIncoming(o->turn, &next, &o->fast, 1);
    l->BuildCondBr(o->b, l->BuildICmp(o->b, LLVMIntULT, next, o->turns, ""), o->fast, o->head);
}

/* The head comes from the guard as it came from before, and from the fast body as from the body. */
static void join(struct loop *o)
{
    const struct llvm *l = o->l;

    l->PositionBuilderBefore(o->b, l->GetBasicBlockTerminator(o->guard));
    for (LLVMValueRef v = l->GetFirstInstruction(o->head); llvm_is(l, v, LLVMPHI); v = l->GetNextInstruction(v)) {
        LLVMValueRef init = init_of(o, v), next = is_known(o, v) ? known(o, v) : now(o, next_of(o, v));
        if (!is_known(o, v))
            l->AddIncoming(get(&o->now, v), &next, &o->fast, 1);
        l->AddIncoming(v, &init, &o->guard, 1);
        l->AddIncoming(v, &next, &o->fast, 1);
    }
}

/* False if it turns out that nothing can be told: what was added is then not gone to. */
static bool build(struct loop *o)
{
    const struct llvm *l = o->l;
    LLVMValueRef ok = count_turns(o), in_range = NULL, end = l->GetBasicBlockTerminator(o->before);

    o->guard = l->InsertBasicBlockInContext(o->context, o->head, "guard");
    l->PositionBuilderAtEnd(o->b, o->guard);
    for (unsigned i = 0; i < o->n_places; i++) {
        LLVMValueRef one = guard_place(o, &o->places[i]);
        if (!one) {
            l->DeleteBasicBlock(o->guard);
            return false;
        }
        in_range = in_range ? l->BuildAnd(o->b, in_range, one, "") : one;
    }
    hoist(o);
    o->fast = l->InsertBasicBlockInContext(o->context, o->head, "fast");
    build_fast(o);
    l->PositionBuilderAtEnd(o->b, o->guard);
    l->BuildCondBr(o->b, in_range, o->fast, o->head);
    l->PositionBuilderBefore(o->b, end);
    l->BuildCondBr(o->b, ok, o->guard, o->head);
    l->InstructionEraseFromParent(end);
    join(o);
    return true;
}

unsigned llvm_strides(const struct llvm *l, LLVMModuleRef module)
{
    struct loop *o = calloc(1, sizeof(*o));
    LLVMContextRef context = l->GetModuleContext(module);
    LLVMBuilderRef b = l->CreateBuilderInContext(context);
    unsigned n = 0;

    for (LLVMValueRef f = l->GetFirstFunction(module); f && o; f = l->GetNextFunction(f))
        for (LLVMBasicBlockRef block = l->GetFirstBasicBlock(f); block; block = l->GetNextBasicBlock(block)) {
            if (!is_head(l, block))
                continue;
            memset(o, 0, sizeof(*o));
            o->l = l;
            o->b = b;
            o->context = context;
            n += find(o, block) && told(o, l->GetCondition(l->GetBasicBlockTerminator(block)), DEPTH) && o->compare &&
                 find_needed(o) && build(o);
        }
    l->DisposeBuilder(b);
    free(o);
    return n;
}
