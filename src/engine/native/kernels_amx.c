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
 * The sums of a group take as long to become floats as its product does, and a tile that is
 * loaded from what was just stored waits for it. So four groups are under way at a time, each
 * in a step of four: the codes of one are unpacked, one is multiplied, the sums of one that
 * was multiplied a step ago are stored and added; which do not wait for each other. Codes
 * are asked of memory some steps before.
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
    AT_ONCE = 4,              /* groups of a step */
    STRIP = 1024,             /* columns that are done at a time, of more than TILE_X rows */
    UNPACKED = 1 << 15,       /* bytes: a strip and a step of groups of 128 */
    FAR_AHEAD = 1 << 14,      /* bytes, as in kernels_ahead.c */
    PAGE = 1 << 12,           /* see struct work */
    APART = 3 << 10,
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

/* Tiles: sums of four groups, x and codes of two. Macros, since the compiler's intrinsics make
 * text of them. */
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
        config.row_bytes[i] = (uint16_t)(i < AT_ONCE ? LINE : width);
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

/* So that an array of registers is never memory. */
#define UNROLL _Pragma("GCC unroll 8")

/* Blocks of a strip of groups of several matrix tiles, one after the other. */
struct walk {
    const unsigned char *at;
    size_t n_left, left_in_tile; /* blocks */
};

/* What one call works with, a thread's.
 *
 * A load waits for a store before it whose address ends in the same 12 bits. The tiles of x and
 * of codes of one group end alike; the sums that are stored beside them, of 4 groups before,
 * and the codes that are, of 4 groups after, must not: so sums lie a tile further back. */
struct work {
    _Alignas(PAGE) unsigned char unpacked[UNPACKED];
    _Alignas(LINE) unsigned char apart[APART];
    _Alignas(LINE) int32_t sums[AT_ONCE][CSM_PLANES][TILE_X][CSM_TILE];
    const struct affine_tiles *w;
    size_t n_groups;          /* of the strip */
    size_t to_next;           /* bytes from its end to where it begins in the next tile */
    size_t n_slots;           /* blocks that `unpacked` holds in turn, a power of two */
    struct walk ready, asked; /* the block to unpack, the one to ask memory for */
    size_t n_ready;           /* blocks that were unpacked */
};

/* A strip of one matrix tile and up to TILE_X rows of x. */
struct strip {
    const unsigned char *block; /* the first */
    size_t slot;                /* of its codes, where they are unpacked */
    size_t ready_to;            /* n_ready when all is that should be beside it */
    const int8_t *tiles;        /* of x */
    const float *steps, *sums;  /* of x, those of a row ld after those of the one before */
    size_t ld;
};

static inline const unsigned char *next_block(const struct work *work, struct walk *walk)
{
    const unsigned char *at = walk->at;
    walk->at += work->w->block_bytes;
    walk->n_left--;
    if (--walk->left_in_tile == 0) {
        walk->left_in_tile = work->n_groups;
        walk->at += work->to_next;
    }
    return at;
}

/* Ask memory for a block. */
__attribute__((always_inline)) static inline void ask(struct work *work, size_t code_bytes)
{
    if (work->asked.n_left == 0)
        return;
    const char *at = (const char *)next_block(work, &work->asked);
    for (size_t b = 0; b <= code_bytes; b += LINE) /* codes, then scales and biases */
        _mm_prefetch(at + b, _MM_HINT_T1);
    if (work->w->wide_scales)
        _mm_prefetch(at + code_bytes + LINE, _MM_HINT_T1);
}

