// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/image/fv.hpp"
#include "core/image/pe.hpp"
#include "core/loader/types.hpp"

namespace mm::loader {

/// Problem of the loader for a problem of a PE image.
constexpr LoadProblem load_problem(image::PeProblem p) noexcept {
  using image::PeProblem;
  switch (p) {
    case PeProblem::Machine:
    case PeProblem::OptionalMagic:
      return LoadProblem::ImageMachine;
    case PeProblem::SectionAlignment:
    case PeProblem::FileAlignment:
      return LoadProblem::ImageAlignment;
    case PeProblem::ImageSize:
    case PeProblem::ImageTooLarge:
    case PeProblem::HeaderSize:
      return LoadProblem::ImageSize;
    case PeProblem::SectionRaw:
    case PeProblem::SectionVirtual:
    case PeProblem::SectionOverlap:
      return LoadProblem::ImageSections;
    case PeProblem::SectionWriteExecute:
      return LoadProblem::ImageWriteExecute;
    case PeProblem::NoCode:
    case PeProblem::EntryPoint:
      return LoadProblem::ImageEntry;
    case PeProblem::Imports:
      return LoadProblem::ImageImports;
    case PeProblem::RelocationsStripped:
    case PeProblem::RelocationDirectory:
    case PeProblem::RelocationBlock:
    case PeProblem::RelocationType:
    case PeProblem::RelocationTarget:
      return LoadProblem::ImageRelocations;
    case PeProblem::Truncated:
    case PeProblem::DosMagic:
    case PeProblem::HeaderOverlap:
    case PeProblem::HeaderAlignment:
    case PeProblem::HeaderOffset:
    case PeProblem::PeSignature:
    case PeProblem::OptionalHeaderSize:
    case PeProblem::SectionCount:
      break;
  }
  return LoadProblem::ImageHeader;
}

/// Problem of the loader for a problem of a firmware volume.
constexpr LoadProblem load_problem(image::FvProblem p) noexcept {
  using image::FvProblem;
  switch (p) {
    case FvProblem::FileHeaderChecksum:
    case FvProblem::FileSize:
    case FvProblem::FileLarge:
    case FvProblem::FileChecksum:
      return LoadProblem::FvFile;
    case FvProblem::SectionSize:
      return LoadProblem::FvSection;
    case FvProblem::Truncated:
    case FvProblem::Signature:
    case FvProblem::FileSystem:
    case FvProblem::Revision:
    case FvProblem::HeaderLength:
    case FvProblem::HeaderChecksum:
    case FvProblem::Length:
    case FvProblem::BlockMap:
    case FvProblem::ExtHeader:
      break;
  }
  return LoadProblem::FvHeader;
}

template <typename T>
using Result = std::expected<T, LoadError>;

constexpr std::unexpected<LoadError> fail(LoadProblem problem, Status status, u64 offset = 0,
                                          Guid const& file = {}) noexcept {
  return std::unexpected(LoadError{problem, status, file, offset});
}
constexpr std::unexpected<LoadError> fail(image::FvError e, Guid const& file = {}) noexcept {
  return fail(load_problem(e.problem), Status::VolumeCorrupted, e.offset, file);
}

}  // namespace mm::loader
