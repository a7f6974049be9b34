// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <functional>

#include "tests/unit/core_loader/fixture.hpp"

namespace mm::loader {
namespace {

struct Refusal : LoadTest {
  /// Runs and expects `problem`; returns the whole error.
  LoadError expect(LoadProblem problem) { return check(run(), problem); }
  LoadError check(std::expected<LoadResult, LoadError> const& r, LoadProblem problem) {
    EXPECT_FALSE(r.has_value());
    if (r) {
      return {};
    }
    EXPECT_EQ(r.error().problem, problem) << describe(r.error().problem);
    EXPECT_TRUE(is_error(r.error().status));
    return r.error();
  }
  /// Refused while loading driver A: named in the error and in the trace.
  void expect_driver_refused(LoadProblem problem) {
    LoadError const e = expect(problem);
    EXPECT_EQ(e.file, kDriverA);
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.back().kind, hal::TraceKind::ImageRefused);
    EXPECT_EQ(events.back().a, static_cast<u64>(problem));
    EXPECT_EQ(events.back().b, static_cast<u64>(e.status));
    EXPECT_EQ(events.back().c & 0xFFFF'FFFF, kDriverA.data1);
  }
  void set_driver_image(test::Blob const& pe) { fv.files[4].body = test::section(image::section_type::kPe32, pe); }
  /// The offset of the GUID HOB `name` in the boot HOB list.
  u64 boot_hob(Guid const& name) {
    HobWalker walker{boot_hobs};
    while (auto const hob = walker.next().value_or(std::nullopt)) {
      if (hob->is_guid(name)) {
        return hob->offset;
      }
    }
    ADD_FAILURE();
    return 0;
  }
};

TEST_F(Refusal, EveryProblemHasItsText) {
  for (u64 p = 1; p <= static_cast<u64>(LoadProblem::BadMseg); ++p) {
    EXPECT_STRNE(describe(static_cast<LoadProblem>(p)), "unknown problem") << p;
  }
}

TEST_F(Refusal, Mmram) {
  for (Range m : {Range{kBase + 1, kTseg}, Range{kBase, kTseg - 1}, Range{kBase, 0}, Range{0x1'0000'0000, kTseg},
                  Range{0xFFFF'F000, 0x2000}, Range{~0xFFFull, 0x2000}}) {
    input.mmram = m;
    expect(LoadProblem::BadMmram);
  }
}

TEST_F(Refusal, TooSmallMmramAtEverySize) {
  input.mmram.size = kPageSize;
  while (!run()) {
    EXPECT_EQ(run().error().problem, LoadProblem::OutOfMmram);
    input.mmram.size += kPageSize;
    ASSERT_LT(input.mmram.size, kTseg);
  }
  EXPECT_EQ(run()->used_end + kPageSize, kBase + input.mmram.size) << "all but one page is used";
}

TEST_F(Refusal, CpuCount) {
  for (u32 n : {0u, 9u, ~0u}) {
    input.cpus = n;
    expect(LoadProblem::BadCpuCount);
  }
}

TEST_F(Refusal, BootHobs) {
  test::Blob const good = boot_hobs;
  for (std::size_t n = 0; n < good.size(); ++n) {
    boot_hobs.assign(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    auto const r = run();
    ASSERT_FALSE(r) << n;
  }
  boot_hobs = good;
  test::put(boot_hobs, 0, u16{2});
  expect(LoadProblem::HobNoHandoff);
  for (u16 length : {u16{0}, u16{8}, u16{57}}) {
    boot_hobs = good;
    test::put(boot_hobs, 2, length);
    expect(LoadProblem::HobLength);
  }
  boot_hobs = good;
  test::put(boot_hobs, 2, u16{0xFFF8});
  expect(LoadProblem::HobTruncated);
}

TEST_F(Refusal, CommunicateBuffers) {
  test::Blob const good = boot_hobs;
  u64 const user = boot_hob(guids::gMmCommBufferHobGuid) + 24;
  u64 const supervisor = boot_hob(guids::gMmCommonRegionHobGuid) + 24;
  auto const with = [&](u64 at, u64 value) {
    boot_hobs = good;
    test::put(boot_hobs, at, value);
    expect(LoadProblem::CommBufferBad);
  };
  with(user, platform::kUserCommBuffer + 1);
  with(user, 0);
  with(user, kBase);
  with(user, kBase - kPageSize);
  with(user + 8, 0);
  with(user + 8, ~0ull);
  with(user + 8, 1ull << 52);
  with(user + 16, kBase);
  with(user + 16, 0);
  with(user + 16, platform::kUserCommStatus + kPageSize - 23);
  with(user + 16, platform::kUserCommBuffer + kPageSize);
  with(supervisor + 8, platform::kUserCommBuffer + kPageSize);
  with(supervisor + 8, platform::kUserCommStatus - kPageSize);
  with(supervisor + 24, platform::kUserCommBuffer);
  with(supervisor, 1);
  with(supervisor + 8, kRam - kPageSize);
  with(supervisor + 24, kRam - 24);
  boot_hobs = good;
  test::put_guid(boot_hobs, user - 16, kDriverA);
  expect(LoadProblem::CommBufferMissing);
  boot_hobs = good;
  test::put_guid(boot_hobs, supervisor - 16, kDriverA);
  expect(LoadProblem::CommBufferMissing);
}

TEST_F(Refusal, MmiEntryTrailer) {
  test::Blob const good = entry;
  u64 const h = 0x60;
  auto const with = [&](u64 at, auto value) {
    entry = good;
    test::put(entry, at, value);
    expect(LoadProblem::MmiEntryTrailer);
  };
  for (u32 size : {0u, 21u, 22u, static_cast<u32>(good.size()) - 3, ~0u}) {
    with(good.size() - 4, size);
  }
  with(h, u32{4});
  with(h, u32{6});
  with(h + 6, u8{21});
  with(h + 6, u8{120});
  with(h + 7, u8{6});
  with(h + 8, u8{0xFF});
  with(h + 9, u8{0xFF});
  with(h + 10, u8{130});
  with(h + 11, u8{4});
  for (std::size_t n = 0; n < good.size(); ++n) {
    entry.assign(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(run());
  }
  entry = test::mmi_entry_binary(0x7000 - 134);
  EXPECT_TRUE(run());
  entry = test::mmi_entry_binary(0x7000 - 133);
  expect(LoadProblem::MmiEntryTooLarge);
}

TEST_F(Refusal, Volume) {
  volume = fv.build();
  test::Blob const good = volume;
  volume[40] = std::byte{0};
  EXPECT_EQ(check(run_volume(), LoadProblem::FvHeader).offset, 40u);
  volume = good;
  volume[72] ^= std::byte{1};
  EXPECT_EQ(check(run_volume(), LoadProblem::FvFile).offset, 72u + 16);
  volume = good;
  test::put24(volume, 72 + 24, 2);
  LoadError const e = check(run_volume(), LoadProblem::FvSection);
  EXPECT_EQ(e.offset, 72u + 24);
  EXPECT_EQ(e.file, kDriverB);
  volume.clear();
  check(run_volume(), LoadProblem::FvHeader);
}

TEST_F(Refusal, MissingCores) {
  auto const files = fv.files;
  fv.files.erase(fv.files.begin() + 1);
  EXPECT_EQ(expect(LoadProblem::SupervisorMissing).file, guids::gMmSupervisorCoreGuid);
  fv.files = files;
  fv.files.erase(fv.files.begin() + 2);
  EXPECT_EQ(expect(LoadProblem::UserCoreMissing).file, guids::gMmSupervisorUserGuid);
  fv.files = files;
  fv.files[1].type = image::file_type::kMmStandalone;
  expect(LoadProblem::SupervisorMissing);
}

TEST_F(Refusal, Images) {
  struct Case {
    LoadProblem problem;
    std::function<void(test::Blob&)> mutate;
  };
  auto const set = [](u64 at, auto v) { return [at, v](test::Blob& b) { test::put(b, at, v); }; };
  for (Case const& c : {Case{LoadProblem::ImageHeader, set(0, u16{0})},
                        Case{LoadProblem::ImageMachine, set(test::kNt + 4, u16{0xAA64})},
                        Case{LoadProblem::ImageMachine, set(test::kOpt, u16{0x10B})},
                        Case{LoadProblem::ImageAlignment, set(test::kOpt + 32, u32{0x40})},
                        Case{LoadProblem::ImageSize, set(test::kOpt + 56, u32{0x4000'0000})},
                        Case{LoadProblem::ImageSections, set(test::kTable + 16, u32{0x4000'0000})},
                        Case{LoadProblem::ImageSections, set(test::kTable + 8, u32{0x2000})},
                        Case{LoadProblem::ImageWriteExecute, set(test::kTable + 36, u32{0xE000'0020})},
                        Case{LoadProblem::ImageEntry, set(test::kOpt + 16, u32{0x2000})},
                        Case{LoadProblem::ImageImports, set(test::kOpt + 124, u32{8})},
                        Case{LoadProblem::ImageRelocations, set(test::kOpt + 156, u32{0x1000})}}) {
    test::Blob pe = test::clang_image().build();
    c.mutate(pe);
    set_driver_image(pe);
    expect_driver_refused(c.problem);
  }
  fv.files[4].body = test::section(image::section_type::kMmDepex, {});
  expect_driver_refused(LoadProblem::NoPe32Section);
}

TEST_F(Refusal, RsmUnderStrictOnly) {
  test::PeSpec pe = test::gcc_image();
  pe.sections[0].raw[7] = std::byte{0x0F};
  pe.sections[0].raw[8] = std::byte{0xAA};
  set_driver_image(pe.build());
  EXPECT_TRUE(run());
  input.strict_rsm = 1;
  expect_driver_refused(LoadProblem::ImageRsm);
  EXPECT_EQ(expect(LoadProblem::ImageRsm).offset, 0x1007u);
}

TEST_F(Refusal, RsmAcrossAdjacentExecutableSections) {
  test::PeSpec pe;
  test::Blob first(0x1000, std::byte{0x90});
  first.back() = std::byte{0x0F};
  pe.sections = {{0x1000, 0x1000, first, test::kCode}, {0x2000, 1, test::bytes_of({0xAA}), test::kCode}};
  set_driver_image(pe.build());
  input.strict_rsm = 1;
  EXPECT_EQ(expect(LoadProblem::ImageRsm).offset, 0x1FFFu);
  pe.sections[1].characteristics = test::kReadOnly;
  set_driver_image(pe.build());
  EXPECT_TRUE(run());
}

TEST_F(Refusal, Depex) {
  auto const with = [&](u64 bytes) {
    fv.files[4] = driver_file(kDriverA, test::gcc_image(),
                              {test::section(image::section_type::kMmDepex, test::Blob(bytes, std::byte{6}))});
  };
  with(0xFFF8 - 48);
  EXPECT_TRUE(run());
  with(0xFFF8 - 47);
  EXPECT_EQ(expect(LoadProblem::DepexTooLarge).file, kDriverA);
}

TEST_F(Refusal, Policy) {
  for (u32 size : {0u, 39u, 65u, ~0u}) {
    fv.files[3] = policy_file(size);
    EXPECT_EQ(expect(LoadProblem::PolicySize).file, guids::gMmSupervisorPolicyFileGuid);
  }
  fv.files[3] = policy_file(64);
  EXPECT_TRUE(run());
  fv.files[3].body = test::section(image::section_type::kRaw, test::Blob(7));
  expect(LoadProblem::PolicySize);
  fv.files[3].body = test::section(image::section_type::kUserInterface, test::Blob(64));
  expect(LoadProblem::PolicyNoRaw);
}

TEST_F(Refusal, Mseg) {
  test::Blob const good = boot_hobs;
  auto const with = [&](u64 base, u64 bytes) {
    test::Blob const hob = mseg_hob(base, bytes);
    boot_hobs = good;
    boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
    return run();
  };
  EXPECT_EQ(with(kRam - 0x2000, 0x1000).error().problem, LoadProblem::BadMseg);
  EXPECT_EQ(with(kBase, kTseg).error().problem, LoadProblem::BadMseg);
  EXPECT_EQ(with(kBase + 0x1000, kTseg - 0x1000).error().problem, LoadProblem::BadMseg) << "in a CPU's tile";
  EXPECT_EQ(with(kBase + kTseg / 16, kTseg - kTseg / 16).error().problem, LoadProblem::OutOfMmram);
}

TEST_F(Refusal, UnblockRegions) {
  test::Blob const good = boot_hobs;
  auto const with = [&](u64 base, u64 pages, Guid const& id) {
    test::Blob hob(24 + 56);
    test::put(hob, 0, u16{4});
    test::put(hob, 2, u16{80});
    test::put_guid(hob, 8, guids::gMmSupvUnblockRegionHobGuid);
    test::put(hob, 24 + 8, base);
    test::put(hob, 24 + 24, pages);
    test::put_guid(hob, 24 + 40, id);
    boot_hobs = good;
    boot_hobs.insert(boot_hobs.end() - 8, hob.begin(), hob.end());
    expect(LoadProblem::UnblockBad);
  };
  with(platform::kScratch + 1, 1, kDriverA);
  with(platform::kScratch, 0, kDriverA);
  with(platform::kScratch, ~0ull, kDriverA);
  with(platform::kScratch, 1, Guid{});
  with(0, 1, kDriverA);
  with(kBase - kPageSize, 2, kDriverA);
  with(kBase + kPageSize, 1, kDriverA);
  with(platform::kUserCommBuffer, 1, kDriverA);
  with(~0xFFFull, 1, kDriverA);
}

}  // namespace
}  // namespace mm::loader
