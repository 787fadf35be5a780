/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/builder.h"
#include "base/error.h"
#include "base/numbers.h"

enum { MAX_REDIRECTS = 10, MAX_TRIES = 5, MAX_WAIT_S = 300 };

char *csm_hub_url(const struct csm_hub *hub, bool keeps_slashes, const char *const *parts)
{
    struct csm_builder b = {0};
    csm_builder_add_text(&b, hub->endpoint);
    for (; *parts != NULL; parts++) {
        if (parts[1] != NULL) {
            csm_builder_add_text(&b, *parts);
            continue;
        }
        for (const char *c = *parts; *c != '\0'; c++) {
            char code[4];
            snprintf(code, sizeof code, "%%%02X", (unsigned char)*c);
            const bool is_plain = (isalnum((unsigned char)*c) && (unsigned char)*c < 0x80) ||
                                  strchr("-._~", *c) != NULL || (keeps_slashes && *c == '/');
            csm_builder_add(&b, is_plain ? c : code, is_plain ? 1 : 3);
        }
    }
    return csm_builder_take(&b);
}

/* ---- refusals --------------------------------------------------------------- */

static bool is_worth_trying(long code)
{
    return code == 408 || code == 429 || code >= 500;
}

/* What an answer that is no success means. The hub answers 401 to whoever may not
 * know whether a repository exists, so that one has several meanings. */
