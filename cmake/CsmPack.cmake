# SPDX-License-Identifier: Apache-2.0
# cpack -G TGZ or -G DEB in the build directory: what make install installs, as an archive
# that can be unpacked anywhere, or as one package for Debian and its kin. debian/ has
# packages as a distribution makes them.
set(CPACK_PACKAGE_NAME csm)
set(CPACK_PACKAGE_VENDOR "csm maintainers")
set(CPACK_PACKAGE_CONTACT "csm maintainers <maintainers@csm.invalid>")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME csm-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_GENERATOR TGZ)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION sound)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
