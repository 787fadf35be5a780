/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames drawn whole are those drawn part by part, however badly the engine
 * guesses. The engine here is the native one with a whole-frame operation made of
 * its parts, which can be told to lie. And it can be lost, as a card is: then native goes on.
 * Many at once have their sound made beside their next frames: each is what it is alone. */
#include "cmocka_all.h"

#include <csm/csm.h>

#include "unit/request.h"
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/native/native.h"
#include "generate/model.h"
#include "generate/warm_up.h"

enum { FRAMES = 6 };
static const char model_dir[] = CSM_SOURCE_DIR "/tests/golden/csm-a";
static csm_error err;

#define CHECK(call)                                                                                \
    do {                                                                                           \
        if ((call) != CSM_OK)                                                                      \
            fail_msg("%s", err.text);                                                              \
    } while (0)

/* ---- the engine ------------------------------------------------------------ */

static size_t n_calls, lie_every; /* 0: never */
static unsigned n_drawn;
/* The device is lost with this frame, or with this sound's first convolution; 0: never. */
static size_t lost_at_frame, lost_at_sound, n_sounds;
static bool is_lost;
static int32_t bad_code; /* a frame whose first code is known to be this one has no numbers; 0: none */

static csm_status expect_device(csm_error *error)
{
    return is_lost ? csm_fail(error, CSM_ENGINE, "card: a frame: the card is lost: injected") : CSM_OK;
}

/* The largest p / q among the top k, the largest logit if temperature is 0. */
static int32_t guess(const float *logits, size_t vocab, double temperature, size_t top_k,
                     const float *noise)
{
    int32_t best = -1;
    double best_score = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        size_t n_above = 0;
        for (size_t j = 0; j < vocab; j++)
            n_above += logits[j] > logits[i];
        if (temperature > 0.0 && top_k > 0 && n_above >= top_k)
            continue;
        double score = temperature == 0.0 ? (double)logits[i]
                                          : logits[i] / temperature - log((double)noise[i]);
        if (best < 0 || score > best_score) {
            best = (int32_t)i;
            best_score = score;
        }
    }
    return best;
}

/* Rows through a stack. */
static void run_rows(void *ctx, const struct csm_attention *attention, const struct csm_mlp *mlp,
                     size_t n_layers, csm_lane *lane, csm_value *x)
{
    const struct csm_engine_ops *ops = &csm_engine_native;
    for (size_t l = 0; l < n_layers; l++) {
        CHECK(ops->attention(ctx, &attention[l], l, &(struct csm_rows){lane, 1}, 1, x, &err));
        CHECK(ops->mlp(ctx, &mlp[l], x, &err));
    }
}

static void feed(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *f,
                 csm_value *x)
{
    const struct csm_engine_ops *ops = &csm_engine_native;
    const struct csm_step_parts *step = &parts->step;
    int32_t ids[64];
    for (size_t k = 0; k < parts->n_codebooks; k++)
        ids[k] = (int32_t)(k * parts->vocab) + f->feed[k];
    CHECK(ops->embed(ctx, step->codes, ids, 1, parts->n_codebooks, x, &err));
    run_rows(ctx, step->attention, step->mlp, step->n_layers, f->backbone, x);
    CHECK(ops->norm(ctx, &step->norm, x, f->hidden, &err));
}

