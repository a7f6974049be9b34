// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <gtest/gtest.h>

#include "core/image/fv.hpp"
#include "tests/support/image_builder.hpp"

namespace mm::image {
namespace {

using test::Blob;
using test::put;

constexpr Guid kA = "11111111-2222-3333-4444-555555555555"_guid;
constexpr Guid kB = "AAAAAAAA-2222-3333-4444-555555555555"_guid;

test::FvSpec two_files() {
  test::FvSpec fv;
  fv.files = {{kA, file_type::kFreeform, test::section(section_type::kRaw, test::bytes_of({1, 2, 3}))},
              {kB, file_type::kMmStandalone, test::section(section_type::kPe32, Blob(5, std::byte{9}))}};
  return fv;
}

/// Names of the files, or the error.
std::expected<std::vector<Guid>, FvError> walk(Blob const& blob) {
  auto const fv = FirmwareVolume::parse(blob);
  if (!fv) {
    return std::unexpected(fv.error());
  }
  std::vector<Guid> names;
  FileWalker files = fv->files();
  for (;;) {
    auto const f = files.next();
    if (!f) {
      EXPECT_FALSE(files.next().value_or(std::nullopt)) << "an error ends the walk";
      return std::unexpected(f.error());
    }
    if (!*f) {
      return names;
    }
    names.push_back((*f)->name);
  }
}

TEST(FirmwareVolume, BothPolaritiesBothFileSystemsAndExtendedHeader) {
  for (bool inverted : {false, true}) {
    for (bool ffs3 : {false, true}) {
      for (u64 ext : {u64{0}, u64{20}, u64{29}}) {
        test::FvSpec spec = two_files();
        spec.inverted = inverted;
        spec.ffs3 = ffs3;
        spec.ext_bytes = ext;
        auto const names = walk(spec.build());
        ASSERT_TRUE(names) << int(names.error().problem);
        EXPECT_EQ(*names, (std::vector<Guid>{kA, kB}));
      }
    }
  }
}

TEST(FirmwareVolume, ErasedNormalFileReadsF8) {
  Blob const blob = two_files().build();
  EXPECT_EQ(blob[72 + 23], std::byte{0xF8});
}

TEST(FirmwareVolume, NoFreeSpaceAtAll) {
  test::FvSpec spec = two_files();
  spec.free_bytes = 0;
  EXPECT_EQ(walk(spec.build())->size(), 2u);
}

TEST(FirmwareVolume, ChecksummedFile) {
  test::FvSpec spec = two_files();
  spec.files[0].checksum = true;
  Blob blob = spec.build();
  ASSERT_TRUE(walk(blob));
  blob[72 + 24 + 5] ^= std::byte{1};
  EXPECT_EQ(walk(blob), std::unexpected(FvError{FvProblem::FileChecksum, 72 + 17}));
}

TEST(FirmwareVolume, LargeFileInFfs3Only) {
  test::FvSpec spec = two_files();
  spec.files[0].large = true;
  EXPECT_EQ(walk(spec.build()), std::unexpected(FvError{FvProblem::FileLarge, 72 + 19}));
  spec.ffs3 = true;
  EXPECT_EQ(walk(spec.build())->size(), 2u);
}

TEST(FirmwareVolume, StatesOfFiles) {
  test::FvSpec spec = two_files();
  spec.files[0].state = 0x0F;  // marked for update
  EXPECT_EQ(walk(spec.build())->size(), 2u);
  spec.files[0].state = 0x1F;  // deleted: skipped by size
  EXPECT_EQ(*walk(spec.build()), std::vector<Guid>{kB});
  spec.files[0].state = 0x03;  // no valid data: the volume ends
  EXPECT_TRUE(walk(spec.build())->empty());
  spec.files[0].state = 0x23;  // header invalid: only the header is skipped
  spec.files[0].body.clear();
  EXPECT_EQ(*walk(spec.build()), std::vector<Guid>{kB});
}

TEST(FirmwareVolume, MarkedForUpdateGivesWay) {
  test::FvSpec spec = two_files();
  spec.files[0].state = 0x0F;
  spec.files[1].name = kA;  // another type: not what takes its place
  EXPECT_EQ(walk(spec.build())->size(), 2u);
  spec.files[1].type = spec.files[0].type;
  EXPECT_EQ(walk(spec.build())->size(), 1u);
  std::swap(spec.files[0].state, spec.files[1].state);  // the order does not matter
  EXPECT_EQ(walk(spec.build())->size(), 1u);
  spec.files[0].state = spec.files[1].state = 0x0F;  // neither is valid: an update that began twice
  EXPECT_EQ(walk(spec.build())->size(), 2u);
  spec.files[0].state = 0x1F;  // deleted
  EXPECT_EQ(walk(spec.build())->size(), 1u);
}

TEST(FirmwareVolume, HeaderRefusals) {
  struct Case {
    FvProblem problem;
    u64 offset;
    std::function<void(Blob&)> mutate;
    bool seal = true;
  };
  auto const set = [](u64 at, auto v) { return [at, v](Blob& b) { put(b, at, v); }; };
  std::vector<Case> const cases = {
      {FvProblem::Truncated, 0, [](Blob& b) { b.resize(55); }, false},
      {FvProblem::Signature, 40, set(40, u32{0})},
      {FvProblem::FileSystem, 16, set(16, u32{0})},
      {FvProblem::Revision, 55, set(55, u8{1})},
      {FvProblem::HeaderLength, 48, set(48, u16{54}), false},
      {FvProblem::HeaderLength, 48, set(48, u16{73}), false},
      {FvProblem::HeaderLength, 48, set(48, u16{0xFFFE}), false},
      {FvProblem::HeaderChecksum, 50, set(0, u8{1}), false},
      {FvProblem::Length, 32, set(32, ~u64{0})},
      {FvProblem::Length, 32, set(32, u64{71})},
      {FvProblem::BlockMap, 56, set(60, u32{1})},
      {FvProblem::BlockMap, 56, set(56, u32{0xFFFF'FFFF})},
      {FvProblem::BlockMap, 64, set(64, u64{0x0000'0001'0000'0000})},
      {FvProblem::ExtHeader, 52, set(52, u16{8})},
      {FvProblem::ExtHeader, 52, set(52, u16{0xFFF8})},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    Blob blob = two_files().build();
    cases[i].mutate(blob);
    if (cases[i].seal) {
      test::FvSpec::seal(blob);
    }
    EXPECT_EQ(walk(blob), std::unexpected(FvError{cases[i].problem, cases[i].offset}));
  }
}

TEST(FirmwareVolume, FileRefusals) {
  u64 const at = 72;
  Blob blob = two_files().build();
  put(blob, at, u8{0xEE});
  EXPECT_EQ(walk(blob), std::unexpected(FvError{FvProblem::FileHeaderChecksum, at + 16}));
  for (u64 size : {u64{23}, u64{0}, u64{0xFF'FFFF}}) {
    blob = two_files().build();
    test::put24(blob, at + 20, size);
    put(blob, at + 16, u8{0});
    u8 const rest =
        static_cast<u8>(sum8(slice(blob, at, 24)) - load_le<u8>(blob, at + 17) - load_le<u8>(blob, at + 23));
    put(blob, at + 16, static_cast<u8>(-rest));
    EXPECT_EQ(walk(blob), std::unexpected(FvError{FvProblem::FileSize, at + 20}));
  }
  blob = two_files().build();
  put(blob, at + 17, u8{0});
  EXPECT_EQ(walk(blob), std::unexpected(FvError{FvProblem::FileChecksum, at + 17}));
}

TEST(FirmwareVolume, LargeSizesDoNotWrap) {
  test::FvSpec spec = two_files();
  spec.ffs3 = true;
  spec.files[0].large = true;
  for (u64 size : {~u64{0}, ~u64{0} - 72, u64{31}, u64{1} << 32}) {
    Blob blob = spec.build();
    u8 const before = sum8(slice(blob, 72 + 24, 8));
    put(blob, 72 + 24, size);
    u8 const fix = static_cast<u8>(load_le<u8>(blob, 72 + 16) + before - sum8(slice(blob, 72 + 24, 8)));
    put(blob, 72 + 16, fix);
    EXPECT_EQ(walk(blob), std::unexpected(FvError{FvProblem::FileSize, 72 + 24}));
  }
}

TEST(SectionWalker, PaddingExtendedSizeAndFind) {
  Blob const body = test::sections({test::section(section_type::kMmDepex, Blob(3)),
                                    test::section(section_type::kPe32, Blob(10, std::byte{7}), true),
                                    test::section(section_type::kUserInterface, Blob(2))});
  auto const pe = find_section(body, section_type::kPe32);
  ASSERT_TRUE(pe && *pe);
  EXPECT_EQ((*pe)->body.size(), 10u);
  EXPECT_EQ((*pe)->offset, 8u);
  EXPECT_EQ((*pe)->body[0], std::byte{7});
  EXPECT_EQ((**find_section(body, section_type::kUserInterface)).body.size(), 2u);
  EXPECT_FALSE(find_section(body, section_type::kRaw).value());
}

TEST(SectionWalker, BadSizes) {
  for (u64 size : {u64{0}, u64{3}, u64{15}, u64{0xFF'FFFE}}) {
    Blob body = test::section(section_type::kRaw, Blob(10));
    test::put24(body, 0, size);
    EXPECT_EQ(find_section(body, section_type::kRaw), std::unexpected(FvError{FvProblem::SectionSize, 0}));
  }
  for (u32 size : {u32{0}, u32{7}, u32{19}, ~u32{0}}) {
    Blob body = test::section(section_type::kRaw, Blob(10), true);
    put(body, 4, size);
    EXPECT_EQ(find_section(body, section_type::kRaw), std::unexpected(FvError{FvProblem::SectionSize, 0}));
  }
  Blob const stub = test::bytes_of({4, 0, 0});
  EXPECT_EQ(find_section(stub, section_type::kRaw), std::unexpected(FvError{FvProblem::SectionSize, 0}));
}

TEST(FirmwareVolume, EveryTruncationAndByteChangeStaysInside) {
  Blob const good = two_files().build();
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(walk(Blob(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n))));
    Blob changed = good;
    changed[n] ^= std::byte{0x80};
    (void)walk(changed);
  }
}

}  // namespace
}  // namespace mm::image
