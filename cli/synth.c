/* SPDX-License-Identifier: Apache-2.0
 *
 * synth.c - csm synth: a manifest in, a corpus out. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "draw_options.h"
#include "inputs.h"
#include "interrupt.h"
#include "made_of.h"
#include "model_notes.h"
#include "option_pairs.h"
#include "option_ranges.h"
#include "parts.h"
#include "synth_run.h"
#include "synth_shard.h"
#include "synth_stream.h"

static const char help[] =
    "usage: csm synth --manifest IN.jsonl --output-dir DIR [OPTIONS]\n"
    "Speak each line of a manifest into a file of its own. An item's sound depends on the\n"
    "item and the settings alone, not on shards, batch, order or interruptions.\n\n"
    "  --manifest F             a JSON object a line: {\"id\", \"text\"[, \"speaker\", \"voice\",\n"
    "                           \"seed\", \"context\"]}, NeMo's or Lhotse's: docs/CORPORA.md\n"
    "                           -: lines are spoken as they come on standard input, and each is\n"
    "                           answered with its line of the manifest on standard output\n"
    "  --output-dir DIR         ID.wav of each, and manifest.jsonl, which tells how each ended\n"
    "  --shard I/N              lines I, I + N, ... alone, I from 1 to N; default: the task of a\n"
    "                           Slurm array, else all\n"
    "  --resume                 go on where a run before stopped; what is whole is kept\n"
    "  --batch N                N items side by side (8)\n"
    "  --retries N              speak an item that does not end by itself again, with the next\n"
    "                           seed, at most N times (0)\n"
    "  --skip-bad               leave bad lines out; default: refuse them all before speaking\n"
    "  --format F               wav, flac, opus, mp3, ogg, pcm, aac, wav-f32, f32le, ...\n"
    "  --sample-rate HZ         8000 to 48000; default: the model's\n"
    "  --codes                  write ID.safetensors, too: codes, margins, probabilities\n"
    "  --mark --mark-key F      mark the sound as generated, with a key of your own\n"
    "  --c2pa-cert F --c2pa-key F      PEM: sign wav, flac, mp3 (docs/MARK.md)\n\n"
    "  --model-path DIR|F.gguf  or ORG/NAME of a hub: csm download; default: the embedded voice\n"
    "  --adapter DIR[:SCALE]    merge a LoRA (PEFT's, csm-mlx's) into the model; repeatable\n"
    "  --speaker N              of items that name none (the voice's own, else 0)\n"
    "  --voice NAME             of items without voice and context: a voice of csm voice list\n"
    "  --context-audio F --context-text T --context-speaker N   or an earlier turn; repeatable\n"
    "  --max-audio-length-ms N  at most this long (8 s and 0.2 s a character)\n"
    "  --min-audio-length-ms N  and at least this long (0)\n"
    "  --normalize | --no-normalize  numbers and symbols as words, or as it is\n"
    "  --guard | --no-guard     end speech that loops, falls silent or runs on, or do not\n"
    "                           (both: default with the embedded voice)\n\n"
    "  --seed N                 of the corpus (0): an item that names none has a seed made of\n"
    "                           this and its id\n"
    DRAW_HELP
    "  --quiet                  no progress, no summary\n";

struct arguments {
    const char *model_path, *shard;
    struct model_choice model;
    bool is_normalized, is_verbatim, is_guarded, is_unguarded;
    struct speak speak;
    struct synth synth;
};

static bool is_stream(const struct arguments *a)
{
    return strcmp(a->synth.manifest, "-") == 0;
}

static bool check(const struct arguments *a)
{
    const struct speak *s = &a->speak;
    const char *wrong = NULL;
    if (a->synth.manifest == NULL || a->synth.directory == NULL)
        wrong = "synth: expected --manifest IN.jsonl and --output-dir DIR";
    else if (is_stream(a) && (a->shard != NULL || a->synth.is_resumed || a->synth.is_skipping))
        wrong = "--manifest -: lines are answered as they come, expected no --shard, --resume, "
                "--skip-bad";
    else if (s->context.audio.n != s->context.text.n)
        wrong = "expected as many --context-audio as --context-text";
    else if (s->context.speaker.n != 0 && s->context.speaker.n != s->context.audio.n)
        wrong = "expected one --context-speaker for each --context-audio, or none";
    else if (s->max_ms != LENGTH_OF_TEXT && s->min_ms > s->max_ms)
        wrong = "--min-audio-length-ms: expected 0 up to --max-audio-length-ms";
    else if (a->synth.n_lanes < 1 || a->synth.n_lanes > 1024)
        wrong = "--batch: expected 1 to 1024";
    else if (a->synth.n_retries > 1000)
        wrong = "--retries: expected 0 to 1000";
    if (wrong != NULL)
        fprintf(stderr, "csm: %s\n", wrong);
    return wrong == NULL;
}

/* The format by its name, and the ending that goes with it. */
static bool choose_format(struct arguments *a)
{
    struct written *w = &a->speak.written;
    if (w->format_name != NULL && strcmp(w->format_name, "pcm") == 0)
        w->format_name = "s16le";
    if (!written_choose(w, &a->speak.output))
        return false;
    a->synth.ending = strrchr(a->speak.output, '.');
    return true;
}

