/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_blocks.cu - the table's blocks as sequences of kernels, and what they keep: keys
 * and values in pages that a lane takes as it grows. */
#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

/* ---- lanes --------------------------------------------------------------- */

static float frequency(const csm_rope &rope, size_t i, size_t head_dim)
{
    double f = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    if (rope.factor == 0)
        return static_cast<float>(f);
    double wavelength = 2 * 3.14159265358979323846 / f;
    double longest = rope.original_max_positions / rope.low_freq_factor;
    double shortest = rope.original_max_positions / rope.high_freq_factor;
    if (wavelength < shortest)
        return static_cast<float>(f);
    if (wavelength > longest)
        return static_cast<float>(f / rope.factor);
    double s = (rope.original_max_positions / wavelength - rope.low_freq_factor) /
               (rope.high_freq_factor - rope.low_freq_factor);
    return static_cast<float>((1 - s) * f / rope.factor + s * f);
}

enum { PAGES_AT_ONCE = 8 };

/* Half as many pages as there are, so that many lanes that grow together do not wait for the
 * driver at each page of each; fewer where there is no room for so many. */
void page_pool::extend(cudaStream_t stream)
{
    size_t n = std::max<size_t>(n_pages / 2, PAGES_AT_ONCE);
    memory slab;
    try {
        slab.reserve(n * floats * sizeof(float));
    } catch (const failure &e) {
        if (e.code != cudaErrorMemoryAllocation || n == PAGES_AT_ONCE)
            throw;
        n = PAGES_AT_ONCE;
        slab.reserve(n * floats * sizeof(float));
    }
    /* What no position has filled is read, and weighs nothing. */
    check(cudaMemsetAsync(slab.as<float>(), 0, slab.size(), stream), "pages");
    for (size_t i = n; i > 0; i--)
        unused.push_back(slab.as<float>() + (i - 1) * floats);
    n_pages += n;
    slabs.push_back(std::move(slab));
}

float *page_pool::take(cudaStream_t stream)
{
    if (unused.empty())
        extend(stream);
    float *page = unused.back();
    unused.pop_back();
    return page;
}

page_pool *pool_of(context &ctx, size_t n_floats)
{
    for (auto &pool : ctx.pools)
        if (pool->n_floats() == n_floats)
            return pool.get();
    ctx.pools.push_back(std::make_unique<page_pool>(n_floats));
    return ctx.pools.back().get();
}

static bool is_same(const csm_rope &a, const csm_rope &b)
{
    return a.theta == b.theta && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
           a.high_freq_factor == b.high_freq_factor &&
           a.original_max_positions == b.original_max_positions && a.interleaved == b.interleaved;
}

const float *frequencies_of(context &ctx, const csm_rope &rope, size_t head_dim)
{
    for (auto &table : ctx.ropes)
        if (table->head_dim == head_dim && is_same(table->rope, rope))
            return table->frequencies.as<float>();
    std::vector<float> host(head_dim / 2);
    for (size_t i = 0; i < host.size(); i++)
        host[i] = frequency(rope, i, head_dim);
    auto table = std::make_unique<rope_table>();
    table->rope = rope;
    table->head_dim = head_dim;
    table->frequencies.reserve(host.size() * sizeof(float));
    check(cudaMemcpyAsync(table->frequencies.as<float>(), host.data(), host.size() * sizeof(float),
                          cudaMemcpyHostToDevice, ctx.stream),
          "rotary frequencies");
    ctx.ropes.push_back(std::move(table));
    return ctx.ropes.back()->frequencies.as<float>();
}

bool keeps_half(const context &ctx, const csm_attention &first)
{
    return ctx.precision != CSM_PRECISION_F32 && first.window == 0 && first.k->n_planes <= 2;
}

size_t kept_floats(const context &ctx, const csm_attention &first, size_t n_layers, size_t n_positions)
{
    size_t a_head = static_cast<size_t>(padded_head(static_cast<int>(first.head_dim)));
    size_t n = n_layers * first.n_kv_heads * 2 * n_positions * a_head;
    return keeps_half(ctx, first) ? n / 2 : n;
}

