/* SPDX-License-Identifier: Apache-2.0
 *
 * config_generation.c - generation_config.json: the keys of transformers'
 * GenerationConfig, plain for code 0, after "depth_decoder_" for the other codes.
 *
 * A key that changes what transformers draws is done here or refused by name. Keys
 * that change nothing there either (of beams when there is one, of outputs and
 * caches, stopping criteria that CSM's generate ignores) are not looked at. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/config_read.h"
#include "files/json_file.h"

enum { KEY_MAX = 96 };

/* How to draw a code. */
struct draw {
    double temperature, top_p, min_p;
    int top_k;
    csm_cutoffs cutoffs;
    struct csm_code_rules rules;
};

/* Numbers that mean "off" in transformers; anything else is refused. A value between
 * low and high, both excluded, is what acts there. */
static const struct limit {
    const char *key;
    double off, low, high;
    bool is_of_first; /* done for the depth decoder, whose ids transformers' processors bear */
} limits[] = {
    {"repetition_penalty", 1, -HUGE_VAL, HUGE_VAL, true},
    {"no_repeat_ngram_size", 0, 0, HUGE_VAL, true},
    {"encoder_repetition_penalty", 1, -HUGE_VAL, HUGE_VAL, false},
    {"encoder_no_repeat_ngram_size", 0, 0, HUGE_VAL, false},
    {"guidance_scale", 1, -HUGE_VAL, HUGE_VAL, false},
    {"num_beams", 1, 1, HUGE_VAL, false},
    {"num_return_sequences", 1, 1, HUGE_VAL, false},
    {"penalty_alpha", 0, 0, HUGE_VAL, false},
};

/* Lists and objects that act when they are there. */
static const char *const lists[] = {"sequence_bias",
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
                    "not done by this program (docs/MODELS.md says what is): take it out to speak "
                    "without it");
}

static void refuse_others(struct csm_json_reader *reader, const json_t *root, const char *prefix)
{
    const bool is_depth = prefix[0] != '\0';
    char key[KEY_MAX];
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct limit *limit = &limits[i];
        if (is_depth && limit->is_of_first)
            continue;
        snprintf(key, sizeof key, "%s%s", prefix, limit->key);
        const double value = csm_json_number(reader, root, key, limit->off, -HUGE_VAL, HUGE_VAL);
        if (value != limit->off && value > limit->low && value < limit->high)
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
     * length is reached; of the depth decoder that is always (read_rules). */
    const json_t *end = json_object_get(root, "eos_token_id");
    if (!is_depth && end != NULL && !json_is_null(end)) {
        if (csm_json_integer(reader, root, "min_new_tokens", -1, 0, INT_MAX) >= 0)
            refuse(reader, "min_new_tokens"); /* 0 too: it is made a min_length of the prompt's */
        if (csm_json_integer(reader, root, "min_length", 0, 0, INT_MAX) > 0)
            refuse(reader, "min_length");
    }
}

/* ---- rules over codes ------------------------------------------------------------------ */

/* One code of a list. What no code can be (-1, a value beyond the vocabulary) is in nobody's
 * way, there and here. */
static void add_code(struct csm_json_reader *reader, const char *key, const json_t *code,
                     struct csm_code_set *set)
{
    if (!json_is_integer(code)) {
        csm_json_refuse(reader, key, "expected a list of whole numbers, the codes");
        return;
    }
    const json_int_t value = json_integer_value(code);
    if (value >= 0 && value < CSM_CODE_SET)
        set->bits[value / 64] |= UINT64_C(1) << value % 64;
    else if (value >= CSM_CODE_SET)
        csm_json_refuse(reader, key, "code %lld, expected below %d", (long long)value,
                        (int)CSM_CODE_SET);
}

/* A list of codes, or one alone where `may_be_one`. Whether there is one. */
static bool read_codes(struct csm_json_reader *reader, const json_t *root, const char *key,
                       bool may_be_one, struct csm_code_set *set)
{
    const json_t *list = json_object_get(root, key);
    if (list == NULL || json_is_null(list))
        return false;
    if (may_be_one && json_is_integer(list)) {
        add_code(reader, key, list, set);
        return true;
    }
    if (!json_is_array(list))
        csm_json_refuse(reader, key, "expected a list of whole numbers, the codes");
    for (size_t i = 0; i < json_array_size(list); i++)
        add_code(reader, key, json_array_get(list, i), set);
    return json_array_size(list) > 0;
}

/* Words of one code: the others would be looked for among ids of text, or among frames. As in
 * transformers, one that eos_token_id names is no bad word. */
