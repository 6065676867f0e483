/* llvm.h - LLVM's C interface, as much of it as our passes call, by the names and numbers of llvm-c/Core.h, which promises
 * to keep them. Neither its headers nor its library are needed to build tain: the functions are those of the LLVM that the
 * driver has loaded.
 */
#ifndef TAIN_LLVM_H
#define TAIN_LLVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct LLVMOpaqueContext *LLVMContextRef;
typedef struct LLVMOpaqueModule *LLVMModuleRef;
typedef struct LLVMOpaqueType *LLVMTypeRef;
typedef struct LLVMOpaqueValue *LLVMValueRef;
typedef struct LLVMOpaqueBasicBlock *LLVMBasicBlockRef;
typedef struct LLVMOpaqueBuilder *LLVMBuilderRef;
typedef struct LLVMOpaqueUse *LLVMUseRef;
typedef struct LLVMOpaqueError *LLVMErrorRef;
typedef struct LLVMOpaqueTargetMachine *LLVMTargetMachineRef;
typedef struct LLVMOpaquePassBuilderOptions *LLVMPassBuilderOptionsRef;

/* What LLVMGetInstructionOpcode, LLVMGetICmpPredicate and LLVMGetTypeKind answer. */
enum {
    LLVMBr = 2, LLVMInvoke = 5, LLVMAdd = 8, LLVMFAdd, LLVMSub, LLVMFSub, LLVMMul, LLVMFMul, LLVMUDiv, LLVMSDiv,
    LLVMFDiv, LLVMURem, LLVMSRem, LLVMShl = 20, LLVMLShr, LLVMAShr, LLVMAnd, LLVMOr, LLVMXor, LLVMLoad = 27, LLVMStore,
    LLVMGetElementPtr, LLVMTrunc, LLVMZExt, LLVMSExt, LLVMFPToUI, LLVMFPToSI, LLVMUIToFP, LLVMSIToFP, LLVMPtrToInt = 39,
    LLVMIntToPtr, LLVMBitCast, LLVMICmp, LLVMFCmp, LLVMPHI, LLVMCall, LLVMSelect, LLVMExtractElement = 50,
    LLVMInsertElement, LLVMShuffleVector, LLVMFence = 55, LLVMAtomicCmpXchg, LLVMAtomicRMW, LLVMFNeg = 66, LLVMFreeze = 68,
};
enum { LLVMIntEQ = 32, LLVMIntNE, LLVMIntUGT, LLVMIntUGE, LLVMIntULT, LLVMIntULE, LLVMIntSGT, LLVMIntSLT = 40 };
enum { LLVMFloatTypeKind = 2, LLVMDoubleTypeKind, LLVMIntegerTypeKind = 8, LLVMPointerTypeKind = 12, LLVMVectorTypeKind };

