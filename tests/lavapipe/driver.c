/* The passes of core/lavapipe within the driver: a product is compiled anew and comes out right, and what they changed
 * is counted; with TAIN_PASSES=no nothing is.
 */
#define _GNU_SOURCE /* nftw */
#include "check.h"

#include "gpu/gpu.h"
#include "lavapipe/lavapipe.h"
#include "op/check_op.h"

#include <ftw.h>
#include <sys/wait.h>
#include <unistd.h>

static int drop(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static void product(tain_device *d)
{
    enum { M = 132, K = 76, N = 140 };
    tain_tensor *a = tain_uniform(d, 2, (int64_t[]){ M, K }, 5, 1, 0);
    tain_tensor *b = tain_uniform(d, 2, (int64_t[]){ K, N }, 5, 2, 0);
    tain_tensor *y = tain_matmul(a, b);
    float *fa = malloc(sizeof(float) * M * K), *fb = malloc(sizeof(float) * K * N), *fy = malloc(sizeof(float) * M * N);

    CHECK(fa && fb && fy && y);
    CHECK_INT(tain_tensor_read(a, fa, M * K), TAIN_OK);
    CHECK_INT(tain_tensor_read(b, fb, K * N), TAIN_OK);
    CHECK_INT(tain_tensor_read(y, fy, M * N), TAIN_OK);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;

            for (int k = 0; k < K; k++)
                sum += (double)fa[m * K + k] * fb[k * N + n];
            CHECK_CLOSE(fy[m * N + n], sum, 1e-5 * sum);
        }
    free(fa);
    free(fb);
    free(fy);
    tensor_unref(a);
    tensor_unref(b);
    tensor_unref(y);
}

/* In a process of its own, as the driver reads its settings once: 0, 77 or what failed. */
static int with(const char *passes)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (!child) {
        struct lavapipe_counts n;
        tain_device *d;

        setenv("TAIN_PASSES", passes, 1);
        d = tain_device_open(NULL);
        CHECK(d);
        if (!strstr(gpu_info(d->gpu)->driver, "llvmpipe"))
            exit(77);
        product(d);
        lavapipe_counts(&n);
        if (!strcmp(passes, "no")) {
            CHECK(!gpu_info(d->gpu)->passes && !n.gathers && !n.loops && !n.strides && !n.sides && !n.shares && !n.fused);
        } else if (strstr(gpu_info(d->gpu)->driver, "LLVM 15.")) {
            CHECK(gpu_info(d->gpu)->passes && n.gathers && n.loops && n.strides && n.sides && n.shares && n.fused);
        } else if (gpu_info(d->gpu)->passes) {
            CHECK(n.fused);
        }
        tain_device_free(d);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int main(void)
{
    char folder[] = "/tmp/tain-passes-XXXXXX";
    int yes, no;

    CHECK(mkdtemp(folder));
    /* With no measurements of kernels in it either, so that all kinds of product are compiled. */
    setenv("XDG_CACHE_HOME", folder, 1);
    unsetenv("MESA_SHADER_CACHE_DIR");
    yes = with("yes");
    no = yes ? 0 : with("no");
    nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
    if (yes == 77)
        SKIP("no CPU driver");
    CHECK_INT(yes, 0);
    CHECK_INT(no, 0);
    return 0;
}
