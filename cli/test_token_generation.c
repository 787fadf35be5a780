/* SPDX-License-Identifier: Apache-2.0
 *
 * test_token_generation.c - tests for users: do the samplers draw what PyTorch and
 * MLX draw, and does the engine speak the tokens it should? Works without PyTorch
 * and MLX, and says what was left out for want of them. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csm/analysis.h>
#include <csm/csm.h>
#include <csm/sampling.h>

#include "command.h"
#include "options.h"

static const char usage_text[] =
    "usage: test_token_generation --test-sampling\n"
    "       test_token_generation --text TEXT [OPTIONS]\n"
    "\n"
    "  --test-sampling   the samplers against known draws of PyTorch 2.13.0 and MLX\n"
    "                    0.32.4, against those installed here, and their distribution\n"
    "  --text TEXT       generate, and compare the tokens with PyTorch's if its engine\n"
    "                    is there, else with the native engine's exact ones\n"
    "  --use-exact       draw as PyTorch: the tokens must be the same, or differ where a\n"
    "                    race was as close as rounding. Without: their distributions\n"
    "                    must be alike\n"
    "  --iterations N    with so many seeds (3)      --seed N   the first of them (42)\n"
    "  --temperature T, --topk K                     (the model's)\n"
    "  --max-frames N    of each utterance (125)\n"
    "  --voice DIR       a model directory (the embedded voice)\n"
    "  --device NAME     cpu, gpu, cuda:0, mps (the engine's default)\n"
    "  --save-dir DIR    keep token files and a page for each comparison\n"
    "  --debug           say what was chosen, and each comparison in full\n"
    "\n"
    "PyTorch and MLX are looked for in $CSM_PYTHON, .venv/bin/python, python3.\n"
    "Exit code 0: all that ran held. 1: something did not. 2: usage. 3: a file or model\n"
    "was refused. 4: an engine failed.\n";

enum { VOCAB = 2051, KNOWN_ROWS = 16, LIVE_ROWS = 200 };

/* ---- counting ---------------------------------------------------------------- */

struct tally {
    int n_held, n_failed, n_left_out;
};

static void held(struct tally *tally, bool is_held, const char *what, const char *detail)
{
    printf("%-6s %-46s %s\n", is_held ? "ok" : "FAILED", what, detail);
    tally->n_held += is_held;
    tally->n_failed += !is_held;
}

static void left_out(struct tally *tally, const char *what, const char *why)
{
    printf("%-6s %-46s %s\n", "-", what, why);
    tally->n_left_out++;
}

static int conclude(const struct tally *tally)
{
    printf("%d held, %d failed, %d left out\n", tally->n_held, tally->n_failed,
           tally->n_left_out);
    return tally->n_failed == 0 ? EXIT_OK : EXIT_CHECK_FAILED;
}

/* ---- known draws ---------------------------------------------------------------- */

/* Row r of logits that every program makes the same: multiples of 1/128. */
static void known_row(size_t r, float row[VOCAB])
{
    for (uint32_t i = 0; i < VOCAB; i++) {
        uint32_t mixed = i * 2654435761u + (uint32_t)r * 340573321u;
        row[i] = (float)(mixed >> 16 & 1023) / 128 - 4;
    }
}

struct known {
    csm_sampler_kind sampler;
    csm_dtype dtype;
    const char *name, *dtype_name;
    int32_t tokens[KNOWN_ROWS];
};

/* Drawn by the programs themselves (live_script below): torch 2.13.0+cpu and mlx
 * 0.32.4 on x86-64 Linux, seed 42, temperature 0.9, top-k 50, one row a call. */
#define TORCH_TOKENS                                                                               \
    {1624, 377, 1732, 1777, 59, 1082, 176, 1107, 1004, 1381, 1915, 935, 491, 1689, 1088, 1391}
#define MLX_TOKENS                                                                                 \
    {1855, 875, 34, 1371, 1111, 30, 665, 1513, 1327, 1621, 466, 1406, 814, 480, 1254, 2028}
