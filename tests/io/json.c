/* JSON: what is valid, what is not and where, getters and their sentences, writing. */
#include "io/temp.h"

#include <locale.h>
#include <stdint.h>

static struct json *parse(const char *text)
{
    return json_parse("t", text, strlen(text));
}

static void refused(const char *text, size_t count, const char *sentence)
{
    char *exact = malloc(count ? count : 1); /* so that a sanitizer sees one byte too many */
    struct json *v;

    memcpy(exact, text, count);
    v = json_parse("t", exact, count);
    if (v || tain_error_status() != TAIN_EFORMAT || !strstr(tain_error(), sentence)) {
        fprintf(stderr, "%.*s: %s, expected: %s\n", (int)count, text, v ? "read" : tain_error(),
                sentence);
        exit(1);
    }
    free(exact);
}

static void test_refused(void)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        { "", "byte 0: there is no text" },
        { "  ", "byte 2: the text ends too early" },
        { "{", "byte 1: a key in quotes" },
        { "[1", "byte 2: no comma or ]" },
        { "[1,]", "byte 3: a value was expected" },
        { "[,1]", "byte 1: a value was expected" },
        { "[1 2]", "byte 3: no comma or ]" },
        { "[1}", "byte 2: no comma or ]" },
        { "{\"a\":1]", "byte 6: no comma or }" },
        { "{\"a\":1,}", "byte 7: a key in quotes" },
        { "{\"a\" 1}", "byte 5: the colon" },
        { "{a:1}", "byte 1: a key in quotes" },
        { "{1:1}", "byte 1: a key in quotes" },
        { "1 2", "byte 2: more text" },
        { "{} x", "byte 3: more text" },
        { "\xef\xbb\xbf{}", "byte 0: a value" },
        { "tru", "true, false and null" },
        { "nul", "true, false and null" },
        { "True", "a value was expected" },
        { "NaN", "a value was expected" },
        { "-Infinity", "a number that is not one" },
        { "01", "a number that is not one" },
        { "-", "a number that is not one" },
        { "+1", "a value was expected" },
        { ".5", "a value was expected" },
        { "1.", "a number that is not one" },
        { "1e", "a number that is not one" },
        { "1e+", "a number that is not one" },
        { "0x10", "more text" },
        { "1e999", "too large for a double" },
        { "'a'", "a value was expected" },
        { "\"a", "a string without an end" },
        { "\"a\\\"", "a string without an end" },
        { "\"a\\", "a string without an end" },
        { "\"\n\"", "byte 1: a control character" },
        { "\"\\x\"", "byte 1: an escape that does not exist" },
        { "\"\\u12g4\"", "an escape that does not exist" },
        { "\"\\u12\"", "an escape that does not exist" },
        { "\"\\ud800\"", "half of a surrogate pair" },
        { "\"\\udc00\"", "half of a surrogate pair" },
        { "\"\\ud800\\u0041\"", "half of a surrogate pair" },
        { "\"\\ud800\\ud800\"", "half of a surrogate pair" },
        { "\"\xff\"", "byte 1: bytes that are not UTF-8" },
        { "\"\xc0\x80\"", "not UTF-8" },
        { "\"\xed\xa0\x80\"", "not UTF-8" },
        { "\"\xf4\x90\x80\x80\"", "not UTF-8" },
        { "\"\xe2\x82\"", "not UTF-8" },
        { "[1]//", "more text" },
        { "/* */1", "a value was expected" },
        { "{\"a\":1,\"b\":2,\"a\":3}", "t: a comes twice" },
        { "[{\"x\":{\"a\":1,\"\\u0061\":3}}]", "t: [0].x.a comes twice" },
        { "{\"\":1,\"\":3}", "comes twice" },
    };
    char deep[200];

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].sentence);
    refused("\"a\0b\"", 5, "byte 2: a control character");
    refused("1\0", 2, "byte 1: more text");
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    refused(deep, 130, "byte 64: more than 64 arrays");
    memset(deep, '1', 199);
    deep[199] = 0;
    json_free(parse(deep)); /* a long integer is a double */
}

