/* Janus against the reference implementation's run on a tiny random model: understanding, guided
 * drawing code by code, likelihood, gradients, codec. */
#include "check.h"

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    const char *lines;
    double worst;

    CHECK(d);
    worst = tain_check_golden(d, "tests/golden/janus/janus_tiny", &lines);
    if (!(worst >= 0 && worst <= 1e-4))
        fprintf(stderr, "%s", lines);
    CHECK(worst >= 0);
    CHECK_CLOSE(worst, 0, 1e-4);
    CHECK(strstr(lines, "und.greedy") && strstr(lines, "gen.uint8") && strstr(lines, "grad.gen_embed.weight"));
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}
