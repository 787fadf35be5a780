/* SPDX-License-Identifier: Apache-2.0
 *
 * spell.h - numbers as English words, from their digits, so that no size is too
 * large. American reading: no "and", "zero" in full, "oh" only in times. */
#ifndef CSM_TEXT_SPELL_H
#define CSM_TEXT_SPELL_H

#include <stddef.h>

#include "base/builder.h"

/* 1234 -> "one thousand two hundred thirty four". Numbers of more than 15 digits,
 * and those that begin with 0, are read digit by digit.
 *   digits  [n] of '0'..'9', n >= 1 */
void csm_spell_cardinal(struct csm_builder *out, const char *digits, size_t n);

/* 21 -> "twenty first"; at most 15 digits. */
void csm_spell_ordinal(struct csm_builder *out, const char *digits, size_t n);

/* 1984 -> "nineteen eighty four", 2007 -> "two thousand seven", 1905 -> "nineteen
 * oh five", 1900 -> "nineteen hundred"; four digits, the first not 0. */
void csm_spell_year(struct csm_builder *out, const char *digits);

/* 07 -> "zero seven" */
void csm_spell_digits(struct csm_builder *out, const char *digits, size_t n);

#endif
