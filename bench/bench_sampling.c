/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_sampling.c - the time of one exact draw: csm's shape, 2,051 logits.
 *
 *   bench_sampling [N]   N draws a measurement, default 2000; prints one line for
 *                        each sampler, dtype and top-k: the median of 15, in us */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <csm/sampling.h>

enum { VOCAB = 2051, N_RUNS = 15 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(csm_sampler_options config, const char *dtype, int n, const float *logits)
{
    csm_error err;
    csm_sampler *sampler;
    double runs[N_RUNS];
    int32_t token;
    csm_status st = csm_sampler_open(&config, &sampler, &err);
    for (int run = 0; run < N_RUNS && st == CSM_OK; run++) {
        double begin = now_us();
        for (int i = 0; i < n && st == CSM_OK; i++)
            st = csm_sampler_draw(sampler, logits, 1, VOCAB, &token, NULL, NULL, &err);
        runs[run] = (now_us() - begin) / n;
    }
    if (st != CSM_OK) {
        fprintf(stderr, "bench_sampling: %s\n", err.text);
        return EXIT_FAILURE;
    }
    csm_sampler_close(sampler);
    qsort(runs, N_RUNS, sizeof *runs, compare);
    printf("%s %s %s %zu %.2f\n", csm_sampler_name(config.sampler),
           csm_stream_name(config.stream), dtype, config.top_k, runs[N_RUNS / 2]);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct {
        csm_dtype dtype;
        const char *name;
    } dtypes[] = {{CSM_DTYPE_F32, "f32"}, {CSM_DTYPE_BF16, "bf16"}};
    int n = argc > 1 ? atoi(argv[1]) : 2000, result = EXIT_SUCCESS;
    float logits[VOCAB];
    uint32_t x = 1;
    for (int i = 0; i < VOCAB; i++) {
        float sum = 0.0f; /* of 4 uniforms: near enough to logits */
        for (int j = 0; j < 4; j++) {
            x = x * 1664525u + 1013904223u;
            sum += (float)(x >> 8) * 0x1p-24f;
        }
        logits[i] = (sum - 2.0f) * 4.0f;
    }
    for (csm_sampler_kind kind = 0; kind < CSM_SAMPLER_COUNT; kind++)
        for (csm_stream_kind stream = 0; stream < CSM_STREAM_COUNT; stream++) {
            bool is_mlx = kind == CSM_SAMPLER_CSM_MLX || kind == CSM_SAMPLER_MLX_CATEGORICAL;
            if (is_mlx != (stream == CSM_STREAM_MLX))
                continue;
            for (size_t d = 0; d < 2; d++)
                for (size_t k = 0; k <= 50; k += 50) {
                    csm_sampler_options config = csm_sampler_defaults();
                    config.sampler = kind;
                    config.stream = stream;
                    config.dtype = dtypes[d].dtype;
                    config.top_k = k;
                    if (measure(config, dtypes[d].name, n, logits) != EXIT_SUCCESS)
                        result = EXIT_FAILURE;
                }
        }
    return result;
}
