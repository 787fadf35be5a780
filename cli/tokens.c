/* SPDX-License-Identifier: Apache-2.0 */
#include "tokens.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/analysis.h>
#include <csm/remarks.h>

csm_status tokens_order(csm_tokens **tokens, size_t n_codebooks, csm_error *err)
{
    const csm_tokens *t = *tokens;
    const size_t rows = t->n_frames, columns = t->n_codebooks;
    const bool is_own = csm_tokens_metadata(t, "version") != NULL || t->logits.data != NULL ||
                        t->margins != NULL;
    if (is_own || !((columns > n_codebooks && rows <= n_codebooks) ||
                    (rows == n_codebooks && columns != n_codebooks)))
        return CSM_OK;
    int32_t *codes = malloc((rows * columns + 1) * sizeof *codes);
    if (codes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %zu codes: out of memory", t->name,
                        rows * columns);
    for (size_t i = 0; i < rows * columns; i++)
        codes[i % columns * rows + i / columns] = t->codes[i];
    csm_tokens *turned = NULL;
    const csm_status st = csm_tokens_make(t->name, codes, columns, rows, &turned, err);
    free(codes);
    if (st != CSM_OK)
        return st;
    csm_tokens_close(*tokens);
    *tokens = turned;
    return CSM_OK;
}

/* Whether a frame is no sound: all zeros, with which a CSM's speech ends in transformers, or one
 * value in all codebooks that the codec has not, with which batches are filled up. */
static bool is_filling(const int32_t *frame, size_t n_codebooks, size_t n_entries)
{
    for (size_t k = 1; k < n_codebooks; k++)
        if (frame[k] != frame[0])
            return false;
    return frame[0] <= 0 || (size_t)frame[0] >= n_entries;
}

size_t tokens_frames(const csm_tokens *t, size_t n_entries, bool has_end)
{
    size_t n = t->n_frames;
    if (csm_tokens_metadata(t, "version") != NULL || t->n_codebooks < 2)
        return n;
    while (n > 1 && is_filling(t->codes + (n - 1) * t->n_codebooks, t->n_codebooks, n_entries))
        n--;
    if (has_end && n < t->n_frames && t->codes[n * t->n_codebooks] == 0)
        n++;
    if (n < t->n_frames)
        fprintf(stderr, "csm: %s: the last %zu of its frames are zeros, the end of a CSM's speech, or "
                "padding: left out\n", t->name, t->n_frames - n);
    return n;
}

csm_status tokens_to_sound(const char *tokens, const char *model_path,
                           const csm_model_options *options, const char *output,
                           const struct written *written, const struct marking *marking,
                           csm_error *err)
{
    csm_codec *codec = NULL;
    csm_tokens *file = NULL;
    float *samples = NULL;
    size_t n_frames = 0, n_samples = 0;
    csm_status st = csm_tokens_open(tokens, &file, err);
    if (st == CSM_OK)
        st = csm_codec_open(model_path, options, &codec, err);
    if (st == CSM_OK)
        st = tokens_order(&file, csm_codec_describe(codec)->n_codebooks, err);
    if (st == CSM_OK)
        n_frames = tokens_frames(file, csm_codec_describe(codec)->n_entries, false);
    if (st == CSM_OK && n_frames == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: no frame, expected some: there is no sound", tokens);
    if (st == CSM_OK) {
        n_samples = n_frames * csm_codec_describe(codec)->frame_samples;
        samples = malloc((n_samples + 1) * sizeof *samples);
        if (samples == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: %zu frames: out of memory", tokens, n_frames);
    }
    if (st == CSM_OK) {
        st = csm_codec_decode(codec, file->codes, n_frames, file->n_codebooks, samples, err);
        if (st == CSM_BAD_ARG) { /* the file's fault, not the command line's */
            csm_error inner = *err;
            st = csm_fail(err, CSM_BAD_FORMAT, "%s: %s", tokens, inner.text);
        }
    }
    const int rate_hz = st == CSM_OK ? csm_codec_describe(codec)->sample_rate_hz : 0;
    const csm_audio_options form = written_options(written, marking);
    if (st == CSM_OK)
        st = marking_apply(marking, samples, n_samples, rate_hz, err);
    if (st == CSM_OK && strcmp(output, "none") != 0)
        st = csm_audio_write(output, written->format, samples, n_samples, rate_hz, &form, err);
    free(samples);
    csm_codec_close(codec);
    csm_tokens_close(file);
    return st;
}

csm_status tokens_from_sound(const char *sound, const char *model_path,
                             const csm_model_options *options, size_t n_codebooks,
                             const char *tokens, csm_error *err)
{
    csm_codec *codec = NULL;
    float *samples = NULL;
    int32_t *codes = NULL;
    size_t n_samples = 0, n_frames = 0;
    csm_codec_info info = {0};
    csm_remark remark;
    csm_status st = csm_codec_open(model_path, options, &codec, err);
    if (st == CSM_OK) {
        info = *csm_codec_describe(codec);
        if (n_codebooks == 0)
            n_codebooks = info.n_codebooks;
        st = csm_audio_read_told(sound, info.sample_rate_hz, CSM_RESAMPLER_SOXR, HUGE_VAL, &samples,
                                 &n_samples, &remark, err);
    }
    if (st == CSM_OK && remark.code[0] != '\0')
        fprintf(stderr, "csm: %s\n", remark.text);
    if (st == CSM_OK) {
        n_frames = (n_samples + info.frame_samples - 1) / info.frame_samples;
        codes = malloc((n_frames * n_codebooks + 1) * sizeof *codes);
        if (codes == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: %zu frames: out of memory", sound, n_frames);
    }
    if (st == CSM_OK)
        st = csm_codec_encode(codec, samples, n_samples, n_codebooks, codes, err);
    if (st == CSM_OK) {
        const csm_tensor tensor = {.name = "codes",
                                   .dtype = CSM_DTYPE_I32,
                                   .rank = 2,
                                   .shape = {n_frames, n_codebooks},
                                   .data = codes,
                                   .n_bytes = n_frames * n_codebooks * sizeof *codes};
        const char *const metadata[] = {"version", csm_version()};
        st = csm_tensors_write(tokens, &tensor, 1, metadata, 1, err);
    }
    free(codes);
    csm_free(samples);
    csm_codec_close(codec);
    return st;
}
