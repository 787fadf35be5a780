/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_attend_text.h - the text of attend with the registers of kernel_tiles_text.h, for
 * every table that has them. The sums of kernel_math.h's attend are chains, one
 * multiply-add waiting for the last: several are taken side by side, each as it is. */
enum { ATTEND_BLOCKS = 4, ATTEND_PARTS = 4 };

/* The products of q with 16 positions in each of N blocks. Meanwhile as much is asked for of
 * what comes next: the same blocks of the next head, if the caller knows it, since then
 * these have been read before; else the blocks after them, then the first values. */
__attribute__((always_inline)) static inline void
attend_dots(const float *q, const struct kv_view *kv, size_t first, size_t block, size_t end_block,
            const int N, float *dots)
{
    const float *keys[ATTEND_BLOCKS], *next[ATTEND_BLOCKS];
    v16 sums[ATTEND_BLOCKS];
    for (int i = 0; i < N; i++) {
        size_t after = block + (size_t)(N + i);
        keys[i] = kv->pages[(block + (size_t)i) % kv->n_pages] + kv->keys;
        next[i] = kv->next != 0 ? keys[i] + kv->next
                  : after < end_block
                      ? kv->pages[after % kv->n_pages] + kv->keys
                      : kv->pages[(first / LANES + after - end_block) % kv->n_pages] + kv->values;
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

/* out[d] = sum of weights times values, for N parts of 16 from d on, page by page. */
__attribute__((always_inline)) static inline void
attend_values(const float *weights, const struct kv_view *kv, size_t first, size_t end, size_t d,
              const int N, float *out)
{
    v16 sums[ATTEND_PARTS];
    for (int i = 0; i < N; i++)
        sums[i] = all(0);
    for (size_t p = first; p < end;) {
        const size_t block = p / LANES, last = (block + 1) * LANES < end ? (block + 1) * LANES : end;
        const float *values = kv->pages[block % kv->n_pages] + kv->values + p % LANES * kv->head_dim + d;
        const float *next = kv->next != 0 ? values + kv->next
                                          : kv->pages[(block + ATTEND_BLOCKS) % kv->n_pages] +
                                                kv->values + p % LANES * kv->head_dim + d;
        for (; p < last; p++, values += kv->head_dim, next += kv->head_dim) {
            v16 weight = all(weights[p - first]);
            for (int i = 0; i < N; i++) {
                __builtin_prefetch(next + i * LANES, 0, 2);
                sums[i] = multiply_add(weight, load_whole(values + i * LANES), sums[i]);
            }
        }
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
