/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "reply.h"

static void now_text(char text[32])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* Takes the object. */
static void write_json(json_t *line)
{
    char *text = json_text(line);
    fprintf(stderr, "%s\n", text != NULL ? text : "{}");
    free(text);
}

/* The path is the client's: what is not printable is not printed, and never more than a
 * terminal's line of it. */
void log_answer(const struct service *service, const struct http_request *r, bool has_ended)
{
    char time_text[32];
    now_text(time_text);
    const char *path = r->head.path != NULL ? r->head.path : "-";
    const double ms = (double)(http_now_us() - r->began_us) / 1e3;
    const char *end = has_ended ? "" : " (client gone)";
    if (service->options->is_json_log)
        write_json(json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:f, s:s, s:b}", "time", time_text,
                             "client", http_peer(r), "method", r->head.method, "path", path,
                             "status", r->status, "bytes", (json_int_t)r->n_sent, "ms", ms, "id",
                             r->id, "complete", (int)has_ended));
    else
        fprintf(stderr, "%s %s %s %.120s %d %llu B %.1f ms %s%s\n", time_text, http_peer(r),
                *r->head.method != '\0' ? r->head.method : "-", path, r->status,
                (unsigned long long)r->n_sent, ms, r->id, end);
}

void log_text(const struct service *service, const char *id, const char *text)
{
    if (!service->options->logs_text)
        return;
    char time_text[32];
    now_text(time_text);
    write_json(json_pack("{s:s, s:s, s:s}", "time", time_text, "id", id, "text", text));
}

void log_line(const struct service *service, const char *format, ...)
{
    char time_text[32], line[600];
    now_text(time_text);
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (service->options->is_json_log)
        write_json(json_pack("{s:s, s:s}", "time", time_text, "message", line));
    else
        fprintf(stderr, "%s %s\n", time_text, line);
}
