/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_weights.cu - weights as they lie in the file, brought to the card, and packed
 * there for products.
 *
 * A bfloat16 matrix is one plane; float16 is two planes of bfloat16 and float32 three,
 * both exactly. What precision asks for meets the stored type as in engine native: what
 * is stored narrower stays as it is; a float32 source is rounded to bfloat16 before it is
 * quantized. An affine matrix stays one: codes, which bfloat16 holds exactly, scales and biases. */
#include <cstdarg>
#include <cstring>

#include "base/numbers.h"
#include "engine/cuda/cuda_view.cuh"

extern "C" {
#include "base/affine.h"
#include "base/threads.h"
}

namespace csm_cuda {

enum { DEFAULT_GROUP = 64 };

/* ---- on the card -------------------------------------------------------- */

/* A thread a word of a step; all planes of it. */
__global__ static void pack_kernel(weight_view from, matrix to, uint32_t *words)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    size_t per_tile = static_cast<size_t>(to.n_steps) * STEP_WORDS;
    int tile = static_cast<int>(i / per_tile), step = static_cast<int>(i % per_tile / STEP_WORDS);
    if (tile >= to.n_tiles)
        return;
    int word = i % STEP_WORDS, lane = word / 4, reg = word % 4;
    int row = tile * TILE + lane / 4 + reg % 2 * 8, col = step * STEP + lane % 4 * 2 + reg / 2 * 8;
    float v[2] = {0.0f, 0.0f};
    for (int e = 0; e < 2; e++)
        if (row < from.rows && col + e < from.cols)
            v[e] = weight_value(from, row, col + e);
    int segment = step / SEGMENT_STEPS, first = segment * SEGMENT_STEPS;
    int n = matrix::min_of(SEGMENT_STEPS, to.n_steps - first); /* steps of this segment */
    size_t at = (static_cast<size_t>(tile) * to.n_steps + first) * to.n_planes + step - first;
    for (int p = 0; p < to.n_planes; p++) {
        words[(at + static_cast<size_t>(p) * n) * STEP_WORDS + word] = pair_of(v[0], v[1]);
        v[0] -= rounded(v[0]);
        v[1] -= rounded(v[1]);
    }
}

/* A thread a row's part of four steps, 64 columns: codes, and the scale of the group that it begins. */
__global__ static void pack_codes_kernel(weight_view from, matrix to, uint32_t *words)
{
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    int n_fours = to.n_steps / 4, lane = i % 32;
    size_t four = i / 32;
    int tile = static_cast<int>(four / n_fours), first = static_cast<int>(four % n_fours) * 64;
    if (tile >= to.n_tiles)
        return;
    uint32_t *at = words + four * to.words_of_four();
    auto code = [&](int row, int col) {
        if (row >= from.rows || col >= from.cols)
            return 0u;
        size_t k = static_cast<size_t>(row) * from.cols + col, per = 32 / from.bits;
        return static_cast<const uint32_t *>(from.data)[k / per] >> (k % per * from.bits) & ((1u << from.bits) - 1);
    };
    for (int s = 0; s < 4; s++)
        for (int pair = 0; pair < 4; pair++) {
            int row = tile * TILE + lane / 4 + pair % 2 * 8, col = first + s * STEP + lane % 4 * 2 + pair / 2 * 8;
            uint32_t a = code(row, col), b = code(row, col + 1);
            if (from.bits == 4) {
                uint32_t *to_word = at + lane * 4 + s;
                *to_word = (pair == 0 ? 0 : *to_word) | a << 4 * pair | b << (4 * pair + 16);
            } else {
                uint32_t *to_word = at + (s / 2 * 32 + lane) * 4 + s % 2 * 2 + pair / 2;
                *to_word = (pair % 2 == 0 ? 0 : *to_word) | (a | b << 8) << 16 * (pair % 2);
            }
        }
    float2 *scales = reinterpret_cast<float2 *>(at + 32 * from.bits);
    for (int k = lane; k < to.n_scales * TILE; k += 32) {
        int row = tile * TILE + k % TILE, col = first + k / TILE * (64 / to.n_scales);
        bool is_in = row < from.rows && col < from.cols;
        size_t g = is_in ? (static_cast<size_t>(row) * from.cols + col) / from.group : 0;
        scales[k] = is_in ? make_float2(element(from.dtype, from.scales, g), element(from.dtype, from.biases, g))
                          : make_float2(0.0f, 0.0f);
    }
}

