/* SPDX-License-Identifier: Apache-2.0
 *
 * corpus_page.c - the report over a corpus for people. The page holds the report itself, and a script that
 * sets it as tables and bars: texts of the corpus are only ever text there. */
#include "corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Corpus</title>\n"
    "<style>\n"
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\n"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{padding:.15em 1em .15em 0;text-align:left}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}h2{margin:1.5em 0 .3em;font-size:1.1em}\n"
    ".bars{display:flex;align-items:flex-end;height:80px;gap:1px;max-width:40em;border-bottom:1px solid #888}\n"
    ".bars i{flex:1;background:#47a}.ends{display:flex;justify-content:space-between;max-width:40em;color:#666}\n"
    "</style>\n<h1>Corpus</h1>\n<main></main>\n<script type=\"application/json\" id=\"report\">";
static const char tail[] =
    "</script>\n<script>\n"
    "const report = JSON.parse(document.getElementById('report').textContent);\n"
    "const main = document.querySelector('main');\n"
    "const add = (to, name, text) => {\n"
    "  const e = document.createElement(name);\n"
    "  if (text !== undefined) e.textContent = text;\n"
    "  return to.appendChild(e);\n"
    "};\n"
    "const words = key => key.replaceAll('_', ' ');\n"
    "const number = v => typeof v !== 'number' ? v ?? '' : Number.isInteger(v) ? v.toLocaleString('en')\n"
    "  : Math.abs(v) >= 100 ? v.toFixed(0) : v.toPrecision(3);\n"
    "const table = (title, rows) => {\n"
    "  if (!rows.length) return;\n"
    "  add(main, 'h2', words(title));\n"
    "  const t = add(main, 'table');\n"
    "  for (const row of rows) {\n"
    "    const tr = add(t, 'tr');\n"
    "    for (const v of row) add(tr, 'td', number(v)).className = typeof v === 'number' ? 'n' : '';\n"
    "  }\n"
    "};\n"
    "const lists = Object.entries(report).filter(([, v]) => Array.isArray(v));\n"
    "table('in all', Object.entries(report).filter(([, v]) => typeof v !== 'object').map(([k, v]) => [words(k), v]));\n"
    "for (const [key, list] of lists) table(key, list.map(o => Object.values(o)));\n"
    "for (const [key, s] of Object.entries(report.spreads)) {\n"
    "  add(main, 'h2', words(key));\n"
    "  if (s === null) { add(main, 'p', 'not measured: this csm is built without libebur128'); continue; }\n"
    "  if (!s.n) { add(main, 'p', 'nothing to measure'); continue; }\n"
    "  const bars = add(main, 'div'), most = Math.max(...s.bins);\n"
    "  bars.className = 'bars';\n"
    "  for (const b of s.bins) add(bars, 'i').style.height = 100 * b / most + '%';\n"
    "  const ends = add(main, 'div');\n"
    "  ends.className = 'ends';\n"
    "  add(ends, 'span', number(s.lowest)); add(ends, 'span', number(s.highest));\n"
    "  add(main, 'p', ['min', 'p5', 'p50', 'mean', 'p95', 'max'].map(k => k + ' ' + number(s[k])).join(', '));\n"
    "}\n"
    "for (const [key, list] of Object.entries(report.extremes)) table(key, list.map(o => [o.id, o.value]));\n"
    "</script>\n</html>\n";
/* clang-format on */

/* A script's text ends at the first "</": in JSON it can be written otherwise. */
static bool write_json(const json_t *json, FILE *file)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
    bool is_written = text != NULL;
    for (const char *p = text; is_written && *p != '\0'; p++)
        is_written = *p == '<' ? fputs("\\u003c", file) >= 0 : putc(*p, file) != EOF;
    free(text);
    return is_written;
}

csm_status corpus_page(const json_t *json, const char *path, csm_error *err)
{
    char beside[4096];
    if (snprintf(beside, sizeof beside, "%s.part", path) >= (int)sizeof beside)
        return csm_fail(err, CSM_BAD_FILE, "%s: the path is too long", path);
    FILE *file = fopen(beside, "wb");
    if (file == NULL)
        return csm_fail(err, CSM_BAD_FILE, "%s: %s", beside, strerror(errno));
    bool is_written = fputs(head, file) >= 0 && write_json(json, file) && fputs(tail, file) >= 0;
    is_written = fclose(file) == 0 && is_written;
    if (is_written && rename(beside, path) == 0)
        return CSM_OK;
    csm_status st = csm_fail(err, CSM_BAD_FILE, "%s: %s", path, strerror(errno));
    remove(beside);
    return st;
}

csm_status corpus_print_json(const json_t *json, csm_error *err)
{
    const bool is_written = json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 &&
                            putchar('\n') != EOF && fflush(stdout) == 0;
    return is_written ? CSM_OK : csm_fail(err, CSM_BAD_FILE, "standard output: cannot be written");
}

static double number(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static void print_spread(const char *name, const json_t *s)
{
    if (json_is_null(s))
        printf("%-24s not measured: this csm is built without libebur128\n", name);
    else if (number(s, "n") > 0)
        printf("%-24s %9.3f %9.3f %9.3f %9.3f %9.3f\n", name, number(s, "min"), number(s, "p5"),
               number(s, "p50"), number(s, "p95"), number(s, "max"));
}

static void print_objects(const char *title, const json_t *list)
{
    size_t i;
    json_t *object, *value;
    const char *key;
    if (json_array_size(list) > 0)
        printf("\n%s\n", title);
    json_array_foreach(list, i, object)
    {
        json_object_foreach(object, key, value)
        {
            if (json_is_string(value))
                printf("  %s", json_string_value(value));
            else if (json_is_integer(value))
                printf("  %lld", (long long)json_integer_value(value));
            else if (json_is_real(value))
                printf("  %.3f", json_real_value(value));
            else
                printf("  (all others)");
        }
        putchar('\n');
    }
}

csm_status corpus_print(const json_t *json, csm_error *err)
{
    const char *key;
    json_t *value;
    printf("%s: %.0f items, %.1f s of sound\n%.0f spoken again, %.0f without sound, %.0f clipped, %.0f "
           "with the samples of another, %.0f files not whole\n",
           json_string_value(json_object_get(json, "corpus")), number(json, "items"),
           number(json, "seconds"), number(json, "retried"), number(json, "without_sound"),
           number(json, "clipped"), number(json, "duplicate_sounds"), number(json, "faults"));
    printf("\n%-24s %9s %9s %9s %9s %9s\n", "", "min", "p5", "p50", "p95", "max");
    json_object_foreach(json_object_get(json, "spreads"), key, value) print_spread(key, value);
    print_objects("endings: how, items, seconds", json_object_get(json, "endings"));
    print_objects("speakers: who, items, seconds", json_object_get(json, "speakers"));
    print_objects("files that are not whole", json_object_get(json, "first_faults"));
    print_objects("sounds that are another's: id, and whose by its line", json_object_get(json, "first_duplicates"));
    json_object_foreach(json_object_get(json, "extremes"), key, value) print_objects(key, value);
    return fflush(stdout) == 0 ? CSM_OK
                               : csm_fail(err, CSM_BAD_FILE, "standard output: cannot be written");
}
