// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the library says to standard error, and how it ends the program.
//
//   report         one line "cairn: ..."; the program goes on
//   fatal_error    one line "cairn: fatal error: ..." and abort(): memory or an invariant is broken
//   end_program    the same line and exit status 2: the program is ended for what its goroutines did (deadlock,
//                  an exception that left one, stack overflow); static destructors do not run
//
// All three format into a buffer on the stack and call write(2): no allocation, no lock, no stdio, so they
// may be called in signal handlers, in runtime sections and with the world stopped. Messages are cut at
// k_message_bytes.
#pragma once
#include <cstddef>

#include <fmt/core.h>

namespace cairn::heap {

inline constexpr std::size_t k_message_bytes = 1000;

namespace fatal_detail {
enum class after { go_on, abort, exit };
void say(after then, fmt::string_view format, fmt::format_args args) noexcept;
}  // namespace fatal_detail

template <class... A>
[[gnu::cold]] void report(fmt::format_string<A...> format, const A&... a) noexcept {
  fatal_detail::say(fatal_detail::after::go_on, format, fmt::make_format_args(a...));
}

template <class... A>
[[noreturn, gnu::cold]] void fatal_error(fmt::format_string<A...> format, const A&... a) noexcept {
  fatal_detail::say(fatal_detail::after::abort, format, fmt::make_format_args(a...));
  __builtin_unreachable();
}

template <class... A>
[[noreturn, gnu::cold]] void end_program(fmt::format_string<A...> format, const A&... a) noexcept {
  fatal_detail::say(fatal_detail::after::exit, format, fmt::make_format_args(a...));
  __builtin_unreachable();
}

// All of `bytes`, past interruptions and short writes; errors are ignored: there is nobody to tell.
void write_error(const char* text, std::size_t bytes) noexcept;

}  // namespace cairn::heap
