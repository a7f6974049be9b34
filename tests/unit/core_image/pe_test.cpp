// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <utility>

#include "core/image/rsm.hpp"
#include "tests/support/image_builder.hpp"

namespace mm::image {
namespace {

using test::Blob;
using test::kNt;
using test::kOpt;
using test::kTable;
using test::put;

TEST(PeImage, AcceptsTheClangLayout) {
  Blob const file = test::clang_image().build();
  auto const image = PeImage::parse(file);
  ASSERT_TRUE(image) << int(image.error().problem) << " at " << image.error().offset;
  EXPECT_EQ(image->entry_rva(), 0x1004u);
  EXPECT_EQ(image->section_count(), 5u);
  EXPECT_EQ(image->size_of_image(), 0x7000u);
  EXPECT_TRUE(image->section(0).executable());
  EXPECT_NE(image->section(0).raw_offset, image->section(0).rva);
  EXPECT_EQ(image->section(2).virtual_size, 0x1800u);
  EXPECT_EQ(image->section(2).copy_size, 0x20u);
  EXPECT_FALSE(image->section(3).writable() || image->section(3).executable());
  std::vector<std::pair<u32, u32>> seen;
  image->for_each_relocation([&](PeRelocation r) { seen.emplace_back(r.rva, r.width); });
  EXPECT_EQ(seen, (std::vector<std::pair<u32, u32>>{{0x3000, 8}, {0x3008, 4}}));
}

TEST(PeImage, AcceptsTheGccLayoutWithoutRelocations) {
  Blob const file = test::gcc_image().build();
  auto const image = PeImage::parse(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->section(0).raw_offset, image->section(0).rva);
  image->for_each_relocation([](PeRelocation) { FAIL(); });
}

TEST(PeImage, VirtualSizeZeroCountsAsRawSize) {
  test::PeSpec spec = test::gcc_image();
  spec.sections[0].virtual_size = 0;
  Blob const file = spec.build();
  auto const image = PeImage::parse(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->section(0).virtual_size, 0x1000u);
}

/// Linkers differ in what they round: the length in memory may be odd while that in the file is a multiple of the
/// alignment, or the other way round. What is copied is the smaller, what is taken the length in memory.
TEST(PeImage, SectionLengthsOfEitherLinker) {
  std::mt19937 random(2026);
  for (int round = 0; round < 300; ++round) {
    test::PeSpec spec = test::gcc_image();
    auto const in_memory = static_cast<u32>(1 + random() % 0x1000);
    auto const pages = static_cast<u32>(1 + random() % 3);
    auto& last = spec.sections.back();
    last.virtual_size = in_memory;
    last.raw.resize(random() % 2 == 0 ? 0x1000 * pages : 1 + random() % (0x1000 * pages));
    Blob const file = spec.build();
    auto const image = PeImage::parse(file);
    ASSERT_TRUE(image) << int(image.error().problem) << " in memory " << in_memory << " in file " << last.raw.size();
    auto const section = image->section(image->section_count() - 1);
    EXPECT_EQ(section.virtual_size, in_memory);
    EXPECT_LE(section.copy_size, in_memory);
    EXPECT_EQ(image->size_of_image() % kPageSize, 0u);
    EXPECT_GE(image->size_of_image(), section.rva + in_memory);
  }
}

struct Refusal {
  char const* name;
  PeProblem problem;
  u64 offset;
  std::function<void(Blob&)> mutate;
};

/// Offset in the file of the relocation block of clang_image().
u64 reloc_at() { return image::load_le<u32>(test::clang_image().build(), kTable + 4 * 40 + 20); }

std::vector<Refusal> refusals() {
  auto const set = [](u64 at, auto v) { return [at, v](Blob& b) { put(b, at, v); }; };
  u64 const r = reloc_at();
  return {
      {"Empty", PeProblem::Truncated, 0, [](Blob& b) { b.clear(); }},
      {"ShortDos", PeProblem::Truncated, 0, [](Blob& b) { b.resize(63); }},
      {"DosMagic", PeProblem::DosMagic, 0, set(0, u16{0x4D5A})},
      {"HeaderInDos", PeProblem::HeaderOverlap, 60, set(60, u32{32})},
      {"HeaderBeyond", PeProblem::HeaderOffset, 60, set(60, u32{0xFFFF'FFF0})},
      {"HeaderOdd", PeProblem::HeaderAlignment, 60, set(60, u32{0x82})},
      {"Signature", PeProblem::PeSignature, kNt, set(kNt, u32{0x4551})},
      {"Machine", PeProblem::Machine, kNt + 4, set(kNt + 4, u16{0x14C})},
      {"NoSections", PeProblem::SectionCount, kNt + 6, set(kNt + 6, u16{0})},
      {"ManySections", PeProblem::SectionCount, kNt + 6, set(kNt + 6, u16{97})},
      {"OptionalSmall", PeProblem::OptionalHeaderSize, kNt + 20, set(kNt + 20, u16{111})},
      {"TableBeyond", PeProblem::Truncated, kOpt + 0xFFFF, set(kNt + 20, u16{0xFFFF})},
      {"Directories", PeProblem::OptionalHeaderSize, kOpt + 108, set(kOpt + 108, u32{17})},
      {"Magic", PeProblem::OptionalMagic, kOpt, set(kOpt, u16{0x10B})},
      {"Align40", PeProblem::SectionAlignment, kOpt + 32, set(kOpt + 32, u32{0x40})},
      {"Align0", PeProblem::SectionAlignment, kOpt + 32, set(kOpt + 32, u32{0})},
      {"Align3000", PeProblem::SectionAlignment, kOpt + 32, set(kOpt + 32, u32{0x3000})},
      {"FileAlign0", PeProblem::FileAlignment, kOpt + 36, set(kOpt + 36, u32{0})},
      {"FileAlignBig", PeProblem::FileAlignment, kOpt + 36, set(kOpt + 36, u32{0x2000})},
      {"ImageSize0", PeProblem::ImageSize, kOpt + 56, set(kOpt + 56, u32{0})},
      {"ImageHuge", PeProblem::ImageTooLarge, kOpt + 56, set(kOpt + 56, u32{0xFFFF'F000})},
      {"AlignHuge", PeProblem::ImageTooLarge, kOpt + 56, set(kOpt + 32, u32{0x8000'0000})},
      {"HeadersShort", PeProblem::HeaderSize, kOpt + 60, set(kOpt + 60, u32{0x100})},
      {"RawBeyond", PeProblem::SectionRaw, kTable + 16, set(kTable + 16, u32{0x10'0000})},
      {"RawWraps", PeProblem::SectionRaw, kTable + 16, set(kTable + 20, u32{0xFFFF'FFF8})},
      {"RvaUnaligned", PeProblem::SectionVirtual, kTable + 12, set(kTable + 12, u32{0x1010})},
      {"RvaInHeaders", PeProblem::SectionVirtual, kTable + 12, set(kTable + 12, u32{0})},
      {"RvaBeyond", PeProblem::SectionVirtual, kTable + 12, set(kTable + 12, u32{0xFFFF'F000})},
      {"VirtualWraps", PeProblem::SectionVirtual, kTable + 12, set(kTable + 8, u32{0xFFFF'FFFF})},
      {"Overlap", PeProblem::SectionOverlap, kTable + 40 + 12, set(kTable + 8, u32{0x1001})},
      {"SameRva", PeProblem::SectionOverlap, kTable + 40 + 12, set(kTable + 40 + 12, u32{0x1000})},
      {"WriteExecute", PeProblem::SectionWriteExecute, kTable + 36, set(kTable + 36, u32{0xE000'0020})},
      {"WriteCode", PeProblem::SectionWriteExecute, kTable + 36, set(kTable + 36, u32{0x8000'0020})},
      {"NoCode", PeProblem::NoCode, kTable, set(kTable + 36, test::kReadOnly)},
      {"EntryInData", PeProblem::EntryPoint, kOpt + 16, set(kOpt + 16, u32{0x3000})},
      {"EntryBehindCode", PeProblem::EntryPoint, kOpt + 16, set(kOpt + 16, u32{0x1028})},
      {"EntryBeyond", PeProblem::EntryPoint, kOpt + 16, set(kOpt + 16, u32{0xFFFF'FFFF})},
      {"Imports", PeProblem::Imports, kOpt + 120, set(kOpt + 124, u32{20})},
      {"RelocOutside", PeProblem::RelocationDirectory, kOpt + 152, set(kOpt + 152, u32{0x7000})},
      {"RelocTooLong", PeProblem::RelocationDirectory, kOpt + 152, set(kOpt + 156, u32{0xFFFF'FFFF})},
      {"RelocInZeroFill", PeProblem::RelocationDirectory, kOpt + 152, set(kOpt + 152, u32{0x4000})},
      {"BlockZero", PeProblem::RelocationBlock, r + 4, set(r + 4, u32{0})},
      {"BlockOdd", PeProblem::RelocationBlock, r + 4, set(r + 4, u32{11})},
      {"BlockLong", PeProblem::RelocationBlock, r + 4, set(r + 4, u32{18})},
      {"BlockTail", PeProblem::RelocationBlock, r + 14 + 4, set(r + 4, u32{14})},
      {"Type1", PeProblem::RelocationType, r + 8, set(r + 8, u16{0x1000})},
      {"Type4", PeProblem::RelocationType, r + 10, set(r + 10, u16{0x4000})},
      {"TargetBeyond", PeProblem::RelocationTarget, r + 8, set(r, u32{0x7000})},
      {"TargetWraps", PeProblem::RelocationTarget, r + 8, set(r, u32{0xFFFF'FFFF})},
      {"TargetInHeaders", PeProblem::RelocationTarget, r + 8, set(r, u32{0})},
      {"Stripped", PeProblem::RelocationsStripped, kNt + 22,
       [](Blob& b) {
         put(b, kNt + 22, u16{0x2023});
         put(b, kOpt + 156, u32{0});
       }},
  };
}

TEST(PeImage, RefusesWithTheSpecificProblemAndOffset) {
  for (Refusal const& r : refusals()) {
    SCOPED_TRACE(r.name);
    Blob file = test::clang_image().build();
    r.mutate(file);
    auto const image = PeImage::parse(file);
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().problem, r.problem) << "offset " << image.error().offset;
    EXPECT_EQ(image.error().offset, r.offset);
  }
}

TEST(PeImage, EveryTruncationIsRefusedOrHarmless) {
  Blob const file = test::clang_image().build();
  for (std::size_t n = 0; n < file.size(); ++n) {
    Blob const cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(PeImage::parse(cut)) << n;
  }
}

TEST(PeImage, NoByteOfTheHeadersMakesItReadOutside) {
  Blob const file = test::clang_image().build();
  for (std::size_t at = 0; at < kTable + 5 * 40; ++at) {
    for (int value : {0x00, 0x7F, 0x80, 0xFF}) {
      Blob changed = file;
      changed[at] = static_cast<std::byte>(value);
      auto const image = PeImage::parse(changed);
      if (image) {
        for (u32 i = 0; i < image->section_count(); ++i) {
          EXPECT_EQ(image->section_bytes(i).size(), image->section(i).copy_size);
        }
      }
    }
  }
}

TEST(Rsm, FoundAtAnyByteOfExecutableSectionsOnly) {
  test::PeSpec spec = test::clang_image();
  auto const plant = [](Blob& b, std::size_t at) {
    b[at] = std::byte{0x0F};
    b[at + 1] = std::byte{0xAA};
  };
  plant(spec.sections[0].raw, 3);
  plant(spec.sections[0].raw, 0x26);
  plant(spec.sections[1].raw, 0);
  Blob const file = spec.build();
  auto const image = PeImage::parse(file);
  ASSERT_TRUE(image);
  std::vector<u32> seen;
  for_each_rsm(*image, [&](u32, u32 rva) { seen.push_back(rva); });
  EXPECT_EQ(seen, (std::vector<u32>{0x1003, 0x1026}));
}

TEST(Rsm, PairSplitOverPieces) {
  RsmScanner scanner;
  std::vector<u64> seen;
  auto const found = [&](u64 at) { seen.push_back(at); };
  scanner.feed(test::bytes_of({0x90, 0x0F}), 0, found);
  scanner.feed(test::bytes_of({0xAA, 0x0F, 0x0F, 0xAA, 0x0F}), 2, found);
  scanner.restart();
  scanner.feed(test::bytes_of({0xAA}), 7, found);
  EXPECT_EQ(seen, (std::vector<u64>{1, 4}));
}

}  // namespace
}  // namespace mm::image
