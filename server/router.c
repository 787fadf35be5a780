/* SPDX-License-Identifier: Apache-2.0 */
#include "router.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "reply.h"
#include "routes.h"
#include "websocket.h"

enum { PUBLIC = 1, WITHOUT_MODEL = 2, WEBSOCKET = 4 };

/* A path that ends in / has one more part behind it. */
static const struct route {
    const char *method, *path, *pattern;
    int flags;
    route_handler *handler;
} routes[] = {
    {"GET", "/", "/", PUBLIC | WITHOUT_MODEL, answer_page},
    {"GET", "/health", "/health", PUBLIC | WITHOUT_MODEL, answer_health},
    {"GET", "/openapi.json", "/openapi.json", PUBLIC | WITHOUT_MODEL, answer_openapi},
    {"GET", "/metrics", "/metrics", WITHOUT_MODEL, answer_metrics},
    {"GET", "/v1/models", "/v1/models", 0, answer_models},
    {"GET", "/v1/models/", "/v1/models/{model}", 0, answer_model},
    {"GET", "/v1/audio/models", "/v1/audio/models", 0, answer_audio_models},
    {"POST", "/v1/audio/speech", "/v1/audio/speech", 0, answer_speech},
    {"POST", "/v1/audio/speech/batch", "/v1/audio/speech/batch", 0, answer_batch},
    {"GET", "/v1/audio/speech/stream", "/v1/audio/speech/stream", WEBSOCKET, open_text_socket},
    {"GET", "/v1/realtime", "/v1/realtime", WEBSOCKET, open_realtime},
    {"GET", "/v1/audio/voices", "/v1/audio/voices", 0, answer_voices},
    {"POST", "/v1/audio/voices", "/v1/audio/voices", 0, add_voice},
    {"GET", "/v1/audio/voices/", "/v1/audio/voices/{name}", 0, answer_voice},
    {"DELETE", "/v1/audio/voices/", "/v1/audio/voices/{name}", 0, remove_voice},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

bool service_is_ready(const struct service *service)
{
    return service->speeches != NULL && !service->is_ending;
}

bool router_is_loopback(const char *host)
{
    return (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host)) || strcmp(host, "::1") == 0 ||
           strcasecmp(host, "localhost") == 0;
}

/* What a path has behind the route's own, the name that the route asks for; NULL: it is another's.
 * Names may have slashes, as those of models (ORGANIZATION/MODEL) do. OpenAI's routes are there
 * without /v1, too: base URLs are given either way. */
static const char *name_in_path(const struct route *route, const char *path)
{
    const char *own = route->path;
    if (strncmp(own, "/v1/", 4) == 0 && strncmp(path, "/v1/", 4) != 0)
        own += 3;
    const size_t n = strlen(own);
    if (n < 2 || own[n - 1] != '/')
        return strcmp(own, path) == 0 ? path + n : NULL;
    return strncmp(own, path, n) == 0 && path[n] != '\0' ? path + n : NULL;
}

static bool has_method(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static const struct route *find_route(const struct http_request *r, bool *has_other)
{
    *has_other = false;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (name_in_path(&routes[i], r->head.path) == NULL)
            continue;
        if (has_method(&routes[i], r->head.method))
            return &routes[i];
        *has_other = true;
    }
    return NULL;
}

/* ---- who may ask ------------------------------------------------------------------- */

/* Browsers cannot set headers of a WebSocket: OpenAI's clients put the key among the
 * subprotocols. */
static const char *key_of_subprotocol(const struct http_request *r, char *key, size_t size)
{
    static const char prefix[] = "openai-insecure-api-key.";
    const char *at = NULL;
    for (size_t i = 0; at == NULL && i < r->head.n_headers; i++)
        if (strcasecmp(r->head.headers[i].name, "sec-websocket-protocol") == 0)
            at = strstr(r->head.headers[i].value, prefix);
    if (at == NULL)
        return NULL;
    at += sizeof prefix - 1;
    const size_t n = strcspn(at, ", ");
    if (n >= size)
        return NULL;
    memcpy(key, at, n);
    key[n] = '\0';
    return key;
}

