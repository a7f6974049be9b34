// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/abi/boot.hpp"
#include "core/abi/comm.hpp"
#include "core/steps/program.hpp"
#include "hal/roles/trace.hpp"
#include "tools/lab/scenario/devices.hpp"
#include "tools/lab/text/bytes.hpp"

/// A scenario file in memory (format: scenarios/README.md).
namespace mm::lab {

/// One encoded step with its data.
struct ProgramStep {
  steps::Step head;
  Bytes data;
};

/// Bytes expected at an offset of the reply message (header not counted) or of the data that was read.
struct ExpectedBytes {
  std::size_t at = 0;
  Bytes bytes;
};

struct StepExpectation {
  std::optional<u64> status;
  std::optional<bool> error;  ///< the status is some error (true), or none (false)
  std::optional<u64> size;    ///< ReturnBufferSize, or bytes of the message with message_size
  std::optional<u64> message_size;
  std::optional<u64> value;
  std::optional<u64> valid;  ///< mailbox valid byte after the MMI
  std::vector<ExpectedBytes> bytes;
  int line = 0;        ///< 0: the step expects nothing
  bool halts = false;  ///< the machine halts in this step, so it gives no result
};

/// One [[step]]: one or more program steps; the expectation is about the last.
struct ScenarioStep {
  int line = 0;
  std::string kind;
  std::string title;
  std::vector<ProgramStep> program;
  std::size_t header_bytes = 0;          ///< of a reply: where its message starts
  std::optional<std::size_t> answer_at;  ///< where the message says whether the request was granted: the step's status
  StepExpectation expect;
};

struct ImageSpec {
  std::string name;
  Guid guid;
  std::filesystem::path file;  ///< .efi
  std::optional<std::filesystem::path> depex;
  std::optional<Bytes> content;             ///< instead of the bytes of `file`, which then is only a name
  std::optional<Bytes> depex_content;       ///< instead of the bytes of `depex`
  std::optional<std::filesystem::path> fv;  ///< a whole volume instead
};

/// One [[expect.event]] / element of expect.events: kind and the fields that were given.
struct ExpectedEvent {
  hal::TraceKind kind{};
  std::optional<u64> cpu, a, b, c, d, e, f;
  int line = 0;
};

struct MemoryRange {
  u64 address = 0;
  u64 bytes = 0;
  int line = 0;
};

struct Expectation {
  std::vector<ExpectedEvent> events;      ///< in this order, others may be between
  std::vector<hal::TraceKind> no_events;  ///< none of these after boot
  std::optional<hal::HaltReason> halted;
  bool reset = false;  ///< the machine is reset or switched off before its last step has ended
  std::optional<std::string> refused_image;
  std::vector<MemoryRange> memory_unchanged;
  std::optional<std::string> boot_error;  ///< part of what the loader says when it refuses
  std::vector<Bytes> secrets;             ///< these bytes are in no reply, and in nothing that was read
  std::vector<std::string> serial;        ///< what the serial port was given, in this order, other text between
  bool audit = false;                     ///< the page tables are audited whatever the command line says
  std::vector<std::string> caught;  ///< what must be found wrong, each a part of one sentence; nothing else may be
  int no_events_line = 0, halted_line = 0, refused_image_line = 0, serial_line = 0;
};

/// Versions of QEMU on which a scenario is not run, because they do otherwise than the one it was written with.
struct QemuException {
  u32 from = 0;   ///< major version
  u32 below = 0;  ///< the first behind it
  std::string because;
};

/// Where a scenario holds.
struct Machines {
  std::vector<std::string> targets;  ///< empty: all
  std::vector<QemuException> qemu_exceptions;
};

struct Scenario {
  std::string name;
  std::filesystem::path file;
  abi::BootConfig boot;
  bool reference_profile = false;
  bool intel_save_state = false;  ///< else AMD64
  u64 seed = 1;
  bool dispatch = true;
  bool release = true;                          ///< the release core does the same, but for the events
  std::string supervisor = "MmSupervisorCore";  ///< image in the supervisor's place
  Machines machines;
  u32 defects = 0;                  ///< supervisor::Check bits that the simulator removes
  Bytes policy;                     ///< empty: none
  Bytes hobs;                       ///< of the normal world's list, besides those that the platform needs
  std::vector<DeviceSpec> devices;  ///< their HOBs are in `hobs`
  std::vector<ImageSpec> images;
  std::vector<ScenarioStep> steps;
  Expectation expect;
  std::vector<std::string> warnings;  ///< about the files that it names
};

enum class Target : u8 { Sim, Qemu };
/// Whether the scenario is for this machine: by its `targets`; one with the reference profile is for the simulator.
bool is_for(Scenario const& scenario, Target target);

/// Reads and checks a scenario file. `images` is the folder of the built images. Error: "file:line: what", one
/// a line when several parts of the file are wrong.
std::expected<Scenario, std::string> load_scenario(std::filesystem::path const& file,
                                                   std::filesystem::path const& images);
/// The same from text; `file` names it in errors and anchors relative paths.
std::expected<Scenario, std::string> parse_scenario(std::string_view text, std::filesystem::path const& file,
                                                    std::filesystem::path const& images);

/// The program of a scenario: dispatch event, memory reads for memory_unchanged, the steps, the reads again.
struct Program {
  Bytes bytes;
  std::size_t first_step = 0;                     ///< index of the first program step of the scenario's own steps
  std::vector<std::size_t> last_of_step;          ///< per scenario step: index of its last program step
  std::size_t reads_before = 0, reads_after = 0;  ///< index of the first memory read of each set
};
Program encode_program(Scenario const& scenario);
/// Header (v1 or v3) and `message` as raw buffer content: for headers that the client would not write.
ProgramStep communicate_step(abi::Channel channel, Guid const& to, std::span<std::byte const> message, bool v3 = false);
/// `message` through the normal world's client. One that the client would refuse (empty, too long, to the zero GUID)
/// goes as raw content.
ProgramStep call_step(abi::Channel channel, Guid const& to, std::span<std::byte const> message, bool v3 = false);

std::string_view status_name(u64 status);
/// The same; the number where it has none.
std::string status_text(u64 status);
std::string_view event_name(hal::TraceKind kind);
std::string_view halt_name(hal::HaltReason reason);

}  // namespace mm::lab
