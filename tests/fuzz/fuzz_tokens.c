/* SPDX-License-Identifier: Apache-2.0
 *
 * What loads as tokens comes back as it was saved, and every report of it, alone and
 * against a copy with one code changed, is one that a terminal, a parser of JSON and a
 * browser can take. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include <csm/analysis.h>

#include "scratch_file.h"

enum { MOST_DRAWS = 400 }; /* more are not drawn again: it takes long */

static void check_text(const csm_analysis *analysis)
{
    char *text = NULL;
    CHECK(csm_analysis_text(analysis, false, &text, NULL) == CSM_OK);
    json_t *utf8 = json_string(text); /* NULL for what is not UTF-8 */
    CHECK(utf8 != NULL);
    json_decref(utf8);
    size_t columns = 0;
    for (const char *c = text; *c != '\0'; c++) {
        CHECK((unsigned char)*c >= ' ' || *c == '\n');
        CHECK(*c != 0x7f);
        columns = *c == '\n' ? 0 : columns + (((unsigned char)*c & 0xc0) != 0x80);
        CHECK(columns <= 80);
    }
    csm_free(text);
}

static void check_json(const csm_analysis *analysis)
{
    char *text = NULL;
    CHECK(csm_analysis_json(analysis, &text, NULL) == CSM_OK);
    json_error_t where;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    CHECK(root != NULL);
    CHECK((analysis->b != NULL) == (json_string_value(json_object_get(root, "verdict")) != NULL));
    json_decref(root);
    csm_free(text);
}

static void check_page(const csm_analysis *analysis)
{
    const struct scratch_file page = scratch_file("page");
    CHECK(csm_analysis_html(analysis, page.path, NULL) == CSM_OK);
    unlink(page.path);
}

static void check_reports(const csm_tokens *a, const csm_tokens *b, bool has_page)
{
    csm_analyze_options options = {.without_replay = a->n_frames * a->n_codebooks > MOST_DRAWS};
    csm_analysis *analysis = NULL;
    csm_error err = {""};
    csm_status status = csm_analyze_distributions(a, b, &options, &analysis, &err);
    CHECK(status == CSM_OK || err.text[0] != '\0');
    if (status != CSM_OK)
        return;
    check_text(analysis);
    check_json(analysis);
    if (has_page)
        check_page(analysis);
    csm_analysis_close(analysis);
}

static bool same_floats(const float *a, const float *b, size_t n)
{
    return (a == NULL) == (b == NULL) && (a == NULL || memcmp(a, b, n * sizeof *a) == 0);
}

static void check_saved(const csm_tokens *a)
{
    const struct scratch_file copy = scratch_file("copy");
    csm_error err = {""};
    csm_tokens *b = NULL;
    CHECK(csm_tokens_save(a, copy.path, &err) == CSM_OK);
    CHECK(csm_tokens_open(copy.path, &b, &err) == CSM_OK);
    size_t n = a->n_frames * a->n_codebooks;
    CHECK(a->n_frames == b->n_frames && a->n_codebooks == b->n_codebooks && a->vocab == b->vocab);
    CHECK(memcmp(a->codes, b->codes, n * sizeof *a->codes) == 0);
    CHECK(same_floats(a->margins, b->margins, n) && same_floats(a->probs, b->probs, n));
    CHECK(a->logits.n_bytes == b->logits.n_bytes && a->n_hidden == b->n_hidden);
    CHECK(a->n_forced == b->n_forced);
    csm_tokens_close(b);
    unlink(copy.path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct scratch_file path = scratch_file("tokens");
    scratch_write(&path, data, n);
    csm_error err = {""};
    csm_tokens *a = NULL, *b = NULL;
    csm_status status = csm_tokens_open(path.path, &a, &err);
    CHECK((status == CSM_OK) == (a != NULL));
    CHECK(status == CSM_OK || (err.text[0] != '\0' && strchr(err.text, '\n') == NULL));
    if (a != NULL) {
        bool has_page = n % 16 == 0; /* it takes long */
        CHECK(csm_tokens_open(path.path, &b, &err) == CSM_OK);
        check_saved(a);
        check_reports(a, NULL, has_page);
        size_t n_codes = b->n_frames * b->n_codebooks;
        if (n_codes != 0)
            ((int32_t *)b->codes)[n_codes / 2] ^= 1; /* memory of ours, not the file's */
        check_reports(a, b, has_page);
    }
    csm_tokens_close(b);
    csm_tokens_close(a);
    unlink(path.path);
    return 0;
}
