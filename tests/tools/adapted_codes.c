/* SPDX-License-Identifier: Apache-2.0
 *
 * adapted_codes MODEL F32|Q8 TEMPERATURE SEED FRAMES NAME=DIR:SCALE...: what a model says with
 * each of its adapters and with none, all of them side by side, then each alone. A line each, in
 * the order given, none last: its codes and margins as JSON. Exit status 1 where a logit or a
 * code beside others is not, bit for bit, the one alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

enum { MOST = 8 };

static csm_named_adapter adapters[MOST];
static csm_result *together[MOST + 1];

static bool keep(void *user, size_t utterance, csm_result *result)
{
    (void)user;
    together[utterance] = result;
    return true;
}

static void fail(const csm_error *err)
{
    fprintf(stderr, "adapted_codes: %s\n", err->text);
    exit(3);
}

static bool is_same(const csm_result *a, const csm_result *b)
{
    const size_t n = a->n_frames * a->n_codebooks;
    return a->n_frames == b->n_frames && memcmp(a->codes, b->codes, n * sizeof *a->codes) == 0 &&
           memcmp(a->logits, b->logits, n * a->vocab * sizeof *a->logits) == 0;
}

static void print(const csm_result *r)
{
    printf("{\"codes\": [");
    for (size_t f = 0; f < r->n_frames; f++)
        for (size_t k = 0; k < r->n_codebooks; k++)
            printf("%s%d%s", k == 0 ? (f > 0 ? ", [" : "[") : ", ",
                   r->codes[f * r->n_codebooks + k], k + 1 == r->n_codebooks ? "]" : "");
    printf("], \"margins\": [");
    for (size_t f = 0; f < r->n_frames; f++)
        for (size_t k = 0; k < r->n_codebooks; k++)
            printf("%s%.9g%s", k == 0 ? (f > 0 ? ", [" : "[") : ", ",
                   (double)r->margins[f * r->n_codebooks + k], k + 1 == r->n_codebooks ? "]" : "");
    printf("], \"adapter\": \"%s\"}\n", r->report->adapter);
}

int main(int argc, char **argv)
{
    const size_t n = (size_t)argc - 6;
    if (argc < 7 || n > MOST)
        return 2;
    for (size_t i = 0; i < n; i++) {
        char *text = argv[6 + i], *path = strchr(text, '='), *scale = strrchr(text, ':');
        *path = *scale = '\0';
        adapters[i] = (csm_named_adapter){text, {path + 1, atof(scale + 1)}};
    }
    csm_model_options how = csm_model_defaults();
    how.precision = strcmp(argv[2], "q8") == 0 ? CSM_PRECISION_Q8 : CSM_PRECISION_F32;
    how.engine = "native";
    how.strategy = CSM_STRATEGY_EXACT;
    how.named_adapters = adapters;
    how.n_named_adapters = n;
    csm_model *model;
    csm_error err;
    if (csm_model_open(argv[1], &how, &model, &err) != CSM_OK)
        fail(&err);
    csm_generate_options options = csm_generate_defaults(), each[MOST + 1];
    options.temperature = atof(argv[3]);
    options.top_k = 50;
    options.seed = strtoull(argv[4], NULL, 10);
    options.max_frames = strtoull(argv[5], NULL, 10);
    options.sampler = "transformers";
    options.without_sound = options.keep_logits = true;
    csm_utterance utterances[MOST + 1];
    for (size_t i = 0; i <= n; i++) {
        each[i] = options;
        each[i].adapter = i < n ? adapters[i].name : NULL;
        utterances[i] = (csm_utterance){
            .text = "Hello there", .seed = options.seed, .options = &each[i]};
    }
    if (csm_generate_batch(model, NULL, 0, utterances, n + 1, n + 1, &options, keep, &err) != CSM_OK)
        fail(&err);
    int status = 0;
    for (size_t i = 0; i <= n; i++) {
        const csm_request request = csm_request_of("Hello there", 0);
        csm_result *alone;
        if (csm_generate(model, &request, &each[i], &alone, &err) != CSM_OK)
            fail(&err);
        if (!is_same(alone, together[i]) ||
            strcmp(alone->report->adapter, i < n ? adapters[i].name : "") != 0)
            status = 1, fprintf(stderr, "adapted_codes: %s beside others is not as alone\n", i < n ? adapters[i].name : "none");
        print(alone);
        csm_result_close(alone);
        csm_result_close(together[i]);
    }
    csm_model_close(model);
    return status;
}
