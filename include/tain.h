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

#pragma GCC visibility pop
#endif
