# SPDX-License-Identifier: BSD-2-Clause-Patent
# Writes mm_version.hpp: cmake -DOUT=FILE -DSOURCE=FOLDER -DVERSION=TEXT -P version.cmake. The file is left alone when it
# would say the same, so that nothing is compiled again.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
set(text "// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once
namespace mm::runner {
inline constexpr char kProgramVersion[] = \"${VERSION}\";
inline constexpr char kProgramCommit[] = \"${commit}\";
}  // namespace mm::runner
")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