static bool has_key(const struct service *service, const struct http_request *r)
{
    char key[512];
    const char *given = http_head_find(&r->head, "authorization");
    if (given != NULL && strncasecmp(given, "Bearer ", 7) == 0)
        given += 7 + strspn(given + 7, " ");
    else
        given = r->head.is_websocket ? key_of_subprotocol(r, key, sizeof key) : NULL;
    return keys_have(&service->keys, given);
}

/* The server's own page. Where no key is asked for, its name must be this machine's: a
 * page of any name can have that name point here (DNS rebinding). */
static bool is_own_origin(const struct service *service, const struct http_request *r,
                          const char *origin)
{
    const char *host = http_head_find(&r->head, "host");
    const char *name = strstr(origin, "://");
    if (host == NULL || name == NULL || strcasecmp(name + 3, host) != 0)
        return false;
    if (service->keys.n > 0 || service->options->is_open)
        return true;
    char plain[64];
    const bool is_v6 = *host == '[';
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(host + is_v6, is_v6 ? "]" : ":"), host + is_v6);
    return router_is_loopback(plain);
}

/* A page of another origin may ask only where --allow-origin names it. */
static bool is_allowed_origin(const struct service *service, const char *origin)
{
    for (size_t i = 0; i < service->options->n_origins; i++)
        if (strcmp(service->options->origins[i], "*") == 0 ||
            strcasecmp(service->options->origins[i], origin) == 0)
            return true;
    return false;
}

static void allow_origin(const struct service *service, struct http_request *r)
{
    const char *origin = http_head_find(&r->head, "origin");
    if (origin == NULL || !is_allowed_origin(service, origin))
        return;
    http_header(r, "Access-Control-Allow-Origin", "%s", origin);
    http_header(r, "Vary", "Origin");
    http_header(r, "Access-Control-Expose-Headers",
                "X-Request-Id, X-Finish-Reason, X-Seed, X-Prompt-Tokens, X-Completion-Tokens, "
                "X-Audio-Duration-Ms, X-RTF, X-Remarks");
}

/* What a path can be asked for, as the value of Allow. */
static void add_methods(struct http_request *r, const char *header)
{
    char methods[64] = "OPTIONS";
    for (size_t i = 0; i < N_ROUTES; i++)
        if (strcmp(r->head.path, "*") == 0 || name_in_path(&routes[i], r->head.path) != NULL) {
            const char *method = routes[i].method;
            const size_t n = strlen(methods);
            if (strstr(methods, method) == NULL)
                snprintf(methods + n, sizeof methods - n, ", %s%s", method,
                         strcmp(method, "GET") == 0 ? ", HEAD" : "");
        }
    http_header(r, header, "%s", methods);
}

/* To a page's question before its request; whatever headers its client library has, they
 * may come. */
static void answer_preflight(struct http_request *r)
{
    const char *headers = http_head_find(&r->head, "access-control-request-headers");
    add_methods(r, "Access-Control-Allow-Methods");
    if (headers != NULL)
        http_header(r, "Access-Control-Allow-Headers", "%s", headers);
    if (http_head_find(&r->head, "access-control-request-private-network") != NULL)
        http_header(r, "Access-Control-Allow-Private-Network", "true"); /* a page of the net asks */
    http_header(r, "Access-Control-Max-Age", "600");
    http_answer(r, 204, NULL, "", 0);
}

/* OPTIONS that no page's browser sends. */
static void answer_options(struct http_request *r)
{
    add_methods(r, "Allow");
    http_answer(r, 204, NULL, "", 0);
}

/* ---- what http.h asks for ------------------------------------------------------------ */

