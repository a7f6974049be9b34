// SPDX-License-Identifier: BSD-2-Clause-Patent
// The variable store of scenarios/drivers/variable: its power is cut at every single byte of every kind of write.
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "scenarios/drivers/variable/store.hpp"

namespace mm::variable {
namespace {

constexpr Guid kVendor = "11111111-2222-3333-4444-555555555555"_guid;
constexpr u64 kBank = 320;
using Bytes = std::vector<u8>;

/// A flash, and a store that is opened on it as often as there is a reset.
struct Bench {
  Bytes memory = Bytes(2 * kBank, 0xA5);
  Store store;

  /// A reset; the power fails after so many bytes of it.
  Status reset(u64 power = Flash::kSteady) {
    Flash flash{memory};
    flash.fail_after(power);
    return store.open(flash);
  }
  static Name name(std::u16string const& text) {
    return {kVendor, reinterpret_cast<u8 const*>(text.c_str()), 2 * text.size() + 2};
  }
  Status put(std::u16string const& text, Bytes const& data, bool append = false) {
    return store.put(name(text), 7, data.data(), data.size(), append);
  }
  std::optional<Bytes> get(std::u16string const& text) const {
    u64 const at = store.find(name(text));
    if (at == Store::kNone) {
      return std::nullopt;
    }
    return Bytes(store.data_of(at), store.data_of(at) + store.record(at).data_bytes);
  }
  u64 live() const {
    u64 count = 0;
    for (u64 at = store.first(); at != Store::kNone; at = store.next(at)) {
      ++count;
    }
    return count;
  }
};

Bytes const old_value(20, 0x11);
Bytes const near_value(9, 0x22);

/// A store with "Value" and "Near", and `fill` bytes of deleted records between them and its end.
Bench prepared(u64 fill) {
  Bench bench;
  EXPECT_EQ(bench.reset(), Status::Success);
  EXPECT_EQ(bench.put(u"Value", old_value), Status::Success);
  EXPECT_EQ(bench.put(u"Near", near_value), Status::Success);
  if (fill != 0) {
    EXPECT_EQ(bench.put(u"Gap", Bytes(fill, 0x33)), Status::Success);
    EXPECT_EQ(bench.store.remove(bench.store.find(Bench::name(u"Gap"))), Status::Success);
  }
  return bench;
}

/// What must hold however often the power failed: the value of before or of after, the neighbour, nothing else, and
/// that the store takes another write.
void expect_before_or_after(Bench& bench, std::optional<Bytes> const& after) {
  auto const value = bench.get(u"Value");
  EXPECT_TRUE(value == old_value || value == after);
  EXPECT_EQ(bench.get(u"Near"), near_value);
  EXPECT_EQ(bench.live(), value ? 2u : 1u);
  EXPECT_EQ(bench.put(u"Near", {1, 2, 3}), Status::Success);
  EXPECT_EQ(bench.get(u"Near"), (Bytes{1, 2, 3}));
}

using Change = std::function<Status(Bench&)>;

/// Cuts the power after each number of bytes of `change`, and in the reset after it once more after each number.
void cut_everywhere(u64 fill, Change const& change, std::optional<Bytes> const& after) {
  bool complete = false;
  for (u64 cut = 0; !complete; ++cut) {
    Bench bench = prepared(fill);
    bench.reset();
    bench.store.flash().fail_after(cut);
    complete = change(bench) == Status::Success;
    ASSERT_LT(cut, 4 * kBank);
    bool recovered = false;
    for (u64 again = 0; !recovered; again += again < 8 ? 1 : 29) {
      SCOPED_TRACE(testing::Message() << "cut after " << cut << " bytes, then after " << again);
      Bench next{bench.memory, {}};
      recovered = next.reset(again) == Status::Success;
      ASSERT_EQ(next.reset(), Status::Success);
      if (complete) {
        EXPECT_EQ(next.get(u"Value"), after);
      }
      expect_before_or_after(next, after);
      if (testing::Test::HasFailure()) {
        return;
      }
    }
  }
}

TEST(VariableStore, CutUpdateIsBeforeOrAfter) {
  Bytes const after(20, 0x44);
  cut_everywhere(0, [&](Bench& b) { return b.put(u"Value", after); }, after);
}

TEST(VariableStore, CutAppendIsBeforeOrAfter) {
  Bytes after = old_value;
  after.insert(after.end(), {1, 2, 3});
  cut_everywhere(0, [](Bench& b) { return b.put(u"Value", {1, 2, 3}, true); }, after);
}

TEST(VariableStore, CutRemovalIsBeforeOrAfter) {
  cut_everywhere(0, [](Bench& b) { return b.store.remove(b.store.find(Bench::name(u"Value"))); }, std::nullopt);
}

TEST(VariableStore, CutUpdateThatReclaimsIsBeforeOrAfter) {
  Bytes const after(20, 0x44);
  cut_everywhere(100, [&](Bench& b) { return b.put(u"Value", after); }, after);
}

TEST(VariableStore, CutReclaimChangesNothing) {
  cut_everywhere(60, [](Bench& b) { return b.store.reclaim() ? Status::Success : Status::DeviceError; }, old_value);
}

TEST(VariableStore, CutFormatCanBeDoneAgain) {
  for (u64 cut = 0; cut < kBank + sizeof(StoreHeader) + 1; ++cut) {
    Bench bench;
    EXPECT_EQ(bench.reset(cut), Status::DeviceError) << cut;
    ASSERT_EQ(bench.reset(), Status::Success) << cut;
    EXPECT_EQ(bench.store.remaining(), kBank - sizeof(StoreHeader)) << cut;
  }
}

TEST(VariableStore, ReclaimTakesTheBanksInTurn) {
  Bench bench = prepared(0);
  for (u8 i = 0; i < 50; ++i) {
    ASSERT_EQ(bench.put(u"Value", Bytes(20, i)), Status::Success);
    EXPECT_EQ(bench.get(u"Value"), Bytes(20, i));
    EXPECT_EQ(bench.get(u"Near"), near_value);
  }
  EXPECT_GT(bench.store.flash().erases(), 10u);
}

TEST(VariableStore, AtRuntimeNothingIsErased) {
  Bench bench = prepared(60);
  bench.store.enter_runtime();
  u64 const erases = bench.store.flash().erases();
  Status status = Status::Success;
  for (u8 i = 0; i < 50 && status == Status::Success; ++i) {
    status = bench.put(u"Value", Bytes(20, i));
  }
  EXPECT_EQ(status, Status::OutOfResources);
  EXPECT_EQ(bench.store.flash().erases(), erases);
  EXPECT_TRUE(bench.get(u"Value").has_value());
}

TEST(VariableStore, ForeignBytesAreNoRecords) {
  for (u64 at = sizeof(StoreHeader); at < kBank; ++at) {
    Bench bench = prepared(0);
    bench.memory[at] = 0;  // also sizes that lead out of the bank
    ASSERT_EQ(bench.reset(), Status::Success) << at;
    EXPECT_LE(bench.live(), 2u);
    EXPECT_EQ(bench.put(u"Value", {7}), Status::Success) << at;
    EXPECT_EQ(bench.get(u"Value"), Bytes{7}) << at;
  }
}

TEST(Flash, ProgrammingOnlyClearsBits) {
  Bytes memory(4, 0xFF);
  Flash flash{memory};
  EXPECT_TRUE(flash.write(1, "\x0F\xF0", 2));
  EXPECT_FALSE(flash.write(0, "\xFF\x1F", 2));
  EXPECT_EQ(memory, (Bytes{0xFF, 0x0F, 0xF0, 0xFF}));
  EXPECT_EQ(flash.programmed(), 2u);
  EXPECT_TRUE(flash.erase(1, 1));
  EXPECT_EQ(memory, (Bytes{0xFF, 0xFF, 0xF0, 0xFF}));
}

}  // namespace
}  // namespace mm::variable
