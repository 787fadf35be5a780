/* SPDX-License-Identifier: Apache-2.0
 *
 * The cuda engine. Without a card: what it says. With one: frames, of a lane alone (one
 * launch), of that lane beside others (kernels for many), in 300 random mixes of lanes, and
 * composed of the table's blocks, have the same bits, of codes and of csm-1b's shape, too; so
 * have frames begun before they were asked for, those of two models that want the card at once,
 * and keys and values of a lane that was forked; what is drawn by the card's own noise is what
 * the sampler draws of the same logits. The blocks against stored tensors of the references:
 * CSM_TEST_ENGINE=cuda test_model_golden. */
#include "cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "base/affine.h"
#include "base/numbers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_random.h"
#include "engine/open.h"
#include "model/language.h"

static csm_error err;
static struct csm_engine engine;
static csm_checkpoint *checkpoint;
static struct csm_language language;
static struct csm_frame_parts parts;
static bool has_card;

enum { LANES = 3, FRAMES = 5, MOST = 64, MIXES = 300, MIX_LANES = 40, MIX_FRAMES = 10 };

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != CSM_OK)                                                                      \
            fail_msg("%s", err.text);                                                              \
    } while (0)

/* ---- a lane and its frame ------------------------------------------------- */

struct lane {
    csm_lane *backbone, *depth;
    csm_value *hidden;
    csm_random *random;
    struct csm_frame_draw draw;
    int32_t codes[MOST];
    float *logits;
};

static csm_value *value(void)
{
    csm_value *v;
    CHECK(engine.ops->value_new(engine.ctx, &v, &err));
    return v;
}

static void run_stack(const struct csm_stack *stack, csm_lane *lane, size_t n, csm_value *x)
{
    const struct csm_rows rows = {lane, n};
    for (size_t l = 0; l < stack->n_layers; l++) {
        CHECK(engine.ops->attention(engine.ctx, &stack->attention[l], l, &rows, 1, x, &err));
        CHECK(engine.ops->mlp(engine.ctx, &stack->mlp[l], x, &err));
    }
}

static struct lane open_lane(uint64_t seed)
{
    struct lane x = {.logits = malloc(language.n_codebooks * language.vocab * sizeof(float))};
    assert_non_null(x.logits);
    CHECK(engine.ops->lane_open(engine.ctx, language.backbone.attention, language.backbone.n_layers,
                                512, &x.backbone, &err));
    CHECK(engine.ops->lane_open(engine.ctx, language.depth.attention, language.depth.n_layers, MOST,
                                &x.depth, &err));
    x.hidden = value();
    CHECK(engine.ops->random_new(engine.ctx, seed, 0, language.vocab, &x.random, &err));
    return x;
}

static void close_lane(struct lane *x)
{
    engine.ops->lane_close(engine.ctx, x->backbone);
    engine.ops->lane_close(engine.ctx, x->depth);
    engine.ops->value_free(engine.ctx, x->hidden);
    engine.ops->random_free(engine.ctx, x->random);
    free(x->logits);
}

/* n positions of text. */
static void read_prompt(struct lane *x, size_t n, size_t seed)
{
    int32_t *ids = malloc(n * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)((seed * 7919 + i * 104729) % language.text_vocab);
    csm_value *a = value(), *b = value();
    CHECK(engine.ops->embed(engine.ctx, language.text_table, ids, n, 1, a, &err));
    run_stack(&language.backbone, x->backbone, n, a);
    CHECK(engine.ops->copy_rows(engine.ctx, a, n - 1, 1, b, 0, &err));
    CHECK(engine.ops->norm(engine.ctx, &language.backbone.norm, b, x->hidden, &err));
    engine.ops->value_free(engine.ctx, a);
    engine.ops->value_free(engine.ctx, b);
    free(ids);
}

static struct csm_frame_lane ask(struct lane *x, const int32_t *feed)
{
    x->draw = (struct csm_frame_draw){.kind = CSM_DRAW_RACE,
                                      .temperature = 0.9,
                                      .depth_temperature = 0.8,
                                      .top_k = 50,
                                      .depth_top_k = 20,
                                      .dtype = CSM_DTYPE_F32,
                                      .logits_dtype = CSM_DTYPE_F32,
                                      .random = x->random};
    return (struct csm_frame_lane){.backbone = x->backbone,
                                   .depth = x->depth,
                                   .feed = feed,
                                   .hidden = x->hidden,
                                   .draw = &x->draw,
                                   .codes = x->codes,
                                   .logits = x->logits};
}

