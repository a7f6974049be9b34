// SPDX-License-Identifier: BSD-2-Clause-Patent
// A misspelt GUID is a compile-time error.
#include "core/base/guid.hpp"

using mm::operator""_guid;
#ifdef MM_MISUSE
inline constexpr mm::Guid kGuid = "8C633B23-1260-4EA6-830F-7DDC9738211"_guid;
#else
inline constexpr mm::Guid kGuid = "8C633B23-1260-4EA6-830F-7DDC97382111"_guid;
#endif
