/* janus.h - a recorded run of a Janus, whatever files it lies in. For this folder only. */
#ifndef TAIN_CHECK_JANUS_H
#define TAIN_CHECK_JANUS_H

#include "check/check.h"

struct golden {
    struct janus m;
    const struct st_file *io;
    struct check_report *report;
    double guidance, temperature;
};

/* Everything that is recorded under und.: the vision transformer, logits, the likeliest words. */
int golden_understanding(struct golden *g);
/* [B, H, W, C] on the device to [B, C, H, W]. Takes t over. */
tain_tensor *golden_channels_first(tain_tensor *t);
/* What is recorded and has none of these names is told: silence would read as agreement. In a name, *
 * is any text without a dot, and a dot at the end is followed by anything. */
void golden_tell_unknown(struct golden *g, const char *const *known, size_t count);

#endif
