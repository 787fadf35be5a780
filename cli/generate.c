/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c - csm generate: text in, speech out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <csm/csm.h>

#include "clock.h"
#include "command.h"
#include "options.h"
#include "speak.h"
#include "text_input.h"
#include "tokens.h"

static const char help[] =
    "usage: csm generate --text TEXT [--output F.wav] [--model-path DIR] [OPTIONS]\n"
    "       ... | csm generate - [OPTIONS]\n"
    "       csm generate --from-tokens F.safetensors [--output F.wav]\n"
    "Text, and the conversation so far, in; speech out.\n\n"
    "  --text TEXT | --text-file F | -   what to say; - is standard input\n"
    "  --output F               WAV file (audio.wav), - for standard output, none\n"
    "  --model-path DIR         default: the embedded voice\n"
    "  --speaker N              who speaks (0; the embedded voice has its own default)\n"
    "  --max-audio-length-ms N  at most this long (10000)\n"
    "  --context-audio F --context-text T --context-speaker N\n"
    "                           an earlier turn: sound of any format, its text, its\n"
    "                           speaker (0); repeatable, matched by order\n\n"
    "  --seed N                 of the draws (0)\n"
    "  --temperature T          0 is greedy; default: the model's, else 0.9\n"
    "  --topk K                 0 is all; default: the model's, else 50\n"
    "  --depth-temperature T --depth-topk K\n"
    "                           of the codes after the first; default: the same\n\n"
    "  --strategy S             auto, pure, exact, hybrid\n"
    "  --use-exact-sampling     --strategy exact\n"
    "  --pytorch-tokens         --strategy hybrid\n"
    "  --engine E --device D    auto, native, mlx, torch; cpu, gpu, cuda:0, mps\n"
    "  --dtype D                f32, bf16, f16, q8, q4; default: as stored\n"
    "  --threads N              default: one per core\n"
    "  --stream S               noise: torch-cpu, torch-cpu-mkl, torch-cuda, mlx\n"
    "  --sampler S              arithmetic: transformers, sesame, csm-mlx\n"
    "  --mlx-version X.Y.Z      whose draws pure reproduces; default: the newest known\n\n"
    "  --save-tokens F          write codes, margins and probabilities\n"
    "  --save-logits            and the logits with them\n"
    "  --from-tokens F          decode such a file, draw nothing\n"
    "  --json                   timings and choices on standard output\n"
    "  --debug                  choices, and each draw's candidates\n"
    "  --quiet                  no progress line\n";

struct arguments {
    const char *text, *text_file, *model_path, *from_tokens;
    const char *strategy, *engine, *dtype, *device;
    bool is_exact, is_hybrid;
    int n_threads;
    struct speak speak;
};

static bool choose_strategy(const struct arguments *a, csm_strategy *out)
{
    *out = a->is_exact    ? CSM_STRATEGY_EXACT
           : a->is_hybrid ? CSM_STRATEGY_HYBRID
                          : CSM_STRATEGY_AUTO;
    if (a->strategy == NULL)
        return true;
    for (int s = CSM_STRATEGY_AUTO; s <= CSM_STRATEGY_HYBRID; s++)
        if (strcmp(csm_strategy_name((csm_strategy)s), a->strategy) == 0) {
            *out = (csm_strategy)s;
            return true;
        }
    fprintf(stderr, "csm: --strategy: '%s', expected auto, pure, exact or hybrid\n", a->strategy);
    return false;
}

static bool choose_precision(const char *name, csm_precision *out)
{
    *out = CSM_AS_STORED;
    if (name == NULL)
        return true;
    for (int p = CSM_IN_F32; p <= CSM_IN_Q4; p++)
        if (strcmp(csm_precision_name((csm_precision)p), name) == 0) {
            *out = (csm_precision)p;
            return true;
        }
    fprintf(stderr, "csm: --dtype: '%s', expected f32, bf16, f16, q8 or q4\n", name);
    return false;
}

/* What does not go together. */
static bool check(const struct arguments *a, const char *operand)
{
    const struct speak *s = &a->speak;
    const char *wrong = NULL;
    int n_texts = (a->text != NULL) + (a->text_file != NULL) + (operand != NULL);
    if (operand != NULL && strcmp(operand, "-") != 0)
        wrong = "an argument that is no option: expected only - (text from standard input)";
    else if (a->from_tokens == NULL && n_texts == 0)
        wrong = "nothing to say: expected --text TEXT, --text-file F or -";
    else if (n_texts > 1)
        wrong = "the text: expected one of --text, --text-file and -";
    else if (a->from_tokens != NULL && (n_texts > 0 || s->save_tokens != NULL || s->is_json))
        wrong = "--from-tokens only decodes: expected no text, --save-tokens or --json";
    else if (a->is_exact + a->is_hybrid + (a->strategy != NULL) > 1)
        wrong = "expected one of --strategy, --use-exact-sampling and --pytorch-tokens";
    else if (s->context_audio.n != s->context_text.n)
        wrong = "expected as many --context-audio as --context-text";
    else if (s->context_speaker.n != 0 && s->context_speaker.n != s->context_audio.n)
        wrong = "expected one --context-speaker for each --context-audio, or none";
    else if (s->save_logits && s->save_tokens == NULL)
        wrong = "--save-logits: expected --save-tokens F with it";
    else if (s->is_json && strcmp(s->output, "-") == 0)
        wrong = "--json and --output - both want standard output";
    else if (s->max_ms < 80)
        wrong = "--max-audio-length-ms: expected at least 80, a frame";
    if (wrong != NULL)
        fprintf(stderr, "csm: %s\n", wrong);
    return wrong == NULL;
}

