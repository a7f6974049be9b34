// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/runner/shell/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace mm::runner {
namespace {

/// Calls f with every command below `program` and the words that lead to it ("policy check").
void each_command(CommandText const& command, std::string const& words,
                  std::function<void(CommandText const&, std::string const&)> const& f) {
  for (auto const& child : command.commands) {
    auto const path = words.empty() ? child.name : words + " " + child.name;
    f(child, path);
    each_command(child, path, f);
  }
}

/// What may follow a command: its sub-commands, its options, the words of its positionals.
std::string words_behind(CommandText const& command) {
  std::string out;
  auto const add = [&out](std::string const& word) { out += out.empty() ? word : " " + word; };
  for (auto const& child : command.commands) {
    add(child.name);
  }
  for (auto const& option : command.options) {
    for (auto const& word : option.positional ? option.choices : option.names) {
      add(word);
    }
  }
  return out;
}

/// Text inside single quotes of a shell.
std::string quoted(std::string const& text) {
  std::string out = "'";
  for (char const c : text) {
    out += c == '\'' ? std::string{"'\\''"} : std::string{c};
  }
  return out + "'";
}

std::string first_sentence(std::string const& text) {
  auto const end = text.find_first_of(".;\n");
  return text.substr(0, end);
}

std::string joined(std::vector<std::string> const& words, std::string_view by) {
  std::string out;
  for (auto const& word : words) {
    out += out.empty() ? word : std::string{by} + word;
  }
  return out;
}

/// "mmsim run" -> cases of bash: words behind it, and words behind its options.
std::string bash_cases(CommandText const& command, std::string const& path) {
  std::string out = fmt::format("    {})\n      words={}\n", quoted(path), quoted(words_behind(command)));
  std::string options;
  for (auto const& option : command.options) {
    if (!option.positional && !option.choices.empty()) {
      options +=
          fmt::format("        {}) words={} ;;\n", joined(option.names, "|"), quoted(joined(option.choices, " ")));
    }
  }
  out += options.empty() ? "" : fmt::format("      case $previous in\n{}      esac\n", options);
  return out + "      ;;\n";
}

std::string zsh_spec(OptionText const& option) {
  auto help = first_sentence(option.help);
  std::erase_if(help, [](char c) { return c == '[' || c == ']' || c == ':'; });
  std::string what;
  if (option.takes_value) {
    what = !option.choices.empty() ? fmt::format(":value:({})", joined(option.choices, " ")) : ":value:_files";
  }
  std::string out;
  for (auto const& name : option.names) {
    out += fmt::format(" \\\n        {}", quoted(fmt::format("*{}[{}]{}", name, help, what)));
  }
  return out;
}

/// Text as man(7) takes it: a line that begins with a dot or a quote is text, and a backslash is one.
std::string man_text(std::string const& text) {
  std::string out;
  bool at_start = true;
  for (char const c : text) {
    if (at_start && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    out += c == '\\' ? std::string{"\\e"} : c == '-' ? std::string{"\\-"} : std::string{c};
    at_start = c == '\n';
  }
  return out;
}

std::string man_options(CommandText const& command) {
  std::string out;
  for (auto const& option : command.options) {
    out += fmt::format(".TP\n.B {}{}\n{}\n", man_text(joined(option.names, ", ")),
                       option.takes_value && !option.positional ? " \\fIvalue\\fP" : "", man_text(option.help));
    if (!option.choices.empty()) {
      out += fmt::format("One of: {}.\n", man_text(joined(option.choices, ", ")));
    }
  }
  return out;
}

std::string man_footer(CommandText const& command) {
  return command.footer.empty() ? "" : fmt::format(".PP\n.nf\n{}\n.fi\n", man_text(command.footer));
}

}  // namespace

std::string bash_completion(CommandText const& program) {
  std::string commands, cases = bash_cases(program, "");
  each_command(program, "", [&](CommandText const& command, std::string const& path) {
    commands += fmt::format("      {}) path=$next ;;\n", quoted(path));
    cases += bash_cases(command, path);
  });
  return fmt::format(R"(# bash completion of {0}
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} path= next= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next=${{path:+$path }}${{COMP_WORDS[i]}}
    case $next in
{1}    esac
  done
  case $path in
{2}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  ((${{#COMPREPLY[@]}})) || compopt -o default
}}
complete -F _{0} {0}
)",
                     program.name, commands, cases);
}

std::string zsh_completion(CommandText const& program) {
  std::string cases;
  std::string names;
  for (auto const& command : program.commands) {
    names += fmt::format("    {}\n", quoted(fmt::format("{}:{}", command.name, first_sentence(command.help))));
  }
  each_command(program, "", [&](CommandText const& command, std::string const& path) {
    std::string specs, below;
    for (auto const& option : command.options) {
      specs += option.positional ? "" : zsh_spec(option);
    }
    auto const words =
        words_behind({.name = {}, .help = {}, .footer = {}, .options = {}, .commands = command.commands});
    below = words.empty() ? "'*:file:_files'" : fmt::format("'*::command:({})'", words);
    cases += fmt::format("    {})\n      _arguments -s{} \\\n        {}\n      ;;\n", quoted(path), specs, below);
  });
  return fmt::format(R"(#compdef {0}
_{0}() {{
  local -a names=(
{1}  )
  if ((CURRENT == 2)); then
    _describe command names
    return
  fi
  local path=$words[2]
  [[ $path == policy && CURRENT -gt 3 ]] && path="$path $words[3]"
  case $path in
{2}  esac
}}
_{0} "$@"
)",
                     program.name, names, cases);
}

