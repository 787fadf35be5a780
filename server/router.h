/* SPDX-License-Identifier: Apache-2.0
 *
 * router.h - from a request to its route: keys, origins, methods, and what is logged. */
#ifndef CSM_SERVER_ROUTER_H
#define CSM_SERVER_ROUTER_H

#include "service.h"

/* For http_new; user is the struct service. */
struct http_handlers router_handlers(struct service *service);

/* Whether an address is this machine's own, which needs no key. */
bool router_is_loopback(const char *host);

#endif
