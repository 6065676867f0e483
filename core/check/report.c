/* report.c - comparing and telling. */
#include "check/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct check_report check_begin(void)
{
    static _Thread_local struct text text;

    free(text.at);
    memset(&text, 0, sizeof(text));
    return (struct check_report){ .text = &text };
}

double check_end(struct check_report *r, int status, const char **lines)
{
    if (lines)
        *lines = r->text->at ? r->text->at : "";
    return status ? -1 : r->worst;
}

void check_line(struct check_report *r, const char *name, double error)
{
    if (!(error <= r->worst)) /* no number at all is the worst */
        r->worst = isnan(error) ? HUGE_VAL : error;
    text_format(r->text, "%-72s %.2e\n", name, error);
}

void check_floats(struct check_report *r, const char *name, const float *got, const float *want, int64_t n)
{
    double difference = 0, most = 0;

    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (!(d <= difference))
            difference = d;
        if (fabs(want[i]) > most)
            most = fabs(want[i]);
    }
    check_line(r, name, difference / (1 + most));
}

void check_ints(struct check_report *r, const char *name, const int32_t *got, const int32_t *want, int64_t n)
{
    int64_t wrong = 0;

    for (int64_t i = 0; i < n; i++)
        wrong += got[i] != want[i];
    check_share(r, name, wrong, n);
}

void check_share(struct check_report *r, const char *name, int64_t wrong, int64_t n)
{
    check_line(r, name, wrong ? fmax((double)wrong / (double)n, 1e-3) : 0);
}

float *check_read_floats(const struct st_file *f, const char *name, int64_t *count)
{
    const struct st_entry *e = st_find(f, name);
    float *v = NULL;

    if (count)
        *count = e ? e->count : 0;
    if (e && (v = base_alloc((size_t)e->count + 1, sizeof(float))) && st_read_float(f, e, v, (size_t)e->count)) {
        free(v);
        v = NULL;
    }
    return v;
}

int32_t *check_read_ints(const struct st_file *f, const char *name, int64_t *count)
{
    const struct st_entry *e = st_find(f, name);
    int32_t *v = NULL;

    if (count)
        *count = e ? e->count : 0;
    if (e && e->type != ST_I32)
        fail(TAIN_EFORMAT, "%s: it is %s and not I32", name, e->type_name);
    else if (e && (v = base_alloc((size_t)e->count + 1, 4)) && st_read(f, e, v, e->bytes)) {
        free(v);
        v = NULL;
    }
    return v;
}

int check_tensor(struct check_report *r, const char *name, tain_tensor *t, const struct st_file *f, const char *recorded)
{
    int64_t n = 0, count = t ? tensor_count(t) : 0;
    float *got = base_alloc((size_t)count + 1, sizeof(float)), *want = t ? check_read_floats(f, recorded, &n) : NULL;
    int status = t && got && want ? 0 : tain_error_status();

    if (!status && n != count)
        status = fail(TAIN_EFORMAT, "%s: %lld numbers were recorded, the model makes %lld", name, (long long)n, (long long)count);
    if (!status && !(status = tain_tensor_read(t, got, n)))
        check_floats(r, name, got, want, n);
    free(want);
    free(got);
    tensor_unref(t);
    return status;
}
