/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.c - libc2pa_c, loaded when it is asked for. Its header comes with no
 * package, so what is called is declared here, as c2pa.h declares it. */
#include <csm/credentials.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/place.h"

/* ---- c2pa.h ---------------------------------------------------------------- */

typedef struct C2paSigner C2paSigner;
typedef struct C2paBuilder C2paBuilder;
typedef struct C2paStream C2paStream;
typedef struct StreamContext StreamContext;

typedef struct C2paSignerInfo {
    const char *alg, *sign_cert, *private_key, *ta_url;
} C2paSignerInfo;

/* Bytes, or the new position, or -1. */
typedef intptr_t (*ReadCallback)(StreamContext *context, uint8_t *data, intptr_t n);
typedef intptr_t (*SeekCallback)(StreamContext *context, intptr_t offset, int mode);
typedef intptr_t (*WriteCallback)(StreamContext *context, const uint8_t *data, intptr_t n);
typedef intptr_t (*FlushCallback)(StreamContext *context);

#define FUNCTIONS(X)                                                                               \
    X(char *, c2pa_error, (void))                                                                  \
    X(void, c2pa_string_free, (char *))                                                            \
    X(C2paStream *, c2pa_create_stream,                                                            \
      (StreamContext *, ReadCallback, SeekCallback, WriteCallback, FlushCallback))                 \
    X(void, c2pa_release_stream, (C2paStream *))                                                   \
    X(C2paSigner *, c2pa_signer_from_info, (const C2paSignerInfo *))                               \
    X(void, c2pa_signer_free, (C2paSigner *))                                                      \
    X(C2paBuilder *, c2pa_builder_from_json, (const char *))                                       \
    X(void, c2pa_builder_free, (C2paBuilder *))                                                    \
    X(int64_t, c2pa_builder_sign,                                                                  \
      (C2paBuilder *, const char *, C2paStream *, C2paStream *, C2paSigner *,                      \
       const unsigned char **))                                                                    \
    X(void, c2pa_manifest_bytes_free, (const unsigned char *))

