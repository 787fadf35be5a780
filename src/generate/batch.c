/* SPDX-License-Identifier: Apache-2.0
 *
 * batch.c - several utterances, so many at a time: generations like any others, whose frames
 * are read as they come. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sized.h"
#include "generate/generation.h"
#include "generate/prompt.h"
#include "generate/result.h"

struct batch {
    csm_model *model;
    csm_turn *context; /* [n_context] of codes */
    size_t n_context;
    const csm_utterance *utterances;
    size_t n, n_lanes, n_begun;
    csm_generate_options options;
    bool (*on_result)(void *user, size_t utterance, csm_result *result);
    csm_result **active; /* [n_lanes]; NULL: free */
    size_t *which;       /* [n_lanes] utterance */
    size_t n_active;

    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool is_ready; /* one of them has something to take */
};

static void notify(void *user)
{
    struct batch *b = user;
    pthread_mutex_lock(&b->lock);
    b->is_ready = true;
    pthread_cond_signal(&b->ready);
    pthread_mutex_unlock(&b->lock);
}

static void wait_ready(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->is_ready)
        pthread_cond_wait(&b->ready, &b->lock);
    b->is_ready = false;
    pthread_mutex_unlock(&b->lock);
}

static csm_request request_of(const struct batch *b, const csm_utterance *u)
{
    csm_request request = csm_request_of(u->text, u->speaker);
    request.context = u->context != NULL ? u->context : b->context;
    request.n_context = u->context != NULL ? u->n_context : b->n_context;
    return request;
}

static csm_status options_of(const struct batch *b, const csm_utterance *u,
                             csm_generate_options *options, csm_error *err)
{
    *options = b->options;
    csm_status st = CSM_OK;
    if (u->options != NULL) {
        *options = csm_generate_defaults();
        st = csm_sized_read(u->options, options, sizeof *options, "generate options", err);
    }
    options->seed = u->seed;
    options->on_frame = b->options.on_frame;
    options->on_ready = b->options.on_ready;
    options->observe = b->options.observe;
    options->user = b->options.user;
    return st;
}

/* The context's sound, encoded once for all that have it. */
static csm_status encode_context(struct batch *b, const csm_turn *context, csm_error *err)
{
    const csm_model_info *info = &b->model->info;
    b->context = calloc(b->n_context + 1, sizeof *b->context);
    if (b->context == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "batch: %zu turns", b->n_context);
    csm_status st = CSM_OK;
    size_t n_positions = 0;
    for (size_t i = 0; st == CSM_OK && i < b->n_context; i++) {
        b->context[i] = context[i];
        if (context[i].codes != NULL || context[i].samples == NULL || context[i].n_samples == 0)
            continue;
        const size_t n = (context[i].n_samples + info->frame_samples - 1) / info->frame_samples;
        n_positions += n;
        st = csm_check_room(b->model, n_positions, 0, err);
        if (st != CSM_OK)
            return st;
        int32_t *codes = malloc(n * info->n_codebooks * sizeof *codes);
        b->context[i].samples = NULL;
        b->context[i].codes = codes;
        b->context[i].n_frames = n;
        st = codes == NULL ? csm_fail(err, CSM_NO_MEMORY, "batch: a turn of %zu frames", n)
                           : csm_codec_encode(csm_model_codec(b->model), context[i].samples,
                                              context[i].n_samples, info->n_codebooks, codes, err);
    }
    return st;
}

static void free_context(struct batch *b, const csm_turn *context)
{
    for (size_t i = 0; b->context != NULL && i < b->n_context; i++)
        if (b->context[i].codes != context[i].codes)
            free((int32_t *)b->context[i].codes);
    free(b->context);
}

/* Every text is one, and fits, before the first is spoken. */
static csm_status check(const struct batch *b, csm_error *err)
{
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < b->n; i++) {
        const csm_request request = request_of(b, &b->utterances[i]);
        csm_generate_options options;
        size_t n;
        st = options_of(b, &b->utterances[i], &options, err);
        if (st == CSM_OK)
            st = csm_prompt_count(b->model, &request, &n, err);
        if (st == CSM_OK)
            st = csm_check_room(b->model, n, options.max_frames, err);
    }
    return st;
}

