/* io.h - files as the rest of tain sees them: whole files and folders, JSON, safetensors, images,
 * the log of a run. Needs base/ only.
 *
 * Every file is hostile until it is read. Sizes are checked before anything is allocated for them,
 * nothing in a file is executed, and a file is either read completely or refused with one sentence
 * that begins with its name. Limits are constants here.
 *
 * What a function returns through a pointer or as a `struct x *` belongs to the caller, who ends it
 * with the function named for that; `const` results are borrowed from the thing they came from.
 */
#ifndef TAIN_IO_H
#define TAIN_IO_H

#include "base/base.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

/* ---- The system (file.c) ---- */

/* Every system call that core/io makes goes through this table, so that a test can put a full disk
 * or a failed sync in place of any one of them. All follow their manual pages. */
struct io_calls {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    int (*fstat)(int fd, struct stat *s);
    int (*stat)(const char *path, struct stat *s);
    ssize_t (*pread)(int fd, void *bytes, size_t count, off_t at);
    ssize_t (*pwrite)(int fd, const void *bytes, size_t count, off_t at);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, off_t size);
    int (*flock)(int fd, int operation);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*rmdir)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*statvfs)(const char *path, struct statvfs *s);
    DIR *(*opendir)(const char *path);
    struct dirent *(*readdir)(DIR *folder);
    int (*closedir)(DIR *folder);
};

extern struct io_calls io_calls;

/* Opens a regular file for reading; anything else (a folder, a pipe, a device) is refused.
 * Returns a descriptor to be closed with io_calls.close, or a negative status. */
int file_open(const char *path, int64_t *size);

/* Locks an open file for this process alone: 0, or errno. If another has it, it is waited for a second, because the
 * system may let go of a killed process's locks a moment after the process is gone. */
int file_lock(int fd);

/* Reads exactly `count` bytes at `at`. `path` is for the sentence. A file that ends before that is
 * TAIN_EFORMAT. */
int file_read_at(int fd, const char *path, int64_t at, void *bytes, size_t count);

/* Reads a whole file of at most `limit` bytes into new memory for free(). A zero byte, not counted,
 * follows the last one. */
int file_read(const char *path, size_t limit, uint8_t **bytes, size_t *count);

/* Whether there is something of that kind at the path. */
bool file_exists(const char *path);
bool folder_exists(const char *path);

/* Writes a file so that, at any moment and after any crash, the path holds either all of the old
 * content or all of the new. */
int file_write(const char *path, const void *bytes, size_t count);

/* The same in pieces. The bytes go to "<path>.part", which a second writer finds locked, and which
 * a later writer of the same path takes over if this one is killed. After file_put has failed, only
 * file_drop and file_end remain to be called, and file_end fails too. A failed sync is never tried
 * again: the system may have forgotten the bytes. */
struct file_out;
struct file_out *file_begin(const char *path);
int file_put(struct file_out *out, const void *bytes, size_t count);
int file_sync(struct file_out *out); /* flushes what was put, which is not shown at the path yet */
int file_end(struct file_out *out); /* syncs, renames, syncs the folder; always frees `out` */
void file_drop(struct file_out *out); /* forgets what was put and frees `out`; NULL is fine */

int file_copy(const char *from, const char *to); /* atomic like file_write */
int file_rename(const char *from, const char *to); /* files or folders; durable when it returns */
int file_remove(const char *path);

int folder_make(const char *path); /* with its parents; fine if it exists; durable */
int folder_sync(const char *path); /* makes creations, renames and removals in it durable */
int folder_settle(const char *path); /* flushes every file below it, and it; links are left alone */
int folder_remove(const char *path); /* with all that is in it; links themselves, not their targets */

/* The names in a folder without "." and "..", in the order of their bytes. */
int folder_list(const char *path, char ***names, size_t *count);
void folder_list_free(char **names, size_t count);

int folder_free_space(const char *path, int64_t *bytes);

/* New strings: "folder/name", and the part of the path before the last slash, or ".". */
char *path_join(const char *folder, const char *name);
char *path_folder(const char *path);

/* ---- SHA-256 (sha256.c), as 64 digits and a zero byte ---- */

void sha256(const void *bytes, size_t count, char digits[65]);
int sha256_file(const char *path, char digits[65]); /* stops with TAIN_EINTERRUPTED when asked to */

/* ---- Text (text.c) ---- */

/* A text that grows. Starts zeroed; `at` is the caller's to free. Once memory is short, `failed`
 * is set, the failure is left for tain_error(), and nothing more is added. */
