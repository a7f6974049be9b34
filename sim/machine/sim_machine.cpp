// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/sim_machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/arch/descriptors.hpp"
#include "core/arch/msr.hpp"
#include "sim/engine/cpuid.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;

constexpr u64 kNsPerStep = 1000;      ///< of virtual time for a scheduling point
constexpr u64 kNsPerBlock = 5;        ///< of virtual time for a block of ring 3
constexpr u64 kNsPerClockRead = 100;  ///< so that a loop over the clock alone ends
constexpr u64 kSliceBlocks = 2000;    ///< of ring 3 while other CPUs wait
constexpr u64 kVectorNmi = 2;
constexpr u64 kVectorMachineCheck = 18;

/// Registers that an SMI leaves as they are and that the bare machine exchanges at the border (hal/bare/border.hpp):
/// IA32_STAR, CSTAR, FMASK, KERNEL_GS_BASE, SYSENTER_CS, ESP and EIP, PAT; LSTAR besides, which is the address of code.
struct BorderMsr {
  u32 msr;
  u64 inside;
};
constexpr std::array kBorder{BorderMsr{arch::kMsrStar, arch::kStarSelectors},
                             BorderMsr{arch::kMsrCstar, 0},
                             BorderMsr{arch::kMsrFmask, 0x0000'0000'0005'7700},
                             BorderMsr{arch::kMsrKernelGsBase, 0},
                             BorderMsr{arch::kMsrSysenterCs, 0},
                             BorderMsr{arch::kMsrSysenterEsp, 0},
                             BorderMsr{arch::kMsrSysenterEip, 0},
                             BorderMsr{arch::kMsrPat, arch::kPatOfReset},
                             BorderMsr{arch::kMsrLstar, 0}};
constexpr u64 kCodeBasis = 0xCBF2'9CE4'8422'2325;  ///< of the hash over what ring 3 may execute
constexpr u64 kMix = 0x9E37'79B9'7F4A'7C15;
}  // namespace

// --- SimMachine

SimMachine::SimMachine(MachineConfig const& config)
    : config_(config),
      ram_(config.boot.ram_bytes),
      devices_(config.boot.ram_bytes, config.boot.tseg_bytes),
      random_(config.seed * 2 + 1) {
  config_.mmi_entry = {};
  events_.reserve(4096);
}

SimMachine::~SimMachine() = default;

std::expected<void, std::string> SimMachine::make_cpus(Handler handler) {
  if (!ram_.valid()) {
    return std::unexpected("there is no host memory for " + std::to_string(ram_.size() >> 20) + " MiB of guest RAM");
  }
  handler_ = handler;
  for (u32 i = 0; i < config_.boot.cpus; ++i) {
    auto engine = Engine::create({.ram = ram_.bytes(),
                                  .budget_blocks = config_.user_budget_blocks,
                                  .slice_blocks = config_.boot.cpus > 1 ? kSliceBlocks : 0,
                                  .time_ns = &time_ns_,
                                  .coverage = config_.coverage,
                                  .cpus = config_.boot.cpus,
                                  .apic_id = i});
    if (!engine.has_value()) {
      return std::unexpected(engine.error());
    }
    cpus_.push_back(std::make_unique<Cpu>(*this, i, std::move(*engine)));
    if (!cpus_.back()->restart()) {
      return std::unexpected("there is no host memory for a CPU's stack");
    }
  }
  return {};
}

std::expected<void, std::string> SimMachine::place(Placement const& placement) {
  placement_ = placement;
  for (auto& cpu : cpus_) {
    cpu->engine_->set_cr3(placement.cr3);
    MM_TRY(cpu->engine_->set_gdt(PhysAddr{placement.gdt0 + cpu->index_ * kPageSize}));
    cpu->engine_->flush_code();
  }
  for (auto& cpu : cpus_) {
    if (placement.smbase[cpu->index_] != 0) {
      cpu->relocate(static_cast<u32>(placement.smbase[cpu->index_]));
    }
  }
  flush_all();
  return {};
}

