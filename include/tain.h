/* tain.h - the public interface of tain.
 *
 * Everything a recipe can reach is declared here, and nothing else is.
 *
 * A tain_… that you are given as a new reference is yours: release it with its _free. Nothing here
 * steals a reference, and releasing may happen in any order. No function calls you back.
 *
 * Functions that act return TAIN_OK or a negative status. Functions that make return NULL instead.
 * In both cases tain_error() then holds one sentence for a human.
 *
 * The grammar of this file is small on purpose, because lua/gen/bind.lua reads it: opaque structs,
 * enums, plain prototypes. No function macros, no inline functions, no bit-fields, no callbacks.
 */
#ifndef TAIN_H
#define TAIN_H

#ifndef TAIN_CDEF /* LuaJIT reads this header too, and knows these types */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#pragma GCC visibility push(default) /* the rest of tain is hidden */

/* ------------------------------------------------------------------ Errors */

typedef enum {
    TAIN_OK           =  0,
    TAIN_EINVAL       = -1, /* an argument is wrong; the sentence says which */
    TAIN_ENOMEM       = -2, /* host or device memory is exhausted */
    TAIN_EIO          = -3, /* the system refused to read or write */
    TAIN_EFORMAT      = -4, /* a file does not hold what its format promises */
    TAIN_EDEVICE      = -5, /* the device failed; nothing on it can be used again */
    TAIN_EINTERRUPTED = -6, /* the user asked to stop */
    TAIN_EUNSUPPORTED = -7  /* right in itself, but not something tain or this device can do */
} tain_status;

/// Describes the latest failure on this thread.
///
/// @return borrowed, until the next failure on this thread
const char *tain_error(void);

/// Says which kind of failure the latest one on this thread was.
///
/// @return the status that went with tain_error()
tain_status tain_error_status(void);

/* ------------------------------------------------------------------ Device */

/// A device that computes.
typedef struct tain_device tain_device;

/// Counts the Vulkan devices.
///
/// @return how many there are, or a negative status
int32_t tain_device_count(void);

/// Describes a device in one line of JSON: index, name, driver, kind, uuid, api, lanes, memory, limits.
///
/// @param index from 0
/// @return borrowed, until the next call on this thread; NULL if there is no such device
const char *tain_device_describe(int32_t index);

/// Opens a device. For the first time on a driver its fastest kernels are tried; one that is wrong there
/// is left out, and a sentence on standard error says so.
///
/// @param which an index, part of a name, or a UUID; NULL takes TAIN_DEVICE from the environment,
///        else a discrete GPU before an integrated one before the CPU driver
/// @return a new reference
tain_device *tain_device_open(const char *which);

/// Releases a device. Tensors hold their own reference to it.
///
/// @param device may be NULL
void tain_device_free(tain_device *device);

/// Names what was chosen, in one line that people paste into reports.
///
/// @param device an open device
/// @return borrowed, until the next call on this thread
const char *tain_device_banner(tain_device *device);

/// Waits until everything that was asked for has been computed.
///
/// @param device an open device
/// @return status
tain_status tain_device_wait(tain_device *device);

/// Tells how much device memory tensors hold.
///
/// @param device an open device
/// @param peak true for the most since the device was opened or the peak was reset
/// @return bytes
int64_t tain_device_memory(tain_device *device, bool peak);

/// Starts a new measurement of the peak.
///
/// @param device an open device
void tain_device_reset_peak(tain_device *device);

/// Makes the device count instead of compute: memory is counted and not taken, work is checked and not
/// done, and what is read is zero. Models are then loaded without their weights. So the program itself
/// tells how much memory it would need for anything.
///
/// @param device an open device on which nothing was made yet
/// @return status
tain_status tain_device_plan(tain_device *device);

/// Refuses device memory beyond a limit.
///
/// @param device an open device
/// @param bytes the limit; 0 for none but the device's own
/// @return status
tain_status tain_device_limit(tain_device *device, int64_t bytes);

/* ----------------------------------------------------------------- Tensors */

typedef enum {
    TAIN_F32  = 0,
    TAIN_F16  = 1,
    TAIN_BF16 = 2,
    TAIN_I32  = 3,
    TAIN_INT8 = 4, /* matrices that are not trained: 32 numbers of a row share a scale, 8.5 bits a number */
    TAIN_INT4 = 5  /* the same in 4.5 bits */
} tain_type;

/// Numbers on a device: a shape, a storage type, and a window on memory that views share.
typedef struct tain_tensor tain_tensor;

/// Makes a tensor of zeros.
///
/// @param device where
/// @param type how it is stored; int8 and int4 are for matrices with rows of a multiple of 32, which are
///        the weight of a linear layer and nothing else
/// @param dims how many dimensions, 0 to 6
/// @param shape sizes, slowest dimension first
/// @return a new tensor
tain_tensor *tain_tensor_create(tain_device *device, tain_type type, int32_t dims, const int64_t *shape);

/// Releases a tensor.
///
/// @param tensor may be NULL
void tain_tensor_free(tain_tensor *tensor);

/// Counts the dimensions.
///
/// @param tensor any
/// @return 0 to 6
int32_t tain_tensor_dims(const tain_tensor *tensor);

/// Tells one size.
///
/// @param tensor any
/// @param dim from 0; negative counts from the end
/// @return the size, or a negative status
int64_t tain_tensor_size(const tain_tensor *tensor, int32_t dim);

/// Counts the elements.
///
/// @param tensor any
/// @return the product of the sizes
int64_t tain_tensor_count(const tain_tensor *tensor);

/// Tells how a tensor is stored.
///
/// @param tensor any
/// @return its storage type
tain_type tain_tensor_type(const tain_tensor *tensor);

/// Fills a tensor from floats, converting to its storage type (to integers by truncation).
///
/// @param tensor any; not a view with gaps
/// @param values in row-major order
/// @param count must be the tensor's count
/// @return status
tain_status tain_tensor_write(tain_tensor *tensor, const float *values, int64_t count);

/// Fills a tensor with the elements of another, on the device: what an optimizer does with a weight.
///
/// @param tensor f32; not a view with gaps
/// @param from f32 of the same shape; not a view with gaps
/// @return status
tain_status tain_tensor_assign(tain_tensor *tensor, tain_tensor *from);

