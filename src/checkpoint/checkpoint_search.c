/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_search.c - which files of a directory hold the model. Names decide
 * only the order in which files are looked into; tensors decide what they are. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/path.h"

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* How late a file is looked into; -1: never. The first LAST_REQUIRED ranks must
 * open if they are met: they are what the user means. Pickles come last, so that
 * a directory of nothing else is refused with the message that fits. */
enum { LAST_REQUIRED = 2, LAST_RANK = 6 };

static int rank_of(const char *name)
{
    if (csm_path_ends_with(name, ".safetensors.index.json"))
        return 0;
    if (strcmp(name, "model.safetensors") == 0)
        return 1;
    if (strcmp(name, "ckpt.safetensors") == 0)
        return 2;
    if (csm_path_ends_with(name, ".safetensors")) {
        if (strcmp(name, "mimi.safetensors") == 0)
            return 3;
        return begins(name, "tokenizer-") ? 4 : 5;
    }
    static const char *const others[] = {".pt", ".pth", ".bin", ".ckpt", ".gguf"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (csm_path_ends_with(name, others[i]))
            return LAST_RANK;
    return -1;
}

/* Take a set for what it is better at than what was found before; close it if
 * for nothing. */
static void consider(struct csm_checkpoint *checkpoint, struct csm_weights *set)
{
    struct csm_place language, codec;
    csm_layout_recognise(set, &language, &codec);
    const enum csm_layout had = checkpoint->language.layout;
    bool is_used = false;
    if (language.layout != CSM_LAYOUT_NONE &&
        (had == CSM_LAYOUT_NONE ||
         (had != CSM_LAYOUT_HF && language.layout == CSM_LAYOUT_HF))) {
        if (checkpoint->sets[0] != NULL && checkpoint->codec.weights != checkpoint->sets[0])
            csm_weights_close(checkpoint->sets[0]);
        else if (checkpoint->sets[0] != NULL)
            checkpoint->sets[1] = checkpoint->sets[0]; /* its codec stays in use */
        checkpoint->sets[0] = set;
        checkpoint->language = language;
        is_used = true;
    }
    if (codec.layout != CSM_LAYOUT_NONE && checkpoint->codec.layout == CSM_LAYOUT_NONE) {
        if (!is_used)
            checkpoint->sets[1] = set;
        checkpoint->codec = codec;
        is_used = true;
    }
    if (!is_used)
        csm_weights_close(set);
}

csm_status csm_checkpoint_search(struct csm_checkpoint *checkpoint, int needs, csm_error *err)
{
    struct csm_listing listing;
    csm_status status = csm_listing_read(checkpoint->directory, &listing, err);
    if (status != CSM_OK)
        return status;

    /* The first failure of a file that was only tried: said if nothing is found. */
    csm_status tried = CSM_OK;
    csm_error tried_error;
    bool is_complete = false;
    for (int rank = 0; rank <= LAST_RANK && status == CSM_OK && !is_complete; rank++)
        for (size_t i = 0; i < listing.n && status == CSM_OK && !is_complete; i++) {
            if (rank_of(listing.names[i]) != rank)
                continue;
            struct csm_weights *set;
            csm_error failure;
            csm_status opened =
                csm_weights_open(checkpoint->directory, listing.names[i], &set, &failure);
            if (opened == CSM_OK) {
                consider(checkpoint, set);
            } else if (rank <= LAST_REQUIRED || opened == CSM_NO_MEMORY) {
                status = csm_fail(err, opened, "%s", failure.text);
            } else if (tried == CSM_OK) {
                tried = opened;
                tried_error = failure;
            }
            is_complete = (checkpoint->language.layout == CSM_LAYOUT_HF ||
                           (needs & CSM_NEEDS_LANGUAGE) == 0) &&
                          checkpoint->codec.layout != CSM_LAYOUT_NONE;
        }
    csm_listing_free(&listing);
    if (status != CSM_OK)
        return status;

    const bool has_language = checkpoint->language.layout != CSM_LAYOUT_NONE;
    const bool has_codec = checkpoint->codec.layout != CSM_LAYOUT_NONE;
    const bool lacks_language = (needs & CSM_NEEDS_LANGUAGE) != 0 && !has_language;
    const bool lacks_codec = (needs & CSM_NEEDS_CODEC) != 0 && !has_codec;
    if ((lacks_language || lacks_codec) && tried != CSM_OK)
        return csm_fail(err, tried, "%s", tried_error.text);
    if (lacks_language)
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: no weights of a CSM, expected model.safetensors, or shards with "
                        "their *.safetensors.index.json",
                        checkpoint->directory);
    if (lacks_codec)
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: no codec, expected codec_model.* in the weights, mimi.safetensors or "
                        "kyutai's tokenizer-e351c8d8-checkpoint125.safetensors",
                        checkpoint->directory);
    return CSM_OK;
}
