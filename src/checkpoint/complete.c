/* SPDX-License-Identifier: Apache-2.0
 *
 * complete.c - repositories for MLX hold no codec, and some fine-tunes no tokenizer:
 * both are the same for all models of a kind. */
#include "checkpoint/complete.h"

#include <stdlib.h>

#include "base/error.h"
#include "checkpoint/tensor_files.h"
#include "files/path.h"
#include "hub/hub_part.h"

enum { MIMI_ENTRIES = 2048, N_SPECIAL_CODES = 3, LLAMA_IDS = 128256 };

/* Codes that are sound: by transformers' name or by Sesame's, else as published. */
static size_t said_entries(const json_t *root)
{
    const json_t *vocab = json_object_get(root, "audio_vocab_size");
    if (vocab == NULL)
        vocab = json_object_get(root, "vocab_size");
    const json_int_t n = json_is_integer(vocab) ? json_integer_value(vocab)
                                                : MIMI_ENTRIES + N_SPECIAL_CODES;
    return n > N_SPECIAL_CODES ? (size_t)n - N_SPECIAL_CODES : 0;
}

static size_t entries_of(const struct csm_place *codec)
{
    const struct csm_codec_config config = {.n_semantic = 1};
    char name[CSM_NAME_MAX];
    if (codec->layout == CSM_LAYOUT_NONE ||
        !csm_layout_name(codec, CSM_DECODER, CSM_ROLE_EMBED_SUM, 0, &config, name))
        return 0;
    const struct csm_set_tensor *table = csm_tensor_set_find(codec->set, name);
    return table != NULL && table->tensor.rank == 2 ? table->tensor.shape[0] : 0;
}

csm_status csm_complete_codec(struct csm_checkpoint *checkpoint, csm_error *err)
{
    const size_t n_entries = said_entries(checkpoint->root);
    struct csm_hub_found found;
    if (checkpoint->is_alone)
        return CSM_OK;
    if (!csm_hub_find_part(CSM_HUB_MIMI, &found))
        return n_entries != MIMI_ENTRIES
                   ? CSM_OK
                   : csm_notes_add(&checkpoint->notes, true, err, "no codec: %s completes it",
                                   csm_hub_part_command(CSM_HUB_MIMI));
    struct csm_tensor_set *set = NULL;
    struct csm_place language, codec = {.prefix = ""};
    csm_error why = {""};
    csm_status status = csm_tensor_files_open(&(struct csm_folder){.path = found.directory}, found.file, &set,
                                              &why);
    if (status == CSM_OK)
        csm_layout_recognise(set, &language, &codec);
    if (status == CSM_OK && entries_of(&codec) == n_entries) {
        checkpoint->sets[1] = set;
        checkpoint->codec = codec;
        status = csm_notes_add(&checkpoint->notes, false, err,
                               "no codec: that of %s in the hub cache is taken", found.repo);
    } else {
        csm_tensor_set_free(set);
        if (status != CSM_NO_MEMORY)
            status = csm_notes_add(&checkpoint->notes, true, err,
                                   "no codec, and that of %s in the hub cache is none for it: %s",
                                   found.repo, status == CSM_OK ? "another size" : why.text);
    }
    free(found.directory);
    return status;
}

csm_status csm_complete_tokenizer(struct csm_checkpoint *checkpoint, csm_error *err)
{
    if (checkpoint->config.text_vocab != LLAMA_IDS || checkpoint->is_alone ||
        csm_checkpoint_tokenizer(checkpoint, NULL, &(const char *){NULL}, NULL) == CSM_OK)
        return CSM_OK;
    struct csm_hub_found found;
    if (!csm_hub_find_part(CSM_HUB_LLAMA_TOKENIZER, &found))
        return csm_notes_add(&checkpoint->notes, true, err, "no tokenizer.json: %s completes it",
                             csm_hub_part_command(CSM_HUB_LLAMA_TOKENIZER));
    char *path = csm_path_join(found.directory, found.file);
    free(found.directory);
    if (path == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", checkpoint->directory);
    free(checkpoint->tokenizer);
    checkpoint->tokenizer = path;
    return csm_notes_add(&checkpoint->notes, false, err,
                         "no tokenizer.json: that of %s in the hub cache is taken", found.repo);
}
