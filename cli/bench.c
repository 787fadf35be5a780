/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.c - csm bench: milliseconds a frame, next to the memory's limit. */
#include <csm/experimental.h>

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model_path.h"
#include "options.h"

static const char help[] =
    "usage: csm bench [OPTIONS]\n"
    "How long a frame takes, beside the floor: the time that memory needs to hand over all\n"
    "that a frame reads. Figures are medians.\n"
    "\n"
    "  --model-path DIR       measure this model\n"
    "  --random csm-1b        csm-1b's shape with random weights, made in memory (default)\n"
    "  --engine NAME          native (default), mlx, torch, cuda\n"
    "  --device D             cpu, gpu, cuda:0, mps (default: the engine's own)\n"
    "  --dtype f32|bf16|f16|q8|q4   precision of the language model (random: bf16)\n"
    "  --frames N             frames measured (20)\n"
    "  --prompt N             positions of the prompt (32)\n"
    "  --threads N            (all cores)\n"
    "  --batch N              sentences side by side (1)\n"
    "  --confirmed SHARE      a draft guesses codes, as if this share of them were right (0: no\n"
    "                         draft)\n"
    "  --without-sound        do not decode\n"
    "  --json                 one JSON object\n"
    "\n"
    "The floor is taken between the frames, by as many threads.\n";

static bool find_precision(const char *name, csm_precision *out)
{
    for (int p = CSM_PRECISION_STORED; p <= CSM_PRECISION_Q4; p++)
        if (strcmp(name, csm_precision_name((csm_precision)p)) == 0) {
            *out = (csm_precision)p;
            return true;
        }
    fprintf(stderr, "csm: --dtype: '%s', expected stored, f32, bf16, f16, q8 or q4\n", name);
    return false;
}

static void print_json(const csm_bench_result *r)
{
    printf("{\"frame_ms\": %.3f, \"best_ms\": %.3f, \"backbone_ms\": %.3f, \"depth_ms\": %.3f, "
           "\"draw_ms\": %.3f, \"codec_ms\": %.3f, \"floor_ms\": %.3f, \"bytes_per_frame\": %llu, "
           "\"read_gb_s\": %.2f, \"used_gb_s\": %.2f, \"rtf\": %.4f, \"first_audio_ms\": %.1f, "
           "\"prompt_ms\": %.1f, \"prompt_gflop_s\": %.1f, \"peak_gflop_s\": %.1f, "
           "\"load_ms\": %.0f, \"rss_mb\": %.0f, \"threads\": %d, \"frames\": %zu, \"batch\": %zu, "
           "\"prompt\": %zu, \"dtype\": \"%s\", \"engine\": \"%s\", \"kernels\": \"%s\", "
           "\"guessed\": %zu, \"confirmed\": %zu, \"p99_ms\": %.3f, \"sound_per_second\": %.2f}\n",
           r->frame_ms, r->best_ms, r->backbone_ms, r->depth_ms, r->draw_ms, r->codec_ms,
           r->floor_ms, (unsigned long long)r->bytes_per_frame, r->read_gb_s, r->used_gb_s, r->rtf,
           r->first_audio_ms, r->prompt_ms, r->prompt_gflop_s, r->peak_gflop_s, r->load_ms,
           r->rss_mb, r->n_threads, r->n_frames, r->n_batch, r->n_prompt, r->dtype, r->engine,
           r->kernels, r->n_guessed, r->n_confirmed, r->p99_ms, r->sound_per_second);
}

static void print_text(const csm_bench_result *r)
{
    double language_ms = r->backbone_ms + r->depth_ms;
    printf("engine       %s (%s), %s, %d threads, batch %zu\n", r->engine, r->kernels, r->dtype,
           r->n_threads, r->n_batch);
    printf("frame        %.1f ms, best %.1f, 99 of 100 at most %.1f (%zu frames); a frame sounds 80 ms: "
           "rtf %.3f; %.1f s of speech a second\n",
           r->frame_ms, r->best_ms, r->p99_ms, r->n_frames, r->rtf, r->sound_per_second);
    printf("  backbone   %.1f ms\n  depth      %.1f ms\n  draws      %.2f ms\n  codec      %.2f ms\n",
           r->backbone_ms, r->depth_ms, r->draw_ms, r->codec_ms);
    printf("floor        %.1f ms: %.2f GB a frame at %.1f GB/s; backbone and depth take %.3f of it\n",
           r->floor_ms, (double)r->bytes_per_frame * 1e-9, r->read_gb_s, language_ms / r->floor_ms);
    if (r->n_guessed > 0)
        printf("speculation  %zu of %zu guesses confirmed\n", r->n_confirmed, r->n_guessed);
    printf("first audio  %.0f ms, of it the prompt of %zu positions %.0f ms\n", r->first_audio_ms,
           r->n_prompt, r->prompt_ms);
    printf("prompt       %.0f GFLOP/s of %.0f\n", r->prompt_gflop_s, r->peak_gflop_s);
    printf("memory       %.0f MB; loaded in %.1f s\n", r->rss_mb, r->load_ms * 1e-3);
}

int run_bench(int argc, char **argv)
{
    csm_bench_options o = csm_bench_defaults();
    const char *dtype = "stored", *shape = NULL;
    size_t n_threads = 0;
    bool is_json = false;
    const struct option_spec options[] = {
        {"model-path", OPTION_TEXT, &o.model_path},
        {"random", OPTION_TEXT, &shape},
        {"engine", OPTION_TEXT, &o.engine},
        {"device", OPTION_TEXT, &o.device},
        {"dtype", OPTION_TEXT, &dtype},
        {"frames", OPTION_COUNT, &o.n_frames},
        {"prompt", OPTION_COUNT, &o.n_prompt},
        {"threads", OPTION_SIZE, &n_threads},
        {"batch", OPTION_COUNT, &o.n_batch},
        {"confirmed", OPTION_REAL, &o.confirmed},
        {"without-sound", OPTION_FLAG, &o.without_sound},
        {"json", OPTION_FLAG, &is_json},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, help, NULL, 0);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (!find_precision(dtype, &o.precision))
        return EXIT_USAGE;
    if (shape != NULL && (strcmp(shape, "csm-1b") != 0 || o.model_path != NULL)) {
        fprintf(stderr, "csm: --random: '%s', expected csm-1b, without --model-path\n", shape);
        return EXIT_USAGE;
    }
    if (n_threads > 1024) {
        fprintf(stderr, "csm: --threads: %zu, expected at most 1024\n", n_threads);
        return EXIT_USAGE;
    }
    o.n_threads = (int)n_threads;

    csm_error err;
    csm_bench_result result;
    char *downloaded;
    csm_status st = model_path_resolve(&o.model_path, false, &downloaded, &err);
    if (st == CSM_OK)
        st = csm_bench(&o, &result, &err);
    csm_free(downloaded);
    if (st != CSM_OK)
        return report(st, &err);
    if (is_json)
        print_json(&result);
    else
        print_text(&result);
    return EXIT_OK;
}
