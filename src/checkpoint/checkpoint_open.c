/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_open.c - open a model directory: find its files, read its
 * configuration, look every weight up once, so that a model that opens is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/complete.h"
#include "checkpoint/config_read.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/gguf_model.h"
#include "files/path.h"
#include "files/json_file.h"

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
    case CSM_LAYOUT_CSM_HF:
        return "csm-hf";
    case CSM_LAYOUT_GGUF:
        return "gguf";
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

const struct csm_notes *csm_checkpoint_notes(const csm_checkpoint *checkpoint)
{
    return &checkpoint->notes;
}

csm_status csm_checkpoint_tokenizer(const csm_checkpoint *checkpoint, struct csm_mapped *file,
                                    const char **path, csm_error *err)
{
    static const char name[] = "tokenizer.json";
    *path = checkpoint->tokenizer;
    const bool in_memory =
        checkpoint->folder.files != NULL && csm_folder_has(&checkpoint->folder, name);
    if (!in_memory && (checkpoint->is_alone || access(checkpoint->tokenizer, F_OK) != 0))
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: missing, expected the text tokenizer: copy it from the model that this "
                        "one was trained from (csm-1b's is Llama 3.2's)",
                        checkpoint->tokenizer);
    if (file == NULL)
        return CSM_OK;
    return in_memory
               ? csm_folder_map(&checkpoint->folder, name, "a tokenizer.json", file, err)
               : csm_mapped_open(checkpoint->tokenizer, "a tokenizer.json", file, err);
}

csm_status csm_checkpoint_note_ends(csm_checkpoint *checkpoint, const char *before,
                                    const char *after, csm_error *err)
{
    if ((before == NULL && after == NULL) || checkpoint->is_gguf ||
        checkpoint->language.layout != CSM_LAYOUT_HF)
        return CSM_OK;
    const bool are_two = before != NULL && after != NULL;
    return csm_notes_add(&checkpoint->notes, true, err,
                         "tokenizer.json's template puts %s a text: %s%s%s %s put there, as csm-1b's "
                         "does; transformers puts %s",
                         are_two ? "nothing around" : before != NULL ? "nothing before" : "nothing after",
                         before != NULL ? before : "", are_two ? " and " : "",
                         after != NULL ? after : "", are_two ? "are" : "is",
                         are_two ? "none" : "nothing");
}

