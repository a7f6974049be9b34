// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

#include <fmt/format.h>

#include "core/arch/msr.hpp"
#include "core/loader/loader.hpp"
#include "core/supervisor/supervisor.hpp"
#include "sim/machine/machine.hpp"
#include "sim/machine/sim_machine.hpp"

namespace mm::sim {

using Supervisor = supervisor::Supervisor<SimMachine>;
static_assert(std::is_trivially_copyable_v<Supervisor>);  // Simulator::snapshot() copies its bytes

constexpr u64 kRomBytes = 0x20'0000;  ///< from platform::kRomWork (hal/qemu_rom/layout.inc)

/// The objects of one simulated platform.
struct Simulator::Impl {
  explicit Impl(MachineConfig const& c)
      : config(c), mmi_entry(c.mmi_entry.begin(), c.mmi_entry.end()), machine(c), core(machine) {
    config.mmi_entry = mmi_entry;
  }

  static void serve(void* self, SimMachine::Cpu& cpu, u32 index) {
    auto& impl = *static_cast<Impl*>(self);
    impl.core.enter(cpu, index, PhysAddr{impl.placed.hob_list});
  }
  static void fault(void* self, SimMachine::Cpu& cpu, u64 vector, u64 error, u64 site, u64 cr2) {
    static_cast<Impl*>(self)->core.supervisor_fault(cpu, vector, error, site, cr2);
  }
  u64* payload_msr(u32 msr) noexcept;
  void write_apic(u32 offset, u32 value) noexcept;
  /// Accesses as the payload makes them: aligned dwords; the APIC answers narrower ones with 0 and ignores their
  /// writes.
  void read_apic(u64 offset, std::span<std::byte> out) noexcept {
    std::ranges::fill(out, std::byte{0});
    for (std::size_t i = 0; i + 4 <= out.size() && offset % 4 == 0; i += 4) {
      u32 const value = machine.cpu(0).apic().read(static_cast<u32>(offset + i));
      std::memcpy(out.data() + i, &value, 4);
    }
  }
  void write_apic(u64 offset, std::span<std::byte const> in) noexcept {
    for (std::size_t i = 0; i + 4 <= in.size() && offset % 4 == 0; i += 4) {
      u32 value = 0;
      std::memcpy(&value, in.data() + i, 4);
      write_apic(static_cast<u32>(offset + i), value);
    }
  }
  /// The page of the boot processor's APIC. QEMU's does not move.
  Range apic_page() noexcept {
    u64 const base = machine.cpu(0).msrs().apic_base();
    bool const on = (base & arch::kApicBaseEnable) != 0;
    u64 const page = config.profile == Profile::Reference ? align_down(base, kPageSize) : arch::kApicPage;
    return on ? Range{page, kPageSize} : Range{};
  }
  /// Configuration space lies where the ROM's code, tables and stack are: #UD whose handler is not there either.
  bool lost_its_code() const noexcept { return machine.devices().pciexbar().overlaps({platform::kRomWork, kRomBytes}); }
  void after_mmi() const {
    if (observer) {
      observer();
    }
  }
  u32 all_cpus() const noexcept { return (1u << machine.cpus()) - 1; }
  /// Whether the normal world sees memory at `address`.
  bool visible(u64 address) const noexcept {
    Range const tseg = machine.devices().tseg();
    bool const locked = machine.devices().tseg_closed() && !machine.defect(supervisor::Check::MmramLock);
    bool const smrr = machine.cpu(0).msrs().smrr().contains({address, 1});
    bool const ecam = machine.devices().pciexbar().contains({address, 1});
    bool const closed = ecam || smrr || (locked && address >= tseg.base && address < tseg.end());
    return !closed && address < machine.ram().size();
  }
  /// Neither memory nor configuration space, and below the 4 GiB that the ROM maps: reads as zeros.
  bool is_hole(u64 address) const noexcept {
    return address >= machine.ram().size() && address >> 32 == 0 &&
           !machine.devices().pciexbar().contains({address, 1});
  }
  /// Calls f(offset, chunk, visible) for the page-wise pieces of an access.
  template <class F>
  void pieces(u64 address, u64 bytes, F&& f) const {
    for (u64 done = 0; done < bytes;) {
      u64 const here = address + done;
      u64 const chunk = std::min(bytes - done, kPageSize - (here & (kPageSize - 1)));
      f(done, chunk, visible(here));
      done += chunk;
    }
  }

