// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/volume_listing.hpp"

#include <gtest/gtest.h>
#include <lzma.h>

#include <algorithm>
#include <array>

#include "tests/support/image_builder.hpp"
#include "tools/lab/firmware/decompress.hpp"
#include "tools/lab/firmware/fv_writer.hpp"

namespace mm::lab {
namespace {

constexpr Guid kName = "11111111-2222-3333-4444-555555555555"_guid;
constexpr Guid kOuter = "66666666-2222-3333-4444-555555555555"_guid;
constexpr Guid kLzma = "EE4E5898-3914-4259-9D6E-DC7BD79403CF"_guid;
constexpr Guid kBrotli = "3D532050-5CDA-4FD0-879E-0F7F630D5AFB"_guid;
constexpr Guid kTiano = "A31280AD-481E-41B6-95E8-127F4C984779"_guid;

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (int const v : values) {
    out.push_back(static_cast<std::byte>(v));
  }
  return out;
}

Bytes driver_volume() {
  Bytes depex = bytes_of({2});
  append_object(depex, kName);
  append_int(depex, 8, 1);
  return *write_fv({{.name = kName, .type = 0x0E, .depex = depex, .pe32 = Bytes(100), .raw = {}, .ui = "Driver"}});
}

Bytes section(u8 type, Bytes const& body) {
  Bytes out;
  append_int(out, body.size() + 4, 3);
  append_int(out, type, 1);
  append_bytes(out, body);
  return out;
}

Bytes guided(Guid const& guid, Bytes const& data) {
  Bytes body;
  append_object(body, guid);
  append_int(body, 24, 2);
  append_int(body, 1, 2);
  append_bytes(body, data);
  return section(0x02, body);
}

/// A volume whose only file has type 0x0B and `stream` as its sections.
Bytes volume_around(Bytes const& stream) {
  // The writer wraps `raw` in a RAW section: its header is made that of an empty one, and the file's checksum follows.
  auto fv = *write_fv({{.name = kOuter, .type = 0x0B, .depex = {}, .pe32 = {}, .raw = stream, .ui = {}}});
  auto const at =
      static_cast<std::size_t>(std::search(fv.begin(), fv.end(), stream.begin(), stream.end()) - fv.begin());
  unsigned change = 0;
  auto const put = [&](std::size_t where, unsigned value) {
    change += static_cast<unsigned>(fv[where]) - value;
    fv[where] = static_cast<std::byte>(value);
  };
  put(at - 4, 4);
  put(at - 3, 0);
  put(at - 2, 0);
  auto& checksum = fv[at - 4 - 24 + 17];
  checksum = static_cast<std::byte>(static_cast<unsigned>(checksum) + change);
  return fv;
}

Bytes lzma_alone(Bytes const& plain) {
  lzma_options_lzma options;
  lzma_lzma_preset(&options, 0);
  lzma_stream stream = LZMA_STREAM_INIT;
  EXPECT_EQ(lzma_alone_encoder(&stream, &options), LZMA_OK);
  Bytes out(plain.size() + 4096);
  stream.next_in = reinterpret_cast<u8 const*>(plain.data());
  stream.avail_in = plain.size();
  stream.next_out = reinterpret_cast<u8*>(out.data());
  stream.avail_out = out.size();
  EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  lzma_end(&stream);
  for (std::size_t i = 0; i < 8; ++i) {  // the encoder leaves the size open; firmware states it
    out[5 + i] = static_cast<std::byte>(u64{plain.size()} >> (8 * i));
  }
  return out;
}

ListedFile const* only_file(Listing const& listing) {
  return listing.volumes.size() == 1 && listing.volumes[0].files.size() == 1 ? &listing.volumes[0].files[0] : nullptr;
}

TEST(VolumeListing, NamesWhatADriverFileHolds) {
  auto const fv = driver_volume();
  auto const listing = list_images(fv);
  ASSERT_TRUE(listing.has_value()) << listing.error();
  EXPECT_EQ(listing->kind, "firmware volume");
  auto const* file = only_file(*listing);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->ui, "Driver");
  EXPECT_EQ(file_type_name(file->type), "MM_STANDALONE");
  EXPECT_EQ(file->depex_words, (std::vector<std::string>{"PUSH " + format_guid(kName), "END"}));
  EXPECT_TRUE(file->problems.empty());
  EXPECT_TRUE(file->image && file->image->malformed) << "the image is 100 zero bytes";
}

