/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h - a request in one expression. */
#ifndef CSM_TESTS_REQUEST_H
#define CSM_TESTS_REQUEST_H

#include <csm/generate.h>

#define REQUEST(context_, n_context_, text_, speaker_)                                             \
    ((csm_request){.size = sizeof(csm_request),                                                    \
                   .text = (text_),                                                                \
                   .speaker = (speaker_),                                                          \
                   .context = (context_),                                                          \
                   .n_context = (n_context_)})

#endif
