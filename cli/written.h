/* SPDX-License-Identifier: Apache-2.0
 *
 * written.h - how sound is written: --output, --format, --sample-rate, --title, and what
 * signs it: --c2pa-cert, --c2pa-key. */
#ifndef CSM_CLI_WRITTEN_H
#define CSM_CLI_WRITTEN_H

#include <csm/credentials.h>

#include "marking.h"

struct written {
    const char *format_name; /* --format; NULL: as the output's name says */
    int rate_hz;             /* --sample-rate; 0: the model's */
    const char *title;       /* --title, NULL: none */
    const char *c2pa_cert, *c2pa_key; /* PEM files; NULL: not signed */
    csm_credentials *credentials;     /* of these, once they are read */
    csm_audio_format format; /* chosen */
};

/* The part of a help text about it. */
#define WRITTEN_HELP                                                                               \
    "  --output F               .wav .flac .ogg .opus .mp3 .aac .pcm (audio.wav); -, none\n"       \
    "  --format F               wav-f32, ulaw, alaw, s16le, f32le; or what - is: mp3, ...\n"       \
    "  --sample-rate HZ --title TEXT   8000 to 48000; a tag\n"                                    \
    "  --c2pa-cert F --c2pa-key F      PEM: sign wav, flac, mp3 (docs/MARK.md)\n"

/* Choose the format for `*output` and a name for it where it is NULL. False: what was
 * asked does not go together, which was reported. */
bool written_choose(struct written *written, const char **output);

/* Read the PEM files, if they are named, into *out, to be closed; else NULL. CSM_BAD_FILE;
 * as csm_credentials_open. */
csm_status credentials_read(const char *cert_file, const char *key_file, csm_credentials **out,
                            csm_error *err);

/* For csm_audio_writer_open: rate and tags; those of marking, if it is on. A WAV file has
 * tags only when a title or a mark asks for them: its header is else the 44 bytes that
 * simple readers expect. */
csm_audio_options written_options(const struct written *written, const struct marking *marking);

#endif
