/* SPDX-License-Identifier: Apache-2.0 */
#include "corpus.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "corpus_sound.h"
#include "loudness.h"
#include "spread.h"
#include "synth_ids.h"

enum { PATH_BYTES = 4096, MAX_GROUPS = 256, SHOWN = 10 };

/* Items that have something in common. */
struct group {
    char name[64];
    uint64_t n;
    double seconds;
};

struct groups {
    size_t n;
    struct group items[MAX_GROUPS];
    struct group others; /* of all further names */
};

struct corpus {
    const char *directory;
    uint64_t n_lines, n_retried, n_without_sound, n_clipped, n_duplicates, n_faults;
    double seconds;
    struct groups endings, speakers;
    struct spread duration, pace, loudness, peak, lead, trail, longest;
    struct extremes slowest, fastest, loudest, quietest, silences, clipped;
    struct synth_ids sounds;
    json_t *duplicates, *faults; /* the first of them */
};

static void count(struct groups *g, const char *name, double seconds)
{
    size_t i = 0;
    while (i < g->n && strcmp(g->items[i].name, name) != 0)
        i++;
    struct group *group = i < MAX_GROUPS ? &g->items[i] : &g->others;
    if (i == g->n && i < MAX_GROUPS) {
        snprintf(group->name, sizeof group->name, "%s", name);
        g->n++;
    }
    group->n++;
    group->seconds += seconds;
}

static json_t *groups_json(const struct groups *g)
{
    json_t *list = json_array();
    for (size_t i = 0; i < g->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:f}", "name", g->items[i].name, "n",
                                              (json_int_t)g->items[i].n, "seconds",
                                              g->items[i].seconds));
    if (g->others.n > 0)
        json_array_append_new(list, json_pack("{s:n, s:I, s:f}", "name", "n",
                                              (json_int_t)g->others.n, "seconds", g->others.seconds));
    return list;
}

