// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/pe_view.hpp"

#include <algorithm>

#include "core/image/bytes.hpp"

namespace mm::lab {
namespace {

using image::load_le;

constexpr u32 kExceptionDirectory = 3;
constexpr u32 kDebugDirectory = 6;
constexpr u64 kDebugEntryBytes = 28;
constexpr u32 kCodeView = 2;
constexpr u32 kRsds = 0x5344'5352;
constexpr u32 kNb10 = 0x3031'424E;
constexpr std::size_t kMostPath = 4096;
constexpr u64 kMostSections = 96;

}  // namespace

std::span<std::byte const> PeView::at(u64 rva) const noexcept {
  for (u64 i = 0; headers_ && i < std::min<u64>(headers_->file_header().sections, kMostSections); ++i) {
    auto const section = headers_->section(i);
    if (section && rva >= section->rva && rva - section->rva < section->raw_size) {
      u64 const from = section->raw_offset + (rva - section->rva);
      u64 const left = section->raw_size - (rva - section->rva);
      return from < file_.size() ? file_.subspan(from, std::min<u64>(left, file_.size() - from))
                                 : std::span<std::byte const>{};
    }
  }
  return {};
}

std::optional<u64> PeView::loaded_at(u64 offset) const noexcept {
  for (u64 i = 0; headers_ && i < std::min<u64>(headers_->file_header().sections, kMostSections); ++i) {
    auto const section = headers_->section(i);
    if (section && offset >= section->raw_offset && offset - section->raw_offset < section->raw_size) {
      return section->rva + (offset - section->raw_offset);
    }
  }
  return std::nullopt;
}

std::vector<Range> PeView::code() const {
  std::vector<Range> out;
  for (u64 i = 0; headers_ && i < std::min<u64>(headers_->file_header().sections, kMostSections); ++i) {
    auto const section = headers_->section(i);
    if (section && section->executable()) {
      u64 const used = section->virtual_size == 0 ? section->raw_size : section->virtual_size;
      out.push_back({section->rva, std::min<u64>(used, at(section->rva).size())});
    }
  }
  return out;
}

bool PeView::is_code(u64 rva) const noexcept {
  for (u64 i = 0; headers_ && i < std::min<u64>(headers_->file_header().sections, kMostSections); ++i) {
    auto const section = headers_->section(i);
    if (section && section->executable() && rva >= section->rva && rva - section->rva < section->raw_size) {
      return true;
    }
  }
  return false;
}

image::PeDirectory PeView::directory(u32 index) const noexcept {
  if (!headers_ || index >= headers_->optional_header().directories) {
    return {};
  }
  u64 const where = headers_->optional_at() + sizeof(image::PeOptionalHeader) + index * sizeof(image::PeDirectory);
  return image::load_object<image::PeDirectory>(file_, where).value_or(image::PeDirectory{});
}

std::optional<PeView::Record> PeView::codeview() const {
  auto const where = directory(kDebugDirectory);
  auto const entries = at(where.rva);
  for (u64 i = 0; i + kDebugEntryBytes <= std::min<u64>(where.size, entries.size()); i += kDebugEntryBytes) {
    if (load_le<u32>(entries, i + 12) != kCodeView) {
      continue;
    }
    u64 const from = load_le<u32>(entries, i + 24);
    auto const record = from < file_.size() ? file_.subspan(from) : std::span<std::byte const>{};
    u32 const signature = load_le<u32>(record, 0);
    std::size_t const head = signature == kRsds ? 24 : signature == kNb10 ? 16 : 0;
    if (head == 0 || record.size() <= head) {
      continue;
    }
    std::string path;
    for (std::byte const c : record.subspan(head, std::min(record.size() - head, kMostPath))) {
      if (c == std::byte{0}) {
        break;
      }
      path.push_back(static_cast<char>(c));
    }
    if (!path.empty()) {
      return Record{signature, path};
    }
  }
  return std::nullopt;
}

std::optional<std::string> PeView::debug_path() const {
  auto const record = codeview();
  return record ? std::optional{record->path} : std::nullopt;
}

bool PeView::names_pdb() const {
  auto const record = codeview();
  return record && record->signature == kRsds;
}

std::span<std::byte const> PeView::functions() const noexcept {
  auto const where = directory(kExceptionDirectory);
  auto const bytes = at(where.rva);
  return bytes.first(std::min<std::size_t>(where.size, bytes.size()));
}

}  // namespace mm::lab