csm_status csm_checkpoint_beside_tokenizer(const csm_checkpoint *checkpoint, const char *name,
                                           json_t **out, csm_error *err)
{
    if (checkpoint->folder.files != NULL)
        return csm_folder_reals(&checkpoint->folder, name, out, err);
    char *directory = strdup(checkpoint->tokenizer);
    if (directory == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", name);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    const struct csm_folder folder = {.path = slash != NULL ? directory : "."};
    const csm_status status = csm_folder_reals(&folder, name, out, err);
    free(directory);
    return status;
}

/* A length that counts the prompt's positions is no length of speech. (transformers cuts there;
 * trainers write the whole context's, which says nothing.) */
static csm_status note_length(struct csm_checkpoint *checkpoint, csm_error *err)
{
    const size_t n = checkpoint->config.generation.max_length;
    if (n == 0 || n >= checkpoint->config.backbone.max_positions)
        return CSM_OK;
    return csm_notes_add(&checkpoint->notes, true, err,
                         "generation_config.json: max_length %zu is not used: it counts the prompt, "
                         "expected max_new_tokens, the frames of speech",
                         n);
}

/* transformers itself writes such a file; whoever adds keys to it finds them without effect. */
static csm_status note_dropped(struct csm_checkpoint *checkpoint, csm_error *err)
{
    if (!checkpoint->config.generation.drops_depth)
        return CSM_OK;
    return csm_notes_add(&checkpoint->notes, true, err,
                         "generation_config.json: depth_decoder_* keys are not used, as in "
                         "transformers, while _from_model_config is true: the depth decoder is "
                         "greedy; take that key out to use them");
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
    char *config = json_dumps(checkpoint->root, JSON_COMPACT | JSON_SORT_KEYS);
    if (config == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", checkpoint->directory);
    struct csm_digest *digest = csm_digest_open();
    csm_digest_add(digest, config, strlen(config));
    for (size_t s = 0; s < 2; s++)
        for (size_t f = 0; checkpoint->sets[s] != NULL && f < checkpoint->sets[s]->n_headers; f++)
            csm_digest_add(digest, checkpoint->sets[s]->headers[f].bytes,
                           checkpoint->sets[s]->headers[f].n);
    csm_digest_close(digest, checkpoint->digest);
    free(config);
    return CSM_OK;
}

/* config.json, or an empty object; *has_one says which. */
static csm_status load_config(struct csm_checkpoint *checkpoint, bool *has_one, csm_error *err)
{
    *has_one = checkpoint->root != NULL || csm_folder_has(&checkpoint->folder, "config.json");
    if (checkpoint->root != NULL)
        return CSM_OK;
    if (!*has_one) {
        checkpoint->root = json_object();
        return checkpoint->root != NULL ? CSM_OK
                                        : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory",
                                                   checkpoint->directory);
    }
    return csm_folder_json(&checkpoint->folder, "config.json", &checkpoint->root, err);
}

/* Two copies of a tied table that differ are two tables, as transformers 5 has it. */
static csm_status settle_tied_tables(struct csm_checkpoint *checkpoint, csm_error *err)
{
    if (checkpoint->language.layout != CSM_LAYOUT_HF || !checkpoint->config.has_tied_tables)
        return CSM_OK;
    struct csm_set_tensor *tables[2];
    for (int p = CSM_BACKBONE; p <= CSM_DEPTH; p++) {
        char name[CSM_NAME_MAX];
        (void)csm_layout_name(&checkpoint->language, (enum csm_part)p, CSM_ROLE_AUDIO_TABLE, 0,
                              &checkpoint->config.codec, name);
        tables[p] = csm_tensor_set_find(checkpoint->language.set, name);
        if (tables[p] == NULL)
            return CSM_OK;
    }
    const csm_tensor *a = &tables[0]->tensor, *b = &tables[1]->tensor;
    if (a->dtype == b->dtype && a->n_bytes == b->n_bytes && memcmp(a->data, b->data, a->n_bytes) == 0) {
        tables[0]->is_bound = tables[1]->is_bound = true;
        return CSM_OK;
    }
    checkpoint->config.has_tied_tables = false;
    return csm_notes_add(&checkpoint->notes, true, err,
                         "%s and %s differ, though config.json ties them: both are used, each for "
                         "its own part, as transformers does",
                         a->name, b->name);
}

static csm_status check_codebooks(const struct csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_config *config = &checkpoint->config;
    if (checkpoint->language.layout == CSM_LAYOUT_NONE ||
        checkpoint->codec.layout == CSM_LAYOUT_NONE ||
        config->n_codebooks <= config->codec.n_codebooks)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: %zu codebooks a frame, but the codec has %zu: expected at least as many",
                    checkpoint->directory, config->n_codebooks, config->codec.n_codebooks);
}

/* Make floats of what other programs quantized, in the sets that are used. */
static csm_status dequantize(struct csm_checkpoint *checkpoint, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t s = 0; st == CSM_OK && s < 2; s++) {
        struct csm_place *const places[] = {&checkpoint->language, &checkpoint->codec};
        struct csm_tensor_set *before = checkpoint->sets[s];
        if (before == NULL || (places[0]->set != before && places[1]->set != before))
            continue;
        st = csm_dequantize(&checkpoint->sets[s], checkpoint->root, &checkpoint->notes, err);
        for (size_t p = 0; p < 2; p++)
            if (places[p]->set == before)
                places[p]->set = checkpoint->sets[s];
        if (checkpoint->sets[s] != before)
            json_object_del(checkpoint->root, "quantization_config");
    }
    return st;
}

