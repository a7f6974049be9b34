// SPDX-License-Identifier: BSD-2-Clause-Patent
#pragma once

#include <string>
#include <string_view>

#include "core/base/types.hpp"

/// What may be written to whom: escape sequences only to a terminal that knows them.
namespace mm::lab {

/// Standard output or standard error, by its descriptor (1, 2), is a terminal that understands escape sequences: TERM
/// is there and is not "dumb".
bool is_terminal(int descriptor);
/// Standard output may be coloured: a terminal, and NO_COLOR is not set (no-color.org).
bool is_coloured();
/// The columns of the terminal on this descriptor; 80 where it does not say.
u32 terminal_columns(int descriptor);
/// `text` in at most `columns` bytes: "..." stands for what is left out of its middle.
std::string shortened(std::string_view text, std::size_t columns);
/// `text` with '?' for each control character but tab and line feed (C0, DEL, or C1 in UTF-8): written to a terminal
/// those could do more than be seen.
std::string without_controls(std::string_view text);
/// What a serial port was given, for a terminal: CR LF is a line end, the rest as without_controls().
std::string serial_text(std::string_view text);

}  // namespace mm::lab
