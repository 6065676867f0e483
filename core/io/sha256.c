/* sha256.c - SHA-256 (FIPS 180-4): what a file was, in 64 digits. */
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sha256 {
    uint32_t state[8];
    uint64_t count;
    uint8_t block[64];
};

static const uint32_t first_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void mix(struct sha256 *h, const uint8_t *p)
{
    uint32_t *s = h->state, w[64];
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], k = s[7];

    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >> 3) + w[i - 7] +
               (turn(y, 17) ^ turn(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i++) {
        uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
        uint32_t one = k + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + constants[i] + w[i];
        uint32_t two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + majority;

        k = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + two;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
    s[5] += f;
    s[6] += g;
    s[7] += k;
}

static void start(struct sha256 *h)
{
    memcpy(h->state, first_state, sizeof(first_state));
    h->count = 0;
}

static void add(struct sha256 *h, const uint8_t *p, size_t n)
{
    size_t have = h->count % 64;

    h->count += n;
    if (have) {
        size_t more = n < 64 - have ? n : 64 - have;

        memcpy(h->block + have, p, more);
        p += more;
        n -= more;
        if (have + more < 64)
            return;
        mix(h, h->block);
    }
    for (; n >= 64; p += 64, n -= 64)
        mix(h, p);
    if (n)
        memcpy(h->block, p, n);
}

static void finish(struct sha256 *h, char digits[65])
{
    uint64_t bits = h->count * 8;
    uint8_t end[72] = { 0x80 };
    size_t n = 64 - (h->count + 8) % 64;

    for (int i = 0; i < 8; i++)
        end[n + i] = (uint8_t)(bits >> (56 - 8 * i));
    add(h, end, n + 8);
    for (int i = 0; i < 8; i++)
        snprintf(digits + 8 * i, 9, "%08x", h->state[i]);
}

void sha256(const void *bytes, size_t count, char digits[65])
{
    struct sha256 h;

    start(&h);
    add(&h, bytes, count);
    finish(&h, digits);
}

int sha256_file(const char *path, char digits[65])
{
    enum { PIECE = 1 << 20 };
    struct sha256 h;
    int64_t size, at = 0;
    int fd = file_open(path, &size), status = TAIN_OK;
    uint8_t *piece;

    if (fd < 0)
        return fd;
    if (!(piece = base_alloc(PIECE, 1)))
        status = TAIN_ENOMEM;
    start(&h);
    while (!status && at < size) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

        status = base_interrupted ? fail(TAIN_EINTERRUPTED, "interrupted")
                                  : file_read_at(fd, path, at, piece, n);
        if (!status)
            add(&h, piece, n);
        at += (int64_t)n;
    }
    io_calls.close(fd);
    free(piece);
    if (!status)
        finish(&h, digits);
    return status;
}
