/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.h - Content Credentials (C2PA): metadata that says of a sound file that a
 * trained algorithm made it, signed with the user's certificate, so that a change of the
 * file shows. It goes beside the mark (csm/mark.h), which stays when metadata are lost.
 *
 *   csm_credentials_open(certificate, key, &credentials, &err);
 *   options.credentials = credentials;              of a csm_audio_writer
 *
 * Needs libc2pa_c, C2PA's own library, which is loaded when credentials are opened: from
 * the path in the environment variable $CSM_C2PA (not in a program that runs with more
 * rights than its caller), else where the system looks for libraries. c2pa-python's wheel
 * holds one (tried: libc2pa_c 0.91.3 of c2pa-python 0.38.1). */
#ifndef CSM_CREDENTIALS_H
#define CSM_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include <csm/audio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Read the certificate and its key; `*out` is untouched on failure, else to be closed.
 *
 *   certificate  PEM: the signer's, then those that vouch for it, the root left out or not
 *   key          PEM, PKCS #8: EC on P-256, P-384 or P-521, Ed25519, or RSA
 *
 * Returns CSM_OK; CSM_BAD_FORMAT (no such key; one that is not the certificate's shows
 * in csm_credentials_sign); CSM_NO_ENGINE (libc2pa_c is not there); CSM_NO_MEMORY. */
CSM_API CSM_MUST_USE csm_status csm_credentials_open(const char *certificate, const char *key,
                                                     csm_credentials **out, csm_error *err);

/* Whether files of that format can be signed: WAV of any kind, FLAC and MP3. */
CSM_API bool csm_credentials_fit(csm_audio_format format);

/* Sign a whole file in memory: bytes [n] in, the file with its credentials out; the
 * samples stay the same.
 *
 *   out, n_out  receive the signed file, to be freed with csm_free
 *
 * Returns CSM_OK; CSM_BAD_ARG (a format that does not fit); CSM_BAD_FORMAT (libc2pa_c
 * refuses: its reason is told); CSM_NO_MEMORY. Threads: any number; they wait for
 * each other. */
CSM_API CSM_MUST_USE csm_status csm_credentials_sign(csm_credentials *credentials,
                                                     csm_audio_format format, const void *bytes,
                                                     size_t n, void **out, size_t *n_out,
                                                     csm_error *err);

/* Takes NULL. */
CSM_API void csm_credentials_close(csm_credentials *credentials);

#ifdef __cplusplus
}
#endif
#endif
