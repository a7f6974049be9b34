// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/scan/scan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "core/abi/guids.hpp"
#include "core/image/fv.hpp"
#include "core/image/pe.hpp"
#include "core/user/depex.hpp"
#include "tools/lab/firmware/depex_check.hpp"
#include "tools/lab/firmware/image_text.hpp"
#include "tools/lab/firmware/precheck.hpp"
#include "tools/lab/firmware/volume_listing.hpp"
#include "tools/lab/scan/scan_code.hpp"
#include "tools/lab/scan/scan_rules.hpp"

namespace mm::lab {
namespace {

using image::fits;
using image::load_guid;
using image::load_le;
using Span = std::span<std::byte const>;

constexpr u8 kTraditionalMm = 0x0A;  ///< EFI_FV_FILETYPE
constexpr u8 kCombinedMmDxe = 0x0C;

struct KnownGuid {
  Guid guid;
  std::string_view name;
  Rule rule;
};
constexpr Guid kSmmBase2 = "F4CCBFB7-F6E0-47FD-9DD4-10A8F150C191"_guid;
/// Protocols whose GUID in an image says what it uses.
constexpr std::array kForeign{
    KnownGuid{kSmmBase2, "gEfiSmmBase2ProtocolGuid", kModuleType},
    KnownGuid{"11B34006-D85B-4D0A-A290-D5A571310EF7"_guid, "gPcdProtocolGuid", kDynamicPcd},
    KnownGuid{"13A3F0F6-264A-3EF0-F2E0-DEC512342F34"_guid, "gEfiPcdProtocolGuid", kDynamicPcd},
    KnownGuid{"C2702B74-800C-4131-8746-8FB5B89CE4AC"_guid, "gEfiSmmAccess2ProtocolGuid", kDxeProtocol},
    KnownGuid{"843DC720-AB1E-42CB-9357-8A0078F3561B"_guid, "gEfiSmmControl2ProtocolGuid", kDxeProtocol},
    KnownGuid{"4CF5B200-68B8-4CA5-9EEC-B23E3F50029A"_guid, "gEfiPciIoProtocolGuid", kDxeProtocol},
    KnownGuid{"2F707EBB-4A1A-11D4-9A38-0090273FC14D"_guid, "gEfiPciRootBridgeIoProtocolGuid", kDxeProtocol},
    KnownGuid{"1E5668E2-8481-11D4-BCF1-0080C73C8881"_guid, "gEfiVariableArchProtocolGuid", kDxeProtocol},
    KnownGuid{"6441F818-6362-4E44-B570-7DBA31DD2453"_guid, "gEfiVariableWriteArchProtocolGuid", kDxeProtocol},
    KnownGuid{"26BACCB1-6F42-11D4-BCE7-0080C73C8881"_guid, "gEfiCpuArchProtocolGuid", kDxeProtocol},
    KnownGuid{"3FDDA605-A76E-4F46-AD29-12F4531B3D08"_guid, "gEfiMpServiceProtocolGuid", kDxeProtocol},
    KnownGuid{"18A031AB-B443-4D1A-A5C0-0C09261E9F71"_guid, "gEfiDriverBindingProtocolGuid", kDxeProtocol},
    KnownGuid{"09576E91-6D3F-11D2-8E39-00A0C969723B"_guid, "gEfiDevicePathProtocolGuid", kDxeProtocol},
    KnownGuid{"FFE06BDD-6107-46A6-7BB2-5A9C7EC5275C"_guid, "gEfiAcpiTableProtocolGuid", kDxeProtocol},
    KnownGuid{"05AD34BA-6F02-4214-952E-4DA0398E2BB9"_guid, "gEfiDxeServicesTableGuid", kDxeProtocol}};

KnownGuid const* known(Guid const& guid) {
  auto const at = std::ranges::find(kForeign, guid, &KnownGuid::guid);
  return at == kForeign.end() ? nullptr : &*at;
}

/// The headers as they are: an image that the loader refuses is looked at too.
struct RawImage {
  u16 machine = 0, characteristics = 0, subsystem = 0;
  u32 entry = 0, alignment = 0;
  struct Section {
    std::string name;
    u32 rva = 0, virtual_size = 0, raw_size = 0, raw_offset = 0, characteristics = 0;
    u64 header = 0;  ///< offset of its header in the file
  };
  std::vector<Section> sections;
};

std::optional<RawImage> read_raw(Span file) {
  auto const headers = image::PeHeaders::find(file);
  if (!headers || !headers->has_optional_header()) {
    return std::nullopt;
  }
  image::PeOptionalHeader const optional = headers->optional_header();
  RawImage out;
  out.machine = headers->file_header().machine;
  out.characteristics = headers->file_header().characteristics;
  out.subsystem = optional.subsystem;
  out.entry = optional.entry_point;
  out.alignment = optional.section_alignment;
  u32 const count = std::min<u32>(headers->file_header().sections, image::kMaxSections);
  for (u32 i = 0; i < count; ++i) {
    auto const s = headers->section(i);
    if (!s) {
      break;
    }
    u64 const at = headers->section_at(i);
    auto const name = section_name(file, at);
    out.sections.push_back({name.empty() ? "(nameless)" : name, s->rva, s->virtual_size, s->raw_size, s->raw_offset,
                            s->characteristics, at});
  }
  return out;
}

class ImageScan {
 public:
  ImageScan(ScanInput const& input, RawImage raw) : input_(input), file_(input.image), raw_(std::move(raw)) {
    report_.name = input.name;
    report_.subsystem = subsystem_name(raw_.subsystem);
  }

