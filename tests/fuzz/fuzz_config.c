/* SPDX-License-Identifier: Apache-2.0
 *
 * What is read in any layout has sizes that fit each other, and whose products do
 * not overflow. */
#include "check.h"

#include <string.h>

#include "checkpoint/config_parts.h"

static void check_transformer(const struct csm_transformer_config *t)
{
    CHECK(t->n_layers >= 1 && t->n_layers <= CSM_MAX_COUNT);
    CHECK(t->width >= 1 && t->width <= CSM_MAX_SIZE && t->hidden >= 1);
    CHECK(t->n_kv_heads >= 1 && t->n_heads % t->n_kv_heads == 0);
    CHECK(t->head_dim >= 2 && t->head_dim % 2 == 0);
    CHECK(t->n_heads * t->head_dim <= CSM_MAX_SIZE);
    CHECK(t->norm_eps >= 0 && t->rope.theta >= 1 && t->rope.factor >= 0);
    CHECK(t->rope.factor == 0 || t->rope.high_freq_factor > t->rope.low_freq_factor);
}

static void check_codec(const struct csm_codec_config *c)
{
    check_transformer(&c->transformer);
    size_t samples = 2;
    CHECK(c->n_ratios >= 1 && c->n_ratios <= CSM_MAX_RATIOS);
    for (size_t i = 0; i < c->n_ratios; i++)
        samples *= c->ratios[i];
    CHECK(samples == c->frame_samples && samples <= CSM_MAX_SIZE);
    CHECK(c->n_semantic >= 1 && c->n_semantic < c->n_codebooks);
    CHECK(c->width % c->upsample_groups == 0 && c->n_filters % c->compress == 0);
    CHECK(c->n_residual_layers >= 1);
    size_t dilation = 1;
    for (size_t i = 1; i < c->n_residual_layers; i++)
        dilation *= c->dilation_growth;
    CHECK(dilation <= CSM_MAX_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    /* The first byte chooses; the rest is the file. */
    static const enum csm_layout layouts[] = {CSM_LAYOUT_HF, CSM_LAYOUT_SESAME, CSM_LAYOUT_MLX,
                                              CSM_LAYOUT_CSM_HF, CSM_LAYOUT_KYUTAI};
    const struct csm_place place = {.layout = layouts[data[0] % 5], .prefix = ""};
    csm_error err = {""};
    json_t *root;
    if (csm_json_parse("config.json", data + 1, n - 1, &root, &err) != CSM_OK)
        return 0;
    struct csm_config config = {0};
    struct csm_json_reader reader = {"config.json", CSM_OK, &err};
    if (place.layout != CSM_LAYOUT_KYUTAI) {
        csm_config_language(&reader, root, &place, &config);
        if (reader.status == CSM_OK) {
            check_transformer(&config.backbone);
            check_transformer(&config.depth);
            CHECK(config.n_codebooks >= 2 && config.vocab >= 1);
            CHECK(config.vocab <= INT32_MAX / config.n_codebooks);
            CHECK(config.code_eos >= 0 && (size_t)config.code_eos < config.vocab);
        }
    } else {
        csm_config_codec(&reader, root, data[0] & 4 ? root : NULL, &place, &config.codec);
        if (reader.status == CSM_OK)
            check_codec(&config.codec);
    }
    CHECK(reader.status == CSM_OK || err.text[0] != '\0');
    reader.status = CSM_OK;
    csm_config_generation(&reader, root, config.n_codebooks, &config.generation);
    CHECK(reader.status != CSM_OK ||
          (config.generation.temperature >= 0 && config.generation.top_k >= 0));
    json_decref(root);
    return 0;
}
