// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include "tests/support/policy_blob.hpp"
