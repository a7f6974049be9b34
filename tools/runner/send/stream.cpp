// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/send/stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "tools/lab/run/backend.hpp"
#include "tools/lab/scenario/names.hpp"

namespace mm::runner {
namespace {

using lab::Bytes;
using lab::Message;
using lab::StepOutcome;

constexpr std::size_t kMessages = 1024;              ///< of one program, at most
constexpr std::size_t kProgramBytes = u64{1} << 20;  ///< of their data, unless one has more

/// The first of `left` that make one program.
std::span<Message const> next_part(std::span<Message const> left) {
  std::size_t count = 0;
  for (std::size_t bytes = 0; count < std::min(left.size(), kMessages); ++count) {
    bytes += left[count].data.size();
    if (count != 0 && bytes > kProgramBytes) {
      break;
    }
  }
  return left.first(count);
}

void print(std::string const& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace

std::span<std::byte const> reply_of(StepOutcome const& outcome) {
  std::span<std::byte const> const data{outcome.data};
  return data.subspan(std::min(sizeof(abi::CommunicateHeader), data.size()));
}

// Written by hand, keys in the order of every other JSON here: a document a reply took longer than the message.
std::string reply_line(StepOutcome const* outcome) {
  if (outcome == nullptr) {
    return "{\"data_hex\":\"\",\"status\":\"HALTED\",\"status_value\":null}\n";
  }
  return fmt::format("{{\"data_hex\":\"{}\",\"status\":\"{}\",\"status_value\":{}}}\n",
                     lab::hex_digits(reply_of(*outcome)), lab::efi_status_name(outcome->head.status),
                     outcome->head.status);
}

std::expected<StreamRun, std::string> send_stream(lab::Prepared const& prepared, std::span<Message const> messages,
                                                  Expectation& expectation) {
  StreamRun out;
  auto left = messages;
  auto run = lab::run_stream(prepared, {.next = [&left]() -> std::optional<Bytes> {
                                          auto const part = next_part(left);
                                          left = left.subspan(part.size());
                                          return part.empty() ? std::nullopt : std::optional{message_program(part)};
                                        },
                                        .take_over =
                                            [&out, &expectation](std::span<StepOutcome const> results) {
                                              std::string text;
                                              for (auto const& result : results) {
                                                text += reply_line(&result);
                                                expectation.see(&result);
                                              }
                                              out.answered += results.size();
                                              print(text);
                                            }});
  if (!run) {
    return std::unexpected(std::move(run.error()));
  }
  out.run = std::move(*run);
  for (std::size_t i = out.answered; i < messages.size(); ++i) {
    print(reply_line(nullptr));
    expectation.see(nullptr);
  }
  return out;
}

std::string where_it_stopped(StreamRun const& stream, lab::Prepared const& prepared,
                             std::span<Message const> messages) {
  if (stream.answered == 0 && stream.run.results.size() < prepared.program.first_step) {
    return lab::where_it_stopped(prepared, stream.run);
  }
  return stream.answered == messages.size()
             ? "behind the last message"
             : fmt::format("while message {} of {} was served, a {}", stream.answered + 1, messages.size(),
                           message_title(messages[stream.answered]));
}

}  // namespace mm::runner
