/* SPDX-License-Identifier: Apache-2.0
 *
 * noise.c - csm noise: the raw numbers of a noise stream. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/sampling.h>
#include <csm/tensors.h>

#include "choices.h"
#include "command.h"
#include "options.h"

static const char help[] =
    "usage: csm noise --shape R,C [OPTIONS]\n"
    "The numbers that a generator gives for a tensor of that shape: exponentials of\n"
    "the torch streams, uniforms of mlx; one a line.\n\n"
    "  --stream S    torch-cpu (default), torch-cpu-mkl, torch-cuda, torch-inductor, mlx\n"
    "  --cuda-threads N  that torch-cuda's GPU holds at once; default: an H100's\n"
    "  --dtype D     f32 (default), bf16, f16\n"
    "  --seed N      default 0; or random\n"
    "  --shape R,C   or N: one call's shape\n"
    "  --calls N     default 1\n"
    "  --output F    write tensor noise, F32 [calls, R, C], instead\n";

struct request {
    const char *output;
    csm_stream_state state;
    csm_dtype dtype;
    size_t rows, cols, calls;
};

static bool read_shape(const char *text, struct request *r)
{
    char *end = NULL;
    const char *second = text != NULL ? strchr(text, ',') : NULL;
    r->rows = 1;
    if (second != NULL) {
        r->rows = strtoull(text, &end, 10);
        if (end != second)
            return false;
    }
    second = second != NULL ? second + 1 : text;
    if (second == NULL || *second < '0' || *second > '9' || *text < '0' || *text > '9')
        return false;
    r->cols = strtoull(second, &end, 10);
    return *end == '\0' && r->rows > 0 && r->cols > 0 &&
           r->rows <= SIZE_MAX / sizeof(float) / r->cols / r->calls;
}

static enum parsed parse(int argc, char **argv, struct request *r)
{
    const char *dtype = "f32", *stream = "torch-cpu", *shape = NULL;
    size_t cuda_threads = 0;
    const struct option_spec options[] = {
        {"stream", OPTION_TEXT, &stream},     {"dtype", OPTION_TEXT, &dtype},
        {"seed", OPTION_SEED, &r->state.seed}, {"shape", OPTION_TEXT, &shape},
        {"calls", OPTION_COUNT, &r->calls},    {"output", OPTION_TENSORS, &r->output},
        {"cuda-threads", OPTION_COUNT, &cuda_threads},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, NULL, 0);
    if (parsed != PARSED)
        return parsed;
    if (!choose_dtype(dtype, &r->dtype) || !choose_stream(stream, &r->state.kind) ||
        !choose_cuda_threads(cuda_threads, r->state.kind, &r->state.cuda_threads))
        return PARSED_WRONG;
    if (!read_shape(shape, r)) {
        fprintf(stderr, "csm: --shape: '%s' times %zu calls, expected R,C of 1 or more\n",
                shape != NULL ? shape : "", r->calls);
        return PARSED_WRONG;
    }
    return PARSED;
}

static csm_status deliver(const struct request *r, const float *noise, csm_error *err)
{
    size_t n = r->calls * r->rows * r->cols;
    const csm_tensor tensor = {.name = "noise", .dtype = CSM_DTYPE_F32, .rank = 3,
                               .shape = {r->calls, r->rows, r->cols}, .data = noise,
                               .n_bytes = n * sizeof *noise};
    if (r->output != NULL)
        return csm_tensors_write(r->output, &tensor, 1, NULL, 0, err);
    for (size_t i = 0; i < n; i++)
        printf("%.9g\n", (double)noise[i]);
    return CSM_OK;
}

int run_noise(int argc, char **argv)
{
    struct request r = {.calls = 1};
    enum parsed parsed = parse(argc, argv, &r);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;

    csm_error err;
    csm_stream *stream = NULL;
    size_t n = r.rows * r.cols;
    float *noise = calloc(r.calls, n * sizeof *noise);
    tell_of_gpu(r.state.kind, r.state.cuda_threads, n);
    csm_status st = csm_stream_open(&r.state, &stream, &err);
    if (st == CSM_OK && noise == NULL)
        st = csm_fail(&err, CSM_NO_MEMORY, "--shape: %zu calls of %zu numbers: out of memory", r.calls, n);
    for (size_t call = 0; call < r.calls && st == CSM_OK; call++)
        st = csm_stream_fill(stream, r.dtype, r.rows, r.cols, noise + call * n, &err);
    if (st == CSM_OK)
        st = deliver(&r, noise, &err);
    csm_stream_close(stream);
    free(noise);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
