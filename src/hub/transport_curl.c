/* SPDX-License-Identifier: Apache-2.0
 *
 * transport_curl.c - libcurl 7.85 or newer: older ones set up their TLS in a way
 * that is not safe among threads. */
#include "hub/transport.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/error.h"

/* curl.h makes macros of some of these, to check argument types. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define FUNCTIONS(X)                                                                               \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_url)                                                                                    \
    X(curl_url_set)                                                                                \
    X(curl_url_get)                                                                                \
    X(curl_url_cleanup)                                                                            \
    X(curl_free)                                                                                   \
    X(curl_version_info)

/* Kept loaded once it is: its TLS leaves threads' data and exit handlers behind. */
struct csm_transport {
    void *library;
    CURL *easy;
#define MEMBER(name) __typeof__(name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static csm_status load(struct csm_transport *t, csm_error *err)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl.4.dylib", CSM_CURL_FILE};
    for (size_t i = 0; i < sizeof names / sizeof *names && t->library == NULL; i++)
        t->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (t->library == NULL)
        return csm_fail(err, CSM_NO_ENGINE, "downloads need libcurl: libcurl.so.4 does not load: "
                                            "install libcurl4");
    void *symbol;
#define FIND(name)                                                                                 \
    symbol = dlsym(t->library, #name);                                                             \
    if (symbol == NULL)                                                                            \
        return csm_fail(err, CSM_NO_ENGINE, "downloads need libcurl: it has no %s", #name);        \
    memcpy(&t->name, &symbol, sizeof symbol);
    FUNCTIONS(FIND)
#undef FIND
    const curl_version_info_data *version = t->curl_version_info(CURLVERSION_NOW);
    if (version->version_num < 0x075500)
        return csm_fail(err, CSM_NO_ENGINE, "downloads need libcurl 7.85 or newer: this is %s",
                        version->version);
    return CSM_OK;
}

csm_status csm_transport_open(struct csm_transport **out, csm_error *err)
{
    *out = NULL;
    struct csm_transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "hub: out of memory");
    csm_status status = load(t, err);
    if (status == CSM_OK && (t->easy = t->curl_easy_init()) == NULL)
        status = csm_fail(err, CSM_NO_MEMORY, "libcurl: out of memory");
    if (status != CSM_OK) {
        csm_transport_close(t);
        return status;
    }
    *out = t;
    return CSM_OK;
}

void csm_transport_close(struct csm_transport *t)
{
    if (t != NULL && t->easy != NULL)
        t->curl_easy_cleanup(t->easy);
    free(t);
}

/* ---- the answer's head ---------------------------------------------------- */

/* One request under way. */
struct transfer {
    const struct csm_get *get;
    struct csm_reply *reply;
    csm_status status; /* what take or tell returned */
    csm_error *err;
    size_t head_bytes, dropped_bytes;
    bool is_ended; /* on purpose: the head was all that was wanted */
    bool is_head_too_long;
};
enum { MAX_HEAD_BYTES = 256 * 1024, MAX_DROPPED_BYTES = 64 * 1024 };

/* The value of a header line of that name, without the blanks around it, or NULL. */
static const char *value_of(const char *line, size_t n, const char *name, size_t *length)
{
    const size_t n_name = strlen(name);
    if (n <= n_name || strncasecmp(line, name, n_name) != 0 || line[n_name] != ':')
        return NULL;
    const char *start = line + n_name + 1, *end = line + n;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    *length = (size_t)(end - start);
    return start;
}

static void keep(char *field, size_t size, const char *value, size_t n)
{
    snprintf(field, size, "%.*s", (int)(n < size ? n : 0), value);
}

/* W/"abc" is abc. */
static void keep_etag(char *field, size_t size, const char *value, size_t n)
{
    if (n > 2 && value[0] == 'W' && value[1] == '/') {
        value += 2;
        n -= 2;
    }
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value++;
        n -= 2;
    }
    keep(field, size, value, n);
}

