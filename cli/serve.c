/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c - csm serve: the command line of the server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "adapters.h"
#include "choices.h"
#include "command.h"

#ifndef CSM_HAS_SERVER

int run_serve(int argc, char **argv)
{
    (void)argc, (void)argv;
    fputs("csm: serve: this build has no server: it was made without libevent, openssl, wslay or "
          "sonic\n",
          stderr);
    return EXIT_ENGINE;
}

#else

#include "marking.h"
#include "model_notes.h"
#include "model_path.h"
#include "options.h"
#include "server.h"
#include "written.h"

static const char help[] =
    "usage: csm serve [--host H] [--port P] [--model-path DIR] [OPTIONS]\n"
    "Speech over HTTP for OpenAI's clients, WebSocket and Wyoming: docs/SERVER.md.\n\n"
    "  --host H                 where to listen (127.0.0.1); elsewhere than on the own\n"
    "                           machine a key is demanded, or --no-auth\n"
    "  --port P                 8080; 0 takes any that is free\n"
    "  --wyoming-port P         and Wyoming for Home Assistant there\n"
    "  --model-path DIR|ORG/NAME  default: the embedded voice\n"
    "  --engine E               auto, native, mlx, torch, cuda\n"
    "  --device D[,D...]        cpu, gpu, cuda:0, mps; several share the work\n"
    "  --strategy S             auto, pure, exact, hybrid\n"
    "  --dtype D                f32, bf16, f16, q8, q4; default: as stored\n"
    "  --threads N              default: one per core\n"
    "  --adapter NAME=DIR[:SCALE]  a LoRA for requests that name it, kept beside the\n"
    "                           model; repeatable\n\n"
    "  --max-streams N          speeches drawn at once (64)\n"
    "  --queue N                speeches that may wait (256); then 503\n"
    "  --max-sockets N          connections at once (4096)\n"
    "  --prefix-cache-mb N      memory for voices and contexts that are kept read (256)\n"
    "  --max-text N             characters of a text (4096)\n"
    "  --voices-dir D           recordings of voices; default: as csm voice\n"
    "  --alias NAME=VOICE       another name for a voice; repeatable\n\n"
    "  --api-key-file F         keys, one a line, that clients must have\n"
    "  --no-auth                ask for no key, wherever it listens\n"
    "  --allow-origin O         pages of that origin may ask, * all; repeatable\n"
    "  --tls-cert F --tls-key F PEM files: https\n"
    "  --mark | --no-mark       whether the sound carries the mark of generated speech (mark)\n"
    "  --mark-key F             with a key of your own, 64 hexadecimal digits\n"
    "  --c2pa-cert F --c2pa-key F   PEM files: whole files of wav, flac and mp3 are signed as made\n"
    "                           by a program; sound that streams is refused\n"
    "  --log-format text|json   of the lines on standard error\n"
    "  --log-text               log what is said, too\n\n"
    "One line \"listening on http://HOST:PORT\" on standard output when it can answer.\n"
    "SIGTERM and SIGINT: what is being said is finished, nothing new is taken, exit 0.\n"
    "SIGHUP: the files of --api-key-file, --tls-cert and --tls-key are read again.\n";

struct arguments {
    struct serve_options serve;
    const char *strategy, *dtype, *voices_dir, *log_format;
    struct option_list origins, aliases, adapters;
    struct marking marking;
    const char *c2pa_cert, *c2pa_key;
    bool is_unmarked;
    size_t prefix_cache_mb;
};

static bool check(const struct arguments *a)
{
    const struct serve_options *s = &a->serve;
    const char *wrong = NULL;
    if (s->port < 0 || s->port > 65535)
        wrong = "--port: expected 0 to 65535";
    else if (s->wyoming_port < -1 || s->wyoming_port > 65535)
        wrong = "--wyoming-port: expected 0 to 65535";
    else if (s->max_streams == 0)
        wrong = "--max-streams: expected 1 or more";
    else if (s->max_sockets < 8)
        wrong = "--max-sockets: expected 8 or more";
    else if (a->prefix_cache_mb > 1 << 20)
        wrong = "--prefix-cache-mb: expected at most 1048576";
    else if (s->max_text == 0)
        wrong = "--max-text: expected 1 or more";
    else if (a->marking.is_on && a->is_unmarked)
        wrong = "expected one of --mark and --no-mark";
    else if (a->is_unmarked && a->marking.key_file != NULL)
        wrong = "--mark-key: expected no --no-mark with it";
    else if ((a->c2pa_cert != NULL) != (a->c2pa_key != NULL))
        wrong = "expected both of --c2pa-cert and --c2pa-key, or none";
    else if (s->is_open && s->api_key_file != NULL)
        wrong = "expected one of --api-key-file and --no-auth";
    else if (strcmp(a->log_format, "text") != 0 && strcmp(a->log_format, "json") != 0)
        wrong = "--log-format: expected text or json";
    if (wrong != NULL)
        fprintf(stderr, "csm: %s\n", wrong);
    return wrong == NULL;
}