static size_t count_letters(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void fault(struct corpus *c, const char *id, const char *what)
{
    if (c->n_faults++ < SHOWN)
        json_array_append_new(c->faults, json_pack("{s:s, s:s}", "id", id, "what", what));
}

/* The same samples under two ids: whoever had them first is known by the number of its line. */
static csm_status look_for_twin(struct corpus *c, const char *id, const char *digest, csm_error *err)
{
    uint64_t first;
    csm_status st = synth_ids_add(&c->sounds, digest, c->n_lines, &first, err);
    if (st == CSM_OK && first != 0 && c->n_duplicates++ < SHOWN)
        json_array_append_new(c->duplicates, json_pack("{s:s, s:I}", "id", id, "of_line",
                                                       (json_int_t)first));
    return st;
}

static void spread_sound(struct corpus *c, const char *id, const char *text,
                         const struct corpus_sound *s)
{
    const size_t n_letters = count_letters(text);
    c->seconds += s->seconds;
    spread_add(&c->duration, s->seconds);
    if (n_letters > 0) {
        const double pace = s->seconds / (double)n_letters;
        spread_add(&c->pace, pace);
        extremes_add(&c->slowest, pace, id);
        extremes_add(&c->fastest, -pace, id);
    }
    if (isfinite(s->lufs)) {
        spread_add(&c->loudness, s->lufs);
        extremes_add(&c->loudest, s->lufs, id);
        extremes_add(&c->quietest, -s->lufs, id);
    }
    if (s->peak > 0)
        spread_add(&c->peak, 20 * log10(s->peak));
    spread_add(&c->lead, s->lead_s);
    spread_add(&c->trail, s->trail_s);
    spread_add(&c->longest, s->longest_s);
    extremes_add(&c->silences, fmax(fmax(s->lead_s, s->trail_s), s->longest_s), id);
    c->n_clipped += s->n_clipped > 0;
    if (s->n_clipped > 0)
        extremes_add(&c->clipped, (double)s->n_clipped, id);
}

/* CSM_NO_MEMORY ends all; what is wrong with one file is told in the report. */
static csm_status take_sound(struct corpus *c, const json_t *line, const char *id,
                             const char *file, csm_error *err)
{
    char path[PATH_BYTES];
    struct stat info;
    struct corpus_sound sound;
    csm_error why;
    const char *spoken = json_string_value(json_object_get(line, "normalized_text"));
    const char *text = json_string_value(json_object_get(line, "text"));
    const json_t *size = json_object_get(line, "bytes");
    const int n = snprintf(path, sizeof path, "%s%s%s", *file == '/' ? "" : c->directory,
                           *file == '/' ? "" : "/", file);
    if (n < 0 || n >= PATH_BYTES || stat(path, &info) != 0) {
        fault(c, id, "its file is not there");
        return CSM_OK;
    }
    if (json_is_integer(size) && json_integer_value(size) != (json_int_t)info.st_size) {
        fault(c, id, "its file has another size than its line tells");
        return CSM_OK;
    }
    csm_status st = corpus_sound_measure(path, &sound, &why);
    if (st == CSM_NO_MEMORY || st == CSM_NO_ENGINE) {
        *err = why;
        return st;
    }
    if (st != CSM_OK) {
        fault(c, id, why.text);
        return CSM_OK;
    }
    spread_sound(c, id, spoken != NULL ? spoken : text != NULL ? text : "", &sound);
    return look_for_twin(c, id, sound.digest, err);
}

static csm_status take_line(struct corpus *c, const char *manifest, const char *text, size_t n,
                            csm_error *err)
{
    json_t *line = json_loadb(text, n, 0, NULL);
    const char *id = json_string_value(json_object_get(line, "id"));
    const char *ended = json_string_value(json_object_get(line, "ended"));
    const json_t *file = json_object_get(line, "audio_filepath");
    csm_status st = CSM_OK;
    if (id == NULL || ended == NULL || file == NULL) {
        json_decref(line);
        return csm_fail(err, CSM_BAD_FORMAT, "%s: '%.40s', expected lines that csm synth wrote",
                        manifest, text);
    }
    char speaker[32];
    const double seconds = json_real_value(json_object_get(line, "duration"));
    snprintf(speaker, sizeof speaker, "%lld",
             (long long)json_integer_value(json_object_get(line, "speaker")));
    c->n_lines++;
    c->n_retried += json_integer_value(json_object_get(line, "attempts")) > 1;
    count(&c->endings, ended, seconds);
    count(&c->speakers, speaker, seconds);
    if (json_is_string(file))
        st = take_sound(c, line, id, json_string_value(file), err);
    else
        c->n_without_sound++;
    json_decref(line);
    return st;
}

static csm_status take_manifest(struct corpus *c, const char *path, csm_error *err)
{
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t room = 0;
    csm_status st = file != NULL ? CSM_OK : csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    for (ssize_t n; st == CSM_OK && (n = getline(&line, &room, file)) > 0;)
        st = take_line(c, path, line, (size_t)n, err);
    free(line);
    if (file != NULL)
        fclose(file);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_manifest(const char *name, const char *ending)
{
    const size_t n = strlen(name), n_ending = strlen(ending);
    return strncmp(name, "manifest", 8) == 0 && n > n_ending &&
           strcmp(name + n - n_ending, ending) == 0;
}

static csm_status list_manifests(const char *directory, char ***names, size_t *n, csm_error *err)
{
    DIR *dir = opendir(directory);
    if (dir == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", directory, strerror(errno));
    csm_status st = CSM_OK;
    for (struct dirent *entry; st == CSM_OK && (entry = readdir(dir)) != NULL;) {
        if (is_manifest(entry->d_name, ".jsonl.unfinished"))
            st = csm_fail(err, CSM_BAD_FILE, "%s/%s: that run is not done, expected csm synth --resume "
                          "first", directory, entry->d_name);
        if (!is_manifest(entry->d_name, ".jsonl"))
            continue;
        char **more = realloc(*names, (*n + 1) * sizeof **names);
        char *copy = malloc(strlen(entry->d_name) + 1);
        if (more != NULL)
            *names = more;
        if (more != NULL && copy != NULL)
            (*names)[(*n)++] = strcpy(copy, entry->d_name);
        else
            free(copy);
        if (more == NULL || copy == NULL)
            st = csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    }
    closedir(dir);
    if (st == CSM_OK && *n == 0)
        st = csm_fail(err, CSM_BAD_FILE, "%s: no manifest*.jsonl, expected a corpus that csm synth "
                      "has finished", directory);
    if (*n > 0)
        qsort(*names, *n, sizeof **names, by_name);
    return st;
}

static json_t *describe(const struct corpus *c)
{
    json_t *json = json_pack(
        "{s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O, s:O}", "corpus", c->directory,
        "items", (json_int_t)c->n_lines, "seconds", c->seconds, "retried", (json_int_t)c->n_retried,
        "without_sound", (json_int_t)c->n_without_sound, "clipped", (json_int_t)c->n_clipped,
        "duplicate_sounds", (json_int_t)c->n_duplicates, "faults", (json_int_t)c->n_faults, "endings",
        groups_json(&c->endings), "speakers", groups_json(&c->speakers), "first_duplicates",
        c->duplicates, "first_faults", c->faults);
    json_t *spreads = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "duration_s",
                                spread_json(&c->duration), "seconds_per_character",
                                spread_json(&c->pace), "loudness_lufs", spread_json(&c->loudness),
                                "peak_db", spread_json(&c->peak), "silence_before_s",
                                spread_json(&c->lead), "silence_after_s", spread_json(&c->trail),
                                "longest_pause_s", spread_json(&c->longest));
    json_t *extremes = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "slowest_s_per_character", extremes_json(&c->slowest, 1),
        "fastest_s_per_character", extremes_json(&c->fastest, -1), "loudest_lufs",
        extremes_json(&c->loudest, 1), "quietest_lufs", extremes_json(&c->quietest, -1),
        "longest_silence_s", extremes_json(&c->silences, 1), "most_clipped_samples",
        extremes_json(&c->clipped, 1));
    if (!loudness_is_known()) /* built without libebur128: not measured */
        json_object_set_new(spreads, "loudness_lufs", json_null());
    json_object_set_new(json, "spreads", spreads);
    json_object_set_new(json, "extremes", extremes);
    return json;
}

csm_status corpus_read(const char *directory, json_t **json, bool *is_sound, csm_error *err)
{
    struct corpus *c = calloc(1, sizeof *c);
    char **names = NULL;
    size_t n = 0;
    *json = NULL;
    if (c == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", directory);
    *c = (struct corpus){.directory = directory,
                         .duration = {.highest = 30},
                         .pace = {.highest = 0.3},
                         .loudness = {.lowest = -60, .highest = 0},
                         .peak = {.lowest = -60, .highest = 0},
                         .lead = {.highest = 3},
                         .trail = {.highest = 3},
                         .longest = {.highest = 3},
                         .duplicates = json_array(),
                         .faults = json_array()};
    csm_status st = list_manifests(directory, &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        char path[PATH_BYTES];
        if (st == CSM_OK && snprintf(path, sizeof path, "%s/%s", directory, names[i]) >= PATH_BYTES)
            st = csm_fail(err, CSM_BAD_FILE, "%s: its path is too long", directory);
        if (st == CSM_OK)
            st = take_manifest(c, path, err);
        free(names[i]);
    }
    if (st == CSM_OK) {
        *json = describe(c);
        *is_sound = c->n_faults == 0;
    }
    free(names);
    synth_ids_free(&c->sounds);
    json_decref(c->duplicates);
    json_decref(c->faults);
    free(c);
    return st;
}
