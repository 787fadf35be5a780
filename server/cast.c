/* SPDX-License-Identifier: Apache-2.0 */
#include "cast.h"

#include <stdlib.h>
#include <string.h>

#include "recording.h"
#include "reply.h"

struct casting {
    csm_model *model;
    struct reference *references; /* taken from the request */
    size_t n;
    csm_turn *turns; /* [n] with codes as they are made */
    struct cast base; /* what the voice gives */
    void (*on_cast)(void *owner, const struct cast *cast, const struct refusal *why);
    void *owner; /* NULL: gone */
    csm_status status;
    csm_error error;
};

bool cast_find_voice(struct service *service, const char *name, const struct voice **out,
                     struct refusal *why)
{
    const bool is_named = name != NULL && *name != '\0';
    *out = is_named ? voice_store_find(service->voices, name) : NULL;
    return *out != NULL || !is_named || strcmp(name, "default") == 0 ||
           refuse(why, 400, "voice", "voice_not_found",
                  "voice: there is none of that name; GET /v1/audio/voices lists them");
}

static bool find_voice(struct service *service, const struct speech_request *request,
                       struct cast *out, struct refusal *why)
{
    const struct voice *voice;
    *out = (struct cast){.speaker = service->info->default_speaker};
    if (!cast_find_voice(service, request->voice, &voice, why))
        return false;
    if (voice != NULL) {
        out->speaker = voice->speaker;
        out->prompt = prompt_keep(voice->prompt);
    }
    if (request->speaker >= 0)
        out->speaker = request->speaker;
    return true;
}

static void encode(void *job)
{
    struct casting *c = job;
    for (size_t i = 0; c->status == CSM_OK && i < c->n; i++) {
        int32_t *codes = NULL;
        c->status = recording_encode(c->model, c->references[i].bytes, c->references[i].n,
                                     c->references[i].text, REFERENCE_S, &codes,
                                     &c->turns[i].n_frames, NULL, &c->base.remarks, &c->error);
        c->turns[i].codes = codes;
    }
}

static void casting_free(struct casting *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free((int32_t *)c->turns[i].codes);
        free(c->references[i].bytes);
        free(c->references[i].text);
    }
    free(c->turns);
    free(c->references);
    prompt_release(c->base.prompt);
    free(c);
}

/* The voice's turns, and behind them the recordings'. */
static struct prompt *join(const struct casting *c)
{
    const size_t n_voice = c->base.prompt != NULL ? c->base.prompt->n : 0;
    csm_turn *turns = calloc(n_voice + c->n, sizeof *turns);
    if (turns == NULL)
        return NULL;
    for (size_t i = 0; i < n_voice; i++)
        turns[i] = c->base.prompt->turns[i];
    memcpy(turns + n_voice, c->turns, c->n * sizeof *turns);
    struct prompt *joined =
        prompt_new(turns, n_voice + c->n, csm_model_describe(c->model)->n_codebooks);
    free(turns);
    return joined;
}

static void on_encoded(void *job)
{
    struct casting *c = job;
    struct refusal why;
    struct cast cast = {.speaker = c->base.speaker, .remarks = c->base.remarks};
    if (c->owner != NULL && c->status == CSM_OK && (cast.prompt = join(c)) == NULL) {
        c->status = CSM_NO_MEMORY;
        memcpy(c->error.text, "out of memory", 14);
    }
    if (c->owner != NULL && c->status != CSM_OK) {
        refusal_of_status(c->status, c->error.text, &why);
        c->on_cast(c->owner, NULL, &why);
    } else if (c->owner != NULL) {
        c->on_cast(c->owner, &cast, NULL);
    }
    casting_free(c);
}

enum cast_state cast_begin(struct service *service, struct speech_request *request,
                           void (*on_cast)(void *owner, const struct cast *cast,
                                           const struct refusal *why),
                           void *owner, struct cast *out, struct casting **casting,
                           struct refusal *why)
{
    if (!find_voice(service, request, out, why))
        return CAST_REFUSED;
    if (request->n_references == 0)
        return CAST_READY;
    struct casting *c = calloc(1, sizeof *c);
    csm_turn *turns = calloc(request->n_references, sizeof *turns);
    if (c == NULL || turns == NULL) {
        free(c);
        free(turns);
        prompt_release(out->prompt);
        refuse(why, 503, "", "", "out of memory");
        return CAST_REFUSED;
    }
    *c = (struct casting){.model = service->model,
                          .references = request->references,
                          .n = request->n_references,
                          .turns = turns,
                          .base = *out,
                          .on_cast = on_cast,
                          .owner = owner,
                          .status = CSM_OK};
    request->references = NULL;
    request->n_references = 0;
    for (size_t i = 0; i < c->n; i++) {
        turns[i].text = c->references[i].text;
        turns[i].speaker = c->references[i].speaker >= 0 ? c->references[i].speaker : out->speaker;
    }
    if (!workers_do(service->workers, encode, on_encoded, c)) {
        casting_free(c);
        refuse(why, 503, "", "", "out of memory");
        return CAST_REFUSED;
    }
    *casting = c;
    return CAST_LATER;
}

void casting_forget(struct casting *casting)
{
    if (casting != NULL)
        casting->owner = NULL;
}
