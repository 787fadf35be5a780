/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a request that is accepted says one thing only: written again from what
 * was read, it is read the same. A form's parts lie within its body. */
#include "check.h"

#include <string.h>

#include "http_head.h"
#include "multipart.h"

static size_t put(char *to, size_t at, size_t size, const char *text)
{
    const size_t n = strlen(text);
    CHECK(at + n < size);
    memcpy(to + at, text, n);
    return at + n;
}

/* The head as we would send it. */
static size_t write_head(const struct http_head *head, char *to, size_t size)
{
    size_t at = put(to, 0, size, head->method);
    at = put(to, at, size, " ");
    at = put(to, at, size, head->path);
    if (*head->query != '\0') {
        at = put(to, at, size, "?");
        at = put(to, at, size, head->query);
    }
    at = put(to, at, size, head->is_http_10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    for (size_t i = 0; i < head->n_headers; i++) {
        at = put(to, at, size, head->headers[i].name);
        at = put(to, at, size, ":");
        at = put(to, at, size, head->headers[i].value);
        at = put(to, at, size, "\r\n");
    }
    return put(to, at, size, "\r\n");
}

static void check_head(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1), *again = malloc(n + 64);
    struct http_head head, second;
    const char *why = NULL;
    memcpy(text, data, n);
    const int status = http_head_parse(text, n, &head, &why);
    CHECK(status == 0 || (status >= 400 && status < 600 && why != NULL));
    if (status == 0) {
        CHECK(!(head.has_length && head.is_chunked));
        const size_t m = write_head(&head, again, n + 64);
        char *copy = malloc(m);
        memcpy(copy, again, m);
        CHECK(http_head_parse(copy, m, &second, &why) == 0);
        CHECK(second.n_headers == head.n_headers && second.length == head.length);
        CHECK(second.is_chunked == head.is_chunked && second.is_kept == head.is_kept);
        CHECK(second.is_websocket == head.is_websocket);
        for (size_t i = 0; i < head.n_headers; i++)
            CHECK(strcmp(second.headers[i].value, head.headers[i].value) == 0);
        free(copy);
    }
    free(again);
    free(text);
}

static void check_form(const uint8_t *data, size_t n)
{
    char *body = malloc(n + 1);
    struct multipart parts;
    memcpy(body, data, n);
    body[n] = '\0';
    const char *wrong = multipart_parse("multipart/form-data; boundary=b", body, n, &parts);
    for (size_t i = 0; wrong == NULL && i < parts.n; i++) {
        const struct multipart_part *part = &parts.parts[i];
        CHECK(part->value >= body && part->value + part->n <= body + n);
        CHECK(part->value[part->n] == '\0' && multipart_find(&parts, part->name) != NULL);
    }
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_head(data, n);
    check_form(data, n);
    return 0;
}
