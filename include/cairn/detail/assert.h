// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Three grades of assertion, chosen at run time with CAIRNDEBUG=check=N, never by a rebuild.
//
//   CAIRN_CHECK      always: cheap, and what it guards would corrupt memory
//   CAIRN_ASSERT     level 1 and above: cheap
//   CAIRN_INVARIANT  level 2 and above: on every operation
//
// Level 3 adds walkers over whole structures (gc/verify.cc). A failed assertion is a bug of the library or of its
// user: it prints one line and aborts. Nothing on this path allocates, so it may fail inside a runtime section.
#pragma once

namespace cairn::detail {

// 0 to 3. Written once, before the first object is allocated.
extern int check_level;

[[noreturn, gnu::cold, gnu::noinline]] void assertion_failed(const char* condition, const char* message,
                                                             const char* file, int line) noexcept;

}  // namespace cairn::detail

#define CAIRN_CHECK_AT_(level, condition, message)                                \
  do {                                                                            \
    if ((level) <= ::cairn::detail::check_level && !(condition)) [[unlikely]]     \
      ::cairn::detail::assertion_failed(#condition, message, __FILE__, __LINE__); \
  } while (false)

#define CAIRN_CHECK(condition, message)                                           \
  do {                                                                            \
    if (!(condition)) [[unlikely]]                                                \
      ::cairn::detail::assertion_failed(#condition, message, __FILE__, __LINE__); \
  } while (false)
#define CAIRN_ASSERT(condition, message) CAIRN_CHECK_AT_(1, condition, message)
#define CAIRN_INVARIANT(condition, message) CAIRN_CHECK_AT_(2, condition, message)
