/* SPDX-License-Identifier: Apache-2.0
 *
 * voices.c - voices by name. */
#include <csm/voices.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/error.h"
#include "base/place.h"
#include "conversation/session.h"
#include "conversation/speakers.h"
#include "files/json_file.h"
#include "files/path.h"

static const char suffix[] = ".safetensors";

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strspn(name, letters);
    return n > 0 && n <= 64 && name[n] == '\0' && name[0] != '-';
}

static csm_status check_name(const char *name, csm_error *err)
{
    if (is_name(name))
        return CSM_OK;
    return csm_fail(err, CSM_BAD_ARG,
                    "voice '%s': expected a name of 1 to 64 letters, digits, - (not first) and _", name);
}

/* ---- speakers of the model ----------------------------------------------- */

csm_status csm_speakers_list(const csm_model *model, csm_voice **voices, size_t *n, csm_error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/voices.json", csm_model_describe(model)->path);
    *voices = NULL;
    *n = 0;
    if (access(path, F_OK) != 0)
        return CSM_OK;
    json_t *root;
    csm_status status = csm_json_load(path, &root, err);
    if (status != CSM_OK)
        return status;
    const json_t *list = json_object_get(root, "voices");
    csm_voice *found = calloc(json_array_size(list) + 1, sizeof *found);
    if (found == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "%s: %zu voices", path, json_array_size(list));
    for (size_t i = 0; status == CSM_OK && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        const json_t *speaker = json_object_get(entry, "speaker");
        json_int_t number = json_is_integer(speaker) ? json_integer_value(speaker) : -1;
        if (name == NULL || !is_name(name) || number < 0 || number > CSM_MAX_SPEAKER) {
            status = csm_fail(err, CSM_BAD_FORMAT,
                              "%s: voice %zu: expected a name and a speaker of 0..%d", path, i,
                              CSM_MAX_SPEAKER);
            break;
        }
        snprintf(found[i].name, sizeof found[i].name, "%s", name);
        found[i].speaker = (int)number;
    }
    if (status == CSM_OK && !json_is_array(list))
        status = csm_fail(err, CSM_BAD_FORMAT, "%s: expected {\"voices\": [...]}", path);
    if (status == CSM_OK) {
        *voices = found;
        *n = json_array_size(list);
    } else {
        free(found);
    }
    json_decref(root);
    return status;
}

/* ---- recordings ---------------------------------------------------------- */

csm_status csm_voices_dir(char *dir, size_t size, csm_error *err)
{
    const char *own = csm_place_from_environment("CSM_VOICES");
    const char *data = csm_place_from_environment("XDG_DATA_HOME");
    const char *home = csm_place_from_environment("HOME");
    int n = -1;
    if (own != NULL)
        n = snprintf(dir, size, "%s", own);
    else if (data != NULL)
        n = snprintf(dir, size, "%s/csm/voices", data);
    else if (home != NULL)
        n = snprintf(dir, size, "%s/.local/share/csm/voices", home);
    if (n < 0)
        return csm_fail(err, CSM_BAD_FILE, "voices: no place for them: set CSM_VOICES or HOME");
    if ((size_t)n + sizeof suffix + 66 > size)
        return csm_fail(err, CSM_BAD_FILE, "voices: the path of their directory is too long");
    return CSM_OK;
}

static csm_status recording_path(const char *name, char *path, size_t size, csm_error *err)
{
    csm_status status = check_name(name, err);
    if (status == CSM_OK)
        status = csm_voices_dir(path, size, err);
    if (status != CSM_OK)
        return status;
    size_t n = strlen(path);
    snprintf(path + n, size - n, "/%s%s", name, suffix);
    return CSM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const csm_voice *)a)->name, ((const csm_voice *)b)->name);
}

