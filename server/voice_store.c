/* SPDX-License-Identifier: Apache-2.0 */
#include "voice_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <csm/session.h>
#include <csm/tensors.h>


/* The names that OpenAI's clients know; some accept no others. */
static const char *const openai_names[] = {"alloy", "ash",  "ballad", "cedar", "coral",
                                           "echo",  "fable", "marin", "nova",  "onyx",
                                           "sage",  "shimmer", "verse"};
enum { N_OPENAI = sizeof openai_names / sizeof *openai_names };

struct alias {
    char name[65], voice[65];
};

struct voice_store {
    csm_model *model;
    struct voice *voices;
    size_t n;
    struct alias *aliases;
    size_t n_aliases;
    struct voice numbered; /* what a number found */
};

static void empty(struct voice *voice)
{
    prompt_release(voice->prompt);
    free(voice->consent);
    free(voice->description);
    free(voice->created);
}

/* ---- reading ------------------------------------------------------------------- */

static char *copy_text(const char *text)
{
    char *copy = text != NULL ? malloc(strlen(text) + 1) : NULL;
    if (copy != NULL)
        memcpy(copy, text, strlen(text) + 1);
    return copy;
}

static csm_status read_papers(struct voice *voice, const char *path, csm_error *err)
{
    csm_tensors *file;
    const csm_status st = csm_tensors_open(path, &file, err);
    if (st != CSM_OK)
        return st;
    voice->consent = copy_text(csm_tensors_metadata(file, "consent"));
    voice->description = copy_text(csm_tensors_metadata(file, "description"));
    voice->created = copy_text(csm_tensors_metadata(file, "created"));
    csm_tensors_close(file);
    return CSM_OK;
}

static csm_status read_recording(csm_model *model, struct voice *voice, const char *path,
                                 csm_error *err)
{
    csm_session *session;
    csm_status st = csm_session_open(model, &session, err);
    if (st != CSM_OK)
        return st;
    st = csm_session_load(session, path, err);
    const size_t n = csm_session_count(session);
    csm_turn *turns = calloc(n + 1, sizeof *turns);
    for (size_t i = 0; turns != NULL && i < n; i++)
        turns[i] = csm_session_turn(session, i);
    if (st == CSM_OK && n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: a voice without a turn", path);
    if (st == CSM_OK && turns != NULL) {
        voice->speaker = turns[n - 1].speaker;
        voice->prompt = prompt_new(turns, n, csm_model_describe(model)->n_codebooks);
    }
    if (st == CSM_OK && voice->prompt == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path);
    free(turns);
    csm_session_close(session);
    return st == CSM_OK ? read_papers(voice, path, err) : st;
}

static csm_status read_voices(struct voice_store *store, csm_error *err)
{
    csm_voice *found;
    size_t n;
    csm_status st = csm_voices_list(store->model, &found, &n, err);
    if (st != CSM_OK)
        return st;
    store->voices = calloc(n + 1, sizeof *store->voices);
    if (store->voices == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "voices: %zu of them", n);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        struct voice *voice = &store->voices[store->n++];
        memcpy(voice->name, found[i].name, sizeof voice->name);
        voice->speaker = found[i].speaker;
        voice->is_recording = found[i].path[0] != '\0';
        if (voice->is_recording)
            st = read_recording(store->model, voice, found[i].path, err);
    }
    csm_free(found);
    return st;
}

/* ---- other names ------------------------------------------------------------------ */

static struct voice *find(const struct voice_store *store, const char *name)
{
    for (size_t i = 0; i < store->n; i++)
        if (strcmp(store->voices[i].name, name) == 0)
            return &store->voices[i];
    return NULL;
}

static const struct voice *find_number(struct voice_store *store, const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > 6 || strspn(name, "0123456789") != n)
        return NULL;
    store->numbered = (struct voice){.speaker = atoi(name)};
    snprintf(store->numbered.name, sizeof store->numbered.name, "%s", name);
    return &store->numbered;
}

static csm_status read_aliases(struct voice_store *store, const char *const *given, size_t n,
                               csm_error *err)
{
    store->aliases = calloc(N_OPENAI + n, sizeof *store->aliases);
    if (store->aliases == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "voices: out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(given[i], '=');
        struct alias *alias = &store->aliases[store->n_aliases];
        if (equals == NULL || equals == given[i] || equals - given[i] > 64 ||
            strlen(equals + 1) > 64)
            return csm_fail(err, CSM_BAD_ARG, "--alias: '%s', expected NAME=VOICE", given[i]);
        snprintf(alias->name, sizeof alias->name, "%.*s", (int)(equals - given[i]), given[i]);
        snprintf(alias->voice, sizeof alias->voice, "%s", equals + 1);
        if (find(store, alias->voice) == NULL && find_number(store, alias->voice) == NULL)
            return csm_fail(err, CSM_BAD_ARG, "--alias: '%s': there is no voice '%s'", given[i],
                            alias->voice);
        store->n_aliases++;
    }
    size_t n_speakers = 0;
    while (n_speakers < store->n && !store->voices[n_speakers].is_recording)
        n_speakers++;
    for (size_t i = 0; i < N_OPENAI; i++) { /* behind those given, which are found first */
        struct alias *alias = &store->aliases[store->n_aliases++];
        snprintf(alias->name, sizeof alias->name, "%s", openai_names[i]);
        if (n_speakers > 0)
            snprintf(alias->voice, sizeof alias->voice, "%s", store->voices[i % n_speakers].name);
        else
            snprintf(alias->voice, sizeof alias->voice, "%d",
                     csm_model_describe(store->model)->default_speaker);
    }
    return CSM_OK;
}

