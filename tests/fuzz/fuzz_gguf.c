/* SPDX-License-Identifier: Apache-2.0
 *
 * A GGUF file: what opens has every tensor inside the file and apart from the others, its
 * quantized rows can be read, its tokenizer is one or is refused, and as a model it opens or
 * is refused in one line. */
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_tokenizer.h"
#include "files/gguf_rows.h"
#include "scratch_file.h"
#include "text/tokenizer.h"

enum { MOST_VALUES = 1 << 16 };

static void check_line(csm_status status, const csm_error *err)
{
    CHECK(status == CSM_OK || (err->text[0] != '\0' && strchr(err->text, '\n') == NULL));
}

static void check_tensor(const struct csm_gguf_tensor *t, const uint8_t *data, size_t n)
{
    const struct csm_gguf_affine affine = csm_gguf_affine(t->type);
    const size_t cols = t->shape[t->rank - 1];
    (void)data;
    CHECK(t->n_bytes <= n && t->rank >= 1 && t->rank <= 4 && strlen(t->name) > 0);
    if (affine.bits == 0 || cols > MOST_VALUES)
        return;
    uint8_t *codes = malloc(cols);
    float *scales = malloc(2 * cols / (size_t)affine.group * sizeof *scales);
    CHECK(codes != NULL && scales != NULL);
    csm_gguf_codes(t->type, t->data, cols, codes, scales, scales + cols / (size_t)affine.group);
    for (size_t i = 0; i < cols; i++)
        CHECK(codes[i] >> affine.bits == 0);
    free(codes);
    free(scales);
}

static void check_tokenizer(const csm_gguf *file)
{
    csm_error err = {""};
    char *text = NULL;
    size_t n = 0;
    csm_tokenizer *tokenizer = NULL;
    csm_status status = csm_gguf_tokenizer(file, "fuzz", &text, &n, &err);
    check_line(status, &err);
    if (text != NULL) {
        status = csm_tokenizer_read("fuzz", text, n, NULL, &tokenizer, &err);
        check_line(status, &err);
    }
    csm_tokenizer_close(tokenizer);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct scratch_file path = scratch_file("gguf");
    csm_error err = {""};
    csm_gguf *file = NULL;
    csm_checkpoint *checkpoint = NULL;
    scratch_write(&path, data, n);
    csm_status status = csm_gguf_open(path.path, &file, &err);
    CHECK((status == CSM_OK) == (file != NULL));
    check_line(status, &err);
    if (file != NULL) {
        for (size_t i = 0; i < csm_gguf_count(file); i++)
            check_tensor(csm_gguf_at(file, i), data, n);
        check_tokenizer(file);
        status = csm_checkpoint_open(path.path, CSM_NEEDS_LANGUAGE, &checkpoint, &err);
        check_line(status, &err);
    }
    csm_checkpoint_close(checkpoint);
    csm_gguf_close(file);
    unlink(path.path);
    return 0;
}