#define LLVM_FUNCTIONS(F)                                                                          \
    F(LLVMErrorRef, RunPasses, (LLVMModuleRef, const char *, LLVMTargetMachineRef, LLVMPassBuilderOptionsRef)) \
    F(void, ParseCommandLineOptions, (int, const char *const *, const char *))                     \
    F(LLVMContextRef, GetModuleContext, (LLVMModuleRef))                                           \
    F(LLVMValueRef, GetFirstFunction, (LLVMModuleRef))                                             \
    F(LLVMValueRef, GetNextFunction, (LLVMValueRef))                                               \
    F(LLVMBasicBlockRef, GetFirstBasicBlock, (LLVMValueRef))                                       \
    F(LLVMValueRef, GetBasicBlockParent, (LLVMBasicBlockRef))                                      \
    F(LLVMBasicBlockRef, GetNextBasicBlock, (LLVMBasicBlockRef))                                   \
    F(LLVMBasicBlockRef, InsertBasicBlockInContext, (LLVMContextRef, LLVMBasicBlockRef, const char *)) \
    F(void, DeleteBasicBlock, (LLVMBasicBlockRef))                                                 \
    F(LLVMValueRef, GetBasicBlockTerminator, (LLVMBasicBlockRef))                                  \
    F(LLVMValueRef, GetFirstInstruction, (LLVMBasicBlockRef))                                      \
    F(LLVMValueRef, GetNextInstruction, (LLVMValueRef))                                            \
    F(LLVMBasicBlockRef, GetInstructionParent, (LLVMValueRef))                                     \
    F(void, InstructionRemoveFromParent, (LLVMValueRef))                                           \
    F(void, InstructionEraseFromParent, (LLVMValueRef))                                            \
    F(int, GetInstructionOpcode, (LLVMValueRef))                                                   \
    F(int, GetICmpPredicate, (LLVMValueRef))                                                       \
    F(int, GetVolatile, (LLVMValueRef))                                                            \
    F(int, GetOrdering, (LLVMValueRef))                                                            \
    F(LLVMValueRef, IsAInstruction, (LLVMValueRef))                                                \
    F(int, IsConstant, (LLVMValueRef))                                                             \
    F(int, IsNull, (LLVMValueRef))                                                                 \
    F(LLVMTypeRef, TypeOf, (LLVMValueRef))                                                         \
    F(int, GetTypeKind, (LLVMTypeRef))                                                             \
    F(unsigned, GetVectorSize, (LLVMTypeRef))                                                      \
    F(LLVMTypeRef, GetElementType, (LLVMTypeRef))                                                  \
    F(unsigned, GetIntTypeWidth, (LLVMTypeRef))                                                    \
    F(LLVMContextRef, GetTypeContext, (LLVMTypeRef))                                               \
    F(LLVMTypeRef, Int32TypeInContext, (LLVMContextRef))                                           \
    F(LLVMValueRef, ConstInt, (LLVMTypeRef, unsigned long long, int))                              \
    F(LLVMValueRef, ConstNull, (LLVMTypeRef))                                                      \
    F(LLVMValueRef, ConstAllOnes, (LLVMTypeRef))                                                   \
    F(LLVMValueRef, GetElementAsConstant, (LLVMValueRef, unsigned))                                \
    F(LLVMValueRef, IsAConstantDataSequential, (LLVMValueRef))                                     \
    F(int, GetNumOperands, (LLVMValueRef))                                                         \
    F(LLVMValueRef, GetOperand, (LLVMValueRef, unsigned))                                          \
    F(void, SetOperand, (LLVMValueRef, unsigned, LLVMValueRef))                                    \
    F(void, ReplaceAllUsesWith, (LLVMValueRef, LLVMValueRef))                                      \
    F(LLVMUseRef, GetFirstUse, (LLVMValueRef))                                                     \
    F(LLVMUseRef, GetNextUse, (LLVMUseRef))                                                        \
    F(LLVMValueRef, GetUser, (LLVMUseRef))                                                         \
    F(const char *, GetValueName2, (LLVMValueRef, size_t *))                                       \
    F(unsigned, GetNumMaskElements, (LLVMValueRef))                                                \
    F(int, GetMaskValue, (LLVMValueRef, unsigned))                                                 \
    F(unsigned, CountIncoming, (LLVMValueRef))                                                     \
    F(LLVMValueRef, GetIncomingValue, (LLVMValueRef, unsigned))                                    \
    F(LLVMBasicBlockRef, GetIncomingBlock, (LLVMValueRef, unsigned))                               \
    F(void, AddIncoming, (LLVMValueRef, LLVMValueRef *, LLVMBasicBlockRef *, unsigned))            \
    F(unsigned, GetNumSuccessors, (LLVMValueRef))                                                  \
    F(LLVMBasicBlockRef, GetSuccessor, (LLVMValueRef, unsigned))                                   \
    F(void, SetSuccessor, (LLVMValueRef, unsigned, LLVMBasicBlockRef))                             \
    F(LLVMValueRef, GetCondition, (LLVMValueRef))                                                  \
    F(unsigned, LookupIntrinsicID, (const char *, size_t))                                         \
    F(LLVMValueRef, GetIntrinsicDeclaration, (LLVMModuleRef, unsigned, LLVMTypeRef *, size_t))     \
    F(LLVMTypeRef, IntrinsicGetType, (LLVMContextRef, unsigned, LLVMTypeRef *, size_t))            \
    F(LLVMBuilderRef, CreateBuilderInContext, (LLVMContextRef))                                    \
    F(void, DisposeBuilder, (LLVMBuilderRef))                                                      \
    F(void, PositionBuilderBefore, (LLVMBuilderRef, LLVMValueRef))                                 \
    F(void, PositionBuilderAtEnd, (LLVMBuilderRef, LLVMBasicBlockRef))                             \
    F(void, InsertIntoBuilder, (LLVMBuilderRef, LLVMValueRef))                                     \
    F(LLVMValueRef, BuildBr, (LLVMBuilderRef, LLVMBasicBlockRef))                                  \
    F(LLVMValueRef, BuildCondBr, (LLVMBuilderRef, LLVMValueRef, LLVMBasicBlockRef, LLVMBasicBlockRef)) \
    F(LLVMValueRef, BuildCall2, (LLVMBuilderRef, LLVMTypeRef, LLVMValueRef, LLVMValueRef *, unsigned, const char *)) \
    F(LLVMValueRef, BuildBitCast, (LLVMBuilderRef, LLVMValueRef, LLVMTypeRef, const char *))       \
    F(LLVMValueRef, BuildFNeg, (LLVMBuilderRef, LLVMValueRef, const char *))                       \
    F(LLVMValueRef, BuildAnd, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, const char *))          \
    F(LLVMValueRef, BuildICmp, (LLVMBuilderRef, int, LLVMValueRef, LLVMValueRef, const char *))    \
    F(LLVMTypeRef, Int8TypeInContext, (LLVMContextRef))                                            \
    F(LLVMTypeRef, Int64TypeInContext, (LLVMContextRef))                                           \
    F(LLVMTypeRef, VectorType, (LLVMTypeRef, unsigned))                                            \
    F(LLVMTypeRef, PointerType, (LLVMTypeRef, unsigned))                                           \
    F(LLVMValueRef, IsAConstantInt, (LLVMValueRef))                                                \
    F(unsigned long long, ConstIntGetZExtValue, (LLVMValueRef))                                    \
    F(LLVMValueRef, GetUndef, (LLVMTypeRef))                                                       \
    F(void, SetAlignment, (LLVMValueRef, unsigned))                                                \
    F(LLVMValueRef, BuildAlloca, (LLVMBuilderRef, LLVMTypeRef, const char *))                      \
    F(LLVMValueRef, BuildStore, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef))                      \
    F(LLVMValueRef, BuildLoad2, (LLVMBuilderRef, LLVMTypeRef, LLVMValueRef, const char *))         \
    F(LLVMValueRef, BuildGEP2, (LLVMBuilderRef, LLVMTypeRef, LLVMValueRef, LLVMValueRef *, unsigned, const char *)) \
    F(LLVMTypeRef, GetGEPSourceElementType, (LLVMValueRef))                                        \
    F(LLVMValueRef, BuildPtrToInt, (LLVMBuilderRef, LLVMValueRef, LLVMTypeRef, const char *))      \
    F(LLVMValueRef, BuildIntToPtr, (LLVMBuilderRef, LLVMValueRef, LLVMTypeRef, const char *))      \
    F(LLVMValueRef, BuildSExt, (LLVMBuilderRef, LLVMValueRef, LLVMTypeRef, const char *))          \
    F(LLVMValueRef, BuildAdd, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, const char *))          \
    F(LLVMValueRef, BuildSelect, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, LLVMValueRef, const char *)) \
    F(LLVMValueRef, BuildInsertElement, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, LLVMValueRef, const char *)) \
    F(LLVMValueRef, BuildShuffleVector, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, LLVMValueRef, const char *)) \
    F(unsigned, GetAlignment, (LLVMValueRef))                                                      \
    F(LLVMValueRef, InstructionClone, (LLVMValueRef))                                              \
    F(LLVMTypeRef, IntTypeInContext, (LLVMContextRef, unsigned))                                   \
    F(LLVMValueRef, ConstVector, (LLVMValueRef *, unsigned))                                       \
    F(LLVMValueRef, BuildBinOp, (LLVMBuilderRef, int, LLVMValueRef, LLVMValueRef, const char *))   \
    F(LLVMValueRef, BuildCast, (LLVMBuilderRef, int, LLVMValueRef, LLVMTypeRef, const char *))     \
    F(LLVMValueRef, BuildZExt, (LLVMBuilderRef, LLVMValueRef, LLVMTypeRef, const char *))          \
    F(unsigned, CountParamTypes, (LLVMTypeRef))                                                    \
    F(unsigned, CountParams, (LLVMValueRef))                                                       \
    F(LLVMValueRef, GetParam, (LLVMValueRef, unsigned))                                            \
    F(LLVMValueRef, BuildPhi, (LLVMBuilderRef, LLVMTypeRef, const char *))                         \
    F(LLVMValueRef, BuildNot, (LLVMBuilderRef, LLVMValueRef, const char *))                        \
    F(LLVMValueRef, BuildExtractElement, (LLVMBuilderRef, LLVMValueRef, LLVMValueRef, const char *))

