/* SPDX-License-Identifier: Apache-2.0 */
#include "synth_threads.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

csm_status synth_threads_run(size_t n, void *(*work)(void *user), void *user,
                             atomic_bool *is_stopped, csm_error *err)
{
    pthread_t *threads = calloc(n, sizeof *threads);
    size_t n_begun = 0;
    if (threads == NULL)
        return csm_fail(err, CSM_NO_MEMORY, "--batch: %zu: out of memory", n);
    while (n_begun < n && pthread_create(&threads[n_begun], NULL, work, user) == 0)
        n_begun++;
    const bool has_all = n_begun == n;
    if (!has_all)
        atomic_store(is_stopped, true);
    while (n_begun > 0)
        pthread_join(threads[--n_begun], NULL);
    free(threads);
    return has_all ? CSM_OK
                   : csm_fail(err, CSM_NO_MEMORY, "--batch: %zu threads cannot be begun", n);
}
