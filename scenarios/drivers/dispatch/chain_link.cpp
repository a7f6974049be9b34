// SPDX-License-Identifier: BSD-2-Clause-Patent
// ChainLink: a template of which `mmsim bench` makes a thousand drivers, each with its own protocol, written over the
// placeholder.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {
/// "ChainLinkProtoco" - 16 bytes that are found once in the image. Volatile: its value is not known when compiling.
mm::u64 volatile g_protocol[2] = {0x6E694C6E'69616843, 0x6F636F74'6F72506B};
}  // namespace

mm::Status mm_driver_main(mm::driver::Handle, mm::driver::MmSystemTable* mmst) noexcept {
  mm::u64 const words[2] = {g_protocol[0], g_protocol[1]};
  mm::driver::Handle handle = 0;
  return mmst->install_protocol(&handle, mm::driver::at<mm::Guid const>(mm::user::address_of(words)), 0, nullptr);
}