static void draw(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *f,
                 csm_value *x, csm_value *y)
{
    const struct csm_engine_ops *ops = &csm_engine_native;
    const struct csm_frame_draw *draw = f->draw;
    int32_t fed = 0;
    CHECK(ops->lane_truncate(ctx, f->depth, 0, &err));
    for (size_t k = 0; k < parts->n_codebooks; k++) {
        float *row = f->logits + k * parts->vocab;
        if (k == 0) {
            CHECK(ops->linear(ctx, parts->first_head, NULL, f->hidden, y, &err));
            CHECK(ops->read(ctx, y, 1, parts->vocab, row, &err));
        }
        for (size_t pass = k == 1 ? 0 : 1; k > 0 && pass < 2; pass++) {
            int32_t id = (int32_t)((k - 1) * parts->vocab) + fed;
            if (pass == 1)
                CHECK(ops->embed(ctx, parts->codes, &id, 1, 1, y, &err));
            CHECK(ops->linear(ctx, parts->projector, NULL, pass == 0 ? f->hidden : y, x, &err));
            run_rows(ctx, parts->attention, parts->mlp, parts->n_layers, f->depth, x);
        }
        if (k > 0) {
            CHECK(ops->norm(ctx, &parts->norm, x, y, &err));
            CHECK(ops->linear(ctx, parts->heads[k - 1], NULL, y, x, &err));
            CHECK(ops->read(ctx, x, 1, parts->vocab, row, &err));
        }
        if (bad_code > 0 && draw->n_known > 0 && draw->known[0] == bad_code)
            for (size_t v = 0; v < parts->vocab; v++)
                row[v] = NAN;
        f->codes[k] =
            guess(row, parts->vocab, k == 0 ? draw->temperature : draw->depth_temperature,
                  k == 0 ? draw->top_k : draw->depth_top_k,
                  draw->noise != NULL ? draw->noise + k * parts->vocab : NULL);
        if (lie_every > 0 && ++n_drawn % lie_every == 0)
            f->codes[k] = (f->codes[k] + 1) % (int32_t)parts->vocab;
        fed = k < draw->n_known ? draw->known[k] : f->codes[k];
    }
}

static csm_status frame(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *lanes,
                        size_t n, csm_error *error)
{
    const struct csm_engine_ops *ops = &csm_engine_native;
    csm_value *x, *y;
    is_lost = is_lost || (lost_at_frame > n_calls && lost_at_frame <= n_calls + n);
    if (expect_device(error) != CSM_OK)
        return CSM_ENGINE;
    CHECK(ops->value_new(ctx, &x, &err));
    CHECK(ops->value_new(ctx, &y, &err));
    for (size_t i = 0; i < n; i++) {
        n_calls++;
        if (lanes[i].feed != NULL)
            feed(ctx, parts, &lanes[i], x);
        draw(ctx, parts, &lanes[i], x, y);
    }
    ops->value_free(ctx, x);
    ops->value_free(ctx, y);
    return CSM_OK;
}

/* The first of a frame's sound is the upsampling: grouped, and transposed. */
static csm_status conv(void *ctx, const struct csm_conv *c, csm_conv_state *state, const csm_value *x,
                       csm_value *out, csm_error *error)
{
    n_sounds += c->transposed && c->groups > 1;
    is_lost = is_lost || (n_sounds == lost_at_sound && lost_at_sound > 0);
    return expect_device(error) == CSM_OK ? csm_engine_native.conv(ctx, c, state, x, out, error)
                                          : CSM_ENGINE;
}

/* Codes four at a time, as a card gives them while it is at work. */
static csm_status frame_in_pieces(void *ctx, const struct csm_frame_parts *parts, struct csm_frame_lane *lanes,
                                  size_t n, void (*arrived)(void *user, size_t k), void *user, csm_error *error)
{
    arrived(user, 0);
    csm_status st = frame(ctx, parts, lanes, n, error);
    for (size_t k = 4; st == CSM_OK && k < parts->n_codebooks; k += 4)
        arrived(user, k);
    return st;
}

static size_t n_together; /* convolutions of several streams */

/* Stream by stream. */
static csm_status conv_lanes(void *ctx, const struct csm_conv *c, csm_conv_state *const *states, size_t n,
                             const csm_value *x, csm_value *out, csm_error *error)
{
    const struct csm_engine_ops *ops = &csm_engine_native;
    csm_value *one, *part;
    const size_t rows = x->rows / n;
    n_together += n > 1;
    CHECK(ops->value_new(ctx, &one, &err));
    CHECK(ops->value_new(ctx, &part, &err));
    csm_status st = CSM_OK;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        CHECK(ops->copy_rows(ctx, x, i * rows, rows, one, 0, &err));
        st = conv(ctx, c, states[i], one, part, error);
        if (st == CSM_OK)
            CHECK(ops->copy_rows(ctx, part, 0, part->rows, out, i * part->rows, &err));
    }
    ops->value_free(ctx, one);
    ops->value_free(ctx, part);
    return st;
}

static struct csm_traits traits;

static const struct csm_traits *traits_of(void *ctx)
{
    (void)ctx;
    return &traits;
}

