// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// GUIDs of mu_feature_mm_supv, edk2 and PI that the supervisor, the user core and the loader use, under their own
/// names.
namespace mm::guids {

inline constexpr Guid gMmCommonRegionHobGuid = "D4FFC718-FB82-4274-9AFC-AA8B1EEF5293"_guid;
inline constexpr Guid gMmProtectedRegionHobGuid = "6C0792AC-13D7-431B-A489-032F4AF97380"_guid;
inline constexpr Guid gMmSupvUnblockRegionHobGuid = "3DEF51C5-228F-481D-821B-32EC4DF7D9C7"_guid;
inline constexpr Guid gMmSupervisorRequestHandlerGuid = "8C633B23-1260-4EA6-830F-7DDC97382111"_guid;
inline constexpr Guid gMmSupervisorDriverDispatchGuid = "2E135DA6-ADE0-4B96-9B40-B2F367E9F7F7"_guid;
inline constexpr Guid gMmSupervisorPolicyFileGuid = "81FF0793-3E18-489B-9A08-A1EB71B23D20"_guid;
inline constexpr Guid gMmSupervisorCoreGuid = "4E4C89DC-A452-4B6B-B183-F16A2A223733"_guid;
inline constexpr Guid gMmSupervisorUserGuid = "30D1CC3F-C1DB-41ED-B113-ABCE21B02BCE"_guid;
inline constexpr Guid gMmSupervisorInitGuid = "A41AD2F6-78D4-47C9-AEF1-B623D0734D63"_guid;
inline constexpr Guid gMmSupervisorRing3BrokerGuid = "BB3D60C4-210B-4076-B596-3DD298AFEA49"_guid;
inline constexpr Guid gMmSupervisorPassDownHobGuid = "3F2D2D1A-7C6A-4E2E-912E-5C4F5B8C2A9D"_guid;
inline constexpr Guid gMmSupervisorHobMemoryAllocModuleGuid = "3EFAFE72-3DBF-4341-AD04-1CB6E8B68E5E"_guid;
inline constexpr Guid gMmSupervisorDepexHobGuid = "B17F0049-AFFD-4530-ACD6-E245E19DEAF1"_guid;
inline constexpr Guid gMmRing3HandlerReadyProtocol = "D5920E08-1CAB-4AAD-B47C-8F83290B31CB"_guid;

inline constexpr Guid gMmCommBufferHobGuid = "6C2A2520-0131-4AEE-A750-CC384AACE8C6"_guid;
inline constexpr Guid gEfiSmmSmramMemoryGuid = "6DADF1D1-D4CC-4910-BB6E-82B1FD80FF3D"_guid;
inline constexpr Guid gEfiMmPeiMmramMemoryReserveGuid = "0703F912-BF8D-4E2A-BE07-AB272525C592"_guid;
inline constexpr Guid gMpInformationHobGuid = "BA33F15D-4000-45C1-8E88-F91692D457E3"_guid;
inline constexpr Guid gSmmBaseHobGuid = "C2217BA7-03BB-4F63-A647-7C25C5FC9D73"_guid;
inline constexpr Guid gMsegSmramGuid = "5802BCE4-EEEE-4E33-A130-EBAD27F0E439"_guid;
inline constexpr Guid gEfiHobMemoryAllocModuleGuid = "F8E21975-0899-4F58-A4BE-5525A9C6D77A"_guid;
inline constexpr Guid gEfiMemoryTypeInformationGuid = "4C19049F-4137-4DD3-9C10-8B97A83FFDFA"_guid;
inline constexpr Guid gEfiHobListGuid = "7739F24C-93D7-11D4-9A3A-0090273FC14D"_guid;
inline constexpr Guid gEfiMmCommunicateHeaderV3Guid = "68E8C853-2BA9-4DD7-9AC0-91E16155C935"_guid;
inline constexpr Guid gEfiLoadedImageProtocolGuid = "5B1B31A1-9562-11D2-8E3F-00A0C969723B"_guid;
inline constexpr Guid gEfiMmCpuProtocolGuid = "EB346B97-975F-4A9F-8B22-F8E92BB3D569"_guid;
inline constexpr Guid gSmmExceptionTestProtocolGuid = "B76383A1-0E70-4A3F-86B4-C6134C8E5723"_guid;
inline constexpr Guid gEfiMmCpuIoProtocolGuid = "3242A9D8-CE70-4AA0-955D-5E7B140DE4D2"_guid;
inline constexpr Guid gEfiMmConfigurationProtocolGuid = "26EEB3DE-B689-492E-80F0-BE8BD7DA4BA7"_guid;

inline constexpr Guid gEventMmDispatchGuid = "7E6EFFFA-69B4-4C1B-A4C7-AFF9C9244FEE"_guid;
inline constexpr Guid gEfiMmEndOfPeiProtocol = "F33E1BF3-980B-4BFB-A29A-B29C86453732"_guid;
inline constexpr Guid gEfiEndOfDxeEventGroupGuid = "02CE967A-DD7E-4FFC-9EE7-810CF0470880"_guid;
inline constexpr Guid gEfiMmEndOfDxeProtocolGuid = "24E70042-D5C5-4260-8C39-0AD3AA32E93D"_guid;
inline constexpr Guid gEfiDxeMmReadyToLockProtocolGuid = "60FF8964-E906-41D0-AFED-F241E974E08E"_guid;
inline constexpr Guid gEfiMmReadyToLockProtocolGuid = "47B7FA8C-F4BD-4AF6-8200-333086F0D2C8"_guid;
inline constexpr Guid gEfiEventReadyToBootGuid = "7CE88FB3-4BD7-4679-87A8-A8D8DEE50D2B"_guid;
inline constexpr Guid gEfiEventExitBootServicesGuid = "27ABF055-B1B8-4C26-8048-748F37BAA2DF"_guid;

inline constexpr Guid gEfiFirmwareFileSystem2Guid = "8C8CE578-8A3D-4F1C-9935-896185C32DD3"_guid;
inline constexpr Guid gEfiFirmwareFileSystem3Guid = "5473C07A-3DCB-4DCA-BD6F-1E9689E7349A"_guid;
inline constexpr Guid gAprioriFileGuid = "FC510EE7-FFDC-11D4-BD41-0080C73C8881"_guid;

}  // namespace mm::guids
