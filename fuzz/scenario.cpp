// SPDX-License-Identifier: BSD-2-Clause-Patent
// Scenario files. What the reader accepts can be encoded as a step program; what it refuses it refuses with the file
// and a line of it. Files that a scenario names are looked for in
// a folder with one image, Hello.efi.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"
#include "tools/lab/scenario/scenario.hpp"

namespace {

using namespace mm;
namespace fs = std::filesystem;

/// A folder that ends with the process, with the file of one driver.
struct Folder {
  Folder() {
    auto name = (fs::temp_directory_path() / "mm_fuzz_XXXXXX").string();
    path = ::mkdtemp(name.data()) != nullptr ? fs::path{name} : fs::path{"/nonexistent"};
    std::ofstream{path / "Hello.efi"} << "MZ";
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;
  fs::path path;
};

/// "in.toml:12: what is wrong" or "in.toml: what is wrong"; a line, when there is one, is a line of the text.
bool names_a_place(std::string_view error, std::string const& file, std::string_view text) {
  if (!error.starts_with(file + ":")) {
    return false;
  }
  error.remove_prefix(file.size() + 1);
  std::size_t line = 1;
  auto const [end, failed] = std::from_chars(error.data(), error.data() + error.size(), line);
  auto const lines = static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1;
  return error.size() > 2 && (failed != std::errc{} || (line <= lines && *end == ':'));
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"OneCpu"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  static Folder const folder;
  static fs::path const file = folder.path / "in.toml";
  std::string_view const text{reinterpret_cast<char const*>(data.data()), data.size()};
  auto const read = lab::parse_scenario(text, file, folder.path);
  if (!read) {
    MM_FUZZ_CHECK(names_a_place(read.error(), file.string(), text));
    return;
  }
  MM_FUZZ_CHECK(!planted("OneCpu") || read->boot.cpus == 1);
  MM_FUZZ_CHECK(read->boot.cpus >= 1 && read->boot.cpus <= platform::kMaxCpus);
  auto const program = lab::encode_program(*read);
  MM_FUZZ_CHECK(program.last_of_step.size() == read->steps.size());
  MM_FUZZ_CHECK(program.bytes.size() % 8 == 0);
  for (auto const& step : read->steps) {
    for (auto const& one : step.program) {
      MM_FUZZ_CHECK(one.data.size() == one.head.data_bytes);
    }
  }
}