/// Waits for a tensor and reads it as floats.
///
/// @param tensor any
/// @param values where to, in row-major order
/// @param count must be the tensor's count
/// @return status
tain_status tain_tensor_read(tain_tensor *tensor, float *values, int64_t count);

/// Fills an integer tensor.
///
/// @param tensor of type i32
/// @param values in row-major order
/// @param count must be the tensor's count
/// @return status
tain_status tain_tensor_write_ints(tain_tensor *tensor, const int32_t *values, int64_t count);

/// Waits for an integer tensor and reads it.
///
/// @param tensor of type i32
/// @param values where to, in row-major order
/// @param count must be the tensor's count
/// @return status
tain_status tain_tensor_read_ints(tain_tensor *tensor, int32_t *values, int64_t count);

/// Makes a leaf of the tape: its gradient is computed and kept, and later ones are added to it.
///
/// @param tensor f32, and not itself the result of a recorded call
/// @param wanted whether; false also drops the gradient that there is
/// @return status
tain_status tain_tensor_want_grad(tain_tensor *tensor, bool wanted);

/// Gives the gradient that backward left.
///
/// @param tensor a leaf
/// @return a new reference, or NULL if there is none
tain_tensor *tain_tensor_grad(tain_tensor *tensor);

/* -------------------------------------------------------------------- Tape */

/// Starts recording for gradients.
///
/// @param device where
/// @return status; TAIN_EINVAL if a tape runs already
tain_status tain_tape_begin(tain_device *device);

/// Drops everything recorded.
///
/// @param device where
void tain_tape_end(tain_device *device);

/// Computes the gradients of all leaves that a number depends on. The tape is empty afterwards.
///
/// @param loss one element
/// @return status
tain_status tain_backward(tain_tensor *loss);

/// Switches recording off and on again.
///
/// @param device where
/// @param on false inside no_grad
/// @return what it was before
bool tain_grad_enable(tain_device *device, bool on);

/* ---------------------------------------------------------------- Training */

/// What changes parameters by their gradients. While it lives, it holds the gradients' memory, and
/// backward adds to what is there.
typedef struct tain_optimizer tain_optimizer;

/// Makes an AdamW optimizer and makes its parameters leaves of the tape. Parameters that are
/// neighbours in memory are updated together.
///
/// @param params f32, without gaps, not in the hands of another optimizer
/// @param count how many
/// @return a new reference
tain_optimizer *tain_adamw_create(tain_tensor *const *params, int32_t count);

/// Releases an optimizer. Its parameters stay as they are, without gradients.
///
/// @param optimizer may be NULL
void tain_optimizer_free(tain_optimizer *optimizer);

/// Sets all gradients to zero.
///
/// @param optimizer any
/// @return status
tain_status tain_optimizer_zero(tain_optimizer *optimizer);

/// Takes one step along the gradients, without waiting for the device. If the norm of all gradients
/// is not a finite number, nothing changes but the count of skipped steps.
///
/// @param optimizer any
/// @param lr learning rate
/// @param beta1 decay of the mean of the gradients
/// @param beta2 decay of the mean of their squares
/// @param eps added to the divisor
/// @param decay weight decay, apart from the gradient: parameters shrink by lr * decay
/// @param clip the greatest norm of all gradients together; 0 for none
/// @return status
tain_status tain_optimizer_step(tain_optimizer *optimizer, double lr, double beta1, double beta2, double eps, double decay,
                                double clip);

/// Keeps a loss for tain_optimizer_loss, and skips the next step if it is not a finite number.
///
/// @param optimizer any
/// @param loss f32, one element
/// @return status
tain_status tain_optimizer_watch(tain_optimizer *optimizer, tain_tensor *loss);

/// Waits for the loss that was watched last. After a step, loss, norm and skipped cost one read.
///
/// @param optimizer any
/// @return the loss; no number on failure
double tain_optimizer_loss(tain_optimizer *optimizer);

/// Waits for the latest step.
///
/// @param optimizer any
/// @return the norm of its gradients before clipping, 0 before the first step, or a negative status
double tain_optimizer_norm(tain_optimizer *optimizer);

/// Counts the steps, the skipped ones included.
///
/// @param optimizer any
/// @return how many, or a negative status
int64_t tain_optimizer_steps(const tain_optimizer *optimizer);

/// Waits for the latest step and counts those that were skipped.
///
/// @param optimizer any
/// @return how many, or a negative status
int64_t tain_optimizer_skipped(tain_optimizer *optimizer);

/// Tells how large the state is that save writes.
///
/// @param optimizer any
/// @return floats: two for each parameter's element
int64_t tain_optimizer_state_count(const tain_optimizer *optimizer);

/// Writes what an optimizer remembers, all or nothing, as a safetensors file.
///
/// @param optimizer any
/// @param path of the file
/// @return status
tain_status tain_optimizer_save(tain_optimizer *optimizer, const char *path);

/// Reads what save wrote, so that training goes on as if it had not been interrupted.
///
/// @param optimizer with parameters of the same sizes, in the same order
/// @param path of the file
/// @return status
tain_status tain_optimizer_load(tain_optimizer *optimizer, const char *path);

/* -------------------------------------------------------------- Operations */

/// Converts to another storage type. Differentiable between float types.
///
/// @param x any
/// @param type of the result
/// @return a new tensor shaped like x
tain_tensor *tain_cast(tain_tensor *x, tain_type type);

/// Applies -x to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_neg(tain_tensor *x);

/// Applies e to the power x to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_exp(tain_tensor *x);

/// Applies the natural logarithm to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_log(tain_tensor *x);

/// Applies the square root to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_sqrt(tain_tensor *x);

/// Applies 1 / sqrt(x) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_rsqrt(tain_tensor *x);

/// Applies the absolute value to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_abs(tain_tensor *x);

/// Applies x * x to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_square(tain_tensor *x);

/// Applies the hyperbolic tangent to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_tanh(tain_tensor *x);

/// Applies 1 / (1 + exp(-x)) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_sigmoid(tain_tensor *x);

/// Applies log(sigmoid(x)), without overflow for large |x| to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_logsigmoid(tain_tensor *x);

/// Applies max(x, 0) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_relu(tain_tensor *x);

