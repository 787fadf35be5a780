/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels recorded once: launching thousands of small ones takes longer than they
 * run, and a graph of them is one launch. */
#include <ATen/accelerator/Graph.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "torch_engine.h"

namespace csm_torch {

kernel_graph::kernel_graph() = default;
kernel_graph::~kernel_graph() = default;

/* On a stream of its own, as capture demands. The body is run before it, so that
 * what libraries set up at a first call is set up. */
void kernel_graph::record(at::Device device, const std::function<void()> &body)
{
    c10::impl::VirtualGuardImpl backend(device.type());
    c10::Stream side = backend.getStreamFromGlobalPool(device);
    backend.synchronizeDevice(device.index());
    c10::StreamGuard guard(side);
    body();
    side.synchronize();
    graph = std::make_unique<at::accelerator::Graph>();
    graph->capture_begin();
    body();
    graph->capture_end();
}

void kernel_graph::replay()
{
    graph->replay();
}

} // namespace csm_torch
