// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <array>
#include <string_view>

#include "tools/lab/scan/scan_code.hpp"

namespace mm::lab {
namespace {

/// Services from offset 0x18 on, 8 bytes each (UEFI 2.10, 4.4 and 4.5).
constexpr std::array<std::string_view, 44> kBootServices{"RaiseTPL",
                                                         "RestoreTPL",
                                                         "AllocatePages",
                                                         "FreePages",
                                                         "GetMemoryMap",
                                                         "AllocatePool",
                                                         "FreePool",
                                                         "CreateEvent",
                                                         "SetTimer",
                                                         "WaitForEvent",
                                                         "SignalEvent",
                                                         "CloseEvent",
                                                         "CheckEvent",
                                                         "InstallProtocolInterface",
                                                         "ReinstallProtocolInterface",
                                                         "UninstallProtocolInterface",
                                                         "HandleProtocol",
                                                         "Reserved",
                                                         "RegisterProtocolNotify",
                                                         "LocateHandle",
                                                         "LocateDevicePath",
                                                         "InstallConfigurationTable",
                                                         "LoadImage",
                                                         "StartImage",
                                                         "Exit",
                                                         "UnloadImage",
                                                         "ExitBootServices",
                                                         "GetNextMonotonicCount",
                                                         "Stall",
                                                         "SetWatchdogTimer",
                                                         "ConnectController",
                                                         "DisconnectController",
                                                         "OpenProtocol",
                                                         "CloseProtocol",
                                                         "OpenProtocolInformation",
                                                         "ProtocolsPerHandle",
                                                         "LocateHandleBuffer",
                                                         "LocateProtocol",
                                                         "InstallMultipleProtocolInterfaces",
                                                         "UninstallMultipleProtocolInterfaces",
                                                         "CalculateCrc32",
                                                         "CopyMem",
                                                         "SetMem",
                                                         "CreateEventEx"};
constexpr std::array<std::string_view, 14> kRuntimeServices{"GetTime",
                                                            "SetTime",
                                                            "GetWakeupTime",
                                                            "SetWakeupTime",
                                                            "SetVirtualAddressMap",
                                                            "ConvertPointer",
                                                            "GetVariable",
                                                            "GetNextVariableName",
                                                            "SetVariable",
                                                            "GetNextHighMonotonicCount",
                                                            "ResetSystem",
                                                            "UpdateCapsule",
                                                            "QueryCapsuleCapabilities",
                                                            "QueryVariableInfo"};

std::string service_name(std::span<std::string_view const> names, u32 offset) {
  u32 const index = (offset - 0x18) / 8;
  return offset >= 0x18 && offset % 8 == 0 && index < names.size() ? std::string{names[index]}
                                                                   : fmt::format("service at {:#x}", offset);
}

}  // namespace

std::string boot_service_name(u32 offset) { return service_name(kBootServices, offset); }
std::string runtime_service_name(u32 offset) { return service_name(kRuntimeServices, offset); }

}  // namespace mm::lab
