// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tools/lab/run/machine_run.hpp"
#include "tools/lab/run/prepare.hpp"

namespace mm::lab {

/// A machine that runs what prepare() made. Whatever comes next - another emulator, a board behind a cable - is one
/// more implementation and one more line in find_backend(); nothing else asks which machine it was.
///
/// A backend holds no state between two runs: each starts a machine of its own, runs it to its end, and takes it away.
/// It tells what it saw in a MachineRun and judges nothing; judge/ does, with the same rules for every backend.
class Backend {
 public:
  virtual ~Backend() = default;

  /// The word of `--target` and of `targets` in a scenario.
  virtual std::string_view name() const noexcept = 0;
  /// Why it cannot be used here, a sentence; nothing when it can. `images` is the folder of the built images.
  virtual std::optional<std::string> unavailable(std::filesystem::path const& images) const = 0;
  /// One run from reset to the end of the steps, a halt, or a limit. The error is a sentence: the environment is at
  /// fault, and no verdict is possible (exit code 3). Blocks; several threads may run at once.
  virtual std::expected<MachineRun, std::string> run(Prepared const& prepared) const = 0;
};

/// The machine of sim/. Unavailable in a build without it.
Backend const& simulator();
/// Programs for a machine that is at the end of its steps, one after the other.
struct Stream {
  std::function<std::optional<Bytes>()> next;                   ///< nothing: that was the last
  std::function<void(std::span<StepOutcome const>)> take_over;  ///< what the last program gave; not kept elsewhere
};
/// As simulator().run(), with the programs of `stream` behind the steps: as many as there are, and each result is given
/// away before the next program runs. The machine that stopped is asked for no more.
std::expected<MachineRun, std::string> run_stream(Prepared const& prepared, Stream const& stream);
/// QEMU's q35 with the ROM of hal/qemu_rom. Unavailable without qemu-system-x86_64, or without the ROM.
Backend const& qemu();
/// The backend that is called `name`; null when there is none.
Backend const* find_backend(std::string_view name);

/// The frames that the debug console of a machine received, which is how QEMU tells of a run.
MachineRun parse_console(std::span<std::byte const> console);

}  // namespace mm::lab
