/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/arithmetic.h"
#include "base/error.h"
#include "base/sized.h"
#include "generate/model.h"

struct csm_decoder {
    csm_codec *codec;
    struct csm_mimi_stream stream;
};

csm_status csm_codec_bind(csm_codec *codec, const struct csm_engine *engine,
                          struct csm_turns *turns, const csm_checkpoint *checkpoint,
                          csm_error *err)
{
    codec->turns = turns;
    csm_encoded_open(&codec->encoded);
    codec->is_bound = true;
    const struct csm_codec_config *config = &csm_checkpoint_config(checkpoint)->codec;
    codec->info = (csm_codec_info){.sample_rate_hz = config->sample_rate_hz,
                                   .frame_samples = config->frame_samples,
                                   .n_codebooks = config->n_codebooks,
                                   .n_entries = config->n_entries};
    return csm_mimi_open(&codec->mimi, engine, checkpoint, err);
}

void csm_codec_release(csm_codec *codec)
{
    csm_mimi_close(&codec->mimi);
    if (codec->is_bound)
        csm_encoded_close(&codec->encoded);
    codec->is_bound = false;
}

static csm_status open_codec(const char *dir, const csm_model_options *options, csm_codec **out,
                             csm_error *err)
{
    csm_model_options known = csm_model_defaults();
    char voice[4096];
    csm_status st = options == NULL ? CSM_OK
                                    : csm_sized_read(options, &known, sizeof known,
                                                     "codec options", err);
    if (st != CSM_OK)
        return st;
    options = &known;
    st = dir == NULL ? csm_voice_dir(voice, sizeof voice, err) : CSM_OK;
    if (st != CSM_OK)
        return st;
    csm_codec *codec = calloc(1, sizeof *codec);
    if (codec == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "codec: %zu bytes", sizeof *codec);
    csm_turns_open(&codec->own_turns);
    const struct csm_engine_options engine = {.n_threads = options->n_threads,
                                              .device = options->device};
    const char *name = options->codec_engine != NULL ? options->codec_engine : "native";
    st = csm_checkpoint_open(dir != NULL ? dir : voice, CSM_NEEDS_CODEC, &codec->own_checkpoint,
                             err);
    if (st == CSM_OK)
        st = csm_engine_open(name, &engine, &codec->own_engine, err);
    if (st == CSM_OK && !codec->own_engine.ops->traits(codec->own_engine.ctx)->codec)
        st = csm_fail(err, CSM_BAD_ARG, "engine %s: it has no convolutions, expected one for codecs",
                      name);
    if (st == CSM_OK)
        st = csm_codec_bind(codec, &codec->own_engine, &codec->own_turns, codec->own_checkpoint,
                            err);
    if (st != CSM_OK) {
        csm_codec_close(codec);
        return st;
    }
    *out = codec;
    return CSM_OK;
}

