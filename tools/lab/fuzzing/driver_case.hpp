// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/lab/fuzzing/driver_input.hpp"
#include "tools/lab/fuzzing/driver_oracle.hpp"
#include "tools/lab/run/prepare.hpp"
#include "tools/lab/scenario/driver_set.hpp"
#include "tools/lab/scenario/hobs.hpp"

/// The machine that `mmsim fuzz driver` fuzzes, as a folder: a scenario with all the files that it needs, and what the
/// session wants. The fuzzer, `mmsim repro` and each finding begin with it, so that what one finds the others see.
namespace mm::lab {

inline constexpr std::string_view kCaseFile = "machine.toml";
inline constexpr std::string_view kSessionFile = "session.json";

/// The heap guard of a machine (core/abi/ABI.md 1.2).
struct CaseGuard {
  bool heap = true;
  bool messages = true;  ///< handlers get a copy that ends at a page that is not there
};

/// A machine that the command line describes.
struct CaseSource {
  DriverSet drivers;
  std::vector<PlatformHob> hobs;
  std::optional<DeviceSpec> flash;
  Bytes policy;  ///< blob; empty: the default
  u32 cpus = 1;
};

/// Writes kCaseFile and the files that it names into `folder`, which is made. Error: a sentence, a file cannot be read
/// or written.
std::expected<void, std::string> write_case(std::filesystem::path const& folder, CaseSource const& source,
                                            CaseGuard guard = {});
/// The same of a scenario: what it expects is left out, the files that it names are copied. `images`: the folder of the
/// built images. Error: a sentence; the file is no scenario.
std::expected<void, std::string> write_case(std::filesystem::path const& folder, std::filesystem::path const& scenario,
                                            std::filesystem::path const& images, CaseGuard guard = {});

/// What a session wants of the inputs.
struct DriverSession {
  std::vector<Guid> handlers;  ///< by which messages name their recipient; never empty
  OracleSet allowed = 0;
  std::size_t most_messages = 8;
  std::size_t most_bytes = 4096;     ///< of one message
  std::vector<std::string> known{};  ///< keys of findings that were told already
};
std::expected<void, std::string> write_session(std::filesystem::path const& folder, DriverSession const& session);
/// Error: "file: what"; it is not there, or not what write_session() writes.
std::expected<DriverSession, std::string> read_session(std::filesystem::path const& folder);

/// The machine of a folder with `messages` behind its steps. Error: a sentence.
std::expected<Prepared, std::string> prepare_case(std::filesystem::path const& folder,
                                                  std::filesystem::path const& images,
                                                  DriverSession const& session = {},
                                                  std::span<DriverMessage const> messages = {});

/// A message as the step of a scenario: what the normal world sends.
ScenarioStep driver_step(DriverMessage const& message, DriverSession const& session, std::size_t number);
/// The recipient of a message.
Guid const& recipient(DriverMessage const& message, DriverSession const& session);

/// The handlers that the drivers of a run registered, in order, each once, but for the root handlers and those of
/// drivers that were cut off.
std::vector<Guid> registered_handlers(std::span<hal::TraceEvent const> trace);
/// File names and names of the images of a machine.
std::vector<std::pair<Guid, std::string>> image_names(Prepared const& prepared);

}  // namespace mm::lab
