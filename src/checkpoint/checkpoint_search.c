/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_search.c - which files of a directory hold the model: names decide
 * the order in which files are looked into, tensors decide what they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/complete.h"
#include "checkpoint/tensor_files.h"
#include "files/path.h"
#include "hub/hub_part.h"

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* How late a file is looked into. Up to REQUIRED a file must open if it is met
 * before a model was found: it is what the user means. Pickles come last, so that
 * a directory of nothing else is refused with the message that fits. */
enum rank {
    SAID, /* by config.json */
    MODEL,
    MODEL_INDEX,
    INDEX,
    SHARDS,
    CKPT,
    REQUIRED = CKPT,
    MIMI,
    KYUTAI,
    OTHER,
    FOREIGN,
    N_RANKS,
    NEVER
};

static enum rank rank_of(const char *name, const char *said)
{
    if (name[0] == '.') /* what macOS keeps beside a file (._NAME), and editors: no model */
        return NEVER;
    if (said != NULL && strcmp(name, said) == 0)
        return SAID;
    if (strcmp(name, "model.safetensors") == 0)
        return MODEL;
    if (strcmp(name, "model.safetensors.index.json") == 0)
        return MODEL_INDEX;
    if (csm_path_ends_with(name, ".safetensors.index.json"))
        return INDEX;
    if (csm_is_shard(name, NULL, NULL))
        return SHARDS;
    if (strcmp(name, "ckpt.safetensors") == 0)
        return CKPT;
    if (csm_path_ends_with(name, ".safetensors")) {
        if (begins(name, "adapter")) /* PEFT's, mlx-lm's and csm-mlx's: no model */
            return NEVER;
        if (strcmp(name, "mimi.safetensors") == 0)
            return MIMI;
        return begins(name, "tokenizer-") ? KYUTAI : OTHER;
    }
    static const char *const others[] = {".pt", ".pth", ".bin", ".ckpt", ".gguf"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (csm_path_ends_with(name, others[i]))
            return FOREIGN;
    return NEVER;
}

/* Whether a file is a shard of a set that was opened by another name. */
static bool is_part_of(const struct csm_tensor_set *set, const char *name)
{
    for (size_t i = 0; set != NULL && i < set->n; i++)
        if (strcmp(set->tensors[i].file, name) == 0)
            return true;
    return false;
}

/* A file that opened and holds nothing of a CSM: said if nothing else is found. */
struct stranger {
    char text[600]; /* "" before there is one */
};

static void remember(struct stranger *stranger, const struct csm_tensor_set *set)
{
    if (stranger->text[0] == '\0' && set->n > 0)
        snprintf(stranger->text, sizeof stranger->text,
                 "%.200s has no tensor by the name of a CSM's; its first of %zu is %.200s", set->name,
                 set->n, set->tensors[0].tensor.name);
}

/* Take a set for what it is better at than what was found before; close it if
 * for nothing. */
static void consider(struct csm_checkpoint *checkpoint, struct csm_tensor_set *set,
                     struct stranger *stranger)
{
    struct csm_place language, codec;
    csm_layout_recognise(set, &language, &codec);
    const enum csm_layout had = checkpoint->language.layout;
    bool is_used = false;
    if (language.layout != CSM_LAYOUT_NONE &&
        (had == CSM_LAYOUT_NONE ||
         (had != CSM_LAYOUT_HF && language.layout == CSM_LAYOUT_HF))) {
        if (checkpoint->sets[0] != NULL && checkpoint->codec.set != checkpoint->sets[0])
            csm_tensor_set_free(checkpoint->sets[0]);
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
    if (!is_used) {
        if (language.layout == CSM_LAYOUT_NONE && codec.layout == CSM_LAYOUT_NONE)
            remember(stranger, set);
        csm_tensor_set_free(set);
    }
}

/* The file that config.json names, as transformers reads it; *name NULL: none. */
static csm_status said_file(const struct csm_checkpoint *checkpoint, const char **name,
                            csm_error *err)
{
    const json_t *said = json_object_get(checkpoint->root, "transformers_weights");
    *name = json_string_value(said);
    if (said == NULL || json_is_null(said))
        return CSM_OK;
    if (*name == NULL || strchr(*name, '/') != NULL ||
        !(csm_path_ends_with(*name, ".safetensors") ||
          csm_path_ends_with(*name, ".safetensors.index.json")))
        return csm_fail(err, CSM_BAD_FORMAT,
                        "%s/config.json: transformers_weights: expected *.safetensors or "
                        "*.safetensors.index.json of this directory",
                        checkpoint->directory);
    if (!csm_folder_has(&checkpoint->folder, *name))
        return csm_fail(err, CSM_BAD_FILE,
                        "%s/%s: missing, expected by config.json (transformers_weights)",
                        checkpoint->directory, *name);
    return CSM_OK;
}

/* Whether a file holds low-rank pairs: a fine-tuning, which whoever put it there wants to hear. */
static bool is_adapter(const struct csm_folder *folder, const char *name)
{
    csm_tensors *file = NULL;
    bool is_one = false;
    if (!csm_path_ends_with(name, ".safetensors") ||
        csm_folder_tensors(folder, name, &file, NULL) != CSM_OK)
        return false;
    for (size_t i = 0; !is_one && i < csm_tensors_count(file); i++)
        is_one = csm_name_is_low_rank(csm_tensors_at(file, i)->name);
    csm_tensors_close(file);
    return is_one;
}

/* Whether nothing but the order of their names chose the model before this file: both have names
 * that nobody knows, and the file is a model, too. */
static bool is_as_good(const struct csm_checkpoint *checkpoint, const char *name)
{
    const struct csm_tensor_set *used = checkpoint->language.set;
    struct csm_tensor_set *set = NULL;
    struct csm_place language, codec;
    if (checkpoint->language.layout == CSM_LAYOUT_NONE || rank_of(used->name, NULL) != OTHER ||
        rank_of(name, NULL) != OTHER ||
        csm_tensor_files_open(&checkpoint->folder, name, &set, NULL) != CSM_OK)
        return false;
    csm_layout_recognise(set, &language, &codec);
    csm_tensor_set_free(set);
    return language.layout != CSM_LAYOUT_NONE;
}

/* Adapters that nothing applies: what applies them is their adapter_config.json. */
static csm_status note_adapter(struct csm_checkpoint *checkpoint, const char *name, csm_error *err)
{
    return csm_notes_add(&checkpoint->notes, true, err,
                         "%s is not used: an adapter (LoRA) without its adapter_config.json, which "
                         "tells its scale",
                         name);
}

/* Files that were not looked into, or of no use: one note for all. */
static csm_status note_unused(struct csm_checkpoint *checkpoint,
                              const struct csm_listing *listing, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = 0; i < listing->n && st == CSM_OK; i++) {
        const char *name = listing->names[i];
        const enum rank rank = rank_of(name, NULL);
        bool is_used = rank == NEVER || is_part_of(checkpoint->sets[0], name) ||
                       is_part_of(checkpoint->sets[1], name);
        for (size_t s = 0; s < 2; s++)
            if (checkpoint->sets[s] != NULL && strcmp(checkpoint->sets[s]->name, name) == 0)
                is_used = true;
        const bool is_named = rank == NEVER && begins(name, "adapter");
        if ((is_named && csm_folder_has(&checkpoint->folder, "adapter_config.json")) ||
            (is_used && !is_named))
            continue;
        if (is_adapter(&checkpoint->folder, name))
            st = note_adapter(checkpoint, name, err);
        else if (!is_used && is_as_good(checkpoint, name))
            st = csm_notes_add(&checkpoint->notes, true, err,
                               "%s is a model, too, and not used: %s comes first by its name; call the "
                               "right one model.safetensors",
                               name, checkpoint->language.set->name);
        else if (!is_used)
            st = csm_notes_add(&checkpoint->notes, false, err,
                               "%s is not used: the model is %s", name,
                               checkpoint->sets[0] != NULL ? checkpoint->sets[0]->name
                                                           : checkpoint->codec.set->name);
    }
    for (size_t s = 0; s < 2 && st == CSM_OK; s++) {
        const struct csm_set_doubled *doubled =
            checkpoint->sets[s] != NULL ? &checkpoint->sets[s]->doubled : NULL;
        if (doubled != NULL && doubled->n > 0)
            st = csm_notes_add(&checkpoint->notes, true, err,
                               "%s: two shards hold different numbers for %zu of its tensors: that "
                               "of the index is used, as for %s that of %s, not %s",
                               checkpoint->sets[s]->name, doubled->n, doubled->name, doubled->used,
                               doubled->other);
    }
    for (size_t s = 0; s < 2 && st == CSM_OK; s++)
        if (checkpoint->sets[s] != NULL && checkpoint->sets[s]->wrapper != NULL)
            st = csm_notes_add(&checkpoint->notes, true, err,
                               "%s: what a wrapper put before names is taken off: %s",
                               checkpoint->sets[s]->name, checkpoint->sets[s]->wrapper);
    return st;
}

/* Whether a directory looks like one of a model or an adapter. */
static bool looks_like_one(const char *directory)
{
    static const char *const names[] = {"config.json", "adapter_config.json", "model.safetensors",
                                        "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (csm_path_has(directory, names[i]))
            return true;
    return false;
}

/* The last of the directories in `directory` that looks like a model, to be freed: checkpoints
 * of a training (checkpoint-100), a hub's snapshots, and the root above these. NULL: none. */
static char *model_within(const char *directory, int depth)
{
    struct csm_listing listing;
    char *found = NULL;
    if (csm_listing_read(directory, &listing, NULL) != CSM_OK)
        return NULL;
    for (size_t i = 0; i < listing.n; i++) {
        if (listing.names[i][0] == '.')
            continue;
        char *path = csm_path_join(directory, listing.names[i]);
        char *within = NULL;
        if (path != NULL && looks_like_one(path)) {
            within = path;
            path = NULL;
        } else if (path != NULL && depth > 1 && strcmp(listing.names[i], "snapshots") == 0) {
            within = model_within(path, depth - 1);
        }
        free(path);
        if (within != NULL) {
            free(found);
            found = within;
        }
    }
    csm_listing_free(&listing);
    return found;
}

/* What trainers that divide a model among devices leave, by a name in the directory (of which an
 * end may differ), and what makes a model of it. */
static const struct divided {
    const char *begin, *end, *what;
} divided[] = {
    {"zero_to_fp32", ".py",
     "a checkpoint of DeepSpeed's ZeRO: python zero_to_fp32.py . OUT --safe_serialization there, with "
     "the model's JSON files in OUT, makes a model of it"},
    {"", ".distcp",
     "a divided checkpoint of PyTorch's (FSDP): accelerate merge-weights DIR OUT, with the model's JSON "
     "files in OUT, makes a model of it"},
    {"pytorch_model_fsdp", "",
     "a divided checkpoint of PyTorch's (FSDP): accelerate merge-weights DIR OUT of the directory "
     "pytorch_model_fsdp_0 in it, with the model's JSON files in OUT, makes a model of it"},
};

static const char *divided_in(const char *directory)
{
    struct csm_listing listing;
    const char *what = NULL;
    if (csm_listing_read(directory, &listing, NULL) != CSM_OK)
        return NULL;
    for (size_t d = 0; what == NULL && d < sizeof divided / sizeof *divided; d++)
        for (size_t i = 0; what == NULL && i < listing.n; i++)
            if (begins(listing.names[i], divided[d].begin) &&
                csm_path_ends_with(listing.names[i], divided[d].end))
                what = divided[d].what;
    csm_listing_free(&listing);
    return what;
}

/* Nothing was found that the caller needs. */
static csm_status refuse_missing(const struct csm_checkpoint *checkpoint, bool lacks_language,
                                 const struct stranger *stranger, csm_error *err)
{
    const char *directory = checkpoint->directory;
    const bool is_on_disk = checkpoint->folder.files == NULL;
    char *within = is_on_disk && checkpoint->language.layout == CSM_LAYOUT_NONE
                       ? model_within(directory, 2)
                       : NULL;
    if (within != NULL) {
        const csm_status status =
            csm_fail(err, CSM_BAD_FILE,
                     "%s: no weights of a CSM, expected a directory with them: %s is one", directory,
                     within);
        free(within);
        return status;
    }
    if (is_on_disk && csm_path_has(directory, "snapshots"))
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: the root of a repository in the hub's cache, expected one of its "
                        "snapshots: %s/snapshots/...",
                        directory, directory);
    if (lacks_language && stranger->text[0] != '\0')
        return csm_fail(err, CSM_BAD_FORMAT, "%s: no weights of a CSM: %s (docs/MODELS.md has the names)",
                        directory, stranger->text);
    const char *what = is_on_disk && lacks_language ? divided_in(directory) : NULL;
    if (what != NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: no weights of a CSM, expected model.safetensors: %s",
                        directory, what);
    if (lacks_language)
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: no weights of a CSM, expected model.safetensors, or shards with "
                        "their *.safetensors.index.json",
                        directory);
    return csm_fail(err, CSM_BAD_FILE,
                    "%s: no codec, expected codec_model.* in the weights, mimi.safetensors or "
                    "kyutai's tokenizer-e351c8d8-checkpoint125.safetensors: %s completes it",
                    directory, csm_hub_part_command(CSM_HUB_MIMI));
}