static void test_tree(void)
{
    struct json *v = parse(" {\"b\" : [1, -2.5e3, \"x\\u00e4\\ud83d\\ude00\\n\", true, null, {}],"
                           "\"a\":{\"n\":9223372036854775807,\"m\":-9223372036854775808,"
                           "\"l\":9223372036854775808,\"z\":-0,\"nul\":\"a\\u0000b\"}} \n");
    const struct json *b, *a, *m;
    const char *s;
    size_t n;
    double d;
    int64_t i;
    bool t;
    char *path;

    CHECK(v);
    CHECK_INT(json_type(v), JSON_OBJECT);
    CHECK_INT(json_count(v), 2);
    CHECK_INT(json_get_array(v, "b", &b), 0);
    CHECK_INT(json_count(b), 6);
    CHECK_INT(json_int(json_at(b, 0), 1, 1, &i), 0);
    CHECK_INT(i, 1);
    CHECK_INT(json_number(json_at(b, 1), -INFINITY, INFINITY, &d), 0);
    CHECK(d == -2500);
    CHECK_INT(json_string(json_at(b, 2), &s, NULL), 0);
    CHECK_STRING(s, "x\xc3\xa4\xf0\x9f\x98\x80\n");
    CHECK_INT(json_bool(json_at(b, 3), &t), 0);
    CHECK(t);
    CHECK_INT(json_type(json_at(b, 4)), JSON_NULL);
    CHECK(!json_at(b, 6));
    CHECK(!json_at(v, 0) && !json_first(json_at(b, 5)) && !json_find(b, "b"));
    CHECK(path = json_path(json_at(b, 5)));
    CHECK_STRING(path, "t: b[5]");
    free(path);

    m = json_first(v);
    CHECK(m == b);
    CHECK_STRING(json_key(m, &n), "b");
    CHECK_INT(n, 1);
    CHECK(json_next(m) == json_find(v, "a") && !json_next(json_next(m)));
    CHECK(!json_key(v, NULL));

    CHECK_INT(json_get_object(v, "a", &a), 0);
    CHECK_INT(json_get_int(a, "n", INT64_MIN, INT64_MAX, &i), 0);
    CHECK(i == INT64_MAX);
    CHECK_INT(json_get_int(a, "m", INT64_MIN, INT64_MAX, &i), 0);
    CHECK(i == INT64_MIN);
    CHECK_FAILS(json_get_int(a, "l", INT64_MIN, INT64_MAX, &i), TAIN_EFORMAT,
                "a.l must be a whole number, not 9.223372036854776e+18");
    CHECK_INT(json_get_number(a, "l", 0, INFINITY, &d), 0);
    CHECK(d == 0x1p63);
    CHECK_INT(json_get_number(a, "z", 0, 1, &d), 0);
    CHECK(d == 0 && signbit(d));
    CHECK_FAILS(json_get_string(a, "nul", &s), TAIN_EFORMAT, "a.nul must not hold a zero byte");
    CHECK_INT(json_string(json_find(a, "nul"), &s, &n), 0);
    CHECK(n == 3 && !memcmp(s, "a\0b", 4));
    json_free(v);

    CHECK(v = parse("7"));
    CHECK_INT(json_int(v, 0, 10, &i), 0);
    CHECK_FAILS(json_string(v, &s, NULL), TAIN_EFORMAT, "t: the whole must be a string, not 7");
    CHECK_FAILS(json_get_int(v, "x", 0, 1, &i), TAIN_EFORMAT, "the whole must be an object, not 7");
    json_free(v);
    json_free(NULL);
}

static void test_sentences(void)
{
    const char *text = "{\"vision\":{\"width\":\"x\",\"eps\":1e-6,\"layers\":[{\"n\":0}],"
                       "\"k\\u001b\":1,"
                       "\"list\":[1,2],\"o\":{\"p\":1},\"no\":null,\"yes\":true}}";
    struct json *v = json_parse("config.json", text, strlen(text));
    const struct json *vision, *part;
    const char *s = "kept";
    int64_t i = 5;
    double d = 5;
    bool t = true;

    CHECK_INT(json_get_object(v, "vision", &vision), 0);
    CHECK_FAILS(json_get_int(vision, "width", 1, INT64_MAX, &i), TAIN_EFORMAT,
                "config.json: vision.width must be a positive integer, not \"x\"");
    CHECK_FAILS(json_get_int(vision, "width", 1, 99, &i), TAIN_EFORMAT,
                "config.json: vision.width must be a whole number from 1 to 99, not \"x\"");
    CHECK_FAILS(json_get_int(vision, "eps", 0, INT64_MAX, &i), TAIN_EFORMAT,
                "vision.eps must be a whole number of at least 0, not 1e-06");
    CHECK_FAILS(json_get_number(vision, "eps", 1, 2, &d), TAIN_EFORMAT,
                "vision.eps must be a number from 1 to 2, not 1e-06");
    CHECK_FAILS(json_get_number(vision, "list", 1, INFINITY, &d), TAIN_EFORMAT,
                "vision.list must be a number of at least 1, not an array of 2");
    CHECK_FAILS(json_get_bool(vision, "o", &t), TAIN_EFORMAT,
                "vision.o must be true or false, not an object");
    CHECK_FAILS(json_get_object(vision, "list", &part), TAIN_EFORMAT, "must be an object, not an");
    CHECK_FAILS(json_get_array(vision, "yes", &part), TAIN_EFORMAT, "must be an array, not true");
    CHECK_FAILS(json_get_string(vision, "no", &s), TAIN_EFORMAT, "must be a string, not null");
    CHECK_FAILS(json_get_string(vision, "name", &s), TAIN_EFORMAT,
                "config.json: vision.name is missing");
    CHECK_FAILS(json_get_string(v, "name", &s), TAIN_EFORMAT, "config.json: name is missing");
    CHECK_FAILS(json_get_bool(vision, "k\x1b", &t), TAIN_EFORMAT, "vision.k? must be true");
    CHECK_INT(json_get_array(vision, "layers", &part), 0);
    CHECK_FAILS(json_get_int(json_at(part, 0), "n", 1, 9, &i), TAIN_EFORMAT,
                "config.json: vision.layers[0].n must be a whole number from 1 to 9, not 0");
    CHECK_FAILS(json_get_int(json_at(part, 0), "m", 1, 9, &i), TAIN_EFORMAT,
                "config.json: vision.layers[0].m is missing");

    CHECK_INT(json_opt_int(vision, "no", 0, 9, &i), 0);
    CHECK_INT(json_opt_int(vision, "none", 0, 9, &i), 0);
    CHECK_INT(json_opt_number(vision, "no", 0, 9, &d), 0);
    CHECK_INT(json_opt_bool(vision, "no", &t), 0);
    CHECK_INT(json_opt_string(vision, "no", &s), 0);
    CHECK(i == 5 && d == 5 && t && !strcmp(s, "kept"));
    CHECK_INT(json_opt_number(vision, "eps", 0, 9, &d), 0);
    CHECK(d == 1e-6);
    CHECK_FAILS(json_opt_int(vision, "yes", 0, 9, &i), TAIN_EFORMAT, "from 0 to 9, not true");
    json_free(v);

    CHECK_INT(file_write(in_temp("c.json"), "{", 1), 0);
    CHECK(!json_read(in_temp("c.json"), 100));
    CHECK(strstr(tain_error(), "c.json: not valid JSON at byte 1"));
    CHECK(!json_read(in_temp("c.json"), 0));
}

