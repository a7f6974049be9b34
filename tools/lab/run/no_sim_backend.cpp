// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/run/backend.hpp"

namespace mm::lab {
namespace {

/// Stands in the simulator's place in a build without it.
class NoSimBackend final : public Backend {
 public:
  std::string_view name() const noexcept override { return "sim"; }
  std::optional<std::string> unavailable(std::filesystem::path const&) const override {
    return "this mmsim was built without the simulator";
  }
  std::expected<MachineRun, std::string> run(Prepared const& prepared) const override {
    return std::unexpected(*unavailable(prepared.images));
  }
};

}  // namespace

Backend const& simulator() {
  static NoSimBackend const backend;
  return backend;
}

std::expected<MachineRun, std::string> run_stream(Prepared const& prepared, Stream const&) {
  return simulator().run(prepared);
}

}  // namespace mm::lab
