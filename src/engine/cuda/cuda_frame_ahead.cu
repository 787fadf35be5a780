/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame_ahead.cu - the backbone's step of a frame of many lanes: which rows it has, and the
 * next frame's, which the card takes behind the frame that it has, with the codes that it drew. So
 * it has something to do while the host settles one frame and describes the next. A lane whose feed
 * is another, that has left or was cut, has lost nothing but that row. */
#include <cstring>

#include "engine/cuda/cuda_frame_state.h"

namespace csm_cuda {

size_t tell_row(const csm_lane &lane, size_t position, size_t n, size_t of, fed_rows &rows)
{
    rows.host_rows[n] = {lane.table.as<float *>(), static_cast<int>(lane.n_table), static_cast<int>(position)};
    rows.host_lanes[n] = static_cast<int>(of);
    return pages_seen(lane, position + 1);
}

void tell_rows(context &ctx, size_t n, size_t most_pages, frame_key &key, fed_rows &rows, frame_state &f)
{
    enum { PAGES_STEP = 16 }; /* a graph lasts for so many pages */
    key.most_pages = (most_pages + PAGES_STEP - 1) / PAGES_STEP * PAGES_STEP;
    for (size_t i = n; i < key.n; i++) {
        rows.host_rows[i] = {f.idle_table.as<float *>(), 1, 0};
        rows.host_lanes[i] = -1;
    }
    check(cudaMemcpyAsync(rows.rows.as<attend_row>(), rows.host_rows, key.n * sizeof(attend_row),
                          cudaMemcpyHostToDevice, ctx.stream),
          "a frame's rows");
    check(cudaMemcpyAsync(rows.lanes.as<int>(), rows.host_lanes, key.n * sizeof(int), cudaMemcpyHostToDevice,
                          ctx.stream),
          "a frame's rows");
}

bool is_fed_ahead(const csm_frame_parts &p, const csm_frame_lane &lane, const frame_state &f)
{
    const csm_lane &b = *lane.backbone;
    return b.ahead_step != 0 && b.ahead_step == f.n_ahead && b.ahead_step == f.fed_ahead &&
           b.ahead_position == b.lengths[0] &&
           memcmp(lane.feed, f.ahead_codes.data() + b.ahead_at * p.n_codebooks, p.n_codebooks * sizeof(int32_t)) == 0;
}

/* Whether the lane's page for that position is there, and its own. */
static bool has_page(const csm_lane &b, size_t position)
{
    size_t i = position / PAGE;
    return position < b.capacity && i < b.pages.size() && b.pages[i].use_count() == 1;
}

void feed_ahead(context &ctx, const csm_frame_parts &p, csm_frame_lane *lanes, size_t n, frame_state &f)
{
    size_t n_rows = 0, most_pages = 1;
    check(cudaEventSynchronize(f.ahead_told), "a frame's rows"); /* they are still read from host_rows */
    f.n_ahead++;
    for (size_t i = 0; i < n; i++) {
        csm_lane &b = *lanes[i].backbone;
        size_t next = b.lengths[0] + (lanes[i].feed != nullptr);
        if (!lanes[i].draw->may_go_on || !has_page(b, next))
            continue;
        b.ahead_step = f.n_ahead;
        b.ahead_position = next;
        b.ahead_at = n_rows;
        size_t pages = tell_row(b, next, n_rows++, i, f.ahead);
        most_pages = pages > most_pages ? pages : most_pages;
    }
    if (n_rows == 0)
        return;
    frame_key key;
    key.of = frame_key::FEED_AHEAD;
    key.model = p.first_head;
    key.n = with_idle(n_rows);
    tell_rows(ctx, n_rows, most_pages, key, f.ahead, f);
    check(cudaEventRecord(f.ahead_told, ctx.stream), "a frame's rows");
    try {
        replay(ctx, p, key, f);
    } catch (const failure &e) {
        if (e.code != cudaErrorMemoryAllocation)
            throw;
        cudaGetLastError(); /* later calls shall not find it */
        f.n_ahead++;        /* without it nothing is lost */
    }
}

void note_fed(const csm_frame_parts &p, const csm_frame_lane *lanes, size_t n, frame_state &f)
{
    size_t k = p.n_codebooks;
    f.ahead_codes.resize(n * k);
    for (size_t i = 0; i < n; i++) {
        const csm_lane &b = *lanes[i].backbone;
        if (b.ahead_step != f.n_ahead)
            continue;
        const int32_t *known = f.host_lanes[i].known;
        for (size_t j = 0; j < k; j++)
            f.ahead_codes[b.ahead_at * k + j] = known[j] >= 0 ? known[j] : f.host_codes[i * k + j];
    }
    f.fed_ahead = f.n_ahead;
}

} // namespace csm_cuda
