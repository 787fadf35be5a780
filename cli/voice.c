/* SPDX-License-Identifier: Apache-2.0
 *
 * voice.c - csm voice: voices by name. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <csm/audio.h>
#include <csm/remarks.h>
#include <csm/voices.h>

#include "command.h"
#include "model_path.h"
#include "options.h"

static const char help[] =
    "usage: csm voice add NAME --audio F --text T [--speaker N] [--model-path DIR]\n"
    "       csm voice list [--model-path DIR]\n"
    "       csm voice remove NAME\n"
    "A recording, and what is said in it, becomes a voice for csm generate --voice NAME.\n"
    "Recordings lie in $CSM_VOICES, default ~/.local/share/csm/voices.\n\n"
    "  --audio F         sound of any format, some seconds of one speaker\n"
    "  --text T          what is said in it, word for word\n"
    "  --speaker N       as whom the voice speaks (0)\n"
    "  --model-path DIR  default: the embedded voice\n";

struct arguments {
    const char *audio, *text, *model_path;
    int speaker;
};

static csm_status add(const struct arguments *a, csm_model *model, const char *name, csm_error *err)
{
    const csm_model_info *info = csm_model_describe(model);
    bool is_hf = strcmp(info->layout, "hf") == 0;
    float *samples = NULL;
    csm_turn turn = {.text = a->text, .speaker = a->speaker};
    csm_remark remark, whole;
    csm_status st = csm_audio_read_told(a->audio, info->sample_rate_hz,
                                        is_hf ? CSM_RESAMPLER_SOXR : CSM_RESAMPLER_TORCHAUDIO,
                                        HUGE_VAL, &samples, &turn.n_samples, &whole, err);
    turn.samples = samples;
    if (st == CSM_OK && csm_remark_recording(a->audio, samples, turn.n_samples,
                                             info->sample_rate_hz, &remark))
        st = csm_fail(err, CSM_BAD_FORMAT, "%s", remark.text);
    char path[PATH_MAX];
    if (st == CSM_OK)
        st = csm_voice_path(model, name, path, sizeof path, err);
    const bool is_replaced = st == CSM_OK && access(path, F_OK) == 0;
    if (st == CSM_OK)
        st = csm_voice_add(model, name, &turn, err);
    if (st == CSM_OK && is_replaced)
        fprintf(stderr, "csm: voice '%s': the recording of before is replaced\n", name);
    if (st == CSM_OK && whole.code[0] != '\0')
        fprintf(stderr, "csm: %s\n", whole.text);
    csm_remark heard[CSM_REFERENCE_REMARKS];
    const size_t n_heard = st == CSM_OK ? csm_remark_reference(a->audio, a->text, samples, turn.n_samples,
                                                               info->sample_rate_hz, heard)
                                        : 0;
    for (size_t i = 0; i < n_heard; i++)
        fprintf(stderr, "csm: %s\n", heard[i].text);
    csm_free(samples);
    return st;
}

static csm_status list(csm_model *model, csm_error *err)
{
    csm_voice *voices;
    size_t n;
    csm_status st = csm_voices_list(model, &voices, &n, err);
    for (size_t i = 0; st == CSM_OK && i < n; i++)
        if (voices[i].path[0] == '\0')
            printf("%-16s speaker %d of the model\n", voices[i].name, voices[i].speaker);
        else
            printf("%-16s %s\n", voices[i].name, voices[i].path);
    if (st == CSM_OK)
        csm_free(voices);
    return st;
}

/* What is wrong with what was given of the options audio, text, speaker, model-path. */
static const char *wrong_use(const struct arguments *a, const bool *is_given, const char *verb,
                             const char *name)
{
    const bool is_add = verb != NULL && strcmp(verb, "add") == 0;
    const bool is_list = verb != NULL && strcmp(verb, "list") == 0;
    if (!is_add && !is_list && (verb == NULL || strcmp(verb, "remove") != 0))
        return "expected add, list or remove";
    if (is_list && name != NULL)
        return "list: expected no name";
    if (!is_list && name == NULL)
        return "expected a NAME";
    if (!is_add && (is_given[0] || is_given[1] || is_given[2]))
        return "--audio, --text and --speaker are of add";
    if (!is_add && !is_list && is_given[3])
        return "--model-path is of add and list: recordings are of no model";
    if (is_add && a->audio == NULL)
        return "add: expected --audio F, a recording";
    if (is_add && a->text == NULL)
        return "add: expected --text T, what is said in the recording";
    if (a->speaker < 0)
        return "--speaker: expected 0 or more";
    return NULL;
}

int run_voice(int argc, char **argv)
{
    struct arguments a = {0};
    const char *given[2] = {NULL, NULL};
    const struct option_spec options[] = {
        {"audio", OPTION_TEXT, &a.audio},           {"text", OPTION_SAY, &a.text},
        {"speaker", OPTION_INT, &a.speaker},        {"model-path", OPTION_TEXT, &a.model_path},
        {NULL, OPTION_FLAG, NULL},
    };
    bool is_given[sizeof options / sizeof *options] = {false};
    enum parsed parsed = parse_options_given(argc, argv, options, help, given, 2, is_given);
    if (parsed != PARSED)
        return parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    const char *wrong = wrong_use(&a, is_given, given[0], given[1]);
    if (wrong != NULL) {
        fprintf(stderr, "csm: voice: %s; --help tells more\n", wrong);
        return EXIT_USAGE;
    }
    csm_error err;
    csm_status st;
    if (strcmp(given[0], "remove") == 0) {
        st = csm_voice_remove(given[1], &err);
    } else {
        csm_model *model = NULL;
        char *downloaded;
        st = model_path_resolve(&a.model_path, false, &downloaded, &err);
        if (st == CSM_OK)
            st = csm_model_open(a.model_path, NULL, &model, &err);
        csm_free(downloaded);
        if (st == CSM_OK)
            st = strcmp(given[0], "add") == 0 ? add(&a, model, given[1], &err) : list(model, &err);
        csm_model_close(model);
    }
    return st == CSM_OK ? EXIT_OK : report(st, &err);
}
