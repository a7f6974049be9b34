// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/comm_region.hpp"

#include <fmt/format.h>

#include <charconv>
#include <vector>

namespace mm::linux_tool {
namespace {

constexpr u64 kMostPages = 4096;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    auto const end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::expected<void, std::string> check(CommRegion const& region) {
  auto const buffer = Range::make(region.address, region.bytes());
  auto const mailbox = Range::make(region.mailbox, kMailboxBytes);
  if (region.address == 0 || region.address % kPageSize != 0) {
    return std::unexpected(fmt::format("address {:#x} is not that of a page", region.address));
  }
  if (region.pages == 0 || region.pages > kMostPages) {
    return std::unexpected(fmt::format("{} pages: from 1 to {}", region.pages, kMostPages));
  }
  if (region.mailbox % 8 != 0) {
    return std::unexpected(fmt::format("mailbox {:#x} is not on 8 bytes", region.mailbox));
  }
  if (!buffer || !mailbox) {
    return std::unexpected(std::string{"buffer or mailbox passes the end of the address space"});
  }
  if (region.mailbox != 0 && buffer->overlaps(*mailbox)) {
    return std::unexpected(fmt::format("mailbox {:#x} lies in the buffer", region.mailbox));
  }
  return {};
}

}  // namespace

std::expected<u64, std::string> parse_number(std::string_view text) {
  bool const hex = text.starts_with("0x") || text.starts_with("0X");
  auto const digits = hex ? text.substr(2) : text;
  u64 value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return std::unexpected(fmt::format("'{}' is no number below 2^64", text));
  }
  return value;
}

std::expected<CommRegion, std::string> parse_comm_region(std::string_view text) {
  auto const parts = split(text, ',');
  auto const refuse = [&](std::string const& why) {
    return std::unexpected(fmt::format("'{}': {} (the form is ADDRESS,PAGES,MAILBOX)", text, why));
  };
  if (parts.size() != 2 && parts.size() != 3) {
    return refuse("not two or three numbers");
  }
  u64 values[3] = {};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto const value = parse_number(parts[i]);
    if (!value) {
      return refuse(value.error());
    }
    values[i] = *value;
  }
  CommRegion const region{values[0], values[1], values[2]};
  if (auto const good = check(region); !good) {
    return refuse(good.error());
  }
  return region;
}

std::string_view kernel_parameter(std::string_view command_line, std::string_view name) {
  while (!command_line.empty()) {
    auto const end = command_line.find_first_of(" \n");
    auto const word = command_line.substr(0, end);
    if (word.starts_with(name) && word.substr(name.size()).starts_with('=')) {
      return word.substr(name.size() + 1);
    }
    command_line = end == std::string_view::npos ? "" : command_line.substr(end + 1);
  }
  return {};
}

}  // namespace mm::linux_tool
