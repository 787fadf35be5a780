/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_texts TOKENIZER.json|MODEL.gguf [template | prompt | prompt-space]: texts from standard
 * input, each ended by a zero byte; for each one a line with its ids, those of a
 * turn of speaker 7 for `prompt`. A text that is not UTF-8 gives "refused". The time
 * of opening goes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint/gguf_tokenizer.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The tokenizer of a path, in a file of its own or inside a GGUF. */
static csm_status open_tokenizer(const char *path, csm_tokenizer **out, csm_error *err)
{
    const size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 5, ".gguf") != 0)
        return csm_tokenizer_open(path, out, err);
    csm_gguf *file;
    char *text = NULL;
    size_t n = 0;
    csm_status st = csm_gguf_open(path, &file, err);
    if (st != CSM_OK)
        return st;
    st = csm_gguf_tokenizer(file, path, &text, &n, err);
    if (st == CSM_OK)
        st = csm_tokenizer_read(path, text, n, NULL, out, err);
    free(text);
    csm_gguf_close(file);
    return st;
}

int main(int argc, char **argv)
{
    csm_error err;
    csm_tokenizer *tokenizer;
    const double begun = now_ms();
    if (argc < 2)
        return 2;
    if (open_tokenizer(argv[1], &tokenizer, &err) != CSM_OK) {
        fprintf(stderr, "csm: %s\n", err.text);
        return 3;
    }
    fprintf(stderr, "opened in %.1f ms\n", now_ms() - begun);

    char *text = NULL;
    size_t capacity = 0;
    ssize_t n;
    const double encoding = now_ms();
    while ((n = getdelim(&text, &capacity, '\0', stdin)) > 0) {
        int32_t *ids = NULL;
        size_t n_ids = 0;
        const bool is_prompt = argc > 2 && strncmp(argv[2], "prompt", 6) == 0;
        csm_status status =
            is_prompt ? csm_prompt_encode(tokenizer, strcmp(argv[2], "prompt") != 0, text, 7, &ids,
                                          &n_ids, &err)
                      : csm_tokenizer_encode(tokenizer, text, (size_t)n - 1, argc > 2, &ids, &n_ids,
                                             &err);
        if (status == CSM_BAD_ARG)
            printf("refused");
        else if (status != CSM_OK)
            return 4;
        for (size_t i = 0; i < n_ids; i++)
            printf(i == 0 ? "%d" : " %d", ids[i]);
        putchar('\n');
        free(ids);
    }
    fprintf(stderr, "encoded in %.1f ms\n", now_ms() - encoding);
    free(text);
    csm_tokenizer_close(tokenizer);
    return 0;
}
