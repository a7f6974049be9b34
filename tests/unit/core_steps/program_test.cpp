// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/steps/program.hpp"

#include <gtest/gtest.h>

#include <string>

namespace mm::steps {
namespace {

/// A step of `row` that is accepted, with its numbers far from their limits.
Step sound_step(StepRow const& row) {
  Step step{.op = static_cast<u16>(row.op), .data_bytes = static_cast<u32>(row.least_data)};
  switch (row.op) {
    case StepOp::UseBuffers:
      step.b = step.c = platform::kScratch;
      break;
    case StepOp::TimedMmi:
      step.a = 1;
      break;
    case StepOp::Ipi:
      step.a = arch::ipi_command(arch::DeliveryMode::Smi);
      break;
    case StepOp::Later:
      step.a = 1;
      break;
    default:
      break;
  }
  return step;
}

TEST(StepProgram, EachOperationHasOneRow) {
  for (auto const& row : kStepRows) {
    EXPECT_EQ(row_of(static_cast<u16>(row.op)), &row) << row.name;
    EXPECT_FALSE(row.name.empty());
  }
  EXPECT_EQ(row_of(static_cast<u16>(StepOp::Invalid)), nullptr) << "it is only in results";
  EXPECT_EQ(row_of(0xFFFF), nullptr);
}

TEST(StepProgram, TheRowsAreInTheOrderOfTheNumbers) {
  for (std::size_t i = 1; i < kStepRows.size(); ++i) {
    EXPECT_LT(kStepRows[i - 1].op, kStepRows[i].op);
  }
}

TEST(StepProgram, AStepOfEachRowIsAccepted) {
  for (auto const& row : kStepRows) {
    EXPECT_TRUE(is_acceptable(sound_step(row))) << row.name;
  }
}

TEST(StepProgram, ANumberBeyondItsRowIsRefused) {
  for (auto const& row : kStepRows) {
    u64 Step::* const numbers[] = {&Step::a, &Step::b, &Step::c};
    for (std::size_t i = 0; i < 3; ++i) {
      if (row.numbers[i].most == ~u64{0}) {
        continue;
      }
      Step step = sound_step(row);
      step.*numbers[i] = row.numbers[i].most;
      EXPECT_TRUE(fits_row(step, row)) << row.name << " " << row.numbers[i].name;
      step.*numbers[i] = row.numbers[i].most + 1;
      EXPECT_FALSE(is_acceptable(step)) << row.name << " " << row.numbers[i].name;
    }
  }
}

TEST(StepProgram, DataThatDoesNotFitTheRowIsRefused) {
  for (auto const& row : kStepRows) {
    Step step = sound_step(row);
    if (row.least_data != 0) {
      step.data_bytes = static_cast<u32>(row.least_data - 1);
      EXPECT_FALSE(is_acceptable(step)) << row.name;
    }
    if (row.most_data < UINT32_MAX) {
      step.data_bytes = static_cast<u32>(row.most_data + 1);
      EXPECT_FALSE(is_acceptable(step)) << row.name;
    }
  }
}

TEST(StepProgram, MemoryIsTheFirst4GiB) {
  u64 const top = u64{1} << 32;
  EXPECT_TRUE(in_memory(top - 8, 8));
  EXPECT_FALSE(in_memory(top - 8, 9));
  EXPECT_FALSE(in_memory(top, 0));
  EXPECT_FALSE(in_memory(~u64{0}, 8));
  EXPECT_TRUE(in_memory(0, kMaxStepBytes));
  EXPECT_FALSE(in_memory(0, kMaxStepBytes + 1));
}

TEST(StepProgram, AnAccessBeyondMemoryIsRefused) {
  u64 const top = u64{1} << 32;
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Read), .a = top, .b = 8}));
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Fill), .a = top - 8, .b = 9}));
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Write), .data_bytes = 9, .a = top - 8}));
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::UseBuffers), .a = 0, .b = top, .c = 0}));
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::UseBuffers), .a = 0, .b = 0, .c = top - 8}));
}

TEST(StepProgram, ATimedMmiThatIsNeverRaisedIsRefused) {
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::TimedMmi), .a = 0}));
}

TEST(StepProgram, RegistersComeWithAMask) {
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Cpu), .data_bytes = sizeof(CpuState), .a = 0}));
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Cpu), .data_bytes = 0, .a = 1}));
  EXPECT_TRUE(is_acceptable({.op = static_cast<u16>(StepOp::Cpu), .data_bytes = sizeof(CpuState), .a = 1}));
}

TEST(StepProgram, AnIpiThatWouldStopTheProgramIsRefused) {
  u64 const init = arch::ipi_command(arch::DeliveryMode::Init);
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Ipi), .a = init, .b = arch::kBootApicId}));
  EXPECT_TRUE(is_acceptable({.op = static_cast<u16>(StepOp::Ipi), .a = init, .b = 1}));
}

TEST(StepProgram, RspIsNotLoadedLater) {
  u64 const rsp = 1u << static_cast<u32>(CpuRegister::Rsp);
  EXPECT_FALSE(is_acceptable({.op = static_cast<u16>(StepOp::Later), .data_bytes = sizeof(CpuState), .a = rsp}));
}

}  // namespace
}  // namespace mm::steps
