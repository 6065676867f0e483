/* crc32c.c - CRC-32 with Castagnoli's polynomial, as in iSCSI and TensorBoard's files. */
#include "io/io.h"

uint32_t crc32c(uint32_t before, const void *bytes, size_t count)
{
    static const uint32_t table[16] = { /* of the half bytes 0 to 15 */
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = bytes;
    uint32_t crc = ~before;

    while (count--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
