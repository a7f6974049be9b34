// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/fv_writer.hpp"

#include <gtest/gtest.h>

#include "core/image/fv.hpp"

namespace mm::lab {
namespace {

TEST(FvWriter, TheReaderFindsWhatWasWritten) {
  Guid const name = "11111111-2222-3333-4444-555555555555"_guid;
  Bytes const depex{std::byte{6}, std::byte{8}};
  Bytes const image(1001, std::byte{0x5A});
  auto const fv = write_fv({{.name = name, .type = 0x0E, .depex = depex, .pe32 = image, .raw = {}, .ui = "Name"},
                            {.name = Guid{}, .type = 0x02, .depex = {}, .pe32 = {}, .raw = Bytes(7), .ui = {}}});
  ASSERT_TRUE(fv.has_value());
  auto const volume = image::FirmwareVolume::parse(*fv);
  ASSERT_TRUE(volume.has_value()) << static_cast<int>(volume.error().problem);
  EXPECT_EQ(volume->length(), fv->size());
  auto files = volume->files();
  auto const first = files.next();
  ASSERT_TRUE(first.has_value() && first->has_value());
  EXPECT_EQ((*first)->name, name);
  auto const second = files.next();
  ASSERT_TRUE(second.has_value() && second->has_value());
  auto const end = files.next();
  ASSERT_TRUE(end.has_value());
  EXPECT_FALSE(end->has_value());
}

}  // namespace
}  // namespace mm::lab
