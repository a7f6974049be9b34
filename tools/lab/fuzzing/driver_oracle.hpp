// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/guid.hpp"
#include "hal/roles/trace.hpp"

/// What `mmsim fuzz driver` holds against a driver: the events of a message are judged, so that the simulator in the
/// fuzzer, a replay there and a replay on QEMU come to the same finding.
namespace mm::lab {

enum class Oracle : u8 {
  Fault,           ///< an exception, an access without right
  RefusedCall,     ///< a system call that the supervisor refused
  Budget,          ///< it does not come back
  PoolOverflow,    ///< it touched what is beside a block of the pool
  UseAfterFree,    ///< it touched what it has given back
  InvalidFree,     ///< it gave back what is not allocated
  MessageBounds,   ///< it touched what is behind the message
  UnwrittenReply,  ///< bytes of memory that nobody wrote are in a reply
  ReplySize,       ///< a reply is longer than its message, which is all the room there is
  ReplyStatus,     ///< a handler gave what is no EFI_STATUS
  Repeatability    ///< the same messages on the same machine did something else
};
struct OracleName {
  Oracle oracle;
  std::string_view name;   ///< for --allow
  std::string_view about;  ///< a sentence without full stop
};
inline constexpr std::array kOracles{
    OracleName{Oracle::Fault, "fault", "an access without right, or another exception"},
    OracleName{Oracle::RefusedCall, "refused-call", "a system call that the supervisor refuses"},
    OracleName{Oracle::Budget, "budget", "a handler that does not come back"},
    OracleName{Oracle::PoolOverflow, "pool-overflow", "an access beside a block of the pool"},
    OracleName{Oracle::UseAfterFree, "use-after-free", "an access to memory that was given back"},
    OracleName{Oracle::InvalidFree, "invalid-free", "memory is given back that is not allocated"},
    OracleName{Oracle::MessageBounds, "message-bounds", "an access behind the message"},
    OracleName{Oracle::UnwrittenReply, "uninitialised-reply", "a reply has bytes of memory that nobody wrote"},
    OracleName{Oracle::ReplySize, "reply-size", "a reply is longer than its message"},
    OracleName{Oracle::ReplyStatus, "reply-status", "a handler returns what is no EFI_STATUS"},
    OracleName{Oracle::Repeatability, "repeatability", "the same messages do something else the second time"}};
std::string_view oracle_name(Oracle oracle);

/// A set of oracles.
using OracleSet = u32;
constexpr OracleSet bit_of(Oracle oracle) noexcept { return OracleSet{1} << static_cast<unsigned>(oracle); }
/// The set of these names. Error: a sentence that lists the names.
std::expected<OracleSet, std::string> parse_oracles(std::span<std::string const> names);

/// An image of ring 3 as it was loaded.
struct LoadedImage {
  Guid guid;
  std::string name;
  u64 base = 0;
  u64 bytes = 0;
};

/// One event that a replay of the finding must show, by the fields a to f of the trace.
struct OwedEvent {
  hal::TraceKind kind{};
  std::vector<std::pair<char, u64>> fields;
};

/// Something wrong that a driver did.
struct DriverFinding {
  Oracle oracle{};
  std::string image;    ///< that did it; empty: no image holds the place
  Guid image_guid;      ///< file name of it
  u64 offset = 0;       ///< in the image: of the instruction, else of the handler that ran
  std::string what;     ///< one line
  bool aborted = true;  ///< the message is answered Aborted, or the machine halts
  std::vector<OwedEvent> owed;

  /// Names the defect: two inputs with one key are one finding.
  std::string key() const;
};

/// What the judge knows of a machine.
struct JudgedMachine {
  std::vector<LoadedImage> images;
  Range mmram;
};
/// From the events of a boot.
JudgedMachine judged_machine(std::span<hal::TraceEvent const> boot, Range mmram,
                             std::span<std::pair<Guid, std::string> const> names);

/// The first thing wrong among the events of one message, of those that are not allowed; nothing: none.
std::optional<DriverFinding> judge(JudgedMachine const& machine, std::span<hal::TraceEvent const> events,
                                   OracleSet allowed);

}  // namespace mm::lab
