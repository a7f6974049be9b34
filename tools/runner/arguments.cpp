// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/arguments.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <optional>

#include "core/base/types.hpp"
#include "tools/lab/text/program_name.hpp"

namespace mm::runner {
namespace {

/// What CLI11 keeps as text only: the words of one_of(), and which options take a path.
std::map<CLI::Option const*, std::vector<std::string>> g_choices;
std::map<CLI::Option const*, bool> g_paths;

OptionText describe_option(CLI::Option const& option) {
  OptionText out;
  for (auto const& name : option.get_snames()) {
    out.names.push_back("-" + name);
  }
  for (auto const& name : option.get_lnames()) {
    out.names.push_back("--" + name);
  }
  out.positional = option.get_positional();
  if (out.positional) {
    out.names.push_back(option.get_name(true, false));
  }
  out.help = option.get_description();
  out.takes_value = option.get_items_expected_max() > 0;
  if (auto const choices = g_choices.find(&option); choices != g_choices.end()) {
    out.choices = choices->second;
  }
  out.is_path = g_paths.contains(&option);
  return out;
}

CommandText describe_app(CLI::App const& app) {
  CommandText out{
      .name = app.get_name(), .help = app.get_description(), .footer = app.get_footer(), .options = {}, .commands = {}};
  for (auto const* option : app.get_options()) {
    if (!option->get_group().empty()) {
      out.options.push_back(describe_option(*option));
    }
  }
  for (auto const* child : app.get_subcommands(nullptr)) {
    auto text = describe_app(*child);
    if (child->get_name().empty()) {  // a group of options
      out.options.insert(out.options.end(), text.options.begin(), text.options.end());
    } else {
      out.commands.push_back(std::move(text));
    }
  }
  return out;
}

}  // namespace

Argument Argument::required() {
  option_->required();
  return *this;
}
Argument Argument::one_of(std::vector<std::string> const& words) {
  option_->check(CLI::IsMember(words));
  g_choices[option_] = words;
  return *this;
}
Argument Argument::one_of(std::vector<int> const& numbers) {
  option_->check(CLI::IsMember(numbers));
  for (int const number : numbers) {
    g_choices[option_].push_back(std::to_string(number));
  }
  return *this;
}
Argument Argument::range(std::int64_t least, std::int64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Argument Argument::not_negative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}
Argument Argument::existing_file() {
  option_->check(CLI::ExistingFile);
  g_paths[option_] = true;
  return *this;
}
Argument Argument::excludes(Argument const& other) {
  option_->excludes(other.option_);
  return *this;
}
Argument Argument::hidden() {
  option_->group("");
  return *this;
}
Argument Argument::shows_default() {
  option_->capture_default_str();
  return *this;
}
bool Argument::given() const { return option_->count() != 0; }

Arguments Arguments::command(std::string const& name, std::string const& help) {
  return Arguments{app_->add_subcommand(name, help)};
}
void Arguments::when_chosen(std::function<void()> call) { app_->callback(std::move(call)); }
Argument Arguments::flag(std::string const& names, bool& value, std::string const& help) {
  return Argument{app_->add_flag(names, value, help)};
}
Arguments Arguments::at_most_one(std::string const& heading) {
  auto* const group = app_->add_option_group(heading);
  group->require_option(0, 1);
  return Arguments{group};
}
void Arguments::require_command() { app_->require_subcommand(1); }
void Arguments::footer(std::string const& text) { app_->footer(lab::as_typed(text)); }
void Arguments::version(std::function<std::string()> text) {
  app_->add_flag_callback(
          "--version", [text = std::move(text)] { throw CLI::CallForVersion(text(), 0); },
          "Versions of program, engine and images")
      ->configurable(false);
}
CommandText Arguments::describe() const { return describe_app(*app_); }
bool Arguments::chosen() const { return app_->parsed(); }
std::string Arguments::name() const { return app_->get_name(); }

bool Arguments::parse(int argc, char** argv, int& code) {
  try {
    app_->parse(argc, argv);
    return true;
  } catch (CLI::ParseError const& e) {
    code = app_->exit(e);
    return false;
  }
}

Arguments program_arguments(std::string const& about) {
  static CLI::App app;
  app.description(about);
  return Arguments{&app};
}

template <typename T>
Argument Arguments::option(std::string const& names, T& value, std::string const& help) {
  auto* const option = app_->add_option(names, value, help);
  if constexpr (std::is_same_v<T, std::filesystem::path> || std::is_same_v<T, std::vector<std::filesystem::path>>) {
    g_paths[option] = true;
  }
  return Argument{option};
}
template Argument Arguments::option(std::string const&, std::string&, std::string const&);
template Argument Arguments::option(std::string const&, std::filesystem::path&, std::string const&);
template Argument Arguments::option(std::string const&, std::vector<std::string>&, std::string const&);
template Argument Arguments::option(std::string const&, std::vector<std::filesystem::path>&, std::string const&);
template Argument Arguments::option(std::string const&, std::optional<std::string>&, std::string const&);
template Argument Arguments::option(std::string const&, int&, std::string const&);
template Argument Arguments::option(std::string const&, u32&, std::string const&);
template Argument Arguments::option(std::string const&, u64&, std::string const&);
template Argument Arguments::option(std::string const&, std::optional<u32>&, std::string const&);
template Argument Arguments::option(std::string const&, std::optional<u64>&, std::string const&);

}  // namespace mm::runner
