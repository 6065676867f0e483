/* CRC-32C: the values of RFC 3720, and in pieces. */
#include "check.h"
#include "io/io.h"

int main(void)
{
    uint8_t bytes[32];

    CHECK_INT(crc32c(0, "", 0), 0);
    CHECK_INT(crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, 32);
    CHECK_INT(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    CHECK_INT(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK_INT(crc32c(0, bytes, 32), 0x46dd794e);
    CHECK_INT(crc32c(crc32c(0, bytes, 13), bytes + 13, 19), 0x46dd794e);
    return 0;
}
