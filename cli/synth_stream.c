/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_stream.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "interrupt.h"
#include "synth_keys.h"
#include "synth_threads.h"

enum { PATIENCE_MS = 100 }; /* after which a wait for lines sees an interrupt */

struct stream {
    struct synth *synth;
    struct synth_count *count;
    atomic_bool is_stopped;

    pthread_mutex_t reading; /* guards: */
    struct synth_manifest manifest;
    struct synth_keys keys;
    bool is_over;

    pthread_mutex_t telling; /* guards: */
    csm_status status;       /* what ended all */
    csm_error error;
};

static bool is_stopped(void *user)
{
    struct stream *s = user;
    return atomic_load(&s->is_stopped) || is_interrupted();
}

/* False: there will be none, or all is to end. */
static bool wait_for_line(struct stream *s)
{
    struct pollfd input = {.fd = fileno(s->manifest.file), .events = POLLIN};
    while (!is_stopped(s))
        if (poll(&input, 1, PATIENCE_MS) > 0)
            return true;
    return false;
}

/* The next line as an item; CSM_BAD_FORMAT: it is none; CSM_CANCELLED: there is no other. */
static csm_status take_next(struct stream *s, struct synth_item *item, uint64_t *number,
                            csm_error *err)
{
    item->line = NULL;
    csm_status st = CSM_OK;
    if (!s->is_over && wait_for_line(s))
        st = synth_manifest_next(&s->manifest, &s->is_over, err);
    if (st != CSM_OK)
        return st;
    if (s->is_over || is_stopped(s))
        return CSM_CANCELLED;
    *number = s->manifest.number;
    st = synth_item_read(item, s->manifest.line, s->manifest.n, "", err);
    if (st == CSM_OK)
        synth_keys_tell(&s->keys, &s->manifest, item);
    return st;
}

static csm_status answer(uint64_t number, json_t *line, csm_error *err)
{
    json_t *whole = json_pack("{s:I}", "line", (json_int_t)number);
    const bool is_written = json_object_update(whole, line) == 0 &&
                            json_dumpf(whole, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0 &&
                            putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(whole);
    return is_written ? CSM_OK : csm_fail(err, CSM_BAD_FILE, "standard output: %s", strerror(errno));
}

static csm_status refuse(struct stream *s, uint64_t number, const struct synth_item *item,
                         csm_error *err)
{
    json_t *line = json_pack("{s:s*, s:s}", "id", item->line != NULL ? item->id : NULL, "error",
                             err->text);
    s->count->n_refused++;
    csm_status st = answer(number, line, err);
    json_decref(line);
    return st;
}

static csm_status tell(struct stream *s, uint64_t number, json_t *line, csm_error *err)
{
    csm_status st = answer(number, line, err);
    if (st == CSM_OK)
        synth_count_spoken(s->count, line);
    return st;
}

static void *work(void *user)
{
    struct stream *s = user;
    csm_status st = CSM_OK;
    csm_error err;
    while (st == CSM_OK) {
        struct synth_item item;
        uint64_t number = 0;
        json_t *line = NULL;
        pthread_mutex_lock(&s->reading);
        st = take_next(s, &item, &number, &err);
        pthread_mutex_unlock(&s->reading);
        if (st == CSM_OK)
            st = synth_check(s->synth, &item, &err);
        if (st == CSM_OK)
            st = synth_speak(s->synth, &item, is_stopped, s, &line, &err);
        pthread_mutex_lock(&s->telling);
        if (st == CSM_OK)
            st = tell(s, number, line, &err);
        else if (st == CSM_BAD_FORMAT)
            st = refuse(s, number, &item, &err);
        if (st != CSM_OK && st != CSM_CANCELLED && s->status == CSM_OK) {
            s->status = st;
            s->error = err;
            atomic_store(&s->is_stopped, true);
        }
        pthread_mutex_unlock(&s->telling);
        json_decref(line);
        synth_item_free(&item);
    }
    return NULL;
}

csm_status synth_stream(struct synth *synth, struct synth_count *count, csm_error *err)
{
    struct stream s = {.synth = synth,
                       .count = count,
                       .manifest = {.path = "standard input", .file = stdin},
                       .reading = PTHREAD_MUTEX_INITIALIZER,
                       .telling = PTHREAD_MUTEX_INITIALIZER};
    const double started_ms = clock_ms();
    *count = (struct synth_count){0};
    if (mkdir(synth->directory, 0777) != 0 && errno != EEXIST)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", synth->directory, strerror(errno));
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll sees all that has come */
    csm_status st = synth_threads_run(synth->n_lanes, work, &s, &s.is_stopped, err);
    if (st == CSM_OK && s.status != CSM_OK)
        *err = s.error;
    if (st == CSM_OK)
        st = s.status != CSM_OK ? s.status : is_interrupted() ? CSM_CANCELLED : CSM_OK;
    count->n_items = count->n_spoken;
    count->spent_ms = clock_ms() - started_ms;
    synth_manifest_close(&s.manifest);
    synth_keys_free(&s.keys);
    return st;
}
