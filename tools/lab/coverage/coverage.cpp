// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/coverage/coverage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/lab/symbols/pe_view.hpp"
#include "tools/lab/tell/places.hpp"
#include "tools/lab/text/bytes.hpp"
#include "tools/lab/text/json_text.hpp"

namespace mm::lab {
namespace {

using nlohmann::json;

constexpr u64 kMostBytes = 1ull << 32;  ///< of an image

/// A number below `limit`; nothing for anything else.
std::optional<u64> number(json const& object, char const* key, u64 limit = ~u64{0}) {
  auto const at = object.find(key);
  bool const good = at != object.end() && at->is_number_unsigned() && at->get<u64>() < limit;
  return good ? std::optional{at->get<u64>()} : std::nullopt;
}
std::optional<std::string> text(json const& object, char const* key) {
  auto const at = object.find(key);
  return at != object.end() && at->is_string() ? std::optional{at->get<std::string>()} : std::nullopt;
}

json to_json(ImageCoverage const& image) {
  json blocks = json::array();
  for (auto const& [offset, block] : image.blocks) {
    blocks.push_back({offset, block.bytes, block.count});
  }
  return {{"name", image.name}, {"file", image.file.file.string()},
          {"hash", image.hash}, {"bytes", image.bytes},
          {"base", image.base}, {"entry", image.entry},
          {"core", image.core}, {"blocks", std::move(blocks)}};
}

std::optional<ImageCoverage> image_of(json const& one) {
  if (!one.is_object() || !one.contains("blocks") || !one["blocks"].is_array() || !one.contains("core") ||
      !one["core"].is_boolean()) {
    return std::nullopt;
  }
  auto const name = text(one, "name");
  auto const file = text(one, "file");
  auto const hash = number(one, "hash");
  auto const bytes = number(one, "bytes", kMostBytes);
  auto const base = number(one, "base");
  auto const entry = number(one, "entry", kMostBytes);
  if (!name || !file || !hash || !bytes || !base || !entry) {
    return std::nullopt;
  }
  ImageCoverage out{*name, {*file, nullptr}, *hash, *bytes, *base, *entry, one["core"].get<bool>(), {}};
  for (auto const& block : one["blocks"]) {
    bool const good = block.is_array() && block.size() == 3 &&
                      std::ranges::all_of(block, [](json const& n) { return n.is_number_unsigned(); });
    if (!good || block[0].get<u64>() >= *bytes || block[1].get<u64>() > *bytes) {
      return std::nullopt;
    }
    out.blocks[block[0].get<u64>()] = {static_cast<u32>(block[1].get<u64>()), block[2].get<u64>()};
  }
  return out;
}

void add_blocks(ImageCoverage& to, std::map<u64, ImageCoverage::Block> const& more) {
  for (auto const& [offset, block] : more) {
    auto& mine = to.blocks[offset];
    mine.bytes = std::max(mine.bytes, block.bytes);
    mine.count += block.count;
  }
}

}  // namespace

ImageCoverage& Coverage::image(std::string const& name, u64 hash) { return images_[{name, hash}]; }

void Coverage::add(Prepared const& p, MachineRun const& run) {
  if (run.witness.blocks.empty()) {
    return;
  }
  CodePlaces const places{p, run.trace};
  for (auto const& placed : places.images()) {
    if (!placed.user) {
      continue;  // ring 0 is not executed by the engine
    }
    auto const from = std::ranges::lower_bound(run.witness.blocks, placed.where.base, {}, &sim::BlockCount::address);
    auto const bytes = placed.file.bytes();
    ImageCoverage& mine = image(placed.name, fnv1a(*bytes));
    if (mine.name.empty()) {
      mine.name = placed.name;
      mine.hash = fnv1a(*bytes);
      mine.file = {placed.file.file, placed.file.content ? bytes : nullptr};
      if (placed.file.content) {
        mine.file.content = std::make_shared<Bytes const>(*bytes);  // what was prepared may go
      }
    }
    mine.bytes = placed.where.size;
    mine.base = placed.where.base;
    mine.entry = PeView{*bytes}.entry();
    mine.core = placed.core;
    std::map<u64, ImageCoverage::Block> blocks;
    for (auto at = from; at != run.witness.blocks.end() && at->address < placed.where.end(); ++at) {
      blocks[at->address - placed.where.base] = {at->bytes, at->count};
    }
    add_blocks(mine, blocks);
  }
}

void Coverage::add(Coverage const& other) {
  for (auto const& [key, theirs] : other.images_) {
    auto const [at, is_new] = images_.try_emplace(key, theirs);
    if (!is_new) {
      add_blocks(at->second, theirs.blocks);
    }
  }
}

std::vector<ImageCoverage const*> Coverage::images() const {
  std::vector<ImageCoverage const*> out;
  for (bool const core : {false, true}) {
    for (auto const& [key, image] : images_) {
      if (image.core == core) {
        out.push_back(&image);
      }
    }
  }
  return out;
}

std::string Coverage::to_text() const {
  json images = json::array();
  for (auto const* image : this->images()) {
    images.push_back(to_json(*image));
  }
  return json_text({{"schema", 1}, {"images", std::move(images)}});
}

std::expected<Coverage, std::string> Coverage::parse(std::string const& text) {
  auto const document = json::parse(text, nullptr, false);
  if (!document.is_object() || number(document, "schema") != 1 || !document.contains("images") ||
      !document["images"].is_array()) {
    return std::unexpected(std::string{"no coverage of mmsim: a JSON object with schema 1 and images is expected"});
  }
  Coverage out;
  std::size_t index = 0;
  for (auto const& one : document["images"]) {
    auto image = image_of(one);
    if (!image) {
      return std::unexpected(fmt::format("image {}: a field is missing, of another type, or out of bounds", index));
    }
    Coverage single;
    auto const key = std::pair{image->name, image->hash};
    single.images_.emplace(key, std::move(*image));
    out.add(single);
    ++index;
  }
  return out;
}

}  // namespace mm::lab
