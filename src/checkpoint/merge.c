/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/merge.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/model_writer.h"
#include "files/path.h"

/* Small files of a model, beside config.json. */
static const char *const copied[] = {"generation_config.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "preprocessor_config.json",
                                     "processor_config.json",
                                     "chat_template.jinja",
                                     "chat_template.json",
                                     "mimi_config.json",
                                     "voices.json"};

/* The codec's own file keeps its name; shards become one file. */
static const char *file_of(const struct csm_tensor_set *set, bool is_language)
{
    if (is_language)
        return "model.safetensors";
    return csm_path_ends_with(set->name, ".safetensors") && strcmp(set->name, "model.safetensors") != 0
               ? set->name
               : "mimi.safetensors";
}

static csm_status write_sets(const csm_checkpoint *checkpoint, const char *directory,
                             csm_error *err)
{
    const char *format = checkpoint->language.layout == CSM_LAYOUT_MLX ? "mlx" : "pt";
    csm_status st = CSM_OK;
    for (size_t s = 0; st == CSM_OK && s < 2; s++) {
        const struct csm_tensor_set *set = checkpoint->sets[s];
        struct csm_tensor_list list;
        if (set == NULL)
            continue;
        st = csm_adapted_tensors(checkpoint, set, "", &list, err);
        if (st != CSM_OK)
            break;
        st = csm_write_tensors(directory, file_of(set, set == checkpoint->language.set),
                               list.tensors, list.n, format, err);
        csm_tensor_list_free(&list);
    }
    return st;
}

static csm_status write_config(const csm_checkpoint *checkpoint, const char *directory,
                               csm_error *err)
{
    json_t *root = json_deep_copy(checkpoint->root);
    if (root == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "config.json: out of memory");
    json_object_del(root, "transformers_weights"); /* the file is model.safetensors now */
    if (checkpoint->language.layout == CSM_LAYOUT_HF && !checkpoint->config.has_tied_tables)
        json_object_set_new(root, "tie_codebooks_embeddings", json_false());
    csm_status st = csm_write_json(directory, "config.json", root, err);
    json_decref(root);
    return st;
}

/* Remove a directory of files; what is left of an earlier run, or of one that failed. */
static void remove_directory(const char *directory)
{
    struct csm_listing listing;
    csm_error ignored;
    if (csm_listing_read(directory, &listing, &ignored) != CSM_OK)
        return;
    for (size_t i = 0; i < listing.n; i++) {
        char *path = csm_path_join(directory, listing.names[i]);
        if (path != NULL)
            (void)unlink(path);
        free(path);
    }
    csm_listing_free(&listing);
    (void)rmdir(directory);
}

static csm_status check_out_dir(const char *out_dir, csm_error *err)
{
    struct stat status;
    struct csm_listing listing;
    if (lstat(out_dir, &status) != 0)
        return CSM_OK;
    csm_error ignored;
    if (!S_ISDIR(status.st_mode) || csm_listing_read(out_dir, &listing, &ignored) != CSM_OK)
        return csm_fail(err, CSM_BAD_ARG, "merge: %s is there, expected a new directory", out_dir);
    size_t n = 0;
    for (size_t i = 0; i < listing.n; i++)
        n += strcmp(listing.names[i], ".") != 0 && strcmp(listing.names[i], "..") != 0;
    csm_listing_free(&listing);
    return n == 0 ? CSM_OK
                  : csm_fail(err, CSM_BAD_ARG,
                             "merge: %s holds %s, expected a new or empty directory", out_dir,
                             csm_path_has(out_dir, "config.json") ? "a model" : "files");
}

static csm_status write_model(const csm_checkpoint *checkpoint, const char *out_dir,
                              csm_error *err)
{
    const size_t size = strlen(out_dir) + sizeof ".part";
    char *part = malloc(size);
    if (part == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "merge: out of memory");
    size_t n = strlen(out_dir);
    while (n > 1 && out_dir[n - 1] == '/')
        n--;
    snprintf(part, size, "%.*s.part", (int)n, out_dir);
    remove_directory(part);
    csm_status st = CSM_OK;
    if (mkdir(part, 0777) != 0)
        st = csm_fail(err, CSM_BAD_FILE, "%s: %s", part, strerror(errno));
    if (st == CSM_OK)
        st = write_sets(checkpoint, part, err);
    for (size_t i = 0; st == CSM_OK && i < sizeof copied / sizeof *copied; i++)
        st = csm_copy_if_there(checkpoint->directory, part, copied[i], err);
    if (st == CSM_OK && checkpoint->is_gguf)
        st = csm_copy_tokenizer(checkpoint, part, err);
    if (st == CSM_OK)
        st = write_config(checkpoint, part, err);
    if (st == CSM_OK && rename(part, out_dir) != 0)
        st = csm_fail(err, CSM_BAD_FILE, "%s: %s", out_dir, strerror(errno));
    if (st != CSM_OK)
        remove_directory(part);
    free(part);
    return st;
}

static csm_status merge(const char *in_dir, const csm_adapter *adapters, size_t n,
                        const char *out_dir, csm_error *err)
{
    csm_checkpoint *checkpoint = NULL;
    csm_status st = check_out_dir(out_dir, err);
    if (st == CSM_OK)
        st = csm_checkpoint_open(in_dir, CSM_NEEDS_LANGUAGE, &checkpoint, err);
    if (st != CSM_OK)
        return st;
    st = csm_checkpoint_adapt(checkpoint, adapters, n, 0, CSM_ADAPT_WHOLE, err);
    if (st == CSM_OK && checkpoint->adapters.n_sets == 0)
        st = csm_fail(err, CSM_BAD_ARG, "merge: no adapter, expected one, or one in %s", in_dir);
    if (st == CSM_OK && checkpoint->has_one_table && checkpoint->language.layout != CSM_LAYOUT_HF)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: the adapter makes two audio tables of one, and this layout has one",
                      in_dir);
    if (st == CSM_OK)
        st = write_model(checkpoint, out_dir, err);
    csm_checkpoint_close(checkpoint);
    return st;
}

csm_status csm_merge(const char *in_dir, const csm_adapter *adapters, size_t n,
                     const char *out_dir, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = merge(in_dir, adapters, n, out_dir, err);
    csm_arithmetic_end(&host);
    return st;
}
