// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <cstring>

#include "sim/machine/simulator_impl.hpp"

namespace mm::sim {

// The native supervisor is instantiated here, and here alone.
void Simulator::Impl::serve(void* self, SimMachine::Cpu& cpu, u32 index) {
  auto& impl = *static_cast<Impl*>(self);
  impl.core.enter(cpu, index, PhysAddr{impl.placed.hob_list});
}
void Simulator::Impl::fault(void* self, SimMachine::Cpu& cpu, u64 vector, u64 error, u64 site, u64 cr2) {
  static_cast<Impl*>(self)->core.supervisor_fault(cpu, vector, error, site, cr2);
}

Simulator::Simulator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Simulator::~Simulator() = default;

std::expected<std::unique_ptr<Simulator>, std::string> Simulator::create(MachineConfig const& config) {
  abi::BootConfig const& boot = config.boot;
  constexpr u64 kMiB = 1ull << 20;
  if (boot.cpus == 0 || boot.cpus > platform::kMaxCpus) {
    return std::unexpected(fmt::format("{} CPUs: the simulator takes 1 to {}", boot.cpus, platform::kMaxCpus));
  }
  if (boot.ram_bytes % kMiB != 0 || boot.ram_bytes < 128 * kMiB || boot.ram_bytes > 2048 * kMiB) {
    return std::unexpected(
        fmt::format("{} bytes of RAM: the simulator takes whole MiB from 128 to 2048", boot.ram_bytes));
  }
  if (boot.tseg_bytes % kMiB != 0 || boot.tseg_bytes == 0 || boot.tseg_bytes > 64 * kMiB) {
    return std::unexpected(fmt::format("{} bytes of TSEG: the simulator takes whole MiB up to 64", boot.tseg_bytes));
  }
  auto impl = std::make_unique<Impl>(config);
  Impl* const self = impl.get();
  MM_TRY(self->machine.make_cpus({.self = self, .serve = &Impl::serve, .fault = &Impl::fault}));
  return std::unique_ptr<Simulator>(new Simulator(std::move(impl)));
}

std::expected<void, std::string> Simulator::boot(std::span<std::byte const> fv, std::span<std::byte const> hobs) {
  Impl& s = *impl_;
  Ram& ram = s.machine.ram();
  if (fv.size() > platform::kFvLimit) {
    return std::unexpected(
        fmt::format("the firmware volume has {} bytes; the platform takes {}", fv.size(), platform::kFvLimit));
  }
  if (hobs.size() > platform::kExtraHobsLimit) {
    return std::unexpected(
        fmt::format("the HOBs have {} bytes; the platform takes {}", hobs.size(), platform::kExtraHobsLimit));
  }
  s.config.boot.fv_bytes = fv.size();
  s.config.boot.hobs_bytes = hobs.size();
  constexpr u32 kSpurious = 0xF0;
  s.machine.devices().firmware_setup();
  s.write_apic(kSpurious, 0x1FF);
  ram.write(PhysAddr{platform::kFvBase}, fv);
  ram.write(PhysAddr{platform::kExtraHobs}, hobs);
  u64 const hob_bytes = loader::write_boot_hobs(ram, s.config.boot);

  loader::BootInput input;
  input.mmram = s.machine.devices().tseg();
  input.cpus = s.config.boot.cpus;
  for (u32 i = 0; i < platform::kMaxCpus; ++i) {
    input.apic_ids[i] = i;
  }
  input.boot_hob_list = platform::kBootHobList;
  Ram::Exposed const boot_hobs(ram, {platform::kBootHobList, hob_bytes});
  Ram::Exposed const volume(ram, {platform::kFvBase, fv.size()});
  input.boot_hobs = boot_hobs.bytes();
  input.fv = volume.bytes();
  input.mmi_entry = s.mmi_entry;
  input.smap = s.config.boot.smap;
  input.strict_rsm = s.config.boot.strict_rsm;
  input.fault_policy = s.config.boot.fault_policy;
  auto const loaded = loader::load(ram, input, [&s](hal::TraceEvent const& e) { s.machine.trace(e); });
  if (!loaded.has_value()) {
    return std::unexpected(fmt::format("the loader refused: {} (status {:#x}, offset {:#x})",
                                       loader::describe(loaded.error().problem),
                                       static_cast<u64>(loaded.error().status), loaded.error().offset));
  }
  s.placed = *loaded;
  MM_TRY(s.machine.place({.cr3 = s.placed.cr3,
                          .gdt0 = s.placed.gdt0,
                          .supervisor_entry = s.placed.supervisor_entry,
                          .smbase = s.placed.smbase}));
  s.machine.devices().firmware_lock();
  s.machine.deliver(s.all_cpus());
  if (auto const why = s.machine.halted(); why.has_value()) {
    return std::unexpected(fmt::format("the machine halted in the first MMI, reason {}", static_cast<u64>(*why)));
  }
  if (s.machine.defect(supervisor::Check::PageAttributes)) {
    s.machine.open_pages();
  }
  return {};
}

void Simulator::snapshot() {
  Impl& s = *impl_;
  s.saved_core.resize(sizeof(Impl::Supervisor));
  std::memcpy(s.saved_core.data(), static_cast<void const*>(&s.core), sizeof(Impl::Supervisor));
  s.saved = s.state;
  s.machine.snapshot();
}

void Simulator::reset() {
  Impl& s = *impl_;
  if (s.saved_core.empty()) {
    return;
  }
  std::memcpy(static_cast<void*>(&s.core), s.saved_core.data(), sizeof(Impl::Supervisor));
  s.state = s.saved;
  s.machine.reset();
  s.machine.events().clear();
  s.machine.dropped_events() = 0;
  s.machine.fetch_log().clear();
  s.said = {};
}

}  // namespace mm::sim
