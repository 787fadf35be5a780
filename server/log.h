/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - the server's log on standard error: a line an answer, as text or JSON. What a
 * request says is not in it, unless --log-text asks for that. */
#ifndef CSM_SERVER_LOG_H
#define CSM_SERVER_LOG_H

#include "service.h"

void log_answer(const struct service *service, const struct http_request *r, bool has_ended);
void log_text(const struct service *service, const char *id, const char *text);
void log_line(const struct service *service, const char *format, ...) CSM_PRINTF(2, 3);

#endif
