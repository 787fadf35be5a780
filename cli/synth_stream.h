/* SPDX-License-Identifier: Apache-2.0
 *
 * synth_stream.h - csm synth --manifest -: a worker for whoever places items themselves. Lines
 * come on standard input, any number of them and at any time; each is spoken as it comes, and
 * answered with a line on standard output when its files are whole. */
#ifndef CSM_CLI_SYNTH_STREAM_H
#define CSM_CLI_SYNTH_STREAM_H

#include "synth_run.h"

/* Until the input ends. An answer is what the manifest says of an item, with "line", its number
 * in the input, from 1; of a line that cannot be spoken {"line", "id" if it has one, "error"}.
 * Answers come in the order in which items are done. The output's directory is made if it is not
 * there. Interrupted: CSM_CANCELLED. Errors: CSM_BAD_FILE: of the files, of standard output; those of the
 * model as csm_generate. */
csm_status synth_stream(struct synth *synth, struct synth_count *count, csm_error *err);

#endif
