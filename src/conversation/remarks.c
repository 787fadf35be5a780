/* SPDX-License-Identifier: Apache-2.0 */
#include <csm/remarks.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include <csm/text.h>

#include "base/error.h"
#include "base/numbers.h"
#include "base/utf8.h"
#include "conversation/speakers.h"

static const double silent_power = 1e-6; /* mean square: -60 dB */

void csm_remark_write(csm_remark *remark, const char *code, const char *format, ...)
{
    va_list arguments;
    snprintf(remark->code, sizeof remark->code, "%s", code);
    va_start(arguments, format);
    csm_vformat(remark->text, sizeof remark->text, format, arguments);
    va_end(arguments);
    csm_scrub(remark->text, sizeof remark->text);
}

bool csm_remark_letters(const char *text, csm_remark *remark)
{
    const char *script;
    const size_t n = csm_text_unspoken(text, &script);
    if (n > 0)
        csm_remark_write(remark, "unspoken-letters",
                         "text: %zu letter%s not Latin (the first is %s): the embedded voice "
                         "cannot speak them",
                         n, n == 1 ? " is" : "s are", script);
    return n > 0;
}

bool csm_remark_thoughts(const char *text, csm_remark *remark)
{
    const char *tag = csm_text_thoughts(text);
    if (tag != NULL)
        csm_remark_write(remark, "unspoken-thoughts",
                         "text: what stands between <%s> and </%s> is not spoken", tag, tag);
    return tag != NULL;
}

/* Mean square of the loudest 80 ms, about its mean: a microphone's offset is no sound. */
static double loudest(const float *samples, size_t n_samples, size_t n_frame)
{
    double most = 0.0;
    for (size_t start = 0; start + n_frame <= n_samples; start += n_frame) {
        double power = 0.0, sum = 0.0;
        for (size_t i = 0; i < n_frame; i++) {
            const double x = (double)samples[start + i];
            power += x * x;
            sum += x;
        }
        power -= sum * sum / (double)n_frame; /* at most some 1e-16 of it below 0 */
        most = power > most ? power : most;
    }
    return most / (double)n_frame;
}

bool csm_remark_recording(const char *name, const float *samples, size_t n_samples, int rate_hz,
                          csm_remark *remark)
{
    const size_t n_frame = (size_t)rate_hz * 80 / 1000;
    if (n_samples < n_frame) {
        csm_remark_write(remark, "short-recording",
                         "%s: %.0f ms of sound, less than a frame of 80 ms: no voice can be heard "
                         "in it",
                         name, (double)n_samples * 1e3 / rate_hz);
        return true;
    }
    const double power = loudest(samples, n_samples, n_frame);
    if (power >= silent_power)
        return false;
    if (power > 0.0)
        csm_remark_write(remark, "silent-recording",
                         "%s: the recording is silent (%.0f dB of full scale where it is loudest): "
                         "no voice can be heard in it",
                         name, 10.0 * log10(power));
    else
        csm_remark_write(remark, "silent-recording",
                         "%s: the recording is silent: no voice can be heard in it", name);
    return true;
}

bool csm_remark_clipping(const char *name, const float *samples, size_t n_samples,
                         csm_remark *remark)
{
    const float full = 0.999f, highest = 1.5f; /* resampling swings so far, floats may go on */
    const double most = 0.04;
    size_t n = 0;
    float peak = 0;
    for (size_t i = 0; i < n_samples; i++) {
        const float height = fabsf(samples[i]);
        n += height >= full;
        peak = height > peak ? height : peak;
    }
    if (peak > highest || (double)n < most * (double)n_samples || n == 0)
        return false;
    csm_remark_write(remark, "clipped-recording",
                     "%s: %.0f %% of its samples are at full scale: it was recorded too loud, and the "
                     "voice will be as harsh",
                     name, 100.0 * (double)n / (double)n_samples);
    return true;
}