/* Many keys must take neither quadratic time nor a wrong turn. */
static void test_large(void)
{
    enum { N = 200000 };
    struct text t = { 0 };
    struct json *v;
    char key[20];

    text_put(&t, "{", 1);
    for (int i = 0; i < N; i++)
        text_format(&t, "%s\"k%d\":%d", i ? "," : "", i, i);
    text_put(&t, "}", 1);
    CHECK(v = json_parse("large", t.at, t.count));
    CHECK_INT(json_count(v), N);
    for (int i = 0; i < N; i += 7) {
        int64_t found;

        snprintf(key, sizeof(key), "k%d", i);
        CHECK_INT(json_get_int(v, key, 0, N, &found), 0);
        CHECK_INT(found, i);
    }
    CHECK(!json_find(v, "k200000") && !json_find(v, "") && !json_find(v, "z"));
    json_free(v);
    free(t.at);
}

static void test_writing(void)
{
    static const double numbers[] = { 0,       -0.0, 1,         -1.5, 0.1, 1e300, 5e-324,
                                      1.0 / 3, 1e21, 123456789, 1e-7, 0x1.fffffffffffffp1023 };
    struct text t = { 0 };
    struct json *v;
    const char *s;
    size_t n;

    text_json_string(&t, "a\"\\\b\f\n\r\t\x01\x7f/\0\xc3\xa4\xff\xc3", 16);
    CHECK_STRING(t.at,
                 "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f/\\u0000"
                 "\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"");
    CHECK(v = json_parse("t", t.at, t.count));
    CHECK_INT(json_string(v, &s, &n), 0);
    CHECK(n == 14 + 6 && !memcmp(s, "a\"\\\b\f\n\r\t\x01\x7f/\0\xc3\xa4", 14));
    json_free(v);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        double back;

        t.count = 0;
        text_json_number(&t, numbers[i]);
        CHECK(v = json_parse("t", t.at, t.count));
        CHECK_INT(json_number(v, -INFINITY, INFINITY, &back), 0);
        CHECK(!memcmp(&back, &numbers[i], 8));
        json_free(v);
    }
    t.count = 0;
    text_json_number(&t, 0.1);
    text_json_number(&t, NAN);
    text_json_number(&t, INFINITY);
    CHECK_STRING(t.at, "0.1nullnull");
    free(t.at);
}

/* Every single byte of a text replaced by every other, and every beginning of it: read or refused,
 * and for a sanitizer to look at. */
static void test_damage(void)
{
    static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e4\\ud83d\\ude00\\n\",true,null,{}],"
                               "\"b\":{\"cc\":false,\"\xc3\xa4\":0.5}}";
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        char *copy = malloc(n);

        memcpy(copy, text, n);
        for (int c = 0; c < 256; c++) {
            copy[i] = (char)c;
            json_free(json_parse("t", copy, n));
        }
        free(copy);
        refused(text, i, "t: ");
    }
}

int main(void)
{
    setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where there is such a locale */
    test_refused();
    test_tree();
    test_sentences();
    test_large();
    test_writing();
    test_damage();
    temp_remove(temp);
    return 0;
}