void launch_pack(context &ctx, const weight_view &from, const matrix &to)
{
    if (to.bits != 0) {
        size_t n_threads = static_cast<size_t>(to.n_tiles) * to.n_steps / 4 * 32;
        pack_codes_kernel<<<static_cast<unsigned>((n_threads + 255) / 256), 256, 0, ctx.stream>>>(
            from, to, reinterpret_cast<uint32_t *>(const_cast<uint4 *>(to.tiles)));
        check(cudaGetLastError(), "packing a matrix");
        return;
    }
    size_t n = static_cast<size_t>(to.n_tiles) * to.n_steps * STEP_WORDS;
    pack_kernel<<<static_cast<unsigned>((n + 255) / 256), 256, 0, ctx.stream>>>(
        from, to, reinterpret_cast<uint32_t *>(const_cast<uint4 *>(to.tiles)));
    check(cudaGetLastError(), "packing a matrix");
}

/* A sum of many rows: the first is taken as it is, the others are added in order. */
__global__ static void embed_kernel(weight_view table, const int32_t *ids, int n_per_row,
                                    float *out)
{
    int r = blockIdx.y, c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= table.cols)
        return;
    float sum = 0.0f;
    for (int j = 0; j < n_per_row; j++) {
        float v = weight_value(table, ids[r * n_per_row + j], c);
        sum = j == 0 ? v : sum + v;
    }
    out[static_cast<size_t>(r) * table.cols + c] = sum;
}

void launch_embed(context &ctx, const weight_view &table, const int32_t *ids, int rows,
                  int n_per_row, float *out)
{
    for (int first = 0; first < rows; first += 65535) {
        int n = matrix::min_of(rows - first, 65535);
        dim3 grid((table.cols + 127) / 128, n);
        embed_kernel<<<grid, 128, 0, ctx.stream>>>(table, ids + static_cast<size_t>(first) * n_per_row,
                                                   n_per_row,
                                                   out + static_cast<size_t>(first) * table.cols);
    }
    check(cudaGetLastError(), "rows of a table");
}

/* ---- on the host -------------------------------------------------------- */

static bool is_half(const csm_tensor &t)
{
    return t.dtype == CSM_DTYPE_F16 || t.dtype == CSM_DTYPE_BF16;
}

static int bits_of(csm_precision precision)
{
    return precision == CSM_PRECISION_Q4 ? 4 : precision == CSM_PRECISION_Q8 ? 8 : 0;
}

static void put(context &ctx, memory &to, const void *from, size_t n_bytes)
{
    to.reserve(n_bytes + 16);
    check(cudaMemcpyAsync(to.as<void>(), from, n_bytes, cudaMemcpyHostToDevice, ctx.stream),
          "copying a weight to the card");
}

/* Codes made here, as mx.quantize makes them, rounded as engine native rounds. */
struct quantizing {
    const csm_weight &w;
    int bits;
    uint32_t *words;
    float *scales, *biases;
};

static void quantize_rows(void *user, size_t first, size_t end, int)
{
    const quantizing &q = *static_cast<const quantizing *>(user);
    const csm_weight &w = q.w;
    const csm_tensor &t = w.source.tensor;
    size_t n_groups = w.cols / DEFAULT_GROUP, n_words = w.cols * static_cast<size_t>(q.bits) / 32;
    std::vector<float> row(w.cols);
    std::vector<uint8_t> codes(w.cols);
    bool is_f16 = t.dtype == CSM_DTYPE_F16;
    auto round_scale = [&](float x) {
        return is_f16 ? csm_from_f16(csm_to_f16(x)) : csm_from_bf16(csm_to_bf16(x));
    };
    for (size_t r = first; r < end; r++) {
        for (size_t c = 0; c < w.cols; c++) {
            row[c] = csm_element(&t, w.source.transposed ? c * w.rows + r : r * w.cols + c);
            if (!is_half(t))
                row[c] = csm_from_bf16(csm_to_bf16(row[c]));
        }
        float *rs = q.scales + r * n_groups, *rb = q.biases + r * n_groups;
        csm_affine_quantize(row.data(), w.cols, q.bits, DEFAULT_GROUP, codes.data(), rs, rb);
        csm_affine_pack(codes.data(), w.cols, q.bits, q.words + r * n_words);
        for (size_t g = 0; g < n_groups; g++) {
            rs[g] = round_scale(rs[g]);
            rb[g] = round_scale(rb[g]);
        }
    }
}

