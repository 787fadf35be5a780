/* SPDX-License-Identifier: Apache-2.0
 *
 * status_routes.c - what the server is and how it does: page, health, metrics, models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "embedded.h"
#include "reply.h"
#include "routes.h"

void answer_page(struct service *service, struct http_request *r, const char *name)
{
    (void)service, (void)name;
    /* Its own scripts and styles alone; blob: is the sound that it plays. */
    http_header(r, "Content-Security-Policy",
                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                "connect-src 'self'; media-src blob:; img-src data:; frame-ancestors 'none'; "
                "base-uri 'none'; form-action 'none'");
    http_answer(r, 200, "text/html; charset=utf-8", embedded_page, embedded_page_size);
}

void answer_openapi(struct service *service, struct http_request *r, const char *name)
{
    (void)service, (void)name;
    http_answer(r, 200, "application/json", embedded_openapi, embedded_openapi_size);
}

void answer_health(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    const bool is_ready = service_is_ready(service);
    const char *status = is_ready ? "ok" : service->is_ending ? "ending" : "starting";
    json_t *health = json_pack("{s:s, s:s}", "status", status, "version", csm_version());
    if (service->speeches != NULL && health != NULL) {
        json_object_set_new(health, "running",
                            json_integer((json_int_t)speeches_running(service->speeches)));
        json_object_set_new(health, "waiting",
                            json_integer((json_int_t)speeches_waiting(service->speeches)));
        json_object_set_new(health, "max_streams",
                            json_integer((json_int_t)service->options->max_streams));
        json_object_set_new(health, "model", json_string(service->info->name));
        json_object_set_new(health, "engine", json_string(service->info->engine));
    }
    reply_json(r, is_ready ? 200 : 503, health);
}

void answer_metrics(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    struct metrics_now now = {.sockets = connections_count(service->connections)};
    if (service->speeches != NULL) {
        now.running = speeches_running(service->speeches);
        now.waiting = speeches_waiting(service->speeches);
        for (size_t i = 0; i < service->n_models; i++) {
            csm_load load = {.size = sizeof load};
            csm_model_load(service->models[i], &load);
            now.lanes += load.n_running;
            now.positions += load.n_positions;
            now.kept_bytes += load.kept_bytes;
        }
    }
    struct evbuffer *text = evbuffer_new();
    if (text == NULL) {
        reply_error(r, 503, "", "", "out of memory");
        return;
    }
    metrics_write(service->metrics, &now, text);
    const size_t n = evbuffer_get_length(text);
    http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", evbuffer_pullup(text, -1), n);
    evbuffer_free(text);
}

/* Clients name models of OpenAI's; whatever they name, this one speaks. */
static json_t *model_json(const struct service *service, const char *id)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", id, "name", id, "object", "model", "created",
                     (json_int_t)service->began, "owned_by", "csm");
}

static json_t *models_json(const struct service *service)
{
    json_t *models = json_array();
    json_t *own = model_json(service, service->info->name), *adapters = json_array();
    for (size_t i = 0; i < service->info->n_adapters; i++)
        json_array_append_new(adapters, json_string(service->info->adapters[i]));
    json_object_set_new(own, "adapters", adapters);
    json_array_append_new(models, own);
    static const char *const others[] = {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        json_array_append_new(models, model_json(service, others[i]));
    return models;
}

void answer_models(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    reply_json(r, 200, json_pack("{s:s, s:o}", "object", "list", "data", models_json(service)));
}

void answer_model(struct service *service, struct http_request *r, const char *name)
{
    json_t *models = models_json(service), *found = NULL;
    for (size_t i = 0; i < json_array_size(models); i++) {
        json_t *model = json_array_get(models, i);
        if (strcmp(json_string_value(json_object_get(model, "id")), name) == 0)
            found = json_incref(model);
    }
    json_decref(models);
    if (found != NULL)
        reply_json(r, 200, found);
    else
        reply_error(r, 404, "model", "model_not_found", "there is no model of that name");
}

void answer_audio_models(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    reply_json(r, 200, json_pack("{s:s, s:o}", "object", "list", "models", models_json(service)));
}
