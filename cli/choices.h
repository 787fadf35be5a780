/* SPDX-License-Identifier: Apache-2.0
 *
 * choices.h - the names of dtypes, samplers and streams on command lines. */
#ifndef CSM_CLI_CHOICES_H
#define CSM_CLI_CHOICES_H

#include <stdbool.h>

#include <csm/audio.h>
#include <csm/model.h>
#include <csm/sampling.h>

/* Each reads a name; false: it is none, which was reported. */
bool choose_dtype(const char *name, csm_dtype *dtype); /* f32, bf16, f16 */
bool choose_sampler(const char *name, csm_sampler_kind *sampler);
bool choose_stream(const char *name, csm_stream_kind *stream);

/* Of a model; NULL leaves the strategy as it is, and is the precision as stored. */
bool choose_named_strategy(const char *name, csm_strategy *strategy); /* auto, pure, ... */
bool choose_precision(const char *name, csm_precision *precision);    /* f32, ..., q4 */

/* --cuda-threads N: what stream torch-cuda's GPU holds at once (multiprocessors times threads
 * on each), 0 for an H100's or H200's. False: with another stream, which was reported. */
bool choose_cuda_threads(size_t asked, csm_stream_kind stream, uint64_t *threads);

/* Says that the numbers are those GPUs' alone, where a call of n elements makes that so. */
void tell_of_gpu(csm_stream_kind stream, uint64_t threads, size_t n);

#endif