/* Make the codes of the next block ready to be loaded as tiles. */
__attribute__((always_inline)) static inline void
prepare(struct work *work, const int bits, const size_t group)
{
    const size_t code_bytes = csm_code_bytes(bits, (int)group);
    const unsigned char *codes = next_block(work, &work->ready);
    const __m512i mask = _mm512_set1_epi8(15);
    const size_t slot = work->n_ready++ & (work->n_slots - 1);
    unsigned char *to = work->unpacked + slot * group * CSM_TILE;
    _mm_prefetch((const char *)codes + code_bytes, _MM_HINT_T0);
    for (size_t b = 0; b < code_bytes; b += LINE, to += 2 * LINE) {
        if (bits == 8) {
            _mm_prefetch((const char *)codes + b, _MM_HINT_T0);
            continue;
        }
        __m512i both = _mm512_loadu_si512(codes + b);
        _mm512_store_si512(to, _mm512_and_si512(both, mask));
        _mm512_store_si512(to + LINE, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
}

static inline __m512 load_scales(const unsigned char *at, bool is_wide)
{
    if (is_wide)
        return _mm512_loadu_ps((const float *)(const void *)at);
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* accs += scale * dot + bias * sum, of group g: the steps of add_affine in
 * kernel_avx512_text.h. */
__attribute__((always_inline)) static inline void
add_group(const struct affine_tiles *w, const struct strip *s, size_t g, size_t code_bytes,
          int32_t (*sums)[TILE_X][CSM_TILE], __m512 accs[TILE_X])
{
    const unsigned char *scales = s->block + g * w->block_bytes + code_bytes;
    const __m512 scale = load_scales(scales, w->wide_scales);
    const __m512 bias = load_scales(scales + (w->wide_scales ? 64 : 32), w->wide_scales);
    const float *step = s->steps + g, *sum = s->sums + g;
    UNROLL for (size_t i = 0; i < TILE_X; i++) {
        __m512i low = _mm512_load_si512(sums[0][i]), high = _mm512_load_si512(sums[1][i]);
        __m512i total = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
        __m512 dot = _mm512_mul_ps(_mm512_cvtepi32_ps(total), _mm512_set1_ps(step[i * s->ld]));
        accs[i] = _mm512_fmadd_ps(scale, dot, accs[i]);
        accs[i] = _mm512_fmadd_ps(bias, _mm512_set1_ps(sum[i * s->ld]), accs[i]);
    }
}

/* Tile SUMS = the product of one group, columns `width` at a time. */
#define MULTIPLY(SUMS, X, CODES, x_at, codes)                                                      \
    do {                                                                                           \
        _tile_zero(SUMS);                                                                          \
        for (size_t c = 0; c < group; c += width) {                                                \
            _tile_loadd(X, (x_at) + CSM_PLANES * TILE_X * c, width);                               \
            _tile_loadd(CODES, (codes) + CSM_TILE * c, LINE);                                      \
            _tile_dpbsud(SUMS, X, CODES);                                                          \
        }                                                                                          \
    } while (0)

/* One of four groups: the sums of the step before are stored and added, if it had so many, and
 * the group's own product begins, if there is one. */
#define ONE(SUMS, X, CODES)                                                                        \
    do {                                                                                           \
        if (SUMS < n_before)                                                                       \
            _tile_stored(SUMS, work->sums[SUMS], LINE);                                            \
        if (SUMS < n) {                                                                            \
            const size_t slot = (s->slot + g + SUMS) & (work->n_slots - 1);                        \
            const unsigned char *codes = bits == 8 ? s->block + (g + SUMS) * w->block_bytes        \
                                                   : work->unpacked + slot * group * CSM_TILE;     \
            MULTIPLY(SUMS, X, CODES, s->tiles + (g + SUMS) * CSM_PLANES * TILE_X * group, codes);  \
            if (work->n_ready < s->ready_to) {                                                     \
                ask(work, csm_code_bytes(bits, (int)group));                                       \
                prepare(work, bits, group);                                                        \
            }                                                                                      \
        }                                                                                          \
        if (SUMS < n_before)                                                                       \
            add_group(w, s, g - AT_ONCE + SUMS, csm_code_bytes(bits, (int)group),                  \
                      work->sums[SUMS], accs);                                                     \
    } while (0)

/* Groups g .. g + n - 1 are multiplied, the n_before from g - AT_ONCE on are added. */
__attribute__((always_inline)) static inline void
do_step(struct work *work, const struct strip *s, const int bits, const size_t group, size_t g,
        size_t n, size_t n_before, __m512 accs[TILE_X])
{
    const struct affine_tiles *w = work->w;
    const size_t width = group < LINE ? group : LINE;
    memory_is_written();
    ONE(0, X0, CODES0);
    ONE(1, X1, CODES1);
    ONE(2, X0, CODES0);
    ONE(3, X1, CODES1);
}

/* The same for any n and n_before; by itself, so that the loop over whole steps has registers. */
#define DEFINE_EDGE(name, bits, group)                                                             \
    __attribute__((noinline)) static void name(struct work *work, const struct strip *s, size_t g, \
                                               size_t n, size_t n_before, __m512 *accs)            \
    {                                                                                              \
        do_step(work, s, bits, group, g, n, n_before, accs);                                       \
    }

typedef void (*edge)(struct work *work, const struct strip *s, size_t g, size_t n, size_t n_before,
                     __m512 *accs);

/* n_x rows of y, to which a strip adds; is_first: it is the matrix's first. */
__attribute__((always_inline)) static inline void
do_strip(struct work *work, const struct strip *at, const int bits, const size_t group,
         edge do_edge, bool is_first, size_t n_x, float *y, size_t ldy, __mmask16 mask)
{
    const struct strip s = *at;
    const size_t n_groups = work->n_groups;
    __m512 sums[TILE_X], accs[TILE_X];
    UNROLL for (size_t i = 0; i < TILE_X; i++)
        sums[i] = is_first || i >= n_x ? _mm512_setzero_ps()
                                       : _mm512_maskz_loadu_ps(mask, y + i * ldy);
    size_t before = n_groups < AT_ONCE ? n_groups : AT_ONCE, g = AT_ONCE;
    do_edge(work, at, 0, before, 0, sums);
    UNROLL for (size_t i = 0; i < TILE_X; i++)
        accs[i] = sums[i];
    for (; g + AT_ONCE <= n_groups; g += AT_ONCE)
        do_step(work, &s, bits, group, g, AT_ONCE, AT_ONCE, accs);
    UNROLL for (size_t i = 0; i < TILE_X; i++)
        sums[i] = accs[i];
    for (; before > 0; g += AT_ONCE) {
        const size_t n = g < n_groups ? n_groups - g : 0;
        do_edge(work, at, g, n, before, sums);
        before = n;
    }
    UNROLL for (size_t i = 0; i < TILE_X; i++)
        if (i < n_x)
            _mm512_mask_storeu_ps(y + i * ldy, mask, sums[i]);
}

typedef void (*strip_of_format)(struct work *work, const struct strip *s, bool is_first, size_t n_x,
                                float *y, size_t ldy, __mmask16 mask);

/* A function for each format, so that its numbers are constants. */
#define DEFINE_STRIP(name, bits, group)                                                            \
    DEFINE_EDGE(name##_edge, bits, group)                                                          \
    static void name(struct work *work, const struct strip *s, bool is_first, size_t n_x,          \
                     float *y, size_t ldy, __mmask16 mask)                                         \
    {                                                                                              \
        do_strip(work, s, bits, group, name##_edge, is_first, n_x, y, ldy, mask);                  \
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

/* Begin at a strip of n_tiles matrix tiles, the first one's at `block`. */
static void begin_strip(struct work *work, const unsigned char *block, size_t n_groups,
                        size_t n_tiles)
{
    const struct affine_tiles *w = work->w;
    work->n_groups = n_groups;
    work->to_next = w->tile_bytes - n_groups * w->block_bytes;
    work->ready = work->asked = (struct walk){block, n_groups * n_tiles, n_groups};
    work->n_ready = 0;
    for (size_t b = 0; b < FAR_AHEAD; b += w->block_bytes)
        ask(work, csm_code_bytes(w->bits, w->group));
}

/* n rows of x and the groups of a strip times matrix rows. */
static void dots_strip(struct work *work, strip_of_format strip, const unsigned char *tile,
                       size_t n_rows, const struct digits *x, size_t n, size_t from,
                       size_t n_groups, float *y, size_t ldy)
{
    const struct affine_tiles *w = work->w;
    const size_t n_tiles = (n_rows + CSM_TILE - 1) / CSM_TILE, n_blocks = n_tiles * n_groups;
    begin_strip(work, tile + from * w->block_bytes, n_groups, n_tiles);
    for (size_t g = 0; g < AT_ONCE && g < n_blocks; g++)
        prepare(work, w->bits, (size_t)w->group);
    for (size_t r = 0; r < n_tiles; r++, tile += w->tile_bytes) {
        const size_t left = n_rows - r * CSM_TILE, end = (r + 1) * n_groups;
        const __mmask16 mask = left < CSM_TILE ? (__mmask16)((1u << left) - 1) : 0xffff;
        for (size_t t = 0; t < n; t += TILE_X) {
            /* The first rows make the strip's codes ready, the last ones those of the next. */
            const size_t to = n - t <= TILE_X ? end + AT_ONCE : end;
            const struct strip s = {
                .block = tile + from * w->block_bytes,
                .slot = r * n_groups,
                .ready_to = to < n_blocks ? to : n_blocks,
                .tiles = x->planes + csm_digit_tile(w->n_groups, (size_t)w->group, t, from),
                .steps = x->steps + t * w->n_groups + from,
                .sums = x->sums + t * w->n_groups + from,
                .ld = w->n_groups,
            };
            strip(work, &s, from == 0, n - t, y + t * ldy + r * CSM_TILE, ldy, mask);
        }
    }
}

void csm_dots_affine_amx(const struct affine_tiles *w, size_t tile, size_t n_rows,
                         const struct digits *x, size_t n_x, float *y, size_t ldy)
{
    struct work work;
    const size_t group = (size_t)w->group;
    const strip_of_format strip = strip_of(w->bits, w->group);
    /* One tile of rows reads the matrix from end to end; more of them share a strip's codes. */
    const size_t n_each = n_x <= TILE_X ? w->n_groups : STRIP / group;
    work.w = w;
    work.n_slots = n_x <= TILE_X ? 2 * AT_ONCE : UNPACKED / (group * CSM_TILE);
    configure(group < LINE ? group : LINE);
    for (size_t from = 0; from < w->n_groups; from += n_each)
        dots_strip(&work, strip, w->data + tile * w->tile_bytes, n_rows, x, n_x, from,
                   w->n_groups - from < n_each ? w->n_groups - from : n_each, y, ldy);
    _tile_release();
}