/* ---- */

static csm_strategy strategy = CSM_STRATEGY_EXACT;

static bool is_together; /* the engine takes many at once, too */

static csm_model *open_model(bool is_whole)
{
    static struct csm_engine_ops ops;
    const csm_model_options options = {.size = sizeof(csm_model_options), .engine = "native", .precision = CSM_PRECISION_F32, .n_threads = 1,
                                       .strategy = strategy};
    csm_model *model;
    CHECK(csm_model_open(model_dir, &options, &model, &err));
    ops = csm_engine_native;
    ops.name = "card";
    ops.frame = frame;
    ops.conv = conv;
    ops.side = NULL;
    if (is_together) {
        ops.frame_in_pieces = frame_in_pieces;
        ops.conv_lanes = conv_lanes;
    }
    ops.traits = traits_of;
    traits = *model->host.traits;
    traits.whole_frame = true;
    traits.can_be_lost = true;
    if (is_whole) {
        model->host.engine.ops = &ops;
        model->host.traits = &traits;
    }
    return model;
}

static csm_result *run(bool is_whole, const csm_generate_options *options)
{
    csm_model *model = open_model(is_whole);
    csm_result *result;
    n_calls = n_sounds = 0;
    is_lost = false;
    CHECK(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), options, &result, &err));
    assert_int_equal(result->n_frames, FRAMES);
    csm_model_close(model);
    return result;
}

static csm_generate_options options_of(double temperature, double depth_temperature)
{
    csm_generate_options o = csm_generate_defaults();
    o.seed = 7;
    o.temperature = temperature;
    o.depth_temperature = depth_temperature;
    o.max_frames = FRAMES;
    o.without_sound = true;
    return o;
}

/* Whole and in parts give the same; gives how often the engine was asked. */
static size_t compare(const csm_generate_options *options)
{
    csm_result *parts = run(false, options);
    assert_int_equal(n_calls, 0);
    csm_result *whole = run(true, options);
    size_t n = FRAMES * parts->n_codebooks;
    assert_memory_equal(whole->codes, parts->codes, n * sizeof *parts->codes);
    /* The depth decoder's first two positions go in alone here, together there: sums of
     * float32 in another order, some 1e-6 of logits of a few units. */
    for (size_t i = 0; i < n; i++) {
        assert_float_equal(whole->margins[i], parts->margins[i], 1e-4);
        assert_float_equal(whole->probs[i], parts->probs[i], 1e-4);
    }
    csm_result_close(parts);
    csm_result_close(whole);
    return n_calls;
}

static void a_right_guess_is_asked_for_once_a_frame(void **state)
{
    (void)state;
    lie_every = 0;
    csm_generate_options both = options_of(0.9, 0.9), greedy = options_of(0.0, 0.0),
                         depth = options_of(0.0, 0.8), backbone = options_of(0.8, 0.0);
    assert_int_equal(compare(&both), FRAMES);
    assert_int_equal(compare(&greedy), FRAMES);
    assert_int_equal(compare(&depth), FRAMES);
    assert_int_equal(compare(&backbone), FRAMES);
}

static void a_wrong_guess_changes_nothing(void **state)
{
    (void)state;
    csm_generate_options options = options_of(0.9, 0.9);
    for (lie_every = 1; lie_every <= 5; lie_every += 2)
        assert_in_range(compare(&options), FRAMES + 1, FRAMES * 9);
}

static void forced_codes_need_no_second_guess(void **state)
{
    (void)state;
    int32_t forced[FRAMES * 8];
    for (int i = 0; i < FRAMES * 8; i++)
        forced[i] = 1 + i * 37 % 1000;
    csm_generate_options options = options_of(0.9, 0.9);
    options.forced = forced;
    options.n_forced = FRAMES;
    lie_every = 3;
    assert_int_equal(compare(&options), FRAMES);
}

static void look(void *user, const char *name, size_t at_frame, size_t at, const float *data,
                 size_t rows, size_t cols)
{
    (void)name, (void)at_frame, (void)at, (void)data, (void)rows, (void)cols;
    ++*(size_t *)user;
}

