/* SPDX-License-Identifier: Apache-2.0
 *
 * script.c - letters that are not Latin. */
#include <csm/text.h>

#include <string.h>

#include "base/utf8.h"

/* Blocks of letters, in ascending order; what lies between is no letter or Latin. */
static const struct {
    uint32_t first, last;
    const char *name;
} scripts[] = {
    {0x0370, 0x03FF, "Greek"},
    {0x0400, 0x052F, "Cyrillic"},
    {0x0531, 0x058F, "Armenian"},
    {0x05D0, 0x05FF, "Hebrew"},
    {0x0600, 0x06FF, "Arabic"},
    {0x0700, 0x074F, "Syriac"},
    {0x0750, 0x077F, "Arabic"},
    {0x0780, 0x07BF, "Thaana"},
    {0x07C0, 0x08FF, "Arabic"},
    {0x0900, 0x097F, "Devanagari"},
    {0x0980, 0x09FF, "Bengali"},
    {0x0A00, 0x0A7F, "Gurmukhi"},
    {0x0A80, 0x0AFF, "Gujarati"},
    {0x0B00, 0x0B7F, "Oriya"},
    {0x0B80, 0x0BFF, "Tamil"},
    {0x0C00, 0x0C7F, "Telugu"},
    {0x0C80, 0x0CFF, "Kannada"},
    {0x0D00, 0x0D7F, "Malayalam"},
    {0x0D80, 0x0DFF, "Sinhala"},
    {0x0E01, 0x0E3A, "Thai"},
    {0x0E40, 0x0E7F, "Thai"},
    {0x0E80, 0x0EFF, "Lao"},
    {0x0F00, 0x0FFF, "Tibetan"},
    {0x1000, 0x109F, "Burmese"},
    {0x10A0, 0x10FF, "Georgian"},
    {0x1100, 0x11FF, "Hangul"},
    {0x1200, 0x139F, "Ethiopic"},
    {0x13A0, 0x13FF, "Cherokee"},
    {0x1400, 0x167F, "Canadian syllabics"},
    {0x1780, 0x17FF, "Khmer"},
    {0x1800, 0x18AF, "Mongolian"},
    {0x1F00, 0x1FFF, "Greek"},
    {0x3005, 0x3007, "Han"},
    {0x3041, 0x309F, "Hiragana"},
    {0x30A1, 0x30FF, "Katakana"},
    {0x3105, 0x312F, "Bopomofo"},
    {0x3131, 0x318F, "Hangul"},
    {0x3400, 0x4DBF, "Han"},
    {0x4E00, 0x9FFF, "Han"},
    {0xA000, 0xA4CF, "Yi"},
    {0xAC00, 0xD7FF, "Hangul"},
    {0xF900, 0xFAFF, "Han"},
    {0xFB1D, 0xFB4F, "Hebrew"},
    {0xFB50, 0xFDFF, "Arabic"},
    {0xFE70, 0xFEFE, "Arabic"},
    {0xFF66, 0xFF9D, "Katakana"},
    {0x10000, 0x1CFFF, "an old script"},
    {0x1E000, 0x1EFFF, "another script"},
    {0x20000, 0x3FFFF, "Han"},
};

static const char *script_of(uint32_t c)
{
    size_t low = 0, high = sizeof scripts / sizeof *scripts;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (c > scripts[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    const bool is_in = low < sizeof scripts / sizeof *scripts && c >= scripts[low].first;
    return is_in ? scripts[low].name : NULL;
}

size_t csm_text_unspoken(const char *text, const char **script)
{
    const size_t n = csm_utf8_valid(text, strlen(text));
    size_t n_letters = 0;
    *script = NULL;
    for (size_t at = 0; at < n;) {
        uint32_t c;
        at += csm_utf8_next(text + at, &c);
        const char *name = script_of(c);
        if (name != NULL && *script == NULL)
            *script = name;
        n_letters += name != NULL;
    }
    return n_letters;
}
