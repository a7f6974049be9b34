// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/claims/claim.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tools/lab/text/json_text.hpp"
#include "tools/lab/text/terminal.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// What is wrong, and where in the document. Thrown by ClaimReader only; parse_claim() makes it its error.
struct ClaimProblem {
  std::string text;
};

class ClaimReader {
 public:
  explicit ClaimReader(fs::path const& file) : folder_(file.parent_path()) {}

  Claim read(json const& root) {
    only(root, "the claim",
         {"schema", "name", "scenario", "images", "volumes", "policy", "heap_guard", "messages", "message", "does"});
    if (number(root, "schema") != 1) {
      fail("\"schema\": 1 is missing: it is the only version that this program reads");
    }
    Claim c;
    c.name = without_controls(text(root, "name").value_or("a claim"));
    c.heap_guard = flag(root, "heap_guard").value_or(true);
    machine(root, c);
    messages(root, c);
    if (auto const* const does = find(root, "does")) {
      c.does = deed(*does);
    } else {
      fail("\"does\" is missing: what the messages are said to make a driver do");
    }
    return c;
  }

 private:
  [[noreturn]] static void fail(std::string text) { throw ClaimProblem{std::move(text)}; }
  static json const* find(json const& object, std::string_view key) {
    auto const at = object.find(key);
    return at == object.end() ? nullptr : &*at;
  }
  static void only(json const& object, std::string_view where, std::vector<std::string_view> const& keys) {
    if (!object.is_object()) {
      fail(fmt::format("{} is not an object", where));
    }
    for (auto const& [key, value] : object.items()) {
      if (std::ranges::find(keys, key) == keys.end()) {
        auto const near = nearest(key, keys);
        fail(fmt::format("{}: unknown key \"{}\"{}", where, without_controls(key),
                         near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
      }
    }
  }
  static std::optional<std::string> text(json const& object, std::string_view key) {
    auto const* const at = find(object, key);
    if (at != nullptr && !at->is_string()) {
      fail(fmt::format("\"{}\" is not a string", key));
    }
    return at == nullptr ? std::nullopt : std::optional{at->get<std::string>()};
  }
  static std::optional<bool> flag(json const& object, std::string_view key) {
    auto const* const at = find(object, key);
    if (at != nullptr && !at->is_boolean()) {
      fail(fmt::format("\"{}\" is neither true nor false", key));
    }
    return at == nullptr ? std::nullopt : std::optional{at->get<bool>()};
  }
  /// A number, or a string with a hexadecimal one (0x) of 64 bits.
  static std::optional<u64> number(json const& object, std::string_view key) {
    auto const* const at = find(object, key);
    if (at == nullptr) {
      return std::nullopt;
    }
    if (at->is_number_unsigned()) {
      return at->get<u64>();
    }
    auto const word = at->is_string() ? at->get<std::string>() : std::string{};
    u64 value = 0;
    auto const* const end = word.data() + word.size();
    bool const hexadecimal = word.starts_with("0x") && word.size() > 2;
    if (!hexadecimal || std::from_chars(word.data() + 2, end, value, 16) != std::from_chars_result{end, std::errc{}}) {
      fail(fmt::format("\"{}\" is neither a number from 0 on nor a string like \"0x1000\"", key));
    }
    return value;
  }
  static std::vector<std::string> texts(json const& object, std::string_view key) {
    std::vector<std::string> out;
    auto const* const at = find(object, key);
    if (at != nullptr && !at->is_array()) {
      fail(fmt::format("\"{}\" is not an array", key));
    }
    for (auto const& one : at == nullptr ? json::array() : *at) {
      if (!one.is_string()) {
        fail(fmt::format("\"{}\" has something in it that is not a string", key));
      }
      out.push_back(one.get<std::string>());
    }
    return out;
  }
  fs::path path(std::string const& name) const {
    if (name.empty() || name.find('\0') != std::string::npos) {
      fail("a path is empty, or has a zero in it");
    }
    return fs::path{name}.is_absolute() ? fs::path{name} : folder_ / name;
  }

  void machine(json const& root, Claim& c) const {
    if (auto const scenario = text(root, "scenario")) {
      c.scenario = path(*scenario);
    }
    for (auto const& image : texts(root, "images")) {
      auto const colon = image.rfind(':');
      auto const depex = colon == std::string::npos ? std::string{} : image.substr(colon + 1);
      c.images.push_back(path(image.substr(0, colon)).string() + (depex.empty() ? "" : ":" + path(depex).string()));
    }
    for (auto const& volume : texts(root, "volumes")) {
      c.volumes.push_back(path(volume));
    }
    if (auto const policy = text(root, "policy")) {
      c.policy = path(*policy);
    }
    bool const parts = !c.images.empty() || !c.volumes.empty();
    if (c.scenario.empty() != parts) {
      fail("the machine is either \"scenario\", or \"images\" and \"volumes\"");
    }
    if (!c.scenario.empty() && !c.policy.empty()) {
      fail("\"scenario\" brings its own policy: no \"policy\"");
    }
  }

  static void messages(json const& root, Claim& c) {
    auto const* const at = find(root, "messages");
    if (at == nullptr || !at->is_array() || at->empty() || at->size() > kMostClaimMessages) {
      fail(fmt::format("\"messages\" is an array of 1 to {} messages", kMostClaimMessages));
    }
    for (std::size_t i = 0; i < at->size(); ++i) {
      auto const where = fmt::format("messages[{}]", i);
      try {
        only((*at)[i], "the message", {"to", "data_hex", "text"});
        c.messages.push_back(message((*at)[i]));
      } catch (ClaimProblem const& p) {
        fail(fmt::format("{}: {}", where, p.text));
      }
    }
    auto const in = number(root, "message");
    if (in && (*in == 0 || *in > c.messages.size())) {
      fail(fmt::format("\"message\": there are messages 1 to {}", c.messages.size()));
    }
    c.message = in.value_or(0);
  }
  static Message message(json const& object) {
    auto const to = text(object, "to");
    auto const hex = text(object, "data_hex");
    auto const plain = text(object, "text");
    if (!to || (hex && plain)) {
      fail("it has \"to\", and \"data_hex\" or \"text\"");
    }
    auto const guid = find_guid(*to);
    auto data = hex ? parse_hex(*hex) : Bytes{};
    if (!guid || !data) {
      fail(guid ? data.error() : without_controls(guid.error()));
    }
    if (plain) {
      append_text(*data, *plain);
    }
    Message out{*guid, std::move(*data), abi::Channel::User};
    if (auto const room = fits(out); !room) {
      fail(room.error());
    }
    return out;
  }

  static ClaimedDeed deed(json const& object) {
    if (!object.is_object()) {
      fail("\"does\" is not an object");
    }
    auto const name = text(object, "what").value_or("");
    auto const known = std::ranges::find(kDeedNames, name, [](auto const& entry) { return entry.first; });
    if (known == kDeedNames.end()) {
      std::string names;
      for (auto const& [one, kind] : kDeedNames) {
        names += fmt::format("{}{}", names.empty() ? "" : ", ", one);
      }
      fail(fmt::format("does: \"what\" is one of {}", names));
    }
    ClaimedDeed d;
    d.what = known->second;
    only(object, "does", keys_of(d.what));
    place(object, d);
    if (d.what == Deed::Leak) {
      auto const hex = text(object, "data_hex");
      auto bytes = parse_hex(hex.value_or(""));
      if (!bytes || (hex && bytes->empty())) {
        fail("does: \"data_hex\" has no bytes in it that could be found");
      }
      d.bytes = std::move(*bytes);
    } else if (d.what == Deed::Oracle) {
      auto const oracle = std::ranges::find(kOracles, text(object, "name").value_or(""), &OracleName::name);
      if (oracle == kOracles.end() || oracle->oracle == lab::Oracle::Repeatability) {
        fail("does: \"name\" is no oracle that looks at messages; fuzz/DRIVER.md has them");
      }
      d.oracle = oracle->oracle;
    }
    return d;
  }
  static std::vector<std::string_view> keys_of(Deed what) {
    switch (what) {
      case Deed::Fault:
        return {"what", "image", "offset", "vector"};
      case Deed::Write:
      case Deed::Read:
      case Deed::CallOut:
        return {"what", "image", "offset", "address", "bytes", "area"};
      case Deed::Hang:
        return {"what", "image"};
      case Deed::Leak:
        return {"what", "data_hex"};
      case Deed::Oracle:
        return {"what", "image", "offset", "name"};
      case Deed::Escape:
        break;
    }
    return {"what"};
  }
  static void place(json const& object, ClaimedDeed& d) {
    d.image = text(object, "image").value_or("");
    d.offset = number(object, "offset");
    d.vector = number(object, "vector");
    if (d.offset && d.image.empty()) {
      fail("does: an \"offset\" is one in an \"image\"");
    }
    auto const address = number(object, "address");
    auto const bytes = number(object, "bytes");
    if (bytes && (!address || *bytes == 0 || *bytes > ~*address)) {
      fail("does: \"bytes\" are some behind an \"address\", and end where addresses do");
    }
    if (address) {
      d.at = Range{*address, bytes.value_or(1)};
    }
    auto const area = text(object, "area");
    if (area && *area != "mmram" && *area != "outside") {
      fail("does: \"area\" is \"mmram\" or \"outside\"");
    }
    d.area = !area ? Area::Anywhere : *area == "mmram" ? Area::Mmram : Area::Outside;
  }

  fs::path folder_;
};

}  // namespace

std::expected<Claim, std::string> parse_claim(std::string_view text, fs::path const& file) {
  try {
    auto const root = json::parse(text);
    return ClaimReader{file}.read(root);
  } catch (ClaimProblem const& p) {
    return std::unexpected(fmt::format("{}: {}", file.string(), p.text));
  } catch (json::exception const& e) {
    return std::unexpected(fmt::format("{}: not JSON: {}", file.string(), without_controls(valid_utf8(e.what()))));
  }
}

}  // namespace mm::lab
