// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See include/cairn/detail/assert.h.
#include "cairn/detail/assert.h"

#include <cstring>

#include "heap/fatal.h"

namespace cairn::detail {

int check_level = 0;

void assertion_failed(const char* condition, const char* message, const char* file, int line) noexcept {
  const char* slash = std::strrchr(file, '/');
  heap::fatal_error("{} at {}:{} ({})", message, slash == nullptr ? file : slash + 1, line, condition);
}

}  // namespace cairn::detail
