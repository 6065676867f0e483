/* tokenizer_parts.h - what a tokenizer is made of. For the files that read and apply one.
 *
 * Text passes through: added tokens found in the raw text (trie) -> normal form -> added tokens
 * found in the normal form (trie) -> words (pretokenizer) -> pieces of words (merge, by the rules
 * of byte_level.c or sentencepiece.c).
 */
#ifndef TAIN_IO_TOKENIZER_PARTS_H
#define TAIN_IO_TOKENIZER_PARTS_H

#include "io/io.h"
#include "io/tokenizer.h"

#define TOKENIZER_MAX_FILE  (64u << 20) /* bytes of one file */
#define TOKENIZER_MAX_IDS   2000000
#define TOKENIZER_MAX_TEXT  (16u << 20) /* bytes of one text */
#define TOKENIZER_MAX_ADDED 1024        /* bytes of an added token */

/* ---- Vocabulary (vocabulary.c): names by id, ids by name ---- */

enum {
    TOKEN_PRESENT = 1,
    TOKEN_ADDED   = 2,  /* found in the text before anything else */
    TOKEN_SPECIAL = 4,  /* left out of decoded text on request */
    TOKEN_LSTRIP  = 8,  /* takes white space before it along */
    TOKEN_RSTRIP  = 16,
    TOKEN_CONTROL = 32, /* SentencePiece: <s>, </s> */
    TOKEN_UNKNOWN = 64, /* SentencePiece: <unk> */
    TOKEN_BYTE    = 128, /* SentencePiece: <0x0A> */
    TOKEN_NAMED   = 256  /* the configuration gives it a role */
};

struct token {
    uint32_t at, length; /* in bytes */
    uint32_t flags;
};

struct vocabulary {
    char *bytes;
    size_t used, room;
    struct token *tokens;
    size_t count, token_room; /* one more than the highest id */
    uint32_t *slots;          /* open addressing: id + 1, or 0 */
    size_t slot_count, filled;
    uint64_t seed; /* so that no file can make all names collide */
    size_t limit;  /* ids lie below it: a file cannot name more tokens than it has bytes */
};

uint64_t vocabulary_hash(const char *text, size_t length, uint64_t seed);
uint64_t vocabulary_seed(void);
int32_t vocabulary_find(const struct vocabulary *v, const char *text, size_t length);

/* Adds a token. The same id and name again adds only flags; anything else that is taken is
 * TAIN_EFORMAT. `where` names the file. */
int vocabulary_put(struct vocabulary *v, int64_t id, const char *text, size_t length,
                   uint32_t flags, const char *where);
void vocabulary_clear(struct vocabulary *v);

static inline const char *vocabulary_text(const struct vocabulary *v, int32_t id)
{
    return v->bytes + v->tokens[id].at;
}

/* ---- Added tokens in a text (trie.c) ---- */

struct trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t id;              /* -1: no token ends here */
    unsigned char byte;
};

struct trie {
    struct trie_node *nodes; /* 0 is unused; first[] are the roots */
    size_t count, room;
    uint32_t first[256];
};

int trie_add(struct trie *t, const char *text, size_t length, int32_t id);
void trie_clear(struct trie *t);

/* The first token at or after `from`, the longest of those that begin there: its id, or -1. */
int32_t trie_find(const struct trie *t, const char *text, size_t length, size_t from,
                  size_t *start, size_t *end);

/* ---- Merging (merge.c): pairs of neighbours become one, the best pair first ---- */

struct symbol {
    int32_t id;
    uint32_t at, length; /* its bytes in the word; 0 long: merged into the one before */
    int32_t previous, next;
};

struct candidate {
    uint32_t rank, position, length;
    int32_t id;
};

struct merger {
    struct symbol *symbols;
    size_t count, room;
    struct candidate *heap;
    size_t heap_count, heap_room;
};

/* Whether two neighbours may become one: its id, and the rank, of which the lowest goes first. */
typedef bool merge_rule(const void *context, const struct symbol *left, const struct symbol *right,
                        uint32_t *rank, int32_t *id);

int merge_push(struct merger *m, int32_t id, size_t at, size_t length);
int merge_run(struct merger *m, merge_rule *rule, const void *context);
void merge_clear(struct merger *m);

/* ---- Words (pretokenizer.c) ---- */

