/* SPDX-License-Identifier: Apache-2.0
 *
 * test_samplers.c - the samplers against known draws, against the PyTorch and MLX that
 * are installed, and against their distribution. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csm/sampling.h>

#include "token_tests.h"

extern char **environ; /* POSIX; unistd.h has it for GNU only */

enum { VOCAB = 2051, KNOWN_ROWS = 16, LIVE_ROWS = 200 };

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
    {CSM_SAMPLER_TRANSFORMERS, CSM_DTYPE_F32, "transformers", "f32", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_DTYPE_F32, "sesame", "f32", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_DTYPE_BF16, "sesame", "bf16", TORCH_TOKENS},
    {CSM_SAMPLER_SESAME, CSM_DTYPE_F16, "sesame", "f16", TORCH_TOKENS},
    {CSM_SAMPLER_CSM_MLX, CSM_DTYPE_F32, "csm-mlx", "f32", MLX_TOKENS},
    {CSM_SAMPLER_CSM_MLX,
     CSM_DTYPE_BF16,
     "csm-mlx",
     "bf16",
     {1781, 875, 34, 1297, 1111, 30, 656, 1513, 1244, 1547, 392, 1406, 749, 480, 1245, 1954}},
    {CSM_SAMPLER_MLX_CATEGORICAL, CSM_DTYPE_F32, "mlx-categorical", "f32", MLX_TOKENS},
};
enum { N_KNOWN = sizeof known_draws / sizeof *known_draws };

static csm_status draw_rows(const struct known *known, const char *mlx_version, size_t n_rows,
                            int32_t *tokens, csm_error *err)
{
    bool is_mlx = known->sampler == CSM_SAMPLER_CSM_MLX ||
                  known->sampler == CSM_SAMPLER_MLX_CATEGORICAL;
    csm_sampler_options config = csm_sampler_defaults();
    config.sampler = known->sampler;
    config.dtype = known->dtype;
    config.stream = is_mlx ? CSM_STREAM_MLX : CSM_STREAM_TORCH_CPU;
    config.seed = 42;
    config.mlx_version = is_mlx ? mlx_version : NULL;
    csm_sampler *sampler;
    csm_status status = csm_sampler_open(&config, &sampler, err);
    if (status != CSM_OK)
        return status;
    float row[VOCAB];
    for (size_t r = 0; r < n_rows && status == CSM_OK; r++) {
        known_row(r, row);
        status = csm_sampler_draw(sampler, row, 1, VOCAB, &tokens[r], NULL, NULL, err);
    }
    csm_sampler_close(sampler);
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
    return named != NULL && *named != '\0' ? named : "python3";
}

/* The script, begun: what it prints, and its process. NULL: it cannot be started. */
static FILE *start_python(const char *script_path, const struct known *known, pid_t *child)
{
    char program[4096], path[256], name[32], dtype[8], rows[16];
    snprintf(program, sizeof program, "%s", python());
    snprintf(path, sizeof path, "%s", script_path);
    snprintf(name, sizeof name, "%s", known->name);
    snprintf(dtype, sizeof dtype, "%s", known->dtype_name);
    snprintf(rows, sizeof rows, "%d", LIVE_ROWS);
    char *arguments[] = {program, path, name, dtype, rows, NULL};
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0)
        return NULL;
    bool is_started = posix_spawn_file_actions_init(&actions) == 0;
    if (is_started) {
        is_started =
            posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0 &&
            posix_spawn_file_actions_addclose(&actions, ends[0]) == 0 &&
            posix_spawn_file_actions_addclose(&actions, ends[1]) == 0 &&
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) ==
                0 &&
            posix_spawnp(child, program, &actions, NULL, arguments, environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    FILE *from = is_started ? fdopen(ends[0], "r") : NULL;
    if (from == NULL)
        close(ends[0]);
    return from;
}

/* Run the script; false if the library is not there. */
static bool draw_live(const char *script_path, const struct known *known, char *version,
                      size_t version_size, int32_t tokens[LIVE_ROWS])
{
    pid_t child;
    FILE *from = start_python(script_path, known, &child);
    if (from == NULL)
        return false;
    char word[64];
    bool is_ok = fscanf(from, "%63s", word) == 1;
    if (is_ok)
        snprintf(version, version_size, "%s", word);
    for (size_t r = 0; r < LIVE_ROWS && is_ok; r++)
        is_ok = fscanf(from, "%d", &tokens[r]) == 1;
    fclose(from);
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 && is_ok;
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
        if (known->dtype != CSM_DTYPE_F32)
            continue;
        csm_sampler_options config = csm_sampler_defaults();
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
        csm_status status = csm_sampler_open(&config, &sampler, &err);
        for (size_t d = 0; d < DRAWS && status == CSM_OK; d += BATCH) {
            int32_t tokens[BATCH];
            status = csm_sampler_draw(sampler, rows, BATCH, WIDTH, tokens, NULL, NULL, &err);
            for (size_t r = 0; r < BATCH && status == CSM_OK; r++)
                counts[tokens[r]]++;
        }
        csm_sampler_close(sampler);
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

int test_samplers(void)
{
    struct tally tally = {0};
    test_known(&tally);
    test_live(&tally);
    test_distribution(&tally);
    return conclude(&tally);
}
