/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_gguf.c - a GGUF file in a directory's place: its tensors wait to be searched,
 * its configuration is read already, its tokenizer lies in memory. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/gguf_model.h"
#include "files/path.h"

/* Where a tokenizer.json is looked for that the file does not have: beside it. */
static char *beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *joined = directory != NULL ? csm_path_join(directory, "tokenizer.json") : NULL;
    free(directory);
    return joined;
}

csm_status csm_checkpoint_take_gguf(struct csm_checkpoint *checkpoint, const char *path,
                                    int needs, csm_error *err)
{
    struct csm_gguf_model model;
    csm_status st =
        csm_gguf_model_open(path, (needs & CSM_NEEDS_LANGUAGE) != 0, &model, err);
    if (st != CSM_OK)
        return st;
    checkpoint->is_gguf = true;
    checkpoint->directory = strdup(path);
    checkpoint->tokenizer = model.tokenizer != NULL ? strdup(path) : beside(path);
    checkpoint->gguf = model.set;
    checkpoint->root = model.config;
    checkpoint->own_tokenizer =
        (csm_memory_file){"tokenizer.json", model.tokenizer, model.n_tokenizer};
    checkpoint->folder.files = &checkpoint->own_tokenizer;
    checkpoint->folder.n_files = model.tokenizer != NULL ? 1 : 0;
    st = checkpoint->directory == NULL || checkpoint->tokenizer == NULL
             ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path)
             : csm_notes_add(&checkpoint->notes, false, err,
                             "GGUF: %s; what is quantized is held as affine codes with float32 "
                             "scales (the codec's as float32), which loses nothing",
                             model.types);
    free(model.types);
    return st;
}

csm_status csm_checkpoint_tell_codec(struct csm_checkpoint *checkpoint, csm_error *err)
{
    const struct csm_codec_config *c = &checkpoint->config.codec;
    json_t *codec = json_object_get(checkpoint->root, "codec_config");
    if (checkpoint->codec.layout == CSM_LAYOUT_NONE)
        return CSM_OK;
    const struct {
        const char *key;
        size_t value;
    } sizes[] = {{"num_filters", c->n_filters},
                 {"kernel_size", c->kernel},
                 {"residual_kernel_size", c->residual_kernel},
                 {"last_kernel_size", c->last_kernel},
                 {"compress", c->compress},
                 {"upsample_groups", c->upsample_groups},
                 {"num_quantizers", c->n_codebooks},
                 {"codebook_size", c->n_entries},
                 {"codebook_dim", c->dim},
                 {"vector_quantization_hidden_dimension", c->dim},
                 {"intermediate_size", c->transformer.hidden},
                 {"num_hidden_layers", c->transformer.n_layers},
                 {"hidden_size", c->width}};
    json_t *ratios = json_array();
    int failed = 0;
    for (size_t i = 0; i < c->n_ratios; i++)
        failed |= json_array_append_new(ratios, json_integer((json_int_t)c->ratios[i]));
    failed |= json_object_set_new(codec, "upsampling_ratios", ratios);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        failed |= json_object_set_new(codec, sizes[i].key,
                                      json_integer((json_int_t)sizes[i].value));
    return failed == 0 ? CSM_OK
                       : csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", checkpoint->directory);
}
