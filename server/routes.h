/* SPDX-License-Identifier: Apache-2.0
 *
 * routes.h - what each route does. Each handler answers the request, at once or later;
 * `name` is the last part of the path where the route has one, decoded. */
#ifndef CSM_SERVER_ROUTES_H
#define CSM_SERVER_ROUTES_H

#include "service.h"

typedef void route_handler(struct service *service, struct http_request *r, const char *name);

route_handler answer_page, answer_health, answer_metrics, answer_openapi, answer_models,
    answer_model, answer_audio_models;                             /* status_routes.c */
route_handler answer_speech;                                        /* speech_route.c */
route_handler answer_batch;                                         /* batch_route.c */
route_handler answer_voices, answer_voice, add_voice, remove_voice; /* voice_routes.c */
route_handler open_text_socket;                                     /* text_socket.c */
route_handler open_realtime;                                        /* realtime.c */

/* Parse the body as JSON; NULL: refused, and answered. */
json_t *routes_read_json(struct http_request *r);

#endif
