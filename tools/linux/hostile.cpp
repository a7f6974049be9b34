// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/hostile.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <random>

#include "core/abi/guids.hpp"
#include "core/abi/platform.hpp"

namespace mm::linux_tool {
namespace {

constexpr u64 kApic = 0xFEE0'0000;
constexpr u16 kConfigAddress = 0xCF8, kConfigData = 0xCFC;
constexpr u32 kSmiToAllOthers = 0x000C'4200;
constexpr int kBurst = 64;

/// Random choices that are often edges.
class Dice {
 public:
  explicit Dice(u64 seed) : engine_(seed) {}
  u64 any() { return engine_(); }
  u64 below(u64 n) { return engine_() % n; }
  bool one_in(u64 n) { return below(n) == 0; }
  u64 length(u64 buffer) {
    std::array<u64, 9> const edges{0,           1,       buffer - 24,  buffer - 23, buffer,
                                   buffer - 56, ~u64{0}, ~u64{0} - 23, 1ull << 63};
    return one_in(2) ? edges[below(edges.size())] : below(buffer);
  }

 private:
  std::mt19937_64 engine_;
};

/// What FXSAVE stores, Intel SDM vol. 1, 10.5.1.
struct alignas(16) FxImage {
  std::array<u8, 512> bytes{};
};

/// Raises an MMI with a pattern in x87 and SSE registers. Empty, or what came back otherwise.
std::string vector_registers_survive(Dice& dice) {
  FxImage own, pattern, after;
  for (std::size_t i = 32; i < 416; ++i) {
    pattern.bytes[i] = static_cast<u8>(dice.any());
  }
  for (std::size_t st = 32; st < 160; st += 16) {
    std::fill_n(pattern.bytes.begin() + static_cast<std::ptrdiff_t>(st) + 10, 6,
                u8{0});  // of 16 bytes 10 are a register
  }
  pattern.bytes[0] = 0x7F;  // FCW: round down
  pattern.bytes[1] = 0x07;
  pattern.bytes[4] = 0xFF;  // FTW: all are in use
  pattern.bytes[24] = 0x80;
  pattern.bytes[25] = 0x3F;  // MXCSR: the same
  // QEMU 7.2 takes the MMI behind the block that has the OUT, so that the block ends there.
  asm volatile(
      "fxsave64 %[own]\n\tfxrstor64 %[pattern]\n\toutb %%al, %%dx\n\tjmp 1f\n1:\n\tpause\n\tjmp 2f\n2:\n\t"
      "fxsave64 %[after]\n\tfxrstor64 %[own]"
      : [own] "=m"(own), [after] "=m"(after)
      : [pattern] "m"(pattern), "a"(0), "d"(platform::kPortApmCnt)
      : "memory");
  for (std::size_t i = 0; i < 416; ++i) {
    bool const compared = i < 2 || i == 4 || i == 24 || i == 25 || i >= 32;
    if (compared && after.bytes[i] != pattern.bytes[i]) {
      return fmt::format("byte {} of the FXSAVE image was {:#04x} before an MMI and {:#04x} after it", i,
                         pattern.bytes[i], after.bytes[i]);
    }
  }
  return "";
}

class Hostile {
 public:
  Hostile(LinuxWorld& world, HostileOptions const& options)
      : world_(world), options_(options), dice_(options.seed), has_apic_(world.map(kApic, kPageSize).has_value()) {}

  /// With empty mailboxes. Empty, or a register that the MMI did not give back.
  std::string registers() { return vector_registers_survive(dice_); }

  void burst(HostileCount& count) {
    for (int i = 0; i < kBurst; ++i) {
      fill(dice_.one_in(3) ? options_.supervisor : options_.user);
      if (dice_.one_in(4)) {
        poke();
        ++count.pokes;
      }
      if (has_apic_ && dice_.one_in(8)) {
        put32(kApic + 0x300, kSmiToAllOthers);  // and the port at once: every CPU joins
      }
      if (dice_.one_in(2)) {
        world_.port_out(platform::kPortApmSts, abi::IoWidth::Byte, static_cast<u32>(dice_.any()));
      }
      world_.port_out(platform::kPortApmCnt, abi::IoWidth::Byte, static_cast<u32>(dice_.any()));
      ++count.mmis;
    }
    restore();
  }

  /// One change of a buffer or mailbox, by the second process.
  void scribble() {
    CommRegion const& region = dice_.one_in(3) ? options_.supervisor : options_.user;
    u64 const at = dice_.one_in(2) ? region.address + dice_.below(64) : region.mailbox + dice_.below(kMailboxBytes);
    put8(at, static_cast<u8>(dice_.any()));
  }

 private:
  void put8(u64 at, u8 value) { world_.write(PhysAddr{at}, std::as_bytes(std::span(&value, 1))); }
  void put32(u64 at, u32 value) { world_.write(PhysAddr{at}, std::as_bytes(std::span(&value, 1))); }
  template <typename T>
  void put(u64 at, T const& value) {
    world_.write(PhysAddr{at}, std::as_bytes(std::span(&value, 1)));
  }

  Guid guid() {
    constexpr std::array kKnown{guids::gMmSupervisorRequestHandlerGuid, guids::gEfiMmCommunicateHeaderV3Guid,
                                guids::gEfiDxeMmReadyToLockProtocolGuid, guids::gEventMmDispatchGuid};
    if (dice_.one_in(2)) {
      return kKnown[dice_.below(kKnown.size())];
    }
    return std::bit_cast<Guid>(std::array{dice_.any(), dice_.any()});
  }

