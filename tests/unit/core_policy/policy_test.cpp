// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <random>

#include "core/policy/index.hpp"
#include "tests/support/policy_blob.hpp"

namespace mm::test {
namespace {

using policy::Finding;
using policy::Problem;

Finding check(std::vector<u8> const& blob) { return policy::validate(std::as_bytes(std::span(blob))); }
policy::View view(std::vector<u8> const& blob) { return policy::View(std::as_bytes(std::span(blob))); }

TEST(PolicyValidate, ExampleIsValidAndHasTheKnownSize) {
  auto const blob = Blob::example();
  EXPECT_EQ(blob.size(), 0x150u);
  EXPECT_EQ(check(blob), Finding{});
}

TEST(PolicyValidate, EveryTruncationIsRefused) {
  auto blob = Blob::example();
  while (!blob.empty()) {
    blob.pop_back();
    EXPECT_NE(check(blob).problem, Problem::None) << blob.size();
  }
}

TEST(PolicyValidate, HeaderFields) {
  struct Row {
    std::size_t offset;
    u8 value;
    Problem problem;
  };
  for (auto const& row :
       {Row{0, 1, Problem::Version}, Row{2, 2, Problem::Version}, Row{12, 1, Problem::HeaderReserved},
        Row{16, 1, Problem::HeaderReserved}, Row{20, 1, Problem::HeaderReserved}, Row{31, 1, Problem::HeaderReserved},
        Row{4, 0x51, Problem::DeclaredSize}, Row{4, 0x48, Problem::DescriptorArray}, Row{36, 0xFF, Problem::RootArray},
        Row{35, 0xFF, Problem::RootArray}, Row{32, 0x20, Problem::RootArray}, Row{40 + 8, 9, Problem::UnknownType},
        Row{40 + 8, 0, Problem::UnknownType}, Row{40 + 8, 3, Problem::DuplicateType},
        Row{40 + 21, 1, Problem::RootReserved}, Row{40 + 23, 1, Problem::RootReserved},
        Row{40 + 20, 2, Problem::AccessAttribute}, Row{40 + 14, 1, Problem::DescriptorArray},
        Row{40 + 19, 0x80, Problem::DescriptorArray}}) {
    auto blob = Blob::example();
    blob[row.offset] = row.value;
    EXPECT_EQ(check(blob).problem, row.problem) << row.offset;
  }
}

TEST(PolicyValidate, Descriptors) {
  struct Row {
    Blob::Root root;
    Problem problem;
  };
  for (auto const& [root, problem] :
       std::vector<Row>{{{1, 0, {Blob::mem(0x1000, 0x1000, 1), Blob::mem(0x2000, 0x1000, 1)}}, Problem::None},
                        {{1, 0, {Blob::mem(0x1000, 0x1001, 1), Blob::mem(0x2000, 0x1000, 1)}}, Problem::Overlap},
                        {{1, 0, {Blob::mem(0x1000, 0, 1)}}, Problem::EmptyOrWrapping},
                        {{1, 0, {Blob::mem(UINT64_MAX, 1, 1)}}, Problem::None},
                        {{1, 0, {Blob::mem(UINT64_MAX, 2, 1)}}, Problem::EmptyOrWrapping},
                        {{1, 0, {Blob::mem(0, 1, 1, 1)}}, Problem::DescriptorReserved},
                        {{3, 0, {Blob::msr(0xFFFFFFFF, 1, 1)}}, Problem::None},
                        {{3, 0, {Blob::msr(0xFFFFFFFF, 2, 1)}}, Problem::EmptyOrWrapping},
                        {{3, 0, {Blob::msr(5, 2, 1), Blob::msr(6, 1, 1)}}, Problem::Overlap},
                        {{2, 0, {Blob::io(0xFFFF, 1, 1)}}, Problem::None},
                        {{2, 0, {Blob::io(0xFFFF, 2, 1)}}, Problem::EmptyOrWrapping},
                        {{2, 0, {Blob::io(5, 4, 8), Blob::io(5, 4, 8)}}, Problem::Overlap},
                        {{2, 0, {Blob::io(5, 4, 8), Blob::io(4, 8, 1)}}, Problem::Overlap},
                        {{2, 0, {Blob::io(5, 4, 8), Blob::io(6, 1, 1)}}, Problem::None},
                        {{2, 0, {Blob::io(5, 4, 1), Blob::io(8, 4, 1)}}, Problem::Overlap},
                        {{2, 0, {Blob::io(5, 4, 1, 1)}}, Problem::DescriptorReserved},
                        {{4, 0, {Blob::instruction(1, 4), Blob::instruction(1, 4)}}, Problem::DuplicateInstruction},
                        {{4, 0, {Blob::instruction(1, 4, 1)}}, Problem::DescriptorReserved},
                        {{5, 0, {Blob::save_state(1, 1, 0), Blob::save_state(1, 1, 0)}}, Problem::DuplicateField},
                        {{5, 0, {Blob::save_state(1, 2, 0)}}, Problem::SaveStateWrite},
                        {{5, 0, {Blob::save_state(1, 0x20, 0)}}, Problem::SaveStateWrite},
                        {{5, 0, {Blob::save_state(1, 0x11, 0)}}, Problem::SaveStateReadTwice},
                        {{5, 0, {Blob::save_state(1, 1, 1)}}, Problem::SaveStateCondition},
                        {{5, 0, {Blob::save_state(1, 1, 0, 1)}}, Problem::DescriptorReserved}}) {
    EXPECT_EQ(check(Blob::make({root})).problem, problem);
  }
}

TEST(PolicyValidate, GapsAndSharedArraysAreRefused) {
  auto blob = Blob::make({{2, 0, {Blob::io(1, 1, 1)}}});
  blob[4] = static_cast<u8>(blob[4] + 8);
  blob.resize(blob.size() + 8);
  EXPECT_EQ(check(blob).problem, Problem::SizeSum);
}

TEST(PolicyValidate, SharedArraysAreRefusedWhenTheSumIsRight) {
  auto const good = Blob::make({{2, 0, {Blob::io(1, 1, 1)}}, {3, 0, {Blob::msr(1, 1, 1)}}});
  ASSERT_EQ(check(good), Finding{});
  constexpr u64 kSecondRoot = 40 + 24;
  for (u8 const offset : {u8{0}, u8{32}, u8{40}, u8{80}, u8{88}}) {
    auto blob = good;
    blob[kSecondRoot + 12] = offset;
    EXPECT_EQ(check(blob), (Finding{Problem::SizeSum, kSecondRoot})) << +offset;
  }
}

TEST(PolicyDecide, Io) {
  auto const allow = Blob::make({{2, 0, {Blob::io(0x100, 4, 3), Blob::io(0x200, 2, 8 | 1)}}});
  auto const deny = Blob::make({{2, 1, {Blob::io(0x100, 4, 3), Blob::io(0x200, 2, 8 | 1)}}});
  struct Row {
    u64 port, width;
    u16 access;
    bool allowed, not_denied;
  };
  for (auto const& r : {Row{0x100, 4, 1, true, false}, Row{0x103, 1, 2, true, false}, Row{0x102, 4, 1, false, false},
                        Row{0xFF, 2, 1, false, false}, Row{0xFE, 2, 1, false, true}, Row{0x104, 1, 1, false, true},
                        Row{0x200, 2, 1, true, false}, Row{0x200, 1, 1, false, true}, Row{0x200, 2, 2, false, true},
                        Row{0x201, 2, 1, false, true}, Row{0x1FE, 4, 1, false, true}, Row{0xFFFF, 1, 1, false, true}}) {
    EXPECT_EQ(policy::decide_io(view(allow), r.port, r.width, r.access) == Status::Success, r.allowed) << r.port;
    EXPECT_EQ(policy::decide_io(view(deny), r.port, r.width, r.access) == Status::Success, r.not_denied) << r.port;
  }
  for (auto const& [port, width] :
       {std::pair<u64, u64>{0xFFFF, 2}, {0xFFFD, 4}, {0x10000, 1}, {1, 3}, {1, 8}, {1, 0}, {UINT64_MAX, 1}}) {
    EXPECT_EQ(policy::decide_io(view(deny), port, width, 1), Status::InvalidParameter);
  }
  EXPECT_EQ(policy::decide_io(view(deny), 1, 1, 3), Status::InvalidParameter);
}

TEST(PolicyDecide, Msr) {
  auto const deny = Blob::example();
  for (u32 const msr : {0xC0000080u, 0xC0000081u, 0xC0000084u, 0x6A8u, 0xC0000102u}) {
    EXPECT_EQ(policy::decide_msr(view(deny), msr, 1), Status::AccessDenied);
    EXPECT_EQ(policy::decide_msr(view(deny), msr, 2), Status::AccessDenied);
  }
  for (u32 const msr : {0xC000007Fu, 0xC0000085u, 0x6A9u, 0x10u}) {
    EXPECT_EQ(policy::decide_msr(view(deny), msr, 1), Status::Success);
  }
  auto const top = Blob::make({{3, 0, {Blob::msr(0xFFFFFFFF, 1, 1)}}});
  EXPECT_EQ(policy::decide_msr(view(top), 0xFFFFFFFF, 1), Status::Success);
  EXPECT_EQ(policy::decide_msr(view(top), 0xFFFFFFFF, 2), Status::AccessDenied);
}

TEST(PolicyDecide, MissingRoots) {
  auto const none = Blob::make({});
  EXPECT_EQ(policy::decide_msr(view(none), 1, 1), Status::AccessDenied);
  EXPECT_EQ(policy::decide_io(view(none), 1, 1, 1), Status::AccessDenied);
  EXPECT_EQ(policy::decide_instruction(view(none), 0), Status::AccessDenied);
  EXPECT_EQ(policy::decide_save_state(view(none), policy::SaveStateField::Rax, policy::IoTrap::None), Status::Success);
}

/// A list ends where its count says: what lies behind it here reads as an entry that allows RAX.
TEST(PolicyDecide, NothingBehindTheSaveStateListIsAnEntry) {
  auto const blob = Blob::make({{5, 0, {Blob::save_state(1, 1, 0)}}, {1, 1, {Blob::mem(0x1'0000'0000, 0, 0)}}});
  EXPECT_EQ(policy::decide_save_state(view(blob), policy::SaveStateField::Rax, policy::IoTrap::None),
            Status::AccessDenied);
}

TEST(PolicyDecide, InstructionAndSaveState) {
  using policy::IoTrap;
  using policy::SaveStateField;
  auto const blob = Blob::example();
  EXPECT_EQ(policy::decide_instruction(view(blob), 2), Status::Success);
  EXPECT_EQ(policy::decide_instruction(view(blob), 3), Status::InvalidParameter);
  EXPECT_EQ(policy::decide_instruction(view(Blob::make({{4, 0, {Blob::instruction(0, 3)}}})), 0), Status::AccessDenied);
  EXPECT_EQ(policy::decide_instruction(view(Blob::make({{4, 1, {Blob::instruction(0, 4)}}})), 0), Status::AccessDenied);
  EXPECT_EQ(policy::decide_save_state(view(blob), SaveStateField::Rax, IoTrap::Write), Status::Success);
  EXPECT_EQ(policy::decide_save_state(view(blob), SaveStateField::Rax, IoTrap::Read), Status::AccessDenied);
  EXPECT_EQ(policy::decide_save_state(view(blob), SaveStateField::Rax, IoTrap::None), Status::AccessDenied);
  EXPECT_EQ(policy::decide_save_state(view(blob), SaveStateField::IoTrap, IoTrap::Read), Status::Success);
  EXPECT_EQ(policy::decide_save_state(view(blob), SaveStateField::Other, IoTrap::Write), Status::AccessDenied);
}

/// validate() refuses these descriptors; the decision does not rely on it.
TEST(PolicyDecide, SaveStateDescriptorsThatContradictThemselves) {
  using policy::IoTrap;
  using policy::SaveStateField;
  for (auto const& [attributes, condition, allowed] :
       {std::tuple{1u, 0u, true}, {1u, 2u, false}, {0x11u, 0u, false}, {0x11u, 2u, true}, {0x10u, 0u, false}}) {
    auto const allow = Blob::make({{5, 0, {Blob::save_state(0, attributes, condition)}}});
    auto const deny = Blob::make({{5, 1, {Blob::save_state(0, attributes, condition)}}});
    EXPECT_EQ(policy::decide_save_state(view(allow), SaveStateField::Rax, IoTrap::Write) == Status::Success, allowed);
    EXPECT_EQ(policy::decide_save_state(view(deny), SaveStateField::Rax, IoTrap::Write), Status::AccessDenied);
  }
}

/// Descriptors of one list that validate() takes, in no order, some of them strict and overlapping.
std::vector<std::vector<u8>> some_descriptors(std::mt19937& dice, bool io, u32 count) {
  std::vector<std::vector<u8>> out;
  auto const number = [&dice](u32 most) { return std::uniform_int_distribution<u32>{0, most}(dice); };
  for (u32 tries = 0; out.size() < count && tries < 40 * count; ++tries) {
    u32 const first = number(3) == 0 ? 0xFFFF - number(40) : number(200);
    u16 const length = static_cast<u16>(1 + number(number(3) == 0 ? 12 : 3));
    u16 const attributes = static_cast<u16>(number(3) | (io && number(1) == 0 ? policy::kStrictWidth : 0));
    out.push_back(io ? Blob::io(static_cast<u16>(first), length, attributes) : Blob::msr(first, length, attributes));
    if (check(Blob::make({{io ? u32{2} : u32{3}, 0, out}})).problem != Problem::None) {
      out.pop_back();
    }
  }
  return out;
}

TEST(PolicyIndex, AnswersAsTheDescriptorsOneAfterTheOther) {
  std::mt19937 dice{4711};
  u64 allowed = 0;
  for (int round = 0; round < 60; ++round) {
    u8 const list = static_cast<u8>(round & 1);
    std::vector<Blob::Root> roots;
    if (round % 7 != 0) {
      roots.push_back({2, list, some_descriptors(dice, true, static_cast<u32>(round))});
    }
    if (round % 5 != 0) {
      roots.push_back({3, static_cast<u8>(1 - list), some_descriptors(dice, false, static_cast<u32>(round))});
    }
    auto const blob = Blob::make(roots);
    ASSERT_EQ(check(blob), Finding{});
    policy::Index index;
    index.build(view(blob));
    for (u32 number = 0; number < 0x1'0010; number += number == 220 ? 0xFFC0 - 220 : 1) {
      for (u16 const access : {policy::kRead, policy::kWrite, u16{3}}) {
        EXPECT_EQ(index.msr(view(blob), number, access), policy::decide_msr(view(blob), number, access)) << number;
        for (u64 const width : {1u, 2u, 3u, 4u}) {
          Status const status = policy::decide_io(view(blob), number, width, access);
          allowed += status == Status::Success ? 1u : 0u;
          EXPECT_EQ(index.io(view(blob), number, width, access), status) << number << " " << width << " " << access;
        }
      }
    }
  }
  EXPECT_GT(allowed, 1000u);
}

TEST(PolicyIndex, MoreThanItHoldsAreAskedOneAfterTheOther) {
  for (u32 const count : {policy::Index::kMost, policy::Index::kMost + 1}) {
    std::vector<std::vector<u8>> ports;
    for (u32 i = count; i-- != 0;) {
      ports.push_back(Blob::io(static_cast<u16>(3 * i), 2, policy::kRead));
    }
    auto const blob = Blob::make({{2, 0, ports}, {3, 0, {}}});
    policy::Index index;
    index.build(view(blob));
    for (u64 port = 0; port < 3 * count; ++port) {
      EXPECT_EQ(index.io(view(blob), port, 1, policy::kRead), policy::decide_io(view(blob), port, 1, policy::kRead));
      EXPECT_EQ(index.io(view(blob), port, 1, policy::kRead) == Status::Success, port % 3 != 2) << port;
    }
  }
}

}  // namespace
}  // namespace mm::test
