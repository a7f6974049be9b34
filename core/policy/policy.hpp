// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

/// Secure policy (core/policy/FORMAT.md): what ring 3 may ask the supervisor to do for it. The blob, whether it is
/// valid, what it answers.

// IWYU pragma: begin_exports
#include "core/policy/blob.hpp"
#include "core/policy/decision.hpp"
#include "core/policy/validation.hpp"
// IWYU pragma: end_exports
