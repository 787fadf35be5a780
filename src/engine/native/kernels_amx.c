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
 * Two matrix tiles go through together, up to X_TILES tiles of x at a time, group after group: a
 * group's codes are unpacked and loaded once for all of these rows, and what is worked with stays
 * in the first cache, which two threads of a core share. A step is one group and one tile of x.
 * Its sums take as long to become floats as its product does, and a load of a tile, too. So several
 * steps are under way: one is multiplied, x of the next and codes of the next group are loaded,
 * those of the second group after are unpacked, and the sums of the step before are added.
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
    PAIR = 2,        /* matrix tiles that are multiplied together */
    X_TILES = 4,     /* tiles of x that are done together */
    PAIRS_OF_X = 8,  /* pairs that are done with some rows of x before the next rows */
    SLOTS = 2,       /* steps whose sums are kept */
    RING = 4,        /* groups whose codes are kept unpacked */
    AHEAD = 2,       /* groups that are unpacked before they are multiplied */
    PAIRS_AHEAD = 2, /* memory is asked for codes so many pairs before */
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

/* Tiles: the sums of a pair, x, and codes of a pair for two groups. Macros, since the compiler's
 * intrinsics make text of them. */
#define SUMS0 0
#define SUMS1 1
#define X 2
#define CODES0 4
#define CODES1 5
#define CODES2 6
#define CODES3 7

/* The intrinsics do not tell the compiler that they read memory. */
static inline void memory_is_written(void)
{
    __asm__ volatile("" ::: "memory");
}

