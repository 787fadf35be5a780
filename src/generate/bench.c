/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.c - a generation with a clock beside it. Between frames the memory's
 * bandwidth is read by as many threads: machines that others use too change from
 * one second to the next. */
#include <csm/experimental.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include "base/threads.h"
#include "engine/native/kernels.h"
#include "checkpoint/checkpoint_parts.h"
#include "checkpoint/checkpoint_random.h"
#include "generate/generation.h"

enum { BUFFER_MB = 256, MAX_SAMPLES = 4096 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* What that share of the values is at most; sorts x. */
static double quantile(double *x, size_t n, double share)
{
    if (n == 0)
        return 0;
    qsort(x, n, sizeof *x, by_size);
    size_t at = (size_t)(share * (double)n);
    return x[at < n ? at : n - 1];
}

static double median(double *x, size_t n)
{
    if (n == 0)
        return 0;
    qsort(x, n, sizeof *x, by_size);
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* ---- the floor ---------------------------------------------------------- */

struct reader {
    csm_threads *threads;
    const struct kernels *kernels;
    unsigned char *buffer;
    size_t n_bytes;
    _Atomic uint64_t sink; /* so that no compiler leaves the reading out */
};

static void read_work(void *user, size_t first, size_t end, int thread)
{
    struct reader *r = user;
    (void)thread;
    r->sink ^= r->kernels->touch(r->buffer + (first << 20), (end - first) << 20);
}

static csm_status reader_open(struct reader *r, const struct kernels *kernels, int n_threads,
                              csm_error *err)
{
    r->kernels = kernels;
    r->n_bytes = (size_t)BUFFER_MB << 20;
    r->buffer = csm_kernels_alloc(r->n_bytes);
    if (r->buffer == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "bench: no memory for %d MB", BUFFER_MB);
    memset(r->buffer, 1, r->n_bytes);
    return csm_threads_new(n_threads, &r->threads, err);
}

static void reader_close(struct reader *r)
{
    csm_threads_free(r->threads);
    free(r->buffer);
}

static double read_gb_s(struct reader *r)
{
    double start = csm_now_ms();
    csm_threads_run(r->threads, read_work, r, r->n_bytes >> 20, 4);
    return (double)r->n_bytes / (csm_now_ms() - start) * 1e-6;
}

/* Multiply-adds from registers and the first cache: the arithmetic's limit. */
enum { MOST_PEAKS = 64 }; /* threads that it is measured in */
struct peak {
    const struct kernels *kernels;
    double gflop_s[MOST_PEAKS];
};

static void peak_work(void *user, size_t first, size_t end, int thread)
{
    struct peak *p = user;
    enum { ROWS = 4, COLS = 1024, X = 6, ROUNDS = 4000 };
    static const float zeros[X * COLS];
    float y[X * ROWS];
    (void)thread;
    for (size_t i = first; i < end; i++) {
        double start = csm_now_ms();
        for (int round = 0; round < ROUNDS; round++)
            p->kernels->dots_f32(zeros, CSM_ROW_BY_ROW, ROWS, COLS, zeros, COLS, X, y, ROWS);
        p->gflop_s[i] = 2.0 * ROWS * COLS * X * ROUNDS / (csm_now_ms() - start) * 1e-6;
    }
}

/* ---- bytes -------------------------------------------------------------- */

/* Of a quantized one. */
static double bytes_a_value(const struct csm_weight_source *s)
{
    return s->bits / 8.0 * (double)(s->tensor.n_bytes + s->scales.n_bytes + s->biases.n_bytes) /
           (double)s->tensor.n_bytes;
}

static double bytes_of(const struct csm_weight_source *s, csm_precision precision)
{
    if (s->bits != 0)
        return (double)(s->tensor.n_bytes + s->scales.n_bytes + s->biases.n_bytes);
    if (s->tensor.rank != 2 || s->exact)
        return (double)s->tensor.n_bytes;
    const double n_values = (double)(s->tensor.n_bytes / csm_dtype_size(s->tensor.dtype));
    const size_t cols = s->tensor.shape[s->transposed ? 0 : 1];
    if (cols % 64 == 0 && (precision == CSM_PRECISION_Q8 || precision == CSM_PRECISION_Q4))
        return n_values * ((precision == CSM_PRECISION_Q8 ? 8 : 4) / 8.0 + 4.0 / 64);
    if (precision == CSM_PRECISION_BF16 || precision == CSM_PRECISION_F16)
        return n_values * 2;
    return (double)s->tensor.n_bytes;
}

/* Bytes a frame, and weights of the backbone. */
static csm_status count_bytes(const csm_model *m, csm_precision precision, double *n_bytes,
                              double *n_backbone, csm_error *err)
{
    const struct csm_config *config = csm_checkpoint_config(m->checkpoint);
    for (int p = CSM_BACKBONE; p <= CSM_DEPTH; p++)
        for (int r = 0; r < CSM_ROLE_COUNT; r++) {
            if (r == CSM_ROLE_TEXT_TABLE || r == CSM_ROLE_AUDIO_TABLE)
                continue;
            size_t count = csm_role_count(config, (enum csm_part)p, (enum csm_role)r);
            double times = p == CSM_DEPTH && r != CSM_ROLE_HEAD ? (double)config->n_codebooks - 1 : 1;
            for (size_t i = 0; i < count; i++) {
                struct csm_weight_source s;
                csm_status st = csm_checkpoint_find(m->checkpoint, (enum csm_part)p,
                                                    (enum csm_role)r, i, &s, err);
                if (st != CSM_OK)
                    return st;
                *n_bytes += times * bytes_of(&s, precision);
                if (p == CSM_BACKBONE && r != CSM_ROLE_HEAD && s.tensor.rank == 2)
                    *n_backbone += bytes_of(&s, CSM_PRECISION_STORED) /
                                   (s.bits != 0 ? bytes_a_value(&s)
                                                : (double)csm_dtype_size(s.tensor.dtype));
            }
        }
    return CSM_OK;
}

/* ---- the run ------------------------------------------------------------ */

struct run {
    csm_model *model;
    struct reader reader;
    size_t n, n_readings;
    double frame[MAX_SAMPLES], backbone[MAX_SAMPLES], depth[MAX_SAMPLES], draw[MAX_SAMPLES];
    double codec[MAX_SAMPLES], read[2 * MAX_SAMPLES];
    double wall_ms; /* of the frames that were counted, with their readers */
};

/* Text ids and codes that any model has, in the manner of a short context. */
static csm_status make_prompt(const csm_model *m, size_t n, struct csm_prompt *prompt,
                              csm_error *err)
{
    size_t k = m->info.n_codebooks;
    prompt->n = n;
    prompt->text = calloc(n, sizeof *prompt->text);
    prompt->codes = calloc(n * k, sizeof *prompt->codes);
    if (prompt->text == NULL || prompt->codes == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "bench: a prompt of %zu positions", n);
    for (size_t i = 0; i < n; i++) {
        prompt->text[i] = i < 16 || i + 16 > n ? (int32_t)(i * 37 % m->info.text_vocab) : -1;
        for (size_t j = 0; j < k; j++)
            prompt->codes[i * k + j] = (int32_t)((i * 31 + j * 17) % (m->info.vocab - 8));
    }
    return CSM_OK;
}

static void read_memory(struct run *run)
{
    if (run->n_readings < 2 * MAX_SAMPLES)
        run->read[run->n_readings++] = read_gb_s(&run->reader);
}

/* As in a process that has spoken before: the codec's weights have been read. */
static csm_status warm_codec(csm_model *m, const int32_t *codes, csm_error *err)
{
    float *samples = malloc(m->info.frame_samples * sizeof *samples);
    if (samples == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "bench: a frame");
    csm_status st = csm_codec_decode(&m->codec, codes, 1, m->info.n_codebooks, samples, err);
    free(samples);
    return st;
}

/* Codes are forced: a random model would end where chance has it. */
static csm_status make_forced(const csm_model *m, size_t n, int32_t **out, csm_error *err)
{
    const size_t k = m->info.n_codebooks;
    int32_t *forced = malloc(n * k * sizeof *forced);
    if (forced == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "bench: %zu frames", n);
    for (size_t i = 0; i < n * k; i++)
        forced[i] = (int32_t)((i * 7 + i / k * 11) % (m->info.vocab - 8)) + 1;
    *out = forced;
    return CSM_OK;
}

static csm_status open_generation(csm_model *m, const csm_bench_options *o, const int32_t *forced,
                                  size_t n, bool has_sound, csm_generation **out, csm_error *err)
{
    csm_generate_options options = csm_generate_defaults();
    struct csm_prompt prompt = {0};
    options.strategy = CSM_STRATEGY_EXACT;
    options.max_frames = n;
    options.n_forced = n;
    options.forced = forced;
    options.without_sound = !has_sound;
    options.n_ahead = 2; /* sound may be made beside the next frame */
    csm_status st = make_prompt(m, o->n_prompt, &prompt, err);
    if (st == CSM_OK)
        st = csm_generation_open_prompt(m, &prompt, &options, out, err);
    if (st == CSM_OK)
        (*out)->pretended_share = o->confirmed; /* its thread waits for the model's turn */
    csm_prompt_free(&prompt);
    return st;
}

/* While the caller has the model's turn: what is drawn; gives how many lanes have had a frame. */
static csm_status take_frames(csm_generation **lanes, size_t n, size_t *n_begun, csm_error *err)
{
    csm_status st = CSM_OK;
    *n_begun = 0;
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        const csm_frame *frame;
        csm_poll found;
        st = csm_generation_poll(lanes[i], 0, &found, &frame, err);
        if (st == CSM_OK && found == CSM_POLL_END)
            st = csm_fail(err, CSM_ENGINE, "bench: sentence %zu has ended", i);
        *n_begun += csm_report_of(lanes[i]).n_frames > 0;
    }
    return st;
}

/* A frame of each, by giving the turn to the scheduler and taking it back; in parts as the
 * first one's report has them. */
static void measure_frame(struct run *run, csm_generation *first, bool is_counted)
{
    struct csm_turns *turns = &run->model->turns;
    const csm_report before = csm_report_of(first);
    while (!csm_turns_are_wanted(turns))
        sched_yield();
    csm_turns_give(turns);
    csm_turns_take(turns);
    const double took = run->model->scheduler.took_ms; /* without the threads' waking up */
    const csm_report after = csm_report_of(first);
    if (!is_counted || run->n == MAX_SAMPLES)
        return;
    run->frame[run->n] = took;
    run->backbone[run->n] = after.backbone_ms - before.backbone_ms;
    run->depth[run->n] = after.depth_ms - before.depth_ms;
    run->draw[run->n] = after.draw_ms - before.draw_ms;
    run->codec[run->n++] = after.codec_ms - before.codec_ms;
}

/* Frames until so many were measured of all lanes side by side; the memory is read between
 * them. In the model's turn. */
static csm_status run_frames(struct run *run, const csm_bench_options *o, csm_generation **lanes,
                             csm_error *err)
{
    csm_status st = CSM_OK;
    /* What a frame leaves to be done beside the next one is in the time from one to the next. */
    const bool is_overlapped = run->model->host.traits->codec_apart && o->n_batch > 1;
    for (size_t n_begun = 0, n_warm = 0; st == CSM_OK && run->n < o->n_frames;) {
        const bool is_counted = n_begun == o->n_batch && n_warm >= o->n_warm_up;
        n_warm += n_begun == o->n_batch;
        const double from = csm_now_ms();
        measure_frame(run, lanes[0], is_counted);
        st = take_frames(lanes, o->n_batch, &n_begun, err);
        const double took = csm_now_ms() - from;
        run->wall_ms += is_counted ? took : 0;
        if (is_counted && is_overlapped)
            run->frame[run->n - 1] = took;
        /* Not while the engine is at work on the next frame: that would be ahead of its time. */
        if (n_warm + 1 >= o->n_warm_up && !run->model->host.traits->codec_apart)
            read_memory(run);
    }
    return st;
}

/* Sentences through the generations that users run. */
static csm_status run_generations(struct run *run, const csm_bench_options *o,
                                  csm_bench_result *result, csm_error *err)
{
    csm_model *m = run->model;
    /* Sentences whose prompts are read first are some frames ahead. */
    const size_t n = o->n_warm_up + o->n_frames + (o->n_batch > 1 ? 2 * o->n_batch + 64 : 2);
    const bool has_sound = !o->without_sound && m->info.has_codec;
    int32_t *forced = NULL;
    csm_generation **lanes = calloc(o->n_batch, sizeof(csm_generation *));
    csm_status st = lanes != NULL ? make_forced(m, n, &forced, err)
                                  : csm_fail(err, CSM_NO_MEMORY, "bench: %zu sentences", o->n_batch);
    if (st == CSM_OK && has_sound)
        st = warm_codec(m, forced, err);
    read_memory(run);
    csm_turns_take(&m->turns);
    for (size_t i = 0; st == CSM_OK && i < o->n_batch; i++)
        st = open_generation(m, o, forced, n, has_sound, &lanes[i], err);
    if (st == CSM_OK)
        st = run_frames(run, o, lanes, err);
    csm_turns_give(&m->turns);
    if (st == CSM_OK) {
        const csm_report report = csm_report_of(lanes[0]);
        result->prompt_ms = report.prompt_ms;
        result->n_guessed = report.n_guessed;
        result->n_confirmed = report.n_confirmed;
        result->first_audio_ms = has_sound ? report.first_sound_ms : report.first_frame_ms;
    }
    for (size_t i = 0; lanes != NULL && i < o->n_batch; i++)
        csm_generation_close(lanes[i]);
    free(lanes);
    free(forced);
    return st;
}

static csm_status open_model(const csm_bench_options *o, csm_model **out, csm_error *err)
{
    csm_model_options options = csm_model_defaults();
    options.engine = o->engine;
    options.device = o->device;
    options.precision = o->precision;
    options.n_threads = o->n_threads;
    options.max_lanes = o->n_batch; /* as csm serve has it */
    options.strategy = CSM_STRATEGY_EXACT;
    options.speculation = o->confirmed > 0 ? CSM_SPECULATION_ON : CSM_SPECULATION_OFF;
    if (o->model_path != NULL)
        return csm_model_open(o->model_path, &options, out, err);
    /* The native engine reads a copy, so that matrices may lie over each other. */
    bool is_copied = csm_engine_is(&(struct csm_engine){.ops = &csm_engine_native}, o->engine);
    csm_checkpoint *checkpoint;
    csm_status st = csm_checkpoint_random(o->precision == CSM_PRECISION_F32 ? CSM_DTYPE_F32 : CSM_DTYPE_BF16,
                                          is_copied, &checkpoint, err);
    if (st != CSM_OK)
        return st;
    return csm_model_open_checkpoint("random:csm-1b", checkpoint, &options, out, err);
}

static double resident_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss / 1048576;
#else
    return (double)usage.ru_maxrss / 1024;
#endif
}

