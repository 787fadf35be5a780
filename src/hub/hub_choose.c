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
    "config.json", "generation_config.json", "tokenizer.json", "voices.json",
    "adapter_config.json", NULL,
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

/* Transformers' own before others: it is the layout that is complete. */
static const struct csm_hub_file *find_index(const struct csm_hub_tree *tree)
{
    const struct csm_hub_file *found =
        csm_hub_tree_find(tree, "transformers.safetensors.index.json");
    if (found == NULL)
        found = csm_hub_tree_find(tree, "model.safetensors.index.json");
    for (size_t i = 0; found == NULL && i < tree->n; i++)
        if (is_at_root(&tree->files[i]) &&
            csm_path_ends_with(tree->files[i].path, ".safetensors.index.json"))
            found = &tree->files[i];
    return found;
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

csm_status csm_hub_choose(const struct csm_hub *hub, const struct csm_hub_tree *tree, bool *want,
                          const struct csm_hub_file **index, csm_error *err)
{
    *index = NULL;
    for (size_t i = 0; i < hub->options.n_files; i++)
        if (!want_named(tree, hub->options.files[i], want))
            return csm_fail(err, CSM_BAD_FILE, "%s: no file %s at revision %s", hub->repo,
                            hub->options.files[i], hub->revision);
    if (hub->options.n_files > 0)
        return CSM_OK;

    for (size_t i = 0; csm_hub_settings_files[i] != NULL; i++)
        (void)want_named(tree, csm_hub_settings_files[i], want);
    size_t n_codecs = 0;
    for (size_t i = 0; i < tree->n; i++)
        if (is_codec(tree->files[i].path)) {
            want[i] = true;
            n_codecs++;
        }
    *index = find_index(tree);
    if (*index != NULL) {
        want[*index - tree->files] = true;
        return CSM_OK;
    }
    if (want_named(tree, "model.safetensors", want) ||
        want_named(tree, "ckpt.safetensors", want) ||
        want_ending(tree, ".safetensors", want) > 0)
        return CSM_OK;
    const size_t n_gguf = want_ending(tree, ".gguf", want);
    if (n_gguf > 1)
        return refuse_several(hub, tree, err);
    return n_gguf + n_codecs > 0 ? CSM_OK : refuse_nothing(hub, tree, err);
}

csm_status csm_hub_choose_shards(const struct csm_hub *hub, const struct csm_hub_tree *tree,
                                 const char *path, bool *want, csm_error *err)
{
    json_t *root;
    csm_status status = csm_json_load(path, &root, err);
    if (status != CSM_OK)
        return status;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: no weight_map, expected tensors and their "
                                               "files", path);
    const char *tensor;
    json_t *shard;
    json_object_foreach(map, tensor, shard) {
        const char *name = json_string_value(shard);
        if (status == CSM_OK && name != NULL && !csm_path_ends_with(name, ".safetensors"))
            status = csm_fail(err, CSM_BAD_FORMAT, "%s: %s in '%s', expected a *.safetensors", path,
                              tensor, name);
        if (status == CSM_OK && (name == NULL || !want_named(tree, name, want)))
            status = csm_fail(err, CSM_BAD_FILE, "%s: no file '%s', where %s has %s", hub->repo,
                              name != NULL ? name : "?", path, tensor);
    }
    json_decref(root);
    return status;
}