struct llvm {
#define FIELD(result, name, arguments) result(*name) arguments;
    LLVM_FUNCTIONS(FIELD)
#undef FIELD
};

static inline bool llvm_is(const struct llvm *l, LLVMValueRef v, int opcode)
{
    return l->IsAInstruction(v) && l->GetInstructionOpcode(v) == opcode;
}

/* A vector's lanes, 1 of other types. */
static inline unsigned llvm_lanes(const struct llvm *l, LLVMTypeRef t)
{
    return l->GetTypeKind(t) == LLVMVectorTypeKind ? l->GetVectorSize(t) : 1;
}

/* False if there is something that the library, or what it stands on, has not. (llvm.c) */
bool llvm_find(void *library, struct llvm *l);

/* ---- What is the same in all lanes (uniform.c) ---- */

/* Values that a proof has met. */
enum { LLVM_SEEN = 4096 };

struct llvm_set {
    LLVMValueRef v[LLVM_SEEN];
    unsigned n;
};

/* True the first time. What is met again while it is being shown is taken for shown (*known): a loop keeps what every step
 * of it keeps. Of what follows all must be shown, so that nothing is left of a mistake. Not *known: there is no room. */
bool llvm_add(struct llvm_set *set, LLVMValueRef v, bool *known);

LLVMValueRef llvm_strip(const struct llvm *l, LLVMValueRef v);       /* of casts that keep the bits */
bool llvm_is_ones(const struct llvm *l, LLVMValueRef v);             /* integers all of whose bits are 1 */
bool llvm_is_blend(const struct llvm *l, LLVMValueRef v);            /* x86's: of lanes of operands 0 and 1, by signs of 2 */
bool llvm_writes(const struct llvm *l, LLVMValueRef v);              /* or does what cannot be told */
bool llvm_only_reads(const struct llvm *l, LLVMBasicBlockRef block); /* what is read later is what would have been before */
bool llvm_same(const struct llvm *l, LLVMValueRef v);                /* whether all lanes of v are the same */