static csm_status measure(struct run *run, const csm_bench_options *o, csm_bench_result *result,
                          csm_error *err)
{
    csm_model *m = run->model;
    double n_bytes = 0, n_backbone = 0;
    csm_status st = count_bytes(m, o->precision, &n_bytes, &n_backbone, err);
    if (st == CSM_OK)
        st = run_generations(run, o, result, err);
    if (st != CSM_OK)
        return st;
    result->rss_mb = resident_mb() - BUFFER_MB;

    result->n_threads = csm_threads_count(run->reader.threads);
    struct peak peak = {.kernels = run->reader.kernels};
    const int n = result->n_threads < MOST_PEAKS ? result->n_threads : MOST_PEAKS;
    csm_threads_run(run->reader.threads, peak_work, &peak, (size_t)n, 1);
    for (int i = 0; i < n; i++)
        result->peak_gflop_s += peak.gflop_s[i];

    result->best_ms = run->frame[0];
    for (size_t i = 0; i < run->n; i++)
        result->best_ms = run->frame[i] < result->best_ms ? run->frame[i] : result->best_ms;
    result->frame_ms = median(run->frame, run->n);
    result->p99_ms = quantile(run->frame, run->n, 0.99);
    result->sound_per_second =
        (double)(run->n * o->n_batch) * m->info.frame_ms / run->wall_ms;
    result->backbone_ms = median(run->backbone, run->n);
    result->depth_ms = median(run->depth, run->n);
    result->draw_ms = median(run->draw, run->n);
    result->codec_ms = median(run->codec, run->n);
    result->read_gb_s = median(run->read, run->n_readings);
    result->bytes_per_frame = (uint64_t)n_bytes;
    result->floor_ms = n_bytes / result->read_gb_s * 1e-6;
    result->used_gb_s = n_bytes / (result->backbone_ms + result->depth_ms) * 1e-6;
    result->rtf = result->frame_ms / m->info.frame_ms;
    result->prompt_gflop_s =
        2 * n_backbone * (double)(o->n_prompt * o->n_batch) / result->prompt_ms * 1e-6;
    result->n_frames = run->n;
    result->n_batch = o->n_batch;
    result->n_prompt = o->n_prompt;
    result->dtype = csm_precision_name(m->info.precision);
    result->engine = m->host.engine.ops->name;
    result->kernels = run->reader.kernels->name;
    return CSM_OK;
}