static const struct known known_draws[] = {
    {CSM_SAMPLER_TRANSFORMERS, CSM_F32, "transformers", "f32", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_F32, "sesame", "f32", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_BF16, "sesame", "bf16", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_F16, "sesame", "f16", TORCH_TOKENS},
    {CSM_SAMPLER_CSM_MLX, CSM_F32, "csm-mlx", "f32", MLX_TOKENS},
    {CSM_SAMPLER_CSM_MLX,
     CSM_BF16,
     "csm-mlx",
     "bf16",
     {1781, 875, 34, 1297, 1111, 30, 656, 1513, 1244, 1547, 392, 1406, 749, 480, 1245, 1954}},
    {CSM_SAMPLER_MLX_CATEGORICAL, CSM_F32, "mlx-categorical", "f32", MLX_TOKENS},
};
enum { N_KNOWN = sizeof known_draws / sizeof *known_draws };

static csm_status draw_rows(const struct known *known, const char *mlx_version, size_t n_rows,
                            int32_t *tokens, csm_error *err)
{
    bool is_mlx = known->sampler == CSM_SAMPLER_CSM_MLX ||
                  known->sampler == CSM_SAMPLER_MLX_CATEGORICAL;
    struct csm_sampler_config config = csm_sampler_defaults();
    config.sampler = known->sampler;
    config.dtype = known->dtype;
    config.stream = is_mlx ? CSM_STREAM_MLX : CSM_STREAM_TORCH_CPU;
    config.seed = 42;
    config.mlx_version = is_mlx ? mlx_version : NULL;
    csm_sampler *sampler;
    csm_status status = csm_sampler_create(&config, &sampler, err);
    if (status != CSM_OK)
        return status;
    float row[VOCAB];
    for (size_t r = 0; r < n_rows && status == CSM_OK; r++) {
        known_row(r, row);
        status = csm_sampler_draw(sampler, row, 1, VOCAB, &tokens[r], NULL, NULL, err);
    }
    csm_sampler_destroy(sampler);
    return status;
}

static size_t count_equal(const int32_t *a, const int32_t *b, size_t n)
{
    size_t n_equal = 0;
    for (size_t i = 0; i < n; i++)
        n_equal += a[i] == b[i];
    return n_equal;
}

static void test_known(struct tally *tally)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        const struct known *known = &known_draws[i];
        int32_t tokens[KNOWN_ROWS];
        csm_error err;
        char what[80], detail[sizeof err.text];
        snprintf(what, sizeof what, "known draws of %s, %s", known->name, known->dtype_name);
        csm_status status = draw_rows(known, "0.32.4", KNOWN_ROWS, tokens, &err);
        size_t n_equal = status == CSM_OK ? count_equal(tokens, known->tokens, KNOWN_ROWS) : 0;
        if (status == CSM_OK)
            snprintf(detail, sizeof detail, "%zu of %d tokens equal", n_equal, KNOWN_ROWS);
        else
            snprintf(detail, sizeof detail, "%s", err.text);
        held(tally, n_equal == KNOWN_ROWS, what, detail);
    }
}

/* ---- live draws -------------------------------------------------------------------- */

/* The same rows drawn by what is installed: prints its version and the tokens. */
static const char live_script[] =
    "import sys\n"
    "what, dtype, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
    "V, T, K = 2051, 0.9, 50\n"
    "def row(r):\n"
    "    return [(((i * 2654435761 + r * 340573321) & 0xFFFFFFFF) >> 16 & 1023) / 128 - 4\n"
    "            for i in range(V)]\n"
    "out = []\n"
    "if what in ('transformers', 'sesame'):\n"
    "    import torch\n"
    "    d = {'f32': torch.float32, 'bf16': torch.bfloat16, 'f16': torch.float16}[dtype]\n"
    "    version = torch.__version__\n"
    "    torch.manual_seed(42)\n"
    "    for r in range(rows):\n"
    "        x = torch.tensor([row(r)]).to(d)\n"
    "        x = (x.float() if what == 'transformers' else x) / T\n"
    "        x = x.masked_fill(x < x.topk(K).values[:, -1:], float('-inf'))\n"
    "        if what == 'transformers':\n"
    "            out.append(torch.multinomial(x.softmax(-1), 1).item())\n"
    "        else:\n"
    "            p = x.log_softmax(-1).softmax(-1)\n"
    "            out.append((p / torch.empty_like(p).exponential_(1)).argmax(-1).item())\n"
    "else:\n"
    "    import mlx.core as mx\n"
    "    from importlib.metadata import version as installed\n"
    "    version = installed('mlx')\n"
    "    d = {'f32': mx.float32, 'bf16': mx.bfloat16, 'f16': mx.float16}[dtype]\n"
    "    mx.random.seed(42)\n"
    "    for r in range(rows):\n"
    "        x = mx.array([row(r)]).astype(d)\n"
    "        if what == 'csm-mlx':\n"
    "            x = x - mx.logsumexp(x, keepdims=True)\n"
    "        mask = mx.argpartition(-x, kth=K - 1, axis=-1)[..., K:]\n"
    "        x = mx.put_along_axis(x, mask, mx.array(-float('inf'), x.dtype), axis=-1)\n"
    "        out.append(mx.random.categorical(x * (1 / T)).item())\n"
    "print(version, *out)\n";

