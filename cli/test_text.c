/* SPDX-License-Identifier: Apache-2.0
 *
 * test_text.c - a text spoken by the engine under test and by a reference: are the
 * tokens those that they should be? */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <csm/analysis.h>

#include "command.h"
#include "token_tests.h"

/* One of the two programs that are compared. */
struct side {
    csm_model *model;
    csm_strategy strategy;
    char name[80];
};

static csm_status open_side(struct side *side, const struct text_test *args, const char *engine,
                            csm_strategy strategy, csm_error *err)
{
    csm_model_options options = csm_model_defaults();
    options.strategy = strategy;
    options.engine = engine;
    options.device = args->device;
    if (args->use_exact || args->is_forced) /* where engines differ least */
        options.precision = CSM_PRECISION_F32;
    csm_status status = csm_model_open(args->voice, &options, &side->model, err);
    side->strategy = strategy;
    if (status == CSM_OK)
        snprintf(side->name, sizeof side->name, "%s on %s", csm_strategy_name(strategy),
                 csm_model_describe(side->model)->engine);
    return status;
}

static csm_status save_run(const struct text_test *args, size_t i, csm_tokens *const tokens[2],
                           const csm_analysis *analysis, csm_error *err)
{
    char path[4096];
    csm_status status = CSM_OK;
    for (size_t side = 0; side < 2 && status == CSM_OK; side++) {
        snprintf(path, sizeof path, "%s/%s-%zu.safetensors", args->save_dir,
                 side == 0 ? "reference" : "candidate", i);
        status = csm_tokens_save(tokens[side], path, err);
    }
    snprintf(path, sizeof path, "%s/comparison-%zu.html", args->save_dir, i);
    return status == CSM_OK ? csm_analysis_html(analysis, path, err) : status;
}

/* Of all iterations, what the last lines tell. */
struct totals {
    size_t *parted_at;                /* [n] frame of each first difference, ascending in the end */
    size_t n, n_apart;                /* iterations, and those with a difference */
    size_t n_draws, n_equal, n_close; /* after the same history */
    double logit_error;               /* the largest of them */
};

/* All frames of all iterations of one side, to compare distributions. */
struct pool {
    int32_t *codes;
    size_t n_frames, n_codebooks, vocab;
};

static csm_status add_to_pool(struct pool *pool, const csm_tokens *t, csm_error *err)
{
    size_t n = pool->n_frames * t->n_codebooks, added = t->n_frames * t->n_codebooks;
    int32_t *grown = realloc(pool->codes, (n + added + 1) * sizeof *grown);
    if (grown == NULL) {
        (void)csm_fail(err, CSM_NO_MEMORY, "tokens: out of memory");
        return CSM_NO_MEMORY;
    }
    memcpy(grown + n, t->codes, added * sizeof *grown);
    pool->codes = grown;
    pool->n_frames += t->n_frames;
    pool->n_codebooks = t->n_codebooks;
    pool->vocab = t->vocab;
    return CSM_OK;
}

/* Both runs; the second, when it is forced, after the codes of the first. */
static csm_status capture(const struct text_test *args, csm_capture runs[2],
                          csm_generate_options *second, int speaker, csm_tokens *tokens[2],
                          csm_error *err)
{
    const csm_capture_options what = {.logits = true, .hidden_frames = args->hidden_frames};
    csm_status status =
        csm_capture_tokens(NULL, 0, args->text, speaker, &runs[0], 1, &what, &tokens[0], err);
    if (status == CSM_OK && args->is_forced && tokens[0]->n_frames > 0) {
        second->forced = tokens[0]->codes;
        second->n_forced = second->max_frames = tokens[0]->n_frames;
    }
    if (status == CSM_OK)
        status =
            csm_capture_tokens(NULL, 0, args->text, speaker, &runs[1], 1, &what, &tokens[1], err);
    return status;
}

static void add_to_totals(struct totals *totals, const csm_comparison *c)
{
    totals->parted_at[totals->n++] = c->first.exists ? c->first.frame : SIZE_MAX;
    totals->n_apart += c->first.exists;
    totals->n_draws += c->forced.n_draws;
    totals->n_equal += c->forced.n_equal;
    totals->n_close += c->forced.n_close;
    totals->logit_error = fmax(totals->logit_error, c->forced.logit_error);
}

