/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.cpp - csm/credentials.h for Python. */
#include "module.h"

#include <csm/audio.h>
#include <csm/credentials.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <string>

namespace {

class Credentials {
public:
    Credentials(const std::string &certificate, const std::string &key)
    {
        csm_credentials *opened = nullptr;
        csm_error err;
        check(csm_credentials_open(certificate.c_str(), key.c_str(), &opened, &err), err);
        credentials.reset(opened);
    }

    nb::bytes sign(const std::string &format, nb::bytes file)
    {
        void *bytes = nullptr;
        size_t n = 0;
        csm_error err;
        csm_status status;
        {
            nb::gil_scoped_release released;
            status = csm_credentials_sign(credentials.get(), csm_audio_format_find(format.c_str()),
                                          file.c_str(), file.size(), &bytes, &n, &err);
        }
        check(status, err);
        const std::unique_ptr<void, void (*)(void *)> owned(bytes, csm_free);
        return nb::bytes(bytes, n);
    }

private:
    struct Close {
        void operator()(csm_credentials *c) const { csm_credentials_close(c); }
    };
    std::unique_ptr<csm_credentials, Close> credentials;
};

} // namespace

void bind_credentials(nb::module_ &m)
{
    using namespace nb::literals;
    nb::class_<Credentials>(m, "Credentials", "A certificate and its key, PEM, that sign files.")
        .def(nb::init<const std::string &, const std::string &>(), "certificate"_a, "key"_a)
        .def("sign", &Credentials::sign, "format"_a, "file"_a,
             "The bytes of a file of that format ('wav', 'flac', 'mp3'), signed.");
}
