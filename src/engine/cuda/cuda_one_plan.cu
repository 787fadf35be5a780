/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_one_plan.cu - whether a model fits into one launch, and who multiplies what in it. */
#include <algorithm>
#include <cmath>

#include "engine/cuda/cuda_one_block.cuh"

namespace csm_cuda {

/* Who multiplies what: a block has units of one part of a kind, so that it needs one part of
 * the input; the least busy takes the next. */
struct planner {
    int n_blocks;
    std::vector<std::vector<unit>> units[KINDS];
    std::vector<size_t> bytes;
    int ld[KINDS] = {};

    explicit planner(int n) : n_blocks(n), bytes(static_cast<size_t>(n), 0)
    {
        for (auto &kind : units)
            kind.resize(static_cast<size_t>(n));
    }

    /* first_row: of each matrix among the kind's outputs, and in the end how many there are. */
    void deal(int kind, const std::vector<const matrix *> &matrices, bool is_gated,
              const std::vector<int> &first_row)
    {
        int n_parts = matrices[0]->n_parts();
        ld[kind] = first_row.back();
        std::vector<size_t> items(static_cast<size_t>(n_blocks), 0);
        for (int part = 0; part < n_parts; part++)
            for (size_t w = 0; w < (is_gated ? 1 : matrices.size()); w++)
                for (int tile = 0; tile < matrices[w]->n_tiles; tile++) {
                    int best = -1;
                    for (int b = part % n_blocks; b < n_blocks; b += n_parts) {
                        size_t i = static_cast<size_t>(b);
                        if (best < 0 || items[i] < items[static_cast<size_t>(best)] ||
                            (items[i] == items[static_cast<size_t>(best)] &&
                             bytes[i] < bytes[static_cast<size_t>(best)]))
                            best = b;
                    }
                    size_t i = static_cast<size_t>(best), n = is_gated ? 2 : 1;
                    for (size_t g = 0; g < n; g++)
                        units[kind][i].push_back(
                            {static_cast<uint16_t>(is_gated ? g : w), static_cast<uint16_t>(part),
                             static_cast<uint32_t>(tile), static_cast<uint32_t>(first_row[w] + tile * TILE),
                             static_cast<uint32_t>(matrix::min_of(TILE, matrices[w]->rows - tile * TILE))});
                    items[i] += n * static_cast<size_t>(matrices[w]->part_segments(part));
                    bytes[i] += n * static_cast<size_t>(matrices[w]->part_segments(part)) *
                                static_cast<size_t>(matrices[w]->n_planes);
                }
    }
};

static bool are_alike(const matrix &a, const matrix &b)
{
    return a.is_alike(b);
}

static bool is_like(const matrix &a, const matrix &b)
{
    return a.rows == b.rows && are_alike(a, b);
}

static bool fits(const matrix &m, size_t cols)
{
    return static_cast<size_t>(m.n_steps) * STEP == cols && m.n_planes <= 2;
}

/* Of a kind, whose matrices are alike but for their rows. */
static const matrix &matrix_of(const one_program &o, int kind)
{
    const stack_shape &s = kind < D_QKV ? o.b : o.d;
    switch (kind) {
    case FIRST:
        return o.first_head;
    case HEAD:
        return o.head;
    case B_QKV:
    case D_QKV:
        return s.qkv[0];
    case B_O:
    case D_O:
        return s.o;
    case B_UP:
    case D_UP:
        return s.up;
    default:
        return s.down;
    }
}

static bool has_parts(const matrix &m)
{
    return m.n_parts() == 1 || m.n_parts() == 2 || m.n_parts() == 4;
}

/* A stack of layers alike that this kernel can run; fills shape and layers. */
static bool take_stack(context &ctx, const csm_attention *attention, const csm_mlp *mlp, size_t n_layers,
                       bool is_depth, stack_shape &s, layer_data *layers)
{
    if (n_layers < 2 || n_layers > MOST_LAYERS)
        return false;
    const csm_attention &a = attention[0];
    const csm_mlp &m = mlp[0];
    s = {};
    s.n_layers = static_cast<int>(n_layers);
    s.width = static_cast<int>(a.width);
    s.hidden = static_cast<int>(m.hidden);
    s.n_heads = static_cast<int>(a.n_heads);
    s.n_kv_heads = static_cast<int>(a.n_kv_heads);
    s.head_dim = static_cast<int>(a.head_dim);
    s.interleaved = a.rope.interleaved;
    s.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
    s.frequencies = frequencies_of(ctx, a.rope, a.head_dim);
    s.eps = a.norm.eps;
    s.qkv[0] = a.q->matrix;
    s.qkv[1] = a.k->matrix;
    s.qkv[2] = a.v->matrix;
    s.o = a.o->matrix;
    s.up = m.up->matrix;
    s.down = m.down->matrix;
    bool is_good = a.width * (is_depth ? MOST_ROWS : 1) <= MOST_WIDTH && a.width % 64 == 0 &&
                   m.hidden % TILE == 0 && a.head_dim % 16 == 0 && keeps_half(ctx, a) && fits(s.qkv[0], a.width) &&
                   fits(s.qkv[1], a.width) &&
                   fits(s.qkv[2], a.width) && are_alike(s.qkv[0], s.qkv[1]) &&
                   are_alike(s.qkv[0], s.qkv[2]) && fits(s.o, a.n_heads * a.head_dim) && fits(s.up, a.width) &&
                   fits(s.down, m.hidden) && has_parts(s.o) && has_parts(s.down) && s.up.n_parts() == 1 &&
                   s.qkv[0].n_parts() == 1 &&
                   (s.o.part_steps * STEP % (a.n_heads / a.n_kv_heads * a.head_dim) == 0 || s.o.n_parts() == 1);
    for (size_t l = 0; is_good && l < n_layers; l++) {
        const csm_attention &b = attention[l];
        const csm_mlp &n = mlp[l];
        is_good = is_like(b.q->matrix, s.qkv[0]) && is_like(b.k->matrix, s.qkv[1]) &&
                  is_like(b.v->matrix, s.qkv[2]) && is_like(b.o->matrix, s.o) &&
                  is_like(n.gate->matrix, s.up) && is_like(n.up->matrix, s.up) &&
                  is_like(n.down->matrix, s.down) && b.layer_scale == nullptr && n.layer_scale == nullptr &&
                  b.norm.kind == csm_norm::CSM_NORM_RMS && n.norm.kind == csm_norm::CSM_NORM_RMS &&
                  b.norm.eps == s.eps && n.norm.eps == s.eps;
        layers[l] = {b.q->matrix.tiles, b.k->matrix.tiles, b.v->matrix.tiles, b.o->matrix.tiles,
                     n.gate->matrix.tiles, n.up->matrix.tiles, n.down->matrix.tiles,
                     vector_form(b.norm.scale, b.width), vector_form(n.norm.scale, n.width)};
    }
    return is_good;
}

static size_t part_input_bytes(const matrix &m, int rows)
{
    return static_cast<size_t>(m.part_steps < m.n_steps ? m.part_steps : m.n_steps) * STEP * 4 *
           static_cast<size_t>(rows);
}

static bool take_shapes(context &ctx, const csm_frame_parts &p, const float *projected, one_program &o)
{
    if (ctx.properties.major < 9 ||
        !take_stack(ctx, p.step.attention, p.step.mlp, p.step.n_layers, false, o.b, o.layers[0]) ||
        !take_stack(ctx, p.attention, p.mlp, p.n_layers, true, o.d, o.layers[1]))
        return false;
    o.first_head = p.first_head->matrix;
    o.projector = p.projector->matrix;
    o.head = p.heads[0]->matrix;
    bool is_good = fits(o.first_head, p.step.attention[0].width) && fits(o.projector, p.step.attention[0].width) &&
                   fits(o.head, p.attention[0].width) && o.first_head.n_parts() == 1 &&
                   are_alike(o.first_head, o.projector) && o.head.n_parts() == 1 && p.n_codebooks <= PAGE;
    for (size_t k = 0; is_good && k + 1 < p.n_codebooks; k++) {
        is_good = is_like(p.heads[k]->matrix, o.head);
        o.heads[k] = p.heads[k]->matrix.tiles;
    }
    /* Room in a block: of pages in a stage and in the input, of planes, of queries. */
    size_t d = static_cast<size_t>(o.d.head_dim), db = static_cast<size_t>(o.b.head_dim);
    size_t group = static_cast<size_t>(o.d.n_heads / o.d.n_kv_heads) * d;
    size_t o_part = static_cast<size_t>(matrix::min_of(o.d.o.part_steps, o.d.o.n_steps)) * STEP;
    size_t group_b = static_cast<size_t>(o.b.n_heads / o.b.n_kv_heads);
    is_good = is_good && PAGE * db * 2 <= SEGMENT_BYTES && db <= 64 && o_part % group == 0 &&
              PAGES_AT + o_part / group * 2 * PAGE * d * 2 <= INPUT_BYTES && o.d.width * 4 <= PAGES_AT &&
              o_part * 4 * MOST_ROWS <= PAGES_AT && part_input_bytes(o.d.down, MOST_ROWS) <= INPUT_BYTES &&
              part_input_bytes(o.b.down, 1) <= INPUT_BYTES && part_input_bytes(o.b.o, 1) <= INPUT_BYTES &&
              d <= MOST_HEAD && (group_b * db + 2 * db + group_b * CHUNK_PAGES * (db + 2)) * 4 <= INPUT_BYTES;
    o.b_norm = vector_form(p.step.norm.scale, p.step.attention[0].width);
    o.d_norm = vector_form(p.norm.scale, p.attention[0].width);
    o.b_eps = p.step.norm.eps;
    o.d_eps = p.norm.eps;
    o.projected = projected;
    o.n_codebooks = static_cast<int>(p.n_codebooks);
    o.vocab = static_cast<int>(p.vocab);
    o.projected_at = (o.vocab + TILE - 1) / TILE * TILE; /* pairs of words lie on even places */
    o.n_blocks = ctx.properties.multiProcessorCount - ctx.properties.multiProcessorCount / LEFT_OUT;
    return is_good;
}

static void give_up(one_frame *one)
{
    delete one;
}

/* Every block's share of every kind, the largest kinds first. */
static planner share_out(const one_program &o)
{
    planner plan(o.n_blocks);
    for (int depth = 0; depth < 2; depth++) {
        const stack_shape &s = depth ? o.d : o.b;
        int base = depth ? D_QKV : B_QKV;
        std::fill(plan.bytes.begin(), plan.bytes.end(), 0);
        int k_row = s.qkv[0].rows, v_row = k_row + s.qkv[1].rows;
        plan.deal(base + B_UP, {&s.up, &s.up}, true, {0, s.hidden});
        plan.deal(base + B_DOWN, {&s.down}, false, {0, s.width});
        plan.deal(base + B_QKV, {&s.qkv[0], &s.qkv[1], &s.qkv[2]}, false, {0, k_row, v_row, v_row + s.qkv[2].rows});
        plan.deal(base + B_O, {&s.o}, false, {0, s.width});
    }
    plan.deal(FIRST, {&o.first_head, &o.projector}, false, {0, o.projected_at, o.projected_at});
    plan.deal(HEAD, {&o.head}, false, {0, o.vocab});
    return plan;
}

/* The shares as the card reads them. */
struct block_lists {
    std::vector<unit> units;       /* [block][MOST_UNITS], by kind */
    std::vector<int> first;        /* [block][KINDS + 1] of them */
    std::vector<kind_work> works;  /* [block][KINDS] */
    std::vector<head_part> heads;  /* [block]: of the depth decoder */
    size_t most_sums = 0;          /* floats that a block needs at once */

