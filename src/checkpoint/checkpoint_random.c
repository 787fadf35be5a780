/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/checkpoint_random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/half.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/config_read.h"
#include "files/json_file.h"

enum { N_PARTS = CSM_DECODER + 1 };

/* Each tensor is a stretch of one memory. */
struct csm_random_weights {
    csm_dtype dtype;
    void *matrices; /* of the language model */
    void *codec;    /* F32 */
    float *ones;
    size_t *offsets[N_PARTS][CSM_ROLE_COUNT]; /* [index], in elements */
};

static bool is_codec(enum csm_part part)
{
    return part == CSM_ENCODER || part == CSM_DECODER;
}

static bool is_table(enum csm_role role)
{
    return role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
}

void csm_random_tensor(const struct csm_random_weights *random, enum csm_part part,
                       enum csm_role role, size_t index, csm_tensor *tensor)
{
    bool is_one = role == CSM_ROLE_ATTENTION_NORM || role == CSM_ROLE_MLP_NORM ||
                  role == CSM_ROLE_FINAL_NORM || role == CSM_ROLE_CLUSTER_USAGE;
    const char *memory = is_codec(part) ? random->codec : random->matrices;
    tensor->name = "random";
    tensor->dtype = is_one || is_codec(part) ? CSM_F32 : random->dtype;
    size_t size = csm_dtype_size(tensor->dtype), n = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        n *= tensor->shape[i];
    tensor->n_bytes = n * size;
    tensor->data = is_one ? (const void *)random->ones
                          : memory + random->offsets[part][role][index] * size;
}

void csm_random_free(struct csm_random_weights *random)
{
    if (random == NULL)
        return;
    for (size_t p = 0; p < N_PARTS; p++)
        for (size_t r = 0; r < CSM_ROLE_COUNT; r++)
            free(random->offsets[p][r]);
    free(random->matrices);
    free(random->codec);
    free(random->ones);
    free(random);
}

/* Uniform, of the size that keeps activations about as they are. */
static void fill(void *memory, size_t n, csm_dtype dtype, float size)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        float x = (float)(int32_t)state * 0x1p-31f * size;
        if (dtype == CSM_BF16)
            ((uint16_t *)memory)[i] = csm_to_bf16(x);
        else
            ((float *)memory)[i] = x;
    }
}

/* Give every tensor its place. Tables, of which single rows are read, share one. */
static csm_status lay_out(struct csm_random_weights *random, csm_checkpoint *checkpoint,
                          bool is_shared, csm_error *err)
{
    size_t n_matrices = 0, n_codec = 0, n_largest = 0;
    for (int p = 0; p < N_PARTS; p++)
        for (int r = 0; r < CSM_ROLE_COUNT; r++) {
            enum csm_part part = (enum csm_part)p;
            enum csm_role role = (enum csm_role)r;
            size_t count = csm_role_count(&checkpoint->config, part, role);
            if (count == 0)
                continue;
            size_t *offsets = calloc(count, sizeof *offsets);
            random->offsets[p][r] = offsets;
            if (offsets == NULL)
                return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory");
            for (size_t i = 0; i < count; i++) {
                struct csm_weight_source source;
                csm_status st = csm_checkpoint_find(checkpoint, part, role, i, &source, err);
                if (st != CSM_OK)
                    return st;
                size_t n = source.tensor.n_bytes / csm_dtype_size(source.tensor.dtype);
                n = (n + 4095) / 4096 * 4096;
                if (is_codec(part)) {
                    offsets[i] = n_codec;
                    n_codec += n;
                    checkpoint->info.n_codec_parameters += n;
                    checkpoint->info.n_codec_bytes += 4 * n;
                    continue;
                }
                checkpoint->info.n_parameters += n;
                checkpoint->info.n_bytes += n * csm_dtype_size(random->dtype);
                if (is_shared || is_table(role)) {
                    n_largest = n > n_largest ? n : n_largest;
                } else {
                    offsets[i] = n_matrices;
                    n_matrices += n;
                }
            }
        }
    /* Tables lie over the matrices where these are many. */
    n_matrices = n_matrices > n_largest ? n_matrices : n_largest;
    random->matrices = aligned_alloc(4096, n_matrices * csm_dtype_size(random->dtype));
    random->codec = aligned_alloc(4096, n_codec * sizeof(float));
    if (random->matrices == NULL || random->codec == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory for %zu values", n_matrices);
    fill(random->matrices, n_matrices, random->dtype, 0.03f);
    fill(random->codec, n_codec, CSM_F32, 0.05f);
    return CSM_OK;
}

csm_status csm_checkpoint_random(csm_dtype dtype, bool is_shared, csm_checkpoint **out,
                                 csm_error *err)
{
    enum { MOST_ONES = 1 << 16 };
    csm_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    struct csm_random_weights *random = calloc(1, sizeof *random);
    if (checkpoint == NULL || random == NULL) {
        free(random);
        free(checkpoint);
        return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory");
    }
    checkpoint->random = random;
    checkpoint->language.layout = checkpoint->codec.layout = CSM_LAYOUT_HF;
    random->dtype = dtype;
    random->ones = malloc(MOST_ONES * sizeof *random->ones);
    checkpoint->directory = strdup("random:csm-1b");
    checkpoint->tokenizer = strdup("random:csm-1b/tokenizer.json");
    checkpoint->root = json_object(); /* every size is its class's default: csm-1b's */
    csm_status st = CSM_OK;
    if (random->ones == NULL || checkpoint->directory == NULL || checkpoint->tokenizer == NULL ||
        checkpoint->root == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "random weights: no memory");
    if (st == CSM_OK) {
        for (size_t i = 0; i < MOST_ONES; i++)
            random->ones[i] = 1;
        struct csm_json_reader reader = {"config.json", CSM_OK, err};
        csm_config_language(&reader, checkpoint->root, &checkpoint->language, &checkpoint->config);
        csm_config_codec(&reader, checkpoint->root, NULL, &checkpoint->codec,
                         &checkpoint->config.codec);
        csm_config_generation(&reader, NULL, &checkpoint->config.generation);
        st = reader.status;
    }
    if (st == CSM_OK)
        st = lay_out(random, checkpoint, is_shared, err);
    if (st != CSM_OK) {
        csm_checkpoint_close(checkpoint);
        return st;
    }
    checkpoint->info.layout = checkpoint->info.codec_layout = CSM_LAYOUT_HF;
    checkpoint->info.digest = checkpoint->digest;
    checkpoint->info.stored_dtype = csm_dtype_name(dtype);
    *out = checkpoint;
    return CSM_OK;
}
