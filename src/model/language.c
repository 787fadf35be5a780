/* SPDX-License-Identifier: Apache-2.0 */
#include "model/language.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "checkpoint/roles.h"

static void set_parts(struct csm_language *l)
{
    l->parts = (struct csm_frame_parts){.step = {.codes = l->audio_table,
                                                 .attention = l->backbone.attention,
                                                 .mlp = l->backbone.mlp,
                                                 .n_layers = l->backbone.n_layers,
                                                 .norm = l->backbone.norm},
                                        .n_codebooks = l->n_codebooks,
                                        .vocab = l->vocab,
                                        .first_head = l->first_head,
                                        .codes = l->depth_table,
                                        .projector = l->projection,
                                        .attention = l->depth.attention,
                                        .mlp = l->depth.mlp,
                                        .n_layers = l->depth.n_layers,
                                        .norm = l->depth.norm,
                                        .heads = l->heads};
}

/* All weights of the language model at once, where the engine can tell. One that is not there
 * is told when it is bound. */
static csm_status expect_room(const struct csm_engine *engine, const csm_checkpoint *checkpoint,
                              csm_error *err)
{
    const struct csm_config *config = csm_checkpoint_config(checkpoint);
    struct csm_weight_source *sources = NULL;
    csm_error missing;
    size_t n_most = 0, n = 0;
    if (engine->ops->expect_room == NULL)
        return CSM_OK;
    for (int pass = 0; pass < 2; pass++) {
        for (int part = CSM_BACKBONE; part <= CSM_DEPTH; part++)
            for (int role = 0; role < CSM_ROLE_COUNT; role++) {
                const size_t count = csm_role_count(config, (enum csm_part)part, (enum csm_role)role);
                n_most += pass == 0 ? count : 0;
                for (size_t i = 0; pass == 1 && i < count; i++) {
                    if (csm_checkpoint_find(checkpoint, (enum csm_part)part, (enum csm_role)role, i,
                                            &sources[n], &missing) != CSM_OK)
                        continue;
                    sources[n++].is_table = role == CSM_ROLE_TEXT_TABLE || role == CSM_ROLE_AUDIO_TABLE;
                }
            }
        if (pass == 0)
            sources = calloc(n_most + 1, sizeof *sources);
        if (sources == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "model: a list of %zu weights", n_most);
    }
    csm_status st = engine->ops->expect_room(engine->ctx, sources, n, err);
    free(sources);
    return st;
}

csm_status csm_language_open(struct csm_language *language, const struct csm_engine *engine,
                             const csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_config *config = csm_checkpoint_config(checkpoint);
    struct csm_binder *binder = &language->binder;
    *language = (struct csm_language){.engine = engine,
                                      .binder = {.engine = engine, .checkpoint = checkpoint},
                                      .n_codebooks = config->n_codebooks,
                                      .vocab = config->vocab,
                                      .text_vocab = config->text_vocab,
                                      .width = config->backbone.width,
                                      .depth_width = config->depth.width};
    if (config->n_codebooks * config->vocab > INT32_MAX) /* rows of a table have 32 bits */
        return csm_fail(err, CSM_BAD_FORMAT,
                        "config.json: %zu codebooks of %zu codes, expected at most %d in all",
                        config->n_codebooks, config->vocab, INT32_MAX);
    language->heads = calloc(config->n_codebooks, sizeof(csm_weight *));
    if (language->heads == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu heads", config->n_codebooks);

    csm_status st = expect_room(engine, checkpoint, err);
    if (st == CSM_OK)
        st = csm_bind(binder, CSM_BACKBONE, CSM_ROLE_TEXT_TABLE, 0, &language->text_table, err);
    if (st == CSM_OK)
        st = csm_bind(binder, CSM_BACKBONE, CSM_ROLE_AUDIO_TABLE, 0, &language->audio_table, err);
    language->depth_table = language->audio_table;
    if (st == CSM_OK && !config->has_tied_tables)
        st = csm_bind(binder, CSM_DEPTH, CSM_ROLE_AUDIO_TABLE, 0, &language->depth_table, err);
    if (st == CSM_OK)
        st = csm_bind_stack(binder, CSM_BACKBONE, &config->backbone, &language->backbone, err);
    if (st == CSM_OK)
        st = csm_bind_stack(binder, CSM_DEPTH, &config->depth, &language->depth, err);
    if (st == CSM_OK)
        st = csm_bind(binder, CSM_DEPTH, CSM_ROLE_PROJECTION, 0, &language->projection, err);
    if (st == CSM_OK)
        st = csm_bind(binder, CSM_BACKBONE, CSM_ROLE_HEAD, 0, &language->first_head, err);
    for (size_t k = 1; st == CSM_OK && k < config->n_codebooks; k++)
        st = csm_bind(binder, CSM_DEPTH, CSM_ROLE_HEAD, k - 1, &language->heads[k - 1], err);
    set_parts(language);
    return st;
}

void csm_language_close(struct csm_language *language)
{
    csm_binder_free(&language->binder);
    csm_stack_free(&language->backbone);
    csm_stack_free(&language->depth);
    free(language->heads);
    *language = (struct csm_language){0};
}