/* The frame by the table's blocks, given its codes. */
static void compose(struct lane *x, const int32_t *feed, const int32_t *codes, float *logits)
{
    const struct csm_engine_ops *ops = engine.ops;
    size_t k = language.n_codebooks, vocab = language.vocab;
    csm_value *a = value(), *b = value(), *c = value();
    if (feed != NULL) {
        int32_t ids[MOST];
        for (size_t i = 0; i < k; i++)
            ids[i] = (int32_t)(i * vocab) + feed[i];
        CHECK(ops->embed(engine.ctx, language.audio_table, ids, 1, k, a, &err));
        run_stack(&language.backbone, x->backbone, 1, a);
        CHECK(ops->norm(engine.ctx, &language.backbone.norm, a, x->hidden, &err));
    }
    CHECK(ops->linear(engine.ctx, language.first_head, NULL, x->hidden, a, &err));
    CHECK(ops->read(engine.ctx, a, 1, vocab, logits, &err));
    CHECK(ops->lane_truncate(engine.ctx, x->depth, 0, &err));
    for (size_t i = 1; i < k; i++) {
        const int32_t id = (int32_t)((i - 1) * vocab) + codes[i - 1];
        size_t n = i == 1 ? 2 : 1;
        CHECK(ops->embed(engine.ctx, language.depth_table, &id, 1, 1, b, &err));
        if (i == 1)
            CHECK(ops->copy_rows(engine.ctx, x->hidden, 0, 1, a, 0, &err));
        CHECK(ops->copy_rows(engine.ctx, b, 0, 1, a, n - 1, &err));
        CHECK(ops->linear(engine.ctx, language.projection, NULL, a, c, &err));
        run_stack(&language.depth, x->depth, n, c);
        CHECK(ops->norm(engine.ctx, &language.depth.norm, c, b, &err));
        CHECK(ops->copy_rows(engine.ctx, b, n - 1, 1, a, 0, &err));
        CHECK(ops->linear(engine.ctx, language.heads[i - 1], NULL, a, c, &err));
        CHECK(ops->read(engine.ctx, c, 1, vocab, logits + i * vocab, &err));
    }
    engine.ops->value_free(engine.ctx, a);
    engine.ops->value_free(engine.ctx, b);
    engine.ops->value_free(engine.ctx, c);
}

/* ---- with a card ---------------------------------------------------------- */

static void compare_alone_beside_and_composed(void)
{
    static const size_t lengths[LANES] = {37, 5, 130};
    size_t n_bytes = language.n_codebooks * language.vocab * sizeof(float);
    struct lane lanes[LANES], alone = open_lane(42), composed = open_lane(42);
    float *logits = malloc(n_bytes);
    int32_t feed[LANES][MOST] = {{0}};
    for (size_t i = 0; i < LANES; i++) {
        lanes[i] = open_lane(42 + i);
        read_prompt(&lanes[i], lengths[i], i);
    }
    read_prompt(&alone, lengths[0], 0);
    read_prompt(&composed, lengths[0], 0);
    for (size_t f = 0; f < FRAMES; f++) {
        struct csm_frame_lane asked[LANES], one = ask(&alone, f > 0 ? feed[0] : NULL);
        for (size_t i = 0; i < LANES; i++)
            asked[i] = ask(&lanes[i], f > 0 ? feed[i] : NULL);
        CHECK(engine.ops->frame(engine.ctx, &parts, asked, LANES, &err));
        CHECK(engine.ops->frame(engine.ctx, &parts, &one, 1, &err));
        compose(&composed, f > 0 ? feed[0] : NULL, alone.codes, logits);
        assert_memory_equal(alone.logits, logits, n_bytes);
        assert_memory_equal(lanes[0].logits, logits, n_bytes);
        assert_memory_equal(lanes[0].codes, alone.codes, language.n_codebooks * sizeof(int32_t));
        for (size_t i = 0; i < LANES; i++)
            memcpy(feed[i], lanes[i].codes, sizeof feed[i]);
    }
    for (size_t i = 0; i < LANES; i++)
        close_lane(&lanes[i]);
    close_lane(&alone);
    close_lane(&composed);
    free(logits);
}

static void a_lane_has_the_same_bits_alone_beside_others_and_composed(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    compare_alone_beside_and_composed();
}

static void a_forked_lane_goes_on_as_its_first_does(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    size_t n_bytes = language.n_codebooks * language.vocab * sizeof(float);
    struct lane first = open_lane(7), second = open_lane(7);
    read_prompt(&first, 45, 3);
    engine.ops->lane_close(engine.ctx, second.backbone);
    CHECK(engine.ops->lane_fork(engine.ctx, first.backbone, 45, &second.backbone, &err));
    CHECK(engine.ops->copy_rows(engine.ctx, first.hidden, 0, 1, second.hidden, 0, &err));
    int32_t feed[MOST];
    for (size_t f = 0; f < 3; f++) {
        struct csm_frame_lane a = ask(&first, f > 0 ? feed : NULL), b = ask(&second, f > 0 ? feed : NULL);
        CHECK(engine.ops->frame(engine.ctx, &parts, &a, 1, &err));
        CHECK(engine.ops->frame(engine.ctx, &parts, &b, 1, &err));
        assert_memory_equal(first.logits, second.logits, n_bytes);
        memcpy(feed, first.codes, sizeof feed);
    }
    close_lane(&first);
    close_lane(&second);
}

/* One of two lanes alike is drawn with the next frame begun ahead, in all that may come
 * between: the frame asked for as it was begun, again with codes that are known, of other
 * noise or settings than were foretold, or after the lane was cut; others' frames in between. */
