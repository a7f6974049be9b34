// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <iostream>
#include <memory>

#include "tools/lab/coverage/coverage.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/symbol_options.hpp"

namespace mm::runner {
namespace {

struct MergeOptions {
  std::filesystem::path out;
  std::vector<std::filesystem::path> in;
};

int merge_command(MergeOptions const& o) {
  lab::Coverage all;
  for (auto const& path : o.in) {
    auto const one = lab::read_coverage(path);
    if (!one) {
      std::cerr << "mmsim: " << one.error() << '\n';
      return kBadInput;
    }
    all.add(*one);
  }
  auto const written = lab::write_coverage(all, o.out);
  if (!written) {
    std::cerr << "mmsim: " << written.error() << '\n';
    return kBadInput;
  }
  std::cout << *written << '\n';
  return kPassed;
}

}  // namespace

Command add_coverage_command(Arguments program) {
  auto const o = std::make_shared<MergeOptions>();
  auto coverage = program.command("coverage", "Add up what --coverage of other commands wrote");
  auto merge = coverage.command("merge", "Write the sum of several folders into one");
  merge.option("OUT", o->out, "Folder to write; it may be one of those that are read").required();
  merge.option("IN", o->in, "Folders that --coverage wrote, or their coverage.json").required();
  add_symbol_options(merge);
  coverage.require_command();
  coverage.footer(
      "coverage.drcov is for Lighthouse and Ghidra, coverage.info for lcov, index.html to be read; coverage.json has "
      "the\n"
      "exact counts. Lines come from the images where they were: keep them with their debug information.\n"
      "Examples:\n"
      "  mmsim run scenarios/smoke --coverage cov\n"
      "  mmsim send --image My.efi --to GUID --text hi --coverage cov2\n"
      "  mmsim coverage merge all cov cov2");
  return {coverage, [o] { return merge_command(*o); }};
}

}  // namespace mm::runner
