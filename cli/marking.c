/* SPDX-License-Identifier: Apache-2.0 */
#include "marking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/remarks.h>

#include "text_input.h"

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) % 16 : -1;
}

csm_status marking_read(struct marking *m, csm_error *err)
{
    snprintf(m->software, sizeof m->software, "csm %s", csm_version());
    if (m->key_file == NULL)
        return CSM_OK;
    char *text;
    csm_status st = text_input(m->key_file, &text, err);
    if (st != CSM_OK)
        return st;
    const size_t n = 2 * sizeof m->key;
    bool is_key = strlen(text) == n;
    for (size_t i = 0; is_key && i < n; i += 2) {
        const int high = digit(text[i]), low = digit(text[i + 1]);
        is_key = high >= 0 && low >= 0;
        m->key[i / 2] = (unsigned char)(high * 16 + low);
    }
    free(text);
    return is_key ? CSM_OK
                  : csm_fail(err, CSM_BAD_FORMAT, "%s: no key, expected %zu hexadecimal digits",
                             m->key_file, n);
}

csm_mark_options marking_options(const struct marking *m, int rate_hz, const char *digest)
{
    csm_mark_options o = csm_mark_defaults();
    o.key = m->key_file != NULL ? m->key : NULL;
    o.rate_hz = rate_hz;
    o.payload = csm_mark_payload_of(digest);
    return o;
}

csm_audio_options marking_tags(const struct marking *m)
{
    csm_audio_options tags = csm_audio_defaults();
    if (m->is_on) {
        tags.software = m->software;
        tags.comment = CSM_MARK_COMMENT;
    }
    return tags;
}

csm_status marking_apply(const struct marking *m, float *samples, size_t n, int rate_hz,
                         csm_error *err)
{
    if (!m->is_on)
        return CSM_OK;
    const csm_mark_options options = marking_options(m, rate_hz, NULL);
    csm_mark *mark = NULL;
    csm_status st = csm_mark_open(&options, &mark, err);
    if (st == CSM_OK)
        csm_mark_push(mark, samples, n, samples);
    csm_remark remark;
    if (st == CSM_OK && csm_remark_mark(n, rate_hz, &remark))
        fprintf(stderr, "csm: %s\n", remark.text);
    csm_mark_close(mark);
    return st;
}