void csm_bench_options_init(csm_bench_options *options)
{
    const csm_bench_options defaults = {0};
    csm_sized_write(options, &defaults, sizeof defaults);
}

csm_status csm_bench(const csm_bench_options *options, csm_bench_result *result, csm_error *err)
{
    csm_bench_options o = csm_bench_defaults();
    csm_status st = csm_sized_read(options, &o, sizeof o, "bench options", err);
    if (st != CSM_OK)
        return st;
    if (!(o.confirmed >= 0 && o.confirmed <= 1))
        return csm_fail(err, CSM_BAD_ARG, "bench: %g of the guesses confirmed, expected 0 to 1",
                        o.confirmed);
    o.engine = o.engine != NULL ? o.engine : "native";
    o.n_frames = o.n_frames != 0 ? o.n_frames : 20;
    o.n_warm_up = o.n_warm_up != 0 ? o.n_warm_up : 3;
    o.n_batch = o.n_batch != 0 ? o.n_batch : 1;
    o.n_prompt = o.n_prompt != 0 ? o.n_prompt : 32;
    *result = (csm_bench_result){0};

    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "bench: no memory");
    double start = csm_now_ms();
    st = open_model(&o, &run->model, err);
    result->load_ms = csm_now_ms() - start;
    if (st == CSM_OK)
        st = reader_open(&run->reader, csm_kernels_best(), o.n_threads, err);
    if (st == CSM_OK)
        st = measure(run, &o, result, err);
    reader_close(&run->reader);
    csm_model_close(run->model);
    free(run);
    return st;
}