/* Digits, all of the value; -1 for anything else. */
static int64_t whole(const char *value, size_t n)
{
    int64_t number = 0;
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9' || number > INT64_MAX / 10 - 1)
            return -1;
        number = 10 * number + (value[i] - '0');
    }
    return n > 0 ? number : -1;
}

/* bytes START-END/SIZE, or with * for the size */
static void keep_range(struct csm_reply *reply, const char *value, size_t n)
{
    char text[128];
    keep(text, sizeof text, value, n);
    char *dash = strchr(text, '-'), *slash = strchr(text, '/');
    if (strncmp(text, "bytes ", 6) != 0 || dash == NULL || slash == NULL)
        return;
    reply->range_start = whole(text + 6, (size_t)(dash - text) - 6);
    reply->range_size = whole(slash + 1, strlen(slash + 1));
}

static void keep_next(struct csm_reply *reply, const char *value, size_t n)
{
    char text[8192];
    keep(text, sizeof text, value, n);
    char *end = strstr(text, ">; rel=\"next\"");
    if (end == NULL)
        return;
    *end = '\0';
    const char *start = strrchr(text, '<');
    if (start != NULL)
        keep(reply->next_page, sizeof reply->next_page, start + 1, strlen(start + 1));
}

/* HTTP/1.1 200 OK */
static void begin_reply(struct csm_reply *reply, const char *line, size_t n)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), line);
    const char *space = strchr(text, ' ');
    *reply = (struct csm_reply){.code = space != NULL ? strtol(space, NULL, 10) : 0,
                                .n_bytes = -1,
                                .range_start = -1,
                                .range_size = -1,
                                .retry_after_s = -1};
}

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct csm_reply *r = transfer->reply;
    const size_t n = size * count;
    size_t length;
    const char *value;
    transfer->head_bytes += n;
    if (transfer->head_bytes > MAX_HEAD_BYTES) {
        transfer->is_head_too_long = true;
        return 0;
    }
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
        begin_reply(r, line, n); /* an answer of 1xx goes before the one that counts */
    else if ((value = value_of(line, n, "ETag", &length)) != NULL)
        keep_etag(r->etag, sizeof r->etag, value, length);
    else if ((value = value_of(line, n, "X-Linked-ETag", &length)) != NULL)
        keep_etag(r->linked_etag, sizeof r->linked_etag, value, length);
    else if ((value = value_of(line, n, "X-Repo-Commit", &length)) != NULL)
        keep(r->commit, sizeof r->commit, value, length);
    else if ((value = value_of(line, n, "X-Error-Code", &length)) != NULL)
        keep(r->error_code, sizeof r->error_code, value, length);
    else if ((value = value_of(line, n, "X-Error-Message", &length)) != NULL)
        keep(r->error_message, sizeof r->error_message, value, length);
    else if ((value = value_of(line, n, "Content-Length", &length)) != NULL)
        r->n_bytes = whole(value, length);
    else if ((value = value_of(line, n, "Content-Range", &length)) != NULL)
        keep_range(r, value, length);
    else if ((value = value_of(line, n, "Link", &length)) != NULL)
        keep_next(r, value, length);
    else if ((value = value_of(line, n, "Retry-After", &length)) != NULL)
        r->retry_after_s = whole(value, length);
    return n;
}

/* ---- the body ------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    const size_t n = size * count;
    if (transfer->reply->code != 200 && transfer->reply->code != 206) {
        transfer->dropped_bytes += n;
        transfer->is_ended = transfer->dropped_bytes > MAX_DROPPED_BYTES;
        return transfer->is_ended ? 0 : n;
    }
    transfer->status = transfer->get->take(transfer->get->user, transfer->reply, bytes, n,
                                           transfer->err);
    return transfer->status == CSM_OK ? n : 0;
}

static int on_time(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *transfer = user;
    (void)a, (void)b, (void)c, (void)d;
    if (transfer->status == CSM_OK)
        transfer->status = transfer->get->tell(transfer->get->user, transfer->err);
    return transfer->status != CSM_OK;
}

/* ---- one request ---------------------------------------------------------- */

