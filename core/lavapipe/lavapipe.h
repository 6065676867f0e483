/* lavapipe.h - what tain adds to the compiler of the CPU driver; see README.md here.
 *
 * Stands on base. Only this folder knows LLVM.
 */
#ifndef TAIN_LAVAPIPE_H
#define TAIN_LAVAPIPE_H

#include "base/base.h"

/* What tells kernels apart that were compiled with our passes, or with other ones, in what a driver keeps of them: "" if
 * TAIN_PASSES or how this program was linked leaves them out. */
const char *lavapipe_key(void);

/* From now on kernels go through our passes, if `driver` ("llvmpipe Mesa 22.3.6 (LLVM 15.0.6)") is one that they are for;
 * before any was compiled. Whether they do. */
bool lavapipe_begin(const char *driver);

/* What was changed since the program began: vectors read for all lanes at once, loops, loops that read in strides,
 * reads side by side, splats of what one lane reads, loops that write, sums with a product. Kernels that the driver has kept are not compiled, so they do not count. */
struct lavapipe_counts {
    uint64_t gathers, loops, strides, sides, shares, scatters, fused;
};
void lavapipe_counts(struct lavapipe_counts *counts);

#endif
