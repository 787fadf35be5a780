/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csm/tensors.h>

#include "unit/scratch.h"

/* Write a file of header length, header and n_data bytes 0, 1, 2, ... */
static const char *file_of(const char *header, size_t n_data)
{
    static char path[SCRATCH_PATH_MAX];
    scratch_path(path, "x.safetensors");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    uint64_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        fputc((int)(n >> 8 * i & 255), f);
    fputs(header, f);
    for (size_t i = 0; i < n_data; i++)
        fputc((int)(i & 255), f);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void assert_refused(const char *path, const char *why)
{
    csm_tensors *file = NULL;
    csm_error err = {""};
    csm_status status = csm_tensors_open(path, &file, &err);
    assert_null(file);
    assert_int_equal(status, CSM_BAD_FORMAT);
    if (strstr(err.text, why) == NULL)
        fail_msg("message: %s\nexpected to contain: %s", err.text, why);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    scratch_path(path, "round.safetensors");
    const float f[6] = {1, 2, 3, 4, 5, 6};
    const uint8_t u[3] = {7, 8, 9};
    const int64_t n[1] = {-1};
    const csm_tensor tensors[] = {
        {.name = "u", .dtype = CSM_DTYPE_U8, .rank = 1, .shape = {3}, .data = u, .n_bytes = 3},
        {.name = "f", .dtype = CSM_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = f, .n_bytes = 24},
        {.name = "scalar \xc3\xa4", .dtype = CSM_DTYPE_I64, .rank = 0, .data = n, .n_bytes = 8},
        {.name = "empty", .dtype = CSM_DTYPE_F16, .rank = 2, .shape = {0, 4}, .data = NULL},
    };
    const char *metadata[] = {"text", "Hi \"you\"", "seed", "42"};
    csm_error err;
    assert_int_equal(csm_tensors_write(path, tensors, 4, metadata, 2, &err), CSM_OK);

    csm_tensors *file;
    assert_int_equal(csm_tensors_open(path, &file, &err), CSM_OK);
    assert_int_equal(csm_tensors_count(file), 4);
    assert_string_equal(csm_tensors_metadata(file, "text"), "Hi \"you\"");
    assert_string_equal(csm_tensors_metadata(file, "seed"), "42");
    assert_null(csm_tensors_metadata(file, "none"));
    for (size_t i = 0; i < 4; i++) {
        const csm_tensor *t = csm_tensors_find(file, tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->rank, tensors[i].rank);
        assert_memory_equal(t->shape, tensors[i].shape, sizeof t->shape);
        assert_int_equal(t->n_bytes, tensors[i].n_bytes);
        if (t->n_bytes > 0)
            assert_memory_equal(t->data, tensors[i].data, t->n_bytes);
        assert_int_equal((uintptr_t)t->data % csm_dtype_size(t->dtype), 0);
    }
    assert_string_equal(csm_tensors_at(file, 0)->name, "scalar \xc3\xa4");
    assert_null(csm_tensors_find(file, "g"));
    csm_tensors_close(file);
}

static void a_crooked_tensor_is_read_aligned(void **state)
{
    (void)state;
    csm_tensors *file;
    csm_error err;
    assert_int_equal(
        csm_tensors_open(
            file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                    "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}",
                    5),
            &file, &err),
        CSM_OK);
    const csm_tensor *b = csm_tensors_find(file, "b");
    assert_int_equal((uintptr_t)b->data % 4, 0);
    assert_memory_equal(b->data, "\1\2\3\4", 4);
    csm_tensors_close(file);
}

static void padding_spaces_and_an_empty_file_of_tensors_are_fine(void **state)
{
    (void)state;
    csm_tensors *file;
    csm_error err;
    assert_int_equal(csm_tensors_open(file_of("{}      ", 0), &file, &err), CSM_OK);
    assert_int_equal(csm_tensors_count(file), 0);
    assert_null(csm_tensors_metadata(file, "format"));
    csm_tensors_close(file);
}

