/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c - csm sample: exact draws from logits in a file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <csm/sampling.h>
#include <csm/tensors.h>

#include "choices.h"
#include "command.h"
#include "logits.h"
#include "options.h"

static const char help[] =
    "usage: csm sample FILE.safetensors|- [OPTIONS]\n"
    "Draw one token for each row of a [rows, vocab] tensor, in order, from one\n"
    "generator seeded once; one id a line. A token file's logits, [frames, codebooks,\n"
    "vocab], give its codes again.\n\n"
    "  --tensor NAME         the logits; needed if the file holds several tensors\n"
    "  --sampler S           transformers (default), sesame, csm-mlx, mlx-categorical\n"
    "  --dtype D             f32 (default), bf16, f16: what the logits are rounded to first\n"
    "  --stream S            torch-cpu, torch-cpu-mkl, torch-cuda, torch-inductor, mlx\n"
    "  --cuda-threads N      that torch-cuda's GPU holds at once; default: an H100's\n"
    "  --seed N              default 0; or random\n"
    "  --topk K              default 50; 0: all\n"
    "  --temperature T       default 0.9\n"
    "  --top-p P, --min-p P  default 0: none\n"
    "  --top-h P, --typical-p P, --epsilon-cutoff P, --eta-cutoff P\n"
    "                        transformers' others; default 0: none\n"
    "  --mlx-version X.Y.Z   which MLX the mlx samplers equal; default: the newest known\n"
    "  --mlx-lm-version X.Y.Z  which mlx-lm; default 0.31.3\n"
    "  --rounds N            go over the rows N times; default 1\n"
    "  --batch N             hand N rows at once to the sampler; default 1\n"
    "  --output F            write tensors tokens and margins, [rounds, rows], instead\n"
    "  --save-probs          with --output: also probs, [rows, vocab]\n";

struct request {
    const char *file, *tensor, *output;
    csm_sampler_options config;
    size_t rounds, batch;
    bool save_probs;
};

/* Returns false when it reported a mistake. */
static bool complete(struct request *r, const char *sampler, const char *dtype, const char *stream)
{
    csm_sampler_options *c = &r->config;
    if (r->file == NULL) {
        fprintf(stderr, "csm: sample: a file is missing; --help tells more\n");
        return false;
    }
    if (r->save_probs && r->output == NULL) {
        fprintf(stderr, "csm: --save-probs: needs --output\n");
        return false;
    }
    if (!choose_sampler(sampler, &c->sampler) || !choose_dtype(dtype, &c->dtype))
        return false;
    if (stream == NULL && (c->sampler == CSM_SAMPLER_CSM_MLX ||
                           c->sampler == CSM_SAMPLER_MLX_CATEGORICAL))
        c->stream = CSM_STREAM_MLX;
    return stream == NULL || choose_stream(stream, &c->stream);
}

static enum parsed parse(int argc, char **argv, struct request *r)
{
    const char *sampler = "transformers", *dtype = "f32", *stream = NULL;
    size_t cuda_threads = 0;
    const struct option_spec options[] = {
        {"tensor", OPTION_TEXT, &r->tensor},
        {"sampler", OPTION_TEXT, &sampler},
        {"dtype", OPTION_TEXT, &dtype},
        {"stream", OPTION_TEXT, &stream},
        {"cuda-threads", OPTION_COUNT, &cuda_threads},
        {"seed", OPTION_SEED, &r->config.seed},
        {"topk", OPTION_SIZE, &r->config.top_k},
        {"temperature", OPTION_REAL, &r->config.temperature},
        {"top-p", OPTION_REAL, &r->config.top_p},
        {"min-p", OPTION_REAL, &r->config.min_p},
        {"top-h", OPTION_REAL, &r->config.cutoffs.top_h},
        {"typical-p", OPTION_REAL, &r->config.cutoffs.typical_p},
        {"epsilon-cutoff", OPTION_REAL, &r->config.cutoffs.epsilon},
        {"eta-cutoff", OPTION_REAL, &r->config.cutoffs.eta},
        {"mlx-version", OPTION_TEXT, &r->config.mlx_version},
        {"mlx-lm-version", OPTION_TEXT, &r->config.mlx_lm_version},
        {"rounds", OPTION_COUNT, &r->rounds},
        {"batch", OPTION_COUNT, &r->batch},
        {"output", OPTION_TENSORS, &r->output},
        {"save-probs", OPTION_FLAG, &r->save_probs},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, &r->file, 1);
    if (parsed == PARSED && (!complete(r, sampler, dtype, stream) ||
                             !choose_cuda_threads(cuda_threads, r->config.stream,
                                                  &r->config.cuda_threads)))
        parsed = PARSED_WRONG;
    return parsed;
}