static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static struct curl_slist *make_headers(struct csm_transport *t, const struct csm_get *get,
                                       bool *is_complete)
{
    char range[64], authorization[1100];
    snprintf(range, sizeof range, "Range: bytes=%llu-", (unsigned long long)get->first_byte);
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s",
             get->token != NULL ? get->token : "");
    const char *const lines[] = {"Accept-Encoding: identity", get->first_byte > 0 ? range : NULL,
                                 get->token != NULL ? authorization : NULL};
    struct curl_slist *headers = NULL;
    *is_complete = true;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct curl_slist *longer =
            lines[i] != NULL ? t->curl_slist_append(headers, lines[i]) : headers;
        *is_complete = *is_complete && (longer != NULL || lines[i] == NULL);
        headers = longer != NULL ? longer : headers;
    }
    return headers;
}

static void set_options(struct csm_transport *t, struct transfer *transfer,
                        struct curl_slist *headers, char *text)
{
    const struct csm_get *get = transfer->get;
    t->curl_easy_reset(t->easy); /* which keeps open connections */
    t->curl_easy_setopt(t->easy, CURLOPT_URL, get->url);
    t->curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    t->curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
    t->curl_easy_setopt(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    t->curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    t->curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "csm/" CSM_VERSION);
    t->curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers);
    t->curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, get->connect_timeout_s);
    t->curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    t->curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, get->idle_timeout_s);
    t->curl_easy_setopt(t->easy, CURLOPT_TIMEOUT, get->total_timeout_s);
    t->curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, text);
    t->curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    t->curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, transfer);
    t->curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    t->curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, transfer);
    t->curl_easy_setopt(t->easy, CURLOPT_XFERINFOFUNCTION, on_time);
    t->curl_easy_setopt(t->easy, CURLOPT_XFERINFODATA, transfer);
    t->curl_easy_setopt(t->easy, CURLOPT_NOPROGRESS, 0L);
}

csm_status csm_transport_get(struct csm_transport *t, const struct csm_get *get,
                             struct csm_reply *reply, csm_error *err)
{
    struct transfer transfer = {.get = get, .reply = reply, .err = err};
    char text[CURL_ERROR_SIZE] = "";
    bool is_complete;
    memset(reply, 0, sizeof *reply);
    struct curl_slist *headers = make_headers(t, get, &is_complete);
    if (!is_complete) {
        t->curl_slist_free_all(headers);
        return csm_fail(err, CSM_NO_MEMORY, "libcurl: out of memory");
    }
    set_options(t, &transfer, headers, text);
    const CURLcode code = t->curl_easy_perform(t->easy);
    const char *redirect = NULL;
    if (t->curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &redirect) == CURLE_OK &&
        redirect != NULL)
        keep(reply->redirect, sizeof reply->redirect, redirect, strlen(redirect));
    t->curl_slist_free_all(headers);

    if (transfer.status != CSM_OK)
        return transfer.status;
    if (transfer.is_head_too_long)
        return csm_fail(err, CSM_BAD_FORMAT, "%s: headers of more than %d bytes", get->url,
                        MAX_HEAD_BYTES);
    if (code == CURLE_OK || transfer.is_ended)
        return CSM_OK;
    reply->is_transient = may_pass(code);
    return csm_fail(err, CSM_BAD_FILE, "%s: %s", get->url,
                    text[0] != '\0' ? text : t->curl_easy_strerror(code));
}

/* A part of a URL, to be freed with curl_free; NULL: none. */
static char *part_of(struct csm_transport *t, const char *url, CURLUPart part)
{
    char *text = NULL;
    CURLU *parsed = t->curl_url();
    if (parsed == NULL || t->curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        t->curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        text = NULL;
    t->curl_url_cleanup(parsed);
    return text;
}

bool csm_transport_is_same_origin(struct csm_transport *t, const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    bool is_same = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *x = part_of(t, a, parts[i]), *y = part_of(t, b, parts[i]);
        is_same = is_same && x != NULL && y != NULL && strcasecmp(x, y) == 0;
        t->curl_free(x);
        t->curl_free(y);
    }
    return is_same;
}
