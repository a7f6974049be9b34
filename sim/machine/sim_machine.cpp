// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/machine/sim_machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/memory/page_tables.hpp"

namespace mm::sim {
namespace {

namespace pte = memory::pte;

constexpr u64 kSliceBlocks = 2000;  ///< of ring 3 while other CPUs wait

/// Keeps the memory at the stack pointer, which the second of the four events has.
void log_stack(hal::event::Registers const& told, std::size_t event, Ram const& ram, std::vector<Ring3Stack>& to) {
  constexpr std::size_t kRsp = 2;
  u64 const rsp = told.values[kRsp];
  if (told.part != 1 || rsp >= ram.size() || to.size() >= Ring3Stack::kMostStacks) {
    return;
  }
  auto& stack = to.emplace_back(Ring3Stack{event, rsp, {}});
  stack.bytes.resize(std::min<u64>(Ring3Stack::kMostBytes, ram.size() - rsp));
  ram.read(PhysAddr{rsp}, stack.bytes);
}

}  // namespace

SimMachine::SimMachine(MachineConfig const& config)
    : config_(config),
      ram_(config.boot.ram_bytes),
      user_pages_(ram_),
      devices_(config.boot.ram_bytes, config.boot.tseg_bytes, config.windows) {
  state_.random = config.seed * 2 + 1;
  config_.mmi_entry = {};
  seen_.events.reserve(4096);
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
                                  .time_ns = &state_.time_ns,
                                  .coverage = config_.coverage,
                                  .covered = config_.covered,
                                  .on_compare = config_.on_compare,
                                  .block_log = config_.block_log,
                                  .bus = bus(),
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

/// Ring 3's way to what is no memory.
BusDevices SimMachine::bus() noexcept {
  return {
      .self = &devices_,
      .read = [](void* self, u64 address,
                 u32 bytes) { return static_cast<Devices*>(self)->read_memory(address, bytes, Windows::From::Mm); },
      .write = [](void* self, u64 address, u32 bytes,
                  u64 value) { static_cast<Devices*>(self)->write_memory(address, bytes, value, Windows::From::Mm); }};
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
  if (seen_.events.size() < config_.most_events || event.kind == hal::TraceKind::Halt) {
    seen_.events.push_back(event);
    if (config_.stacks != nullptr && event.kind == hal::TraceKind::Registers) {
      log_stack(hal::unpack<hal::event::Registers>(event), seen_.events.size() - 1, ram_, *config_.stacks);
    }
  } else {
    ++seen_.dropped_events;
  }
}

void SimMachine::halt(hal::HaltReason why) noexcept {
  if (!state_.halted.has_value()) {
    state_.halted = why;
  }
  abandon();
}

void SimMachine::power_off() noexcept {
  state_.off = true;
  abandon();
}

void SimMachine::reached_ring0(u32 cpu, u64 rip) noexcept {
  seen_.ring0.push_back("CPU " + std::to_string(cpu) + " entered ring 0 from ring 3 in a way of its own, at RIP " +
                        std::to_string(rip));
  abandon();
}

/// No CPU goes on; one that is running does not come back here.
void SimMachine::abandon() noexcept {
  runnable_ = 0;
  while (current_ != nullptr) {
    current_->run_ = Cpu::Run::Left;
    current_->fiber_.suspend();
  }
}

u32 SimMachine::next_random() noexcept {
  state_.random ^= state_.random << 13;
  state_.random ^= state_.random >> 7;
  state_.random ^= state_.random << 17;
  return static_cast<u32>(state_.random >> 32);
}

void SimMachine::run_one(u32 index) noexcept {
  Cpu& cpu = *cpus_[index];
  current_ = &cpu;
  cpu.fiber_.resume();
  current_ = nullptr;
  if (cpu.run_ != Cpu::Run::Running) {
    runnable_ &= ~(1u << index);
  }
}

void SimMachine::deliver(u32 mask, IoInstruction const* io) noexcept {
  if (!goes_on() || current_ != nullptr) {
    return;
  }
  mask &= cpus() >= 32 ? ~0u : (1u << cpus()) - 1;
  state_.time_ns += Cpu::kNsPerStep;
  fetch_log_.begin_mmi();
  for (auto& cpu : cpus_) {
    bool const meant = ((mask & ~runnable_) >> cpu->index_ & 1) != 0;  // one that never left MM does not enter again
    if (!meant || !cpu->takes_mmi()) {
      continue;
    }
    if (cpu->run_ == Cpu::Run::Left) {
      cpu->restart();
    }
    cpu->enter_mm(cpu->index_ == 0 ? io : nullptr);
    if (cpu->run_ == Cpu::Run::Running) {
      runnable_ |= 1u << cpu->index_;
    }
  }
  while (runnable_ != 0 && cpus_[0]->run_ != Cpu::Run::Left) {
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
        cpu->apic().accept(static_cast<u8>(ipi.command));
        break;
      case DeliveryMode::Init:
        cpu->init();
        break;
      case DeliveryMode::Startup:
        smi |= cpu->start() ? 1u << cpu->index_ : 0u;
        break;
      case DeliveryMode::Nmi:  // is_sendable() and the APIC let none through
        break;
    }
  }
  return smi;
}

void SimMachine::flush_all() noexcept {
  for (auto& cpu : cpus_) {
    cpu->forget_translations();
  }
}

u64 SimMachine::user_blocks() const noexcept {
  u64 sum = 0;
  for (auto const& cpu : cpus_) {
    sum += cpu->engine_->blocks();
  }
  return sum;
}

void SimMachine::open_pages() noexcept {
  memory::visit([this](u64 at) noexcept { return user_pages_.table_entry(at); }, placement_.cr3,
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
  user_pages_.snapshot(placement_.cr3);
  saved_devices_ = devices_.state();
  devices_.windows().snapshot();
  saved_ = state_;
  for (auto& cpu : cpus_) {
    cpu->save();
  }
  flush_all();
}

void SimMachine::reset() {
  auto const changes = user_pages_.restore(placement_.cr3);
  bool const was_halted = !goes_on();
  devices_.restore(saved_devices_);
  devices_.windows().reset();
  state_ = saved_;
  seen_.ring0.clear();
  seen_.stale.clear();
  runnable_ = 0;
  for (auto& cpu : cpus_) {
    cpu->go_back(was_halted, changes.code);
  }
  if (changes.tables) {
    flush_all();
  }
}

}  // namespace mm::sim
