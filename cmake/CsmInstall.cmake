# SPDX-License-Identifier: Apache-2.0
# make install: command, libraries, headers, and how others find them
# (pkg-config csm; find_package(csm) gives csm::csm and csm::csm_static).
include(CMakePackageConfigHelpers)

install(TARGETS csm csm_static EXPORT csm
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS csm_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_BINARY_DIR}/bin/csm-generate-mlx DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/csm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(csm_package ${CMAKE_INSTALL_LIBDIR}/cmake/csm)
install(EXPORT csm NAMESPACE csm:: FILE csm-targets.cmake DESTINATION ${csm_package})
configure_package_config_file(cmake/csm-config.cmake.in ${PROJECT_BINARY_DIR}/csm-config.cmake
                              INSTALL_DESTINATION ${csm_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/csm-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/csm-config.cmake ${PROJECT_BINARY_DIR}/csm-config-version.cmake
        DESTINATION ${csm_package})

# The prefix is told relative to the file, so that an installed tree can be moved.
file(RELATIVE_PATH csm_pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/csm.pc.in ${PROJECT_BINARY_DIR}/csm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/csm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
