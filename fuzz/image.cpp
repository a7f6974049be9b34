// SPDX-License-Identifier: BSD-2-Clause-Patent
// The parsers of core/image and the depex evaluator. The first byte chooses: 0 PE32+, 1 firmware volume, 2 depex.
// They may refuse; what they accept must lie inside the input.
#include <array>
#include <cstdint>
#include <span>

#include "core/image/fv.hpp"
#include "core/image/pe.hpp"
#include "core/image/rsm.hpp"
#include "core/user/depex.hpp"
#include "fuzz/support/check.hpp"
#include "fuzz/support/target.hpp"

namespace {

using namespace mm;
using image::Bytes;

bool is_inside(Bytes part, Bytes whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void run_pe(Bytes file) {
  auto const parsed = image::PeImage::parse(file);
  if (!parsed) {
    MM_FUZZ_CHECK(parsed.error().offset <= UINT32_MAX + u64{64});
    return;
  }
  u64 const limit = align_up(parsed->size_of_image(), kPageSize);
  MM_FUZZ_CHECK(parsed->entry_rva() < limit);
  for (u32 i = 0; i < parsed->section_count(); ++i) {
    auto const section = parsed->section(i);
    Bytes const bytes = parsed->section_bytes(i);
    MM_FUZZ_CHECK(is_inside(bytes, file));
    if (fuzz::planted("SectionEnd")) {
      MM_FUZZ_CHECK(bytes.empty() || bytes.data() + bytes.size() != file.data() + file.size());
    }
    if (section.virtual_size == 0) {
      continue;  // occupies nothing, so its address means nothing
    }
    MM_FUZZ_CHECK(!(section.writable() && section.executable()));
    MM_FUZZ_CHECK(u64{section.rva} + section.virtual_size <= limit);
    MM_FUZZ_CHECK(section.copy_size <= section.virtual_size);
  }
  parsed->for_each_relocation([limit](image::PeRelocation const& r) { MM_FUZZ_CHECK(u64{r.rva} + r.width <= limit); });
  image::for_each_rsm(*parsed, [limit](u32, u32 rva) { MM_FUZZ_CHECK(rva < limit); });
}

void run_sections(Bytes stream) {
  image::SectionWalker walker{stream};
  for (;;) {
    auto const section = walker.next();
    if (!section || !*section) {
      return;
    }
    MM_FUZZ_CHECK(is_inside((*section)->body, stream));
    if ((*section)->type == image::section_type::kPe32) {
      run_pe((*section)->body);
    }
  }
}

void run_fv(Bytes bytes) {
  auto const volume = image::FirmwareVolume::parse(bytes);
  if (!volume) {
    return;
  }
  MM_FUZZ_CHECK(volume->length() <= bytes.size());
  auto files = volume->files();
  for (u64 previous = 0;;) {
    auto const file = files.next();
    if (!file || !*file) {
      return;
    }
    MM_FUZZ_CHECK(is_inside((*file)->body, bytes));
    MM_FUZZ_CHECK(previous == 0 || (*file)->offset > previous);
    previous = (*file)->offset;
    run_sections((*file)->body);
  }
}

void run_depex(Bytes depex) {
  (void)user::depex_association(depex);
  bool const with_none = user::depex_satisfied(depex, [](Guid const&) { return false; });
  bool const with_all = user::depex_satisfied(depex, [](Guid const&) { return true; });
  bool const again = user::depex_satisfied(depex, [](Guid const&) { return true; });
  MM_FUZZ_CHECK(with_all == again);
  (void)with_none;
}

}  // namespace

std::span<std::string_view const> mm::fuzz::defects() {
  static constexpr std::array<std::string_view, 1> kDefects{"SectionEnd"};
  return kDefects;
}

void mm::fuzz::run(std::span<std::byte const> data) {
  if (data.empty()) {
    return;
  }
  Bytes const input = data.subspan(1);
  switch (static_cast<u8>(data[0]) % 3) {
    case 0:
      run_pe(input);
      break;
    case 1:
      run_fv(input);
      break;
    default:
      run_depex(input);
      break;
  }
}
