# SPDX-License-Identifier: BSD-2-Clause-Patent
# mm_add_driver, for this tree and for projects outside it (template/CMakeLists.txt).
get_filename_component(MM_SDK_ROOT ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(NOT COMMAND mm_add_image)
  include(${MM_SDK_ROOT}/tools/cmake/images.cmake)
  add_custom_target(drivers ALL DEPENDS images)
endif()

# mm_add_driver(Name FLAVOUR standard|supervised GUID <file guid> [DEPEX "<postfix text>"] SOURCES ... [FLAGS ...])
# SOURCES: .cpp, .c, .rs and .nasm. -> ${MM_IMAGE_DIR}/<Name>.efi, <Name>.guid (text) and, with DEPEX, <Name>.depex (binary; none =
# no dependency).
function(mm_add_driver name)
  cmake_parse_arguments(ARG "" "FLAVOUR;GUID;DEPEX" "SOURCES;FLAGS" ${ARGN})
  if(NOT ARG_FLAVOUR MATCHES "^(standard|supervised)$")
    message(FATAL_ERROR "mm_add_driver(${name}): FLAVOUR is standard or supervised")
  endif()
  if(NOT ARG_GUID MATCHES "^[0-9A-Fa-f]+-[0-9A-Fa-f]+-[0-9A-Fa-f]+-[0-9A-Fa-f]+-[0-9A-Fa-f]+$" OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mm_add_driver(${name}): GUID is that of the driver's file, in registry form; nothing but FLAVOUR, "
                        "GUID, DEPEX, SOURCES and FLAGS can be given (${ARG_UNPARSED_ARGUMENTS})")
  endif()
  set(sdk ${MM_SDK_ROOT}/scenarios/drivers/sdk)
  if("${ARG_SOURCES}" MATCHES "\\.c(;|$)")
    list(APPEND ARG_SOURCES ${sdk}/debug_print.c)  # of mm_edk2.h
  endif()
  mm_add_image(${name} RING 3 UNWIND FLAGS ${ARG_FLAGS} SOURCES ${ARG_SOURCES}
    ${sdk}/entry_${ARG_FLAVOUR}.nasm ${sdk}/syscall.nasm ${MM_SDK_ROOT}/core/user/image/memory.cpp)
  file(WRITE ${MM_IMAGE_DIR}/${name}.guid "${ARG_GUID}\n")
  if(DEFINED ARG_DEPEX)  # "FALSE" is an expression
    set(depex ${MM_IMAGE_DIR}/${name}.depex)
    add_custom_command(OUTPUT ${depex}
      COMMAND Python3::Interpreter ${sdk}/depex.py ${depex} ${ARG_DEPEX}
      DEPENDS ${sdk}/depex.py COMMENT "depex ${name}" VERBATIM)
    add_custom_target(depex_${name} DEPENDS ${depex})
    add_dependencies(image_${name} depex_${name})
  endif()
endfunction()
