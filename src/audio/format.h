/* SPDX-License-Identifier: Apache-2.0
 *
 * format.h - the table of formats that audio.h describes. */
#ifndef CSM_AUDIO_FORMAT_H
#define CSM_AUDIO_FORMAT_H

#include "audio/encoder.h"

struct csm_format {
    const char *name, *ending, *type; /* ending NULL: no file name asks for it */
    const struct csm_encoder_kind *kind;
    int min_hz, max_hz;
    bool has_mpeg_rates; /* the nine of MPEG 1, 2 and 2.5 alone */
    bool has_tags, is_float;
};

/* The row of a format; NULL for what is none. */
const struct csm_format *csm_format_row(csm_audio_format format);

/* CSM_OK, or CSM_BAD_ARG with the rates that the format has. */
CSM_MUST_USE csm_status csm_format_check_rate(csm_audio_format format, int rate_hz,
                                              csm_error *err);

#endif
