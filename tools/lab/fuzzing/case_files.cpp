// SPDX-License-Identifier: BSD-2-Clause-Patent
// The folder of a machine: its scenario, written anew, and copies of all files that it names.
#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <sstream>

#include "tools/lab/fuzzing/driver_case.hpp"
#include "tools/lab/symbols/debug_file.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDrivers = "drivers";  ///< folder of the copies

std::expected<void, std::string> make_folder(fs::path const& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  return fs::is_directory(folder) ? std::expected<void, std::string>{}
                                  : std::unexpected(folder.string() + ": not a folder that can be written");
}

/// Puts files below kDrivers, each under a name of its own.
class Copies {
 public:
  explicit Copies(fs::path folder) : folder_(std::move(folder)) {}

  /// The name, from the case's folder, under which `bytes` are now.
  std::expected<std::string, std::string> put(std::string const& name, std::span<std::byte const> bytes) {
    auto const path = fs::path{kDrivers} / unused(name);
    MM_TRY(make_folder(folder_ / kDrivers));
    MM_TRY(write_file(folder_ / path, bytes));
    return path.string();
  }
  /// The same of a file, with those that belong to it: expression, GUID, and what the linker knew.
  std::expected<std::string, std::string> copy(fs::path const& file) {
    MM_TRY_ASSIGN(auto const bytes, read_file(file));
    MM_TRY_ASSIGN(auto const name, put(file.filename().string(), bytes));
    MM_TRY(copy_debug_files(file, folder_ / name));
    for (auto const* const kind : {".depex", ".guid"}) {
      auto const beside = fs::path{file}.replace_extension(kind);
      if (beside != file && fs::is_regular_file(beside)) {
        MM_TRY_ASSIGN(auto const more, read_file(beside));
        MM_TRY(write_file((folder_ / name).replace_extension(kind), more));
      }
    }
    return name;
  }

 private:
  std::string unused(std::string name) {
    std::ranges::replace_if(
        name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-'; }, '_');
    auto const path = fs::path{name};
    for (unsigned n = 2; !taken_.insert(name).second; ++n) {
      name = fmt::format("{}_{}{}", path.stem().string(), n, path.extension().string());
    }
    return name;
  }

  fs::path folder_;
  std::set<std::string> taken_;
};

std::expected<void, std::string> save(fs::path const& folder, toml::table const& root) {
  std::ostringstream text;
  text << "# The machine of `mmsim fuzz driver`; its findings begin with it.\n" << root << '\n';
  auto const all = text.str();
  return write_file(folder / kCaseFile, std::as_bytes(std::span{all}));
}

std::expected<toml::table, std::string> image_table(Copies& copies, ImageSpec const& image) {
  toml::table t;
  Bytes content;
  if (image.content) {
    content = *image.content;
  } else {
    MM_TRY_ASSIGN(content, read_file(image.file));
  }
  auto const stem = image.file.stem().empty() ? image.name : image.file.stem().string();
  MM_TRY_ASSIGN(auto const path, copies.put(stem + ".efi", content));
  t.insert("path", path);
  t.insert("guid", format_guid(image.guid));
  if (image.depex_content) {
    MM_TRY_ASSIGN(auto const depex, copies.put(stem + ".depex", *image.depex_content));
    t.insert("depex", depex);
  }
  return t;
}

std::expected<toml::table, std::string> flash_table(Copies& copies, DeviceSpec const& flash) {
  toml::table t{{"kind", "flash"},
                {"at", static_cast<std::int64_t>(flash.base)},
                {"bytes", static_cast<std::int64_t>(flash.bytes)}};
  if (!flash.content.empty()) {
    MM_TRY_ASSIGN(auto const file, copies.put("flash.bin", flash.content));
    t.insert("file", file);
  }
  return t;
}

/// What the scenario says of the guard itself stays.
void turn_on(toml::table& root, CaseGuard guard) {
  if (!root.contains("machine")) {
    root.insert("machine", toml::table{});
  }
  if (auto* const machine = root["machine"].as_table()) {
    machine->insert("heap_guard", guard.heap);
    machine->insert("message_guard", guard.messages);
  }
}

/// Rewrites the tables of a scenario.
class Rewriter {
 public:
  Rewriter(fs::path folder, fs::path scenario, fs::path images)
      : copies_(std::move(folder)), home_(fs::absolute(scenario).parent_path()), images_(std::move(images)) {}

