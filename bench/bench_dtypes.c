/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_dtypes.c - what each dtype does to a model's choices: bench_dtypes DIR SENTENCES
 *
 * DIR holds a float32 model, SENTENCES one text a line, up to a `|`. Each sentence is drawn in float32; then
 * every dtype reads the same tokens, teacher-forced, with the same noise. Prints a Markdown table,
 * codebook 0 and the others apart:
 *
 *   KL      of the dtype's distribution from float32's, in nats, at the temperature and over the
 *           codes that float32 could have drawn: its top-k. Mean and largest
 *   draws   share of draws that gave float32's code
 *   first   share of rows whose most probable code is float32's */
#include <csm/csm.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SENTENCES = 256, TOP_K = 50 };
static const double temperature = 0.9;

struct tally {
    size_t n, n_drawn, n_first;
    double kl, largest;
};

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static size_t largest_of(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* KL(p || q) over the codes whose p-logit is at least the k-th largest. */
static double divergence(const float *p, const float *q, size_t n, float *sorted)
{
    memcpy(sorted, p, n * sizeof *p);
    qsort(sorted, n, sizeof *sorted, by_value);
    float least = sorted[n < TOP_K ? n - 1 : TOP_K - 1];
    double top_p = p[largest_of(p, n)], top_q = q[largest_of(q, n)];
    double sum_p = 0, sum_q = 0, kl = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] >= least) {
            sum_p += exp((p[i] - top_p) / temperature);
            sum_q += exp((q[i] - top_q) / temperature);
        }
    for (size_t i = 0; i < n; i++)
        if (p[i] >= least) {
            double log_p = (p[i] - top_p) / temperature - log(sum_p);
            double log_q = (q[i] - top_q) / temperature - log(sum_q);
            kl += exp(log_p) * (log_p - log_q);
        }
    return kl;
}

static void compare(const csm_result *truth, const csm_result *other, struct tally tallies[2],
                    float *sorted)
{
    size_t k = truth->n_codebooks, vocab = truth->vocab;
    for (size_t i = 0; i < truth->n_frames * k; i++) {
        struct tally *t = &tallies[i % k != 0];
        const float *p = truth->logits + i * vocab, *q = other->logits + i * vocab;
        double kl = divergence(p, q, vocab, sorted);
        t->n++;
        t->kl += kl;
        t->largest = kl > t->largest ? kl : t->largest;
        t->n_drawn += truth->codes[i] == other->codes[i];
        t->n_first += largest_of(p, vocab) == largest_of(q, vocab);
    }
}

static csm_status speak(csm_model *model, const char *text, uint64_t seed, const csm_result *truth,
                        csm_result **out, csm_error *err)
{
    csm_generate_options o = csm_generate_defaults();
    o.strategy = CSM_STRATEGY_EXACT;
    o.seed = seed;
    o.temperature = o.depth_temperature = temperature;
    o.top_k = o.depth_top_k = TOP_K;
    o.dtype = "f32"; /* of the sampler: the logits alone shall differ */
    o.without_sound = o.keep_logits = true;
    if (truth != NULL) {
        o.forced = truth->codes;
        o.n_forced = o.max_frames = truth->n_frames;
    }
    const csm_request request = {.size = sizeof request,
                                 .text = text,
                                 .speaker = csm_model_describe(model)->default_speaker};
    return csm_generate(model, &request, &o, out, err);
}

static csm_status run_dtype(const char *dir, csm_precision precision, char **texts, size_t n,
                            csm_result **truth, csm_error *err)
{
    const csm_model_options options = {.size = sizeof(csm_model_options), .strategy = CSM_STRATEGY_EXACT, .engine = "native", .precision = precision};
    bool is_truth = precision == CSM_PRECISION_F32;
    struct tally tallies[2] = {{0}};
    csm_model *model = NULL;
    float *sorted = NULL;
    csm_status st = csm_model_open(dir, &options, &model, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++) {
        csm_result *result = NULL;
        st = speak(model, texts[i], i, is_truth ? NULL : truth[i], &result, err);
        if (st == CSM_OK && sorted == NULL)
            sorted = malloc(result->vocab * sizeof *sorted);
        if (st == CSM_OK && sorted != NULL && !is_truth)
            compare(truth[i], result, tallies, sorted);
        if (is_truth)
            truth[i] = result;
        else
            csm_result_close(result);
    }
    for (int part = 0; st == CSM_OK && part < 2 && !is_truth; part++) {
        const struct tally *t = &tallies[part];
        double rows = (double)t->n;
        printf("| %s | %s | %.1e | %.1e | %.2f %% | %.2f %% |\n", csm_precision_name(precision),
               part == 0 ? "0" : "others", t->kl / rows, t->largest,
               100 * (double)t->n_drawn / rows, 100 * (double)t->n_first / rows);
    }
    free(sorted);
    csm_model_close(model);
    return st;
}

static size_t read_lines(const char *path, char **texts)
{
    FILE *file = fopen(path, "r");
    size_t n = 0;
    char line[1024];
    while (file != NULL && n < MOST_SENTENCES && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "|\n")] = 0;
        if (line[0] != 0 && (texts[n] = strdup(line)) != NULL)
            n++;
    }
    if (file != NULL)
        fclose(file);
    return n;
}

int main(int argc, char **argv)
{
    static char *texts[MOST_SENTENCES];
    static csm_result *truth[MOST_SENTENCES];
    size_t n = argc == 3 ? read_lines(argv[2], texts) : 0;
    if (n == 0) {
        fputs("usage: bench_dtypes DIR SENTENCES (a file with a text a line)\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a row is seen when it is known */
    csm_error err;
    csm_status st = run_dtype(argv[1], CSM_PRECISION_F32, texts, n, truth, &err);
    size_t n_frames = 0;
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        n_frames += truth[i]->n_frames;
    if (st == CSM_OK)
        printf("%zu sentences, %zu frames of %zu codes\n\n"
               "| dtype | codebooks | KL mean | KL largest | equal draws | equal first |\n"
               "| --- | --- | --- | --- | --- | --- |\n", n, n_frames, truth[0]->n_codebooks);
    static const csm_precision dtypes[] = {CSM_PRECISION_BF16, CSM_PRECISION_F16, CSM_PRECISION_Q8, CSM_PRECISION_Q4};
    for (size_t i = 0; st == CSM_OK && i < sizeof dtypes / sizeof *dtypes; i++)
        st = run_dtype(argv[1], dtypes[i], texts, n, truth, &err);
    if (st != CSM_OK)
        fprintf(stderr, "bench_dtypes: %s\n", err.text);
    for (size_t i = 0; i < n; i++) {
        csm_result_close(truth[i]);
        free(texts[i]);
    }
    return st == CSM_OK ? 0 : 1;
}
