/* SPDX-License-Identifier: Apache-2.0 */
#include "cast.h"

#include <stdlib.h>
#include <string.h>

#include <csm/voices.h>

enum { MAX_SPEAKER = 1000000 };

size_t cast_label(const char *line, const char **label, const char **text)
{
    const char *p = line + strspn(line, " \t");
    const size_t n = *p == '[' ? strcspn(p + 1, "]\n") : 0;
    if (n == 0 || p[1 + n] != ']' || n > 64)
        return 0;
    *label = p + 1;
    const bool has_colon = p[2 + n] == ':' && (p[3 + n] == ' ' || p[3 + n] == '\t'); /* [Alice]: Hello. */
    *text = p + 2 + n + has_colon;
    return n;
}

/* A label that is a speaker's number, else -1. */
static int number_of(const char *label, size_t n)
{
    int value = 0;
    for (size_t i = 0; i < n; i++) {
        if (label[i] < '0' || label[i] > '9' || value > MAX_SPEAKER)
            return -1;
        value = 10 * value + label[i] - '0';
    }
    return n > 0 && value <= MAX_SPEAKER ? value : -1;
}

static struct cast_role *find(const struct cast *cast, const char *name, size_t n)
{
    for (size_t i = 0; i < cast->n; i++)
        if (strlen(cast->roles[i].name) == n && strncmp(cast->roles[i].name, name, n) == 0)
            return (struct cast_role *)&cast->roles[i];
    return NULL;
}

int cast_speaker(const struct cast *cast, const char *label, size_t n)
{
    const struct cast_role *role = find(cast, label, n);
    return role != NULL ? role->speaker : number_of(label, n);
}

csm_status cast_names(const char *script, struct cast *cast, csm_error *err)
{
    *cast = (struct cast){.n = 0};
    for (const char *line = script; *line != '\0'; line += strcspn(line, "\n")) {
        line += *line == '\n';
        const char *label, *text;
        const size_t n = cast_label(line, &label, &text);
        if (n == 0 || number_of(label, n) >= 0 || find(cast, label, n) != NULL)
            continue;
        if (cast->n == sizeof cast->roles / sizeof *cast->roles)
            return csm_fail(err, CSM_BAD_FORMAT, "--script: more than %zu names", cast->n);
        struct cast_role *role = &cast->roles[cast->n++];
        *role = (struct cast_role){.speaker = 0};
        memcpy(role->name, label, n);
    }
    return CSM_OK;
}

/* --cast NAME=VOICE */
static csm_status take_given(const struct option_list *given, struct cast *cast, csm_error *err)
{
    for (size_t i = 0; i < given->n; i++) {
        const char *item = given->items[i], *equals = strchr(item, '=');
        if (equals == NULL || equals == item || equals[1] == '\0')
            return csm_fail(err, CSM_BAD_ARG, "--cast: '%s', expected NAME=VOICE", item);
        struct cast_role *role = find(cast, item, (size_t)(equals - item));
        if (role == NULL)
            return csm_fail(err, CSM_BAD_ARG, "--cast: '%.*s' speaks no line of the script",
                            (int)(equals - item), item);
        if (role->voice != NULL)
            return csm_fail(err, CSM_BAD_ARG, "--cast: '%s' is cast twice", role->name);
        role->voice = equals + 1;
    }
    for (size_t i = 0; i < cast->n; i++)
        if (cast->roles[i].voice == NULL)
            cast->roles[i].voice = cast->roles[i].name;
    return CSM_OK;
}

/* Whether a role, a line of the script or a turn of the context has the number. */
static bool is_taken(const struct cast *cast, const char *script, const struct context *context,
                     int speaker)
{
    for (size_t i = 0; i < cast->n; i++)
        if (cast->roles[i].speaker == speaker)
            return true;
    for (size_t i = 0; i < csm_session_count(context->session); i++)
        if (csm_session_turn(context->session, i).speaker == speaker)
            return true;
    for (const char *line = script; *line != '\0'; line += strcspn(line, "\n")) {
        line += *line == '\n';
        const char *label, *text;
        const size_t n = cast_label(line, &label, &text);
        if (n > 0 && number_of(label, n) == speaker)
            return true;
    }
    return false;
}

/* The turns of a recording, under the role's number. */
static csm_status add_recording(const char *path, int speaker, csm_model *model,
                                struct context *context, csm_error *err)
{
    csm_session *voice = NULL;
    csm_status st = csm_session_open(model, &voice, err);
    if (st == CSM_OK)
        st = csm_session_load(voice, path, err);
    for (size_t i = 0; st == CSM_OK && i < csm_session_count(voice); i++) {
        csm_turn turn = csm_session_turn(voice, i);
        turn.speaker = speaker;
        st = csm_session_add(context->session, &turn, err);
    }
    csm_session_close(voice);
    return st;
}

csm_status cast_read(const struct option_list *given, const char *script, csm_model *model,
                     struct context *context, struct cast *cast, csm_error *err)
{
    csm_voice voices[sizeof cast->roles / sizeof *cast->roles];
    csm_status st = cast_names(script, cast, err);
    for (size_t i = 0; i < cast->n; i++)
        cast->roles[i].speaker = -1;
    if (st == CSM_OK)
        st = take_given(given, cast, err);
    for (size_t i = 0; st == CSM_OK && i < cast->n; i++) { /* whose number is known */
        struct cast_role *role = &cast->roles[i];
        voices[i].path[0] = '\0';
        role->speaker = number_of(role->voice, strlen(role->voice));
        if (role->speaker >= 0)
            continue;
        st = csm_voice_find(model, role->voice, &voices[i], err);
        if (st == CSM_BAD_ARG && role->voice == role->name)
            return csm_fail(
                err, CSM_BAD_ARG,
                "--script: [%s]: expected a speaker's number, the name of a voice, or --cast "
                "%s=VOICE (csm voice list)",
                role->name, role->name);
        role->speaker = st == CSM_OK ? voices[i].speaker : -1;
    }
    int next = 0;
    for (size_t i = 0; st == CSM_OK && i < cast->n; i++) { /* recordings */
        if (voices[i].path[0] == '\0')
            continue;
        while (is_taken(cast, script, context, next))
            next++;
        cast->roles[i].speaker = next;
        st = add_recording(voices[i].path, next, model, context, err);
    }
    return st == CSM_OK ? context_settle(context, err) : st;
}
