/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c - a conversation: a list of turns over csm_generate. */
#include "conversation/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sized.h"

csm_status csm_session_open(csm_model *model, csm_session **out, csm_error *err)
{
    csm_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "session: %zu bytes", sizeof *session);
    session->model = model;
    *out = session;
    return CSM_OK;
}

void csm_session_close(csm_session *session)
{
    if (session == NULL)
        return;
    csm_session_remove(session, 0, session->n_turns);
    free(session->turns);
    free(session);
}

void csm_session_remove(csm_session *session, size_t i, size_t n)
{
    for (size_t t = i; t < i + n; t++) {
        free((char *)session->turns[t].turn.text);
        free((int32_t *)session->turns[t].turn.codes);
    }
    if (n > 0)
        memmove(session->turns + i, session->turns + i + n,
                (session->n_turns - i - n) * sizeof *session->turns);
    session->n_turns -= n;
}

/* Positions of a text in the prompt. */
static csm_status count_text(const csm_model *model, const char *text, int speaker, size_t *n,
                             csm_error *err)
{
    int32_t *ids;
    csm_status status = csm_model_tokenize(model, text, speaker, &ids, n, err);
    if (status == CSM_OK)
        csm_free(ids);
    return status;
}

static csm_status check_speaker(int speaker, csm_error *err)
{
    if (speaker >= 0 && speaker <= CSM_MAX_SPEAKER)
        return CSM_OK;
    return csm_fail(err, CSM_BAD_ARG, "session: speaker %d, expected 0..%d", speaker,
                    CSM_MAX_SPEAKER);
}

/* Append a turn of codes; the text and codes are copied. The session is as it was
 * when this failed. */
static csm_status append(csm_session *session, const char *text, int speaker,
                         const int32_t *codes, size_t n_frames, csm_error *err)
{
    const size_t n_codebooks = csm_model_describe(session->model)->n_codebooks;
    if (n_frames == 0)
        return csm_fail(err, CSM_BAD_ARG,
                        "session: a turn of no frames, expected 1 or more: codes or samples");
    csm_status status = check_speaker(speaker, err);
    if (status != CSM_OK)
        return status;
    if (session->n_turns == session->capacity) {
        size_t capacity = session->capacity == 0 ? 8 : 2 * session->capacity;
        struct csm_session_turn *turns = realloc(session->turns, capacity * sizeof *turns);
        if (turns == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "session: %zu turns", capacity);
        session->turns = turns;
        session->capacity = capacity;
    }
    size_t n_text;
    status = count_text(session->model, text, speaker, &n_text, err);
    if (status != CSM_OK)
        return status;
    const size_t n_bytes = n_frames * n_codebooks * sizeof *codes;
    char *own_text = malloc(strlen(text) + 1);
    int32_t *own_codes = malloc(n_bytes > 0 ? n_bytes : 1);
    if (own_text == NULL || own_codes == NULL) {
        free(own_text);
        free(own_codes);
        return csm_fail(err, CSM_NO_MEMORY, "session: a turn of %zu frames", n_frames);
    }
    memcpy(own_text, text, strlen(text) + 1);
    memcpy(own_codes, codes, n_bytes);
    session->turns[session->n_turns++] = (struct csm_session_turn){
        .turn = {.text = own_text, .speaker = speaker, .codes = own_codes, .n_frames = n_frames},
        .n_positions = n_text + n_frames + 1}; /* and the frame of zeros that ends a turn */
    return CSM_OK;
}

