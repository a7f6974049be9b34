// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/policy/blob.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "tools/lab/policy/earlier_index.hpp"
#include "tools/lab/policy/names.hpp"

namespace mm::policy_tools {
namespace {

using policy::Problem;
using policy::Type;

void put(Bytes& to, u64 value, unsigned width) {
  for (unsigned i = 0; i < width; ++i) {
    to.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
}

void put_entry(Bytes& to, Type type, Entry const& e) {
  switch (type) {
    case Type::Mem:
      put(to, e.base, 8);
      put(to, e.size, 8);
      put(to, e.attributes, 4);
      return put(to, 0, 4);
    case Type::Io:
      put(to, e.base, 2);
      put(to, e.size, 2);
      put(to, e.attributes, 2);
      return put(to, 0, 2);
    case Type::Msr:
      put(to, e.base, 4);
      put(to, e.size, 2);
      return put(to, e.attributes, 2);
    case Type::Instruction:
      put(to, e.base, 2);
      put(to, e.attributes, 2);
      return put(to, 0, 4);
    case Type::SaveState:
      put(to, e.base, 4);
      put(to, e.attributes, 4);
      put(to, e.condition, 4);
      return put(to, 0, 4);
  }
}

Entry get_entry(policy::View v, Type type, u64 at) {
  Entry e;
  e.place.offset = at;
  switch (type) {
    case Type::Mem:
      e.base = v.get<u64>(at);
      e.size = v.get<u64>(at + 8);
      e.attributes = v.get<u32>(at + 16);
      break;
    case Type::Io:
      e.base = v.get<u16>(at);
      e.size = v.get<u16>(at + 2);
      e.attributes = v.get<u16>(at + 4);
      break;
    case Type::Msr:
      e.base = v.get<u32>(at);
      e.size = v.get<u16>(at + 4);
      e.attributes = v.get<u16>(at + 6);
      break;
    case Type::Instruction:
      e.base = v.get<u16>(at);
      e.attributes = v.get<u16>(at + 2);
      break;
    case Type::SaveState:
      e.base = v.get<u32>(at);
      e.attributes = v.get<u32>(at + 4);
      e.condition = v.get<u32>(at + 8);
      break;
  }
  return e;
}

/// Without a sound frame there are no roots and entries to show.
bool breaks_the_frame(Problem p) { return p != Problem::None && p < Problem::DescriptorReserved; }

struct Field {
  u64 offset;
  std::string_view name;
};
std::string_view field_in(std::span<Field const> fields, u64 offset) {
  std::string_view name = fields.front().name;
  for (auto const& f : fields) {
    name = f.offset <= offset ? f.name : name;
  }
  return name;
}

constexpr Field kHeaderFields[] = {
    {0, "VersionMinor"}, {2, "VersionMajor"},  {4, "Size"},      {8, "MemoryPolicyOffset"}, {12, "MemoryPolicyCount"},
    {16, "Flags"},       {20, "Capabilities"}, {24, "Reserved"}, {32, "PolicyRootOffset"},  {36, "PolicyRootCount"}};
constexpr Field kRootFields[] = {{0, "Version"}, {4, "PolicyRootSize"}, {8, "Type"},     {12, "Offset"},
                                 {16, "Count"},  {20, "AccessAttr"},    {21, "Reserved"}};
constexpr Field kMemFields[] = {{0, "BaseAddress"}, {8, "Size"}, {16, "MemAttributes"}, {20, "Reserved"}};
constexpr Field kIoFields[] = {{0, "IoAddress"}, {2, "LengthOrWidth"}, {4, "Attributes"}, {6, "Reserved"}};
constexpr Field kMsrFields[] = {{0, "MsrAddress"}, {4, "Length"}, {6, "Attributes"}};
constexpr Field kInstructionFields[] = {{0, "InstructionIndex"}, {2, "Attributes"}, {4, "Reserved"}};
constexpr Field kSaveStateFields[] = {{0, "MapField"}, {4, "Attributes"}, {8, "AccessCondition"}, {12, "Reserved"}};

std::span<Field const> descriptor_fields(u32 type) {
  constexpr std::array<std::span<Field const>, 6> kFieldsOf{
      std::span<Field const>{}, kMemFields, kIoFields, kMsrFields, kInstructionFields, kSaveStateFields};
  return kFieldsOf[type];
}

}  // namespace

Bytes encode(Policy const& policy) {
  Bytes body;
  std::vector<u64> offsets;
  u64 const body_at = policy::kHeaderSize + policy::kRootSize * policy.roots.size();
  for (auto const& root : policy.roots) {
    offsets.push_back(body_at + body.size());
    for (auto const& entry : root.entries) {
      put_entry(body, root.type, entry);
    }
  }
  Bytes out;
  put(out, 0x0001'0000, 4);
  put(out, body_at + body.size(), 4);
  put(out, 0, 8);  // memory policy, legacy
  put(out, 0, 8);  // flags, capabilities
  put(out, 0, 8);  // reserved
  put(out, policy::kHeaderSize, 4);
  put(out, policy.roots.size(), 4);
  for (std::size_t i = 0; i < policy.roots.size(); ++i) {
    auto const& root = policy.roots[i];
    put(out, 1, 4);
    put(out, policy::kRootSize, 4);
    put(out, static_cast<u32>(root.type), 4);
    put(out, offsets[i], 4);
    put(out, root.entries.size(), 4);
    put(out, root.deny ? 1 : 0, 4);
  }
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

std::expected<Policy, Remark> decode(std::span<std::byte const> blob) {
  auto const finding = policy::validate<EarlierIndex>(blob);
  if (breaks_the_frame(finding.problem)) {
    return std::unexpected(Remark{{.line = {}, .offset = finding.offset}, std::string{problem_text(finding.problem)}});
  }
  policy::View const view{blob};
  Policy out;
  for (u32 i = 0; i < view.root_count(); ++i) {
    auto const raw = view.root(i);
    Root root{.type = Type{raw.type},
              .deny = raw.access_attr == static_cast<u8>(policy::AccessAttr::DenyList),
              .entries = {},
              .place = {.line = {}, .offset = view.root_at(i)},
              .comments = {}};
    for (u64 n = 0; n < raw.count; ++n) {
      root.entries.push_back(get_entry(view, root.type, raw.offset + n * policy::descriptor_size(raw.type)));
    }
    out.roots.push_back(std::move(root));
  }
  return out;
}

std::optional<Remark> refusal(std::span<std::byte const> blob) {
  auto const finding = policy::validate<EarlierIndex>(blob);
  if (finding.problem == Problem::None && policy::View{blob}.size() > policy::kMaxBytes) {
    return Remark{
        {.line = {}, .offset = 4},
        fmt::format("the policy has {} bytes, and the supervisor takes {}: join entries that are next to each "
                    "other, and take out what no driver uses",
                    policy::View{blob}.size(), policy::kMaxBytes)};
  }
  if (finding.problem == Problem::None) {
    return std::nullopt;
  }
  return Remark{{.line = {}, .offset = finding.offset}, std::string{problem_text(finding.problem)}};
}

std::string_view problem_text(Problem problem) noexcept {
  switch (problem) {
    case Problem::None:
      return "nothing is wrong";
    case Problem::TooShort:
      return "a V1.0 policy starts with a header of 40 bytes, and there are fewer";
    case Problem::Version:
      return "the version is not 1.0";
    case Problem::HeaderReserved:
      return "MemoryPolicyCount, Flags, Capabilities and Reserved of the header must be 0";
    case Problem::DeclaredSize:
      return "Size is below 40, or more than the bytes there are";
    case Problem::RootArray:
      return "PolicyRootOffset and PolicyRootCount lead outside Size";
    case Problem::UnknownType:
      return "the Type of a root must be 1 (MEM), 2 (IO), 3 (MSR), 4 (INSTRUCTION) or 5 (SAVE_STATE)";
    case Problem::DuplicateType:
      return "there is a root of this Type already";
    case Problem::RootReserved:
      return "the reserved bytes of a root must be 0";
    case Problem::AccessAttribute:
      return "the AccessAttr of a root must be 0 (allow list) or 1 (deny list)";
    case Problem::DescriptorArray:
      return "Offset and Count of a root lead outside Size";
    case Problem::SizeSum:
      return "Size is not the sum of header, roots and entries: there are gaps, or two roots share entries";
    case Problem::DescriptorReserved:
      return "the reserved field of an entry must be 0";
    case Problem::EmptyOrWrapping:
      return "the entry covers nothing, or goes beyond the last port, MSR or address";
    case Problem::Overlap:
      return "the entry overlaps an earlier one of its list";
    case Problem::DuplicateInstruction:
      return "there is an entry for this instruction already";
    case Problem::DuplicateField:
      return "there is an entry for this save-state field already";
    case Problem::SaveStateWrite:
      return "a save-state field cannot be written: Write and LimitedWrite are not allowed";
    case Problem::SaveStateReadTwice:
      return "an entry has either Read or LimitedRead";
    case Problem::SaveStateCondition:
      return "an AccessCondition needs LimitedRead";
  }
  return "unknown";
}

std::string field_at(std::span<std::byte const> blob, u64 offset) {
  if (offset < policy::kHeaderSize) {
    return fmt::format("{} of the header", field_in(kHeaderFields, offset));
  }
  policy::View const view{blob};
  for (u32 i = 0; i < view.root_count(); ++i) {
    if (offset - view.root_at(i) < policy::kRootSize) {
      return fmt::format("{} of root {}", field_in(kRootFields, offset - view.root_at(i)), i + 1);
    }
    auto const root = view.root(i);
    u64 const step = policy::descriptor_size(root.type);
    if (offset >= root.offset && offset - root.offset < root.count * step) {
      u64 const at = offset - root.offset;
      return fmt::format("{} of {} entry {}", field_in(descriptor_fields(root.type), at % step),
                         category_name(Type{root.type}), at / step + 1);
    }
  }
  return "a byte that belongs to nothing";
}

}  // namespace mm::policy_tools
