# SPDX-License-Identifier: Apache-2.0
# How every file of the project is compiled. Results must not depend on the
# compiler's liberties: no contraction of a*b+c, no fast-math; what wants a
# fused multiply-add says fma().
add_library(csm_compile INTERFACE)
target_compile_definitions(csm_compile INTERFACE _XOPEN_SOURCE=700)
if(APPLE) # where _XOPEN_SOURCE alone hides dladdr, RTLD_NODELETE, the number of processors
  target_compile_definitions(csm_compile INTERFACE _DARWIN_C_SOURCE)
endif()
target_compile_options(csm_compile INTERFACE
  -ffp-contract=off -fno-math-errno
  -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  $<$<BOOL:${CSM_WERROR}>:-Werror>)
if(CSM_SANITIZE)
  target_compile_options(csm_compile INTERFACE
    -fsanitize=${CSM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(csm_compile INTERFACE -fsanitize=${CSM_SANITIZE})
endif()
