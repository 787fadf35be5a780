/* SPDX-License-Identifier: Apache-2.0
 *
 * reply.h - answers in JSON, and OpenAI's envelope of errors. */
#ifndef CSM_SERVER_REPLY_H
#define CSM_SERVER_REPLY_H

#include "http.h"
#include "json_io.h"
#include "speech_request.h"

/* Answer with the object, which is taken; NULL (no memory): 503. */
void reply_json(struct http_request *r, int status, json_t *object);

/* {"error": {"message", "type", "param", "code"}}; 503 has Retry-After with it. */
void reply_refusal(struct http_request *r, const struct refusal *why);
void reply_error(struct http_request *r, int status, const char *param, const char *code,
                 const char *format, ...) CSM_PRINTF(5, 6);

/* The same of a status of the library: CSM_BAD_ARG is the client's fault. */
void refusal_of_status(csm_status status, const char *message, struct refusal *why);

/* The inner object of the envelope; NULL: out of memory. */
json_t *refusal_json(const struct refusal *why);

#endif
