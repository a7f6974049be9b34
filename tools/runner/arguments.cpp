// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/arguments.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>

#include "core/base/types.hpp"

namespace mm::runner {

Argument Argument::required() {
  option_->required();
  return *this;
}
Argument Argument::one_of(std::vector<std::string> const& words) {
  option_->check(CLI::IsMember(words));
  return *this;
}
Argument Argument::one_of(std::vector<int> const& numbers) {
  option_->check(CLI::IsMember(numbers));
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
void Arguments::footer(std::string const& text) { app_->footer(text); }
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
  return Argument{app_->add_option(names, value, help)};
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
