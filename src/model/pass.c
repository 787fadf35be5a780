/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls for one sequence are those of transformers, so that an engine with PyTorch's
 * arithmetic gives its bits: a prompt in one pass, then one position a frame; in the depth
 * decoder positions 0 and 1 in one pass, then one by one. */
#include "model/pass.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

csm_status csm_pass_open(const struct csm_language *language, struct csm_pass *pass, csm_error *err)
{
    const struct csm_engine *engine = language->engine;
    *pass = (struct csm_pass){.language = language};
    csm_value **values[] = {&pass->a, &pass->b, &pass->c};
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < 3; i++)
        st = engine->ops->value_new(engine->ctx, values[i], err);
    if (st != CSM_OK)
        csm_pass_close(pass);
    return st;
}

void csm_pass_close(struct csm_pass *pass)
{
    if (pass->language != NULL) {
        const struct csm_engine *engine = pass->language->engine;
        for (size_t i = 0; i < pass->n_rooms; i++)
            engine->ops->lane_close(engine->ctx, pass->depth[i]);
        engine->ops->value_free(engine->ctx, pass->a);
        engine->ops->value_free(engine->ctx, pass->b);
        engine->ops->value_free(engine->ctx, pass->c);
    }
    free(pass->depth);
    free(pass->rows);
    free(pass->watches);
    free(pass->ids);
    *pass = (struct csm_pass){0};
}

/* Room for n sequences. */
static csm_status make_room(struct csm_pass *pass, size_t n, csm_error *err)
{
    if (n <= pass->n_rooms)
        return CSM_OK;
    csm_lane **depth = realloc(pass->depth, n * sizeof(csm_lane *));
    if (depth != NULL)
        pass->depth = depth;
    struct csm_rows *rows = realloc(pass->rows, n * sizeof *rows);
    if (rows != NULL)
        pass->rows = rows;
    struct csm_watch *watches = realloc(pass->watches, n * sizeof *watches);
    if (watches != NULL)
        pass->watches = watches;
    if (depth == NULL || rows == NULL || watches == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: a pass of %zu sequences", n);
    for (; pass->n_rooms < n; pass->n_rooms++)
        pass->depth[pass->n_rooms] = NULL;
    return CSM_OK;
}

csm_status csm_pass_ids(struct csm_pass *pass, size_t n, csm_error *err)
{
    if (n <= pass->n_ids)
        return CSM_OK;
    int32_t *ids = realloc(pass->ids, n * sizeof *ids);
    if (ids == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "model: %zu ids", n);
    pass->ids = ids;
    pass->n_ids = n;
    return CSM_OK;
}

csm_status csm_pass_depth_lane(struct csm_pass *pass, size_t i, csm_lane **lane, csm_error *err)
{
    const struct csm_language *l = pass->language;
    csm_status st = make_room(pass, i + 1, err);
    if (st == CSM_OK && pass->depth[i] == NULL)
        st = l->engine->ops->lane_open(l->engine->ctx, l->depth.attention, l->depth.n_layers,
                                       l->n_codebooks, &pass->depth[i], err);
    if (st == CSM_OK)
        *lane = pass->depth[i];
    return st;
}

/* ---- embeddings -------------------------------------------------------------- */

static bool is_text(const struct csm_feed *feed, size_t i)
{
    return feed->text != NULL && feed->text[i] >= 0;
}

/* Where a run of rows of one kind ends, from row `at` of feed `i` on; gives its length. */
static size_t run_length(const struct csm_feed *feeds, size_t n, size_t i, size_t at)
{
    const bool kind = is_text(&feeds[i], at);
    size_t length = 0;
    for (; i < n; i++, at = 0)
        for (; at < feeds[i].n; at++, length++)
            if (is_text(&feeds[i], at) != kind)
                return length;
    return length;
}

/* The ids of a run: of text, or of the codes' rows in audio_table. */
static void set_ids(struct csm_pass *pass, const struct csm_feed *feeds, size_t i, size_t at,
                    size_t length)
{
    const struct csm_language *l = pass->language;
    int32_t *ids = pass->ids;
    for (; length > 0; i++, at = 0)
        for (; length > 0 && at < feeds[i].n; at++, length--) {
            if (is_text(&feeds[i], at)) {
                *ids++ = feeds[i].text[at];
                continue;
            }
            for (size_t k = 0; k < l->n_codebooks; k++)
                *ids++ = (int32_t)(k * l->vocab) + feeds[i].codes[at * l->n_codebooks + k];
        }
}

/* Embeddings of all rows into pass->a, run by run of one kind. */
static csm_status embed(struct csm_pass *pass, const struct csm_feed *feeds, size_t n,
                        size_t n_rows, csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    size_t i = 0, at = 0;
    for (size_t row = 0; row < n_rows;) {
        const size_t length = run_length(feeds, n, i, at);
        const bool text = is_text(&feeds[i], at), is_all = length == n_rows;
        const size_t per_row = text ? 1 : l->n_codebooks;
        csm_status st = csm_pass_ids(pass, length * per_row, err);
        if (st != CSM_OK)
            return st;
        set_ids(pass, feeds, i, at, length);
        st = ops->embed(l->engine->ctx, text ? l->text_table : l->audio_table, pass->ids, length,
                        per_row, is_all ? pass->a : pass->b, err);
        if (st == CSM_OK && !is_all)
            st = ops->copy_rows(l->engine->ctx, pass->b, 0, length, pass->a, row, err);
        if (st != CSM_OK)
            return st;
        row += length;
        for (at += length; i < n && at >= feeds[i].n; i++)
            at -= feeds[i].n;
    }
    return CSM_OK;
}

/* ---- the backbone -------------------------------------------------------------- */

/* Lanes, rows and watches of a pass; gives the number of rows. */
static csm_status open_feeds(struct csm_pass *pass, const struct csm_feed *feeds, size_t n,
                             size_t *n_rows, csm_error *err)
{
    csm_status st = make_room(pass, n, err);
    *n_rows = 0;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        struct csm_sequence *s = feeds[i].sequence;
        st = csm_sequence_reserve(s, feeds[i].n, err);
        pass->rows[i] = (struct csm_rows){s->lane, feeds[i].n};
        pass->watches[i] = s->watch;
        pass->watches[i].name = "backbone";
        pass->watches[i].at = s->n_positions;
        pass->watches[i].first = *n_rows;
        pass->watches[i].n = feeds[i].n;
        *n_rows += feeds[i].n;
    }
    return st;
}

