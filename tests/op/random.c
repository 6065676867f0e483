/* Philox against its published answers, and the device against Philox. */
#include "check_op.h"

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int i = 0; i < 10; i++) {
        uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        uint32_t c0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, c2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = c0;
        c[1] = (uint32_t)b;
        c[2] = c2;
        c[3] = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static uint32_t word(int64_t seed, int64_t stream, int64_t position)
{
    uint32_t c[4] = { (uint32_t)(position / 4), (uint32_t)(position / 4 >> 32), (uint32_t)stream, (uint32_t)((uint64_t)stream >> 32) };

    philox(c, (uint32_t)seed, (uint32_t)((uint64_t)seed >> 32));
    return c[position % 4];
}

/* The vectors that Salmon et al. publish with their code. */
static void check_published(void)
{
    static const uint32_t sets[3][10] = {
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
    };

    for (int i = 0; i < 3; i++) {
        uint32_t c[4];
        memcpy(c, sets[i], sizeof(c));
        philox(c, sets[i][4], sets[i][5]);
        CHECK(!memcmp(c, sets[i] + 6, sizeof(c)));
    }
}

static void check_uniforms(tain_device *d)
{
    static const struct {
        int64_t count, seed, stream, position;
    } cases[] = {
        { 0, 1, 2, 3 }, { 1, 0, 0, 0 }, { 4, 0, 0, 0 }, { 3, 1, 0, 2 }, { 65, -1, -1, 5 }, { 1023, 1ll << 40, 3ll << 35, 7 },
        { 300, 7, 9, (1ll << 34) - 100 }, { 17, 0x243f6a88a4093822, 0x0370734413198a2e, INT64_MAX - 40 },
        { 300000, 5, 6, 1 },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t n = cases[i].count;
        float *got = malloc((size_t)n * 4 + 4);
        tain_tensor *t = tain_uniform(d, 1, &n, cases[i].seed, cases[i].stream, cases[i].position);
        CHECK(t);
        CHECK_INT(tain_tensor_read(t, got, n), 0);
        for (int64_t k = 0; k < n; k++) {
            uint32_t w = word(cases[i].seed, cases[i].stream, cases[i].position + k);
            CHECK(got[k] == (float)(w >> 8) * 0x1p-24f);
        }
        tain_tensor_free(t);
        free(got);
    }
}

static void check_normals(tain_device *d)
{
    enum { N = 200001 };
    int64_t n = N;
    float *got = malloc(N * 4);
    double sum = 0, square = 0, fourth = 0, neighbours = 0;
    tain_tensor *t = tain_normal(d, 1, &n, 11, 12, 13);

    CHECK(t);
    CHECK_INT(tain_tensor_read(t, got, n), 0);
    for (int64_t k = 0; k < N; k++) {
        int64_t pair = (13 + k) / 2 * 2;
        double r = sqrt(-2 * log(((word(11, 12, pair) >> 8) + 0.5) * 0x1p-24)), a = 2 * M_PI * (word(11, 12, pair + 1) >> 8) * 0x1p-24;
        CHECK_CLOSE(got[k], (13 + k) % 2 ? r * sin(a) : r * cos(a), 1e-5);
        sum += got[k];
        square += got[k] * got[k];
        fourth += pow(got[k], 4);
        neighbours += k ? got[k] * got[k - 1] : 0;
    }
    CHECK_CLOSE(sum / N, 0, 0.01);
    CHECK_CLOSE(square / N, 1, 0.015);
    CHECK_CLOSE(fourth / N, 3, 0.12);
    CHECK_CLOSE(neighbours / N, 0, 0.01);
    tain_tensor_free(t);
    free(got);
}

int main(void)
{
    tain_device *d = tain_device_open(NULL);
    tain_tensor *t;

    CHECK(d);
    check_published();
    check_uniforms(d);
    check_normals(d);
    t = tain_uniform(d, 0, NULL, 1, 1, 0);
    CHECK(t);
    tain_tensor_free(t);
    CHECK(!tain_uniform(d, 0, NULL, 1, 1, -1));
    CHECK(strstr(tain_error(), "uniform: position -1 is negative"));
    CHECK_INT(tain_device_memory(d, false), 0);
    tain_device_free(d);
    return 0;
}