struct text {
    char *at; /* with a zero byte after `count`; NULL while empty */
    size_t count, room;
    bool failed;
};

void text_put(struct text *t, const void *bytes, size_t count);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As JSON. Bytes that are not UTF-8 become U+FFFD; a number gets the fewest digits that read back
 * as the same double whatever the locale, and what JSON has no number for becomes null. */
void text_json_string(struct text *t, const void *bytes, size_t count);
void text_json_number(struct text *t, double value);

/* ---- JSON (json_scan.c, json.c): RFC 8259 to the letter, in UTF-8, and no key twice ---- */

enum {
    JSON_DEPTH  = 64,      /* arrays and objects within each other */
    JSON_DIGITS = 1024,    /* characters of one number */
    JSON_VALUES = 4 << 20, /* values of one tree */
};

enum json_event {
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_KEY,   /* only from json_next_event */
    JSON_CLOSE, /* the end of the innermost array or object */
    JSON_END,   /* the end of the text */
};

/* Reads a text piece by piece, in constant memory but for the longest string, for files too large
 * for a tree. It does not look for keys that come twice. Set the first three, leave the rest zero,
 * and free `string` at the end. */
struct json_scan {
    const char *what; /* begins every sentence */
    const void *text;
    size_t count;

    size_t start, at;        /* the latest event's first byte, and the next to be read */
    char *string;            /* of KEY and STRING, decoded, a zero byte after it */
    size_t length, room;
    double number;           /* of NUMBER */
    int64_t integer;         /* of NUMBER, if it has no fraction and no exponent, and fits */
    bool is_integer, truth;
    int depth, state;
    uint64_t is_object;      /* a bit for each level of depth */
};

/* Returns an enum json_event, or TAIN_EFORMAT with the byte where the text goes wrong. */
int json_next_event(struct json_scan *s);

/* A value in a tree. Everything reached from a root is borrowed from it. */
struct json;

/* `what` names the text in sentences and is copied. The text is not needed afterwards. */
struct json *json_parse(const char *what, const void *text, size_t count);
struct json *json_read(const char *path, size_t limit);
void json_free(struct json *root); /* NULL is fine */

enum json_event json_type(const struct json *v); /* up to JSON_OBJECT */
size_t json_count(const struct json *v);         /* of members; 0 for what is no array or object */
/* Members in the order of the text; NULL after the last, and where there are none. */
const struct json *json_first(const struct json *v);
const struct json *json_next(const struct json *v);
const struct json *json_at(const struct json *array, size_t index); /* NULL beyond the end */
const struct json *json_find(const struct json *object, const char *key); /* NULL if not there */
/* The key of an object's member, NULL for anything else. `count` may be NULL. */
const char *json_key(const struct json *v, size_t *count);
char *json_path(const struct json *v); /* "config.json: layers[2].width", a new string */

/* Fails with a sentence that begins with the place of `v`. */
int json_fail(const struct json *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value itself, if it is of that type and within these limits (both included); otherwise
 * TAIN_EFORMAT: "config.json: vision.width must be a whole number from 1 to 65536, not \"x\"".
 * A string holds no zero byte unless `count` is asked for. */
int json_int(const struct json *v, int64_t min, int64_t max, int64_t *out);
int json_number(const struct json *v, double min, double max, double *out);
int json_bool(const struct json *v, bool *out);
int json_string(const struct json *v, const char **out, size_t *count);

/* The same of an object's member, which must be there. */
int json_get_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out);
int json_get_number(const struct json *o, const char *key, double min, double max, double *out);
int json_get_bool(const struct json *o, const char *key, bool *out);
int json_get_string(const struct json *o, const char *key, const char **out);
int json_get_array(const struct json *o, const char *key, const struct json **out);
int json_get_object(const struct json *o, const char *key, const struct json **out);

/* The same of a member that may be missing or null: then *out stays as it is. */
int json_opt_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out);
int json_opt_number(const struct json *o, const char *key, double min, double max, double *out);
int json_opt_bool(const struct json *o, const char *key, bool *out);
int json_opt_string(const struct json *o, const char *key, const char **out);

/* ---- Named tensors in files (tensors.c): safetensors, written by safetensors_out.c, and PyTorch's
 * archives of a pickle (pickle.c), of which nothing is executed ---- */

