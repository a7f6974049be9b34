// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include "core/loader/loader.hpp"
#include "tests/support/flat_memory.hpp"
#include "tests/support/image_builder.hpp"

namespace mm::loader {

inline constexpr Guid kDriverA = "0A0A0A0A-0001-0002-0003-000000000001"_guid;
inline constexpr Guid kDriverB = "0B0B0B0B-0001-0002-0003-000000000002"_guid;

/// A FREEFORM file with a minimal policy block; `size` is what it declares.
inline test::FileSpec policy_file(u32 size = 40) {
  test::Blob policy(64, std::byte{0x77});
  test::put(policy, 4, size);
  return {guids::gMmSupervisorPolicyFileGuid, image::file_type::kFreeform,
          test::section(image::section_type::kRaw, policy)};
}

inline test::FileSpec module_file(Guid const& name, u8 type, test::PeSpec const& pe,
                                  std::vector<test::Blob> extra = {}) {
  extra.push_back(test::section(image::section_type::kPe32, pe.build()));
  return {name, type, test::sections(extra)};
}

inline test::FileSpec supervisor_file() {
  return module_file(guids::gMmSupervisorCoreGuid, image::file_type::kMmCoreStandalone, test::clang_image());
}
inline test::FileSpec user_file() {
  return module_file(guids::gMmSupervisorUserGuid, image::file_type::kMmCoreStandalone, test::gcc_image());
}
inline test::FileSpec driver_file(Guid const& name, test::PeSpec const& pe, std::vector<test::Blob> extra = {}) {
  return module_file(name, image::file_type::kMmStandalone, pe, std::move(extra));
}

/// The MSEG HOB of a normal world; `payload` bytes of it.
inline test::Blob mseg_hob(u64 base, u64 bytes, u64 payload = sizeof(abi::MmramDescriptor)) {
  test::Blob hob(24 + payload);
  test::put(hob, 0, u16{4});
  test::put(hob, 2, static_cast<u16>(hob.size()));
  test::put_guid(hob, 8, guids::gMsegSmramGuid);
  test::put(hob, 24, base);
  test::put(hob, 32, base);
  test::put(hob, 40, bytes);
  return hob;
}

struct LoadTest : testing::Test {
  static constexpr u64 kRam = 128ull << 20;
  static constexpr u64 kTseg = 4ull << 20;
  static constexpr u64 kBase = kRam - kTseg;

  LoadTest() {
    fv.files = {driver_file(kDriverB, test::clang_image()),
                supervisor_file(),
                user_file(),
                policy_file(),
                driver_file(kDriverA, test::gcc_image(),
                            {test::section(image::section_type::kMmDepex, test::bytes_of({6, 8, 8}))}),
                driver_file(guids::gMmSupervisorRing3BrokerGuid, test::gcc_image())};
    config.ram_bytes = kRam;
    config.tseg_bytes = kTseg;
    config.cpus = 3;
    input.mmram = {kBase, kTseg};
    input.cpus = 3;
    input.apic_ids = {0, 4, 2};
    input.fault_policy = 1;
    boot_hobs.resize(write_boot_hobs(boot, config));
    boot.read(PhysAddr{platform::kBootHobList}, boot_hobs);
  }

  std::expected<LoadResult, LoadError> run() {
    volume = fv.build();
    return run_volume();
  }
  std::expected<LoadResult, LoadError> run_volume() {
    input.boot_hob_list = platform::kBootHobList;
    input.boot_hobs = boot_hobs;
    input.fv = volume;
    input.mmi_entry = entry;
    events.clear();
    return load(memory, input, [this](hal::TraceEvent const& e) { events.push_back(e); });
  }
  memory::PageTables<test::FlatMemory> tables(LoadResult const& r) { return {memory, PhysAddr{r.cr3}}; }

  test::FlatMemory boot{platform::kBootHobList, platform::kBootHobListLimit};
  test::FlatMemory memory{kBase, kTseg, std::byte{0xA5}};
  abi::BootConfig config;
  BootInput input;
  test::FvSpec fv;
  test::Blob boot_hobs;
  test::Blob volume;
  test::Blob entry = test::mmi_entry_binary();
  std::vector<hal::TraceEvent> events;
};

}  // namespace mm::loader
