/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_open.c - open a model directory: find its files, read its
 * configuration, look every weight up once, so that a model that opens is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/checkpoint_random.h"
#include "checkpoint/config_read.h"
#include "files/path.h"
#include "files/safetensors.h"

const char *csm_layout_text(enum csm_layout layout)
{
    switch (layout) {
    case CSM_LAYOUT_NONE:
        return "none";
    case CSM_LAYOUT_HF:
        return "hf";
    case CSM_LAYOUT_SESAME:
        return "sesame";
    case CSM_LAYOUT_MLX:
        return "mlx";
    case CSM_LAYOUT_KYUTAI:
        return "kyutai";
    }
    return "?";
}

const struct csm_config *csm_checkpoint_config(const csm_checkpoint *checkpoint)
{
    return &checkpoint->config;
}

struct csm_checkpoint_info csm_checkpoint_describe(const csm_checkpoint *checkpoint)
{
    return checkpoint->info;
}

csm_status csm_checkpoint_tokenizer(const csm_checkpoint *checkpoint, const char **path,
                                    csm_error *err)
{
    if (!csm_path_has(checkpoint->directory, "tokenizer.json"))
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: missing, expected the text tokenizer (csm-1b's is Llama 3.2's)",
                        checkpoint->tokenizer);
    *path = checkpoint->tokenizer;
    return CSM_OK;
}

/* Values of matrices by how they are stored, to name the most common. */
struct tally {
    const char *kind;
    int bits, group_size;
    uint64_t n_values;
};
enum { MAX_TALLIES = 16 };

static uint64_t n_values(const struct csm_weight_source *source)
{
    return source->format != CSM_WEIGHT_FLOAT ? source->tensor.n_bytes * 8 / (uint64_t)source->bits
                             : source->tensor.n_bytes / csm_dtype_size(source->tensor.dtype);
}

static void count(struct tally tallies[MAX_TALLIES], const struct csm_weight_source *source)
{
    const char *kind = csm_dtype_name(source->tensor.dtype);
    for (size_t i = 0; i < MAX_TALLIES; i++) {
        struct tally *t = &tallies[i];
        if (t->kind == NULL)
            *t = (struct tally){kind, source->bits, source->group_size, 0};
        if (t->kind == kind && t->bits == source->bits && t->group_size == source->group_size) {
            t->n_values += n_values(source);
            return;
        }
    }
}

static void name_most_common(const struct tally tallies[MAX_TALLIES], char *text, size_t size)
{
    const struct tally *most = &tallies[0];
    for (size_t i = 1; i < MAX_TALLIES; i++)
        if (tallies[i].n_values > most->n_values)
            most = &tallies[i];
    if (most->bits != 0)
        snprintf(text, size, "q%d group %d", most->bits, most->group_size);
    else
        snprintf(text, size, "%s", most->kind != NULL ? most->kind : "");
}

/* Roles that another part's walk has counted. */
static bool is_seen(const struct csm_config *config, enum csm_part part, enum csm_role role)
{
    if (part == CSM_DEPTH && role == CSM_ROLE_AUDIO_TABLE)
        return config->has_tied_tables;
    return part == CSM_ENCODER && (role == CSM_ROLE_EMBED_SUM || role == CSM_ROLE_CLUSTER_USAGE);
}

/* Look up all weights of a part. */
static csm_status walk(struct csm_checkpoint *checkpoint, enum csm_part part,
                       struct tally tallies[MAX_TALLIES], uint64_t *n_parameters,
                       uint64_t *n_bytes, csm_error *err)
{
    for (int r = 0; r < CSM_ROLE_COUNT; r++) {
        const enum csm_role role = (enum csm_role)r;
        if (is_seen(&checkpoint->config, part, role))
            continue;
        const size_t n = csm_role_count(&checkpoint->config, part, role);
        for (size_t i = 0; i < n; i++) {
            struct csm_weight_source source;
            csm_status status = csm_checkpoint_find(checkpoint, part, role, i, &source, err);
            if (status != CSM_OK)
                return status;
            *n_parameters += n_values(&source);
            *n_bytes += source.tensor.n_bytes + source.scales.n_bytes + source.biases.n_bytes;
            if (source.tensor.rank >= 2)
                count(tallies, &source);
        }
    }
    return CSM_OK;
}