static void metadata_of_null_is_none(void **state)
{
    (void)state; /* as mx.save_safetensors writes it */
    csm_tensors *file;
    csm_error err;
    assert_int_equal(csm_tensors_open(file_of("{\"__metadata__\":null}", 0), &file, &err), CSM_OK);
    assert_null(csm_tensors_metadata(file, "format"));
    csm_tensors_close(file);
}

static void malformed_headers_are_refused(void **state)
{
    (void)state;
#define A(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    static const struct {
        const char *header;
        size_t n_data;
        const char *why;
    } cases[] = {
        {"", 0, "expected a JSON object"},
        {"[]", 0, "expected a JSON object"},
        {"{", 0, "header, byte 1"},
        {"{} x", 0, "end of file expected"},
        {"{\"a\":1}", 0, "data_offsets of a"},
        {"{\"a\":{},\"a\":{}}", 0, "duplicate"},
        {"{\"\xff\":{}}", 0, "unable to decode byte 0xff"},
        {"{\"__metadata__\":[]}", 0, "__metadata__: expected an object"},
        {"{\"__metadata__\":{\"x\":1}}", 0, "__metadata__ x: expected a string"},
        {A("\"F33\"", "[1]", "[0,4]"), 4, "dtype of a: F33"},
        {A("3", "[1]", "[0,4]"), 4, "dtype of a"},
        {A("\"F32\"", "3", "[0,4]"), 4, "shape of a"},
        {A("\"F32\"", "[-1]", "[0,4]"), 4, "shape of a"},
        {A("\"F32\"", "[1.0]", "[0,4]"), 4, "shape of a"},
        {A("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "9 dimensions"},
        {A("\"F32\"", "[4611686018427387904,4]", "[0,0]"), 0, "overflows"},
        {A("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "too big"},
        {A("\"F32\"", "[2]", "[0,4]"), 4, "4 bytes, expected 8"},
        {A("\"F32\"", "[1]", "[0,4,8]"), 4, "expected [begin, end]"},
        {A("\"F32\"", "[1]", "[-4,0]"), 4, "expected [begin, end]"},
        {A("\"F32\"", "[1]", "[4,0]"), 4, "begin 4 lies after end 0"},
        {A("\"F32\"", "[1]", "[4,8]"), 8, "gap"},
        {A("\"F32\"", "[1]", "[0,4]"), 3, "cut short"},
        {A("\"F32\"", "[1]", "[0,4]"), 5, "1 bytes after the last tensor"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "overlap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(file_of(cases[i].header, cases[i].n_data), cases[i].why);
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    const char *path = file_of(A("\"F32\"", "[2]", "[0,8]"), 8);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (off_t size = info.st_size - 1; size >= 0; size--) {
        assert_int_equal(truncate(path, size), 0);
        assert_refused(path, path);
    }
}

static void a_header_length_beyond_the_file_or_the_cap_is_refused(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    scratch_path(path, "long.safetensors");
    scratch_write(path, "\x05\0\0\0\0\0\0\0{}  ", 12);
    assert_refused(path, "header of 5 bytes in a file of 12");
    scratch_write(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_refused(path, "expected at most 100000000");
}

static void other_formats_are_named(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    scratch_path(path, "ckpt.pt");
    scratch_write(path, "PK\3\4 and more bytes", 19);
    assert_refused(path, "pickle");
    assert_refused(path, "weights_only=True");
    scratch_write(path, "\x80\2}q\0more bytes", 14);
    assert_refused(path, "pickle");
    scratch_write(path, "GGUF\3\0\0\0more", 12);
    assert_refused(path, "GGUF");
    scratch_write(path, "version https://git-lfs.github.com/spec/v1\n", 43);
    assert_refused(path, "git lfs pull");
}

/* A writer that has nothing to say. */
static void *open_and_close(void *path)
{
    close(open(path, O_WRONLY));
    return NULL;
}

static void what_cannot_be_opened_is_bad_file(void **state)
{
    (void)state;
    csm_tensors *file = NULL;
    csm_error err;
    char path[SCRATCH_PATH_MAX];
    scratch_path(path, "missing");
    assert_int_equal(csm_tensors_open(path, &file, &err), CSM_BAD_FILE);
    scratch_path(path, "");
    assert_int_equal(csm_tensors_open(path, &file, &err), CSM_BAD_FILE);
    assert_non_null(strstr(err.text, "is a directory"));
    scratch_path(path, "pipe");
    pthread_t writer;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, open_and_close, path), 0);
    assert_int_equal(csm_tensors_open(path, &file, &err), CSM_BAD_FORMAT); /* 0 bytes */
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(csm_tensors_open("/dev/null", &file, &err), CSM_BAD_FILE);
    assert_null(file);
}

static void bad_arguments_of_write_leave_no_file(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_MAX];
    scratch_path(path, "none.safetensors");
    const uint8_t u[2] = {7, 8};
    csm_tensor tensors[2] = {
        {.name = "u", .dtype = CSM_DTYPE_U8, .rank = 1, .shape = {2}, .data = u, .n_bytes = 2},
        {.name = "u", .dtype = CSM_DTYPE_U8, .rank = 1, .shape = {2}, .data = u, .n_bytes = 2},
    };
    const char *metadata[] = {"k", "1", "k", "2"};
    csm_error err;
    assert_int_equal(csm_tensors_write(path, tensors, 2, NULL, 0, &err), CSM_BAD_ARG);
    assert_int_equal(csm_tensors_write(path, tensors, 1, metadata, 2, &err), CSM_BAD_ARG);
    tensors[0].n_bytes = 3;
    assert_int_equal(csm_tensors_write(path, tensors, 1, NULL, 0, &err), CSM_BAD_ARG);
    tensors[0].n_bytes = 2;
    tensors[0].name = "__metadata__";
    assert_int_equal(csm_tensors_write(path, tensors, 1, NULL, 0, &err), CSM_BAD_ARG);
    tensors[0].name = "\xff";
    assert_int_equal(csm_tensors_write(path, tensors, 1, NULL, 0, &err), CSM_BAD_ARG);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_failed_write_keeps_the_old_file_and_leaves_nothing_beside(void **state)
{
    (void)state;
    csm_error err;
    const csm_tensor none = {.name = "u", .dtype = CSM_DTYPE_U8, .rank = 1, .shape = {0}};
    assert_int_equal(csm_tensors_write("/dev/full", &none, 1, NULL, 0, &err), CSM_BAD_FILE);
    assert_non_null(strstr(err.text, "/dev/full: cannot be written: "));
    assert_int_equal(csm_tensors_write("/dev/null/x", &none, 1, NULL, 0, &err), CSM_BAD_FILE);
}

static void writing_through_a_link_replaces_what_it_points_to(void **state)
{
    (void)state;
    csm_error err;
    char real[SCRATCH_PATH_MAX], link[SCRATCH_PATH_MAX];
    scratch_path(real, "real.safetensors");
    scratch_path(link, "link.safetensors");
    scratch_write(real, "old", 3);
    assert_int_equal(chmod(real, 0640), 0);
    assert_int_equal(symlink(real, link), 0);
    const csm_tensor none = {.name = "u", .dtype = CSM_DTYPE_U8, .rank = 1, .shape = {0}};
    assert_int_equal(csm_tensors_write(link, &none, 1, NULL, 0, &err), CSM_OK);
    csm_tensors *file;
    assert_int_equal(csm_tensors_open(real, &file, &err), CSM_OK);
    csm_tensors_close(file);
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(real, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_crooked_tensor_is_read_aligned),
        cmocka_unit_test(padding_spaces_and_an_empty_file_of_tensors_are_fine),
        cmocka_unit_test(metadata_of_null_is_none),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_header_length_beyond_the_file_or_the_cap_is_refused),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(what_cannot_be_opened_is_bad_file),
        cmocka_unit_test(bad_arguments_of_write_leave_no_file),
        cmocka_unit_test(a_failed_write_keeps_the_old_file_and_leaves_nothing_beside),
        cmocka_unit_test(writing_through_a_link_replaces_what_it_points_to),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