/* What came of it: [rounds, rows], and [rows, vocab] or NULL. */
struct result {
    int32_t *tokens;
    float *margins;
    float *probs;
};

static csm_status draw(const struct request *r, csm_sampler *sampler, const struct logits *logits,
                       const struct result *out, csm_error *err)
{
    for (size_t round = 0; round < r->rounds; round++)
        for (size_t row = 0; row < logits->rows; row += r->batch) {
            size_t left = logits->rows - row, n = left < r->batch ? left : r->batch;
            size_t at = round * logits->rows + row;
            float *probs = out->probs != NULL ? out->probs + row * logits->vocab : NULL;
            csm_status st = csm_sampler_draw(sampler, logits->values + row * logits->vocab, n,
                                             logits->vocab, out->tokens + at, out->margins + at,
                                             probs, err);
            if (st == CSM_BAD_LOGITS) /* all at once, so that the message counts the file's rows */
                st = csm_sampler_draw(sampler, logits->values, logits->rows, logits->vocab,
                                      out->tokens, NULL, NULL, err);
            if (st != CSM_OK)
                return st;
        }
    return CSM_OK;
}

static csm_status write_result(const struct request *r, const struct logits *logits,
                               const struct result *out, csm_error *err)
{
    size_t n = r->rounds * logits->rows;
    const csm_tensor tensors[] = {
        {.name = "tokens", .dtype = CSM_DTYPE_I32, .rank = 2, .shape = {r->rounds, logits->rows},
         .data = out->tokens, .n_bytes = n * sizeof *out->tokens},
        {.name = "margins", .dtype = CSM_DTYPE_F32, .rank = 2, .shape = {r->rounds, logits->rows},
         .data = out->margins, .n_bytes = n * sizeof *out->margins},
        {.name = "probs", .dtype = CSM_DTYPE_F32, .rank = 2, .shape = {logits->rows, logits->vocab},
         .data = out->probs, .n_bytes = logits->rows * logits->vocab * sizeof *out->probs},
    };
    return csm_tensors_write(r->output, tensors, out->probs != NULL ? 3 : 2, NULL, 0, err);
}

static csm_status deliver(const struct request *r, const struct logits *logits,
                          const struct result *out, csm_error *err)
{
    if (r->output != NULL)
        return write_result(r, logits, out, err);
    for (size_t i = 0; i < r->rounds * logits->rows; i++)
        printf("%d\n", (int)out->tokens[i]);
    return CSM_OK;
}

int run_sample(int argc, char **argv)
{
    struct request r = {.config = csm_sampler_defaults(), .rounds = 1, .batch = 1};
    enum parsed parsed = parse(argc, argv, &r);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;

    csm_error err;
    csm_sampler *sampler = NULL;
    struct logits logits = {NULL, 0, 0};
    struct result out = {NULL, NULL, NULL};
    csm_status st = csm_sampler_open(&r.config, &sampler, &err);
    if (st == CSM_OK)
        st = logits_read(r.file, r.tensor, &logits, &err);
    if (st == CSM_OK) {
        out.tokens = calloc(r.rounds, logits.rows * sizeof *out.tokens);
        out.margins = calloc(r.rounds, logits.rows * sizeof *out.margins);
        if (r.save_probs)
            out.probs = calloc(logits.rows, logits.vocab * sizeof *out.probs);
        if (out.tokens == NULL || out.margins == NULL || (r.save_probs && out.probs == NULL))
            st = csm_fail(&err, CSM_NO_MEMORY, "sample: %zu rounds of %zu rows", r.rounds,
                          logits.rows);
    }
    if (st == CSM_OK)
        tell_of_gpu(r.config.stream, r.config.cuda_threads,
                    (r.batch < logits.rows ? r.batch : logits.rows) * logits.vocab);
    if (st == CSM_OK)
        st = draw(&r, sampler, &logits, &out, &err);
    if (st == CSM_OK)
        st = deliver(&r, &logits, &out, &err);
    free(out.tokens);
    free(out.margins);
    free(out.probs);
    free(logits.values);
    csm_sampler_close(sampler);
    if (st == CSM_BAD_LOGITS) { /* here they are a file's, not an engine's */
        (void)report(st, &err);
        return EXIT_REFUSED;
    }
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