static void an_observer_is_shown_the_parts(void **state)
{
    (void)state;
    size_t n_seen = 0;
    csm_generate_options options = options_of(0.9, 0.9);
    options.observe = look;
    options.user = &n_seen;
    csm_result_close(run(true, &options));
    assert_int_equal(n_calls, 0);
    assert_true(n_seen > FRAMES);
}

/* What native says from the first frame on, with sound, is what it says from where it took over. */
static void native_goes_on_where_a_card_was_lost(void **state)
{
    (void)state;
    csm_generate_options options = options_of(0.9, 0.9);
    options.without_sound = false;
    strategy = CSM_STRATEGY_AUTO;
    lie_every = 0;
    csm_result *whole = run(false, &options);
    static const struct {
        size_t frame, sound;
        const char *line;
    } cases[] = {
        {1, 0, "engine card: card: a frame: the card is lost: injected; native took its place at frame 0"},
        {4, 0, "engine card: card: a frame: the card is lost: injected; native took its place at frame 3"},
        /* the sound's loss is met first, then the next frame's */
        {0, 3, "engine card: card: a frame: the card is lost: injected; native took its place at frame 3"},
        {0, FRAMES, "codec on engine card: card: a frame: the card is lost: injected; native took its "
                    "place at frame 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lost_at_frame = cases[i].frame;
        lost_at_sound = cases[i].sound;
        csm_result *lost = run(true, &options);
        assert_string_equal(lost->report->fallback, cases[i].line);
        assert_memory_equal(lost->codes, whole->codes, FRAMES * whole->n_codebooks * sizeof *whole->codes);
        assert_int_equal(lost->n_samples, whole->n_samples);
        for (size_t s = 0; s < whole->n_samples; s++) /* in pieces of other lengths: test_model_golden.c */
            assert_true(fabsf(lost->samples[s] - whole->samples[s]) <= 1e-5f);
        csm_result_close(lost);
    }
    csm_result_close(whole);

    strategy = CSM_STRATEGY_EXACT; /* what was asked for is not replaced */
    lost_at_frame = 2;
    lost_at_sound = 0;
    is_lost = false;
    n_calls = 0;
    csm_model *model = open_model(true);
    csm_result *result;
    assert_int_equal(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &result, &err),
                     CSM_ENGINE);
    assert_string_equal(err.text, "card: a frame: the card is lost: injected");
    csm_model_close(model);
    lost_at_frame = 0;
}

/* Before the first sentence: frames and sound that nobody hears, and that change nothing. */
static void an_engine_that_is_slow_at_first_is_warmed_up(void **state)
{
    (void)state;
    csm_generate_options options = options_of(0.9, 0.9);
    options.without_sound = false;
    csm_result *cold = run(true, &options), *warm;
    csm_model *model = open_model(true);
    n_calls = n_sounds = 0;
    CHECK(csm_warm_up(model, 8, &err)); /* an engine that is quick at once */
    assert_int_equal(n_calls + n_sounds, 0);
    traits.slow_at_first = true;
    CHECK(csm_warm_up(model, 0, &err));
    assert_int_equal(n_calls, 2);
    assert_int_equal(n_sounds, 2);
    CHECK(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &warm, &err));
    assert_memory_equal(warm->codes, cold->codes, FRAMES * cold->n_codebooks * sizeof *cold->codes);
    assert_int_equal(warm->n_samples, cold->n_samples);
    assert_memory_equal(warm->samples, cold->samples, cold->n_samples * sizeof *cold->samples);
    csm_result_close(cold);
    csm_result_close(warm);
    csm_model_close(model);
}

static size_t most_ready, n_ready[8], n_ready_calls; /* what there is memory for; what was asked for */

static csm_status frame_ready(void *ctx, const struct csm_frame_parts *parts, size_t n, csm_error *e)
{
    (void)ctx, (void)parts;
    n_ready[n_ready_calls++] = n;
    return n <= most_ready ? CSM_OK : csm_fail(e, most_ready == 0 ? CSM_ENGINE : CSM_NO_MEMORY, "card: injected");
}

