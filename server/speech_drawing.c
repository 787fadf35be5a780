/* SPDX-License-Identifier: Apache-2.0
 *
 * speech_drawing.c - a sentence as a generation of the model, with the voice and the sentence
 * before it as context. */
#include <stdlib.h>
#include <string.h>

#include <csm/remarks.h>

#include "speech_parts.h"

enum { N_AHEAD = 4 };

static void close_generation(void *job)
{
    csm_generation_close(((struct notice *)job)->generation);
}

/* Closing waits for the frame that is being drawn: not on the loop's thread. */
void speech_drop_generation(struct speech *s)
{
    struct notice *n = s->notice;
    if (n == NULL)
        return;
    s->notice = NULL;
    s->all->n_drawn[n->model]--;
    pthread_mutex_lock(&n->all->mutex);
    n->speech = NULL;
    pthread_mutex_unlock(&n->all->mutex);
    csm_generation_cancel(n->generation);
    if (!workers_do(s->all->workers, close_generation, notice_free, n)) {
        close_generation(n);
        notice_free(n);
    }
}

void speech_fail(struct speech *s, csm_status status)
{
    s->has_failed = true;
    s->status = status;
    speech_drop_generation(s);
    speech_leave_stream(s);
}

static size_t count_tokens(const struct speeches *all, const char *text, int speaker)
{
    int32_t *ids;
    size_t n = 0;
    csm_error err;
    if (csm_model_tokenize(all->model, text, speaker, &ids, &n, &err) == CSM_OK)
        csm_free(ids);
    return n;
}

/* Positions of the turns in a prompt: text, frames, and the frame that ends each. */
static size_t count_positions(const struct speeches *all, const struct prompt *prompt)
{
    size_t n = 0;
    for (size_t i = 0; prompt != NULL && i < prompt->n; i++)
        n += count_tokens(all, prompt->turns[i].text, prompt->turns[i].speaker) +
             prompt->turns[i].n_frames + 1;
    return n;
}

/* How many frames the sentence may take: as asked for, within the model's room. The
 * sentence before goes if there is none beside it. */
static size_t choose_frames(struct speech *s, const char *text)
{
    const struct speeches *all = s->all;
    const struct prompt *voice = s->setup.prompt;
    size_t wanted = s->frames_left;
    if (s->setup.max_frames == 0) {
        const size_t usual = csm_frames_for_text(all->model, voice != NULL ? voice->turns : NULL,
                                                 voice != NULL ? voice->n : 0, text,
                                                 s->setup.speaker) +
                             s->setup.options.min_frames;
        wanted = usual < wanted ? usual : wanted;
    }
    const size_t n_text = count_tokens(all, text, s->setup.speaker);
    const size_t n_voice = count_positions(all, s->setup.prompt);
    s->tally.n_text += n_text;
    s->tally.n_prompt += n_voice;
    const size_t used = n_text + n_voice, room = all->info->max_positions;
    if (s->last != NULL && used + wanted + count_positions(all, s->last) > room) {
        prompt_release(s->last);
        s->last = NULL;
    }
    return used < room && used + wanted > room && s->setup.max_frames > 0 ? room - used : wanted;
}

static csm_status open_generation(struct speech *s, struct notice *n, csm_error *err)
{
    const char *text = s->said.items[s->next].text;
    csm_generate_options options = s->setup.options;
    options.seed += s->next;
    options.max_frames = choose_frames(s, text);
    if (options.min_frames > options.max_frames)
        options.min_frames = options.max_frames;
    options.n_ahead = N_AHEAD;
    options.is_live = true;
    options.user = n;
    options.on_ready = notice_on_ready;
    const size_t n_voice = s->setup.prompt != NULL ? s->setup.prompt->n : 0;
    csm_turn *turns = calloc(n_voice + 1, sizeof *turns);
    if (turns == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "speech: out of memory");
    for (size_t i = 0; i < n_voice; i++)
        turns[i] = s->setup.prompt->turns[i];
    if (s->last != NULL)
        turns[n_voice] = s->last->turns[0];
    csm_request request = csm_request_of(text, s->setup.speaker);
    request.context = turns;
    request.n_context = n_voice + (s->last != NULL);
    const csm_status st =
        csm_generation_open(s->all->models[n->model], &request, &options, &n->generation, err);
    free(turns);
    return st;
}

bool speech_begin_sentence(struct speech *s)
{
    struct notice *n = calloc(1, sizeof *n);
    csm_status st = CSM_NO_MEMORY;
    if (n == NULL) {
        speech_fail(s, csm_fail(&s->error, st, "speech: out of memory"));
        return false;
    }
    n->all = s->all;
    n->speech = s;
    for (size_t i = 1; i < s->all->n_models; i++)
        if (s->all->n_drawn[i] < s->all->n_drawn[n->model])
            n->model = i;
    s->n_codes = 0;
    st = open_generation(s, n, &s->error);
    if (st != CSM_OK) {
        notice_free(n);
        speech_fail(s, st);
        return false;
    }
    s->notice = n;
    s->all->n_drawn[n->model]++;
    return true;
}

bool speech_keep_codes(struct speech *s, const csm_frame *frame)
{
    const size_t n = s->all->info->n_codebooks;
    if (s->n_codes + n > s->codes_capacity) {
        const size_t capacity = 2 * s->codes_capacity + 128 * n;
        int32_t *grown = realloc(s->codes, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        s->codes = grown;
        s->codes_capacity = capacity;
    }
    memcpy(s->codes + s->n_codes, frame->codes, n * sizeof *s->codes);
    s->n_codes += n;
    return true;
}

/* The sentence is drawn: what it was, and what the next one has as context. */
bool speech_end_sentence(struct speech *s)
{
    csm_report report = csm_report_of(s->notice->generation);
    const size_t n_frames = s->n_codes / s->all->info->n_codebooks;
    s->tally.n_sentences++;
    s->tally.is_cut = s->tally.is_cut || (!report.has_ended && report.guarded[0] == '\0');
    if (report.guarded[0] != '\0')
        s->tally.guarded = report.guarded;
    if (report.n_frames > 0)
        report.n_frames = s->tally.n_frames; /* where it was cut, in all that is heard */
    csm_remark remarks[CSM_ENDING_REMARKS];
    const size_t n_remarks = csm_remark_ending(&report, s->all->info->frame_ms, remarks);
    for (size_t i = 0; i < n_remarks; i++)
        remark_list_add(&s->tally.remarks, &remarks[i]);
    s->frames_left -= n_frames < s->frames_left ? n_frames : s->frames_left;
    if (n_frames > 0) {
        const csm_turn turn = {.text = s->said.items[s->next].text,
                               .speaker = s->setup.speaker,
                               .codes = s->codes,
                               .n_frames = n_frames};
        prompt_release(s->last);
        s->last = prompt_new(&turn, 1, s->all->info->n_codebooks);
        if (s->last == NULL)
            return false;
    }
    speech_drop_generation(s);
    return true;
}

