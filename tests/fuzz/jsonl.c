/* The lines of a run's log. */
#define _GNU_SOURCE
#include "fuzz.h"

static void try_bytes(const uint8_t *bytes, size_t count)
{
    struct runlog *log = runlog_open(as_file("events.jsonl", bytes, count), false);
    const char *line;
    int64_t at = 0, lines = 0;
    size_t n;
    int more;

    if (!log)
        refused();
    while (log && (more = runlog_next(log, &at, &line, &n)) > 0) {
        struct json *root = json_parse("line", line, n);

        if (!root) /* a checksum can be right by chance; who reads the event refuses it */
            refused();
        json_free(root);
        lines++;
    }
    CHECK(!log || lines == runlog_count(log));
    runlog_close(log);
}
