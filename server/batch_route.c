/* SPDX-License-Identifier: Apache-2.0
 *
 * batch_route.c - POST /v1/audio/speech/batch: up to 32 texts, each with its own
 * settings over common ones, answered together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log.h"
#include "reply.h"
#include "routes.h"
#include "saying.h"

enum { MAX_ITEMS = 32 };

struct batch;

struct item {
    struct batch *batch;
    size_t index;
    struct saying *saying;
    const void *bytes; /* between on_sound and on_end */
    size_t n;
    json_t *result; /* NULL: under way */
};

struct batch {
    struct service *service;
    struct http_request *r;
    struct item items[MAX_ITEMS];
    size_t n, n_left, n_failed;
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        saying_close(b->items[i].saying);
        json_decref(b->items[i].result);
    }
    free(b);
}

static void on_gone(void *owner)
{
    batch_free(owner);
}

static void answer(struct batch *b)
{
    json_t *results = json_array();
    for (size_t i = 0; i < b->n; i++)
        json_array_append(results, b->items[i].result);
    reply_json(b->r, 200, json_pack("{s:s, s:o, s:I, s:I, s:I}", "id", b->r->id, "results", results,
                                    "total", (json_int_t)b->n, "succeeded",
                                    (json_int_t)(b->n - b->n_failed), "failed",
                                    (json_int_t)b->n_failed));
    batch_free(b);
}

/* Takes the result; NULL: out of memory. */
static void settle(struct item *item, json_t *result)
{
    struct batch *b = item->batch;
    saying_close(item->saying);
    item->saying = NULL;
    item->result = result != NULL ? result : json_object();
    if (--b->n_left == 0)
        answer(b);
}

static void on_sound(void *owner, const void *bytes, size_t n)
{
    struct item *item = owner;
    item->bytes = bytes;
    item->n = n;
}

static void on_end(void *owner)
{
    struct item *item = owner;
    const struct saying_report r = saying_report(item->saying);
    const struct remark_list remarks = saying_remarks(item->saying);
    const struct speech_request *asked = saying_request(item->saying);
    char type[SPEECH_TYPE];
    char *audio = bytes_to_base64(item->bytes, item->n);
    json_t *result =
        audio == NULL
            ? NULL
            : json_pack("{s:I, s:o, s:s, s:s, s:s, s:I, s:s, s:{s:I, s:I, s:I}}", "index",
                        (json_int_t)item->index, "remarks", remark_list_json(&remarks), "status", "success",
                        "audio_data", audio, "media_type",
                        speech_request_type(asked, item->batch->service->info, type), "seed", (json_int_t)r.seed,
                        "finish_reason", r.finish, "usage", "input_tokens",
                        (json_int_t)(r.n_text + r.n_prompt), "output_tokens", (json_int_t)r.n_frames,
                        "total_tokens", (json_int_t)(r.n_text + r.n_prompt + r.n_frames));
    free(audio);
    settle(item, result);
}

static void on_failed(void *owner, const struct refusal *why)
{
    struct item *item = owner;
    item->batch->n_failed++;
    settle(item, json_pack("{s:I, s:s, s:s}", "index", (json_int_t)item->index, "status", "error",
                           "error", why->message));
}

/* Name the item that is refused, as its place in the body. */
static bool refuse_item(struct refusal *why, size_t i)
{
    const struct refusal own = *why;
    char param[sizeof why->param];
    snprintf(param, sizeof param, "items[%zu]%s%.32s", i, own.param[0] != '\0' ? "." : "", own.param);
    return refuse(why, own.status, param, own.code, "items[%zu]: %.480s", i, own.message);
}

static bool is_whole(const struct speech_request *request, struct refusal *why)
{
    return !request->is_streamed || refuse(why, 400, "stream", "invalid_value",
                                           "stream: expected false, since a batch is answered whole");
}

/* The request of each item, over what is common; false: refused. */
static bool read_items(struct service *service, const json_t *json, struct speech_request *requests,
                       size_t *n, struct refusal *why)
{
    const json_t *items = json_object_get(json, "items");
    struct speech_request common;
    speech_request_defaults(&common);
    *n = 0;
    if (!json_is_array(items) || json_array_size(items) == 0 || json_array_size(items) > MAX_ITEMS)
        return refuse(why, 400, "items", "invalid_value", "items: expected 1 to %d of them", MAX_ITEMS);
    bool is_right =
        speech_request_read(json, service->info, &service->limits, false, &common, why);
    if (is_right && common.n_references > 0)
        is_right = refuse(why, 400, "ref_audio", "invalid_value",
                          "recordings: expected in the items that they belong to");
    for (size_t i = 0; is_right && i < json_array_size(items); i++) {
        struct speech_request *request = &requests[(*n)++];
        is_right = (speech_request_copy(&common, request) ||
                    refuse(why, 503, "", "", "out of memory")) &&
                   ((speech_request_read(json_array_get(items, i), service->info, &service->limits,
                                         true, request, why) &&
                     is_whole(request, why)) ||
                    refuse_item(why, i));
    }
    speech_request_empty(&common);
    return is_right;
}

void answer_batch(struct service *service, struct http_request *r, const char *name)
{
    static const struct saying_hooks hooks = {
        .on_sound = on_sound, .on_end = on_end, .on_failed = on_failed};
    (void)name;
    json_t *json = routes_read_json(r);
    if (json == NULL)
        return;
    struct speech_request requests[MAX_ITEMS];
    struct refusal why;
    size_t n;
    struct batch *b = calloc(1, sizeof *b);
    bool is_right = read_items(service, json, requests, &n, &why);
    json_decref(json);
    if (b == NULL)
        is_right = refuse(&why, 503, "", "", "out of memory");
    if (!is_right) {
        for (size_t i = 0; i < n; i++)
            speech_request_empty(&requests[i]);
        free(b);
        reply_refusal(r, &why);
        return;
    }
    b->service = service;
    b->r = r;
    b->n = b->n_left = n;
    r->owner = b;
    r->on_gone = on_gone;
    b->n_left++; /* this function's own, so that the answer waits for it */
    for (size_t i = 0; i < n; i++) {
        b->items[i].batch = b;
        b->items[i].index = i;
        log_text(service, r->id, requests[i].input);
        if (!saying_begin(service, &requests[i], &hooks, &b->items[i], &b->items[i].saying, &why))
            on_failed(&b->items[i], &why);
    }
    if (--b->n_left == 0)
        answer(b);
}