static void quantize(context &ctx, const csm_weight &w, int bits, memory &data, memory &scales,
                     memory &biases)
{
    enum { ROWS_AT_ONCE = 16 };
    size_t n_groups = w.cols / DEFAULT_GROUP, n_words = w.cols * static_cast<size_t>(bits) / 32;
    std::vector<float> s(w.rows * n_groups), b(w.rows * n_groups);
    std::vector<uint32_t> words(w.rows * n_words);
    quantizing job = {w, bits, words.data(), s.data(), b.data()};
    csm_threads *threads = nullptr;
    if (csm_threads_new(0, &threads, nullptr) == CSM_OK)
        csm_threads_run(threads, quantize_rows, &job, w.rows, ROWS_AT_ONCE);
    else
        quantize_rows(&job, 0, w.rows, 0); /* it takes longer */
    csm_threads_free(threads);
    put(ctx, data, words.data(), words.size() * sizeof(uint32_t));
    put(ctx, scales, s.data(), s.size() * sizeof(float));
    put(ctx, biases, b.data(), b.size() * sizeof(float));
    check(cudaStreamSynchronize(ctx.stream), "copying a weight to the card");
}

static int made_bits(csm_precision precision, const csm_weight &w)
{
    bool is_plain = !w.source.exact && w.source.format == CSM_WEIGHT_FLOAT;
    bool is_matrix = w.source.tensor.rank == 2 && w.cols % DEFAULT_GROUP == 0;
    return is_plain && is_matrix ? bits_of(precision) : 0;
}

weight_view upload(context &ctx, csm_weight &w, memory &data, memory &scales, memory &biases)
{
    const csm_weight_source &s = w.source;
    weight_view v;
    v.rows = static_cast<int>(w.rows);
    v.cols = static_cast<int>(w.cols);
    int bits = made_bits(ctx.precision, w);
    if (bits != 0) {
        quantize(ctx, w, bits, data, scales, biases);
        v.kind = weight_view::AFFINE;
        v.dtype = CSM_DTYPE_F32;
        v.bits = bits;
        v.group = DEFAULT_GROUP;
    } else {
        put(ctx, data, s.tensor.data, s.tensor.n_bytes);
        v.dtype = s.tensor.dtype;
        v.transposed = s.transposed;
        v.round = w.round;
        if (s.format == CSM_WEIGHT_AFFINE) {
            put(ctx, scales, s.scales.data, s.scales.n_bytes);
            put(ctx, biases, s.biases.data, s.biases.n_bytes);
            v.kind = weight_view::AFFINE;
            v.dtype = s.scales.dtype;
            v.bits = s.bits;
            v.group = s.group_size;
        }
    }
    v.data = data.as<void>();
    v.scales = scales.as<void>();
    v.biases = biases.as<void>();
    return v;
}

void pack(context &ctx, const weight_view &view, int n_planes, memory &to, matrix &out)
{
    out.rows = view.rows;
    out.n_tiles = (view.rows + TILE - 1) / TILE;
    out.n_steps = steps_of(static_cast<size_t>(view.cols));
    out.n_planes = n_planes;
    if (view.kind == weight_view::AFFINE) {
        out.bits = view.bits;
        out.n_scales = view.group == 32 ? 2 : 1;
    }
    out.part_steps = out.n_steps <= WHOLE_STEPS ? WHOLE_STEPS : PART_STEPS;
    to.reserve(out.words_before(out.n_tiles, 0) * sizeof(uint32_t));
    out.tiles = to.as<const uint4>();
    launch_pack(ctx, view, out);
}

const matrix &product_form(context &ctx, csm_weight &w)
{
    if (w.matrix.tiles != nullptr)
        return w.matrix;
    if (w.source.tensor.rank != 2)
        throw declined(shaped("%s: of rank %zu where a matrix was expected", w.source.tensor.name,
                              w.source.tensor.rank));
    memory scales, biases;
    weight_view view = upload(ctx, w, ctx.staging, scales, biases);
    pack(ctx, view, w.n_planes, w.packed, w.matrix);
    /* The scales go, and the staging is the next weight's. */
    check(cudaStreamSynchronize(ctx.stream), "packing a matrix");
    return w.matrix;
}

