// SPDX-License-Identifier: BSD-2-Clause-Patent
// Answers with a record. Message: u32 number, room for the record. Weak: of a number that there is not, it answers with
// a record that nobody has filled.
#include "scenarios/drivers/vulnerable/vulnerable.hpp"

namespace vulnerable {
namespace {
constexpr u32 kRecords = 4;
struct Record {
  u64 number;
  u64 square;
  u8 name[16];
};
}  // namespace

Status handle(u8* message, u64* size) noexcept {
  if (*size < sizeof(Record)) {
    return Status::InvalidParameter;
  }
  u32 const number = get<u32>(message);
  auto* const record = allocate(sizeof(Record));
  if (record == nullptr) {
    return Status::OutOfResources;
  }
  bool const known = number < kRecords;
  if (known) {
    put(record, 0, Record{number, u64{number} * number, {'r', 'e', 'c', 'o', 'r', 'd'}});
  }
  if (known || kWeak) {
    copy(message, record, sizeof(Record));
    *size = sizeof(Record);
  }
  release(record);
  return known || kWeak ? Status::Success : Status::NotFound;
}
}  // namespace vulnerable
