/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_check.c - every weight looked up once, so that a model that opens is
 * whole: what is bound is marked, counted, and the most common format named. */
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "base/quantized_row.h"
#include "checkpoint/checkpoint_parts.h"

/* Values of matrices by how they are stored, to name the most common. */
struct tally {
    const char *kind;
    int bits, group_size;
    uint64_t n_values;
};
enum { MAX_TALLIES = 32 };

static uint64_t n_values(const struct csm_weight_source *source)
{
    return source->format != CSM_WEIGHT_FLOAT ? source->tensor.n_bytes * 8 / (uint64_t)source->bits
                             : source->tensor.n_bytes / csm_dtype_size(source->tensor.dtype);
}

/* `stored`: what it was in its file, or NULL. */
static void count(struct tally tallies[MAX_TALLIES], const struct csm_weight_source *source,
                  const char *stored)
{
    const char *kind = stored != NULL                       ? stored
                       : source->format != CSM_WEIGHT_FLOAT ? csm_quantized_mode(source)
                                                            : csm_dtype_name(source->tensor.dtype);
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
    if (most->bits != 0 && strcmp(most->kind, "affine") == 0)
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
            struct csm_set_tensor *used[CSM_MAX_USED];
            csm_status status = csm_find_stored(checkpoint, part, role, i, &source, used, err);
            if (status != CSM_OK)
                return status;
            for (size_t u = 0; u < CSM_MAX_USED; u++)
                if (used[u] != NULL)
                    used[u]->is_bound = true;
            *n_parameters += n_values(&source);
            const struct csm_set_stored *stored = used[0] != NULL ? &used[0]->stored : NULL;
            const bool is_made = stored != NULL && stored->kind != NULL;
            *n_bytes += is_made ? stored->n_bytes
                                : source.tensor.n_bytes + source.scales.n_bytes +
                                      source.biases.n_bytes;
            if (source.tensor.rank >= 2)
                count(tallies, &source, is_made ? stored->kind : NULL);
        }
    }
    return CSM_OK;
}

static bool is_zero(const csm_tensor *tensor)
{
    const unsigned char *byte = tensor->data, *end = byte + tensor->n_bytes;
    while (byte < end && *byte == 0)
        byte++;
    return byte == end;
}

/* A download that was cut short has zeros where it ends, if its file was given its size before:
 * such a model makes noise. Only matrices of layers are looked at, which no training leaves so; the
 * first bytes of a good one end the search in it. */
static csm_status note_zeros(struct csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_tensor_set *set = checkpoint->language.set;
    const struct csm_set_tensor *first = NULL;
    size_t n = 0;
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        const struct csm_set_tensor *t = &set->tensors[i];
        const bool is_of_layer = strstr(t->name, ".layers.") != NULL &&
                                 strncmp(t->name, "codec_model.", strlen("codec_model.")) != 0;
        if (!t->is_bound || !is_of_layer || t->tensor.rank < 2 || t->tensor.data == NULL ||
            !is_zero(&t->tensor))
            continue;
        first = first != NULL ? first : t;
        n++;
    }
    if (n == 0)
        return CSM_OK;
    return csm_notes_add(&checkpoint->notes, true, err,
                         "%s: %zu matrices of layers hold zeros alone, the first is %s: was the file "
                         "downloaded whole?",
                         first->file, n, first->tensor.name);
}

/* The first element that is NaN or an infinity, or the number of elements. */
static size_t first_no_number(const csm_tensor *t)
{
    const size_t n = t->n_bytes / csm_dtype_size(t->dtype);
    size_t i = 0;
    while (i < n && isfinite(csm_element(t, i)))
        i++;
    return i;
}

bool csm_checkpoint_are_numbers(const csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_tensor_set *set = checkpoint->language.set;
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        const struct csm_set_tensor *t = &set->tensors[i];
        if (!t->is_bound || t->format != CSM_WEIGHT_FLOAT || !csm_dtype_is_weight(t->tensor.dtype))
            continue;
        const size_t at = first_no_number(&t->tensor);
        if (at < t->tensor.n_bytes / csm_dtype_size(t->tensor.dtype)) {
            (void)csm_fail(err, CSM_BAD_FILE,
                           "%s: element %zu is NaN or Inf, expected numbers: the file is damaged, or "
                           "its training diverged: take an earlier checkpoint (%s/%s)",
                           t->tensor.name, at, checkpoint->directory, t->file);
            return false;
        }
    }
    return true;
}

csm_status csm_checkpoint_check(struct csm_checkpoint *checkpoint, csm_error *err)
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
    return status == CSM_OK ? note_zeros(checkpoint, err) : status;
}
