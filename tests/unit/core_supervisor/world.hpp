// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

// The name that tests outside this tree include.

#include "tests/support/supervisor_world.hpp"