/* What all items depend on: a change of it is a reason to speak them anew. */
static void digest_settings(struct arguments *a)
{
    struct synth *s = &a->synth;
    const struct speak *w = &a->speak;
    char settings[128];
    made_of_settings(s->made_of, w, s->model, s->context.session);
    for (size_t i = 0; i < a->model.adapters.n; i++)
        made_of_text(s->made_of, a->model.adapters.items[i]);
    snprintf(settings, sizeof settings, "%s %d %d %d %d %d %zu", csm_audio_format_name(w->written.format),
             w->written.rate_hz, (int)w->is_normalized, (int)w->marking.is_on, w->speaker, s->context.speaker,
             s->n_retries);
    made_of_text(s->made_of, settings);
    part_digest(s->made_of, w->marking.key, sizeof w->marking.key);
    if (w->written.c2pa_cert != NULL)
        made_of_text(s->made_of, w->written.c2pa_cert);
}

static csm_status open_and_run(struct arguments *a, const csm_model_options *options,
                               struct synth_count *count, csm_error *err)
{
    struct synth *s = &a->synth;
    struct speak *w = &a->speak;
    s->what = w;
    s->is_embedded = a->model_path == NULL;
    w->is_normalized = a->is_normalized || (s->is_embedded && !a->is_verbatim);
    w->options.has_guard = a->is_guarded || (s->is_embedded && !a->is_unguarded);
    csm_status st = speak_rules_open(w, err);
    if (st == CSM_OK)
        st = csm_model_open(a->model_path, options, &s->model, err);
    if (st == CSM_OK)
        warn_of_model(s->model);
    if (st == CSM_OK)
        st = check_mlx_version(&w->options, csm_model_describe(s->model), err);
    if (st == CSM_OK)
        st = context_read(&w->context, w->speaker, s->model, &s->context, &w->warnings, err);
    if (st == CSM_OK) {
        s->turns = context_turns(&s->context);
        digest_settings(a);
        interrupt_watch();
        st = is_stream(a) ? synth_stream(s, count, err) : synth_run(s, count, err);
    }
    context_free(&s->context);
    warnings_free(&w->warnings);
    csm_text_rules_close(w->rules);
    csm_model_close(s->model);
    return st;
}

static void tell(const struct arguments *a, const struct synth_count *c, csm_status st)
{
    if (st == CSM_CANCELLED && !is_stream(a))
        fprintf(stderr, "csm: interrupted: %llu of %llu items are done; --resume goes on\n",
                (unsigned long long)(c->n_kept + c->n_spoken), (unsigned long long)c->n_items);
    if (st != CSM_OK || a->speak.is_quiet)
        return;
    fprintf(stderr,
            "csm: %llu items (%llu of a run before), %.1f s of sound in %.1f s; %llu did not end by "
            "themselves, of these %llu without sound; %llu lines left out\n",
            (unsigned long long)(c->n_kept + c->n_spoken), (unsigned long long)c->n_kept, c->seconds,
            c->spent_ms / 1e3, (unsigned long long)c->n_bad, (unsigned long long)c->n_silent,
            (unsigned long long)c->n_refused);
}