bool csm_remark_transcript(const char *name, const char *text, size_t n_samples, int rate_hz,
                           csm_remark *remark)
{
    const double fastest = 35.0, slowest = 3.0, silence_s = 2.0; /* characters a second */
    const double seconds = (double)n_samples / rate_hz;
    const size_t n = csm_utf8_count(text);
    const bool is_short = seconds > silence_s + (double)n / slowest;
    if (!is_short && (double)n <= fastest * seconds)
        return false;
    csm_remark_write(remark, "unlikely-text",
                     "%s: a text of %zu character%s for %.1f s of sound, which is too %s: expected "
                     "what is said in it, word for word",
                     name, n, n == 1 ? "" : "s", seconds, is_short ? "short" : "long");
    return true;
}

bool csm_remark_mark(size_t n_samples, int rate_hz, csm_remark *remark)
{
    const double shortest_s = 0.24, seconds = (double)n_samples / rate_hz;
    if (seconds >= shortest_s)
        return false;
    csm_remark_write(remark, "short-mark",
                     "%.2f s of sound are too short for their mark to be found again, expected "
                     "%.2f s or more",
                     seconds, shortest_s);
    return true;
}

size_t csm_remark_reference(const char *name, const char *text, const float *samples,
                            size_t n_samples, int rate_hz, csm_remark *remarks)
{
    size_t n = csm_remark_recording(name, samples, n_samples, rate_hz, remarks) ||
               csm_remark_transcript(name, text, n_samples, rate_hz, remarks);
    n += csm_remark_clipping(name, samples, n_samples, remarks + n);
    return n;
}

/* "0, 2 and 3" of speakers, each once, as far as there is room. */
static void list_speakers(char *text, size_t size, const csm_turn *context, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at < size; i++) {
        bool is_new = true;
        for (size_t k = 0; k < i; k++)
            is_new = is_new && context[k].speaker != context[i].speaker;
        if (is_new)
            at += (size_t)snprintf(text + at, size - at, "%s%d", at > 0 ? ", " : "",
                                   context[i].speaker);
    }
}

/* Whether the model names the speaker, and in `all` whom it names: "" for nobody. */
static bool is_named(const csm_model *model, int speaker, char *all, size_t size)
{
    csm_voice *voices = NULL;
    size_t n = 0, at = 0;
    bool is_there = false;
    all[0] = '\0';
    if (csm_speakers_list(model, &voices, &n, NULL) != CSM_OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        is_there = is_there || voices[i].speaker == speaker;
        if (at < size)
            at += (size_t)snprintf(all + at, size - at, "%s%d", at > 0 ? ", " : "",
                                   voices[i].speaker);
    }
    csm_free(voices);
    return is_there;
}

bool csm_speaker_is_named(const csm_model *model, int speaker)
{
    char all[8];
    return is_named(model, speaker, all, sizeof all);
}

bool csm_remark_speaker(const csm_model *model, int speaker, const csm_turn *context,
                        size_t n_context, csm_remark *remark)
{
    char known[128] = "";
    for (size_t i = 0; i < n_context; i++)
        if (context[i].speaker == speaker)
            return false;
    if (n_context > 0) {
        list_speakers(known, sizeof known, context, n_context);
        csm_remark_write(remark, "other-speaker",
                         "speaker %d has no turn in the context (which has speaker %s): the voice "
                         "will not be that of the recording",
                         speaker, known);
        return true;
    }
    if (is_named(model, speaker, known, sizeof known) || known[0] == '\0')
        return false;
    csm_remark_write(remark, "unknown-speaker",
                     "speaker %d: the model was not trained on one, it has %s: the voice is anybody's",
                     speaker, known);
    return true;
}

size_t csm_remark_ending(const csm_report *report, double frame_ms, csm_remark *remarks)
{
    size_t n = 0;
    if (report->fallback[0] != '\0')
        csm_remark_write(&remarks[n++], "fallback", "%s", report->fallback);
    if (report->n_frames == 0)
        csm_remark_write(&remarks[n++], "no-sound",
                         "the model ended its speech before it began: there is no sound; another "
                         "seed, or a least length, may help");
    else if (report->guarded[0] != '\0')
        csm_remark_write(&remarks[n++], "guarded", "speech was ended: %s", report->guarded);
    else if (!report->has_ended)
        csm_remark_write(&remarks[n++], "cut",
                         "speech was cut at %.2f s, the most it may last, before it had ended",
                         (double)report->n_frames * frame_ms / 1e3);
    return n;
}
