# SPDX-License-Identifier: Apache-2.0
# cmake -DPORT=DIRECTORY -DWORK=DIRECTORY -P stand_in.cmake: runs a portfile without vcpkg. Each
# of its functions that the port calls does here what its documentation says, for one release
# build with the system's jansson and PCRE2; an unknown one is an error of CMake's.
set(CURRENT_PACKAGES_DIR ${WORK}/packages)
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
endfunction()

function(vcpkg_find_acquire_program name)
  find_program(${name} NAMES pkg-config pkgconf REQUIRED)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(arg "" "SOURCE_PATH" "OPTIONS" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vcpkg_cmake_configure: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${WORK}/build -DCMAKE_BUILD_TYPE=Release
      -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DCMAKE_INSTALL_LIBDIR=lib ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --build ${WORK}/build -j 2)
  run(${CMAKE_COMMAND} --install ${WORK}/build)
endfunction()

# Moves a package's CMake files to share/NAME; those that lead to its library follow.
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(arg "" "CONFIG_PATH;PACKAGE_NAME" "" ${ARGN})
  file(MAKE_DIRECTORY ${CURRENT_PACKAGES_DIR}/share)
  file(RENAME ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH} ${CURRENT_PACKAGES_DIR}/share/csm-moved)
  file(GLOB files ${CURRENT_PACKAGES_DIR}/share/csm-moved/*.cmake)
  file(COPY ${files} DESTINATION ${CURRENT_PACKAGES_DIR}/share/csm)
  file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/share/csm-moved)
endfunction()

function(vcpkg_fixup_pkgconfig)
  file(READ ${CURRENT_PACKAGES_DIR}/lib/pkgconfig/csm.pc text)
  if(text MATCHES "${CURRENT_PACKAGES_DIR}")
    message(FATAL_ERROR "csm.pc names the place where it was built")
  endif()
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(arg "" "" "FILE_LIST" ${ARGN})
  file(COPY ${arg_FILE_LIST} DESTINATION ${CURRENT_PACKAGES_DIR}/share/csm)
endfunction()

set(CMAKE_CURRENT_LIST_DIR ${PORT})
include(${PORT}/portfile.cmake)
foreach(file lib/libcsm.a include/csm/csm.h share/csm/csm-config.cmake share/csm/LICENSE
             share/csm/voice/config.json lib/pkgconfig/csm.pc)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/${file})
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
