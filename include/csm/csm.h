/* SPDX-License-Identifier: Apache-2.0
 *
 * csm.h - text, and the conversation so far, in; speech out.
 *
 *     csm_error err;
 *     csm_model *model;
 *     if (csm_model_open(NULL, NULL, &model, &err) != CSM_OK)   // the embedded voice
 *         ...err.text says why...
 *     csm_request request = csm_request_of("Hello there.", 1);
 *     csm_generate_options options = csm_generate_defaults();
 *     options.seed = 42;
 *     csm_result *result;
 *     if (csm_generate(model, &request, &options, &result, &err) == CSM_OK)
 *         play(result->samples, result->n_samples);             // mono, 24 kHz
 *     csm_result_close(result);
 *     csm_model_close(model);
 *
 * or frame by frame (80 ms each), as it is drawn:
 *
 *     csm_generation *g;
 *     csm_generation_open(model, &request, &options, &g, &err);
 *     const csm_frame *frame;
 *     while (csm_generation_next(g, &frame, &err) == CSM_OK && frame != NULL)
 *         play(frame->samples, frame->n_samples);
 *     csm_generation_close(g);
 *
 * Words: a *frame* is 80 ms of sound, n_codebooks *codes* [0, vocab); the
 * *backbone* gives the logits of code 0, the *depth decoder* those of the others,
 * *Mimi*, the codec, makes sound of frames. docs/MODEL.md has the whole model.
 *
 * Every object is made by csm_NOUN_open and ended by csm_NOUN_close, which takes NULL.
 * Option structs begin with their size and are made by a function that fills in the
 * defaults; they may grow, and callers that know fewer members go on as they are.
 *
 * Threads: a model is used by any number of threads at once (generate.h). Status and
 * error: status.h.
 *
 * Rounding mode, flushed denormals, traps and locale of the calling thread are put aside
 * while the library computes, and put back: draws and sound are those of any other host. */
#ifndef CSM_CSM_H
#define CSM_CSM_H

#include <csm/codec.h>
#include <csm/generate.h>
#include <csm/model.h>
#include <csm/status.h>
#include <csm/tensors.h>
#include <csm/version.h>

#endif