TEST(VolumeListing, FindsVolumesInsideAFlashImage) {
  Bytes flash(4096);
  append_bytes(flash, driver_volume());
  append_bytes(flash, Bytes(16));
  auto const listing = list_images(flash);
  ASSERT_TRUE(listing.has_value());
  EXPECT_EQ(listing->kind, "firmware device");
  ASSERT_EQ(listing->volumes.size(), 1u);
  EXPECT_EQ(listing->volumes[0].where, "at 0x1000");
}

TEST(VolumeListing, MmModulesAreDriversAndCores) {
  std::vector<FvFileSpec> files;
  for (int const type : {0x05, 0x07, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F}) {
    Guid name = kName;
    name.data1 = static_cast<u32>(type);
    files.push_back(
        {.name = name, .type = static_cast<u8>(type), .depex = {}, .pe32 = Bytes(100), .raw = {}, .ui = {}});
  }
  auto const fv = volume_around(section(0x17, *write_fv(files)));
  auto const listing = list_images(fv);
  ASSERT_TRUE(listing.has_value()) << listing.error();
  std::vector<u8> types;
  for (auto const* module : mm_modules(listing->volumes)) {
    types.push_back(module->type);
  }
  EXPECT_EQ(types, (std::vector<u8>{0x0A, 0x0C, 0x0D, 0x0E, 0x0F}));
  EXPECT_EQ(count_problems(listing->volumes), files.size()) << "each image is 100 zero bytes";
}

TEST(VolumeListing, OpensNestedAndCompressedVolumes) {
  auto const plain = volume_around(section(0x17, driver_volume()));
  auto const packed = volume_around(guided(kLzma, lzma_alone(section(0x17, driver_volume()))));
  for (auto const& fv : {plain, packed}) {
    auto const listing = list_images(fv);
    ASSERT_TRUE(listing.has_value()) << listing.error();
    std::vector<std::string> names;
    for_each_file(listing->volumes, [&](ListedFile const& f) { names.push_back(f.ui); });
    EXPECT_EQ(names, (std::vector<std::string>{"", "Driver"}));
  }
}

TEST(VolumeListing, RefusesTianoCompressionByName) {
  auto const listing = list_images(volume_around(guided(kTiano, Bytes(16))));
  ASSERT_TRUE(listing.has_value());
  auto const* file = only_file(*listing);
  ASSERT_NE(file, nullptr);
  EXPECT_TRUE(file->problems.empty());
  EXPECT_EQ(file->remarks, (std::vector<std::string>{"Tiano compression: not opened"}));
}

TEST(VolumeListing, DamagedCompressionIsAProblemOfTheFile) {
  for (auto const& guid : {kLzma, kBrotli}) {
    auto const listing = list_images(volume_around(guided(guid, Bytes(40, std::byte{0x11}))));
    ASSERT_TRUE(listing.has_value());
    EXPECT_EQ(only_file(*listing)->problems.size(), 1u);
  }
}

/// One file in a volume of the shared builder.
Listing listing_of(test::FileSpec file, bool ffs3, Bytes& keep) {
  test::FvSpec fv;
  fv.ffs3 = ffs3;
  fv.files = {std::move(file)};
  keep = fv.build();
  auto listing = list_images(keep);
  EXPECT_TRUE(listing.has_value());
  return listing ? std::move(*listing) : Listing{};
}

