/* SPDX-License-Identifier: Apache-2.0
 *
 * What opens gives ids below its size, and with a template the same ids between
 * those of the template. Texts: fixed ones, and the file itself. */
#include "check.h"

#include <string.h>

#include "text/tokenizer.h"

static void check_text(const csm_tokenizer *t, const char *text, size_t n)
{
    csm_error err = {""};
    int32_t *plain = NULL, *around = NULL;
    size_t n_plain = 0, n_around = 0;
    csm_status status = csm_tokenizer_encode(t, text, n, false, &plain, &n_plain, &err);
    CHECK(csm_tokenizer_encode(t, text, n, true, &around, &n_around, &err) == status);
    if (status == CSM_OK) {
        const size_t before = csm_tokenizer_before(t), after = csm_tokenizer_after(t);
        CHECK(n_around == before + n_plain + after);
        CHECK(n_plain == 0 ||
              memcmp(plain, around + before, n_plain * sizeof *plain) == 0);
        for (size_t i = 0; i < n_around; i++)
            CHECK(around[i] >= 0 && (size_t)around[i] < csm_tokenizer_size(t));
    } else {
        CHECK(plain == NULL && around == NULL);
    }
    free(plain);
    free(around);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const texts[] = {"", "[0]Hello there, it's 12345!", "  \r\n\t a  b \xc2\xa0",
                                        "<|AUDIO|> aab abab\xf0\x9f\x98\x80", "\xff"};
    csm_error err = {""};
    csm_tokenizer *t = NULL;
    csm_status status = csm_tokenizer_read("t", (const char *)data, n, NULL, &t, &err);
    CHECK((status == CSM_OK) == (t != NULL));
    CHECK(status == CSM_OK || (err.text[0] != '\0' && strchr(err.text, '\n') == NULL));
    if (t != NULL) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            check_text(t, texts[i], strlen(texts[i]));
        check_text(t, (const char *)data, n < 500 ? n : 500);
    }
    csm_tokenizer_close(t);
    return 0;
}
