/* SPDX-License-Identifier: Apache-2.0
 *
 * status.h - how every function of csm reports failure.
 *
 * A function that can fail returns a csm_status and takes a csm_error as its
 * last argument. The status says which kind of failure it was; the error, if
 * the caller gave one, receives a message of one line for a person:
 * `what, where, what was expected`. Values come back through pointers, never
 * inside the status. The library prints nothing, exits never, and keeps no
 * state outside the objects it hands out. */
#ifndef CSM_STATUS_H
#define CSM_STATUS_H

/* Before each function of the library: seen from outside of it. */
#if defined(_WIN32)
#define CSM_API
#else
#define CSM_API __attribute__((visibility("default")))
#endif

/* For compilers that look: which argument is a format of printf, and that a result must be looked at. */
#if defined(__GNUC__)
#define CSM_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define CSM_MUST_USE __attribute__((warn_unused_result))
#else
#define CSM_PRINTF(string, first)
#define CSM_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Name, value and text of each status stand in one line, so that they cannot
 * drift apart. Values are stable: new ones are appended. */
#define CSM_STATUS_MAP(X)                                                                          \
    X(OK, 0, "success")                                                                            \
    X(BAD_ARG, -1, "argument out of range")                                                        \
    X(NO_MEMORY, -2, "out of memory")                                                              \
    X(BAD_FILE, -3, "file cannot be opened, read or written")                                      \
    X(BAD_FORMAT, -4, "file malformed, or not of the expected shape")                              \
    X(BAD_LOGITS, -5, "NaN, or nothing finite, in the logits")                                     \
    X(ENGINE, -6, "the engine reported an error")                                                  \
    X(NO_ENGINE, -7, "the engine is not installed")                                                \
    X(CANCELLED, -8, "cancelled by the caller")

/* How a call ended. */
#define CSM_STATUS_ENUM(name, value, text) CSM_##name = (value),
typedef enum csm_status { CSM_STATUS_MAP(CSM_STATUS_ENUM) } csm_status;
#undef CSM_STATUS_ENUM

/* The caller's own buffer for one message; needs no initialisation and no
 * freeing. Untouched by functions that succeed. */
typedef struct csm_error {
    char text[512]; /* zero-terminated, cut if longer, no newline */
} csm_error;

/* The text of a status, for any value: static, never NULL. */
CSM_API const char *csm_status_text(csm_status status);

/* Write a message into `err` (may be NULL) and return `status`, so that a failing
 * path, in the library or in a caller's own function that reports this way, is one
 * line:  return csm_fail(err, CSM_BAD_FILE, "%s: ...", path);
 * What is added to an older message may hold that one's text as "%s". The message
 * stays one line of valid UTF-8: control characters and bytes of no character
 * become '?', and a message too long is cut between two characters. Numbers have a
 * point for their fraction in every locale. */
CSM_API csm_status csm_fail(csm_error *err, csm_status status, const char *format, ...)
    CSM_PRINTF(3, 4);

/* The library's version, "MAJOR.MINOR.PATCH": static. That of the headers: version.h. */
CSM_API const char *csm_version(void);

/* Free an array or a string that a function handed over; takes NULL. */
CSM_API void csm_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
