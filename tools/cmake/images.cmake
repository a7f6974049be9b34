# SPDX-License-Identifier: BSD-2-Clause-Patent
# Guest images: PE32+ by clang and lld-link, one flag set whatever the host preset.

# Of this tree, also when a project outside it includes this file.
get_filename_component(MM_ROOT ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)

find_program(MM_GUEST_CXX NAMES clang++-19 REQUIRED)
find_program(MM_GUEST_LINK NAMES lld-link-19 REQUIRED)
find_program(MM_GUEST_OBJCOPY NAMES llvm-objcopy-19 REQUIRED)
find_program(MM_NASM NAMES nasm REQUIRED)

set(MM_IMAGE_DIR ${CMAKE_BINARY_DIR}/images)
file(MAKE_DIRECTORY ${MM_IMAGE_DIR})
add_custom_target(images)

set(MM_GUEST_FLAGS
    --target=x86_64-w64-mingw32 -std=c++23 -O2 -gdwarf-4 -ffreestanding -fno-exceptions -fno-rtti
    -fno-stack-protector -mno-stack-arg-probe -fno-threadsafe-statics -fno-asynchronous-unwind-tables
    -fno-auto-import -ffunction-sections -fdata-sections -march=x86-64
    -DBOOST_NO_EXCEPTIONS -DBOOST_DISABLE_ASSERTS -DBOOST_CONTAINER_USER_DEFINED_THROW_CALLBACKS
    -Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Wimplicit-fallthrough -Werror=global-constructors
    -Werror=exit-time-destructors -Wframe-larger-than=6144 -Werror
    -ffile-compilation-dir=. -ffile-prefix-map=${MM_ROOT}=. -fmacro-prefix-map=${CMAKE_SOURCE_DIR}=. -I${MM_ROOT})
if(NOT CMAKE_SOURCE_DIR STREQUAL MM_ROOT)
  # A project outside this tree has warnings of its own: FLAGS of mm_add_driver. What breaks an image stays an error.
  list(REMOVE_ITEM MM_GUEST_FLAGS -Wextra -Wconversion -Wshadow -Wold-style-cast -Wimplicit-fallthrough -Werror)
endif()
if(EXISTS /usr/include/boost/version.hpp)
  # Boost is header-only here: only its own folder is put on the include path, never the host's C library headers.
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/guest-include)
  file(CREATE_LINK /usr/include/boost ${CMAKE_BINARY_DIR}/guest-include/boost SYMBOLIC)
  list(APPEND MM_GUEST_FLAGS -isystem ${CMAKE_BINARY_DIR}/guest-include)
endif()

# mm_guest_objects(OUT_VAR NAME name SOURCES a.cpp b.asm ... [FLAGS ...])
# Compiles C++ (.cpp), C (.c), nasm (.nasm) and Rust (.rs: one file is a crate without std) sources to COFF objects. Rust
# takes rustc with the target x86_64-pc-windows-gnu: Debian's rustc and libstd-rust-dev-windows.
function(mm_guest_objects out_var)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;FLAGS" ${ARGN})
  set(objects)
  foreach(source IN LISTS ARG_SOURCES)
    get_filename_component(path ${source} ABSOLUTE)
    file(RELATIVE_PATH rel ${MM_ROOT} ${path})
    string(REPLACE "/" "_" flat ${rel})
    set(object ${CMAKE_BINARY_DIR}/guest-obj/${ARG_NAME}/${flat}.obj)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/guest-obj/${ARG_NAME})
    if(source MATCHES "\\.nasm$")
      add_custom_command(OUTPUT ${object}
        COMMAND ${MM_NASM} -f win64 -I${MM_ROOT}/ -MD ${object}.d -o ${object} ${path}
        DEPENDS ${path} DEPFILE ${object}.d COMMENT "nasm ${rel}" VERBATIM)
    elseif(source MATCHES "\\.rs$")
      find_program(MM_RUSTC NAMES rustc REQUIRED)
      set(object ${object}.lib)
      add_custom_command(OUTPUT ${object}
        COMMAND ${MM_RUSTC} --target x86_64-pc-windows-gnu --crate-type staticlib --edition 2021 -O -g -C panic=abort
                -C symbol-mangling-version=v0 -C force-unwind-tables=yes --remap-path-prefix ${CMAKE_SOURCE_DIR}=. --emit link=${object} ${path}
        DEPENDS ${path} COMMENT "rust ${rel}" VERBATIM)
    else()
      set(std_flags ${MM_GUEST_FLAGS})
      if(source MATCHES "\\.c$")
        list(REMOVE_ITEM std_flags -std=c++23 -fno-rtti -fno-threadsafe-statics -Wold-style-cast)
        list(APPEND std_flags -x c -std=c17)
      endif()
      add_custom_command(OUTPUT ${object}
        COMMAND ${MM_GUEST_CXX} ${std_flags} ${ARG_FLAGS} -MD -MF ${object}.d -MT ${object} -c ${path} -o ${object}
        DEPENDS ${path} DEPFILE ${object}.d COMMENT "guest ${rel}" VERBATIM)
    endif()
    list(APPEND objects ${object})
  endforeach()
  set(${out_var} ${objects} PARENT_SCOPE)
endfunction()

# mm_add_image(name SOURCES ... RING 0|3 [UNWIND] [ENTRY sym] [FLAGS ...]) -> ${MM_IMAGE_DIR}/<name>.efi, .debug.efi with
# DWARF, .map. UNWIND: with unwind data (.pdata, in .rdata), so that a stack can be walked; lld-link keeps what the
# objects of this target have of it with its rules for MinGW alone, which would export every symbol besides.
function(mm_add_image name)
  cmake_parse_arguments(ARG "UNWIND" "RING;ENTRY" "SOURCES;FLAGS" ${ARGN})
  set(unwind)
  if(ARG_UNWIND)
    list(PREPEND ARG_FLAGS -fasynchronous-unwind-tables)
    set(unwind /lldmingw /exclude-all-symbols /merge:.buildid=.rdata /merge:.pdata=.rdata)
  endif()
  if(NOT ARG_ENTRY)
    set(ARG_ENTRY _ModuleEntryPoint)
  endif()
  set(flags ${ARG_FLAGS})
  if(ARG_RING EQUAL 0)
    list(APPEND flags -mno-sse -mno-mmx)
  endif()
  mm_guest_objects(objects NAME ${name} SOURCES ${ARG_SOURCES} FLAGS ${flags})
  set(debug ${MM_IMAGE_DIR}/${name}.debug.efi)
  set(image ${MM_IMAGE_DIR}/${name}.efi)
  add_custom_command(OUTPUT ${debug} ${image}
    COMMAND ${MM_GUEST_LINK} /nologo /driver /dll /noimplib /subsystem:efi_runtime_driver,23.1 /version:1.2 /machine:x64
            /nodefaultlib /entry:${ARG_ENTRY} /align:4096 /filealign:4096 /dynamicbase /base:0 /opt:ref,icf /Brepro ${unwind}
            /debug:dwarf /map:${MM_IMAGE_DIR}/${name}.map /out:${debug} ${objects}
    COMMAND ${MM_GUEST_OBJCOPY} --strip-debug ${debug} ${image}
    DEPENDS ${objects} COMMENT "image ${name}.efi" VERBATIM)
  add_custom_target(image_${name} DEPENDS ${image})
  add_dependencies(images image_${name})
endfunction()
