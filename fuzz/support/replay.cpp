// SPDX-License-Identifier: BSD-2-Clause-Patent
// Replays corpus files through a fuzz target, without libFuzzer. Arguments: files, or folders with files.
// Exit codes: 0 all were replayed, 1 there was none, 2 one could not be read. A defect ends the program.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
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

bool replay(fs::path const& path) {
  std::ifstream stream{path, std::ios::binary};
  if (!stream) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  std::vector<char> const bytes{std::istreambuf_iterator<char>{stream}, {}};
  // A copy of exactly this size, so that a sanitizer sees a read beyond it.
  std::vector<std::uint8_t> const input{bytes.begin(), bytes.end()};
  std::fprintf(stderr, "%s\n", path.c_str());
  LLVMFuzzerTestOneInput(input.data(), input.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    for (auto const& path : inputs_of(argv[i])) {
      if (!replay(path)) {
        return 2;
      }
      ++replayed;
    }
  }
  std::fprintf(stderr, "%zu inputs replayed\n", replayed);
  return replayed == 0 ? 1 : 0;
}
