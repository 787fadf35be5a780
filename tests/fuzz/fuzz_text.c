/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said of any text is UTF-8 without a sign of markup, whole or by sentences. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>
#include <csm/text.h>

#include "base/utf8.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    csm_error err = {""};
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    const bool is_utf8 = csm_utf8_valid(text, strlen(text)) == strlen(text);
    for (size_t max_bytes = 0; max_bytes <= 240; max_bytes += 120) {
        csm_text_piece *pieces = NULL;
        size_t n = 0;
        const csm_status status = csm_text_pieces(text, max_bytes, &pieces, &n, &err);
        CHECK((status == CSM_OK) == is_utf8);
        for (size_t i = 0; status == CSM_OK && i < n; i++) {
            CHECK(csm_utf8_valid(pieces[i].text, strlen(pieces[i].text)) == strlen(pieces[i].text));
            CHECK(strpbrk(pieces[i].text, "*_`#~|<>[]{}\\^=+@&%$") == NULL);
            CHECK(pieces[i].pause_ms >= 0);
            CHECK(pieces[i].text[0] != '\0' || i == 0);
        }
        if (status == CSM_OK)
            csm_text_pieces_free(pieces, n);
    }
    free(text);
    return 0;
}
