/* SPDX-License-Identifier: Apache-2.0
 *
 * mark_options.h - csm_mark_options as the library uses them. */
#ifndef CSM_MARK_MARK_OPTIONS_H
#define CSM_MARK_MARK_OPTIONS_H

#include <csm/mark.h>

/* given (NULL: the defaults), completed with the defaults and checked. CSM_BAD_ARG. */
csm_status csm_mark_options_settle(const csm_mark_options *given, csm_mark_options *out,
                               csm_error *err);

#endif
