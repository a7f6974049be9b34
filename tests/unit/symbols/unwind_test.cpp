// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/unwind.hpp"

#include <gtest/gtest.h>

#include "tests/unit/symbols/pe_file.hpp"

namespace mm::lab {
namespace {

constexpr u64 kBase = 0x70'0000;
constexpr u64 kStack = 0x90'0000;
constexpr unsigned kRsp = 4, kRbp = 5;

/// Code that was stopped in an image at kBase, with a stack at kStack.
struct Stopped {
  test::PeFile file;
  Bytes stack = Bytes(0x400);
  StoppedCode code;

  Stopped() {
    // Calls that end at 0x1105, 0x1205 and, through a register, 0x1302.
    file.put_bytes(0x1100, {0xE8, 0, 0, 0, 0});
    file.put_bytes(0x1200, {0xE8, 0, 0, 0, 0});
    file.put_bytes(0x1300, {0xFF, 0xD0});
    code.rip = kBase + 0x1010;
    code.registers[kRsp] = kStack;
    code.stack_at = kStack;
  }
  void word(u64 at, u64 value) { std::memcpy(stack.data() + at, &value, sizeof value); }
  /// RUNTIME_FUNCTION `index` in a table at 0x2000, with unwind data at 0x2800 + 0x40 * index.
  void function(u32 index, u32 begin, u32 end, std::initializer_list<int> info) {
    file.put(0x2000 + 12 * index, begin);
    file.put(0x2004 + 12 * index, end);
    file.put(0x2008 + 12 * index, 0x2800 + 0x40 * index);
    file.put_bytes(0x2800 + 0x40 * index, info);
    file.directory(3, 0x2000, 12 * (index + 1));
  }
  std::vector<StackFrame> run() {
    code.stack = stack;
    UnwindImage const image{{kBase, 0x3000}, file.shared()};
    return unwind(code, std::span{&image, 1});
  }
};

TEST(Unwind, FollowsPushesAndAllocations) {
  Stopped s;
  // push rbx; sub rsp, 0x20 / sub rsp, 0x108 (large)
  s.function(0, 0x1000, 0x1080, {1, 5, 2, 0, 5, 0x32, 1, 0x30});
  s.function(1, 0x1100, 0x1180, {1, 7, 2, 0, 7, 0x01, 0x21, 0});
  s.word(0x20, 0xB0B0);  // saved rbx
  s.file.put_bytes(0x1120, {0xE8, 0, 0, 0, 0});
  s.word(0x28, kBase + 0x1125);  // return
  s.word(0x30 + 0x108, kBase + 0x1205);
  auto const frames = s.run();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[1].rip, kBase + 0x1125);
  EXPECT_EQ(frames[2].rip, kBase + 0x1205);
  EXPECT_FALSE(frames[1].guess || frames[2].guess);
}

TEST(Unwind, AFaultInThePrologueUndoesWhatWasDone) {
  Stopped s;
  s.function(0, 0x1000, 0x1080, {1, 5, 2, 0, 5, 0x32, 1, 0x30});
  s.code.rip = kBase + 0x1001;  // behind the push, before the allocation
  s.word(0x8, kBase + 0x1105);
  auto const frames = s.run();
  ASSERT_GE(frames.size(), 2u);
  EXPECT_EQ(frames[1].rip, kBase + 0x1105);
}

TEST(Unwind, FramePointerOfUnwindData) {
  Stopped s;
  // push rbp; lea rbp, [rsp+0x10]; SET_FPREG with offset 1 (16 bytes)
  s.function(0, 0x1000, 0x1080, {1, 6, 2, 0x15, 6, 0x03, 1, 0x50});
  s.code.registers[kRbp] = kStack + 0x110;
  s.word(0x100, 0);
  s.word(0x108, kBase + 0x1302);
  auto const frames = s.run();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[1].rip, kBase + 0x1302);
}

TEST(Unwind, WithoutDataFramePointersAreAGuess) {
  Stopped s;
  s.code.registers[kRbp] = kStack + 0x40;
  s.word(0x40, kStack + 0x80);
  s.word(0x48, kBase + 0x1105);
  s.word(0x80, 0);
  s.word(0x88, kBase + 0x1205);
  auto const frames = s.run();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_TRUE(frames[1].guess && frames[2].guess);
  EXPECT_FALSE(frames[0].guess);
}

TEST(Unwind, AnAddressThatIsBehindNoCallIsNoCaller) {
  Stopped s;
  s.code.registers[kRbp] = kStack + 0x40;
  s.word(0x40, kStack + 0x80);
  s.word(0x48, kBase + 0x1104);
  EXPECT_EQ(s.run().size(), 1u);
}

TEST(Unwind, AJumpOutOfEveryImageIsToldByWhoCalled) {
  Stopped s;
  s.code.rip = 0xF008000;
  s.word(0, kBase + 0x1302);
  auto const frames = s.run();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[1].rip, kBase + 0x1302);
}

TEST(Unwind, HostileDataEndsTheWalk) {
  Stopped s;
  s.function(0, 0x1000, 0x2000, {1 | 4 << 3, 0, 255, 0});  // chained, and more codes than there are
  EXPECT_EQ(s.run().size(), 1u);
  Stopped loop;
  loop.code.registers[kRbp] = kStack + 0x40;
  loop.word(0x40, kStack + 0x40);
  loop.word(0x48, kBase + 0x1105);
  EXPECT_LE(loop.run().size(), 64u);
  Stopped outside;
  outside.code.registers[kRbp] = ~u64{0} - 3;
  outside.code.registers[kRsp] = ~u64{0} - 3;
  EXPECT_EQ(outside.run().size(), 1u);
}

}  // namespace
}  // namespace mm::lab