csm_status csm_codec_open(const char *dir, const csm_model_options *options, csm_codec **out,
                          csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_codec(dir, options, out, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_codec_close(csm_codec *codec)
{
    if (codec == NULL || !csm_turns_are_ours(&codec->own_turns))
        return;
    csm_codec_release(codec);
    csm_engine_close(&codec->own_engine);
    csm_checkpoint_close(codec->own_checkpoint);
    csm_turns_close(&codec->own_turns);
    free(codec);
}

csm_codec *csm_model_codec(csm_model *model)
{
    return model->info.has_codec ? &model->codec : NULL;
}

const csm_codec_info *csm_codec_describe(const csm_codec *codec)
{
    return &codec->info;
}

/* A model may have none, or be one that was opened to be described only. */
static csm_status check_there(const csm_codec *codec, csm_error *err)
{
    if (codec == NULL || codec->mimi.engine == NULL)
        return csm_fail(err, CSM_BAD_ARG, "codec: there is none, expected a model that has one");
    if (codec->turns == NULL)
        return csm_fail(err, CSM_BAD_ARG,
                        "codec: nothing is loaded, expected a model that was not opened to be "
                        "described only");
    return csm_turns_check(codec->turns, err);
}

static csm_status check_codebooks(const csm_codec *codec, size_t n_codebooks, csm_error *err)
{
    csm_status st = check_there(codec, err);
    if (st != CSM_OK)
        return st;
    if (n_codebooks < 1 || n_codebooks > codec->info.n_codebooks)
        return csm_fail(err, CSM_BAD_ARG, "%zu codebooks, expected 1 to the codec's %zu",
                        n_codebooks, codec->info.n_codebooks);
    return CSM_OK;
}

static csm_status encode(csm_codec *codec, const float *samples, size_t n_samples,
                         size_t n_codebooks, int32_t *codes, csm_error *err)
{
    struct csm_mimi_stream stream = {0};
    const size_t frame = codec->info.frame_samples, piece = CSM_MIMI_PIECE * frame;
    csm_turns_take(codec->turns);
    csm_status st = csm_mimi_encoder_open(&codec->mimi, &stream, err);
    for (size_t at = 0; st == CSM_OK && at < n_samples; at += piece) {
        st = csm_mimi_encode(&stream, samples + at, n_samples - at < piece ? n_samples - at : piece,
                             n_codebooks, NULL, codes + at / frame * n_codebooks, err);
        csm_turns_give(codec->turns); /* others have theirs between two pieces */
        csm_turns_take(codec->turns);
    }
    csm_mimi_stream_close(&stream);
    csm_turns_give(codec->turns);
    return st;
}

static csm_status encode_checked(csm_codec *codec, const float *samples, size_t n_samples,
                                 size_t n_codebooks, int32_t *codes, csm_error *err)
{
    csm_status st = check_codebooks(codec, n_codebooks, err);
    for (size_t i = 0; st == CSM_OK && i < n_samples; i++)
        if (!isfinite(samples[i]))
            st = csm_fail(err, CSM_BAD_ARG, "sample %zu: %g, expected a finite value", i,
                          (double)samples[i]);
    if (st != CSM_OK || n_samples == 0 ||
        csm_encoded_find(&codec->encoded, samples, n_samples, n_codebooks, codes))
        return st;
    st = encode(codec, samples, n_samples, n_codebooks, codes, err);
    if (st == CSM_OK) {
        const size_t frame = codec->info.frame_samples;
        csm_encoded_keep(&codec->encoded, samples, n_samples, codes,
                         (n_samples + frame - 1) / frame, n_codebooks);
    }
    return st;
}

csm_status csm_codec_encode(csm_codec *codec, const float *samples, size_t n_samples,
                            size_t n_codebooks, int32_t *codes, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = encode_checked(codec, samples, n_samples, n_codebooks, codes, err);
    csm_arithmetic_end(&host);
    return st;
}

csm_status csm_codec_decode(csm_codec *codec, const int32_t *codes, size_t n_frames,
                            size_t n_codebooks, float *samples, csm_error *err)
{
    csm_decoder *decoder = NULL;
    csm_status st = check_codebooks(codec, n_codebooks, err);
    if (st == CSM_OK)
        st = csm_decoder_open(codec, &decoder, err);
    if (st == CSM_OK)
        st = csm_decoder_push(decoder, codes, n_frames, n_codebooks, samples, err);
    csm_decoder_close(decoder);
    return st;
}

static csm_status open_decoder(csm_codec *codec, csm_decoder **out, csm_error *err)
{
    csm_status there = check_there(codec, err);
    if (there != CSM_OK)
        return there;
    csm_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "decoder: %zu bytes", sizeof *decoder);
    decoder->codec = codec;
    csm_turns_take(codec->turns);
    csm_status st = csm_mimi_decoder_open(&codec->mimi, CSM_MIMI_PIECE, &decoder->stream, err);
    csm_turns_give(codec->turns);
    if (st != CSM_OK) {
        free(decoder);
        return st;
    }
    *out = decoder;
    return CSM_OK;
}

csm_status csm_decoder_open(csm_codec *codec, csm_decoder **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin(); /* an engine may make its rotary frequencies here */
    const csm_status st = open_decoder(codec, out, err);
    csm_arithmetic_end(&host);
    return st;
}

static csm_status push(csm_decoder *decoder, const int32_t *codes, size_t n_frames,
                       size_t n_codebooks, float *samples, csm_error *err)
{
    csm_status st = check_codebooks(decoder->codec, n_codebooks, err);
    size_t n_entries = decoder->codec->info.n_entries;
    for (size_t i = 0; st == CSM_OK && i < n_frames * n_codebooks; i++)
        if (codes[i] < 0 || (size_t)codes[i] >= n_entries)
            st = csm_fail(err, CSM_BAD_ARG, "frame %zu, codebook %zu: code %d, expected 0 to %zu",
                          i / n_codebooks, i % n_codebooks, codes[i], n_entries - 1);
    const size_t piece = CSM_MIMI_PIECE, frame = decoder->codec->info.frame_samples;
    for (size_t at = 0; st == CSM_OK && at < n_frames; at += piece) {
        csm_turns_take(decoder->codec->turns);
        st = csm_mimi_decode(&decoder->stream, codes + at * n_codebooks,
                             n_frames - at < piece ? n_frames - at : piece, n_codebooks, NULL,
                             samples + at * frame, err);
        csm_turns_give(decoder->codec->turns);
    }
    if (st == CSM_OK)
        st = csm_mimi_check(samples, n_frames * frame, err);
    return st;
}

csm_status csm_decoder_push(csm_decoder *decoder, const int32_t *codes, size_t n_frames,
                            size_t n_codebooks, float *samples, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = push(decoder, codes, n_frames, n_codebooks, samples, err);
    csm_arithmetic_end(&host);
    return st;
}

csm_status csm_decoder_reset(csm_decoder *decoder, csm_error *err)
{
    csm_status st = csm_turns_check(decoder->codec->turns, err);
    if (st != CSM_OK)
        return st;
    csm_turns_take(decoder->codec->turns);
    st = csm_mimi_reset(&decoder->stream, err);
    csm_turns_give(decoder->codec->turns);
    return st;
}

void csm_decoder_close(csm_decoder *decoder)
{
    if (decoder == NULL || !csm_turns_are_ours(decoder->codec->turns))
        return;
    csm_turns_take(decoder->codec->turns);
    csm_mimi_stream_close(&decoder->stream);
    csm_turns_give(decoder->codec->turns);
    free(decoder);
}