csm_lane *open_lane(context &ctx, const csm_attention *blocks, size_t n_layers, size_t capacity)
{
    if (n_layers == 0 || capacity == 0)
        throw declined(shaped("a lane of %zu layers, %zu positions", n_layers, capacity));
    const csm_attention &a = blocks[0];
    for (size_t i = 1; i < n_layers; i++)
        if (blocks[i].n_kv_heads != a.n_kv_heads || blocks[i].head_dim != a.head_dim ||
            blocks[i].window != a.window)
            throw declined(shaped("layer %zu differs in heads or window", i));
    if (a.head_dim % 2 != 0 || a.head_dim > MAX_HEAD_DIM)
        throw declined(shaped("heads of %zu dimensions, expected an even number up to %d",
                              a.head_dim, MAX_HEAD_DIM));
    auto lane = std::make_unique<csm_lane>();
    lane->n_layers = n_layers;
    lane->n_kv_heads = a.n_kv_heads;
    lane->head_dim = a.head_dim;
    lane->window = a.window;
    lane->capacity = capacity;
    lane->rope = a.rope;
    /* A ring: the first page seen and the last are whole ones. */
    lane->n_table = (capacity + PAGE - 1) / PAGE + (a.window != 0 ? 1 : 0);
    lane->frequencies = frequencies_of(ctx, a.rope, a.head_dim);
    lane->keeps_half = keeps_half(ctx, a);
    lane->pool = pool_of(ctx, kept_floats(ctx, a, n_layers, PAGE));
    lane->lengths.assign(n_layers, 0);
    lane->table.reserve(lane->n_table * sizeof(float *));
    return lane.release();
}

static void tell_pages(context &ctx, csm_lane &lane)
{
    std::vector<float *> data(lane.pages.size());
    for (size_t i = 0; i < data.size(); i++)
        data[i] = lane.pages[i]->data;
    check(cudaMemcpyAsync(lane.table.as<float *>(), data.data(), data.size() * sizeof(float *),
                          cudaMemcpyHostToDevice, ctx.stream),
          "a lane's pages");
}

void grow(context &ctx, csm_lane &lane, size_t from, size_t to)
{
    bool is_changed = false;
    for (size_t p = from / PAGE; p < (to + PAGE - 1) / PAGE; p++) {
        size_t i = p % lane.n_table;
        if (i < lane.pages.size() && lane.pages[i].use_count() == 1)
            continue;
        auto own = std::make_shared<page>(*lane.pool, ctx.stream);
        if (i < lane.pages.size()) { /* another lane's, too */
            check(cudaMemcpyAsync(own->data, lane.pages[i]->data,
                                  lane.pool->n_floats() * sizeof(float), cudaMemcpyDeviceToDevice,
                                  ctx.stream),
                  "a page of its own");
            lane.pages[i] = own;
        } else {
            lane.pages.push_back(own);
        }
        is_changed = true;
    }
    if (is_changed)
        tell_pages(ctx, lane);
}

void truncate(csm_lane &lane, size_t n_positions)
{
    if (n_positions != 0 && lane.window != 0)
        throw declined(shaped("a lane with a window cut to %zu positions", n_positions));
    lane.begun = lane.ahead_step = 0;
    for (size_t &length : lane.lengths)
        length = n_positions < length ? n_positions : length;
    size_t kept = (n_positions + PAGE - 1) / PAGE;
    if (kept < lane.pages.size())
        lane.pages.resize(kept);
}

