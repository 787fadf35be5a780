# SPDX-License-Identifier: Apache-2.0
# csm_python_package(NAME VARIABLE): VARIABLE becomes the directory of a package
# of a Python environment: CSM_PYTHON's, else .venv's, else that of python3.
find_program(CSM_PYTHON NAMES python3 PATHS ${PROJECT_SOURCE_DIR}/.venv/bin NO_DEFAULT_PATH
             DOC "The Python whose packages mlx and torch the engines are built of")
find_program(CSM_PYTHON NAMES python3)

function(csm_python_package name variable)
  if(NOT ${variable})
    execute_process(
      COMMAND ${CSM_PYTHON} -c
        "import importlib.util as u; print(list(u.find_spec('${name}').submodule_search_locations)[0])"
      OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT found)
      message(FATAL_ERROR "${CSM_PYTHON} has no package ${name}: "
        "expected it after pip install ${name}, or another Python in -DCSM_PYTHON=")
    endif()
    set(${variable} ${found} CACHE PATH "The package ${name} that the engine is built of")
  endif()
endfunction()
