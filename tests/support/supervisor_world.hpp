// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "core/supervisor/supervisor.hpp"
#include "hal/fake/machine.hpp"
#include "tests/support/policy_blob.hpp"

/// A machine as the loader leaves it, in fake memory: page tables, HOB list, images that are only page attributes.
namespace mm::test {

using Sup = supervisor::Supervisor<fake::Machine>;

inline constexpr u64 kMmram = 0x0F00'0000;
inline constexpr u64 kMmramBytes = 0x0100'0000;
inline constexpr u64 kTables = kMmram + 0x10'0000;
inline constexpr u64 kHobs = kMmram + 0x20'0000;
inline constexpr u64 kCore = kMmram + 0x21'0000;
inline constexpr u64 kUserCore = kMmram + 0x22'0000;
inline constexpr u64 kDriver = kMmram + 0x23'0000;
inline constexpr u64 kStacks = kMmram + 0x24'0000;
inline constexpr u64 kData = kMmram + 0x28'0000;  ///< SMBASE array, initialised bytes, policy
inline constexpr u64 kFree = kMmram + 0x30'0000;
inline constexpr u64 kStackBytes = 0x8000;

class World {
 public:
  explicit World(u32 cpus = 1, u32 fault_policy = 0) : cpus_(cpus) {
    machine.protected_mmram = {kMmram, kMmramBytes};
    machine.code = kCore + 0x1000;
    build_tables();
    set_policy(Blob::make({{1, 1, {}}}));
    for (u32 i = 0; i < cpus; ++i) {
      cpu.push_back(std::make_unique<fake::Cpu>(machine, i, i == 0));
      cpu.back()->cr3 = kTables;
      cpu.back()->user = [](hal::UserContext& c) {
        return c.rax = 0, hal::UserExit{hal::UserExitKind::Return, 0, 0, 0};
      };
    }
    fault_policy_ = fault_policy;
    rebuild();
  }

  template <typename T>
  void put(u64 at, T const& v) {
    machine.memory.write(at, std::as_bytes(std::span(&v, 1)));
  }
  template <typename T>
  T get(u64 at) {
    T v{};
    machine.memory.read(at, std::as_writable_bytes(std::span(&v, 1)));
    return v;
  }
  memory::PageTables<fake::Cpu> tables() { return {*cpu[0], PhysAddr{kTables}}; }
  void map(u64 base, u64 bytes, memory::PageAttr attr) {
    if (!tables().set({base, bytes}, attr, source_)) {
      std::abort();
    }
  }
  /// First MMI on a one-CPU world.
  void boot() { sup.enter(*cpu[0], 0, PhysAddr{kHobs}); }
  void mmi() { sup.enter(*cpu[0], 0, PhysAddr{kHobs}); }

  void set_policy(std::vector<u8> const& blob) {
    machine.memory.write(kData + 0x1000, std::as_bytes(std::span(blob)));
    policy_bytes = blob.size();
    rebuild();
  }
  void rebuild() { build_hobs(fault_policy_); }

