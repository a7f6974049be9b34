// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "core/abi/boot.hpp"
#include "tools/lab/text/bytes.hpp"

/// Devices that a scenario, or the command line, brings to the machine.
namespace mm::lab {

/// A register of which the answers are known.
struct DeviceRegister {
  u64 at = 0;     ///< offset in the window
  u32 width = 4;  ///< 1, 2, 4 or 8
  u64 value = 0;
  std::vector<u64> reads;  ///< one after the other, the last one stays; empty: what was written last
  u64 clears = 0;          ///< bits that a 1 clears
};

/// A write that a driver must make.
struct DeviceWrite {
  u64 at = 0;
  u32 width = 4;
  u64 value = 0;
  int line = 0;
};

struct DeviceSpec {
  enum class Kind : u8 {
    Flash,      ///< NOR flash with Intel's commands; QEMU has it, too
    Registers,  ///< simulator only
  };
  Kind kind = Kind::Registers;
  std::string name;
  bool ports = false;
  u64 base = 0;  ///< address or port
  u64 bytes = 0;
  bool open = true;                       ///< to ring 3, by an unblock HOB; not for ports
  u8 fill = 0;                            ///< what reads without register and stream give
  std::vector<DeviceRegister> registers;  ///< none over another
  Bytes content;                          ///< of the flash; else what reads beside the registers give, in order
  std::vector<DeviceWrite> writes;        ///< in this order, others may be between
  int line = 0;

  Range range() const { return {base, bytes}; }
};

/// The flash of OVMF: where it is when nobody says so.
inline constexpr u64 kFlashBase = 0xFFC0'0000;

/// The flash and the ROM below 4 GiB: QEMU puts one behind the other, at most 8 MiB of both.
inline constexpr u64 kFlashLowest = 0xFF80'0000;
inline constexpr u64 kRomLowest = 0xFFF0'0000;

/// Why the device cannot be on this machine, a sentence without its name: sizes, alignment, over something else.
std::expected<void, std::string> check_device(DeviceSpec const& device, std::vector<DeviceSpec> const& before,
                                              abi::BootConfig const& boot);

/// The HOBs that go with it: the window is opened to ring 3, and the flash has its layout (gVariableFlashInfoHobGuid:
/// variable store, FTW working block and spare as OVMF divides it).
Bytes device_hobs(DeviceSpec const& device);

/// What a new flash holds: a volume with an empty store of authenticated variables, and erased blocks.
Bytes empty_store(DeviceSpec const& flash);

/// "FILE" or "FILE@BASE", or the number of bytes of a new flash in the place of FILE. Error: a sentence.
std::expected<DeviceSpec, std::string> parse_flash(std::string const& argument);

}  // namespace mm::lab