csm_lane *fork_lane(context &ctx, const csm_lane &from, size_t n_positions)
{
    for (size_t length : from.lengths)
        if (from.window != 0 || n_positions > length)
            throw declined(shaped("a lane of %zu positions forked at %zu", length, n_positions));
    auto lane = std::make_unique<csm_lane>();
    lane->n_layers = from.n_layers;
    lane->n_kv_heads = from.n_kv_heads;
    lane->head_dim = from.head_dim;
    lane->window = 0;
    lane->capacity = from.capacity;
    lane->n_table = from.n_table;
    lane->keeps_half = from.keeps_half;
    lane->rope = from.rope;
    lane->frequencies = from.frequencies;
    lane->pool = from.pool;
    lane->lengths.assign(from.n_layers, n_positions);
    lane->table.reserve(lane->n_table * sizeof(float *));
    size_t n = (n_positions + PAGE - 1) / PAGE;
    lane->pages.assign(from.pages.begin(), from.pages.begin() + static_cast<std::ptrdiff_t>(n));
    tell_pages(ctx, *lane);
    return lane.release();
}

size_t lane_bytes(const csm_lane &lane)
{
    double n_bytes = 0;
    for (const auto &page : lane.pages)
        n_bytes += static_cast<double>(lane.pool->n_floats() * sizeof(float)) /
                   static_cast<double>(page.use_count());
    return static_cast<size_t>(n_bytes);
}

size_t pages_seen(const csm_lane &lane, size_t length)
{
    size_t seen = lane.window != 0 && length > lane.window ? lane.window + PAGE : length;
    return (seen + PAGE - 1) / PAGE;
}

/* ---- small operations --------------------------------------------------- */

planes room_for_planes(context &ctx, memory &room, size_t rows, size_t cols, int slots)
{
    planes p;
    p.n_steps = steps_of(cols);
    p.slots = slots;
    size_t per = static_cast<size_t>(p.rows_per_group()), n_groups = (rows + per - 1) / per;
    p.n_groups = static_cast<int>(n_groups);
    size_t n_bytes = n_groups * static_cast<size_t>(p.n_steps) * STEP_WORDS / 2 * sizeof(uint32_t);
    room.reserve(n_bytes);
    p.words = room.as<uint32_t>();
    /* Kernels that write whole tiles leave the rest of the last steps. */
    if (cols % (STEP * STEPS_PADDED) != 0)
        check(cudaMemsetAsync(p.words, 0, n_bytes, ctx.stream), "planes");
    return p;
}

int slots_of(int n_planes)
{
    return n_planes == 3 ? 4 : 2;
}

float *room_for_parts(memory &room, const matrix &m, size_t rows, size_t ld)
{
    room.reserve(static_cast<size_t>(m.n_parts()) * rows * ld * sizeof(float));
    return room.as<float>();
}

void set_norm(rows_job &job, const csm_norm &norm, size_t width)
{
    job.norm = norm.kind == csm_norm::CSM_NORM_RMS ? rows_job::RMS : rows_job::LAYER;
    job.norm_scale = vector_form(norm.scale, width);
    if (norm.kind != csm_norm::CSM_NORM_RMS)
        job.norm_bias = vector_form(norm.bias, width);
    job.eps = norm.eps;
}

rows_job plain_rows(const float *x, size_t rows, size_t width)
{
    rows_job job;
    job.n = static_cast<int>(rows);
    job.width = static_cast<int>(width);
    job.x = const_cast<float *>(x);
    job.ld = width;
    return job;
}

product_job one_product(const matrix &m, const planes &x, size_t rows, float *out)
{
    product_job job;
    job.n_matrices = 1;
    job.m[0] = m;
    job.first_tile[1] = m.n_tiles;
    job.x = x;
    job.n = static_cast<int>(rows);
    job.out = out;
    job.ld = static_cast<size_t>(m.rows);
    return job;
}

void add_matrix(product_job &job, const matrix &m)
{
    int i = job.n_matrices++;
    job.m[i] = m;
    job.first_tile[i + 1] = job.first_tile[i] + m.n_tiles;
    job.first_row[i] = i == 0 ? 0 : job.first_row[i - 1] + job.m[i - 1].rows;
}