  /// Appends a whole HOB, or a GUID HOB with this payload.
  template <typename T>
  void add(T const& hob) {
    auto const bytes = std::as_bytes(std::span(&hob, 1));
    hobs.emplace_back(bytes.begin(), bytes.end());
  }
  template <typename T>
  void add(Guid name, T const& payload) {
    abi::HobGuid header;
    header.header.length = static_cast<u16>(sizeof(header) + align_up(sizeof(T), 8));
    header.name = name;
    add(header);
    auto const bytes = std::as_bytes(std::span(&payload, 1));
    hobs.back().insert(hobs.back().end(), bytes.begin(), bytes.end());
    hobs.back().resize(header.header.length);
  }
  static abi::HobMemoryAllocationModule module(Guid name, u64 base) {
    abi::HobMemoryAllocationModule m;
    m.name = guids::gMmSupervisorHobMemoryAllocModuleGuid;
    m.base = base;
    m.length = 0x4000;
    m.module_name = name;
    m.entry_point = base + 0x1000;
    return m;
  }
  /// Index of the GUID HOB of this name.
  std::size_t hob_of(Guid name) const {
    for (std::size_t i = 0; i < hobs.size(); ++i) {
      if (hobs[i][0] == std::byte{4} && std::memcmp(hobs[i].data() + 8, &name, sizeof(name)) == 0) {
        return i;
      }
    }
    std::abort();
  }
  /// Changes the object at byte `at` of HOB `index`; a GUID HOB's payload is at 24.
  template <typename T, typename F>
  void edit(std::size_t index, F&& change, std::size_t at = 24) {
    T value;
    std::memcpy(&value, hobs[index].data() + at, sizeof(value));
    change(value);
    std::memcpy(hobs[index].data() + at, &value, sizeof(value));
  }
  void write_list() {
    u64 at = kHobs;
    for (auto const& hob : hobs) {
      machine.memory.write(at, hob);
      at += hob.size();
    }
    put(at, abi::HobHeader{0xFFFF, 8, 0});
  }

  /// Fills a mailbox and message of one channel.
  void request(abi::Channel which, Guid guid, std::vector<u8> const& message, std::optional<u64> length = {}) {
    u64 const buffer = which == abi::Channel::User ? platform::kUserCommBuffer : platform::kSupervisorCommBuffer;
    put(buffer, abi::CommunicateHeader{guid, length.value_or(message.size())});
    machine.memory.write(buffer + 24, std::as_bytes(std::span(message)));
    ring(which);
  }
  void ring(abi::Channel which) {
    abi::CommBufferStatus s;
    s.is_comm_buffer_valid = 1;
    s.return_status = 0x77;
    s.return_buffer_size = 0x77;
    put(mailbox(which), s);
  }
  static u64 mailbox(abi::Channel which) {
    return which == abi::Channel::User ? platform::kUserCommStatus : platform::kSupervisorCommStatus;
  }
  abi::CommBufferStatus status(abi::Channel which) { return get<abi::CommBufferStatus>(mailbox(which)); }

  fake::Machine machine;
  std::vector<std::unique_ptr<fake::Cpu>> cpu;
  Sup sup{machine};
  u64 policy_bytes = 0;
  std::vector<std::vector<std::byte>> hobs;  ///< without END; write_list() puts them into memory

  struct MpInformation {
    abi::MpInformationHeader header;
    abi::ProcessorInformation cpus[platform::kMaxCpus];
  };
  struct Mmram {
    u32 count = 2;
    u32 pad = 0;
    abi::MmramDescriptor regions[2] = {{kMmram, kMmram, kFree - kMmram, 0x1A},
                                       {kFree, kFree, kMmram + kMmramBytes - kFree, 0x0A}};
  };

 private:
  struct Source {
    u64 next = kTables + kPageSize;
    Expected<PhysAddr> take_page() noexcept {
      next += kPageSize;
      return PhysAddr{next - kPageSize};
    }
  };

