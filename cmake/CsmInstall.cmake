# SPDX-License-Identifier: Apache-2.0
# make install: command, libraries, headers, and how others find them
# (pkg-config csm; find_package(csm) gives csm::csm and csm::csm_static).
include(CMakePackageConfigHelpers)

# The static library is a package of its own inside: who links the shared one needs none
# of the libraries that csm is made with.
install(TARGETS csm_static EXPORT csm-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(NOT CSM_MINIMAL)
  install(TARGETS csm EXPORT csm LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(TARGETS csm_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${CMAKE_BINARY_DIR}/bin/csm-generate-mlx DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/csm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(csm_package ${CMAKE_INSTALL_LIBDIR}/cmake/csm)
install(EXPORT csm-static NAMESPACE csm:: FILE csm-static-targets.cmake DESTINATION ${csm_package})
if(NOT CSM_MINIMAL)
  install(EXPORT csm NAMESPACE csm:: FILE csm-targets.cmake DESTINATION ${csm_package})
endif()
# The parts of the build and their names for pkg-config, as the static library's user looks for them.
set(csm_static_parts "")
foreach(name IN LISTS csm_linked_parts)
  if(${name}_FOUND)
    string(REPLACE ";" " " modules "${csm_modules_of_${name}}")
    string(APPEND csm_static_parts "  pkg_check_modules(${name} QUIET IMPORTED_TARGET ${modules})\n")
    string(APPEND csm_static_parts "  if(NOT ${name}_FOUND)\n    list(APPEND csm_missing ${modules})\n  endif()\n")
  endif()
endforeach()
configure_package_config_file(cmake/csm-config.cmake.in ${PROJECT_BINARY_DIR}/csm-config.cmake
                              INSTALL_DESTINATION ${csm_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/csm-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/csm-config.cmake ${PROJECT_BINARY_DIR}/csm-config-version.cmake
        DESTINATION ${csm_package})

# The prefix is told relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH csm_pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(csm_pc_libs "")
if(MP3_FOUND)
  set(csm_pc_libs "-lmp3lame ")
endif()
if(CSM_MINIMAL) # one library there is, and what it needs is needed
  string(REPLACE ";" " " csm_pc_requires "jansson;libpcre2-8;${csm_feature_modules}")
  set(csm_pc_public_libs "${csm_pc_libs}-lm -lpthread -ldl")
  set(csm_pc_private_libs "")
else()
  # Not Requires.private: pkg-config would ask the shared library's users, too, for the
  # development packages of all that libcsm is made with.
  set(csm_pc_requires "")
  set(csm_pc_public_libs "")
  set(csm_static_libs ${JANSSON_LDFLAGS} ${PCRE2_LDFLAGS})
  foreach(name IN LISTS csm_linked_parts)
    list(APPEND csm_static_libs ${${name}_LDFLAGS})
  endforeach()
  list(REMOVE_DUPLICATES csm_static_libs)
  string(REPLACE ";" " " csm_pc_private_libs "${csm_static_libs} ${csm_pc_libs}-lm -lpthread -ldl")
endif()
configure_file(cmake/csm.pc.in ${PROJECT_BINARY_DIR}/csm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/csm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Man pages and completions are made of the command that was built: where it runs here.
find_program(CSM_PAGES_PYTHON python3)
if(NOT CSM_MINIMAL AND CSM_PAGES_PYTHON AND NOT CMAKE_CROSSCOMPILING)
  install(CODE "execute_process(COMMAND ${CSM_PAGES_PYTHON} ${PROJECT_SOURCE_DIR}/scripts/command-pages
    $<TARGET_FILE:csm_command> ${PROJECT_BINARY_DIR}/pages COMMAND_ERROR_IS_FATAL ANY)")
  install(DIRECTORY ${PROJECT_BINARY_DIR}/pages/man/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${PROJECT_BINARY_DIR}/pages/csm.bash RENAME csm
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${PROJECT_BINARY_DIR}/pages/_csm DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${PROJECT_BINARY_DIR}/pages/csm.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
