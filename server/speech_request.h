/* SPDX-License-Identifier: Apache-2.0
 *
 * speech_request.h - what a client asks to be said: the JSON of POST /v1/audio/speech
 * and of its kin, checked. Fields that nobody here knows are ignored, as OpenAI's clients
 * and others' send them; what is known is right or refused, with its name. */
#ifndef CSM_SERVER_SPEECH_REQUEST_H
#define CSM_SERVER_SPEECH_REQUEST_H

#include <jansson.h>

#include <csm/audio.h>
#include <csm/csm.h>

/* Why a request is refused: OpenAI's envelope without its status line. */
struct refusal {
    int status;
    char message[512];
    char param[64]; /* the field, "" for none */
    const char *code; /* "" for none */
};

/* Fill it in and give false. */
bool refuse(struct refusal *why, int status, const char *param, const char *code,
            const char *format, ...) CSM_PRINTF(5, 6);

/* One recording of the conversation so far, as the client sent it. */
struct reference {
    void *bytes; /* [n] a sound file */
    size_t n;
    char *text;
    int speaker; /* -1: whoever speaks */
};

struct request_limits {
    size_t max_text;       /* characters of `input` */
    size_t max_references; /* recordings in all */
    size_t max_reference;  /* bytes of one */
};

struct speech_request {
    char *input; /* NULL where the text comes by another way */
    char *voice; /* NULL: the model's default */
    int speaker; /* -1: the voice's */
    csm_audio_format format;
    int rate_hz; /* samples a second of the sound; 0: the model's */
    double speed;
    bool is_streamed, is_sse;
    bool has_seed, is_normalized, is_split;
    bool has_instructions; /* which no model follows */
    csm_generate_options options; /* seed, draws, min_frames, guard */
    size_t max_frames; /* of the whole sound; 0: no limit */
    struct reference *references;
    size_t n_references;
};

/* Read an object over the defaults that `out` holds (speech_request_defaults, or a
 * request that others of a batch follow, without its references).
 *   needs_input  the field `input` must be there
 * false: `why` tells; out is to be emptied in any case. */
bool speech_request_read(const json_t *object, const csm_model_info *info,
                         const struct request_limits *limits, bool needs_input,
                         struct speech_request *out, struct refusal *why);

void speech_request_defaults(struct speech_request *out);
/* Text and voice are copied, references are not; false: out of memory. */
bool speech_request_copy(const struct speech_request *from, struct speech_request *out);
void speech_request_empty(struct speech_request *request);

/* The name of its format, "mp3", and the media type. */
const char *speech_format_name(csm_audio_format format);
enum { SPEECH_TYPE = 48 };
const char *speech_request_type(const struct speech_request *request, const csm_model_info *info,
                                char type[SPEECH_TYPE]);

#endif
