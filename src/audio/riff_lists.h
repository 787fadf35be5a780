/* SPDX-License-Identifier: Apache-2.0
 *
 * riff_lists.h - a WAV file's lists of texts, as far as they are there.
 *
 * libsndfile reads a list by the length that its header promises. In one that is longer than the
 * file it can go on without end, and nobody can stop it. So it is given the file up to that list
 * alone; nothing that is whole can follow. */
#ifndef CSM_AUDIO_RIFF_LISTS_H
#define CSM_AUDIO_RIFF_LISTS_H

#include <stddef.h>

/* How many of the file's bytes come before the first list that promises more than there is; all n
 * where there is none, or the file is no WAV. Samples are not searched. */
size_t csm_riff_before_broken_list(const unsigned char *file, size_t n);

#endif