enum split_behaviour { /* what becomes of the matches */
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_WITH_PREVIOUS,
    SPLIT_WITH_NEXT,
    SPLIT_CONTIGUOUS,
};

struct span {
    uint32_t start, end;
};

struct spans {
    struct span *at;
    size_t count, room;
};

struct split; /* one step */

struct pretokenizer {
    struct split *steps;
    size_t count;
};

/* Adds a step. The pattern is in Oniguruma's Ruby syntax; what does not mean the same in PCRE2 is
 * translated or refused. */
int pretokenizer_add(struct pretokenizer *p, const char *pattern, enum split_behaviour behaviour,
                     bool invert);
/* The same for a text that is no pattern. */
int pretokenizer_add_literal(struct pretokenizer *p, const char *text,
                             enum split_behaviour behaviour, bool invert);
/* Cuts `text` (valid UTF-8) into `words`; `other` is room to work in. */
int pretokenizer_split(const struct pretokenizer *p, const char *text, size_t length,
                       struct spans *words, struct spans *other);
void pretokenizer_clear(struct pretokenizer *p);

/* ---- The whole ---- */

enum normal_form { NORMAL_NONE, NORMAL_NFC, NORMAL_NFD, NORMAL_NFKC, NORMAL_NFKD };

struct merge_entry {
    int32_t left, right, id; /* left -1: free */
    uint32_t rank;
};

struct tokenizer {
    struct vocabulary words;
    struct trie raw, normal; /* added tokens of the raw text, and of its normal form */
    struct tokens before, after; /* put around a text with special tokens */
    int32_t bos, eos, pad;
    bool pieces;                 /* SentencePiece, else byte-level */
    bool has_template;           /* the file itself says what is put around */

    /* byte-level */
    enum normal_form forms[4];
    size_t form_count;
    struct pretokenizer pre;
    struct merge_entry *merges;
    size_t merge_slots; /* a power of two */
    uint64_t seed;
    bool ignore_merges;
    int32_t byte_ids[256]; /* the token of a byte, or -1 */

    /* SentencePiece */
    uint32_t *ranks; /* of the pieces: the higher the score, the lower */
    size_t piece_count, longest;
    bool prefix;     /* a text begins as if with a space */
    int32_t unknown; /* byte_ids are those of <0x00> to <0xFF> */
};

/* What encoding needs room for. */
struct workspace {
    struct merger merger;
    struct spans words, other;
    char *normal; /* the text in normal form */
    struct text text;
};

/* tokenizer.c: brings *text into the normal form, which lies in w->normal or is *text itself. */
int tokenizer_normal(const struct tokenizer *t, struct workspace *w, const char **text,
                     size_t *length);

/* tokenizer_json.c. `where` names the file, which is `size` bytes long. */
int tokenizer_read_json(struct tokenizer *t, const struct json *root, size_t size,
                        const char *where);
int tokenizer_read_vocab(struct tokenizer *t, const struct json *root, size_t size,
                         const char *where);
/* The shape of a tokenizer whose files do not state it, by the name of its class. */
int tokenizer_shape(struct tokenizer *t, const char *class, const char *where);
int tokenizer_add_token(struct tokenizer *t, int64_t id, const char *name, size_t length,
                        uint32_t flags, bool normalized, const char *where);

/* byte_level.c */
uint32_t byte_level_character(unsigned char byte);
/* A name of up to 2 * length bytes; returns how many. */
int byte_level_name(const char *bytes, size_t length, char *out);
/* Up to length bytes; returns how many, or -1 if the name is plain text. */
int byte_level_bytes(const char *name, size_t length, char *out);
int byte_level_merge(struct tokenizer *t, const char *a, size_t a_length, const char *b,
                     size_t b_length, uint32_t rank, const char *where);
int byte_level_reserve(struct tokenizer *t, size_t merges);
int byte_level_read_merges(struct tokenizer *t, const char *text, size_t size, const char *where);
void byte_level_ready(struct tokenizer *t);
int byte_level_encode(const struct tokenizer *t, struct workspace *w, const char *text,
                      size_t length, struct tokens *out);

/* sentencepiece.c */
int sentencepiece_read(struct tokenizer *t, const char *data, size_t size, const char *where);
int sentencepiece_encode(const struct tokenizer *t, struct workspace *w, const char *text,
                         size_t length, struct tokens *out);
char *sentencepiece_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip,
                           size_t *length);

#endif
