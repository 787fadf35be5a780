/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_engine.h - what the files of the cuda engine share: its context, the forms
 * that weights, values and caches have on the card, and the kernels' jobs.
 *
 * All arithmetic of a matrix is one instruction, mma.m16n8k16 over bfloat16 with
 * float32 sums, whatever the number of rows: see cuda_product.cuh for the order of
 * every sum. So a row's numbers do not depend on the rows beside it. Activations are
 * float32 and go into a product as two bfloat16 planes (16 bits), or three (24 bits)
 * beside a float32 matrix.
 *
 * Work is put on one stream and runs behind the host; `read` waits. Functions here
 * throw; cuda_table.cu lets nothing out. */
#ifndef CSM_CUDA_ENGINE_H
#define CSM_CUDA_ENGINE_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <cuda_runtime.h>

#include "engine/engine.h"

namespace csm_cuda {

/* Thrown for what this engine declines. */
struct declined : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/* Thrown for a call of the card that failed. */
struct failure : std::runtime_error {
    cudaError_t code;
    failure(cudaError_t error, const std::string &what) : std::runtime_error(what), code(error) {}
};

/* Throws a failure that says what was tried. */
void check(cudaError_t error, const char *what);

std::string shaped(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Bytes on the card. */
class memory {
public:
    memory() = default;
    explicit memory(size_t n_bytes);
    memory(memory &&other) noexcept;
    memory &operator=(memory &&other) noexcept;
    ~memory();

    /* At least n_bytes; contents are lost when it grows. */
    void reserve(size_t n_bytes);
    template <class T> T *as() const { return static_cast<T *>(data); }
    size_t size() const { return n_bytes; }

private:
    void *data = nullptr;
    size_t n_bytes = 0;
};

/* ---- the order of sums -------------------------------------------------- */

enum {
    TILE = 16,         /* rows of a matrix that lie together */
    STEP = 16,         /* columns that one instruction takes */
    STEPS_PADDED = 4,  /* a row is filled up with zeros to whole fours of steps */
    SEGMENT_STEPS = 16,/* that are summed one after the other */
    WHOLE_STEPS = 256, /* so many are one part, whose segments are summed in order; */
    PART_STEPS = 128,  /* more are cut into parts of so many */
    STEP_WORDS = 128,  /* 32-bit words of a tile in one step and plane */
    PAGE = 32,         /* positions of a page of keys and values */
    CHUNK_PAGES = 4,   /* pages whose results are merged first */
    MAX_HEAD_DIM = 256
};

/* Keys lie in fours or eights of dimensions, filled up with zeros. */
__host__ __device__ inline int padded_head(int head_dim)
{
    return (head_dim + 7) / 8 * 8;
}

/* A matrix for products: [tile][segment][plane][step][lane] of four words, the A operand
 * of the instruction. Or an affine one, of codes: [tile][four steps], each
 *
 *   4 bits  [lane][step] of a word: pair p of the operand is its nibbles p and p + 4
 *   8 bits  [two steps][lane][step] of two words: pair p is bytes 2 p and 2 p + 1
 *   then    [group of columns][row] of scale and bias, float32 */
struct matrix {
    const uint4 *tiles = nullptr;
    int rows = 0, n_tiles = 0, n_steps = 0, n_planes = 0;
    int bits = 0, n_scales = 1; /* of codes, or 0; groups of columns in four steps, 1 or 2 */
    __host__ __device__ int words_of_four() const
    {
        return bits == 0 ? 4 * n_planes * STEP_WORDS : 32 * bits + 32 * n_scales;
    }
    /* Words before a tile's step, which is a multiple of four and, of planes, begins a segment. */
    __host__ __device__ size_t words_before(int tile, int step) const
    {
        return (static_cast<size_t>(tile) * n_steps + step) / 4 * words_of_four();
    }
    __host__ __device__ bool is_alike(const matrix &o) const
    {
        return n_steps == o.n_steps && n_planes == o.n_planes && part_steps == o.part_steps && bits == o.bits &&
               n_scales == o.n_scales;
    }
    int part_steps = WHOLE_STEPS; /* a multiple of SEGMENT_STEPS, or all steps */
    __host__ __device__ int n_parts() const { return (n_steps + part_steps - 1) / part_steps; }
    __host__ __device__ int part_segments(int part) const
    {
        int steps = min_of(part_steps, n_steps - part * part_steps);
        return (steps + SEGMENT_STEPS - 1) / SEGMENT_STEPS;
    }
    __host__ __device__ static int min_of(int a, int b) { return a < b ? a : b; }
};

/* Rows of activations as planes, the B operand: [two steps][group of 8 columns][8 of the
 * steps' 32][column of the group] of four words, as ldmatrix and wgmma take them. A row has
 * `slots` columns: 2 planes, or 3 and one that is not read. */
struct planes {
    uint32_t *words = nullptr;
    int n_steps = 0, slots = 2, n_groups = 0;
    __host__ __device__ int rows_per_group() const { return 8 / slots; }
};

static inline int steps_of(size_t cols)
{
    size_t unit = (size_t)STEP * STEPS_PADDED;
    return static_cast<int>((cols + unit - 1) / unit * STEPS_PADDED);
}

/* ---- jobs of kernels ---------------------------------------------------- */

/* Where the numbers of a weight come from: raw arrays on the card. */
struct weight_view {
    enum kind_of { FLOAT, AFFINE, CONV, CONV_TRANSPOSED } kind = FLOAT;
    csm_dtype dtype = CSM_DTYPE_F32; /* of data, or of scales and biases */
    const void *data = nullptr, *scales = nullptr, *biases = nullptr;
    int rows = 0, cols = 0;
    bool transposed = false;
    int bits = 0, group = 0;
    enum round_to { AS_IS, TO_BF16, TO_F16 } round = AS_IS;
    int in = 0, out = 0, kernel = 0, stride = 0, dilation = 0, window = 0; /* CONV */
};

/* Rows made ready: v = x + layer_scale * (sum of parts), kept in x; then activation, norm;
 * then planes or floats. */
struct rows_job {
    int n = 0, width = 0;
    float *x = nullptr; /* [n, ld]; NULL: 0, and v is not kept */
    size_t ld = 0;
    bool keeps_x = false;
    const float *parts = nullptr, *parts_up = nullptr; /* [n_parts, n, ld_parts] */
    int n_parts = 0;
    size_t ld_parts = 0, between_parts = 0; /* 0: n * ld_parts */
    const float *layer_scale = nullptr;
    const float *bias = nullptr; /* added to v */
    enum activation_of { NONE, GELU, GATED } activation = NONE; /* GATED: silu(v) * parts_up */
    enum norm_of { PLAIN, RMS, LAYER } norm = PLAIN;
    const float *norm_scale = nullptr, *norm_bias = nullptr;
    float eps = 0;
    float *out = nullptr; /* [n, width] */
    planes to;            /* or: */
};

/* y = W x for up to three matrices of one input. */
struct product_job {
    int n_matrices = 0;
    matrix m[3];
    int first_tile[4] = {0, 0, 0, 0};
    int first_row[3] = {0, 0, 0}; /* column of out where its rows begin */
    planes x;
    int n = 0; /* rows of activations */
    float *out = nullptr; /* [part][n][ld] */
    size_t ld = 0;
    const float *bias = nullptr; /* [rows], one matrix of one part only */
    bool is_gated = false;       /* m[0] gate, m[1] up: silu(gate) * up to out_planes */
    planes out_planes;
};

/* One row of activations in attention. */
struct attend_row {
    float *const *pages; /* of its lane */
    int n_pages;         /* of that table, which is a ring */
    int position;
};

struct attend_job {
    const attend_row *rows;
    int n;
    const float *qkv; /* [n_parts][n][ld]: queries, keys, values */
    int n_parts;
    size_t ld;
    int n_heads, n_kv_heads, head_dim, layer, window;
    int most_pages; /* that a row sees */
    int heads_at_once; /* in a block: all that share keys and values, or 1 */
    bool is_one_each;  /* no two rows are of one lane; so: */
    bool appends;      /* a row's block brings its key and value into the page */
    bool interleaved;
    bool keeps_half; /* of the pages */
    float scale;
    const float *frequencies; /* [head_dim / 2] */
    planes to;                /* [n, n_heads * head_dim] */
};

/* What one stream's convolution has kept, as the card is told it. */
struct conv_past {
    float *past;
    int has_past; /* 0: nothing has come */
    bool operator==(const conv_past &o) const { return past == o.past && has_past == o.has_past; }
};

struct context;

void launch_pack(context &ctx, const weight_view &from, const matrix &to);
void launch_embed(context &ctx, const weight_view &table, const int32_t *ids, int rows,
                  int n_per_row, float *out);
void launch_rows(context &ctx, const rows_job &job);
void launch_product(context &ctx, const product_job &job);
/* Of many rows, by wgmma (cuda_wide.cu); n_tiles, n_parts: of all its matrices, which are alike. False: this card
 * or build has none. */
bool launch_wide(context &ctx, const product_job &job, int n_tiles, int n_parts);
/* Keys and values of the rows into their pages, then queries to results. */
void launch_attend(context &ctx, const attend_job &job);
void launch_add(context &ctx, float *x, const float *y, size_t n);

} // namespace csm_cuda

struct csm_weight {
    csm_weight_source source;
    size_t rows, cols;
    csm_cuda::weight_view::round_to round = csm_cuda::weight_view::AS_IS;
    int n_planes = 1;
    csm_cuda::memory raw, raw_scales, raw_biases; /* a table: as it lies in the file */
    csm_cuda::memory vector;                      /* rank 1: float32 */
    csm_cuda::memory packed;                      /* for products */
    csm_cuda::matrix matrix;
    /* A convolution's: cuda_conv.cu. */
    csm_cuda::memory conv_bias, conv_direct, conv_flat, conv_pasts;
    std::vector<csm_cuda::conv_past> conv_told; /* what conv_pasts has */
};

struct csm_value {
    csm_cuda::memory memory;
    size_t rows = 0, cols = 0;
    float *data() const { return memory.as<float>(); }
    /* Contents are lost when it grows. */
    void shape(size_t n_rows, size_t n_cols);
};

namespace csm_cuda {

/* Pages of one size, given back when nobody holds them; memory is kept until the end. */
class page_pool {
public:
    explicit page_pool(size_t n_floats) : floats(n_floats) {}
    /* One page, zeroed once. */
    float *take(cudaStream_t stream);
    void give(float *page) { unused.push_back(page); }
    size_t n_floats() const { return floats; }

private:
    void extend(cudaStream_t stream);
    size_t floats, n_pages = 0;
    std::vector<memory> slabs;
    std::vector<float *> unused;
};

/* PAGE positions of all layers, [layer][kv head][keys, values], as key_at has them, float32 or float16
 * (keeps_half); two lanes that begin alike hold the same. */
struct page {
    page_pool &pool;
    float *data;
    page(page_pool &of, cudaStream_t stream) : pool(of), data(of.take(stream)) {}
    page(const page &) = delete;
    ~page() { pool.give(data); }
};

/* Frequencies of rotary positions, on the card: one for all lanes of a kind. */
struct rope_table {
    csm_rope rope;
    size_t head_dim;
    memory frequencies;
};

} // namespace csm_cuda

struct csm_lane {
    size_t n_layers, n_kv_heads, head_dim, window, capacity, n_table;
    bool keeps_half;
    csm_rope rope;
    const float *frequencies;
    csm_cuda::page_pool *pool;
    uint64_t begun = 0;          /* the frame that was begun for it and stands (cuda_alone.cu); or 0 */
    /* Noise of its next frame that is on the card already: of a frame of many, at a place there
     * (cuda_frame_host.cu). */
    uint64_t early_frame = 0;
    const float *early_noise = nullptr;
    size_t early_at = 0;
    /* The codes that its last frame goes on with have been fed: by a step of many, as a row there
     * (cuda_frame_ahead.cu); 0: or not. */
    uint64_t ahead_step = 0;
    size_t ahead_at = 0, ahead_position = 0;
    std::vector<size_t> lengths; /* of each layer */
    std::vector<std::shared_ptr<csm_cuda::page>> pages;
    csm_cuda::memory table; /* float *[n_table], on the card */
};

namespace csm_cuda {

struct frame_state; /* cuda_frame_state.h */

/* ---- the context -------------------------------------------------------- */

struct context {
    context();
    ~context();

