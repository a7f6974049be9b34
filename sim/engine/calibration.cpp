// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "sim/engine/calibration.hpp"

#include <unicorn/unicorn.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/memory/page_tables.hpp"

namespace mm::sim {
namespace {

constexpr std::size_t kIsIntAfterError = 4;
constexpr std::size_t kOldExceptionAfterError = 112;
constexpr u64 kMemory = 0x10000;
constexpr u64 kCode = 0x5000;
constexpr u64 kReadOnly = 0x6000;
constexpr u64 kNoExecutePage = 0x7000;
constexpr u64 kAbsent = 0x8000;

/// One instruction that faults in a known way.
struct Probe {
  std::array<unsigned char, 4> code;
  u64 rax;
  int error;
};
constexpr std::array kProbes = {
    Probe{{0x8A, 0x08, 0x90, 0x90}, kAbsent, 0x0},  // mov cl, [rax]
    Probe{{0x88, 0x08, 0x90, 0x90}, kAbsent, 0x2},  // mov [rax], cl
    Probe{{0x88, 0x08, 0x90, 0x90}, kReadOnly, 0x3},       Probe{{0xFF, 0xE0, 0x90, 0x90}, kAbsent, 0x10},  // jmp rax
    Probe{{0xFF, 0xE0, 0x90, 0x90}, kNoExecutePage, 0x11},
};

class Scratch {
 public:
  ~Scratch() {
    if (context != nullptr) {
      uc_context_free(context);
    }
    if (clean != nullptr) {
      uc_context_free(clean);
    }
    if (uc != nullptr) {
      uc_close(uc);
    }
  }
  bool open();
  /// Runs one probe and gives the context as the interrupt hook saw it.
  std::vector<std::byte> run(Probe const& probe);

  uc_engine* uc = nullptr;
  uc_context* context = nullptr;
  uc_context* clean = nullptr;
  alignas(4096) std::array<std::byte, kMemory> memory{};
};

void on_fault(uc_engine* uc, uint32_t, void* user) {
  uc_context_save(uc, static_cast<Scratch*>(user)->context);
  uc_emu_stop(uc);
}

bool Scratch::open() {
  namespace pte = memory::pte;
  auto put = [this](u64 at, u64 v) { std::memcpy(memory.data() + at, &v, 8); };
  put(0x1000, 0x2000 | pte::kTable);
  put(0x2000, 0x3000 | pte::kTable);
  put(0x3000, 0x4000 | pte::kTable);
  u64 const base = pte::kPresent | pte::kAccessed | pte::kDirty;
  put(0x4000 + 5 * 8, kCode | base);
  put(0x4000 + 6 * 8, kReadOnly | base | pte::kNoExecute);
  put(0x4000 + 7 * 8, kNoExecutePage | base | pte::kWritable | pte::kNoExecute);
  uc_x86_msr efer{0xC0000080, 0xD01};
  u64 const cr4 = 0x668;
  u64 const cr3 = 0x1000;
  u64 const cr0 = 0x80010033;
  uc_hook hook = 0;
  return uc_open(UC_ARCH_X86, UC_MODE_64, &uc) == UC_ERR_OK &&
         uc_ctl_set_cpu_model(uc, UC_CPU_X86_WESTMERE) == UC_ERR_OK &&
         uc_mem_map_ptr(uc, 0, memory.size(), UC_PROT_ALL, memory.data()) == UC_ERR_OK &&
         uc_reg_write(uc, UC_X86_REG_MSR, &efer) == UC_ERR_OK && uc_reg_write(uc, UC_X86_REG_CR4, &cr4) == UC_ERR_OK &&
         uc_reg_write(uc, UC_X86_REG_CR3, &cr3) == UC_ERR_OK && uc_reg_write(uc, UC_X86_REG_CR0, &cr0) == UC_ERR_OK &&
         uc_hook_add(uc, &hook, UC_HOOK_INTR, reinterpret_cast<void*>(&on_fault), this, 1, 0) == UC_ERR_OK &&
         uc_context_alloc(uc, &context) == UC_ERR_OK && uc_context_alloc(uc, &clean) == UC_ERR_OK &&
         uc_ctl_exits_enable(uc) == UC_ERR_OK && uc_context_save(uc, clean) == UC_ERR_OK;
}

std::vector<std::byte> Scratch::run(Probe const& probe) {
  uc_context_restore(uc, clean);
  std::memcpy(memory.data() + kCode, probe.code.data(), probe.code.size());
  uc_ctl_flush_tb(uc);
  uc_reg_write(uc, UC_X86_REG_RAX, &probe.rax);
  uc_emu_start(uc, kCode, 0, 0, 0);
  std::vector<std::byte> image(uc_context_size(uc));
  std::memcpy(image.data(), context, image.size());
  return image;
}

int int_at(std::vector<std::byte> const& image, std::size_t at) {
  int v = 0;
  std::memcpy(&v, image.data() + at, sizeof(v));
  return v;
}

struct Outcome {
  Calibration offsets;
  std::string problem;
};

Outcome measure() {
  auto scratch = std::make_unique<Scratch>();
  if (!scratch->open()) {
    return {{}, "simulator engine: the calibration machine does not start"};
  }
  std::vector<std::vector<std::byte>> images;
  for (Probe const& probe : kProbes) {
    images.push_back(scratch->run(probe));
  }
  auto const int3 = scratch->run({{0xCC, 0x90, 0x90, 0x90}, 0, 0});
  std::vector<std::size_t> candidates;
  for (std::size_t at = 0; at + kOldExceptionAfterError + sizeof(int) <= int3.size(); at += sizeof(int)) {
    bool holds = int_at(int3, at + kIsIntAfterError) == 1;
    for (std::size_t i = 0; i < kProbes.size() && holds; ++i) {
      holds = int_at(images[i], at) == kProbes[i].error && int_at(images[i], at + kIsIntAfterError) == 0 &&
              int_at(images[i], at + kOldExceptionAfterError) == 14;
    }
    if (holds) {
      candidates.push_back(at);
    }
  }
  if (candidates.size() != 1) {
    return {{},
            "simulator engine: page-fault error codes were found at " + std::to_string(candidates.size()) +
                " places of the saved context instead of one; this version of libunicorn is not supported"};
  }
  std::size_t const at = candidates.front();
  return {{at, at + kIsIntAfterError, at + kOldExceptionAfterError}, {}};
}

Outcome const& outcome() {
  static Outcome const once = measure();
  return once;
}

}  // namespace

Calibration const& calibration() noexcept { return outcome().offsets; }

std::expected<void, std::string> calibrate() {
  if (!outcome().problem.empty()) {
    return std::unexpected(outcome().problem);
  }
  return {};
}

}  // namespace mm::sim