    explicit block_lists(size_t n_blocks)
        : units(n_blocks * MOST_UNITS), first(n_blocks * (KINDS + 1)), works(n_blocks * KINDS),
          heads(n_blocks, head_part())
    {
    }
};

/* One more unit of the matrix. */
static void add_unit(const matrix &m, const unit &u, int ld, kind_work &work)
{
    work.n_segments = m.part_segments(u.part);
    work.n_items += work.n_segments;
    work.n_planes = m.n_planes;
    work.bits = m.bits;
    work.n_scales = m.n_scales;
    work.pieces = SEGMENT_STEPS / STEPS_PADDED * m.words_of_four() / 4;
    work.by_stage = m.bits == 0 ? 0 : work.pieces * 16 * 4 <= ring_shape<true>::STAGE_BYTES ? 2 : 1;
    work.unit_stages = (work.n_segments + (1 << work.by_stage) - 1) >> work.by_stage;
    work.n_stages += m.bits == 0 ? work.n_segments * m.n_planes : work.unit_stages;
    work.by_segments = 65536 / static_cast<uint32_t>(work.n_segments) + 1;
    work.ld = static_cast<uint32_t>(ld);
    work.n_steps = matrix::min_of(m.part_steps, m.n_steps - u.part * m.part_steps);
}

/* False: a block has more units than there is room for. */
static bool list_units(const planner &plan, one_program &o, block_lists &lists)
{
    for (size_t block = 0; block < static_cast<size_t>(o.n_blocks); block++) {
        size_t at = 0;
        for (int kind = 0; kind < KINDS; kind++) {
            lists.first[block * (KINDS + 1) + static_cast<size_t>(kind)] = static_cast<int>(at);
            kind_work &work = lists.works[block * KINDS + static_cast<size_t>(kind)];
            const matrix &m = matrix_of(o, kind);
            for (const unit &u : plan.units[kind][block]) {
                if (at == MOST_UNITS)
                    return false;
                lists.units[block * MOST_UNITS + at++] = u;
                add_unit(m, u, plan.ld[kind], work);
                o.has_codes |= m.bits != 0;
            }
            bool is_two = kind >= D_QKV && kind <= D_DOWN;
            lists.most_sums = std::max(lists.most_sums,
                                       static_cast<size_t>(work.n_items) * TILE * (is_two ? MOST_ROWS : 1));
        }
        lists.first[block * (KINDS + 1) + KINDS] = static_cast<int>(at);
    }
    return true;
}

/* The heads of the depth decoder whose results a block multiplies; the first block of each part keeps their keys
 * and values. */
static void list_heads(const planner &plan, const one_program &o, block_lists &lists)
{
    std::vector<bool> has_writer(static_cast<size_t>(o.d.o.n_parts()), false);
    for (size_t block = 0; block < static_cast<size_t>(o.n_blocks); block++) {
        const auto &outputs = plan.units[D_O][block];
        if (outputs.empty())
            continue;
        int part = outputs[0].part, d = o.d.head_dim, group = o.d.n_heads / o.d.n_kv_heads;
        head_part &h = lists.heads[block];
        h.first = part * o.d.o.part_steps * STEP;
        h.n = matrix::min_of(o.d.o.part_steps * STEP, o.d.n_heads * d - h.first);
        h.n_heads = h.n / d;
        h.first_kv = h.first / (group * d);
        h.n_kv = h.n / (group * d);
        h.writes_cache = !has_writer[static_cast<size_t>(part)];
        has_writer[static_cast<size_t>(part)] = true;
    }
    /* Its queries and scores lie where sums do, too. */
    size_t o_part = static_cast<size_t>(matrix::min_of(o.d.o.part_steps, o.d.o.n_steps)) * STEP;
    size_t d = static_cast<size_t>(o.d.head_dim);
    lists.most_sums = std::max(lists.most_sums, o_part / d * MOST_ROWS * (d + 4 * QUERY_GAP + PAGE));
}

/* What blocks tell each other: words, each kind of them from a line on, zeroed once. */
static void make_words(context &ctx, one_frame &one)
{
    one_program &o = one.host;
    size_t width = static_cast<size_t>(std::max(o.b.width, o.d.width));
    size_t hidden = static_cast<size_t>(std::max(o.b.hidden, o.d.hidden));
    auto qkv_of = [](const stack_shape &s) { return static_cast<size_t>((s.n_heads + 2 * s.n_kv_heads) * s.head_dim); };
    size_t sizes[] = {std::max(qkv_of(o.b), MOST_ROWS * qkv_of(o.d)),
                      std::max(qkv_of(o.b), MOST_ROWS * qkv_of(o.d)),
                      static_cast<size_t>(MOST_ONE_POSITIONS / CHUNK * o.b.n_heads * (o.b.head_dim + 2)),
                      static_cast<size_t>(MOST_ONE_POSITIONS / CHUNK * o.b.n_heads * (o.b.head_dim + 2)),
                      width * MOST_ROWS * static_cast<size_t>(std::max(o.b.o.n_parts(), o.d.o.n_parts())),
                      hidden * MOST_ROWS,
                      width * MOST_ROWS * static_cast<size_t>(std::max(o.b.down.n_parts(), o.d.down.n_parts())),
                      static_cast<size_t>(o.projected_at + o.d.width)};
    uint64_t **to[] = {&o.qkv[0], &o.qkv[1], &o.attended[0], &o.attended[1], &o.o, &o.h, &o.down, &o.logits};
    size_t n_words = 0;
    for (size_t size : sizes)
        n_words += (size + 15) / 16 * 16;
    one.words.reserve(n_words * sizeof(uint64_t));
    check(cudaMemsetAsync(one.words.as<void>(), 0, n_words * sizeof(uint64_t), ctx.stream), "a frame's words");
    size_t at = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *to[i] = one.words.as<uint64_t>() + at;
        at += (sizes[i] + 15) / 16 * 16;
    }
}