/* Files, configuration, weights. */
static csm_status open_parts(struct csm_checkpoint *checkpoint, int needs, csm_error *err)
{
    const bool needs_language = (needs & CSM_NEEDS_LANGUAGE) != 0;
    bool has_config;
    csm_status status = load_config(checkpoint, &has_config, err);
    if (status == CSM_OK && needs_language)
        status = csm_refuse_foreign_config(checkpoint->directory, checkpoint->root, err);
    if (status == CSM_OK)
        status = csm_checkpoint_search(checkpoint, needs, err);
    if (status != CSM_OK)
        return status;
    if (!needs_language) /* met on the way to the codec, and not looked at */
        checkpoint->language = (struct csm_place){.prefix = ""};
    struct csm_place *language = &checkpoint->language;
    if (!checkpoint->is_gguf)
        status = dequantize(checkpoint, err);
    if (status == CSM_OK && language->layout != CSM_LAYOUT_NONE)
        status = csm_refuse_foreign_tensors(language->set, err);
    if (language->layout == CSM_LAYOUT_MLX &&
        json_is_object(json_object_get(checkpoint->root, "backbone_config")))
        language->layout = CSM_LAYOUT_CSM_HF;
    if (status == CSM_OK)
        status = csm_config_read(&checkpoint->folder, language, &checkpoint->codec, has_config,
                                 &checkpoint->root, &checkpoint->config, err);
    if (status == CSM_OK && checkpoint->codec.has_sizes_by_shape)
        status = csm_checkpoint_tell_codec(checkpoint, err);
    if (status == CSM_OK && needs_language)
        status = csm_complete_tokenizer(checkpoint, err);
    if (status == CSM_OK)
        status = note_length(checkpoint, err);
    if (status == CSM_OK)
        status = note_dropped(checkpoint, err);
    if (status == CSM_OK)
        status = make_identity(checkpoint, err);
    if (status == CSM_OK)
        status = settle_tied_tables(checkpoint, err);
    if (status == CSM_OK)
        status = csm_checkpoint_check(checkpoint, err);
    if (status == CSM_OK && needs_language)
        status = csm_checkpoint_check_unbound(checkpoint, err);
    if (status == CSM_OK)
        status = check_codebooks(checkpoint, err);
    return status == CSM_OK ? make_digest(checkpoint, err) : status;
}

csm_status csm_checkpoint_open(const char *directory, int needs, csm_checkpoint **out,
                               csm_error *err)
{
    return csm_checkpoint_open_memory(directory, NULL, 0, needs, out, err);
}

csm_status csm_checkpoint_open_memory(const char *directory, const csm_memory_file *files,
                                      size_t n_files, int needs, csm_checkpoint **out,
                                      csm_error *err)
{
    csm_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    checkpoint->folder = (struct csm_folder){directory, files, n_files};
    csm_status status = CSM_OK;
    char *gguf = NULL;
    checkpoint->is_alone = files != NULL;
    if (files == NULL)
        status = csm_gguf_find(directory, &gguf, err);
    if (status != CSM_OK || gguf != NULL) {
        if (status == CSM_OK)
            status = csm_checkpoint_take_gguf(checkpoint, gguf, needs, err);
        free(gguf);
    } else if (files == NULL)
        status = csm_checkpoint_find_base(checkpoint, directory, needs, err);
    else if (csm_folder_has(&checkpoint->folder, "adapter_config.json"))
        status = csm_fail(err, CSM_BAD_ARG, "%s: an adapter among files in memory, expected the "
                          "model alone: adapters are read from directories",
                          directory);
    else if ((checkpoint->directory = strdup(directory)) == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    checkpoint->folder.path = checkpoint->directory;
    if (status == CSM_OK && checkpoint->tokenizer == NULL) {
        checkpoint->tokenizer = csm_path_join(checkpoint->directory, "tokenizer.json");
        if (checkpoint->tokenizer == NULL)
            status = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    }
    if (status == CSM_OK)
        status = open_parts(checkpoint, needs, err);
    if (status != CSM_OK) {
        csm_checkpoint_close(checkpoint);
        return status;
    }
    checkpoint->info.layout = checkpoint->language.layout;
    checkpoint->info.codec_layout = checkpoint->codec.layout;
    if (checkpoint->is_gguf && checkpoint->language.layout != CSM_LAYOUT_NONE)
        checkpoint->info.layout = CSM_LAYOUT_GGUF;
    if (checkpoint->codec.has_sizes_by_shape && checkpoint->codec.layout != CSM_LAYOUT_NONE)
        checkpoint->info.codec_layout = CSM_LAYOUT_GGUF;
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
        csm_tensor_set_free(checkpoint->sets[i]);
    csm_adapters_free(&checkpoint->adapters);
    csm_tensor_set_free(checkpoint->gguf);
    free((void *)checkpoint->own_tokenizer.bytes);
    json_decref(checkpoint->root);
    csm_notes_free(&checkpoint->notes);
    free(checkpoint->beside);
    free(checkpoint->identity);
    free(checkpoint->tokenizer);
    free(checkpoint->directory);
    free(checkpoint);
}