/* For as many as there is memory for, at most 512; what else fails is told. */
static void an_engine_is_warmed_up_for_as_many_as_are_expected(void **state)
{
    (void)state;
    static const size_t expected[] = {512, 256, 128};
    static struct csm_engine_ops ops;
    csm_model *model = open_model(true);
    ops = *model->host.engine.ops;
    ops.frame_ready = frame_ready;
    model->host.engine.ops = &ops;
    traits.slow_at_first = true;
    most_ready = 200;
    n_ready_calls = 0;
    CHECK(csm_warm_up(model, 1000, &err));
    assert_int_equal(n_ready_calls, 3);
    assert_memory_equal(n_ready, expected, sizeof expected);
    CHECK(csm_warm_up(model, 1, &err)); /* nobody is beside it */
    assert_int_equal(n_ready_calls, 3);
    most_ready = 0;
    assert_int_equal(csm_warm_up(model, 6, &err), CSM_ENGINE);
    assert_string_equal(err.text, "card: injected");
    csm_model_close(model);
}

/* ---- many at once ------------------------------------------------------------ */

enum { MANY = 12 };

/* Each is of another length, so that some are over while others go on. */
static csm_generate_options options_of_one(size_t i)
{
    csm_generate_options o = options_of(0.9, 0.9);
    o.without_sound = false;
    o.seed = i;
    o.max_frames = 1 + i % FRAMES;
    return o;
}

static bool keep_result(void *user, size_t utterance, csm_result *result)
{
    ((csm_result **)user)[utterance] = result;
    return true;
}

/* One after the other, in parts. */
static void speak_alone(csm_result **alone)
{
    csm_model *model = open_model(false);
    for (size_t i = 0; i < MANY; i++) {
        const csm_generate_options options = options_of_one(i);
        CHECK(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &alone[i], &err));
    }
    csm_model_close(model);
}

static csm_status speak_many(csm_result **results)
{
    csm_generate_options each[MANY], all = options_of(0.9, 0.9);
    csm_utterance utterances[MANY] = {0};
    csm_model *model = open_model(true);
    n_calls = n_sounds = n_together = 0;
    is_lost = false;
    for (size_t i = 0; i < MANY; i++) {
        each[i] = options_of_one(i);
        utterances[i] = (csm_utterance){.text = "Hello from Sesame.", .seed = i, .options = &each[i]};
        results[i] = NULL;
    }
    all.user = results;
    csm_status st = csm_generate_batch(model, NULL, 0, utterances, MANY, MANY, &all, keep_result, &err);
    csm_model_close(model);
    return st;
}

static void expect_each(csm_result **results, csm_result **alone, float off)
{
    for (size_t i = 0; i < MANY; i++) {
        const csm_result *a = alone[i], *b = results[i];
        assert_int_equal(b->n_frames, 1 + i % FRAMES);
        assert_true(b->report->first_sound_ms >= b->report->first_frame_ms);
        assert_true(b->report->total_ms >= b->report->first_sound_ms);
        assert_int_equal(b->n_samples, a->n_samples);
        assert_memory_equal(b->codes, a->codes, a->n_frames * a->n_codebooks * sizeof *a->codes);
        for (size_t s = 0; s < a->n_samples; s++)
            assert_true(fabsf(b->samples[s] - a->samples[s]) <= off);
        csm_result_close(results[i]);
    }
}

static void many_at_once_are_what_each_is_alone(void **state)
{
    (void)state;
    csm_result *alone[MANY], *results[MANY];
    speak_alone(alone);
    is_together = true;
    for (lie_every = 0; lie_every <= 5; lie_every += 5) {
        CHECK(speak_many(results));
        assert_true(n_together > 0);
        expect_each(results, alone, 0.0f);
    }
    /* Lost with a frame, or with its sound, while the sound of the frame before waits. */
    lie_every = 0;
    strategy = CSM_STRATEGY_AUTO;
    for (size_t at = MANY + 1; at < 4 * MANY; at += MANY / 2 + 1)
        for (int of_sound = 0; of_sound < 2; of_sound++) {
            lost_at_frame = of_sound ? 0 : at;
            lost_at_sound = of_sound ? at : 0;
            CHECK(speak_many(results));
            assert_true(is_lost);
            expect_each(results, alone, 1e-5f); /* as where one is alone */
        }
    lost_at_frame = lost_at_sound = 0;
    strategy = CSM_STRATEGY_EXACT;
    is_together = false;
    for (size_t i = 0; i < MANY; i++)
        csm_result_close(alone[i]);
}