static void a_frame_begun_ahead_is_what_it_would_have_been(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    enum { TIMES = 40 };
    size_t k = language.n_codebooks, vocab = language.vocab, n_bytes = k * vocab * sizeof(float);
    struct lane x = open_lane(3), y = open_lane(3), other = open_lane(4);
    read_prompt(&x, 30, 1);
    read_prompt(&y, 30, 1);
    read_prompt(&other, 12, 2);
    float *noise = malloc(2 * n_bytes);
    assert_non_null(noise);
    srand(7);
    for (size_t i = 0; i < 2 * k * vocab; i++)
        noise[i] = -logf(((float)rand() + 1.0f) / ((float)RAND_MAX + 2.0f));
    int32_t feed[MOST], known[MOST], others_feed[MOST];
    for (size_t f = 0; f < TIMES; f++) {
        struct csm_frame_lane a = ask(&x, f > 0 ? feed : NULL), b = ask(&y, f > 0 ? feed : NULL);
        const bool has_noise = f >= 10, is_foretold = f % 7 != 3;
        for (size_t i = 0; i < k; i++)
            known[i] = (int32_t)((f * 31 + i * 7) % vocab);
        for (struct lane *l = &x;; l = &y) {
            l->draw.noise = has_noise ? noise + f % 2 * k * vocab : NULL;
            l->draw.known = known;
            l->draw.n_known = f % 5 == 2 ? k : 0;
            l->draw.temperature = f == 20 ? 0.5 : 0.9;
            if (l == &y)
                break;
        }
        x.draw.may_go_on = true;
        x.draw.next_noise = f + 1 >= 10 ? noise + (is_foretold ? (f + 1) % 2 : f % 2) * k * vocab : NULL;
        int32_t next_known[MOST];
        for (size_t i = 0; i < k; i++)
            next_known[i] = (int32_t)(((f + 1) * 31 + i * 7) % vocab);
        x.draw.next_known = next_known;
        x.draw.next_n_known = (f + 1) % 5 == 2 ? k : 0;
        CHECK(engine.ops->frame(engine.ctx, &parts, &a, 1, &err));
        CHECK(engine.ops->frame(engine.ctx, &parts, &b, 1, &err));
        assert_memory_equal(x.logits, y.logits, n_bytes);
        assert_memory_equal(x.codes, y.codes, k * sizeof(int32_t));
        if (f % 6 == 4) { /* a draw was wrong: again, from its third code on */
            x.draw.known = y.draw.known = x.codes;
            x.draw.n_known = y.draw.n_known = 3;
            memcpy(known, x.codes, sizeof known);
            known[2] = (known[2] + 1) % (int32_t)vocab;
            x.draw.known = y.draw.known = known;
            a.feed = b.feed = NULL;
            CHECK(engine.ops->frame(engine.ctx, &parts, &a, 1, &err));
            CHECK(engine.ops->frame(engine.ctx, &parts, &b, 1, &err));
            assert_memory_equal(x.logits, y.logits, n_bytes);
        }
        for (size_t i = 0; i < k; i++)
            feed[i] = i < x.draw.n_known ? x.draw.known[i] : x.codes[i];
        if (f == 15) {
            CHECK(engine.ops->lane_truncate(engine.ctx, x.backbone, 33, &err));
            CHECK(engine.ops->lane_truncate(engine.ctx, y.backbone, 33, &err));
        }
        if (f % 4 == 1) {
            struct csm_frame_lane c = ask(&other, f > 1 ? others_feed : NULL);
            CHECK(engine.ops->frame(engine.ctx, &parts, &c, 1, &err));
            memcpy(others_feed, other.codes, sizeof others_feed);
        }
    }
    free(noise);
    close_lane(&x);
    close_lane(&y);
    close_lane(&other);
}

/* A lane drawn alone, frame by frame: what it has to be in every mix. */
struct record {
    size_t n_prompt;
    int32_t codes[MIX_FRAMES][MOST];
    float *logits[MIX_FRAMES];
};

static void restart(struct lane *x, size_t n_prompt, size_t seed)
{
    *x = open_lane(seed);
    read_prompt(x, n_prompt, seed);
}

/* The lanes of a mix: who, and at which of their frames they are. */
struct mix {
    const struct lane *lanes;
    const struct record *records;
    const size_t *who, *at;
    size_t n, n_arrived, n_calls;
};

/* What has arrived of a mix's frames is in place. */
static void expect_arrived(void *user, size_t k)
{
    struct mix *m = user;
    assert_true((k > m->n_arrived || m->n_calls == 0) && k < language.n_codebooks);
    m->n_arrived = k;
    m->n_calls++;
    for (size_t j = 0; j < m->n; j++) {
        const size_t i = m->who[j];
        const struct record *r = &m->records[i];
        assert_memory_equal(m->lanes[i].logits, r->logits[m->at[i]], k * language.vocab * sizeof(float));
        assert_memory_equal(m->lanes[i].codes, r->codes[m->at[i]], k * sizeof(int32_t));
    }
}

/* n lanes alone, then at their beginning again. */
static void record_lanes(struct record *records, struct lane *lanes, size_t n)
{
    size_t n_bytes = language.n_codebooks * language.vocab * sizeof(float);
    srand(1);
    for (size_t i = 0; i < n; i++) {
        struct record *r = &records[i];
        r->n_prompt = 1 + (size_t)rand() % 200;
        restart(&lanes[i], r->n_prompt, i);
        for (size_t f = 0; f < MIX_FRAMES; f++) {
            struct csm_frame_lane one = ask(&lanes[i], f > 0 ? r->codes[f - 1] : NULL);
            CHECK(engine.ops->frame(engine.ctx, &parts, &one, 1, &err));
            memcpy(r->codes[f], lanes[i].codes, sizeof r->codes[f]);
            r->logits[f] = malloc(n_bytes);
            assert_non_null(r->logits[f]);
            memcpy(r->logits[f], lanes[i].logits, n_bytes);
        }
        close_lane(&lanes[i]);
        restart(&lanes[i], r->n_prompt, i);
    }
}

static void forget_lanes(struct record *records, struct lane *lanes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close_lane(&lanes[i]);
        for (size_t f = 0; f < MIX_FRAMES; f++)
            free(records[i].logits[f]);
    }
}

static void expect_record(const struct lane *x, const struct record *r, size_t f)
{
    size_t k = language.n_codebooks;
    assert_memory_equal(x->logits, r->logits[f], k * language.vocab * sizeof(float));
    assert_memory_equal(x->codes, r->codes[f], k * sizeof(int32_t));
}

