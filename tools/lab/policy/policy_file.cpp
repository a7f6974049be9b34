// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/policy_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/image/fv.hpp"
#include "tools/lab/policy/blob.hpp"
#include "tools/lab/policy/names.hpp"
#include "tools/lab/policy/xml.hpp"

namespace mm::policy_tools {
namespace {

using View = std::span<std::byte const>;

struct Wrapped {
  View blob;
  std::string wrapping;
};

Remark wrong(std::string text, std::optional<u64> offset = {}) {
  return {{.line = {}, .offset = offset}, std::move(text)};
}
Remark wrong(image::FvError const& e) { return wrong(std::string{image::problem_text(e.problem)}, e.offset); }

u64 number(View from, u64 at, unsigned width) {
  u64 value = 0;
  for (unsigned i = 0; i < width && at + i < from.size(); ++i) {
    value |= std::to_integer<u64>(from[at + i]) << (8 * i);
  }
  return value;
}

bool is_section(View bytes) {
  return bytes.size() >= 4 && number(bytes, 3, 1) == image::section_type::kRaw &&
         (number(bytes, 0, 3) == 0xFF'FFFF || (number(bytes, 0, 3) >= 4 && number(bytes, 0, 3) <= bytes.size()));
}

std::expected<Wrapped, Remark> from_sections(View stream, std::string wrapping) {
  auto const section = image::find_section(stream, image::section_type::kRaw);
  if (!section) {
    return std::unexpected(wrong(section.error()));
  }
  if (!*section) {
    return std::unexpected(wrong("the policy file has no RAW section"));
  }
  return Wrapped{(*section)->body, std::move(wrapping)};
}

std::expected<Wrapped, Remark> unwrap(View bytes) {
  if (number(bytes, 0, 4) == 0x0001'0000) {
    return Wrapped{bytes, ""};
  }
  if (is_section(bytes)) {
    return from_sections(bytes, "RAW section");
  }
  u64 const version = number(bytes, 0, 4);
  if (version == 1 || version == 2) {
    return std::unexpected(wrong(
        fmt::format("a policy of the older format V{}: only V1.0 (first bytes 00 00 01 00) is read", version), 0));
  }
  return Wrapped{bytes, ""};  // decode() says what is wrong with it
}

std::expected<PolicyFile, Remark> from_xml(View bytes) {
  auto read = read_xml({reinterpret_cast<char const*>(bytes.data()), bytes.size()});
  if (!read) {
    return std::unexpected(read.error());
  }
  auto blob = encode(read->policy);
  return PolicyFile{.policy = std::move(read->policy),
                    .blob = std::move(blob),
                    .xml = true,
                    .wrapping = {},
                    .warnings = std::move(read->warnings)};
}

/// The line of the root or entry that the compiled blob holds at this offset.
Place place_in_source(PolicyFile const& file, u64 offset) {
  auto const compiled = decode(file.blob).value_or(Policy{});
  for (std::size_t r = 0; r < compiled.roots.size(); ++r) {
    auto const& source = file.policy.roots[r];
    if (compiled.roots[r].place.offset == offset) {
      return source.place;
    }
    auto const at =
        std::ranges::find(compiled.roots[r].entries, offset, [](Entry const& e) { return e.place.offset.value_or(0); });
    if (at != compiled.roots[r].entries.end()) {
      return source.entries[static_cast<std::size_t>(at - compiled.roots[r].entries.begin())].place;
    }
  }
  return {};
}

}  // namespace

bool looks_like_xml(View bytes) {
  using namespace std::string_view_literals;
  std::string_view text{reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  text.remove_prefix(text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  auto const first = text.find_first_not_of(" \t\r\n");
  bool const utf16 = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || text.starts_with("\0<"sv);
  return utf16 || (first != std::string_view::npos && text[first] == '<');
}

std::expected<PolicyFile, Remark> read_policy(View bytes) {
  if (looks_like_xml(bytes)) {
    return from_xml(bytes);
  }
  auto const wrapped = unwrap(bytes);
  if (!wrapped) {
    return std::unexpected(wrapped.error());
  }
  auto policy = decode(wrapped->blob);
  if (!policy) {
    auto why = policy.error();
    if (number(wrapped->blob, 0, 4) != 0x0001'0000) {
      why = wrong("neither an XML policy source nor a V1.0 policy (which starts with the bytes 00 00 01 00)", 0);
    }
    return std::unexpected(std::move(why));
  }
  PolicyFile out{.policy = std::move(*policy), .blob = {}, .xml = false, .wrapping = wrapped->wrapping, .warnings = {}};
  auto const declared = wrapped->blob.first(policy::View{wrapped->blob}.size());
  out.blob.assign(declared.begin(), declared.end());
  if (u64 const rest = wrapped->blob.size() - declared.size(); rest != 0 && wrapped->wrapping.empty()) {
    out.warnings.push_back(wrong(fmt::format("{} bytes after the policy are ignored", rest), declared.size()));
  }
  return out;
}

std::optional<Remark> refusal(PolicyFile const& file) {
  auto why = refusal(file.blob);
  if (why && file.xml) {
    why->place = place_in_source(file, *why->place.offset);
  }
  return why;
}

}  // namespace mm::policy_tools