/* Frames that a generation has given, as they come; true: that was the last. */
static bool read_some(csm_generation *g, size_t most, int32_t *codes, float *samples, size_t *n, size_t n_codes)
{
    while (*n < most) {
        const csm_frame *frame;
        CHECK(csm_generation_next(g, &frame, &err));
        if (frame == NULL)
            return true;
        memcpy(codes + *n * n_codes, frame->codes, n_codes * sizeof *codes);
        memcpy(samples + *n * frame->n_samples, frame->samples, frame->n_samples * sizeof *samples);
        ++*n;
    }
    return false;
}

/* Others join while the sound of those that speak waits: more than there was room for. */
static void many_who_are_joined_are_what_each_is_alone(void **state)
{
    (void)state;
    enum { FIRST = 8, ALL = 40, SAMPLES = 1920, CODES = 8 };
    static int32_t codes[ALL][(FRAMES + 2) * CODES];
    static float samples[ALL][(FRAMES + 2) * SAMPLES];
    csm_generation *all[ALL];
    size_t n_read[ALL] = {0};
    is_lost = false;
    lie_every = 0;
    is_together = true;
    csm_model *model = open_model(true);
    is_together = false;
    for (size_t i = 0; i < ALL; i++) {
        if (i == FIRST)
            for (size_t j = 0; j < FIRST; j++)
                read_some(all[j], 1, codes[j], samples[j], &n_read[j], CODES);
        const csm_generate_options options = options_of_one(i % MANY);
        CHECK(csm_generation_open(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &all[i], &err));
    }
    for (size_t i = 0; i < ALL; i++) {
        assert_true(read_some(all[i], SIZE_MAX, codes[i], samples[i], &n_read[i], CODES));
        csm_generation_close(all[i]);
    }
    csm_model_close(model);
    model = open_model(false);
    for (size_t i = 0; i < ALL; i++) {
        const csm_generate_options options = options_of_one(i % MANY);
        csm_result *alone;
        CHECK(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &alone, &err));
        assert_int_equal(n_read[i], alone->n_frames);
        assert_int_equal(alone->n_samples, alone->n_frames * SAMPLES);
        assert_memory_equal(codes[i], alone->codes, alone->n_frames * CODES * sizeof(int32_t));
        assert_memory_equal(samples[i], alone->samples, alone->n_samples * sizeof(float));
        csm_result_close(alone);
    }
    csm_model_close(model);
}

/* Some leave in the middle, as do their readers, and the device is lost meanwhile. What a reader
 * has been given stays as it is until it asks for more, and is what the generation is alone. */
static void many_who_leave_change_nothing_for_others(void **state)
{
    (void)state;
    enum { ALL = 24, ROUNDS = 6, SAMPLES = 1920 };
    csm_result *alone[MANY];
    csm_model *model;
    speak_alone(alone);
    strategy = CSM_STRATEGY_AUTO;
    is_together = true;
    lie_every = 7;
    for (size_t round = 0; round < ROUNDS; round++) {
        csm_generation *all[ALL];
        size_t n_read[ALL] = {0}, n_open = ALL;
        lost_at_frame = round % 3 == 1 ? ALL + 5 * round : 0;
        lost_at_sound = round % 3 == 2 ? ALL + 5 * round : 0;
        n_calls = n_sounds = 0;
        is_lost = false;
        model = open_model(true);
        for (size_t i = 0; i < ALL; i++) {
            csm_generate_options options = options_of_one(i % MANY);
            options.n_ahead = 1 + i % 3;
            CHECK(csm_generation_open(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &all[i], &err));
        }
        for (size_t turn = 0; n_open > 0; turn++)
            for (size_t i = 0; i < ALL; i++) {
                const csm_result *a = alone[i % MANY];
                const csm_frame *frame;
                csm_poll found;
                if (all[i] == NULL)
                    continue;
                const bool is_cancelled = i % 5 == 1 && turn == 1 + i % 3;
                if (is_cancelled)
                    csm_generation_cancel(all[i]);
                const csm_status st = csm_generation_poll(all[i], turn % 2 == 0 ? 0 : -1, &found, &frame, &err);
                if (st == CSM_OK && found == CSM_POLL_FRAME) {
                    assert_int_equal(frame->index, n_read[i]);
                    assert_memory_equal(frame->codes, a->codes + n_read[i] * a->n_codebooks,
                                        a->n_codebooks * sizeof *a->codes);
                    n_read[i]++;
                    for (int again = 0; again < 2; again++) { /* others go on beside it */
                        for (size_t s = 0; s < SAMPLES; s++)
                            assert_true(fabsf(frame->samples[s] - a->samples[frame->index * SAMPLES + s]) <= 1e-5f);
                        sched_yield();
                    }
                } else if (st == CSM_OK && found == CSM_POLL_END) {
                    assert_int_equal(n_read[i], a->n_frames);
                } else if (st != CSM_OK) {
                    assert_int_equal(st, CSM_CANCELLED);
                    assert_int_equal(i % 5, 1);
                }
                if (st != CSM_OK || found == CSM_POLL_END || (i % 5 == 2 && turn == 2)) {
                    csm_generation_close(all[i]);
                    all[i] = NULL;
                    n_open--;
                }
            }
        csm_model_close(model);
    }
    lost_at_frame = lost_at_sound = lie_every = 0;
    strategy = CSM_STRATEGY_EXACT;
    is_together = false;
    for (size_t i = 0; i < MANY; i++)
        csm_result_close(alone[i]);
}