static bool read_bad_words(struct csm_json_reader *reader, const json_t *root, const char *prefix,
                           struct csm_code_set *set)
{
    char key[KEY_MAX], end_key[KEY_MAX];
    snprintf(key, sizeof key, "%sbad_words_ids", prefix);
    snprintf(end_key, sizeof end_key, "%seos_token_id", prefix);
    const json_t *words = json_object_get(root, key);
    if (words == NULL || json_is_null(words))
        return false;
    struct csm_code_set bad = {{0}}, ends = {{0}};
    for (size_t i = 0; i < json_array_size(words); i++) {
        const json_t *word = json_array_get(words, i);
        if (json_array_size(word) != 1)
            csm_json_refuse(reader, key, "expected words of one code each, such as [[7], [9]]");
        else
            add_code(reader, key, json_array_get(word, 0), &bad);
    }
    if (json_array_size(words) == 0)
        csm_json_refuse(reader, key, "expected words of one code each, such as [[7], [9]]");
    read_codes(reader, root, end_key, true, &ends);
    for (size_t i = 0; i < CSM_CODE_SET / 64; i++)
        set->bits[i] |= bad.bits[i] & ~ends.bits[i];
    return true;
}

static void name_rule(char *names, size_t size, const char *prefix, const char *key)
{
    const size_t n = strlen(names);
    snprintf(names + n, size - n, "%s%s%s", n > 0 ? " " : "", prefix, key);
}

static struct csm_code_rules read_rules(struct csm_json_reader *reader, const json_t *root,
                                        const char *prefix, char *names, size_t size)
{
    struct csm_code_rules rules = {.repetition_penalty = 1};
    const bool is_depth = prefix[0] != '\0';
    char key[KEY_MAX];
    const size_t n_before = strlen(names);
    if (is_depth) {
        snprintf(key, sizeof key, "%srepetition_penalty", prefix);
        rules.repetition_penalty = csm_json_number(reader, root, key, 1, 0, 1e6);
        if (rules.repetition_penalty < 1e-6)
            csm_json_refuse(reader, key, "expected a number above 0; 1 is none");
        if (rules.repetition_penalty != 1)
            name_rule(names, size, prefix, "repetition_penalty");
        snprintf(key, sizeof key, "%sno_repeat_ngram_size", prefix);
        rules.no_repeat_ngram = (size_t)csm_json_integer(reader, root, key, 0, 0, INT_MAX);
        if (rules.no_repeat_ngram > 0)
            name_rule(names, size, prefix, "no_repeat_ngram_size");
    }
    if (read_bad_words(reader, root, prefix, &rules.never))
        name_rule(names, size, prefix, "bad_words_ids");
    /* A frame has all of its codes before the depth decoder may end: it never does. */
    snprintf(key, sizeof key, "%seos_token_id", prefix);
    if (is_depth && read_codes(reader, root, key, true, &rules.never))
        name_rule(names, size, prefix, "eos_token_id");
    snprintf(key, sizeof key, "%ssuppress_tokens", prefix);
    if (read_codes(reader, root, key, false, &rules.never))
        name_rule(names, size, prefix, "suppress_tokens");
    snprintf(key, sizeof key, "%sbegin_suppress_tokens", prefix);
    if (read_codes(reader, root, key, false, &rules.not_at_first))
        name_rule(names, size, prefix, "begin_suppress_tokens");
    rules.is_any = strlen(names) > n_before;
    return rules;
}

/* ---- how to draw ------------------------------------------------------------------------- */

static csm_cutoffs read_cutoffs(struct csm_json_reader *reader, const json_t *root,
                                const char *prefix)
{
    csm_cutoffs c = {0};
    const struct {
        const char *key;
        double off, *value;
        bool has_range; /* out of it is an error there, for others off */
    } each[] = {{"top_h", 0, &c.top_h, true},
                {"typical_p", 1, &c.typical_p, true},
                {"epsilon_cutoff", 0, &c.epsilon, false},
                {"eta_cutoff", 0, &c.eta, false}};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        char key[KEY_MAX];
        snprintf(key, sizeof key, "%s%s", prefix, each[i].key);
        const json_t *given = json_object_get(root, key);
        const char *expected = each[i].has_range ? "expected a number above 0, up to 1"
                                                 : "expected a number, 0 to 1 (else it does not act)";
        const bool is_given = given != NULL && !json_is_null(given);
        if (is_given && !json_is_number(given)) {
            csm_json_refuse(reader, key, "%s", expected);
            continue;
        }
        const double value = csm_json_number(reader, root, key, each[i].off, -HUGE_VAL, HUGE_VAL);
        if (is_given && each[i].has_range && (value <= 0 || (i == 0 && value > 1)))
            csm_json_refuse(reader, key, "%g, %s", value, expected);
        *each[i].value = value > 0 && (value < 1 || i == 0) ? value : 0;
    }
    return c;
}

