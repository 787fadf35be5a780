/* SPDX-License-Identifier: Apache-2.0
 *
 * amx_tiles.h - AMX's tiles over AVX-512's dot products, for processors that have none: included
 * before kernels_amx.c, whose intrinsics it takes the place of. A tile that was not configured, or
 * shapes that do not fit each other, end the program, as they fault on a processor that has them.
 *
 * TILELOADD, TDPBSUD, ...: Intel 64 and IA-32 Architectures SDM, volume 2, and the Architecture
 * Instruction Set Extensions reference, chapter 3. */
#ifdef __linux__
#define _GNU_SOURCE /* as kernels_amx.c has it */
#endif
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { N_TILES = 8, TILE_ROWS = 16, TILE_LINE = 64 };

static struct {
    size_t rows, row_bytes;
    unsigned char at[TILE_ROWS][TILE_LINE];
} tile_file[N_TILES];

static inline void expect_tiles(bool is_right)
{
    if (!is_right)
        abort();
}

static inline void configure_tiles(const unsigned char *operand)
{
    enum { ROW_BYTES = 16, ROWS = 48 };
    expect_tiles(operand[0] == 1);
    memset(tile_file, 0, sizeof tile_file);
    for (int i = 0; i < N_TILES; i++) {
        tile_file[i].rows = operand[ROWS + i];
        tile_file[i].row_bytes = operand[ROW_BYTES + 2 * i] | (size_t)operand[ROW_BYTES + 2 * i + 1] << 8;
        expect_tiles(tile_file[i].rows <= TILE_ROWS && tile_file[i].row_bytes <= TILE_LINE);
    }
}

static inline void zero_tile(int i)
{
    expect_tiles(tile_file[i].rows > 0);
    memset(tile_file[i].at, 0, sizeof tile_file[i].at);
}

static inline void load_tile(int i, const void *from, size_t apart)
{
    zero_tile(i);
    for (size_t r = 0; r < tile_file[i].rows; r++)
        memcpy(tile_file[i].at[r], (const char *)from + r * apart, tile_file[i].row_bytes);
}

static inline void store_tile(int i, void *to, size_t apart)
{
    expect_tiles(tile_file[i].rows > 0);
    for (size_t r = 0; r < tile_file[i].rows; r++)
        memcpy((char *)to + r * apart, tile_file[i].at[r], tile_file[i].row_bytes);
}

/* Each sum of 32 bits += four products of a signed byte of a and an unsigned one of b. */
static inline void add_products(int sums, int a, int b)
{
    expect_tiles(tile_file[a].rows == tile_file[sums].rows && tile_file[a].row_bytes == 4 * tile_file[b].rows &&
                 tile_file[b].row_bytes == tile_file[sums].row_bytes && tile_file[b].rows > 0);
    for (size_t r = 0; r < tile_file[a].rows; r++) {
        __m512i row = _mm512_loadu_si512(tile_file[sums].at[r]);
        for (size_t k = 0; k < tile_file[b].rows; k++) {
            int32_t four;
            memcpy(&four, tile_file[a].at[r] + 4 * k, sizeof four);
            row = _mm512_dpbusd_epi32(row, _mm512_loadu_si512(tile_file[b].at[k]), _mm512_set1_epi32(four));
        }
        _mm512_storeu_si512(tile_file[sums].at[r], row);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbsud
#define _tile_loadconfig(operand) configure_tiles((const void *)(operand))
#define _tile_release() memset(tile_file, 0, sizeof tile_file)
#define _tile_zero(i) zero_tile(i)
#define _tile_loadd(i, from, apart) load_tile(i, from, apart)
#define _tile_stored(i, to, apart) store_tile(i, to, apart)
#define _tile_dpbsud(sums, a, b) add_products(sums, a, b)
