// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/platform.hpp"
#include "core/communication/config.hpp"
#include "core/communication/log.hpp"

/// Raising a software MMI (core/communication/CLIENT.md 2).
namespace mm::communication {

/// What a platform must do once before MMIs can be raised.
template <typename P>
concept PlatformMmControl = requires(P& p) {
  { p.init() } noexcept -> std::same_as<Expected<void>>;
};
/// Does nothing, for a platform that needs nothing.
struct NoPlatformMmControl {
  Expected<void> init() noexcept { return {}; }
};

/// ACPI fixed hardware of the ICH family: offsets from the ACPI base, and bits (hal/qemu_rom/Q35.md 3).
inline constexpr u64 kSmiEnableOffset = 0x30;
inline constexpr u64 kSmiStatusOffset = 0x34;
inline constexpr u32 kGlobalSmiEnable = 1u << 0;
inline constexpr u32 kEndOfSmi = 1u << 1;
inline constexpr u32 kApmEnable = 1u << 5;  ///< APMC_EN; the same bit of SMI_STS is APM_STS

/// Owns the ports that raise an MMI. start() first, then trigger() any number of times.
template <NormalWorld N, PlatformMmControl P = NoPlatformMmControl, Log L = NullLog>
class SwMmiTrigger {
 public:
  SwMmiTrigger(N& world, AcpiBase acpi, MmiPort command, MmiPort data, P platform = {}, L log = {}) noexcept
      : world_(world), acpi_(acpi), command_(command), data_(data), platform_(platform), log_(log) {}

  /// Lets the platform prepare (once), then sees that software SMIs are enabled where an ACPI base is known. The
  /// platform's error; Unsupported: a port is an SMC function; DeviceError: SMI_EN does not keep its bits.
  Expected<void> start() noexcept {
    if (started_) {
      return {};
    }
    if (command_.kind != MmiPort::Kind::Smi || data_.kind != MmiPort::Kind::Smi || command_.number > 0xFFFF ||
        data_.number > 0xFFFF) {
      log_.log(LogTarget::SwMmi, LogLevel::Error, "the MMI port is not an I/O port", command_.number);
      return std::unexpected(Status::Unsupported);
    }
    if (auto const ready = platform_.init(); !ready.has_value()) {
      log_.log(LogTarget::SwMmi, LogLevel::Error, "the platform's MM control failed", static_cast<u64>(ready.error()));
      return ready;
    }
    MM_TRY(enable());
    started_ = true;
    log_.log(LogTarget::SwMmi, LogLevel::Debug, "ready, command port", command_.number);
    return {};
  }

  /// Writes data, then command, which raises the MMI; returns when it was served. NotReady: start() did not succeed.
  Expected<void> trigger(u8 command, u8 data) noexcept {
    if (!started_) {
      return std::unexpected(Status::NotReady);
    }
    log_.log(LogTarget::SwMmi, LogLevel::Debug, "trigger, command", command);
    world_.port_out(static_cast<u16>(data_.number), abi::IoWidth::Byte, data);
    world_.port_out(static_cast<u16>(command_.number), abi::IoWidth::Byte, command);
    return {};
  }

 private:
  static constexpr u32 kNeeded = kGlobalSmiEnable | kApmEnable;

  Expected<void> enable() noexcept {
    if (acpi_.address == 0) {
      return {};
    }
    if ((read(kSmiEnableOffset) & kNeeded) != kNeeded) {
      write(kSmiStatusOffset, kApmEnable);  // what was pending while SMIs were off is stale
      write(kSmiEnableOffset, read(kSmiEnableOffset) | kNeeded | kEndOfSmi);
    }
    u32 const enabled = read(kSmiEnableOffset);
    if ((enabled & kNeeded) != kNeeded) {
      log_.log(LogTarget::SwMmi, LogLevel::Error, "SMI_EN does not take APMC_EN and GBL_SMI_EN", enabled);
      return std::unexpected(Status::DeviceError);
    }
    return {};
  }
  u32 read(u64 offset) noexcept {
    if (acpi_.kind == AcpiBase::Kind::Io) {
      return world_.port_in(static_cast<u16>(acpi_.address + offset), abi::IoWidth::Dword);
    }
    u32 value = 0;
    world_.read(PhysAddr{acpi_.address + offset}, std::as_writable_bytes(std::span<u32, 1>{&value, 1}));
    return value;
  }
  void write(u64 offset, u32 value) noexcept {
    if (acpi_.kind == AcpiBase::Kind::Io) {
      world_.port_out(static_cast<u16>(acpi_.address + offset), abi::IoWidth::Dword, value);
    } else {
      world_.write(PhysAddr{acpi_.address + offset}, std::as_bytes(std::span<u32, 1>{&value, 1}));
    }
  }

  N& world_;
  AcpiBase acpi_;
  MmiPort command_;
  MmiPort data_;
  [[no_unique_address]] P platform_;
  [[no_unique_address]] L log_;
  bool started_ = false;
};

}  // namespace mm::communication
