// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/abi/guids.hpp"

/// What crosses between the normal world and MM: communicate headers and status mailboxes (PI 1.8
/// vol. 4; core/abi/ABI.md 2).
namespace mm::abi {

/// EFI_MM_COMMUNICATE_HEADER without its Data[]; the message follows at byte 24.
struct CommunicateHeader {
  Guid header_guid;
  u64 message_length = 0;  ///< bytes of message, header not included
};
static_assert(sizeof(CommunicateHeader) == 24);

/// EFI_MM_COMMUNICATE_HEADER_V3; header_guid is gEfiMmCommunicateHeaderV3Guid, the message follows at byte 56.
struct CommunicateHeaderV3 {
  Guid header_guid;
  u64 buffer_size = 0;  ///< whole buffer, header included
  u64 reserved = 0;
  Guid message_guid;
  u64 message_size = 0;
};
static_assert(sizeof(CommunicateHeaderV3) == 56);

/// MM_COMM_BUFFER_STATUS, one mailbox a channel.
struct CommBufferStatus {
  u8 is_comm_buffer_valid = 0;
  u8 reserved[7] = {};
  u64 return_status = 0;       ///< EFI_STATUS
  u64 return_buffer_size = 0;  ///< header + message of the reply, bytes
};
static_assert(sizeof(CommBufferStatus) == 24);

/// EFI_MM_ENTRY_CONTEXT, first 40 bytes of the supervisor-to-user page for UserRequest.
struct MmEntryContext {
  u64 mm_startup_this_ap = 0;
  u64 currently_executing_cpu = 0;
  u64 number_of_cpus = 0;
  u64 cpu_save_state_size = 0;
  u64 cpu_save_state = 0;
};
static_assert(sizeof(MmEntryContext) == 40);

/// Which pair of buffer and mailbox a message used.
enum class Channel : u8 { Supervisor = 0, User = 1, None = 2 };

/// Commands in RCX of a demotion into the user core. 0..2 are the reference's; 3 is ours (core/abi/DIFFERENCES.md).
enum class UserCommand : u64 {
  StartUserCore = 0,    ///< RDX = HOB list
  UserRequest = 1,      ///< RDX = supervisor-to-user page, R8 = 40
  UserApProcedure = 2,  ///< RDX = procedure, R8 = argument
  UserFault = 3,        ///< RDX = supervisor-to-user page with a UserFaultRecord at byte 128; `contain` policy only
};

/// Byte offsets in the supervisor-to-user page: the CommBufferStatus copy, the UserFaultRecord.
inline constexpr u64 kUserStatusOffset = 40;
/// u64 behind that copy, zero before each UserRequest: kNoRootHandlers when ring 3 need not be asked about an MMI
/// without a message. Ours; a user core that does not know it is always asked.
inline constexpr u64 kUserRootsOffset = kUserStatusOffset + sizeof(CommBufferStatus);
inline constexpr u64 kNoRootHandlers = 0x53544F4F'524F4E4D;  // 'MNOROOTS'
inline constexpr u64 kUserFaultOffset = 128;

/// What the supervisor tells the user core about the ring-3 fault that it contained (UserCommand::UserFault).
struct UserFaultRecord {
  u64 vector = 0;
  u64 error_code = 0;
  u64 rip = 0;
  u64 cr2 = 0;
  u64 command = 0;     ///< UserCommand that was running when the fault came
  u64 image_base = 0;  ///< load address of the image that holds rip, 0 when none does
};

/// MM_SUPERVISOR_REQUEST_HEADER, at the start of the message of a supervisor request.
struct SupervisorRequestHeader {
  u32 signature = 0;  ///< 'MSUP'
  u32 revision = 0;
  u32 request = 0;
  u32 reserved = 0;
  u64 result = 0;  ///< EFI_STATUS
};
static_assert(sizeof(SupervisorRequestHeader) == 24);
inline constexpr u32 kRequestSignature = 0x5055534D;
enum class SupervisorRequest : u32 { UnblockMem = 1, FetchPolicy = 2, VersionInfo = 3, CommUpdate = 4 };

/// EFI_MEMORY_DESCRIPTOR.
struct MemoryDescriptor {
  u32 type = 0;
  u32 pad = 0;
  u64 physical_start = 0;
  u64 virtual_start = 0;
  u64 number_of_pages = 0;
  u64 attribute = 0;
  friend constexpr bool operator==(MemoryDescriptor const&, MemoryDescriptor const&) = default;
};
static_assert(sizeof(MemoryDescriptor) == 40);
/// MM_SUPERVISOR_UNBLOCK_MEMORY_PARAMS: payload of the unblock HOB and of request 1.
struct UnblockMemoryParams {
  MemoryDescriptor descriptor;
  Guid identifier;
};
static_assert(sizeof(UnblockMemoryParams) == 56);
/// MM_SUPERVISOR_VERSION_INFO_BUFFER.
struct VersionInfo {
  u32 version = 0;
  u32 patch_level = 0;
  u64 max_request_level = 4;
};
inline constexpr u64 kMemoryRp = 0x2000;
inline constexpr u64 kMemoryXp = 0x4000;
inline constexpr u64 kMemoryRo = 0x20000;
inline constexpr u64 kMemorySp = 0x40000;

}  // namespace mm::abi