/// Applies x * sigmoid(x) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_silu(tain_tensor *x);

/// Applies x times the normal distribution function of x (the erf form) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_gelu(tain_tensor *x);

/// Applies the tanh approximation of gelu to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_gelu_tanh(tain_tensor *x);

/// Applies x * sigmoid(1.702 x) to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_quick_gelu(tain_tensor *x);

/// Applies log(1 + exp(x)), without overflow to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_softplus(tain_tensor *x);

/// Applies the sine to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_sin(tain_tensor *x);

/// Applies the cosine to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_cos(tain_tensor *x);

/// Applies 1 / x to every element.
///
/// @param x any float type
/// @return a new f32 tensor shaped like x
tain_tensor *tain_reciprocal(tain_tensor *x);

/// Applies x * a to every element.
///
/// @param x any float type
/// @param a factor
/// @return a new f32 tensor shaped like x
tain_tensor *tain_scale(tain_tensor *x, float a);

/// Applies x + a to every element.
///
/// @param x any float type
/// @param a what is added
/// @return a new f32 tensor shaped like x
tain_tensor *tain_shift(tain_tensor *x, float a);

/// Applies max(x, a) to every element.
///
/// @param x any float type
/// @param a lower bound
/// @return a new f32 tensor shaped like x
tain_tensor *tain_maximum(tain_tensor *x, float a);

/// Applies min(x, a) to every element.
///
/// @param x any float type
/// @param a upper bound
/// @return a new f32 tensor shaped like x
tain_tensor *tain_minimum(tain_tensor *x, float a);

/// Attends: softmax(q k^T / sqrt(D)) v for every head, without storing the scores.
///
/// @param q [B, T, H, D]; D a multiple of 4
/// @param k [B, S, KV, D]; KV divides H, and each key head serves H / KV heads of q
/// @param v like k
/// @param causal whether a query sees only keys up to its own place; the last query sees all
/// @return a new tensor [B, T, H, D]
tain_tensor *tain_attention(tain_tensor *q, tain_tensor *k, tain_tensor *v, bool causal);

/// Multiplies matrices: the last two dimensions of a and b. Leading dimensions are equal, or b has
/// none.
///
/// @param a [.., M, K], any float type
/// @param b [.., K, N] or [K, N], any float type
/// @return a new f32 tensor [.., M, N]
tain_tensor *tain_matmul(tain_tensor *a, tain_tensor *b);

/// Applies a linear layer: x times the transpose of weight, plus bias.
///
/// @param x [.., K], any float type
/// @param weight [N, K], f32, f16 or bf16
/// @param bias [N], or NULL
/// @return a new f32 tensor [.., N]
tain_tensor *tain_linear(tain_tensor *x, tain_tensor *weight, tain_tensor *bias);

/// Gives the same numbers another shape.
///
/// @param x any
/// @param dims how many dimensions the result has
/// @param shape sizes, slowest first; one may be -1 and follows from the others
/// @return a view of x, or of a dense copy if x is a view with gaps
tain_tensor *tain_reshape(tain_tensor *x, int32_t dims, const int64_t *shape);

/// Takes a part along one dimension.
///
/// @param x f32
/// @param dim dimension; negative counts from the end
/// @param start first index, from 0
/// @param size how many
/// @return a view of x
tain_tensor *tain_slice(tain_tensor *x, int32_t dim, int64_t start, int64_t size);

/// Exchanges two dimensions.
///
/// @param x f32
/// @param a dimension; negative counts from the end
/// @param b dimension; negative counts from the end
/// @return a view of x
tain_tensor *tain_transpose(tain_tensor *x, int32_t a, int32_t b);

/// Makes a view dense.
///
/// @param x any
/// @return x itself (a new reference) if it is dense already, else a copy
tain_tensor *tain_contiguous(tain_tensor *x);

/// Divides every row by the root of its mean square, then multiplies by a weight.
///
/// @param x [.., C]
/// @param weight [C]
/// @param eps added to the mean square
/// @return a new f32 tensor shaped like x
tain_tensor *tain_rms_norm(tain_tensor *x, tain_tensor *weight, float eps);

/// Brings every row to mean 0 and variance 1, then multiplies by a weight and adds a bias.
///
/// @param x [.., C]
/// @param weight [C]
/// @param bias [C], or NULL
/// @param eps added to the variance
/// @return a new f32 tensor shaped like x
tain_tensor *tain_layer_norm(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, float eps);

/// Adds element by element.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_add(tain_tensor *a, tain_tensor *b);

/// Subtracts b from a, element by element.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_sub(tain_tensor *a, tain_tensor *b);

/// Multiplies element by element.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_mul(tain_tensor *a, tain_tensor *b);

/// Divides a by b, element by element.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_div(tain_tensor *a, tain_tensor *b);

/// Takes the greater of each two elements.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_greatest(tain_tensor *a, tain_tensor *b);

/// Takes the lesser of each two elements.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_least(tain_tensor *a, tain_tensor *b);

/// Gives 1 where a > b and 0 elsewhere. No gradient flows through it.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_gt(tain_tensor *a, tain_tensor *b);

/// Gives 1 where a >= b and 0 elsewhere. No gradient flows through it.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_ge(tain_tensor *a, tain_tensor *b);

/// Gives 1 where a < b and 0 elsewhere. No gradient flows through it.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_lt(tain_tensor *a, tain_tensor *b);

/// Gives 1 where a <= b and 0 elsewhere. No gradient flows through it.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_le(tain_tensor *a, tain_tensor *b);

/// Gives 1 where a == b and 0 elsewhere. No gradient flows through it.
///
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that a and b have together
tain_tensor *tain_eq(tain_tensor *a, tain_tensor *b);

/// Takes a where mask is not 0, and b where it is.
///
/// @param mask any float type; no gradient flows to it
/// @param a any float type
/// @param b any float type; sizes of 1 repeat, as in NumPy
/// @return a new f32 tensor of the shape that the three have together
tain_tensor *tain_where(tain_tensor *mask, tain_tensor *a, tain_tensor *b);

/// Sums all elements.
///
/// @param x any float type
/// @return a new f32 tensor without dimensions
tain_tensor *tain_sum(tain_tensor *x);

/// Averages all elements.
///
/// @param x any float type
/// @return a new f32 tensor without dimensions
tain_tensor *tain_mean(tain_tensor *x);