static csm_status one_iteration(const struct text_test *args, const struct side sides[2], size_t i,
                                struct pool pools[2], struct totals *totals, struct tally *tally,
                                csm_error *err)
{
    csm_generate_options options[2];
    csm_capture runs[2];
    for (size_t s = 0; s < 2; s++) {
        options[s] = csm_generate_defaults();
        options[s].strategy = sides[s].strategy;
        options[s].seed = args->seed + i;
        options[s].max_frames = args->max_frames;
        if (args->temperature >= 0)
            options[s].temperature = args->temperature;
        if (args->top_k != SIZE_MAX)
            options[s].top_k = (int)args->top_k;
        runs[s] = (csm_capture){sides[s].model, &options[s]};
    }
    int speaker = csm_model_describe(sides[0].model)->default_speaker;
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    csm_status status = capture(args, runs, &options[1], speaker, tokens, err);
    if (status == CSM_OK)
        status = csm_analyze_distributions(tokens[0], tokens[1], NULL, &analysis, err);
    if (status == CSM_OK) {
        const csm_comparison *c = &analysis->comparison;
        const csm_stream_stats *own = &analysis->stats[1];
        char what_text[80], detail[200];
        snprintf(what_text, sizeof what_text, "seed %llu: %zu frames%s, verdict %s",
                 (unsigned long long)options[0].seed, tokens[1]->n_frames,
                 own->ended == CSM_ENDED_ITSELF ? ", ended" : "", csm_verdict_name(c->verdict));
        snprintf(detail, sizeof detail, "similarity %.3f (%.3f expected), agreement %.1f %%",
                 c->all.similarity, c->all.similarity_expected, 100 * c->all.agreement);
        if (args->is_forced)
            snprintf(detail, sizeof detail, "%zu of %zu draws equal, %zu of the others close",
                     c->forced.n_equal, c->forced.n_draws, c->forced.n_close);
        add_to_totals(totals, c);
        bool is_sound = own->all.n_out_of_range == 0 && !own->health.has_bad && !own->is_stuck;
        bool must_hold = args->use_exact || args->is_forced;
        held(tally, is_sound && (!must_hold || c->holds), what_text, detail);
        if (args->debug || (must_hold && !c->holds) || !is_sound)
            printf("       %s\n%s", c->explanation, own->warnings);
        if (args->save_dir != NULL)
            status = save_run(args, i, tokens, analysis, err);
    }
    for (size_t s = 0; s < 2 && status == CSM_OK && !args->is_forced; s++)
        status = add_to_pool(&pools[s], tokens[s], err);
    csm_analysis_close(analysis);
    csm_tokens_close(tokens[0]);
    csm_tokens_close(tokens[1]);
    return status;
}

static csm_status compare_pools(const struct pool pools[2], struct tally *tally, csm_error *err)
{
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    csm_analyze_options options = {.vocab = pools[0].vocab};
    csm_status status = CSM_OK;
    for (size_t s = 0; s < 2 && status == CSM_OK; s++)
        status = csm_tokens_make("all", pools[s].codes, pools[s].n_frames, pools[s].n_codebooks,
                                &tokens[s], err);
    if (status == CSM_OK)
        status = csm_analyze_distributions(tokens[0], tokens[1], &options, &analysis, err);
    if (status == CSM_OK) {
        const csm_comparison *c = &analysis->comparison;
        char detail[160];
        snprintf(detail, sizeof detail, "p = %.3f; sees a total variation of %.2f", c->all.p_value,
                 c->detectable);
        /* 0.01, for this is asked again and again */
        held(tally, c->all.p_value >= 0.01, "distributions of all seeds are alike", detail);
    }
    csm_analysis_close(analysis);
    csm_tokens_close(tokens[0]);
    csm_tokens_close(tokens[1]);
    return status;
}

