// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/sequence.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mm::lab {
namespace {

constexpr std::string_view kMachine = R"(schema = 1
images = [{ driver = "Hello" }, { driver = "HelloSupervised" }, { driver = "Second" }, { driver = "Attacker" },
  { driver = "ApUser" }]
[machine]
cpus = 2
fault_policy = "contain"
)";

constexpr std::size_t kBufferBytes = platform::kCommPages * kPageSize;
constexpr u8 kSupervisorChannel = 1;
constexpr u8 kSignature = 2;

ScenarioStep step_of(SequenceMessage const& m, std::size_t number) {
  std::size_t const bytes = std::min<std::size_t>(m.buffer.size(), steps::kMaxStepBytes);
  ProgramStep one;
  one.data.assign(m.buffer.begin(), m.buffer.begin() + static_cast<std::ptrdiff_t>(bytes));
  one.head = {static_cast<u16>(steps::StepOp::Communicate),
              0,
              static_cast<u32>(bytes),
              static_cast<u64>(m.channel),
              m.valid,
              steps::kMaxStepBytes};
  ScenarioStep step;
  step.kind = "communicate";
  step.title = fmt::format("message {}, {} bytes", number, bytes);
  step.program.push_back(std::move(one));
  return step;
}

}  // namespace

bool SequenceReader::next(SequenceMessage& out) {
  if (read_ == kSequenceMessages || rest_.size() < kSequenceHeadBytes) {
    return false;
  }
  ++read_;
  auto const head = [&](std::size_t i) { return static_cast<u8>(rest_[i]); };
  u8 const handler = head(0);
  u8 const flags = head(1);
  bool const signature = (flags & kSignature) != 0;
  auto const claimed = static_cast<std::size_t>(load_int(rest_, 4, 2));
  out.channel = (flags & kSupervisorChannel) != 0 ? abi::Channel::Supervisor : abi::Channel::User;
  out.valid = head(2);
  out.port = head(3);
  out.buffer.clear();
  auto const body = rest_.subspan(kSequenceHeadBytes, std::min(claimed, rest_.size() - kSequenceHeadBytes));
  if (handler != 0) {
    append_object(out.buffer, kSequenceHandlers[(handler - 1u) % kSequenceHandlers.size()]);
    append_int(out.buffer, body.size() + (signature ? sizeof(u32) : 0), sizeof(u64));
  }
  if (signature) {
    append_int(out.buffer, abi::kRequestSignature, sizeof(u32));
  }
  append_bytes(out.buffer, body);
  out.buffer.resize(std::min(out.buffer.size(), kBufferBytes));
  rest_ = rest_.subspan(kSequenceHeadBytes + body.size());
  return true;
}

std::expected<Prepared, std::string> prepare_sequence(std::filesystem::path const& images) {
  return prepare_sequence(images, {});
}

std::expected<Prepared, std::string> prepare_sequence(std::filesystem::path const& images,
                                                      std::span<std::byte const> input, bool release) {
  MM_TRY_ASSIGN(auto scenario, parse_scenario(kMachine, "sequence", images));
  SequenceReader reader{input};
  for (SequenceMessage message; reader.next(message);) {
    scenario.steps.push_back(step_of(message, scenario.steps.size() + 1));
  }
  if (release) {
    MM_TRY(use_release_core(scenario));
  }
  return prepare(std::move(scenario), images);
}

}  // namespace mm::lab