static csm_status refuse(const struct csm_hub *hub, const struct csm_reply *reply, const char *what,
                         csm_error *err)
{
    const char *code = reply->error_code;
    const bool has_token = hub->token != NULL;
    if (strcmp(code, "GatedRepo") == 0)
        return csm_fail(err, CSM_BAD_FILE,
                        "%s: gated: %s: accept the terms at %s/%s%s", hub->repo,
                        has_token ? "this token's account has not been let in"
                                  : "its terms must be accepted",
                        hub->endpoint, hub->repo, has_token ? "" : ", then set HF_TOKEN");
    if (strcmp(code, "RevisionNotFound") == 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: no revision '%s', expected a branch, a tag or a "
                                           "commit", hub->repo, hub->revision);
    if (strcmp(code, "EntryNotFound") == 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: the hub has no such file", what);
    if (strcmp(reply->error_message, "Invalid credentials in Authorization header") == 0)
        return csm_fail(err, CSM_BAD_FILE, "%s: the hub does not know this token, expected the one "
                                           "of an account (HF_TOKEN)", hub->repo);
    if (strcmp(code, "RepoNotFound") == 0 || reply->code == 401)
        return csm_fail(err, CSM_BAD_FILE, "%s: no such repository at %s, or a private one%s",
                        hub->repo, hub->endpoint,
                        has_token ? " that this token may not see"
                                  : ", or a gated one: those need a token (HF_TOKEN)");
    if (reply->code == 404)
        return csm_fail(err, CSM_BAD_FILE, "%s: not found at %s", what, hub->endpoint);
    if (reply->code == 403)
        return csm_fail(err, CSM_BAD_FILE, "%s: forbidden: %s", what,
                        reply->error_message[0] != '\0' ? reply->error_message
                                                        : "the hub does not say why");
    if (reply->code == 429)
        return csm_fail(err, CSM_BAD_FILE, "%s: too many requests (429)%s", what,
                        has_token ? "" : ": a token (HF_TOKEN) may make more of them");
    return csm_fail(err, CSM_BAD_FILE, "%s: HTTP %ld%s%s", what, reply->code,
                    reply->error_message[0] != '\0' ? ": " : "", reply->error_message);
}

/* ---- one try ---------------------------------------------------------------- */

struct try {
    struct csm_hub *hub;
    const struct csm_hub_sink *sink;
};

static csm_status take(void *user, const struct csm_reply *reply, const void *bytes, size_t n,
                       csm_error *err)
{
    const struct try *try = user;
    return try->sink->take(try->sink->user, reply, bytes, n, err);
}

static csm_status tell(void *user, csm_error *err)
{
    const struct try *try = user;
    return csm_hub_tell(try->hub, false, err);
}

static uint64_t first_byte(const struct csm_hub_sink *sink)
{
    return sink->first_byte != NULL ? sink->first_byte(sink->user) : 0;
}

static bool is_trusted(const struct csm_hub *hub, struct csm_transport *transport, const char *url)
{
    const char *const origins[] = {hub->endpoint, "https://huggingface.co", "https://hf.co"};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
        if (csm_transport_is_same_origin(transport, origins[i], url))
            return true;
    return false;
}

static bool is_https(const char *url)
{
    return strncmp(url, "https://", 8) == 0;
}

/* Go from redirect to redirect. */
static csm_status follow(struct csm_hub *hub, struct csm_transport *transport, const char *url,
                         const char *what, bool is_file, const struct csm_hub_sink *sink,
                         struct csm_reply *reply, csm_error *err)
{
    char at[4096];
    snprintf(at, sizeof at, "%s", url);
    for (int i = 0; i <= MAX_REDIRECTS; i++) {
        struct try try = {hub, sink};
        if (sink->begin != NULL)
            sink->begin(sink->user);
        const bool is_hub = is_trusted(hub, transport, at);
        const struct csm_get get = {
            .url = at,
            .token = is_hub ? hub->token : NULL,
            .first_byte = first_byte(sink),
            .connect_timeout_s = hub->metadata_timeout_s,
            .idle_timeout_s = is_file ? hub->idle_timeout_s : hub->metadata_timeout_s,
            .total_timeout_s = is_file ? 0 : 6 * hub->metadata_timeout_s,
            .take = take,
            .tell = tell,
            .user = &try,
        };
        csm_status status = csm_transport_get(transport, &get, reply, err);
        if (status == CSM_OK && is_hub && sink->check != NULL && reply->code < 400)
            status = sink->check(sink->user, reply, err);
        if (status != CSM_OK || reply->code < 300 || reply->code >= 400)
            return status;
        if (reply->redirect[0] == '\0')
            return csm_fail(err, CSM_BAD_FORMAT, "%s: HTTP %ld without a place to go", what,
                            reply->code);
        if ((!is_https(reply->redirect) && strncmp(reply->redirect, "http://", 7) != 0) ||
            (is_https(at) && !is_https(reply->redirect)))
            return csm_fail(err, CSM_BAD_FORMAT, "%s: a redirect to %.100s, expected %s", what,
                            reply->redirect, is_https(at) ? "https://" : "http:// or https://");
        snprintf(at, sizeof at, "%s", reply->redirect);
    }
    return csm_fail(err, CSM_BAD_FORMAT, "%s: more than %d redirects", what, MAX_REDIRECTS);
}

/* ---- tries ------------------------------------------------------------------ */

static csm_status wait_for_next(struct csm_hub *hub, const struct csm_reply *reply, int n_failed,
                                const char *what, const char *why, csm_error *err)
{
    int64_t ms = (int64_t)500 << (n_failed - 1);
    if (reply->retry_after_s >= 0)
        ms = reply->retry_after_s * 1000;
    if (reply->retry_after_s > MAX_WAIT_S)
        return csm_fail(err, CSM_BAD_FILE, "%s: HTTP %ld: the hub asks to come back in %lld seconds",
                        what, reply->code, (long long)reply->retry_after_s);
    char remark[sizeof err->text + 64];
    csm_format(remark, sizeof remark, "%s; trying again in %.1f s", why, (double)ms / 1000);
    csm_status status = csm_hub_remark(hub, remark, err);
    return status == CSM_OK ? csm_hub_wait(hub, ms, err) : status;
}

csm_status csm_hub_get(struct csm_hub *hub, struct csm_transport *transport, const char *url,
                       const char *what, bool is_file, const struct csm_hub_sink *sink,
                       struct csm_reply *reply, csm_error *err)
{
    for (int n_failed = 0;;) {
        const uint64_t before = first_byte(sink);
        csm_error failure = {""};
        csm_status status = follow(hub, transport, url, what, is_file, sink, reply, &failure);
        if (status == CSM_OK && (reply->code == 200 || reply->code == 206)) {
            if (sink->is_complete == NULL || sink->is_complete(sink->user))
                return CSM_OK;
            (void)csm_fail(&failure, CSM_BAD_FILE, "%s: the transfer broke off", what);
            status = CSM_BAD_FILE;
            reply->is_transient = true;
        } else if (status == CSM_OK) {
            status = refuse(hub, reply, what, &failure);
            reply->is_transient = is_worth_trying(reply->code);
        }
        if (first_byte(sink) > before)
            n_failed = 0;
        const bool has_answered = reply->code != 0;
        if (!reply->is_transient || ++n_failed == MAX_TRIES || (!is_file && !has_answered))
            return csm_fail(err, status, "%s", failure.text);
        status = wait_for_next(hub, reply, n_failed, what, failure.text, err);
        if (status != CSM_OK)
            return status;
    }
}

/* ---- texts ------------------------------------------------------------------ */

enum { MAX_TEXT_BYTES = 16 * 1000 * 1000 };

struct text {
    struct csm_builder builder;
    const char *what;
};

static void text_begin(void *user)
{
    struct text *text = user;
    csm_builder_clear(&text->builder);
}

static csm_status text_take(void *user, const struct csm_reply *reply, const void *bytes, size_t n,
                            csm_error *err)
{
    struct text *text = user;
    if (text->builder.length + n > MAX_TEXT_BYTES || reply->n_bytes > MAX_TEXT_BYTES)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: an answer of more than %d bytes", text->what,
                        MAX_TEXT_BYTES);
    csm_builder_add(&text->builder, bytes, n);
    return text->builder.has_failed ? csm_fail(err, CSM_NO_MEMORY, "hub: out of memory") : CSM_OK;
}

csm_status csm_hub_get_text(struct csm_hub *hub, struct csm_transport *transport, const char *url,
                            const char *what, char **bytes, size_t *n, struct csm_reply *reply,
                            csm_error *err)
{
    struct text text = {.what = what};
    const struct csm_hub_sink sink = {.begin = text_begin, .take = text_take, .user = &text};
    csm_status status = csm_hub_get(hub, transport, url, what, false, &sink, reply, err);
    *n = text.builder.length;
    *bytes = status == CSM_OK ? csm_builder_take(&text.builder) : NULL;
    csm_builder_clear(&text.builder);
    if (status == CSM_OK && *bytes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    return status;
}
