// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/fuzzing/smaller_scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "core/abi/platform.hpp"
#include "tools/lab/fuzzing/finding_file.hpp"
#include "tools/lab/fuzzing/minimise.hpp"
#include "tools/lab/judge/check.hpp"
#include "tools/lab/scenario/toml_shape.hpp"
#include "tools/lab/scenario/toml_values.hpp"

namespace mm::lab {
namespace {

constexpr std::array kDataKeys{"text", "hex", "file", "fields", "pad"};

/// Without decimal numbers: those of steps and MMIs change when steps go.
std::string without_numbers(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool const digit = std::isdigit(static_cast<unsigned char>(text[i])) != 0;
    bool const word = i != 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0;
    out += digit && !word ? '#' : text[i];
  }
  return out;
}

bool has_data(toml::table const& t) {
  return std::ranges::any_of(kDataKeys, [&](char const* key) { return t.contains(key); });
}

class Smaller {
 public:
  using Still = std::function<bool(std::string const&)>;
  using Over = std::function<bool(SmallerScenario const&)>;
  Smaller(toml::table root, std::filesystem::path const& file, Still const& still, Over const& over)
      : root_(std::move(root)), values_(file), still_(still), over_(over) {
    abi::BootConfig boot;  // addresses of regions in `fields` are those of the default machine: else the step stays
    boot.ram_bytes = platform::kDefaultRamBytes;
    boot.tseg_bytes = platform::kDefaultTsegBytes;
    values_.set_boot(boot);
    best_.toml = text_of(root_);
    best_.size = size_of(root_);
  }

  SmallerScenario run() {
    std::size_t before = 0;
    do {
      before = weight();
      for (auto const* const key : {"step", "images", "hob"}) {
        drop_elements(key);
      }
      for_each_step([this](std::size_t i) { drop_key(i, "repeat"); });
      for_each_step([this](std::size_t i) { drop_key(i, "expect"); });
      for_each_step([this](std::size_t i) { drop_bytes(data_of(i), attempts(i)); });
    } while (weight() < before && !over());
    for_each_step([this](std::size_t i) { zero_bytes(data_of(i), attempts(i)); });
    return best_;
  }

 private:
  static std::string text_of(toml::table const& root) {
    std::ostringstream out;
    out << root << '\n';
    return out.str();
  }
  ScenarioSize size_of(toml::table const& root) const {
    ScenarioSize size;
    auto const* const steps = root["step"].as_array();
    auto const* const images = root["images"].as_array();
    size.steps = steps == nullptr ? 0 : steps->size();
    size.images = images == nullptr ? 0 : images->size();
    for (std::size_t i = 0; i < size.steps; ++i) {
      size.bytes += bytes_of((*steps)[i].as_table()).size();
    }
    return size;
  }
  std::size_t weight() const { return best_.toml.size(); }
  bool over() const { return over_(best_); }

  /// What a step sends; empty: nothing that can become shorter.
  Bytes bytes_of(toml::table const* step) const {
    if (step == nullptr || !has_data(*step)) {
      return {};
    }
    try {
      return values_.data(*step);
    } catch (TomlProblem const&) {
      return {};
    }
  }
  Bytes data_of(std::size_t step) const { return bytes_of(steps(root_)[step].as_table()); }

  static toml::array const& steps(toml::table const& root) {
    static toml::array const none;
    auto const* const array = root["step"].as_array();
    return array == nullptr ? none : *array;
  }
  template <typename Change>
  void for_each_step(Change const& change) {
    for (std::size_t i = 0; i < steps(root_).size() && !over(); ++i) {
      change(i);
    }
  }

  /// Keeps `candidate` when it shows the same.
  bool take(toml::table candidate) {
    auto text = text_of(candidate);
    if (over() || text == best_.toml) {
      return false;
    }
    ++best_.tries;
    if (!still_(text)) {
      return false;
    }
    root_ = std::move(candidate);
    best_.toml = std::move(text);
    best_.size = size_of(root_);
    return true;
  }
  /// Elements of an array, runs of them first, from the end to the front.
  void drop_elements(char const* key) {
    auto const count = [&] { return root_[key].is_array() ? root_[key].as_array()->size() : 0; };
    for (std::size_t run = std::max<std::size_t>(count() / 2, 1); run != 0; run /= 2) {
      for (std::size_t end = count(); end >= run && end != 0 && !over(); end = std::min(end - run, count())) {
        auto candidate = root_;
        auto* const array = candidate[key].as_array();
        auto const to = array->cbegin() + static_cast<std::ptrdiff_t>(end);
        array->erase(to - static_cast<std::ptrdiff_t>(run), to);
        if (array->empty()) {
          candidate.erase(key);
        }
        take(std::move(candidate));
      }
    }
  }
  void drop_key(std::size_t step, char const* key) {
    auto candidate = root_;
    auto* const t = candidate["step"].as_array()->get(step)->as_table();
    if (t != nullptr && t->contains(key)) {
      t->erase(key);
      take(std::move(candidate));
    }
  }
  /// Of the bytes of one step, which become `hex`.
  Attempts attempts(std::size_t step) {
    return {[this] { return over(); },
            [this, step](Bytes const& data) {
              auto candidate = root_;
              auto& t = *candidate["step"].as_array()->get(step)->as_table();
              for (auto const* const key : kDataKeys) {
                t.erase(key);
              }
              if (!data.empty() || t["kind"].value_or(std::string{}) != "communicate") {
                t.insert("hex", hex_digits(data));
              }
              return take(std::move(candidate));
            }};
  }

  toml::table root_;
  TomlValues values_;
  Still const& still_;
  Over const& over_;
  SmallerScenario best_;
};

}  // namespace

std::optional<Shown> shown_by(Prepared const& prepared, MachineRun const& run) {
  auto const found = finding_of(prepared, run, prepared.scenario.steps.size(), 0);
  auto const place = found ? found->finding.key() : "";
  auto const problems = check(prepared, run);
  if (problems.empty()) {
    return found ? std::optional{Shown{"", place}} : std::nullopt;
  }
  auto const& first = problems.front();
  bool const stops = first.what == "the machine" || first.what == "halt";
  auto const what = first.what.empty() ? without_numbers(first.text)
                                       : fmt::format("{} is {}, expected {}", first.what, first.actual, first.expected);
  return Shown{what, stops ? place : ""};
}

std::expected<SmallerScenario, std::string> make_smaller(std::string_view toml, std::filesystem::path const& file,
                                                         std::function<bool(std::string const&)> const& still,
                                                         std::function<bool(SmallerScenario const&)> const& over) {
  if (auto const shape = toml_shape_problem(toml)) {
    return std::unexpected(fmt::format("{}:{}: {}", file.string(), shape->line, shape->text));
  }
  try {
    return Smaller{toml::parse(toml, file.string()), file, still, over}.run();
  } catch (toml::parse_error const& e) {
    return std::unexpected(fmt::format("{}:{}: {}", file.string(), e.source().begin.line, e.description()));
  }
}

}  // namespace mm::lab
