// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/symbols/debug_file.hpp"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <vector>

#include "tools/lab/symbols/pe_view.hpp"
#include "tools/lab/text/temporary_folder.hpp"

namespace mm::lab {
namespace {

namespace fs = std::filesystem;

bool is_file(fs::path const& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// Whether the names of sections in a PE or ELF file are there for lines of DWARF.
bool has_lines(std::span<std::byte const> file) {
  constexpr std::string_view kSection = ".debug_line";
  std::string_view const text{reinterpret_cast<char const*>(file.data()), file.size()};
  return text.find(kSection) != std::string_view::npos;
}

/// The file with DWARF at `path`. An ELF file of which an image was made has the addresses of the image.
std::optional<DebugFile> with_lines(fs::path const& path) {
  if (!is_file(path)) {
    return std::nullopt;
  }
  auto const bytes = read_file(path);
  if (!bytes || !has_lines(*bytes)) {
    return std::nullopt;
  }
  return DebugFile{fs::absolute(path), PeView{*bytes}.image_base(), true};
}

/// Whether the image is the file of its name: one out of a volume is not.
bool is_on_disk(ImageFile const& image) {
  if (!is_file(image.file)) {
    return false;
  }
  auto const bytes = image.content ? read_file(image.file) : std::expected<Bytes, std::string>{};
  return !image.content || (bytes && *bytes == *image.content);
}

/// The last part of a path that may be of Windows.
std::string file_name(std::string const& path) {
  auto const at = path.find_last_of("/\\");
  return at == std::string::npos ? path : path.substr(at + 1);
}

std::vector<fs::path> beside(fs::path const& image, std::string const& extension) {
  fs::path const name = image.stem().string() + extension;
  fs::path const folder = image.parent_path();
  return {folder / name, folder / ".." / "DEBUG" / name};
}

/// The symbolizer looks for a PDB by the name in the image alone, at its path and beside the image: links to an image
/// and to a PDB of another name, as long as the program runs.
class PdbLinks {
 public:
  /// The link to the image, beside one to `pdb` that is called `named`; nothing: it cannot be made.
  std::optional<fs::path> link(fs::path const& image, fs::path const& pdb, std::string const& named) {
    auto const folder = folder_.path() / std::to_string(++count_);
    std::error_code error;
    if (folder_.path().empty() || !fs::create_directory(folder, error)) {
      return std::nullopt;
    }
    fs::create_symlink(fs::absolute(image), folder / image.filename(), error);
    fs::create_symlink(fs::absolute(pdb), folder / file_name(named), error);
    return error ? std::nullopt : std::optional{folder / image.filename()};
  }

 private:
  TemporaryFolder folder_;
  unsigned count_ = 0;
};

/// The image as the symbolizer finds its PDB; nothing: there is none.
std::optional<fs::path> with_pdb(fs::path const& image, std::string const& named) {
  if (is_file(named) || is_file(image.parent_path() / file_name(named))) {
    return fs::absolute(image);
  }
  static std::mutex mutex;
  static PdbLinks links;
  for (auto const& pdb : beside(image, ".pdb")) {
    if (is_file(pdb)) {
      std::scoped_lock const lock{mutex};
      return links.link(image, pdb, named);
    }
  }
  return std::nullopt;
}

}  // namespace

std::shared_ptr<Bytes const> ImageFile::bytes() const {
  if (content) {
    return content;
  }
  auto read = is_file(file) ? read_file(file) : std::unexpected(std::string{});
  return std::make_shared<Bytes const>(read ? std::move(*read) : Bytes{});
}

std::optional<DebugFile> find_debug_file(ImageFile const& image) {
  auto const bytes = image.bytes();
  PeView const view{*bytes};
  std::vector<fs::path> places;
  bool const on_disk = is_on_disk(image);
  if (on_disk) {
    places.push_back(image.file);
  }
  for (char const* const extension : {".debug.efi", ".debug"}) {
    std::ranges::copy(beside(image.file, extension), std::back_inserter(places));
  }
  auto const named = view.debug_path();
  if (named && !view.names_pdb()) {
    fs::path const there = *named;
    places.insert(places.end(), {there, fs::path{there}.replace_extension(".debug")});
    std::ranges::copy(beside(image.file.parent_path() / file_name(*named), ".debug"), std::back_inserter(places));
    places.push_back(image.file.parent_path() / file_name(*named));
  }
  for (auto const& place : places) {
    if (auto found = with_lines(place)) {
      return found;
    }
  }
  if (!on_disk || !named || !view.names_pdb()) {
    return std::nullopt;
  }
  auto const object = with_pdb(image.file, *named);
  return object ? std::optional{DebugFile{*object, view.image_base(), false}} : std::nullopt;
}

std::expected<void, std::string> copy_debug_files(fs::path const& image, fs::path const& copy) {
  for (char const* const extension : {".debug.efi", ".debug", ".map", ".pdb"}) {
    auto const places = beside(image, extension);
    auto const found = std::ranges::find_if(places, is_file);
    if (found != places.end()) {
      MM_TRY_ASSIGN(auto const bytes, read_file(*found));
      MM_TRY(write_file(copy.parent_path() / (copy.stem().string() + extension), bytes));
    }
  }
  return {};
}

fs::path find_map_file(ImageFile const& image) {
  auto const places = beside(image.file, ".map");
  auto const found = std::ranges::find_if(places, is_file);
  return found == places.end() ? fs::path{} : *found;
}

}  // namespace mm::lab