static void on_head(void *user, struct http_request *r)
{
    struct service *service = user;
    const char *origin = http_head_find(&r->head, "origin");
    bool has_other;
    const struct route *route = find_route(r, &has_other);
    const bool is_options = strcmp(r->head.method, "OPTIONS") == 0 &&
                            (has_other || strcmp(r->head.path, "*") == 0);
    http_header(r, "X-Content-Type-Options", "nosniff");
    allow_origin(service, r);
    if (origin != NULL && !is_own_origin(service, r, origin) && !is_allowed_origin(service, origin))
        reply_error(r, 403, "", "origin_not_allowed",
                    "pages of this origin may not ask: --allow-origin names those that may");
    else if (is_options && http_head_find(&r->head, "access-control-request-method") != NULL)
        answer_preflight(r);
    else if (is_options)
        answer_options(r);
    else if (route == NULL && has_other) {
        add_methods(r, "Allow");
        reply_error(r, 405, "", "method_not_allowed", "this route has no method %s", r->head.method);
    } else if (route == NULL)
        reply_error(r, 404, "", "not_found", "there is no route %s; GET /openapi.json has them",
                    strlen(r->head.path) < 200 ? r->head.path : "of that name");
    else if ((route->flags & PUBLIC) == 0 && service->keys.n > 0 && !has_key(service, r))
        reply_error(r, 401, "", "invalid_api_key",
                    "expected Authorization: Bearer with a key of this server");
    else if ((route->flags & WITHOUT_MODEL) == 0 && !service_is_ready(service))
        reply_error(r, 503, "", "not_ready", "the server is %s",
                    service->is_ending ? "ending" : "starting");
    else if ((route->flags & WEBSOCKET) != 0 && websocket_refusal(r) != NULL) {
        http_header(r, "Upgrade", "websocket");
        http_header(r, "Sec-WebSocket-Version", "13");
        reply_error(r, r->head.is_websocket ? 400 : 426, "", "websocket_expected", "%s",
                    websocket_refusal(r));
    }
}

static void on_request(void *user, struct http_request *r)
{
    struct service *service = user;
    bool has_other;
    const struct route *route = find_route(r, &has_other);
    if ((route->flags & WITHOUT_MODEL) == 0 && !service_is_ready(service)) {
        reply_error(r, 503, "", "not_ready", "the server is ending");
        return;
    }
    char name[256];
    snprintf(name, sizeof name, "%s", name_in_path(route, r->head.path));
    if (!http_percent_decode(name)) {
        reply_error(r, 400, "", "invalid_path", "the path: expected %% and two hexadecimal digits");
        return;
    }
    route->handler(service, r, name);
}

static void on_broken(void *user, struct http_request *r, int status, const char *why)
{
    (void)user;
    reply_error(r, status, "", "invalid_request", "%s", why);
}

static void on_answered(void *user, const struct http_request *r, bool has_ended)
{
    struct service *service = user;
    bool has_other = false;
    const struct route *route = r->head.path != NULL ? find_route(r, &has_other) : NULL;
    metrics_answered(service->metrics, route != NULL ? route->pattern : "other", r->status, has_ended);
    log_answer(service, r, has_ended);
}

struct http_handlers router_handlers(struct service *service)
{
    return (struct http_handlers){on_head, on_request, on_broken, on_answered, service};
}

/* What jansson found, in words that quote nothing of the body. */
static const char *json_trouble(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key: return "a key that is there already";
    case json_error_null_character:
    case json_error_null_byte_in_key: return "\\u0000, which no text may hold";
    case json_error_numeric_overflow: return "a number that is too large";
    case json_error_invalid_utf8: return "no UTF-8";
    case json_error_premature_end_of_input: return "the end, too early";
    default: return strchr(error->text, '\'') == NULL ? error->text : "not as JSON has it";
    }
}

json_t *routes_read_json(struct http_request *r)
{
    json_error_t error;
    json_t *json = json_read(r->body, r->n_body, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL)
        reply_error(r, 400, "", "invalid_json", "the body: expected JSON: line %d, column %d: %s",
                    error.line, error.column, json_trouble(&error));
    return json;
}