  void build_tables() {
    auto boot_cpu = std::make_unique<fake::Cpu>(machine, 0, true);
    memory::PageTables<fake::Cpu> t(*boot_cpu, PhysAddr{kTables});
    auto const set = [&](u64 base, u64 bytes, memory::PageAttr a) {
      static_cast<void>(t.set({base, bytes}, a, source_));
    };
    set(kMmram, kMmramBytes, memory::kSupervisorData);
    for (u64 i = 0; i < platform::kMaxCpus; ++i) {
      set(kMmram + i * 0x1'0000 + 0x8000, kPageSize, memory::kSupervisorCode);
    }
    set(kTables, 0x2'0000, memory::kSupervisorReadOnly);
    set(kData + 0x1000, 2 * kPageSize, memory::kSupervisorReadOnly);
    set(kFree, kMmram + kMmramBytes - kFree, {});
    set(kCore, 0x1000, memory::kSupervisorReadOnly);
    set(kCore + 0x1000, 0x3000, memory::kSupervisorCode);
    set(kUserCore, 0x4000, memory::kUserCode);
    set(kDriver, 0x4000, memory::kUserCode);
    set(kStacks, 8 * kStackBytes, memory::kUserData);
    set(platform::kUserCommBuffer, 0x2'2000, memory::kSupervisorData);
  }

  void build_hobs(u32 fault_policy) {
    fault_policy_ = fault_policy;
    hobs.clear();
    add(abi::HobHandoff{});
    add(module(guids::gMmSupervisorCoreGuid, kCore));
    add(module(guids::gMmSupervisorUserGuid, kUserCore));
    add(module("11111111-2222-3333-4444-555555555555"_guid, kDriver));
    abi::PassDown p;
    p.cpl3_stack_base = kStacks;
    p.cpl3_per_core_stack_size = kStackBytes;
    p.smbase = kData;
    p.mm_initialized = kData + 0x800;
    p.policy = kData + 0x1000;
    p.policy_size = policy_bytes;
    p.mmi_entry_size = 0x200;
    add(guids::gMmSupervisorPassDownHobGuid, p);
    for (u32 i = 0; i < cpus_; ++i) {
      put(kData + i * 8, kMmram + i * 0x1'0000ull);
    }
    add(guids::gMmCommonRegionHobGuid,
        abi::MmCommonRegion{0, platform::kSupervisorCommBuffer, 16, platform::kSupervisorCommStatus});
    add(guids::gMmCommBufferHobGuid, abi::MmCommBuffer{platform::kUserCommBuffer, 16, platform::kUserCommStatus});
    MpInformation mp{};
    mp.header = {cpus_, cpus_};
    for (u32 i = 0; i < cpus_; ++i) {
      mp.cpus[i].processor_id = i;
    }
    add(guids::gMpInformationHobGuid, mp);
    add(abi::kTestOptionsHobGuid, abi::TestOptions{fault_policy, 0});
    add(guids::gEfiSmmSmramMemoryGuid, Mmram{});
    write_list();
  }

  u32 cpus_;
  u32 fault_policy_ = 0;
  Source source_;
};

/// Ring 3 as a script: each step is called for one entry or resume.
class Script {
 public:
  using Step = std::function<hal::UserExit(hal::UserContext&)>;
  explicit Script(fake::Cpu& cpu) : cpu_(cpu) {
    cpu_.user = [this](hal::UserContext& c) {
      EXPECT_EQ(cpu_.user_access, 0);
      EXPECT_EQ(cpu_.write_windows, 0);
      contexts.push_back(c);
      if (next_ == steps.size()) {
        return ret(c, 0);
      }
      return steps[next_++](c);
    };
  }
  static hal::UserExit ret(hal::UserContext& c, u64 rax) {
    c.rax = rax;
    return {hal::UserExitKind::Return, 0, 0, 0};
  }
  static Step returns(u64 rax) {
    return [rax](hal::UserContext& c) { return ret(c, rax); };
  }
  static Step call(u64 number, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    return [=](hal::UserContext& c) {
      c.rax = number;
      c.rdx = a1;
      c.r8 = a2;
      c.r9 = a3;
      return hal::UserExit{hal::UserExitKind::Syscall, 0, 0, 0};
    };
  }
  static Step fault(u64 vector, u64 rip, u64 cr2 = 0) {
    return [=](hal::UserContext& c) {
      c.rip = rip;
      return hal::UserExit{hal::UserExitKind::Fault, vector, 4, cr2};
    };
  }
  std::vector<Step> steps;
  std::vector<hal::UserContext> contexts;

 private:
  fake::Cpu& cpu_;
  std::size_t next_ = 0;
};

}  // namespace mm::test