static csm_status watch(struct csm_pass *pass, size_t n, const char *suffix, size_t rows,
                        size_t cols, const csm_value *x, csm_error *err)
{
    return csm_watch_value(pass->language->engine, pass->watches, n, suffix, rows, cols, x, err);
}

static csm_status watch_inputs(struct csm_pass *pass, size_t n, size_t n_rows, csm_error *err)
{
    for (size_t i = 0; i < n; i++)
        pass->watches[i].name = "inputs_embeds";
    csm_status st = watch(pass, n, "", n_rows, pass->language->width, pass->a, err);
    for (size_t i = 0; i < n; i++)
        pass->watches[i].name = "backbone";
    return st;
}

static bool is_watched(const struct csm_pass *pass, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pass->watches[i].observe != NULL)
            return true;
    return false;
}

/* The last row of each feed, normed, into the sequences' hidden. */
static csm_status take_hidden(struct csm_pass *pass, const struct csm_feed *feeds, size_t n,
                              size_t n_rows, csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    csm_value *last = pass->a;
    csm_status st = CSM_OK;
    if (n_rows > n) {
        last = pass->b;
        for (size_t i = 0, end = 0; st == CSM_OK && i < n; i++) {
            end += feeds[i].n;
            st = ops->copy_rows(ctx, pass->a, end - 1, 1, pass->b, i, err);
        }
    }
    if (n == 1)
        return st == CSM_OK
                   ? ops->norm(ctx, &l->backbone.norm, last, feeds[0].sequence->hidden, err)
                   : st;
    if (st == CSM_OK)
        st = ops->norm(ctx, &l->backbone.norm, last, pass->c, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        st = ops->copy_rows(ctx, pass->c, i, 1, feeds[i].sequence->hidden, 0, err);
    return st;
}

csm_status csm_pass_feed(struct csm_pass *pass, const struct csm_feed *feeds, size_t n,
                         csm_error *err)
{
    const struct csm_language *l = pass->language;
    size_t n_rows;
    csm_status st = open_feeds(pass, feeds, n, &n_rows, err);
    if (st == CSM_OK)
        st = embed(pass, feeds, n, n_rows, err);
    if (st == CSM_OK)
        st = watch_inputs(pass, n, n_rows, err);
    if (st == CSM_OK)
        st = csm_stack_run(l->engine, &l->backbone, pass->rows, n, n_rows, pass->watches, n,
                           pass->a, err);
    if (st == CSM_OK && is_watched(pass, n)) {
        st = l->engine->ops->norm(l->engine->ctx, &l->backbone.norm, pass->a, pass->b, err);
        if (st == CSM_OK)
            st = watch(pass, n, ".final", n_rows, l->width, pass->b, err);
    }
    if (st == CSM_OK)
        st = take_hidden(pass, feeds, n, n_rows, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        feeds[i].sequence->n_positions += feeds[i].n;
    return st;
}

/* ---- logits -------------------------------------------------------------------- */

/* out [n, vocab] of x [n, width of head], through pass->c. */
static csm_status read_logits(struct csm_pass *pass, const csm_weight *head, const csm_value *x,
                              size_t n, size_t k, float *logits, csm_error *err)
{
    const struct csm_language *l = pass->language;
    csm_status st = l->engine->ops->linear(l->engine->ctx, head, NULL, x, pass->c, err);
    if (st == CSM_OK)
        st = l->engine->ops->read(l->engine->ctx, pass->c, n, l->vocab, logits, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        const struct csm_watch *w = &pass->watches[i];
        if (w->observe != NULL)
            w->observe(w->user, "logits", w->frame, k, logits + i * l->vocab, 1, l->vocab);
    }
    return st;
}

/* Watches of a frame's codes: `per` rows each. */
static csm_status open_codes(struct csm_pass *pass, struct csm_sequence *const *sequences, size_t n,
                             size_t at, size_t per, csm_error *err)
{
    csm_status st = make_room(pass, n, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        pass->watches[i] = sequences[i]->watch;
        pass->watches[i].name = "depth";
        pass->watches[i].at = at;
        pass->watches[i].first = i * per;
        pass->watches[i].n = per;
    }
    return st;
}

csm_status csm_pass_first(struct csm_pass *pass, struct csm_sequence *const *sequences, size_t n,
                          float *logits, csm_error *err)
{
    const struct csm_language *l = pass->language;
    const csm_value *x = sequences[0]->hidden;
    csm_status st = open_codes(pass, sequences, n, 0, 1, err);
    for (size_t i = 0; n > 1 && st == CSM_OK && i < n; i++) {
        x = pass->b;
        st = l->engine->ops->copy_rows(l->engine->ctx, sequences[i]->hidden, 0, 1, pass->b, i, err);
    }
    return st == CSM_OK ? read_logits(pass, l->first_head, x, n, 0, logits, err) : st;
}

/* The depth decoder's input for code k into pass->a, width of the backbone: code k - 1's
 * embedding, and for k = 1 the backbone's hidden row before it. */
static csm_status depth_input(struct csm_pass *pass, struct csm_sequence *const *sequences,
                              size_t n, size_t k, const int32_t *codes, csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    csm_status st = csm_pass_ids(pass, n, err);
    if (st != CSM_OK)
        return st;
    for (size_t i = 0; i < n; i++)
        pass->ids[i] = (int32_t)((k - 1) * l->vocab) + codes[i];
    st = ops->embed(ctx, l->depth_table, pass->ids, n, 1, k == 1 ? pass->b : pass->a, err);
    for (size_t i = 0; k == 1 && st == CSM_OK && i < n; i++) {
        st = ops->copy_rows(ctx, sequences[i]->hidden, 0, 1, pass->a, 2 * i, err);
        if (st == CSM_OK)
            st = ops->copy_rows(ctx, pass->b, i, 1, pass->a, 2 * i + 1, err);
    }
    return st;
}

/* The depth decoder's lanes, at the position before code k: 0 for 1, else k. */
static csm_status open_depth(struct csm_pass *pass, struct csm_sequence *const *sequences,
                             size_t first_lane, size_t n, size_t k, csm_error *err)
{
    const struct csm_engine *engine = pass->language->engine;
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        csm_lane *lane;
        st = csm_pass_depth_lane(pass, first_lane + i, &lane, err);
        if (st == CSM_OK)
            st = engine->ops->lane_truncate(engine->ctx, lane, k == 1 ? 0 : k, err);
        if (st == CSM_OK && engine->ops->lane_adapter != NULL)
            engine->ops->lane_adapter(engine->ctx, lane, sequences[i]->adapter);
        if (st == CSM_OK)
            pass->rows[i] = (struct csm_rows){lane, k == 1 ? 2 : 1};
    }
    return st;
}

csm_status csm_pass_depth(struct csm_pass *pass, struct csm_sequence *const *sequences, size_t n,
                          size_t first_lane, size_t k, const int32_t *codes, float *logits,
                          csm_error *err)
{
    const struct csm_language *l = pass->language;
    const struct csm_engine_ops *ops = l->engine->ops;
    void *ctx = l->engine->ctx;
    const size_t per = k == 1 ? 2 : 1, n_rows = per * n, at = k == 1 ? 0 : k;

    csm_status st = open_codes(pass, sequences, n, at, per, err);
    if (st == CSM_OK)
        st = open_depth(pass, sequences, first_lane, n, k, err);
    if (st == CSM_OK)
        st = depth_input(pass, sequences, n, k, codes, err);
    if (st == CSM_OK)
        st = ops->linear(ctx, l->projection, NULL, pass->a, pass->b, err);
    if (st == CSM_OK)
        st = watch(pass, n, ".proj", n_rows, l->depth_width, pass->b, err);
    if (st == CSM_OK)
        st = csm_stack_run(l->engine, &l->depth, pass->rows, n, n_rows, pass->watches, n, pass->b,
                           err);
    if (st == CSM_OK)
        st = ops->norm(ctx, &l->depth.norm, pass->b, pass->a, err);
    if (st == CSM_OK)
        st = watch(pass, n, ".final", n_rows, l->depth_width, pass->a, err);
    if (k > 1)
        return st == CSM_OK ? read_logits(pass, l->heads[k - 1], pass->a, n, k, logits, err) : st;
    /* Position 0 has no head: the second row of each sequence is the one. */
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        st = ops->copy_rows(ctx, pass->a, 2 * i + 1, 1, pass->b, i, err);
    return st == CSM_OK ? read_logits(pass, l->heads[0], pass->b, n, k, logits, err) : st;
}
