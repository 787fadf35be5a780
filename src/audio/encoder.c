/* SPDX-License-Identifier: Apache-2.0
 *
 * encoder.c - a sound's way through resampling into its format. */
#include "audio/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/format.h"
#include "audio/resample_stream.h"
#include "base/arithmetic.h"
#include "base/error.h"
#include "base/utf8.h"

enum { MAX_TAG_BYTES = 4000, AT_ONCE = 2048 };

struct csm_encoder {
    struct csm_encoding encoding;
    const struct csm_format *format;
    void *state;                          /* of the format */
    struct csm_resample_stream *resample; /* NULL: rates are equal */
    uint64_t n_promised, n_pushed;        /* samples of the sound */
};

void csm_audio_options_init(csm_audio_options *options)
{
    const size_t size = options->size;
    memset(options, 0, size);
    options->size = size;
}

/* ---- what the formats call --------------------------------------------------- */

static csm_status keep_failure(struct csm_encoding *e, csm_status status, const csm_error *why,
                               csm_error *err)
{
    if (status != CSM_OK && e->failure == CSM_OK) {
        e->failure = status;
        e->failure_text = *why;
    }
    if (status != CSM_OK && err != NULL)
        *err = *why;
    return status;
}

csm_status csm_encoding_write(struct csm_encoding *e, const void *bytes, size_t n, csm_error *err)
{
    if (n == 0)
        return CSM_OK;
    csm_error why = {""};
    csm_status status = e->target.write(e->target.user, bytes, n, &why);
    e->n_bytes += n;
    return keep_failure(e, status, &why, err);
}

csm_status csm_encoding_rewrite(struct csm_encoding *e, uint64_t offset, const void *bytes,
                                size_t n, csm_error *err)
{
    csm_error why = {""};
    return keep_failure(e, e->target.rewrite(e->target.user, offset, bytes, n, &why), &why, err);
}

bool csm_encoding_can_rewrite(const struct csm_encoding *e)
{
    return e->target.rewrite != NULL;
}

csm_status csm_encoding_failed(const struct csm_encoding *e, const char *what, csm_error *err)
{
    if (e->failure == CSM_OK)
        return csm_fail(err, CSM_NO_MEMORY, "%s: %s", csm_audio_format_name(e->format), what);
    if (err != NULL)
        *err = e->failure_text;
    return e->failure;
}

bool csm_encoding_comment(const struct csm_encoding *e, size_t i, const char **name,
                          const char **value)
{
    const char *const names[] = {"TITLE", "ARTIST", "ENCODER", "COMMENT"};
    const char *const values[] = {e->title, e->artist, e->software, e->comment};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (values[at] != NULL && i-- == 0) {
            *name = names[at];
            *value = values[at];
            return true;
        }
    return false;
}

int csm_encoding_bit_rate(const struct csm_encoding *e)
{
    return e->rate_hz < 32000 ? 4 * e->rate_hz : 128000;
}

/* ---- opening ----------------------------------------------------------------- */

static csm_status copy_tag(char **out, const char *tag, const char *name, csm_error *err)
{
    if (tag == NULL || *tag == '\0')
        return CSM_OK;
    const size_t n = strlen(tag);
    if (n > MAX_TAG_BYTES)
        return csm_fail(err, CSM_BAD_ARG, "tag %s: %zu bytes, expected at most %d", name, n,
                        MAX_TAG_BYTES);
    if (csm_utf8_valid(tag, n) < n)
        return csm_fail(err, CSM_BAD_ARG, "tag %s: not UTF-8 at byte %zu", name,
                        csm_utf8_valid(tag, n));
    *out = malloc(n + 1);
    if (*out == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "tag %s: out of memory", name);
    memcpy(*out, tag, n + 1);
    return CSM_OK;
}

static csm_status copy_tags(struct csm_encoding *e, const csm_audio_options *o, csm_error *err)
{
    csm_status status = copy_tag(&e->title, o->title, "title", err);
    if (status == CSM_OK)
        status = copy_tag(&e->artist, o->artist, "artist", err);
    if (status == CSM_OK)
        status = copy_tag(&e->software, o->software, "software", err);
    if (status == CSM_OK)
        status = copy_tag(&e->comment, o->comment, "comment", err);
    return status;
}

/* What of the caller's options its size covers, over the defaults. */
csm_audio_options csm_audio_options_settle(const csm_audio_options *given)
{
    csm_audio_options o = csm_audio_defaults();
    if (given != NULL)
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    return o;
}