static void compare_mixes(size_t n_mixes)
{
    size_t n_bytes = language.n_codebooks * language.vocab * sizeof(float);
    static struct record records[MIX_LANES];
    static struct lane lanes[MIX_LANES];
    size_t at[MIX_LANES] = {0};
    bool has_pieces = false;
    record_lanes(records, lanes, MIX_LANES);
    for (size_t mix = 0; mix < n_mixes; mix++) {
        struct csm_frame_lane asked[MIX_LANES];
        size_t who[MIX_LANES], n = 0, wanted = 1 + (size_t)rand() % MIX_LANES;
        for (size_t i = 0; i < MIX_LANES; i++)
            if ((size_t)rand() % MIX_LANES < wanted)
                who[n++] = i;
        for (size_t j = 0; j < n; j++) {
            size_t i = who[j];
            if (at[i] == MIX_FRAMES) { /* it leaves, and another that is the same comes */
                close_lane(&lanes[i]);
                restart(&lanes[i], records[i].n_prompt, i);
                at[i] = 0;
            }
            asked[j] = ask(&lanes[i], at[i] > 0 ? records[i].codes[at[i] - 1] : NULL);
        }
        for (size_t j = 0; j < n; j++) {
            memset(lanes[who[j]].codes, 0xff, sizeof lanes[who[j]].codes);
            memset(lanes[who[j]].logits, 0xff, n_bytes);
        }
        struct mix m = {lanes, records, who, at, n, 0, 0};
        CHECK(engine.ops->frame_in_pieces(engine.ctx, &parts, asked, n, expect_arrived, &m, &err));
        has_pieces = has_pieces || m.n_arrived > 0;
        for (size_t j = 0; j < n; j++) {
            size_t i = who[j];
            expect_record(&lanes[i], &records[i], at[i]);
            at[i]++;
        }
    }
    assert_true(has_pieces);
    forget_lanes(records, lanes, MIX_LANES);
}

/* The lane's own noise is where frame f begins. */
static void rewind_noise(struct lane *x, uint64_t seed, size_t f)
{
    engine.ops->random_free(engine.ctx, x->random);
    CHECK(engine.ops->random_new(engine.ctx, seed, f * language.n_codebooks, language.vocab, &x->random, &err));
}

/* Frame f of n lanes, by turns of the list; each may go on. known: what they are made to go on with. */
static void ask_many(struct lane *lanes, const size_t *who, size_t n, const struct record *records, const size_t *at,
                     const bool *is_again, const int32_t *known)
{
    struct csm_frame_lane asked[MIX_LANES];
    for (size_t j = 0; j < n; j++) {
        size_t i = who[j];
        asked[j] = ask(&lanes[i], at[i] > 0 && !is_again[i] ? records[i].codes[at[i] - 1] : NULL);
        lanes[i].draw.may_go_on = true;
        lanes[i].draw.known = known;
        lanes[i].draw.n_known = known != NULL ? language.n_codebooks : 0;
    }
    CHECK(engine.ops->frame(engine.ctx, &parts, asked, n, &err));
}

/* The card takes the next frame's step of many lanes ahead, with the codes that it drew. In all that may
 * come between: lanes that go on, that rest, that leave for another in their place, that were cut, that went
 * on with other codes at first, some that are asked for again while the others' steps stand, and room that is
 * made for more. */
static void a_step_taken_ahead_is_what_it_would_have_been(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    enum { AHEAD_LANES = 14, ROUNDS = 120 };
    static struct record records[AHEAD_LANES];
    static struct lane lanes[AHEAD_LANES];
    size_t at[AHEAD_LANES] = {0};
    int32_t others[MOST];
    record_lanes(records, lanes, AHEAD_LANES);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t who[AHEAD_LANES], n = 0, some[AHEAD_LANES], n_some = 0;
        bool is_again[AHEAD_LANES] = {false};
        for (size_t i = 0; i < AHEAD_LANES; i++) {
            if (rand() % 8 == 0)
                continue;
            who[n++] = i;
            if (at[i] == MIX_FRAMES) {
                close_lane(&lanes[i]);
                restart(&lanes[i], records[i].n_prompt, i);
                at[i] = 0;
            }
            if (rand() % 3 == 0)
                some[n_some++] = i;
            else if (rand() % 16 == 0)
                CHECK(engine.ops->lane_truncate(engine.ctx, lanes[i].backbone,
                                                records[i].n_prompt + (at[i] > 0 ? at[i] - 1 : 0), &err));
        }
        if (round % 25 == 24)
            CHECK(engine.ops->frame_ready(engine.ctx, &parts, round / 2, &err));
        for (size_t k = 0; k < language.n_codebooks; k++)
            others[k] = (int32_t)((round * 7 + k * 13) % language.vocab);
        if (round % 3 == 1 && n_some > 1) {
            ask_many(lanes, some, n_some, records, at, is_again, others);
            for (size_t j = 0; j < n_some; j++) {
                rewind_noise(&lanes[some[j]], some[j], at[some[j]]);
                is_again[some[j]] = true;
            }
        }
        ask_many(lanes, who, n, records, at, is_again, NULL);
        for (size_t j = 0; j < n; j++)
            expect_record(&lanes[who[j]], &records[who[j]], at[who[j]]);
        if (round % 3 == 2 && n_some > 1) {
            for (size_t j = 0; j < n_some; j++) {
                rewind_noise(&lanes[some[j]], some[j], at[some[j]]);
                is_again[some[j]] = true;
            }
            ask_many(lanes, some, n_some, records, at, is_again, NULL);
            for (size_t j = 0; j < n_some; j++)
                expect_record(&lanes[some[j]], &records[some[j]], at[some[j]]);
        }
        for (size_t j = 0; j < n; j++)
            at[who[j]]++;
    }
    forget_lanes(records, lanes, AHEAD_LANES);
}

