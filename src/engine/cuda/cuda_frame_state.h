/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_frame_state.h - what frames of many lanes have on the card and beside it, from one to the
 * next, and the steps that cuda_frame.cu makes a frame of. */
#ifndef CSM_CUDA_FRAME_STATE_H
#define CSM_CUDA_FRAME_STATE_H

#include "engine/cuda/cuda_frame.h"
#include "engine/cuda/cuda_one.h"

extern "C" {
#include "base/threads.h"
}

namespace csm_cuda {

/* Which sequence of kernels: what is in their arguments. A frame is the backbone's step of those
 * lanes that are fed, then the codes of all; the step of the next frame may come behind it. */
struct frame_key {
    enum sequence { FEED, CODES, FEED_AHEAD } of = CODES;
    const csm_weight *model = nullptr;
    size_t n = 0, most_pages = 0; /* rows fed, or lanes; pages that a row fed sees */
    bool operator==(const frame_key &o) const
    {
        return of == o.of && model == o.model && n == o.n && most_pages == o.most_pages;
    }
};

/* Rows for a step of the backbone, and the lanes that they are of. */
struct fed_rows {
    attend_row *host_rows = nullptr; /* pinned */
    int *host_lanes = nullptr;       /* pinned; -1: nobody's */
    memory rows, lanes;
    memory hidden; /* [n, width], what comes of them */
};

struct frame_graph {
    frame_key key;
    cudaGraphExec_t graph = nullptr; /* NULL: seen once */
    uint64_t used = 0;
};

struct frame_state {
    /* Of the model that the first frame was of. */
    const csm_weight *model = nullptr;
    memory projected; /* [n_codebooks * vocab, depth width] */
    std::unique_ptr<one_frame, void (*)(one_frame *)> one{nullptr, nullptr};
    std::unique_ptr<alone_state, void (*)(alone_state *)> alone{nullptr, nullptr}; /* with `one` */
    memory idle_hidden, idle_table; /* of lanes that are nobody's */
    std::unique_ptr<page> idle_page;
    size_t room = 0;  /* lanes that all that follows has room for */
    memory lanes, x, hidden, depth_x, planes_a, planes_b, qkv, parts, depth_pages, depth_table;
    memory depth_rows, codes, logits, noise;
    fed_rows fed, ahead; /* of this frame, of the next one */
    uint64_t n_ahead = 0, fed_ahead = 0; /* steps ahead so far; the last one whose codes came */
    cudaEvent_t ahead_told = nullptr;
    std::vector<int32_t> ahead_codes; /* [its rows, n_codebooks] */
    /* Noise of frames to come goes to the card while it computes: of frame n, in turn. */
    memory early_noise[2];
    cudaStream_t copies = nullptr;
    cudaEvent_t told = nullptr;
    memory is_there; /* a word that is not 0: sent behind each piece */
    cudaStream_t results = nullptr;
    cudaEvent_t drawn = nullptr, sent = nullptr;
    uint64_t n_many = 0; /* frames of many so far */
    lane_frame *host_lanes = nullptr; /* pinned, as are: */
    int32_t *host_codes = nullptr;
    float *host_logits = nullptr, *host_noise = nullptr;
    volatile int32_t *host_arrived = nullptr; /* [MOST_CODEBOOKS]: not 0 where a piece ends that is there */
    size_t depth_rows_of = 0;         /* lanes that depth_rows is for */
    csm_threads *copiers = nullptr;   /* that hand many lanes' logits out */
    std::vector<frame_graph> graphs;
    uint64_t n_frames = 0;
    ~frame_state()
    {
        forget_graphs();
        free_host();
        csm_threads_free(copiers);
        for (cudaEvent_t event : {told, drawn, sent, ahead_told})
            if (event != nullptr)
                cudaEventDestroy(event);
        for (cudaStream_t stream : {copies, results})
            if (stream != nullptr)
                cudaStreamDestroy(stream);
    }
    void forget_graphs()
    {
        for (frame_graph &g : graphs)
            if (g.graph != nullptr)
                cudaGraphExecDestroy(g.graph);
        graphs.clear();
    }
    void free_host()
    {
        cudaFreeHost(host_lanes);
        cudaFreeHost(host_codes);
        cudaFreeHost(host_logits);
        cudaFreeHost(host_noise);
        for (fed_rows *rows : {&fed, &ahead}) {
            cudaFreeHost(rows->host_rows);
            cudaFreeHost(rows->host_lanes);
            rows->host_rows = nullptr;
            rows->host_lanes = nullptr;
        }
        cudaFreeHost(const_cast<int32_t *>(host_arrived));
        host_arrived = nullptr;
        host_noise = nullptr;
        host_lanes = nullptr;
        host_codes = nullptr;
        host_logits = nullptr;
    }
};

static inline csm_weight &own(const csm_weight *weight)
{
    return *const_cast<csm_weight *>(weight); /* forms are caches of what the weight is */
}

/* ---- cuda_frame_room.cu ---- */
/* Forms of all weights; once for a model. */
void prepare_model(context &ctx, const csm_frame_parts &parts, frame_state &frame);
/* Room for n lanes. */
void prepare_room(context &ctx, const csm_frame_parts &parts, size_t n, frame_state &frame);
/* Rows of the depth decoder's attention in step k: 2 n of positions 0 and 1, then n of 2..;
 * of n lanes. */
void tell_depth_rows(context &ctx, const csm_frame_parts &parts, size_t n, frame_state &frame);

/* ---- cuda_frame_steps.cu ---- */
/* Whether codebooks of n lanes go to the host once k has been drawn. Of many lanes they go in fours,
 * and the last one goes alone: so little is left to be done after the card. */
bool ends_piece(const csm_frame_parts &parts, size_t n, size_t k);
/* The sequence of that key is put on the stream: as a graph from its second time on. What it needs of
 * lanes and rows has been told. */
void replay(context &ctx, const csm_frame_parts &parts, const frame_key &key, frame_state &frame);

/* ---- cuda_frame.cu ---- */
/* Rows that the kernels are given for n of them. */
size_t with_idle(size_t n);

/* ---- cuda_frame_ahead.cu ---- */
/* Rows from n on, as many as the key has, are nobody's. */
void tell_rows(context &ctx, size_t n, size_t most_pages, frame_key &key, fed_rows &rows, frame_state &frame);
/* Row n of a step: the lane's next position, which it has room for; gives the pages that it sees. */
size_t tell_row(const csm_lane &lane, size_t position, size_t n, size_t of, fed_rows &rows);
/* The lane's feed is what the last step ahead fed it. */
bool is_fed_ahead(const csm_frame_parts &parts, const csm_frame_lane &lane, const frame_state &frame);
/* The step of the next frame, of lanes that have one, behind the frame that the card has. */
void feed_ahead(context &ctx, const csm_frame_parts &parts, csm_frame_lane *lanes, size_t n, frame_state &frame);
/* That frame's codes have come: they are what was fed. */
void note_fed(const csm_frame_parts &parts, const csm_frame_lane *lanes, size_t n, frame_state &frame);

/* ---- cuda_frame_host.cu ---- */
/* Lanes take their next page before they need it, each at another position: it takes a while, and
 * lanes that began together would all do it before the same frame. */
void grow_ahead(context &ctx, const csm_frame_lane *lanes, size_t n);
/* The noise of the lanes' next frames, as far as it is known. */
void send_ahead(const csm_frame_parts &parts, const csm_frame_lane *lanes, size_t n, frame_state &frame);
/* Pieces of the frame to their lanes, as they come. */
void collect(context &ctx, const csm_frame_parts &parts, const csm_frame_lane *lanes, size_t n, frame_state &frame,
             const listener &to);

} // namespace csm_cuda
#endif
