/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c - the life of a server: it listens at once, opens the model beside the loop,
 * serves, and at a signal finishes what is being said. */
#include "server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <event2/thread.h>

#include <csm/experimental.h>

#include "log.h"
#include "router.h"
#include "service.h"
#include "wyoming.h"

enum {
    URL_HOST = 264, /* a name has 253 characters at most */
    N_WORKERS = 2,
    MOST_ENCODERS = 8,
    WRITE_MS = 30000,
    MAX_HEAD = 16 * 1024,
    MAX_BODY = 16 * 1024 * 1024,
    MAX_BODIES = 256 * 1024 * 1024,
    HEAD_MS = 10000,
    BODY_MS = 60000,
    IDLE_MS = 75000,
    MAX_REFERENCE = 10 * 1024 * 1024,
    MAX_REFERENCES = 8,
    SPARE_DESCRIPTORS = 64, /* for files, engines, libraries */
    ENDING_CHECK_MS = 50
};

/* What the loop of one server has besides what its routes share. */
struct server {
    struct service service;
    struct event *interrupt, *terminate, *hangup, *ending;
    bool has_terminal; /* it was begun at one */
    int port;
    csm_status status; /* of opening the model */
    csm_error error;
};

/* ---- options ----------------------------------------------------------------------- */

/* What a browser can send as Origin; another is never equal to one. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (host == NULL || host == text)
        return strcmp(text, "*") == 0 || strcmp(text, "null") == 0;
    return host[3] != '\0' && strpbrk(host + 3, "/?# ") == NULL;
}

/* The address as it stands in an URL. */
static const char *url_host(const char *host, char out[URL_HOST])
{
    const bool is_v6 = strchr(host, ':') != NULL;
    snprintf(out, URL_HOST, "%s%s%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "");
    return out;
}

static csm_status check_options(const struct serve_options *o, csm_error *err)
{
    if (o->api_key_file == NULL && !o->is_open && !router_is_loopback(o->host))
        return csm_fail(err, CSM_BAD_ARG,
                        "--host %s: others can reach it: expected --api-key-file F, or --no-auth", o->host);
    for (size_t i = 0; i < o->n_origins; i++)
        if (!is_origin(o->origins[i]))
            return csm_fail(err, CSM_BAD_ARG,
                            "--allow-origin: '%s', expected SCHEME://HOST[:PORT] without a path, or *",
                            o->origins[i]);
    if ((o->tls_cert == NULL) != (o->tls_key == NULL))
        return csm_fail(err, CSM_BAD_ARG, "expected --tls-cert and --tls-key together");
    if (o->wyoming_port >= 0 && !o->is_open && !router_is_loopback(o->host))
        return csm_fail(err, CSM_BAD_ARG,
                        "--wyoming-port: its protocol has no keys: expected --no-auth, or a loopback "
                        "--host");
    return CSM_OK;
}

/* As many descriptors as the system allows; sockets stay below. */
static size_t choose_sockets(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    const size_t room = limit.rlim_cur > 2 * SPARE_DESCRIPTORS
                            ? (size_t)limit.rlim_cur - SPARE_DESCRIPTORS
                            : SPARE_DESCRIPTORS;
    return wanted < room ? wanted : room;
}

/* An mp3 of 300 streams in real time is as much work as one core has. */
static size_t count_encoders(void)
{
    const int n = csm_cores() / 4;
    return n < 1 ? 1 : n > MOST_ENCODERS ? MOST_ENCODERS : (size_t)n;
}

/* ---- the model ----------------------------------------------------------------------- */

/* A worker's: the loop looks at what it does when it is done. */
static void open_model(void *job)
{
    struct server *server = job;
    struct service *service = &server->service;
    const struct serve_options *o = service->options;
    csm_model_options options = o->model;
    options.max_lanes = o->max_streams;
    const char *rest = o->model.device;
    size_t n_devices = 1;
    for (const char *p = rest; p != NULL && (p = strchr(p, ',')) != NULL; p++)
        n_devices++;
    /* Threads of two models would wait for each other by spinning. */
    if (options.n_threads == 0 && n_devices > 1)
        options.n_threads = csm_cores() > (int)n_devices ? csm_cores() / (int)n_devices : 1;
    do {
        char device[64];
        if (rest != NULL) {
            const size_t n = strcspn(rest, ",");
            snprintf(device, sizeof device, "%.*s", (int)(n < 63 ? n : 63), rest);
            options.device = device;
            rest = rest[n] == ',' ? rest + n + 1 : NULL;
        }
        if (service->n_models == MAX_DEVICES)
            server->status = csm_fail(&server->error, CSM_BAD_ARG, "--device: expected at most %d",
                                      MAX_DEVICES);
        else
            server->status = csm_model_open(o->model_path, &options,
                                            &service->models[service->n_models], &server->error);
        service->n_models += server->status == CSM_OK;
    } while (server->status == CSM_OK && rest != NULL);
}

static void tell(void *user, const char *line)
{
    log_line(user, "%s", line);
}

static csm_status start_speaking(struct service *service, csm_error *err)
{
    const struct serve_options *o = service->options;
    service->model = service->models[0];
    service->info = csm_model_describe(service->model);
    if (o->on_open != NULL)
        o->on_open(service->model);
    if (!service->info->has_codec)
        return csm_fail(err, CSM_BAD_FILE, "%s: no codec: without one there is no sound to serve",
                        service->info->path);
    csm_status st =
        voice_store_open(service->model, o->aliases, o->n_aliases, tell, service, &service->voices, err);
    if (st == CSM_OK)
        st = speeches_new(service->base, service->models, service->n_models, service->workers, o->max_streams,
                          o->max_queue, &service->speeches, err);
    return st;
}

static void on_model(void *job)
{
    struct server *server = job;
    struct service *service = &server->service;
    if (service->is_ending)
        return;
    if (server->status == CSM_OK)
        server->status = start_speaking(service, &server->error);
    if (server->status != CSM_OK) {
        event_base_loopbreak(service->base);
        return;
    }
    char host[URL_HOST];
    printf("listening on %s://%s:%d\n", service->options->tls_cert != NULL ? "https" : "http",
           url_host(service->options->host, host), server->port);
    fflush(stdout);
}

/* ---- the end --------------------------------------------------------------------------- */

static bool is_over(const struct service *service)
{
    return connections_count(service->connections) == 0 ||
           (http_n_pending(service->http) == 0 && TAILQ_EMPTY(&service->guests) &&
            (service->speeches == NULL || speeches_running(service->speeches) == 0) &&
            !connections_are_busy(service->connections));
}

static void on_ending(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    struct server *server = user;
    const struct timeval again = {0, ENDING_CHECK_MS * 1000};
    if (is_over(&server->service))
        event_base_loopbreak(server->service.base);
    else
        event_add(server->ending, &again);
}

/* Nothing new; a second signal ends at once. */
static void on_signal(evutil_socket_t signal_number, short what, void *user)
{
    (void)what;
    struct server *server = user;
    struct service *service = &server->service;
    if (service->is_ending) {
        event_base_loopbreak(service->base);
        return;
    }
    service->is_ending = true;
    log_line(service, "signal %d: finishing what is being said", (int)signal_number);
    connections_stop(service->connections);
    http_stop(service->http);
    if (service->speeches != NULL)
        speeches_stop(service->speeches);
    struct guest *guest, *next;
    for (guest = TAILQ_FIRST(&service->guests); guest != NULL; guest = next) {
        next = TAILQ_NEXT(guest, entry);
        guest->on_end(guest->owner);
    }
    on_ending(-1, 0, server);
}

/* ---- SIGHUP ------------------------------------------------------------------------------ */

static bool has_terminal(void)
{
    const int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* What may change while it runs: keys, and certificates, which last for months. What cannot be
 * read is told, and what was there stays. */
static void read_again(struct service *service)
{
    const struct serve_options *o = service->options;
    struct keys keys;
    csm_error err;
    if (o->api_key_file != NULL && keys_read(o->api_key_file, &keys, &err) == CSM_OK) {
        keys_free(&service->keys);
        service->keys = keys;
        log_line(service, "%s: read again", o->api_key_file);
    } else if (o->api_key_file != NULL) {
        log_line(service, "%s: the keys of before are kept", err.text);
    }
    if (o->tls_cert == NULL)
        return;
    if (connections_use_tls(service->connections, o->tls_cert, o->tls_key, &err) == CSM_OK)
        log_line(service, "%s: read again", o->tls_cert);
    else
        log_line(service, "%s: the certificate of before is kept", err.text);
}

/* It means that the terminal is gone, or that an administrator asks. */
static void on_hangup(evutil_socket_t signal_number, short what, void *user)
{
    struct server *server = user;
    if (server->service.is_ending) /* shells and the system may both send it */
        return;
    if (server->has_terminal && !has_terminal())
        on_signal(signal_number, what, user);
    else
        read_again(&server->service);
}

/* Under nohup it is ignored, and stays so. */
static csm_status watch_hangup(struct server *server, csm_error *err)
{
    struct sigaction now;
    server->has_terminal = has_terminal();
    if (sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
        return CSM_OK;
    server->hangup = evsignal_new(server->service.base, SIGHUP, on_hangup, server);
    if (server->hangup == NULL || event_add(server->hangup, NULL) != 0)
        return csm_fail(err, CSM_NO_MEMORY, "serve: no events");
    return CSM_OK;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* The loop looks at its sockets at least so often. Without a bound libevent goes on with events that other threads
 * made active while there are any: frames that came one after the other kept all sockets waiting. */
static struct event_base *open_loop(void)
{
    const struct timeval most = {.tv_usec = 2000};
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    struct event_base *base = event_config_set_max_dispatch_interval(config, &most, -1, 0) == 0
                                  ? event_base_new_with_config(config)
                                  : NULL;
    event_config_free(config);
    return base;
}

static csm_status open_parts(struct server *server, csm_error *err)
{
    struct service *service = &server->service;
    const struct serve_options *o = service->options;
    const struct connection_limits connection_limits = {.max_sockets = choose_sockets(o->max_sockets),
                                                        .write_ms = WRITE_MS};
    const struct http_limits http_limits = {.max_head = MAX_HEAD,
                                            .max_body = MAX_BODY,
                                            .max_bodies = MAX_BODIES,
                                            .head_ms = HEAD_MS,
                                            .body_ms = BODY_MS,
                                            .idle_ms = IDLE_MS};
    const struct http_handlers handlers = router_handlers(service);
    service->limits = (struct request_limits){.max_text = o->max_text,
                                              .max_references = MAX_REFERENCES,
                                              .max_reference = MAX_REFERENCE};
    evthread_use_pthreads();
    service->base = open_loop();
    service->metrics = metrics_new();
    if (service->base == NULL || service->metrics == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "serve: no event loop");
    server->interrupt = evsignal_new(service->base, SIGINT, on_signal, server);
    server->terminate = evsignal_new(service->base, SIGTERM, on_signal, server);
    server->ending = evtimer_new(service->base, on_ending, server);
    if (server->interrupt == NULL || server->terminate == NULL || server->ending == NULL ||
        event_add(server->interrupt, NULL) != 0 || event_add(server->terminate, NULL) != 0)
        return csm_fail(err, CSM_NO_MEMORY, "serve: no events");
    csm_status st = watch_hangup(server, err);
    if (st == CSM_OK)
        st = connections_new(service->base, &connection_limits, &service->connections, err);
    if (st == CSM_OK)
        st = workers_new(service->base, N_WORKERS, &service->workers, err);
    if (st == CSM_OK)
        st = workers_new(service->base, count_encoders(), &service->encoders, err);
    if (st == CSM_OK)
        st = http_new(service->base, &http_limits, &handlers, &service->http, err);
    if (st == CSM_OK && o->api_key_file != NULL)
        st = keys_read(o->api_key_file, &service->keys, err);
    if (st == CSM_OK && o->tls_cert != NULL)
        st = connections_use_tls(service->connections, o->tls_cert, o->tls_key, err);
    return st;
}

/* At a port; what of --host could not be had is told, where some could. */
static csm_status listen_on(struct service *service, int port,
                            void (*on_accept)(void *user, struct connection *c), void *user, int *bound,
                            csm_error *err)
{
    csm_error missed;
    const char *host = service->options->host;
    const csm_status st =
        connections_listen(service->connections, host, port, on_accept, user, bound, &missed, err);
    if (st == CSM_OK && missed.text[0] != '\0')
        log_line(service, "--host %s: not all its addresses: %s", host, missed.text);
    return st;
}

static csm_status listen_all(struct server *server, csm_error *err)
{
    struct service *service = &server->service;
    const struct serve_options *o = service->options;
    csm_status st = listen_on(service, o->port, http_accept, service->http, &server->port, err);
    int port = 0;
    char host[URL_HOST];
    if (st == CSM_OK && o->wyoming_port >= 0)
        st = listen_on(service, o->wyoming_port, wyoming_accept, service, &port, err);
    if (st == CSM_OK && o->wyoming_port >= 0)
        log_line(service, "Wyoming on tcp://%s:%d", url_host(o->host, host), port);
    return st;
}

static void close_parts(struct server *server)
{
    struct service *service = &server->service;
    connections_free(service->connections); /* their speeches are closed with them */
    workers_free(service->encoders);
    workers_free(service->workers);
    speeches_free(service->speeches);
    voice_store_close(service->voices);
    for (size_t i = 0; i < service->n_models; i++)
        csm_model_close(service->models[i]);
    http_free(service->http);
    metrics_free(service->metrics);
    keys_free(&service->keys);
    if (server->hangup != NULL)
        event_free(server->hangup);
    if (server->interrupt != NULL)
        event_free(server->interrupt);
    if (server->terminate != NULL)
        event_free(server->terminate);
    if (server->ending != NULL)
        event_free(server->ending);
    if (service->base != NULL)
        event_base_free(service->base);
    libevent_global_shutdown();
}

csm_status serve(const struct serve_options *options, csm_error *err)
{
    struct server server = {.service = {.options = options, .began = time(NULL)}};
    TAILQ_INIT(&server.service.guests);
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of its socket alone */
    csm_status st = check_options(options, err);
    if (st != CSM_OK)
        return st;
    st = open_parts(&server, err);
    if (st == CSM_OK)
        st = listen_all(&server, err);
    if (st == CSM_OK && !workers_do(server.service.workers, open_model, on_model, &server))
        st = csm_fail(err, CSM_NO_MEMORY, "serve: out of memory");
    if (st == CSM_OK)
        event_base_dispatch(server.service.base);
    if (st == CSM_OK && !server.service.is_ending && server.status != CSM_OK) {
        *err = server.error;
        st = server.status;
    }
    close_parts(&server);
    return st;
}
