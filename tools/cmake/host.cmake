# SPDX-License-Identifier: BSD-2-Clause-Patent
# Interface targets of the host build: warnings, sanitizers, coverage. Nothing global.

find_package(Boost 1.74 REQUIRED COMPONENTS context)
find_package(GTest REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(UNICORN REQUIRED IMPORTED_TARGET unicorn>=2.1.4)
find_package(Threads REQUIRED)

add_library(mm_host INTERFACE)
target_include_directories(mm_host INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_features(mm_host INTERFACE cxx_std_23)
target_compile_options(mm_host INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wimplicit-fallthrough -Wnon-virtual-dtor -Woverloaded-virtual)
if(NOT MM_FUZZING_ENGINE)  # there the compiler is another's
  target_compile_options(mm_host INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of these through std::expected and std::vector at -O2.
  target_compile_options(mm_host INTERFACE -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow -Wno-restrict
    -Wno-dangling-pointer -Wno-stringop-overread)
endif()
target_compile_definitions(mm_host INTERFACE BOOST_DISABLE_ASSERTS)
if(MM_SANITIZE)
  target_compile_options(mm_host INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(mm_host INTERFACE -fsanitize=address,undefined)
endif()
if(MM_COVERAGE)
  target_compile_options(mm_host INTERFACE --coverage)
  target_link_options(mm_host INTERFACE --coverage)
endif()
if(MM_MCDC)
  target_compile_options(mm_host INTERFACE -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc)
  target_link_options(mm_host INTERFACE -fprofile-instr-generate)
endif()

# mm_host_library(name SOURCES ... [DEPS ...]): a static library of host code (or of core built for the host).
function(mm_host_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC mm_host ${ARG_DEPS})
endfunction()

# mm_test(name SOURCES ... [DEPS ...] [LABELS ...]): a GoogleTest binary registered with ctest.
function(mm_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE mm_host GTest::gtest_main ${ARG_DEPS})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "unit;${ARG_LABELS}" TIMEOUT 600)
endfunction()
