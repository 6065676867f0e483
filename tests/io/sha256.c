/* SHA-256: the standard's vectors, every length around a block, files. */
#include "io/temp.h"

static void check(const char *text, const char *want)
{
    char digits[65];

    sha256(text, strlen(text), digits);
    CHECK_STRING(digits, want);
}

int main(void)
{
    char *million = malloc(1000001), digits[65], again[65];

    check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', 1000000);
    million[1000000] = 0;
    check(million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

    for (size_t n = 0; n <= 130; n++) { /* what a file is and what memory is */
        CHECK_INT(file_write(in_temp("x"), million, n), 0);
        CHECK_INT(sha256_file(in_temp("x"), digits), 0);
        sha256(million, n, again);
        CHECK_STRING(digits, again);
    }
    /* sha256sum of 55, 56 and 64 times "a": where the padding changes its shape */
    million[64] = 0;
    check(million, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    million[56] = 0;
    check(million, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    million[55] = 0;
    check(million, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");

    CHECK_FAILS(sha256_file(in_temp("nothing"), digits), TAIN_EIO, "cannot be opened");
    base_interrupted = 1;
    CHECK_FAILS(sha256_file(in_temp("x"), digits), TAIN_EINTERRUPTED, "interrupted");
    base_interrupted = 0;
    free(million);
    temp_remove(temp);
    return 0;
}
