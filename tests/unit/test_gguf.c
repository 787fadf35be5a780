/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of ggml's types against what the gguf package makes of the same blocks
 * (tests/golden/gguf/make.py), and what a file of values says. */
#include <stdlib.h>
#include <string.h>

#include "base/affine.h"
#include "base/quantized_row.h"
#include "cmocka_all.h"
#include "files/gguf_rows.h"

#define BLOCKS CSM_SOURCE_DIR "/tests/golden/gguf/blocks.gguf"

enum { ROWS = 2, COLS = 512 };

static csm_gguf *open_blocks(void)
{
    csm_gguf *file = NULL;
    csm_error err = {""};
    if (csm_gguf_open(BLOCKS, &file, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return file;
}

static const struct csm_gguf_tensor *find(const csm_gguf *file, const char *name)
{
    for (size_t i = 0; i < csm_gguf_count(file); i++)
        if (strcmp(csm_gguf_at(file, i)->name, name) == 0)
            return csm_gguf_at(file, i);
    fail_msg("%s: missing", name);
    return NULL;
}

/* Through the words that a checkpoint holds, as an engine reads them. */
static void check_row(const struct csm_gguf_tensor *t, size_t row, const float *expected)
{
    const struct csm_gguf_affine affine = csm_gguf_affine(t->type);
    static uint8_t codes[COLS];
    static uint32_t words[COLS];
    static float scales[COLS], biases[COLS], values[COLS];
    const size_t n_groups = COLS / (size_t)affine.group;
    csm_gguf_codes(t->type, (const char *)t->data + row * t->n_bytes / ROWS, COLS, codes, scales,
                   biases);
    csm_affine_pack(codes, COLS, affine.bits, words);
    const struct csm_weight_source source = {
        .format = CSM_WEIGHT_AFFINE,
        .bits = affine.bits,
        .group_size = affine.group,
        .tensor = {.dtype = CSM_DTYPE_U32, .data = words,
                   .n_bytes = (size_t)affine.bits * COLS / 8},
        .scales = {.dtype = CSM_DTYPE_F32, .data = scales, .n_bytes = n_groups * sizeof(float)},
        .biases = {.dtype = CSM_DTYPE_F32, .data = biases, .n_bytes = n_groups * sizeof(float)}};
    assert_true(csm_quantized_fits(&source, 1, COLS));
    csm_quantized_row(&source, 0, COLS, values, codes);
    for (size_t i = 0; i < COLS; i++)
        if (values[i] != expected[i])
            fail_msg("%s row %zu, value %zu: %.9g, expected %.9g", t->name, row, i,
                     (double)values[i], (double)expected[i]);
}

static void every_type_is_what_ggml_makes_of_it(void **state)
{
    (void)state;
    csm_gguf *file = open_blocks();
    size_t n_types = 0;
    for (size_t i = 0; i < csm_gguf_count(file); i++) {
        const struct csm_gguf_tensor *t = csm_gguf_at(file, i);
        char name[80];
        if (csm_gguf_affine(t->type).bits == 0)
            continue;
        snprintf(name, sizeof name, "%s.values", t->name);
        assert_string_equal(t->name, csm_gguf_format(t->type)->name);
        for (size_t row = 0; row < ROWS; row++)
            check_row(t, row, (const float *)find(file, name)->data + row * COLS);
        n_types++;
    }
    assert_int_equal(n_types, 10);
    csm_gguf_close(file);
}

/* A file by hand: values of every type, no tensors. */
struct bytes {
    unsigned char data[1024];
    size_t n;
};

static void put(struct bytes *b, const void *from, size_t n)
{
    memcpy(b->data + b->n, from, n);
    b->n += n;
}
static void put_u32(struct bytes *b, uint32_t x)
{
    put(b, &x, sizeof x);
}
static void put_u64(struct bytes *b, uint64_t x)
{
    put(b, &x, sizeof x);
}
static void put_key(struct bytes *b, const char *key, uint32_t type)
{
    put_u64(b, strlen(key));
    put(b, key, strlen(key));
    put_u32(b, type);
}

static csm_gguf *open_bytes(const struct bytes *b)
{
    csm_gguf *file = NULL;
    csm_error err = {""};
    struct csm_mapped mapped = {b->data, b->n, .is_borrowed = true};
    if (csm_gguf_of("by hand", &mapped, &file, &err) != CSM_OK)
        fail_msg("%s", err.text);
    return file;
}

static void values_are_read_by_their_types(void **state)
{
    (void)state;
    struct bytes b = {.n = 0};
    put(&b, "GGUF", 4);
    put_u32(&b, 3);
    put_u64(&b, 0);
    put_u64(&b, 8);
    put_key(&b, "i8", 1);
    put(&b, "\xfe", 1);
    put_key(&b, "u8", 0);
    put(&b, "\xfe", 1);
    put_key(&b, "i32", 5);
    put_u32(&b, 0x80000000u);
    put_key(&b, "u64", 10);
    put_u64(&b, UINT64_MAX);
    put_key(&b, "f32", 6);
    put(&b, &(float){1e-5f}, 4);
    put_key(&b, "f64", 12);
    put(&b, &(double){0.1}, 8);
    put_key(&b, "text", 8);
    put_u64(&b, 3);
    put(&b, "abc", 3);
    put_key(&b, "list", 9);
    put_u32(&b, 5);
    put_u64(&b, 2);
    put_u32(&b, 7);
    put_u32(&b, (uint32_t)-7);
    csm_gguf *file = open_bytes(&b);
    int64_t integer = 0;
    double number = 0;
    const char *text;
    size_t n;
    struct csm_gguf_array array;
    assert_true(csm_gguf_integer(file, "i8", &integer) && integer == -2);
    assert_true(csm_gguf_integer(file, "u8", &integer) && integer == 254);
    assert_true(csm_gguf_integer(file, "i32", &integer) && integer == INT32_MIN);
    assert_false(csm_gguf_integer(file, "u64", &integer)); /* beyond INT64_MAX */
    assert_false(csm_gguf_integer(file, "f32", &integer));
    assert_false(csm_gguf_integer(file, "none", &integer));
    assert_true(csm_gguf_number(file, "f32", &number) && (float)number == 1e-5f);
    assert_true(csm_gguf_number(file, "f64", &number) && number == 0.1);
    assert_true(csm_gguf_number(file, "u8", &number) && number == 254);
    assert_true(csm_gguf_text(file, "text", &text, &n) && n == 3 && memcmp(text, "abc", 3) == 0);
    assert_false(csm_gguf_texts(file, "list", &array));
    assert_true(csm_gguf_integers(file, "list", &array) && array.left == 2);
    assert_int_equal(csm_gguf_next_integer(&array), 7);
    assert_int_equal(csm_gguf_next_integer(&array), -7);
    assert_int_equal(array.left, 0);
    csm_gguf_close(file);
}

/* Every shorter file is refused, whatever it ends in. */
static void every_cut_is_refused(void **state)
{
    (void)state;
    struct csm_mapped whole;
    csm_error err = {""};
    assert_int_equal(csm_mapped_open(BLOCKS, "a GGUF file", &whole, &err), CSM_OK);
    for (size_t n = 0; n < whole.size; n += n < 4096 ? 1 : 997) {
        csm_gguf *file = NULL;
        struct csm_mapped cut = {whole.data, n, .is_borrowed = true};
        assert_int_not_equal(csm_gguf_of("cut", &cut, &file, &err), CSM_OK);
        assert_null(file);
        assert_true(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
    }
    csm_mapped_close(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_what_ggml_makes_of_it),
        cmocka_unit_test(values_are_read_by_their_types),
        cmocka_unit_test(every_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