/// Sums along one dimension.
///
/// @param x any float type
/// @param dim which dimension; negative counts from the end
/// @param keep whether the dimension stays, with size 1 (default false)
/// @return a new f32 tensor without that dimension, or with size 1 there
tain_tensor *tain_sum_dim(tain_tensor *x, int32_t dim, bool keep);

/// Averages along one dimension.
///
/// @param x any float type
/// @param dim which dimension; negative counts from the end
/// @param keep whether the dimension stays, with size 1 (default false)
/// @return a new f32 tensor without that dimension, or with size 1 there
tain_tensor *tain_mean_dim(tain_tensor *x, int32_t dim, bool keep);

/// Takes the greatest element along one dimension. The gradient goes to it alone, of equals to the first.
///
/// @param x any float type
/// @param dim which dimension; negative counts from the end
/// @param keep whether the dimension stays, with size 1 (default false)
/// @return a new f32 tensor without that dimension, or with size 1 there
tain_tensor *tain_max_dim(tain_tensor *x, int32_t dim, bool keep);

/// Finds the index of the greatest element along one dimension, of equals the first.
///
/// @param x any float type
/// @param dim which dimension; negative counts from the end
/// @return a new i32 tensor without that dimension
tain_tensor *tain_argmax(tain_tensor *x, int32_t dim);

/// Turns pairs of channels by angles that grow with the position (rotary positions, rotate-half form).
///
/// @param x [B, T, H, D]; may be a strided view
/// @param positions i32, [T] or [B, T]
/// @param width how many channels of each head are turned, even, at most D; the rest pass through
/// @param theta base of the angles, 10000 or so
/// @return a new f32 tensor shaped like x
tain_tensor *tain_rope(tain_tensor *x, tain_tensor *positions, int32_t width, float theta);

/// Does the same to the queries and keys of a packed tensor; values pass through.
///
/// @param qkv [B, T, (heads + 2 * kv_heads) * D]
/// @param positions i32, [T] or [B, T]
/// @param heads heads of the queries
/// @param kv_heads heads of the keys, and of the values
/// @param width how many channels of each head are turned, even, at most D
/// @param theta base of the angles
/// @return a new f32 tensor shaped like qkv
tain_tensor *tain_rope_qkv(tain_tensor *qkv, tain_tensor *positions, int32_t heads, int32_t kv_heads, int32_t width, float theta);

/// Computes silu(gate) * up.
///
/// @param gate any shape
/// @param up shaped like gate
/// @return a new f32 tensor shaped like gate
tain_tensor *tain_gate(tain_tensor *gate, tain_tensor *up);

/// Computes silu(first half) * second half along the last dimension.
///
/// @param x [.., 2 * F]
/// @return a new f32 tensor [.., F]
tain_tensor *tain_swiglu(tain_tensor *x);

/// Takes the softmax along one dimension.
///
/// @param x any float type
/// @param dim which dimension (default -1); negative counts from the end
/// @return a new f32 tensor shaped like x
tain_tensor *tain_softmax(tain_tensor *x, int32_t dim);

/// Takes the logarithm of the softmax along one dimension, without overflow.
///
/// @param x any float type
/// @param dim which dimension (default -1); negative counts from the end
/// @return a new f32 tensor shaped like x
tain_tensor *tain_log_softmax(tain_tensor *x, int32_t dim);

/// Gives the log-probability of one token a row: the logarithm of the softmax of the row at the target.
///
/// @param logits any float type, [.., V]
/// @param target i32, one for each row; -100 gives 0 and no gradient
/// @return a new f32 tensor [..]
tain_tensor *tain_token_logprob(tain_tensor *logits, tain_tensor *target);

/// Takes rows of a table.
///
/// @param table [rows, channels], any float type
/// @param index i32, of at most 5 dimensions
/// @return a new f32 tensor: the index's shape, then channels; rows of an index out of range that only
///         the device knows are no numbers
tain_tensor *tain_embed(tain_tensor *table, tain_tensor *index);

/// Puts tensors one after the other along a dimension.
///
/// @param parts any float types; their shapes differ only in that dimension
/// @param count how many
/// @param dim which dimension; negative counts from the end
/// @return a new f32 tensor
tain_tensor *tain_concat(tain_tensor *const *parts, int32_t count, int32_t dim);

/// Takes one element of each row, at an index.
///
/// @param x any float type, [.., C]
/// @param index i32, one for each row
/// @return a new f32 tensor [..]
tain_tensor *tain_gather(tain_tensor *x, tain_tensor *index);

/// Takes parts along the first dimension, in any order and any number of times.
///
/// @param x any float type
/// @param index i32
/// @return a new f32 tensor: the index's shape, then that of one part
tain_tensor *tain_rows(tain_tensor *x, tain_tensor *index);

/// Mixes rows of conditional and unconditional logits: n + guidance * (c - n).
///
/// @param logits any float type, [2R, V]: row 2i is conditional, row 2i + 1 is not
/// @param guidance 1 gives the conditional rows, more exaggerates the condition
/// @return a new f32 tensor [R, V]
tain_tensor *tain_guide(tain_tensor *logits, float guidance);

/// Draws one token a row from the softmax of logits / temperature: the smallest index at which the
/// running sum of probabilities reaches the row's uniform number. No gradient flows through it.
///
/// @param logits any float type, [.., V]
/// @param uniforms f32, one for each row, in [0, 1)
/// @param temperature (default 1); 0 takes the likeliest token
/// @return a new i32 tensor shaped like uniforms
tain_tensor *tain_sample(tain_tensor *logits, tain_tensor *uniforms, float temperature);

/// Draws tokens as sample does, from logits mixed as guide does.
///
/// @param logits any float type, [2R, V]: row 2i is conditional, row 2i + 1 is not
/// @param uniforms f32, one for each two rows, in [0, 1)
/// @param guidance 1 gives the conditional rows, more exaggerates the condition
/// @param temperature (default 1); 0 takes the likeliest token
/// @return a new i32 tensor shaped like uniforms
tain_tensor *tain_sample_guided(tain_tensor *logits, tain_tensor *uniforms, float guidance, float temperature);

