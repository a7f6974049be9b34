// SPDX-License-Identifier: BSD-2-Clause-Patent
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/lab/firmware/volume_listing.hpp"
#include "tools/lab/text/json_text.hpp"
#include "tools/runner/commands.hpp"
#include "tools/runner/send/list.hpp"

namespace mm::runner {
namespace {

namespace fs = std::filesystem;
using namespace mm::lab;
using nlohmann::json;

std::string flavour(ListedImage const& i) { return i.te ? "TE" : i.supervised ? "supervised" : "standard"; }

// --- JSON -----------------------------------------------------------------------------------------------------------
json to_json(ListedImage const& i) {
  json sections = json::array();
  for (auto const& s : i.sections) {
    sections.push_back({{"name", s.name}, {"rva", s.rva}, {"bytes", s.bytes}, {"attributes", s.rights}});
  }
  json out{{"format", i.te ? "TE" : "PE32"}, {"machine", i.machine},  {"entry", i.entry}, {"bytes", i.bytes},
           {"sections", sections},           {"loadable", i.loadable}};
  if (!i.te) {
    out["alignment"] = i.alignment;
  }
  out["subsystem"] = subsystem_name(i.subsystem);
  out["malformed"] = i.malformed;
  if (i.loadable) {
    out["flavour"] = flavour(i);
    out["relocations"] = i.relocations;
  } else {
    out["problem"] = i.problem;
  }
  return out;
}

json to_json(std::vector<ListedVolume> const& volumes);

json to_json(ListedFile const& f) {
  json sections = json::array();
  for (auto const& s : f.sections) {
    json one{{"type", section_type_name(s.type)}, {"bytes", s.bytes}, {"depth", s.depth}};
    if (!s.note.empty()) {
      one["note"] = s.note;
    }
    sections.push_back(std::move(one));
  }
  json out{{"guid", format_guid(f.name)}, {"type", f.type},         {"type_name", file_type_name(f.type)},
           {"offset", f.offset},          {"bytes", f.bytes},       {"name", f.ui},
           {"sections", sections},        {"problems", f.problems}, {"remarks", f.remarks}};
  if (f.depex) {
    out["depex"] = f.depex_words;
  }
  for (auto const& other : f.other_depexes) {
    out["other_depexes"].push_back({{"section", section_type_name(other.type)}, {"words", other.words}});
  }
  if (f.superseded_by) {
    out["superseded_by"] = *f.superseded_by;
  }
  if (!f.apriori.empty()) {
    json list = json::array();
    for (auto const& guid : f.apriori) {
      list.push_back(format_guid(guid));
    }
    out["apriori"] = std::move(list);
  }
  if (f.image) {
    out["image"] = to_json(*f.image);
  }
  if (!f.volumes.empty()) {
    out["volumes"] = to_json(f.volumes);
  }
  return out;
}

json to_json(std::vector<ListedVolume> const& volumes) {
  json out = json::array();
  for (auto const& v : volumes) {
    json files = json::array();
    for (auto const& f : v.files) {
      files.push_back(to_json(f));
    }
    out.push_back({{"where", v.where},
                   {"bytes", v.bytes},
                   {"file_system", v.file_system},
                   {"pads", v.pads},
                   {"files", files},
                   {"problems", v.problems},
                   {"remarks", v.remarks}});
  }
  return out;
}

json to_json(fs::path const& path, Listing const& l, bool mm_only) {
  json out{{"file", path.string()}, {"kind", l.kind}, {"problems", l.problems}, {"remarks", l.remarks}};
  if (mm_only) {
    out["modules"] = json::array();
    for (auto const* module : mm_modules(l.volumes)) {
      out["modules"].push_back(to_json(*module));
    }
  } else {
    out["volumes"] = to_json(l.volumes);
  }
  if (l.image) {
    out["image"] = to_json(*l.image);
  }
  return out;
}

// --- text -----------------------------------------------------------------------------------------------------------
void print(ListedImage const& i, std::string const& indent) {
  if (i.loadable) {
    fmt::print("{}PE32+ {}, {}, {} flavour, {:#x} bytes, entry {:#x}, alignment {:#x}, {} relocations\n", indent,
               i.machine, subsystem_name(i.subsystem), flavour(i), i.bytes, i.entry, i.alignment, i.relocations);
  } else if (i.te) {
    fmt::print("{}TE {}, {}, {:#x} bytes, entry {:#x}{}\n", indent, i.machine, subsystem_name(i.subsystem), i.bytes,
               i.entry, i.malformed ? "; malformed: its section table is cut off" : "");
  } else if (i.machine.empty()) {
    fmt::print("{}PE image; malformed: {}\n", indent, i.problem);
  } else {
    fmt::print("{}PE {}, {}, {:#x} bytes, entry {:#x}, alignment {:#x}; {}: {}\n", indent, i.machine,
               subsystem_name(i.subsystem), i.bytes, i.entry, i.alignment,
               i.malformed ? "malformed" : "not loadable here", i.problem);
  }
  std::string line;
  for (auto const& s : i.sections) {
    line += fmt::format("{}{} {} {:#x}+{:#x}", line.empty() ? "" : ", ", s.name, s.rights, s.rva, s.bytes);
  }
  if (!line.empty()) {
    fmt::print("{}  {}\n", indent, line);
  }
}

void print_notes(std::vector<std::string> const& problems, std::vector<std::string> const& remarks,
                 std::string const& indent) {
  for (auto const& p : problems) {
    fmt::print("{}problem: {}\n", indent, p);
  }
  for (auto const& r : remarks) {
    fmt::print("{}note: {}\n", indent, r);
  }
}

void print(std::vector<ListedVolume> const& volumes, std::string const& indent);

void print(ListedFile const& f, std::string const& indent) {
  fmt::print("{}{} {}{}{}, {} bytes\n", indent, format_guid(f.name), file_type_name(f.type), f.ui.empty() ? "" : " ",
             f.ui, f.bytes);
  auto const deeper = indent + "    ";
  std::vector<std::string> sections;
  for (auto const& s : f.sections) {
    sections.push_back(section_type_name(s.type) + (s.note.empty() ? "" : " (" + s.note + ")"));
  }
  if (!sections.empty()) {
    fmt::print("{}sections: {}\n", deeper, fmt::join(sections, ", "));
  }
  if (f.depex) {
    fmt::print("{}depex: {}\n", deeper, fmt::join(f.depex_words, ", "));
  }
  for (auto const& other : f.other_depexes) {
    fmt::print("{}{}, which does not count here: {}\n", deeper, section_type_name(other.type),
               fmt::join(other.words, ", "));
  }
  if (f.superseded_by) {
    fmt::print("{}marked for update: the file at {:#x} counts\n", deeper, *f.superseded_by);
  }
  if (!f.apriori.empty()) {
    std::vector<std::string> names;
    for (auto const& guid : f.apriori) {
      names.push_back(format_guid(guid));
    }
    fmt::print("{}a-priori, not honoured by a Standalone MM core: {}\n", deeper, fmt::join(names, ", "));
  }
  if (f.image) {
    print(*f.image, deeper);
  }
  print_notes(f.problems, f.remarks, deeper);
  print(f.volumes, deeper);
}

void print(std::vector<ListedVolume> const& volumes, std::string const& indent) {
  for (auto const& v : volumes) {
    fmt::print("{}volume {}: {}, {:#x} bytes", indent, v.where, v.file_system, v.bytes);
    if (v.ffs) {
      fmt::print(", {} file{}{}", v.files.size(), v.files.size() == 1 ? "" : "s",
                 v.pads == 0 ? "" : fmt::format(" and {} pad files", v.pads));
    }
    fmt::print("\n");
    for (auto const& f : v.files) {
      print(f, indent + "  ");
    }
    print_notes(v.problems, v.remarks, indent + "  ");
  }
}

void print_modules(Listing const& l) {
  auto const modules = mm_modules(l.volumes);
  for (auto const* module : modules) {
    print(*module, "  ");
  }
  fmt::print("  {} MM module{}\n", modules.size(), modules.size() == 1 ? "" : "s");
  if (auto const problems = count_problems(l.volumes); problems != 0) {
    fmt::print("  {} problems in the volumes: without --mm each is listed\n", problems);
  }
}

void print(fs::path const& path, Listing const& l, bool mm_only) {
  fmt::print("{}: {}\n", path.string(), l.kind);
  if (l.image) {
    print(*l.image, "  ");
  } else if (mm_only) {
    print_modules(l);
  } else {
    print(l.volumes, "  ");
  }
  print_notes(l.problems, l.remarks, "  ");
}

bool is_malformed(Listing const& l) {
  return !l.problems.empty() || count_problems(l.volumes) != 0 || (l.image && l.image->malformed);
}

struct ImagesOptions {
  std::vector<std::filesystem::path> files;
  bool mm_only = false;
  bool handlers = false;  ///< of a volume list the MM modules alone
  bool json = false;
};

/// Lists what is in volumes, flash images and PE images.
/// Boots the drivers of all files together, and tells what they answer to. An image may be FILE.efi:FILE.depex.
int handlers_command(ImagesOptions const& o) {
  MachineOptions machine;
  for (auto const& path : o.files) {
    auto const text = path.string();
    if (text.ends_with(".efi") || text.find(".efi:") != std::string::npos) {
      machine.images.push_back(text);
    } else {
      machine.volumes.push_back(path);
    }
  }
  auto const found = find_interfaces(machine);
  if (!found) {
    std::cerr << "mmsim: " << found.error() << '\n';
    return kBadInput;
  }
  return print_interfaces(*found, o.json);
}

int images_command(ImagesOptions const& o) {
  int code = kPassed;
  json results = json::array();
  for (auto const& path : o.files) {
    auto const bytes = read_file(path);
    auto const listing = bytes ? list_images(*bytes) : std::unexpected(bytes.error());
    if (!listing) {
      std::cerr << "mmsim: " << (bytes ? path.string() + ": " : "") << listing.error() << '\n';
      code = kBadInput;
      continue;
    }
    code = is_malformed(*listing) ? int{kBadInput} : code;
    if (o.json) {
      results.push_back(to_json(path, *listing, o.mm_only));
    } else {
      print(path, *listing, o.mm_only);
    }
  }
  if (o.json) {
    std::cout << json_text({{"schema", 1}, {"results", results}});
  }
  return code;
}

}  // namespace

Command add_images_command(Arguments program) {
  auto const o = std::make_shared<ImagesOptions>();
  auto images = program.command("images", "List what is in firmware volumes, flash images and PE images");
  images.option("FILE", o->files, "Volumes (.fv), flash images (.fd), files of a volume (.ffs), images (.efi)")
      .required();
  images.flag("--mm", o->mm_only, "Of volumes only the MM modules: drivers and cores, traditional and standalone");
  images.flag("--handlers", o->handlers,
              "Boot them in the simulator: which MMI handlers each driver registers, what it waits for and uses");
  images.flag("--json", o->json, "One JSON object on standard output instead of text");
  images.footer(
      "Exit code 2: a file is malformed; what and where is in the list (problem:). What is not opened (note:) is no\n"
      "damage: other file systems than FFS2 and FFS3, Tiano and vendors' compression. At most 100,000 files and\n"
      "sections are listed, 8 volumes and sections inside one another, 256 MiB unpacked.\n"
      "Examples:\n"
      "  mmsim images /usr/share/OVMF/OVMF_CODE_4M.secboot.fd         everything, nested and compressed volumes too\n"
      "  mmsim images --mm /usr/share/OVMF/OVMF_CODE_4M.secboot.fd    its MM modules");
  return {images, [o] { return o->handlers ? handlers_command(*o) : images_command(*o); }};
}

}  // namespace mm::runner
