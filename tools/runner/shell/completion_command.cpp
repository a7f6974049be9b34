// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <iostream>
#include <memory>

#include "tools/runner/commands.hpp"
#include "tools/runner/shell/completion.hpp"
#include "tools/runner/shell/version.hpp"

namespace mm::runner {

Command add_completion_command(Arguments program) {
  auto const kind = std::make_shared<std::string>();
  auto completion = program.command("completion", "Print completions for a shell, or the manual page");
  completion.option("KIND", *kind, "For whom")
      .required()
      .one_of(std::vector<std::string>{"bash", "zsh", "fish", "man"});
  completion.footer(
      "The packages bring all four. From a build:\n"
      "  source <(mmsim completion bash)                               this shell\n"
      "  mmsim completion fish > ~/.config/fish/completions/mmsim.fish\n"
      "  mmsim completion zsh > ~/.zfunc/_mmsim                        with ~/.zfunc in fpath\n"
      "  mmsim completion man | man -l -");
  return {completion, [program, kind] {
            auto text = program.describe();
            text.name = "mmsim";
            std::cout << (*kind == "bash"   ? bash_completion(text)
                          : *kind == "zsh"  ? zsh_completion(text)
                          : *kind == "fish" ? fish_completion(text)
                                            : manual_page(text, program_version()));
            return kPassed;
          }};
}

}  // namespace mm::runner
