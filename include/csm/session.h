/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - a conversation that goes on: its turns, each with text, speaker and
 * codes; what is said next has them as its context.
 *
 *     csm_session *session;
 *     csm_session_open(model, &session, &err);
 *     csm_session_load(session, "anna.voice.safetensors", &err);   // a voice, kept for good
 *     csm_session_pin(session);
 *     csm_session_say(session, "Good morning.", 0, &options, &result, NULL, &err);
 *     csm_session_add(session, &(csm_turn){.text = "Hi!", .speaker = 1, .samples = ...}, &err);
 *     csm_session_say(session, "How are you?", 0, &options, &result, NULL, &err);
 *     csm_session_close(session);
 *
 * The engine keeps what it has read: each turn costs only its own positions,
 * as long as no turn in between was dropped. A *voice* is a saved session: one or
 * more turns of the speaker to sound like.
 *
 * Threads: as the model's. */
#ifndef CSM_SESSION_H
#define CSM_SESSION_H

#include <csm/csm.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csm_session csm_session; /* a conversation with a model */

/* An empty conversation with a model, which outlives it. CSM_OK, CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_session_open(csm_model *model, csm_session **out,
                                                csm_error *err);
CSM_API void csm_session_close(csm_session *session); /* takes NULL */

/* The model that it was made with. */
CSM_API csm_model *csm_session_model(const csm_session *session);

/* Append a turn that was spoken by somebody. Its sound, samples or codes, is
 * needed; samples are encoded here, once. Everything is copied.
 * CSM_OK; CSM_BAD_ARG (no text, no sound, a code out of range); CSM_ENGINE,
 * CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_session_add(csm_session *session, const csm_turn *turn,
                                                csm_error *err);

/* Never drop the turns there are now: they are the voice. */
CSM_API void csm_session_pin(csm_session *session);

/* Say something with the conversation as context, and append it as a turn.
 *
 *   text, speaker, options, out   as csm_generate; a cancelled utterance is
 *                                 appended as far as it was spoken
 *   n_dropped   receives how many of the oldest turns that are not pinned were
 *               dropped, whole, because prompt and max_frames together did not fit
 *               in max_positions; may be NULL
 *
 * Returns as csm_generate; CSM_BAD_ARG also when the text does not fit beside the
 * pinned turns alone. After a failure the conversation is as it was, but for
 * turns dropped. */
CSM_API CSM_MUST_USE csm_status csm_session_say(csm_session *session, const char *text, int speaker,
                                                const csm_generate_options *options,
                                                csm_result **out, size_t *n_dropped,
                                                csm_error *err);

/* Forget all turns that are not pinned but the last n_kept. */
CSM_API void csm_session_forget(csm_session *session, size_t n_kept);

/* The turns, oldest first: codes, no samples. Views, valid until the session
 * changes; i < count. */
CSM_API size_t csm_session_count(const csm_session *session);
CSM_API csm_turn csm_session_turn(const csm_session *session, size_t i);

/* Write the turns to a safetensors file (docs: `turnN.codes` I32 [frames,
 * codebooks]; metadata `turnN.text`, `turnN.speaker`, `n_turns`, `n_pinned`,
 * `n_entries`). Returns as csm_tensors_write. */
CSM_API CSM_MUST_USE csm_status csm_session_save(const csm_session *session, const char *path,
                                                 csm_error *err);

/* Append the turns of a saved session; pinned ones are pinned again if the
 * session was empty. CSM_BAD_FILE, CSM_BAD_FORMAT (the message says what: another
 * number of codebooks, a code out of range); CSM_NO_MEMORY. After a failure the
 * session is as it was. */
CSM_API CSM_MUST_USE csm_status csm_session_load(csm_session *session, const char *path,
                                                 csm_error *err);

#ifdef __cplusplus
}
#endif
#endif
