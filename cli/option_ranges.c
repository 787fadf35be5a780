/* SPDX-License-Identifier: Apache-2.0 */
#include "option_ranges.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct range {
    const char *name;
    double lowest, highest;
    const char *expected;
} ranges[] = {
    {"speaker", 0, INT_MAX, "0 or more"},
    {"threads", 0, 1024, "0 (one per core) to 1024"},
    {"max-audio-length-ms", 1, INT_MAX, "1 or more"},
    {"min-audio-length-ms", 0, INT_MAX, "0 or more"},
    {"sample-rate", 8000, 48000, "8000 to 48000"},
    {"temperature", 0, 1e300, "0 (greedy) or more"},
    {"depth-temperature", 0, 1e300, "0 (greedy) or more"},
    {"topk", 0, INT_MAX, "0 (all) or more"},
    {"depth-topk", 0, INT_MAX, "0 (all) or more"},
    {"top-p", 1e-300, 1, "above 0, up to 1 (all)"},
    {"depth-top-p", 1e-300, 1, "above 0, up to 1 (all)"},
    {"min-p", 0, 1, "0 (all) to 1"},
    {"depth-min-p", 0, 1, "0 (all) to 1"},
};

static const struct range *find(const char *name)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (strcmp(ranges[i].name, name) == 0)
            return &ranges[i];
    return NULL;
}

bool options_are_in_range(const struct option_spec *options, const bool *given)
{
    for (size_t i = 0; options[i].name != NULL; i++) {
        const struct range *range = given[i] ? find(options[i].name) : NULL;
        if (range == NULL)
            continue;
        const double value = options[i].kind == OPTION_REAL ? *(const double *)options[i].value
                                                            : *(const int *)options[i].value;
        if (value >= range->lowest && value <= range->highest)
            continue;
        fprintf(stderr, "csm: --%s: %.9g, expected %s\n", options[i].name, value, range->expected);
        return false;
    }
    return true;
}
