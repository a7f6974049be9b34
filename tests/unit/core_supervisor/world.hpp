// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tests/support/supervisor_world.hpp"
