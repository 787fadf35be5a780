/* SPDX-License-Identifier: Apache-2.0
 *
 * voice_routes.c - /v1/audio/voices: list, add with a recording, remove. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cast.h"
#include "log.h"
#include "multipart.h"
#include "recording.h"
#include "reply.h"
#include "routes.h"

enum { MIN_RECORDING_MS = 1000 };

/* ---- lists ------------------------------------------------------------------------- */

static json_t *voice_json(const char *id, const struct voice *voice)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:i, s:b}", "id", id, "name", id, "object", "voice", "speaker",
                  voice->speaker, "uploaded", (int)voice->is_recording);
    const struct {
        const char *name, *text;
    } papers[] = {{"consent", voice->consent},
                  {"description", voice->description},
                  {"created", voice->created}};
    for (size_t i = 0; object != NULL && i < sizeof papers / sizeof *papers; i++)
        if (papers[i].text != NULL)
            json_object_set_new(object, papers[i].name, json_string(papers[i].text));
    return object;
}

void answer_voices(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    json_t *voices = json_array(), *uploaded = json_array();
    for (size_t i = 0; i < voice_store_count(service->voices); i++) {
        const struct voice *voice = voice_store_at(service->voices, i);
        json_array_append_new(voices, voice_json(voice->name, voice));
        if (voice->is_recording)
            json_array_append_new(uploaded, voice_json(voice->name, voice));
    }
    const char *alias, *of;
    for (size_t i = 0; voice_store_alias(service->voices, i, &alias, &of); i++) {
        const struct voice *voice = voice_store_find(service->voices, alias);
        if (voice == NULL || strcmp(voice->name, alias) == 0)
            continue; /* its voice is gone, or a voice of its own has the name */
        json_t *object = voice_json(alias, voice);
        json_object_set_new(object, "alias_of", json_string(of));
        json_array_append_new(voices, object);
    }
    reply_json(r, 200, json_pack("{s:s, s:o, s:o}", "object", "list", "voices", voices,
                                 "uploaded_voices", uploaded));
}

void answer_voice(struct service *service, struct http_request *r, const char *name)
{
    const struct voice *voice = voice_store_find(service->voices, name);
    if (voice == NULL)
        reply_error(r, 404, "", "voice_not_found", "there is no voice of that name");
    else
        reply_json(r, 200, voice_json(name, voice));
}

void remove_voice(struct service *service, struct http_request *r, const char *name)
{
    csm_error err;
    const csm_status st = voice_store_remove(service->voices, name, &err);
    if (st == CSM_OK)
        reply_json(r, 200, json_pack("{s:s, s:s, s:b}", "id", name, "object", "voice.deleted",
                                     "deleted", 1));
    else if (st == CSM_BAD_ARG)
        reply_error(r, 404, "", "voice_not_found", "there is no recording of that name to delete");
    else
        reply_error(r, 500, "", "", "%s", err.text);
}

/* ---- adding ------------------------------------------------------------------------- */

/* A recording on its way to being a voice. */
struct enrolment {
    struct service *service;
    struct http_request *r; /* NULL: the client is gone */
    csm_model *model;
    char *body; /* of the request: the texts below, and the sound, lie in it */
    const char *name, *text, *consent, *description;
    const void *sound;
    size_t n_sound;
    int speaker;
    int32_t *codes;
    size_t n_frames;
    double seconds;
    struct remark_list remarks; /* of the recording */
    csm_status status;
    csm_error error;
};

static void enrolment_free(struct enrolment *e)
{
    free(e->body);
    free(e->codes);
    free(e);
}

static void on_gone(void *owner)
{
    ((struct enrolment *)owner)->r = NULL;
}

static void encode(void *job)
{
    struct enrolment *e = job;
    e->status = recording_encode(e->model, e->sound, e->n_sound, e->text, REFERENCE_S, &e->codes,
                                 &e->n_frames, &e->seconds, &e->remarks, &e->error);
}