/// Draws uniform numbers in [0, 1) by counting: each depends on seed, stream and its position alone.
///
/// @param device where
/// @param dims how many dimensions, 0 to 6
/// @param shape sizes, slowest dimension first
/// @param seed equal seeds give equal numbers
/// @param stream streams of one seed are independent
/// @param position of the first number in its stream
/// @return a new f32 tensor
tain_tensor *tain_uniform(tain_device *device, int32_t dims, const int64_t *shape, int64_t seed, int64_t stream,
                          int64_t position);

/// Draws normal numbers, of mean 0 and deviation 1, by counting.
///
/// @param device where
/// @param dims how many dimensions, 0 to 6
/// @param shape sizes, slowest dimension first
/// @param seed equal seeds give equal numbers
/// @param stream streams of one seed are independent
/// @param position of the first number in its stream
/// @return a new f32 tensor
tain_tensor *tain_normal(tain_device *device, int32_t dims, const int64_t *shape, int64_t seed, int64_t stream,
                         int64_t position);

/// Convolves images.
///
/// @param x [B, H, W, Cin]
/// @param weight [Kh, Kw, Cin, Cout]
/// @param bias [Cout], or NULL
/// @param stride steps between neighbouring results
/// @param pad_top_left rows of zeros above, and columns to the left
/// @param pad_bottom_right rows of zeros below, and columns to the right
/// @return a new f32 tensor [B, H', W', Cout]
tain_tensor *tain_conv2d(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, int32_t stride, int32_t pad_top_left, int32_t pad_bottom_right);

/// Makes images twice as large in both directions; every pixel becomes four.
///
/// @param x [B, H, W, C]
/// @return a new f32 tensor [B, 2 * H, 2 * W, C]
tain_tensor *tain_upsample2(tain_tensor *x);

/// Cuts images into square patches. Not differentiable.
///
/// @param x [B, H, W, C]
/// @param size of a patch; it divides H and W
/// @return a new f32 tensor [B, patches, C * size * size], each patch in the order channel, row, column
tain_tensor *tain_patch(tain_tensor *x, int32_t size);

/// Brings every group of channels of every image to mean 0 and variance 1, multiplies by a weight and
/// adds a bias.
///
/// @param x [B, .., C]
/// @param weight [C]
/// @param bias [C]
/// @param groups how many; it divides C
/// @param eps added to the variance
/// @param silu whether x * sigmoid(x) is applied to the result
/// @return a new f32 tensor shaped like x
tain_tensor *tain_group_norm(tain_tensor *x, tain_tensor *weight, tain_tensor *bias, int32_t groups, float eps, bool silu);

/* ------------------------------------------------------------------ Models */

/// A unified model: it draws images and answers questions about images.
typedef struct tain_model tain_model;

/// Loads a model from a folder of published files.
///
/// @param device where
/// @param folder config.json, model.safetensors or pytorch_model.bin (or shards and their index),
///        tokenizer files; as DeepSeek published it, or in the layout of transformers' port
/// @param storage how matrices are stored: f32 (can be trained), f16 or bf16; with int8 and int4 those of
///        the language model's layers are quantised while they are read, if their rows are a multiple of 32
///        long, and all others are 16-bit. Keys and values of earlier tokens are kept in the same way as the
///        language model's embedding: see tain_model_cache
/// @return a new reference
tain_model *tain_model_load(tain_device *device, const char *folder, tain_type storage);

/// Makes a model with random weights.
///
/// @param device where
/// @param folder config.json and tokenizer files
/// @param seed of the weights
/// @return a new reference
tain_model *tain_model_create(tain_device *device, const char *folder, int64_t seed);

/// Releases a model.
///
/// @param model may be NULL
void tain_model_free(tain_model *model);

/// Writes model.safetensors (or shards). The other files of a model folder are the caller's matter.
///
/// @param model any
/// @param folder must exist
/// @param type how numbers are stored in the file: f32, f16 or bf16; int8 or int4 for a model that was
///        loaded so, which writes every weight as it is stored
/// @param port whether under the names that transformers' port gave the weights, or DeepSeek's
/// @param shard bytes at most of one file's tensors; a larger tensor is a file by itself
/// @return status; nothing is left behind on failure
tain_status tain_model_save(tain_model *model, const char *folder, tain_type type, bool port, int64_t shard);

/// Counts the matrices of the file that are stored in some way on the device; embeddings are none.
///
/// @param model any
/// @param type a storage type
/// @return how many, or a negative status
int32_t tain_model_matrices(tain_model *model, tain_type type);

/// Tells in which layout the model's config.json was.
///
/// @param model any
/// @return true for that of transformers' port
bool tain_model_is_port(tain_model *model);

/// Finds a token by the name it has in the tokenizer's file.
///
/// @param model any
/// @param name such as "<begin_of_image>"
/// @return its id, or -1
int32_t tain_model_token(tain_model *model, const char *name);

/// Replaces the weights by those of a file.
///
/// @param model stored as f32
/// @param path a safetensors file or a folder, in either layout
/// @return status
tain_status tain_model_restore(tain_model *model, const char *path);

/// Counts the weights, each as the file names it.
///
/// @param model any
/// @return how many
int32_t tain_model_weight_count(tain_model *model);

/// Names a weight.
///
/// @param model any
/// @param index from 0
/// @return borrowed from the model
const char *tain_model_weight_name(tain_model *model, int32_t index);

/// Gives the tensor that holds a weight. Weights that lie side by side (q, k and v) share one.
///
/// @param model any
/// @param index from 0
/// @return a new reference
tain_tensor *tain_model_weight(tain_model *model, int32_t index);

/// Chooses between time and memory in training: with recomputation only what enters a layer of the
/// language model is kept, and each layer is computed again on the way back.
///
/// @param model any
/// @param on whether
/// @return status
tain_status tain_model_recompute(tain_model *model, bool on);

/// Says how keys and values of earlier tokens are kept from now on while the model draws and answers. In 16
/// bits they take half the memory of f32, and are rounded to nearest even; all computing stays f32.
///
/// @param model any
/// @param type f32, f16 or bf16
/// @return status
tain_status tain_model_cache(tain_model *model, tain_type type);