static csm_status open_and_speak(struct arguments *a, const csm_model_options *options,
                                 const char *dash, csm_error *err)
{
    char *text = NULL;
    csm_model *model = NULL;
    csm_status st = CSM_OK;
    if (a->text != NULL)
        a->speak.text = a->text;
    else
        st = text_input(a->text_file != NULL ? a->text_file : dash, &text, err);
    if (text != NULL)
        a->speak.text = text;
    double start = clock_ms();
    if (st == CSM_OK)
        st = csm_model_open(a->model_path, options, &model, err);
    a->speak.open_ms = clock_ms() - start;
    if (st == CSM_OK)
        st = speak(&a->speak, model, err);
    csm_model_close(model);
    free(text);
    return st;
}

static int run(struct arguments *a, const char *operand)
{
    csm_error err;
    csm_model_options options = {.n_threads = a->n_threads, .device = a->device};
    if (!check(a, operand) || !choose_strategy(a, &options.strategy) ||
        !choose_precision(a->dtype, &options.precision))
        return EXIT_USAGE;
    if (a->engine != NULL && strcmp(a->engine, "auto") != 0)
        options.engine = a->engine;
    csm_status st = a->from_tokens != NULL
                        ? tokens_to_sound(a->from_tokens, a->model_path, &options,
                                          a->speak.output, CSM_AUDIO_WAV, &err)
                        : open_and_speak(a, &options, operand, &err);
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}

static enum parsed parse(int argc, char **argv, struct arguments *a, const char **operand)
{
    struct speak *s = &a->speak;
    csm_generate_options *o = &s->options;
    const struct option_spec options[] = {
        {"text", OPTION_TEXT, &a->text},
        {"text-file", OPTION_TEXT, &a->text_file},
        {"output", OPTION_TEXT, &s->output},
        {"model-path", OPTION_TEXT, &a->model_path},
        {"speaker", OPTION_INT, &s->speaker},
        {"max-audio-length-ms", OPTION_INT, &s->max_ms},
        {"context-audio", OPTION_LIST, &s->context_audio},
        {"context-text", OPTION_LIST, &s->context_text},
        {"context-speaker", OPTION_LIST, &s->context_speaker},
        {"strategy", OPTION_TEXT, &a->strategy},
        {"use-exact-sampling", OPTION_FLAG, &a->is_exact},
        {"pytorch-tokens", OPTION_FLAG, &a->is_hybrid},
        {"engine", OPTION_TEXT, &a->engine},
        {"device", OPTION_TEXT, &a->device},
        {"dtype", OPTION_TEXT, &a->dtype},
        {"threads", OPTION_INT, &a->n_threads},
        {"seed", OPTION_U64, &o->seed},
        {"temperature", OPTION_REAL, &o->temperature},
        {"topk", OPTION_INT, &o->top_k},
        {"depth-temperature", OPTION_REAL, &o->depth_temperature},
        {"depth-topk", OPTION_INT, &o->depth_top_k},
        {"stream", OPTION_TEXT, &o->stream},
        {"sampler", OPTION_TEXT, &o->sampler},
        {"mlx-version", OPTION_TEXT, &o->mlx_version},
        {"save-tokens", OPTION_TEXT, &s->save_tokens},
        {"save-logits", OPTION_FLAG, &s->save_logits},
        {"from-tokens", OPTION_TEXT, &a->from_tokens},
        {"json", OPTION_FLAG, &s->is_json},
        {"debug", OPTION_FLAG, &s->is_debug},
        {"quiet", OPTION_FLAG, &s->is_quiet},
        {NULL, OPTION_FLAG, NULL},
    };
    return parse_options(argc, argv, options, help, operand, 1);
}

int run_generate(int argc, char **argv)
{
    struct arguments a = {.speak = {.speaker = -1,
                                    .max_ms = 10000,
                                    .output = "audio.wav",
                                    .options = csm_generate_defaults()}};
    const char *operand = NULL;
    enum parsed parsed = parse(argc, argv, &a, &operand);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    return run(&a, operand);
}