static struct draw read_draw(struct csm_json_reader *reader, const json_t *root,
                             const char *prefix, char *names, size_t size)
{
    struct draw draw = {.temperature = 0.9,
                        .top_p = 1,
                        .min_p = 0,
                        .top_k = 50,
                        .rules = {.repetition_penalty = 1}};
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
    draw.cutoffs = read_cutoffs(reader, root, prefix);
    draw.rules = read_rules(reader, root, prefix, names, size);
    refuse_others(reader, root, prefix);
    if (!is_sampled)
        draw.temperature = 0;
    return draw;
}

static const char *const depth_lengths[] = {"depth_decoder_min_new_tokens",
                                            "depth_decoder_max_new_tokens"};

/* Where no mask is given transformers masks what equals pad_token_id, unless that ends speech, too:
 * of the depth decoder's ids, which are a place holder, 0, for the backbone's state, and the first
 * code. */
static void check_depth_pad(struct csm_json_reader *reader, const json_t *root)
{
    static const char key[] = "depth_decoder_pad_token_id";
    enum { N_CODES = 2048 }; /* of Mimi; a frame begins with none beyond */
    const json_t *pad = json_object_get(root, key), *end = json_object_get(root, "depth_decoder_eos_token_id");
    const json_int_t value = json_is_integer(pad) ? json_integer_value(pad) : -1;
    bool is_end = json_equal(end, pad);
    for (size_t i = 0; i < json_array_size(end); i++)
        is_end = is_end || json_equal(json_array_get(end, i), pad);
    if (value >= 0 && value < N_CODES && !is_end)
        csm_json_refuse(reader, key,
                        "%lld masks %s in transformers, which is not done by this program: expected "
                        "null",
                        (long long)value, value == 0 ? "what the backbone says" : "that first code");
}

/* The depth decoder draws the other codes of a frame, never fewer or more. */
static void check_depth_length(struct csm_json_reader *reader, const json_t *root,
                               size_t n_codebooks)
{
    const int64_t n = (int64_t)n_codebooks - 1;
    for (size_t i = 0; i < 2 && n_codebooks > 0; i++)
        if (csm_json_integer(reader, root, depth_lengths[i], n, 0, INT_MAX) != n)
            csm_json_refuse(reader, depth_lengths[i], "expected %lld, the codes after the first",
                            (long long)n);
}

/* Whether a file says how to draw: others of its keys are written by transformers itself. */
static bool says_draws(const json_t *root, const char *prefix)
{
    static const char *const keys[] = {"do_sample", "temperature", "top_k", "top_p", "min_p", "top_h",
                                       "typical_p", "epsilon_cutoff", "eta_cutoff",
                                       "repetition_penalty", "no_repeat_ngram_size",
                                       "bad_words_ids", "suppress_tokens",
                                       "begin_suppress_tokens", "eos_token_id"};
    bool says = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[KEY_MAX];
        snprintf(key, sizeof key, "%s%s", prefix, keys[i]);
        const json_t *value = json_object_get(root, key);
        says = says || (value != NULL && !json_is_null(value));
    }
    return says;
}

void csm_config_generation(struct csm_json_reader *reader, const json_t *root, size_t n_codebooks,
                           struct csm_generation_config *config)
{
    static const char of_depth[] = "depth_decoder_";
    char names[sizeof config->rule_names] = "";
    const struct draw first = read_draw(reader, root, "", names, sizeof names);
    /* Of a file that transformers made of config.json it keeps no key but its own class's. */
    const bool is_made = csm_json_bool(reader, root, "_from_model_config", false);
    json_t *none = is_made ? json_object() : NULL;
    if (none == NULL) {
        check_depth_length(reader, root, n_codebooks);
        check_depth_pad(reader, root);
    }
    const struct draw depth =
        read_draw(reader, none != NULL ? none : root, of_depth, names, sizeof names);
    json_decref(none);
    *config = (struct csm_generation_config){
        .drops_depth = is_made && says_draws(root, of_depth),
        .temperature = first.temperature,
        .top_k = first.top_k,
        .top_p = first.top_p,
        .min_p = first.min_p,
        .depth_temperature = depth.temperature,
        .depth_top_k = depth.top_k,
        .depth_top_p = depth.top_p,
        .depth_min_p = depth.min_p,
        .cutoffs = first.cutoffs,
        .depth_cutoffs = depth.cutoffs,
        .rules = first.rules,
        .depth_rules = depth.rules,
        .max_frames = (size_t)csm_json_integer(reader, root, "max_new_tokens", 125, 1, INT_MAX),
        .default_speaker =
            (int)csm_json_integer(reader, root, "default_speaker", 0, 0, INT_MAX),
    };
    if (config->max_frames == 125 && json_object_get(root, "max_new_tokens") == NULL)
        config->max_length = (size_t)csm_json_integer(reader, root, "max_length", 0, 0, INT_MAX);
    memcpy(config->rule_names, names, sizeof names);
}
