/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h - csm serve: speech over HTTP, WebSocket and Wyoming. docs/SERVER.md has the
 * routes. */
#ifndef CSM_SERVER_SERVER_H
#define CSM_SERVER_SERVER_H

#include <csm/credentials.h>
#include <csm/csm.h>

struct serve_options {
    const char *host;
    int port;         /* 0: any free one */
    int wyoming_port; /* -1: none; 0: any free one */
    const char *model_path; /* NULL: the embedded voice */
    csm_model_options model; /* its device may name several, "cuda:0,cuda:1": each has the
                              * model, and a speech is drawn where the fewest are */
    size_t max_streams, max_queue, max_sockets;
    size_t max_text; /* characters of a text */
    const char *api_key_file; /* a key a line; NULL: none */
    bool is_open;             /* no key is asked for, wherever it listens */
    const char *const *origins; /* [n_origins] whose pages may ask; "*": all */
    size_t n_origins;
    const char *const *aliases; /* [n_aliases] "NAME=VOICE" */
    size_t n_aliases;
    const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS */
    bool is_marked;   /* what is said carries the mark */
    const unsigned char *mark_key; /* CSM_MARK_KEY_BYTES of them; NULL: the public key */
    csm_credentials *credentials; /* sign what is said, whole files alone; NULL: not signed */
    void (*on_open)(const csm_model *model); /* called when the model is open; NULL: not */
    bool is_json_log; /* the log's lines are JSON objects */
    bool logs_text;   /* and have the texts */
};

/* Serve until SIGTERM or SIGINT, then finish what is being said. Returns CSM_OK;
 * CSM_BAD_ARG (options that do not go together), CSM_BAD_FILE (an address, a key file),
 * and as csm_model_open. */
csm_status serve(const struct serve_options *options, csm_error *err);

#endif
