// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/driver_seeds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/abi/comm.hpp"
#include "tools/lab/scenario/messages.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFiles = 10'000;

std::optional<u8> number_of(Guid const& to, std::vector<Guid> const& handlers) {
  auto const found = std::ranges::find(handlers, to);
  return found == handlers.end() ? std::nullopt : std::optional{static_cast<u8>(found - handlers.begin())};
}

/// Each message alone, then all of them, as many as an input may have.
std::vector<Bytes> inputs_of(std::vector<DriverMessage> messages) {
  std::vector<Bytes> out;
  for (auto const& message : messages) {
    out.push_back(join_messages(std::span{&message, 1}));
  }
  if (messages.size() > 1) {
    messages.resize(std::min(messages.size(), kMostDriverMessages));
    out.push_back(join_messages(messages));
  }
  return out;
}

/// What a program step sends, and to whom; nothing when it is no message that a client would send.
std::optional<Message> message_of(ProgramStep const& step) {
  bool const call = step.head.op == static_cast<u16>(steps::StepOp::Call);
  bool const raw = step.head.op == static_cast<u16>(steps::StepOp::Communicate);
  std::size_t const header = call ? sizeof(Guid) : sizeof(abi::CommunicateHeader);
  if ((!call && !raw) || step.data.size() < header) {
    return std::nullopt;
  }
  Guid to;
  std::ranges::copy_n(step.data.begin(), sizeof to, std::as_writable_bytes(std::span{&to, 1}).begin());
  return Message{to, {step.data.begin() + static_cast<std::ptrdiff_t>(header), step.data.end()}};
}

std::expected<std::vector<DriverMessage>, std::string> read_messages(fs::path const& file,
                                                                     std::vector<Guid> const& handlers) {
  MM_TRY_ASSIGN(auto const bytes, read_file(file));
  MM_TRY_ASSIGN(auto const messages, parse_messages({reinterpret_cast<char const*>(bytes.data()), bytes.size()},
                                                    file.string(), handlers.front()));
  std::vector<DriverMessage> out;
  for (auto const& message : messages) {
    auto const number = number_of(message.to, handlers);
    if (!number) {
      return std::unexpected(
          fmt::format("{}: a message to {}, which is not fuzzed", file.string(), named_guid(message.to)));
    }
    out.push_back({*number, 0, message.data});
  }
  return out;
}

}  // namespace

std::vector<Bytes> seeds_of(Scenario const& scenario, std::vector<Guid> const& handlers) {
  std::vector<DriverMessage> messages;
  for (auto const& step : scenario.steps) {
    for (auto const& one : step.program) {
      auto const message = message_of(one);
      auto const number = message ? number_of(message->to, handlers) : std::nullopt;
      if (number && message->data.size() <= kMostDriverBytes) {
        messages.push_back({*number, 0, message->data});
      }
    }
  }
  return inputs_of(std::move(messages));
}

std::expected<std::vector<Bytes>, std::string> read_seeds(fs::path const& path, std::vector<Guid> const& handlers) {
  std::vector<Bytes> out;
  auto const add = [&](fs::path const& file) -> std::expected<void, std::string> {
    if (file.extension() == ".jsonl") {
      MM_TRY_ASSIGN(auto messages, read_messages(file, handlers));
      std::ranges::move(inputs_of(std::move(messages)), std::back_inserter(out));
      return {};
    }
    MM_TRY_ASSIGN(auto bytes, read_file(file));
    bytes.resize(std::min(bytes.size(), kMostDriverBytes));
    for (std::size_t i = 0; i < handlers.size(); ++i) {
      DriverMessage const message{static_cast<u8>(i), 0, bytes};
      out.push_back(join_messages(std::span{&message, 1}));
    }
    return {};
  };
  if (!fs::is_directory(path)) {
    if (path.extension() != ".jsonl") {
      return std::unexpected(fmt::format("{}: neither a folder nor a .jsonl file of messages", path.string()));
    }
    MM_TRY(add(path));
  } else {
    std::vector<fs::path> files;
    for (auto const& entry : fs::directory_iterator{path}) {
      if (entry.is_regular_file() && files.size() < kMostFiles) {
        files.push_back(entry.path());
      }
    }
    std::ranges::sort(files);
    for (auto const& file : files) {
      MM_TRY(add(file));
    }
  }
  if (out.empty()) {
    return std::unexpected(path.string() + ": no message in it");
  }
  return out;
}

std::vector<Bytes> plain_seeds(std::vector<Guid> const& handlers) {
  constexpr std::size_t kBytes = 32;
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < handlers.size(); ++i) {
    for (std::size_t const bytes : {std::size_t{0}, kBytes}) {
      DriverMessage const message{static_cast<u8>(i), 0, Bytes(bytes)};
      out.push_back(join_messages(std::span{&message, 1}));
    }
  }
  return out;
}

}  // namespace mm::lab
