/* SPDX-License-Identifier: Apache-2.0 */
#include "voice_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <csm/session.h>
#include <csm/tensors.h>

void voice_empty(struct voice *voice)
{
    prompt_release(voice->prompt);
    free(voice->consent);
    free(voice->description);
    free(voice->created);
}

/* ---- reading ----------------------------------------------------------------------------- */

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

struct voice_stamp voice_stamp_of(const char *path)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return (struct voice_stamp){0};
    return (struct voice_stamp){.inode = (uint64_t)found.st_ino,
                                .changed_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 +
                                              found.st_mtim.tv_nsec};
}

bool voice_stamps_are_equal(struct voice_stamp a, struct voice_stamp b)
{
    return a.inode == b.inode && a.changed_ns == b.changed_ns;
}

csm_status voice_read(csm_model *model, const char *path, struct voice *voice, csm_error *err)
{
    voice->is_recording = true;
    voice->stamp = voice_stamp_of(path);
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

/* ---- writing ----------------------------------------------------------------------------- */

static csm_status write(const csm_model_info *info, const char *path, const csm_turn *turn,
                        const struct voice *voice, csm_error *err)
{
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

csm_status voice_write(csm_model *model, const char *path, const csm_turn *turn,
                       const struct voice_papers *papers, struct voice *voice, csm_error *err)
{
    char created[32];
    now_text(created);
    voice->is_recording = true;
    voice->speaker = turn->speaker;
    voice->prompt = prompt_new(turn, 1, csm_model_describe(model)->n_codebooks);
    voice->consent = copy_text(papers->consent);
    voice->description = copy_text(papers->description);
    voice->created = copy_text(created);
    const csm_status st =
        voice->prompt == NULL || voice->created == NULL
            ? csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", path)
            : write(csm_model_describe(model), path, turn, voice, err);
    if (st == CSM_OK)
        voice->stamp = voice_stamp_of(path);
    else
        voice_empty(voice);
    return st;
}
