// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "tests/support/scripted_ring3.hpp"

namespace mm::user::test {
namespace {

std::vector<int> g_order;
Handle g_victim = 0;

template <int N, Status S>
Status MM_EFIAPI handler(Handle, void const*, void*, u64*) {
  g_order.push_back(N);
  return S;
}
Status MM_EFIAPI removes_victim(Handle, void const*, void*, u64*) {
  g_order.push_back(8);
  EXPECT_EQ(Bench::current->mmst()->mmi_handler_unregister(g_victim), Status::Success);
  return Status::WarnInterruptSourceQuiesced;
}
Status MM_EFIAPI adds_another(Handle self, void const*, void*, u64*) {
  g_order.push_back(7);
  Guid const type = guid_of(1);
  Handle added = 0;
  EXPECT_EQ(Bench::current->mmst()->mmi_handler_register(handler<9, Status::Success>, &type, &added), Status::Success);
  EXPECT_EQ(Bench::current->mmst()->mmi_handler_unregister(self), Status::Success);
  return Status::WarnInterruptSourceQuiesced;
}
Status MM_EFIAPI nests(Handle, void const*, void*, u64*) {
  Guid const inner = guid_of(2);
  return Bench::current->mmst()->mmi_manage(&inner, nullptr, nullptr, nullptr);
}

struct Mmi : testing::Test {
  void SetUp() override {
    ASSERT_EQ(m.boot(), Status::Success);
    g_order.clear();
  }
  Handle add(MmiHandlerFn function, bool root = false) {
    Handle handle = 0;
    EXPECT_EQ(m.mmst()->mmi_handler_register(function, root ? nullptr : &type, &handle), Status::Success);
    return handle;
  }
  Status manage(bool root = false) { return m.mmst()->mmi_manage(root ? nullptr : &type, nullptr, nullptr, nullptr); }
  Machine m;
  Guid const type = guid_of(1);
};

constexpr auto kOther = Status::DeviceError;

TEST_F(Mmi, RegistrationsThatFailLeaveNothingBehind) {
  Handle handle = 0;
  u64 const pages = m.ring3.live_pages();
  for (u32 i = 0; i < 20'000; ++i) {
    ASSERT_EQ(m.mmst()->mmi_handler_register(handler<1, kOther>, &type, nullptr), Status::InvalidParameter);
    ASSERT_EQ(m.mmst()->mmi_handler_register(nullptr, nullptr, &handle), Status::InvalidParameter);
    Handle const one = add(handler<1, Status::Success>, i % 2 == 0);
    ASSERT_EQ(m.mmst()->mmi_handler_unregister(one), Status::Success);
    ASSERT_EQ(m.mmst()->mmi_handler_unregister(one), Status::InvalidParameter);
  }
  EXPECT_LE(m.ring3.live_pages(), pages + 1);
}

TEST_F(Mmi, RegisterAndUnregisterErrors) {
  Handle handle = 0;
  EXPECT_EQ(m.mmst()->mmi_handler_register(nullptr, &type, &handle), Status::InvalidParameter);
  EXPECT_EQ(m.mmst()->mmi_handler_register(handler<1, kOther>, &type, nullptr), Status::InvalidParameter);
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(0), Status::InvalidParameter);
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(1), Status::InvalidParameter) << "the core's own";
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(9999), Status::InvalidParameter);
  Handle const one = add(handler<1, Status::Success>);
  EXPECT_NE(one, add(handler<1, Status::Success>)) << "the same function twice is two records";
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(one), Status::Success);
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(one), Status::InvalidParameter);
}

TEST_F(Mmi, NobodyIsNotFound) {
  EXPECT_EQ(manage(), Status::NotFound);
  EXPECT_EQ(manage(true), Status::NotFound);
  u8 buffer[8]{};
  EXPECT_EQ(m.mmst()->mmi_manage(&type, nullptr, buffer, nullptr), Status::NotFound);
}

TEST_F(Mmi, GuidStopsAtSuccess) {
  add(handler<1, kOther>);
  add(handler<2, Status::WarnInterruptSourcePending>);
  add(handler<3, Status::Success>);
  add(handler<4, Status::Success>);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{1, 2, 3}));
}

TEST_F(Mmi, GuidStopsAtPendingWhateverCameBefore) {
  add(handler<1, Status::WarnInterruptSourceQuiesced>);
  add(handler<2, Status::InterruptPending>);
  add(handler<3, Status::Success>);
  EXPECT_EQ(manage(), Status::InterruptPending);
  EXPECT_EQ(g_order.size(), 2u);
}

TEST_F(Mmi, QuiescedIsSuccessAndGoesOn) {
  add(handler<1, Status::WarnInterruptSourceQuiesced>);
  add(handler<2, Status::WarnInterruptSourcePending>);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order.size(), 2u);
}

TEST_F(Mmi, SourcePendingAloneAndOtherAlone) {
  add(handler<1, kOther>);
  EXPECT_EQ(manage(), Status::NotFound);
  add(handler<2, Status::WarnInterruptSourcePending>);
  EXPECT_EQ(manage(), Status::WarnInterruptSourcePending);
}

TEST_F(Mmi, RootRunsAllAndSuccessOutranksPending) {
  add(handler<1, Status::InterruptPending>, true);
  EXPECT_EQ(manage(true), Status::InterruptPending);
  add(handler<2, Status::Success>, true);
  add(handler<3, Status::InterruptPending>, true);
  g_order.clear();
  EXPECT_EQ(manage(true), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{1, 2, 3}));
}

TEST_F(Mmi, UnregisteredDuringDispatchStillRunsOnce) {
  add(removes_victim);
  g_victim = add(handler<1, Status::Success>);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{8, 1}));
  EXPECT_EQ(m.mmst()->mmi_handler_unregister(g_victim), Status::InvalidParameter) << "deleted after the dispatch";
}

TEST_F(Mmi, UnregisteredAfterAMessageForNobody) {
  EXPECT_EQ(manage(), Status::NotFound);
  g_victim = add(removes_victim);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(manage(), Status::NotFound);
  EXPECT_EQ(g_order, (std::vector<int>{8}));
}

TEST_F(Mmi, RegisteredDuringDispatchRunsInIt) {
  add(adds_another);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{7, 9}));
  g_order.clear();
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{9}));
}

TEST_F(Mmi, NestedManage) {
  Guid const inner = guid_of(2);
  Handle handle = 0;
  ASSERT_EQ(m.mmst()->mmi_handler_register(handler<5, Status::Success>, &inner, &handle), Status::Success);
  add(nests);
  EXPECT_EQ(manage(), Status::Success);
  EXPECT_EQ(g_order, (std::vector<int>{5}));
}

TEST_F(Mmi, ThousandsOfHandlers) {
  for (int i = 0; i < 3000; ++i) {
    add(handler<1, kOther>);
  }
  EXPECT_EQ(manage(), Status::NotFound);
  EXPECT_EQ(g_order.size(), 3000u);
}

}  // namespace
}  // namespace mm::user::test
