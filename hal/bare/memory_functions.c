// SPDX-License-Identifier: BSD-2-Clause-Patent
// What the compiler calls by name in a freestanding image.
#include <stddef.h>

#define MM_PLAIN __attribute__((no_builtin))  // these loops must not become calls of themselves

MM_PLAIN void* memcpy(void* restrict destination, void const* restrict source, size_t bytes) {
  void* to = destination;
  size_t words = bytes >> 3;
  size_t rest = bytes & 7;
  __asm__ volatile("rep movsq\n\tmov %[rest], %%rcx\n\trep movsb"
                   : "+&D"(to), "+&S"(source), "+&c"(words)
                   : [rest] "r"(rest)
                   : "memory");
  return destination;
}

MM_PLAIN void* memmove(void* destination, void const* source, size_t bytes) {
  unsigned char* to = destination;
  unsigned char const* from = source;
  if (to <= from || to >= from + bytes) {
    return memcpy(destination, source, bytes);
  }
  while (bytes-- != 0) {
    to[bytes] = from[bytes];
  }
  return destination;
}

MM_PLAIN void* memset(void* destination, int value, size_t bytes) {
  void* to = destination;
  size_t words = bytes >> 3;
  size_t rest = bytes & 7;
  unsigned long long const pattern = (unsigned char)value * 0x0101010101010101ull;
  __asm__ volatile("rep stosq\n\tmov %[rest], %%rcx\n\trep stosb"
                   : "+&D"(to), "+&c"(words)
                   : [rest] "r"(rest), "a"(pattern)
                   : "memory");
  return destination;
}

MM_PLAIN int memcmp(void const* left, void const* right, size_t bytes) {
  unsigned char const* a = left;
  unsigned char const* b = right;
  for (size_t i = 0; i < bytes; ++i) {
    if (a[i] != b[i]) {
      return a[i] < b[i] ? -1 : 1;
    }
  }
  return 0;
}

MM_PLAIN size_t strlen(char const* text) {
  size_t length = 0;
  while (text[length] != 0) {
    ++length;
  }
  return length;
}