  std::expected<void, std::string> root(toml::table& t) {
    t.erase("expect");
    for (auto const* const key : {"step", "images", "hob", "device"}) {
      if (auto* const array = t[key].as_array()) {
        for (auto& node : *array) {
          if (auto* const one = node.as_table()) {
            one->is_inline(false);
            one->erase("expect");
            one->erase("writes");
          }
        }
      }
    }
    return files(t);
  }

 private:
  std::expected<void, std::string> files(toml::table& t) {
    if (auto const driver = t["driver"].value<std::string>()) {
      MM_TRY_ASSIGN(auto const name, copies_.copy(images_ / (*driver + ".efi")));
      t.erase("driver");
      t.insert_or_assign("path", name);
    } else {
      for (auto const* const key : {"path", "depex", "fv", "drivers", "xml", "blob", "file"}) {
        auto const file = t[key].value<std::string>();
        if (file) {
          MM_TRY_ASSIGN(auto const name, copies_.copy(fs::path{*file}.is_absolute() ? fs::path{*file} : home_ / *file));
          t.insert_or_assign(key, name);
        }
      }
    }
    for (auto&& [key, node] : t) {
      MM_TRY(below(node));
    }
    return {};
  }
  std::expected<void, std::string> below(toml::node& node) {
    if (auto* const t = node.as_table()) {
      return files(*t);
    }
    if (auto* const array = node.as_array()) {
      for (auto& one : *array) {
        MM_TRY(below(one));
      }
    }
    return {};
  }

  Copies copies_;
  fs::path home_;
  fs::path images_;
};

}  // namespace

std::expected<void, std::string> write_case(fs::path const& folder, CaseSource const& source, CaseGuard guard) {
  MM_TRY(make_folder(folder));
  Copies copies{folder};
  toml::array images;
  for (auto const& image : source.drivers.images) {
    MM_TRY_ASSIGN(auto t, image_table(copies, image));
    MM_TRY(copy_debug_files(image.file, folder / t["path"].value_or(std::string{})));
    images.push_back(std::move(t));
  }
  toml::array hobs;
  for (auto const& hob : source.hobs) {
    hobs.push_back(toml::table{{"guid", format_guid(hob.name)}, {"hex", hex_digits(hob.data)}});
  }
  toml::table root{{"schema", 1}, {"name", "a machine to fuzz"}};
  root.insert("machine", toml::table{{"cpus", source.cpus}, {"fault_policy", "contain"}});
  turn_on(root, guard);
  if (!images.empty()) {
    root.insert("images", std::move(images));
  }
  if (!hobs.empty()) {
    root.insert("hob", std::move(hobs));
  }
  if (source.flash) {
    MM_TRY_ASSIGN(auto t, flash_table(copies, *source.flash));
    root.insert("device", toml::array{std::move(t)});
  }
  if (!source.policy.empty()) {
    MM_TRY_ASSIGN(auto const blob, copies.put("policy.bin", source.policy));
    root.insert("policy", toml::table{{"blob", blob}});
  }
  return save(folder, root);
}

std::expected<void, std::string> write_case(fs::path const& folder, fs::path const& scenario, fs::path const& images,
                                            CaseGuard guard) {
  MM_TRY(load_scenario(scenario, images));  // its problems with their lines
  MM_TRY(make_folder(folder));
  auto root = toml::parse_file(scenario.string());
  MM_TRY(Rewriter(folder, scenario, images).root(root));
  turn_on(root, guard);
  return save(folder, root);
}

}  // namespace mm::lab
