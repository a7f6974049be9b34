// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

/// The command line of mmsim: sub-commands, options and flags, and what they take. CLI11 is behind arguments.cpp alone:
/// its templates cost more to compile than the commands that use them.
///
/// Arguments and Argument are handles; what they stand for lives as long as the program. A name in upper case is
/// positional. Bad input ends parse() with a message that names the option and what it takes. One thread.
namespace mm::runner {

/// One option or flag, to say what it takes; each call gives it back.
class Argument {
 public:
  explicit Argument(CLI::Option* option) noexcept : option_(option) {}

  Argument required();
  Argument one_of(std::vector<std::string> const& words);
  Argument one_of(std::vector<int> const& numbers);
  /// Numbers from `least` to `most`.
  Argument range(std::int64_t least, std::int64_t most);
  Argument not_negative();
  Argument existing_file();
  /// Not together with `other`.
  Argument excludes(Argument const& other);
  /// Not in --help: for the tests of this project.
  Argument hidden();
  /// --help shows what the variable holds now.
  Argument shows_default();
  /// Whether it was on the command line; after parse().
  bool given() const;

 private:
  CLI::Option* option_;
};

/// One option, flag or positional as --help shows it, for completions and the manual page.
struct OptionText {
  std::vector<std::string> names;    ///< "-j", "--jobs"; of a positional its name alone
  std::string help;                  ///< one paragraph
  std::vector<std::string> choices;  ///< the words that it takes, when these are all
  bool takes_value = false;
  bool positional = false;
  bool is_path = false;  ///< what it takes is a file or a folder
};
/// A command with what it takes; hidden options are left out.
struct CommandText {
  std::string name;
  std::string help;
  std::string footer;
  std::vector<OptionText> options;
  std::vector<CommandText> commands;
};

/// What the program or a sub-command takes.
class Arguments {
 public:
  explicit Arguments(CLI::App* app) noexcept : app_(app) {}

  /// A sub-command.
  Arguments command(std::string const& name, std::string const& help);
  /// Called by parse() when this sub-command was chosen.
  void when_chosen(std::function<void()> call);
  /// `value` keeps what it holds when the option is not given. Text, paths, numbers, and lists and optionals of them:
  /// the types at the end of arguments.cpp.
  template <typename T>
  Argument option(std::string const& names, T& value, std::string const& help);
  Argument flag(std::string const& names, bool& value, std::string const& help);
  /// Options of which at most one may be given, under a heading of --help.
  Arguments at_most_one(std::string const& heading);
  /// One sub-command must be given.
  void require_command();
  /// What --help says at its end: examples, exit codes.
  void footer(std::string const& text);
  /// --version prints what `text` gives.
  void version(std::function<std::string()> text);
  /// Everything that was added so far, sub-commands included.
  CommandText describe() const;
  /// Whether this sub-command was chosen; after parse().
  bool chosen() const;
  std::string name() const;
  /// Reads the command line. False: --help was printed (`code` is 0), or what is wrong (another code), and the program
  /// is to end with it.
  bool parse(int argc, char** argv, int& code);

 private:
  CLI::App* app_;
};

/// The arguments of a program, to which there is no parent.
Arguments program_arguments(std::string const& about);

}  // namespace mm::runner
