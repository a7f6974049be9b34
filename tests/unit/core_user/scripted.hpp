// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tests/support/scripted_ring3.hpp"