/* The candidate on MLX where that is, the reference on PyTorch where that is. */
static csm_status open_sides(struct side sides[2], const struct text_test *args,
                             struct tally *tally, csm_error *err)
{
    bool is_exact = args->use_exact || args->is_forced;
    csm_strategy strategy = is_exact ? CSM_STRATEGY_EXACT : CSM_STRATEGY_PURE;
    const char *engine = args->engine != NULL ? args->engine : "mlx";
    csm_status status = open_side(&sides[1], args, engine, strategy, err);
    if (status == CSM_NO_ENGINE && args->engine == NULL) {
        left_out(tally, "the mlx engine", "not installed; the native engine takes its place");
        status = open_side(&sides[1], args, "native", strategy, err);
    }
    if (status != CSM_OK)
        return status;
    csm_error no_torch;
    status = open_side(&sides[0], args, "torch", CSM_STRATEGY_HYBRID, &no_torch);
    if (status == CSM_NO_ENGINE || status == CSM_ENGINE || status == CSM_BAD_ARG) {
        left_out(tally, "PyTorch's own tokens", args->debug ? no_torch.text : "no torch engine");
        status = open_side(&sides[0], args, "native", CSM_STRATEGY_EXACT, err);
    } else if (status != CSM_OK) {
        *err = no_torch;
    }
    return status;
}

static int ascending(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    return (a > b) - (a < b);
}

/* The first difference of streams that go on with their own draws: median over seeds. */
static void tell_parting(struct totals *totals)
{
    qsort(totals->parted_at, totals->n, sizeof *totals->parted_at, ascending);
    size_t median = totals->parted_at[(totals->n - 1) / 2];
    printf("frames to the first difference: median %s", median == SIZE_MAX ? "none" : "");
    if (median != SIZE_MAX)
        printf("%zu", median);
    printf("; %zu of %zu seeds differ anywhere\n", totals->n_apart, totals->n);
}

/* What teacher forcing promises: of all draws 99.9 %, and the others close. */
static void judge_forced(const struct totals *totals, struct tally *tally)
{
    size_t n_unequal = totals->n_draws - totals->n_equal;
    double share = (double)totals->n_equal / (double)(totals->n_draws > 0 ? totals->n_draws : 1);
    char detail[160];
    snprintf(detail, sizeof detail, "%zu of %zu, %.4f %%", totals->n_equal, totals->n_draws,
             100 * share);
    held(tally, totals->n_draws > 0 && share >= 0.999, "draws equal after the same history",
         detail);
    snprintf(detail, sizeof detail, "%zu of %zu; logits differ by at most %.3g", totals->n_close,
             n_unequal, totals->logit_error);
    held(tally, totals->n_close == n_unequal, "others won by less than that moves", detail);
}

int test_text(const struct text_test *args)
{
    struct totals totals = {.parted_at = calloc(args->iterations, sizeof *totals.parted_at)};
    struct side sides[2] = {{0}};
    struct pool pools[2] = {{0}};
    struct tally tally = {0};
    csm_error err;
    if (args->save_dir != NULL && mkdir(args->save_dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "csm: %s: cannot be made: %s\n", args->save_dir, strerror(errno));
        free(totals.parted_at);
        return EXIT_REFUSED;
    }
    if (totals.parted_at == NULL) {
        fprintf(stderr, "csm: --iterations: %zu: out of memory\n", args->iterations);
        return EXIT_ENGINE;
    }
    csm_status status = open_sides(sides, args, &tally, &err);
    if (status == CSM_OK)
        printf("%s against %s\n", sides[1].name, sides[0].name);
    for (size_t i = 0; i < args->iterations && status == CSM_OK; i++)
        status = one_iteration(args, sides, i, pools, &totals, &tally, &err);
    if (status == CSM_OK && args->is_forced)
        judge_forced(&totals, &tally);
    else if (status == CSM_OK && args->use_exact)
        tell_parting(&totals);
    else if (status == CSM_OK)
        status = compare_pools(pools, &tally, &err);
    free(totals.parted_at);
    for (size_t s = 0; s < 2; s++) {
        csm_model_close(sides[s].model);
        free(pools[s].codes);
    }
    return status == CSM_OK ? conclude(&tally) : report(status, &err);
}
