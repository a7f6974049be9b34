// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>

#include "core/abi/comm.hpp"
#include "core/abi/syscalls.hpp"
#include "core/base/guid.hpp"
#include "core/base/types.hpp"
#include "hal/roles/reasons.hpp"

/// What a machine tells of itself: one list of events, each a struct with named fields, and the 64 bytes that carry any
/// of them. A new event is an enumerator, a struct and its place in `Events`, all in this file; names, decoders and the
/// rows of the documentation come from the list.
namespace mm::hal {

/// What happened. The fields are those of the struct of the same name below.
enum class TraceKind : u16 {
  MmiEntry = 1,
  CpuInitialised = 2,
  Rendezvous = 3,
  CopyIn = 4,
  RequestDecoded = 5,
  RequestRefused = 6,
  UserEnter = 7,
  UserExit = 8,
  Syscall = 9,
  PolicyRefusal = 10,
  Fault = 11,
  SupervisorFault = 12,
  Contained = 13,
  ApProcedure = 14,
  Lock = 15,
  CopyOut = 16,
  MmiExit = 17,
  Unblocked = 18,
  UserNote = 19,
  ImageLoaded = 20,
  ImageRefused = 21,
  Halt = 22,
  UserPageAllocated = 23,
  UserPageFreed = 24,
  MemoryMap = 25,
  Registers = 26,
  Telemetry = 27,
};

/// One fixed-size event: 64 bytes, little-endian, the same in the simulator and on the debug console. What the words
/// mean depends on the kind: pack() and unpack() below are the only places that know.
struct TraceEvent {
  TraceKind kind{};
  u16 cpu = 0;  ///< dense CpuIndex
  u32 mmi = 0;  ///< number of the MMI, from 0 (boot: the loader's events)
  u64 a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
  u64 reserved = 0;
  friend constexpr bool operator==(TraceEvent const&, TraceEvent const&) = default;
};
static_assert(sizeof(TraceEvent) == 64);

/// An enumerator in a field of one word, whatever its own size.
template <typename E>
class Word {
 public:
  constexpr Word(E value = {}) noexcept : word_(static_cast<u64>(value)) {}
  constexpr operator E() const noexcept { return static_cast<E>(word_); }
  /// What the word holds, also where it is no enumerator.
  constexpr u64 raw() const noexcept { return word_; }

