// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "core/arch/control.hpp"
#include "core/arch/msr.hpp"
#include "core/memory/page_tables.hpp"
#include "hal/bare/machine.hpp"
#include "tests/contract/cases.hpp"

/// MmSupervisorContract.efi: takes the place of the supervisor image, runs the contract of the bare machine in the
/// first MMI of the BSP, writes one line of text a case to the debug console and stops the machine.
namespace mm::contract {
namespace {

struct alignas(kPageSize) Page {
  std::array<std::byte, kPageSize> bytes{};
};

void say(std::initializer_list<char const*> words) noexcept {
  std::array<std::byte, 240> line{};
  u64 length = 0;
  for (char const* word : words) {
    for (; *word != 0 && length < line.size(); ++word) {
      line[length++] = static_cast<std::byte>(*word);
    }
  }
  abi::FrameHeader const header{abi::kFrameMagic, static_cast<u8>(abi::FrameKind::Text), static_cast<u16>(length)};
  bare::out_bytes(platform::kPortDebugConsole, std::as_bytes(std::span(&header, 1)));
  bare::out_bytes(platform::kPortDebugConsole, std::span(line).first(length));
}

class Harness {
 public:
  static constexpr bool kHasRing3 = true;
  constexpr Harness() noexcept = default;

  /// False: ring 3 cannot be given its pages.
  bool set_up() noexcept {
    clock_.measure();
    cpu_.begin_mmi();
    struct {
      Expected<PhysAddr> take_page() noexcept { return std::unexpected(Status::OutOfResources); }
    } none;
    memory::PageTables<bare::Cpu> tables(cpu_, PhysAddr{cpu_.read_cr3()});
    bool done = false;
    {
      hal::WriteWindow const window(cpu_);
      done = tables.set({raw(user_code()), kPageSize}, memory::kUserCode, none).has_value() &&
             tables.set({raw(user_data()), kPageSize}, memory::kUserData, none).has_value();
    }
    cpu_.flush_tlb();
    return done;
  }
  bare::Cpu& cpu() noexcept { return cpu_; }
  bare::Machine<true>& machine() noexcept { return machine_; }
  PhysAddr memory() noexcept { return address(pages_[0]); }
  u32 good_msr() noexcept { return arch::kMsrSysenterEip; }
  u32 bad_msr() noexcept { return 0; }  // QEMU's TCG refuses no MSR
  PhysAddr user_code() noexcept { return address(pages_[2]); }
  PhysAddr user_data() noexcept { return address(pages_[3]); }

 private:
  static PhysAddr address(Page& page) noexcept { return PhysAddr{reinterpret_cast<u64>(&page)}; }

  bare::StopFlag stop_;
  bare::Machine<true> machine_{stop_};
  bare::Clock clock_;
  bare::Cpu cpu_{stop_, clock_};
  std::array<Page, 4> pages_;
};
constinit Harness g_harness;

/// What the entry code and begin_mmi() have set: null, or the first thing that is not so.
char const* missing_protection() noexcept {
  constexpr u64 kSmep = 1ull << 20;
  constexpr u64 kUmip = 1ull << 11;
  constexpr u64 kNoExecuteEnable = 1ull << 11;
  u64 const cr4 = bare::read_cr4();
  if ((bare::read_cr0() & arch::kCr0WriteProtect) == 0) {
    return "CR0.WP is clear";
  }
  if ((cr4 & kSmep) == 0 || (cr4 & kUmip) == 0) {
    return "CR4.SMEP or CR4.UMIP is clear, and the CPU has them";
  }
  if ((cr4 & arch::kCr4MachineCheck) == 0) {
    return "CR4.MCE is clear: a machine check would shut the CPU down";
  }
  return (bare::read_known_msr(arch::kMsrEfer) & kNoExecuteEnable) == 0 ? "EFER.NXE is clear" : nullptr;
}

/// #DB, NMI, #DF and #MC may interrupt each other: a stack each.
char const* shared_exception_stack() noexcept {
  u64 const idt = bare::read_idtr().base;
  u32 used = 0;
  for (u64 const vector : {1u, 2u, 8u, 18u}) {
    u32 const stack = *reinterpret_cast<u8 const volatile*>(idt + vector * 16 + 4) & 7;
    if (stack == 0 || (used >> stack & 1) != 0) {
      return "two of #DB, NMI, #DF, #MC share a stack, or one has none";
    }
    used |= 1u << stack;
  }
  return nullptr;
}

void state(char const* name, char const* wrong) noexcept {
  wrong != nullptr ? say({"FAILED ", name, ": ", wrong}) : say({"passed ", name});
}

void run_all() noexcept {
  if (!g_harness.set_up()) {
    say({"no pages for ring 3"});
    return;
  }
  state("ProtectionsAreOn", missing_protection());
  state("EachExceptionHasItsStack", shared_exception_stack());
  for_each_case<Harness>([](Case<Harness> const& one) {
    Report report;
    one.run(g_harness, report);
    if (report.failed() != nullptr) {
      say({"FAILED ", one.name, ": ", report.failed()});
    } else {
      say({"passed ", one.name});
    }
  });
  state("ProtectionsAreOnAfterWindows", missing_protection());
  say({"end of the contract"});
}

}  // namespace

extern "C" {
void _ModuleEntryPoint(u64 cpu_index, u64) noexcept {
  if (cpu_index == 0) {
    run_all();
    g_harness.machine().halt(hal::HaltReason::InitFailed);
  }
  bare::stop_cpu();
}
void mm_bare_supervisor_fault(u64, u64, u64, u64) noexcept {
  say({"FAILED: a fault in ring 0"});
  g_harness.machine().halt(hal::HaltReason::SupervisorFault);
}
}

}  // namespace mm::contract
