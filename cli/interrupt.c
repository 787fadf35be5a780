/* SPDX-License-Identifier: Apache-2.0 */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* The signal, or 0: threads of csm synth look at it, too. */
static atomic_int caught;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a signal's handler writes without a lock");

static void on_signal(int signal_number)
{
    caught = signal_number;
}

/* What the parent wants ignored, as a shell does for its background jobs, stays so. */
static void watch(int signal_number)
{
    struct sigaction before, action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    if (sigaction(signal_number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(signal_number, &action, NULL);
}

void interrupt_watch(void)
{
    watch(SIGINT);
    watch(SIGTERM);
}

/* Whatever else handles the signal by now keeps it. */
static void unwatch(int signal_number)
{
    struct sigaction now;
    if (sigaction(signal_number, NULL, &now) == 0 && now.sa_handler == on_signal)
        signal(signal_number, SIG_DFL);
}

void interrupt_unwatch(void)
{
    unwatch(SIGINT);
    unwatch(SIGTERM);
}

bool is_interrupted(void)
{
    return caught != 0;
}

void interrupt_obey(void)
{
    if (caught == 0)
        return;
    const int signal_number = caught;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}
