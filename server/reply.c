/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void reply_json(struct http_request *r, int status, json_t *object)
{
    static const char none[] = "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\","
                               "\"param\":null,\"code\":null}}";
    char *text = json_text(object);
    const char *body = text != NULL ? text : none;
    http_answer(r, text != NULL ? status : 503, "application/json", body, strlen(body));
    free(text);
}

static const char *type_of(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 503: return "server_busy";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static json_t *text_or_null(const char *text)
{
    return text == NULL || *text == '\0' ? json_null() : json_string(text);
}

json_t *refusal_json(const struct refusal *why)
{
    /* A message may quote what the client sent: what is no UTF-8 was refused before. */
    return json_pack("{s:s, s:s, s:o, s:o}", "message", why->message, "type", type_of(why->status),
                     "param", text_or_null(why->param), "code", text_or_null(why->code));
}

void reply_refusal(struct http_request *r, const struct refusal *why)
{
    if (why->status == 503)
        http_header(r, "Retry-After", "1");
    if (why->status == 401)
        http_header(r, "WWW-Authenticate", "Bearer");
    json_t *error = refusal_json(why);
    reply_json(r, why->status, error != NULL ? json_pack("{s:o}", "error", error) : NULL);
}

void reply_error(struct http_request *r, int status, const char *param, const char *code,
                 const char *format, ...)
{
    struct refusal why = {.status = status, .code = code};
    snprintf(why.param, sizeof why.param, "%s", param);
    va_list args;
    va_start(args, format);
    vsnprintf(why.message, sizeof why.message, format, args);
    va_end(args);
    reply_refusal(r, &why);
}

void refusal_of_status(csm_status status, const char *message, struct refusal *why)
{
    switch (status) {
    case CSM_BAD_ARG:
    case CSM_BAD_FORMAT: refuse(why, 400, "", "invalid_value", "%s", message); break;
    case CSM_NO_MEMORY:
    case CSM_CANCELLED: refuse(why, 503, "", "overloaded", "%s", message); break;
    default: refuse(why, 500, "", "", "%s", message); break;
    }
}
