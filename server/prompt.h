/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.h - the turns before what is to be said: their texts and codes, shared by all
 * that is said with them. Never changed once made; counted references, one thread. */
#ifndef CSM_SERVER_PROMPT_H
#define CSM_SERVER_PROMPT_H

#include <csm/csm.h>

struct prompt {
    csm_turn *turns; /* each with text and codes of its own */
    size_t n;
    size_t n_refs;
};

/* Copies the turns: texts, and codes [n_frames, n_codebooks]. NULL: out of memory. */
struct prompt *prompt_new(const csm_turn *turns, size_t n, size_t n_codebooks);
struct prompt *prompt_keep(struct prompt *prompt); /* one more reference; takes NULL */
void prompt_release(struct prompt *prompt);        /* one less; takes NULL */

#endif