  MachineConfig config;
  std::vector<std::byte> mmi_entry;
  SimMachine machine;
  Supervisor core;
  std::function<void()> observer;  ///< called after each MMI of the normal world
  loader::LoadResult placed{};
  /// Lets the program execute an instruction of `bytes` and delivers the MMI that it raises. Under TCG it comes behind
  /// the jump that follows (qemu-q35.md 5, trap 1), and so behind the loads.
  void raise(u32 mask, u32 bytes, IoInstruction const* io, steps::LaterLoads const& loads = {}) noexcept {
    constexpr u32 kJumpBytes = 2;
    bool const is_late = config.profile == Profile::Q35Tcg;
    u32 const late_bytes = is_late ? kJumpBytes + loads.count() * steps::kLoadBytes : 0;
    NormalCpu& normal = machine.cpu(0).normal();
    u64 const behind = program[CpuRegister::Rip] + bytes + late_bytes;
    if (is_late) {
      load(loads);
    }
    normal.assign(program);
    normal.rip = behind;
    machine.deliver(mask, io);
    after_mmi();
    normal.store(program);
    payload.fs_base = payload.gs_base = 0;  // its selectors are loaded again
    bool const goes_on = normal.rip == behind;
    program[CpuRegister::Rip] = goes_on ? program[CpuRegister::Rip] : normal.rip;
    if (goes_on && !is_late) {
      load(loads);
    }
  }
  void load(steps::LaterLoads const& loads) noexcept {
    for (u32 r = 0; r < steps::LaterLoads::kGeneral; ++r) {
      program.values[r] = loads.loads(r) ? loads.values[r] : program.values[r];
    }
  }

  using CpuRegister = steps::CpuRegister;
  steps::CpuState program = steps::initial_cpu_state();
  steps::CpuState saved_program;
  steps::LaterLoads later;
  steps::LaterLoads saved_later;
  /// Registers of the payload itself that the program has as well.
  struct Payload {
    u64 efer = 0xD00;
    u64 fs_base = 0;
    u64 gs_base = 0;
  };
  Payload payload;
  Payload saved_payload;
  std::vector<Frame> frames;
  u64 frame_bytes = 0;
  u64 dropped_frame_bytes = 0;
  std::vector<std::byte> saved_core;
};

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

void Simulator::read(PhysAddr at, std::span<std::byte> out) noexcept {
  Impl& s = *impl_;
  if (Range const page = s.apic_page(); page.contains({raw(at), out.size()})) {
    return s.read_apic(raw(at) - page.base, out);
  }
  s.pieces(raw(at), out.size(), [&](u64 done, u64 chunk, bool visible) {
    if (visible) {
      std::memcpy(out.data() + done, s.machine.ram().at(raw(at) + done), chunk);
    } else {
      std::memset(out.data() + done, s.is_hole(raw(at) + done) ? 0 : 0xFF, chunk);
    }
  });
}

void Simulator::write(PhysAddr at, std::span<std::byte const> in) noexcept {
  Impl& s = *impl_;
  if (Range const page = s.apic_page(); page.contains({raw(at), in.size()})) {
    return s.write_apic(raw(at) - page.base, in);
  }
  s.pieces(raw(at), in.size(), [&](u64 done, u64 chunk, bool visible) {
    if (visible) {
      s.machine.ram().write(at + done, in.subspan(done, chunk));
    }
  });
}

u32 Simulator::port_in(u16 port, abi::IoWidth width) noexcept {
  return impl_->machine.devices().in(port, width, impl_->machine.time_ns());
}

void Simulator::port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
  Impl& s = *impl_;
  PortEffect const effect = s.machine.devices().out(port, width, value);
  if (effect == PortEffect::Reset || s.lost_its_code()) {
    s.machine.power_off();
    return;
  }
  bool const raises = effect == PortEffect::SoftwareMmi;
  if (port != platform::kPortApmCnt) {
    return;
  }
  s.program = steps::with_command(s.program, static_cast<u8>(value));
  if (raises) {
    auto const form = static_cast<steps::OutForm>(s.program[steps::CpuRegister::Form]);
    u32 const bytes = steps::out_code(form, 0).instruction;
    u16 const bits = form == steps::OutForm::Immediate ? steps::TrappedForm::kImmediate : u16{0};
    IoInstruction const io{port, static_cast<u32>(abi::bytes_of(width)), bits, bytes};
    s.raise(s.all_cpus(), bytes, &io, s.later);
    if (s.machine.cpu(0).take_io_restart()) {
      s.machine.devices().out(port, width, static_cast<u32>(s.program[steps::CpuRegister::Rax]));
    }
  }
}

