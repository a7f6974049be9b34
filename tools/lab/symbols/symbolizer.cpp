// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/symbolizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/lab/text/terminal.hpp"

namespace mm::lab {
namespace {

using nlohmann::json;

constexpr u64 kNearby = 48;  ///< bytes around code without a line in which one is looked for
constexpr std::chrono::seconds kPatience{30};

std::string text_of(json const& object, char const* key) {
  auto const at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string{};
}
u32 number_of(json const& object, char const* key) {
  auto const at = object.find(key);
  return at != object.end() && at->is_number_unsigned() ? static_cast<u32>(at->get<u64>()) : 0;
}

/// The frames of an answer; none when it says that it knows nothing, or is malformed.
std::vector<CodeFrame> parse_answer(std::string const& answer, u64 base) {
  std::vector<CodeFrame> out;
  auto const parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("Symbol") || !parsed["Symbol"].is_array()) {
    return out;
  }
  for (auto const& one : parsed["Symbol"]) {
    if (!one.is_object()) {
      continue;
    }
    CodeFrame frame{readable_name(text_of(one, "FunctionName")), text_of(one, "FileName"), number_of(one, "Line"), 0,
                    number_of(one, "StartLine")};
    auto const start = std::strtoull(text_of(one, "StartAddress").c_str(), nullptr, 16);
    frame.start = start > base ? start - base : 0;
    if (!frame.function.empty() || frame.line != 0) {
      out.push_back(std::move(frame));
    }
  }
  return out;
}

std::string question(DebugFile const& debug, u64 offset) {
  auto const path = debug.object.string();
  char const quote = path.find('"') == std::string::npos ? '"' : '\'';
  return fmt::format("{}{}{} {:#x}", quote, path, quote, debug.base + offset);
}

/// "./build/x/./sub/a.c", as a folder of a build that was named "." leaves it, without its first part when the rest is
/// a file here.
std::string shortened(std::string file) {
  auto const again = file.find("/./");
  if (file.starts_with("./") && again != std::string::npos) {
    file.erase(0, again + 1);
  }
  return file.starts_with("./") ? file.substr(2) : file;
}

}  // namespace

Symbolizer& symbolizer() {
  static Symbolizer one{[] {
                          char const* const named = std::getenv("MM_SYMBOLIZER");
                          return std::string{named != nullptr && *named != 0 ? named : "llvm-symbolizer-19"};
                        }(),
                        kPatience};
  return one;
}

void Symbolizer::map_sources(std::string from, std::string to) {
  std::scoped_lock const lock{mutex_};
  sources_.emplace_back(std::move(from), std::move(to));
}

std::string Symbolizer::trouble() const {
  std::scoped_lock const lock{mutex_};
  return trouble_;
}

std::string Symbolizer::told(std::string file) const {
  file = shortened(std::move(file));
  for (auto const& [from, to] : sources_) {
    if (file.starts_with(from)) {
      return to + file.substr(from.size());
    }
  }
  return file;
}

Symbolizer::Known& Symbolizer::known(ImageFile const& image) {
  auto const [at, is_new] = images_.try_emplace({image.file, image.content ? fnv1a(*image.content) : 0});
  if (is_new) {
    at->second.debug = find_debug_file(image);
    at->second.map = LinkMap::load(find_map_file(image));
  }
  return at->second;
}

std::vector<std::vector<CodeFrame>> Symbolizer::ask(DebugFile const& debug, std::span<u64 const> offsets) {
  std::vector<Frames> out(offsets.size());
  bool const can_be_said = debug.object.string().find('\n') == std::string::npos;
  if (!trouble_.empty() || !can_be_said) {
    return out;
  }
  std::vector<std::string> questions;
  for (u64 const offset : offsets) {
    questions.push_back(question(debug, offset));
  }
  auto const answers = process_.ask(questions);
  if (!answers) {
    trouble_ = answers.error() + ": places in images are told as offsets and by linker maps";
    return out;
  }
  for (std::size_t i = 0; i < answers->size(); ++i) {
    out[i] = parse_answer((*answers)[i], debug.base);
  }
  return out;
}

/// Code that the compiler made up has line 0: that of its neighbour in the same function is given.
void Symbolizer::mend_line(DebugFile const& debug, u64 offset, Frames& frames) {
  if (frames.empty() || frames.front().line != 0 || frames.front().file.empty()) {
    return;
  }
  std::vector<u64> near;
  for (u64 step = 1; step <= kNearby; ++step) {
    if (offset >= step) {
      near.push_back(offset - step);
    }
  }
  for (u64 step = 1; step <= kNearby; ++step) {
    near.push_back(offset + step);
  }
  for (auto& other : ask(debug, near)) {
    if (!other.empty() && other.front().line != 0 && other.back().function == frames.back().function) {
      frames = std::move(other);
      return;
    }
  }
}

std::vector<CodeFrame> Symbolizer::by_map(Known const& image, u64 offset) const {
  auto const found = image.map.at(offset);
  return found ? Frames{{found->name, {}, 0, found->start, 0}} : Frames{};
}

std::vector<std::vector<CodeFrame>> Symbolizer::frames(ImageFile const& image, std::span<u64 const> offsets) {
  std::scoped_lock const lock{mutex_};
  bool const alone = offsets.size() == 1;  // for a whole image it would be asked a hundred times as much
  Known& about = known(image);
  std::vector<u64> missing;
  for (u64 const offset : offsets) {
    if (!about.frames.contains(offset)) {
      missing.push_back(offset);
    }
  }
  auto answers = about.debug ? ask(*about.debug, missing) : std::vector<Frames>(missing.size());
  for (std::size_t i = 0; i < missing.size(); ++i) {
    Frames& found = answers[i];
    if (about.debug && alone) {
      mend_line(*about.debug, missing[i], found);
    }
    if (found.empty()) {
      found = by_map(about, missing[i]);
    }
    for (auto& frame : found) {  // as an image says it, which may be anybody's
      frame.function = without_controls(frame.function);
      frame.file = without_controls(told(std::move(frame.file)));
    }
    about.frames[missing[i]] = std::move(found);
  }
  std::vector<Frames> out;
  for (u64 const offset : offsets) {
    out.push_back(about.frames[offset]);
  }
  if (!alone) {
    about.frames.clear();
  }
  return out;
}

std::string frames_text(std::span<CodeFrame const> frames, u64 offset) {
  std::string out;
  for (auto const& frame : frames) {
    out += out.empty() ? "" : ", inlined in ";
    out += frame.function.empty() ? "code" : frame.function;
    if (frame.line != 0 && !frame.file.empty()) {
      out += fmt::format(" at {}:{}", frame.file, frame.line);
    } else if (frame.start != 0 && frames.size() == 1) {
      out += fmt::format("+{:#x}", offset - frame.start);
    }
  }
  return out;
}

}  // namespace mm::lab
