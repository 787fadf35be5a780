/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_adapt.c - adapters of a checkpoint: the one that lies in its directory,
 * as transformers takes it, and those that are asked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/json_file.h"
#include "files/path.h"

/* Whether a directory holds weights other than an adapter's. */
static csm_status has_weights(const char *directory, bool *found, csm_error *err)
{
    struct csm_listing listing;
    csm_status st = csm_listing_read(directory, &listing, err);
    if (st != CSM_OK)
        return st;
    *found = false;
    for (size_t i = 0; i < listing.n; i++)
        if (csm_path_ends_with(listing.names[i], ".safetensors") &&
            strncmp(listing.names[i], "adapter", strlen("adapter")) != 0)
            *found = true;
    csm_listing_free(&listing);
    return CSM_OK;
}

/* The base that an adapter names, which must be a directory here. */
static csm_status named_base(const char *directory, char **base, csm_error *err)
{
    json_t *config = NULL;
    char *path = csm_path_join(directory, "adapter_config.json");
    csm_status st = path == NULL ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory)
                                 : csm_json_load(path, &config, err);
    free(path);
    if (st != CSM_OK)
        return st;
    const char *name = json_string_value(json_object_get(config, "base_model_name_or_path"));
    if (name != NULL && (csm_path_has(name, "config.json") ||
                         csm_path_has(name, "model.safetensors"))) {
        *base = strdup(name);
        if (*base == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    } else {
        st = csm_fail(err, CSM_BAD_FILE,
                      "%s: an adapter of %s without its model: expected the base too, "
                      "--model-path BASE --adapter %s",
                      directory, name != NULL && *name != '\0' ? name : "some base", directory);
    }
    json_decref(config);
    return st;
}

csm_status csm_checkpoint_find_base(struct csm_checkpoint *checkpoint, const char *directory,
                                    int needs, csm_error *err)
{
    csm_status st = CSM_OK;
    if ((needs & CSM_NEEDS_LANGUAGE) != 0 && csm_adapter_is_there(directory)) {
        bool is_model = csm_path_has(directory, "config.json");
        if (!is_model)
            st = has_weights(directory, &is_model, err);
        if (st == CSM_OK && !is_model)
            st = named_base(directory, &checkpoint->directory, err);
        if (st == CSM_OK && (checkpoint->beside = strdup(directory)) == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    }
    if (st == CSM_OK && checkpoint->directory == NULL &&
        (checkpoint->directory = strdup(directory)) == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    return st;
}

/* An adapter of transformers' names changes one of two tied tables: they are two
 * then, as PeftModel has them. */
static void untie(struct csm_checkpoint *checkpoint)
{
    const struct csm_adapters *adapters = &checkpoint->adapters;
    if (!checkpoint->config.has_tied_tables)
        return;
    for (size_t i = 0; i < adapters->n; i++) {
        const struct csm_patch *p = &adapters->patches[i];
        bool is_of_mlx = p->whole.data != NULL && p->whole_has_pairs;
        for (size_t d = 0; d < p->n; d++)
            is_of_mlx = is_of_mlx || p->deltas[d].has_pairs;
        if (p->role == CSM_ROLE_AUDIO_TABLE && !is_of_mlx) {
            checkpoint->config.has_tied_tables = false;
            checkpoint->has_one_table = true;
        }
    }
}

/* What an adapter is made of and its scale go into the digest. */
static void change_digest(struct csm_checkpoint *checkpoint, const csm_adapter *adapters,
                          size_t n)
{
    struct csm_digest *digest = csm_digest_open();
    if (digest == NULL)
        return;
    csm_digest_add(digest, checkpoint->digest, strlen(checkpoint->digest));
    for (size_t a = 0; a < n; a++) {
        const struct csm_tensor_set *set = checkpoint->adapters.sets[a];
        for (size_t h = 0; h < set->n_headers; h++)
            csm_digest_add(digest, set->headers[h].bytes, set->headers[h].n);
        for (size_t t = 0; t < set->n; t++)
            csm_digest_add(digest, set->tensors[t].tensor.data, set->tensors[t].tensor.n_bytes);
        const uint64_t scale = csm_bits_of_double(adapters[a].scale);
        csm_digest_add(digest, &scale, sizeof scale);
    }
    csm_digest_close(digest, checkpoint->digest);
}

csm_status csm_checkpoint_adapt(csm_checkpoint *checkpoint, const csm_adapter *adapters, size_t n,
                                int n_threads, enum csm_adapting how, csm_error *err)
{
    const csm_adapter beside = {.path = checkpoint->beside, .scale = 1};
    csm_status st = CSM_OK;
    if (n > 0 && checkpoint->beside != NULL)
        st = csm_notes_add(&checkpoint->notes, true, err,
                           "%s: the adapter in it is not used: others were asked for",
                           checkpoint->beside);
    if (n == 0 && checkpoint->beside != NULL) {
        adapters = &beside;
        n = 1;
    }
    struct csm_adapters *merged = &checkpoint->adapters;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        if (adapters[i].path == NULL || !isfinite(adapters[i].scale))
            return csm_fail(err, CSM_BAD_ARG, "adapter %s: scale %g, expected a number",
                            adapters[i].path != NULL ? adapters[i].path : "without a path",
                            adapters[i].scale);
        merged->n_unnamed = 0;
        st = csm_adapters_add(merged, checkpoint, adapters[i].path, adapters[i].scale, err);
        if (st == CSM_OK && merged->n_unnamed > 0)
            st = csm_notes_add(&checkpoint->notes, true, err,
                               "adapter %s: %zu pairs are of modules that its target_modules do not "
                               "name, the first is %s: merged all the same, while PEFT leaves them out",
                               adapters[i].path, merged->n_unnamed, merged->unnamed);
    }
    if (st != CSM_OK || n == 0)
        return st;
    untie(checkpoint);
    if (how != CSM_ADAPT_DESCRIBED)
        st = csm_adapters_merge(merged, checkpoint, n_threads, how == CSM_ADAPT_WHOLE, err);
    if (st != CSM_OK)
        return st;
    change_digest(checkpoint, adapters, n);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        st = csm_notes_add(&checkpoint->notes, adapters == &beside, err,
                           "adapter %s: %zu tensors merged into the model, scale %g%s",
                           adapters[i].path, merged->sets[i]->n, adapters[i].scale,
                           adapters == &beside ? ": it lies in the model's own directory" : "");
    return st;
}