steps::CpuState Simulator::cpu_state() const noexcept { return impl_->program; }
void Simulator::set_cpu_state(steps::CpuState const& state) noexcept { impl_->program = state; }
void Simulator::set_later_loads(steps::LaterLoads const& later) noexcept { impl_->later = later; }

void Simulator::raise_with_nmi(u8 command) noexcept {
  impl_->machine.cpu(0).pend_nmi(true);
  port_out(platform::kPortApmCnt, abi::IoWidth::Byte, command);
  impl_->machine.cpu(0).pend_nmi(false);  // what is left is the normal world's
}

Expected<void> Simulator::park(u32 cpu, u16 port, abi::IoWidth width, u16 form, u64 rsi) noexcept {
  Impl& s = *impl_;
  if (s.config.profile != Profile::Reference) {
    return std::unexpected(Status::Unsupported);
  }
  if (cpu == 0 || cpu >= s.machine.cpus()) {
    return std::unexpected(Status::InvalidParameter);
  }
  s.machine.cpu(cpu).normal().park({port, static_cast<u32>(abi::bytes_of(width)), form, 1}, rsi);
  return {};
}

Expected<u32> Simulator::trapped_io(u16 port, abi::IoWidth width, u32 value, u16 form) noexcept {
  using steps::CpuRegister;
  using steps::TrappedForm;
  Impl& s = *impl_;
  if (s.config.profile != Profile::Reference || s.machine.halted().has_value()) {
    return std::unexpected(Status::Unsupported);
  }
  bool const is_in = (form & TrappedForm::kIn) != 0;
  bool const immediate = (form & TrappedForm::kImmediate) != 0;
  u32 const bytes = static_cast<u32>(abi::bytes_of(width));
  u64 const mask = (u64{1} << (8 * bytes)) - 1;
  u32 const prefix = width == abi::IoWidth::Word ? 1 : 0;
  u64& rax = s.program[CpuRegister::Rax];
  rax = is_in ? rax : (rax & ~mask) | (value & mask);
  if (!immediate) {
    s.program[CpuRegister::Rdx] = (s.program[CpuRegister::Rdx] & ~u64{0xFFFF}) | port;
  }
  IoInstruction const io{port, bytes, form, prefix + (immediate ? 2u : 1u)};
  s.raise(s.all_cpus(), io.instruction, &io);
  if (s.machine.cpu(0).take_io_restart()) {
    if (is_in) {
      rax = (rax & ~mask) | s.machine.devices().in(port, width, s.machine.time_ns());
    } else {
      s.machine.devices().out(port, width, static_cast<u32>(rax));
    }
  }
  return static_cast<u32>(rax & mask);
}

/// The three registers that RSM brings back are not MM's, which are in the file, but those of the payload.
u64* Simulator::Impl::payload_msr(u32 msr) noexcept {
  return msr == arch::kMsrEfer     ? &payload.efer
         : msr == arch::kMsrFsBase ? &payload.fs_base
         : msr == arch::kMsrGsBase ? &payload.gs_base
                                   : nullptr;
}

Expected<u64> Simulator::read_msr(u32 msr) noexcept {
  u64 const* const own = impl_->payload_msr(msr);
  return own != nullptr ? *own : impl_->machine.cpu(0).normal_read_msr(msr);
}
Expected<void> Simulator::write_msr(u32 msr, u64 value) noexcept {
  u64* const own = impl_->payload_msr(msr);
  if (own == nullptr) {
    return impl_->machine.cpu(0).normal_write_msr(msr, value);
  }
  constexpr u64 kFree = 0x801;  // of EFER, while paging is on
  u64 const changed = *own ^ value;
  if (msr == arch::kMsrEfer && (changed & ~kFree) != 0) {
    if (impl_->config.profile == Profile::Reference) {
      return std::unexpected(Status::Unsupported);
    }
    value = *own ^ (changed & kFree);
  }
  *own = value;
  return {};
}

void Simulator::send_ipi(u32 destination, u32 command) noexcept {
  impl_->write_apic(arch::kApicIcrHigh, destination << 24);
  impl_->write_apic(arch::kApicIcrLow, command);
}

/// A dword of the boot processor's APIC; a write may send an IPI.
void Simulator::Impl::write_apic(u32 offset, u32 value) noexcept {
  Ipi ipi;
  if (!machine.cpu(0).apic().write(offset, value, ipi)) {
    return;
  }
  u32 const smi = machine.send(0, ipi);
  if ((smi & 1) != 0) {
    raise(smi, steps::icr_code(ipi.command, 0).instruction, nullptr);
  } else if (smi != 0) {
    machine.deliver(smi);
    after_mmi();
  }
}

