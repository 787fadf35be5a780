/* SPDX-License-Identifier: Apache-2.0
 *
 * four_at_once.c - four sentences spoken side by side, each frame as it is drawn.
 *
 *     cc four_at_once.c $(pkg-config --cflags --libs csm) -o four_at_once
 *     ./four_at_once [MODEL_DIR]
 *
 * Writes one-of-four.wav to four-of-four.wav; without MODEL_DIR by the embedded voice. */
#include <csm/audio.h>
#include <csm/csm.h>

#include <stdio.h>

static const char *const texts[4] = {"The first of four.", "The second, at the same time.",
                                     "A third one.", "And the last."};
static const char *const names[4] = {"one-of-four.wav", "two-of-four.wav", "three-of-four.wav",
                                     "four-of-four.wav"};

int main(int argc, char **argv)
{
    csm_error err;
    csm_model *model = NULL;
    csm_generation *speech[4] = {NULL};
    csm_audio_writer *files[4] = {NULL};
    csm_status st = csm_model_open(argc > 1 ? argv[1] : NULL, NULL, &model, &err);

    for (int i = 0; st == CSM_OK && i < 4; i++) {
        const csm_model_info *info = csm_model_describe(model);
        csm_request request = csm_request_of(texts[i], info->default_speaker);
        csm_generate_options options = csm_generate_defaults();
        options.seed = (uint64_t)i;
        options.max_frames = 50;
        st = csm_generation_open(model, &request, &options, &speech[i], &err);
        if (st == CSM_OK)
            st = csm_audio_writer_open(names[i], CSM_AUDIO_FORMAT_WAV, info->sample_rate_hz,
                                       NULL, &files[i], &err);
    }
    /* In turns: what one of them draws meanwhile waits (options.n_ahead frames of it). */
    for (int n_over = 0; st == CSM_OK && n_over < 4;) {
        n_over = 0;
        for (int i = 0; st == CSM_OK && i < 4; i++) {
            const csm_frame *frame;
            st = csm_generation_next(speech[i], &frame, &err);
            if (st == CSM_OK && frame == NULL)
                n_over++;
            else if (st == CSM_OK)
                st = csm_audio_writer_push(files[i], frame->samples, frame->n_samples, &err);
        }
    }
    for (int i = 0; i < 4; i++) {
        csm_generation_close(speech[i]);
        if (st == CSM_OK && files[i] != NULL)
            st = csm_audio_writer_commit(files[i], &err);
        else
            csm_audio_writer_discard(files[i]);
    }
    csm_model_close(model);
    if (st != CSM_OK)
        fprintf(stderr, "four_at_once: %s\n", err.text);
    return st != CSM_OK;
}
