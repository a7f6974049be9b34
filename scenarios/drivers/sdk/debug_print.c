/* SPDX-License-Identifier: BSD-2-Clause-Patent */
/* DebugPrint() of mm_edk2.h. */
#include "scenarios/drivers/sdk/mm_edk2.h"

enum { kSerialPort = 0x3F8 };

static void put(CHAR8 c) { IoWrite8(kSerialPort, (UINT8)c); }

static void put_text(const CHAR8* text) {
  for (text = text == NULL ? "<null string>" : text; *text != 0; ++text) {
    put(*text);
  }
}

/* Digits of `value`, at least `width` of them or as many characters with `fill` in front. */
static void put_number(UINT64 value, unsigned base, unsigned width, CHAR8 fill) {
  CHAR8 digits[20];
  unsigned count = 0;
  do {
    digits[count++] = "0123456789ABCDEF"[value % base];
    value /= base;
  } while (value != 0);
  for (; width > count; --width) {
    put(fill);
  }
  while (count != 0) {
    put(digits[--count]);
  }
}

static void put_guid(const GUID* guid) {
  put_number(guid->Data1, 16, 8, '0');
  put('-');
  put_number(guid->Data2, 16, 4, '0');
  put('-');
  put_number(guid->Data3, 16, 4, '0');
  put('-');
  for (unsigned i = 0; i < sizeof guid->Data4; ++i) {
    if (i == 2) {
      put('-');
    }
    put_number(guid->Data4[i], 16, 2, '0');
  }
}

static void put_status(EFI_STATUS status) {
  static const CHAR8* const kErrors[] = {"Success",         "Load Error",       "Invalid Parameter", "Unsupported",
                                         "Bad Buffer Size", "Buffer Too Small", "Not Ready",         "Device Error",
                                         "Write Protected", "Out of Resources"};
  UINT64 const code = status & 0x7FFFFFFFFFFFFFFF;
  if (code < ARRAY_SIZE(kErrors) && (code == 0) != (EFI_ERROR(status) != 0)) {
    put_text(kErrors[code]);
  } else if (status == EFI_NOT_FOUND) {
    put_text("Not Found");
  } else if (status == EFI_ACCESS_DENIED) {
    put_text("Access Denied");
  } else if (status == EFI_SECURITY_VIOLATION) {
    put_text("Security Violation");
  } else {
    put_number(status, 16, 16, '0');
  }
}

static void put_signed(INT64 value, unsigned width, CHAR8 fill) {
  if (value < 0) {
    put('-');
    put_number(0 - (UINT64)value, 10, width == 0 ? 0 : width - 1, fill);
  } else {
    put_number((UINT64)value, 10, width, fill);
  }
}

VOID DebugPrint(UINTN ErrorLevel, CONST CHAR8* Format, ...) {
  __builtin_va_list list;
  (void)ErrorLevel;
  __builtin_va_start(list, Format);
  for (; *Format != 0; ++Format) {
    if (*Format != '%') {
      put(*Format);
      continue;
    }
    ++Format;
    CHAR8 const fill = *Format == '0' ? '0' : ' ';
    unsigned width = 0;
    for (; *Format >= '0' && *Format <= '9'; ++Format) {
      width = width * 10 + (unsigned)(*Format - '0');
    }
    BOOLEAN wide = FALSE;
    for (; *Format == 'l' || *Format == 'L'; ++Format) {
      wide = TRUE;
    }
    switch (*Format) {
      case 'a':
        put_text(__builtin_va_arg(list, const CHAR8*));
        break;
      case 'c':
        put((CHAR8) __builtin_va_arg(list, UINTN));
        break;
      case 'd':
        put_signed(wide ? __builtin_va_arg(list, INT64) : (INT64) __builtin_va_arg(list, INT32), width, fill);
        break;
      case 'u':
        put_number(wide ? __builtin_va_arg(list, UINT64) : (UINT64) __builtin_va_arg(list, UINT32), 10, width, fill);
        break;
      case 'x':
      case 'X':
        put_number(wide ? __builtin_va_arg(list, UINT64) : (UINT64) __builtin_va_arg(list, UINT32), 16, width, fill);
        break;
      case 'p':
        put_number((UINT64) __builtin_va_arg(list, VOID*), 16, width, fill);
        break;
      case 'r':
        put_status(__builtin_va_arg(list, EFI_STATUS));
        break;
      case 'g':
        put_guid(__builtin_va_arg(list, const GUID*));
        break;
      case 0:
        --Format;
        break;
      default:
        put(*Format);
    }
  }
  __builtin_va_end(list);
}
