/* SPDX-License-Identifier: Apache-2.0
 *
 * noise_step.c - were codes drawn with this noise? Without their logits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/replay.h"
#include "base/error.h"

enum {
    N_DRAWS = 400,      /* that decide about the claim */
    N_SEED_DRAWS = 96,  /* about one of many seeds */
    MOST_AHEAD = 66,
    N_SEEDS = 101
};
static const double in_step = 6;  /* z: one chance in 1e9, and a thousand hypotheses */

static bool is_race(csm_stream_kind kind)
{
    return kind == CSM_STREAM_TORCH_CPU || kind == CSM_STREAM_TORCH_CPU_MKL ||
           kind == CSM_STREAM_TORCH_CUDA || kind == CSM_STREAM_TORCH_INDUCTOR;
}

/* z of each offset 0..n_ahead-1: draw j with the noise of call j + offset. */
static csm_status measure(const csm_tokens *codes, size_t vocab, csm_stream_kind kind,
                          uint64_t seed, size_t n_draws, size_t n_ahead, double *z, csm_error *err)
{
    size_t n_codes = codes->n_frames * codes->n_codebooks;
    if (n_draws > n_codes)
        n_draws = n_codes;
    const csm_stream_state state = {.kind = kind, .seed = seed};
    csm_stream *stream = NULL;
    float *noise = malloc(vocab * sizeof *noise);
    double *sums = calloc(2 * n_ahead, sizeof *sums);
    csm_status status = CSM_NO_MEMORY;
    if (noise == NULL || sums == NULL)
        csm_fail(err, status, "noise: out of memory");
    else
        status = csm_stream_open(&state, &stream, err);
    for (size_t call = 0; status == CSM_OK && call + 1 < n_draws + n_ahead; call++) {
        status = csm_stream_fill(stream, CSM_DTYPE_F32, 1, vocab, noise, err);
        for (size_t ahead = 0; status == CSM_OK && ahead < n_ahead && ahead <= call; ahead++) {
            if (call - ahead >= n_draws)
                continue;
            int32_t code = codes->codes[call - ahead];
            if (code < 0 || (size_t)code >= vocab)
                continue;
            sums[2 * ahead] += 0.5 + expm1(-(double)noise[code]); /* 0.5 - (1 - exp(-q)) */
            sums[2 * ahead + 1]++;
        }
    }
    for (size_t i = 0; status == CSM_OK && i < n_ahead; i++)
        z[i] = sums[2 * i + 1] > 0 ? sums[2 * i] * sqrt(12 / sums[2 * i + 1]) : 0;
    csm_stream_close(stream);
    free(sums);
    free(noise);
    return status;
}

static void found(struct csm_noise_step *out, csm_stream_kind kind, uint64_t seed, size_t ahead)
{
    out->is_elsewhere = true;
    out->stream = kind;
    out->seed = seed;
    out->ahead = (long)ahead;
}

csm_status csm_noise_step_find(const csm_tokens *codes, size_t vocab,
                               const struct csm_settings *claimed, bool has_seed,
                               struct csm_noise_step *out, csm_error *err)
{
    memset(out, 0, sizeof *out);
    if (!has_seed || !is_race(claimed->stream) ||
        (claimed->temperature[0] == 0 && claimed->temperature[1] == 0))
        return CSM_OK;
    out->is_known = true;
    out->stream = claimed->stream;
    out->seed = claimed->seed;
    csm_status status =
        measure(codes, vocab, claimed->stream, claimed->seed, N_DRAWS, 1, &out->z, err);
    if (status != CSM_OK)
        return status;
    out->is_in_step = out->z > in_step;

    /* Elsewhere in the stream; another stream of the seed; another seed. */
    double z[MOST_AHEAD + 1];
    if (!out->is_in_step)
        status = measure(codes, vocab, claimed->stream, claimed->seed, N_DRAWS, MOST_AHEAD + 1, z,
                         err);
    for (size_t i = 1; status == CSM_OK && !out->is_in_step && i <= MOST_AHEAD; i++)
        if (z[i] > in_step && (!out->is_elsewhere || z[i] > z[out->ahead]))
            found(out, claimed->stream, claimed->seed, i);
    for (csm_stream_kind kind = 0; status == CSM_OK && kind < CSM_STREAM_COUNT; kind++) {
        if (out->is_in_step || out->is_elsewhere || !is_race(kind) || kind == claimed->stream)
            continue;
        status = measure(codes, vocab, kind, claimed->seed, N_DRAWS, 1, z, err);
        if (status == CSM_OK && z[0] > in_step)
            found(out, kind, claimed->seed, 0);
    }
    for (uint64_t seed = 0; status == CSM_OK && seed < N_SEEDS; seed++) {
        if (out->is_in_step || out->is_elsewhere)
            break;
        status = measure(codes, vocab, claimed->stream, seed, N_SEED_DRAWS, 1, z, err);
        if (status == CSM_OK && z[0] > in_step)
            found(out, claimed->stream, seed, 0);
    }
    return status;
}