static const char *python(void)
{
    const char *named = getenv("CSM_PYTHON");
    return named != NULL && *named != '\0'               ? named
           : access(".venv/bin/python", X_OK) == 0 ? ".venv/bin/python"
                                                   : "python3";
}

/* Run the script; false if the library is not there. */
static bool draw_live(const char *script_path, const struct known *known, char *version,
                      size_t version_size, int32_t tokens[LIVE_ROWS])
{
    char command[4096];
    snprintf(command, sizeof command, "'%s' '%s' %s %s %d 2>/dev/null", python(), script_path,
             known->name, known->dtype_name, LIVE_ROWS);
    FILE *from = popen(command, "r");
    if (from == NULL)
        return false;
    char word[64];
    bool is_ok = fscanf(from, "%63s", word) == 1;
    if (is_ok)
        snprintf(version, version_size, "%s", word);
    for (size_t r = 0; r < LIVE_ROWS && is_ok; r++)
        is_ok = fscanf(from, "%d", &tokens[r]) == 1;
    return pclose(from) == 0 && is_ok;
}

static void test_live(struct tally *tally)
{
    char path[] = "/tmp/csm-live-draws-XXXXXX";
    int fd = mkstemp(path);
    bool is_written = fd >= 0 && write(fd, live_script, sizeof live_script - 1) ==
                                     (ssize_t)sizeof live_script - 1;
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < N_KNOWN; i++) {
        const struct known *known = &known_draws[i];
        bool is_mlx = known->sampler >= CSM_SAMPLER_CSM_MLX;
        int32_t tokens[LIVE_ROWS], own[LIVE_ROWS];
        char what[80], version[64], detail[sizeof((csm_error *)0)->text];
        csm_error err;
        snprintf(what, sizeof what, "live draws of %s, %s", known->name, known->dtype_name);
        if (!is_written || !draw_live(path, known, version, sizeof version, tokens)) {
            left_out(tally, what, is_mlx ? "MLX is not there" : "PyTorch is not there");
            continue;
        }
        csm_status status = draw_rows(known, version, LIVE_ROWS, own, &err);
        if (status == CSM_BAD_ARG)
            status = draw_rows(known, NULL, LIVE_ROWS, own, &err);
        size_t n_equal = status == CSM_OK ? count_equal(tokens, own, LIVE_ROWS) : 0;
        if (status == CSM_OK)
            snprintf(detail, sizeof detail, "%zu of %d tokens equal (%s %s)", n_equal, LIVE_ROWS,
                     is_mlx ? "mlx" : "torch", version);
        else
            snprintf(detail, sizeof detail, "%s", err.text);
        held(tally, n_equal == LIVE_ROWS, what, detail);
    }
    if (fd >= 0)
        unlink(path);
}

/* ---- distribution ------------------------------------------------------------------- */

/* Chance of a chi-square so large with df degrees of freedom: Wilson and Hilferty's
 * cube root, good to three digits here. */
static double chi_square_p(double x, double df)
{
    double z = (cbrt(x / df) - (1 - 2 / (9 * df))) / sqrt(2 / (9 * df));
    return erfc(z / sqrt(2)) / 2;
}

/* 20,000 draws of one row against the softmax of its top 50: chi-square at level
 * 0.001. With 49 degrees of freedom power 0.8 needs a noncentrality of 48 (normal
 * approximation), so a total variation of sqrt(48 / 20000) / 2 = 0.025 is seen. */
