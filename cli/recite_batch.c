/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "interrupt.h"
#include "recital.h"

struct batch {
    struct recital *recital;
    size_t *drawn;        /* [n]: which utterance each of csm_generate_batch's is */
    csm_result **waiting; /* [n utterances]: those before which another is missing */
    size_t n_delivered;
    csm_status status; /* of what was done with a result */
    csm_error error;
};

/* Sound goes out in the order of the text: what is ready of it, up to the first
 * utterance that is neither drawn nor there from a run before. */
static csm_status deliver_ready(struct batch *b, csm_error *err)
{
    struct recital *r = b->recital;
    csm_status st = CSM_OK;
    for (; st == CSM_OK && b->n_delivered < r->utterances.n; b->n_delivered++) {
        const size_t i = b->n_delivered;
        csm_result *result = b->waiting[i];
        struct part part = {0};
        if (result == NULL && !recital_has_part(r, i, &part))
            return CSM_OK;
        const float *samples = result != NULL ? result->samples : part.samples;
        const size_t n_samples = result != NULL ? result->n_samples : part.n_samples;
        recital_show_progress(r, i);
        st = recital_open_utterance(r, i, err);
        if (st == CSM_OK)
            st = recital_close_utterance(r, i, sink_push(&r->sink, samples, n_samples, err), err);
        if (result != NULL) {
            recital_tell(r, i, result->n_frames, recital_ending(result->report));
            speak_remarks(r->what, result->report, csm_model_describe(r->model)->frame_ms);
        } else {
            recital_tell(r, i, part.n_frames, "resumed");
        }
        part_close(&part);
        csm_result_close(result);
        b->waiting[i] = NULL;
    }
    return st;
}

static bool on_result(void *user, size_t utterance, csm_result *result)
{
    struct batch *b = user;
    const size_t i = b->drawn[utterance];
    b->waiting[i] = result;
    if (b->recital->how->is_resumed)
        b->status = part_save(&b->recital->keys[i], result, &b->error);
    if (b->status == CSM_OK)
        b->status = deliver_ready(b, &b->error);
    return b->status == CSM_OK;
}

static bool on_frame(void *user, const csm_frame *frame)
{
    (void)user;
    (void)frame;
    return !is_interrupted();
}

/* Those that no run before has left, each with its own length; *n_missing: how many. */
static csm_status choose_missing(struct batch *b, csm_utterance *missing,
                                 csm_generate_options *options, size_t *n_missing, csm_error *err)
{
    const struct recital *r = b->recital;
    csm_status st = CSM_OK;
    size_t n = 0;
    for (size_t i = 0; st == CSM_OK && i < r->utterances.n; i++) {
        const struct utterance *u = &r->utterances.items[i];
        struct part part;
        if (recital_has_part(r, i, &part)) {
            part_close(&part);
            continue;
        }
        st = speak_options(r->what, r->model, context_turns(&r->context), r->context.n_turns,
                           u->text, u->speaker, &options[n], err);
        b->drawn[n] = i;
        missing[n] = (csm_utterance){.text = u->text,
                                     .speaker = u->speaker,
                                     .seed = r->what->options.seed + i,
                                     .options = &options[n]};
        n++;
    }
    *n_missing = n;
    return st;
}

/* All that is missing, then what is there behind it. */
static csm_status draw_missing(struct batch *b, csm_utterance *missing,
                               csm_generate_options *each, const csm_turn *context,
                               size_t n_context, csm_error *err)
{
    struct recital *r = b->recital;
    csm_generate_options options = r->what->options;
    size_t n = 0;
    csm_status st = choose_missing(b, missing, each, &n, err);
    if (st != CSM_OK)
        return st;
    options.on_frame = on_frame;
    options.user = b;
    st = csm_generate_batch(r->model, context, n_context, missing, n, r->how->n_batch, &options,
                            on_result, err);
    if (b->status != CSM_OK) { /* why on_result ended it */
        *err = b->error;
        return b->status;
    }
    if (st == CSM_OK)
        st = deliver_ready(b, err);
    if (st == CSM_OK && b->n_delivered < r->utterances.n)
        st = csm_fail(err, CSM_BAD_FILE, "%s.parts: a part is gone that was there",
                      r->what->output);
    return st;
}

csm_status say_in_batch(struct recital *r, csm_error *err)
{
    const size_t n = r->utterances.n, n_context = csm_session_count(r->context.session);
    struct batch b = {.recital = r,
                      .drawn = calloc(n, sizeof *b.drawn),
                      .waiting = calloc(n, sizeof *b.waiting)};
    csm_utterance *missing = calloc(n, sizeof *missing);
    csm_generate_options *options = calloc(n, sizeof *options);
    csm_turn *context = calloc(n_context + 1, sizeof *context);
    csm_status st = CSM_OK;
    if (missing == NULL || options == NULL || context == NULL || b.drawn == NULL || b.waiting == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "text: out of memory");
    if (st == CSM_OK) {
        for (size_t i = 0; i < n_context; i++)
            context[i] = csm_session_turn(r->context.session, i);
        st = draw_missing(&b, missing, options, context, n_context, err);
    }
    for (size_t i = 0; b.waiting != NULL && i < n; i++)
        csm_result_close(b.waiting[i]);
    free(b.waiting);
    free(b.drawn);
    free(context);
    free(options);
    free(missing);
    return st;
}
