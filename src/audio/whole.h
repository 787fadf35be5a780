/* SPDX-License-Identifier: Apache-2.0
 *
 * whole.h - whether the sound file that lies in memory is all there. */
#ifndef CSM_AUDIO_WHOLE_H
#define CSM_AUDIO_WHOLE_H

#include <csm/remarks.h>

#include "files/mapped.h"

/* As csm_remark_file, of a file that is open, a pipe's too.
 *
 *   name  the text begins with it */
bool csm_remark_sound(const char *name, const struct csm_mapped *file, csm_remark *remark);

#endif