static void three_hundred_random_mixes_have_each_lanes_bits(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    compare_mixes(MIXES);
}

static void open_language(csm_precision precision, csm_checkpoint *of);

/* Another model in the first one's place, and that one back. */
static void with_model(csm_precision precision, csm_checkpoint *of, void (*compare)(void))
{
    struct csm_engine first_engine = engine;
    struct csm_language first_language = language;
    struct csm_frame_parts first_parts = parts;
    open_language(precision, of);
    compare();
    csm_language_close(&language);
    csm_engine_close(&engine);
    engine = first_engine;
    language = first_language;
    parts = first_parts;
}

static void compare_some_mixes(void)
{
    compare_alone_beside_and_composed();
    compare_mixes(50);
}

static void lanes_of_codes_have_their_bits_too(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    with_model(CSM_PRECISION_Q8, checkpoint, compare_some_mixes);
    with_model(CSM_PRECISION_Q4, checkpoint, compare_some_mixes);
}

/* The product of the first layer's rows with some activations, beside sums in double of the values
 * that scales, codes and biases stand for. */
static void compare_with_values(int bits)
{
    enum { N = 3, GROUP = 64, COLS = 128 };
    const csm_weight *up = language.backbone.mlp[0].up;
    struct csm_weight_source source;
    CHECK(csm_checkpoint_find(checkpoint, CSM_BACKBONE, CSM_ROLE_UP, 0, &source, &err));
    assert_int_equal(source.tensor.dtype, CSM_DTYPE_BF16);
    size_t rows = source.tensor.shape[0], cols = source.tensor.shape[1];
    assert_int_equal(cols, COLS);
    static const int32_t ids[N] = {5, 77, 301};
    float x[N * COLS], row[COLS], scales[COLS / GROUP], biases[COLS / GROUP], *y = malloc(N * rows * sizeof *y);
    uint8_t codes[COLS];
    assert_non_null(y);
    csm_value *in = value(), *out = value();
    CHECK(engine.ops->embed(engine.ctx, language.text_table, ids, N, 1, in, &err));
    CHECK(engine.ops->read(engine.ctx, in, N, cols, x, &err));
    CHECK(engine.ops->linear(engine.ctx, (csm_weight *)up, NULL, in, out, &err));
    CHECK(engine.ops->read(engine.ctx, out, N, rows, y, &err));
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++)
            row[c] = csm_element(&source.tensor, r * cols + c);
        csm_affine_quantize(row, cols, bits, GROUP, codes, scales, biases);
        for (size_t n = 0; n < N; n++) {
            double sum = 0, size = 0;
            for (size_t c = 0; c < cols; c++) {
                double scale = csm_from_bf16(csm_to_bf16(scales[c / GROUP])), v = x[n * cols + c];
                double bias = csm_from_bf16(csm_to_bf16(biases[c / GROUP]));
                sum += (scale * codes[c] + bias) * v;
                size += (fabs(scale) * codes[c] + fabs(bias)) * fabs(v);
            }
            /* Activations of 16 bits are wrong by 2^-17 of themselves, sums in float32 by less. */
            assert_true(fabs(y[n * rows + r] - sum) <= size / 65536);
        }
    }
    free(y);
    engine.ops->value_free(engine.ctx, in);
    engine.ops->value_free(engine.ctx, out);
}

static void compare_q8(void)
{
    compare_with_values(8);
}

static void compare_q4(void)
{
    compare_with_values(4);
}

static void codes_are_worth_their_values(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    with_model(CSM_PRECISION_Q8, checkpoint, compare_q8);
    with_model(CSM_PRECISION_Q4, checkpoint, compare_q4);
}

/* ---- csm-1b's shape: the kernels that small matrices do not reach --------- */

enum { WHOLE_LANES = 72, WHOLE_FRAMES = 2 };

static void compare_batches(void)
{
    static const size_t batches[] = {WHOLE_LANES, 24, 8, 2};
    size_t k = language.n_codebooks, n_bytes = k * language.vocab * sizeof(float);
    static int32_t codes[WHOLE_LANES][WHOLE_FRAMES][MOST];
    static float *logits[WHOLE_LANES][WHOLE_FRAMES];
    static struct lane lanes[WHOLE_LANES];
    for (size_t i = 0; i < WHOLE_LANES; i++) {
        restart(&lanes[i], 3 + i * 11 % 200, i);
        for (size_t f = 0; f < WHOLE_FRAMES; f++) {
            struct csm_frame_lane one = ask(&lanes[i], f > 0 ? codes[i][f - 1] : NULL);
            CHECK(engine.ops->frame(engine.ctx, &parts, &one, 1, &err));
            memcpy(codes[i][f], lanes[i].codes, sizeof codes[i][f]);
            logits[i][f] = malloc(n_bytes);
            assert_non_null(logits[i][f]);
            memcpy(logits[i][f], lanes[i].logits, n_bytes);
        }
        close_lane(&lanes[i]);
    }
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        struct csm_frame_lane asked[WHOLE_LANES];
        for (size_t i = 0; i < batches[b]; i++)
            restart(&lanes[i], 3 + i * 11 % 200, i);
        for (size_t f = 0; f < WHOLE_FRAMES; f++) {
            for (size_t i = 0; i < batches[b]; i++)
                asked[i] = ask(&lanes[i], f > 0 ? codes[i][f - 1] : NULL);
            CHECK(engine.ops->frame(engine.ctx, &parts, asked, batches[b], &err));
            for (size_t i = 0; i < batches[b]; i++) {
                assert_memory_equal(lanes[i].logits, logits[i][f], n_bytes);
                assert_memory_equal(lanes[i].codes, codes[i][f], k * sizeof(int32_t));
            }
        }
        for (size_t i = 0; i < batches[b]; i++)
            close_lane(&lanes[i]);
    }
    for (size_t i = 0; i < WHOLE_LANES; i++)
        for (size_t f = 0; f < WHOLE_FRAMES; f++)
            free(logits[i][f]);
}

