/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_item.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include <csm/experimental.h>

#include "options.h"
#include "speak.h"

/* ---- its name --------------------------------------------------------------- */

static const char *string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The id, or of a line without one the name of the sound that it describes (NeMo). */
static csm_status read_id(struct synth_item *item, csm_error *err)
{
    json_t *id = json_object_get(item->line, "id");
    const char *path = string(item->line, "audio_filepath");
    if (id == NULL && path != NULL) {
        const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
        const char *dot = strrchr(base, '.');
        const size_t n = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
        json_object_set_new(item->line, "id", json_stringn(base, n));
    } else if (json_is_integer(id)) {
        json_object_set_new(item->line, "id",
                            json_sprintf("%lld", (long long)json_integer_value(id)));
    }
    item->id = string(item->line, "id");
    if (item->id == NULL || *item->id == '\0')
        return csm_fail(err, CSM_BAD_FORMAT, id == NULL ? "no \"id\", expected a text or a whole number"
                                                        : "\"id\": expected a text or a whole number");
    return CSM_OK;
}

static bool is_plain(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || (c == '.' && !is_first);
}

static csm_status make_name(struct synth_item *item, csm_error *err)
{
    size_t n = 0;
    for (const char *p = item->id; *p != '\0'; p++) {
        const bool is_kept = is_plain(*p, p == item->id);
        if (n + (is_kept ? 1 : 3) >= sizeof item->name)
            return csm_fail(err, CSM_BAD_FORMAT,
                            "\"id\" is too long for the name of a file, expected at most %d bytes",
                            SYNTH_NAME_BYTES - 1);
        if (is_kept)
            item->name[n++] = *p;
        else
            n += (size_t)snprintf(item->name + n, 4, "%%%02X", (unsigned char)*p);
    }
    item->name[n] = '\0';
    return CSM_OK;
}

/* ---- its text --------------------------------------------------------------- */

/* One of the places where a text may stand; two that differ are none. */
static csm_status take_text(struct synth_item *item, const char *text, csm_error *err)
{
    if (text != NULL && item->text != NULL && strcmp(text, item->text) != 0)
        return csm_fail(err, CSM_BAD_FORMAT, "two texts that differ, expected one");
    if (text != NULL)
        item->text = text;
    return CSM_OK;
}

static csm_status read_text(struct synth_item *item, csm_error *err)
{
    const json_t *parts = json_object_get(item->line, "supervisions");
    const json_t *custom = json_object_get(item->line, "custom");
    csm_status st = take_text(item, string(item->line, "text"), err);
    if (st == CSM_OK && parts != NULL && json_array_size(parts) != 1)
        st = csm_fail(err, CSM_BAD_FORMAT, "%zu supervisions, expected one",
                      json_array_size(parts));
    if (st == CSM_OK && parts != NULL)
        st = take_text(item, string(json_array_get(parts, 0), "text"), err);
    if (st == CSM_OK)
        st = take_text(item, string(custom, "text"), err);
    const json_t *own = json_object_get(item->line, "text");
    if (st == CSM_OK && item->text == NULL && own != NULL)
        st = csm_fail(err, CSM_BAD_FORMAT, "\"text\": expected a text");
    else if (st == CSM_OK && item->text == NULL)
        st = csm_fail(err, CSM_BAD_FORMAT, "no \"text\", expected what to say");
    else if (st == CSM_OK && item->text[strspn(item->text, " \t\r\n")] == '\0')
        st = csm_fail(err, CSM_BAD_FORMAT, "\"text\": empty, expected what to say");
    return st;
}

/* ---- how it is said ---------------------------------------------------------- */

/* What Lhotse calls a speaker is who was recorded, not one of the model. */
static bool is_lhotse(const json_t *line)
{
    return json_object_get(line, "supervisions") != NULL ||
           json_object_get(line, "recording_id") != NULL;
}

static csm_status read_speaker(const json_t *object, int *speaker, csm_error *err)
{
    const json_t *given = json_object_get(object, "speaker");
    if (given == NULL || json_is_null(given))
        return CSM_OK;
    const json_int_t number = json_integer_value(given);
    if (!json_is_integer(given) || number < 0 || number > INT_MAX)
        return csm_fail(err, CSM_BAD_FORMAT, "\"speaker\": expected a whole number, 0 or more");
    *speaker = (int)number;
    return CSM_OK;
}

static csm_status read_seed(struct synth_item *item, csm_error *err)
{
    const json_t *given = json_object_get(item->line, "seed");
    if (given == NULL || json_is_null(given))
        return CSM_OK;
    item->has_seed = true;
    item->seed = (uint64_t)json_integer_value(given);
    const char *digits = json_string_value(given);
    item->has_long_seed = digits != NULL && *digits != '-';
    if (json_is_integer(given) || (digits != NULL && seed_of_digits(digits, &item->seed)))
        return CSM_OK;
    return csm_fail(err, CSM_BAD_FORMAT,
                    "\"seed\": expected a whole number from -2^63 to 2^64 - 1");
}

