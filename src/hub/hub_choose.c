/* SPDX-License-Identifier: Apache-2.0
 *
 * hub_choose.c - what a CSM reads of a repository; the order is that in which
 * checkpoint/ looks into a directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "files/json_file.h"
#include "files/path.h"
#include "hub/hub_tree.h"

const char *const csm_hub_settings_files[] = {
    "config.json",           "generation_config.json",  "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "voices.json",           "adapter_config.json",     NULL,
};

static bool is_at_root(const struct csm_hub_file *file)
{
    return strchr(file->path, '/') == NULL;
}

static bool is_codec(const char *name)
{
    return strcmp(name, "mimi.safetensors") == 0 ||
           (strncmp(name, "tokenizer-", 10) == 0 && csm_path_ends_with(name, ".safetensors"));
}

static bool want_named(const struct csm_hub_tree *tree, const char *name, bool *want)
{
    const struct csm_hub_file *file = csm_hub_tree_find(tree, name);
    if (file != NULL)
        want[file - tree->files] = true;
    return file != NULL;
}

/* Want every file of the root with that ending, codecs left aside; how many. */
static size_t want_ending(const struct csm_hub_tree *tree, const char *ending, bool *want)
{
    size_t n = 0;
    for (size_t i = 0; i < tree->n; i++)
        if (is_at_root(&tree->files[i]) && csm_path_ends_with(tree->files[i].path, ending) &&
            !is_codec(tree->files[i].path)) {
            want[i] = true;
            n++;
        }
    return n;
}

/* "a, b, c and 5 more" of the root's files with that ending; to be freed. */
static char *names_ending(const struct csm_hub_tree *tree, const char *ending)
{
    struct csm_builder b = {0};
    size_t n = 0;
    for (size_t i = 0; i < tree->n; i++)
        if (is_at_root(&tree->files[i]) && csm_path_ends_with(tree->files[i].path, ending) &&
            ++n <= 4) {
            csm_builder_add_text(&b, n > 1 ? ", " : "");
            csm_builder_add_text(&b, tree->files[i].path);
        }
    char more[32];
    snprintf(more, sizeof more, " and %zu more", n - 4);
    csm_builder_add_text(&b, n > 4 ? more : "");
    return csm_builder_take(&b);
}

static csm_status refuse_several(const struct csm_hub *hub, const struct csm_hub_tree *tree,
                                 csm_error *err)
{
    char *names = names_ending(tree, ".gguf");
    csm_status status = csm_fail(err, CSM_BAD_ARG,
                                 "%s: several GGUF files (%s), expected the one to take: "
                                 "csm download %s --file F",
                                 hub->repo, names != NULL ? names : "", hub->repo);
    free(names);
    return status;
}

static csm_status refuse_nothing(const struct csm_hub *hub, const struct csm_hub_tree *tree,
                                 csm_error *err)
{
    static const char *const pickles[] = {".pt", ".pth", ".bin", ".ckpt"};
    for (size_t p = 0; p < sizeof pickles / sizeof *pickles; p++)
        for (size_t i = 0; i < tree->n; i++)
            if (is_at_root(&tree->files[i]) && csm_path_ends_with(tree->files[i].path, pickles[p]))
                return csm_fail(err, CSM_BAD_FILE,
                                "%s: %s is a pickle, which can run code: expected weights in "
                                "safetensors or GGUF", hub->repo, tree->files[i].path);
    return csm_fail(err, CSM_BAD_FILE, "%s: no weights, expected *.safetensors or *.gguf",
                    hub->repo);
}

/* ---- what only a file can tell ------------------------------------------------ */

/* A JSON file of the snapshot; *root NULL when the snapshot has it not. */
static csm_status load(const char *snapshot, const char *name, json_t **root, csm_error *err)
{
    *root = NULL;
    if (!csm_path_has(snapshot, name))
        return CSM_OK;
    char *path = csm_path_join(snapshot, name);
    csm_status status = path != NULL ? csm_json_load(path, root, err)
                                     : csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    free(path);
    return status;
}

