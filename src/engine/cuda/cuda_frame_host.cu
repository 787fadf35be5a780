/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame_host.cu - what the host does while the card computes a frame of many lanes: codes and
 * logits come in pieces, whose draws the caller repeats; the noise of the lanes' next frames goes
 * to the card; lanes take their next pages. */
#include <atomic>
#include <cstring>
#include <thread>

#include "engine/cuda/cuda_frame_state.h"

namespace csm_cuda {

/* A loop over lanes, shared by threads where there are many. */
static void each_lane(frame_state &f, csm_work work, void *user, size_t n)
{
    enum { COPIERS = 8, LEAST = 8 };
    if (n >= LEAST && f.copiers == nullptr && csm_threads_new(COPIERS, &f.copiers, nullptr) == CSM_OK)
        csm_threads_rest_early(f.copiers);
    if (n >= LEAST && f.copiers != nullptr)
        csm_threads_run(f.copiers, work, user, n, 1);
    else
        work(user, 0, n, 0); /* of many, where no thread was to be had, it takes longer */
}

static bool is_noise_known(const csm_frame_draw &d)
{
    return d.may_go_on && d.next_noise != nullptr && !is_greedy(d);
}

void grow_ahead(context &ctx, const csm_frame_lane *lanes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        csm_lane &b = *lanes[i].backbone;
        size_t next = b.lengths[0] + (lanes[i].feed != nullptr), end = next + 1 + i % PAGE;
        if (!lanes[i].draw->may_go_on || next >= b.capacity)
            continue;
        try {
            grow(ctx, b, next, end < b.capacity ? end : b.capacity);
        } catch (const failure &e) {
            if (e.code != cudaErrorMemoryAllocation)
                throw;
            return; /* the frame itself will say so */
        }
    }
}

struct noise_job {
    const csm_frame_lane *lanes;
    float *to; /* [n, row], pinned */
    size_t row;
};

static void noise_work(void *user, size_t first, size_t end, int)
{
    const noise_job &job = *static_cast<const noise_job *>(user);
    for (size_t i = first; i < end; i++)
        if (is_noise_known(*job.lanes[i].draw))
            memcpy(job.to + i * job.row, job.lanes[i].draw->next_noise, job.row * sizeof(float));
}

void send_ahead(const csm_frame_parts &p, const csm_frame_lane *lanes, size_t n, frame_state &f)
{
    size_t row = p.n_codebooks * p.vocab;
    float *to = f.early_noise[(f.n_many + 1) % 2].as<float>();
    noise_job job = {lanes, f.host_noise, row};
    check(cudaEventSynchronize(f.told), "noise"); /* it is still read from host_noise */
    each_lane(f, noise_work, &job, n);
    for (size_t i = 0, first = 0; i <= n; i++) {
        if (i < n && is_noise_known(*lanes[i].draw)) {
            csm_lane &b = *lanes[i].backbone;
            b.early_frame = f.n_many + 1;
            b.early_noise = lanes[i].draw->next_noise;
            b.early_at = i;
            continue;
        }
        if (i > first)
            check(cudaMemcpyAsync(to + first * row, f.host_noise + first * row, (i - first) * row * sizeof(float),
                                  cudaMemcpyHostToDevice, f.copies),
                  "noise");
        first = i + 1;
    }
    check(cudaEventRecord(f.told, f.copies), "noise");
}

/* Codes [first, end) from where they arrived to where they were asked for. */
struct hand_out {
    const csm_frame_lane *lanes;
    const int32_t *codes;
    const float *logits;
    size_t first, end, n_codebooks, vocab;
};

static void hand_out_work(void *user, size_t first, size_t end, int)
{
    const hand_out &job = *static_cast<const hand_out *>(user);
    size_t n = job.end - job.first;
    for (size_t i = first; i < end; i++) {
        size_t at = i * job.n_codebooks + job.first;
        memcpy(job.lanes[i].codes + job.first, job.codes + at, n * sizeof(int32_t));
        memcpy(job.lanes[i].logits + job.first * job.vocab, job.logits + at * job.vocab,
               n * job.vocab * sizeof(float));
    }
}

/* Until a piece is there, or the card has done all that it was given. */
static void wait_for(context &ctx, const volatile int32_t &piece)
{
    enum { LOOKS = 64 };
    for (int i = 0; piece == 0; i++) {
        std::this_thread::yield();
        if (i % LOOKS != 0)
            continue;
        cudaError_t state = cudaStreamQuery(ctx.stream);
        if (state == cudaSuccess)
            return;
        if (state != cudaErrorNotReady)
            check(state, "a frame");
    }
}

void collect(context &ctx, const csm_frame_parts &p, const csm_frame_lane *lanes, size_t n, frame_state &f,
                    const listener &to)
{
    for (size_t first = 0, k = 0; k < p.n_codebooks; k++) {
        if (!ends_piece(p, n, k))
            continue;
        bool is_last = k + 1 == p.n_codebooks;
        wait_for(ctx, f.host_arrived[k]); /* not for all that the card was given: the next frame's step is behind it */
        std::atomic_thread_fence(std::memory_order_acquire);
        hand_out job = {lanes, f.host_codes, f.host_logits, first, k + 1, p.n_codebooks, p.vocab};
        each_lane(f, hand_out_work, &job, n);
        if (!is_last && to.arrived != nullptr)
            to.arrived(to.user, k + 1);
        first = k + 1;
    }
}

} // namespace csm_cuda
