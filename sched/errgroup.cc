// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "cairn/sync/errgroup.h"

#include <cstdlib>

#include "sched/message.h"
#include "sched/proc.h"
#include "sched/run_state.h"

namespace cairn::detail {

std::uint32_t run_number() noexcept { return sched::runs_ended(); }

// One that is destroyed after its run, a static one say, has goroutines that will never go on.
void errgroup_destroyed_early(std::uint32_t run) noexcept {
  if (sched::parkable() == nullptr || run != sched::runs_ended()) return;
  (sched::message()
   << "cairn: sync::errgroup: destroyed while goroutines of it run; call wait() on every way out "
      "of its scope\n")
      .send();
  std::abort();
}

}  // namespace cairn::detail
