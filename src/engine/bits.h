/* SPDX-License-Identifier: Apache-2.0
 *
 * bits.h - what decides the last bits of an engine's products, beside the model: for those
 * whose library chooses its kernels by the machine. Native's are the same everywhere.
 *
 * Such an engine exports csm_engine_NAME_bits beside its entry; open.h calls it once the
 * context is open. */
#ifndef CSM_ENGINE_BITS_H
#define CSM_ENGINE_BITS_H

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: nothing but the engine's version. */
struct csm_engine_bits {
    char library[96];    /* "PyTorch 2.13.0, oneDNN 3.12.0" */
    char processor[192]; /* "AVX512 avx512_bf16 ONEDNN_MAX_CPU_ISA=AVX512_CORE": instructions,
                          * and what caps them */
    int n_threads;       /* that it uses, 1 or more */
};

typedef void (*csm_engine_bits_of)(struct csm_engine_bits *out);

#ifdef __cplusplus
}
#endif
#endif
