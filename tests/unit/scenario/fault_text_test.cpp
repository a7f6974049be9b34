// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/tell/fault_text.hpp"

#include <gtest/gtest.h>

#include "core/base/types.hpp"
#include "core/supervisor/types.hpp"

namespace mm::lab {
namespace {

TEST(FaultText, SaysWhichAccessWasRefused) {
  EXPECT_EQ(cause_text(14, 5, 0x8000, "mmram+0x8000"), "#PF, read of mmram+0x8000, no right");
  EXPECT_EQ(cause_text(14, 6, 0x1000, "0x1000"), "#PF, write to 0x1000, not present");
  EXPECT_EQ(cause_text(14, 0x15, 0x1000, "0x1000"), "#PF, fetch from 0x1000, no right");
  EXPECT_EQ(cause_text(13, 0x60, 0, "0x0"), "#GP, error 0x60");
  EXPECT_EQ(cause_text(99, 0, 0, "0x0"), "vector 99, error 0x0");
}

TEST(FaultText, SaysWhichSystemCallWasRefused) {
  u64 const vector = supervisor::kVectorRefusedSyscall;
  EXPECT_EQ(cause_text(vector, 0, static_cast<u64>(Status::AccessDenied), ""),
            "system call RDMSR refused: ACCESS_DENIED");
  EXPECT_EQ(cause_text(vector, 0x7777, static_cast<u64>(Status::InvalidParameter), ""),
            "system call 0x7777 refused: INVALID_PARAMETER");
  EXPECT_EQ(cause_text(vector, 0x1001C, static_cast<u64>(Status::SecurityViolation), ""),
            "system call ERR_RPT_JMP refused: SECURITY_VIOLATION");
  EXPECT_EQ(cause_text(supervisor::kVectorBudget, 0, 0, ""), "it ran longer than its budget");
}

}  // namespace
}  // namespace mm::lab