TEST(VolumeListing, LargeFilesOfFfs3) {
  Bytes keep;
  auto const body =
      test::sections({test::section(0x15, test::Blob(20)), test::section(0x19, test::Blob(70'000), true)});
  auto const listing = listing_of({kName, 0x0B, body, true}, true, keep);
  EXPECT_EQ(listing.volumes[0].file_system, "FFS3");
  auto const* file = only_file(listing);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->bytes, body.size());
  ASSERT_EQ(file->sections.size(), 2u);
  EXPECT_EQ(file->sections[1].bytes, 70'000u);
  EXPECT_TRUE(file->problems.empty());
  auto const in_ffs2 = listing_of({kName, 0x0B, body, true}, false, keep);
  auto const* refused = only_file(in_ffs2);
  ASSERT_TRUE(refused != nullptr && refused->problems.size() == 1);
  EXPECT_TRUE(refused->damaged);
  EXPECT_NE(refused->problems[0].find("LARGE_FILE in an FFS2"), std::string::npos);
}

TEST(VolumeListing, ChecksumsOfHeaderAndContent) {
  Bytes keep;
  auto const body = test::section(0x15, test::Blob(20));
  EXPECT_NE(only_file(listing_of({kName, 0x02, body, false, true}, true, keep)), nullptr);
  constexpr std::size_t kFile = 72;
  for (auto const& [at, word] :
       {std::pair{kFile + 24 + 6, "content checksum"}, std::pair{kFile + 18, "sum of a file header"}}) {
    auto bad = keep;
    bad[at] ^= std::byte{1};
    auto const listing = list_images(bad);
    ASSERT_TRUE(listing.has_value());
    auto const* file = only_file(*listing);
    ASSERT_TRUE(file != nullptr && file->problems.size() == 1) << word;
    EXPECT_TRUE(file->damaged);
    EXPECT_NE(file->problems[0].find(word), std::string::npos);
  }
}

TEST(VolumeListing, DataAlignment) {
  auto const body = test::section(0x15, test::Blob(20));
  constexpr std::size_t kFile = 72;  // its data is at 96
  struct {
    u8 attributes;
    bool right;
  } const cases[] = {{0x00, true}, {0x08, true}, {0x10, false}, {0x38, false}, {0x02, false}};
  for (auto const& c : cases) {
    Bytes keep;
    (void)listing_of({kName, 0x02, body}, true, keep);
    keep[kFile + 16] = static_cast<std::byte>(static_cast<u8>(keep[kFile + 16]) - c.attributes);  // header checksum
    keep[kFile + 19] = std::byte{c.attributes};
    auto const listing = list_images(keep);
    ASSERT_TRUE(listing.has_value());
    auto const* file = only_file(*listing);
    ASSERT_NE(file, nullptr) << int{c.attributes};
    EXPECT_EQ(file->problems.empty(), c.right) << int{c.attributes};
  }
}

TEST(VolumeListing, TerseExecutable) {
  auto te = bytes_of({'V', 'Z', 0x64, 0x86, 1, 0x0B, 0, 0, 0x40, 0x10, 0, 0});
  te.resize(40 + 40);
  Bytes keep;
  auto const listing = listing_of({kName, 0x0E, test::section(0x12, te)}, true, keep);
  auto const* file = only_file(listing);
  ASSERT_TRUE(file != nullptr && file->image);
  EXPECT_TRUE(file->image->te);
  EXPECT_EQ(file->image->machine, "x86-64");
  EXPECT_EQ(file->image->entry, 0x1040u);
  EXPECT_EQ(file->image->sections.size(), 1u);
  EXPECT_FALSE(file->image->loadable) << "MM loads PE32+ only";
}

TEST(VolumeListing, AprioriFile) {
  Bytes list(33);  // two names and a byte that is none
  test::put_guid(list, 0, kName);
  Bytes keep;
  auto const listing = listing_of({guids::gAprioriFileGuid, 0x02, test::section(0x19, list)}, true, keep);
  auto const* file = only_file(listing);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->apriori, (std::vector{kName, Guid{}}));
}

TEST(VolumeListing, SurvivesEveryDamagedByte) {
  auto const good = volume_around(section(0x17, driver_volume()));
  for (std::size_t i = 0; i < 512; ++i) {
    for (int const value : {0x00, 0x7F, 0xFF}) {
      auto bad = good;
      bad[i] = static_cast<std::byte>(value);
      (void)list_images(bad);
    }
  }
}

TEST(VolumeListing, SurvivesEveryLength) {
  auto const good = driver_volume();
  for (std::size_t n = 0; n < 600; ++n) {
    Bytes const cut{good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)};
    auto const listing = list_images(cut);
    EXPECT_TRUE(!listing || count_problems(listing->volumes) != 0) << n;
  }
}

TEST(VolumeListing, GarbageAfterMzIsAnImageWithAProblem) {
  auto bytes = bytes_of({'M', 'Z'});
  bytes.resize(300, std::byte{0xFF});
  auto const listing = list_images(bytes);
  ASSERT_TRUE(listing.has_value() && listing->image);
  EXPECT_FALSE(listing->image->loadable);
  EXPECT_FALSE(listing->image->problem.empty());
}

TEST(VolumeListing, SaysWhereADepexIsMalformed) {
  EXPECT_EQ(depex_words(bytes_of({6, 0x42})), (std::vector<std::string>{"TRUE", "[unknown opcode 0x42]"}));
  EXPECT_EQ(depex_words(bytes_of({2, 1})), (std::vector<std::string>{"[PUSH without its GUID]"}));
  EXPECT_EQ(depex_words(bytes_of({6})), (std::vector<std::string>{"TRUE", "[no END]"}));
}

TEST(Decompress, LzmaRoundTrip) {
  Bytes const plain(100'000, std::byte{0x5A});
  UnpackBudget budget;
  auto const out = unpack_lzma(lzma_alone(plain), budget);
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(*out, plain);
}

TEST(Decompress, ADictionaryThatIsLargerThanTheOutputCostsNothing) {
  Bytes const plain(5000, std::byte{0x5A});
  Bytes packed = lzma_alone(plain);
  for (u32 const dictionary : {0xFFFF'FFFFu, 0x8000'0000u, 0u, 4095u}) {
    for (std::size_t i = 0; i < 4; ++i) {
      packed[1 + i] = static_cast<std::byte>(dictionary >> (8 * i));
    }
    UnpackBudget budget;
    auto const out = unpack_lzma(packed, budget);
    ASSERT_TRUE(out.has_value()) << dictionary << ": " << out.error();
    EXPECT_EQ(*out, plain);
  }
}

/// LZMA of code whose calls were made absolute, as GenFw's LzmaF86Compress leaves it.
TEST(Decompress, LzmaWithTheX86Filter) {
  Bytes plain;
  for (u32 i = 0; i < 3000; ++i) {
    append_int(plain, 0xE8, 1);  // call
    append_int(plain, i * 7 % 4096, 4);
    append_int(plain, 0x90 + i % 3, 1);
  }
  lzma_options_lzma options;
  lzma_lzma_preset(&options, 1);
  std::array const chain{lzma_filter{LZMA_FILTER_X86, nullptr}, lzma_filter{LZMA_FILTER_LZMA1, &options},
                         lzma_filter{LZMA_VLI_UNKNOWN, nullptr}};
  Bytes packed;
  append_int(packed, (options.pb * 5 + options.lp) * 9 + options.lc, 1);
  append_int(packed, options.dict_size, 4);
  append_int(packed, plain.size(), 8);
  std::size_t at = packed.size();
  packed.resize(at + plain.size() + 4096);
  ASSERT_EQ(lzma_raw_buffer_encode(chain.data(), nullptr, reinterpret_cast<u8 const*>(plain.data()), plain.size(),
                                   reinterpret_cast<u8*>(packed.data()), &at, packed.size()),
            LZMA_OK);
  packed.resize(at);
  UnpackBudget budget;
  auto const out = unpack_lzma(packed, budget, LzmaFilter::X86);
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(*out, plain);
  EXPECT_NE(unpack_lzma(packed, budget).value_or(Bytes{}), plain) << "the filter matters";
}

TEST(Decompress, BrotliOfOneByte) {
  Bytes packed;
  append_int(packed, 1, 8);
  append_int(packed, 4096, 8);
  append_bytes(packed, bytes_of({0x0B, 0x00, 0x80, 'a', 0x03}));
  UnpackBudget budget;
  auto const out = unpack_brotli(packed, budget);
  ASSERT_TRUE(out.has_value()) << out.error();
  EXPECT_EQ(*out, bytes_of({'a'}));
  packed[0] = std::byte{0};  // states less than there is
  EXPECT_FALSE(unpack_brotli(packed, budget).has_value());
}

TEST(Decompress, TheBudgetStopsABomb) {
  Bytes const packed = lzma_alone(Bytes(100'000));
  UnpackBudget budget{150'000};
  EXPECT_TRUE(unpack_lzma(packed, budget).has_value());
  auto const second = unpack_lzma(packed, budget);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find("are left"), std::string::npos);
}

TEST(Decompress, TruncatedLzmaIsAnError) {
  Bytes packed = lzma_alone(Bytes(100'000, std::byte{7}));
  for (std::size_t n = 0; n + 6 < packed.size(); n += 3) {
    UnpackBudget budget;
    EXPECT_FALSE(unpack_lzma(std::span{packed}.first(n), budget).has_value()) << n;
  }
}

}  // namespace
}  // namespace mm::lab
