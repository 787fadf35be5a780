/* SPDX-License-Identifier: Apache-2.0
 *
 * native_quantized.c - quantized matrices, as stored or quantized here, packed into the tiles
 * of kernels.h. A tile's codes are unpacked group by group, so that what is read lies
 * together and what is written stays in the first cache. */
#include <string.h>

#include "base/affine.h"
#include "base/numbers.h"
#include "engine/native/native.h"

/* Bytes: an odd number of bits and a group of 16 make no whole words. */
static const void *packed_of(const csm_weight *w, size_t row, size_t g)
{
    const struct csm_weight_source *s = &w->source;
    const size_t group = (size_t)s->group_size;
    return (const unsigned char *)s->tensor.data +
           (row * (w->cols / group) + g) * (group * (size_t)s->bits / 8);
}

/* The bits of 32 codes, or 16, from `shift` on, `bits` of them, as a plane has them. */
__attribute__((always_inline)) static inline void put_plane(unsigned char *plane, size_t r,
                                                            const uint8_t *codes, size_t columns,
                                                            const int bits, const int shift)
{
    const uint32_t mask = ((1u << bits) - 1) * 0x01010101u;
    const size_t n = 8 / (size_t)bits;
    for (size_t c = 0; c < columns; c += 4 * n, plane += 4 * CSM_TILE) {
        uint32_t word = 0;
        for (size_t q = 0; q < n; q++) {
            uint32_t four;
            memcpy(&four, codes + c + 4 * q, sizeof four);
            word |= (four >> shift & mask) << (size_t)bits * q;
        }
        memcpy(plane + 4 * r, &word, sizeof word);
    }
}

/* Codes below 2^bits, in one plane or two. */
__attribute__((always_inline)) static inline void put_group(unsigned char *block, size_t r,
                                                            const uint8_t *codes, size_t group,
                                                            const int bits)
{
    const int first = csm_first_plane(bits);
    const size_t columns = group < CSM_PLANE_COLUMNS ? group : CSM_PLANE_COLUMNS;
    for (size_t c = 0; c < group; c += CSM_PLANE_COLUMNS) {
        put_plane(block, r, codes + c, columns, first, 0);
        if (first < bits)
            put_plane(block + csm_code_bytes(first, CSM_PLANE_COLUMNS), r, codes + c, columns,
                      bits - first, first);
        block += csm_code_bytes(bits, CSM_PLANE_COLUMNS);
    }
}

/* Constant widths, so that the loops above are. Of 1 and 2 bits codes are never made here, and
 * stored ones are put_words'. */
static void put_codes(const struct affine_tiles *tiles, unsigned char *block, size_t r,
                      const uint8_t *codes)
{
    const size_t group = (size_t)tiles->group;
    switch (tiles->bits) {
    case 3:
        put_group(block, r, codes, group, 3);
        break;
    case 4:
        put_group(block, r, codes, group, 4);
        break;
    case 5:
        put_group(block, r, codes, group, 5);
        break;
    case 6:
        put_group(block, r, codes, group, 6);
        break;
    default:
        put_group(block, r, codes, group, 8);
    }
}

static void put_scales(const struct affine_tiles *tiles, unsigned char *block, size_t r,
                       float scale, float bias)
{
    unsigned char *at = block + csm_code_bytes(tiles->bits, tiles->group);
    if (tiles->wide_scales) {
        ((float *)(void *)at)[r] = scale;
        ((float *)(void *)at)[CSM_TILE + r] = bias;
    } else {
        ((uint16_t *)(void *)at)[r] = csm_to_bf16(scale);
        ((uint16_t *)(void *)at)[CSM_TILE + r] = csm_to_bf16(bias);
    }
}

/* Exchange what the mask has with what lies `distance` bits above it. */
static inline uint32_t exchange(uint32_t x, uint32_t mask, int distance)
{
    const uint32_t differs = (x ^ x >> distance) & mask;
    return x ^ differs ^ differs << distance;
}

/* Codes of one plane: a packed word is a word of the plane with its codes in another order.
 * Code c of it comes to byte c % 4. */
