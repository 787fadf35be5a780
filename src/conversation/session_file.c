/* SPDX-License-Identifier: Apache-2.0
 *
 * session_file.c - a session as a safetensors file. */
#include "conversation/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { MAX_TURNS = 10000, NAME_BYTES = 40 };

/* Names and numbers that a turn's entries in the file need. */
struct entry {
    char codes[NAME_BYTES], text[NAME_BYTES], speaker[NAME_BYTES], speaker_value[NAME_BYTES];
};

static void name_entry(struct entry *entry, size_t i, int speaker)
{
    snprintf(entry->codes, NAME_BYTES, "turn%zu.codes", i);
    snprintf(entry->text, NAME_BYTES, "turn%zu.text", i);
    snprintf(entry->speaker, NAME_BYTES, "turn%zu.speaker", i);
    snprintf(entry->speaker_value, NAME_BYTES, "%d", speaker);
}

csm_status csm_session_save(const csm_session *session, const char *path, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(session->model);
    const size_t n = session->n_turns;
    csm_status status = CSM_NO_MEMORY;
    struct entry *entries = calloc(n + 1, sizeof *entries);
    csm_tensor *tensors = calloc(n + 1, sizeof *tensors);
    const char **metadata = calloc(2 * (2 * n + 3), sizeof *metadata);
    if (entries == NULL || tensors == NULL || metadata == NULL) {
        (void)csm_fail(err, status, "%s: %zu turns", path, n);
        goto done;
    }
    char n_turns[NAME_BYTES], n_pinned[NAME_BYTES], n_entries[NAME_BYTES];
    snprintf(n_turns, NAME_BYTES, "%zu", n);
    snprintf(n_pinned, NAME_BYTES, "%zu", session->n_pinned);
    snprintf(n_entries, NAME_BYTES, "%zu", info->n_entries);
    size_t m = 0;
    const char *const counts[] = {"n_turns", n_turns, "n_pinned", n_pinned, "n_entries", n_entries};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        metadata[m++] = counts[i];
    for (size_t i = 0; i < n; i++) {
        const csm_turn *turn = &session->turns[i].turn;
        name_entry(&entries[i], i, turn->speaker);
        tensors[i] = (csm_tensor){.name = entries[i].codes,
                                  .dtype = CSM_DTYPE_I32,
                                  .rank = 2,
                                  .shape = {turn->n_frames, info->n_codebooks},
                                  .data = turn->codes,
                                  .n_bytes = turn->n_frames * info->n_codebooks * sizeof(int32_t)};
        metadata[m++] = entries[i].text;
        metadata[m++] = turn->text;
        metadata[m++] = entries[i].speaker;
        metadata[m++] = entries[i].speaker_value;
    }
    status = csm_tensors_write(path, tensors, n, metadata, m / 2, err);
done:
    free(entries);
    free(tensors);
    free(metadata);
    return status;
}

/* A number of the metadata; missing or not a number: CSM_BAD_FORMAT. */
static csm_status read_count(const csm_tensors *file, const char *path, const char *key, long max,
                             long *out, csm_error *err)
{
    const char *value = csm_tensors_metadata(file, key);
    char *end = NULL;
    long n = value == NULL ? -1 : strtol(value, &end, 10);
    if (value == NULL || end == value || *end != '\0' || n < 0 || n > max)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s is %s, expected 0..%ld: not a saved session",
                        path, key, value == NULL ? "missing" : value, max);
    *out = n;
    return CSM_OK;
}

static csm_status load_turn(csm_session *session, const csm_tensors *file, const char *path,
                            size_t i, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(session->model);
    struct entry names;
    name_entry(&names, i, 0);
    const csm_tensor *codes = csm_tensors_find(file, names.codes);
    const char *text = csm_tensors_metadata(file, names.text);
    if (codes == NULL || text == NULL)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s is missing", path,
                        codes == NULL ? names.codes : names.text);
    if (codes->dtype != CSM_DTYPE_I32 || codes->rank != 2 || codes->shape[1] != info->n_codebooks)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: %s is not I32 [frames, %zu], as this model needs",
                        path, names.codes, info->n_codebooks);
    long speaker = 0;
    csm_status status = read_count(file, path, names.speaker, CSM_MAX_SPEAKER, &speaker, err);
    if (status != CSM_OK)
        return status;
    const csm_turn turn = {.text = text,
                           .speaker = (int)speaker,
                           .codes = codes->data,
                           .n_frames = codes->shape[0]};
    csm_error inner;
    status = csm_session_add(session, &turn, &inner);
    if (status != CSM_OK)
        return csm_fail(err, status == CSM_BAD_ARG ? CSM_BAD_FORMAT : status, "%s: %s", path,
                        inner.text);
    return CSM_OK;
}

csm_status csm_session_load(csm_session *session, const char *path, csm_error *err)
{
    csm_tensors *file;
    csm_status status = csm_tensors_open(path, &file, err);
    if (status != CSM_OK)
        return status;
    const size_t before = session->n_turns;
    long n_turns = 0, n_pinned = 0, n_entries = 0;
    status = read_count(file, path, "n_turns", MAX_TURNS, &n_turns, err);
    if (status == CSM_OK)
        status = read_count(file, path, "n_pinned", n_turns, &n_pinned, err);
    if (status == CSM_OK)
        status = read_count(file, path, "n_entries", 1000000, &n_entries, err);
    if (status == CSM_OK && (size_t)n_entries != csm_model_describe(session->model)->n_entries)
        status = csm_fail(err, CSM_BAD_FORMAT,
                          "%s: of a codec with %ld entries a codebook, this model's has %zu", path,
                          n_entries, csm_model_describe(session->model)->n_entries);
    for (size_t i = 0; status == CSM_OK && i < (size_t)n_turns; i++)
        status = load_turn(session, file, path, i, err);
    csm_tensors_close(file);
    if (status != CSM_OK)
        csm_session_remove(session, before, session->n_turns - before);
    else if (before == 0)
        session->n_pinned = (size_t)n_pinned;
    return status;
}