 private:
  u64 word_ = 0;
};

/// How a field is to be read.
enum class Form : u8 {
  Number,   ///< a count or an index
  Bits,     ///< best told in hexadecimal
  Address,  ///< of memory
  Code,     ///< address of an instruction
  Guid,     ///< two words
  Status,   ///< EFI_STATUS
  Name,     ///< an enumerator that has a name
};
struct Field {
  char const* name;
  Form form;
};

namespace event {

/// A CPU entered MM.
struct MmiEntry {
  static constexpr auto kKind = TraceKind::MmiEntry;
  static constexpr char const* kName = "MmiEntry";
  static constexpr std::array kFields{Field{"mmis", Form::Number}};
  u64 mmis = 0;  ///< of this CPU so far, from 1
};
/// The first MMI of this CPU is done.
struct CpuInitialised {
  static constexpr auto kKind = TraceKind::CpuInitialised;
  static constexpr char const* kName = "CpuInitialised";
  static constexpr std::array<Field, 0> kFields{};
};
/// The BSP has waited for the others.
struct Rendezvous {
  static constexpr auto kKind = TraceKind::Rendezvous;
  static constexpr char const* kName = "Rendezvous";
  static constexpr std::array kFields{Field{"arrived", Form::Number}, Field{"expected", Form::Number}};
  u64 arrived = 0;
  u64 expected = 0;
};
/// Header and message are in the internal buffer.
struct CopyIn {
  static constexpr auto kKind = TraceKind::CopyIn;
  static constexpr char const* kName = "CopyIn";
  static constexpr std::array kFields{Field{"channel", Form::Name}, Field{"bytes", Form::Number}};
  Word<abi::Channel> channel;
  u64 bytes = 0;
};
struct RequestDecoded {
  static constexpr auto kKind = TraceKind::RequestDecoded;
  static constexpr char const* kName = "RequestDecoded";
  static constexpr std::array kFields{Field{"channel", Form::Name}, Field{"guid", Form::Guid},
                                      Field{"message_bytes", Form::Number}, Field{"version", Form::Number}};
  Word<abi::Channel> channel;
  Guid guid{};
  u64 message_bytes = 0;
  u64 version = 0;  ///< of the communicate header: 1 or 3
};
struct RequestRefused {
  static constexpr auto kKind = TraceKind::RequestRefused;
  static constexpr char const* kName = "RequestRefused";
  static constexpr std::array kFields{Field{"channel", Form::Name}, Field{"status", Form::Status}};
  Word<abi::Channel> channel;
  Status status{};
};
struct UserEnter {
  static constexpr auto kKind = TraceKind::UserEnter;
  static constexpr char const* kName = "UserEnter";
  static constexpr std::array kFields{Field{"command", Form::Name}, Field{"argument", Form::Address}};
  abi::UserCommand command{};
  u64 argument = 0;  ///< the first
};
struct UserExit {
  static constexpr auto kKind = TraceKind::UserExit;
  static constexpr char const* kName = "UserExit";
  static constexpr std::array kFields{Field{"kind", Form::Name}, Field{"rax", Form::Status},
                                      Field{"untold", Form::Number}};
  UserExitKind kind{};
  u64 rax = 0;
  u64 untold = 0;  ///< successful system calls of the entry that are no events
};
struct Syscall {
  static constexpr auto kKind = TraceKind::Syscall;
  static constexpr char const* kName = "Syscall";
  static constexpr std::array kFields{Field{"number", Form::Name},    Field{"first", Form::Address},
                                      Field{"second", Form::Address}, Field{"third", Form::Address},
                                      Field{"rax", Form::Address},    Field{"status", Form::Status}};
  abi::Syscall number{};
  u64 first = 0;
  u64 second = 0;
  u64 third = 0;
  u64 rax = 0;      ///< handed back
  Status status{};  ///< of the decision
};
/// Ring 3 was refused an access, by the core (policy/foundation.hpp) or by the policy.
struct PolicyRefusal {
  static constexpr auto kKind = TraceKind::PolicyRefusal;
  static constexpr char const* kName = "PolicyRefusal";
  static constexpr std::array kFields{Field{"type", Form::Name},      Field{"what", Form::Bits},
                                      Field{"access", Form::Bits},    Field{"width", Form::Number},
                                      Field{"by_core", Form::Number}, Field{"config_address", Form::Bits}};
  u64 type = 0;            ///< policy::Type
  u64 what = 0;            ///< MSR, port, instruction or field
  u64 access = 0;          ///< policy::kRead, kWrite or kExecute
  u64 width = 0;           ///< bytes; 0 where there is none
  u64 by_core = 0;         ///< 1: by the core, whatever the policy says
  u64 config_address = 0;  ///< by the core, PCI configuration data: what port 0xCF8 held
};
/// A fault of ring 3.
struct Fault {
  static constexpr auto kKind = TraceKind::Fault;
  static constexpr char const* kName = "Fault";
  static constexpr std::array kFields{Field{"vector", Form::Number}, Field{"error", Form::Bits},
                                      Field{"rip", Form::Code},      Field{"cr2", Form::Address},
                                      Field{"rsp", Form::Address},   Field{"command", Form::Name}};
  u64 vector = 0;
  u64 error = 0;
  u64 rip = 0;
  u64 cr2 = 0;
  u64 rsp = 0;
  abi::UserCommand command{};
};
/// A fault of ring 0.
struct SupervisorFault {
  static constexpr auto kKind = TraceKind::SupervisorFault;
  static constexpr char const* kName = "SupervisorFault";
  static constexpr std::array kFields{Field{"vector", Form::Number}, Field{"error", Form::Bits},
                                      Field{"rip", Form::Code}, Field{"cr2", Form::Address}};
  u64 vector = 0;
  u64 error = 0;
  u64 rip = 0;  ///< or the site
  u64 cr2 = 0;
};
/// The machine goes on after a fault of ring 3.
struct Contained {
  static constexpr auto kKind = TraceKind::Contained;
  static constexpr char const* kName = "Contained";
  static constexpr std::array kFields{Field{"image", Form::Address}};
  u64 image = 0;  ///< base of the image that faulted
};
struct ApProcedure {
  static constexpr auto kKind = TraceKind::ApProcedure;
  static constexpr char const* kName = "ApProcedure";
  static constexpr std::array kFields{Field{"procedure", Form::Address}, Field{"argument", Form::Address},
                                      Field{"caller", Form::Number}};
  u64 procedure = 0;
  u64 argument = 0;
  u64 caller = 0;  ///< the CPU that asked
};
struct Lock {
  static constexpr auto kKind = TraceKind::Lock;
  static constexpr char const* kName = "Lock";
  static constexpr std::array kFields{Field{"event", Form::Name}};
  LockEvent event{};
};
struct CopyOut {
  static constexpr auto kKind = TraceKind::CopyOut;
  static constexpr char const* kName = "CopyOut";
  static constexpr std::array kFields{Field{"channel", Form::Name}, Field{"bytes", Form::Number},
                                      Field{"hash", Form::Bits}};
  Word<abi::Channel> channel;
  u64 bytes = 0;
  u64 hash = 0;  ///< FNV-1a-64 of the bytes
};
/// The BSP leaves MM.
struct MmiExit {
  static constexpr auto kKind = TraceKind::MmiExit;
  static constexpr char const* kName = "MmiExit";
  static constexpr std::array kFields{Field{"channel", Form::Name}, Field{"status", Form::Status},
                                      Field{"bytes", Form::Number}};
  Word<abi::Channel> channel;  ///< that was served
  u64 status = 0;              ///< ReturnStatus
  u64 bytes = 0;               ///< ReturnBufferSize
};
struct Unblocked {
  static constexpr auto kKind = TraceKind::Unblocked;
  static constexpr char const* kName = "Unblocked";
  static constexpr std::array kFields{Field{"base", Form::Address}, Field{"pages", Form::Number},
                                      Field{"status", Form::Status}};
  u64 base = 0;
  u64 pages = 0;
  Status status{};
};
struct UserNote {
  static constexpr auto kKind = TraceKind::UserNote;
  static constexpr char const* kName = "UserNote";
  static constexpr std::array kFields{Field{"note", Form::Name}, Field{"first", Form::Address},
                                      Field{"second", Form::Address}};
  abi::UserNote note{};
  u64 first = 0;
  u64 second = 0;
};
struct ImageLoaded {
  static constexpr auto kKind = TraceKind::ImageLoaded;
  static constexpr char const* kName = "ImageLoaded";
  static constexpr std::array kFields{Field{"base", Form::Address}, Field{"bytes", Form::Bits},
                                      Field{"guid", Form::Guid}, Field{"user", Form::Number}};
  u64 base = 0;
  u64 bytes = 0;
  Guid guid{};   ///< of the file
  u64 user = 0;  ///< 1: of ring 3
};
struct ImageRefused {
  static constexpr auto kKind = TraceKind::ImageRefused;
  static constexpr char const* kName = "ImageRefused";
  static constexpr std::array kFields{Field{"problem", Form::Number}, Field{"status", Form::Status},
                                      Field{"guid", Form::Guid}};
  u64 problem = 0;  ///< loader::LoadProblem
  Status status{};
  Guid guid{};  ///< of the file
};
/// What the words after the reason mean is told with HaltReason.
struct Halt {
  static constexpr auto kKind = TraceKind::Halt;
  static constexpr char const* kName = "Halt";
  static constexpr std::array kFields{Field{"reason", Form::Name}, Field{"first", Form::Bits},
                                      Field{"second", Form::Bits}, Field{"third", Form::Bits}};
  HaltReason reason{};
  u64 first = 0;
  u64 second = 0;
  u64 third = 0;
};
struct UserPageAllocated {
  static constexpr auto kKind = TraceKind::UserPageAllocated;
  static constexpr char const* kName = "UserPageAllocated";
  static constexpr std::array kFields{Field{"base", Form::Address}, Field{"pages", Form::Number}};
  u64 base = 0;
  u64 pages = 0;
};
struct UserPageFreed {
  static constexpr auto kKind = TraceKind::UserPageFreed;
  static constexpr char const* kName = "UserPageFreed";
  static constexpr std::array kFields{Field{"base", Form::Address}, Field{"pages", Form::Number}};
  u64 base = 0;
  u64 pages = 0;
};
/// After the first MMI: one run of present pages with equal rights.
struct MemoryMap {
  static constexpr auto kKind = TraceKind::MemoryMap;
  static constexpr char const* kName = "MemoryMap";
  static constexpr u64 kWritable = 1, kUser = 2, kExecutable = 4;
  static constexpr std::array kFields{Field{"base", Form::Address}, Field{"bytes", Form::Bits},
                                      Field{"rights", Form::Bits}};
  u64 base = 0;
  u64 bytes = 0;
  u64 rights = 0;  ///< kWritable, kUser, kExecutable
};
/// After a Fault or a refused system call: a quarter of RAX RBX RCX RDX RSI RDI RBP RSP R8 to R15 RIP RFLAGS CR2 and
/// error code.
struct Registers {
  static constexpr auto kKind = TraceKind::Registers;
  static constexpr char const* kName = "Registers";
  static constexpr std::array kFields{Field{"part", Form::Number},    Field{"value0", Form::Address},
                                      Field{"value1", Form::Address}, Field{"value2", Form::Address},
                                      Field{"value3", Form::Address}, Field{"value4", Form::Address}};
  u64 part = 0;  ///< 0 to 3
  std::array<u64, 5> values{};
};
/// A telemetry record was left in the supervisor-to-user page.
struct Telemetry {
  static constexpr auto kKind = TraceKind::Telemetry;
  static constexpr char const* kName = "Telemetry";
  static constexpr std::array kFields{Field{"offset", Form::Bits}, Field{"vector", Form::Number},
                                      Field{"error", Form::Bits},  Field{"rip", Form::Code},
                                      Field{"cr2", Form::Address}, Field{"image", Form::Address}};
  u64 offset = 0;  ///< byte of the page
  u64 vector = 0;
  u64 error = 0;
  u64 rip = 0;
  u64 cr2 = 0;
  u64 image = 0;  ///< load address of the driver
};

}  // namespace event

/// Words of all fields.
constexpr std::size_t words_of(std::span<Field const> fields) noexcept {
  std::size_t words = 0;
  for (Field const& field : fields) {
    words += field.form == Form::Guid ? 2 : 1;
  }
  return words;
}

/// A struct of the list: one word a field, at most the six of a TraceEvent.
template <typename E>
concept Event = std::is_trivially_copyable_v<E> && requires {
  { E::kKind } -> std::convertible_to<TraceKind>;
  { E::kName } -> std::convertible_to<char const*>;
  requires words_of(E::kFields) <= 6;
  requires(std::is_empty_v<E> ? 0 : sizeof(E)) == 8 * words_of(E::kFields);
};

template <Event E>
constexpr TraceEvent pack(E const& event, u32 cpu, u32 mmi) noexcept {
  std::array<u64, 6> w{};
  if constexpr (!std::is_empty_v<E>) {
    auto const words = std::bit_cast<std::array<u64, sizeof(E) / 8>>(event);
    for (std::size_t i = 0; i < words.size(); ++i) {
      w[i] = words[i];
    }
  }
  return {E::kKind, static_cast<u16>(cpu), mmi, w[0], w[1], w[2], w[3], w[4], w[5], 0};
}

/// The fields of an event; the caller has compared the kind.
template <Event E>
constexpr E unpack(TraceEvent const& event) noexcept {
  if constexpr (std::is_empty_v<E>) {
    return {};
  } else {
    std::array<u64, 6> const all{event.a, event.b, event.c, event.d, event.e, event.f};
    std::array<u64, sizeof(E) / 8> words{};
    for (std::size_t i = 0; i < words.size(); ++i) {
      words[i] = all[i];
    }
    return std::bit_cast<E>(words);
  }
}

/// The fields, when the event is of this kind.
template <Event E>
constexpr std::optional<E> as(TraceEvent const& event) noexcept {
  return event.kind == E::kKind ? std::optional{unpack<E>(event)} : std::nullopt;
}

/// Every event, ascending.
using Events =
    std::tuple<event::MmiEntry, event::CpuInitialised, event::Rendezvous, event::CopyIn, event::RequestDecoded,
               event::RequestRefused, event::UserEnter, event::UserExit, event::Syscall, event::PolicyRefusal,
               event::Fault, event::SupervisorFault, event::Contained, event::ApProcedure, event::Lock, event::CopyOut,
               event::MmiExit, event::Unblocked, event::UserNote, event::ImageLoaded, event::ImageRefused, event::Halt,
               event::UserPageAllocated, event::UserPageFreed, event::MemoryMap, event::Registers, event::Telemetry>;

/// The same as rows, for names and pages.
struct EventRow {
  TraceKind kind;
  char const* name;
  std::span<Field const> fields;
};
template <Event... E>
constexpr std::array<EventRow, sizeof...(E)> event_rows(std::tuple<E...> const*) noexcept {
  return {EventRow{E::kKind, E::kName, E::kFields}...};
}
inline constexpr auto kEvents = event_rows(static_cast<Events const*>(nullptr));
static_assert([] {
  for (std::size_t i = 0; i < kEvents.size(); ++i) {
    if (static_cast<std::size_t>(kEvents[i].kind) != i + 1) {
      return false;
    }
  }
  return true;
}());

/// Calls f with the struct of the event. False: a kind that is not in the list.
template <typename F>
constexpr bool visit(TraceEvent const& event, F&& f) {
  return [&]<Event... E>(std::tuple<E...> const*) {
    return ((E::kKind == event.kind && (static_cast<void>(f(unpack<E>(event))), true)) || ...);
  }(static_cast<Events const*>(nullptr));
}

constexpr char const* name_of(TraceKind kind) noexcept {
  for (EventRow const& row : kEvents) {
    if (row.kind == kind) {
      return row.name;
    }
  }
  return nullptr;
}

}  // namespace mm::hal
