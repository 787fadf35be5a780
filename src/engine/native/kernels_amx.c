/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_amx.c - affine products of many rows by AMX's tiles of bytes.
 *
 * A product of a group is a sum of integers, exact in any order: so tiles may add them
 * as they like, and what follows, group after group, is what kernel_avx512_text.h does. A
 * tile of x is 16 rows of one plane of digits; a tile of codes is the 16 rows of a
 * matrix tile, for 64 columns, four columns of each row in 4 bytes, which is how blocks
 * of 8 bits lie and how those of 4 bits are unpacked.
 *
 * A tile is loaded only from lines that have reached the first cache: one that was just
 * stored stops the pipeline. So a stretch of groups is done in passes: its codes are
 * unpacked, its tiles are multiplied, its sums become floats; and a stretch is so short
 * that what passes between them stays in the first cache. Two groups at a time have tiles
 * of their own, so that one multiplies while the other is loaded or stored.
 *
 * TDPBSUD, TILELOADD, ...: Intel 64 and IA-32 Architectures SDM, volume 2, and the
 * Architecture Instruction Set Extensions reference, chapter 3. */
#ifdef __linux__
#define _GNU_SOURCE /* syscall */
#endif
#include "engine/native/kernels_amx.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    TILE_X = 16,     /* rows of x in a tile */
    CHUNKS = 4,      /* tiles of x that are packed together */
    STRIP = 1024,    /* columns of them */
    STRETCH = 512,   /* columns that are done at a time */
    MOST_GROUPS = 8, /* of a stretch */
    LINE = 64,       /* bytes, columns of a tile */
    X_ROOM = STRIP + LINE, /* rows apart by no power of two: other cache sets */
};

bool csm_has_amx(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ASK_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    const unsigned tile = 1u << 24, int8 = 1u << 25;
    if ((d & tile) == 0 || (d & int8) == 0)
        return false;
    return syscall(SYS_arch_prctl, ASK_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

/* The operand of LDTILECFG. */
struct tile_config {
    uint8_t palette, start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Tiles: sums of the low and the high plane of two groups, both planes of x, codes of two
 * groups. Macros, since the compiler's intrinsics make text of them. */
#define LOW0 0
#define HIGH0 1
#define LOW1 2
#define HIGH1 3
#define X_LOW 4
#define X_HIGH 5
#define CODES0 6
#define CODES1 7

/* The intrinsics do not tell the compiler that they read memory. */
static inline void memory_is_written(void)
{
    __asm__ volatile("" ::: "memory");
}

/* n rows of x in a tile, `width` columns. */
static void configure(size_t n, size_t width)
{
    _Alignas(64) struct tile_config config = {.palette = 1};
    for (int i = LOW0; i <= X_HIGH; i++) {
        config.rows[i] = (uint8_t)n;
        config.row_bytes[i] = (uint16_t)(i < X_LOW ? LINE : width);
    }
    for (int i = CODES0; i <= CODES1; i++) {
        config.rows[i] = (uint8_t)(width / 4);
        config.row_bytes[i] = LINE;
    }
    memory_is_written();
    _tile_loadconfig(&config);
}

typedef int8_t packed_rows[CSM_PLANES][TILE_X][X_ROOM];

/* 32 or 64 columns of digits, low and high ones in turns of 8, as two lines. */
static inline void pack_32(const int8_t *from, int8_t *low, int8_t *high)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i both = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from));
    _mm256_storeu_si256((__m256i *)(void *)low, _mm512_castsi512_si256(both));
    _mm256_storeu_si256((__m256i *)(void *)high, _mm512_extracti64x4_epi64(both, 1));
}
static inline void pack_64(const int8_t *from, int8_t *low, int8_t *high)
{
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    __m512i first = _mm512_loadu_si512(from), second = _mm512_loadu_si512(from + LINE);
    _mm512_store_si512(low, _mm512_permutex2var_epi64(first, even, second));
    _mm512_store_si512(high, _mm512_permutex2var_epi64(first, odd, second));
}

/* n rows of digits, `cols` columns of each: plane after plane. */
static void pack(const int8_t *planes, size_t row_bytes, size_t n, size_t cols, packed_rows packed)
{
    for (size_t t = 0; t < n; t++, planes += row_bytes) {
        size_t c = 0;
        for (; c + LINE <= cols; c += LINE)
            pack_64(planes + CSM_PLANES * c, packed[0][t] + c, packed[1][t] + c);
        if (c < cols)
            pack_32(planes + CSM_PLANES * c, packed[0][t] + c, packed[1][t] + c);
    }
}

