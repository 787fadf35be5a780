/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_attend_text.h - the text of attend with the registers of kernel_tiles_text.h, for
 * every table that has them. The sums of kernel_math.h's attend are chains, one
 * multiply-add waiting for the last: several are taken side by side, each as it is. */
enum { ATTEND_BLOCKS = 4, ATTEND_PARTS = 4, VALUES_AHEAD = ATTEND_BLOCKS * LANES };

/* The products of q with 16 positions in each of N blocks. Meanwhile as much is asked for of
 * what comes next: the same blocks of the next head, if the caller knows it, since then
 * these have been read before; else the blocks after them, then the first values. */
__attribute__((always_inline)) static inline void
attend_dots(const float *q, const struct kv_view *kv, size_t first, size_t block, size_t end_block,
            const int N, float *dots)
{
    const float *keys[ATTEND_BLOCKS], *next[ATTEND_BLOCKS];
    v16 sums[ATTEND_BLOCKS];
    size_t each = kv->head_dim * LANES;
    for (int i = 0; i < N; i++) {
        size_t after = block + (size_t)(N + i);
        keys[i] = kv->keys + (block + (size_t)i) % kv->n_blocks * each;
        next[i] = kv->next != 0 ? keys[i] + kv->next
                  : after < end_block
                      ? kv->keys + after % kv->n_blocks * each
                      : kv->values + (first / LANES + after - end_block) % kv->n_blocks * each;
        sums[i] = all(0);
    }
    for (size_t d = 0; d < kv->head_dim; d++) {
        v16 one = all(q[d]);
        for (int i = 0; i < N; i++) {
            __builtin_prefetch(next[i] + d * LANES, 0, 2);
            sums[i] = multiply_add(one, load_whole(keys[i] + d * LANES), sums[i]);
        }
    }
    for (int i = 0; i < N; i++)
        store_part(dots + i * LANES, sums[i], LANES);
}

/* out[d] = sum of weights times values, for N parts of 16 from d on. */
__attribute__((always_inline)) static inline void
attend_values(const float *weights, const struct kv_view *kv, size_t first, size_t end, size_t d,
              const int N, float *out)
{
    size_t n_slots = kv->n_blocks * LANES;
    size_t ahead = kv->next != 0 ? kv->next : VALUES_AHEAD * kv->head_dim;
    v16 sums[ATTEND_PARTS];
    for (int i = 0; i < N; i++)
        sums[i] = all(0);
    for (size_t p = first, slot = first % n_slots; p < end; p++) {
        v16 weight = all(weights[p - first]);
        const float *values = kv->values + slot * kv->head_dim + d;
        const float *next = values + ahead;
        for (int i = 0; i < N; i++) {
            __builtin_prefetch(next + i * LANES, 0, 2);
            sums[i] = multiply_add(weight, load_whole(values + i * LANES), sums[i]);
        }
        slot = slot + 1 == n_slots ? 0 : slot + 1;
    }
    for (int i = 0; i < N; i++)
        store_part(out + d + i * LANES, sums[i], LANES);
}

static void attend_fast(const float *q, const struct kv_view *kv, size_t first, size_t end,
                        float scale, float *scores, float *out)
{
    size_t dim = kv->head_dim;
    if (dim % LANES != 0) {
        attend(q, kv, first, end, scale, scores, out);
        return;
    }
    size_t first_block = first / LANES, end_block = (end + LANES - 1) / LANES, b = first_block;
    for (; b + ATTEND_BLOCKS <= end_block; b += ATTEND_BLOCKS)
        attend_dots(q, kv, first, b, end_block, ATTEND_BLOCKS,
                    scores + (b - first_block) * LANES);
    for (; b < end_block; b++)
        attend_dots(q, kv, first, b, end_block, 1, scores + (b - first_block) * LANES);

    const float *weights = scores + first % LANES;
    float inverse = attend_weights(scores, first_block * LANES, end_block * LANES, first, end, scale);
    size_t d = 0;
    for (; d + ATTEND_PARTS * LANES <= dim; d += ATTEND_PARTS * LANES)
        attend_values(weights, kv, first, end, d, ATTEND_PARTS, out);
    for (; d < dim; d += LANES)
        attend_values(weights, kv, first, end, d, 1, out);
    for (d = 0; d < dim; d++)
        out[d] *= inverse;
}
