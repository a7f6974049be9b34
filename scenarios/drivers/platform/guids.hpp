// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "core/base/guid.hpp"

/// Protocols that the platform drivers produce (PI 1.8 vol. 3 and 4, MdePkg.dec).
namespace platform_driver {

inline constexpr mm::Guid kSwDispatch = mm::operator""_guid("18A3C6DC-5EEA-48C8-A1C1-B53389F98999", 36);
inline constexpr mm::Guid kSxDispatch = mm::operator""_guid("456D2859-A84B-4E47-A2EE-3276D886997D", 36);
inline constexpr mm::Guid kTimerDispatch = mm::operator""_guid("4CEC368E-8E8E-4D71-8BE1-958C45FC8A53", 36);
inline constexpr mm::Guid kPowerButton = mm::operator""_guid("1B1183FA-1823-46A7-8872-9C578755409D", 36);
inline constexpr mm::Guid kStandbyButton = mm::operator""_guid("7300C4A1-43F2-4017-A51B-C81A7F40585B", 36);
inline constexpr mm::Guid kMmMp = mm::operator""_guid("5D5450D7-990C-4180-A803-8E63F0608307", 36);
inline constexpr mm::Guid kFvb = mm::operator""_guid("D326D041-BD31-4C01-B5A8-628BE87F0653", 36);

}  // namespace platform_driver
