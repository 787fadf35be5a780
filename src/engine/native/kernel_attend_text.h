/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel_attend_text.h - the text of attend with the registers of kernel_tiles_text.h, for
 * every table that has them. The sums of kernel_math.h's attend are chains, one
 * multiply-add waiting for the last: several are taken side by side, each as it is. Queries of
 * several heads over the same keys and values share what is loaded. */
enum { ATTEND_BLOCKS = 4, ATTEND_PARTS = 4, ATTEND_QUERIES = 4 };

/* The products of Q queries with 16 positions in each of N blocks; those of a query ld after the
 * ones of the query before. Meanwhile as much is asked for of what comes next: the same
 * blocks of the next head, if the caller knows it, since then these have been read before;
 * else the blocks after them, then the first values. */
__attribute__((always_inline)) static inline void
attend_dots(const float *q, const struct kv_view *kv, size_t first, size_t block, size_t end_block,
            const int Q, const int N, float *dots, size_t ld)
{
    const float *keys[ATTEND_BLOCKS], *next[ATTEND_BLOCKS];
    v16 sums[ATTEND_QUERIES][ATTEND_BLOCKS];
    for (int i = 0; i < N; i++) {
        size_t after = block + (size_t)(N + i);
        keys[i] = kv->pages[(block + (size_t)i) % kv->n_pages] + kv->keys;
        next[i] = kv->next != 0 ? keys[i] + kv->next
                  : after < end_block
                      ? kv->pages[after % kv->n_pages] + kv->keys
                      : kv->pages[(first / LANES + after - end_block) % kv->n_pages] + kv->values;
        for (int j = 0; j < Q; j++)
            sums[j][i] = all(0);
    }
    for (size_t d = 0; d < kv->head_dim; d++)
        for (int i = 0; i < N; i++) {
            __builtin_prefetch(next[i] + d * LANES, 0, 2);
            v16 key = load_whole(keys[i] + d * LANES);
            for (int j = 0; j < Q; j++)
                sums[j][i] = multiply_add(all(q[(size_t)j * kv->head_dim + d]), key, sums[j][i]);
        }
    for (int j = 0; j < Q; j++)
        for (int i = 0; i < N; i++)
            store_part(dots + (size_t)j * ld + (size_t)i * LANES, sums[j][i], LANES);
}

/* Of each of Q queries out[d] = sum of weights times values, for N parts of 16 from d on, page by
 * page; the weights of a query are ld after those of the query before. */
__attribute__((always_inline)) static inline void
attend_values(const float *weights, size_t ld, const struct kv_view *kv, size_t first, size_t end,
              size_t d, const int Q, const int N, float *out)
{
    v16 sums[ATTEND_QUERIES][ATTEND_PARTS];
    for (int j = 0; j < Q; j++)
        for (int i = 0; i < N; i++)
            sums[j][i] = all(0);
    for (size_t p = first; p < end;) {
        const size_t block = p / LANES, last = (block + 1) * LANES < end ? (block + 1) * LANES : end;
        const float *values = kv->pages[block % kv->n_pages] + kv->values + p % LANES * kv->head_dim + d;
        const float *next = kv->next != 0 ? values + kv->next
                                          : kv->pages[(block + ATTEND_BLOCKS) % kv->n_pages] +
                                                kv->values + p % LANES * kv->head_dim + d;
        for (; p < last; p++, values += kv->head_dim, next += kv->head_dim)
            for (int i = 0; i < N; i++) {
                __builtin_prefetch(next + i * LANES, 0, 2);
                v16 value = load_whole(values + i * LANES);
                for (int j = 0; j < Q; j++)
                    sums[j][i] = multiply_add(all(weights[(size_t)j * ld + p - first]), value,
                                              sums[j][i]);
            }
    }
    for (int j = 0; j < Q; j++)
        for (int i = 0; i < N; i++)
            store_part(out + (size_t)j * kv->head_dim + d + (size_t)i * LANES, sums[j][i], LANES);
}

/* Q queries; BLOCKS and PARTS: as many sums of each as registers hold. */
__attribute__((always_inline)) static inline void
attend_queries(const float *q, const struct kv_view *kv, size_t first, size_t end, float scale,
               const int Q, const int BLOCKS, const int PARTS, float *scores, float *out)
{
    const size_t dim = kv->head_dim, first_block = first / LANES;
    const size_t end_block = (end + LANES - 1) / LANES, ld = (end_block - first_block) * LANES;
    size_t b = first_block, d = 0;
    for (; b + (size_t)BLOCKS <= end_block; b += (size_t)BLOCKS)
        attend_dots(q, kv, first, b, end_block, Q, BLOCKS, scores + (b - first_block) * LANES, ld);
    for (; b < end_block; b++)
        attend_dots(q, kv, first, b, end_block, Q, 1, scores + (b - first_block) * LANES, ld);

    float inverse[ATTEND_QUERIES];
    for (int j = 0; j < Q; j++)
        inverse[j] = attend_weights(scores + (size_t)j * ld, first_block * LANES,
                                    end_block * LANES, first, end, scale);
    const float *weights = scores + first % LANES;
    for (; d + (size_t)PARTS * LANES <= dim; d += (size_t)PARTS * LANES)
        attend_values(weights, ld, kv, first, end, d, Q, PARTS, out);
    for (; d < dim; d += LANES)
        attend_values(weights, ld, kv, first, end, d, Q, 1, out);
    for (size_t i = 0; i < (size_t)Q * dim; i++)
        out[i] *= inverse[i / dim];
}

static void attend_fast(const float *q, size_t n, const struct kv_view *kv, size_t first, size_t end,
                        float scale, float *scores, float *out)
{
    const size_t dim = kv->head_dim;
    size_t i = 0;
    if (dim % LANES != 0) {
        attend(q, n, kv, first, end, scale, scores, out);
        return;
    }
    for (; i + ATTEND_QUERIES <= n; i += ATTEND_QUERIES)
        attend_queries(q + i * dim, kv, first, end, scale, ATTEND_QUERIES, TILES, TILES, scores,
                       out + i * dim);
    for (; i < n; i++)
        attend_queries(q + i * dim, kv, first, end, scale, 1, ATTEND_BLOCKS, ATTEND_PARTS, scores,
                       out + i * dim);
}