void expect(const csm_weight &w, size_t rows, size_t cols)
{
    if (w.rows != rows || w.cols != cols)
        throw declined(shaped("%s: [%zu, %zu] where [%zu, %zu] was expected", w.source.tensor.name,
                              w.rows, w.cols, rows, cols));
}

void embed(context &ctx, csm_weight &table, const int32_t *ids, size_t rows, size_t n_per_row,
           csm_value &out)
{
    weight_view view = table_form(ctx, table);
    out.shape(rows, table.cols);
    ctx.ids.reserve((rows * n_per_row + 1) * sizeof(int32_t));
    check(cudaMemcpyAsync(ctx.ids.as<int32_t>(), ids, rows * n_per_row * sizeof(int32_t),
                          cudaMemcpyHostToDevice, ctx.stream),
          "ids");
    launch_embed(ctx, view, ctx.ids.as<int32_t>(), static_cast<int>(rows),
                 static_cast<int>(n_per_row), out.data());
}

void norm(context &ctx, const csm_norm &of, const csm_value &x, csm_value &out)
{
    rows_job job = plain_rows(x.data(), x.rows, x.cols);
    set_norm(job, of, x.cols);
    out.shape(x.rows, x.cols);
    job.out = out.data();
    launch_rows(ctx, job);
}

void linear(context &ctx, csm_weight &weight, const csm_weight *bias, const csm_value &x,
            csm_value &out)
{
    if (x.cols != weight.cols || &x == &out)
        throw declined(shaped("%s [%zu, %zu] times a value of width %zu", weight.source.tensor.name,
                              weight.rows, weight.cols, x.cols));
    const matrix &m = product_form(ctx, weight);
    rows_job in = plain_rows(x.data(), x.rows, x.cols);
    in.to = room_for_planes(ctx, ctx.planes_a, x.rows, x.cols, slots_of(m.n_planes));
    launch_rows(ctx, in);
    out.shape(x.rows, weight.rows);
    bool is_whole = m.n_parts() == 1;
    float *to = is_whole ? out.data() : room_for_parts(ctx.parts_a, m, x.rows, weight.rows);
    product_job job = one_product(m, in.to, x.rows, to);
    const float *values = bias == nullptr ? nullptr : vector_form(bias, weight.rows);
    if (is_whole)
        job.bias = values;
    launch_product(ctx, job);
    if (!is_whole)
        finish_parts(ctx, m, x.rows, values, out.data());
}

void finish_parts(context &ctx, const matrix &m, size_t rows, const float *bias, float *out)
{
    rows_job sum;
    sum.n = static_cast<int>(rows);
    sum.width = m.rows;
    sum.parts = ctx.parts_a.as<float>();
    sum.n_parts = m.n_parts();
    sum.ld_parts = static_cast<size_t>(m.rows);
    sum.bias = bias;
    sum.out = out;
    launch_rows(ctx, sum);
}

/* x += layer_scale * sum of the parts */
static void add_parts(context &ctx, const matrix &m, const csm_weight *layer_scale, csm_value &x)
{
    rows_job job = plain_rows(x.data(), x.rows, x.cols);
    job.keeps_x = true;
    job.parts = ctx.parts_b.as<float>();
    job.n_parts = m.n_parts();
    job.ld_parts = x.cols;
    job.layer_scale = layer_scale == nullptr ? nullptr : vector_form(layer_scale, x.cols);
    launch_rows(ctx, job);
}

/* ---- attention ---------------------------------------------------------- */

/* How the output matrix is cut: whole groups of heads, so that a part needs few of them. */
void set_output_parts(const csm_attention &a)
{
    matrix &m = a.o->matrix;
    size_t group = a.n_heads / a.n_kv_heads * a.head_dim, most = 32;
    if (group % (STEP * SEGMENT_STEPS) != 0)
        return;
    size_t steps = group / STEP;
    m.part_steps = static_cast<int>(steps >= most ? steps : most / steps * steps);
    if (m.part_steps > WHOLE_STEPS)
        m.part_steps = WHOLE_STEPS;
}

