/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf.c - everything that a file says of itself is read once, through a cursor that
 * cannot leave the bytes; what is asked for later lies between places that were checked. */
#include "files/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "base/utf8.h"

enum {
    MAX_NAME = 63,
    MAX_KEY = 65535,
    MIN_PAIR = 8 + 1 + 4 + 1,         /* bytes of the shortest key-value pair */
    MIN_INFO = 8 + 1 + 4 + 8 + 4 + 8, /* of what the shortest tensor is described with */
    MAX_ALIGNMENT = 1 << 20,
    MAX_RANK = 4
};

/* Types of values. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, N_VALUE_TYPES };
static const size_t value_bytes[N_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const struct csm_gguf_format formats[] = {
    {CSM_GGUF_F32, "f32", 1, 4},       {CSM_GGUF_F16, "f16", 1, 2},
    {CSM_GGUF_BF16, "bf16", 1, 2},     {CSM_GGUF_Q4_0, "q4_0", 32, 18},
    {CSM_GGUF_Q4_1, "q4_1", 32, 20},   {CSM_GGUF_Q5_0, "q5_0", 32, 22},
    {CSM_GGUF_Q5_1, "q5_1", 32, 24},   {CSM_GGUF_Q8_0, "q8_0", 32, 34},
    {CSM_GGUF_Q2_K, "q2_k", 256, 84},  {CSM_GGUF_Q3_K, "q3_k", 256, 110},
    {CSM_GGUF_Q4_K, "q4_k", 256, 144}, {CSM_GGUF_Q5_K, "q5_k", 256, 176},
    {CSM_GGUF_Q6_K, "q6_k", 256, 210},
};

/* What others are called, for a message. */
static const struct {
    uint32_t type;
    const char *name;
} others[] = {{9, "q8_1"},     {15, "q8_k"},    {16, "iq2_xxs"}, {17, "iq2_xs"}, {18, "iq3_xxs"},
              {19, "iq1_s"},   {20, "iq4_nl"},  {21, "iq3_s"},   {22, "iq2_s"},  {23, "iq4_xs"},
              {24, "i8"},      {25, "i16"},     {26, "i32"},     {27, "i64"},    {28, "f64"},
              {29, "iq1_m"},   {34, "tq1_0"},   {35, "tq2_0"},   {39, "mxfp4"}};

struct pair {
    const char *key;
    size_t n_key;
    uint32_t type;             /* of the value, or of an array's elements */
    bool is_array;
    size_t n;                  /* elements; of a string its bytes */
    const unsigned char *data; /* of the value */
};

struct csm_gguf {
    struct csm_mapped bytes;
    size_t n_header;
    struct pair *pairs;
    size_t n_pairs;
    struct csm_gguf_tensor *tensors;
    char *names;
    size_t n_tensors;
};

const struct csm_gguf_format *csm_gguf_format(enum csm_gguf_type type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].type == type)
            return &formats[i];
    return NULL;
}

static const char *other_name(uint32_t type)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].type == type)
            return others[i].name;
    return "unknown";
}

/* ---- a cursor that stays inside ------------------------------------------------ */

struct cursor {
    const char *path;
    const unsigned char *begin, *at;
    size_t left;
};

static csm_status take(struct cursor *c, size_t n, const char *what, csm_error *err)
{
    if (n > c->left)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: ends at byte %zu inside %s, expected %zu bytes more", c->path,
                        (size_t)(c->at - c->begin) + c->left, what, n - c->left);
    c->at += n;
    c->left -= n;
    return CSM_OK;
}

static csm_status take_u32(struct cursor *c, const char *what, uint32_t *out, csm_error *err)
{
    const unsigned char *at = c->at;
    csm_status st = take(c, sizeof *out, what, err);
    if (st == CSM_OK)
        memcpy(out, at, sizeof *out);
    return st;
}

static csm_status take_u64(struct cursor *c, const char *what, uint64_t *out, csm_error *err)
{
    const unsigned char *at = c->at;
    csm_status st = take(c, sizeof *out, what, err);
    if (st == CSM_OK)
        memcpy(out, at, sizeof *out);
    return st;
}

/* A string: how long it is, and its bytes. */
static csm_status take_text(struct cursor *c, const char *what, const char **text, size_t *n,
                            csm_error *err)
{
    uint64_t length = 0;
    csm_status st = take_u64(c, what, &length, err);
    if (st == CSM_OK && length > c->left)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: %s: a string of %llu bytes with %zu left in the file", c->path, what,
                      (unsigned long long)length, c->left);
    if (st != CSM_OK)
        return st;
    *text = (const char *)c->at;
    *n = (size_t)length;
    return take(c, *n, what, err);
}

