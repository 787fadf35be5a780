/* SPDX-License-Identifier: Apache-2.0
 *
 * length.c - how long speech may last when nobody has said so. */
#include <csm/remarks.h>

#include "base/utf8.h"

enum {
    LEAST_FRAMES = 125, /* ten seconds */
    EXTRA_FRAMES = 100,
    FRAMES_PER_2_CHARACTERS = 5
};

/* The positions of a text; 0 for one that is none, which is told where it is spoken. */
static size_t count_ids(const csm_model *model, const char *text, int speaker)
{
    int32_t *ids = NULL;
    size_t n = 0;
    if (csm_model_tokenize(model, text, speaker, &ids, &n, NULL) != CSM_OK)
        return 0;
    csm_free(ids);
    return n;
}

size_t csm_frames_for_text(const csm_model *model, const csm_turn *context, size_t n_context,
                           const char *text, int speaker)
{
    const csm_model_info *info = csm_model_describe(model);
    if (info->max_frames < LEAST_FRAMES)
        return info->max_frames;
    size_t n = text == NULL ? 0 : EXTRA_FRAMES + csm_utf8_count(text) * FRAMES_PER_2_CHARACTERS / 2;
    if (n < info->max_frames)
        n = info->max_frames;
    if (n == LEAST_FRAMES)
        return n;
    size_t used = count_ids(model, text, speaker);
    for (size_t i = 0; i < n_context; i++) {
        const csm_turn *t = &context[i];
        const size_t of_samples = (t->n_samples + info->frame_samples - 1) / info->frame_samples;
        used += count_ids(model, t->text, t->speaker) + 1 +
                (t->codes != NULL ? t->n_frames : of_samples);
    }
    const size_t room = info->max_positions > used ? info->max_positions - used : 0;
    n = n < room ? n : room;
    return n > LEAST_FRAMES ? n : LEAST_FRAMES;
}
