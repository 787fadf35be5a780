/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels_amx.c - affine products of several rows by AMX's tiles of bytes.
 *
 * A product of a group is a sum of integers, exact in any order: so tiles may add them
 * as they like, and what follows, group after group, is what kernel_avx512_text.h does. A
 * tile of x (kernels.h) is eight rows: their low digits, then their high ones, so that one
 * product gives both sums. A tile of codes is the 16 rows of a matrix tile, for 64 columns, four
 * columns of each row in 4 bytes, which is how blocks of 8 bits lie and how those of 4 bits
 * are unpacked.
 *
 * The sums of a group take as long to become floats as its product does, and what was just
 * stored is slow to load. So four groups are under way at a time, each in a step of four:
 * the codes of one are unpacked, one is multiplied, the sums of one are stored, and those
 * stored a step ago are added. Two matrix tiles go through together, which share the tiles,
 * steps and sums of x. Memory is asked for codes two pairs before. All of a strip of
 * columns is done before the next one, so that what is used again stays in the first caches.
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
    TILE_X = CSM_DIGIT_ROWS,
    LINE = CSM_DIGIT_COLUMNS, /* bytes; columns of a tile */
    TILE_BYTES = 1 << 10,
    PAIR = 2,           /* matrix tiles that are multiplied together */
    STRIP = 1024,       /* columns that are done at a time */
    STRIP_OF_ONE = 256, /* the same for one tile of x, whose codes are not unpacked for others */
    SLOTS = 4,          /* groups whose sums are kept */
    AHEAD = 3,          /* groups that are unpacked before they are multiplied */
    PAIRS_AHEAD = 2,    /* memory is asked for codes so many pairs before */
    PAGE = 1 << 12,
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

/* Tiles: sums of two groups, of each those of a pair; x and codes. Macros, since the compiler's
 * intrinsics make text of them. */
#define SUMS0 0
#define SUMS1 1
#define SUMS2 2
#define SUMS3 3
#define X0 4
#define X1 5
#define CODES0 6
#define CODES1 7

/* The intrinsics do not tell the compiler that they read memory. */
static inline void memory_is_written(void)
{
    __asm__ volatile("" ::: "memory");
}

static void configure(size_t width)
{
    _Alignas(64) struct tile_config config = {.palette = 1};
    for (int i = 0; i < CODES0; i++) {
        config.rows[i] = CSM_PLANES * TILE_X;
        config.row_bytes[i] = (uint16_t)(i <= SUMS3 ? LINE : width);
    }
    for (int i = CODES0; i <= CODES1; i++) {
        config.rows[i] = (uint8_t)(width / 4);
        config.row_bytes[i] = LINE;
    }
    memory_is_written();
    _tile_loadconfig(&config);
}

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
    _mm512_storeu_si512(low, _mm512_permutex2var_epi64(first, even, second));
    _mm512_storeu_si512(high, _mm512_permutex2var_epi64(first, odd, second));
}

void csm_tile_digits_amx(const int8_t *planes, size_t group, size_t row, int8_t *tiles)
{
    const size_t width = group < LINE ? group : LINE;
    int8_t *low = tiles + row * width, *high = low + TILE_X * width;
    for (size_t c = 0; c < group; c += width) {
        if (width == LINE)
            pack_64(planes + CSM_PLANES * c, low, high);
        else
            pack_32(planes + CSM_PLANES * c, low, high);
        low += CSM_PLANES * TILE_X * width;
        high += CSM_PLANES * TILE_X * width;
    }
}

/* What one call works with, a thread's.
 *
 * A load waits for a store before it whose address ends in the same 12 bits. With tiles of 1 KB
 * x and the codes of group g begin g, g and g + 1 KB into a page, its sums g and g + 1. A step
 * stores sums of the group before its own and codes of the third after it: what the next step
 * loads lies elsewhere. */
struct work {
    _Alignas(PAGE) unsigned char unpacked[PAIR][CSM_TILE * STRIP + TILE_BYTES];
    unsigned char apart[PAIR * TILE_BYTES];
    unsigned char sums[PAIR][(SLOTS + 1) * TILE_BYTES];
    const struct affine_tiles *w;
};

/* A strip of a pair of matrix tiles and up to TILE_X rows of x. */
struct strip {
    const unsigned char *blocks[PAIR]; /* the first of each */
    const unsigned char *asked[PAIR];  /* those to ask memory for, n_asked of each */
    size_t n_groups, n_asked;
    bool is_packed;            /* its codes are not all unpacked yet */
    const int8_t *tiles;       /* of x */
    const float *steps, *sums; /* of x, those of a row ld after those of the one before */
    size_t ld;
};