static enum parsed parse(int argc, char **argv, struct arguments *a)
{
    struct serve_options *s = &a->serve;
    const struct option_spec options[] = {
        {"host", OPTION_TEXT, &s->host},
        {"port", OPTION_INT, &s->port},
        {"wyoming-port", OPTION_INT, &s->wyoming_port},
        {"model-path", OPTION_TEXT, &s->model_path},
        {"engine", OPTION_TEXT, &s->model.engine},
        {"device", OPTION_TEXT, &s->model.device},
        {"strategy", OPTION_TEXT, &a->strategy},
        {"dtype", OPTION_TEXT, &a->dtype},
        {"threads", OPTION_INT, &s->model.n_threads},
        {"adapter", OPTION_LIST, &a->adapters},
        {"max-streams", OPTION_SIZE, &s->max_streams},
        {"queue", OPTION_SIZE, &s->max_queue},
        {"max-sockets", OPTION_SIZE, &s->max_sockets},
        {"max-text", OPTION_SIZE, &s->max_text},
        {"prefix-cache-mb", OPTION_SIZE, &a->prefix_cache_mb},
        {"voices-dir", OPTION_TEXT, &a->voices_dir},
        {"alias", OPTION_LIST, &a->aliases},
        {"api-key-file", OPTION_IN, &s->api_key_file},
        {"no-auth", OPTION_FLAG, &s->is_open},
        {"allow-origin", OPTION_LIST, &a->origins},
        {"tls-cert", OPTION_IN, &s->tls_cert},
        {"tls-key", OPTION_IN, &s->tls_key},
        {"mark", OPTION_FLAG, &a->marking.is_on},
        {"no-mark", OPTION_FLAG, &a->is_unmarked},
        {"mark-key", OPTION_IN, &a->marking.key_file},
        {"c2pa-cert", OPTION_IN, &a->c2pa_cert},
        {"c2pa-key", OPTION_IN, &a->c2pa_key},
        {"log-format", OPTION_TEXT, &a->log_format},
        {"log-text", OPTION_FLAG, &s->logs_text},
        {NULL, OPTION_FLAG, NULL},
    };
    return parse_options(argc, argv, options, help, NULL, 0);
}

int run_serve(int argc, char **argv)
{
    struct arguments a = {.serve = {.host = "127.0.0.1",
                                    .port = 8080,
                                    .wyoming_port = -1,
                                    .model = csm_model_defaults(),
                                    .max_streams = 64,
                                    .max_queue = 256,
                                    .max_sockets = 4096,
                                    .max_text = 4096},
                          .prefix_cache_mb = 256,
                          .log_format = "text"};
    const enum parsed parsed = parse(argc, argv, &a);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    struct serve_options *s = &a.serve;
    if (!check(&a) || !choose_named_strategy(a.strategy, &s->model.strategy) ||
        !choose_precision(a.dtype, &s->model.precision))
        return EXIT_USAGE;
    if (s->model.engine != NULL && strcmp(s->model.engine, "auto") == 0)
        s->model.engine = NULL;
    s->origins = a.origins.items;
    s->n_origins = a.origins.n;
    s->aliases = a.aliases.items;
    s->n_aliases = a.aliases.n;
    s->is_marked = !a.is_unmarked;
    s->model.prefix_cache_bytes = a.prefix_cache_mb << 20;
    s->on_open = warn_of_model;
    s->is_json_log = strcmp(a.log_format, "json") == 0;
    /* Where the library looks for them; before there is another thread. */
    if (a.voices_dir != NULL && setenv("CSM_VOICES", a.voices_dir, 1) != 0) {
        fprintf(stderr, "csm: --voices-dir: out of memory\n");
        return EXIT_ENGINE;
    }
    csm_error err;
    char *downloaded = NULL;
    struct named_adapters adapters;
    csm_status st = marking_read(&a.marking, &err);
    if (st == CSM_OK)
        st = named_adapters_read(&a.adapters, &adapters, &err);
    s->model.named_adapters = adapters.list;
    s->model.n_named_adapters = a.adapters.n;
    s->mark_key = a.marking.key_file != NULL ? a.marking.key : NULL;
    if (st == CSM_OK)
        st = credentials_read(a.c2pa_cert, a.c2pa_key, &s->credentials, &err);
    if (st == CSM_OK)
        st = model_path_resolve(&s->model_path, true, &downloaded, &err);
    if (st == CSM_OK)
        st = serve(s, &err);
    csm_free(downloaded);
    csm_credentials_close(s->credentials);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}

#endif