  void fill(CommRegion const& region) {
    u64 const at = region.address;
    put(at, guid());
    put(at + 16, dice_.length(region.bytes()));
    put(at + 24, guid());
    for (u64 offset = 40; offset < 40 + 8 * dice_.below(32); offset += 8) {
      put(at + offset, dice_.one_in(3) ? dice_.length(region.bytes()) : dice_.any());
    }
    if (dice_.one_in(3)) {
      constexpr u32 kSignature = abi::kRequestSignature;
      put(at, guids::gMmSupervisorRequestHandlerGuid);
      put(at + 24, kSignature);
      put(at + 28, u32{1});
      put(at + 32, static_cast<u32>(dice_.below(6)));
    }
    abi::CommBufferStatus status;
    status.is_comm_buffer_valid = static_cast<u8>(dice_.one_in(4) ? dice_.any() : 1);
    status.return_status = dice_.any();
    status.return_buffer_size = dice_.any();
    put(region.mailbox, status);
  }

  void config(u32 address, abi::IoWidth width, u32 value) {
    world_.port_out(kConfigAddress, abi::IoWidth::Dword, address);
    world_.port_out(kConfigData + (address & 3), width, value);
  }

  /// Registers that are locked, and one that is not: PMBASE, which ring 0 once took its time from.
  void poke() {
    switch (dice_.below(7)) {
      case 0:
        return config(0x8000'009D, abi::IoWidth::Byte, static_cast<u32>(dice_.any()));  // SMRAMC
      case 1:
        return config(0x8000'009E, abi::IoWidth::Byte, static_cast<u32>(dice_.any()));  // ESMRAMC
      case 2:
        return config(0x8000'F840, abi::IoWidth::Dword, 0x701);  // PMBASE
      case 3:
        return config(0x8000'F8A0, abi::IoWidth::Word, 0);  // GEN_PMCON_1: SMI_LOCK
      case 4:
        world_.port_out(platform::kPmBase + 0x30, abi::IoWidth::Dword, 0);  // SMI_EN
        return;
      case 5:
        world_.port_out(kConfigAddress, abi::IoWidth::Dword, 0x8000'0000 | static_cast<u32>(dice_.below(0x100)));
        return;
      default:
        return config(0x8000'0050, abi::IoWidth::Word, static_cast<u32>(dice_.any()));  // extended TSEG
    }
  }

  /// What Linux needs again.
  void restore() {
    config(0x8000'F840, abi::IoWidth::Dword, platform::kPmBase | 1);
    world_.port_out(platform::kPmBase + 0x30, abi::IoWidth::Dword, 0x21);  // GBL_SMI_EN, APMC_EN
    for (CommRegion const& region : {options_.user, options_.supervisor}) {
      put(region.mailbox, abi::CommBufferStatus{});
    }
  }

  LinuxWorld& world_;
  HostileOptions const& options_;
  Dice dice_;
  bool has_apic_;
};

/// A process that scribbles until it is told to stop; its count is in memory that both have.
class Scribbler {
 public:
  Scribbler(LinuxWorld& world, HostileOptions const& options) {
    void* const shared = ::mmap(nullptr, sizeof(u64), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
      return;
    }
    count_ = static_cast<u64*>(shared);
    child_ = ::fork();
    if (child_ == 0) {
      HostileOptions other = options;
      other.seed += 1;
      Hostile hostile(world, other);
      for (;;) {
        hostile.scribble();
        *count_ = *count_ + 1;
      }
    }
  }
  ~Scribbler() {
    tell(SIGKILL);
    if (child_ > 0) {
      ::waitpid(child_, nullptr, 0);
    }
  }
  Scribbler(Scribbler const&) = delete;
  Scribbler& operator=(Scribbler const&) = delete;
  void rest() {
    tell(SIGSTOP);
    int status = 0;
    if (child_ > 0) {
      ::waitpid(child_, &status, WUNTRACED);
    }
  }
  void go_on() { tell(SIGCONT); }
  u64 count() const { return count_ == nullptr ? 0 : *count_; }

 private:
  void tell(int signal) const {
    if (child_ > 0) {
      ::kill(child_, signal);
    }
  }
  u64 volatile* count_ = nullptr;
  pid_t child_ = -1;
};

}  // namespace

std::expected<HostileCount, std::string> be_hostile(LinuxWorld& world, HostileOptions const& options,
                                                    std::function<std::string()> const& in_order) {
  using Clock = std::chrono::steady_clock;
  auto const end = Clock::now() + std::chrono::duration<double>(options.seconds);
  HostileCount count;
  Hostile hostile(world, options);
  Scribbler scribbler(world, options);
  while (Clock::now() < end) {
    scribbler.go_on();
    hostile.burst(count);
    scribbler.rest();
    hostile.burst(count);  // what was scribbled last is served, and the mailboxes are empty again
    auto wrong = hostile.registers();
    if (wrong.empty()) {
      wrong = in_order();
    }
    if (!wrong.empty()) {
      return std::unexpected(fmt::format("after {} MMIs with seed {}: {}", count.mmis, options.seed, wrong));
    }
    ++count.answered;
  }
  count.scribbles = scribbler.count();
  return count;
}

}  // namespace mm::linux_tool