/* As much of a text as a message may hold. */
struct shown {
    char text[MAX_NAME + 1];
};
static struct shown shown(const char *text, size_t n)
{
    struct shown s = {""};
    if (n > MAX_NAME)
        n = MAX_NAME;
    memcpy(s.text, text, csm_utf8_valid(text, n));
    for (char *c = s.text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return s;
}

static bool is_name(const char *text, size_t n, size_t most)
{
    return n > 0 && n <= most && memchr(text, '\0', n) == NULL && csm_utf8_valid(text, n) == n;
}

/* ---- key-value pairs ----------------------------------------------------------- */

static csm_status read_array(struct cursor *c, struct pair *pair, const char *key, csm_error *err)
{
    uint32_t type = 0;
    uint64_t n = 0;
    csm_status st = take_u32(c, key, &type, err);
    if (st == CSM_OK)
        st = take_u64(c, key, &n, err);
    if (st != CSM_OK)
        return st;
    if (type >= N_VALUE_TYPES || type == ARRAY)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s: an array of type %u, expected numbers or strings", c->path, key,
                        type);
    const size_t least = type == STRING ? sizeof(uint64_t) : value_bytes[type];
    if (n > c->left / least)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s: an array of %llu with %zu bytes left in the file", c->path, key,
                        (unsigned long long)n, c->left);
    pair->is_array = true;
    pair->type = type;
    pair->n = (size_t)n;
    pair->data = c->at;
    if (type != STRING)
        return take(c, pair->n * least, key, err);
    for (size_t i = 0; st == CSM_OK && i < pair->n; i++) {
        const char *text;
        size_t length;
        st = take_text(c, key, &text, &length, err);
    }
    return st;
}

static csm_status read_pair(struct cursor *c, struct pair *pair, csm_error *err)
{
    csm_status st = take_text(c, "a key", &pair->key, &pair->n_key, err);
    if (st == CSM_OK && !is_name(pair->key, pair->n_key, MAX_KEY))
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: a key of %zu bytes (%s), expected 1 to %d of UTF-8 without a zero",
                      c->path, pair->n_key, shown(pair->key, pair->n_key).text, MAX_KEY);
    uint32_t type = 0;
    if (st == CSM_OK)
        st = take_u32(c, "a value's type", &type, err);
    if (st != CSM_OK)
        return st;
    const struct shown key = shown(pair->key, pair->n_key);
    if (type >= N_VALUE_TYPES)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: value of type %u, expected 0 to %d", c->path,
                        key.text, type, N_VALUE_TYPES - 1);
    if (type == ARRAY)
        return read_array(c, pair, key.text, err);
    pair->type = type;
    if (type == STRING) {
        const char *text = NULL;
        st = take_text(c, key.text, &text, &pair->n, err);
        pair->data = (const unsigned char *)text;
        return st;
    }
    pair->n = 1;
    pair->data = c->at;
    return take(c, value_bytes[type], key.text, err);
}

/* Names once each: indices sorted by hash, then compared among equal ones. */
struct hashed {
    uint64_t hash;
    size_t i;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->i < y->i ? -1 : 1;
}

/* The first of two equal names in `names`, by `name_of`; n: none. */
static csm_status check_once(const csm_gguf *file, const char *path, size_t n,
                             const char *(*name_of)(const csm_gguf *, size_t, size_t *),
                             const char *what, csm_error *err)
{
    struct hashed *list = calloc(n + 1, sizeof *list);
    if (list == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *name = name_of(file, i, &length);
        list[i] = (struct hashed){csm_hash(name, length), i};
    }
    qsort(list, n, sizeof *list, by_hash);
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        for (size_t k = i + 1; st == CSM_OK && k < n && list[k].hash == list[i].hash; k++) {
            size_t a, b;
            const char *x = name_of(file, list[i].i, &a), *y = name_of(file, list[k].i, &b);
            if (a == b && memcmp(x, y, a) == 0)
                st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: a %s twice, expected once", path,
                              shown(x, a).text, what);
        }
    free(list);
    return st;
}

static const char *key_of(const csm_gguf *file, size_t i, size_t *n)
{
    *n = file->pairs[i].n_key;
    return file->pairs[i].key;
}

static const char *tensor_of(const csm_gguf *file, size_t i, size_t *n)
{
    *n = strlen(file->tensors[i].name);
    return file->tensors[i].name;
}

