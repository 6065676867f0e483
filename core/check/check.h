/* check.h - tain against what others recorded, and against itself in double precision.
 *
 * Every check fills a report: one line for each thing that was compared, and the worst error. An
 * error is relative to 1 + the greatest expected value; what must be equal (ids, bytes, text) counts
 * as the share that is not, and never as less than 0.001.
 */
#ifndef TAIN_CHECK_CHECK_H
#define TAIN_CHECK_CHECK_H

#include "io/io.h"
#include "model/janus.h"

struct check_report {
    struct text *text;
    double worst;
};

/* A report whose lines a caller of the public functions may read until the next one is begun. */
struct check_report check_begin(void);
/* What a public function returns: the worst error or -1, with the lines so far in either case. */
double check_end(struct check_report *r, int status, const char **lines);

void check_line(struct check_report *r, const char *name, double error);
void check_floats(struct check_report *r, const char *name, const float *got, const float *want, int64_t n);
void check_ints(struct check_report *r, const char *name, const int32_t *got, const int32_t *want, int64_t n);
void check_share(struct check_report *r, const char *name, int64_t wrong, int64_t n); /* wrong of n */

/* What a file holds, in new memory for free(): NULL if there is no such tensor, or it fails. */
float *check_read_floats(const struct st_file *f, const char *name, int64_t *count);
int32_t *check_read_ints(const struct st_file *f, const char *name, int64_t *count);
/* t, taken over, against the tensor of that name in f. */
int check_tensor(struct check_report *r, const char *name, tain_tensor *t, const struct st_file *f, const char *recorded);

/* ---- Kinds of recorded runs ---- */

/* A Janus from open files (janus.c). `root` is its json. */
int check_janus(struct check_report *r, tain_device *d, const struct json *root, const struct st_file *weights,
                const struct st_file *io);

/* The goldens that are inside the program (made by lua/gen/goldens.lua), ended by a name of 0. */
struct check_golden {
    const char *name;
    struct check_bytes {
        const unsigned char *at;
        size_t count;
    } json, weights, io;
};
extern const struct check_golden check_goldens[];

/* Every operation against a loop in double precision (ops.c); a line each. */
int check_ops(struct check_report *r, tain_device *d);

#endif
