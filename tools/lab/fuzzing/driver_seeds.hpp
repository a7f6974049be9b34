// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/lab/fuzzing/driver_case.hpp"

/// Inputs with which `mmsim fuzz driver` begins.
namespace mm::lab {

/// The messages of the communicate steps to one of `handlers`: each alone, then all of them in order.
std::vector<Bytes> seeds_of(Scenario const& scenario, std::vector<Guid> const& handlers);

/// A file of messages (`mmsim send --messages`): as seeds_of(). A folder: each .jsonl file as such, any other file as a
/// message to each handler. Error: a sentence with the file; it is malformed, or there is nothing in it.
std::expected<std::vector<Bytes>, std::string> read_seeds(std::filesystem::path const& path,
                                                          std::vector<Guid> const& handlers);

/// An input for each handler: no byte, and a few zero bytes.
std::vector<Bytes> plain_seeds(std::vector<Guid> const& handlers);

}  // namespace mm::lab