void SimMachine::trace(hal::TraceEvent const& event) noexcept {
  if (!config_.record_trace) {
    return;
  }
  if (events_.size() < config_.most_events || event.kind == hal::TraceKind::Halt) {
    events_.push_back(event);
  } else {
    ++dropped_events_;
  }
}

u32 SimMachine::Cpu::physical_address_bits() noexcept {
  return cpuid(0x8000'0008, 0, machine_.cpus(), index_).eax & 0xFF;
}

u64 SimMachine::Cpu::now_us() noexcept {
  machine_.time_ns_ += kNsPerClockRead;
  return machine_.time_ns_ / 1000;
}

void SimMachine::halt(hal::HaltReason why) noexcept {
  if (!halted_.has_value()) {
    halted_ = why;
  }
  abandon();
}

void SimMachine::power_off() noexcept {
  off_ = true;
  abandon();
}

void SimMachine::reached_ring0(u32 cpu, u64 rip) noexcept {
  ring0_.push_back("CPU " + std::to_string(cpu) + " entered ring 0 from ring 3 in a way of its own, at RIP " +
                   std::to_string(rip));
  abandon();
}

/// No CPU goes on; one that is running does not come back here.
void SimMachine::abandon() noexcept {
  runnable_ = 0;
  while (current_ != nullptr) {
    current_->state_ = Cpu::State::Left;
    current_->fiber_.suspend();
  }
}

u32 SimMachine::next_random() noexcept {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<u32>(random_ >> 32);
}

void SimMachine::run_one(u32 index) noexcept {
  Cpu& cpu = *cpus_[index];
  current_ = &cpu;
  cpu.fiber_.resume();
  current_ = nullptr;
  if (cpu.state_ != Cpu::State::Running) {
    runnable_ &= ~(1u << index);
  }
}

void SimMachine::deliver(u32 mask, IoInstruction const* io) noexcept {
  if (!goes_on() || current_ != nullptr) {
    return;
  }
  mask &= cpus() >= 32 ? ~0u : (1u << cpus()) - 1;
  time_ns_ += kNsPerStep;
  fetch_log_.begin_mmi();
  for (auto& cpu : cpus_) {
    bool const meant = ((mask & ~runnable_) >> cpu->index_ & 1) != 0;  // one that never left MM does not enter again
    if (!meant || !cpu->takes_mmi()) {
      continue;
    }
    if (cpu->state_ == Cpu::State::Left) {
      cpu->restart();
    }
    cpu->enter_mm(cpu->index_ == 0 ? io : nullptr);
    if (cpu->state_ == Cpu::State::Running) {
      runnable_ |= 1u << cpu->index_;
    }
  }
  while (runnable_ != 0 && cpus_[0]->state_ != Cpu::State::Left) {
    u32 const count = static_cast<u32>(std::popcount(runnable_));
    u32 rest = runnable_;
    for (u32 skip = count > 1 ? next_random() % count : 0; skip != 0; --skip) {
      rest &= rest - 1;
    }
    run_one(static_cast<u32>(std::countr_zero(rest)));
  }
}

u32 SimMachine::send(u32 sender, Ipi ipi) noexcept {
  using arch::DeliveryMode;
  u32 smi = 0;
  for (auto& cpu : cpus_) {
    if (!arch::is_target(ipi.command, ipi.destination, cpu->index_, sender)) {
      continue;
    }
    switch (arch::delivery_mode(ipi.command)) {
      case DeliveryMode::Smi:
        smi |= 1u << cpu->index_;
        break;
      case DeliveryMode::Fixed:
        cpu->apic_.accept(static_cast<u8>(ipi.command));
        break;
      case DeliveryMode::Init:
        cpu->init();
        break;
      case DeliveryMode::Startup:
        smi |= cpu->start() ? 1u << cpu->index_ : 0u;
        break;
      default:
        break;
    }
  }
  return smi;
}

void SimMachine::flush_all() noexcept {
  for (auto& cpu : cpus_) {
    cpu->engine_->flush_tlb();
    if (cpu->translated_) {
      cpu->translations_.fill({});
      cpu->translated_ = false;
    }
  }
}

u64 SimMachine::user_blocks() const noexcept {
  u64 sum = 0;
  for (auto const& cpu : cpus_) {
    sum += cpu->engine_->blocks();
  }
  return sum;
}

/// An entry of a page table in RAM; where there is none, one that is not present.
u64 SimMachine::table_entry(u64 at) const noexcept {
  u64 entry = 0;
  if (ram_.holds(at, sizeof entry)) {
    std::memcpy(&entry, ram_.at(at), sizeof entry);
  }
  return entry;
}

u64 SimMachine::survey(std::vector<UserPage>& out, Saved* note) const {
  u64 code = kCodeBasis;
  auto const note_table = [&](u64 table) {
    if (note != nullptr && ram_.holds(table, kPageSize)) {
      note->is_table[table >> kPageShift] = 1;
    }
  };
  auto const note_leaf = [&](memory::TableEntry const& leaf) {
    if (!leaf.user() || !ram_.holds(leaf.target(), kPageSize)) {
      return;
    }
    if (leaf.executable()) {
      code = ((code ^ leaf.linear) * kMix ^ leaf.target()) * kMix;
      if (note != nullptr) {
        note->is_code[leaf.target() >> kPageShift] = 1;
      }
    }
    if (leaf.level == 0 && leaf.writable()) {
      out.push_back({leaf.at, leaf.target()});
    }
  };
  note_table(placement_.cr3 & pte::kAddress);
  memory::visit([this](u64 at) noexcept { return table_entry(at); }, placement_.cr3,
                [&](memory::TableEntry const& entry) {
                  entry.is_leaf() ? note_leaf(entry) : note_table(entry.target());
                  return true;
                });
  return code;
}

/// Ring 3 may have written to the page when its entry says so, or is not the one of the snapshot.
bool SimMachine::maybe_written(UserPage const& page) const noexcept {
  u64 now = 0;
  u64 was = 0;
  std::memcpy(&now, ram_.at(page.entry), 8);
  std::memcpy(&was, ram_.saved(page.entry), 8);
  return (now & pte::kDirty) != 0 || ((now ^ was) & ~pte::kAccessed) != 0;
}

void SimMachine::open_pages() noexcept {
  memory::visit([this](u64 at) noexcept { return table_entry(at); }, placement_.cr3,
                [this](memory::TableEntry const& entry) {
                  if (entry.is_leaf()) {
                    u64 const open = entry.value | pte::kUser;
                    ram_.mark(entry.at);
                    std::memcpy(ram_.at(entry.at), &open, sizeof open);
                  }
                  return true;
                });
  flush_all();
}

void SimMachine::snapshot() {
  saved_.user_pages.clear();
  saved_.is_table.assign(ram_.size() >> kPageShift, 0);
  saved_.is_code.assign(ram_.size() >> kPageShift, 0);
  saved_.code_map = survey(saved_.user_pages, &saved_);
  std::vector<u64> more;
  for (UserPage const& p : saved_.user_pages) {
    u64 entry = 0;
    std::memcpy(&entry, ram_.at(p.entry), 8);
    entry &= ~pte::kDirty;
    std::memcpy(ram_.at(p.entry), &entry, 8);
    more.push_back(p.page >> kPageShift);
    more.push_back(p.entry >> kPageShift);
  }
  ram_.snapshot(more);
  saved_.devices = devices_.state();
  saved_.time_ns = time_ns_;
  saved_.random = random_;
  saved_.halted = halted_;
  saved_.off = off_;
  for (auto& cpu : cpus_) {
    cpu->saved_msrs_ = cpu->msrs_;
    cpu->saved_normal_ = cpu->normal_;
    cpu->saved_apic_ = cpu->apic_;
    cpu->engine_->save_state();
  }
  flush_all();
}

void SimMachine::reset() {
  bool tables_changed = false;
  bool code_changed = false;
  for (u64 page : ram_.dirty_pages()) {
    tables_changed = tables_changed || saved_.is_table[page] != 0;
    code_changed = code_changed || saved_.is_code[page] != 0;
  }
  now_.clear();
  if (tables_changed) {
    code_changed = survey(now_, nullptr) != saved_.code_map || code_changed;
  }
  bool any = tables_changed;
  for (auto const* list : {&now_, &saved_.user_pages}) {
    for (UserPage const& p : *list) {
      if (maybe_written(p)) {
        ram_.restore_page(p.page >> kPageShift);
        any = true;
      }
    }
  }
  for (UserPage const& p : saved_.user_pages) {
    u64 entry = 0;
    std::memcpy(&entry, ram_.at(p.entry), 8);
    entry &= ~pte::kDirty;
    std::memcpy(ram_.at(p.entry), &entry, 8);
  }
  ram_.restore_dirty();
  devices_.restore(saved_.devices);
  time_ns_ = saved_.time_ns;
  random_ = saved_.random;
  bool const was_halted = !goes_on();
  halted_ = saved_.halted;
  off_ = saved_.off;
  in_hlt_ = false;
  ring0_.clear();
  stale_.clear();
  runnable_ = 0;
  for (auto& cpu : cpus_) {
    cpu->msrs_ = cpu->saved_msrs_;
    cpu->normal_ = cpu->saved_normal_;
    cpu->apic_ = cpu->saved_apic_;
    cpu->engine_->restore_state();
    if (was_halted || cpu->state_ != Cpu::State::Idle) {
      cpu->restart();
    }
    if (code_changed) {
      cpu->engine_->flush_code();
    }
  }
  if (any) {
    flush_all();
  }
}

// --- Cpu

SimMachine::Cpu::Cpu(SimMachine& machine, u32 index, std::unique_ptr<Engine> engine) noexcept
    : machine_(machine),
      index_(index),
      engine_(std::move(engine)),
      msrs_(machine.config_.profile, index == 0),
      normal_(index == 0 ? NormalCpu::boot_processor() : NormalCpu::waiting(index)),
      apic_(index) {}

void SimMachine::Cpu::body(void* self) {
  auto& cpu = *static_cast<Cpu*>(self);
  auto const& handler = cpu.machine_.handler_;
  for (;;) {
    cpu.set_border();
    handler.serve(handler.self, cpu, cpu.index_);
    cpu.give_border_back();
    cpu.leave_mm();
    cpu.state_ = State::Idle;
    cpu.fiber_.suspend();
  }
}

bool SimMachine::Cpu::restart() noexcept {
  state_ = State::Idle;
  write_protect_ = true;
  user_access_ = false;
  faulting_ = false;
  nmi_pending_ = false;
  return fiber_.start(&Cpu::body, this);
}

void SimMachine::Cpu::yield() noexcept {
  machine_.time_ns_ += kNsPerStep;
  if ((machine_.runnable_ & ~(1u << index_)) != 0) {
    fiber_.suspend();
  }
}

void SimMachine::Cpu::pause() noexcept { yield(); }

void SimMachine::Cpu::hlt() noexcept {
  if (index_ == 0) {
    machine_.in_hlt_ = true;
    machine_.abandon();
  }
  state_ = State::Left;
  for (;;) {
    fiber_.suspend();
  }
}

/// Entry of the leaf that maps `address`, its rights the conjunction over all levels; 0 when not present.
u64 SimMachine::Cpu::walk(u64 address) const noexcept {
  if (address >= memory::kAddressLimit) {
    return 0;
  }
  auto const leaf =
      memory::find_leaf([this](u64 at) noexcept { return machine_.table_entry(at); }, machine_.placement_.cr3, address);
  if (!leaf) {
    return 0;
  }
  u64 const page = leaf->target() + (align_down(address, kPageSize) - leaf->linear);
  return page | (leaf->rights & pte::kFullRights) | pte::kPresent;
}

void SimMachine::Cpu::fault(u64 address, u64 error, u64 vector) noexcept {
  auto const& handler = machine_.handler_;
  if (!faulting_) {
    faulting_ = true;
    handler.fault(handler.self, *this, vector, error, 0, address);
  }
  machine_.halt(hal::HaltReason::SupervisorFault);
}

/// The host's view of the bytes from `address` to the end of its page, when ring 0 may access them; else a ring-0 page
/// fault, which does not return in management mode.
std::byte* SimMachine::Cpu::access(u64 address, bool write) noexcept {
  u64 const page = address & ~(kPageSize - 1);
  Translation& cached = translations_[address >> kPageShift & (translations_.size() - 1)];
  if (cached.page != page) {
    u64 const entry = walk(address);
    if (entry == 0) {
      fault(address, write ? 2 : 0);
      return nullptr;
    }
    cached = {page, entry};
    translated_ = true;
  }
  u64 const entry = cached.entry;
  bool const smap = machine_.config_.boot.smap != 0 && (entry & pte::kUser) != 0 && !user_access_;
  if (smap || (write && write_protect_ && (entry & pte::kWritable) == 0)) {
    fault(address, write ? 3 : 1);
    return nullptr;
  }
  u64 const physical = (entry & pte::kAddress) + (address & (kPageSize - 1));
  if (machine_.under_pciexbar(physical)) {
    return nullptr;
  }
  if (!machine_.ram_.holds(physical, 1)) {
    fault(address, 0, kVectorMachineCheck);  // ring 0 has no business where there is no memory
    return nullptr;
  }
  if (write) {
    machine_.ram_.mark(physical);
    machine_.protected_writes_ += (entry & pte::kWritable) == 0 ? 1u : 0u;
  }
  return machine_.ram_.at(physical);
}

/// The map of ring 0 is an identity: the address is the physical one. MMRAM is everything in TSEG.
void SimMachine::Cpu::note_fetch(u64 address, u64 bytes) noexcept {
  if (!machine_.devices_.tseg().contains({address, bytes})) {
    if (machine_.current_ == this) {
      yield();  // shared with whoever can write it: another CPU may come first
    }
    machine_.fetch_log_.fetched({address, bytes}, index_);
  }
}

void SimMachine::Cpu::read(PhysAddr at, std::span<std::byte> out) noexcept {
  for (u64 address = raw(at); !out.empty();) {
    u64 const chunk = std::min<u64>(out.size(), kPageSize - (address & (kPageSize - 1)));
    if (std::byte const* from = access(address, false); from != nullptr) {
      note_fetch(address, chunk);
      std::memcpy(out.data(), from, chunk);
    } else {
      std::memset(out.data(), 0xFF, chunk);
    }
    out = out.subspan(chunk);
    address += chunk;
  }
}

void SimMachine::Cpu::write(PhysAddr at, std::span<std::byte const> in) noexcept {
  for (u64 address = raw(at); !in.empty();) {
    u64 const chunk = std::min<u64>(in.size(), kPageSize - (address & (kPageSize - 1)));
    if (std::byte* to = access(address, true); to != nullptr) {
      std::memcpy(to, in.data(), chunk);
    }
    in = in.subspan(chunk);
    address += chunk;
  }
}

void SimMachine::Cpu::copy(PhysAddr to, PhysAddr from, u64 bytes) noexcept {
  for (u64 d = raw(to), s = raw(from); bytes != 0;) {
    u64 const room = kPageSize - std::max(d & (kPageSize - 1), s & (kPageSize - 1));
    u64 const chunk = std::min(bytes, room);
    std::byte const* source = access(s, false);
    std::byte* target = access(d, true);
    if (source != nullptr) {
      note_fetch(s, chunk);
    }
    if (target != nullptr) {
      if (source != nullptr) {
        std::memmove(target, source, chunk);
      } else {
        std::memset(target, 0xFF, chunk);
      }
    }
    d += chunk;
    s += chunk;
    bytes -= chunk;
  }
}

void SimMachine::Cpu::zero(PhysAddr at, u64 bytes) noexcept {
  for (u64 address = raw(at); bytes != 0;) {
    u64 const chunk = std::min<u64>(bytes, kPageSize - (address & (kPageSize - 1)));
    if (std::byte* to = access(address, true); to != nullptr) {
      std::memset(to, 0, chunk);
    }
    address += chunk;
    bytes -= chunk;
  }
}

Expected<u64> SimMachine::Cpu::read_msr(u32 msr) noexcept {
  return msr == arch::kMsrTsc ? machine_.time_ns_ : msrs_.read(msr, CpuWorld::Mm);
}
Expected<void> SimMachine::Cpu::write_msr(u32 msr, u64 value) noexcept { return msrs_.write(msr, value, CpuWorld::Mm); }
Expected<u64> SimMachine::Cpu::normal_read_msr(u32 msr) noexcept {
  return msr == arch::kMsrTsc ? machine_.time_ns_ : msrs_.read(msr, CpuWorld::Normal);
}
Expected<void> SimMachine::Cpu::normal_write_msr(u32 msr, u64 value) noexcept {
  return msrs_.write(msr, value, CpuWorld::Normal);
}

u32 SimMachine::Cpu::port_in(u16 port, abi::IoWidth width) noexcept {
  return machine_.devices_.in(port, width, machine_.time_ns_);
}

void SimMachine::Cpu::port_out(u16 port, abi::IoWidth width, u32 value) noexcept {
  // An MMI raised in MM would be pended: not modelled.
  if (machine_.devices_.out(port, width, value) == PortEffect::Reset) {
    machine_.power_off();
  }
}

hal::UserExit SimMachine::Cpu::run_user(hal::UserContext& user) noexcept {
  yield();
  if (flushed_at_ != machine_.table_edits_) {
    machine_.stale_.push_back("CPU " + std::to_string(index_) +
                              " enters ring 3 and has not flushed its TLB since the " + "tables were last edited");
    flushed_at_ = machine_.table_edits_;
  }
  engine_->set_sysenter_cs(msrs_.value(arch::kMsrSysenterCs));
  engine_->set_code_range(msrs_.code_check() ? msrs_.smrr() : Range{});
  if (std::exchange(nmi_pending_, false) && machine_.defect(supervisor::Check::NmiResume)) {
    return {.kind = hal::UserExitKind::Fault, .vector = kVectorNmi};
  }
  for (;;) {
    u64 const before = engine_->blocks();
    EngineExit const exit = engine_->run(user);
    machine_.time_ns_ += (engine_->blocks() - before) * kNsPerBlock;
    switch (exit.stop) {
      case EngineStop::Syscall:
        return {.kind = hal::UserExitKind::Syscall};
      case EngineStop::Return:
        return {.kind = hal::UserExitKind::Return};
      case EngineStop::Budget:
        return {.kind = hal::UserExitKind::Budget};
      case EngineStop::Fault:
        return {
            .kind = hal::UserExitKind::Fault, .vector = exit.vector, .error_code = exit.error_code, .cr2 = exit.cr2};
      case EngineStop::Ring0:
        machine_.reached_ring0(index_, user.rip);
        break;
      case EngineStop::Slice:
        yield();
        break;
      case EngineStop::Rsm:
        // The CPU is back in the normal world; what ring 0 was doing is never resumed, and nothing that it exchanged
        // is given back.
        leave_mm();
        state_ = State::Left;
        for (;;) {
          fiber_.suspend();
        }
    }
  }
}

/// The save state of this CPU; null when there is no memory at its SMBASE.
std::byte* SimMachine::Cpu::save_state() noexcept {
  u64 const at = u64{normal_.smbase} + arch::save_state::kOffset;
  return machine_.ram_.holds(at, arch::save_state::kBytes) ? machine_.ram_.at(at) : nullptr;
}

/// INIT: everything but SMBASE; then the CPU waits for a startup IPI.
void SimMachine::Cpu::init() noexcept {
  u32 const smbase = normal_.smbase;
  normal_ = NormalCpu::after_init();
  normal_.smbase = smbase;
  normal_.waits_for_startup = true;
  apic_.init();
}

/// Startup IPI to the ROM's page. True: an MMI that was held back comes now.
bool SimMachine::Cpu::start() noexcept {
  if (!normal_.waits_for_startup) {
    return false;
  }
  normal_.waits_for_startup = false;
  normal_.settle(index_);
  return std::exchange(normal_.mmi_held_back, false);
}

/// While it waits for a startup IPI a CPU holds MMIs back.
bool SimMachine::Cpu::takes_mmi() noexcept {
  normal_.mmi_held_back = normal_.waits_for_startup;
  return !normal_.waits_for_startup;
}

void SimMachine::Cpu::enter_mm(IoInstruction const* io) noexcept {
  msrs_.count_smi();
  io_restart_ = false;
  flushed_at_ = machine_.table_edits_;  // the entry code loads CR3
  if (std::byte* const area = save_state(); area != nullptr) {
    u64 const at = u64{normal_.smbase} + arch::save_state::kOffset;
    machine_.ram_.mark(at);
    machine_.ram_.mark(at + arch::save_state::kBytes - 1);
    IoInstruction const* const last = io == nullptr && normal_.parked ? &*normal_.parked : io;
    write_save_state(SaveStateArea{area, arch::save_state::kBytes}, normal_, last, machine_.save_state_format());
  }
  // Where no entry code of ours is, a CPU runs who knows what: it never comes.
  u64 const placed = machine_.placement_.smbase[index_];
  state_ = placed == 0 || placed == normal_.smbase ? State::Running : State::Left;
}

void SimMachine::Cpu::set_border() noexcept {
  static_assert(kBorder.size() == kBorderMsrs);
  for (std::size_t i = 0; i < kBorder.size(); ++i) {
    auto const& [msr, inside] = kBorder[i];
    outside_[i] = msrs_.value(msr);
    msrs_.set(msr, msr == arch::kMsrLstar ? machine_.placement_.supervisor_entry : inside);
  }
}

void SimMachine::Cpu::give_border_back() noexcept {
  for (std::size_t i = 0; i < kBorder.size(); ++i) {
    msrs_.set(kBorder[i].msr, outside_[i]);
  }
}

/// RSM.
void SimMachine::Cpu::leave_mm() noexcept {
  if (std::byte* const area = save_state(); area != nullptr) {
    io_restart_ = read_save_state(SaveStateArea{area, arch::save_state::kBytes}, normal_, machine_.save_state_format());
  }
  msrs_.set_smbase(normal_.smbase);
  if (index_ != 0) {
    normal_.settle(index_);
  }
}

/// As the ROM does it: one MMI at the reset-time SMBASE, whose handler changes the field in the save state.
void SimMachine::Cpu::relocate(u32 smbase) noexcept {
  enter_mm(nullptr);
  if (std::byte* const area = save_state(); area != nullptr) {
    set_smbase(SaveStateArea{area, arch::save_state::kBytes}, smbase, machine_.save_state_format());
  }
  leave_mm();
  state_ = State::Idle;
}

}  // namespace mm::sim
