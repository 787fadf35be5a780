/* SPDX-License-Identifier: Apache-2.0
 *
 * wyoming.h - Home Assistant's protocol for voices, on a port of its own: lines of JSON
 * with data and sound behind them. Synthesis of a whole text, and of one that is still
 * being written. */
#ifndef CSM_SERVER_WYOMING_H
#define CSM_SERVER_WYOMING_H

struct connection;

/* For connections_listen: user is the struct service. */
void wyoming_accept(void *service, struct connection *c);

#endif