/// Gives the model a new low-rank adapter (LoRA) in the place of the one it has. Nothing changes at
/// first: B starts at 0. The adapter is in force.
///
/// @param model any
/// @param targets "all-linear", or names between commas ("q_proj,v_proj"); * stands for any text
/// @param rank of A and B
/// @param alpha the scale is alpha / rank, or alpha / sqrt(rank)
/// @param root whether the scale has the square root
/// @param seed of A
/// @return status
tain_status tain_model_adapt(tain_model *model, const char *targets, int32_t rank, float alpha, bool root, int64_t seed);

/// Loads an adapter from a folder of PEFT's in the place of the one the model has. It is in force.
/// Modules may have the names of DeepSeek's layout or those of transformers' port, whichever the model has.
///
/// @param model any
/// @param folder adapter_config.json and adapter_model.safetensors
/// @return status; on failure the model is as it was
tain_status tain_model_adapter_load(tain_model *model, const char *folder);

/// Writes the adapter as a folder of PEFT's.
///
/// @param model with an adapter
/// @param folder must exist
/// @param base names the model it belongs to
/// @param port whether under the names that transformers' port gave the modules, or DeepSeek's. The vision
///        tower's q, k and v are three modules there and one here; three adapters become one of their ranks'
///        sum, and one becomes three, which do the same
/// @return status
tain_status tain_model_adapter_save(tain_model *model, const char *folder, const char *base, bool port);

/// Switches the adapter: off is the model before training, and the reference of preference losses.
///
/// @param model any
/// @param on whether it is in force
/// @return what it was before
bool tain_model_adapter_enable(tain_model *model, bool on);

/// Adds the adapter to the weights and drops it.
///
/// @param model stored as f32, with an adapter
/// @return status
tain_status tain_model_adapter_merge(tain_model *model);

/// Drops the adapter.
///
/// @param model any
void tain_model_adapter_drop(tain_model *model);

/// Gives a tensor of the adapter: A, B, A, B, … in the order of the weights.
///
/// @param model any
/// @param index from 0
/// @return a new reference, or NULL past the last one
tain_tensor *tain_model_adapter(tain_model *model, int32_t index);

/// Tells how many codes an image has.
///
/// @param model any
/// @return the number of codes
int32_t tain_model_image_codes(tain_model *model);

/// Tells how many different codes there are.
///
/// @param model any
/// @return the size of the codebook
int32_t tain_model_codebook(tain_model *model);

/// Counts the tokens that the language model reads for a text.
///
/// @param model any
/// @param text a prompt to draw by, or a question
/// @param question whether it is a question about an image; the image's own tokens are counted too
/// @return how many, or a negative status
int32_t tain_model_tokens(tain_model *model, const char *text, bool question);

/// Tells how many pixels a side the images have that the model draws.
///
/// @param model any
/// @return pixels
int32_t tain_model_image_size(tain_model *model);

/// Computes how likely the model is to draw given images: the log-probability of every code. Differentiable.
///
/// @param model any
/// @param prompts one for each row
/// @param dropped one for each row: not 0 puts padding in the place of the prompt, as guidance does; or NULL
/// @param rows how many images
/// @param codes [rows, image_codes]
/// @return a new tensor [rows, image_codes]
tain_tensor *tain_model_logprob(tain_model *model, const char *const *prompts, const uint8_t *dropped, int32_t rows,
                                const int32_t *codes);

/// Computes how likely answers to questions about images are: the sum over the tokens of each answer
/// and the end after it. Questions about one image share the cost of seeing it. Differentiable.
///
/// @param model any
/// @param rgb [images, height, width, 3] bytes
/// @param images how many
/// @param width pixels
/// @param height pixels
/// @param image_of [count] which image each question is about, from 0
/// @param questions [count]
/// @param answers [count]
/// @param count how many questions
/// @return a new tensor [count]
tain_tensor *tain_model_answer(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                               const int32_t *image_of, const char *const *questions, const char *const *answers,
                               int32_t count);

/// Reads the first word of the model's answers to questions about images.
///
/// @param model any
/// @param rgb [images, height, width, 3] bytes
/// @param images how many
/// @param width pixels
/// @param height pixels
/// @param image_of [count] which image each question is about, from 0
/// @param questions [count]
/// @param count how many questions
/// @param yes receives [count] the probability of all spellings of yes
/// @param no receives [count] the probability of all spellings of no
/// @param first receives [count] the likeliest first word: 1 yes, 0 no, -1 another
/// @return status
tain_status tain_model_score(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                             const int32_t *image_of, const char *const *questions, int32_t count, float *yes, float *no,
                             int32_t *first);

/// Answers a question about an image, word by likeliest word.
///
/// @param model any
/// @param rgb [height, width, 3] bytes; or NULL for a question without an image
/// @param width pixels
/// @param height pixels
/// @param question any text
/// @param most tokens at most
/// @return borrowed, until the next call on this thread
const char *tain_model_ask(tain_model *model, const uint8_t *rgb, int32_t width, int32_t height, const char *question,
                           int32_t most);

/// Images on their way.
typedef struct tain_drawing tain_drawing;

/// Starts to draw images, one for each prompt.
///
/// @param model any
/// @param prompts [rows]
/// @param rows how many images
/// @param seed of the random numbers
/// @param streams [rows] which random numbers each row uses: an image depends on its prompt, seed and stream alone
/// @param guidance weight of the prompt; 1 for none
/// @param temperature of the choice; 1 as trained
/// @return a new drawing
tain_drawing *tain_model_draw(tain_model *model, const char *const *prompts, int32_t rows, int64_t seed,
                              const int64_t *streams, float guidance, float temperature);

/// Draws one more code of every image.
///
/// @param drawing any
/// @return how many codes are left, or a negative status
int32_t tain_drawing_next(tain_drawing *drawing);

/// Gives the codes when none are left.
///
/// @param drawing any
/// @param codes receives [rows, image_codes]
/// @return status
tain_status tain_drawing_codes(tain_drawing *drawing, int32_t *codes);

/// Releases a drawing.
///
/// @param drawing may be NULL
void tain_drawing_free(tain_drawing *drawing);

/// Turns codes into pixels.
///
/// @param model any
/// @param codes [images, image_codes]
/// @param images how many
/// @param rgb receives [images, image_size, image_size, 3] bytes
/// @return status
tain_status tain_model_decode(tain_model *model, const int32_t *codes, int32_t images, uint8_t *rgb);

