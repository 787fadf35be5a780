/* SPDX-License-Identifier: Apache-2.0
 *
 * hub.cpp - models by name. The interpreter's lock is released while transferring;
 * the callback takes it, and so does looking for Ctrl-C. */
#include "module.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include <csm/hub.h>

namespace {

struct Listener {
    nb::object callback; /* None, or callable(file, bytes, total, remark) */
    std::exception_ptr raised;
};

/* What Python raises in here, or Ctrl-C, cancels and is raised again by download. */
bool on_progress(void *user, const csm_hub_progress *p) noexcept
{
    auto *listener = static_cast<Listener *>(user);
    nb::gil_scoped_acquire lock;
    try {
        if (PyErr_CheckSignals() != 0)
            throw nb::python_error();
        if (!listener->callback.is_none()) {
            nb::object remark = p->remark != nullptr ? nb::object(nb::str(p->remark)) : nb::none();
            listener->callback(nb::str(p->file), p->bytes, p->total, remark);
        }
        return true;
    } catch (...) {
        listener->raised = std::current_exception();
        return false;
    }
}

using Text = std::optional<std::string>;

const char *chars(const Text &text)
{
    return text ? text->c_str() : nullptr;
}

std::string download(const std::string &repo, const Text &revision, const Text &endpoint,
                     const Text &cache_dir, const Text &token, bool offline,
                     const std::vector<std::string> &files, nb::object progress)
{
    std::vector<const char *> names;
    for (const std::string &file : files)
        names.push_back(file.c_str());
    Listener listener{std::move(progress), nullptr};
    csm_hub_options options = csm_hub_defaults();
    options.revision = chars(revision);
    options.endpoint = chars(endpoint);
    options.cache_dir = chars(cache_dir);
    options.token = chars(token);
    options.is_offline = offline;
    options.files = names.data();
    options.n_files = names.size();
    options.on_progress = on_progress;
    options.user = &listener;
    csm_error err;
    char *directory = nullptr;
    csm_status status;
    {
        nb::gil_scoped_release unlocked;
        status = csm_hub_download(repo.c_str(), &options, &directory, &err);
    }
    if (listener.raised) {
        csm_free(directory);
        std::rethrow_exception(listener.raised);
    }
    check(status, err);
    std::string path = directory;
    csm_free(directory);
    return path;
}

} // namespace

void bind_hub(nb::module_ &m)
{
    m.def("hub_is_name", [](const std::string &text) { return csm_hub_is_name(text.c_str()); },
          nb::arg("text"));
    m.def("hub_download", &download, nb::arg("repo"), nb::arg("revision").none(),
          nb::arg("endpoint").none(), nb::arg("cache_dir").none(), nb::arg("token").none(),
          nb::arg("offline"), nb::arg("files"), nb::arg("progress").none());
}
