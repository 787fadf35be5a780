/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.c - csm_tokens in memory: make, ask, say, free. */
#include "analysis/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

const char *csm_metadata_name(enum csm_metadata_key key)
{
    static const char *const names[] = {
#define CSM_METADATA_NAME(key) #key,
        CSM_METADATA_MAP(CSM_METADATA_NAME)
#undef CSM_METADATA_NAME
    };
    return names[key];
}

static const struct csm_tokens_owner *owner_of(const csm_tokens *tokens)
{
    return (const struct csm_tokens_owner *)(const void *)tokens;
}

csm_status csm_tokens_make(const char *name, const int32_t *codes, size_t n_frames,
                          size_t n_codebooks, csm_tokens **out, csm_error *err)
{
    if (n_codebooks == 0 || n_codebooks > CSM_MAX_CODEBOOKS)
        return csm_fail(err, CSM_BAD_ARG, "tokens: %zu codebooks, expected 1 to %d", n_codebooks,
                        CSM_MAX_CODEBOOKS);
    if (n_frames > SIZE_MAX / sizeof *codes / n_codebooks)
        return csm_fail(err, CSM_BAD_ARG, "tokens: %zu frames are too many", n_frames);
    struct csm_tokens_owner *t = calloc(1, sizeof *t);
    if (t == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "tokens: out of memory");
    size_t n_bytes = n_frames * n_codebooks * sizeof *codes;
    t->name = strdup(name);
    t->codes = malloc(n_bytes + 1);
    if (t->name == NULL || t->codes == NULL) {
        csm_tokens_close(&t->shown);
        return csm_fail(err, CSM_NO_MEMORY, "tokens: %zu frames: out of memory", n_frames);
    }
    if (n_bytes != 0)
        memcpy(t->codes, codes, n_bytes);
    t->shown.name = t->name;
    t->shown.codes = t->codes;
    t->shown.n_frames = n_frames;
    t->shown.n_codebooks = n_codebooks;
    *out = &t->shown;
    return CSM_OK;
}

void csm_tokens_close(csm_tokens *tokens)
{
    if (tokens == NULL)
        return;
    struct csm_tokens_owner *t = (struct csm_tokens_owner *)(void *)tokens;
    for (size_t i = 0; i < tokens->n_hidden; i++) {
        if (t->hidden_names != NULL)
            free(t->hidden_names[i]);
        if (t->hidden_data != NULL)
            free(t->hidden_data[i]);
    }
    for (size_t i = 0; i < CSM_METADATA_COUNT; i++)
        free(t->metadata[i]);
    free(t->hidden_names);
    free(t->hidden_data);
    free(t->hidden);
    free(t->logits);
    free(t->samples);
    free(t->probs);
    free(t->margins);
    free(t->forced);
    free(t->codes);
    free(t->name);
    csm_tensors_close(t->file);
    free(t);
}

static enum csm_metadata_key find_key(const char *key)
{
    enum csm_metadata_key k = 0;
    while (k < CSM_METADATA_COUNT && strcmp(key, csm_metadata_name(k)) != 0)
        k++;
    return k;
}

const char *csm_tokens_metadata(const csm_tokens *tokens, const char *key)
{
    enum csm_metadata_key k = find_key(key);
    return k < CSM_METADATA_COUNT ? owner_of(tokens)->metadata[k] : NULL;
}

csm_status csm_tokens_set_metadata(csm_tokens *tokens, const char *key, const char *value,
                                   csm_error *err)
{
    enum csm_metadata_key k = find_key(key);
    if (k == CSM_METADATA_COUNT)
        return csm_fail(err, CSM_BAD_ARG, "tokens: no metadata '%s'", key);
    char *copy = NULL;
    if (value != NULL && (copy = strdup(value)) == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "tokens: out of memory");
    struct csm_tokens_owner *t = (struct csm_tokens_owner *)(void *)tokens;
    free(t->metadata[k]);
    t->metadata[k] = copy;
    return CSM_OK;
}

csm_status csm_tokens_set_samples(csm_tokens *tokens, const float *samples, size_t n_samples,
                                  int sample_rate_hz, csm_error *err)
{
    if (n_samples > SIZE_MAX / sizeof *samples - 1 || sample_rate_hz <= 0)
        return csm_fail(err, CSM_BAD_ARG, "tokens: %zu samples at %d Hz", n_samples,
                        sample_rate_hz);
    float *copy = malloc(n_samples * sizeof *copy + 1);
    if (copy == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "tokens: %zu samples: out of memory", n_samples);
    if (n_samples != 0)
        memcpy(copy, samples, n_samples * sizeof *copy);
    struct csm_tokens_owner *t = (struct csm_tokens_owner *)(void *)tokens;
    free(t->samples);
    t->samples = copy;
    tokens->samples = copy;
    tokens->n_samples = n_samples;
    tokens->sample_rate_hz = sample_rate_hz;
    return CSM_OK;
}

bool csm_tokens_logits(const csm_tokens *tokens, size_t frame, size_t codebook, float *row)
{
    const csm_tensor *logits = &tokens->logits;
    if (logits->data == NULL || frame >= tokens->n_frames || codebook >= tokens->n_codebooks)
        return false;
    size_t n = tokens->vocab, first = (frame * tokens->n_codebooks + codebook) * n;
    return csm_tensor_floats(logits, first, n, row);
}