/* The depth decoder's pages, and what each block is told; then the program itself. */
static void bring(context &ctx, const csm_frame_parts &p, const block_lists &lists, one_frame &one)
{
    one_program &o = one.host;
    one.pages.reserve(kept_floats(ctx, p.attention[0], p.n_layers, PAGE) * sizeof(float));
    check(cudaMemsetAsync(one.pages.as<void>(), 0, one.pages.size(), ctx.stream), "a frame's pages");
    one.told.reserve(static_cast<size_t>(o.n_blocks + 2) * sizeof(uint32_t));
    check(cudaMemsetAsync(one.told.as<void>(), 0, one.told.size(), ctx.stream), "a frame's blocks");
    auto put = [&](memory &m, const void *from, size_t n_bytes) {
        m.reserve(n_bytes);
        check(cudaMemcpyAsync(m.as<void>(), from, n_bytes, cudaMemcpyHostToDevice, ctx.stream), "a frame's program");
    };
    put(one.units, lists.units.data(), lists.units.size() * sizeof(unit));
    put(one.first, lists.first.data(), lists.first.size() * sizeof(int));
    put(one.work, lists.works.data(), lists.works.size() * sizeof(kind_work));
    put(one.heads, lists.heads.data(), lists.heads.size() * sizeof(head_part));
    o.units = one.units.as<unit>();
    o.first = one.first.as<int>();
    o.work = one.work.as<kind_work>();
    o.heads_of = one.heads.as<head_part>();
    o.depth_pages = one.pages.as<__half>();
    o.told = one.told.as<uint32_t>();
    o.roll = o.told + o.n_blocks;
    put(one.program, &o, sizeof o);
    check(cudaStreamSynchronize(ctx.stream), "a frame's program");
}

std::unique_ptr<one_frame, void (*)(one_frame *)> make_one(context &ctx, const csm_frame_parts &p,
                                                           const float *projected)
{
    std::unique_ptr<one_frame, void (*)(one_frame *)> one(new one_frame, give_up), none(nullptr, give_up);
    one_program &o = one->host;
    o = {};
    if (!take_shapes(ctx, p, projected, o))
        return none;
    o.table = table_form(ctx, *const_cast<csm_weight *>(p.step.codes));
    if (o.table.transposed || o.table.dtype == CSM_DTYPE_F64)
        return none;
    planner plan = share_out(o);
    block_lists lists(static_cast<size_t>(o.n_blocks));
    if (!list_units(plan, o, lists))
        return none;
    list_heads(plan, o, lists);
    if (lists.most_sums * sizeof(float) > SUMS_BYTES || sizeof(block_memory) > ctx.properties.sharedMemPerBlockOptin)
        return none;
    make_words(ctx, *one);
    bring(ctx, p, lists, *one);
    ready_one_kernel();
    return one;
}

} // namespace csm_cuda
