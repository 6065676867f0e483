/* clock.c - time, and the user's wish to stop. */
#include "base/base.h"

#include <time.h>

volatile int base_interrupted;

double base_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double base_wall_seconds(void)
{
    return (double)time(NULL) - (base_fault(FAULT_CLOCK) ? 3600 : 0);
}

double base_cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