static void test_distribution(struct tally *tally)
{
    enum { DRAWS = 20000, BATCH = 100, TOP = 50 };
    for (size_t i = 0; i < N_KNOWN; i++) {
        const struct known *known = &known_draws[i];
        bool is_mlx = known->sampler >= CSM_SAMPLER_CSM_MLX;
        if (known->dtype != CSM_F32)
            continue;
        struct csm_sampler_config config = csm_sampler_defaults();
        config.sampler = known->sampler;
        config.stream = is_mlx ? CSM_STREAM_MLX : CSM_STREAM_TORCH_CPU;
        config.seed = 7;
        csm_sampler *sampler = NULL;
        csm_error err = {""};
        enum { WIDTH = 128 };
        static float rows[BATCH * WIDTH];
        double p[WIDTH] = {0}, sum = 0;
        size_t counts[WIDTH] = {0};
        for (size_t v = 0; v < WIDTH; v++) { /* all different: v * 37 mod 128, in eighths */
            rows[v] = (float)(v * 37 % WIDTH) / 16;
            p[v] = v * 37 % WIDTH >= WIDTH - TOP ? exp(rows[v] / 0.9) : 0;
            sum += p[v];
        }
        for (size_t r = 1; r < BATCH; r++)
            memcpy(rows + r * WIDTH, rows, WIDTH * sizeof *rows);
        csm_status status = csm_sampler_create(&config, &sampler, &err);
        for (size_t d = 0; d < DRAWS && status == CSM_OK; d += BATCH) {
            int32_t tokens[BATCH];
            status = csm_sampler_draw(sampler, rows, BATCH, WIDTH, tokens, NULL, NULL, &err);
            for (size_t r = 0; r < BATCH && status == CSM_OK; r++)
                counts[tokens[r]]++;
        }
        csm_sampler_destroy(sampler);
        double chi = 0;
        bool has_masked = false;
        for (size_t v = 0; v < WIDTH; v++) {
            double expected = p[v] / sum * DRAWS, difference = (double)counts[v] - expected;
            has_masked = has_masked || (p[v] == 0 && counts[v] != 0);
            chi += p[v] > 0 ? difference * difference / expected : 0;
        }
        double chance = chi_square_p(chi, TOP - 1);
        char what[80], detail[160];
        snprintf(what, sizeof what, "distribution of %s", known->name);
        snprintf(detail, sizeof detail, "p = %.3f, %d draws (TV 0.025)",
                 chance, DRAWS);
        held(tally, status == CSM_OK && !has_masked && chance > 0.001, what,
             status == CSM_OK ? detail : err.text);
    }
}

/* ---- text --------------------------------------------------------------------------- */

struct arguments {
    bool test_sampling, use_exact, debug;
    const char *text, *voice, *device, *save_dir;
    size_t iterations, max_frames, top_k;
    uint64_t seed;
    double temperature;
};

/* One of the two programs that are compared. */
struct side {
    csm_model *model;
    csm_strategy strategy;
    char name[80];
};

static csm_status open_side(struct side *side, const struct arguments *args, const char *engine,
                            csm_strategy strategy, csm_error *err)
{
    csm_model_options options = {.strategy = strategy, .engine = engine, .device = args->device};
    csm_status status = csm_model_open(args->voice, &options, &side->model, err);
    side->strategy = strategy;
    if (status == CSM_OK)
        snprintf(side->name, sizeof side->name, "%s on %s", csm_strategy_name(strategy),
                 csm_model_describe(side->model)->engine);
    return status;
}

static csm_status save_run(const struct arguments *args, size_t i, csm_tokens *const tokens[2],
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
        snprintf(err->text, sizeof err->text, "tokens: out of memory");
        return CSM_NO_MEMORY;
    }
    memcpy(grown + n, t->codes, added * sizeof *grown);
    pool->codes = grown;
    pool->n_frames += t->n_frames;
    pool->n_codebooks = t->n_codebooks;
    pool->vocab = t->vocab;
    return CSM_OK;
}