  ScanReport run() {
    headers();
    code();
    foreign_guids();
    services();
    depex();
    module_type();
    std::ranges::sort(report_.findings, {}, [](ScanFinding const& f) {
      return std::tuple{f.rule - kRules.data(), f.offset, std::string_view{f.text}};
    });
    return std::move(report_);
  }

 private:
  void add(Rule rule, std::string text, std::optional<u64> offset = {}, u32 bytes = 0, bool at_start = false) {
    report_.findings.push_back({&kRules[rule], std::move(text), offset, bytes, at_start});
  }

  void headers() {
    bool explained = false;
    if (raw_.alignment < kPageSize || raw_.alignment % kPageSize != 0) {
      add(kAlignment, fmt::format("the section alignment is {:#x}", raw_.alignment));
      explained = true;
    }
    for (auto const& s : raw_.sections) {
      bool const writable = (s.characteristics & 0x8000'0000u) != 0;
      bool const executable = (s.characteristics & 0x2000'0020u) != 0;
      if (writable && executable) {
        add(kRights, fmt::format("section {} is writable and executable", s.name), s.header, 40);
        explained = true;
      }
      if (s.rva % kPageSize != 0 && raw_.alignment >= kPageSize) {
        add(kAlignment, fmt::format("section {} begins at {:#x}, inside a page", s.name, s.rva), s.header, 40);
        explained = true;
      }
    }
    if (auto const pe = image::PeImage::parse(file_); pe) {
      pe->for_each_relocation([&](image::PeRelocation r) { relocation(*pe, r); });
    } else if (!explained) {
      add(kFormat, image::problem_text(pe.error().problem), pe.error().offset, 1);
    }
    if (auto const rsm = check_image(file_); rsm && rsm->rsm_at_boundary) {
      rsm_ = rsm->rsm_at_boundary;
    }
  }

  /// A pointer into code: a handler, or an entry of a table of functions.
  void relocation(image::PeImage const& pe, image::PeRelocation r) {
    for (u32 i = 0; r.width == 8 && i < pe.section_count(); ++i) {
      auto const s = pe.section(i);
      if (r.rva >= s.rva && r.rva - s.rva < s.copy_size) {
        u64 const target = load_le<u64>(pe.section_bytes(i), r.rva - s.rva) - pe.image_base();
        if (target <= UINT32_MAX) {
          roots_.push_back(static_cast<u32>(target));
        }
      }
    }
  }

  void code() {
    constexpr u16 kX64 = 0x8664;
    if (raw_.machine != kX64) {
      return;
    }
    std::vector<CodeSection> sections, all;
    for (auto const& s : raw_.sections) {
      if (s.raw_offset >= file_.size()) {
        continue;
      }
      // What would lie beyond 4 GiB has no address.
      u64 const bytes = std::min({u64{s.virtual_size != 0 ? std::min(s.virtual_size, s.raw_size) : s.raw_size},
                                  file_.size() - s.raw_offset, (u64{1} << 32) - s.rva});
      all.push_back({s.name, s.rva, s.raw_offset, file_.subspan(s.raw_offset, static_cast<std::size_t>(bytes))});
      if ((s.characteristics & 0x2000'0020u) != 0) {
        sections.push_back(all.back());
      }
    }
    facts_ = scan_code(sections, all, raw_.entry, roots_);
    for (auto const& finding : facts_.findings) {
      report(finding, sections);
    }
    auto const told = [this](Rule rule) {
      return std::ranges::any_of(report_.findings, [rule](ScanFinding const& f) { return f.rule == &kRules[rule]; });
    };
    if (rsm_ && !told(kRsm)) {
      add(kRsm, fmt::format("rsm at image offset {:#x}", *rsm_));
    }
    if (!facts_.complete) {
      add(kIncomplete, "the paths through this image are too many");
    }
  }

  void report(CodeFinding const& finding, std::vector<CodeSection> const& sections) {
    Rule rule = kPrivileged;
    switch (finding.kind) {
      case CodeKind::Privileged:
        break;
      case CodeKind::Policy:
        rule = kPolicy;
        break;
      case CodeKind::Rsm:
        rule = kRsm;
        break;
      case CodeKind::RsmBytes:
        rule = rsm_ == finding.rva ? kRsm : kRsmBytes;
        break;
      case CodeKind::Umip:
        rule = kUmip;
        break;
      case CodeKind::LockForm:
        rule = kLockForm;
        break;
      case CodeKind::Device:
        rule = kDevice;
        break;
      case CodeKind::Unreached:
        rule = kUnreached;
        break;
    }
    if (++counts_[rule] > kMostOfARule) {
      return;
    }
    auto const section = std::ranges::find_if(
        sections, [&](CodeSection const& s) { return finding.rva - s.rva < s.bytes.size() && finding.rva >= s.rva; });
    auto const place = section == sections.end() ? fmt::format("{:#x}", finding.rva)
                                                 : fmt::format("{}+{:#x}", section->name, finding.rva - section->rva);
    add(rule, fmt::format("{} at {}{}", finding.text, place, counts_[rule] == kMostOfARule ? " (and more)" : ""),
        finding.offset, finding.bytes, finding.at_start);
  }

  void foreign_guids() {
    for (u64 at = 0; at + sizeof(Guid) <= file_.size(); ++at) {
      // The first byte decides nearly always.
      auto const* const found = known(load_guid(file_, at));
      // What the driver installs itself it does not ask of DXE.
      if (found == nullptr || is_installed(at) || !seen_.insert(found->name).second) {
        continue;
      }
      traditional_ = traditional_ || found->guid == kSmmBase2;
      if (found->rule != kModuleType) {
        add(found->rule, fmt::format("{} ({})", found->name, format_guid(found->guid)), at, sizeof(Guid));
      }
    }
  }

  /// Whether the GUID at this file offset is of a protocol that the image installs.
  bool is_installed(u64 offset) const {
    return std::ranges::any_of(raw_.sections, [&](RawImage::Section const& s) {
      return offset >= s.raw_offset && offset - s.raw_offset < s.raw_size &&
             facts_.installed.contains(static_cast<u32>(s.rva + (offset - s.raw_offset)));
    });
  }

  void services() {
    auto const tell = [this](Rule rule, std::map<u32, u64> const& used, auto name) {
      std::set<std::string> names;
      std::optional<u64> first;
      for (auto const& [offset, where] : used) {
        names.insert(name(offset));
        first = std::min(first.value_or(where), where);
      }
      if (first) {
        add(rule, fmt::format("calls {}", fmt::join(names, ", ")), first, 1);
      }
    };
    tell(kBoot, facts_.boot_services, boot_service_name);
    tell(kRuntime, facts_.runtime_services, runtime_service_name);
  }

  void depex() {
    if (!input_.depex) {
      add(kNoDepex, input_.file_type ? "the file has no dependency section" : "no .depex was given");
      return;
    }
    if (auto const why = why_depex_never_holds(*input_.depex)) {
      add(kDepex, *why);
    }
    std::set<std::string_view> told;
    user::for_each_push(*input_.depex, [&](Guid const& guid) {
      auto const* const foreign = known(guid);
      if (foreign != nullptr && told.insert(foreign->name).second) {
        add(kDepex, fmt::format("depends on {}", foreign->name));
        depends_on_dxe_ = true;
      }
    });
  }

  void module_type() {
    bool const dxe = !facts_.boot_services.empty() || !facts_.runtime_services.empty();
    bool const mmst = std::ranges::any_of(facts_.mmst_services, [](u32 offset) { return offset >= 0x78; });
    auto const type = input_.file_type;
    constexpr u16 kApplication = 10;
    if (raw_.subsystem == kApplication) {
      report_.module_type = "application";
    } else if (type == kCombinedMmDxe) {
      report_.module_type = "traditional MM and DXE";
    } else if (type == kTraditionalMm || traditional_) {
      report_.module_type = "traditional MM";
    } else if (type == image::file_type::kMmStandalone && !dxe) {
      report_.module_type = "MM_STANDALONE";
    } else if (dxe || depends_on_dxe_) {
      report_.module_type = "DXE";
    } else {
      report_.module_type = mmst ? "MM_STANDALONE" : "unknown";
    }
    if (report_.module_type == "MM_STANDALONE" || report_.module_type == "unknown") {
      return;
    }
    std::string why = type ? fmt::format("file type {}", file_type_name(*type)) : "";
    if (raw_.subsystem == kApplication) {
      why += std::string{why.empty() ? "" : ", "} + "subsystem 10, EFI application";
    }
    if (traditional_) {
      why += std::string{why.empty() ? "" : ", "} + "gEfiSmmBase2ProtocolGuid: it asks DXE for the MM system table";
    } else if (dxe) {
      why += std::string{why.empty() ? "" : ", "} + "the second argument of its entry point is EFI_SYSTEM_TABLE";
    }
    add(kModuleType,
        fmt::format("{} ({})", raw_.subsystem == kApplication ? "application" : report_.module_type + " driver",
                    why.empty() ? "its dependency expression" : why));
  }

  static constexpr u32 kMostOfARule = 32;
  ScanInput const& input_;
  Span file_;
  RawImage raw_;
  ScanReport report_;
  CodeFacts facts_;
  std::vector<u32> roots_;
  std::optional<u32> rsm_;
  std::set<std::string_view> seen_;
  std::array<u32, kRules.size()> counts_{};
  bool traditional_ = false;
  bool depends_on_dxe_ = false;
};

}  // namespace

bool is_mm_driver(u8 file_type) {
  return file_type == kTraditionalMm || file_type == kCombinedMmDxe || file_type == image::file_type::kMmStandalone;
}

std::expected<ScanReport, std::string> scan_image(ScanInput const& input) {
  if (load_le<u16>(input.image, 0) == 0x5A56) {
    ScanReport report{input.name, "unknown", "TE", {}};
    report.findings.push_back({&kRules[kFormat], "TE image: MM loads PE32+ only", u64{0}, 2, false});
    return report;
  }
  auto raw = read_raw(input.image);
  if (!raw) {
    return std::unexpected(std::string{"not a PE image: its headers are missing or cut off"});
  }
  return ImageScan{input, std::move(*raw)}.run();
}

}  // namespace mm::lab