static csm_status read_pairs(csm_gguf *file, struct cursor *c, uint64_t n, csm_error *err)
{
    if (n > c->left / MIN_PAIR)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %llu key-value pairs with %zu bytes left in the file", c->path,
                        (unsigned long long)n, c->left);
    file->pairs = calloc((size_t)n + 1, sizeof *file->pairs);
    if (file->pairs == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", c->path);
    csm_status st = CSM_OK;
    for (; st == CSM_OK && file->n_pairs < n; file->n_pairs++)
        st = read_pair(c, &file->pairs[file->n_pairs], err);
    return st == CSM_OK ? check_once(file, c->path, file->n_pairs, key_of, "key", err) : st;
}

/* ---- tensors ------------------------------------------------------------------- */

/* What a tensor is described with; its offset goes into `data` as a number. */
static csm_status read_info(struct cursor *c, struct csm_gguf_tensor *t, char *name,
                            uint64_t *offset, csm_error *err)
{
    const char *text = NULL;
    size_t n = 0;
    csm_status st = take_text(c, "a tensor's name", &text, &n, err);
    if (st == CSM_OK && !is_name(text, n, MAX_NAME))
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: a tensor's name of %zu bytes (%s), expected 1 to %d of UTF-8 without a "
                      "zero",
                      c->path, n, shown(text, n).text, MAX_NAME);
    if (st != CSM_OK)
        return st;
    memcpy(name, text, n);
    name[n] = '\0';
    t->name = name;
    uint32_t rank = 0, type = 0;
    st = take_u32(c, name, &rank, err);
    if (st == CSM_OK && (rank < 1 || rank > MAX_RANK))
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %u axes, expected 1 to %d", c->path, name, rank,
                      MAX_RANK);
    t->rank = rank;
    for (size_t i = 0; st == CSM_OK && i < rank; i++) {
        uint64_t size = 0;
        st = take_u64(c, name, &size, err);
        if (st == CSM_OK && (size == 0 || size > SIZE_MAX / 8))
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %llu along axis %zu, expected 1 or more",
                          c->path, name, (unsigned long long)size, i);
        t->shape[rank - 1 - i] = (size_t)size; /* the file begins with the contiguous one */
    }
    if (st == CSM_OK)
        st = take_u32(c, name, &type, err);
    if (st == CSM_OK)
        st = take_u64(c, name, offset, err);
    if (st != CSM_OK)
        return st;
    const struct csm_gguf_format *format = csm_gguf_format((enum csm_gguf_type)type);
    if (format == NULL)
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: %s: type %u (%s), expected f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, "
                        "q5_1, q2_k, q3_k, q4_k, q5_k or q6_k",
                        c->path, name, type, other_name(type));
    t->type = format->type;
    const size_t cols = t->shape[rank - 1];
    if (cols % format->block_values != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: rows of %zu, expected a multiple of %zu for "
                        "%s",
                        c->path, name, cols, format->block_values, format->name);
    size_t n_bytes = cols / format->block_values;
    bool is_good = n_bytes <= SIZE_MAX / format->block_bytes;
    n_bytes *= format->block_bytes;
    for (size_t i = 0; is_good && i + 1 < rank; i++) {
        is_good = n_bytes <= SIZE_MAX / t->shape[i];
        n_bytes *= t->shape[i];
    }
    if (!is_good)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: its size overflows 64 bits", c->path, name);
    t->n_bytes = n_bytes;
    return CSM_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct csm_gguf_tensor *const *x = a, *const *y = b;
    return (*x)->data < (*y)->data ? -1 : (*x)->data > (*y)->data;
}

static csm_status check_apart(const csm_gguf *file, const char *path, csm_error *err)
{
    const struct csm_gguf_tensor **order = calloc(file->n_tensors + 1, sizeof *order);
    if (order == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < file->n_tensors; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->n_tensors, sizeof *order, by_place);
    csm_status st = CSM_OK;
    for (size_t i = 1; st == CSM_OK && i < file->n_tensors; i++) {
        const struct csm_gguf_tensor *before = order[i - 1];
        if ((const char *)before->data + before->n_bytes > (const char *)order[i]->data)
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s and %s overlap, expected each by itself",
                          path, before->name, order[i]->name);
    }
    free(order);
    return st;
}

static csm_status read_alignment(const csm_gguf *file, const char *path, int64_t *alignment,
                                 csm_error *err)
{
    static const char key[] = "general.alignment";
    *alignment = 32;
    if (csm_gguf_has(file, key) &&
        (!csm_gguf_integer(file, key, alignment) || *alignment < 8 || *alignment > MAX_ALIGNMENT ||
         (*alignment & (*alignment - 1)) != 0))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s: expected a power of two from 8 to %d", path,
                        key, MAX_ALIGNMENT);
    return CSM_OK;
}

