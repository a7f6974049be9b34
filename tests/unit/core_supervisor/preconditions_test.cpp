// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/supervisor/preconditions.hpp"

#include <gtest/gtest.h>

namespace mm::test {
namespace {

namespace precondition = supervisor::precondition;

template <typename T>
constexpr Status status(Expected<T> const& done) {
  return done ? Status::Success : done.error();
}

TEST(Preconditions, Caller) {
  EXPECT_EQ(precondition::caller(abi::call::FreePage::kRow, true), Status::Success);
  EXPECT_EQ(precondition::caller(abi::call::FreePage::kRow, false), Status::AccessDenied);
  EXPECT_EQ(precondition::caller(abi::call::RdMsr::kRow, false), Status::Success);
}

TEST(Preconditions, Numbers) {
  EXPECT_EQ(precondition::msr_number(0xFFFF'FFFF), Status::Success);
  EXPECT_EQ(precondition::msr_number(0x1'0000'0000), Status::InvalidParameter);
  EXPECT_EQ(precondition::io_width(abi::IoWidth::Dword), Status::Success);
  EXPECT_EQ(precondition::io_width(abi::IoWidth{3}), Status::InvalidParameter);
}

TEST(Preconditions, AllocPage) {
  EXPECT_EQ(precondition::alloc_page({0, 6, 1}), Status::Success);
  EXPECT_EQ(precondition::alloc_page({1, 6, 1}), Status::Unsupported);
  EXPECT_EQ(precondition::alloc_page({0, 5, 1}), Status::Unsupported);
  EXPECT_EQ(precondition::alloc_page({0, 4, 1}), Status::InvalidParameter);
}

TEST(Preconditions, FreePage) {
  auto const range = precondition::free_page({UserAddr{0x5000}, 2});
  ASSERT_TRUE(range);
  EXPECT_EQ(*range, (Range{0x5000, 0x2000}));
  EXPECT_EQ(status(precondition::free_page({UserAddr{0x5000}, 1ull << 52})), Status::SecurityViolation);
}

TEST(Preconditions, StartAp) {
  EXPECT_EQ(precondition::start_ap({UserAddr{0x5000}, 1, {}}, 0, 2), Status::Success);
  EXPECT_EQ(precondition::start_ap({UserAddr{0x5000}, 2, {}}, 0, 2), Status::InvalidParameter);
  EXPECT_EQ(precondition::start_ap({UserAddr{0x5000}, 0, {}}, 0, 2), Status::InvalidParameter);
  EXPECT_EQ(precondition::start_ap({UserAddr{}, 1, {}}, 0, 2), Status::InvalidParameter);
}

TEST(Preconditions, SaveState) {
  EXPECT_EQ(precondition::save_state_read({1, 514, 1}, 514, 2), Status::Success);
  EXPECT_EQ(precondition::save_state_read({0, 514, 1}, 514, 2), Status::InvalidParameter);
  EXPECT_EQ(precondition::save_state_read({1, 515, 1}, 514, 2), Status::InvalidParameter);
  EXPECT_EQ(precondition::save_state_read({1, 514, 2}, 514, 2), Status::InvalidParameter);
  supervisor::SaveStateHolder holder{7, 38, 0, 1, true};
  EXPECT_EQ(precondition::save_state_read2({7, 8, {}}, holder, 1), Status::Success);
  EXPECT_EQ(precondition::save_state_read2({8, 8, {}}, holder, 1), Status::NotStarted);
  EXPECT_EQ(precondition::save_state_read2({7, 8, {}}, holder, 0), Status::AccessDenied);
  EXPECT_EQ(precondition::save_state_read2({7, 0, {}}, holder, 1), Status::InvalidParameter);
  holder.valid = false;
  EXPECT_EQ(precondition::save_state_read2({7, 8, {}}, holder, 1), Status::NotStarted);
}

TEST(Preconditions, Ranges) {
  EXPECT_TRUE(precondition::is_user_range({kPageSize, 1}));
  EXPECT_FALSE(precondition::is_user_range({kPageSize - 1, 2}));
  EXPECT_FALSE(precondition::is_user_range({kPageSize, 0}));
  constexpr u64 kLimit = 1ull << 36;
  EXPECT_EQ(status(precondition::can_be_opened({kPageSize, kPageSize}, kLimit)), Status::Success);
  EXPECT_EQ(status(precondition::can_be_opened({0, kPageSize}, kLimit)), Status::SecurityViolation);
  EXPECT_EQ(status(precondition::can_be_opened({kLimit, kPageSize}, kLimit)), Status::InvalidParameter);
  EXPECT_EQ(status(precondition::can_be_opened({kLimit - kPageSize, 2 * kPageSize}, kLimit)), Status::InvalidParameter);
  EXPECT_EQ(status(precondition::can_be_opened({kPageSize, kLimit / 2}, kLimit)), Status::OutOfResources);
  constexpr std::array kOthers{Range{0x1000, 0x1000}, Range{}, Range{0x4000, 0x1000}};
  EXPECT_EQ(status(precondition::are_apart({0x2000, 0x2000}, kOthers)), Status::Success);
  EXPECT_EQ(status(precondition::are_apart({0x2000, 0x2001}, kOthers)), Status::SecurityViolation);
}

TEST(Preconditions, Requests) {
  EXPECT_EQ(precondition::supervisor_channel(false), Status::Success);
  EXPECT_EQ(precondition::supervisor_channel(true), Status::AccessDenied);
  EXPECT_EQ(status(precondition::unblock(false)), Status::Success);
  EXPECT_EQ(status(precondition::unblock(true)), Status::AccessDenied);
  EXPECT_EQ(status(precondition::comm_update(false, false)), Status::Success);
  EXPECT_EQ(status(precondition::comm_update(true, false)), Status::AccessDenied);
  EXPECT_EQ(status(precondition::comm_update(false, true)), Status::AccessDenied);
}

TEST(Preconditions, Messages) {
  abi::CommunicateHeaderV3 header;
  header.buffer_size = 8;
  auto const message = precondition::message_of(header, 32, true);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->message_bytes, 8u);
  header.buffer_size = 9;
  EXPECT_EQ(status(precondition::message_of(header, 32, true)), Status::BadBufferSize);
  EXPECT_EQ(status(precondition::message_of(header, 32, false)), Status::Success);
  header.header_guid = guids::gEfiMmCommunicateHeaderV3Guid;
  header.buffer_size = 64;
  header.message_size = 8;
  EXPECT_EQ(status(precondition::message_of(header, 64, true)), Status::Success);
  EXPECT_EQ(status(precondition::message_of(header, 63, false)), Status::BadBufferSize);
}

}  // namespace
}  // namespace mm::test
