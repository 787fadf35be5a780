/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame_room.cu - what frames of many lanes need once: the forms of a model's weights, and
 * room for so many lanes. */
#include "engine/cuda/cuda_frame_state.h"

namespace csm_cuda {

static void prepare_stack(context &ctx, const csm_attention *attention, const csm_mlp *mlp, size_t n)
{
    for (size_t l = 0; l < n; l++) {
        for (csm_weight *w : {attention[l].q, attention[l].k, attention[l].v, attention[l].o,
                              mlp[l].gate, mlp[l].up, mlp[l].down}) {
            if (w == nullptr)
                throw declined("a layer without a gate in a frame");
            product_form(ctx, *w);
        }
        if (attention[l].q->matrix.n_parts() != 1 || mlp[l].up->matrix.n_parts() != 1)
            throw declined(shaped("a frame of a model %zu wide, expected at most %d",
                                  attention[l].width, WHOLE_STEPS * STEP));
        set_output_parts(attention[l]);
    }
}

/* Rows of the table through the projector, as `linear` makes them. */
static void project(context &ctx, const csm_frame_parts &p, memory &out)
{
    size_t n = p.n_codebooks * p.vocab, depth_width = p.projector->rows;
    enum { AT_ONCE = 4096 };
    std::vector<int32_t> ids(AT_ONCE);
    csm_value rows, projected;
    out.reserve(n * depth_width * sizeof(float));
    for (size_t first = 0; first < n; first += AT_ONCE) {
        size_t most = AT_ONCE, count = n - first < most ? n - first : most;
        for (size_t i = 0; i < count; i++)
            ids[i] = static_cast<int32_t>(first + i);
        embed(ctx, own(p.codes), ids.data(), count, 1, rows);
        linear(ctx, own(p.projector), nullptr, rows, projected);
        check(cudaMemcpyAsync(out.as<float>() + first * depth_width, projected.data(),
                              count * depth_width * sizeof(float), cudaMemcpyDeviceToDevice, ctx.stream),
              "projected codes");
    }
    check(cudaStreamSynchronize(ctx.stream), "projected codes");
}

void prepare_model(context &ctx, const csm_frame_parts &p, frame_state &f)
{
    if (f.model == p.first_head)
        return;
    if (p.n_codebooks < 2 || p.n_codebooks > MOST_CODEBOOKS || p.vocab > MOST_VOCAB)
        throw declined(shaped("frames of %zu codebooks of %zu, expected at most %d of %d",
                              p.n_codebooks, p.vocab, MOST_CODEBOOKS, MOST_VOCAB));
    f.forget_graphs();
    f.room = 0;
    f.n_ahead++;
    prepare_stack(ctx, p.step.attention, p.step.mlp, p.step.n_layers);
    prepare_stack(ctx, p.attention, p.mlp, p.n_layers);
    product_form(ctx, own(p.first_head));
    for (size_t k = 0; k + 1 < p.n_codebooks; k++)
        product_form(ctx, own(p.heads[k]));
    table_form(ctx, own(p.step.codes));
    project(ctx, p, f.projected);
    f.alone.reset();
    f.one = make_one(ctx, p, f.projected.as<float>());
    if (f.one != nullptr)
        f.alone = make_alone(p);
    f.model = p.first_head;
}

template <class T> static void pinned(T *&to, size_t n)
{
    check(cudaMallocHost(reinterpret_cast<void **>(&to), n * sizeof(T)), "pinned memory");
}

void prepare_room(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    if (n <= f.room)
        return;
    size_t wanted = n;
    for (n = 1; n < wanted;)
        n *= 2;
    check(cudaStreamSynchronize(ctx.stream), "a frame's room");
    f.forget_graphs();
    f.free_host();
    f.room = 0;
    size_t width = p.step.attention[0].width, depth = p.attention[0].width, k = p.n_codebooks;
    f.lanes.reserve(n * sizeof(lane_frame));
    f.x.reserve(n * width * sizeof(float));
    f.hidden.reserve(n * width * sizeof(float));
    f.depth_x.reserve(2 * n * depth * sizeof(float));
    f.codes.reserve(n * k * sizeof(int32_t));
    f.logits.reserve(n * k * p.vocab * sizeof(float));
    f.noise.reserve(n * k * p.vocab * sizeof(float));
    for (memory &early : f.early_noise)
        early.reserve(n * k * p.vocab * sizeof(float));
    if (f.copies == nullptr) {
        for (cudaStream_t *stream : {&f.copies, &f.results})
            check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "a stream");
        for (cudaEvent_t *event : {&f.told, &f.drawn, &f.sent, &f.ahead_told})
            check(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "an event");
        f.is_there.reserve(sizeof(int32_t));
        check(cudaMemset(f.is_there.as<void>(), 1, sizeof(int32_t)), "a word");
    }
    f.n_many++; /* what was there early has gone */
    f.n_ahead++;
    pinned(f.host_lanes, n);
    pinned(f.host_codes, n * k);
    pinned(f.host_logits, n * k * p.vocab);
    pinned(f.host_noise, n * k * p.vocab);
    int32_t *arrived;
    pinned(arrived, MOST_CODEBOOKS);
    f.host_arrived = arrived;
    for (fed_rows *rows : {&f.fed, &f.ahead}) {
        pinned(rows->host_rows, n);
        pinned(rows->host_lanes, n);
        rows->rows.reserve(n * sizeof(attend_row));
        rows->lanes.reserve(n * sizeof(int));
        rows->hidden.reserve(n * width * sizeof(float));
    }
    f.depth_rows.reserve(n * (k + 1) * sizeof(attend_row));

    /* The depth decoder's keys and values: as many pages a lane as a frame has positions. */
    const csm_attention &a = p.attention[0];
    size_t pages = (k + PAGE - 1) / PAGE;
    size_t floats = kept_floats(ctx, a, p.n_layers, PAGE);
    f.depth_pages.reserve(n * pages * floats * sizeof(float));
    check(cudaMemsetAsync(f.depth_pages.as<float>(), 0, f.depth_pages.size(), ctx.stream), "pages");
    f.depth_table.reserve(n * pages * sizeof(float *));
    std::vector<float *> table(n * pages);
    for (size_t i = 0; i < table.size(); i++)
        table[i] = f.depth_pages.as<float>() + i * floats;
    check(cudaMemcpyAsync(f.depth_table.as<float *>(), table.data(), table.size() * sizeof(float *),
                          cudaMemcpyHostToDevice, ctx.stream),
          "pages");
    f.room = n;
}

void tell_depth_rows(context &ctx, const csm_frame_parts &p, size_t n, frame_state &f)
{
    size_t pages = (p.n_codebooks + PAGE - 1) / PAGE;
    std::vector<attend_row> rows;
    for (size_t i = 0; i < n; i++)
        for (int position = 0; position < 2; position++)
            rows.push_back({f.depth_table.as<float *>() + i * pages, static_cast<int>(pages), position});
    for (size_t k = 2; k < p.n_codebooks; k++)
        for (size_t i = 0; i < n; i++)
            rows.push_back({f.depth_table.as<float *>() + i * pages, static_cast<int>(pages),
                            static_cast<int>(k)});
    check(cudaMemcpyAsync(f.depth_rows.as<attend_row>(), rows.data(), rows.size() * sizeof(attend_row),
                          cudaMemcpyHostToDevice, ctx.stream),
          "rows of attention");
}

} // namespace csm_cuda