/* Ask memory for a block. */
__attribute__((always_inline)) static inline void ask(const struct affine_tiles *w,
                                                      const unsigned char *block, size_t code_bytes)
{
    for (size_t b = 0; b <= code_bytes; b += LINE) /* codes, then scales and biases */
        _mm_prefetch((const char *)block + b, _MM_HINT_T1);
    if (w->wide_scales)
        _mm_prefetch((const char *)block + code_bytes + LINE, _MM_HINT_T1);
}

/* Make the codes of a block ready to be loaded as tiles. */
__attribute__((always_inline)) static inline void unpack(const unsigned char *block,
                                                         size_t code_bytes, unsigned char *to)
{
    const __m512i mask = _mm512_set1_epi8(15);
    for (size_t b = 0; b < code_bytes; b += LINE, to += 2 * LINE) {
        __m512i both = _mm512_loadu_si512(block + b);
        _mm512_store_si512(to, _mm512_and_si512(both, mask));
        _mm512_store_si512(to + LINE, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
    _mm_prefetch((const char *)block + code_bytes, _MM_HINT_T0);
}

static inline __m512 load_scales(const unsigned char *at, bool is_wide)
{
    if (is_wide)
        return _mm512_loadu_ps((const float *)(const void *)at);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* What the two planes' sums of a group add to acc: the steps of add_affine in
 * kernel_avx512_text.h. */
__attribute__((always_inline)) static inline __m512
add_affine(__m512 acc, const unsigned char *sums, size_t row, __m512 step, __m512 sum, __m512 scale,
           __m512 bias)
{
    __m512i low = _mm512_load_si512(sums + row * LINE);
    __m512i high = _mm512_load_si512(sums + (TILE_X + row) * LINE);
    __m512i total = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
    __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(total), step);
    acc = _mm512_fmadd_ps(scale, dot, acc);
    return _mm512_fmadd_ps(bias, sum, acc);
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

/* The products of group g begin. */
#define MULTIPLY(A, B, X, g)                                                                       \
    do {                                                                                           \
        const int8_t *x_at = s->tiles + (g) * CSM_PLANES * TILE_X * group;                         \
        const unsigned char *a = codes[0] + (g) * apart, *b = codes[1] + (g) * apart;              \
        _tile_zero(A);                                                                             \
        _tile_zero(B);                                                                             \
        for (size_t c = 0; c < group; c += width) {                                                \
            _tile_loadd(X, x_at + CSM_PLANES * TILE_X * c, width);                                 \
            _tile_loadd(CODES0, a + CSM_TILE * c, LINE);                                           \
            _tile_dpbsud(A, X, CODES0);                                                            \
            _tile_loadd(CODES1, b + CSM_TILE * c, LINE);                                           \
            _tile_dpbsud(B, X, CODES1);                                                            \
        }                                                                                          \
    } while (0)

#define ADD_ROW(i)                                                                                 \
    {                                                                                              \
        const __m512 step = _mm512_set1_ps(steps[(i) * s->ld]);                                    \
        const __m512 sum = _mm512_set1_ps(x_sums[(i) * s->ld]);                                    \
        a##i = add_affine(a##i, at_a, i, step, sum, scale_a, bias_a);                              \
        b##i = add_affine(b##i, at_b, i, step, sum, scale_b, bias_b);                              \
    }

/* The sums of group g, which were stored, are added. */
#define ADD(g)                                                                                     \
    do {                                                                                           \
        const unsigned char *at_a = work->sums[0] + ((g) % SLOTS) * TILE_BYTES;                    \
        const unsigned char *at_b = work->sums[1] + ((g) % SLOTS) * TILE_BYTES;                    \
        const unsigned char *of_a = s->blocks[0] + (g) * w->block_bytes + code_bytes;              \
        const unsigned char *of_b = s->blocks[1] + (g) * w->block_bytes + code_bytes;              \
        const __m512 scale_a = load_scales(of_a, is_wide), scale_b = load_scales(of_b, is_wide);   \
        const __m512 bias_a = load_scales(of_a + (is_wide ? 64 : 32), is_wide);                    \
        const __m512 bias_b = load_scales(of_b + (is_wide ? 64 : 32), is_wide);                    \
        const float *steps = s->steps + (g), *x_sums = s->sums + (g);                              \
        EACH_ROW(ADD_ROW)                                                                          \
    } while (0)

#define STORE(SUMS, i, g) _tile_stored(SUMS, work->sums[i] + ((g) % SLOTS) * TILE_BYTES, LINE)

/* Group g begins, the sums of the one before are stored, those of the one before that are
 * added, and the third after it is unpacked; as far as there are such. None waits for another. */
#define STEP(A, B, OF_A, OF_B, X, g)                                                               \
    do {                                                                                           \
        if ((g) < n_groups)                                                                        \
            MULTIPLY(A, B, X, g);                                                                  \
        if ((g) > 0 && (g) <= n_groups) {                                                          \
            STORE(OF_A, 0, (g)-1);                                                                 \
            STORE(OF_B, 1, (g)-1);                                                                 \
        }                                                                                          \
        if (s->is_packed && (g) + AHEAD < n_groups) {                                              \
            unpack(s->blocks[0] + ((g) + AHEAD) * w->block_bytes, code_bytes,                      \
                   work->unpacked[0] + ((g) + AHEAD) * apart);                                     \
            unpack(s->blocks[1] + ((g) + AHEAD) * w->block_bytes, code_bytes,                      \
                   work->unpacked[1] + ((g) + AHEAD) * apart);                                     \
        }                                                                                          \
        if ((g) < s->n_asked) {                                                                    \
            ask(w, s->asked[0] + (g) * w->block_bytes, code_bytes);                                \
            ask(w, s->asked[1] + (g) * w->block_bytes, code_bytes);                                \
        }                                                                                          \
        if ((g) > 1 && (g) <= n_groups + 1)                                                        \
            ADD((g)-2);                                                                            \
        memory_is_written();                                                                       \
    } while (0)

/* n_x rows of y, to which a strip adds; is_first: it is the matrix's first. */
__attribute__((always_inline)) static inline void
do_strip(struct work *work, const struct strip *s, const int bits, const size_t group,
         bool is_first, size_t n_x, float *y, size_t ldy, const __mmask16 masks[PAIR])
{
    const struct affine_tiles *w = work->w;
    const size_t width = group < LINE ? group : LINE, n_groups = s->n_groups;
    const size_t code_bytes = csm_code_bytes(bits, (int)group);
    const size_t apart = bits == 8 ? w->block_bytes : CSM_TILE * group;
    const bool is_wide = w->wide_scales;
    const unsigned char *codes[] = {bits == 8 ? s->blocks[0] : work->unpacked[0],
                                    bits == 8 ? s->blocks[1] : work->unpacked[1]};
#define BEGIN_ROW(i)                                                                               \
    const bool has##i = (i) < n_x;                                                                 \
    const __mmask16 of_a##i = has##i && !is_first ? masks[0] : 0;                                  \
    const __mmask16 of_b##i = has##i && !is_first ? masks[1] : 0;                                  \
    __m512 a##i = _mm512_maskz_loadu_ps(of_a##i, y + (i) * ldy);                                   \
    __m512 b##i = _mm512_maskz_loadu_ps(of_b##i, y + (i) * ldy + CSM_TILE);
    EACH_ROW(BEGIN_ROW)
    for (size_t i = 0; s->is_packed && i < AHEAD && i < n_groups; i++) {
        unpack(s->blocks[0] + i * w->block_bytes, code_bytes, work->unpacked[0] + i * apart);
        unpack(s->blocks[1] + i * w->block_bytes, code_bytes, work->unpacked[1] + i * apart);
    }
    memory_is_written();
    for (size_t g = 0; g <= n_groups + 1; g += 2) {
        STEP(SUMS0, SUMS1, SUMS2, SUMS3, X0, g);
        STEP(SUMS2, SUMS3, SUMS0, SUMS1, X1, g + 1);
    }
#define END_ROW(i)                                                                                 \
    if ((i) < n_x) {                                                                               \
        _mm512_mask_storeu_ps(y + (i) * ldy, masks[0], a##i);                                      \
        _mm512_mask_storeu_ps(y + (i) * ldy + CSM_TILE, masks[1], b##i);                           \
    }
    EACH_ROW(END_ROW)
}

typedef void (*strip_of_format)(struct work *work, const struct strip *s, bool is_first, size_t n_x,
                                float *y, size_t ldy, const __mmask16 masks[PAIR]);

/* A function for each format, so that its numbers are constants. */
#define DEFINE_STRIP(name, bits, group)                                                            \
    static void name(struct work *work, const struct strip *s, bool is_first, size_t n_x,          \
                     float *y, size_t ldy, const __mmask16 masks[PAIR])                            \
    {                                                                                              \
        do_strip(work, s, bits, group, is_first, n_x, y, ldy, masks);                              \
    }
DEFINE_STRIP(strip_4_of_32, 4, 32)
DEFINE_STRIP(strip_4_of_64, 4, 64)
DEFINE_STRIP(strip_4_of_128, 4, 128)
DEFINE_STRIP(strip_8_of_32, 8, 32)
DEFINE_STRIP(strip_8_of_64, 8, 64)
DEFINE_STRIP(strip_8_of_128, 8, 128)

static strip_of_format strip_of(int bits, int group)
{
    if (bits == 4)
        return group == 32 ? strip_4_of_32 : (group == 64 ? strip_4_of_64 : strip_4_of_128);
    return group == 32 ? strip_8_of_32 : (group == 64 ? strip_8_of_64 : strip_8_of_128);
}

/* A call's pairs of matrix tiles, strip by strip. */
struct pairs {
    const unsigned char *first; /* block of the first tile */
    size_t n_rows, n_tiles, n_each; /* n_each: groups of a strip */
};

/* Where pair i begins, and what the matrix has of its rows. */
static void find_pair(const struct affine_tiles *w, const struct pairs *p, size_t i,
                      const unsigned char *blocks[PAIR], __mmask16 masks[PAIR])
{
    const size_t n_pairs = (p->n_tiles + 1) / PAIR, strip = i / n_pairs;
    for (size_t j = 0; j < PAIR; j++) {
        const size_t tile = i % n_pairs * PAIR + j;
        const bool is_there = tile < p->n_tiles; /* else its partner once more, for nobody */
        const size_t at = is_there ? tile : tile - j, left = p->n_rows - at * CSM_TILE;
        blocks[j] = p->first + at * w->tile_bytes + strip * p->n_each * w->block_bytes;
        masks[j] = !is_there ? 0 : left < CSM_TILE ? (__mmask16)((1u << left) - 1) : 0xffff;
    }
}

static size_t groups_of(const struct affine_tiles *w, const struct pairs *p, size_t strip)
{
    const size_t left = w->n_groups - strip * p->n_each;
    return left < p->n_each ? left : p->n_each;
}

void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    struct work work;
    const size_t group = (size_t)w->group, code_bytes = csm_code_bytes(w->bits, w->group);
    const strip_of_format strip_of_this = strip_of(w->bits, w->group);
    const struct pairs p = {.first = w->data + tile * w->tile_bytes,
                            .n_rows = n_rows,
                            .n_tiles = (n_rows + CSM_TILE - 1) / CSM_TILE,
                            .n_each = (n_x <= TILE_X ? STRIP_OF_ONE : STRIP) / group};
    const size_t n_pairs = (p.n_tiles + 1) / PAIR;
    const size_t n_all = (w->n_groups + p.n_each - 1) / p.n_each * n_pairs;
    __mmask16 masks[PAIR];
    work.w = w;
    configure(group < LINE ? group : LINE);
    for (size_t i = 0; i < PAIRS_AHEAD && i < n_all; i++) {
        const unsigned char *blocks[PAIR];
        find_pair(w, &p, i, blocks, masks);
        for (size_t g = 0; g < groups_of(w, &p, i / n_pairs); g++)
            for (size_t j = 0; j < PAIR; j++)
                ask(w, blocks[j] + g * w->block_bytes, code_bytes);
    }
    for (size_t i = 0; i < n_all; i++) {
        const size_t from = i / n_pairs * p.n_each, row = i % n_pairs * PAIR * CSM_TILE;
        struct strip s = {.n_groups = groups_of(w, &p, i / n_pairs),
                          .is_packed = w->bits == 4,
                          .ld = w->n_groups};
        if (i + PAIRS_AHEAD < n_all) {
            find_pair(w, &p, i + PAIRS_AHEAD, s.asked, masks);
            s.n_asked = groups_of(w, &p, (i + PAIRS_AHEAD) / n_pairs);
        }
        find_pair(w, &p, i, s.blocks, masks);
        for (size_t t = 0; t < n_x; t += TILE_X) {
            s.tiles = x->planes + csm_digit_tile(w->n_groups, group, t, from);
            s.steps = x->steps + t * w->n_groups + from;
            s.sums = x->sums + t * w->n_groups + from;
            strip_of_this(&work, &s, from == 0, n_x - t, y + t * ldy + row, ldy, masks);
            s.n_asked = 0;
            s.is_packed = false;
        }
    }
    _tile_release();
}