/* A vector with a number in all lanes, where the builder is. */
LLVMValueRef llvm_splat(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef number, unsigned lanes);

/* The number that a constant has in all lanes; false if it is none. */
bool llvm_constant(const struct llvm *l, LLVMValueRef v, unsigned *number);

/* Whether every lane is the one before plus one (rows.c), and lane 0 of what it is made of, where the builder is. */
bool llvm_beside(const struct llvm *l, LLVMValueRef v);
LLVMValueRef llvm_first(const struct llvm *l, LLVMBuilderRef b, LLVMValueRef v);

/* ---- What is read of texel buffers (fetches.c) ---- */

/* Where a number comes from: a word of what is loaded, cleared where this lane of in_range is 0; in_range may be missing. */
struct llvm_origin {
    LLVMValueRef load, in_range;
    unsigned word, lane;
};

unsigned llvm_words(const struct llvm *l, LLVMTypeRef t); /* of 32 bits in an element of a vector, 0 if it is none of such */
/* Follows one word of a vector back to a load. */
bool llvm_origin(const struct llvm *l, LLVMValueRef v, unsigned word, struct llvm_origin *o);
/* Whether a lane reads at base + offset[lane], in bytes. */
bool llvm_lane_address(const struct llvm *l, LLVMValueRef load, unsigned lane, LLVMValueRef *base, LLVMValueRef *offset);

/* In every lane a word of the texel with this index, 0 where there is none. A texel has 1 << shift bytes. `block` is where
 * it is read, NULL if that is more than one. */
struct llvm_fetch {
    LLVMValueRef base, index, size, in_range;
    LLVMBasicBlockRef block;
    unsigned shift, word;
};
bool llvm_fetch(const struct llvm *l, LLVMValueRef v, struct llvm_fetch *f); /* v: what was read, cleared */

/* Calls change() for every instruction, which it may remove: how many it changed. (llvm.c) */
unsigned llvm_each(const struct llvm *l, LLVMModuleRef module,
                   bool (*change)(const struct llvm *l, LLVMModuleRef module, LLVMBuilderRef b, LLVMValueRef v));

/* Passes: how many places they changed. A module stays right if any of them is left out. */
unsigned llvm_gathers(const struct llvm *l, LLVMModuleRef module);  /* what all lanes read from one place (gathers.c) */
unsigned llvm_loops(const struct llvm *l, LLVMModuleRef module);    /* loops that all lanes leave at once (loops.c) */
unsigned llvm_strides(const struct llvm *l, LLVMModuleRef module); /* what a loop reads in strides (strides.c) */
unsigned llvm_sides(const struct llvm *l, LLVMModuleRef module);   /* what lanes read side by side (sides.c) */
unsigned llvm_shares(const struct llvm *l, LLVMModuleRef module);   /* what one lane reads for all (shares.c) */
unsigned llvm_scatters(const struct llvm *l, LLVMModuleRef module); /* lanes that write side by side (scatters.c) */
unsigned llvm_context(const struct llvm *l, LLVMModuleRef module);  /* what the driver tells a kernel (context.c) */
unsigned llvm_fuse(const struct llvm *l, LLVMModuleRef module);     /* products that are added (fuse.c) */

#endif
