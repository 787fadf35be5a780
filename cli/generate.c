/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c - csm generate: text in, speech out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <csm/csm.h>

#include "clock.h"
#include "command.h"
#include "draw_options.h"
#include "dry_run.h"
#include "inputs.h"
#include "interrupt.h"
#include "model_notes.h"
#include "option_pairs.h"
#include "option_ranges.h"
#include "options.h"
#include "recite.h"
#include "text_input.h"
#include "tokens.h"
#include "utterances.h"

static const char help[] =
    "usage: csm generate --text TEXT [--output F.wav] [--model-path DIR] [OPTIONS]\n"
    "       ... | csm generate - [OPTIONS]\n"
    "       csm generate --from-tokens F.safetensors [--output F.wav]\n"
    "Text, and the conversation so far, in; speech out.\n\n"
    "  --text TEXT | --text-file F | -   what to say; -: standard input\n"
    WRITTEN_HELP
    "  --model-path DIR|F.gguf  or ORG/NAME of a hub: csm download; default: the embedded voice\n"
    "  --adapter DIR[:SCALE]    merge a LoRA (PEFT's, csm-mlx's) into the model; repeatable\n"
    "  --speaker N              who speaks (the voice's own, else 0)\n"
    "  --max-audio-length-ms N  at most this long (8 s and 0.2 s a character)\n"
    "  --min-audio-length-ms N  and at least this long (0)\n"
    "  --mark                   mark it as generated: csm detect finds it\n"
    "  --mark-key F             with a key of your own, 64 hex digits\n"
    "  --play                   through the loudspeaker, too\n"
    "  --voice NAME             a voice of csm voice list\n"
    "  --context-audio F --context-text T --context-speaker N\n"
    "                           an earlier turn: sound, text, speaker (0);\n"
    "                           repeatable, matched by order\n\n"
    "  --script F               a dialogue, lines [speaker] text; each has those before it\n"
    "                           as context; names are voices, or --cast NAME=VOICE\n"
    "  --per-turn               a file for each utterance, out-001.wav, ...\n"
    "  --sentences | --whole    a long text sentence by sentence, or as it is\n"
    "  --batch N                N sentences at a time: faster; each has the voice alone as\n"
    "                           context, not the sentence before it\n"
    "  --resume                 go on where a run of many utterances stopped\n"
    "  --normalize | --no-normalize  no markup; numbers and symbols as words; or as it is\n"
    "  --dry-run                only print what would be spoken, a line each\n"
    "  --guard | --no-guard     end speech that loops, falls silent or runs on, or do not\n"
    "                           (sentences, normalize, guard: default with the embedded\n"
    "                           voice; a model of --model-path speaks as its references do)\n\n"
    "  --seed N                 of the draws (0), or random; utterance i of many has N + i\n"
    DRAW_HELP
    "  --save-tokens F          write codes, margins and probabilities\n"
    "  --save-logits            and the logits with them\n"
    "  --save-hidden N          and hidden states of the prompt and N frames, by which\n"
    "                           csm analyze names the layer that differs\n"
    "  --forced-tokens F        teacher forcing: after each frame go on with the codes of\n"
    "                           this token file, whatever was drawn, and stop with it\n"
    "  --from-tokens F          decode such a file, draw nothing\n"
    "  --json                   timings and choices on standard output\n"
    "  --debug                  choices, and each draw's candidates\n"
    "  --quiet                  no progress line\n";

struct arguments {
    const char *text, *text_file, *model_path, *from_tokens;
    const char *script;
    struct model_choice model;
    bool is_by_sentence, is_whole, is_normalized, is_verbatim, is_guarded, is_unguarded;
    struct recite recite;
    bool is_dry;
    struct speak speak;
};

static bool is_file(const char *output)
{
    return strcmp(output, "-") != 0 && strcmp(output, "none") != 0;
}

