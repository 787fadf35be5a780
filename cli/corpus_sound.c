/* SPDX-License-Identifier: Apache-2.0 */
#include "corpus_sound.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include <xxhash.h>

#include <csm/audio.h>
#include <csm/csm.h>

#include "loudness.h"

static const float QUIET = 0.00316227766F; /* -50 dB */
enum { BLOCK = CORPUS_RATE_HZ / 100 };

static bool is_quiet(const float *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabsf(samples[i]) > QUIET)
            return false;
    return true;
}

/* Block by block of 10 ms. */
static void measure_silence(const float *samples, size_t n, struct corpus_sound *s)
{
    const double block_s = (double)BLOCK / CORPUS_RATE_HZ;
    size_t run = 0;
    bool has_spoken = false;
    for (size_t at = 0; at < n; at += BLOCK) {
        if (is_quiet(samples + at, n - at < BLOCK ? n - at : BLOCK)) {
            run++;
            continue;
        }
        if (!has_spoken)
            s->lead_s = (double)run * block_s;
        else if ((double)run * block_s > s->longest_s)
            s->longest_s = (double)run * block_s;
        has_spoken = true;
        run = 0;
    }
    s->trail_s = (double)run * block_s;
    if (!has_spoken)
        s->lead_s = s->trail_s;
}

csm_status corpus_sound_measure(const char *path, struct corpus_sound *s, csm_error *err)
{
    float *samples;
    size_t n;
    *s = (struct corpus_sound){.lufs = (double)NAN};
    csm_status st = csm_audio_read(path, CORPUS_RATE_HZ, CSM_RESAMPLER_SOXR, &samples, &n, err);
    if (st != CSM_OK)
        return st;
    s->seconds = (double)n / CORPUS_RATE_HZ;
    for (size_t i = 0; i < n; i++) {
        const double size = fabs((double)samples[i]);
        s->peak = size > s->peak ? size : s->peak;
        s->n_clipped += size >= 32767.0 / 32768;
    }
    measure_silence(samples, n, s);
    const XXH128_hash_t hash = XXH3_128bits(samples, n * sizeof *samples);
    snprintf(s->digest, sizeof s->digest, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    if (loudness_is_known())
        st = loudness_of(samples, n, CORPUS_RATE_HZ, &s->lufs, err);
    csm_free(samples);
    return st;
}