void Simulator::emit(abi::FrameKind kind, std::span<std::byte const> payload) noexcept {
  if (impl_->frame_bytes + payload.size() > impl_->config.most_frame_bytes) {
    impl_->dropped_frame_bytes += payload.size();
    return;
  }
  impl_->frame_bytes += payload.size();
  impl_->frames.push_back({kind, {payload.begin(), payload.end()}, impl_->machine.events().size()});
}

std::vector<hal::TraceEvent> const& Simulator::trace() const noexcept { return impl_->machine.events(); }
u64 Simulator::dropped_events() const noexcept { return impl_->machine.dropped_events(); }
u64 Simulator::dropped_frame_bytes() const noexcept { return impl_->dropped_frame_bytes; }
void Simulator::clear_trace() noexcept {
  impl_->machine.events().clear();
  impl_->machine.dropped_events() = 0;
  impl_->machine.fetch_log().clear();
}
std::vector<DoubleFetch> const& Simulator::double_fetches() const noexcept {
  return impl_->machine.fetch_log().found();
}
std::vector<Frame> const& Simulator::frames() const noexcept { return impl_->frames; }
std::string const& Simulator::serial_output() const noexcept { return impl_->machine.devices().serial(); }
std::optional<hal::HaltReason> Simulator::halted() const noexcept { return impl_->machine.halted(); }
std::vector<std::string> const& Simulator::ring0_reached() const noexcept { return impl_->machine.ring0_reached(); }
std::vector<std::string> const& Simulator::stale_entries() const noexcept { return impl_->machine.stale_entries(); }
bool Simulator::is_in_hlt() const noexcept { return impl_->machine.is_in_hlt(); }
bool Simulator::was_reset() const noexcept { return impl_->machine.is_off(); }
loader::LoadResult const& Simulator::layout() const noexcept { return impl_->placed; }
MachineConfig const& Simulator::config() const noexcept { return impl_->config; }
void Simulator::observe_mmis(std::function<void()> observer) { impl_->observer = std::move(observer); }
std::optional<Range> Simulator::smrr(u32 cpu) const noexcept {
  bool const has_one = impl_->config.profile == Profile::Reference && cpu < impl_->machine.cpus();
  return has_one ? std::optional{impl_->machine.cpu(cpu).msrs().smrr()} : std::nullopt;
}
u64 Simulator::user_page() const noexcept { return impl_->core.user_page(); }
std::array<Range, 4> Simulator::comm_pages() const noexcept { return impl_->core.comm_pages(); }

void Simulator::snapshot() {
  Impl& s = *impl_;
  s.saved_core.resize(sizeof(Supervisor));
  std::memcpy(s.saved_core.data(), static_cast<void const*>(&s.core), sizeof(Supervisor));
  s.saved_program = s.program;
  s.saved_later = s.later;
  s.saved_payload = s.payload;
  s.machine.snapshot();
}

void Simulator::reset() {
  Impl& s = *impl_;
  if (s.saved_core.empty()) {
    return;
  }
  std::memcpy(static_cast<void*>(&s.core), s.saved_core.data(), sizeof(Supervisor));
  s.program = s.saved_program;
  s.later = s.saved_later;
  s.payload = s.saved_payload;
  s.machine.reset();
  s.machine.events().clear();
  s.machine.dropped_events() = 0;
  s.machine.fetch_log().clear();
  s.frames.clear();
  s.frame_bytes = s.dropped_frame_bytes = 0;
}

std::vector<PageInfo> Simulator::page_map() const {
  std::vector<PageInfo> pages;
  if (impl_->placed.cr3 == 0) {
    return pages;
  }
  memory::PageTables<Ram> tables(impl_->machine.ram(), PhysAddr{impl_->placed.cr3});
  tables.for_each_leaf([&pages](Range range, memory::PageAttr attr) {
    for (u64 at = range.base; at != range.end(); at += kPageSize) {
      pages.push_back({at, attr});
    }
  });
  return pages;
}

void Simulator::peek(PhysAddr at, std::span<std::byte> out) const noexcept { impl_->machine.ram().read(at, out); }
void Simulator::poke(PhysAddr at, std::span<std::byte const> in) noexcept { impl_->machine.ram().write(at, in); }
std::span<u64 const> Simulator::changed_pages() const noexcept { return impl_->machine.ram().dirty_pages(); }
u64 Simulator::protected_writes() const noexcept { return impl_->machine.protected_writes(); }
u64 Simulator::user_blocks() const noexcept { return impl_->machine.user_blocks(); }

}  // namespace mm::sim
