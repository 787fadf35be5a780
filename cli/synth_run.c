/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_run.c - threads that take the next item each, for the model's scheduler to draw side by
 * side: a lane is free as soon as an item has ended. */
#include "synth_run.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "interrupt.h"
#include "synth_keys.h"
#include "synth_leftovers.h"
#include "synth_manifest.h"
#include "synth_threads.h"

/* In a line's number: it was refused, nobody speaks it. */
static const uint64_t REFUSED = (uint64_t)1 << 63;

enum { SHOWN_LINES = 20 };

struct run {
    struct synth *synth;
    struct synth_count *count;
    struct synth_manifest manifest;
    struct synth_ids ids;
    struct synth_journal journal;
    struct synth_keys keys;

    /* From here on by any of the threads, under the lock. */
    pthread_mutex_t lock;
    uint64_t n_seen; /* items of this shard, in the second reading */
    bool is_over;
    double started_ms, shown_ms;
    csm_status status; /* what ended all */
    csm_error error;
    atomic_bool is_stopped; /* read without it */
};

static bool is_stopped(void *user)
{
    struct run *r = user;
    return atomic_load(&r->is_stopped) || is_interrupted();
}

/* ---- all lines, before anything is spoken --------------------------------------- */

static csm_status check_line(struct run *r, const struct synth_item *item, bool is_own,
                             csm_error *err)
{
    uint64_t first;
    csm_status st = synth_ids_add(&r->ids, item->name, r->manifest.number, &first, err);
    if (st == CSM_OK && first != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "id %s: line %llu has it, expected another (letters' "
                        "case does not count)", item->id, (unsigned long long)(first & ~REFUSED));
    if (st != CSM_OK || !is_own)
        return st;
    st = synth_check(r->synth, item, err);
    if (st != CSM_OK)
        r->ids.items[r->ids.n - 1].line |= REFUSED;
    return st;
}

static csm_status check_all(struct run *r, csm_error *err)
{
    struct synth *s = r->synth;
    bool is_over = false;
    for (;;) {
        csm_status st = synth_manifest_next(&r->manifest, &is_over, err);
        if (st != CSM_OK || is_over)
            return st;
        if (is_stopped(r))
            return CSM_CANCELLED;
        struct synth_item item;
        csm_error why;
        const bool is_own = synth_shard_has(&s->shard, r->manifest.number);
        st = synth_item_read(&item, r->manifest.line, r->manifest.n, r->manifest.folder, &why);
        if (st == CSM_OK)
            synth_keys_tell(&r->keys, &r->manifest, &item);
        if (st == CSM_OK)
            st = check_line(r, &item, is_own, &why);
        synth_item_free(&item);
        if (st == CSM_OK) {
            r->count->n_items += is_own;
        } else if (st == CSM_BAD_FORMAT) {
            if (r->count->n_refused++ < SHOWN_LINES || s->is_skipping)
                fprintf(stderr, "csm: %s: line %llu: %s\n", s->manifest,
                        (unsigned long long)r->manifest.number, why.text);
        } else {
            *err = why;
            return st;
        }
    }
}

static csm_status check(struct run *r, csm_error *err)
{
    csm_status st = check_all(r, err);
    if (st == CSM_OK && r->count->n_refused > 0 && !r->synth->is_skipping)
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: %llu bad lines, nothing is spoken; --skip-bad leaves them out",
                      r->synth->manifest, (unsigned long long)r->count->n_refused);
    if (st == CSM_OK && r->ids.n == 0)
        st = csm_fail(err, CSM_BAD_FORMAT, "%s: no item, expected a line for each",
                      r->synth->manifest);
    return st;
}

/* ---- progress ---------------------------------------------------------------------- */

static void show(struct run *r, bool is_last)
{
    const struct synth_count *c = r->count;
    const double now_ms = clock_ms(), spent_ms = now_ms - r->started_ms;
    const uint64_t n_done = c->n_kept + c->n_spoken;
    if (r->synth->what->is_quiet || !isatty(2) || (!is_last && now_ms - r->shown_ms < 500))
        return;
    r->shown_ms = now_ms;
    fprintf(stderr, "\r%llu of %llu items, %.1f s of sound, %.1f a second", (unsigned long long)n_done,
            (unsigned long long)c->n_items, c->seconds, c->seconds * 1e3 / (spent_ms + 1e-3));
    if (c->n_spoken > 0)
        fprintf(stderr, ", %.0f s left   ",
                (double)(c->n_items - n_done) * spent_ms / 1e3 / (double)c->n_spoken);
    if (is_last)
        fputc('\n', stderr);
}

/* ---- item by item -------------------------------------------------------------------- */

static void count_line(struct synth_count *c, const json_t *line)
{
    const char *ended = json_string_value(json_object_get(line, "ended"));
    c->n_bad += ended == NULL || strcmp(ended, "by itself") != 0;
    c->n_silent += json_is_null(json_object_get(line, "audio_filepath"));
}

void synth_count_spoken(struct synth_count *c, const json_t *line)
{
    count_line(c, line);
    c->n_spoken++;
    c->seconds += json_real_value(json_object_get(line, "duration"));
}

/* Whether a run before has spoken it. */
static csm_status take_kept(struct run *r, const struct synth_item *item, struct synth_id *id,
                            bool *is_kept, csm_error *err)
{
    json_t *line = NULL;
    char made_of[33];
    *is_kept = false;
    if (id->told == 0)
        return CSM_OK;
    csm_status st = synth_journal_read(&r->journal, id, &line, err);
    if (st != CSM_OK)
        return st;
    synth_made_of(r->synth, item, made_of);
    *is_kept = synth_is_whole(r->synth, line, made_of);
    if (*is_kept)
        count_line(r->count, line);
    r->count->n_kept += *is_kept;
    r->count->n_redone += !*is_kept;
    json_decref(line);
    return CSM_OK;
}

