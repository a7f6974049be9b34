// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tests/unit/core_loader/fixture.hpp"

namespace mm::loader {
namespace {

struct GoodLoad : LoadTest {
  void SetUp() override {
    auto const loaded = run();
    ASSERT_TRUE(loaded) << describe(loaded.error().problem) << " at " << loaded.error().offset;
    r = *loaded;
  }
  std::vector<Hob> hobs() {
    std::vector<Hob> all;
    HobWalker walker{memory.view(r.hob_list, r.hob_bytes)};
    for (;;) {
      auto const hob = walker.next();
      EXPECT_TRUE(hob.has_value());
      if (!hob || !*hob) {
        return all;
      }
      all.push_back(**hob);
    }
  }
  memory::PageAttr attr(u64 at) { return tables(r).query(at).value_or(memory::PageAttr{}); }
  LoadResult r;
};

TEST_F(GoodLoad, HobListHasTheOrderOfTheReference) {
  std::vector<Hob> const all = hobs();
  std::vector<std::string> order;
  for (Hob const& h : all) {
    if (h.type == abi::HobType::MemoryAllocation) {
      EXPECT_EQ(image::load_guid(h.bytes, 8), guids::gMmSupervisorHobMemoryAllocModuleGuid);
      EXPECT_EQ(image::load_le<u32>(h.bytes, 40), 0u);
      Guid const module = image::load_guid(h.bytes, 48);
      order.push_back(module == guids::gMmSupervisorCoreGuid   ? "core"
                      : module == guids::gMmSupervisorUserGuid ? "user"
                      : module == kDriverA                     ? "A"
                      : module == kDriverB                     ? "B"
                                                               : "other");
    } else if (h.type == abi::HobType::GuidExtension) {
      order.push_back(h.is_guid(guids::gMmSupervisorDepexHobGuid)      ? "depex"
                      : h.is_guid(guids::gMmSupervisorPassDownHobGuid) ? "down"
                      : h.is_guid(guids::gEfiSmmSmramMemoryGuid)       ? "mmram"
                      : h.is_guid(guids::gMpInformationHobGuid)        ? "mp"
                      : h.is_guid(abi::kTestOptionsHobGuid)            ? "options"
                      : h.is_guid(guids::gMmCommBufferHobGuid)         ? "user buffer"
                      : h.is_guid(guids::gMmCommonRegionHobGuid)       ? "supervisor buffer"
                                                                       : "other");
    }
  }
  EXPECT_EQ(order, (std::vector<std::string>{"user buffer", "supervisor buffer", "mp", "options", "core", "user", "B",
                                             "A", "depex", "down", "mmram"}));
  u64 const end = memory.get<u64>(r.hob_list + 48);
  EXPECT_EQ(end, r.hob_list + all.back().offset + all.back().bytes.size() + 8);
  EXPECT_GE(r.hob_bytes, end - r.hob_list + kPageSize) << "one spare page";
}

TEST_F(GoodLoad, DepexPassDownMmramAndOptions) {
  for (Hob const& h : hobs()) {
    image::Bytes const p = h.payload();
    if (h.is_guid(guids::gMmSupervisorDepexHobGuid)) {
      EXPECT_EQ(image::load_guid(p, 0), kDriverA);
      EXPECT_EQ(image::load_le<u64>(p, 16), 3u);
      EXPECT_EQ(image::load_le24(p, 24), 0x080806u);
    } else if (h.is_guid(guids::gMmSupervisorPassDownHobGuid)) {
      EXPECT_EQ(image::load_le<u32>(p, 0), 2u);
      EXPECT_EQ(image::load_le<u64>(p, 8), r.cpl3_stack_base);
      EXPECT_EQ(image::load_le<u64>(p, 16), kCpl3StackBytes);
      EXPECT_EQ(image::load_le<u64>(p, 24), r.smbase_array);
      EXPECT_EQ(image::load_le<u64>(p, 32), r.mm_initialized);
      EXPECT_EQ(image::load_le<u64>(p, 40), r.policy);
      EXPECT_EQ(image::load_le<u64>(p, 48), 40u);
      EXPECT_EQ(image::load_le<u64>(p, 56), entry.size());
      EXPECT_EQ(r.hob_list + h.offset + 24, r.pass_down);
    } else if (h.is_guid(guids::gEfiSmmSmramMemoryGuid)) {
      ASSERT_EQ(image::load_le<u32>(p, 0), 2u);
      EXPECT_EQ(image::load_le<u64>(p, 8), kBase);
      EXPECT_EQ(image::load_le<u64>(p, 24), r.used_end - kBase);
      EXPECT_EQ(image::load_le<u64>(p, 32), 0x1Au);
      EXPECT_EQ(image::load_le<u64>(p, 40), r.used_end);
      EXPECT_EQ(image::load_le<u64>(p, 56), kRam - r.used_end);
      EXPECT_EQ(image::load_le<u64>(p, 64), 0x0Au);
    } else if (h.is_guid(guids::gMpInformationHobGuid)) {
      EXPECT_EQ(image::load_le<u64>(p, 0), 3u);
      EXPECT_EQ(image::load_le<u64>(p, 16), 0u);
      EXPECT_EQ(image::load_le<u64>(p, 16 + 48), 4u);
      EXPECT_EQ(image::load_le<u32>(p, 16 + 8), 7u);
      EXPECT_EQ(image::load_le<u32>(p, 16 + 48 + 8), 6u);
    } else if (h.is_guid(abi::kTestOptionsHobGuid)) {
      EXPECT_EQ(image::load_le<u32>(p, 0), 1u);
      EXPECT_EQ(image::load_le<u32>(p, 4), 0u);
    }
  }
}

TEST_F(GoodLoad, ImagesAreCopiedRelocatedAndZeroFilled) {
  EXPECT_EQ(r.supervisor_entry, r.supervisor_base + 0x1004);
  EXPECT_EQ(memory.get<u8>(r.supervisor_entry), 0x90);
  EXPECT_EQ(memory.get<u64>(r.supervisor_base + 0x3000), r.supervisor_base + 0x1004);
  EXPECT_EQ(memory.get<u32>(r.supervisor_base + 0x3008), static_cast<u32>(r.supervisor_base + 0x3000));
  for (u64 at = 0x3010; at < 0x5000; at += 8) {
    ASSERT_EQ(memory.get<u64>(r.supervisor_base + at), 0u);
  }
  EXPECT_EQ(memory.get<u8>(r.user_entry), 0xCC);
}

TEST_F(GoodLoad, ImagePagesHaveTheRightsOfTheirSections) {
  EXPECT_EQ(attr(r.supervisor_base), memory::kSupervisorReadOnly);
  EXPECT_EQ(attr(r.supervisor_base + 0x1000), memory::kSupervisorCode);
  EXPECT_EQ(attr(r.supervisor_base + 0x2000), memory::kSupervisorReadOnly);
  EXPECT_EQ(attr(r.supervisor_base + 0x3000), memory::kSupervisorData);
  EXPECT_EQ(attr(r.supervisor_base + 0x4FFF), memory::kSupervisorData);
  EXPECT_EQ(attr(r.supervisor_base + 0x5000), memory::kSupervisorReadOnly);
  EXPECT_EQ(attr(r.user_base), memory::kUserReadOnly);
  EXPECT_EQ(attr(r.user_base + 0x1000), memory::kUserCode);
  EXPECT_EQ(attr(r.user_base + 0x2000), memory::kUserData);
}

TEST_F(GoodLoad, NoPageIsWritableAndExecutableAndRing3SeesOnlyItsOwn) {
  std::vector<Range> user{{r.user_base, r.user_bytes}, {r.cpl3_stack_base, 3 * kCpl3StackBytes}};
  for (hal::TraceEvent const& e : events) {
    if (e.e == 1) {
      user.push_back({e.a, e.b});
    }
  }
  u64 outside = 0;
  tables(r).for_each_leaf([&](Range page, memory::PageAttr a) {
    EXPECT_FALSE(a.writable && a.executable) << std::hex << page.base;
    if (a.user) {
      EXPECT_TRUE(std::any_of(user.begin(), user.end(), [&](Range u) { return u.contains(page); }))
          << std::hex << page.base;
    }
    if (!input.mmram.contains(page)) {
      ++outside;
      EXPECT_EQ(a, memory::kSupervisorData);
    } else {
      EXPECT_LT(page.base, r.used_end) << "free pages are not mapped";
    }
  });
  EXPECT_EQ(outside, 2 * platform::kCommPages + 2);
}

TEST_F(GoodLoad, SupervisorDataIsProtected) {
  for (u64 at : {r.idt, r.idt_descriptor, r.smbase_array, r.gdt0, r.gdt0 + 0x2000, r.policy, r.cr3}) {
    EXPECT_EQ(attr(at), memory::kSupervisorReadOnly) << std::hex << at;
  }
  tables(r).for_each_table([&](PhysAddr t) { EXPECT_EQ(attr(raw(t)), memory::kSupervisorReadOnly); });
  EXPECT_EQ(attr(r.hob_list), memory::kSupervisorData);
  EXPECT_EQ(attr(r.mm_initialized), memory::kSupervisorData);
  for (u32 i = 0; i < 3; ++i) {
    u64 const ring3 = r.cpl3_stack_base + i * kCpl3StackBytes;
    EXPECT_FALSE(attr(ring3).present) << "guard page";
    EXPECT_EQ(attr(ring3 + kPageSize), memory::kUserData);
    EXPECT_EQ(attr(ring3 + kCpl3StackBytes - 1), memory::kUserData);
    EXPECT_EQ(attr(r.ring0_stack_top[i] - 1), memory::kSupervisorData);
    EXPECT_EQ(attr(r.ring0_stack_top[i] - kRing0StackBytes), memory::kSupervisorData);
    EXPECT_FALSE(attr(r.ring0_stack_top[i] - kRing0StackBytes - 1).present) << "guard page";
    EXPECT_EQ(attr(r.ist_stack_top[i] - kIstStackBytes), memory::kSupervisorData);
    EXPECT_FALSE(attr(r.ist_stack_top[i] - kIstStackBytes - 1).present) << "guard page";
    EXPECT_EQ(memory.get<u8>(r.mm_initialized + i), 0);
  }
}

TEST_F(GoodLoad, TilesHoldTheFixedUpEntryCode) {
  for (u32 i = 0; i < 3; ++i) {
    u64 const smbase = kBase + i * 0x10000;
    EXPECT_EQ(r.smbase[i], smbase);
    EXPECT_EQ(memory.get<u64>(r.smbase_array + 8 * i), smbase);
    u64 const header = smbase + 0x8000 + 0x60;
    u64 const f64 = header + 38;
    u64 const f32 = header + 94;
    EXPECT_EQ(memory.get<u8>(smbase + 0x8000), 0x90);
    EXPECT_EQ(memory.get<u64>(f64), 0u);
    EXPECT_EQ(memory.get<u64>(f64 + 16), r.supervisor_entry);
    EXPECT_EQ(memory.get<u64>(f64 + 40), r.idt_descriptor);
    EXPECT_EQ(memory.get<u64>(f64 + 48), r.hob_list);
    u64 const pseudo = memory.get<u32>(f32 + 4);
    EXPECT_EQ(memory.get<u16>(pseudo), 0x7F);
    EXPECT_EQ(memory.get<u64>(pseudo + 2), r.gdt0 + i * 0x1000);
    EXPECT_EQ(memory.get<u32>(f32 + 8), r.cr3);
    EXPECT_EQ(memory.get<u32>(f32 + 20), r.ring0_stack_top[i] - 8);
    EXPECT_EQ(memory.get<u64>(r.ring0_stack_top[i] - 8), i);
    EXPECT_EQ(memory.get<u32>(f32 + 24), smbase);
    EXPECT_EQ(memory.get<u32>(header + 122), 1u);
    EXPECT_EQ(memory.get<u8>(header + 126), 0) << "SMAP";
    EXPECT_EQ(memory.get<u8>(header + 127), 0xFF) << "not ours";
    EXPECT_EQ(attr(smbase + 0x8000), memory::kSupervisorCode);
    EXPECT_EQ(attr(smbase + 0xFC00), memory::kSupervisorData);
    EXPECT_FALSE(attr(smbase).present || attr(smbase + 0x7FFF).present || attr(smbase + 0x9000).present);
  }
}

// The entry code would write the jump itself in the first MMI; who finds it written does not write code.
TEST_F(LoadTest, RelocatesTheFarJumpOfTheEntryCode) {
  constexpr u64 kOperand = 0x20;
  auto const jump_of = [this](u32 cpu, FarJumpOperand const& operand, MmiEntryStruct const& named) {
    test::put(entry, kOperand, operand);
    test::put(entry, 0x60 + 22, named);
    auto const r = run();
    return r ? memory.get<FarJumpOperand>(r->smbase[cpu] + kEntryOffset + kOperand) : FarJumpOperand{};
  };
  constexpr MmiEntryStruct kNamed{6, kOperand};
  constexpr FarJumpOperand kOurs{0x8042, 8};
  for (u32 i = 0; i < 3; ++i) {
    auto const jump = jump_of(i, kOurs, kNamed);
    EXPECT_EQ(jump.offset, kBase + i * 0x10000 + 0x8042);
    EXPECT_EQ(jump.selector, 8);
  }
  EXPECT_EQ(jump_of(1, {0, 0}, kNamed).offset, 0u) << "the field's entry code writes it itself";
  EXPECT_EQ(jump_of(1, {0x8042, 0}, kNamed).offset, 0x8042u) << "no far jump";
  EXPECT_EQ(jump_of(1, kOurs, {4, kOperand}).offset, 0x8042u) << "no far jump";
  EXPECT_EQ(jump_of(1, kOurs, {0, 0}).offset, 0x8042u) << "nothing is named";
  // The last place in front of the trailer, and the first that is not.
  test::put(entry, 0x60 - 6, kOurs);
  EXPECT_EQ(jump_of(1, {0, 0}, {6, 0x60 - 6}).offset, 0u);
  auto const r = run();
  ASSERT_TRUE(r);
  EXPECT_EQ(memory.get<u32>(r->smbase[1] + kEntryOffset + 0x60 - 6), kBase + 0x10000 + 0x8042);
  EXPECT_EQ(jump_of(1, {0, 0}, {6, 0x60 - 5}).offset, 0u);
  test::put(entry, 0x60 - 5, FarJumpOperand{0x8042, 0x0508});  // its last byte is that of the trailer's version 5
  auto const beyond = run();
  ASSERT_TRUE(beyond);
  EXPECT_EQ(memory.get<u32>(beyond->smbase[1] + kEntryOffset + 0x60 - 5), 0x8042u);
}

TEST_F(GoodLoad, GdtTssAndIdtDescriptor) {
  EXPECT_EQ(memory.get<u16>(r.idt_descriptor), 0xFFF);
  EXPECT_EQ(memory.get<u64>(r.idt_descriptor + 2), r.idt);
  for (u32 i = 0; i < 3; ++i) {
    u64 const gdt = r.gdt0 + i * 0x1000;
    EXPECT_EQ(memory.get<u64>(gdt), 0u);
    EXPECT_EQ(memory.get<u64>(gdt + 0x38), 0x00AF'9B00'0000'FFFFu);
    EXPECT_EQ(memory.get<u64>(gdt + 0x58), 0x00AF'FB00'0000'FFFFu);
    EXPECT_EQ(memory.get<u64>(gdt + 0x60), 0x0000'EC00'0038'0000u);
    u64 const low = memory.get<u64>(gdt + 0x70);
    EXPECT_EQ((low >> 16 & 0xFF'FFFF) | (low >> 56) << 24, gdt + 0x80);
    EXPECT_EQ(low & 0x00FF'FF00'0000'FFFF, 0x0000'8900'0000'0067u) << "limit 0x67, G = 0";
    EXPECT_EQ(memory.get<u64>(gdt + 0x80 + 4), 0u) << "RSP0 belongs to the first MMI";
    EXPECT_EQ(memory.get<u64>(gdt + 0x80 + 36), r.ist_stack_top[i]);
    EXPECT_GE(memory.get<u16>(gdt + 0x80 + 102), 0x68);
  }
}

TEST_F(GoodLoad, TraceNamesEachImageOnce) {
  ASSERT_EQ(events.size(), 4u);
  for (hal::TraceEvent const& e : events) {
    EXPECT_EQ(e.kind, hal::TraceKind::ImageLoaded);
  }
  EXPECT_EQ(events[0].a, r.supervisor_base);
  EXPECT_EQ(events[0].e, 0u);
  EXPECT_EQ(events[1].a, r.user_base);
  EXPECT_EQ(events[1].e, 1u);
  EXPECT_EQ(events[3].c & 0xFFFF'FFFF, kDriverA.data1);
  EXPECT_EQ(r.drivers, 2u);
}

TEST_F(GoodLoad, SameInputSameMemory) {
  std::vector<std::byte> const first(memory.view(kBase, kTseg).begin(), memory.view(kBase, kTseg).end());
  ASSERT_TRUE(run());
  auto const again = memory.view(kBase, r.used_end - kBase);
  EXPECT_TRUE(std::equal(again.begin(), again.end(), first.begin()));
}

TEST_F(GoodLoad, PolicyHasRoomForTheSnapshot) {
  EXPECT_EQ(memory.get<u32>(r.policy + 4), 40u);
  EXPECT_EQ(memory.get<u8>(r.policy + 39), 0x77);
  EXPECT_EQ(memory.get<u8>(r.policy + 40), 0) << "nothing beyond the declared size is copied";
}

TEST_F(LoadTest, SmapAndMissingPolicy) {
  input.smap = 1;
  fv.files.erase(fv.files.begin() + 3);
  auto const r = run();
  ASSERT_TRUE(r);
  EXPECT_EQ(memory.get<u8>(kBase + 0x8000 + 0x60 + 126), 1);
  EXPECT_EQ(r->policy, 0u);
}

TEST_F(LoadTest, OnlyTheFirstCoreOfAName) {
  fv.files.push_back(module_file(guids::gMmSupervisorCoreGuid, image::file_type::kMmCoreStandalone, test::gcc_image()));
  ASSERT_TRUE(run());
  EXPECT_EQ(events.size(), 4u);
}

TEST_F(LoadTest, EmptyDepexSectionGivesADepexHobOfLengthZero) {
  fv.files[0] = driver_file(kDriverB, test::gcc_image(), {test::section(image::section_type::kMmDepex, {})});
  auto const r = run();
  ASSERT_TRUE(r);
  HobWalker walker{memory.view(r->hob_list, r->hob_bytes)};
  bool seen = false;
  while (auto const hob = walker.next().value_or(std::nullopt)) {
    if (hob->is_guid(guids::gMmSupervisorDepexHobGuid) && image::load_guid(hob->payload(), 0) == kDriverB) {
      seen = true;
      EXPECT_EQ(image::load_le<u64>(hob->payload(), 16), 0u);
    }
  }
  EXPECT_TRUE(seen);
}

TEST_F(LoadTest, MsegIsReadOnlyAndNotForAllocation) {
  constexpr u64 kMseg = kRam - 0x2'0000;
  test::Blob const hob = mseg_hob(kMseg, 0x2'0000);
  boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
  auto const r = run();
  ASSERT_TRUE(r) << describe(r.error().problem);
  EXPECT_EQ(tables(*r).query_uniform({kMseg, 0x2'0000}), memory::kSupervisorReadOnly);
  EXPECT_EQ(memory.get<u64>(kMseg), 0u);
  bool seen = false;
  HobWalker walker{memory.view(r->hob_list, r->hob_bytes)};
  while (auto const found = walker.next().value_or(std::nullopt)) {
    if (!found->is_guid(guids::gEfiSmmSmramMemoryGuid)) {
      continue;
    }
    seen = true;
    image::Bytes const p = found->payload();
    ASSERT_EQ(image::load_le<u32>(p, 0), 3u);
    EXPECT_EQ(image::load_le<u64>(p, 40) + image::load_le<u64>(p, 56), kMseg) << "free memory ends below it";
    EXPECT_EQ(image::load_le<u64>(p, 72), kMseg);
    EXPECT_EQ(image::load_le<u64>(p, 88), 0x2'0000u);
    EXPECT_EQ(image::load_le<u64>(p, 96), 0x1Au);
  }
  EXPECT_TRUE(seen);
}

TEST_F(LoadTest, MalformedMsegCountsAsNone) {
  test::Blob const good = boot_hobs;
  for (test::Blob const& hob :
       {mseg_hob(kRam - 0x2'0000 + 8, 0x1000), mseg_hob(kRam - 0x2'0000, 0x1'FFF0), mseg_hob(kRam - 0x1000, 0),
        mseg_hob(0x1000, 0x1000), mseg_hob(kRam - 0x1000, ~0xFFFull), mseg_hob(kRam - 0x1000, 0x1000, 24)}) {
    boot_hobs = good;
    boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
    auto const r = run();
    ASSERT_TRUE(r) << describe(r.error().problem);
    EXPECT_FALSE(tables(*r).query(kRam - 0x1000));
  }
}

TEST_F(LoadTest, UnblockHobOpensItsPagesForRing3) {
  test::Blob hob(24 + 56);
  test::put(hob, 0, u16{4});
  test::put(hob, 2, u16{80});
  test::put_guid(hob, 8, guids::gMmSupvUnblockRegionHobGuid);
  test::put(hob, 24 + 8, platform::kScratch);
  test::put(hob, 24 + 24, u64{2});
  test::put_guid(hob, 24 + 40, kDriverA);
  boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
  auto const r = run();
  ASSERT_TRUE(r) << describe(r.error().problem);
  EXPECT_EQ(tables(*r).query_uniform({platform::kScratch, 0x2000}), memory::kUserData);
  boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
  EXPECT_EQ(run().error().problem, LoadProblem::UnblockBad);
}

}  // namespace
}  // namespace mm::loader
