// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/lab/firmware/decompress.hpp"

#include <brotli/decode.h>
#include <fmt/format.h>
#include <lzma.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>

namespace mm::lab {
namespace {

constexpr u64 kLzmaHeader = 13;
constexpr u64 kBrotliHeader = 16;
/// Output grows by this much, so that a small file that claims much costs little.
constexpr std::size_t kPiece = std::size_t{1} << 20;

std::unexpected<std::string> problem(std::string text) { return std::unexpected(std::move(text)); }

std::expected<void, std::string> check_size(char const* codec, u64 size, UnpackBudget const& budget) {
  if (size > budget.left) {
    return problem(
        fmt::format("{}: unpacks to {} bytes, {} are left of what one file may unpack to", codec, size, budget.left));
  }
  return {};
}

u8 const* input(std::span<std::byte const> bytes) { return reinterpret_cast<u8 const*>(bytes.data()); }

/// Grows `out` by up to one piece, to `size` at most; returns where the new bytes start.
u8* grow(Bytes& out, u64 size, std::size_t& added) {
  std::size_t const had = out.size();
  added = static_cast<std::size_t>(std::min<u64>(kPiece, size - had));
  out.resize(had + added);
  return reinterpret_cast<u8*>(out.data() + had);
}

/// lzma_stream that is ended whatever happens.
class LzmaStream {
 public:
  LzmaStream() = default;
  ~LzmaStream() { lzma_end(&stream_); }
  LzmaStream(LzmaStream const&) = delete;
  LzmaStream& operator=(LzmaStream const&) = delete;
  lzma_stream& get() { return stream_; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

/// Readies `stream` for what follows the header of `packed`. The header may name a dictionary of any size: no match of
/// a stream of `size` bytes reaches back further than these.
bool open_decoder(lzma_stream& stream, std::span<std::byte const> packed, u64 size, LzmaFilter filter) {
  constexpr u64 kProperties = 9 * 5 * 5;
  u64 const properties = load_int(packed, 0, 1);
  if (properties >= kProperties) {
    return false;
  }
  lzma_options_lzma options{};
  options.dict_size = static_cast<u32>(
      std::max<u64>(LZMA_DICT_SIZE_MIN, std::min<u64>(load_int(packed, 1, 4), std::bit_ceil(std::max<u64>(size, 1)))));
  options.lc = static_cast<u32>(properties % 9);
  options.lp = static_cast<u32>(properties / 9 % 5);
  options.pb = static_cast<u32>(properties / 45);
  options.ext_flags = LZMA_LZMA1EXT_ALLOW_EOPM;
  lzma_set_ext_size(options, size);
  lzma_filter const plain{LZMA_FILTER_LZMA1EXT, &options};
  lzma_filter const end{LZMA_VLI_UNKNOWN, nullptr};
  std::array const chain{lzma_filter{LZMA_FILTER_X86, nullptr}, plain, end};
  return lzma_raw_decoder(&stream, filter == LzmaFilter::X86 ? chain.data() : chain.data() + 1) == LZMA_OK;
}

}  // namespace

std::expected<Bytes, std::string> unpack_lzma(std::span<std::byte const> packed, UnpackBudget& budget,
                                              LzmaFilter filter) {
  if (packed.size() < kLzmaHeader) {
    return problem("LZMA: shorter than its header");
  }
  u64 const size = load_int(packed, 5, 8);
  if (size == UINT64_MAX) {
    return problem("LZMA: the header does not say to how many bytes it unpacks");
  }
  MM_TRY(check_size("LZMA", size, budget));
  LzmaStream guard;
  lzma_stream& stream = guard.get();
  if (!open_decoder(stream, packed, size, filter)) {
    return problem(fmt::format("LZMA: the properties byte {:#04x} is none", load_int(packed, 0, 1)));
  }
  stream.next_in = input(packed.subspan(kLzmaHeader));
  stream.avail_in = packed.size() - kLzmaHeader;
  Bytes out;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    if (stream.avail_out == 0 && out.size() < size) {
      std::size_t added = 0;
      stream.next_out = grow(out, size, added);
      stream.avail_out = added;
    }
    result = lzma_code(&stream, LZMA_FINISH);
  }
  if ((result != LZMA_STREAM_END && !(result == LZMA_BUF_ERROR && stream.total_out == size)) ||
      stream.total_out != size) {
    return problem(
        fmt::format("LZMA: the stream is damaged or truncated after {} of {} bytes", stream.total_out, size));
  }
  budget.left -= size;
  return out;
}

std::expected<Bytes, std::string> unpack_brotli(std::span<std::byte const> packed, UnpackBudget& budget) {
  if (packed.size() < kBrotliHeader) {
    return problem("Brotli: shorter than its header");
  }
  u64 const size = load_int(packed, 0, 8);
  MM_TRY(check_size("Brotli", size, budget));
  std::unique_ptr<BrotliDecoderState, decltype(&BrotliDecoderDestroyInstance)> const state{
      BrotliDecoderCreateInstance(nullptr, nullptr, nullptr), &BrotliDecoderDestroyInstance};
  if (!state) {
    return problem("Brotli: the decoder cannot be made");
  }
  u8 const* next_in = input(packed.subspan(kBrotliHeader));
  std::size_t in_left = packed.size() - kBrotliHeader;
  Bytes out;
  std::size_t out_left = 0;
  u8* next_out = nullptr;
  BrotliDecoderResult result = BROTLI_DECODER_RESULT_ERROR;
  do {
    next_out = grow(out, size, out_left);
    result = BrotliDecoderDecompressStream(state.get(), &in_left, &next_in, &out_left, &next_out, nullptr);
  } while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && out.size() < size);
  if (result != BROTLI_DECODER_RESULT_SUCCESS || out.size() - out_left != size) {
    return problem(fmt::format("Brotli: the stream is damaged, truncated or longer than the {} bytes it states", size));
  }
  budget.left -= size;
  return out;
}

}  // namespace mm::lab