static csm_status read_tensors(csm_gguf *file, struct cursor *c, uint64_t n, csm_error *err)
{
    if (n > c->left / MIN_INFO)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %llu tensors with %zu bytes left in the file",
                        c->path, (unsigned long long)n, c->left);
    file->tensors = calloc((size_t)n + 1, sizeof *file->tensors);
    file->names = malloc(((size_t)n + 1) * (MAX_NAME + 1));
    uint64_t *offsets = calloc((size_t)n + 1, sizeof *offsets);
    csm_status st = CSM_OK;
    if (file->tensors == NULL || file->names == NULL || offsets == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", c->path);
    for (; st == CSM_OK && file->n_tensors < n; file->n_tensors++)
        st = read_info(c, &file->tensors[file->n_tensors],
                       file->names + file->n_tensors * (MAX_NAME + 1), &offsets[file->n_tensors],
                       err);
    if (st == CSM_OK)
        st = check_once(file, c->path, file->n_tensors, tensor_of, "tensor", err);

    int64_t alignment = 0;
    if (st == CSM_OK)
        st = read_alignment(file, c->path, &alignment, err);
    if (st != CSM_OK) {
        free(offsets);
        return st;
    }
    file->n_header = (size_t)(c->at - c->begin);
    const size_t start = (file->n_header + (size_t)alignment - 1) / (size_t)alignment *
                         (size_t)alignment;
    const size_t room = start <= file->bytes.size ? file->bytes.size - start : 0;
    for (size_t i = 0; st == CSM_OK && i < file->n_tensors; i++) {
        struct csm_gguf_tensor *t = &file->tensors[i];
        if (offsets[i] % (uint64_t)alignment != 0)
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: at offset %llu, expected a multiple of %d",
                          c->path, t->name, (unsigned long long)offsets[i], (int)alignment);
        else if (offsets[i] > room || t->n_bytes > room - (size_t)offsets[i])
            st = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: %s: %zu bytes at offset %llu, but the file ends %zu after its header",
                          c->path, t->name, t->n_bytes, (unsigned long long)offsets[i], room);
        else
            t->data = file->bytes.data + start + offsets[i];
    }
    free(offsets);
    return st == CSM_OK ? check_apart(file, c->path, err) : st;
}

/* ---- the file ------------------------------------------------------------------ */

bool csm_gguf_is(const void *bytes, size_t n)
{
    return n >= 4 && memcmp(bytes, "GGUF", 4) == 0;
}

static csm_status read_all(csm_gguf *file, const char *path, csm_error *err)
{
    struct cursor c = {path, file->bytes.data, file->bytes.data, file->bytes.size};
    if (!csm_gguf_is(c.at, c.left))
        return csm_fail(err, CSM_BAD_FORMAT, "%s: begins with other bytes, expected a GGUF file",
                        path);
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_pairs = 0;
    csm_status st = take(&c, 4, "its first bytes", err);
    if (st == CSM_OK)
        st = take_u32(&c, "its version", &version, err);
    if (st == CSM_OK && version > 0xffff && (version & 0xffff) == 0)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: GGUF with the big end first, expected the little end first", path);
    if (st == CSM_OK && version != 2 && version != 3)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: GGUF version %u, expected 2 or 3", path, version);
    if (st == CSM_OK)
        st = take_u64(&c, "the number of tensors", &n_tensors, err);
    if (st == CSM_OK)
        st = take_u64(&c, "the number of key-value pairs", &n_pairs, err);
    if (st == CSM_OK)
        st = read_pairs(file, &c, n_pairs, err);
    return st == CSM_OK ? read_tensors(file, &c, n_tensors, err) : st;
}

csm_status csm_gguf_of(const char *path, struct csm_mapped *bytes, csm_gguf **out, csm_error *err)
{
    csm_gguf *file = calloc(1, sizeof *file);
    if (file == NULL) {
        csm_mapped_close(bytes);
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    }
    file->bytes = *bytes;
    *bytes = (struct csm_mapped){0};
    csm_status st = read_all(file, path, err);
    if (st != CSM_OK) {
        csm_gguf_close(file);
        return st;
    }
    *out = file;
    return CSM_OK;
}

csm_status csm_gguf_open(const char *path, csm_gguf **out, csm_error *err)
{
    struct csm_mapped bytes;
    csm_status st = csm_mapped_open(path, "a GGUF file", &bytes, err);
    return st == CSM_OK ? csm_gguf_of(path, &bytes, out, err) : st;
}