static void lanes_of_csm_1bs_shape_have_their_bits(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    csm_checkpoint *whole;
    CHECK(csm_checkpoint_random(CSM_DTYPE_BF16, true, &whole, &err));
    with_model(CSM_PRECISION_STORED, whole, compare_batches);
    with_model(CSM_PRECISION_Q8, whole, compare_batches);
    with_model(CSM_PRECISION_Q4, whole, compare_batches);
    csm_checkpoint_close(whole);
}

/* Logits of codebook 0 behind n positions of text. */
static void first_logits(const struct csm_engine *of, const struct csm_language *l, size_t n, float *logits)
{
    const struct csm_engine_ops *ops = of->ops;
    csm_lane *lane;
    csm_value *x, *last;
    int32_t *ids = malloc(n * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * 104729 % l->text_vocab);
    CHECK(ops->lane_open(of->ctx, l->backbone.attention, l->backbone.n_layers, n, &lane, &err));
    CHECK(ops->value_new(of->ctx, &x, &err));
    CHECK(ops->value_new(of->ctx, &last, &err));
    CHECK(ops->embed(of->ctx, l->text_table, ids, n, 1, x, &err));
    const struct csm_rows rows = {lane, n};
    for (size_t i = 0; i < l->backbone.n_layers; i++) {
        CHECK(ops->attention(of->ctx, &l->backbone.attention[i], i, &rows, 1, x, &err));
        CHECK(ops->mlp(of->ctx, &l->backbone.mlp[i], x, &err));
    }
    CHECK(ops->copy_rows(of->ctx, x, n - 1, 1, last, 0, &err));
    CHECK(ops->norm(of->ctx, &l->backbone.norm, last, x, &err));
    CHECK(ops->linear(of->ctx, l->first_head, NULL, x, last, &err));
    CHECK(ops->read(of->ctx, last, 1, l->vocab, logits, &err));
    ops->value_free(of->ctx, x);
    ops->value_free(of->ctx, last);
    ops->lane_close(of->ctx, lane);
    free(ids);
}

/* Keys and values of 11 bits: each is wrong by 2^-12 of itself at most, so a score by 2^-12 of the sum of |q k|, and what a
 * layer of attention gives by about as much of itself; the errors of 16 layers are independent of each other. So logits
 * are wrong by a few 2^-12 of the largest; 2^-9 is allowed. */
static void keys_and_values_of_16_bits_stay_near_natives(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    enum { POSITIONS = 200 };
    struct csm_engine engines[2];
    struct csm_language languages[2];
    csm_checkpoint *whole;
    float *logits[2], largest = 0, furthest = 0;
    CHECK(csm_checkpoint_random(CSM_DTYPE_BF16, true, &whole, &err));
    for (size_t i = 0; i < 2; i++) {
        CHECK(csm_engine_open(i == 0 ? "native" : "cuda", NULL, &engines[i], &err));
        CHECK(csm_language_open(&languages[i], &engines[i], whole, &err));
        logits[i] = malloc(languages[i].vocab * sizeof(float));
        assert_non_null(logits[i]);
        first_logits(&engines[i], &languages[i], POSITIONS, logits[i]);
    }
    for (size_t i = 0; i < languages[0].vocab; i++) {
        largest = fmaxf(largest, fabsf(logits[0][i]));
        furthest = fmaxf(furthest, fabsf(logits[0][i] - logits[1][i]));
    }
    print_message("logits of csm-1b's shape: off by %.2g of the largest\n", (double)(furthest / largest));
    assert_true(furthest <= largest * 0x1p-9f);
    for (size_t i = 0; i < 2; i++) {
        free(logits[i]);
        csm_language_close(&languages[i]);
        csm_engine_close(&engines[i]);
    }
    csm_checkpoint_close(whole);
}

/* Of another context, in a thread of its own, beside the first: each frame is one launch that
 * wants the whole card, and both want it at the same time. */
struct rival {
    struct csm_engine engine;
    struct csm_language language;
    size_t n_frames;
    float *logits; /* of its last frame */
};