static csm_status check_weights(struct csm_checkpoint *checkpoint, csm_error *err)
{
    struct csm_checkpoint_info *info = &checkpoint->info;
    struct tally language[MAX_TALLIES] = {{0}}, codec[MAX_TALLIES] = {{0}};
    csm_status status = CSM_OK;
    if (checkpoint->language.layout != CSM_LAYOUT_NONE) {
        status = walk(checkpoint, CSM_BACKBONE, language, &info->n_parameters, &info->n_bytes, err);
        if (status == CSM_OK)
            status =
                walk(checkpoint, CSM_DEPTH, language, &info->n_parameters, &info->n_bytes, err);
    }
    if (status == CSM_OK && checkpoint->codec.layout != CSM_LAYOUT_NONE) {
        status = walk(checkpoint, CSM_ENCODER, codec, &info->n_codec_parameters,
                      &info->n_codec_bytes, err);
        if (status == CSM_OK)
            status = walk(checkpoint, CSM_DECODER, codec, &info->n_codec_parameters,
                          &info->n_codec_bytes, err);
    }
    name_most_common(language, checkpoint->stored_dtype, sizeof checkpoint->stored_dtype);
    return status;
}

/* HF leaves the quantizer's projections out where they would change no width. */
static csm_status make_identity(struct csm_checkpoint *checkpoint, csm_error *err)
{
    const size_t n = checkpoint->config.codec.dim;
    if (checkpoint->codec.layout != CSM_LAYOUT_HF || n != checkpoint->config.codec.width)
        return CSM_OK;
    checkpoint->identity = calloc(n * n, sizeof *checkpoint->identity);
    if (checkpoint->identity == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", checkpoint->directory);
    for (size_t i = 0; i < n; i++)
        checkpoint->identity[i * n + i] = 1;
    return CSM_OK;
}

static csm_status make_digest(struct csm_checkpoint *checkpoint, csm_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    char *config = json_dumps(checkpoint->root, JSON_COMPACT | JSON_SORT_KEYS);
    csm_status status = CSM_OK;
    if (state == NULL || config == NULL) {
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", checkpoint->directory);
    } else {
        XXH3_128bits_reset(state);
        XXH3_128bits_update(state, config, strlen(config));
        for (size_t s = 0; s < 2; s++)
            for (size_t f = 0;
                 checkpoint->sets[s] != NULL && f < csm_weights_count(checkpoint->sets[s]); f++) {
                size_t n;
                const void *header =
                    csm_tensors_header(csm_weights_at(checkpoint->sets[s], f), &n);
                XXH3_128bits_update(state, header, n);
            }
        const XXH128_hash_t hash = XXH3_128bits_digest(state);
        snprintf(checkpoint->digest, sizeof checkpoint->digest, "%016llx%016llx",
                 (unsigned long long)hash.high64, (unsigned long long)hash.low64);
    }
    free(config);
    XXH3_freeState(state);
    return status;
}

csm_status csm_checkpoint_open(const char *directory, int needs, csm_checkpoint **out,
                               csm_error *err)
{
    csm_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    checkpoint->directory = strdup(directory);
    checkpoint->tokenizer = csm_path_join(directory, "tokenizer.json");
    csm_status status = CSM_OK;
    if (checkpoint->directory == NULL || checkpoint->tokenizer == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    if (status == CSM_OK)
        status = csm_checkpoint_search(checkpoint, needs, err);
    if ((needs & CSM_NEEDS_LANGUAGE) == 0)
        checkpoint->language = (struct csm_place){0}; /* not asked for, not judged */
    if (status == CSM_OK)
        status = csm_config_read(directory, &checkpoint->language, &checkpoint->codec,
                                 &checkpoint->config, &checkpoint->root, err);
    if (status == CSM_OK)
        status = make_identity(checkpoint, err);
    if (status == CSM_OK)
        status = check_weights(checkpoint, err);

    const struct csm_config *config = &checkpoint->config;
    if (status == CSM_OK && checkpoint->language.layout != CSM_LAYOUT_NONE &&
        checkpoint->codec.layout != CSM_LAYOUT_NONE &&
        config->n_codebooks > config->codec.n_codebooks)
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: %zu codebooks a frame, but the codec has %zu: expected at least as "
                          "many",
                          directory, config->n_codebooks, config->codec.n_codebooks);
    if (status == CSM_OK)
        status = make_digest(checkpoint, err);
    if (status != CSM_OK) {
        csm_checkpoint_close(checkpoint);
        return status;
    }
    checkpoint->info.layout = checkpoint->language.layout;
    checkpoint->info.codec_layout = checkpoint->codec.layout;
    checkpoint->info.digest = checkpoint->digest;
    checkpoint->info.stored_dtype = checkpoint->stored_dtype;
    *out = checkpoint;
    return CSM_OK;
}

void csm_checkpoint_close(csm_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    for (size_t i = 0; i < 2; i++)
        csm_weights_close(checkpoint->sets[i]);
    json_decref(checkpoint->root);
    csm_random_free(checkpoint->random);
    free(checkpoint->identity);
    free(checkpoint->tokenizer);
    free(checkpoint->directory);
    free(checkpoint);
}
