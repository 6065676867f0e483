/* Janus against recorded runs of small random models: understanding, guided drawing code by code,
 * likelihood, gradients, codec. Once with the reference implementation's own run, and with two of
 * other sizes: shared key heads, padded rows, heads wider than the model, odd sizes everywhere. */
#include "check.h"

static const char *const goldens[] = { "janus_tiny", "gqa", "head64" };

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    const char *lines;
    double worst;

    CHECK(d);
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "tests/golden/janus/%s", goldens[i]);
        worst = tain_check_golden(d, path, &lines);
        if (!(worst >= 0 && worst <= 1e-4))
            fprintf(stderr, "%s", lines);
        CHECK(worst >= 0);
        CHECK_CLOSE(worst, 0, 1e-4);
        CHECK(strstr(lines, "und.greedy") && strstr(lines, "gen.uint8") && strstr(lines, "grad.gen_"));
        CHECK(!strstr(lines, "not compared"));
        CHECK_INT(tain_device_memory(d, false), 0);
    }
    worst = tain_check_golden(d, "tests/golden/janus/none", &lines);
    CHECK(worst < 0 && strstr(tain_error(), "none.json"));
    tain_device_free(d);
    return 0;
}
