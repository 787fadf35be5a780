/* SPDX-License-Identifier: Apache-2.0
 *
 * interrupt.h - Ctrl-C and kill: what is under way ends with its frame, and leaves
 * no half-written file. */
#ifndef CSM_CLI_INTERRUPT_H
#define CSM_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT and SIGTERM only ask; a second one ends the process. */
void interrupt_watch(void);
bool is_interrupted(void);

/* From here on they end the process again. */
void interrupt_unwatch(void);

/* End as the signal would have, if there was one. */
void interrupt_obey(void);

#endif