static void *run_rival(void *argument)
{
    struct rival *r = argument;
    const struct csm_frame_parts its = r->language.parts;
    const struct csm_engine_ops *ops = r->engine.ops;
    csm_lane *backbone, *depth;
    csm_value *hidden, *text;
    csm_random *random;
    csm_error why;
    int32_t codes[MOST], feed[MOST];
    const int32_t id = 5;
    bool is_good =
        ops->lane_open(r->engine.ctx, its.step.attention, its.step.n_layers, 512, &backbone, &why) == CSM_OK &&
        ops->lane_open(r->engine.ctx, its.attention, its.n_layers, MOST, &depth, &why) == CSM_OK &&
        ops->value_new(r->engine.ctx, &hidden, &why) == CSM_OK && ops->value_new(r->engine.ctx, &text, &why) == CSM_OK &&
        ops->random_new(r->engine.ctx, 5, 0, its.vocab, &random, &why) == CSM_OK &&
        ops->embed(r->engine.ctx, r->language.text_table, &id, 1, 1, text, &why) == CSM_OK &&
        ops->norm(r->engine.ctx, &its.step.norm, text, hidden, &why) == CSM_OK;
    for (size_t f = 0; is_good && f < r->n_frames; f++) {
        const struct csm_frame_draw draw = {.kind = CSM_DRAW_RACE, .temperature = 0.9, .depth_temperature = 0.9,
                                            .dtype = CSM_DTYPE_F32, .random = random, .may_go_on = true};
        struct csm_frame_lane lane = {.backbone = backbone, .depth = depth, .feed = f > 0 ? feed : NULL,
                                      .hidden = hidden, .draw = &draw, .codes = codes, .logits = r->logits};
        is_good = ops->frame(r->engine.ctx, &its, &lane, 1, &why) == CSM_OK;
        memcpy(feed, codes, sizeof feed);
    }
    if (!is_good)
        return NULL;
    ops->lane_close(r->engine.ctx, backbone);
    ops->lane_close(r->engine.ctx, depth);
    ops->value_free(r->engine.ctx, hidden);
    ops->value_free(r->engine.ctx, text);
    ops->random_free(r->engine.ctx, random);
    return r;
}

static void two_models_on_one_card_have_the_bits_of_one(void **state)
{
    (void)state;
    if (!has_card)
        skip();
    enum { RIVALS = 2, RIVAL_FRAMES = 300 };
    size_t n_bytes = language.n_codebooks * language.vocab * sizeof(float);
    struct rival rivals[RIVALS];
    pthread_t threads[RIVALS];
    for (size_t i = 0; i < RIVALS; i++) {
        rivals[i] = (struct rival){.n_frames = RIVAL_FRAMES, .logits = malloc(n_bytes)};
        assert_non_null(rivals[i].logits);
        CHECK(csm_engine_open("cuda", NULL, &rivals[i].engine, &err));
        CHECK(csm_language_open(&rivals[i].language, &rivals[i].engine, checkpoint, &err));
    }
    float *alone = malloc(n_bytes);
    assert_non_null(alone);
    assert_non_null(run_rival(&rivals[0]));
    memcpy(alone, rivals[0].logits, n_bytes);
    for (size_t i = 0; i < RIVALS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_rival, &rivals[i]), 0);
    for (size_t i = 0; i < RIVALS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
        assert_memory_equal(rivals[i].logits, alone, n_bytes);
    }
    for (size_t i = 0; i < RIVALS; i++) {
        csm_language_close(&rivals[i].language);
        csm_engine_close(&rivals[i].engine);
        free(rivals[i].logits);
    }
    free(alone);
}

/* A race on the card stands for p as e^(s - m): nearer than some 2^-23 it may differ. The noise is
 * the card's own, PyTorch's of CUDA, or given, PyTorch's of the CPU. */
static void compare_draws(csm_dtype logits_dtype, bool is_given)
{
    enum { DRAWN_FRAMES = 100 };
    const size_t k = language.n_codebooks, vocab = language.vocab;
    struct csm_sampler_options options = csm_sampler_defaults();
    options.stream = is_given ? CSM_STREAM_TORCH_CPU : CSM_STREAM_TORCH_CUDA;
    options.dtype = logits_dtype;
    options.seed = 11;
    options.temperature = 0.9;
    options.top_k = 50;
    csm_sampler *sampler;
    csm_stream *stream;
    CHECK(csm_sampler_open(&options, &sampler, &err));
    const csm_stream_state from = csm_stream_save(csm_sampler_stream(sampler));
    CHECK(csm_stream_open(&from, &stream, &err));
    float *noise = malloc(k * vocab * sizeof *noise);
    assert_non_null(noise);
    struct lane x = open_lane(11);
    read_prompt(&x, 20, 9);
    int32_t feed[MOST];
    for (size_t f = 0; f < DRAWN_FRAMES; f++) {
        struct csm_frame_lane a = ask(&x, f > 0 ? feed : NULL);
        x.draw.depth_temperature = 0.9;
        x.draw.depth_top_k = 50;
        x.draw.logits_dtype = logits_dtype;
        for (size_t i = 0; is_given && i < k; i++)
            CHECK(csm_stream_fill(stream, CSM_DTYPE_F32, 1, vocab, noise + i * vocab, &err));
        if (is_given) {
            x.draw.random = NULL;
            x.draw.noise = noise;
        }
        CHECK(engine.ops->frame(engine.ctx, &parts, &a, 1, &err));
        for (size_t i = 0; i < k; i++) {
            int32_t code;
            CHECK(csm_sampler_draw(sampler, x.logits + i * vocab, 1, vocab, &code, NULL, NULL, &err));
            assert_int_equal(x.codes[i], code);
        }
        memcpy(feed, x.codes, sizeof feed);
    }
    free(noise);
    csm_stream_close(stream);
    csm_sampler_close(sampler);
    close_lane(&x);
}

static void the_cards_draws_are_the_samplers(void **state)
{
    (void)state;
    static const csm_dtype dtypes[] = {CSM_DTYPE_F32, CSM_DTYPE_BF16, CSM_DTYPE_F16};
    if (!has_card)
        skip();
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        compare_draws(dtypes[i], false);
        compare_draws(dtypes[i], true);
    }
}

/* ---- without one ---------------------------------------------------------- */

