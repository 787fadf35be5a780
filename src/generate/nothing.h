/* SPDX-License-Identifier: Apache-2.0
 *
 * nothing.h - an engine that takes every weight and keeps none: binding a model
 * to it checks all names and shapes, and loads nothing. */
#ifndef CSM_GENERATE_NOTHING_H
#define CSM_GENERATE_NOTHING_H

#include "engine/engine.h"

extern const struct csm_engine_ops csm_engine_nothing;

#endif