static inline uint32_t in_order_of_plane(uint32_t word, int bits)
{
    switch (bits) {
    case 4:
        word = exchange(word, 0x0000ff00, 8);
        return exchange(word, 0x00f000f0, 4);
    case 2:
        word = exchange(word, 0x0000f0f0, 12);
        return exchange(word, 0x00cc00cc, 6);
    case 1: /* bits k2 k1 k0 i1 i0 of a place become i1 i0 k2 k1 k0 */
        word = exchange(word, 0x0000cccc, 14);
        word = exchange(word, 0x00aa00aa, 7);
        word = exchange(word, 0x0c0c0c0c, 2);
        return exchange(word, 0x22222222, 1);
    default:
        return word;
    }
}

__attribute__((always_inline)) static inline void
put_words(unsigned char *block, size_t r, const uint32_t *words, size_t n, const int bits)
{
    uint32_t ordered[CSM_MOST_GROUP / 4]; /* a loop of its own, which is vectorised */
    for (size_t i = 0; i < n; i++)
        ordered[i] = in_order_of_plane(words[i], bits);
    for (size_t i = 0; i < n; i++)
        memcpy(block + i * 4 * CSM_TILE + 4 * r, &ordered[i], sizeof ordered[i]);
}

/* Codes as they are stored, in so many bits. */
static void put_packed(const struct affine_tiles *tiles, unsigned char *block, size_t r,
                       const void *words, int bits)
{
    const size_t n = (size_t)(tiles->group * tiles->bits) / 32;
    uint8_t codes[CSM_MOST_GROUP];
    switch (bits == tiles->bits ? bits : 0) {
    case 8:
        put_words(block, r, words, n, 8);
        break;
    case 4:
        put_words(block, r, words, n, 4);
        break;
    case 2:
        put_words(block, r, words, n, 2);
        break;
    case 1:
        put_words(block, r, words, n, 1);
        break;
    default:
        csm_affine_unpack(words, (size_t)tiles->group, bits, codes);
        put_codes(tiles, block, r, codes);
    }
}

/* Group g of rows of floats, to be quantized; made: these rows, if they are made as they are
 * read. */
static void put_floats(const csm_weight *w, size_t row, size_t n_rows, size_t g, const float *made,
                       unsigned char *block)
{
    const size_t group = (size_t)w->tiles.group;
    uint8_t codes[CSM_MOST_GROUP];
    float values[CSM_TILE][CSM_MOST_GROUP], scale, bias;
    if (made == NULL)
        csm_native_source_floats(w, row, n_rows, g * group, group, values[0], CSM_MOST_GROUP);
    for (size_t r = 0; r < n_rows; r++) {
        if (made != NULL)
            memcpy(values[r], made + r * w->cols + g * group, group * sizeof *made);
        csm_native_quantize_group(w, values[r], codes, &scale, &bias);
        put_codes(&w->tiles, block, r, codes);
        put_scales(&w->tiles, block, r, scale, bias);
    }
}

/* As stored. */
static void put_stored(const csm_weight *w, size_t row, size_t g, unsigned char *tile)
{
    const struct csm_weight_source *s = &w->source;
    const size_t at = row * w->tiles.n_groups + g, r = row % CSM_TILE;
    const size_t block_bytes = w->tiles.block_bytes;
    if (s->format == CSM_WEIGHT_AFFINE) {
        unsigned char *block = tile + g * block_bytes;
        put_packed(&w->tiles, block, r, packed_of(w, row, g), s->bits);
        if (w->tiles.wide_scales) {
            put_scales(&w->tiles, block, r, csm_element(&s->scales, at),
                       csm_element(&s->biases, at));
        } else { /* both are bfloat16 */
            uint16_t *scales =
                (uint16_t *)(void *)(block + csm_code_bytes(w->tiles.bits, w->tiles.group));
            scales[r] = ((const uint16_t *)s->scales.data)[at];
            scales[CSM_TILE + r] = ((const uint16_t *)s->biases.data)[at];
        }
    } else {
        put_packed(&w->tiles, tile + csm_codes_at(g, block_bytes), r, packed_of(w, row, g),
                   s->bits);
        tile[csm_scales_at(g, block_bytes) + r] = ((const uint8_t *)s->scales.data)[at];
    }
}

