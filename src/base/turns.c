/* SPDX-License-Identifier: Apache-2.0 */
#include "base/turns.h"

#include <unistd.h>

void csm_turns_open(struct csm_turns *turns)
{
    *turns = (struct csm_turns){.process = getpid()};
    pthread_mutex_init(&turns->mutex, NULL);
    pthread_cond_init(&turns->changed, NULL);
}

void csm_turns_close(struct csm_turns *turns)
{
    pthread_cond_destroy(&turns->changed);
    pthread_mutex_destroy(&turns->mutex);
}

bool csm_turns_are_ours(const struct csm_turns *turns)
{
    return turns->process == getpid();
}

csm_status csm_turns_check(const struct csm_turns *turns, csm_error *err)
{
    if (csm_turns_are_ours(turns))
        return CSM_OK;
    return csm_fail(err, CSM_BAD_ARG,
                    "opened by process %d, of which this one is a fork: expected each process to open "
                    "its own",
                    (int)turns->process);
}

void csm_turns_take(struct csm_turns *turns)
{
    pthread_mutex_lock(&turns->mutex);
    const uint64_t own = turns->n_asked++;
    while (turns->n_done != own)
        pthread_cond_wait(&turns->changed, &turns->mutex);
    pthread_mutex_unlock(&turns->mutex);
}

void csm_turns_give(struct csm_turns *turns)
{
    pthread_mutex_lock(&turns->mutex);
    turns->n_done++;
    if (turns->n_done != turns->n_asked)
        pthread_cond_broadcast(&turns->changed);
    pthread_mutex_unlock(&turns->mutex);
}

bool csm_turns_are_wanted(struct csm_turns *turns)
{
    pthread_mutex_lock(&turns->mutex);
    const bool are_wanted = turns->n_asked > turns->n_done + 1;
    pthread_mutex_unlock(&turns->mutex);
    return are_wanted;
}
