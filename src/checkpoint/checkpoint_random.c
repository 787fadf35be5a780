/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_random.c - a provider of a tensor set: every tensor of the model
 * under its HF name, all of them stretches of one memory. */
#include "checkpoint/checkpoint_random.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/numbers.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/config_read.h"
#include "files/json_file.h"

enum { MOST_ONES = 1 << 16, ALIGNMENT = 4096 };

/* Where numbers come from, and how many of them are given away. */
struct pool {
    csm_dtype dtype;
    char *memory;
    size_t n, n_largest; /* of a tensor that shares memory with others */
};

struct maker {
    struct csm_tensor_set *set;
    const struct csm_config *config;
    bool is_shared;
    struct pool language, codec, ones;
};

static bool is_table(enum csm_role role)
{
    return role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
}

static bool is_one(enum csm_role role)
{
    return role == CSM_ROLE_ATTENTION_NORM || role == CSM_ROLE_MLP_NORM ||
           role == CSM_ROLE_FINAL_NORM || role == CSM_ROLE_CLUSTER_USAGE;
}

/* One tensor: with memory NULL, counted; else added to the set. */
static csm_status place(struct maker *maker, enum csm_part part, enum csm_role role, size_t index,
                        csm_error *err)
{
    const bool is_codec = csm_part_is_codec(part);
    struct pool *pool = is_one(role) ? &maker->ones : is_codec ? &maker->codec : &maker->language;
    const struct csm_shape shape = csm_role_shape(maker->config, part, role, index);
    csm_tensor tensor = {.dtype = pool->dtype, .rank = shape.rank};
    size_t n = 1, at = pool->n;
    for (size_t i = 0; i < shape.rank; i++)
        n *= tensor.shape[i] = shape.size[i];
    tensor.n_bytes = n * csm_dtype_size(pool->dtype);
    /* Tables, of which single rows are read, lie over the matrices. */
    if (is_one(role) || (!is_codec && (maker->is_shared || is_table(role)))) {
        at = 0;
        pool->n_largest = n > pool->n_largest ? n : pool->n_largest;
    } else {
        pool->n += (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    if (pool->memory == NULL)
        return CSM_OK;
    tensor.data = pool->memory + at * csm_dtype_size(pool->dtype);

    const struct csm_place names = {.layout = CSM_LAYOUT_HF,
                                    .prefix = is_codec ? "codec_model." : ""};
    char name[CSM_NAME_MAX], *kept = NULL;
    if (csm_layout_name(&names, part, role, index, &maker->config->codec, name))
        kept = strdup(name);
    if (kept == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory for a name");
    csm_status st = csm_tensor_set_keep(maker->set, kept, free, err);
    tensor.name = kept;
    return st == CSM_OK
               ? csm_tensor_set_add(maker->set, &tensor, CSM_WEIGHT_FLOAT, "random", err)
               : st;
}

/* All tensors, in the order of their roles. */
static csm_status walk(struct maker *maker, csm_error *err)
{
    maker->language.n = maker->codec.n = 0;
    for (int p = 0; p < CSM_N_PARTS; p++)
        for (int r = 0; r < CSM_ROLE_COUNT; r++) {
            const enum csm_part part = (enum csm_part)p;
            const enum csm_role role = (enum csm_role)r;
            /* The tied table, the encoder's codebooks and the depth decoder's heads are
             * another walk's, or one tensor. */
            const bool is_heads = part == CSM_DEPTH && role == CSM_ROLE_HEAD;
            if ((part == CSM_DEPTH && role == CSM_ROLE_AUDIO_TABLE) ||
                (part == CSM_ENCODER &&
                 (role == CSM_ROLE_EMBED_SUM || role == CSM_ROLE_CLUSTER_USAGE)))
                continue;
            const size_t n = csm_role_count(maker->config, part, role);
            for (size_t i = 0; i < (is_heads ? 1 : n); i++) {
                csm_status st = place(maker, part, role, i, err);
                if (st != CSM_OK)
                    return st;
            }
        }
    return CSM_OK;
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
        if (dtype == CSM_DTYPE_BF16)
            ((uint16_t *)memory)[i] = csm_to_bf16(x);
        else
            ((float *)memory)[i] = x;
    }
}

/* Memory of a pool that was counted; the set owns it. */
static csm_status make(struct maker *maker, struct pool *pool, float size, csm_error *err)
{
    size_t n = pool->n > pool->n_largest ? pool->n : pool->n_largest;
    n = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *memory = aligned_alloc(ALIGNMENT, n * csm_dtype_size(pool->dtype));
    if (memory == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory for %zu values", n);
    if (size != 0)
        fill(memory, n, pool->dtype, size);
    for (size_t i = 0; size == 0 && i < n; i++)
        ((float *)(void *)memory)[i] = 1;
    pool->memory = memory;
    return csm_tensor_set_keep(maker->set, memory, free, err);
}

static csm_status make_set(csm_checkpoint *checkpoint, csm_dtype dtype, bool is_shared,
                           csm_error *err)
{
    csm_status st = csm_tensor_set_new("random", &checkpoint->sets[0], err);
    struct maker maker = {.set = checkpoint->sets[0],
                          .config = &checkpoint->config,
                          .is_shared = is_shared,
                          .language = {.dtype = dtype},
                          .codec = {.dtype = CSM_DTYPE_F32},
                          .ones = {.dtype = CSM_DTYPE_F32, .n_largest = MOST_ONES}};
    if (st == CSM_OK)
        st = walk(&maker, err); /* counts */
    if (st == CSM_OK)
        st = make(&maker, &maker.language, 0.03f, err);
    if (st == CSM_OK)
        st = make(&maker, &maker.codec, 0.05f, err);
    if (st == CSM_OK)
        st = make(&maker, &maker.ones, 0, err);
    if (st == CSM_OK)
        st = walk(&maker, err); /* adds */
    checkpoint->language.set = checkpoint->codec.set = checkpoint->sets[0];
    return st;
}

csm_status csm_checkpoint_random(csm_dtype dtype, bool is_shared, csm_checkpoint **out,
                                 csm_error *err)
{
    csm_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "random weights: no memory");
    checkpoint->language = (struct csm_place){.layout = CSM_LAYOUT_HF, .prefix = ""};
    checkpoint->codec = (struct csm_place){.layout = CSM_LAYOUT_HF, .prefix = "codec_model."};
    checkpoint->directory = strdup("random:csm-1b");
    checkpoint->tokenizer = strdup("random:csm-1b/tokenizer.json");
    checkpoint->root = json_object(); /* every size is its class's default: csm-1b's */
    csm_status st = CSM_OK;
    if (checkpoint->directory == NULL || checkpoint->tokenizer == NULL || checkpoint->root == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "random weights: no memory");
    if (st == CSM_OK) {
        struct csm_json_reader reader = {"config.json", CSM_OK, err};
        csm_config_language(&reader, checkpoint->root, &checkpoint->language, &checkpoint->config);
        csm_config_codec(&reader, checkpoint->root, NULL, &checkpoint->codec,
                         &checkpoint->config.codec);
        csm_config_generation(&reader, NULL, checkpoint->config.n_codebooks,
                              &checkpoint->config.generation);
        st = reader.status;
    }
    if (st == CSM_OK)
        st = make_set(checkpoint, dtype, is_shared, err);
    if (st == CSM_OK)
        st = csm_checkpoint_check(checkpoint, err);
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