static csm_status open_all(csm_encoder *e, int rate_hz, const csm_audio_options *o, csm_error *err)
{
    struct csm_encoding *to = &e->encoding;
    if (rate_hz < 1 || rate_hz > 768000)
        return csm_fail(err, CSM_BAD_ARG, "sound: %d Hz, expected 1 to 768000", rate_hz);
    if (o->credentials != NULL)
        return csm_fail(err, CSM_BAD_ARG, "encoder: credentials, expected a file to sign");
    if (o->rate_hz != 0 && (o->rate_hz < 8000 || o->rate_hz > 48000))
        return csm_fail(err, CSM_BAD_ARG, "sample rate: %d Hz, expected 8000 to 48000", o->rate_hz);
    to->rate_hz = o->rate_hz != 0 ? o->rate_hz : rate_hz;
    to->n_samples = csm_resampled_count(o->n_samples, rate_hz, to->rate_hz);
    e->n_promised = o->n_samples;
    csm_status status = csm_format_check_rate(to->format, to->rate_hz, err);
    if (status == CSM_OK)
        status = copy_tags(to, o, err);
    if (status == CSM_OK && to->rate_hz != rate_hz)
        status = csm_resample_stream_open(rate_hz, to->rate_hz, &e->resample, err);
    if (status == CSM_OK)
        status = e->format->kind->open(to, &e->state, err);
    return status;
}

static csm_status open_encoder(csm_audio_format format, int rate_hz,
                               const csm_audio_options *options, const csm_encoder_target *target,
                               csm_encoder **out, csm_error *err)
{
    const struct csm_format *row = csm_format_row(format);
    if (row == NULL || target == NULL || target->write == NULL)
        return csm_fail(err, CSM_BAD_ARG, "encoder: %s",
                        row == NULL ? "no such format" : "nowhere to write to");
    csm_encoder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "encoder: out of memory");
    e->format = row;
    e->encoding = (struct csm_encoding){.format = format, .target = *target};
    const csm_audio_options settled = csm_audio_options_settle(options);
    csm_status status = open_all(e, rate_hz, &settled, err);
    if (status != CSM_OK)
        csm_encoder_close(e);
    else
        *out = e;
    return status;
}

csm_status csm_encoder_open(csm_audio_format format, int rate_hz, const csm_audio_options *options,
                            const csm_encoder_target *target, csm_encoder **out, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = open_encoder(format, rate_hz, options, target, out, err);
    csm_arithmetic_end(&host);
    return st;
}

/* ---- pushing ----------------------------------------------------------------- */

/* What integers and the lossy formats can take: no numbers beyond 1, no NaN. */
static void tame(float *out, const float *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = isnan(samples[i]) ? 0 : samples[i] > 1 ? 1 : samples[i] < -1 ? -1 : samples[i];
}

/* One piece, and at the end all that the resampler holds. */
static csm_status pass(csm_encoder *e, const float *samples, size_t n, bool is_last, csm_error *err)
{
    csm_status status = CSM_OK;
    if (e->resample != NULL)
        status = csm_resample_stream_push(e->resample, samples, n, is_last, &samples, &n, err);
    for (size_t at = 0; status == CSM_OK && at < n; at += AT_ONCE)
        status =
            e->format->kind->push(e->state, samples + at, n - at < AT_ONCE ? n - at : AT_ONCE, err);
    return status;
}

static csm_status push(csm_encoder *e, const float *samples, size_t n_samples, csm_error *err)
{
    float piece[AT_ONCE];
    e->n_pushed += n_samples;
    csm_status status = CSM_OK;
    for (size_t n; status == CSM_OK && n_samples > 0; samples += n, n_samples -= n) {
        n = n_samples < AT_ONCE ? n_samples : AT_ONCE;
        if (e->format->is_float)
            memcpy(piece, samples, n * sizeof *piece);
        else
            tame(piece, samples, n);
        status = pass(e, piece, n, false, err);
    }
    return status;
}

csm_status csm_encoder_push(csm_encoder *e, const float *samples, size_t n_samples, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = push(e, samples, n_samples, err);
    csm_arithmetic_end(&host);
    return st;
}

static csm_status finish(csm_encoder *e, csm_error *err)
{
    if (e->n_promised != 0 && e->n_promised != e->n_pushed)
        return csm_fail(err, CSM_BAD_ARG,
                        "sound: %llu samples, expected the %llu that the options said",
                        (unsigned long long)e->n_pushed, (unsigned long long)e->n_promised);
    csm_status status = e->resample != NULL ? pass(e, NULL, 0, true, err) : CSM_OK;
    return status == CSM_OK ? e->format->kind->finish(e->state, err) : status;
}

csm_status csm_encoder_finish(csm_encoder *e, csm_error *err)
{
    const fenv_t host = csm_arithmetic_begin();
    const csm_status st = finish(e, err);
    csm_arithmetic_end(&host);
    return st;
}

void csm_encoder_close(csm_encoder *e)
{
    if (e == NULL)
        return;
    e->format->kind->close(e->state);
    csm_resample_stream_close(e->resample);
    free(e->encoding.title);
    free(e->encoding.artist);
    free(e->encoding.software);
    free(e->encoding.comment);
    free(e);
}