/* What the tables of option_pairs.c and option_ranges.c do not tell: values. */
static bool check(const struct arguments *a, const char *operand)
{
    const struct speak *s = &a->speak;
    const char *wrong = NULL;
    if (a->from_tokens == NULL && a->text == NULL && a->text_file == NULL && operand == NULL &&
             a->script == NULL)
        wrong = "nothing to say: expected --text TEXT, --text-file F, --script F or -";
    else if (s->context.audio.n != s->context.text.n)
        wrong = "expected as many --context-audio as --context-text";
    else if (s->context.speaker.n != 0 && s->context.speaker.n != s->context.audio.n)
        wrong = "expected one --context-speaker for each --context-audio, or none";
    else if (s->is_json && strcmp(s->output, "-") == 0)
        wrong = "--json with --output -: both want standard output";
    else if (a->is_dry && strcmp(s->output, "-") == 0)
        wrong = "--dry-run with --output -: both want standard output";
    else if (a->text != NULL && a->text[strspn(a->text, " \t\r\n")] == '\0')
        wrong = "--text: empty, expected what to say";
    else if (s->max_ms != LENGTH_OF_TEXT && s->min_ms > s->max_ms)
        wrong = "--min-audio-length-ms: expected 0 up to --max-audio-length-ms";
    else if (a->recite.is_resumed && !is_file(s->output))
        wrong = "--resume: expected --output F with it, a file";
    else if (a->recite.is_per_turn && !is_file(s->output))
        wrong = "--per-turn: expected --output F with it, a file";
    else if (s->marking.is_on && strcmp(s->output, "none") == 0 && !s->is_played)
        wrong = "--mark with --output none: there is no sound to mark";
    if (wrong != NULL)
        fprintf(stderr, "csm: %s\n", wrong);
    return wrong == NULL;
}

/* What the embedded voice does by itself, and another model when it is asked to. */
static void settle(struct arguments *a)
{
    bool is_embedded = a->model_path == NULL;
    struct speak *s = &a->speak;
    s->is_normalized = a->is_normalized || (is_embedded && !a->is_verbatim);
    s->options.has_guard =
        a->is_guarded || (is_embedded && !a->is_unguarded && s->forced_tokens == NULL);
    if (a->recite.n_batch > 0 || (is_embedded && !a->is_whole && s->save_tokens == NULL))
        a->is_by_sentence = true;
    a->recite.is_whole = a->is_whole || !(a->is_by_sentence || a->recite.is_resumed ||
                                          a->recite.is_per_turn);
}

/* Whether the text is objects of JSON: such a file was meant for another program. */
static bool is_json(const char *text)
{
    json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    const bool is_so = json_is_object(root) || json_is_object(json_array_get(root, 0));
    json_decref(root);
    return is_so;
}

static csm_status read_text(struct arguments *a, const char *operand, char **text, csm_error *err)
{
    *text = NULL;
    a->speak.text = a->text;
    if (a->text != NULL)
        return CSM_OK;
    const char *path = a->script != NULL      ? a->script
                       : a->text_file != NULL ? a->text_file
                                              : operand;
    csm_status st = text_input(path, text, err);
    if (st == CSM_OK && is_json(*text))
        st = csm_fail(err, CSM_BAD_FORMAT,
                      "%s: JSON, expected a text (jq -r '.[].content' FILE prints that of chat messages)",
                      strcmp(path, "-") == 0 ? "standard input" : path);
    if (a->script != NULL)
        a->recite.script = *text;
    else
        a->speak.text = *text;
    return st;
}

static csm_status open_and_speak(struct arguments *a, const csm_model_options *options,
                                 const char *operand, csm_error *err)
{
    char *text;
    csm_model *model = NULL;
    csm_status st = read_text(a, operand, &text, err);
    settle(a);
    if (st == CSM_OK)
        st = speak_rules_open(&a->speak, err);
    if (st == CSM_OK)
        remark_text(&a->speak, &a->recite, a->model_path == NULL);
    if (st == CSM_OK && a->is_dry) {
        st = print_text(&a->speak, &a->recite, err);
        csm_text_rules_close(a->speak.rules);
        warnings_free(&a->speak.warnings);
        free(text);
        return st;
    }
    double start = clock_ms();
    if (st == CSM_OK)
        st = csm_model_open(a->model_path, options, &model, err);
    a->speak.open_ms = clock_ms() - start;
    if (st == CSM_OK)
        warn_of_model(model);
    if (st == CSM_OK)
        st = check_mlx_version(&a->speak.options, csm_model_describe(model), err);
    if (st == CSM_OK) {
        bool is_many = a->script != NULL || a->recite.is_resumed || a->recite.is_per_turn ||
                       a->recite.n_batch > 0 ||
                       (a->speak.save_tokens == NULL && is_divided(&a->speak, a->recite.is_whole));
        interrupt_watch();
        st = is_many ? recite(&a->recite, &a->speak, model, err) : speak(&a->speak, model, err);
    }
    csm_model_close(model);
    csm_text_rules_close(a->speak.rules);
    free(text);
    warnings_free(&a->speak.warnings);
    interrupt_obey();
    return st;
}

