/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_lane_memory.c - what lanes take beside the weights, at csm-1b's shape with random
 * weights of 4 bits: bench_lane_memory [LANES] [POSITIONS] (64 200). Each lane reads a prompt
 * of its own. One JSON object: what the process grew by since a first lane had spoken, what
 * the keys and values of so many positions are (float32), and their ratio. Linux. */
#include <csm/csm.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "checkpoint/checkpoint_random.h"
#include "generate/generation.h"
#include "generate/model.h"

static csm_error err;

static void must(csm_status st)
{
    if (st == CSM_OK)
        return;
    fprintf(stderr, "bench_lane_memory: %s\n", err.text);
    exit(1);
}

static size_t resident_bytes(void)
{
    size_t n_all = 0, n_resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%zu %zu", &n_all, &n_resident) != 2) {
        fprintf(stderr, "bench_lane_memory: /proc/self/statm cannot be read\n");
        exit(1);
    }
    fclose(f);
    return n_resident * (size_t)sysconf(_SC_PAGESIZE);
}

static csm_generation *open_lane(csm_model *model, size_t n, size_t seed)
{
    const csm_model_info *info = csm_model_describe(model);
    const size_t k = info->n_codebooks;
    struct csm_prompt prompt = {
        .n = n, .text = malloc(n * sizeof(int32_t)), .codes = malloc(n * k * sizeof(int32_t))};
    csm_generate_options options = csm_generate_defaults();
    csm_generation *g;
    if (prompt.text == NULL || prompt.codes == NULL) {
        fprintf(stderr, "bench_lane_memory: no memory for a prompt\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        prompt.text[i] = -1;
    for (size_t i = 0; i < n * k; i++)
        prompt.codes[i] = (int32_t)((i + seed) * 7919 % (info->n_entries - 1)) + 1;
    options.without_sound = true;
    options.n_ahead = 1;
    options.max_frames = options.min_frames = 64;
    must(csm_generation_open_prompt(model, &prompt, &options, &g, &err));
    csm_prompt_free(&prompt);
    return g;
}

static void wait_for_frame(csm_generation *g)
{
    const csm_frame *frame;
    must(csm_generation_next(g, &frame, &err));
}

int main(int argc, char **argv)
{
    const size_t n_lanes = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    const size_t n_positions = argc > 2 ? strtoul(argv[2], NULL, 10) : 200;
    csm_generation **lanes = calloc(n_lanes + 1, sizeof *lanes);
    if (n_lanes == 0 || n_positions == 0 || lanes == NULL) {
        fprintf(stderr, "usage: bench_lane_memory [LANES] [POSITIONS]\n");
        return 2;
    }
    csm_checkpoint *checkpoint;
    csm_model *model;
    csm_model_options options = csm_model_defaults();
    options.precision = CSM_PRECISION_Q4;
    must(csm_checkpoint_random(CSM_DTYPE_BF16, true, &checkpoint, &err));
    must(csm_model_open_checkpoint("random:csm-1b", checkpoint, &options, &model, &err));
    const struct csm_attention *a = model->host.language.backbone.attention;
    const size_t per_position = model->host.language.backbone.n_layers * 2 * a->n_kv_heads *
                                a->head_dim * sizeof(float);
    lanes[n_lanes] = open_lane(model, n_positions, n_lanes);
    wait_for_frame(lanes[n_lanes]);
    const size_t before = resident_bytes();
    for (size_t i = 0; i < n_lanes; i++)
        lanes[i] = open_lane(model, n_positions, i);
    for (size_t i = 0; i < n_lanes; i++)
        wait_for_frame(lanes[i]);
    const double grew = (double)(resident_bytes() - before);
    const double needed = (double)(n_lanes * n_positions * per_position);
    printf("{\"lanes\": %zu, \"positions\": %zu, \"grew_mb\": %.1f, \"keys_and_values_mb\": %.1f, "
           "\"ratio\": %.3f}\n",
           n_lanes, n_positions, grew / 1e6, needed / 1e6, grew / needed);
    for (size_t i = 0; i <= n_lanes; i++)
        csm_generation_close(lanes[i]);
    free(lanes);
    csm_model_close(model);
    return 0;
}