static csm_status one_iteration(const struct arguments *args, const struct side sides[2], size_t i,
                                struct pool pools[2], struct tally *tally, csm_error *err)
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
    const csm_capture_options what = {.logits = true};
    int speaker = csm_model_describe(sides[0].model)->default_speaker;
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    csm_status status = csm_capture_tokens(NULL, 0, args->text, speaker, runs, 2, &what, tokens,
                                           err);
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
        bool is_sound = own->all.n_out_of_range == 0 && !own->health.has_bad && !own->is_stuck;
        held(tally, is_sound && (!args->use_exact || c->holds), what_text, detail);
        if (args->debug || (args->use_exact && !c->holds) || !is_sound)
            printf("       %s\n%s", c->explanation, own->warnings);
        if (args->save_dir != NULL)
            status = save_run(args, i, tokens, analysis, err);
    }
    for (size_t s = 0; s < 2 && status == CSM_OK; s++)
        status = add_to_pool(&pools[s], tokens[s], err);
    csm_analysis_free(analysis);
    csm_tokens_free(tokens[0]);
    csm_tokens_free(tokens[1]);
    return status;
}

static csm_status compare_pools(const struct pool pools[2], struct tally *tally, csm_error *err)
{
    csm_tokens *tokens[2] = {NULL, NULL};
    csm_analysis *analysis = NULL;
    csm_analyze_options options = {.vocab = pools[0].vocab};
    csm_status status = CSM_OK;
    for (size_t s = 0; s < 2 && status == CSM_OK; s++)
        status = csm_tokens_new("all", pools[s].codes, pools[s].n_frames, pools[s].n_codebooks,
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
    csm_analysis_free(analysis);
    csm_tokens_free(tokens[0]);
    csm_tokens_free(tokens[1]);
    return status;
}

/* The candidate on MLX where that is, the reference on PyTorch where that is. */
static csm_status open_sides(struct side sides[2], const struct arguments *args,
                             struct tally *tally, csm_error *err)
{
    csm_strategy strategy = args->use_exact ? CSM_STRATEGY_EXACT : CSM_STRATEGY_PURE;
    csm_status status = open_side(&sides[1], args, "mlx", strategy, err);
    if (status == CSM_NO_ENGINE) {
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

static int test_text(const struct arguments *args)
{
    struct side sides[2] = {{NULL}};
    struct pool pools[2] = {{NULL}};
    struct tally tally = {0};
    csm_error err;
    if (args->save_dir != NULL && mkdir(args->save_dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "csm: %s: cannot be made: %s\n", args->save_dir, strerror(errno));
        return EXIT_REFUSED;
    }
    csm_status status = open_sides(sides, args, &tally, &err);
    if (status == CSM_OK)
        printf("%s against %s\n", sides[1].name, sides[0].name);
    for (size_t i = 0; i < args->iterations && status == CSM_OK; i++)
        status = one_iteration(args, sides, i, pools, &tally, &err);
    if (status == CSM_OK && !args->use_exact)
        status = compare_pools(pools, &tally, &err);
    for (size_t s = 0; s < 2; s++) {
        csm_model_close(sides[s].model);
        free(pools[s].codes);
    }
    return status == CSM_OK ? conclude(&tally) : report(status, &err);
}

int main(int argc, char **argv)
{
    struct arguments args = {
        .iterations = 3, .seed = 42, .max_frames = 125, .temperature = -1, .top_k = SIZE_MAX};
    const struct option_spec options[] = {
        {"test-sampling", OPTION_FLAG, &args.test_sampling},
        {"text", OPTION_TEXT, &args.text},
        {"use-exact", OPTION_FLAG, &args.use_exact},
        {"iterations", OPTION_SIZE, &args.iterations},
        {"seed", OPTION_U64, &args.seed},
        {"temperature", OPTION_REAL, &args.temperature},
        {"topk", OPTION_SIZE, &args.top_k},
        {"max-frames", OPTION_SIZE, &args.max_frames},
        {"voice", OPTION_TEXT, &args.voice},
        {"device", OPTION_TEXT, &args.device},
        {"save-dir", OPTION_TEXT, &args.save_dir},
        {"debug", OPTION_FLAG, &args.debug},
        {NULL, OPTION_FLAG, NULL},
    };
    enum parsed parsed = parse_options(argc, argv, options, usage_text, NULL, 0);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    if (args.test_sampling == (args.text != NULL) || args.iterations == 0 || args.max_frames == 0) {
        fputs("csm: test_token_generation: expected --test-sampling or --text TEXT; --help tells "
              "more\n",
              stderr);
        return EXIT_USAGE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (args.text != NULL)
        return test_text(&args);
    struct tally tally = {0};
    test_known(&tally);
    test_live(&tally);
    test_distribution(&tally);
    return conclude(&tally);
}