enum st_type { /* what tain can use, then what it only knows the size of */
    ST_F64,
    ST_F32,
    ST_F16,
    ST_BF16,
    ST_I64,
    ST_I32,
    ST_I16,
    ST_I8,
    ST_U8,
    ST_BOOL,
    ST_OTHER,
};

enum {
    ST_HEADER = 100000000, /* bytes of a header, as in the reference reader */
    ST_NAME   = 1024,      /* bytes of a name */
    ST_RANK   = 8,
    ST_COUNT  = 1000000,   /* tensors of a file */
    ST_SHARDS = 512,       /* files of a model; each stays open */
};

#define ST_SINGLE "model.safetensors"
#define ST_INDEX  "model.safetensors.index.json"

struct st_entry {
    const char *name;
    const char *type_name;  /* as in the file: says what ST_OTHER is */
    enum st_type type;
    int rank;               /* 0 for a scalar */
    int64_t shape[ST_RANK]; /* slowest first; a size may be 0 */
    int64_t count;          /* of elements */
    size_t bytes;
    int64_t offset;         /* of its first byte in its file */
    const int64_t *stride;  /* of elements, where they do not lie in the order of the shape, or NULL */
    int file;
};

const char *st_type_name(enum st_type type);
size_t st_type_bytes(enum st_type type); /* of an element; 0 for ST_OTHER */

/* Whether it has at most ST_NAME bytes and no control character: names go into sentences, and
 * terminals obey those. */
bool st_good_name(const char *name, size_t count);

/* One file, or a folder's model.safetensors, or all shards that a folder's
 * model.safetensors.index.json (which may also be named itself) lists; or pytorch_model.bin and
 * pytorch_model.bin.index.json in the same way. What the files say they hold is read and checked;
 * data is read when asked for, with pread, so that a file cut short later is an error and not a
 * crash. NULL on failure. */
struct st_file;
struct st_file *st_open(const char *path);
void st_close(struct st_file *f); /* NULL is fine */

/* Entries live as long as the file. Shard after shard, in the order of the data or of the pickle. */
int st_count(const struct st_file *f);
const struct st_entry *st_at(const struct st_file *f, int index);
const struct st_entry *st_find(const struct st_file *f, const char *name); /* NULL if not there */
const struct st_entry *st_need(const struct st_file *f, const char *name); /* fails if not there */
const char *st_metadata(const struct st_file *f, const char *key); /* of the first file; or NULL */
const char *st_path(const struct st_file *f, const struct st_entry *e); /* of the file it lies in */

/* Reads a tensor as it lies in the file, little-endian. `bytes` must be what the entry says. */
int st_read(const struct st_file *f, const struct st_entry *e, void *dest, size_t bytes);
/* A part of it, for tensors that go to the device in pieces. */
int st_read_part(const struct st_file *f, const struct st_entry *e, size_t from, void *dest,
                 size_t bytes);
/* A tensor of floats as f32: F16 and BF16 become exactly what they are, F64 is rounded to nearest.
 * `count` must be the entry's. */
int st_read_float(const struct st_file *f, const struct st_entry *e, float *dest, size_t count);
/* Some of its elements. */
int st_read_float_part(const struct st_file *f, const struct st_entry *e, size_t from, float *dest, size_t count);

/* What is to be written; `data` only matters to st_write. */
struct st_tensor {
    const char *name;
    enum st_type type;
    int rank;
    int64_t shape[ST_RANK];
    const void *data;
};

/* Writes a file atomically, as {"format":"pt"}, tensors in this order. A reader may want elements
 * to begin at multiples of their size: an order that breaks this is refused. */
int st_write(const char *path, const struct st_tensor *list, int count);

/* The same in pieces, so that a model needs no second copy: st_begin, then the bytes of all tensors
 * one after the other in pieces of any size, then st_end. Only st_end makes files appear; it fails
 * if bytes are missing, and frees `out` in any case. After st_put has failed, st_drop or st_end.
 *
 * With a limit above 0, `path` is an existing folder: it gets a model.safetensors or, if the data
 * has more bytes than the limit, shards of at most that size (a larger tensor is one by itself) and
 * their index. A folder that holds the other of the two forms is refused. */
struct st_out;
struct st_out *st_begin(const char *path, const struct st_tensor *list, int count, int64_t limit);
int st_put(struct st_out *out, const void *bytes, size_t count);
int st_end(struct st_out *out);
void st_drop(struct st_out *out); /* NULL is fine */

/* ---- Floats of 16 bits (half.c): exactly to f32; back, rounded to nearest even ---- */

