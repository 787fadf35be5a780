/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.h - the border that no exception crosses, of every adapter in C++. */
#ifndef CSM_ENGINE_GUARD_H
#define CSM_ENGINE_GUARD_H

#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "base/error.h"

namespace csm_engine {

/* Thrown for what an engine declines: CSM_BAD_ARG, not CSM_ENGINE. */
struct declined : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

/* Fill err from the exception that is being handled; `is_memory` knows the library's own ways
 * to say that there is none. */
inline csm_status report(const char *engine, bool (*is_memory)(const std::exception &),
                         csm_error *err) noexcept
{
    try {
        throw;
    } catch (const declined &e) {
        return csm_fail(err, CSM_BAD_ARG, "%s: %s", engine, e.what());
    } catch (const std::bad_alloc &) {
        return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory", engine);
    } catch (const std::system_error &) { /* what a thread throws that cannot begin */
        return csm_fail(err, CSM_NO_MEMORY, "%s: no memory for a thread", engine);
    } catch (const std::exception &e) {
        const int length = static_cast<int>(std::strcspn(e.what(), "\n"));
        if (is_memory(e))
            return csm_fail(err, CSM_NO_MEMORY, "%s: out of memory: %.*s", engine, length, e.what());
        return csm_fail(err, CSM_ENGINE, "%s: %.*s", engine, length, e.what());
    } catch (...) {
        return csm_fail(err, CSM_ENGINE, "%s: unknown exception", engine);
    }
}

/* Run `body` and turn what it throws into a status. */
template <class Body>
csm_status guarded(const char *engine, bool (*is_memory)(const std::exception &), csm_error *err,
                   Body &&body) noexcept
{
    try {
        body();
        return CSM_OK;
    } catch (...) {
        return report(engine, is_memory, err);
    }
}

} // namespace csm_engine
#endif