weight_view table_form(context &ctx, csm_weight &w)
{
    if (w.raw.size() == 0)
        return upload(ctx, w, w.raw, w.raw_scales, w.raw_biases);
    weight_view v;
    v.rows = static_cast<int>(w.rows);
    v.cols = static_cast<int>(w.cols);
    v.dtype = w.source.tensor.dtype;
    v.transposed = w.source.transposed;
    v.round = w.round;
    int bits = made_bits(ctx.precision, w);
    if (bits != 0 || w.source.format == CSM_WEIGHT_AFFINE) {
        v.kind = weight_view::AFFINE;
        v.dtype = bits != 0 ? CSM_DTYPE_F32 : w.source.scales.dtype;
        v.bits = bits != 0 ? bits : w.source.bits;
        v.group = bits != 0 ? DEFAULT_GROUP : w.source.group_size;
        v.transposed = false;
    }
    v.data = w.raw.as<void>();
    v.scales = w.raw_scales.as<void>();
    v.biases = w.raw_biases.as<void>();
    return v;
}

const float *vector_form(const csm_weight *w, size_t size)
{
    if (w->source.tensor.rank != 1 || w->rows != size)
        throw declined(shaped("%s: %zu values, expected a vector of %zu", w->source.tensor.name,
                              w->rows, size));
    return w->vector.as<float>();
}

static void check_affine(const context &ctx, const csm_weight &w)
{
    const csm_weight_source &s = w.source;
    size_t n_scales = s.group_size > 0 ? w.rows * (w.cols / static_cast<size_t>(s.group_size)) : 0;
    if ((s.bits != 4 && s.bits != 8) || !csm_affine_fits(s.bits, s.group_size, 0))
        throw declined(shaped("%s: quantized to %d bits in groups of %d, expected 4 or 8 bits in groups of 32, 64 or "
                              "128: engine native reads it",
                              s.tensor.name, s.bits, s.group_size));
    if (s.tensor.dtype != CSM_DTYPE_U32 || s.transposed || !csm_affine_fits(s.bits, s.group_size, w.cols) ||
        !csm_is_float(s.scales.dtype) || s.biases.dtype != s.scales.dtype ||
        s.scales.n_bytes != n_scales * csm_dtype_size(s.scales.dtype) || s.biases.n_bytes != s.scales.n_bytes)
        throw declined(shaped("%s: quantized to %d bits in groups of %d, expected words, scales and biases of that",
                              s.tensor.name, s.bits, s.group_size));
    int asked = s.exact ? 0 : bits_of(ctx.precision);
    if (asked != 0 && asked != s.bits)
        throw declined(shaped("%s: stored in %d bits, cannot be quantized again to %d",
                              s.tensor.name, s.bits, asked));
}

/* Rounding and planes of the values. */
static void choose_planes(csm_precision asked, csm_weight &w)
{
    csm_precision precision = w.source.exact ? CSM_PRECISION_STORED : asked;
    csm_dtype dtype = w.source.tensor.dtype;
    if (w.source.format == CSM_WEIGHT_AFFINE || made_bits(asked, w) != 0) {
        w.n_planes = 1;
        return;
    }
    if (precision == CSM_PRECISION_BF16 && dtype != CSM_DTYPE_BF16)
        w.round = weight_view::TO_BF16;
    if (precision == CSM_PRECISION_F16 && dtype != CSM_DTYPE_F16)
        w.round = weight_view::TO_F16;
    bool is_bf16 = w.round == weight_view::TO_BF16 ||
                   (dtype == CSM_DTYPE_BF16 && w.round == weight_view::AS_IS);
    bool is_f16 = w.round == weight_view::TO_F16 || dtype == CSM_DTYPE_F16;
    w.n_planes = is_bf16 ? 1 : is_f16 ? 2 : 3;
}