static void keep(struct enrolment *e, struct refusal *why)
{
    const csm_turn turn = {
        .text = e->text, .speaker = e->speaker, .codes = e->codes, .n_frames = e->n_frames};
    const struct voice_papers papers = {.consent = e->consent, .description = e->description};
    if (e->status == CSM_OK && e->seconds * 1e3 < MIN_RECORDING_MS) {
        refuse(why, 400, "audio_sample", "invalid_value",
               "audio_sample: %.2f s of sound, expected 1 to %d", e->seconds, REFERENCE_S);
        return;
    }
    const csm_remark *silent = remark_list_find(&e->remarks, "silent-recording");
    if (e->status == CSM_OK && silent != NULL) {
        refuse(why, 400, "audio_sample", "invalid_value", "audio_sample: %s", silent->text);
        return;
    }
    if (e->status == CSM_OK)
        e->status = voice_store_add(e->service->voices, e->name, &turn, &papers, &e->error);
    if (e->status != CSM_OK)
        refusal_of_status(e->status, e->error.text, why);
}

static void on_encoded(void *job)
{
    struct enrolment *e = job;
    struct refusal why = {0};
    if (e->r != NULL) /* who left before the answer has added nothing */
        keep(e, &why);
    if (e->r != NULL && why.status != 0)
        reply_refusal(e->r, &why);
    else if (e->r != NULL)
        reply_json(e->r, 201,
                   json_pack("{s:b, s:o, s:o}", "success", 1, "voice",
                             voice_json(e->name, voice_store_find(e->service->voices, e->name)),
                             "remarks", remark_list_json(&e->remarks)));
    enrolment_free(e);
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

/* The text of a field; NULL: it is not there, or empty. */
static bool read_field(const struct multipart *parts, const char *name, const char **out,
                       struct refusal *why)
{
    const struct multipart_part *part = multipart_find(parts, name);
    *out = part != NULL && *part->value != '\0' ? part->value : NULL;
    if (part != NULL && (strlen(part->value) != part->n || !is_utf8(part->value) || part->n > 4000))
        return refuse(why, 400, name, "invalid_value", "%s: expected at most 4000 bytes of UTF-8",
                      name);
    return true;
}

static bool read_form(struct enrolment *e, const char *type, size_t n, struct multipart *parts,
                      struct refusal *why)
{
    const char *speaker;
    const char *wrong = multipart_parse(type, e->body, n, parts);
    if (wrong != NULL)
        return refuse(why, 400, "", "invalid_multipart", "the body: %s", wrong);
    if (!read_field(parts, "name", &e->name, why) || !read_field(parts, "ref_text", &e->text, why) ||
        !read_field(parts, "consent", &e->consent, why) ||
        !read_field(parts, "speaker_description", &e->description, why) ||
        !read_field(parts, "speaker", &speaker, why))
        return false;
    const struct multipart_part *sound = multipart_find(parts, "audio_sample");
    const struct {
        const char *name;
        bool is_missing;
    } needed[] = {{"audio_sample", sound == NULL || sound->n == 0},
                  {"name", e->name == NULL},
                  {"ref_text", e->text == NULL},
                  {"consent", e->consent == NULL}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (needed[i].is_missing)
            return refuse(why, 400, needed[i].name, "missing_required_parameter",
                          "%s: expected with a recording, its name, what is said in it and how its "
                          "speaker has consented",
                          needed[i].name);
    if (sound->n > e->service->limits.max_reference)
        return refuse(why, 413, "audio_sample", "too_large", "audio_sample: expected at most %zu bytes",
                      e->service->limits.max_reference);
    e->speaker = e->service->info->default_speaker;
    if (speaker != NULL && (strlen(speaker) > 6 || strspn(speaker, "0123456789") != strlen(speaker)))
        return refuse(why, 400, "speaker", "invalid_value", "speaker: expected a whole number");
    if (speaker != NULL)
        e->speaker = atoi(speaker);
    e->sound = sound->value;
    e->n_sound = sound->n;
    return true;
}

void add_voice(struct service *service, struct http_request *r, const char *name)
{
    (void)name;
    struct enrolment *e = calloc(1, sizeof *e);
    struct refusal why;
    struct multipart parts;
    if (e == NULL) {
        reply_error(r, 503, "", "", "out of memory");
        return;
    }
    e->service = service;
    e->model = service->model;
    e->body = r->body;
    const size_t n = r->n_body;
    r->body = NULL;
    if (!read_form(e, http_head_find(&r->head, "content-type"), n, &parts, &why)) {
        reply_refusal(r, &why);
        enrolment_free(e);
        return;
    }
    e->r = r;
    if (!workers_do(service->workers, encode, on_encoded, e)) {
        reply_error(r, 503, "", "", "out of memory");
        enrolment_free(e);
        return;
    }
    r->owner = e;
    r->on_gone = on_gone;
}
