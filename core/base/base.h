/* base.h - what every part of the core stands on: errors, checked memory, checked arithmetic,
 * logging. Includes nothing of tain but the public status codes.
 */
#ifndef TAIN_BASE_H
#define TAIN_BASE_H

#include "tain.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Errors (error.c) ---- */

/* Leaves the sentence for tain_error() and returns `status`. The sentence has the form
 * "function: argument …, and what was passed", without a full stop. */
int fail(tain_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the sentence of the latest failure, and returns its status. */
int fail_in(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Opens public functions: returns the error if the condition does not hold. */
#define REQUIRE(cond, ...)                                                                         \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return fail(TAIN_EINVAL, __VA_ARGS__);                                                 \
    } while (0)

/* The same for functions that return a pointer. */
#define REQUIRE_OR_NULL(cond, ...)                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fail(TAIN_EINVAL, __VA_ARGS__);                                                        \
            return NULL;                                                                           \
        }                                                                                          \
    } while (0)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Memory (alloc.c): all zeroed; NULL after fail(TAIN_ENOMEM) ---- */

void *base_alloc(size_t count, size_t size);
void *base_grow(void *old, size_t old_count, size_t new_count, size_t size); /* new part is zeroed */
char *base_strdup(const char *text);
char *base_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Checked arithmetic: true if it did not overflow ---- */

static inline bool mul_ok(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool add_ok(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

/* ---- Faults on request (fault.c) ---- */

/* A full disk, a sync that fails, a folder that may not be written, device memory that is refused, a device
 * that is lost, a clock that is set back: whoever makes such a call asks first whether it shall fail as the system would. */
enum fault { FAULT_DISK, FAULT_SYNC, FAULT_OPEN, FAULT_MEMORY, FAULT_DEVICE, FAULT_CLOCK, FAULT_KINDS };
bool base_fault(enum fault kind);
bool base_fault_kernel(const char *name); /* of this kernel's fast form; NULL: of any */
int base_faults_open(void); /* reads TAIN_FAULT */

/* ---- Time and interruption (clock.c) ---- */

double base_seconds(void); /* monotonic */
double base_wall_seconds(void); /* whole ones since 1970, as the system's clock says, which may be set back */
double base_cpu_seconds(void); /* that all threads of this process have used */

/* Set by the host's signal handler; read at every submit and wait, which then return
 * TAIN_EINTERRUPTED. 0 none, 1 end at the next safe point, 2 stop now. */
extern volatile int base_interrupted;

#endif