/* Kept loaded once it is: it has threads' data of its own. */
struct csm_credentials {
    C2paSigner *signer;
    pthread_mutex_t lock; /* its library says nothing of threads: a file at a time */
#define MEMBER(type, name, arguments) type(*name) arguments;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static csm_status load(csm_credentials *c, csm_error *err)
{
    const char *path = csm_place_from_environment("CSM_C2PA");
    static const char *const names[] = {"libc2pa_c.so", "libc2pa_c.dylib"};
    void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (size_t i = 0; path == NULL && library == NULL && i < 2; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return csm_fail(err, CSM_NO_ENGINE,
                        "c2pa: %s does not load: install c2pa-python, and set CSM_C2PA to its "
                        "c2pa/libs/libc2pa_c.so",
                        path != NULL ? path : names[0]);
    void *symbol;
#define FIND(type, name, arguments)                                                                \
    symbol = dlsym(library, #name);                                                                \
    if (symbol == NULL)                                                                            \
        return csm_fail(err, CSM_NO_ENGINE, "c2pa: libc2pa_c has no %s", #name);                   \
    memcpy(&c->name, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
#undef FIND
    return CSM_OK;
}

/* ---- the certificate --------------------------------------------------------- */

/* A key fits one of these algorithms, RSA all three of PS: the others refuse it. */
static csm_status make_signer(csm_credentials *c, const char *certificate, const char *key,
                              csm_error *err)
{
    static const char *const algorithms[] = {"es256", "es384", "es512", "ed25519", "ps256"};
    for (size_t i = 0; c->signer == NULL && i < sizeof algorithms / sizeof *algorithms; i++) {
        const C2paSignerInfo info = {algorithms[i], certificate, key, NULL};
        c->signer = c->c2pa_signer_from_info(&info);
    }
    return c->signer != NULL
               ? CSM_OK
               : csm_fail(err, CSM_BAD_FORMAT,
                          "c2pa: certificate and key are refused, expected PEM, the key PKCS #8 "
                          "of EC on P-256, P-384 or P-521, Ed25519, or RSA");
}

csm_status csm_credentials_open(const char *certificate, const char *key, csm_credentials **out,
                                csm_error *err)
{
    csm_credentials *c = calloc(1, sizeof *c);
    if (c == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "c2pa: out of memory");
    if (pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return csm_fail(err, CSM_NO_MEMORY, "c2pa: out of memory");
    }
    csm_status status = load(c, err);
    if (status == CSM_OK)
        status = make_signer(c, certificate, key, err);
    if (status == CSM_OK)
        *out = c;
    else
        csm_credentials_close(c);
    return status;
}

void csm_credentials_close(csm_credentials *c)
{
    if (c == NULL)
        return;
    if (c->signer != NULL)
        c->c2pa_signer_free(c->signer);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

bool csm_credentials_fit(csm_audio_format format)
{
    return format == CSM_AUDIO_FORMAT_WAV || format == CSM_AUDIO_FORMAT_WAV_F32 ||
           format == CSM_AUDIO_FORMAT_WAV_ULAW || format == CSM_AUDIO_FORMAT_WAV_ALAW ||
           format == CSM_AUDIO_FORMAT_FLAC || format == CSM_AUDIO_FORMAT_MP3;
}

/* ---- signing ------------------------------------------------------------------ */

/* A file in memory: what is read, or what is written. */
struct stream {
    const unsigned char *bytes; /* NULL: it is written */
    struct csm_builder written;
    size_t n, at;
};

static struct stream *stream_of(StreamContext *context)
{
    return (struct stream *)(void *)context;
}

static intptr_t read_bytes(StreamContext *context, uint8_t *data, intptr_t n)
{
    struct stream *s = stream_of(context);
    const size_t left = s->at < s->n ? s->n - s->at : 0, n_now = (size_t)n < left ? (size_t)n : left;
    const void *from = s->bytes != NULL ? (const void *)s->bytes : s->written.text;
    if (n_now > 0)
        memcpy(data, (const char *)from + s->at, n_now);
    s->at += n_now;
    return (intptr_t)n_now;
}

static intptr_t seek(StreamContext *context, intptr_t offset, int mode)
{
    struct stream *s = stream_of(context);
    const intptr_t from = mode == 0 ? 0 : mode == 1 ? (intptr_t)s->at : (intptr_t)s->n;
    if (from + offset < 0 || from + offset > (intptr_t)s->n)
        return -1;
    s->at = (size_t)(from + offset);
    return from + offset;
}

static intptr_t write_bytes(StreamContext *context, const uint8_t *data, intptr_t n)
{
    struct stream *s = stream_of(context);
    if (s->bytes != NULL)
        return -1;
    const size_t over = s->n - s->at < (size_t)n ? s->n - s->at : (size_t)n;
    if (over > 0)
        memcpy(s->written.text + s->at, data, over);
    csm_builder_add(&s->written, (const char *)data + over, (size_t)n - over);
    s->at += (size_t)n;
    s->n = s->written.length;
    return s->written.has_failed ? -1 : n;
}

static intptr_t flush(StreamContext *context)
{
    (void)context;
    return 0;
}

/* libc2pa_c's reason, its first line. */
static csm_status refused(csm_credentials *c, csm_error *err)
{
    char *reason = c->c2pa_error();
    const char *text = reason != NULL ? reason : "no reason given";
    const csm_status status =
        csm_fail(err, CSM_BAD_FORMAT, "c2pa: not signed: %.*s", (int)strcspn(text, "\r\n"), text);
    if (reason != NULL)
        c->c2pa_string_free(reason);
    return status;
}

csm_status csm_credentials_sign(csm_credentials *c, csm_audio_format format, const void *bytes,
                                size_t n, void **out, size_t *n_out, csm_error *err)
{
    static const char manifest[] =
        "{\"claim_generator_info\":[{\"name\":\"csm\",\"version\":\"" CSM_VERSION "\"}],"
        "\"assertions\":[{\"label\":\"c2pa.actions\",\"data\":{\"actions\":[{\"action\":"
        "\"c2pa.created\",\"digitalSourceType\":\"http://cv.iptc.org/newscodes/"
        "digitalsourcetype/trainedAlgorithmicMedia\"}]}}]}";
    if (!csm_credentials_fit(format))
        return csm_fail(err, CSM_BAD_ARG, "c2pa: %s, expected wav, flac or mp3",
                        csm_audio_format_name(format));
    struct stream from = {.bytes = bytes, .n = n}, to = {0};
    pthread_mutex_lock(&c->lock);
    C2paStream *source = c->c2pa_create_stream((StreamContext *)(void *)&from, read_bytes, seek,
                                               write_bytes, flush);
    C2paStream *target = c->c2pa_create_stream((StreamContext *)(void *)&to, read_bytes, seek,
                                               write_bytes, flush);
    C2paBuilder *builder = c->c2pa_builder_from_json(manifest);
    const unsigned char *signed_manifest = NULL;
    csm_status status = CSM_OK;
    if (source == NULL || target == NULL || builder == NULL ||
        c->c2pa_builder_sign(builder, csm_audio_format_type(format), source, target, c->signer,
                             &signed_manifest) < 0)
        status = to.written.has_failed ? csm_fail(err, CSM_NO_MEMORY, "c2pa: out of memory")
                                       : refused(c, err);
    if (signed_manifest != NULL)
        c->c2pa_manifest_bytes_free(signed_manifest);
    if (builder != NULL)
        c->c2pa_builder_free(builder);
    c->c2pa_release_stream(target);
    c->c2pa_release_stream(source);
    pthread_mutex_unlock(&c->lock);
    if (status == CSM_OK) {
        *n_out = to.written.length;
        *out = csm_builder_take(&to.written);
    } else {
        csm_builder_clear(&to.written);
    }
    return status;
}