/* Mark the shards that an index names. */
static csm_status choose_shards(const struct csm_hub *hub, const char *snapshot,
                                const struct csm_hub_tree *tree, const char *index, bool *want,
                                csm_error *err)
{
    json_t *root;
    csm_status status = load(snapshot, index, &root, err);
    if (status != CSM_OK || root == NULL)
        return status;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: no weight_map, expected tensors and their "
                                               "files", hub->repo, index);
    const char *tensor;
    json_t *shard;
    json_object_foreach(map, tensor, shard) {
        const char *name = json_string_value(shard);
        name = name != NULL ? csm_path_without_dot(name) : NULL;
        if (status == CSM_OK && (name == NULL || !csm_path_ends_with(name, ".safetensors")))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: %s: %s in '%s', expected a *.safetensors",
                              hub->repo, index, tensor, name != NULL ? name : "?");
        if (status == CSM_OK && !want_named(tree, name, want))
            status = csm_fail(err, CSM_BAD_FILE, "%s: no file '%s', where %s has %s", hub->repo,
                              name, index, tensor);
    }
    json_decref(root);
    return status;
}

/* Mark the first index there is, and its shards; whether there is one. */
static bool choose_index(const struct csm_hub *hub, const char *snapshot,
                         const struct csm_hub_tree *tree, const char *ending, bool *want,
                         csm_status *status, csm_error *err)
{
    for (size_t i = 0; i < tree->n; i++)
        if (is_at_root(&tree->files[i]) && csm_path_ends_with(tree->files[i].path, ending)) {
            want[i] = true;
            *status = choose_shards(hub, snapshot, tree, tree->files[i].path, want, err);
            return true;
        }
    return false;
}

/* Mark the weights that config.json names, if it names any: `*is_said`. */
static csm_status choose_said(const struct csm_hub *hub, const char *snapshot,
                              const struct csm_hub_tree *tree, bool *want, bool *is_said,
                              csm_error *err)
{
    json_t *root;
    csm_status status = load(snapshot, "config.json", &root, err);
    const char *name = json_string_value(json_object_get(root, "transformers_weights"));
    *is_said = name != NULL;
    if (name != NULL && !csm_path_ends_with(name, ".safetensors") &&
        !csm_path_ends_with(name, ".safetensors.index.json"))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: config.json: transformers_weights '%s', "
                                               "expected a *.safetensors or its index",
                          hub->repo, name);
    else if (name != NULL && !want_named(tree, name, want))
        status = csm_fail(err, CSM_BAD_FILE, "%s: no file '%s', which config.json names",
                          hub->repo, name);
    else if (name != NULL && csm_path_ends_with(name, ".index.json"))
        status = choose_shards(hub, snapshot, tree, name, want, err);
    json_decref(root);
    return status;
}

/* Transformers' own index comes first: its layout is the one that is complete. */
static csm_status choose_weights(const struct csm_hub *hub, const char *snapshot,
                                 const struct csm_hub_tree *tree, bool has_codec, bool *want,
                                 csm_error *err)
{
    bool is_said;
    csm_status status = choose_said(hub, snapshot, tree, want, &is_said, err);
    if (status != CSM_OK || is_said ||
        choose_index(hub, snapshot, tree, "transformers.safetensors.index.json", want, &status,
                     err) ||
        want_named(tree, "model.safetensors", want) ||
        choose_index(hub, snapshot, tree, "model.safetensors.index.json", want, &status, err) ||
        choose_index(hub, snapshot, tree, ".safetensors.index.json", want, &status, err) ||
        want_named(tree, "ckpt.safetensors", want) ||
        want_ending(tree, ".safetensors", want) > 0)
        return status;
    const size_t n_gguf = want_ending(tree, ".gguf", want);
    if (n_gguf > 1)
        return refuse_several(hub, tree, err);
    return n_gguf > 0 || has_codec ? CSM_OK : refuse_nothing(hub, tree, err);
}

csm_status csm_hub_choose(const struct csm_hub *hub, const char *snapshot,
                          const struct csm_hub_tree *tree, bool *want, csm_error *err)
{
    for (size_t i = 0; i < hub->options.n_files; i++)
        if (!want_named(tree, hub->options.files[i], want))
            return csm_fail(err, CSM_BAD_FILE, "%s: no file %s at revision %s", hub->repo,
                            hub->options.files[i], hub->revision);
    if (hub->options.n_files > 0)
        return CSM_OK;

    for (size_t i = 0; csm_hub_settings_files[i] != NULL; i++)
        (void)want_named(tree, csm_hub_settings_files[i], want);
    bool has_codec = false;
    for (size_t i = 0; i < tree->n; i++)
        if (is_codec(tree->files[i].path))
            has_codec = want[i] = true;
    if (csm_hub_tree_find(tree, "config.json") != NULL && !csm_path_has(snapshot, "config.json"))
        return CSM_OK; /* it may name the weights */
    return choose_weights(hub, snapshot, tree, has_codec, want, err);
}