static csm_status begin(struct batch *b, size_t lane, csm_error *err)
{
    const size_t i = b->n_begun++;
    const csm_request request = request_of(b, &b->utterances[i]);
    csm_generate_options options;
    csm_status st = options_of(b, &b->utterances[i], &options, err);
    if (st == CSM_OK)
        st = csm_utterance_open(b->model, &request, &options, i, notify, b, &b->active[lane], err);
    b->which[lane] = i;
    b->n_active += st == CSM_OK;
    return st;
}

/* What one of them has; when it is whole, the result is given. */
static csm_status read_lane(struct batch *b, size_t lane, csm_error *err)
{
    bool is_over;
    csm_result *result = NULL;
    csm_status st = csm_utterance_read(b->active[lane], 0, &is_over, err);
    if (!is_over)
        return CSM_OK;
    st = csm_utterance_end(b->active[lane], st, &result, err);
    b->active[lane] = NULL;
    b->n_active--;
    if (st != CSM_OK) {
        csm_result_close(result);
        return st;
    }
    if (b->on_result(b->options.user, b->which[lane], result))
        return CSM_OK;
    return csm_fail(err, CSM_CANCELLED, "batch: cancelled after utterance %zu", b->which[lane]);
}

static csm_status run(struct batch *b, csm_error *err)
{
    csm_status st = CSM_OK;
    while (st == CSM_OK && (b->n_active > 0 || b->n_begun < b->n)) {
        for (size_t i = 0; st == CSM_OK && i < b->n_lanes && b->n_begun < b->n; i++)
            if (b->active[i] == NULL)
                st = begin(b, i, err);
        if (st == CSM_OK)
            wait_ready(b);
        for (size_t i = 0; st == CSM_OK && i < b->n_lanes; i++)
            if (b->active[i] != NULL)
                st = read_lane(b, i, err);
    }
    for (size_t i = 0; i < b->n_lanes; i++)
        csm_result_close(b->active[i]);
    return st;
}

csm_status csm_generate_batch(csm_model *model, const csm_turn *context, size_t n_context,
                              const csm_utterance *utterances, size_t n, size_t n_lanes,
                              const csm_generate_options *options,
                              bool (*on_result)(void *user, size_t utterance, csm_result *result),
                              csm_error *err)
{
    struct batch b = {.model = model,
                      .n_context = n_context,
                      .utterances = utterances,
                      .n = n,
                      .n_lanes = n_lanes < n ? n_lanes : n,
                      .options = csm_generate_defaults(),
                      .on_result = on_result};
    csm_status st = CSM_OK;
    if (options != NULL)
        st = csm_sized_read(options, &b.options, sizeof b.options, "generate options", err);
    if (st == CSM_OK && n_lanes == 0)
        st = csm_fail(err, CSM_BAD_ARG, "batch: 0 lanes, expected 1 or more");
    if (st == CSM_OK)
        st = csm_context_check(context, n_context, err);
    if (st != CSM_OK || n == 0)
        return st;
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.ready, NULL);
    b.active = calloc(b.n_lanes, sizeof(csm_result *));
    b.which = calloc(b.n_lanes, sizeof *b.which);
    if (b.active == NULL || b.which == NULL)
        st = csm_fail(err, CSM_NO_MEMORY, "batch: %zu lanes", b.n_lanes);
    if (st == CSM_OK)
        st = encode_context(&b, context, err);
    if (st == CSM_OK)
        st = check(&b, err);
    if (st == CSM_OK)
        st = run(&b, err);
    free_context(&b, context);
    free(b.active);
    free(b.which);
    pthread_cond_destroy(&b.ready);
    pthread_mutex_destroy(&b.lock);
    return st;
}