/* An item of this shard that is still to be spoken; *id NULL: there is none any more. */
static csm_status take_next(struct run *r, struct synth_item *item, struct synth_id **id,
                            uint64_t *number, csm_error *err)
{
    csm_status st = CSM_OK;
    *id = NULL;
    item->line = NULL;
    while (st == CSM_OK && !r->is_over && !is_stopped(r)) {
        st = synth_manifest_next(&r->manifest, &r->is_over, err);
        if (st != CSM_OK || r->is_over || !synth_shard_has(&r->synth->shard, r->manifest.number))
            continue;
        *number = r->manifest.number;
        csm_error unsaid; /* it was said of the line when it was checked */
        struct synth_id *found = NULL;
        if (synth_item_read(item, r->manifest.line, r->manifest.n, r->manifest.folder, &unsaid) ==
            CSM_OK)
            found = synth_ids_find(&r->ids, item->name);
        bool is_kept = true;
        if (found != NULL && found->line == *number) {
            r->n_seen++;
            st = take_kept(r, item, found, &is_kept, err);
        }
        if (st == CSM_OK && !is_kept) {
            *id = found;
            return CSM_OK;
        }
        synth_item_free(item);
    }
    return st;
}

/* What failed is said with the line's number. The line itself may be what is wrong: then it is
 * left out, where that was asked for. */
static csm_status of_line(struct run *r, const struct synth_item *item, uint64_t number,
                          csm_status st, csm_error *err)
{
    const csm_error inner = *err;
    csm_fail(err, st, "%s: line %llu: id %s: %s", r->synth->manifest, (unsigned long long)number,
             item->id, inner.text);
    if (st != CSM_BAD_FORMAT || !r->synth->is_skipping)
        return st;
    fprintf(stderr, "csm: %s\n", err->text);
    r->count->n_refused++;
    return CSM_OK;
}

static csm_status tell(struct run *r, struct synth_id *id, const json_t *line, csm_error *err)
{
    csm_status st = synth_journal_add(&r->journal, id, line, err);
    if (st != CSM_OK)
        return st;
    synth_count_spoken(r->count, line);
    show(r, false);
    return CSM_OK;
}

static void *work(void *user)
{
    struct run *r = user;
    csm_status st = CSM_OK;
    csm_error err;
    pthread_mutex_lock(&r->lock);
    while (st == CSM_OK) {
        struct synth_item item;
        struct synth_id *id;
        uint64_t number = 0;
        json_t *line = NULL;
        st = take_next(r, &item, &id, &number, &err);
        if (st != CSM_OK || id == NULL) {
            synth_item_free(&item);
            break;
        }
        pthread_mutex_unlock(&r->lock);
        st = synth_speak(r->synth, &item, is_stopped, r, &line, &err);
        pthread_mutex_lock(&r->lock);
        if (st == CSM_OK)
            st = tell(r, id, line, &err);
        else if (st != CSM_CANCELLED)
            st = of_line(r, &item, number, st, &err);
        json_decref(line);
        synth_item_free(&item);
    }
    if (st != CSM_OK && st != CSM_CANCELLED && r->status == CSM_OK) {
        r->status = st;
        r->error = err;
        atomic_store(&r->is_stopped, true);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static csm_status work_side_by_side(struct run *r, csm_error *err)
{
    csm_status st = synth_threads_run(r->synth->n_lanes, work, r, &r->is_stopped, err);
    if (st != CSM_OK)
        return st;
    if (r->status != CSM_OK)
        *err = r->error;
    return r->status != CSM_OK ? r->status : is_interrupted() ? CSM_CANCELLED : CSM_OK;
}

/* ---- all of it -------------------------------------------------------------------------- */

static csm_status speak_all(struct run *r, csm_error *err)
{
    const struct synth *s = r->synth;
    csm_status st = synth_journal_open(&r->journal, s->directory, &s->shard, s->is_resumed, &r->ids,
                                       err);
    if (st != CSM_OK)
        return st;
    if (r->journal.n_others > 0)
        fprintf(stderr, "csm: %s: %zu items are not in %s any more: their files stay, the new "
                "manifest is without them\n", r->journal.path, r->journal.n_others, s->manifest);
    if (s->is_resumed)
        synth_leftovers_remove(s->directory, &s->shard, &r->ids);
    synth_manifest_rewind(&r->manifest);
    r->started_ms = r->shown_ms = clock_ms();
    st = work_side_by_side(r, err);
    r->count->spent_ms = clock_ms() - r->started_ms;
    show(r, true);
    if (r->count->n_redone > 0)
        fprintf(stderr, "csm: --resume: %llu items were spoken anew: their settings or text had "
                "changed, or a file was gone\n", (unsigned long long)r->count->n_redone);
    if (st == CSM_OK && r->n_seen != r->count->n_items)
        st = csm_fail(err, CSM_BAD_FILE, "%s: it changed while it was read, expected a file that "
                      "stays", s->manifest);
    return st == CSM_OK ? synth_journal_finish(&r->journal, &r->ids, err) : st;
}

csm_status synth_run(struct synth *synth, struct synth_count *count, csm_error *err)
{
    struct run r = {.synth = synth, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER};
    *count = (struct synth_count){0};
    csm_status st = synth_manifest_open(&r.manifest, synth->manifest, err);
    if (st == CSM_OK)
        st = check(&r, err);
    if (st == CSM_OK)
        st = speak_all(&r, err);
    synth_journal_close(&r.journal);
    synth_ids_free(&r.ids);
    synth_manifest_close(&r.manifest);
    synth_keys_free(&r.keys);
    return st;
}
