# SPDX-License-Identifier: Apache-2.0
# Parts of csm that another library makes. Each is an option CSM_WITH_NAME:
#   AUTO  where the library is there (the default; with CSM_MINIMAL: OFF)
#   ON    needed: configuring fails without the library
#   OFF   left out
# What is left out answers its calls with CSM_NO_ENGINE and one line; configuring says
# which these are. With a part: CSM_HAS_NAME is defined for the library's files, and
# what it links with is in csm_feature_libraries and, for those who link libcsm.a, in
# csm_feature_modules (pkg-config's names).
set(csm_feature_libraries "")
set(csm_feature_modules "")
set(csm_feature_definitions "")
set(csm_left_out "")
set(csm_linked_parts "") # those that libcsm.a links with, by pkg-config
if(CSM_MINIMAL)
  set(csm_feature_default OFF)
else()
  set(csm_feature_default AUTO)
endif()

# csm_feature(NAME WHAT [LOADED] MODULE...): WHAT is what csm does not do without it;
# LOADED: opened when it is used, so that only headers are needed here; MODULEs are
# pkg-config's. Sets NAME_FOUND and its relatives.
macro(csm_feature name what)
  set(CSM_WITH_${name} ${csm_feature_default} CACHE STRING "${what}: AUTO, ON or OFF")
  set_property(CACHE CSM_WITH_${name} PROPERTY STRINGS AUTO ON OFF)
  set(csm_arguments ${ARGN})
  set(csm_modules ${ARGN})
  list(REMOVE_ITEM csm_modules LOADED)
  unset(${name}_FOUND)
  if(CSM_WITH_${name} STREQUAL AUTO)
    pkg_check_modules(${name} QUIET IMPORTED_TARGET ${csm_modules})
  elseif(CSM_WITH_${name})
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${csm_modules})
  endif()
  if(${name}_FOUND)
    list(APPEND csm_feature_definitions CSM_HAS_${name})
    if(NOT LOADED IN_LIST csm_arguments)
      list(APPEND csm_feature_libraries PkgConfig::${name})
      list(APPEND csm_feature_modules ${csm_modules})
      list(APPEND csm_linked_parts ${name})
      set(csm_modules_of_${name} ${csm_modules})
    endif()
  else()
    string(REPLACE ";" ", " csm_names "${csm_modules}")
    list(APPEND csm_left_out "${what} (CSM_WITH_${name}: ${csm_names})")
  endif()
endmacro()

# Say what is left out.
function(csm_tell_features)
  foreach(what IN LISTS csm_left_out)
    message(STATUS "csm is built without ${what}")
  endforeach()
endfunction()