csm_status csm_session_add(csm_session *session, const csm_turn *turn, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(session->model);
    if (turn->text == NULL || turn->text[strspn(turn->text, " \t\r\n")] == '\0')
        return csm_fail(err, CSM_BAD_ARG, "session: a turn has no text; give what was said in it");
    if (turn->codes != NULL) {
        for (size_t i = 0; i < turn->n_frames * info->n_codebooks; i++)
            if (turn->codes[i] < 0 || (size_t)turn->codes[i] >= info->vocab)
                return csm_fail(err, CSM_BAD_ARG,
                                "session: frame %zu, codebook %zu: code %d, expected 0..%zu",
                                i / info->n_codebooks, i % info->n_codebooks, (int)turn->codes[i],
                                info->vocab - 1);
        return append(session, turn->text, turn->speaker, turn->codes, turn->n_frames, err);
    }
    if (turn->samples == NULL || turn->n_samples == 0)
        return csm_fail(err, CSM_BAD_ARG, "session: a turn has no sound, samples or codes");
    const size_t n_frames = (turn->n_samples + info->frame_samples - 1) / info->frame_samples;
    int32_t *codes = malloc(n_frames * info->n_codebooks * sizeof *codes);
    if (codes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "session: a turn of %zu frames", n_frames);
    csm_status status = csm_codec_encode(csm_model_codec(session->model), turn->samples,
                                         turn->n_samples, info->n_codebooks, codes, err);
    if (status == CSM_OK)
        status = append(session, turn->text, turn->speaker, codes, n_frames, err);
    free(codes);
    return status;
}

csm_model *csm_session_model(const csm_session *session)
{
    return session->model;
}

void csm_session_pin(csm_session *session)
{
    session->n_pinned = session->n_turns;
}

void csm_session_forget(csm_session *session, size_t n_kept)
{
    size_t n_loose = session->n_turns - session->n_pinned;
    if (n_loose > n_kept)
        csm_session_remove(session, session->n_pinned, n_loose - n_kept);
}

size_t csm_session_count(const csm_session *session)
{
    return session->n_turns;
}

csm_turn csm_session_turn(const csm_session *session, size_t i)
{
    return session->turns[i].turn;
}

/* Drop the oldest turns that may go until the text, its frames and the rest fit. */
static csm_status make_room(csm_session *session, const char *text, int speaker, size_t max_frames,
                            size_t *n_dropped, csm_error *err)
{
    const size_t room = csm_model_describe(session->model)->max_positions;
    size_t needed;
    csm_status status = count_text(session->model, text, speaker, &needed, err);
    if (status != CSM_OK)
        return status;
    needed += max_frames;
    for (size_t i = 0; i < session->n_pinned; i++)
        needed += session->turns[i].n_positions;
    if (needed > room)
        return csm_fail(err, CSM_BAD_ARG,
                        "session: the text, %zu frames and the pinned turns need %zu positions, "
                        "the model has %zu",
                        max_frames, needed, room);
    size_t first = session->n_turns; /* the oldest turn that stays */
    while (first > session->n_pinned && needed + session->turns[first - 1].n_positions <= room)
        needed += session->turns[--first].n_positions;
    *n_dropped = first - session->n_pinned;
    csm_session_remove(session, session->n_pinned, *n_dropped);
    return CSM_OK;
}

csm_status csm_session_say(csm_session *session, const char *text, int speaker,
                           const csm_generate_options *options, csm_result **out,
                           size_t *n_dropped, csm_error *err)
{
    csm_generate_options chosen = csm_generate_defaults();
    size_t dropped = 0;
    csm_status status = check_speaker(speaker, err); /* before the work, not after it */
    if (status == CSM_OK && options != NULL)
        status = csm_sized_read(options, &chosen, sizeof chosen, "generate options", err);
    if (status == CSM_OK)
        status = make_room(session, text, speaker, chosen.max_frames, &dropped, err);
    if (n_dropped != NULL)
        *n_dropped = dropped;
    if (status != CSM_OK)
        return status;
    csm_turn *context = malloc((session->n_turns + 1) * sizeof *context);
    if (context == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "session: %zu turns", session->n_turns);
    for (size_t i = 0; i < session->n_turns; i++)
        context[i] = session->turns[i].turn;
    csm_result *result = NULL;
    csm_request request = csm_request_of(text, speaker);
    request.context = context;
    request.n_context = session->n_turns;
    status = csm_generate(session->model, &request, &chosen, &result, err);
    free(context);
    if (result == NULL)
        return status;
    csm_status kept = CSM_OK;
    if (result->n_frames > 0)
        kept = append(session, text, speaker, result->codes, result->n_frames, err);
    if (kept != CSM_OK) {
        csm_result_close(result);
        return kept;
    }
    *out = result;
    return status;
}
