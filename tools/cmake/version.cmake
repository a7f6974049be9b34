# SPDX-License-Identifier: BSD-2-Clause-Patent
# Writes mm_version.cpp: cmake -DOUT=FILE -DSOURCE=FOLDER -DVERSION=TEXT -P version.cmake. The file is left alone when it
# would say the same, so that nothing is compiled again.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
set(text "// SPDX-License-Identifier: BSD-2-Clause-Patent
#include \"tools/runner/shell/version.hpp\"
char const mm::runner::kProgramVersion[] = \"${VERSION}\";
char const mm::runner::kProgramCommit[] = \"${commit}\";
")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
