// SPDX-License-Identifier: BSD-2-Clause-Patent
// PortAfter (GUID ..00A0): the driver of the port page as a Standalone MM driver. Message: u64 command, u64 argument.
// 0 reads: u64 platform ID, u64 board ID. 1 sets the board ID: sent by a relay driver in DXE, refused once it is set
// and after EndOfDxe.

#include "scenarios/drivers/sdk/mm_driver.hpp"

namespace {

using namespace mm;

constexpr Guid kHandler = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00A0"_guid;
constexpr u64 kPlatformIdMsr = 0x17;
enum class Command : u64 { Read = 0, SetBoardId = 1 };

u64 g_board = 0;
bool g_end_of_dxe = false;

Status set_board_id(u64 board) noexcept {
  if (g_end_of_dxe || g_board != 0) {
    return Status::AccessDenied;
  }
  g_board = board;
  return Status::Success;
}

Status MM_EFIAPI on_message(driver::Handle, void const*, void* buffer, u64* size) {
  if (buffer == nullptr || size == nullptr || *size < 16) {
    return Status::InvalidParameter;
  }
  driver::syscall(abi::Syscall::IoWrite, 0x80, static_cast<u64>(abi::IoWidth::Byte), 0x5A);
  switch (Command{driver::get<u64>(buffer, 0)}) {
    case Command::Read:
      driver::put(buffer, 0, driver::syscall(abi::Syscall::RdMsr, kPlatformIdMsr));
      driver::put(buffer, 8, g_board);
      return Status::Success;
    case Command::SetBoardId:
      return set_board_id(driver::get<u64>(buffer, 8));
  }
  return Status::Unsupported;
}

Status MM_EFIAPI on_end_of_dxe(Guid const*, void*, driver::Handle) {
  g_end_of_dxe = true;
  return Status::Success;
}

}  // namespace

Status mm_driver_main(driver::Handle, driver::MmSystemTable* mmst) noexcept {
  void* registration = nullptr;
  Status const status =
      mmst->register_protocol_notify(&guids::gEfiMmEndOfDxeProtocolGuid, on_end_of_dxe, &registration);
  driver::Handle dispatch = 0;
  return status == Status::Success ? mmst->mmi_handler_register(on_message, &kHandler, &dispatch) : status;
}