    int device = 0;
    cudaDeviceProp properties = {};
    cudaStream_t stream = nullptr;
    int priority = 0; /* of kernels; frames go before a codec's */
    bool is_eager = true; /* kernels take their places while the one before ends (cuda_launch.cuh) */
    csm_precision precision = {};
    std::string version;
    csm_traits traits = {};
    std::vector<std::unique_ptr<page_pool>> pools;
    std::vector<std::unique_ptr<rope_table>> ropes;
    memory planes_a, planes_b, parts_a, parts_b, rows, ids, staging, window;
    std::unique_ptr<frame_state> frame;
};

/* ---- cuda_weights.cu ---- */
/* Throws where the card has no room for weights of these n sources. */
void expect_room(context &ctx, const csm_weight_source *sources, size_t n);
csm_weight *make_weight(context &ctx, const csm_weight_source &source);
const matrix &product_form(context &ctx, csm_weight &weight);
weight_view table_form(context &ctx, csm_weight &weight);
const float *vector_form(const csm_weight *weight, size_t size);
/* The weight's numbers uploaded: into the three memories, as a view. */
weight_view upload(context &ctx, csm_weight &weight, memory &data, memory &scales, memory &biases);
void pack(context &ctx, const weight_view &view, int n_planes, memory &to, matrix &out);

/* ---- cuda_blocks.cu ---- */
/* Pages of n_floats: one pool for all that ask for as many. */
page_pool *pool_of(context &ctx, size_t n_floats);
/* Whether lanes of such blocks keep keys and values in 16 bits: where the matrix that makes keys has no more, unless
 * float32 was asked for. What has a window, a codec's transformer, keeps few and keeps float32. */
bool keeps_half(const context &ctx, const csm_attention &first);
/* What they take for n positions, in floats. */
size_t kept_floats(const context &ctx, const csm_attention &first, size_t n_layers, size_t n_positions);
csm_lane *open_lane(context &ctx, const csm_attention *blocks, size_t n_layers, size_t capacity);
csm_lane *fork_lane(context &ctx, const csm_lane &from, size_t n_positions);
void truncate(csm_lane &lane, size_t n_positions);
/* Pages of its own for positions [from, to). */
void grow(context &ctx, csm_lane &lane, size_t from, size_t to);
size_t lane_bytes(const csm_lane &lane);
/* Pages that a row at the last of `length` positions sees, at most. */
size_t pages_seen(const csm_lane &lane, size_t length);
void embed(context &ctx, csm_weight &table, const int32_t *ids, size_t rows, size_t n_per_row,
           csm_value &out);
void norm(context &ctx, const csm_norm &norm, const csm_value &x, csm_value &out);
void linear(context &ctx, csm_weight &weight, const csm_weight *bias, const csm_value &x,
            csm_value &out);
void attention(context &ctx, const csm_attention &block, size_t layer, const csm_rows *lanes,
               size_t n_lanes, csm_value &x);
void mlp(context &ctx, const csm_mlp &block, csm_value &x);

planes room_for_planes(context &ctx, memory &room, size_t rows, size_t cols, int slots);
int slots_of(int n_planes);
float *room_for_parts(memory &room, const matrix &m, size_t rows, size_t ld);
product_job one_product(const matrix &m, const planes &x, size_t rows, float *out);
/* out = the sum of the parts in parts_a, plus bias */
void finish_parts(context &ctx, const matrix &m, size_t rows, const float *bias, float *out);
void set_output_parts(const csm_attention &block);
/* Everything of an attention's job but rows, inputs and outputs. */
attend_job attention_of(const csm_attention &block, size_t layer, const float *frequencies);
const float *frequencies_of(context &ctx, const csm_rope &rope, size_t head_dim);
void set_norm(rows_job &job, const csm_norm &norm, size_t width);
rows_job plain_rows(const float *x, size_t rows, size_t width);
void add_matrix(product_job &job, const matrix &m);
void expect(const csm_weight &weight, size_t rows, size_t cols);

/* ---- cuda_frame.cu ---- */
csm_random *make_random(const context &ctx, uint64_t seed, size_t n_calls, size_t n_each);
/* Who is told of codes as they come (frame_in_pieces); arrived NULL: nobody. */
struct listener {
    void (*arrived)(void *user, size_t k) = nullptr;
    void *user = nullptr;
};
void draw_frames(context &ctx, const csm_frame_parts &parts, csm_frame_lane *lanes, size_t n,
                 const listener &listener);
/* Room for n lanes, and the kernels and recordings of every number of them. */
void ready_frames(context &ctx, const csm_frame_parts &parts, size_t n);

/* ---- cuda_conv.cu ---- */
csm_conv_state *make_conv_state(context &ctx, const csm_conv &conv);
/* Of n streams; states NULL: each is whole. */
void conv(context &ctx, const csm_conv &conv, csm_conv_state *const *states, size_t n, const csm_value &x,
          csm_value &out);

} // namespace csm_cuda

struct csm_conv_state {
    size_t n_past = 0, in = 0;
    bool has_past = false;
    std::unique_ptr<csm_cuda::page> past;
};

/* An engine's own random stream: PyTorch's on CUDA. */
struct csm_random {
    uint32_t key[2];
    uint64_t offset;
};

#endif