/// Turns pixels into codes.
///
/// @param model any
/// @param rgb [images, height, width, 3] bytes
/// @param images how many
/// @param width pixels
/// @param height pixels
/// @param codes receives [images, image_codes]
/// @return status
tain_status tain_model_encode(tain_model *model, const uint8_t *rgb, int32_t images, int32_t width, int32_t height,
                              int32_t *codes);

/// Runs the codec's encoder. Differentiable.
///
/// @param model any
/// @param pixels [B, S, S, 3] from -1 to 1
/// @return a new tensor [B, G, G, code_size], not normalised
tain_tensor *tain_codec_encode(tain_model *model, tain_tensor *pixels);

/// Runs the codec's decoder. Differentiable.
///
/// @param model any
/// @param z [B, N, code_size], rows at unit length
/// @return a new tensor [B, S, S, 3]
tain_tensor *tain_codec_decode(tain_model *model, tain_tensor *z);

/// Gives the rows of the codebook at unit length. Differentiable.
///
/// @param model any
/// @return a new tensor [codes, code_size]
tain_tensor *tain_codec_book(tain_model *model);

/// Finds the code that is nearest to each row, by direction.
///
/// @param model any
/// @param z [.., code_size]
/// @return a new i32 tensor [rows]
tain_tensor *tain_codec_nearest(tain_model *model, tain_tensor *z);

/// Brings rows to unit length. Differentiable.
///
/// @param z [.., C]
/// @return a new tensor like z
tain_tensor *tain_codec_unit(tain_tensor *z);

/// Runs a model against a recorded run of its reference implementation.
///
/// @param device where
/// @param path of the golden files without their endings: PATH.json, PATH.weights.safetensors,
///        PATH.io.safetensors
/// @param lines receives one line for each compared tensor: its name and its greatest error relative
///        to 1 + the greatest expected value; borrowed, until the next check on this thread
/// @return the worst of these errors, or -1 on failure
double tain_check_golden(tain_device *device, const char *path, const char **lines);

/// Does the same with a recorded run in the layout of transformers' port.
///
/// @param device where
/// @param folder a model's folder, with info.json and io.safetensors
/// @param lines receives the lines, as tain_check_golden does
/// @return the worst error, or -1 on failure
double tain_check_port(tain_device *device, const char *folder, const char **lines);

/// Does the same with the small recorded runs that are inside the program.
///
/// @param device where
/// @param lines receives the lines, as tain_check_golden does
/// @return the worst error, or -1 on failure
double tain_check_builtin(tain_device *device, const char **lines);

/// Runs every operation, and its gradients, against a loop in double precision.
///
/// @param device where
/// @param lines receives a line for each operation and one for its gradients
/// @return the worst error, or -1 on failure
double tain_check_ops(tain_device *device, const char **lines);

/// Runs adapters and training against recorded runs of PyTorch and PEFT.
///
/// @param device where
/// @param folder info.json, base.weights.safetensors, forward.safetensors, PEFT's folders, runs of steps
/// @param lines receives a line for each thing compared
/// @return the worst error, or -1 on failure
double tain_check_adapters(tain_device *device, const char *folder, const char **lines);

/// Runs a tokenizer against recorded ids, text and bytes.
///
/// @param folder the tokenizer's own files, cases.json and decode_cases.json
/// @param lines receives a line for each thing compared
/// @return the greatest share that differs, or -1 on failure
double tain_check_tokenizer(const char *folder, const char **lines);

/// Makes prompts and compares them with recorded ones.
///
/// @param path of a file of prompts, which names its tokenizer
/// @param tokenizers a folder of tokenizers' folders
/// @param lines receives a line for each thing compared
/// @return the greatest share that differs, or -1 on failure
double tain_check_prompts(const char *path, const char *tokenizers, const char **lines);

/// Resizes and frames a picture and compares it with Pillow's bytes.
///
/// @param path of a safetensors file: src, and pictures by what they are made by (bicubic.26x16, …)
/// @param lines receives a line for each picture
/// @return the greatest share of bytes that differ, or -1 on failure
double tain_check_pictures(const char *path, const char **lines);

/* -------------------------------------------------------------------- Roof */

/// Starts arithmetic and nothing else: multiply-adds of numbers that stay in registers. How long it
/// takes tells what the device can compute at most.
///
/// @param device where
/// @param turns how much of it, 1 to 60000
/// @return the floating point operations that were asked for, two a multiply-add, or a negative status
double tain_roof_arithmetic(tain_device *device, int32_t turns);

/// Starts to read a tensor once. How long it takes tells how fast the device reads memory, if the
/// tensor is larger than its caches.
///
/// @param x f32, without gaps, at least 16384 elements
/// @return the bytes that will be read, or a negative status
double tain_roof_reading(tain_tensor *x);

/* ------------------------------------------------------------------- Files */

/// Bytes in memory, with their count.
typedef struct tain_bytes tain_bytes;

/// Counts bytes.
///
/// @param bytes may be NULL
/// @return how many
int64_t tain_bytes_count(const tain_bytes *bytes);

/// Gives the bytes themselves.
///
/// @param bytes may be NULL
/// @return borrowed, as long as the bytes live
const char *tain_bytes_at(const tain_bytes *bytes);

/// Releases bytes.
///
/// @param bytes may be NULL
void tain_bytes_free(tain_bytes *bytes);

/// Reads a whole file.
///
/// @param path of an ordinary file
/// @param limit bytes at most; a larger file is refused
/// @return new bytes
tain_bytes *tain_file_read(const char *path, int64_t limit);

/// Writes a file so that at any moment, and after any crash, there is all of the old or all of the
/// new.
///
/// @param path of the file
/// @param bytes its content
/// @param count how many
/// @return status
tain_status tain_file_write(const char *path, const char *bytes, int64_t count);

/// Copies a file, in the same way.
///
/// @param from path of the file
/// @param to path of the copy
/// @return status
tain_status tain_file_copy(const char *from, const char *to);

/// Renames a file or a folder; durable when it returns.
///
/// @param from its path
/// @param to its new path
/// @return status
tain_status tain_file_rename(const char *from, const char *to);

/// Removes a file.
///
/// @param path of the file
/// @return status
tain_status tain_file_remove(const char *path);

