# SPDX-License-Identifier: Apache-2.0
"""Conan 2: the static library with its voice, over jansson and PCRE2 alone (CSM_MINIMAL).

    conan create packaging/conan                              # jansson and PCRE2 of Conan's registry
    conan create packaging/conan -pr:a packaging/conan/system.profile    # those of the system
"""
import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir
from conan.tools.gnu import PkgConfigDeps

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
PARTS = ["CMakeLists.txt", "LICENSE", "NOTICE", "cmake/*", "include/*", "src/*", "voice/CMakeLists.txt", "voice/model/*"]


class CsmConan(ConanFile):
    name = "csm"
    description = "The Conversational Speech Model engine in C: speech from text"
    license = "Apache-2.0"
    topics = ("speech", "text-to-speech", "tts")
    package_type = "static-library"
    languages = "C"
    settings = "os", "arch", "compiler", "build_type"
    options = {"fPIC": [True, False]}
    default_options = {"fPIC": True}

    def set_version(self):
        self.version = re.search(r"project\(csm VERSION ([0-9.]+)", load(self, os.path.join(ROOT, "CMakeLists.txt"))).group(1)

    def export_sources(self):
        for part in PARTS:
            copy(self, part, ROOT, self.export_sources_folder)

    def requirements(self):
        self.requires("jansson/[>=2.13]")
        self.requires("pcre2/[>=10.36]")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        PkgConfigDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["CSM_MINIMAL"] = True
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        for name in ("LICENSE", "NOTICE"):
            copy(self, name, self.source_folder, os.path.join(self.package_folder, "licenses"))
        # Conan writes its own, of what is said below.
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))

    def package_info(self):
        self.cpp_info.libs = ["csm"]
        self.cpp_info.system_libs = ["m", "pthread", "dl"]
        self.cpp_info.set_property("cmake_file_name", "csm")
        self.cpp_info.set_property("cmake_target_name", "csm::csm_static")
        self.cpp_info.set_property("pkg_config_name", "csm")
        self.runenv_info.define_path("CSM_VOICE_DIR", os.path.join(self.package_folder, "share", "csm", "voice"))
