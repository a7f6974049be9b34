// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <fmt/format.h>
#include <toml++/toml.h>

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tools/lab/scenario/scenario.hpp"

/// Typed values of a scenario file. Whatever is wrong with one is said with its line.
namespace mm::lab {

/// What is wrong with the file. Thrown by its readers only; parse_scenario() turns all of them into its error.
struct TomlProblem {
  std::string text;
};

/// A number as the file has it.
struct TomlNumber {
  u64 value = 0;
  bool hexadecimal = false;  ///< written with 0x, or in a region: problems say it so too
};

/// Access to the tables of one file.
class TomlValues {
 public:
  /// `file` is what problems and relative paths are about.
  explicit TomlValues(std::filesystem::path file) : file_(std::move(file)) {}

  std::filesystem::path const& file() const { return file_; }
  abi::BootConfig const& boot() const { return boot_; }
  /// The machine, which addresses in a region depend on.
  void set_boot(abi::BootConfig const& boot) { boot_ = boot; }

  /// "file:line"
  std::string place(toml::node const& at) const;
  [[noreturn]] void fail(toml::node const& at, std::string const& what) const;
  /// Every key of `t` is one of `keys`.
  void only(toml::table const& t, std::vector<std::string_view> const& keys, std::string_view where) const;
  /// The value of a key, null without one.
  static toml::node const* find(toml::table const& t, std::string_view key) { return t.get(key); }
  /// 0 without a node.
  static int line_of(toml::node const* node);

  std::optional<std::string> text(toml::table const& t, std::string_view key) const;
  /// A text that people are shown: '?' for each control character but tab and line feed.
  std::optional<std::string> line(toml::table const& t, std::string_view key) const;
  std::optional<bool> flag(toml::table const& t, std::string_view key) const;
  /// An integer, or a string: a hexadecimal (0x) or decimal number of 64 bits without leading zeros, or region+offset.
  std::optional<u64> number(toml::table const& t, std::string_view key, u64 low = 0, u64 high = UINT64_MAX) const;
  /// A number that must be there.
  u64 need(toml::table const& t, std::string_view key, u64 high = UINT64_MAX) const;
  toml::table const* table(toml::table const& t, std::string_view key) const;
  toml::table const& as_table(toml::node const& node, std::string_view key) const;
  /// Empty without the key.
  toml::array const& array(toml::table const& t, std::string_view key) const;
  /// Texts that must be found somewhere: none is empty.
  std::vector<std::string> texts(toml::table const& t, std::string_view key) const;
  /// The string that `node` is.
  std::string string(toml::node const& node, std::string_view key) const;

  /// The value of `names`, pairs of name and value, that the string at `key` names.
  template <typename Table>
  auto choice(toml::table const& t, std::string_view key, Table const& names) const
      -> std::optional<std::remove_cvref_t<decltype(names[0].second)>> {
    if (!text(t, key)) {
      return std::nullopt;
    }
    return one_of(*find(t, key), key, names);
  }
  /// The value of `names` that the string `node` names.
  template <typename Table>
  auto one_of(toml::node const& node, std::string_view key, Table const& names) const
      -> std::remove_cvref_t<decltype(names[0].second)> {
    auto const value = string(node, key);
    std::vector<std::string_view> known;
    for (auto const& [name, v] : names) {
      if (name == value) {
        return v;
      }
      known.push_back(name);
    }
    auto const near = nearest(value, known);
    fail(node, fmt::format("{} = \"{}\" is not known{}", key, value,
                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }

  /// A path relative to the file.
  std::filesystem::path path(std::string const& name) const;
  /// What is in the file that `at` names.
  Bytes contents(toml::node const& at, std::string const& name) const;
  /// text, hex, file or fields of `t`, and `pad`.
  Bytes data(toml::table const& t) const;
  Bytes hex(toml::node const& at, std::string const& value) const;
  /// One typed value of `fields`.
  Bytes field(toml::table const& t) const;
  Guid guid(toml::node const& at, std::string const& name) const;

 private:
  TomlNumber number_of(toml::node const& node, std::string_view key) const;
  TomlNumber address(toml::node const& node, std::string const& value, std::string_view key) const;

  std::filesystem::path file_;
  abi::BootConfig boot_;
};

/// What `qemu_except` of the scenario says.
std::vector<QemuException> qemu_exceptions(TomlValues const& values, toml::table const& root);

}  // namespace mm::lab