/// Tells whether there is a file.
///
/// @param path any
/// @return true if it is an ordinary file
bool tain_file_exists(const char *path);

/// Tells how large a file is.
///
/// @param path of an ordinary file
/// @return bytes, or a negative status
int64_t tain_file_size(const char *path);

/// Computes what a file's content is known by. Ends with TAIN_EINTERRUPTED when the user asks to
/// stop.
///
/// @param path of an ordinary file
/// @return new bytes: 64 hexadecimal digits
tain_bytes *tain_file_sha256(const char *path);

/// Computes what bytes are known by.
///
/// @param bytes any
/// @param count how many
/// @return new bytes: 64 hexadecimal digits
tain_bytes *tain_sha256(const char *bytes, int64_t count);

/// Lists the tensors of a file of weights: safetensors, or PyTorch's archive of a pickle, of which
/// nothing is executed.
///
/// @param path of the file
/// @return new bytes: the names, each with a zero byte after it
tain_bytes *tain_weights_list(const char *path);

/// Tells whether there is a folder.
///
/// @param path any
/// @return true if it is a folder
bool tain_folder_exists(const char *path);

/// Makes a folder, with its parents. It may exist.
///
/// @param path of the folder
/// @return status
tain_status tain_folder_make(const char *path);

/// Lists what is in a folder, in the order of the names' bytes.
///
/// @param path of the folder
/// @return new bytes: the names, each with a zero byte after it
tain_bytes *tain_folder_list(const char *path);

/// Makes everything in a folder durable.
///
/// @param path of the folder
/// @return status
tain_status tain_folder_settle(const char *path);

/// Removes a folder with everything in it. Links are removed, not what they lead to.
///
/// @param path of the folder
/// @return status
tain_status tain_folder_remove(const char *path);

/* ------------------------------------------------------------------ Images */

/// A picture: rows of red, green and blue, 8 bits each.
typedef struct tain_image tain_image;

/// How pixels are weighted when a picture changes its size; all of them as Pillow does it.
typedef enum {
    TAIN_BILINEAR = 0,
    TAIN_BICUBIC  = 1,
    TAIN_LANCZOS  = 2
} tain_filter;

/// Makes a black picture.
///
/// @param width pixels
/// @param height pixels
/// @return a new picture
tain_image *tain_image_create(int32_t width, int32_t height);

/// Releases a picture.
///
/// @param image may be NULL
void tain_image_free(tain_image *image);

/// Tells how wide a picture is.
///
/// @param image may be NULL
/// @return pixels
int32_t tain_image_width(const tain_image *image);

/// Tells how high a picture is.
///
/// @param image may be NULL
/// @return pixels
int32_t tain_image_height(const tain_image *image);

/// Gives a picture's bytes, to be read or written: [height, width, 3].
///
/// @param image may be NULL
/// @return borrowed, as long as the picture lives
uint8_t *tain_image_pixels(tain_image *image);

/// Fills a picture from numbers, rounded to the nearest of 256 steps.
///
/// @param image any
/// @param values [height, width, 3]
/// @param count how many
/// @param low what becomes 0
/// @param high what becomes 255
/// @return status
tain_status tain_image_fill(tain_image *image, const float *values, int64_t count, float low, float high);

/// Reads a PNG, JPEG or binary PPM file.
///
/// @param path of the file
/// @return a new picture
tain_image *tain_image_read(const char *path);

/// Reads the same from memory.
///
/// @param name begins the sentence when it is refused
/// @param bytes the file's content
/// @param count how many
/// @return a new picture
tain_image *tain_image_decode(const char *name, const char *bytes, int64_t count);

/// Writes a file, atomically.
///
/// @param image any
/// @param path ends with .png or .ppm
/// @return status
tain_status tain_image_write(tain_image *image, const char *path);

/// Gives a picture as the content of a PNG file. Equal pixels give equal bytes.
///
/// @param image any
/// @return new bytes
tain_bytes *tain_image_png(tain_image *image);

/// Gives a picture another size.
///
/// @param image any
/// @param width pixels
/// @param height pixels
/// @param filter bilinear, bicubic or lanczos
/// @return a new picture
tain_image *tain_image_resize(tain_image *image, int32_t width, int32_t height, tain_filter filter);

/// Puts pictures of one size side by side, row by row.
///
/// @param images any number of them
/// @param count how many
/// @param columns in a row
/// @param border pixels around each
/// @param colour of the border: red * 65536 + green * 256 + blue
/// @return a new picture
tain_image *tain_image_tile(tain_image *const *images, int32_t count, int32_t columns, int32_t border, int32_t colour);

/* -------------------------------------------------------------------- Runs */

/// The events of a run: lines of JSON that are on disk before anyone relies on them.
typedef struct tain_events tain_events;

/// Opens a log and checks every line. What a crash left half written at the end is cut off; any
/// other damage is refused.
///
/// @param path of the file
/// @param write true to append: the file is made if need be, and a second process is refused
/// @return a new reference
tain_events *tain_events_open(const char *path, bool write);

/// Closes a log, and lets another process have it.
///
/// @param events may be NULL
void tain_events_free(tain_events *events);

/// Counts the lines.
///
/// @param events any
/// @return how many
int64_t tain_events_count(const tain_events *events);

/// Tells what opening cut off.
///
/// @param events any
/// @return bytes
int64_t tain_events_trimmed(const tain_events *events);

/// Appends an event, which is safe after the next sync. The line is {"seq":N, its members,
/// "crc":"…"}.
///
/// @param events opened to write
/// @param object a JSON object in one line
/// @param count its bytes
/// @return status; on failure the log is as before, or takes no further event
tain_status tain_events_add(tain_events *events, const char *object, int64_t count);

/// Waits until every event is on disk.
///
/// @param events opened to write
/// @return status
tain_status tain_events_sync(tain_events *events);

/// Reads the next line.
///
/// @param events any
/// @param at 0 for the first line; moves to the next
/// @param line receives the line without its newline, borrowed until the next call with this log
/// @param count receives its bytes
/// @return 1; 0 after the last line; or a negative status
int32_t tain_events_next(tain_events *events, int64_t *at, const char **line, int64_t *count);

#pragma GCC visibility pop
#endif