static size_t check_attention(const csm_attention &a, size_t layer, const csm_rows *lanes,
                              size_t n_lanes, const csm_value &x)
{
    const char *name = a.q->source.tensor.name;
    expect(*a.q, a.n_heads * a.head_dim, a.width);
    expect(*a.k, a.n_kv_heads * a.head_dim, a.width);
    expect(*a.v, a.n_kv_heads * a.head_dim, a.width);
    expect(*a.o, a.width, a.n_heads * a.head_dim);
    size_t n = 0;
    for (size_t i = 0; i < n_lanes; i++) {
        const csm_lane &lane = *lanes[i].lane;
        if (a.n_kv_heads == 0 || a.n_heads % a.n_kv_heads != 0 ||
            a.n_kv_heads != lane.n_kv_heads || a.head_dim != lane.head_dim ||
            a.window != lane.window || !is_same(a.rope, lane.rope) || layer >= lane.n_layers)
            throw declined(shaped("%s: heads, window, rope or layers are not the lane's", name));
        size_t length = lane.lengths[layer];
        size_t kept =
            lane.window == 0 ? length : (length < lane.window ? length : lane.window - 1);
        if (kept + lanes[i].n > lane.capacity)
            throw declined(shaped("%s: %zu positions after %zu, the lane has room for %zu", name,
                                  lanes[i].n, kept, lane.capacity));
        n += lanes[i].n;
    }
    if (x.cols != a.width || x.rows != n)
        throw declined(shaped("%s: [%zu, %zu] for %zu rows of %zu", name, x.rows, x.cols, n,
                              a.width));
    return n;
}

void attention(context &ctx, const csm_attention &a, size_t layer, const csm_rows *lanes,
               size_t n_lanes, csm_value &x)
{
    if (check_attention(a, layer, lanes, n_lanes, x) == 0)
        return;
    size_t q_width = a.n_heads * a.head_dim, ld = q_width + 2 * a.n_kv_heads * a.head_dim;
    const matrix *qkv[3] = {&product_form(ctx, *a.q), &product_form(ctx, *a.k),
                            &product_form(ctx, *a.v)};
    product_form(ctx, *a.o);
    set_output_parts(a);

    std::vector<attend_row> rows;
    size_t most_pages = 1;
    for (size_t i = 0; i < n_lanes; i++) {
        csm_lane &lane = *lanes[i].lane;
        size_t length = lane.lengths[layer];
        lane.begun = lane.ahead_step = 0;
        grow(ctx, lane, length, length + lanes[i].n);
        for (size_t t = 0; t < lanes[i].n; t++)
            rows.push_back({lane.table.as<float *>(), static_cast<int>(lane.n_table),
                            static_cast<int>(length + t)});
        size_t pages = pages_seen(lane, length + lanes[i].n);
        most_pages = pages > most_pages ? pages : most_pages;
        lane.lengths[layer] += lanes[i].n;
    }
    ctx.rows.reserve(rows.size() * sizeof(attend_row));
    check(cudaMemcpyAsync(ctx.rows.as<attend_row>(), rows.data(), rows.size() * sizeof(attend_row),
                          cudaMemcpyHostToDevice, ctx.stream),
          "rows of attention");

    rows_job in = plain_rows(x.data(), x.rows, a.width);
    set_norm(in, a.norm, a.width);
    int most_planes = 0;
    for (const matrix *m : qkv)
        most_planes = m->n_planes > most_planes ? m->n_planes : most_planes;
    in.to = room_for_planes(ctx, ctx.planes_a, x.rows, a.width, slots_of(most_planes));
    launch_rows(ctx, in);

    product_job product;
    product.x = in.to;
    product.n = static_cast<int>(x.rows);
    product.ld = ld;
    for (const matrix *m : qkv)
        add_matrix(product, *m);
    product.out = room_for_parts(ctx.parts_a, *qkv[0], x.rows, ld);
    launch_product(ctx, product);

    attend_job job = attention_of(a, layer, lanes[0].lane->frequencies);
    job.keeps_half = lanes[0].lane->keeps_half;
    job.rows = ctx.rows.as<attend_row>();
    job.n = static_cast<int>(x.rows);
    job.qkv = product.out;
    job.n_parts = qkv[0]->n_parts();
    job.most_pages = static_cast<int>(most_pages);
    job.to = room_for_planes(ctx, ctx.planes_b, x.rows, q_width, slots_of(a.o->n_planes));
    launch_attend(ctx, job);

    const matrix &o = a.o->matrix;
    launch_product(ctx, one_product(o, job.to, x.rows, room_for_parts(ctx.parts_b, o, x.rows, a.width)));
    add_parts(ctx, o, a.layer_scale, x);
}

