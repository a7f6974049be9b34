# SPDX-License-Identifier: BSD-2-Clause-Patent
# What `cmake --install` puts where, and the packages that CPack makes of it: a .deb and a tarball, which runs from any
# folder. Every library but the C library comes along in lib/mm-supervisor, so that one build serves Debian 12 and later.
#   bin/mmsim, bin/mmcomm
#   lib/mm-supervisor/{*.so*, images/, fuzz/}
#   share/mm-supervisor: the tree that drivers of one's own are built against, scenarios, policies
#   share/doc/mm-supervisor: pages, licences of what comes along, the offer of Unicorn's source
if(NOT TARGET mmsim OR NOT MM_BUILD_IMAGES)
  return()
endif()
set(MM_LIBRARIES lib/mm-supervisor)
set(MM_SHARED share/mm-supervisor)
set(MM_DOCUMENTS share/doc/mm-supervisor)

# RPATH and not RUNPATH: it also serves what the libraries need themselves.
set_target_properties(mmsim PROPERTIES INSTALL_RPATH "$ORIGIN/../${MM_LIBRARIES}")
target_link_options(mmsim PRIVATE -Wl,--disable-new-dtags)
install(TARGETS mmsim RUNTIME_DEPENDENCY_SET mm_libraries DESTINATION bin)
install(RUNTIME_DEPENDENCY_SET mm_libraries DESTINATION ${MM_LIBRARIES}
  PRE_EXCLUDE_REGEXES "^lib(c|m|dl|rt|pthread|resolv|util)\\.so" "^ld-linux" POST_EXCLUDE_REGEXES "/libc\\.so" "/libm\\.so" "/ld-linux")
if(TARGET fuzz_driver AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # The program that `mmsim fuzz driver` runs. Other compilers have no libFuzzer: theirs only replays.
  set_target_properties(fuzz_driver PROPERTIES INSTALL_RPATH "$ORIGIN/..")
  target_link_options(fuzz_driver PRIVATE -Wl,--disable-new-dtags)
  install(TARGETS fuzz_driver RUNTIME_DEPENDENCY_SET mm_libraries DESTINATION ${MM_LIBRARIES}/fuzz)
endif()
if(TARGET mmcomm)
  install(TARGETS mmcomm DESTINATION bin)
endif()
install(DIRECTORY ${MM_IMAGE_DIR}/ DESTINATION ${MM_LIBRARIES}/images)

install(DIRECTORY core scenarios DESTINATION ${MM_SHARED} PATTERN "__pycache__" EXCLUDE)
install(FILES tools/cmake/images.cmake DESTINATION ${MM_SHARED}/tools/cmake)

install(FILES README.md LICENSE DESTINATION ${MM_DOCUMENTS})
install(FILES tools/package/copyright DESTINATION ${MM_DOCUMENTS})
install(CODE "
  set(ENV{MM_IMAGES} \"${MM_IMAGE_DIR}\")
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/package/extras \"$<TARGET_FILE:mmsim>\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\" COMMAND_ERROR_IS_FATAL ANY)")

set(CPACK_PACKAGE_NAME mm-supervisor)
set(CPACK_PACKAGE_CONTACT "the authors of the MM Supervisor <mm-supervisor@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Supervisor for System Management Mode, and its testbed")
set(CPACK_PACKAGE_DESCRIPTION "mmsim runs MM drivers in ring 3 under a supervisor, on a simulated machine and on QEMU:
 messages, policies, audits, fuzzing. The images of the supervisor come along, with what builds a driver of one's own.")
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_FILE_NAME mm-supervisor_${PROJECT_VERSION}_amd64)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.36)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "qemu-system-x86")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "clang-19, lld-19, llvm-19, nasm, cmake, man-db")
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
include(CPack)
