// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <span>
#include <string>
#include <vector>

namespace mm::lab {

/// llvm-symbolizer as a process that is asked by lines and answers each with a line of JSON. It is started with the
/// first question and ended with the object. One thread at a time. Its errors are lost; what it is not able to say it
/// says in its answers.
class SymbolizerProcess {
 public:
  /// `program`: found by PATH when it has no slash. `patience`: how long an answer may take.
  SymbolizerProcess(std::string program, std::chrono::milliseconds patience)
      : program_(std::move(program)), patience_(patience) {}
  ~SymbolizerProcess() { end(); }
  SymbolizerProcess(SymbolizerProcess const&) = delete;
  SymbolizerProcess& operator=(SymbolizerProcess const&) = delete;

  /// One answer a question, in their order. The error is a sentence: the program is not there, it ended, or it does not
  /// answer; it has been ended then, and the next call starts it anew.
  std::expected<std::vector<std::string>, std::string> ask(std::span<std::string const> questions);

 private:
  std::expected<void, std::string> start();
  std::expected<void, std::string> say(std::string const& text);
  std::expected<std::string, std::string> line();
  void end() noexcept;

  std::string program_;
  std::chrono::milliseconds patience_;
  pid_t pid_ = -1;
  int socket_ = -1;
  std::string heard_;  ///< behind the last line
};

}  // namespace mm::lab
