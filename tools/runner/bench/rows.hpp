// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <expected>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

/// What `mmsim bench` says: rows of a table, the machine that they were measured on, and an older run beside them.
namespace mm::runner::bench {

/// One line of the table.
struct Row {
  std::string id;
  std::string title;
  double value = 0;
  std::string unit;  ///< of a rate it ends in "/s": more is better; of the others less is
  std::string goal;  ///< empty: none
  std::optional<bool> met;
};

Row at_least(std::string id, std::string title, double value, double goal);
Row below(std::string id, std::string title, double value, std::string unit, double goal);

/// Values of an older run by the id of their rows.
using OldValues = std::map<std::string, double>;
/// Reads what `mmsim bench --json` wrote. Error: a sentence, with the file.
std::expected<OldValues, std::string> load_old(std::filesystem::path const& file);
/// How a row compares with the older run: "x1.42", above 1 when it became better. Empty: it has no such row.
std::string ratio(Row const& row, OldValues const& old);

void print(std::vector<Row> const& rows, OldValues const& old);
nlohmann::json to_json(std::vector<Row> const& rows, OldValues const& old);
/// What the figures depend on: processor, how many and how loaded, kernel, compiler and its flags, versions.
nlohmann::json machine_facts();

}  // namespace mm::runner::bench
