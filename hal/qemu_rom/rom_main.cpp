// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/abi/boot.hpp"
#include "core/loader/loader.hpp"
#include "core/steps/runner.hpp"
#include "hal/bare/descriptors.hpp"
#include "hal/qemu_rom/fw_cfg.hpp"
#include "hal/qemu_rom/linux.hpp"
#include "hal/qemu_rom/normal_world.hpp"

/// The normal world of the test ROM: boots MM, then runs the steps of a scenario.
namespace mm::rom {
namespace {

constexpr u64 kRelocationHandler = 0x3'8000;
constexpr u64 kNewSmbase = 0x1000;  ///< u32, read by the relocation handler
constexpr u64 kRelocated = 0x1004;  ///< u32, set to 1 by it
constexpr u64 kWaitUs = 2'000'000;
constexpr u32 kEndDone = 0, kEndFailed = 1;
constexpr u32 kExitOk = 0, kExitFailed = 2;

extern "C" {
extern std::byte const rom_mmi_entry[];
extern std::byte const rom_mmi_entry_end[];
extern std::byte const rom_relocation_handler[];
extern std::byte const rom_relocation_handler_end[];
void rom_exception_stubs() noexcept;
}

u32 volatile& word(u64 at) noexcept { return *reinterpret_cast<u32 volatile*>(at); }

/// One line of text, then nothing more: the run cannot go on.
struct Failure {
  char const* text = nullptr;
  u64 value = 0;
};

void put_hex(char*& to, u64 value) noexcept {
  *to++ = '0';
  *to++ = 'x';
  for (int shift = 60; shift >= 0; shift -= 4) {
    *to++ = "0123456789abcdef"[value >> shift & 15];
  }
}

[[noreturn]] void end_run(NormalWorld& world, u32 result) noexcept {
  world.emit(abi::FrameKind::End, std::as_bytes(std::span<u32 const, 1>{&result, 1}));
  bare::out32(platform::kPortExit, result == kEndDone ? kExitOk : kExitFailed);
  for (;;) {
    bare::cli();
    bare::hlt();
  }
}

[[noreturn]] void fail(NormalWorld& world, Failure why) noexcept {
  std::array<char, 200> line{};
  char* to = line.data();
  for (char const* from = why.text; *from != 0 && to < line.data() + 160; ++from) {
    *to++ = *from;
  }
  if (why.value != 0) {
    *to++ = ' ';
    put_hex(to, why.value);
  }
  world.emit(abi::FrameKind::Text, std::as_bytes(std::span<char const>{line.data(), to}));
  end_run(world, kEndFailed);
}

void set_up_idt() noexcept {
  struct [[gnu::packed]] Pointer {
    u16 limit = 32 * 16 - 1;
    u64 base = kIdt;
  } const pointer;
  u64 const stubs = reinterpret_cast<u64>(&rom_exception_stubs);
  for (u64 vector = 0; vector < 32; ++vector) {
    bare::Gate gate = bare::interrupt_gate(stubs + vector * 16, bare::ExceptionStack::None);
    gate.low = (gate.low & ~0xFFFF'0000ull) | static_cast<u64>(kSelectorCode64) << 16;
    bare::copy_bytes(kIdt + vector * 16, reinterpret_cast<u64>(&gate), sizeof gate);
  }
  asm volatile("lidt %0" : : "m"(pointer));
}

Failure read_into(char const* name, u64 at, u64 bytes, u64 limit) noexcept {
  if (bytes > limit) {
    return {"a file of the run is larger than its place", bytes};
  }
  if (bytes == 0) {
    return {};
  }
  auto const file = find_file(name);
  if (!file || file->size < bytes) {
    return {"a file of the run is missing or short", bytes};
  }
  return read_file(*file, memory(at, bytes)) ? Failure{} : Failure{"the configuration device reports an error"};
}

Failure read_config(abi::BootConfig& config) noexcept {
  auto const file = find_file(abi::kFwCfgConfig);
  if (!file || file->size < sizeof config ||
      !read_file(*file, std::as_writable_bytes(std::span<abi::BootConfig, 1>{&config, 1}))) {
    return {"opt/mm/config is missing or short"};
  }
  if (config.magic != abi::kBootConfigMagic || config.version != 1) {
    return {"opt/mm/config is of another version", config.version};
  }
  if (config.cpus == 0 || config.cpus > platform::kMaxCpus) {
    return {"opt/mm/config: bad number of CPUs", config.cpus};
  }
  if (low_ram_bytes() != config.ram_bytes) {
    return {"the machine has other RAM than opt/mm/config says:", low_ram_bytes()};
  }
  if (tseg_bytes() != config.tseg_bytes || config.tseg_bytes >= config.ram_bytes) {
    return {"the machine has another TSEG than opt/mm/config says:", tseg_bytes()};
  }
  return {};
}

u32 waiting_aps() noexcept {
  u32 n = 0;
  for (u32 id = 0; id < kApWakeSlots; ++id) {
    n += word(kApWakes + id * 4) != 0 ? 1u : 0u;
  }
  return n;
}

Failure wake_cpus(u32 wanted, CpuSet& cpus) noexcept {
  cpus = {};
  cpus.apic_ids[0] = own_apic_id();
  if (wanted > 1) {
    start_aps();
  }
  u32 ready = 0;
  for (u64 us = 0; (ready = waiting_aps()) + 1 < wanted && us < kWaitUs; us += 100) {
    wait_us(100);
  }
  if (ready + 1 != wanted) {
    return {"the machine has another number of CPUs than opt/mm/config says:", u64{ready} + 1};
  }
  for (u32 id = 0; id < kApWakeSlots && cpus.count < wanted; ++id) {
    if (word(kApWakes + id * 4) != 0) {
      cpus.apic_ids[cpus.count++] = id;
    }
  }
  return {};
}

/// Gives each CPU its SMBASE: one SMI each into the handler at the reset-time SMBASE, which lies in plain RAM.
Failure relocate(CpuSet const& cpus, loader::LoadResult const& layout) noexcept {
  bare::copy_bytes(kRelocationHandler, reinterpret_cast<u64>(rom_relocation_handler),
                   static_cast<u64>(rom_relocation_handler_end - rom_relocation_handler));
  for (u32 i = 0; i < cpus.count; ++i) {
    word(kNewSmbase) = static_cast<u32>(layout.smbase[i]);
    word(kRelocated) = 0;
    send_ipi(cpus.apic_ids[i], arch::ipi_command(arch::DeliveryMode::Smi));
    for (u64 us = 0; word(kRelocated) == 0 && us < kWaitUs; us += 10) {
      wait_us(10);
    }
    if (word(kRelocated) == 0) {
      return {"a CPU did not answer its relocation SMI, APIC ID", cpus.apic_ids[i]};
    }
  }
  wait_us(100);  // the last RSM
  return {};
}

/// Asks the chipset to send the SMI of port 0xB2 to every CPU.
Failure request_broadcast() noexcept {
  auto const requested = find_file("etc/smi/requested-features");
  auto const accepted = find_file("etc/smi/features-ok");
  u64 const broadcast = 1;
  u8 ok = 0;
  if (!requested || !accepted || !write_file(*requested, std::as_bytes(std::span<u64 const, 1>{&broadcast, 1})) ||
      !read_file(*accepted, std::as_writable_bytes(std::span<u8, 1>{&ok, 1})) || ok != 1) {
    return {"the chipset refuses SMI broadcast"};
  }
  return {};
}

Failure load(NormalWorld& world, abi::BootConfig const& config, CpuSet const& cpus,
             loader::LoadResult& layout) noexcept {
  u64 const hob_bytes = loader::write_boot_hobs(world, config);
  loader::BootInput const input{
      .mmram = {config.ram_bytes - config.tseg_bytes, config.tseg_bytes},
      .cpus = cpus.count,
      .apic_ids = cpus.apic_ids,
      .boot_hob_list = platform::kBootHobList,
      .boot_hobs = memory(platform::kBootHobList, hob_bytes),
      .fv = memory(platform::kFvBase, config.fv_bytes),
      .mmi_entry = {rom_mmi_entry, rom_mmi_entry_end},
      .smap = config.smap,
      .strict_rsm = config.strict_rsm,
      .fault_policy = config.fault_policy,
  };
  auto const loaded = loader::load(world, input, [&world](hal::TraceEvent const& event) {
    world.emit(abi::FrameKind::Trace, std::as_bytes(std::span<hal::TraceEvent const, 1>{&event, 1}));
  });
  if (!loaded.has_value()) {
    return {loader::describe(loaded.error().problem), loaded.error().offset};
  }
  layout = *loaded;
  return {};
}

CpuSet g_cpus;

void run() noexcept {
  NormalWorld world{g_cpus};
  world.set_cpu_state(steps::initial_cpu_state());
  auto const must = [&world](Failure failure) {
    if (failure.text != nullptr) {
      fail(world, failure);
    }
  };
  set_up_idt();
  set_up_chipset();
  abi::BootConfig config;
  must(read_config(config));
  must(read_into(abi::kFwCfgFv, platform::kFvBase, config.fv_bytes, platform::kFvLimit));
  must(read_into(abi::kFwCfgSteps, platform::kStepProgram, config.steps_bytes, platform::kStepProgramLimit));
  must(read_into(abi::kFwCfgHobs, platform::kExtraHobs, config.hobs_bytes, platform::kExtraHobsLimit));
  must(wake_cpus(config.cpus, g_cpus));
  static loader::LoadResult layout;
  must(load(world, config, g_cpus, layout));
  must(relocate(g_cpus, layout));
  must(lock_tseg() ? Failure{} : Failure{"TSEG cannot be locked"});
  must(request_broadcast());
  enable_smi();
  world.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, 0);
  steps::run_steps(world, memory(platform::kStepProgram, config.steps_bytes));
  if (has_linux()) {
    must({boot_linux(config.ram_bytes, config.tseg_bytes)});
  }
  end_run(world, kEndDone);
}

}  // namespace

extern "C" {
[[gnu::section(".entry")]] void rom_entry() noexcept { run(); }

void rom_exception(u64 vector, u64, u64 rip, u64) noexcept {
  NormalWorld world{g_cpus};
  static_cast<void>(vector);
  fail(world, {"exception in the normal world at", rip});
}
}

}  // namespace mm::rom