size_t csm_native_affine_shape(csm_weight *w)
{
    struct affine_tiles *tiles = &w->tiles;
    const struct csm_weight_source *s = &w->source;
    const bool has_floats = s->format == CSM_WEIGHT_FLOAT;
    const csm_dtype scales = has_floats ? s->tensor.dtype : s->scales.dtype;
    const csm_dtype biases = has_floats ? scales : s->biases.dtype;
    tiles->format = has_floats ? CSM_WEIGHT_AFFINE : s->format;
    tiles->n_groups = w->cols / (size_t)tiles->group;
    tiles->block_bytes = csm_code_bytes(tiles->bits, tiles->group);
    if (tiles->format == CSM_WEIGHT_AFFINE) {
        /* bfloat16 holds scales of bfloat16 checkpoints, and those made of float32. */
        tiles->wide_scales = has_floats ? scales == CSM_DTYPE_F16
                                        : scales != CSM_DTYPE_BF16 || biases != CSM_DTYPE_BF16;
        tiles->block_bytes += 2 * CSM_TILE * (tiles->wide_scales ? 4 : 2);
        tiles->tile_bytes = tiles->n_groups * tiles->block_bytes;
    } else {
        tiles->tile_bytes = csm_scaled_tile_bytes(tiles->n_groups, tiles->block_bytes);
    }
    return (w->rows + CSM_TILE - 1) / CSM_TILE * tiles->tile_bytes;
}

/* Rows of a tile that the matrix has; missing ones are zero. */
static size_t begin_tile(const csm_weight *w, size_t tile, unsigned char *to, size_t n_bytes)
{
    const size_t n = w->rows - tile * CSM_TILE;
    if (n >= CSM_TILE)
        return CSM_TILE;
    memset(to, 0, n_bytes);
    return n;
}

void csm_native_affine_tile(const csm_weight *w, size_t tile, unsigned char *to, float *room)
{
    const struct affine_tiles *tiles = &w->tiles;
    const struct csm_made_rows *made = w->source.made;
    const bool has_floats = w->source.format == CSM_WEIGHT_FLOAT;
    const size_t first = tile * CSM_TILE;
    const size_t n_rows = begin_tile(w, tile, to, tiles->tile_bytes);
    for (size_t r = 0; made != NULL && r < n_rows; r += CSM_MADE_AT_ONCE) {
        const size_t n = n_rows - r < CSM_MADE_AT_ONCE ? n_rows - r : CSM_MADE_AT_ONCE;
        csm_tensor rows = w->source.tensor;
        rows.data = csm_native_made_rows(w, first + r, n, room + CSM_TILE * w->cols);
        (void)csm_tensor_floats(&rows, 0, n * w->cols, room + r * w->cols);
    }
    for (size_t g = 0; g < tiles->n_groups; g++) {
        if (has_floats)
            put_floats(w, first, n_rows, g, made != NULL ? room : NULL,
                       to + g * tiles->block_bytes);
        for (size_t r = 0; !has_floats && r < n_rows; r++)
            put_stored(w, first + r, g, to);
    }
}

void csm_native_e4m3_tile(const csm_weight *w, size_t tile, unsigned char *to)
{
    const size_t n_groups = w->e4m3.n_groups;
    const size_t n_rows = begin_tile(w, tile, to, csm_e4m3_tile_bytes(n_groups));
    for (size_t g = 0; g < n_groups; g++)
        for (size_t r = 0; r < n_rows; r++) {
            const size_t row = tile * CSM_TILE + r;
            const uint8_t *codes = packed_of(w, row, g);
            unsigned char *block = to + csm_codes_at(g, CSM_E4M3_BLOCK);
            for (size_t c = 0; c < CSM_E4M3_GROUP; c++)
                block[c * CSM_TILE + r] = codes[c];
            to[csm_scales_at(g, CSM_E4M3_BLOCK) + r] =
                ((const uint8_t *)w->source.scales.data)[row * n_groups + g];
        }
}
