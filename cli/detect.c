/* SPDX-License-Identifier: Apache-2.0
 *
 * detect.c - csm detect: whether files of sound carry the mark, where, and what it says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include <csm/audio.h>
#include <csm/mark.h>
#include <csm/remarks.h>

#include "command.h"
#include "json_shown.h"
#include "marking.h"
#include "options.h"

static const char help[] =
    "usage: csm detect FILE... [--mark-key F] [--fixed-speed] [--json]\n"
    "Whether sound, of any format and rate, carries the mark of generated speech, where in\n"
    "it, and what the mark says. Exit code 0: all files are marked; 1: one is not; 3: one\n"
    "cannot be read.\n\n"
    "  --mark-key F   a private key, 64 hexadecimal digits; default: the public key\n"
    "  --fixed-speed  only at the speed that it was marked at: faster\n"
    "  --json         one JSON object on standard output\n";

enum { RATE_HZ = 24000 };

static csm_status look(const char *path, const csm_mark_options *options, csm_detector **detector,
                       csm_error *err)
{
    float *samples = NULL;
    size_t n = 0;
    csm_remark remark;
    csm_status st = csm_audio_read_told(path, RATE_HZ, CSM_RESAMPLER_SOXR, HUGE_VAL, &samples, &n,
                                        &remark, err);
    if (st == CSM_OK && remark.code[0] != '\0')
        fprintf(stderr, "csm: %s\n", remark.text);
    if (st == CSM_OK)
        st = csm_detector_open(options, detector, err);
    if (st == CSM_OK)
        st = csm_detector_push(*detector, samples, n, err);
    csm_free(samples);
    return st;
}

static void print(const char *path, const csm_mark_found *found, size_t n, double p_value)
{
    if (n == 0)
        printf("%s: not marked (p %.2g)\n", path, p_value);
    for (size_t i = 0; i < n; i++) {
        const csm_mark_found *f = &found[i];
        printf("%s: marked, %.1f to %.1f s, p at most %.2g, speed %.3f", path, f->start_s, f->end_s,
               f->p_value, f->speed);
        if (f->has_payload)
            printf(", maker %d%s, model %04x, free bits %d\n", f->payload.maker,
                   f->payload.maker == CSM_MARK_MAKER_CSM ? " (csm)" : "", f->payload.model,
                   f->payload.free_bits);
        else
            printf(", payload not readable\n");
    }
}

static json_t *found_json(const csm_mark_found *f)
{
    json_t *payload = f->has_payload ? json_pack("{s:i, s:i, s:i}", "maker", f->payload.maker,
                                                 "model", f->payload.model, "free_bits",
                                                 f->payload.free_bits)
                                     : json_null();
    return json_pack("{s:f, s:f, s:f, s:f, s:o}", "start_s", f->start_s, "end_s", f->end_s,
                     "p_value", f->p_value, "speed", f->speed, "payload", payload);
}

/* One file: its exit code, and its line or its object in files. */
static int detect(const char *path, const csm_mark_options *options, json_t *files)
{
    csm_detector *detector = NULL;
    const csm_mark_found *found = NULL;
    size_t n = 0;
    double p_value = 1;
    csm_error err;
    csm_status st = look(path, options, &detector, &err);
    if (st == CSM_OK)
        st = csm_detector_result(detector, &found, &n, &p_value, &err);
    int code = n > 0 ? EXIT_OK : EXIT_CHECK_FAILED;
    if (st != CSM_OK) {
        code = report(st, &err);
        if (files != NULL)
            json_array_append_new(files, json_pack("{s:o, s:s}", "file", json_shown(path), "error",
                                                   err.text));
    } else if (files == NULL) {
        print(path, found, n, p_value);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, found_json(&found[i]));
        json_array_append_new(files, json_pack("{s:o, s:b, s:f, s:o}", "file", json_shown(path), "marked",
                                               n > 0, "p_value", p_value, "found", list));
    }
    csm_detector_close(detector);
    return code;
}

static int detect_all(const char **paths, const csm_mark_options *options, bool is_json)
{
    json_t *files = is_json ? json_array() : NULL;
    int worst = EXIT_OK;
    for (size_t i = 0; paths[i] != NULL; i++) {
        const int code = detect(paths[i], options, files);
        worst = code > worst ? code : worst;
    }
    if (!is_json)
        return worst;
    json_t *all = json_pack("{s:o}", "files", files);
    const bool failed = all == NULL ||
                        json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0 ||
                        putchar('\n') == EOF;
    json_decref(all);
    if (failed)
        fputs("csm: --json: standard output cannot be written\n", stderr);
    return failed ? EXIT_REFUSED : worst;
}

int run_detect(int argc, char **argv)
{
    struct marking marking = {.key_file = NULL};
    bool is_json = false, fixed_speed = false;
    const struct option_spec table[] = {
        {"mark-key", OPTION_IN, &marking.key_file},
        {"fixed-speed", OPTION_FLAG, &fixed_speed},
        {"json", OPTION_FLAG, &is_json},
        {NULL, OPTION_FLAG, NULL},
    };
    const char **paths = calloc((size_t)argc + 1, sizeof *paths);
    csm_error err;
    if (paths == NULL)
        return report(csm_fail(&err, CSM_NO_MEMORY, "csm detect: out of memory"), &err);
    int code;
    enum parsed parsed = parse_options(argc, argv, table, help, paths, (size_t)argc);
    csm_status st;
    if (parsed != PARSED) {
        code = parsed == PARSED_HELP ? EXIT_OK : EXIT_USAGE;
    } else if (paths[0] == NULL) {
        code = report(csm_fail(&err, CSM_BAD_ARG, "no file to look at, expected csm detect FILE..."), &err);
    } else if ((st = marking_read(&marking, &err)) != CSM_OK) {
        code = report(st, &err);
    } else {
        csm_mark_options options = marking_options(&marking, RATE_HZ, NULL);
        options.fixed_speed = fixed_speed;
        code = detect_all(paths, &options, is_json);
    }
    free(paths);
    return code;
}
