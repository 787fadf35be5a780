/* SPDX-License-Identifier: Apache-2.0
 *
 * markup_prepare.h - what people and language models write and CommonMark does not know,
 * as CommonMark or as nothing: footnotes, bullets, products with stars, formulas of LaTeX,
 * sources in brackets, letters made bold by their number. */
#ifndef CSM_TEXT_MARKUP_PREPARE_H
#define CSM_TEXT_MARKUP_PREPARE_H

#include <stddef.h>

#include <csm/status.h>

#include "text/markup.h"

/* A new string, to be freed. Code is left as it is; stars and tildes in addresses are hidden.
 * CSM_OK, CSM_NO_MEMORY. */
CSM_MUST_USE csm_status csm_markup_prepare(const struct csm_markup *markup, const char *text, char **out,
                                           csm_error *err);

/* Put what is hidden back into [n bytes] that were read, in place; returns how many are left,
 * before a 0. */
size_t csm_markup_restore(char *text, size_t n);

#endif
