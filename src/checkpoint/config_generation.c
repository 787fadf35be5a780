/* SPDX-License-Identifier: Apache-2.0
 *
 * config_generation.c - generation_config.json: the keys of transformers'
 * GenerationConfig, plain for code 0, after "depth_decoder_" for the other codes.
 *
 * A key that changes what transformers draws is done here or refused by name. Keys
 * that change nothing there either (of beams when there is one, of outputs and
 * caches, stopping criteria that CSM's generate ignores) are not looked at. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/config_read.h"
#include "files/json_file.h"

enum { KEY_MAX = 96 };

/* How to draw a code. */
struct draw {
    double temperature, top_p, min_p;
    int top_k;
};

/* Numbers that mean "off" in transformers; anything else is refused. A value between
 * low and high, both excluded, is what a warper acts on. */
static const struct limit {
    const char *key;
    double off, low, high;
    bool is_of_sampling; /* acts only with do_sample */
} limits[] = {
    {"typical_p", 1, -1e30, 1, true},
    {"epsilon_cutoff", 0, 0, 1, true},
    {"eta_cutoff", 0, 0, 1, true},
    {"top_h", -1, -1e30, 1e30, true},
    {"repetition_penalty", 1, -1e30, 1e30, false},
    {"no_repeat_ngram_size", 0, 0, 1e30, false},
    {"guidance_scale", 1, -1e30, 1e30, false},
    {"num_beams", 1, 1, 1e30, false},
    {"num_return_sequences", 1, 1, 1e30, false},
    {"penalty_alpha", 0, 0, 1e30, false},
};

/* Lists and objects that act when they are there. */
static const char *const lists[] = {"bad_words_ids",
                                    "suppress_tokens",
                                    "begin_suppress_tokens",
                                    "sequence_bias",
                                    "forced_bos_token_id",
                                    "forced_eos_token_id",
                                    "exponential_decay_length_penalty",
                                    "watermarking_config",
                                    "dola_layers",
                                    "force_words_ids",
                                    "constraints",
                                    "prompt_lookup_num_tokens"};

static void refuse(struct csm_json_reader *reader, const char *key)
{
    csm_json_refuse(reader, key,
                    "not done by this program, expected temperature, top_k, top_p and min_p alone: "
                    "take it out to speak without it");
}

static void refuse_others(struct csm_json_reader *reader, const json_t *root, const char *prefix,
                          bool is_sampled)
{
    char key[KEY_MAX];
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct limit *limit = &limits[i];
        snprintf(key, sizeof key, "%s%s", prefix, limit->key);
        const double value = csm_json_number(reader, root, key, limit->off, -1e30, 1e30);
        if (value != limit->off && value > limit->low && value < limit->high &&
            (is_sampled || !limit->is_of_sampling))
            refuse(reader, key);
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, lists[i]);
        const json_t *value = json_object_get(root, key);
        if (value != NULL && !json_is_null(value) && !json_is_false(value))
            refuse(reader, key);
    }
    snprintf(key, sizeof key, "%srenormalize_logits", prefix);
    if (csm_json_bool(reader, root, key, false))
        refuse(reader, key);
    /* A code that ends speech for transformers' own criteria is masked until a least
     * length is reached. */
    snprintf(key, sizeof key, "%seos_token_id", prefix);
    const json_t *end = json_object_get(root, key);
    if (end != NULL && !json_is_null(end)) {
        snprintf(key, sizeof key, "%smin_new_tokens", prefix);
        const bool is_depth = prefix[0] != '\0';
        if (is_depth || csm_json_integer(reader, root, key, 0, 0, INT_MAX) > 0)
            refuse(reader, is_depth ? "depth_decoder_eos_token_id" : key);
        snprintf(key, sizeof key, "%smin_length", prefix);
        if (csm_json_integer(reader, root, key, 0, 0, INT_MAX) > 0)
            refuse(reader, key);
    }
}

static struct draw read_draw(struct csm_json_reader *reader, const json_t *root,
                             const char *prefix)
{
    struct draw draw = {.temperature = 0.9, .top_p = 1, .min_p = 0, .top_k = 50};
    if (root == NULL)
        return draw;
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%sdo_sample", prefix);
    const bool is_sampled = csm_json_bool(reader, root, key, false);
    snprintf(key, sizeof key, "%stemperature", prefix);
    draw.temperature = csm_json_number(reader, root, key, 1, 0, 1e6);
    snprintf(key, sizeof key, "%stop_k", prefix);
    draw.top_k = (int)csm_json_integer(reader, root, key, 50, 0, INT_MAX);
    snprintf(key, sizeof key, "%stop_p", prefix);
    draw.top_p = csm_json_number(reader, root, key, 1, 0, 1);
    if (draw.top_p == 0)
        csm_json_refuse(reader, key, "0, expected a number above 0, up to 1 (all)");
    snprintf(key, sizeof key, "%smin_p", prefix);
    draw.min_p = csm_json_number(reader, root, key, 0, 0, 1);
    refuse_others(reader, root, prefix, is_sampled);
    if (!is_sampled)
        draw.temperature = 0;
    return draw;
}

/* The depth decoder draws the other codes of a frame, never fewer or more. */
static void check_depth_length(struct csm_json_reader *reader, const json_t *root,
                               size_t n_codebooks)
{
    static const char *const keys[] = {"depth_decoder_min_new_tokens",
                                       "depth_decoder_max_new_tokens"};
    const int64_t n = (int64_t)n_codebooks - 1;
    for (size_t i = 0; i < 2 && n_codebooks > 0; i++)
        if (csm_json_integer(reader, root, keys[i], n, 0, INT_MAX) != n)
            csm_json_refuse(reader, keys[i], "expected %lld, the codes after the first",
                            (long long)n);
}

void csm_config_generation(struct csm_json_reader *reader, const json_t *root, size_t n_codebooks,
                           struct csm_generation_config *config)
{
    const struct draw first = read_draw(reader, root, "");
    const struct draw depth = read_draw(reader, root, "depth_decoder_");
    check_depth_length(reader, root, n_codebooks);
    *config = (struct csm_generation_config){
        .temperature = first.temperature,
        .top_k = first.top_k,
        .top_p = first.top_p,
        .min_p = first.min_p,
        .depth_temperature = depth.temperature,
        .depth_top_k = depth.top_k,
        .depth_top_p = depth.top_p,
        .depth_min_p = depth.min_p,
        .max_frames = (size_t)csm_json_integer(reader, root, "max_new_tokens", 125, 1, INT_MAX),
        .default_speaker =
            (int)csm_json_integer(reader, root, "default_speaker", 0, 0, INT_MAX),
    };
}
