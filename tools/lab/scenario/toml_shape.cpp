// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scenario/toml_shape.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mm::lab {
namespace {

/// Walks the tokens of a TOML text (1.0.0: strings, comments, brackets). Where the text is malformed it may take a
/// string for its end too early or too late, but never past the line of a one-line string: the parser refuses it there.
class ShapeWalk {
 public:
  explicit ShapeWalk(std::string_view text) : text_(text) {}

  std::optional<TomlShapeProblem> run() {
    while (at_ < text_.size() && !problem_) {
      step();
    }
    return problem_;
  }

 private:
  void step() {
    char const c = text_[at_];
    switch (c) {
      case '\n':
        ++line_;
        parts_ = 1;
        break;
      case '#':
        at_ = std::min(text_.find('\n', at_), text_.size());
        return;
      case '"':
      case '\'':
        return string(c);
      case '.':
        if (++parts_ > kMostKeyParts) {
          problem_ = {line_, fmt::format("a key has more than {} parts", kMostKeyParts)};
        }
        break;
      case '[':
      case '{':
        parts_ = 1;
        if (++nesting_ > kMostNesting) {
          problem_ = {line_, fmt::format("more than {} arrays and tables inside one another", kMostNesting)};
        }
        break;
      case ']':
      case '}':
        nesting_ -= nesting_ == 0 ? 0 : 1;
        parts_ = 1;
        break;
      case '=':
      case ',':
        parts_ = 1;
        break;
      default:
        break;
    }
    ++at_;
  }

  void string(char quote) {
    bool const three = text_.substr(at_).starts_with(std::string(3, quote));
    at_ += three ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      char const c = text_[at_];
      if (c == '\\' && quote == '"') {
        ++at_;
        line_ += at_ < text_.size() && text_[at_] == '\n' ? 1 : 0;
      } else if (c == '\n') {
        if (!three) {
          return;  // not closed
        }
        ++line_;
      } else if (c == quote && (!three || text_.substr(at_).starts_with(std::string(3, quote)))) {
        at_ += three ? 3 : 1;
        // Up to two quotes may stand before the three that close the string.
        for (int more = 0; three && more < 2 && at_ < text_.size() && text_[at_] == quote; ++more) {
          ++at_;
        }
        return;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  unsigned parts_ = 1, nesting_ = 0;
  std::optional<TomlShapeProblem> problem_;
};

}  // namespace

std::optional<TomlShapeProblem> toml_shape_problem(std::string_view text) { return ShapeWalk{text}.run(); }

}  // namespace mm::lab