/* The strings of a turn, which the lists of options point to, live in the line's tree. */
static csm_status read_turn(struct synth_item *item, json_t *turn, const char *folder,
                            csm_error *err)
{
    struct context_options *c = &item->context;
    const char *path = string(turn, "audio_filepath"), *text = string(turn, "text");
    int speaker = 0;
    csm_status st = read_speaker(turn, &speaker, err);
    if (st != CSM_OK)
        return st;
    if (path == NULL || *path == '\0' || text == NULL || *text == '\0')
        return csm_fail(err, CSM_BAD_FORMAT,
                        "\"context\": expected objects with \"audio_filepath\" and \"text\"");
    json_object_set_new(turn, "speaker", json_sprintf("%d", speaker));
    if (*path != '/')
        json_object_set_new(turn, "audio_filepath", json_sprintf("%s%s", folder, path));
    c->audio.items[c->audio.n++] = string(turn, "audio_filepath");
    c->text.items[c->text.n++] = text;
    c->speaker.items[c->speaker.n++] = string(turn, "speaker");
    return CSM_OK;
}

static csm_status read_context(struct synth_item *item, const char *folder, csm_error *err)
{
    const size_t room = sizeof item->context.audio.items / sizeof *item->context.audio.items;
    const json_t *voice = json_object_get(item->line, "voice");
    json_t *turns = json_object_get(item->line, "context"), *turn;
    if (voice != NULL && !json_is_null(voice) && !json_is_string(voice))
        return csm_fail(err, CSM_BAD_FORMAT, "\"voice\": expected a name");
    item->context.voice = json_string_value(voice);
    if (turns == NULL || json_is_null(turns))
        return CSM_OK;
    if (!json_is_array(turns) || json_array_size(turns) > room)
        return csm_fail(err, CSM_BAD_FORMAT, "\"context\": expected an array of at most %zu turns",
                        room);
    csm_status st = CSM_OK;
    size_t i;
    json_array_foreach(turns, i, turn) if (st == CSM_OK) st = read_turn(item, turn, folder, err);
    return st;
}

/* ---- the line ---------------------------------------------------------------- */

csm_status synth_item_read(struct synth_item *item, const char *line, size_t n, const char *folder,
                           csm_error *err)
{
    *item = (struct synth_item){.speaker = ANY_SPEAKER};
    json_error_t wrong;
    size_t n_safe; /* long numbers are seeds and ids, or of keys that nobody reads */
    char *safe = csm_json_quote_long(line, n, NULL, &n_safe);
    if (safe == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "a line of %zu bytes: out of memory", n);
    item->line = json_loadb(safe, n_safe, JSON_REJECT_DUPLICATES, &wrong);
    csm_free(safe);
    if (!json_is_object(item->line)) {
        const size_t begin = strspn(line, " \t\r\n");
        if (item->line == NULL && begin < n && line[begin] == '{')
            return csm_fail(err, CSM_BAD_FORMAT, "no JSON: %s", wrong.text);
        return csm_fail(err, CSM_BAD_FORMAT,
                        "expected a JSON object a line, {\"id\": \"a\", \"text\": \"Hello.\"} "
                        "(jq -c .[] makes them of an array)");
    }
    csm_status st = read_id(item, err);
    if (st == CSM_OK)
        st = make_name(item, err);
    if (st == CSM_OK)
        st = read_text(item, err);
    if (st == CSM_OK && !is_lhotse(item->line))
        st = read_speaker(item->line, &item->speaker, err);
    if (st == CSM_OK)
        st = read_seed(item, err);
    if (st == CSM_OK)
        st = read_context(item, folder, err);
    return st;
}

void synth_item_free(struct synth_item *item)
{
    json_decref(item->line);
    item->line = NULL;
}

uint64_t synth_seed(const char *id, uint64_t base)
{
    return XXH3_64bits_withSeed(id, strlen(id), base) >> 12;
}

bool synth_has_context(const struct synth_item *item)
{
    return item->context.voice != NULL || item->context.audio.n > 0;
}

/* The first key after the first *i that is none of `used`; NULL: there is none. */
static const char *unused_of(const json_t *object, const char *const *used, size_t n, size_t *i)
{
    size_t at = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        bool is_used = at++ < *i;
        for (size_t u = 0; !is_used && u < n; u++)
            is_used = strcmp(key, used[u]) == 0;
        if (!is_used) {
            *i = at;
            return key;
        }
    }
    *i = at;
    return NULL;
}

const char *synth_unused_key(const struct synth_item *item, struct synth_key *k)
{
    static const char *const of_line[] = {"id",      "text",     "speaker",     "voice",
                                          "seed",    "context",  "supervisions", "custom",
                                          "duration", "audio_filepath"};
    static const char *const of_turn[] = {"audio_filepath", "text", "speaker", "duration"};
    const json_t *turns = json_object_get(item->line, "context");
    const char *key = NULL;
    if (!k->is_in_context)
        key = unused_of(item->line, of_line, sizeof of_line / sizeof *of_line, &k->at);
    if (key == NULL && !k->is_in_context)
        *k = (struct synth_key){.is_in_context = true};
    while (key == NULL && k->turn < json_array_size(turns)) {
        key = unused_of(json_array_get(turns, k->turn), of_turn, sizeof of_turn / sizeof *of_turn,
                        &k->at);
        if (key == NULL) {
            k->turn++;
            k->at = 0;
        }
    }
    return key;
}
