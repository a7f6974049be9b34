// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/fuzz/inputs.hpp"

#include <unistd.h>

#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/runner/commands.hpp"

namespace mm::runner {

namespace fs = std::filesystem;

std::string fuzz_kind_of(fs::path const& file, std::string const& given) {
  auto const name = file.filename().string();
  auto const folder = fs::absolute(file).parent_path().filename();
  std::string kind = given;
  for (auto const* one : kFuzzTargets) {
    if (kind.empty() && (name.starts_with(std::string{one} + "-") || folder == one)) {
      kind = one;
    }
  }
  return kind;
}

fs::path fuzz_case_of(fs::path const& file, std::string const& kind) {
  auto const folder = fs::absolute(file).parent_path();
  bool const there = kind == "driver" && fs::is_regular_file(folder / lab::kCaseFile);
  return there ? folder : fs::path{};
}

std::expected<fs::path, std::string> fuzz_program_of(std::string const& kind) {
  for (auto const& program :
       {(images_folder() / "../fuzz" / ("fuzz_" + kind)).lexically_normal(), fuzz_program_path(kind, false)}) {
    if (::access(program.c_str(), X_OK) == 0) {
      return program;
    }
  }
  return std::unexpected(fuzz_build_hint(kind, false));
}

}  // namespace mm::runner