static void configure(size_t width)
{
    _Alignas(64) struct tile_config config = {.palette = 1};
    for (int i = 0; i <= X; i++) {
        config.rows[i] = CSM_PLANES * TILE_X;
        config.row_bytes[i] = (uint16_t)(i <= SUMS1 ? LINE : width);
    }
    for (int i = CODES0; i <= CODES3; i++) {
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
 * A load waits for a store before it whose address ends in the same 12 bits. The sums of a step
 * are 2 KB, so those that are loaded lie in the other half of a page than those stored a step
 * before. In groups of 64, codes that are unpacked lie 2 KB after those multiplied meanwhile. */
struct work {
    _Alignas(PAGE) unsigned char sums[SLOTS][PAIR][TILE_BYTES];
    float y[X_TILES][PAIR][TILE_X][CSM_TILE];
    unsigned char codes[PAIR][RING * CSM_TILE * CSM_MOST_GROUP + TILE_BYTES];
    const struct affine_tiles *w;
};

/* A pair of matrix tiles and up to X_TILES tiles of x. */
struct pair {
    const unsigned char *blocks[PAIR]; /* the first of each */
    const unsigned char *asked[PAIR];  /* those to ask memory for, NULL: none */
    __mmask16 masks[PAIR];             /* rows that the matrix has */
    size_t n_x, n_tiles;               /* rows of x, tiles of them */
    const int8_t *tiles;               /* of x */
    const float *steps, *sums;         /* of x */
};

/* Ask memory for a block, into the second cache. */
__attribute__((always_inline)) static inline void ask(const struct affine_tiles *w,
                                                      const unsigned char *block, size_t code_bytes)
{
    for (size_t b = 0; b <= code_bytes; b += LINE) /* codes, then scales and biases */
        _mm_prefetch((const char *)block + b, _MM_HINT_T1);
    if (w->wide_scales)
        _mm_prefetch((const char *)block + code_bytes + LINE, _MM_HINT_T1);
}

/* The same for a group's digits, into the first cache. */
__attribute__((always_inline)) static inline void ask_x(const int8_t *tile, size_t n_bytes)
{
    for (size_t b = 0; b < n_bytes; b += LINE)
        _mm_prefetch((const char *)tile + b, _MM_HINT_T0);
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

/* A step: a group and a tile of x. */
struct place {
    size_t g, t;
};

static inline void go_on(struct place *at, size_t n_tiles)
{
    if (++at->t == n_tiles) {
        at->t = 0;
        at->g++;
    }
}

/* Where the codes of group g of tile j are loaded from, and their unpacking. */
#define CODES_OF(j, g)                                                                             \
    (bits == 8 ? p->blocks[j] + (g) * w->block_bytes                                               \
               : work->codes[j] + (g) % RING * CSM_TILE * group)
#define UNPACK(g)                                                                                  \
    for (size_t j = 0; bits == 4 && j < PAIR && (g) < w->n_groups; j++)                            \
        unpack(p->blocks[j] + (g) * w->block_bytes, code_bytes,                                    \
               work->codes[j] + (g) % RING * CSM_TILE * group)

/* Where x of a step lies. */
#define X_AT(place) (p->tiles + (place).t * x_apart + (place).g * x_bytes)

/* A tile of codes or two of a group, into A and B. */
#define LOAD_CODES(A, B, g, c)                                                                     \
    do {                                                                                           \
        _tile_loadd(A, CODES_OF(0, g) + CSM_TILE * (c), LINE);                                     \
        _tile_loadd(B, CODES_OF(1, g) + CSM_TILE * (c), LINE);                                     \
    } while (0)

/* The products of step `now` begin. Of groups of one tile of bytes, x and codes lie in tiles
 * already, and those of the next step and group are loaded: a load takes as long as a product. */
#define MULTIPLY(A, B, NEXT_A, NEXT_B)                                                             \
    do {                                                                                           \
        struct place next = now;                                                                   \
        go_on(&next, p->n_tiles);                                                                  \
        _tile_zero(SUMS0);                                                                         \
        _tile_zero(SUMS1);                                                                         \
        for (size_t c = 0; c < group; c += width) {                                                \
            if (group > LINE) {                                                                    \
                _tile_loadd(X, X_AT(now) + CSM_PLANES * TILE_X * c, width);                        \
                LOAD_CODES(A, B, now.g, c);                                                        \
            }                                                                                      \
            _tile_dpbsud(SUMS0, X, A);                                                             \
            _tile_dpbsud(SUMS1, X, B);                                                             \
        }                                                                                          \
        if (group <= LINE && next.g < w->n_groups)                                                 \
            _tile_loadd(X, X_AT(next), width);                                                     \
        if (group <= LINE && now.t == 0 && now.g + 1 < w->n_groups)                                \
            LOAD_CODES(NEXT_A, NEXT_B, now.g + 1, 0);                                              \
    } while (0)

#define ADD_ROW(i)                                                                                 \
    {                                                                                              \
        const __m512 step = _mm512_set1_ps(steps[(i) * w->n_groups]);                              \
        const __m512 sum = _mm512_set1_ps(x_sums[(i) * w->n_groups]);                              \
        __m512 of_a = _mm512_load_ps(to[0][i]), of_b = _mm512_load_ps(to[1][i]);                   \
        _mm512_store_ps(to[0][i], add_affine(of_a, from[0], i, step, sum, scale_a, bias_a));       \
        _mm512_store_ps(to[1][i], add_affine(of_b, from[1], i, step, sum, scale_b, bias_b));       \
    }

/* The sums of a step, which were stored, are added: group g and tile t of x of `added`. */
#define ADD(slot)                                                                                  \
    do {                                                                                           \
        unsigned char(*from)[TILE_BYTES] = work->sums[slot];                                       \
        float(*to)[TILE_X][CSM_TILE] = work->y[added.t];                                           \
        const unsigned char *a = p->blocks[0] + added.g * w->block_bytes + code_bytes;             \
        const unsigned char *b = p->blocks[1] + added.g * w->block_bytes + code_bytes;             \
        const __m512 scale_a = load_scales(a, is_wide), scale_b = load_scales(b, is_wide);         \
        const __m512 bias_a = load_scales(a + (is_wide ? 64 : 32), is_wide);                       \
        const __m512 bias_b = load_scales(b + (is_wide ? 64 : 32), is_wide);                       \
        const size_t at = added.t * TILE_X * w->n_groups + added.g;                                \
        const float *steps = p->steps + at, *x_sums = p->sums + at;                                \
        ADD_ROW(0) ADD_ROW(1) ADD_ROW(2) ADD_ROW(3)                                                \
        ADD_ROW(4) ADD_ROW(5) ADD_ROW(6) ADD_ROW(7)                                                \
    } while (0)

#define STORE(SUMS, j) _tile_stored(SUMS, work->sums[i % SLOTS][j], LINE)

/* Step i: its products begin, the sums of the one before are added, its own are stored. */
#define STEP(A, B, NEXT_A, NEXT_B)                                                                 \
    do {                                                                                           \
        MULTIPLY(A, B, NEXT_A, NEXT_B);                                                            \
        if (now.t == 0) {                                                                          \
            UNPACK(now.g + AHEAD);                                                                 \
            for (size_t j = 0; j < PAIR && p->asked[j] != NULL; j++)                               \
                ask(w, p->asked[j] + now.g * w->block_bytes, code_bytes);                          \
        }                                                                                          \
        if (i > 0) {                                                                               \
            ADD((i - 1) % SLOTS);                                                                  \
            go_on(&added, p->n_tiles);                                                             \
        }                                                                                          \
        ask_x(X_AT(now) + x_bytes, x_bytes);                                                       \
        STORE(SUMS0, 0);                                                                           \
        STORE(SUMS1, 1);                                                                           \
        go_on(&now, p->n_tiles);                                                                   \
        i++;                                                                                       \
        memory_is_written();                                                                       \
    } while (0)

/* A pair's rows of y. */
__attribute__((always_inline)) static inline void
do_pair(struct work *work, const struct pair *p, const int bits, const size_t group, float *y,
        size_t ldy)
{
    const struct affine_tiles *w = work->w;
    const size_t width = group < LINE ? group : LINE, n_steps = w->n_groups * p->n_tiles;
    const size_t code_bytes = csm_code_bytes(bits, (int)group);
    const size_t x_bytes = CSM_PLANES * TILE_X * group, x_apart = w->n_groups * x_bytes;
    const bool is_wide = w->wide_scales;
    struct place now = {0}, added = {0};
    memset(work->y, 0, p->n_tiles * sizeof work->y[0]);
    for (size_t g = 0; g < AHEAD; g++)
        UNPACK(g);
    memory_is_written();
    if (group <= LINE) {
        _tile_loadd(X, X_AT(now), width);
        LOAD_CODES(CODES0, CODES1, now.g, 0);
    }
    for (size_t i = 0; i < n_steps;) {
        for (size_t t = 0; t < p->n_tiles; t++)
            STEP(CODES0, CODES1, CODES2, CODES3);
        for (size_t t = 0; t < p->n_tiles && i < n_steps; t++)
            STEP(CODES2, CODES3, CODES0, CODES1);
    }
    ADD((n_steps - 1) % SLOTS);
    for (size_t t = 0; t < p->n_x; t++)
        for (size_t j = 0; j < PAIR; j++)
            _mm512_mask_storeu_ps(y + t * ldy + j * CSM_TILE, p->masks[j],
                                  _mm512_load_ps(work->y[t / TILE_X][j][t % TILE_X]));
}

typedef void (*pair_of_format)(struct work *work, const struct pair *p, float *y, size_t ldy);

/* A function for each format, so that its numbers are constants. */
#define DEFINE_PAIR(name, bits, group)                                                             \
    static void name(struct work *work, const struct pair *p, float *y, size_t ldy)                \
    {                                                                                              \
        do_pair(work, p, bits, group, y, ldy);                                                     \
    }
DEFINE_PAIR(pair_4_of_32, 4, 32)
DEFINE_PAIR(pair_4_of_64, 4, 64)
DEFINE_PAIR(pair_4_of_128, 4, 128)
DEFINE_PAIR(pair_8_of_32, 8, 32)
DEFINE_PAIR(pair_8_of_64, 8, 64)
DEFINE_PAIR(pair_8_of_128, 8, 128)

static pair_of_format pair_of(int bits, int group)
{
    if (bits == 4)
        return group == 32 ? pair_4_of_32 : (group == 64 ? pair_4_of_64 : pair_4_of_128);
    return group == 32 ? pair_8_of_32 : (group == 64 ? pair_8_of_64 : pair_8_of_128);
}

/* A call's matrix tiles. */
struct call {
    const struct affine_tiles *w;
    const unsigned char *first; /* block of the first */
    size_t n_rows, n_tiles;
};

/* Ask memory for a whole pair. */
static void ask_pair(const struct call *c, size_t pair)
{
    const struct affine_tiles *w = c->w;
    for (size_t tile = pair * PAIR; tile < (pair + 1) * PAIR && tile < c->n_tiles; tile++)
        for (size_t g = 0; g < w->n_groups; g++)
            ask(w, c->first + tile * w->tile_bytes + g * w->block_bytes,
                csm_code_bytes(w->bits, w->group));
}

/* Matrix tiles of a pair, and those to ask for meanwhile. After the call's last tile comes what its
 * thread most likely takes next. */
static void find_pair(const struct call *c, size_t pair, bool asks, struct pair *out)
{
    for (size_t j = 0; j < PAIR; j++) {
        const size_t tile = pair * PAIR + j;
        const bool is_there = tile < c->n_tiles; /* else its partner once more, for nobody */
        const size_t at = is_there ? tile : tile - j, left = c->n_rows - at * CSM_TILE;
        out->blocks[j] = c->first + at * c->w->tile_bytes;
        out->asked[j] = asks ? c->first + (tile + PAIRS_AHEAD * PAIR) * c->w->tile_bytes : NULL;
        out->masks[j] = !is_there         ? 0
                        : left < CSM_TILE ? (__mmask16)((1u << left) - 1)
                                          : 0xffff;
    }
}

void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    struct work work;
    const size_t group = (size_t)w->group, most = X_TILES * TILE_X;
    const pair_of_format pair_of_this = pair_of(w->bits, w->group);
    const struct call c = {.w = w,
                           .first = w->data + tile * w->tile_bytes,
                           .n_rows = n_rows,
                           .n_tiles = (n_rows + CSM_TILE - 1) / CSM_TILE};
    const size_t n_pairs = (c.n_tiles + 1) / PAIR;
    work.w = w;
    configure(group < LINE ? group : LINE);
    for (size_t i = 0; i < PAIRS_AHEAD; i++)
        ask_pair(&c, i);
    for (size_t first = 0; first < n_pairs; first += PAIRS_OF_X)
        for (size_t t = 0; t < n_x; t += most) {
            struct pair p = {.n_x = n_x - t < most ? n_x - t : most,
                             .tiles = x->planes + csm_digit_tile(w->n_groups, group, t, 0),
                             .steps = x->steps + t * w->n_groups,
                             .sums = x->sums + t * w->n_groups};
            p.n_tiles = (p.n_x + TILE_X - 1) / TILE_X;
            for (size_t i = first; i < first + PAIRS_OF_X && i < n_pairs; i++) {
                find_pair(&c, i, t == 0, &p);
                pair_of_this(&work, &p, y + t * ldy + i * PAIR * CSM_TILE, ldy);
            }
        }
    _tile_release();
}