/* Codes of 4 bits, n bytes of them, as bytes. */
static void unpack(const unsigned char *codes, size_t n, unsigned char *to)
{
    const __m512i mask = _mm512_set1_epi8(15);
    for (size_t b = 0; b < n; b += LINE, to += 2 * LINE) {
        __m512i both = _mm512_loadu_si512(codes + b);
        _mm512_store_si512(to, _mm512_and_si512(both, mask));
        _mm512_store_si512(to + LINE, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
}

/* The integer sums of one group, of both planes. */
typedef int32_t group_sums[CSM_PLANES][TILE_X][CSM_TILE];

/* The sums of one group: x from column `col` of packed on, times its codes. */
#define MULTIPLY(LOW, HIGH, CODES, codes, col)                                                     \
    do {                                                                                           \
        _tile_zero(LOW);                                                                           \
        _tile_zero(HIGH);                                                                          \
        for (size_t c = 0; c < group; c += width) {                                                \
            _tile_loadd(CODES, (codes) + c * CSM_TILE, LINE);                                      \
            _tile_loadd(X_LOW, packed[0][0] + (col) + c, X_ROOM);                                  \
            _tile_dpbsud(LOW, X_LOW, CODES);                                                       \
            _tile_loadd(X_HIGH, packed[1][0] + (col) + c, X_ROOM);                                 \
            _tile_dpbsud(HIGH, X_HIGH, CODES);                                                     \
        }                                                                                          \
    } while (0)

/* All groups of a stretch; the codes of one begin code_step after those of the one before. */
static void multiply(const unsigned char *codes, size_t code_step, size_t n_groups, size_t group,
                     size_t width, packed_rows packed, size_t col, group_sums *sums)
{
    for (size_t g = 0; g < n_groups; g += 2, codes += 2 * code_step, col += 2 * group) {
        MULTIPLY(LOW0, HIGH0, CODES0, codes, col);
        if (g + 1 < n_groups)
            MULTIPLY(LOW1, HIGH1, CODES1, codes + code_step, col + group);
        _tile_stored(LOW0, sums[g][0], LINE);
        _tile_stored(HIGH0, sums[g][1], LINE);
        if (g + 1 < n_groups) {
            _tile_stored(LOW1, sums[g + 1][0], LINE);
            _tile_stored(HIGH1, sums[g + 1][1], LINE);
        }
    }
}

static inline __m512 load_scales(const unsigned char *at, bool is_wide)
{
    if (is_wide)
        return _mm512_loadu_ps((const float *)(const void *)at);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* y += scale * dot + bias * sum, group after group, of X rows from row t of x on: the steps
 * of add_group in kernel_avx512_text.h. `scales`: those of block `from`, the first one. */
__attribute__((always_inline)) static inline void
add_groups(const struct affine_tiles *w, const unsigned char *scales, size_t n_groups,
           group_sums *sums, const struct digits *x, size_t from, size_t t, float *y, size_t ldy,
           __mmask16 mask, const int X)
{
    __m512 accs[8];
    for (int i = 0; i < X; i++)
        accs[i] = from == 0 ? _mm512_setzero_ps()
                            : _mm512_maskz_loadu_ps(mask, y + (size_t)i * ldy);
    for (size_t g = 0; g < n_groups; g++, scales += w->block_bytes) {
        __m512 scale = load_scales(scales, w->wide_scales);
        __m512 bias = load_scales(scales + (w->wide_scales ? 64 : 32), w->wide_scales);
        const size_t row = t % TILE_X;
        for (int i = 0; i < X; i++) {
            const size_t at = (t + (size_t)i) * w->n_groups + from + g;
            __m512i low = _mm512_load_si512(sums[g][0][row + (size_t)i]);
            __m512i high = _mm512_load_si512(sums[g][1][row + (size_t)i]);
            __m512i total = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
            __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(total), _mm512_set1_ps(x->steps[at]));
            accs[i] = _mm512_fmadd_ps(scale, dot, accs[i]);
            accs[i] = _mm512_fmadd_ps(bias, _mm512_set1_ps(x->sums[at]), accs[i]);
        }
    }
    for (int i = 0; i < X; i++)
        _mm512_mask_storeu_ps(y + (size_t)i * ldy, mask, accs[i]);
}

/* What one call works with, a thread's. */
struct work {
    _Alignas(LINE) packed_rows packed[CHUNKS];
    _Alignas(LINE) unsigned char room[STRETCH * CSM_TILE]; /* codes of 4 bits, unpacked */
    _Alignas(LINE) group_sums sums[MOST_GROUPS];
    const struct affine_tiles *w;
    size_t group, width, code_bytes; /* of a block */
};

/* One stretch of one matrix tile, n_groups groups from `from` on, times n rows of x; `col` is
 * where it begins in what is packed. y has what the groups before gave. */
static void dots_stretch(struct work *work, const unsigned char *tile, const struct digits *x,
                         size_t n, size_t from, size_t n_groups, size_t col, float *y, size_t ldy,
                         __mmask16 mask)
{
    const struct affine_tiles *w = work->w;
    const unsigned char *block = tile + from * w->block_bytes, *codes = block;
    size_t code_step = w->block_bytes;
    for (size_t b = 0; b < n_groups * w->block_bytes; b += LINE) /* of the next tile */
        _mm_prefetch((const char *)block + w->n_groups * w->block_bytes + b, _MM_HINT_T1);
    if (w->bits == 4) {
        codes = work->room;
        code_step = work->group * CSM_TILE;
        for (size_t g = 0; g < n_groups; g++)
            unpack(block + g * w->block_bytes, work->code_bytes, work->room + g * code_step);
    }
    memory_is_written();
    for (size_t first = 0; first < n; first += TILE_X) {
        size_t end = n - first < TILE_X ? n : first + TILE_X, t = first;
        multiply(codes, code_step, n_groups, work->group, work->width,
                 work->packed[first / TILE_X], col, work->sums);
        for (; t + 8 <= end; t += 8)
            add_groups(w, block + work->code_bytes, n_groups, work->sums, x, from, t,
                       y + t * ldy, ldy, mask, 8);
        for (; t < end; t++)
            add_groups(w, block + work->code_bytes, n_groups, work->sums, x, from, t,
                       y + t * ldy, ldy, mask, 1);
    }
}

/* At most CHUNKS * TILE_X rows of x, the groups of one strip, times rows of the matrix. */
static void dots_strip(struct work *work, const unsigned char *tile, size_t n_rows,
                       const struct digits *x, size_t n, size_t from, size_t n_groups, float *y,
                       size_t ldy)
{
    const struct affine_tiles *w = work->w;
    const size_t row_bytes = w->n_groups * CSM_PLANES * work->group;
    const size_t most = STRETCH / work->group < MOST_GROUPS ? STRETCH / work->group : MOST_GROUPS;
    for (size_t t = 0; t < n; t += TILE_X)
        pack(x->planes + t * row_bytes + from * CSM_PLANES * work->group, row_bytes,
             n - t < TILE_X ? n - t : TILE_X, n_groups * work->group, work->packed[t / TILE_X]);
    for (size_t r = 0; r < n_rows; r += CSM_TILE, tile += w->n_groups * w->block_bytes) {
        __mmask16 mask = n_rows - r < CSM_TILE ? (__mmask16)((1u << (n_rows - r)) - 1) : 0xffff;
        for (size_t g = 0; g < n_groups; g += most)
            dots_stretch(work, tile, x, n, from + g, n_groups - g < most ? n_groups - g : most,
                         g * work->group, y + r, ldy, mask);
    }
}

void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    struct work work;
    work.w = w;
    work.group = (size_t)w->group;
    work.width = work.group < LINE ? work.group : LINE;
    work.code_bytes = work.group * CSM_TILE * (size_t)w->bits / 8;
    const size_t n_each = STRIP / work.group;
    const unsigned char *at = w->data + tile * w->n_groups * w->block_bytes;
    configure(n_x < TILE_X ? n_x : TILE_X, work.width);
    for (size_t t = 0; t < n_x; t += CHUNKS * TILE_X) {
        size_t n = n_x - t < CHUNKS * TILE_X ? n_x - t : CHUNKS * TILE_X;
        struct digits part = {x->planes + t * w->n_groups * CSM_PLANES * work.group,
                              x->steps + t * w->n_groups, x->sums + t * w->n_groups};
        for (size_t from = 0; from < w->n_groups; from += n_each)
            dots_strip(&work, at, n_rows, &part, n, from,
                       w->n_groups - from < n_each ? w->n_groups - from : n_each, y + t * ldy,
                       ldy);
    }
    _tile_release();
}