attend_job attention_of(const csm_attention &a, size_t layer, const float *frequencies)
{
    attend_job job = {};
    job.ld = (a.n_heads + 2 * a.n_kv_heads) * a.head_dim;
    job.n_heads = static_cast<int>(a.n_heads);
    job.n_kv_heads = static_cast<int>(a.n_kv_heads);
    job.head_dim = static_cast<int>(a.head_dim);
    job.layer = static_cast<int>(layer);
    job.window = static_cast<int>(a.window);
    job.interleaved = a.rope.interleaved;
    job.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
    job.frequencies = frequencies;
    return job;
}

/* ---- feed-forward ------------------------------------------------------- */

void mlp(context &ctx, const csm_mlp &b, csm_value &x)
{
    bool gated = b.gate != nullptr;
    expect(*b.up, b.hidden, b.width);
    expect(*b.down, b.width, b.hidden);
    if (gated)
        expect(*b.gate, b.hidden, b.width);
    if (x.cols != b.width)
        throw declined(shaped("%s: rows of %zu", b.up->source.tensor.name, x.cols));
    if (x.rows == 0)
        return;
    const matrix &up = product_form(ctx, *b.up), &down = product_form(ctx, *b.down);
    const matrix &gate = gated ? product_form(ctx, *b.gate) : up;
    rows_job in = plain_rows(x.data(), x.rows, b.width);
    set_norm(in, b.norm, b.width);
    int most_planes = gate.n_planes > up.n_planes ? gate.n_planes : up.n_planes;
    in.to = room_for_planes(ctx, ctx.planes_a, x.rows, b.width, slots_of(most_planes));
    launch_rows(ctx, in);

    planes hidden = room_for_planes(ctx, ctx.planes_b, x.rows, b.hidden, slots_of(down.n_planes));
    if (gated && up.n_parts() == 1 && gate.n_planes == up.n_planes) {
        product_job product;
        product.x = in.to;
        product.n = in.n;
        add_matrix(product, gate);
        add_matrix(product, up);
        product.is_gated = true;
        product.out_planes = hidden;
        launch_product(ctx, product);
    } else {
        rows_job middle;
        middle.n = in.n;
        middle.width = static_cast<int>(b.hidden);
        middle.n_parts = up.n_parts();
        middle.ld_parts = b.hidden;
        middle.activation = gated ? rows_job::GATED : rows_job::GELU;
        middle.parts = room_for_parts(ctx.parts_a, gate, x.rows, b.hidden);
        launch_product(ctx, one_product(gate, in.to, x.rows, ctx.parts_a.as<float>()));
        if (gated) {
            middle.parts_up = room_for_parts(ctx.window, up, x.rows, b.hidden);
            launch_product(ctx, one_product(up, in.to, x.rows, ctx.window.as<float>()));
        }
        middle.to = hidden;
        launch_rows(ctx, middle);
    }
    launch_product(ctx, one_product(down, hidden, x.rows, room_for_parts(ctx.parts_b, down, x.rows, b.width)));
    add_parts(ctx, down, b.layer_scale, x);
}

} // namespace csm_cuda
