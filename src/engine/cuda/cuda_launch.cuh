/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_launch.cuh - a kernel behind the last one of the stream. On cards of compute
 * capability 9.0 and newer its blocks take their places while that one ends: so each kernel
 * that is launched by this calls await_before before it reads or writes what another one
 * writes or reads. Weights it may read at once. */
#ifndef CSM_CUDA_LAUNCH_CUH
#define CSM_CUDA_LAUNCH_CUH

#include "engine/cuda/cuda_engine.h"

namespace csm_cuda {

/* The next kernel's blocks may take places. */
__device__ __forceinline__ void let_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}

__device__ __forceinline__ void await_before()
{
    let_next();
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}

/* what: as `check` has it. */
template <class... Parameters, class... Arguments>
void launch(context &ctx, const char *what, void (*kernel)(Parameters...), dim3 grid, int threads, size_t shared,
            const Arguments &...arguments)
{
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributePriority;
    attributes[0].val.priority = ctx.priority;
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared;
    config.stream = ctx.stream;
    config.attrs = attributes;
    config.numAttrs = ctx.properties.major >= 9 && ctx.is_eager ? 2 : 1;
    check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), what);
}

} // namespace csm_cuda
#endif
