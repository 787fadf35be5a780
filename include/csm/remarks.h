/* SPDX-License-Identifier: Apache-2.0
 *
 * remarks.h - what was asked and does not come out as asked, though nothing failed: for
 * whoever speaks, to be told to whoever listens. A remark is a code, which stays as it is,
 * and one line of text for a person, which may change:
 *
 *     silent-recording  a recording without sound      csm_remark_recording
 *     short-recording   shorter than a frame (80 ms)   csm_remark_recording
 *     clipped-recording cut off at full scale          csm_remark_clipping
 *     cut-recording     a file that is not all there   csm_remark_file, csm_audio_read_told
 *     unlikely-text     too short or long for it       csm_remark_transcript
 *     other-speaker     the context has another voice  csm_remark_speaker
 *     unknown-speaker   the model has no such voice    csm_remark_speaker
 *     unspoken-letters  the embedded voice knows none  csm_remark_letters
 *     unspoken-thoughts a model's reasoning is left out csm_remark_thoughts
 *     no-sound          speech ended before it began   csm_remark_ending
 *     cut               the limit ended it             csm_remark_ending
 *     guarded           the guard ended it             csm_remark_ending
 *     short-mark        too short to be found marked   csm_remark_mark
 *     fallback          another engine took over       csm_remark_ending
 *
 * Threads: any number at once. */
#ifndef CSM_REMARKS_H
#define CSM_REMARKS_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/csm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A remark: which, and what it says. */
typedef struct csm_remark {
    char code[32];
    char text[576];
} csm_remark;

/* Write a remark, as printf does; for codes of the caller's own, too. */
CSM_API void csm_remark_write(csm_remark *remark, const char *code, const char *format, ...)
    CSM_PRINTF(3, 4);

/* Each of these fills in `remark` and returns true, if there is something to say. */

/* A recording that lends no voice: fewer samples than a frame of 80 ms, or no 80 ms of it
 * louder than -60 dB of full scale (root mean square about the mean). Speech lies at -35 to
 * -15 dB, the noise of a quiet room and its microphone at -65 to -50: whose loudest syllable
 * is below that has been recorded by mistake.
 *
 *   name     of the recording, the text begins with it
 *   samples  [n_samples] mono at rate_hz */
CSM_API bool csm_remark_recording(const char *name, const float *samples, size_t n_samples,
                                  int rate_hz, csm_remark *remark);

/* A recording that was too loud for its microphone or file: at least 4 % of its samples lie at
 * full scale (0.999 and more; resampled, 0.999 to 1.5, which is about half of those that were cut
 * off). Loud speech that a limiter made has some 1 %, a sine that just fits 2.9 %. The voice that
 * follows is as harsh.
 *
 *   name     of the recording, the text begins with it
 *   samples  [n_samples] mono */
CSM_API bool csm_remark_clipping(const char *name, const float *samples, size_t n_samples,
                                 csm_remark *remark);

/* A file of sound that csm_audio_read reads in part: a WAV file shorter than its header says by a
 * frame (80 ms) or more, but for the lengths of 2 GiB and more that streams write; an Ogg file
 * (Vorbis, Opus) without its last page, with a damaged one, or with another recording behind the
 * first; an AIFF, AU or Wave64 file, or an MP3 file with Xing's frame, shorter by 1 % or more. False
 * of what cannot be looked at twice, "-" and pipes: csm_audio_read_told. FLAC that breaks off is
 * refused when it is read.
 *
 *   path  the text begins with it */
CSM_API bool csm_remark_file(const char *path, csm_remark *remark);

/* A text that can hardly be what is said in a recording: more than 35 characters a second
 * (the fastest readers have 25), or fewer than one for each third of a second beyond the
 * first two (Chinese has 4 to 5 a second). The model takes text and sound for one: speech
 * that follows leaves words out, or runs on.
 *
 *   name  of the recording, the text begins with it */
CSM_API bool csm_remark_transcript(const char *name, const char *text, size_t n_samples,
                                   int rate_hz, csm_remark *remark);

enum { CSM_REFERENCE_REMARKS = 2 /* that csm_remark_reference writes at most */ };

/* A recording as a voice, and what is said in it: csm_remark_recording, or else
 * csm_remark_transcript; and csm_remark_clipping.
 *
 *   name     of the recording, the texts begin with it
 *   remarks  receives [at most CSM_REFERENCE_REMARKS]
 *
 * Returns how many there are. */
CSM_API size_t csm_remark_reference(const char *name, const char *text, const float *samples,
                                    size_t n_samples, int rate_hz, csm_remark *remarks);

/* A speaker for whom nothing gives a voice: the context has turns, and none is the
 * speaker's; or it has none, and the model names its speakers (voices.json), this one not. A
 * model that names none may know any.
 *
 *   context  [n_context] what was handed over to sound like, not what was spoken since */
CSM_API bool csm_remark_speaker(const csm_model *model, int speaker, const csm_turn *context,
                                size_t n_context, csm_remark *remark);

/* Whether the model names that speaker (voices.json). */
CSM_API bool csm_speaker_is_named(const csm_model *model, int speaker);

/* Letters in a text, for the embedded voice, that it cannot speak (csm_text_unspoken). */
CSM_API bool csm_remark_letters(const char *text, csm_remark *remark);

/* A text to be normalized, of which something is left out (csm_text_thoughts). */
CSM_API bool csm_remark_thoughts(const char *text, csm_remark *remark);

/* Marked sound (csm/mark.h) that is too short for its mark to be found again: less than 0.24 s.
 * Of speech, three frames were found in each of 6 tries, two in none. */
CSM_API bool csm_remark_mark(size_t n_samples, int rate_hz, csm_remark *remark);

enum { CSM_ENDING_REMARKS = 2 /* that csm_remark_ending writes at most */ };

/* How an utterance ended; the remarks are at most CSM_ENDING_REMARKS.
 *
 *   report   of a generation that has ended and was not cancelled nor forced
 *   remarks  receives them
 *
 * Returns how many. */
CSM_API size_t csm_remark_ending(const csm_report *report, double frame_ms, csm_remark *remarks);

/* How many frames to allow a text for which nobody has set a limit: 8 s, and 0.2 s for each
 * character, at least ten seconds. Speech has 12 to 20 characters a second, Chinese 4 to 5:
 * nothing that is read aloud takes so long, and whoever has a guard is ended by that before.
 * Where the model's own limit (csm_model_info.max_frames) is below 125 frames, its maker has
 * chosen it, and it counts; 125 is what every csm-1b says, and what it is when the model says
 * nothing; a higher one is a least one. No more than what the model's positions leave beside
 * text and context, but 125 at least.
 *
 *   context  [n_context] turns that will be there, whatever happens
 *
 * Returns the frames; 125 for a text that is none. */
CSM_API size_t csm_frames_for_text(const csm_model *model, const csm_turn *context,
                                   size_t n_context, const char *text, int speaker);

#ifdef __cplusplus
}
#endif
#endif