/* Append the recordings of the directory to the n voices there are. */
static csm_status read_recordings(csm_voice **voices, size_t *n, csm_error *err)
{
    char path[4096];
    csm_status status = csm_voices_dir(path, sizeof path, err);
    if (status != CSM_OK)
        return CSM_OK; /* no place: no recordings */
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? CSM_OK
                               : csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    const size_t first = *n;
    for (const struct dirent *entry; status == CSM_OK && (entry = readdir(dir)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length <= sizeof suffix - 1 ||
            strcmp(entry->d_name + length - (sizeof suffix - 1), suffix) != 0)
            continue;
        csm_voice voice = {.speaker = -1};
        length -= sizeof suffix - 1;
        if (length >= sizeof voice.name)
            continue;
        memcpy(voice.name, entry->d_name, length);
        if (!is_name(voice.name))
            continue;
        status = recording_path(voice.name, voice.path, sizeof voice.path, err);
        csm_voice *grown = realloc(*voices, (*n + 1) * sizeof *grown);
        if (status == CSM_OK && grown == NULL)
            status = csm_fail(err, CSM_NO_MEMORY, "voices: %zu of them", *n + 1);
        if (grown != NULL)
            *voices = grown;
        if (status == CSM_OK)
            (*voices)[(*n)++] = voice;
    }
    closedir(dir);
    if (*n > first)
        qsort(*voices + first, *n - first, sizeof **voices, by_name);
    return status;
}

csm_status csm_voices_list(const csm_model *model, csm_voice **voices, size_t *n, csm_error *err)
{
    csm_voice *found;
    size_t n_found;
    csm_status status = csm_speakers_list(model, &found, &n_found, err);
    if (status == CSM_OK)
        status = read_recordings(&found, &n_found, err);
    if (status != CSM_OK) {
        free(found);
        return status;
    }
    *voices = found;
    *n = n_found;
    return CSM_OK;
}

csm_status csm_voice_find(const csm_model *model, const char *name, csm_voice *out, csm_error *err)
{
    csm_status status = check_name(name, err);
    csm_voice *voices = NULL;
    size_t n = 0;
    if (status == CSM_OK)
        status = csm_voices_list(model, &voices, &n, err);
    if (status != CSM_OK)
        return status;
    size_t i = 0;
    while (i < n && strcmp(voices[i].name, name) != 0)
        i++;
    if (i < n)
        *out = voices[i];
    else
        status = csm_fail(err, CSM_BAD_ARG, "voice '%s': there is none; see `csm voice list`", name);
    free(voices);
    return status;
}

/* A speaker of the model would be found in the recording's place. */
static csm_status check_free(const csm_model *model, const char *name, csm_error *err)
{
    csm_voice *speakers;
    size_t n;
    csm_status status = csm_speakers_list(model, &speakers, &n, err);
    if (status != CSM_OK)
        return status;
    for (size_t i = 0; status == CSM_OK && i < n; i++)
        if (strcmp(speakers[i].name, name) == 0)
            status = csm_fail(err, CSM_BAD_ARG,
                              "voice '%s': a speaker of the model, expected another name", name);
    free(speakers);
    return status;
}

/* A voice leaves room for what is said with it. */
static csm_status check_length(const csm_session *session, const char *name, csm_error *err)
{
    const size_t room = csm_model_describe(session->model)->max_positions;
    const size_t n = session->turns[0].n_positions;
    if (n <= room / 2)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_ARG,
                    "voice '%s': the recording takes %zu positions, expected at most half of the "
                    "model's %zu: some seconds are enough",
                    name, n, room);
}

csm_status csm_voice_path(const csm_model *model, const char *name, char *path, size_t size,
                          csm_error *err)
{
    csm_status status = recording_path(name, path, size, err);
    if (status == CSM_OK)
        status = check_free(model, name, err);
    return status == CSM_OK ? csm_path_make_parents(path, err) : status;
}

csm_status csm_voice_add(csm_model *model, const char *name, const csm_turn *turn, csm_error *err)
{
    char path[4096];
    if (turn->text == NULL || turn->text[0] == '\0')
        return csm_fail(err, CSM_BAD_ARG,
                        "voice '%s': no text; give what is said in the recording", name);
    csm_status status = csm_voice_path(model, name, path, sizeof path, err);
    if (status != CSM_OK)
        return status;
    csm_session *session;
    status = csm_session_open(model, &session, err);
    if (status != CSM_OK)
        return status;
    status = csm_session_add(session, turn, err);
    if (status == CSM_OK)
        status = check_length(session, name, err);
    csm_session_pin(session);
    if (status == CSM_OK)
        status = csm_session_save(session, path, err);
    csm_session_close(session);
    return status;
}

csm_status csm_voice_remove(const char *name, csm_error *err)
{
    char path[4096];
    csm_status status = recording_path(name, path, sizeof path, err);
    if (status != CSM_OK)
        return status;
    if (remove(path) == 0)
        return CSM_OK;
    if (errno == ENOENT)
        return csm_fail(err, CSM_BAD_ARG, "voice '%s': no recording of that name", name);
    return csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
}
