// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/park.h"

#include "sched/handshake.h"

namespace cairn::sched {

bool block_on(m& self, std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) {
  bool in_time = true;
  in_safe_state(self, [&] { in_time = futex_wait(word, expected, deadline); });
  return in_time;
}

}  // namespace cairn::sched