std::string fish_completion(CommandText const& program) {
  std::string out =
      fmt::format("# fish completion of {}\ncomplete -c {} -n __fish_use_subcommand -f\n", program.name, program.name);
  for (auto const& command : program.commands) {
    out += fmt::format("complete -c {} -n __fish_use_subcommand -f -a {} -d {}\n", program.name, command.name,
                       quoted(first_sentence(command.help)));
  }
  each_command(program, "", [&](CommandText const& command, std::string const& path) {
    auto const condition = quoted("__fish_seen_subcommand_from " + path.substr(path.rfind(' ') + 1));
    for (auto const& child : command.commands) {
      out += fmt::format("complete -c {} -n {} -f -a {} -d {}\n", program.name, condition, child.name,
                         quoted(first_sentence(child.help)));
    }
    for (auto const& option : command.options) {
      std::string names;
      for (auto const& name : option.names) {
        names += name.starts_with("--")  ? " -l " + name.substr(2)
                 : name.starts_with('-') ? " -s " + name.substr(1)
                                         : "";
      }
      auto const takes = !option.takes_value      ? std::string{}
                         : option.choices.empty() ? std::string{" -r"}
                                                  : " -x -a " + quoted(joined(option.choices, " "));
      if (!names.empty()) {
        out += fmt::format("complete -c {} -n {}{}{} -d {}\n", program.name, condition, names, takes,
                           quoted(first_sentence(option.help)));
      } else if (!option.choices.empty()) {
        out +=
            fmt::format("complete -c {} -n {} -a {}\n", program.name, condition, quoted(joined(option.choices, " ")));
      }
    }
  });
  return out;
}

std::string manual_page(CommandText const& program, std::string const& version) {
  std::string out = fmt::format(
      ".TH {} 1 \"\" \"{}\" \"User Commands\"\n.SH NAME\n{} \\- runs MMI scenarios on a simulated machine and on QEMU\n"
      ".SH SYNOPSIS\n.B {}\n.I command\n[options]\n.SH DESCRIPTION\n{}\n.SH OPTIONS\n{}.SH COMMANDS\n",
      [&] {
        auto name = program.name;
        std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
        return name;
      }(),
      man_text(version), program.name, program.name, man_text(program.help), man_options(program));
  each_command(program, "", [&](CommandText const& command, std::string const& path) {
    out += fmt::format(".SS {} {}\n{}\n{}{}", program.name, path, man_text(command.help), man_options(command),
                       man_footer(command));
  });
  return out + ".SH EXAMPLES\n" + man_footer(program);
}

}  // namespace mm::runner
