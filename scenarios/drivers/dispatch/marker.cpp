// SPDX-License-Identifier: BSD-2-Clause-Patent
// MarkerN: writes its number into OrderLog and installs the protocol of that number. What differs is the dependency.

#include "scenarios/drivers/dispatch/order.hpp"

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  using namespace mm;
  constexpr Guid kMine = order::protocol_of(MM_MARKER);
  void* found = nullptr;
  if (auto const status = mmst->locate_protocol(&order::kLogProtocol, nullptr, &found); status != Status::Success) {
    return status;
  }
  auto& log = *static_cast<order::Log*>(found);
  if (log.count == order::Log::kMost) {
    return Status::OutOfResources;
  }
  log.numbers[log.count++] = MM_MARKER;
  driver::Handle handle = 0;
  return mmst->install_protocol(&handle, &kMine, 0, nullptr);
}
