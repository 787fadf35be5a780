/* SPDX-License-Identifier: Apache-2.0 */
#include "voice_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The names that OpenAI's clients know; some accept no others. */
static const char *const openai_names[] = {"alloy", "ash",  "ballad", "cedar", "coral",
                                           "echo",  "fable", "marin", "nova",  "onyx",
                                           "sage",  "shimmer", "verse"};
enum { N_OPENAI = sizeof openai_names / sizeof *openai_names };

/* File systems' clocks tick in 10 ms or less. */
enum { SETTLED_NS = 50000000 };

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
    struct voice_stamp seen; /* the directory as it was looked at; all zero: look again */
    void (*tell)(void *user, const char *line);
    void *user;
};

static void empty_all(struct voice_store *store)
{
    for (size_t i = 0; i < store->n; i++)
        voice_empty(&store->voices[i]);
    free(store->voices);
    store->voices = NULL;
    store->n = 0;
}

static struct voice *find(const struct voice_store *store, const char *name)
{
    for (size_t i = 0; i < store->n; i++)
        if (strcmp(store->voices[i].name, name) == 0)
            return &store->voices[i];
    return NULL;
}

/* ---- reading ------------------------------------------------------------------- */

/* What was read before and is still what it was comes from there. */
static bool take_known(struct voice_store *store, const csm_voice *found, struct voice *out)
{
    struct voice *known = find(store, found->name);
    if (known == NULL || !known->is_recording ||
        !voice_stamps_are_equal(known->stamp, voice_stamp_of(found->path)))
        return false;
    *out = *known;
    *known = (struct voice){0};
    return true;
}

/* One that cannot be read is told, and is not there. CSM_NO_MEMORY, and as csm_voices_list. */
static csm_status read_voices(struct voice_store *store, csm_error *err)
{
    csm_voice *found;
    size_t n;
    csm_status st = csm_voices_list(store->model, &found, &n, err);
    if (st != CSM_OK)
        return st;
    struct voice *voices = calloc(n + 1, sizeof *voices);
    size_t n_voices = 0;
    for (size_t i = 0; voices != NULL && i < n; i++) {
        struct voice *voice = &voices[n_voices];
        if (found[i].path[0] != '\0' && take_known(store, &found[i], voice)) {
            n_voices++;
            continue;
        }
        memcpy(voice->name, found[i].name, sizeof voice->name);
        voice->speaker = found[i].speaker;
        if (found[i].path[0] != '\0' &&
            voice_read(store->model, found[i].path, voice, err) != CSM_OK) {
            store->tell(store->user, err->text);
            voice_empty(voice);
            *voice = (struct voice){0};
            continue;
        }
        n_voices++;
    }
    csm_free(found);
    if (voices == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "voices: %zu of them", n);
    empty_all(store);
    store->voices = voices;
    store->n = n_voices;
    return CSM_OK;
}

/* Others (csm voice add, Python) write to the directory, too: if it has changed, look. A
 * change that is as young as a clock is coarse may not be the last: it is looked at again. */
static void look(struct voice_store *store)
{
    char dir[4096];
    csm_error err;
    if (csm_voices_dir(dir, sizeof dir, &err) != CSM_OK)
        return;
    const struct voice_stamp now = voice_stamp_of(dir);
    if (voice_stamps_are_equal(now, store->seen))
        return;
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    const int64_t age_ns = (int64_t)clock.tv_sec * 1000000000 + clock.tv_nsec - now.changed_ns;
    store->seen = age_ns > SETTLED_NS ? now : (struct voice_stamp){0};
    if (read_voices(store, &err) != CSM_OK)
        store->tell(store->user, err.text);
}

/* ---- other names ------------------------------------------------------------------ */

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
                            void (*tell)(void *user, const char *line), void *user,
                            struct voice_store **out, csm_error *err)
{
    struct voice_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "voices: out of memory");
    store->model = model;
    store->tell = tell;
    store->user = user;
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
    empty_all(store);
    free(store->aliases);
    free(store);
}

size_t voice_store_count(struct voice_store *store)
{
    look(store);
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
    look(store);
    const struct voice *voice = find(store, name);
    for (size_t i = 0; voice == NULL && i < store->n_aliases; i++)
        if (strcasecmp(store->aliases[i].name, name) == 0) {
            voice = find(store, store->aliases[i].voice); /* NULL: it was removed since */
            if (voice == NULL)
                voice = find_number(store, store->aliases[i].voice);
        }
    return voice != NULL ? voice : find_number(store, name);
}

/* ---- recordings ----------------------------------------------------------------------- */

csm_status voice_store_add(struct voice_store *store, const char *name, const csm_turn *turn,
                           const struct voice_papers *papers, csm_error *err)
{
    char path[4096];
    csm_status st = csm_voice_path(store->model, name, path, sizeof path, err);
    if (st != CSM_OK)
        return st;
    struct voice *grown = realloc(store->voices, (store->n + 1) * sizeof *grown);
    if (grown == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "voice '%s': out of memory", name);
    store->voices = grown;
    struct voice added = {0};
    snprintf(added.name, sizeof added.name, "%s", name);
    st = voice_write(store->model, path, turn, papers, &added, err);
    if (st != CSM_OK)
        return st;
    struct voice *before = find(store, name);
    if (before != NULL) {
        voice_empty(before);
        *before = added;
    } else {
        store->voices[store->n++] = added;
    }
    return CSM_OK;
}

csm_status voice_store_remove(struct voice_store *store, const char *name, csm_error *err)
{
    look(store);
    struct voice *voice = find(store, name);
    if (voice == NULL || !voice->is_recording)
        return csm_fail(err, CSM_BAD_ARG, "voice '%s': no recording of that name", name);
    const csm_status st = csm_voice_remove(name, err);
    if (st != CSM_OK)
        return st;
    voice_empty(voice);
    memmove(voice, voice + 1, (size_t)(store->voices + store->n - voice - 1) * sizeof *voice);
    store->n--;
    return CSM_OK;
}
