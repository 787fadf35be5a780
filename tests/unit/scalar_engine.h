/* SPDX-License-Identifier: Apache-2.0
 *
 * scalar_engine.h - the engine table in plain loops: sums in double, one value
 * after the other. Slow and easy to believe; what fast engines are held against. */
#ifndef SCALAR_ENGINE_H
#define SCALAR_ENGINE_H

#include "engine/engine.h"

extern const struct csm_engine_ops scalar_engine;

#endif
