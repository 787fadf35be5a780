# SPDX-License-Identifier: Apache-2.0
"""An installed tree serves a user's own program, by pkg-config and by CMake."""

import os
import subprocess

import pytest

from conftest import ROOT

PROGRAM = """
#include <csm/analysis.h>
#include <csm/audio.h>
#include <csm/csm.h>
#include <csm/experimental.h>
#include <csm/quantize.h>
#include <csm/session.h>
#include <csm/text.h>
#include <csm/voices.h>
#include <stdio.h>
int main(void)
{
    csm_error err;
    csm_model *model = NULL;
    csm_model_options options = csm_model_defaults();
    csm_generate_options how = csm_generate_defaults();
    options.n_threads = -1;
    if (how.max_frames != 125 || csm_model_open("none", &options, &model, &err) == CSM_OK)
        return 1;
    puts(csm_version());
    return 0;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(csm REQUIRED)
add_executable(shared user.c)
target_link_libraries(shared csm::csm)
add_executable(static user.c)
target_link_libraries(static csm::csm_static)
"""


def run(*args, **kwargs):
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("told, expected, unexpected", [
    ([], "-O3 -DNDEBUG", "-O0"),
    (["-DCMAKE_C_FLAGS_RELEASE=-O2 -g -DNDEBUG"], "-O2 -g", "-O3"),
    (["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_C_FLAGS=-O1 -g"], "-O1 -g", "-O3"),
], ids=["nothing", "flags of a build type", "a distribution's flags"])
def test_a_packagers_flags_are_kept(tmp_path, told, expected, unexpected):
    run("cmake", "-S", ROOT, "-B", tmp_path, *told)
    commands = (tmp_path / "compile_commands.json").read_text()
    assert expected in commands and unexpected not in commands


@pytest.fixture(scope="module")
def installed(build_dir, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", build_dir, "--prefix", prefix)
    return prefix


@pytest.fixture
def user(tmp_path):
    (tmp_path / "user.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    return tmp_path


def test_a_program_links_by_pkg_config(installed, user):
    pc = next(installed.rglob("csm.pc"))
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent), "LD_LIBRARY_PATH": str(pc.parent.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "csm", env=env).split()
    run("cc", user / "user.c", *flags, "-o", user / "user")
    assert run(user / "user", env=env).strip() in run(installed / "bin" / "csm", "--version")


def test_a_user_of_the_shared_library_needs_no_others_pkg_config_file(installed, user):
    """Only csm.pc is found: no development package of what libcsm is made with is there."""
    pc = next(installed.rglob("csm.pc"))
    env = {**os.environ, "PKG_CONFIG_LIBDIR": str(pc.parent), "LD_LIBRARY_PATH": str(pc.parent.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "csm", env=env).split()
    run("cc", user / "user.c", *flags, "-o", user / "user")
    run(user / "user", env=env)


def test_a_program_links_the_static_library_by_pkg_config(installed, user):
    pc = next(installed.rglob("csm.pc"))
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    flags = run("pkg-config", "--static", "--cflags", "--libs", "csm", env=env).split()
    run("cc", user / "user.c", *("-l:libcsm.a" if f == "-lcsm" else f for f in flags), "-o", user / "user")
    assert "libcsm" not in run("readelf", "-d", user / "user")
    run(user / "user", env=env)


def test_an_archive_is_an_installed_tree(build_dir, tmp_path):
    """cpack's: unpacked anywhere, its command speaks with its voice."""
    run("cpack", "-G", "TGZ", "--config", build_dir / "CPackConfig.cmake", "-B", tmp_path)
    archive = next(tmp_path.glob("csm-*.tar.gz"))
    run("tar", "xzf", archive, "-C", tmp_path)
    command = tmp_path / archive.name.removesuffix(".tar.gz") / "bin" / "csm"
    run(command, "generate", "--text", "Hello.", "--output", tmp_path / "out.wav")
    assert (tmp_path / "out.wav").stat().st_size > 10000


def test_a_project_links_by_find_package(installed, user):
    run("cmake", "-S", user, "-B", user / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", user / "build")
    version = run(installed / "bin" / "csm", "--version").split()[1]
    assert run(user / "build" / "shared").strip() == version
    assert run(user / "build" / "static").strip() == version


def test_a_user_of_the_shared_library_needs_no_other(installed, user):
    """No pkg-config, so none of what libcsm is made with is found."""
    (user / "CMakeLists.txt").write_text(PROJECT.replace("add_executable(static user.c)\n", "")
                                         .replace("target_link_libraries(static csm::csm_static)\n", ""))
    run("cmake", "-S", user, "-B", user / "build", f"-DCMAKE_PREFIX_PATH={installed}",
        "-DPKG_CONFIG_EXECUTABLE=/bin/false", "-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON")
    run("cmake", "--build", user / "build")
    assert run(user / "build" / "shared").strip() == run(installed / "bin" / "csm",
                                                         "--version").split()[1]


def test_a_user_of_the_static_library_is_told_what_is_missing(installed, user):
    (user / "CMakeLists.txt").write_text(PROJECT.replace("REQUIRED", "REQUIRED COMPONENTS static"))
    done = subprocess.run(["cmake", "-S", user, "-B", user / "build",
                           f"-DCMAKE_PREFIX_PATH={installed}",
                           "-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON"], capture_output=True,
                          text=True)
    assert done.returncode != 0 and "static library needs" in done.stderr