static int run(struct arguments *a, const char *operand)
{
    csm_error err;
    csm_model_options options = csm_model_defaults();
    if (!written_choose(&a->speak.written, &a->speak.output) || !check(a, operand) ||
        !choose_model(&a->model, &options))
        return EXIT_USAGE;
    struct inputs inputs;
    csm_status st = inputs_read(&inputs, &a->model, &a->speak, &options, &a->model_path, &err);
    if (st == CSM_OK)
        st = a->from_tokens != NULL
                 ? tokens_to_sound(a->from_tokens, a->model_path, &options, a->speak.output,
                                   &a->speak.written, &a->speak.marking, &err)
                 : open_and_speak(a, &options, operand, &err);
    inputs_free(&inputs, &a->speak);
    if (st != CSM_OK)
        return report(st, &err);
    return a->from_tokens == NULL && !a->is_dry && !a->speak.has_sound ? EXIT_CHECK_FAILED : EXIT_OK;
}

static enum parsed parse(int argc, char **argv, struct arguments *a, const char **operand)
{
    struct speak *s = &a->speak;
    csm_generate_options *o = &s->options;
    const struct option_spec options[] = {
        {"text", OPTION_SAY, &a->text},
        {"text-file", OPTION_IN, &a->text_file},
        {"output", OPTION_OUT, &s->output},
        {"model-path", OPTION_TEXT, &a->model_path},
        {"speaker", OPTION_INT, &s->speaker},
        {"max-audio-length-ms", OPTION_INT, &s->max_ms},
        {"min-audio-length-ms", OPTION_INT, &s->min_ms},
        {"format", OPTION_TEXT, &s->written.format_name},
        {"sample-rate", OPTION_INT, &s->written.rate_hz},
        {"title", OPTION_TEXT, &s->written.title},
        {"c2pa-cert", OPTION_IN, &s->written.c2pa_cert},
        {"c2pa-key", OPTION_IN, &s->written.c2pa_key},
        {"mark", OPTION_FLAG, &s->marking.is_on},
        {"mark-key", OPTION_IN, &s->marking.key_file},
        {"play", OPTION_FLAG, &s->is_played},
        {"voice", OPTION_TEXT, &s->context.voice},
        {"context-audio", OPTION_INS, &s->context.audio},
        {"context-text", OPTION_LIST, &s->context.text},
        {"context-speaker", OPTION_LIST, &s->context.speaker},
        {"script", OPTION_IN, &a->script},
        {"cast", OPTION_LIST, &a->recite.cast},
        {"per-turn", OPTION_FLAG, &a->recite.is_per_turn},
        {"sentences", OPTION_FLAG, &a->is_by_sentence},
        {"whole", OPTION_FLAG, &a->is_whole},
        {"batch", OPTION_COUNT, &a->recite.n_batch},
        {"resume", OPTION_FLAG, &a->recite.is_resumed},
        {"normalize", OPTION_FLAG, &a->is_normalized},
        {"no-normalize", OPTION_FLAG, &a->is_verbatim},
        {"guard", OPTION_FLAG, &a->is_guarded},
        {"no-guard", OPTION_FLAG, &a->is_unguarded},
        MODEL_OPTIONS(&a->model),
        DRAW_OPTIONS(o),
        {"save-tokens", OPTION_TENSORS, &s->save_tokens},
        {"save-logits", OPTION_FLAG, &s->save_logits},
        {"save-hidden", OPTION_COUNT, &o->hidden_frames},
        {"forced-tokens", OPTION_IN, &s->forced_tokens},
        {"from-tokens", OPTION_IN, &a->from_tokens},
        {"dry-run", OPTION_FLAG, &a->is_dry},
        {"json", OPTION_FLAG, &s->is_json},
        {"debug", OPTION_FLAG, &s->is_debug},
        {"quiet", OPTION_FLAG, &s->is_quiet},
        {NULL, OPTION_FLAG, NULL},
    };
    bool given[sizeof options / sizeof *options] = {false};
    enum parsed parsed = parse_options_given(argc, argv, options, help, operand, 1, given);
    if (parsed == PARSED && *operand != NULL && strcmp(*operand, "-") != 0) {
        fprintf(stderr, "csm: '%s': an argument that is no option, expected --text \"WORDS\", in "
                "quotes, or - (standard input)\n", *operand);
        parsed = PARSED_WRONG;
    }
    if (parsed == PARSED && (!options_are_in_range(options, given) ||
                             !options_go_together(options, given, *operand != NULL)))
        parsed = PARSED_WRONG;
    return parsed;
}

int run_generate(int argc, char **argv)
{
    struct arguments a = {.speak = {.speaker = ANY_SPEAKER,
                                    .max_ms = LENGTH_OF_TEXT,
                                    .options = csm_generate_defaults()}};
    const char *operand = NULL;
    enum parsed parsed = parse(argc, argv, &a, &operand);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    return run(&a, operand);
}
