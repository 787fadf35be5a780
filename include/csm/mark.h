/* SPDX-License-Identifier: Apache-2.0
 *
 * mark.h - the mark in the sound: generated speech that can be told as such.
 *
 * A csm_mark adds a keyed noise, some 20 dB under the speech and shaped like it, as
 * the samples come; a csm_detector finds it again, with what it says, after coding,
 * filtering, noise or a change of speed. docs/MARK.md has the formulas and what
 * survives.
 *
 *   csm_mark_options o = csm_mark_defaults();
 *   o.payload = (csm_mark_payload){.maker = 1, .model = 0xbeef};
 *   csm_mark_open(&o, &mark, &err);
 *   csm_mark_push(mark, frame, n, frame);      as often as samples come
 *   csm_mark_close(mark);
 *
 * Sound is mono float32, full scale 1. */
#ifndef CSM_MARK_H
#define CSM_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <csm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CSM_MARK_KEY_BYTES = 32 /* length of a key */ };

/* What a mark says: 32 bits. `maker` 1 is csm itself, 0 says nothing; `model` is the
 * beginning of the model's digest; `free_bits` is the user's. */
typedef struct csm_mark_payload {
    uint8_t maker;
    uint16_t model;
    uint8_t free_bits;
} csm_mark_payload;

enum { CSM_MARK_MAKER_CSM = 1 /* the `maker` that is csm itself */ };

/* How to mark (which ignores fixed_speed), or how to look for a mark (which ignores the
 * payload). */
typedef struct csm_mark_options {
    size_t size;              /* of this struct, as the caller knows it */
    const unsigned char *key; /* CSM_MARK_KEY_BYTES bytes, read when opening; NULL: the
                                 public key, by which everybody can detect */
    int rate_hz;              /* 24000; a multiple of 8000 up to 48000 */
    csm_mark_payload payload;
    bool fixed_speed; /* look for marks at the speed that they were made at alone, which is 30
                         times as fast; false: from 0.977 to 1.023 */
} csm_mark_options;

/* The defaults, in what o->size covers; csm_mark_defaults sets the size too. */
CSM_API void csm_mark_options_init(csm_mark_options *o);
static inline csm_mark_options csm_mark_defaults(void)
{
    csm_mark_options o;
    o.size = sizeof o;
    csm_mark_options_init(&o);
    return o;
}

/* What a sound of this model says: maker csm, the first 16 bits of the digest in
 * hexadecimal (csm_model_info.digest; NULL or none: 0), free bits 0. */
CSM_API csm_mark_payload csm_mark_payload_of(const char *model_digest);

/* What the tags of a marked file say, where its format has tags: the comment of
 * csm_audio_options. Its `software` is "csm " and csm_version(). */
#define CSM_MARK_COMMENT "AI-generated"

/* ---- marking ---------------------------------------------------------------- */

typedef struct csm_mark csm_mark; /* one stream of sound that is being marked */

/* Begin one stream of sound; `*out` is untouched on failure. options: NULL for the
 * defaults. Returns CSM_OK; CSM_BAD_ARG (size, rate_hz); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_mark_open(const csm_mark_options *options, csm_mark **out,
                                              csm_error *err);

/* The next n samples, marked, without delay: out[i] is samples[i] with the mark.
 * out may be samples. However a sound is cut into pushes, the bits are the same.
 * Allocates nothing; one thread at a time per mark. */
CSM_API void csm_mark_push(csm_mark *mark, const float *samples, size_t n, float *out);

/* Takes NULL. */
CSM_API void csm_mark_close(csm_mark *mark);

/* ---- detecting -------------------------------------------------------------- */

/* A stretch of sound in which the mark was found. */
typedef struct csm_mark_found {
    double start_s, end_s; /* in the sound, to within a window's half (2.5 s) */
    double p_value;        /* a bound: at most so often does sound without this key's mark
                              look so, in all that was pushed so far */
    double speed;          /* of the sound against how it was marked: 1.02 is faster */
    bool has_payload;      /* payload could be read, its 24 check bits agree */
    csm_mark_payload payload;
} csm_mark_found;

typedef struct csm_detector csm_detector; /* one sound that is being looked at */

/* Begin to look at one sound; as csm_mark_open. Holds a megabyte. */
CSM_API CSM_MUST_USE csm_status csm_detector_open(const csm_mark_options *options,
                                                  csm_detector **out, csm_error *err);

/* The next samples, at options' rate. What is not finite counts as silence. Each 2.5 s
 * of sound are searched as soon as they are complete, which takes some 0.5 s of one core
 * where no mark is found.
 * Returns CSM_OK; CSM_BAD_ARG (after csm_detector_result); CSM_NO_MEMORY. One thread at
 * a time per detector. */
CSM_API CSM_MUST_USE csm_status csm_detector_push(csm_detector *detector, const float *samples,
                                                  size_t n, csm_error *err);

/* The end: looks at what is left, then gives what was found, in order of time.
 *
 *   found, n_found   receive an array that lives as long as the detector; no stretch
 *                    at all: not marked, or too short or too damaged to tell. Only
 *                    stretches whose p_value is at most 1e-5 are given.
 *   p_value          may be NULL; receives the smallest bound, whether found or not
 *
 * May be called again. Returns CSM_OK; CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_detector_result(csm_detector *detector,
                                                    const csm_mark_found **found, size_t *n_found,
                                                    double *p_value, csm_error *err);

/* Takes NULL. */
CSM_API void csm_detector_close(csm_detector *detector);

#ifdef __cplusplus
}
#endif
#endif
