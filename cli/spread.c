/* SPDX-License-Identifier: Apache-2.0 */
#include "spread.h"

#include <string.h>

void spread_add(struct spread *s, double value)
{
    const double at = (value - s->lowest) / (s->highest - s->lowest) * SPREAD_BINS;
    const int bin = at <= 0 ? 0 : at >= SPREAD_BINS ? SPREAD_BINS - 1 : (int)at;
    s->bins[bin]++;
    s->min = s->n == 0 || value < s->min ? value : s->min;
    s->max = s->n == 0 || value > s->max ? value : s->max;
    s->sum += value;
    s->n++;
}

/* The upper edge of the bin that the share's last number is in, within what was seen. */
static double percentile(const struct spread *s, double share)
{
    uint64_t n = 0;
    int bin = 0;
    for (; bin < SPREAD_BINS; bin++) {
        n += s->bins[bin];
        if ((double)n >= share * (double)s->n)
            break;
    }
    const double edge = s->lowest + (bin + 1) * (s->highest - s->lowest) / SPREAD_BINS;
    return edge < s->min ? s->min : edge > s->max || bin >= SPREAD_BINS - 1 ? s->max : edge;
}

json_t *spread_json(const struct spread *s)
{
    json_t *bins = json_array();
    for (int i = 0; i < SPREAD_BINS; i++)
        json_array_append_new(bins, json_integer((json_int_t)s->bins[i]));
    json_t *json = json_pack("{s:I, s:n, s:n, s:n, s:n, s:n, s:n, s:f, s:f, s:o}", "n",
                             (json_int_t)s->n, "min", "mean", "max", "p5", "p50", "p95", "lowest",
                             s->lowest, "highest", s->highest, "bins", bins);
    if (s->n == 0)
        return json;
    json_object_set_new(json, "min", json_real(s->min));
    json_object_set_new(json, "mean", json_real(s->sum / (double)s->n));
    json_object_set_new(json, "max", json_real(s->max));
    json_object_set_new(json, "p5", json_real(percentile(s, 0.05)));
    json_object_set_new(json, "p50", json_real(percentile(s, 0.5)));
    json_object_set_new(json, "p95", json_real(percentile(s, 0.95)));
    return json;
}

void extremes_add(struct extremes *e, double value, const char *id)
{
    size_t at = e->n;
    while (at > 0 && (e->items[at - 1].value < value ||
                      (!(e->items[at - 1].value > value) && strcmp(e->items[at - 1].id, id) > 0)))
        at--;
    if (at == EXTREMES)
        return;
    e->n += e->n < EXTREMES;
    memmove(&e->items[at + 1], &e->items[at], (e->n - 1 - at) * sizeof *e->items);
    e->items[at].value = value;
    size_t n = strlen(id);
    if (n >= sizeof e->items[at].id)
        for (n = sizeof e->items[at].id - 1; n > 0 && ((unsigned char)id[n] & 0xC0) == 0x80;)
            n--; /* between two characters */
    memcpy(e->items[at].id, id, n);
    e->items[at].id[n] = '\0';
}

json_t *extremes_json(const struct extremes *e, double sign)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "id", e->items[i].id, "value",
                                              sign * e->items[i].value));
    return list;
}