float f16_to_f32(uint16_t h);
float bf16_to_f32(uint16_t h);
void f16_to_floats(const void *from, float *to, size_t count); /* many, aligned or not */
void bf16_to_floats(const void *from, float *to, size_t count);
uint16_t f32_to_f16(float f);
uint16_t f32_to_bf16(float f);

/* ---- Images (image.c, resample.c) ---- */

enum {
    IMAGE_SIDE   = 16384,
    IMAGE_PIXELS = 64 << 20,
    IMAGE_BYTES  = 256 << 20, /* of a file */
};

struct image {
    int width, height;
    uint8_t rgb[]; /* rows from the top, three bytes a pixel */
};

struct image *image_new(int width, int height); /* black; NULL beyond the limits */
void image_free(struct image *image);           /* NULL is fine */

/* PNG, JPEG or binary PPM, as RGB: grey is repeated, an alpha channel is dropped, of 16 bits the
 * upper 8 are taken, an orientation in Exif is not applied. A file that is cut off or whose
 * checksums are wrong is refused. `what` names it in sentences. */
struct image *image_decode(const char *what, const void *bytes, size_t count);
struct image *image_read(const char *path);

/* Into new memory for free(). The same pixels give the same bytes. */
int image_encode_png(const struct image *image, uint8_t **bytes, size_t *count);
int image_encode_ppm(const struct image *image, uint8_t **bytes, size_t *count);

/* By the path's ending, .png or .ppm; atomically. */
int image_write(const struct image *image, const char *path);

enum image_filter { IMAGE_BILINEAR, IMAGE_BICUBIC, IMAGE_LANCZOS };

/* All of these return a new image. Resizing gives the bytes that Pillow gives. */
struct image *image_resize(const struct image *image, int width, int height, enum image_filter f);

/* The short side becomes `size` and the long one, rounded down, keeps the proportion. */
struct image *image_short_side(const struct image *image, int size, enum image_filter f);

/* A part, which must lie inside. */
struct image *image_crop(const struct image *image, int left, int top, int width, int height);

/* Janus: the long side becomes `size`, the short one at least `least`, bicubic, in the middle of a
 * square of that colour. */
struct image *image_square(const struct image *image, int size, int least, const uint8_t colour[3]);

/* `count` images of one size, row by row, with a border of that colour around each. */
struct image *image_tile(const struct image *const *images, int count, int columns, int border,
                         const uint8_t colour[3]);

/* (x / 255 - mean) / deviation, as [3, height, width]. */
void image_floats(const struct image *image, const float mean[3], const float deviation[3],
                  float *dest);

/* ---- The log of a run (runlog.c): JSON lines that survive a crash ---- */

/* CRC-32C of the bytes; `before` is that of what came before them, 0 at first. */
uint32_t crc32c(uint32_t before, const void *bytes, size_t count);

/* One line is {"seq":N, the caller's members, "crc":"xxxxxxxx"}: N counts from 1 without a gap, and
 * the checksum is that of all bytes of the line before its comma.
 *
 * Opening checks every line. What a crash in the middle of a write leaves at the end is cut off:
 * bytes without a newline, or bytes that the disk never got and that read as zeros. Anything else
 * that is wrong is damage, and refused with the number of the line.
 *
 * To write, the file is made if need be and locked: a second process is refused. To read, nothing
 * is locked or changed, and the end is the last good line. NULL on failure. */
struct runlog;
struct runlog *runlog_open(const char *path, bool write);
void runlog_close(struct runlog *log); /* NULL is fine */

int64_t runlog_count(const struct runlog *log);
int64_t runlog_trimmed(const struct runlog *log); /* bytes that opening cut off */

/* Appends the members of a JSON object, given as text without newlines. When it returns 0, the line
 * is on disk. If there was no room, the log is as before and may be used further; if the disk could
 * not be brought to keep the line, nothing can be appended before it is opened again. */
int runlog_append(struct runlog *log, const char *object, size_t count);

/* The same in two steps, so that one flush serves many lines: none of them is safe before
 * runlog_sync has returned 0. */
int runlog_add(struct runlog *log, const char *object, size_t count);
int runlog_sync(struct runlog *log);

/* Reads the line at *at, which is 0 for the first, and moves *at to the next. Returns 1, 0 after
 * the last line, or a negative status. The line, without its newline, is borrowed until the next
 * call with this log. Its checksum is right, so it is what was written; it is not parsed. */
int runlog_next(struct runlog *log, int64_t *at, const char **line, size_t *count);

#endif