csm_status csm_checkpoint_search(struct csm_checkpoint *checkpoint, int needs, csm_error *err)
{
    const bool needs_language = (needs & CSM_NEEDS_LANGUAGE) != 0;
    const char *said = NULL;
    csm_status status = needs_language ? said_file(checkpoint, &said, err) : CSM_OK;
    struct csm_listing listing = {0};
    struct stranger stranger = {""};
    if (status == CSM_OK && checkpoint->gguf != NULL) {
        consider(checkpoint, checkpoint->gguf, &stranger);
        checkpoint->gguf = NULL;
        checkpoint->codec.has_sizes_by_shape = true;
    } else if (status == CSM_OK) {
        status = csm_folder_list(&checkpoint->folder, &listing, err);
    }
    if (status != CSM_OK)
        return status;

    /* The first failure of a file that was only tried: said if nothing is found. */
    csm_status tried = CSM_OK;
    csm_error tried_error;
    bool is_complete = false;
    for (int rank = 0; rank < N_RANKS && status == CSM_OK && !is_complete; rank++)
        for (size_t i = 0; i < listing.n && status == CSM_OK && !is_complete; i++) {
            const char *name = listing.names[i];
            if (rank_of(name, said) != (enum rank)rank || is_part_of(checkpoint->sets[0], name) ||
                is_part_of(checkpoint->sets[1], name))
                continue;
            struct csm_tensor_set *set;
            csm_error failure;
            csm_status opened =
                csm_tensor_files_open(&checkpoint->folder, name, &set, &failure);
            const bool is_found = checkpoint->language.layout != CSM_LAYOUT_NONE;
            if (opened == CSM_OK) {
                consider(checkpoint, set, &stranger);
            } else if ((rank <= REQUIRED && !is_found) || opened == CSM_NO_MEMORY) {
                status = csm_fail(err, opened, "%s", failure.text);
            } else if (tried == CSM_OK) {
                tried = opened;
                tried_error = failure;
            }
            is_complete = (checkpoint->language.layout == CSM_LAYOUT_HF || !needs_language) &&
                          checkpoint->codec.layout != CSM_LAYOUT_NONE;
        }

    const bool has_language = checkpoint->language.layout != CSM_LAYOUT_NONE;
    if (status == CSM_OK && checkpoint->codec.layout == CSM_LAYOUT_NONE &&
        has_language == needs_language)
        status = csm_complete_codec(checkpoint, err);
    const bool has_codec = checkpoint->codec.layout != CSM_LAYOUT_NONE;
    const bool lacks_language = needs_language && !has_language;
    const bool lacks_codec = (needs & CSM_NEEDS_CODEC) != 0 && !has_codec;
    if (status == CSM_OK && (lacks_language || lacks_codec))
        status = tried != CSM_OK ? csm_fail(err, tried, "%s", tried_error.text)
                                 : refuse_missing(checkpoint, lacks_language, &stranger, err);
    if (status == CSM_OK && needs_language)
        status = note_unused(checkpoint, &listing, err);
    csm_listing_free(&listing);
    return status;
}
