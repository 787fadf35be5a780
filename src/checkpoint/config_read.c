/* SPDX-License-Identifier: Apache-2.0
 *
 * config_read.c - the configuration files of a directory. config_language.c and
 * config_codec.c read the two halves of config.json, config_generation.c
 * generation_config.json. */
#include "checkpoint/config_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/json_file.h"
#include "files/path.h"

/* The object in the folder's file; NULL where there is no such file. */
static csm_status load_if_there(const struct csm_folder *folder, const char *name, json_t **out,
                                csm_error *err)
{
    *out = NULL;
    return csm_folder_has(folder, name) ? csm_folder_json(folder, name, out, err) : CSM_OK;
}

/* Where there is no generation_config.json, transformers takes the settings that versions before
 * 4.26 kept in config.json, for code 0 alone. NULL: there are none. */
static json_t *old_settings(const json_t *root)
{
    static const char *const keys[] = {"do_sample", "temperature", "top_k", "top_p", "min_p",
                                       "typical_p", "max_new_tokens"};
    bool is_there = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(root, keys[i]);
        is_there = is_there || (value != NULL && !json_is_null(value));
    }
    json_t *settings = is_there ? json_object() : NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
        if (settings != NULL && strncmp(key, "depth_decoder_", 14) != 0)
            json_object_set(settings, key, value);
    return settings;
}

/* The config whose flavors name no sizes may stand beside one that has them. */
static csm_status load_merged(const struct csm_folder *folder, const struct csm_place *language,
                              json_t **root, csm_error *err)
{
    if (language->layout == CSM_LAYOUT_NONE || json_object_get(*root, "hidden_size") != NULL)
        return CSM_OK;
    json_t *merged;
    csm_status status = load_if_there(folder, "config.merged.json", &merged, err);
    if (status == CSM_OK && merged != NULL) {
        json_decref(*root);
        *root = merged;
    }
    return status;
}

csm_status csm_config_read(const struct csm_folder *folder, const struct csm_place *language,
                           const struct csm_place *codec, bool has_file, json_t **root,
                           struct csm_config *config, csm_error *err)
{
    memset(config, 0, sizeof *config);
    json_t *generation = NULL, *kyutai = NULL;
    csm_status status = CSM_OK;
    if (!has_file && language->layout == CSM_LAYOUT_HF)
        status = csm_fail(err, CSM_BAD_FILE, "%s/config.json: missing", folder->path);
    if (status == CSM_OK)
        status = load_merged(folder, language, root, err);
    if (status == CSM_OK)
        status = load_if_there(folder, "mimi_config.json", &kyutai, err);
    if (status == CSM_OK)
        status = load_if_there(folder, "generation_config.json", &generation, err);

    struct csm_json_reader reader = {"config.json", status, err};
    if (reader.status == CSM_OK && language->layout != CSM_LAYOUT_NONE)
        csm_config_language(&reader, *root, language, config);
    /* Of a codec that is not there: how long its frames would be. */
    config->codec.sample_rate_hz = 24000;
    config->codec.frame_samples = 1920;
    if (reader.status == CSM_OK && codec->layout != CSM_LAYOUT_NONE)
        csm_config_codec(&reader, *root, kyutai, codec, &config->codec);
    const bool is_missing = generation == NULL;
    if (is_missing && language->layout == CSM_LAYOUT_HF)
        generation = old_settings(*root);
    if (!is_missing || generation == NULL)
        reader.path = "generation_config.json";
    if (reader.status == CSM_OK)
        csm_config_generation(&reader, generation, config->n_codebooks, &config->generation);

    json_decref(generation);
    json_decref(kyutai);
    return reader.status;
}
