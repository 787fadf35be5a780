/* SPDX-License-Identifier: Apache-2.0 */
#include "tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/analysis.h>
#include <csm/remarks.h>

/* The codes of a file, in the order that the codec takes: [frames, codebooks]. Codecs of other
 * programs hand over [codebooks, frames]; it is told by the codec's number of codebooks, but
 * for files that csm wrote. `*turned` is to be freed: NULL where they lie right. */
static csm_status order_codes(const csm_tokens *tokens, size_t n_codebooks, const int32_t **codes,
                              size_t *n_frames, size_t *n_columns, int32_t **turned, csm_error *err)
{
    const size_t rows = tokens->n_frames, columns = tokens->n_codebooks;
    const bool is_own = csm_tokens_metadata(tokens, "version") != NULL;
    const bool is_turned = !is_own && ((columns > n_codebooks && rows <= n_codebooks) ||
                                       (rows == n_codebooks && columns != n_codebooks));
    *turned = NULL;
    *codes = tokens->codes;
    *n_frames = is_turned ? columns : rows;
    *n_columns = is_turned ? rows : columns;
    if (!is_turned)
        return CSM_OK;
    *turned = malloc((rows * columns + 1) * sizeof **turned);
    if (*turned == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %zu codes: out of memory", tokens->name,
                        rows * columns);
    for (size_t i = 0; i < rows * columns; i++)
        (*turned)[i % columns * rows + i / columns] = tokens->codes[i];
    *codes = *turned;
    return CSM_OK;
}

csm_status tokens_to_sound(const char *tokens, const char *model_path,
                           const csm_model_options *options, const char *output,
                           const struct written *written, const struct marking *marking,
                           csm_error *err)
{
    csm_codec *codec = NULL;
    csm_tokens *file = NULL;
    const int32_t *codes = NULL;
    int32_t *turned = NULL;
    float *samples = NULL;
    size_t n_frames = 0, n_codebooks = 0, n_samples = 0;
    csm_status st = csm_tokens_open(tokens, &file, err);
    if (st == CSM_OK)
        st = csm_codec_open(model_path, options, &codec, err);
    if (st == CSM_OK)
        st = order_codes(file, csm_codec_describe(codec)->n_codebooks, &codes, &n_frames,
                         &n_codebooks, &turned, err);
    if (st == CSM_OK && n_frames == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: no frame, expected some: there is no sound", tokens);
    if (st == CSM_OK) {
        n_samples = n_frames * csm_codec_describe(codec)->frame_samples;
        samples = malloc((n_samples + 1) * sizeof *samples);
        if (samples == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: %zu frames: out of memory", tokens, n_frames);
    }
    if (st == CSM_OK) {
        st = csm_codec_decode(codec, codes, n_frames, n_codebooks, samples, err);
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
    free(turned);
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
    csm_status st = csm_codec_open(model_path, options, &codec, err);
    if (st == CSM_OK) {
        info = *csm_codec_describe(codec);
        if (n_codebooks == 0)
            n_codebooks = info.n_codebooks;
        st = csm_audio_read(sound, info.sample_rate_hz, CSM_RESAMPLER_SOXR, &samples, &n_samples,
                            err);
    }
    csm_remark remark;
    if (st == CSM_OK && csm_remark_file(sound, &remark))
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
