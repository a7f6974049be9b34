// SPDX-License-Identifier: BSD-2-Clause-Patent
// Replays corpus files through a fuzz target, without libFuzzer. Arguments: files, or folders with files; -runs=N: each
// so many times.
// Exit codes: 0 all were replayed, 1 there was none, 2 one could not be read. A defect ends the program.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_of(fs::path const& argument) {
  if (!fs::is_directory(argument)) {
    return {argument};
  }
  std::vector<fs::path> found;
  for (auto const& entry : fs::recursive_directory_iterator(argument)) {
    if (entry.is_regular_file()) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool replay(fs::path const& path, unsigned long runs) {
  std::ifstream stream{path, std::ios::binary};
  if (!stream) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  std::vector<char> const bytes{std::istreambuf_iterator<char>{stream}, {}};
  // A copy of exactly this size, so that a sanitizer sees a read beyond it.
  std::vector<std::uint8_t> const input{bytes.begin(), bytes.end()};
  std::fprintf(stderr, "%s\n", path.c_str());
  for (unsigned long run = 0; run < runs; ++run) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t replayed = 0;
  unsigned long runs = 1;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kRuns = "-runs=";
    if (std::string_view{argv[i]}.starts_with(kRuns)) {
      runs = std::strtoul(argv[i] + kRuns.size(), nullptr, 10);
      continue;
    }
    for (auto const& path : inputs_of(argv[i])) {
      if (!replay(path, runs)) {
        return 2;
      }
      ++replayed;
    }
  }
  std::fprintf(stderr, "%zu inputs replayed\n", replayed);
  return replayed == 0 ? 1 : 0;
}