void csm_gguf_close(csm_gguf *file)
{
    if (file == NULL)
        return;
    csm_mapped_close(&file->bytes);
    free(file->pairs);
    free(file->tensors);
    free(file->names);
    free(file);
}

size_t csm_gguf_count(const csm_gguf *file)
{
    return file->n_tensors;
}

const struct csm_gguf_tensor *csm_gguf_at(const csm_gguf *file, size_t i)
{
    return &file->tensors[i];
}

void csm_gguf_forget(const csm_gguf *file, const struct csm_gguf_tensor *tensor)
{
    csm_mapped_forget(&file->bytes, tensor->data, tensor->n_bytes);
}

const void *csm_gguf_header(const csm_gguf *file, size_t *n_bytes)
{
    *n_bytes = file->n_header;
    return file->bytes.data;
}

/* ---- values -------------------------------------------------------------------- */

static const struct pair *find(const csm_gguf *file, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i < file->n_pairs; i++)
        if (file->pairs[i].n_key == n && memcmp(file->pairs[i].key, key, n) == 0)
            return &file->pairs[i];
    return NULL;
}

bool csm_gguf_has(const csm_gguf *file, const char *key)
{
    return find(file, key) != NULL;
}

bool csm_gguf_text(const csm_gguf *file, const char *key, const char **text, size_t *n)
{
    const struct pair *pair = find(file, key);
    if (pair == NULL || pair->is_array || pair->type != STRING)
        return false;
    *text = (const char *)pair->data;
    *n = pair->n;
    return true;
}

static bool is_integer(uint32_t type)
{
    return type != F32 && type != F64 && type != STRING && type != ARRAY;
}

static uint64_t bits_at(const unsigned char *at, uint32_t type)
{
    uint64_t bits = 0;
    memcpy(&bits, at, value_bytes[type]); /* the little end first, as checked in numbers.h */
    return bits;
}

/* Negative ones are widened; U64 beyond INT64_MAX becomes negative. */
static int64_t integer_at(const unsigned char *at, uint32_t type)
{
    const uint64_t bits = bits_at(at, type);
    const unsigned unused = 64 - 8 * (unsigned)value_bytes[type];
    const bool is_signed = type == I8 || type == I16 || type == I32;
    return is_signed && (bits >> (63 - unused) & 1) != 0 ? (int64_t)(bits | ~(UINT64_MAX >> unused))
                                                         : (int64_t)bits;
}

bool csm_gguf_integer(const csm_gguf *file, const char *key, int64_t *value)
{
    const struct pair *pair = find(file, key);
    if (pair == NULL || pair->is_array || !is_integer(pair->type))
        return false;
    const int64_t found = integer_at(pair->data, pair->type);
    if (pair->type == U64 && found < 0)
        return false;
    *value = found;
    return true;
}

bool csm_gguf_number(const csm_gguf *file, const char *key, double *value)
{
    const struct pair *pair = find(file, key);
    int64_t integer;
    if (csm_gguf_integer(file, key, &integer)) {
        *value = (double)integer;
        return true;
    }
    if (pair == NULL || pair->is_array || (pair->type != F32 && pair->type != F64))
        return false;
    const uint64_t bits = bits_at(pair->data, pair->type);
    *value = pair->type == F32 ? (double)csm_float_of_bits((uint32_t)bits)
                               : csm_double_of_bits(bits);
    return true;
}

static bool find_array(const csm_gguf *file, const char *key, bool (*is_wanted)(uint32_t),
                       struct csm_gguf_array *array)
{
    const struct pair *pair = find(file, key);
    if (pair == NULL || !pair->is_array || !is_wanted(pair->type))
        return false;
    *array = (struct csm_gguf_array){pair->data, pair->type, pair->n};
    return true;
}

static bool is_text(uint32_t type)
{
    return type == STRING;
}

bool csm_gguf_texts(const csm_gguf *file, const char *key, struct csm_gguf_array *array)
{
    return find_array(file, key, is_text, array);
}

bool csm_gguf_integers(const csm_gguf *file, const char *key, struct csm_gguf_array *array)
{
    return find_array(file, key, is_integer, array);
}

void csm_gguf_next_text(struct csm_gguf_array *array, const char **text, size_t *n)
{
    uint64_t length;
    memcpy(&length, array->at, sizeof length);
    *text = (const char *)array->at + sizeof length;
    *n = (size_t)length;
    array->at += sizeof length + *n;
    array->left--;
}

int64_t csm_gguf_next_integer(struct csm_gguf_array *array)
{
    const int64_t value = integer_at(array->at, array->type);
    array->at += value_bytes[array->type];
    array->left--;
    return value;
}
