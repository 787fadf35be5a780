/* SPDX-License-Identifier: Apache-2.0
 *
 * draw_options.h - the options of whatever speaks (csm generate, csm synth): which model on
 * which engine, and how it draws. */
#ifndef CSM_CLI_DRAW_OPTIONS_H
#define CSM_CLI_DRAW_OPTIONS_H

#include <csm/csm.h>

#include "options.h"

/* Which model on which engine, as asked for; NULL and 0: not given. */
struct model_choice {
    const char *strategy, *engine, *dtype, *device;
    bool is_exact, is_hybrid;
    bool is_guessing, is_not_guessing; /* --speculate, --no-speculate */
    int n_threads;
    struct option_list adapters;
};

/* Entries of a table of options. `a` points to a struct model_choice. */
/* clang-format off */
#define MODEL_OPTIONS(a) \
    {"adapter", OPTION_LIST, &(a)->adapters}, \
    {"strategy", OPTION_TEXT, &(a)->strategy}, \
    {"use-exact-sampling", OPTION_FLAG, &(a)->is_exact}, \
    {"pytorch-tokens", OPTION_FLAG, &(a)->is_hybrid}, \
    {"engine", OPTION_TEXT, &(a)->engine}, \
    {"device", OPTION_TEXT, &(a)->device}, \
    {"dtype", OPTION_TEXT, &(a)->dtype}, \
    {"threads", OPTION_INT, &(a)->n_threads}, \
    {"speculate", OPTION_FLAG, &(a)->is_guessing}, \
    {"no-speculate", OPTION_FLAG, &(a)->is_not_guessing}

/* `o` points to csm_generate_options. */
#define DRAW_OPTIONS(o) \
    {"seed", OPTION_SEED, &(o)->seed}, \
    {"temperature", OPTION_REAL, &(o)->temperature}, \
    {"topk", OPTION_INT, &(o)->top_k}, \
    {"depth-temperature", OPTION_REAL, &(o)->depth_temperature}, \
    {"depth-topk", OPTION_INT, &(o)->depth_top_k}, \
    {"top-p", OPTION_REAL, &(o)->top_p}, \
    {"min-p", OPTION_REAL, &(o)->min_p}, \
    {"depth-top-p", OPTION_REAL, &(o)->depth_top_p}, \
    {"depth-min-p", OPTION_REAL, &(o)->depth_min_p}, \
    {"stream", OPTION_TEXT, &(o)->stream}, \
    {"sampler", OPTION_TEXT, &(o)->sampler}, \
    {"mlx-version", OPTION_TEXT, &(o)->mlx_version}

/* The part of a help text about them, but for --adapter and --seed. */
#define DRAW_HELP  \
    "  --temperature T          0 is greedy; default: the model's, else 0.9\n" \
    "  --topk K                 0 is all; default: the model's, else 50\n" \
    "  --top-p P --min-p P      1 and 0 are all; default: the model's, else all\n" \
    "  --depth-temperature T --depth-topk K --depth-top-p P --depth-min-p P\n" \
    "                           of the codes after the first; default: the same\n\n" \
    "  --strategy S             auto, pure, exact, hybrid\n" \
    "  --use-exact-sampling     --strategy exact\n" \
    "  --pytorch-tokens         --strategy hybrid\n" \
    "  --engine E --device D    auto, native, mlx, torch, cuda; cpu, gpu, cuda:0, mps\n" \
    "  --dtype D                f32, bf16, f16, q8, q4; default: as stored\n" \
    "  --threads N              default: one per core\n" \
    "  --speculate | --no-speculate  guess codes: the same, sooner\n" \
    "  --stream S               noise: torch-cpu, torch-cpu-mkl, torch-cuda, torch-inductor, mlx\n" \
    "  --sampler S              arithmetic: transformers, sesame, csm-mlx\n" \
    "  --mlx-version X.Y.Z      whose draws pure reproduces; default: the newest\n\n"
/* clang-format on */

/* What was asked for, but for the adapters. False: a strategy or dtype of no such name, which
 * was reported. */
bool choose_model(const struct model_choice *choice, csm_model_options *out);

/* CSM_BAD_ARG: --mlx-version where nothing draws as MLX does. */
csm_status check_mlx_version(const csm_generate_options *options, const csm_model_info *info,
                             csm_error *err);

#endif
