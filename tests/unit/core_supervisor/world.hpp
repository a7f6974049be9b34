// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstring>

#include "core/supervisor/supervisor.hpp"
#include "hal/fake/machine.hpp"

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
    build_tables();
    for (u32 i = 0; i < cpus; ++i) {
      cpu.push_back(std::make_unique<fake::Cpu>(machine, i, i == 0));
      cpu.back()->cr3 = kTables;
      cpu.back()->user = [](hal::UserContext& c) {
        return c.rax = 0, hal::UserExit{hal::UserExitKind::Return, 0, 0, 0};
      };
    }
    build_hobs(fault_policy);
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
  u32 pass_down_revision = 2;
  u64 user_start = platform::kUserCommBuffer;
  bool skip_mp = false;

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
    set(kFree, kMmram + kMmramBytes - kFree, {});
    set(kCore, 0x1000, memory::kSupervisorReadOnly);
    set(kCore + 0x1000, 0x3000, memory::kSupervisorCode);
    set(kUserCore, 0x4000, memory::kUserCode);
    set(kDriver, 0x4000, memory::kUserCode);
    set(kStacks, 8 * kStackBytes, memory::kUserData);
    set(platform::kUserCommBuffer, 0x2'2000, memory::kSupervisorData);
  }

  template <typename T>
  void guid_hob(Guid name, T const& payload) {
    u64 const bytes = align_up(sizeof(T), 8);
    put(hob_, abi::HobGuid{{4, static_cast<u16>(24 + bytes), 0}, name});
    put(hob_ + 24, payload);
    hob_ += 24 + bytes;
  }
  void module_hob(Guid name, u64 base, u64 entry) {
    abi::HobMemoryAllocationModule m;
    m.name = guids::gMmSupervisorHobMemoryAllocModuleGuid;
    m.base = base;
    m.length = 0x4000;
    m.module_name = name;
    m.entry_point = entry;
    put(hob_, m);
    hob_ += sizeof(m);
  }

  void build_hobs(u32 fault_policy) {
    fault_policy_ = fault_policy;
    hob_ = kHobs;
    put(hob_, abi::HobHandoff{});
    hob_ += sizeof(abi::HobHandoff);
    module_hob(guids::gMmSupervisorCoreGuid, kCore, kCore + 0x1000);
    module_hob(guids::gMmSupervisorUserGuid, kUserCore, kUserCore + 0x1000);
    module_hob("11111111-2222-3333-4444-555555555555"_guid, kDriver, kDriver + 0x1000);
    abi::PassDown p;
    p.revision = pass_down_revision;
    p.cpl3_stack_base = kStacks;
    p.cpl3_per_core_stack_size = kStackBytes;
    p.smbase = kData;
    p.mm_initialized = kData + 0x800;
    p.policy = policy_bytes == 0 ? 0 : kData + 0x1000;
    p.policy_size = policy_bytes;
    guid_hob(guids::gMmSupervisorPassDownHobGuid, p);
    for (u32 i = 0; i < cpus_; ++i) {
      put(kData + i * 8, kMmram + i * 0x1'0000ull);
    }
    guid_hob(guids::gMmCommonRegionHobGuid,
             abi::MmCommonRegion{0, platform::kSupervisorCommBuffer, 16, platform::kSupervisorCommStatus});
    guid_hob(guids::gMmCommBufferHobGuid, abi::MmCommBuffer{user_start, 16, platform::kUserCommStatus});
    struct {
      abi::MpInformationHeader header;
      abi::ProcessorInformation cpus[platform::kMaxCpus];
    } mp{};
    mp.header = {cpus_, cpus_};
    for (u32 i = 0; i < cpus_; ++i) {
      mp.cpus[i].processor_id = i;
    }
    if (!skip_mp) {
      guid_hob(guids::gMpInformationHobGuid, mp);
    }
    guid_hob(abi::kTestOptionsHobGuid, abi::TestOptions{fault_policy, 0});
    struct {
      u32 count = 2;
      u32 pad = 0;
      abi::MmramDescriptor d[2];
    } mmram{2, 0, {{kMmram, kMmram, kFree - kMmram, 0x1A}, {kFree, kFree, kMmram + kMmramBytes - kFree, 0x0A}}};
    guid_hob(guids::gEfiSmmSmramMemoryGuid, mmram);
    put(hob_, abi::HobHeader{0xFFFF, 8, 0});
  }

  u32 cpus_;
  u32 fault_policy_ = 0;
  u64 hob_ = 0;
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
