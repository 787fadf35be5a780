/* SPDX-License-Identifier: Apache-2.0
 *
 * unbound.c - tensors that no role reads. What would change the numbers that the
 * model computes is refused; what the programs that wrote the file do not read
 * either is noted. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "files/path.h"

/* Values that a program computes, and some write with the weights. */
static bool is_computed(const char *name)
{
    static const char *const endings[] = {
        "inv_freq",          "rotary_emb.cos_cached", "rotary_emb.sin_cached",
        "audio_tokens_offsets", "codebook_offsets",   "causal_mask",
        "position_ids",      ".rope.theta",           ".rope.cache",
        ".pos_embeddings.theta", ".pos_embeddings.cache", ".initialized",
        "._initialized",     ".padding_total",        ".conv.stride",
        ".kernel_size",      "num_batches_tracked"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (csm_path_ends_with(name, endings[i]))
            return true;
    return false;
}

bool csm_name_is_low_rank(const char *name)
{
    return strstr(name, "lora_") != NULL || strstr(name, ".lora.") != NULL;
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The part whose layer `name` belongs to and the layer's number; false: none. */
static bool layer_of(const struct csm_place *place, const char *name, enum csm_part *part,
                     unsigned long *layer)
{
    const bool is_hf = place->layout == CSM_LAYOUT_HF;
    const char *const stems[2] = {is_hf ? "backbone_model.layers." : "backbone.layers.",
                                  is_hf ? "depth_decoder.model.layers." : "decoder.layers."};
    name += strlen(place->prefix);
    for (int p = 0; p < 2; p++)
        if (begins(name, stems[p]) && isdigit((unsigned char)name[strlen(stems[p])])) {
            *part = p == 0 ? CSM_BACKBONE : CSM_DEPTH;
            *layer = strtoul(name + strlen(stems[p]), NULL, 10);
            return true;
        }
    return false;
}

/* Whether a tensor that is bound hangs on the module that this one hangs on, as a
 * weight does beside its bias. */
static bool hangs_on_a_bound_module(const struct csm_tensor_set *set, const char *name)
{
    static const char *const leaves[] = {"weight", "scale"};
    char sibling[CSM_NAME_MAX];
    const char *dot = strrchr(name, '.');
    const size_t n = dot != NULL ? (size_t)(dot - name) + 1 : 0;
    if (n == 0 || n + sizeof "weight" > sizeof sibling)
        return false;
    for (size_t i = 0; i < 2; i++) {
        snprintf(sibling, sizeof sibling, "%.*s%s", (int)n, name, leaves[i]);
        const struct csm_set_tensor *found = csm_tensor_set_find(set, sibling);
        if (found != NULL && found->is_bound)
            return true;
    }
    return false;
}

/* Unbound tensors of one kind, said in one line. */
struct kind {
    const char *what; /* why they are not used */
    bool is_warning;
    size_t n;
    const struct csm_set_tensor *first;
};
enum { LAYER_BEYOND, STRAY, OF_CODEC, COMPUTED, OTHER, N_KINDS };

static csm_status refuse(const struct csm_set_tensor *t, csm_error *err)
{
    if (csm_name_is_low_rank(t->name))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s: a low-rank pair that is not merged, and nothing says its scale: merge "
                        "it where it was trained, or save it as an adapter and give --adapter (%s)",
                        t->tensor.name, t->file);
    return csm_fail(err, CSM_BAD_FORMAT,
                    "%s: no tensor of a CSM, and what it hangs on is computed without it: expected "
                    "none of this name (%s)",
                    t->tensor.name, t->file);
}

static csm_status sort_in(const struct csm_checkpoint *checkpoint,
                          const struct csm_tensor_set *set, struct csm_set_tensor *t,
                          struct kind kinds[N_KINDS], csm_error *err)
{
    const struct csm_place *language = &checkpoint->language, *codec = &checkpoint->codec;
    const bool has_language = language->layout != CSM_LAYOUT_NONE && language->set == set;
    const bool has_codec = codec->layout != CSM_LAYOUT_NONE && codec->set == set;
    enum csm_part part;
    unsigned long layer;
    int kind = OTHER;
    if (is_computed(t->name)) {
        kind = COMPUTED;
    } else if (has_codec && begins(t->name, codec->prefix) &&
               (codec->prefix[0] != '\0' || !has_language)) {
        kind = OF_CODEC;
    } else if (has_language && layer_of(language, t->name, &part, &layer)) {
        if (layer < csm_part_transformer(&checkpoint->config, part)->n_layers)
            return refuse(t, err);
        kind = LAYER_BEYOND;
    } else if (has_language) {
        if (csm_name_is_low_rank(t->name) || hangs_on_a_bound_module(set, t->name))
            return refuse(t, err);
        const char *rest = t->name + (begins(t->name, language->prefix)
                                          ? strlen(language->prefix)
                                          : 0);
        if (begins(rest, "backbone") || begins(rest, "depth_decoder.") ||
            begins(rest, "decoder.") || begins(rest, "embed_text_tokens") ||
            begins(rest, "lm_head") || begins(rest, "text_embeddings") ||
            begins(rest, "audio_"))
            kind = STRAY;
    }
    if (kinds[kind].n++ == 0)
        kinds[kind].first = t;
    return CSM_OK;
}

csm_status csm_checkpoint_check_unbound(struct csm_checkpoint *checkpoint, csm_error *err)
{
    for (size_t s = 0; s < 2; s++) {
        struct csm_tensor_set *set = checkpoint->sets[s];
        struct kind kinds[N_KINDS] = {
            [LAYER_BEYOND] = {"a layer beyond those that config.json counts", true, 0, NULL},
            [STRAY] = {"a name that no CSM has", true, 0, NULL},
            [OF_CODEC] = {"a name that no Mimi has", true, 0, NULL},
            [COMPUTED] = {"values that are computed, not read", false, 0, NULL},
            [OTHER] = {"of no part of the model", false, 0, NULL},
        };
        csm_status st = CSM_OK;
        for (size_t i = 0; set != NULL && st == CSM_OK && i < set->n; i++)
            if (!set->tensors[i].is_bound)
                st = sort_in(checkpoint, set, &set->tensors[i], kinds, err);
        for (int k = 0; st == CSM_OK && k < N_KINDS; k++) {
            const struct kind *kind = &kinds[k];
            if (kind->n == 1)
                st = csm_notes_add(&checkpoint->notes, kind->is_warning, err,
                                   "%s: %s is not used: %s", set->name, kind->first->tensor.name,
                                   kind->what);
            else if (kind->n > 1)
                st = csm_notes_add(&checkpoint->notes, kind->is_warning, err,
                                   "%s: %zu tensors are not used, the first is %s: %s", set->name,
                                   kind->n, kind->first->tensor.name, kind->what);
        }
        if (st != CSM_OK)
            return st;
    }
    return CSM_OK;
}
