/* SPDX-License-Identifier: Apache-2.0 */
#include "generate/code_rules.h"

#include <math.h>

static bool holds(const struct csm_code_set *set, size_t code)
{
    return (set->bits[code / 64] >> code % 64 & 1) != 0;
}

static size_t n_ids(const struct csm_rule_place *place)
{
    return place->n_codes > 0 ? place->n_codes + 1 : 0;
}

static size_t id_at(const struct csm_rule_place *place, size_t i)
{
    return i == 0 ? 0 : (size_t)place->codes[i - 1];
}

/* Each id once, however often it stands there. */
static void penalize(double repetition_penalty, const struct csm_rule_place *place, float *logits,
                     size_t vocab)
{
    const float penalty = (float)repetition_penalty;
    for (size_t i = 0; i < n_ids(place); i++) {
        const size_t id = id_at(place, i);
        bool is_done = id >= vocab;
        for (size_t j = 0; j < i; j++)
            is_done = is_done || id_at(place, j) == id;
        if (!is_done)
            logits[id] = logits[id] < 0.0f ? logits[id] * penalty : logits[id] / penalty;
    }
}

/* No code may follow the last n - 1 ids that followed the same ones before. */
static void forbid_repeats(size_t n, const struct csm_rule_place *place, float *logits,
                           size_t vocab)
{
    for (size_t end = n; end <= n_ids(place); end++) {
        const size_t before = end - n, last = n_ids(place) + 1 - n, next = id_at(place, end - 1);
        size_t n_equal = 0;
        while (n_equal < n - 1 && id_at(place, before + n_equal) == id_at(place, last + n_equal))
            n_equal++;
        if (n_equal == n - 1 && next < vocab)
            logits[next] = -INFINITY;
    }
}

void csm_code_rules_apply(const struct csm_code_rules *rules, const struct csm_rule_place *place,
                          float *logits, size_t vocab)
{
    if (rules->repetition_penalty != 1.0)
        penalize(rules->repetition_penalty, place, logits, vocab);
    if (rules->no_repeat_ngram > 0)
        forbid_repeats(rules->no_repeat_ngram, place, logits, vocab);
    for (size_t code = 0; code < vocab && code < CSM_CODE_SET; code++)
        if (holds(&rules->never, code) || (place->is_first && holds(&rules->not_at_first, code)))
            logits[code] = -INFINITY;
}