static void a_device_of_another_name_is_refused_in_one_line(void **state)
{
    (void)state;
    struct csm_engine other;
    static const char *const names[] = {"cpu", "cuda:", "cuda:x", "cuda:-1", "cuda:4096"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct csm_engine_options options = {.device = names[i]};
        char want[96];
        snprintf(want, sizeof want, "cuda: device '%s', expected gpu, cuda or cuda:N", names[i]);
        assert_int_equal(csm_engine_open("cuda", &options, &other, &err), CSM_BAD_ARG);
        assert_string_equal(err.text, want);
    }
}

static void without_a_card_opening_says_what_is_missing(void **state)
{
    (void)state;
    /* fake_cuda_driver.c, where CMakeLists.txt puts it before the real one */
    const char *fake = getenv("CSM_TEST_DRIVER");
    if (fake == NULL && has_card)
        skip();
    const char *want = fake == NULL                ? "cuda: "
                       : strcmp(fake, "old") == 0 ? "cuda: the NVIDIA driver is for CUDA 11.4, expected one for CUDA 1"
                                                  : "cuda: the NVIDIA driver sees no card";
    struct csm_engine other;
    assert_int_equal(csm_engine_open("cuda", NULL, &other, &err), CSM_ENGINE);
    assert_memory_equal(err.text, want, strlen(want));
    assert_true(fake != NULL || strstr(err.text, "cuda: no NVIDIA driver is installed") != NULL ||
                strstr(err.text, "cuda: the NVIDIA driver") != NULL);
}

static int open_model(void **state)
{
    (void)state;
    has_card = csm_engine_open("cuda", NULL, &engine, &err) == CSM_OK;
    if (!has_card) {
        printf("SKIP: what needs a card: %s\n", err.text);
        return 0;
    }
    csm_engine_close(&engine);
    CHECK(csm_checkpoint_open(CSM_SOURCE_DIR "/tests/golden/csm-a", CSM_NEEDS_LANGUAGE, &checkpoint,
                              &err));
    open_language(CSM_PRECISION_STORED, checkpoint);
    return 0;
}

static void open_language(csm_precision precision, csm_checkpoint *of)
{
    const struct csm_engine_options options = {.precision = precision};
    CHECK(csm_engine_open("cuda", &options, &engine, &err));
    CHECK(csm_language_open(&language, &engine, of, &err));
    parts = (struct csm_frame_parts){.step = {.codes = language.audio_table,
                                              .attention = language.backbone.attention,
                                              .mlp = language.backbone.mlp,
                                              .n_layers = language.backbone.n_layers,
                                              .norm = language.backbone.norm},
                                     .n_codebooks = language.n_codebooks,
                                     .vocab = language.vocab,
                                     .first_head = language.first_head,
                                     .codes = language.depth_table,
                                     .projector = language.projection,
                                     .attention = language.depth.attention,
                                     .mlp = language.depth.mlp,
                                     .n_layers = language.depth.n_layers,
                                     .norm = language.depth.norm,
                                     .heads = language.heads};
}

/* The embedded voice's codec is stored in float16, its grouped convolution too. */
static void the_embedded_voices_codec_sounds_as_natives(void **state)
{
    (void)state;
    enum { N_FRAMES = 6, CODEBOOKS = 8, SAMPLES = N_FRAMES * 1920 };
    static float sound[2][SAMPLES];
    if (!has_card)
        skip();
    for (int i = 0; i < 2; i++) {
        csm_model_options options = csm_model_defaults();
        csm_codec *codec;
        int32_t codes[N_FRAMES * CODEBOOKS];
        options.codec_engine = i == 0 ? "native" : "cuda";
        CHECK(csm_codec_open(CSM_SOURCE_DIR "/voice/model", &options, &codec, &err));
        for (size_t k = 0; k < N_FRAMES * CODEBOOKS; k++)
            codes[k] = (int32_t)(k * 101 % csm_codec_describe(codec)->n_entries);
        CHECK(csm_codec_decode(codec, codes, N_FRAMES, CODEBOOKS, sound[i], &err));
        csm_codec_close(codec);
    }
    /* Float32 sums in another order: 2e-4, as for every engine against the references. */
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(fabsf(sound[0][i] - sound[1][i]) <= 2e-4f);
}

static int close_model(void **state)
{
    (void)state;
    if (has_card) {
        csm_language_close(&language);
        csm_checkpoint_close(checkpoint);
        csm_engine_close(&engine);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_of_another_name_is_refused_in_one_line),
        cmocka_unit_test(without_a_card_opening_says_what_is_missing),
        cmocka_unit_test(a_lane_has_the_same_bits_alone_beside_others_and_composed),
        cmocka_unit_test(a_forked_lane_goes_on_as_its_first_does),
        cmocka_unit_test(a_frame_begun_ahead_is_what_it_would_have_been),
        cmocka_unit_test(a_step_taken_ahead_is_what_it_would_have_been),
        cmocka_unit_test(two_models_on_one_card_have_the_bits_of_one),
        cmocka_unit_test(three_hundred_random_mixes_have_each_lanes_bits),
        cmocka_unit_test(lanes_of_codes_have_their_bits_too),
        cmocka_unit_test(codes_are_worth_their_values),
        cmocka_unit_test(lanes_of_csm_1bs_shape_have_their_bits),
        cmocka_unit_test(keys_and_values_of_16_bits_stay_near_natives),
        cmocka_unit_test(the_cards_draws_are_the_samplers),
        cmocka_unit_test(the_embedded_voices_codec_sounds_as_natives),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