static int run(struct arguments *a)
{
    csm_error err;
    csm_model_options options = csm_model_defaults();
    if (!check(a) || !choose_format(a) ||
        !choose_model(&a->model, &options) ||
        (!is_stream(a) && !synth_shard_choose(a->shard, a->speak.is_quiet, &a->synth.shard)))
        return EXIT_USAGE;
    struct inputs inputs;
    struct synth_count count = {0};
    csm_status st = inputs_read(&inputs, &a->model, &a->speak, &options, &a->model_path, &err);
    if (st == CSM_OK)
        st = open_and_run(a, &options, &count, &err);
    inputs_free(&inputs, &a->speak);
    tell(a, &count, st);
    interrupt_obey();
    if (st != CSM_OK)
        return report(st, &err);
    return count.n_silent > 0 || count.n_refused > 0 ? EXIT_CHECK_FAILED : EXIT_OK;
}

int run_synth(int argc, char **argv)
{
    struct arguments a = {.speak = {.speaker = ANY_SPEAKER,
                                    .max_ms = LENGTH_OF_TEXT,
                                    .options = csm_generate_defaults()},
                          .synth = {.n_lanes = 8}};
    struct speak *s = &a.speak;
    const struct option_spec options[] = {
        {"manifest", OPTION_IN, &a.synth.manifest},
        {"output-dir", OPTION_TEXT, &a.synth.directory},
        {"shard", OPTION_TEXT, &a.shard},
        {"resume", OPTION_FLAG, &a.synth.is_resumed},
        {"batch", OPTION_SIZE, &a.synth.n_lanes},
        {"retries", OPTION_SIZE, &a.synth.n_retries},
        {"skip-bad", OPTION_FLAG, &a.synth.is_skipping},
        {"codes", OPTION_FLAG, &a.synth.has_codes},
        {"format", OPTION_TEXT, &s->written.format_name},
        {"sample-rate", OPTION_INT, &s->written.rate_hz},
        {"mark", OPTION_FLAG, &s->marking.is_on},
        {"mark-key", OPTION_IN, &s->marking.key_file},
        {"c2pa-cert", OPTION_IN, &s->written.c2pa_cert},
        {"c2pa-key", OPTION_IN, &s->written.c2pa_key},
        {"model-path", OPTION_TEXT, &a.model_path},
        {"speaker", OPTION_INT, &s->speaker},
        {"voice", OPTION_TEXT, &s->context.voice},
        {"context-audio", OPTION_INS, &s->context.audio},
        {"context-text", OPTION_LIST, &s->context.text},
        {"context-speaker", OPTION_LIST, &s->context.speaker},
        {"max-audio-length-ms", OPTION_INT, &s->max_ms},
        {"min-audio-length-ms", OPTION_INT, &s->min_ms},
        {"normalize", OPTION_FLAG, &a.is_normalized},
        {"no-normalize", OPTION_FLAG, &a.is_verbatim},
        {"guard", OPTION_FLAG, &a.is_guarded},
        {"no-guard", OPTION_FLAG, &a.is_unguarded},
        MODEL_OPTIONS(&a.model),
        DRAW_OPTIONS(&s->options),
        {"quiet", OPTION_FLAG, &s->is_quiet},
        {NULL, OPTION_FLAG, NULL},
    };
    bool given[sizeof options / sizeof *options] = {false};
    const enum parsed parsed = parse_options_given(argc, argv, options, help, NULL, 0, given);
    if (parsed == PARSED_HELP)
        return EXIT_OK;
    if (parsed != PARSED || !options_are_in_range(options, given) ||
        !options_go_together(options, given, false))
        return EXIT_USAGE;
    return run(&a);
}