/* The guard ends a loop by the sound of a frame whose next one is drawn already. */
static void the_guard_ends_many_where_it_ends_one(void **state)
{
    (void)state;
    enum { LOOP = 60, FEW = 8 };
    static int32_t forced[LOOP * 8];
    for (size_t i = 0; i < LOOP * 8; i++)
        forced[i] = 700;
    csm_generate_options options = options_of(0.9, 0.9);
    options.without_sound = false;
    options.has_guard = true;
    options.max_frames = options.n_forced = LOOP;
    options.forced = forced;
    csm_utterance utterances[FEW];
    for (size_t i = 0; i < FEW; i++)
        utterances[i] = (csm_utterance){.text = "Hello from Sesame.", .seed = i};
    csm_result *alone, *results[FEW];
    csm_model *model = open_model(false);
    is_lost = false;
    CHECK(csm_generate(model, &REQUEST(NULL, 0, "Hello from Sesame.", 0), &options, &alone, &err));
    csm_model_close(model);
    assert_true(alone->report->guarded[0] != '\0' && alone->n_frames < LOOP);
    options.user = results;
    is_together = true;
    lie_every = 0;
    /* Nor does it matter what becomes of that next frame. */
    forced[alone->n_frames * 8] = 701;
    for (bad_code = 0; bad_code <= 701; bad_code += 701) {
        model = open_model(true);
        CHECK(csm_generate_batch(model, NULL, 0, utterances, FEW, FEW, &options, keep_result, &err));
        csm_model_close(model);
        for (size_t i = 0; i < FEW; i++) {
            assert_string_equal(results[i]->report->guarded, alone->report->guarded);
            assert_false(results[i]->report->has_ended);
            assert_int_equal(results[i]->n_frames, alone->n_frames);
            assert_memory_equal(results[i]->samples, alone->samples, alone->n_samples * sizeof *alone->samples);
            csm_result_close(results[i]);
        }
    }
    bad_code = 0;
    is_together = false;
    csm_result_close(alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_guess_is_asked_for_once_a_frame),
        cmocka_unit_test(a_wrong_guess_changes_nothing),
        cmocka_unit_test(forced_codes_need_no_second_guess),
        cmocka_unit_test(an_observer_is_shown_the_parts),
        cmocka_unit_test(native_goes_on_where_a_card_was_lost),
        cmocka_unit_test(an_engine_that_is_slow_at_first_is_warmed_up),
        cmocka_unit_test(an_engine_is_warmed_up_for_as_many_as_are_expected),
        cmocka_unit_test(many_at_once_are_what_each_is_alone),
        cmocka_unit_test(many_who_are_joined_are_what_each_is_alone),
        cmocka_unit_test(many_who_leave_change_nothing_for_others),
        cmocka_unit_test(the_guard_ends_many_where_it_ends_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