/* ---- the store ---------------------------------------------------------------------- */

csm_status voice_store_open(csm_model *model, const char *const *aliases, size_t n_aliases,
                            struct voice_store **out, csm_error *err)
{
    struct voice_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "voices: out of memory");
    store->model = model;
    csm_status st = read_voices(store, err);
    if (st == CSM_OK)
        st = read_aliases(store, aliases, n_aliases, err);
    if (st == CSM_OK)
        *out = store;
    else
        voice_store_close(store);
    return st;
}

void voice_store_close(struct voice_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->n; i++)
        empty(&store->voices[i]);
    free(store->voices);
    free(store->aliases);
    free(store);
}

size_t voice_store_count(const struct voice_store *store)
{
    return store->n;
}

const struct voice *voice_store_at(const struct voice_store *store, size_t i)
{
    return &store->voices[i];
}

bool voice_store_alias(const struct voice_store *store, size_t i, const char **alias,
                       const char **name)
{
    if (i >= store->n_aliases)
        return false;
    *alias = store->aliases[i].name;
    *name = store->aliases[i].voice;
    return true;
}

const struct voice *voice_store_find(struct voice_store *store, const char *name)
{
    const struct voice *voice = find(store, name);
    for (size_t i = 0; voice == NULL && i < store->n_aliases; i++)
        if (strcmp(store->aliases[i].name, name) == 0) {
            voice = find(store, store->aliases[i].voice); /* NULL: it was removed since */
            if (voice == NULL)
                voice = find_number(store, store->aliases[i].voice);
        }
    return voice != NULL ? voice : find_number(store, name);
}

/* ---- recordings ----------------------------------------------------------------------- */

static csm_status write_recording(const struct voice_store *store, const char *path,
                                  const csm_turn *turn, const struct voice *voice, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(store->model);
    char speaker[16], n_entries[24];
    snprintf(speaker, sizeof speaker, "%d", turn->speaker);
    snprintf(n_entries, sizeof n_entries, "%zu", info->n_entries);
    const char *metadata[20] = {"n_turns",   "1",       "n_pinned",      "1",     "n_entries",
                                n_entries,   "turn0.text", turn->text, "turn0.speaker", speaker,
                                "created", voice->created};
    size_t n = 12;
    if (voice->consent != NULL) {
        metadata[n++] = "consent";
        metadata[n++] = voice->consent;
    }
    if (voice->description != NULL) {
        metadata[n++] = "description";
        metadata[n++] = voice->description;
    }
    const csm_tensor codes = {.name = "turn0.codes",
                              .dtype = CSM_DTYPE_I32,
                              .rank = 2,
                              .shape = {turn->n_frames, info->n_codebooks},
                              .data = turn->codes,
                              .n_bytes = turn->n_frames * info->n_codebooks * sizeof(int32_t)};
    return csm_tensors_write(path, &codes, 1, metadata, n / 2, err);
}

static void now_text(char text[32])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

csm_status voice_store_add(struct voice_store *store, const char *name, const csm_turn *turn,
                           const struct voice_papers *papers, csm_error *err)
{
    char path[4096], created[32];
    csm_status st = csm_voice_path(store->model, name, path, sizeof path, err);
    if (st != CSM_OK)
        return st;
    now_text(created);
    struct voice *grown = realloc(store->voices, (store->n + 1) * sizeof *grown);
    struct voice added = {.speaker = turn->speaker,
                          .is_recording = true,
                          .prompt = prompt_new(turn, 1, csm_model_describe(store->model)->n_codebooks),
                          .consent = copy_text(papers->consent),
                          .description = copy_text(papers->description),
                          .created = copy_text(created)};
    snprintf(added.name, sizeof added.name, "%s", name);
    if (grown != NULL)
        store->voices = grown;
    if (grown == NULL || added.prompt == NULL || added.created == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "voice '%s': out of memory", name);
    if (st == CSM_OK)
        st = write_recording(store, path, turn, &added, err);
    if (st != CSM_OK) {
        empty(&added);
        return st;
    }
    struct voice *before = find(store, name);
    if (before != NULL) {
        empty(before);
        *before = added;
    } else {
        store->voices[store->n++] = added;
    }
    return CSM_OK;
}

csm_status voice_store_remove(struct voice_store *store, const char *name, csm_error *err)
{
    struct voice *voice = find(store, name);
    if (voice == NULL || !voice->is_recording)
        return csm_fail(err, CSM_BAD_ARG, "voice '%s': no recording of that name", name);
    const csm_status st = csm_voice_remove(name, err);
    if (st != CSM_OK)
        return st;
    empty(voice);
    memmove(voice, voice + 1, (size_t)(store->voices + store->n - voice - 1) * sizeof *voice);
    store->n--;
    return CSM_OK;
}