/* The source and the shape of its matrix. */
static std::unique_ptr<csm_weight> describe(const context &ctx, const csm_weight_source &source)
{
    const csm_tensor &t = source.tensor;
    bool is_affine = source.format == CSM_WEIGHT_AFFINE;
    if (!is_affine && source.format != CSM_WEIGHT_FLOAT)
        throw declined(shaped("%s: quantized to mxfp4, mxfp8 or nvfp4, expected affine codes or floats: engine native "
                              "reads it",
                              t.name));
    if (t.rank < 1 || t.rank > 3 || (!is_affine && !csm_is_float(t.dtype)) ||
        (source.transposed && t.rank != 2))
        throw declined(shaped("%s: %s of rank %zu is no weight", t.name, csm_dtype_name(t.dtype),
                              t.rank));
    auto w = std::make_unique<csm_weight>();
    w->source = source;
    w->rows = t.shape[0];
    w->cols = t.rank == 1 ? 1 : t.shape[1] * (t.rank == 3 ? t.shape[2] : 1);
    if (source.transposed) {
        w->rows = t.shape[1];
        w->cols = t.shape[0];
    }
    if (is_affine) {
        /* The shape may be the matrix's own or that of its words. */
        if (source.bits > 0 && t.n_bytes == w->rows * w->cols * 4)
            w->cols = w->cols * 32 / static_cast<size_t>(source.bits);
        check_affine(ctx, *w);
    }
    if (w->rows > INT32_MAX / 2 || w->cols > INT32_MAX / 2)
        throw declined(shaped("%s: %zu x %zu values", t.name, w->rows, w->cols));
    return w;
}

/* What a weight takes in a context of that precision. */
static size_t bytes_of(csm_weight &w, csm_precision precision)
{
    const csm_weight_source &s = w.source;
    if (s.tensor.rank == 1)
        return w.rows * sizeof(float);
    if (s.is_table && made_bits(precision, w) == 0)
        return s.tensor.n_bytes + s.scales.n_bytes + s.biases.n_bytes;
    if (s.is_table)
        return w.rows * (w.cols * static_cast<size_t>(bits_of(precision)) / 8 + w.cols / DEFAULT_GROUP * 8);
    choose_planes(precision, w);
    matrix m;
    m.n_steps = steps_of(w.cols);
    m.n_planes = w.n_planes;
    m.bits = s.format == CSM_WEIGHT_AFFINE ? s.bits : made_bits(precision, w);
    m.n_scales = s.format == CSM_WEIGHT_AFFINE && s.group_size == 32 ? 2 : 1;
    return m.words_before(static_cast<int>((w.rows + TILE - 1) / TILE), 0) * sizeof(uint32_t);
}

void expect_room(context &ctx, const csm_weight_source *sources, size_t n)
{
    static const csm_precision precisions[] = {CSM_PRECISION_BF16, CSM_PRECISION_Q8, CSM_PRECISION_Q4};
    static const char *const names[] = {"bf16", "q8", "q4"};
    size_t wanted = 0, bytes[3] = {0, 0, 0}, n_free = 0, n_total = 0;
    for (size_t i = 0; i < n; i++) {
        auto w = describe(ctx, sources[i]);
        wanted += bytes_of(*w, ctx.precision);
        for (int p = 0; p < 3; p++)
            bytes[p] += bytes_of(*w, precisions[p]);
    }
    int least = bytes[1] < bytes[0] ? 1 : 0;
    least = bytes[2] < bytes[least] ? 2 : least;
    check(cudaMemGetInfo(&n_free, &n_total), "memory of the card");
    if (wanted > n_free)
        throw failure(cudaErrorMemoryAllocation,
                      shaped("the model's weights take %zu MB, %zu of the card's %zu MB are free, dtype %s takes "
                             "the least, %zu MB",
                             wanted >> 20, n_free >> 20, n_total >> 20, names[least], bytes[least] >> 20));
}

csm_weight *make_weight(context &ctx, const csm_weight_source &source)
{
    const csm_tensor &t = source.tensor;
    auto w = describe(ctx, source);
    choose_planes(ctx.precision, *w);
    if (t.rank == 1) {
        std::vector<float> values(w->rows);
        for (size_t i = 0; i < w->rows; i++)
            values[i] = csm_element(&t, i);
        put(ctx, w->vector, values.data(), values.size() * sizeof(float));
        check(cudaStreamSynchronize(ctx.stream), "copying a weight to the card");
    } else if (source.is_table) {
        table_form(ctx, *w);
    } else if (t.rank == 2 && !source.exact) {
        product_form(ctx, *w);
    }
    return w.release();
}

} // namespace csm_cuda
