/* SPDX-License-Identifier: Apache-2.0 */
#include "sound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sonic.h>

enum { AT_ONCE = 4096 }; /* samples of sonic's output */

struct sound {
    csm_encoder *encoder;
    sonicStream stretch; /* NULL: speed 1 */
    csm_mark *mark;      /* NULL: none */
    float *marked;       /* [n_marked] */
    size_t n_marked;
    char software[32];
    unsigned char *bytes;
    size_t n, capacity;
    bool is_given; /* what is there has been taken */
    csm_credentials *credentials;
    csm_audio_format format;
};

static csm_status write_bytes(void *user, const void *bytes, size_t n, csm_error *err)
{
    struct sound *s = user;
    if (s->is_given)
        s->n = 0;
    s->is_given = false;
    if (s->n + n > s->capacity) {
        const size_t capacity = 2 * s->capacity + n;
        unsigned char *grown = realloc(s->bytes, capacity);
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
        s->bytes = grown;
        s->capacity = capacity;
    }
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return CSM_OK;
}

static csm_status rewrite_bytes(void *user, uint64_t offset, const void *bytes, size_t n,
                                csm_error *err)
{
    struct sound *s = user;
    if (offset > s->n || n > s->n - offset)
        return csm_fail(err, CSM_BAD_ARG, "sound: a header beyond its end");
    memcpy(s->bytes + offset, bytes, n);
    return CSM_OK;
}

csm_status sound_open(const struct sound_setup *setup, struct sound **out, csm_error *err)
{
    struct sound *s = calloc(1, sizeof *s);
    if (s == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    s->format = setup->format;
    s->credentials = setup->credentials;
    csm_audio_options options = csm_audio_defaults();
    options.rate_hz = setup->out_hz;
    csm_status st = CSM_OK;
    if (setup->mark != NULL) {
        snprintf(s->software, sizeof s->software, "csm %s", csm_version());
        options.software = s->software;
        options.comment = CSM_MARK_COMMENT;
        st = csm_mark_open(setup->mark, &s->mark, err);
    }
    const csm_encoder_target target = {write_bytes, setup->is_whole ? rewrite_bytes : NULL, s};
    if (st == CSM_OK)
        st = csm_encoder_open(setup->format, setup->rate_hz, &options, &target, &s->encoder, err);
    if (st == CSM_OK && setup->speed != 1) {
        s->stretch = sonicCreateStream(setup->rate_hz, 1);
        if (s->stretch == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
        else
            sonicSetSpeed(s->stretch, (float)setup->speed);
    }
    if (st == CSM_OK)
        *out = s;
    else
        sound_close(s);
    return st;
}

/* Mark and encode: the mark is put on what the client hears. */
static csm_status encode(struct sound *s, const float *samples, size_t n, csm_error *err)
{
    if (n == 0 || s->mark == NULL)
        return n > 0 ? csm_encoder_push(s->encoder, samples, n, err) : CSM_OK;
    if (n > s->n_marked) {
        float *grown = realloc(s->marked, n * sizeof *grown);
        if (grown == NULL)
            return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
        s->marked = grown;
        s->n_marked = n;
    }
    csm_mark_push(s->mark, samples, n, s->marked);
    return csm_encoder_push(s->encoder, s->marked, n, err);
}

/* What sonic has ready. */
static csm_status drain(struct sound *s, csm_error *err)
{
    float samples[AT_ONCE];
    csm_status st = CSM_OK;
    int n;
    while (st == CSM_OK && (n = sonicReadFloatFromStream(s->stretch, samples, AT_ONCE)) > 0)
        st = encode(s, samples, (size_t)n, err);
    return st;
}

csm_status sound_push(struct sound *s, const float *samples, size_t n, csm_error *err)
{
    if (s->stretch == NULL)
        return encode(s, samples, n, err);
    /* Sonic does not write there, though its argument is not const. */
    if (n > 0 && sonicWriteFloatToStream(s->stretch, (float *)samples, (int)n) == 0)
        return csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    return drain(s, err);
}

/* The whole file, which is there, in its signed form. */
static csm_status sign(struct sound *s, csm_error *err)
{
    void *bytes;
    size_t n;
    const csm_status st =
        csm_credentials_sign(s->credentials, s->format, s->bytes, s->n, &bytes, &n, err);
    if (st == CSM_OK) {
        free(s->bytes);
        s->bytes = bytes;
        s->n = s->capacity = n;
    }
    return st;
}

csm_status sound_finish(struct sound *s, csm_error *err)
{
    csm_status st = CSM_OK;
    if (s->stretch != NULL && sonicFlushStream(s->stretch) == 0)
        st = csm_fail(err, CSM_NO_MEMORY, "sound: out of memory");
    if (st == CSM_OK && s->stretch != NULL)
        st = drain(s, err);
    if (st == CSM_OK)
        st = csm_encoder_finish(s->encoder, err);
    return st == CSM_OK && s->credentials != NULL ? sign(s, err) : st;
}

const void *sound_take(struct sound *s, size_t *n)
{
    *n = s->is_given ? 0 : s->n;
    s->is_given = true;
    return s->bytes;
}

void sound_close(struct sound *s)
{
    if (s == NULL)
        return;
    csm_encoder_close(s->encoder);
    if (s->stretch != NULL)
        sonicDestroyStream(s->stretch);
    csm_mark_close(s->mark);
    free(s->marked);
    free(s->bytes);
    free(s);
}
