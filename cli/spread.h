/* SPDX-License-Identifier: Apache-2.0
 *
 * spread.h - how numbers are spread, and the most extreme of them, in memory that does not grow
 * with how many there are. */
#ifndef CSM_CLI_SPREAD_H
#define CSM_CLI_SPREAD_H

#include <stdint.h>

#include <jansson.h>

enum { SPREAD_BINS = 60, EXTREMES = 10, EXTREME_ID_BYTES = 256 };

/* Zero but for lowest and highest, the edges of the bins; numbers beyond them are counted in the
 * first and the last. */
struct spread {
    double lowest, highest;
    uint64_t n, bins[SPREAD_BINS];
    double sum, min, max;
};

void spread_add(struct spread *spread, double value);

/* {"n", "min", "mean", "max", "p5", "p50", "p95", "lowest", "highest", "bins"}: percentiles to
 * within a bin; null where there is no number. */
json_t *spread_json(const struct spread *spread);

/* The largest numbers, and whose they are, equal ones by their ids; zero before. */
struct extremes {
    size_t n;
    struct extreme {
        double value;
        char id[EXTREME_ID_BYTES]; /* cut where it is longer */
    } items[EXTREMES];
};

void extremes_add(struct extremes *extremes, double value, const char *id);

/* [{"id", "value"}], the largest first; each value times `sign`. */
json_t *extremes_json(const struct extremes *extremes, double sign);

#endif
